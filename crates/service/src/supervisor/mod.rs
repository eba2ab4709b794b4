//! The supervisor: brings what runs in line with what is wanted, one task a workspace.
//!
//! It is woken by commits, by agents and by the clock. A signal carries no data: whoever wakes reads its row, looks at its
//! run, asks [`portcullis_kernel::lifecycle::next`] and does the one thing it says. So there is one path for the happy
//! case and for recovery, and it may be killed anywhere: agents go on running, and the next start adopts them by identity.

mod bells;
mod launch;
mod lease;
mod runtimes;
mod unit;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_authority::{Authority, Refusal, RestlessUnit};
use portcullis_kernel::{
    id::{ServerId, WorkspaceId},
    lifecycle::{Desired, Timings},
    runtime::RuntimeKind,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{app::stops, live::Live, runtime::Places};
use bells::Bells;
use lease::{Hearsay, Lease, RELAY};
pub use runtimes::Runtimes;

/// Commits that come faster than this are looked at together.
const GATHER: Duration = Duration::from_millis(15);
/// How often everything is looked at, whether or not anything was heard.
const TICK: Duration = Duration::from_secs(5);
/// How often what runs here and is in no row is looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// How long a stopping supervisor waits for steps that have begun; agents themselves are not waited for.
const SETTLE: Duration = Duration::from_secs(5);
/// How long an engine may take to say who it is, before a run is noted as being at this server.
const PLACE: Duration = Duration::from_secs(2);

/// How agents are run.
#[derive(Clone)]
pub struct Settings {
    /// How long things may take.
    pub timings: Timings,
    /// Where agents reach this server; empty for the address it listens on.
    pub url: String,
    /// Directories and the program.
    pub places: Places,
    /// Which of the ranges of user ids is this organisation's, 0 to 4095.
    pub range: u32,
    /// Which server this is; the same after a restart.
    pub server: ServerId,
}

/// What every unit's task shares.
pub(crate) struct Shared {
    pub(crate) authority: Authority,
    pub(crate) live: Arc<Live>,
    pub(crate) runtimes: Arc<Runtimes>,
    pub(crate) settings: Settings,
    /// When this server began: what was not heard before cannot be counted against anybody.
    pub(crate) began: Instant,
    lease: Lease,
    bells: Arc<Bells>,
}

impl Shared {
    /// The name of this machine as a place where agents run.
    fn host(&self) -> String {
        format!("host/{}", self.settings.server)
    }

    /// Where agents of a kind run that are started from here.
    async fn place(&self, kind: RuntimeKind) -> String {
        match tokio::time::timeout(PLACE, self.runtimes.place(kind)).await {
            Ok(Some(place)) => place,
            // Only from here, as far as is known.
            Ok(None) | Err(_) => self.host(),
        }
    }

    /// The kinds of runtimes there are here, and the places that are reached.
    async fn reaches(&self, at_most: Duration) -> Vec<String> {
        let found = tokio::time::timeout(at_most, self.runtimes.reaches()).await.unwrap_or_default();
        std::iter::once(self.host()).chain(found).collect()
    }
}

fn complain(what: &str, refusal: &Refusal) {
    let detail = refusal.internal.as_deref().unwrap_or_default();
    tracing::warn!(code = %refusal.code, reason = %refusal.reason, detail, "{what}; it is tried again");
}

/// Two tasks: one supervises until the server stops, and leaves agents running; the other says that the server lives until
/// it has `ended`, so that nobody takes its agents while it stops in order.
pub(crate) fn start(
    authority: Authority,
    live: Arc<Live>,
    runtimes: Arc<Runtimes>,
    settings: Settings,
    stopping: watch::Receiver<bool>,
    ended: watch::Receiver<bool>,
) -> [JoinHandle<()>; 2] {
    let (lease, bells) = (Lease::default(), Arc::default());
    let shared = Arc::new(Shared { authority, live, runtimes, settings, began: Instant::now(), lease, bells });
    let keeping = lease::keep(Arc::clone(&shared), stopping.clone(), ended);
    [tokio::spawn(run(shared, stopping)), tokio::spawn(keeping)]
}

async fn run(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let mut hearsay = Hearsay::default();
    let mut units = JoinSet::new();
    // Beside the loop: ending what nobody knows takes as long as it takes, and no other agent waits for it.
    let (mut sweeps, mut swept) = (JoinSet::new(), None::<Instant>);
    let mut committed = shared.authority.committed();
    let (mut everything, mut looked) = (true, Instant::now());
    // What was wanted of each when it was last rung for: a debt that stands is no reason to look again at every commit.
    let mut rung: HashMap<WorkspaceId, String> = HashMap::new();
    loop {
        while let Some(ended) = sweeps.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "the search for agents that no row knows broke off; it is tried again");
            }
        }
        if shared.lease.has_lost() {
            swept = None;
        }
        if sweeps.is_empty() && swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            swept = Some(Instant::now());
            let shared = Arc::clone(&shared);
            sweeps.spawn(async move { sweep(&shared).await });
        }
        // What is committed from here on rings again.
        committed.mark_unchanged();
        if everything {
            match look(&shared, &mut hearsay).await {
                Ok(ids) => {
                    // Who is not among them any more has something to clear away.
                    shared.bells.ring_others(&ids);
                    looked = Instant::now();
                    // One that nothing happened to wakes by its own clock.
                    ids.into_iter().for_each(|id| wake(&shared, &mut units, id, &stopping, false));
                }
                Err(refusal) => complain("the units could not be looked at", &refusal),
            }
        }
        // Also when everything was looked at: a commit may have been what ended the wait.
        match shared.authority.restless().await {
            Ok(restless) => {
                let ours: Vec<_> = restless.units.into_iter().filter(|unit| unit.ours).collect();
                rung.retain(|id, _| ours.iter().any(|unit| unit.workspace == *id));
                for RestlessUnit { workspace: id, wanted, .. } in ours {
                    let ring = rung.insert(id, wanted.clone()) != Some(wanted);
                    wake(&shared, &mut units, id, &stopping, ring);
                }
            }
            Err(refusal) => complain("the units that wait for something could not be looked up", &refusal),
        }
        while units.try_join_next().is_some() {}
        tokio::select! {
            () = stops(&mut stopping) => break,
            changed = committed.changed() => if changed.is_err() { break },
            () = shared.lease.taken.notified() => looked = Instant::now().checked_sub(TICK).unwrap_or(looked),
            () = tokio::time::sleep(TICK) => {}
        }
        everything = looked.elapsed() >= TICK;
        tokio::time::sleep(GATHER).await;
    }
    let settled = async { while units.join_next().await.is_some() {} };
    if tokio::time::timeout(SETTLE, settled).await.is_err() {
        tracing::info!("some agents were being stopped or started; the next start goes on with them");
    }
}

/// Whoever is supervised here. External agents are shown by the clock alone.
async fn look(shared: &Arc<Shared>, hearsay: &mut Hearsay) -> Result<Vec<WorkspaceId>, Refusal> {
    if shared.authority.has_company() {
        for one in hearsay.news(shared.authority.relayed().await?) {
            shared.live.heard_elsewhere(one.workspace, one.boot, one.troubled);
            if one.troubled {
                shared.bells.ring(one.workspace);
            }
        }
    }
    for id in shared.authority.external_units().await? {
        // What is wrong with one must not keep the others from being looked at.
        if let Err(refusal) = unit::show_external(shared, id).await {
            complain("an agent that runs elsewhere could not be shown as it is", &refusal);
        }
    }
    shared.authority.units().await
}

fn wake(shared: &Arc<Shared>, units: &mut JoinSet<()>, id: WorkspaceId, stopping: &watch::Receiver<bool>, ring: bool) {
    let Some(bell) = shared.bells.hang(id, ring) else { return };
    let (shared, stopping) = (Arc::clone(shared), stopping.clone());
    units.spawn(async move { unit::supervise(&shared, id, bell.notify(), stopping).await });
}

/// Ends what runs here and is in no row: left by a crash between a removal and its stop, or by another database.
///
/// The units are listed first and the rows read after: a run is in its row before anything of it is here, so what is listed
/// and in no row then is not being started. What is started meanwhile is not in the list.
async fn sweep(shared: &Arc<Shared>) {
    let mut units = shared.runtimes.units().await;
    let known = match shared.authority.surviving().await {
        Ok(known) => known,
        Err(refusal) => return complain("the runs that have not ended could not be read", &refusal),
    };
    while let Some((kind, unit)) = units.pop() {
        if known.iter().any(|run| run.boot == unit.boot) {
            continue;
        }
        let state = shared.authority.unit(unit.workspace).await;
        let gone = state.is_ok_and(|state| state.is_none_or(|state| state.desired == Desired::Removed));
        let mut others = units.iter().map(|(_, other)| other.workspace).chain(known.iter().map(|run| run.workspace));
        let last = !others.any(|other| other == unit.workspace);
        shared.runtimes.end_orphan(kind, unit, gone.then_some(last), shared.settings.timings.grace_ms).await;
    }
}

/// Lets long polls and units know of commits, and takes back what was shown of replies whose turns ended. Runs with or without agents of our own.
pub(crate) async fn courier(authority: Authority, live: Arc<Live>, mut stopping: watch::Receiver<bool>) {
    let mut committed = authority.committed();
    let mut relayed = Instant::now();
    loop {
        committed.mark_unchanged();
        if authority.has_company() && relayed.elapsed() >= RELAY {
            let heard = live.heard_since(std::mem::replace(&mut relayed, Instant::now()));
            if let Err(refusal) = authority.relay(heard).await {
                complain("other servers could not be told of their agents", &refusal);
            }
        }
        match authority.restless().await {
            Ok(restless) => {
                let units = restless.units.into_iter().map(|unit| unit.workspace);
                restless.deliverable.into_iter().chain(units).for_each(|id| live.ring(id));
            }
            Err(refusal) => complain("waiting messages could not be looked up", &refusal),
        }
        let written = live.written_in();
        if !written.is_empty() {
            match authority.open_turns().await {
                Ok(open) => live.ended(written, &open),
                Err(refusal) => complain("the open turns could not be looked up", &refusal),
            }
        }
        tokio::select! {
            () = stops(&mut stopping) => return,
            changed = committed.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(TICK) => {}
        }
        tokio::time::sleep(GATHER).await;
    }
}
