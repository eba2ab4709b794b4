//! What this server may supervise: its own beat, how long it counts, and whose beat stands still (decision 0016).
//!
//! No two clocks are compared. A server's own lease runs from before its last beat; another one's ends when its beat has not
//! moved for as long, as seen from here, while our own beats came through. So whoever is taken from has stopped before.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use portcullis_authority::{Beat, LEASE, Refusal, Relayed};
use portcullis_kernel::{
    id::{BootId, ServerId},
    runtime::RuntimeKind,
};
use tokio::sync::{Notify, watch};

use super::{GATHER, Shared, TICK, complain};
use crate::app::stops;

/// How often a server beats. Three beats may be late before its lease is over.
const BEAT: Duration = Duration::from_millis(1_500);
/// A pause between two beats from which on nothing is concluded of what was seen before it: this server was stopped, or
/// the database was, and then the others' beats stood still as well.
const GAP: Duration = Duration::from_millis(3_500);
/// How long an engine may take to say who it is, before places are told without it.
const ASK: Duration = Duration::from_secs(2);
/// How often it is asked what is reached from here.
const REACH: Duration = Duration::from_secs(30);
/// Before a server that could not begin tries again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often servers tell each other whose agents they heard. A fraction of any silence that counts.
pub(super) const RELAY: Duration = Duration::from_secs(5);

/// Until when this server may act on what it supervises.
#[derive(Default)]
pub(super) struct Lease {
    /// Nothing: for ever, because nobody else can be there.
    until: Mutex<Option<Instant>>,
    /// There is something new to supervise.
    pub(super) taken: Notify,
    /// Something was taken from us: what of it still runs here is in no row any more.
    lost: AtomicBool,
}

impl Lease {
    /// Whether agents may be touched now. What is written is checked again where it is written.
    pub(super) fn holds(&self) -> bool {
        self.until.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|until| Instant::now() < until)
    }

    /// Notes that a workspace is somebody else's.
    pub(super) fn lose(&self) {
        self.lost.store(true, Relaxed);
        self.taken.notify_one();
    }

    /// Whether any was, since this was last asked.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.swap(false, Relaxed)
    }

    pub(super) fn set(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }
}

/// The beats of the others, and since when each stands.
#[derive(Default)]
struct Watch {
    seen: HashMap<ServerId, (i64, Instant)>,
    last: Option<Instant>,
}

impl Watch {
    /// Notes what was seen at a time.
    fn note(&mut self, others: Vec<(ServerId, i64)>, now: Instant) {
        if self.last.is_none_or(|last| now.duration_since(last) > GAP) {
            self.seen.clear();
        }
        self.last = Some(now);
        let before = std::mem::take(&mut self.seen);
        let since = |id, beat| match before.get(&id) {
            Some((known, since)) if *known == beat => *since,
            _ => now,
        };
        self.seen = others.into_iter().map(|(id, beat)| (id, (beat, since(id, beat)))).collect();
    }

    /// Whose beat has stood for a whole lease, and at which.
    fn gone(&self, now: Instant) -> Vec<(ServerId, i64)> {
        let over = |(_, (_, since)): &(&ServerId, &(i64, Instant))| now.duration_since(*since) >= LEASE;
        self.seen.iter().filter(over).map(|(id, (beat, _))| (*id, *beat)).collect()
    }
}

/// Begins a life of this server. False if it ends before it could.
async fn enlisted(shared: &Shared, ended: &mut watch::Receiver<bool>) -> bool {
    // Where its engine is, is asked for afterwards: what was this server's own is adopted whether or not it answers.
    let reaches = [shared.host(), RuntimeKind::Process.as_str().to_owned()];
    loop {
        let began = Instant::now();
        match shared.authority.enlist(shared.settings.server, &reaches).await {
            Ok(()) => {
                if shared.authority.has_company() {
                    shared.lease.set(began + LEASE);
                }
                shared.lease.taken.notify_one();
                return true;
            }
            Err(refusal) => complain("this server could not be entered among those that run agents", &refusal),
        }
        tokio::select! {
            () = stops(ended) => return false,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Beats until the server has ended, and takes what is free until it stops. Its lease is left to run out then, so that the
/// next start of the same server goes on with its agents before anybody else takes them.
pub(super) async fn keep(shared: Arc<Shared>, stopping: watch::Receiver<bool>, mut ended: watch::Receiver<bool>) {
    if !enlisted(&shared, &mut ended).await {
        return;
    }
    let company = shared.authority.has_company();
    let (mut watch, mut reaches, mut asked) = (Watch::default(), shared.reaches(ASK).await, Instant::now());
    // Changes in the store that somebody else made may leave a workspace without a supervisor: looked for by commits too.
    let mut committed = shared.authority.committed();
    // Whether our last beat came through: otherwise nothing is known of the others either.
    let (mut due, mut fresh) = (Instant::now(), false);
    loop {
        committed.mark_unchanged();
        if company && Instant::now() >= due {
            if asked.elapsed() >= REACH {
                (reaches, asked) = (shared.reaches(ASK).await, Instant::now());
            }
            let began = Instant::now();
            due = began + BEAT;
            fresh = false;
            match shared.authority.beat(&reaches).await {
                Ok(Beat::Noted(others)) => {
                    shared.lease.set(began + LEASE);
                    watch.note(others, Instant::now());
                    fresh = true;
                }
                Ok(Beat::Superseded) => {
                    shared.lease.set(began);
                    tracing::error!(
                        "another process runs as this server: the data directory was copied; no agents are supervised here any more"
                    );
                    return;
                }
                Ok(Beat::Forgotten) => {
                    tracing::warn!("this server was forgotten, as one that was gone for very long; it begins anew");
                    if !enlisted(&shared, &mut ended).await {
                        return;
                    }
                }
                Err(refusal) => complain("a sign of life could not be written", &refusal),
            }
        }
        let gone = if fresh { watch.gone(Instant::now()) } else { Vec::new() };
        if !*stopping.borrow()
            && let Err(refusal) = take(&shared, gone).await
        {
            complain("workspaces that nobody supervises could not be taken", &refusal);
        }
        tokio::select! {
            () = stops(&mut ended) => return,
            changed = committed.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(if company { due.saturating_duration_since(Instant::now()) } else { TICK }) => {}
        }
        tokio::time::sleep(GATHER).await;
    }
}

async fn take(shared: &Shared, gone: Vec<(ServerId, i64)>) -> Result<(), Refusal> {
    if !shared.lease.holds() || !shared.authority.is_claimable(gone.clone()).await? {
        return Ok(());
    }
    let taken = shared.authority.take_workspaces(gone).await?;
    if taken > 0 {
        tracing::info!(taken, "workspaces that nobody supervised are supervised here");
        shared.lease.taken.notify_one();
    }
    Ok(())
}

/// What other servers had heard of this server's agents when it was last looked.
#[derive(Default)]
pub(super) struct Hearsay(HashMap<BootId, i64>);

impl Hearsay {
    /// Which of these are news. What is heard of for the first time may be old.
    pub(super) fn news(&mut self, all: Vec<Relayed>) -> Vec<Relayed> {
        let before = std::mem::take(&mut self.0);
        self.0 = all.iter().map(|one| (one.boot, one.heard)).collect();
        all.into_iter().filter(|one| before.get(&one.boot).is_some_and(|known| *known != one.heard)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(n: u8) -> ServerId {
        format!("018f3c2e-0000-7000-8000-0000000000{n:02}").parse().expect("an id")
    }

    #[test]
    fn whoever_stands_still_for_a_lease_is_gone_and_nobody_else() {
        let (mut watch, begin) = (Watch::default(), Instant::now());
        for step in 0..4_u32 {
            let now = begin + BEAT * step;
            assert_eq!(watch.gone(now), [], "at beat {step}");
            watch.note(vec![(server(1), 7), (server(2), i64::from(step))], now);
        }
        watch.note(vec![(server(1), 7), (server(2), 4)], begin + BEAT * 4);
        assert_eq!(watch.gone(begin + BEAT * 4), [(server(1), 7)]);
        watch.note(vec![(server(1), 8), (server(2), 9)], begin + BEAT * 5);
        assert_eq!(watch.gone(begin + BEAT * 5), [], "it beats again");
    }

    #[test]
    fn after_a_gap_of_ones_own_nothing_is_concluded() {
        let (mut watch, begin) = (Watch::default(), Instant::now());
        watch.note(vec![(server(1), 7)], begin);
        let later = begin + 10 * LEASE;
        watch.note(vec![(server(1), 7)], later);
        assert_eq!(watch.gone(later), [], "it may be about to beat");
        let beats = (1..=4).map(|step| later + BEAT * step);
        beats.for_each(|now| watch.note(vec![(server(1), 7)], now));
        assert_eq!(watch.gone(later + LEASE), [(server(1), 7)]);
    }

    #[test]
    fn only_what_changed_since_it_was_looked_is_news() {
        let workspace = "018f3c2e-0000-7000-8000-000000000001".parse().expect("an id");
        let boot = "018f3c2e-0000-7000-8000-000000000002".parse().expect("an id");
        let heard = |heard| vec![Relayed { workspace, boot, heard, troubled: false }];
        let mut hearsay = Hearsay::default();
        assert_eq!(hearsay.news(heard(3)), []);
        assert_eq!(hearsay.news(heard(3)), []);
        assert_eq!(hearsay.news(heard(4)), heard(4));
    }
}
