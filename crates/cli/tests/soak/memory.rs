//! Whether the memory of a server that is left alone under load stays what it is.

use std::time::Duration;

/// How often it is looked at in all.
const LOOKS: u32 = 120;
/// A shorter calm says nothing about growth: caches are still being filled.
const JUDGED_FROM: Duration = Duration::from_secs(10 * 60);
/// How much more the last quarter may have than the second, in per cent and in KiB beside it.
const GROWTH_PERCENT: u64 = 15;
const GROWTH_KIB: u64 = 8 * 1024;

pub struct Memory {
    calm: Duration,
    seen_kib: Vec<u64>,
}

impl Memory {
    pub fn new(calm: Duration) -> Self {
        Self { calm, seen_kib: Vec::new() }
    }

    pub fn every(&self) -> Duration {
        self.calm / LOOKS
    }

    pub fn look(&mut self, kib: u64) {
        self.seen_kib.push(kib);
    }

    /// Medians of the second and of the last quarter.
    fn quarters(&self) -> (u64, u64) {
        let quarter = self.seen_kib.len() / 4;
        let median = |part: &[u64]| {
            let mut part = part.to_vec();
            part.sort_unstable();
            part.get(part.len() / 2).copied().unwrap_or_default()
        };
        (median(&self.seen_kib[quarter..2 * quarter]), median(&self.seen_kib[3 * quarter..]))
    }

    pub fn summary(&self) -> String {
        let (early, late) = self.quarters();
        let high = self.seen_kib.iter().max().copied().unwrap_or_default();
        format!("{early} KiB in the second quarter, {late} KiB in the last, {high} KiB at most")
    }

    pub fn stands(&self) {
        let (early, late) = self.quarters();
        if self.calm >= JUDGED_FROM {
            assert!(late <= early + early * GROWTH_PERCENT / 100 + GROWTH_KIB, "memory grows: {:?}", self.seen_kib);
        }
    }
}
