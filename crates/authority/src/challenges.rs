//! Challenges that wait for a passkey: used once, for five minutes, for what they were issued for and nobody else.
//!
//! In memory and bounded. A restart forgets them, and whoever waited begins again. Those of the door, which anybody may ask
//! for, are kept apart: a stranger who asks for many can push out those of other strangers, not those of sessions.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use portcullis_kernel::{
    id::{CredentialId, OperatorId},
    name::DisplayName,
    time::Timestamp,
};

use crate::webauthn::{CHALLENGE_BYTES, Challenge, Party};

/// How long a challenge waits, in milliseconds.
pub(crate) const CHALLENGE_MS: i64 = 5 * 60 * 1000;
/// Challenges of the door that wait at the same time; the oldest gives way.
const OF_THE_DOOR_MAX: usize = 10_000;
/// Challenges of sessions that wait at the same time; the oldest gives way.
const OF_SESSIONS_MAX: usize = 1_000;

/// What a challenge was issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To open a session: whose is not known yet.
    Login,
    /// To add a passkey of this name, in this session.
    Add { session: CredentialId, operator: OperatorId, name: DisplayName },
    /// To re-authenticate, in this session.
    StepUp { session: CredentialId, operator: OperatorId },
}

/// A challenge that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) purpose: Purpose,
    pub(crate) party: Party,
    until: Timestamp,
}

/// Those of one kind, oldest first. What was taken is still in the order, until it comes to the front.
#[derive(Default)]
struct Waiting {
    issued: HashMap<Challenge, Issued>,
    order: VecDeque<Challenge>,
}

impl Waiting {
    fn put(&mut self, challenge: Challenge, issued: Issued, now: Timestamp, max: usize) {
        while let Some(oldest) = self.order.front() {
            let over = self.issued.get(oldest).is_none_or(|known| now >= known.until);
            if !over && self.issued.len() < max && self.order.len() < 2 * max {
                break;
            }
            self.issued.remove(oldest);
            self.order.pop_front();
        }
        self.order.push_back(challenge);
        self.issued.insert(challenge, issued);
    }
}

/// All that wait.
#[derive(Default)]
pub(crate) struct Challenges {
    of_the_door: Mutex<Waiting>,
    of_sessions: Mutex<Waiting>,
}

impl Challenges {
    /// Issues one.
    pub(crate) fn issue(&self, purpose: Purpose, party: Party, now: Timestamp) -> Challenge {
        let challenge = crate::vault::random::<CHALLENGE_BYTES>();
        let (waiting, max) = match purpose {
            Purpose::Login => (&self.of_the_door, OF_THE_DOOR_MAX),
            Purpose::Add { .. } | Purpose::StepUp { .. } => (&self.of_sessions, OF_SESSIONS_MAX),
        };
        let issued = Issued { purpose, party, until: now.plus_ms(CHALLENGE_MS) };
        waiting.lock().unwrap_or_else(PoisonError::into_inner).put(challenge, issued, now, max);
        challenge
    }

    /// Takes one, whatever becomes of the answer: nothing is answered twice.
    pub(crate) fn take(&self, challenge: &Challenge, now: Timestamp) -> Option<Issued> {
        let take =
            |waiting: &Mutex<Waiting>| waiting.lock().unwrap_or_else(PoisonError::into_inner).issued.remove(challenge);
        take(&self.of_the_door).or_else(|| take(&self.of_sessions)).filter(|issued| now < issued.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party() -> Party {
        Party { rp_id: "a".to_owned(), origin: "https://a".to_owned() }
    }

    #[test]
    fn a_challenge_is_taken_once_and_in_time() {
        let challenges = Challenges::default();
        let now = Timestamp(0);
        let one = challenges.issue(Purpose::Login, party(), now);
        assert_eq!(challenges.take(&one, now).unwrap().purpose, Purpose::Login);
        assert_eq!(challenges.take(&one, now), None);
        let late = challenges.issue(Purpose::Login, party(), now);
        assert_eq!(challenges.take(&late, now.plus_ms(CHALLENGE_MS)), None);
        assert_eq!(challenges.take(&late, now), None, "too late is too late");
        assert_eq!(challenges.take(&[0; CHALLENGE_BYTES], now), None);
    }

    #[test]
    fn there_are_never_more_than_so_many_and_the_door_pushes_out_no_session() {
        let challenges = Challenges::default();
        let ids = (CredentialId::from_uuid(uuid::Uuid::nil()), OperatorId::from_uuid(uuid::Uuid::nil()));
        let own = challenges.issue(Purpose::StepUp { session: ids.0, operator: ids.1 }, party(), Timestamp(0));
        let first = challenges.issue(Purpose::Login, party(), Timestamp(0));
        // Taken or left, for as long as they live.
        for n in 0..3 * OF_THE_DOOR_MAX {
            let one = challenges.issue(Purpose::Login, party(), Timestamp(1));
            if n % 2 == 0 {
                challenges.take(&one, Timestamp(1)).unwrap();
            }
        }
        let door = challenges.of_the_door.lock().unwrap();
        assert!(door.issued.len() <= OF_THE_DOOR_MAX && door.order.len() <= 2 * OF_THE_DOOR_MAX);
        drop(door);
        assert_eq!(challenges.take(&first, Timestamp(1)), None);
        assert!(challenges.take(&own, Timestamp(1)).is_some());
        // What is over makes room.
        challenges.issue(Purpose::Login, party(), Timestamp(CHALLENGE_MS + 1));
        assert_eq!(challenges.of_the_door.lock().unwrap().issued.len(), 1);
    }
}
