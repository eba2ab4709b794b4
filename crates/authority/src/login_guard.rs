//! Slowing down password guessing without locking the real user out for long.
//!
//! Failures are counted per account and address together, per address, and per account. The pair is slowed first and
//! longest; an account as a whole is slowed for seconds only, so that a stranger who knows the address of an operator
//! cannot keep that operator out. In memory and bounded: a restart forgets, the password hash still costs its time.

use std::collections::HashMap;

use portcullis_kernel::time::Timestamp;

/// Failures that cost nothing.
const FREE: u32 = 5;
/// Entries kept; when full, the oldest half is forgotten.
const ENTRIES_MAX: usize = 10_000;
/// Failures older than this are forgotten.
const MEMORY_MS: i64 = 15 * 60 * 1000;

/// What is counted, and how long one of it may be kept waiting.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Pair(String, String),
    Address(String),
    Account(String),
}

impl Subject {
    const fn free(&self) -> u32 {
        match self {
            Self::Pair(..) => FREE,
            Self::Account(_) => FREE * 4,
            Self::Address(_) => FREE * 10,
        }
    }

    const fn wait_ms_max(&self) -> i64 {
        match self {
            Self::Pair(..) => 5 * 60 * 1000,
            Self::Address(_) => 60 * 1000,
            Self::Account(_) => 10 * 1000,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// Counts failed logins.
#[derive(Debug, Default)]
pub(crate) struct LoginGuard {
    failures: HashMap<Subject, Failures>,
}

fn subjects(email: &str, address: &str) -> [Subject; 3] {
    [
        Subject::Pair(email.to_owned(), address.to_owned()),
        Subject::Address(address.to_owned()),
        Subject::Account(email.to_owned()),
    ]
}

impl LoginGuard {
    /// How long this attempt has to wait, in milliseconds; 0 when it may go on.
    pub(crate) fn wait_ms(&self, email: &str, address: &str, now: Timestamp) -> i64 {
        let wait = |subject: &Subject| {
            let failures = self.failures.get(subject).filter(|failures| now.since_ms(failures.last) < MEMORY_MS)?;
            let over = failures.count.checked_sub(subject.free())?;
            let pause = 1000_i64.saturating_mul(1 << over.min(20)).min(subject.wait_ms_max());
            Some(failures.last.plus_ms(pause).since_ms(now))
        };
        subjects(email, address).iter().filter_map(wait).max().unwrap_or(0).max(0)
    }

    /// A login failed.
    pub(crate) fn failed(&mut self, email: &str, address: &str, now: Timestamp) {
        if self.failures.len() >= ENTRIES_MAX {
            let mut times: Vec<_> = self.failures.values().map(|failures| failures.last).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            self.failures.retain(|_, failures| failures.last > middle);
        }
        for subject in subjects(email, address) {
            let entry = self.failures.entry(subject).or_insert(Failures { count: 0, last: now });
            if now.since_ms(entry.last) >= MEMORY_MS {
                entry.count = 0;
            }
            entry.count = entry.count.saturating_add(1);
            entry.last = now;
        }
    }

    /// A login succeeded: the pair and the account start afresh. The address does not: it may be guessing others.
    pub(crate) fn succeeded(&mut self, email: &str, address: &str) {
        let [pair, _, account] = subjects(email, address);
        self.failures.remove(&pair);
        self.failures.remove(&account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_is_slowed_and_the_real_user_is_not_kept_out_for_long() {
        let mut guard = LoginGuard::default();
        let mut now = Timestamp(0);
        for _ in 0..5 {
            assert_eq!(guard.wait_ms("a@x", "evil", now), 0);
            guard.failed("a@x", "evil", now);
        }
        assert!(guard.wait_ms("a@x", "evil", now) > 0);
        assert_eq!(guard.wait_ms("a@x", "home", now), 0, "another address is not slowed by a few failures");
        for _ in 0..100 {
            guard.failed("a@x", "evil", now);
        }
        assert!(guard.wait_ms("a@x", "home", now) <= 10_000, "the account is slowed for seconds only");
        assert!(guard.wait_ms("a@x", "evil", now) <= 300_000);
        now = now.plus_ms(10_001);
        assert_eq!(guard.wait_ms("a@x", "home", now), 0);
        guard.succeeded("a@x", "home");
        assert!(guard.wait_ms("a@x", "evil", now) > 0, "success elsewhere does not free the guesser");
    }

    #[test]
    fn memory_is_bounded_and_fades() {
        let mut guard = LoginGuard::default();
        for n in 0..(ENTRIES_MAX as i64) {
            guard.failed(&format!("u{n}@x"), "evil", Timestamp(n));
        }
        assert!(guard.failures.len() <= ENTRIES_MAX + 3);
        assert_eq!(guard.wait_ms("u1@x", "evil", Timestamp(10 * MEMORY_MS)), 0);
    }
}
