//! How much one subject may ask for: calls, and refusals apart from them. Who keeps running against the gate is slowed down
//! before it is asked again, and does not use up what others need.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use portcullis_authority::{Caller, Refusal};
use portcullis_kernel::{id::CredentialId, refusal::Code, subject::Principal};

use crate::app::Rates;

/// Subjects remembered before those that have been quiet are forgotten.
const SUBJECTS: usize = 4_096;

/// Who asks: a principal by one of its credentials. A narrow token that keeps running against the gate does not lock out
/// whoever minted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Subject(Principal, Option<CredentialId>);

impl Subject {
    /// The subject of a caller.
    pub(super) fn of(caller: &Caller) -> Self {
        Self(caller.principal(), caller.credential())
    }
}

/// Calls and refusals by subject.
pub(super) struct Limits {
    calls: DefaultKeyedRateLimiter<Subject>,
    refusals: DefaultKeyedRateLimiter<Subject>,
    waiting: Mutex<HashMap<Subject, Instant>>,
    clock: DefaultClock,
}

impl Limits {
    pub(super) fn new(rates: Rates) -> Self {
        let burst = rates.calls_per_s.saturating_mul(NonZeroU32::MIN.saturating_add(3));
        Self {
            calls: RateLimiter::keyed(Quota::per_second(rates.calls_per_s).allow_burst(burst)),
            refusals: RateLimiter::keyed(Quota::per_minute(rates.refusals_per_min)),
            waiting: Mutex::default(),
            clock: DefaultClock::default(),
        }
    }

    /// Takes one call, or says how long to wait.
    pub(super) fn admit(&self, who: Subject) -> Result<(), Refusal> {
        let until = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&who).copied();
        if let Some(wait) = until.and_then(|until| until.checked_duration_since(Instant::now())) {
            return Err(slow_down("too many refused requests", wait));
        }
        self.forget();
        let taken = self.calls.check_key(&who);
        taken.map_err(|early| slow_down("too many requests", early.wait_time_from(self.clock.now())))
    }

    /// Notes that a call was refused.
    pub(super) fn refused(&self, who: Subject) {
        if let Err(early) = self.refusals.check_key(&who) {
            let until = Instant::now() + early.wait_time_from(self.clock.now());
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(who, until);
        }
    }

    fn forget(&self) {
        if self.calls.len() > SUBJECTS {
            self.calls.retain_recent();
            self.refusals.retain_recent();
            let now = Instant::now();
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
        }
    }
}

fn slow_down(reason: &str, wait: std::time::Duration) -> Refusal {
    let mut refusal = Refusal::because(Code::RateLimited, reason);
    refusal.retry_after_ms = Some(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).max(1));
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(last: u8) -> Subject {
        Subject(Principal::Agent(format!("01890a5d-ac96-774b-bcce-b302099a80{last:02x}").parse().unwrap()), None)
    }

    #[test]
    fn calls_and_refusals_have_limits_of_their_own_for_each_subject() {
        let few = |count| NonZeroU32::new(count).unwrap();
        let limits = Limits::new(Rates { calls_per_s: few(1), refusals_per_min: few(2) });
        let (one, other) = (agent(1), agent(2));
        let begun = std::time::Instant::now();
        for _ in 0..4 {
            limits.admit(one).unwrap();
        }
        // One call more is free for each second that the machine stood still.
        let (more, refusal) = (0..100).find_map(|n| Some((n, limits.admit(one).err()?))).unwrap();
        assert!(more <= begun.elapsed().as_secs(), "{more} calls more");
        assert_eq!(refusal.code, Code::RateLimited);
        assert!((1..=1_000).contains(&refusal.retry_after_ms.unwrap()), "{refusal:?}");
        limits.admit(other).unwrap();
        for _ in 0..3 {
            limits.refused(other);
        }
        let refusal = limits.admit(other).unwrap_err();
        assert!(refusal.reason.contains("refused"), "{refusal:?}");
        assert!((1..=30_000).contains(&refusal.retry_after_ms.unwrap()), "{refusal:?}");
    }
}
