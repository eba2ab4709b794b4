//! The only place that looks at the clock.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis_kernel::time::Timestamp;

/// A clock that was set back by more than this is worth a line in the log.
const SET_BACK_TOLD: Duration = Duration::from_secs(1);

/// Where "now" comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine, as far as it goes forward.
    System(Arc<Steady>),
    /// A number that tests move.
    Fixed(Arc<AtomicI64>),
}

impl Default for Clock {
    fn default() -> Self {
        Self::System(Arc::default())
    }
}

/// The machine's clock without its steps back: what has expired stays expired. Where it was set back, time passes at half
/// its pace until the machine has caught up; it never stands, or nothing would expire meanwhile.
#[derive(Debug, Default)]
pub struct Steady(Mutex<Option<Anchor>>);

/// The latest time that was told and the machine stood behind, and when that was.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    at_ms: i64,
    when: Instant,
    told: bool,
}

impl Steady {
    fn now(&self, machine_ms: i64) -> i64 {
        let mut anchor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = anchor.as_mut() {
            let steady = known.at_ms.saturating_add((known.when.elapsed().as_millis() / 2) as i64);
            if machine_ms < steady {
                let behind_ms = steady - machine_ms;
                if !known.told && behind_ms > SET_BACK_TOLD.as_millis() as i64 {
                    known.told = true;
                    tracing::warn!(
                        behind_ms,
                        "the clock of this machine is behind what it was, or behind the log; time goes slowly until it has caught up"
                    );
                }
                return steady;
            }
        }
        *anchor = Some(Anchor { at_ms: machine_ms, when: Instant::now(), told: false });
        machine_ms
    }

    fn not_before(&self, at_ms: i64) {
        let mut anchor = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if anchor.is_none_or(|known| known.at_ms < at_ms) {
            *anchor = Some(Anchor { at_ms, when: Instant::now(), told: false });
        }
    }
}

impl Clock {
    /// A clock that stands at `ms` until a test moves it.
    pub fn fixed(ms: i64) -> (Self, Arc<AtomicI64>) {
        let hand = Arc::new(AtomicI64::new(ms));
        (Self::Fixed(Arc::clone(&hand)), hand)
    }

    /// Milliseconds since the epoch.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System(steady) => Timestamp(steady.now(jiff::Timestamp::now().as_millisecond())),
            Self::Fixed(hand) => Timestamp(hand.load(Ordering::SeqCst)),
        }
    }
}

impl Clock {
    /// Time does not begin before this: the log was written then.
    pub(crate) fn not_before(&self, at: Timestamp) {
        if let Self::System(steady) = self {
            steady.not_before(at.0);
        }
    }
}

/// RFC 3339 in UTC, as the wire writes times.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.to_string())
}

/// Reads RFC 3339 text.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_and_never_stands_and_is_the_machines_again_once_that_has_caught_up() {
        let steady = Steady::default();
        assert_eq!(steady.now(5_000), 5_000);
        assert_eq!(steady.now(9_000), 9_000, "forward as it is");
        let set_back = steady.now(1_000);
        assert!(set_back >= 9_000);
        while steady.now(1_000) == set_back {
            std::thread::yield_now();
        }
        assert!(steady.now(1_000) > set_back);
        assert_eq!(steady.now(3_600_000), 3_600_000);
        steady.not_before(7_200_000);
        assert!(steady.now(3_600_001) >= 7_200_000, "not before the log");
        steady.not_before(5);
        assert!(steady.now(3_600_001) >= 7_200_000);
    }
}
