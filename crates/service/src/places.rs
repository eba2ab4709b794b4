//! How many may wait, or listen, at the same time through the agents' doors: each of them holds a connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use portcullis_authority::Refusal;
use portcullis_kernel::{refusal::Code, subject::Principal};

/// Streams and blocking sends of one principal at a time.
const OPEN_EACH_MAX: usize = 64;
/// Streams and blocking sends of all: half of the connections, so that the others are served whatever these do.
const OPEN_MAX: usize = 512;
/// When one may be free again.
const RETRY_MS: i64 = 5_000;

/// Who waits.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<Principal, usize>>);

/// A place; free again when this is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    principal: Principal,
}

impl Places {
    fn taken(&self) -> std::sync::MutexGuard<'_, HashMap<Principal, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait, or listen.
    pub(crate) fn count(&self) -> usize {
        self.taken().values().sum()
    }

    /// A place for one who waits.
    pub(crate) fn take(self: &Arc<Self>, principal: Principal) -> Result<Place, Refusal> {
        let mut taken = self.taken();
        let own = taken.get(&principal).copied().unwrap_or(0);
        if own >= OPEN_EACH_MAX || taken.values().sum::<usize>() >= OPEN_MAX {
            let mut refusal =
                Refusal::because(Code::RateLimited, "too many streams and waits are open; at most 64 each");
            refusal.retry_after_ms = Some(RETRY_MS);
            return Err(refusal);
        }
        taken.insert(principal, own + 1);
        Ok(Place { places: Arc::clone(self), principal })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        match taken.get_mut(&self.principal) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.remove(&self.principal)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn someone(last: u8) -> Principal {
        Principal::Agent(format!("01890a5d-ac96-774b-bcce-b302099a80{last:02x}").parse().unwrap())
    }

    #[test]
    fn places_are_few_for_each_and_limited_for_all_and_free_again_once_they_are_left() {
        let places = Arc::new(Places::default());
        let mut held: Vec<Place> =
            (0..OPEN_EACH_MAX).map(|_| places.take(someone(0)).unwrap_or_else(|_| panic!())).collect();
        assert_eq!(places.take(someone(0)).err().map(|refusal| refusal.code), Some(Code::RateLimited));
        held.extend((64..OPEN_MAX).map(|n| places.take(someone((n / 64) as u8)).unwrap_or_else(|_| panic!())));
        assert_eq!(places.take(someone(99)).err().map(|refusal| refusal.code), Some(Code::RateLimited));
        held.pop();
        assert!(places.take(someone(99)).is_ok());
        drop(held);
        assert!(places.taken().is_empty());
    }
}
