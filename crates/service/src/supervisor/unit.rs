//! One unit: read, look, decide, do one thing, again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_authority::{Ended, LiveRun, Refusal, UnitState};
use portcullis_kernel::{
    id::WorkspaceId,
    lifecycle::{self, Desired, Live as LiveView, Seen, Step, StopWhy, View},
    refusal::Code,
    time::Timestamp,
    workspace::Status,
};
use tokio::sync::{Notify, watch};

use super::{Shared, complain, launch};
use crate::{
    app::stops,
    runtime::{Exit, ExitCause, RuntimeFault, Sight, Unit},
};

/// After something that should have worked did not.
const RETRY: Duration = Duration::from_secs(1);
/// How long a unit is left alone at most.
const REST: Duration = Duration::from_secs(30);
/// How long nothing is tried again that was refused, unless something changes, in milliseconds.
const REFUSED_MS: i64 = 60_000;

/// How soon a server looks again whether its lease holds, in milliseconds.
const LEASELESS_MS: i64 = 250;
/// Ended runs of one workspace whose logs are kept.
const LOGS_KEPT: usize = 3;

/// Recorded, and never started: the server died in between. Nothing is counted against the agent.
const NEVER_STARTED: &str = "never_started";

/// What a unit's task remembers between passes. Nothing is lost with it.
struct Memory {
    /// Since when this server watches: what was not heard before cannot be counted against the agent.
    adopted: Instant,
    /// A start that was refused for this generation is not tried before then: each try leaves an event.
    refused: Option<(i64, Timestamp)>,
    /// What a human was asked for this generation is not asked again before then.
    asked: Option<(i64, Timestamp)>,
}

impl Memory {
    /// Until when nothing may be done about a step.
    fn rests(&self, step: &Step, generation: i64, now: Timestamp) -> Option<Timestamp> {
        let memory = match step {
            Step::Start => self.refused,
            Step::Ask => self.asked,
            Step::Wait { .. } | Step::Drain | Step::Undrain | Step::Stop { .. } | Step::Observe => None,
        };
        memory.filter(|(of, until)| *of == generation && now < *until).map(|(_, until)| until)
    }
}

/// What a pass ended with.
enum Pass {
    /// Look again at once.
    Again,
    /// Nothing to do until something changes, or until then.
    Rest(Option<Timestamp>, Option<(LiveRun, Unit)>),
    /// There is nothing left to supervise.
    Over,
    /// Another server supervises it.
    Elsewhere,
}

/// Supervises one workspace until it is gone or the server stops.
pub(super) async fn supervise(
    shared: &Arc<Shared>,
    id: WorkspaceId,
    bell: &Notify,
    mut stopping: watch::Receiver<bool>,
) {
    let mut memory = Memory { adopted: Instant::now(), refused: None, asked: None };
    let mut failures = 0_u32;
    loop {
        if *stopping.borrow() {
            return;
        }
        let passed = pass(shared, id, &mut memory).await;
        failures = if passed.is_ok() { 0 } else { failures.saturating_add(1) };
        match passed {
            Ok(Pass::Again) => {}
            Ok(Pass::Over) => return shared.live.forget(id),
            Ok(Pass::Elsewhere) => return shared.lease.lose(),
            Ok(Pass::Rest(until, running)) => {
                let now = shared.authority.now();
                let rest = until.map_or(REST, |until| Duration::from_millis(until.since_ms(now).max(0).unsigned_abs()));
                let ended = async {
                    match running {
                        Some((run, unit)) => drop(shared.runtimes.wait(run.kind, unit, rest.min(REST)).await),
                        None => tokio::time::sleep(rest.min(REST)).await,
                    }
                };
                tokio::select! {
                    () = stops(&mut stopping) => return,
                    () = bell.notified() => {}
                    () = ended => {}
                }
            }
            Err(refusal) => {
                complain("a unit could not be brought in line", &refusal);
                tokio::select! {
                    () = stops(&mut stopping) => return,
                    // What it tried may have left an event: not every second for as long as it fails.
                    () = tokio::time::sleep((RETRY * 2_u32.saturating_pow(failures.min(6) - 1)).min(REST)) => {}
                }
            }
        }
    }
}

async fn pass(shared: &Arc<Shared>, id: WorkspaceId, memory: &mut Memory) -> Result<Pass, Refusal> {
    if !shared.lease.holds() {
        // Somebody else may be about to take it: nothing is touched until that is known.
        return Ok(Pass::Rest(Some(shared.authority.now().plus_ms(LEASELESS_MS)), None));
    }
    let Some(state) = shared.authority.unit(id).await? else { return Ok(Pass::Over) };
    if !state.ours {
        return Ok(Pass::Elsewhere);
    }
    let live = state.live.clone().filter(|run| run.kind.is_managed());
    if live.is_none() && (state.desired == Desired::Removed || !state.runtime.kind.is_managed()) {
        // Whether or not it ran when it was removed, or moved elsewhere.
        // What it works on stays, unless it is gone for good.
        forget(shared, id, 0, state.desired == Desired::Removed).await?;
        return Ok(Pass::Over);
    }
    let unit = live.as_ref().map(|run| Unit { workspace: id, boot: run.boot });
    let mut seen = Seen::Running;
    if let (Some(run), Some(unit)) = (&live, unit) {
        match shared.runtimes.look(run.kind, unit).await {
            Sight::Running => {}
            Sight::Unknown(why) => {
                tracing::warn!(workspace = %id, boot = %run.boot, why, "a runtime does not say whether an agent runs");
                seen = Seen::Unknown;
            }
            Sight::Exited(exit) => {
                shared.authority.end_run(run.boot, by_itself(&exit, state.desired)).await?;
                return Ok(Pass::Again);
            }
            Sight::Absent => {
                shared.authority.end_run(run.boot, plain(NEVER_STARTED)).await?;
                return Ok(Pass::Again);
            }
        }
    }
    let now = shared.authority.now();
    let pulse = shared.live.pulse(id).filter(|pulse| live.as_ref().is_some_and(|run| run.boot == pulse.boot));
    let view = View {
        kind: state.kind,
        desired: state.desired,
        desired_generation: state.desired_generation,
        apply_generation: state.apply_generation,
        content_changed: state.content_changed,
        unreadable: state.unreadable,
        live: live.as_ref().map(|run| LiveView {
            generation: run.generation,
            started_at: run.started_at,
            registered: run.registered,
            heard_at: ago(now, pulse.map_or(memory.adopted, |pulse| pulse.heard).max(memory.adopted))
                .max(run.started_at),
            troubled: pulse.is_some_and(|pulse| pulse.troubled),
            seen,
            forced: run.forced,
            handed_off: run.handed_off,
        }),
        turn_since: state.turn_since,
        turn_ended: state.turn_ended,
        drain_since: state.drain_since,
        asked: state.asked.is_some(),
        crashes: &state.crashes,
        hopeless: state.hopeless.as_deref(),
    };
    let step = lifecycle::next(&view, now, &shared.settings.timings);
    if let Some(until) = memory.rests(&step, state.desired_generation, now) {
        return Ok(Pass::Rest(Some(until), live.zip(unit)));
    }
    act(shared, &state, live, unit, step, memory).await
}

async fn act(
    shared: &Arc<Shared>,
    state: &UnitState,
    live: Option<LiveRun>,
    unit: Option<Unit>,
    step: Step,
    memory: &mut Memory,
) -> Result<Pass, Refusal> {
    let (authority, id) = (&shared.authority, state.workspace);
    let now = authority.now();
    match (step, live, unit) {
        (Step::Wait { status, reason, until }, live, unit) => {
            if status == Status::Online && state.asked.is_some() {
                authority.settle_question(id).await?;
            }
            if state.status != status || state.reason != reason {
                authority.show_unit(id, status, reason).await?;
            }
            if status == Status::Removed {
                return Ok(Pass::Over);
            }
            return Ok(Pass::Rest(until, live.zip(unit)));
        }
        (Step::Start, None, _) => return start(shared, state, memory).await,
        (Step::Drain, ..) => authority.drain_unit(id).await?,
        (Step::Undrain, ..) => authority.undrain_unit(id).await?,
        (Step::Observe, Some(run), Some(unit)) => {
            let mut given = None;
            if state.files_changed {
                let (files, noted) = authority.release_files(run.boot).await?;
                portcullis_authority::failpoint::hit("unit.before_put");
                let put = shared.runtimes.put_files(run.kind, unit, files).await;
                put.map_err(|fault| internal(&fault))?;
                given = Some(noted);
            }
            authority.observe_run(run.boot, state.desired_generation, given).await?;
        }
        (Step::Ask, ..) => {
            let minutes = state.turn_since.map(|since| now.since_ms(since) / 60_000);
            authority.ask_about(id, minutes).await?;
            // A policy may forbid the question, and a human may say no: it must not be asked without end.
            let rest = shared.settings.timings.drain_ms.max(REFUSED_MS);
            memory.asked = Some((state.desired_generation, now.plus_ms(rest)));
        }
        (Step::Stop { why }, Some(run), Some(unit)) => stop(shared, &run, unit, why).await?,
        // Nothing to stop, or nothing to observe: the rows moved on since they were read.
        (Step::Start | Step::Observe | Step::Stop { .. }, ..) => {}
    }
    Ok(Pass::Again)
}

async fn start(shared: &Arc<Shared>, state: &UnitState, memory: &mut Memory) -> Result<Pass, Refusal> {
    let (id, now) = (state.workspace, shared.authority.now());
    let place = shared.place(state.runtime.kind).await;
    let run = match shared.authority.begin_run(id, place).await {
        Ok(run) => run,
        // The rows moved on since they were read.
        Err(refusal) if refusal.code == Code::Conflict => return Ok(Pass::Rest(Some(now.plus_ms(1_000)), None)),
        Err(refusal) => {
            // A bundle that does not open, a policy that refuses: it is shown, and tried again when something changes, or
            // in a while, but not every second: each time leaves an event.
            let words = format!("its environment is not released: {}", refusal.reason);
            shared.authority.show_unit(id, Status::Failed, words).await?;
            complain("an agent could not be started", &refusal);
            memory.refused = Some((state.desired_generation, now.plus_ms(REFUSED_MS)));
            return Ok(Pass::Again);
        }
    };
    let (boot, kind) = (run.boot, run.runtime.kind);
    portcullis_authority::failpoint::hit("unit.before_start");
    if !shared.lease.holds() {
        // Not started: whoever supervises it says so, and has done with it.
        return Ok(Pass::Again);
    }
    let started = shared.runtimes.start(kind, launch::launch(run, &shared.settings)).await;
    portcullis_authority::failpoint::hit("unit.after_start");
    if let Err(fault) = started {
        let hopeless = matches!(fault, RuntimeFault::Permanent(_));
        let how = Ended { crash: true, hopeless, detail: Some(fault.to_string()), ..plain("start_failed") };
        shared.authority.end_run(boot, how).await?;
    }
    forget(shared, id, LOGS_KEPT, false).await?;
    Ok(Pass::Again)
}

async fn stop(shared: &Arc<Shared>, run: &LiveRun, unit: Unit, why: StopWhy) -> Result<(), Refusal> {
    if !shared.lease.holds() {
        return Ok(());
    }
    let grace = Duration::from_millis(shared.settings.timings.grace_ms.unsigned_abs());
    let exit = shared.runtimes.stop(run.kind, unit, grace).await.map_err(|fault| internal(&fault))?;
    portcullis_authority::failpoint::hit("unit.after_stop");
    shared.authority.end_run(run.boot, Ended::stopped(why, exit.code, exit.signal)).await
}

/// Removes what ended runs left here, but of the newest; and with `whole` everything else of the workspace.
async fn forget(shared: &Arc<Shared>, id: WorkspaceId, keep: usize, whole: bool) -> Result<(), Refusal> {
    let ended = shared.authority.ended_runs(id, keep).await?.into_iter();
    let mut ended = ended.filter(|run| run.kind.is_managed()).peekable();
    while let Some(run) = ended.next() {
        let unit = Unit { workspace: id, boot: run.boot };
        let last = whole && ended.peek().is_none();
        if let Err(fault) = shared.runtimes.forget(run.kind, unit, last).await {
            // The next start of the server finds it and tries again.
            tracing::warn!(workspace = %id, boot = %run.boot, %fault, "what an ended agent left could not be removed");
        }
    }
    Ok(())
}

/// The time of now, less what has passed since: intervals are measured by a clock that does not jump.
fn ago(now: Timestamp, since: Instant) -> Timestamp {
    now.plus_ms(-i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX))
}

fn internal(fault: &RuntimeFault) -> Refusal {
    let mut refusal = Refusal::new(Code::Internal);
    refusal.internal = Some(fault.to_string());
    refusal
}

fn plain(cause: &str) -> Ended {
    Ended { crash: false, hopeless: false, cause: cause.to_owned(), code: None, signal: None, detail: None }
}

/// An end nobody asked for.
fn by_itself(exit: &Exit, desired: Desired) -> Ended {
    let asked = match desired {
        Desired::Running => "restart",
        Desired::Paused => "pause",
        Desired::Removed => "remove",
    };
    let (cause, hopeless, detail) = match &exit.cause {
        ExitCause::Itself => ("exited", false, None),
        // It was asked to stop by a server that died before it had noted so: not the agent's failure.
        ExitCause::Stopped => return Ended { code: exit.code, signal: exit.signal, ..plain(asked) },
        ExitCause::Killed => return Ended { code: exit.code, signal: exit.signal, ..plain(asked) },
        ExitCause::OutOfMemory => ("out_of_memory", false, Some("it used more memory than it was given".to_owned())),
        ExitCause::StartFailed { why, for_good } => ("start_failed", *for_good, Some(why.clone())),
        ExitCause::NeverStarted => return plain(NEVER_STARTED),
        ExitCause::Lost => ("lost", false, Some("its shim or engine lost it".to_owned())),
    };
    Ended { crash: true, hopeless, detail, code: exit.code, signal: exit.signal, ..plain(cause) }
}

/// Shows what an agent that runs elsewhere is, by when it was last heard.
pub(super) async fn show_external(shared: &Arc<Shared>, id: WorkspaceId) -> Result<(), Refusal> {
    let Some(state) = shared.authority.unit(id).await? else { return Ok(()) };
    let Some(run) = &state.live else { return Ok(()) };
    let now = shared.authority.now();
    let heard = shared.live.pulse(id).filter(|pulse| pulse.boot == run.boot).map(|pulse| pulse.heard);
    // After a restart of the server it has as long as a new one to be heard again.
    let heard = Some(ago(now, heard.unwrap_or(shared.began)).max(run.started_at));
    let step = lifecycle::external(state.desired, heard, now, &shared.settings.timings);
    if let Step::Wait { status, reason, .. } = step
        && (state.status != status || state.reason != reason)
    {
        shared.authority.show_unit(id, status, reason).await?;
    }
    Ok(())
}
