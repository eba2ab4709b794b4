//! Whose turn it is to look, among many who listen: one after the other, and at most half of the time of one processor for
//! all of them. However many streams there are, requests are answered beside them.

use std::time::Duration;

use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, sleep_until},
};

/// Looks shorter than this in all are not waited for: the clock of the runtime counts in milliseconds.
const BURST: Duration = Duration::from_millis(5);

/// The turns of everybody who listens here.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Option<Instant>>);

/// A turn. The next one may begin once it is dropped, and as long after that as it took.
pub(crate) struct Turn<'a> {
    rested: MutexGuard<'a, Option<Instant>>,
    began: Instant,
}

impl Turns {
    /// Waits for a turn; in the order of asking.
    pub(crate) async fn take(&self) -> Turn<'_> {
        let rested = self.0.lock().await;
        if let Some(until) = wait(*rested, Instant::now()) {
            sleep_until(until).await;
        }
        Turn { rested, began: Instant::now() }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.rested = Some(rest(*self.rested, self.began, Instant::now()));
    }
}

/// Until when whoever is next has to wait.
fn wait(rested: Option<Instant>, now: Instant) -> Option<Instant> {
    rested.filter(|until| *until > now + BURST)
}

/// When a turn has been rested from that began at `began` and ends now, and those before it.
fn rest(rested: Option<Instant>, began: Instant, now: Instant) -> Instant {
    rested.filter(|until| *until > began).unwrap_or(began) + 2 * (now - began)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_listens_takes_half_of_the_time_at_most() {
        let began = Instant::now();
        let (mut now, mut rested) = (began, None);
        for _ in 0..100 {
            now = wait(rested, now).unwrap_or(now);
            let turn = now;
            now += Duration::from_millis(1);
            rested = Some(rest(rested, turn, now));
        }
        assert!(now - began >= Duration::from_millis(190), "100 looks of a millisecond took {:?}", now - began);
        let later = now + Duration::from_secs(1);
        assert_eq!(wait(rested, later), None, "after a quiet time nobody waits");
    }
}
