//! What the supervisor asks of the authority: how a unit stands, and what has happened to it.
//!
//! Every function here is the platform's own doing, under the role `supervisor`, and leaves an event. A start is one
//! transaction: the release of the environment (a deed, judged and recorded), the token's verifier, the run. Only then is
//! anything started, so a crash at any point leaves either nothing or a run that the next pass finds.

use portcullis_kernel::{
    deed::EnvironmentRelease,
    id::{ApprovalId, BootId, CredentialId, WorkspaceId},
    lifecycle::{Desired, StopWhy},
    refusal::Code,
    runtime::{Runtime, RuntimeKind},
    scope::Scopes,
    secret::Environment,
    subject::{Principal, SystemRole},
    time::Timestamp,
    workspace::{Kind, Status},
};
use serde_json::{Value, json};

use crate::{
    actions::environment::{Bundle, content},
    authn,
    caller::CredentialKind,
    core::Core,
    db::Conn,
    gate::{self, Cx},
    keyring,
    permit::Writing,
    plaintext, question,
    refusal::{Answer, Fault, Refusal},
    restart_context,
    tables::{
        approvals, credentials, messages,
        runs::{self, End, Given, NewRun, RunRow},
        turns, units, workspaces,
    },
    vault::{self, PlainToken, TokenKind},
};

/// How a unit stands, as far as the rows know.
#[derive(Debug, Clone)]
pub struct UnitState {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub name: String,
    /// `platform` for the root.
    pub kind: Kind,
    /// This server supervises it.
    pub ours: bool,
    /// How it runs.
    pub runtime: Runtime,
    /// What it is shown to be.
    pub status: Status,
    /// Why.
    pub reason: String,
    /// What is wanted.
    pub desired: Desired,
    /// Raised by every change an agent must restart for.
    pub desired_generation: i64,
    /// Up to which a human let the root be restarted.
    pub apply_generation: i64,
    /// Whether a start now would give it something else.
    pub content_changed: bool,
    /// The secret files differ from those it has.
    pub files_changed: bool,
    /// A secret cannot be opened, so nothing can be given anew.
    pub unreadable: bool,
    /// The run that has not ended.
    pub live: Option<LiveRun>,
    /// Since when a turn is open.
    pub turn_since: Option<Timestamp>,
    /// When the last turn of the live run ended.
    pub turn_ended: Option<Timestamp>,
    /// Since when no message is delivered.
    pub drain_since: Option<Timestamp>,
    /// A human was asked about the turn, and has not answered.
    pub asked: Option<ApprovalId>,
    /// When runs of this generation ended by themselves.
    pub crashes: Vec<Timestamp>,
    /// Why it cannot be started with this generation.
    pub hopeless: Option<String>,
}

/// A run that has not ended.
#[derive(Debug, Clone)]
pub struct LiveRun {
    /// Its boot.
    pub boot: BootId,
    /// Where it runs.
    pub kind: RuntimeKind,
    /// The generation it was started for.
    pub generation: i64,
    /// When.
    pub started_at: Timestamp,
    /// It was heard.
    pub registered: bool,
    /// A human wants it stopped at once.
    pub forced: bool,
    /// It has written its hand-off note, or writes none.
    pub handed_off: bool,
}

/// Everything a runtime needs to start a run that is already recorded.
pub struct Launching {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Which run.
    pub boot: BootId,
    /// How.
    pub runtime: Runtime,
    /// The workspace's own number.
    pub slot: i64,
    /// Secrets and token.
    pub environment: Environment,
    /// The restart context, as JSON.
    pub context: String,
}

/// Files a run was given while it ran, to be noted once they are in their place.
pub struct FilesGiven {
    token: String,
    versions: String,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// It ended by itself, or never came up; counted by the back-off.
    pub crash: bool,
    /// It cannot be started, however often it is tried.
    pub hopeless: bool,
    /// One word.
    pub cause: String,
    /// Exit code.
    pub code: Option<i32>,
    /// Signal.
    pub signal: Option<i32>,
    /// In words.
    pub detail: Option<String>,
}

impl Ended {
    /// It was stopped.
    pub fn stopped(why: StopWhy, code: Option<i32>, signal: Option<i32>) -> Self {
        Self { crash: why.is_crash(), hopeless: false, cause: why.as_str().to_owned(), code, signal, detail: None }
    }

    /// It runs where no server reaches it any more, if it runs at all.
    pub(crate) fn unreachable(place: &str) -> Self {
        let detail = format!("the server that reached it is gone; it ran at {place}");
        Self {
            crash: false,
            hopeless: false,
            cause: "unreachable".into(),
            code: None,
            signal: None,
            detail: Some(detail),
        }
    }

    pub(crate) fn replaced() -> Self {
        Self { crash: false, hopeless: false, cause: "replaced".into(), code: None, signal: None, detail: None }
    }
}

fn event(cx: &Cx<'_>, name: &str, workspace: WorkspaceId, detail: Value) -> portcullis_kernel::audit::Event {
    let mut event = authn::system_event(cx, name, "reconcile");
    event.subject_id = SystemRole::Supervisor.as_str().to_owned();
    event.target_kind = "workspace".to_owned();
    event.target_id = workspace.to_string();
    event.workspace_id = Some(workspace.to_string());
    event.detail = detail.to_string();
    event
}

pub(crate) fn record(cx: &mut Cx<'_>, name: &str, workspace: WorkspaceId, detail: Value) -> Result<i64, Refusal> {
    let mut event = event(cx, name, workspace, detail);
    Ok(cx.record(&mut event)?)
}

/// Token over what a workspace's agent should have been given now.
pub(crate) fn bundle_version(conn: &mut Conn, core: &Core, workspace: WorkspaceId) -> Result<String, Refusal> {
    match content(conn, core, workspace) {
        Ok(bundle) => Ok(bundle.version),
        // An agent that works goes on working; its next start is what fails, with the key named.
        Err(Fault::Refused(_)) => Ok("unreadable".to_owned()),
        Err(Fault::Failed(text)) => Err(Refusal::new(Code::StoreUnavailable).internal(text)),
    }
}

/// For readers only: what another server sealed with a key that it has made a moment ago opens as well.
fn fresh_content(conn: &mut Conn, core: &Core, workspace: WorkspaceId) -> Result<Bundle, Fault> {
    match content(conn, core, workspace) {
        Err(Fault::Refused(_)) if keyring::refresh(conn, core).is_ok_and(|fresh| fresh) => {
            content(conn, core, workspace)
        }
        found => found,
    }
}

/// How a unit stands. `None` when there is no such workspace or nothing to supervise.
pub(crate) fn state(conn: &mut Conn, core: &Core, workspace: WorkspaceId) -> Result<Option<UnitState>, Refusal> {
    let Some(row) = workspaces::find_any(conn, workspace)? else { return Ok(None) };
    let live = runs::live(conn, workspace)?;
    let runtime = row.runtime.clone().unwrap_or_else(Runtime::external);
    let turn = turns::running(conn, workspace)?;
    let (mut content_changed, mut files_changed, mut unreadable) = (false, false, false);
    if let Some(run) = live.as_ref().filter(|run| run.kind.is_managed() && run.generation < row.desired_generation) {
        let asked = units::restart_asked(conn, workspace, run.generation, row.desired_generation)?;
        match fresh_content(conn, core, workspace) {
            Ok(now) => {
                let spec = workspaces::runtime_text(&runtime)?;
                files_changed = now.files_token != run.files_token;
                // Where files cannot be replaced, another file is another start.
                let anew = now.variables_token != run.variables_token || (files_changed && !run.kind.replaces_files());
                content_changed = asked || anew || spec != run.spec;
            }
            // It cannot be started anew as things are; what runs goes on running, and the debt is shown.
            Err(Fault::Refused(_)) => unreadable = true,
            Err(Fault::Failed(text)) => {
                return Err(Refusal::new(Code::StoreUnavailable).internal(text));
            }
        }
    }
    let hopeless = runs::list(conn, workspace, 1)?
        .into_iter()
        .find(|run| !run.live && run.hopeless && run.generation >= row.desired_generation)
        .map(|run| run.detail.unwrap_or_else(|| "it cannot be started".to_owned()));
    let turn_ended = live.as_ref().map_or(Ok(None), |run| turns::last_ended(conn, run.boot))?;
    let asked = match row.asked {
        Some(id) => {
            approvals::find(conn, id)?.filter(|found| found.state == portcullis_kernel::approval::State::Pending)
        }
        None => None,
    };
    let crashes = runs::crashes(conn, workspace)?;
    Ok(Some(UnitState {
        workspace,
        name: row.name,
        kind: row.kind,
        ours: crate::ownership::ours(conn, core, workspace)?,
        runtime,
        status: row.status,
        reason: row.status_reason,
        desired: row.desired,
        desired_generation: row.desired_generation,
        apply_generation: row.apply_generation,
        content_changed,
        files_changed,
        unreadable,
        turn_since: turn.map(|turn| turn.started_at),
        turn_ended,
        drain_since: row.drain_since,
        asked: asked.map(|found| found.id),
        crashes,
        hopeless,
        live: live.map(|run| LiveRun {
            forced: row.force_boot.as_deref() == Some(run.boot.to_string().as_str()),
            boot: run.boot,
            kind: run.kind,
            generation: run.generation,
            started_at: run.started_at,
            registered: run.registered_at.is_some(),
            handed_off: !run.wants_handoff || run.handoff.is_some(),
        }),
    }))
}

/// Records a run, releases its environment and mints its token, all in one transaction. Whoever starts it comes after.
pub(crate) fn begin(
    cx: &mut Cx<'_>,
    workspace: WorkspaceId,
    place: &str,
) -> Result<Result<Launching, Refusal>, Refusal> {
    let conflict = |reason: &str| Ok(Err(Refusal::because(Code::Conflict, reason)));
    let Some(row) = workspaces::find(cx.conn, workspace)? else { return conflict("the workspace is gone") };
    if row.desired != Desired::Running {
        return conflict("the workspace is not to run");
    }
    let Some(runtime) = row.runtime.clone().filter(|runtime| runtime.kind.is_managed()) else {
        return conflict("its agent runs elsewhere");
    };
    match runs::live(cx.conn, workspace)? {
        None => {}
        // It ran elsewhere until now; from here on it is ours.
        Some(old) if !old.kind.is_managed() => end_run(cx, &old, &Ended::replaced())?,
        Some(_) => return conflict("a run has not ended yet"),
    }
    let supervisor = authn::system(cx.core, SystemRole::Supervisor);
    let bundle = match gate::run(cx, &supervisor, EnvironmentRelease { workspace }, ())? {
        Ok(Answer::Done(done)) => done.value,
        Ok(Answer::Held(_) | Answer::Plan(_)) => return conflict("the release was held by a policy"),
        Err(refusal) => return Ok(Err(refusal)),
    };
    let previous = runs::list(cx.conn, workspace, 1)?.pop();
    let reason = match previous.as_ref().map(|run| (run.crash, run.cause.as_deref().unwrap_or_default())) {
        None => "first_start",
        Some((true, _)) => "crash",
        Some((false, "restart")) => "change",
        Some((false, "pause")) => "resume",
        Some((false, "forced")) => "forced_stop",
        Some((false, "unreachable")) => "server_lost",
        Some((false, _)) => "start",
    };
    let versions = bundle.versions();
    let context = restart_context::context(cx.conn, cx.now, &row, Some(&versions), reason)?;
    let boot = BootId::from_uuid(vault::uuid_v7(cx.now.0));
    let kind = runtime.kind;
    let detail = json!({"boot_id": boot, "generation": row.desired_generation, "reason": reason, "kind": kind});
    let because = record(cx, "run.start", workspace, detail)?;
    let token = PlainToken::generate(TokenKind::Workspace);
    let credential = CredentialId::from_uuid(vault::uuid_v7(cx.now.0));
    let slot = units::slot(cx.conn, workspace)?;
    let by = Principal::System(SystemRole::Supervisor).to_string();
    let mut writing = Writing::new(cx, because, by, None);
    credentials::insert(
        &mut writing,
        &credentials::NewCredential {
            id: credential,
            kind: CredentialKind::Workspace,
            hash: token.hash().0.as_slice(),
            hint: &token.hint(),
            name: credentials::BOOT,
            principal: Principal::Agent(workspace),
            ancestors: &[],
            workspace: Some(workspace),
            scopes: &Scopes::workspace(),
            unattended: false,
            // It ends with its run, not by time: an agent must not die of age in the middle of a turn.
            expires_at: i64::MAX,
            idle_ms: None,
            payload: None,
        },
    )?;
    runs::insert(
        &mut writing,
        &NewRun {
            boot,
            workspace,
            generation: row.desired_generation,
            kind,
            credential,
            spec: &workspaces::runtime_text(&runtime)?,
            variables_token: &bundle.variables_token,
            files_token: &bundle.files_token,
            versions: &versions,
            context: &context,
            why: reason,
            place: Some(place),
        },
    )?;
    units::set_drain(cx.conn, workspace, None)?;
    show(cx, workspace, Status::Provisioning, "")?;
    crate::failpoint::hit("run.after_begin");
    let token = plaintext::token_value(&token).map_err(|error| Refusal::new(Code::Internal).internal(error))?;
    let environment = bundle.into_environment(Some(token));
    Ok(Ok(Launching { workspace, boot, runtime, slot, environment, context }))
}

/// Records that a run ended: the token of its boot dies, and its open turn is lost. The turn's message is not delivered again; its
/// sender is told.
pub(crate) fn ended(cx: &mut Cx<'_>, boot: BootId, how: &Ended) -> Result<(), Refusal> {
    match runs::find(cx.conn, boot)? {
        Some(run) if run.live => end_run(cx, &run, how),
        _ => Ok(()),
    }
}

pub(crate) fn end_run(cx: &mut Cx<'_>, run: &RunRow, how: &Ended) -> Result<(), Refusal> {
    let now = cx.now.0;
    let end = End {
        crash: how.crash,
        hopeless: how.hopeless,
        cause: &how.cause,
        code: how.code.map(i64::from),
        signal: how.signal.map(i64::from),
        detail: how.detail.as_deref(),
    };
    if !runs::end(cx.conn, run.boot, &end, now)? {
        return Ok(());
    }
    // The token of a boot dies with it. One that an agent elsewhere brought was given by a human, and is not ours to end:
    // it only does not speak for the workspace any more.
    if run.kind.is_managed() {
        credentials::revoke_tree(cx.conn, run.credential, credentials::BOOT_ENDED, now)?;
    }
    let lost = turns::running(cx.conn, run.workspace)?.filter(|turn| turn.boot == run.boot);
    if let Some(turn) = &lost {
        turns::end(cx.conn, turn.id, "lost", now)?;
        let error =
            format!("the agent ended in the middle of its turn ({}); the message is not delivered again", how.cause);
        messages::end(cx.conn, turn.message, "failed", None, Some(&error), now)?;
    }
    units::set_drain(cx.conn, run.workspace, None)?;
    question::settle(cx, run.workspace)?;
    let detail = json!({
        "boot_id": run.boot, "cause": how.cause, "exit_code": how.code, "exit_signal": how.signal, "detail": how.detail,
        "crash": how.crash, "lost_turn": lost.as_ref().map(|turn| turn.id),
    });
    record(cx, "run.end", run.workspace, detail)?;
    // Until something is decided about it, it is what its end made it.
    let goes_on = workspaces::find(cx.conn, run.workspace)?.is_some_and(|row| row.desired == Desired::Running);
    if how.crash {
        show(cx, run.workspace, Status::Offline, "its agent ended by itself")?;
    } else if goes_on {
        show(cx, run.workspace, Status::Restarting, "")?;
    }
    crate::failpoint::hit("run.after_end");
    Ok(())
}

/// Shows what a unit is seen to be. Records only what changes.
pub(crate) fn show(cx: &mut Cx<'_>, workspace: WorkspaceId, status: Status, reason: &str) -> Result<(), Refusal> {
    let Some(row) = workspaces::find(cx.conn, workspace)? else { return Ok(()) };
    if row.status != status && !row.status.may_become(status) {
        // The table says what can follow what; a pass that wants something else has misread the unit.
        let text = format!("{workspace}: {} does not become {}", row.status.as_str(), status.as_str());
        return Err(Refusal::new(Code::Internal).internal(text));
    }
    if units::set_status(cx.conn, workspace, status, reason, cx.now.0)? {
        record(cx, "workspace.status", workspace, json!({"status": status, "reason": reason}))?;
    }
    Ok(())
}

/// Stops the delivery of messages. From the commit on no turn begins.
pub(crate) fn drain(cx: &mut Cx<'_>, workspace: WorkspaceId) -> Result<(), Refusal> {
    let Some(row) = workspaces::find_any(cx.conn, workspace)?.filter(|row| row.drain_since.is_none()) else {
        return Ok(());
    };
    let now = cx.now;
    units::set_drain(cx.conn, row.id, Some(now))?;
    show(cx, row.id, Status::Draining, "")?;
    record(cx, "workspace.drain", workspace, json!({"generation": row.desired_generation}))?;
    crate::failpoint::hit("run.after_drain");
    Ok(())
}

/// Delivers messages again.
pub(crate) fn undrain(cx: &mut Cx<'_>, workspace: WorkspaceId) -> Result<(), Refusal> {
    units::set_drain(cx.conn, workspace, None)?;
    question::settle(cx, workspace)?;
    record(cx, "workspace.undrain", workspace, json!({}))?;
    Ok(())
}

/// The live run has what is wanted, without a restart.
pub(crate) fn observe(
    cx: &mut Cx<'_>,
    boot: BootId,
    generation: i64,
    files: Option<&FilesGiven>,
) -> Result<(), Refusal> {
    let Some(run) = runs::find(cx.conn, boot)?.filter(|run| run.live && run.generation < generation) else {
        return Ok(());
    };
    if let Some(FilesGiven { token, versions }) = files {
        let given = Given {
            variables_token: &run.variables_token,
            files_token: token,
            versions,
            pulled_at: None,
            lease_expires_at: None,
        };
        runs::give(cx.conn, boot, &given)?;
    }
    runs::observe(cx.conn, boot, generation)?;
    units::observe(cx.conn, run.workspace, generation)?;
    record(cx, "run.observed", run.workspace, json!({"boot_id": boot, "generation": generation, "restarted": false}))?;
    Ok(())
}

/// Releases the files of a run anew, because they can be replaced while it runs.
/// What it has is noted by [`observe`], once the files are there: a server that dies in between puts them again.
pub(crate) fn release_files(
    cx: &mut Cx<'_>,
    boot: BootId,
) -> Result<Result<(Environment, FilesGiven), Refusal>, Refusal> {
    let Some(run) = runs::find(cx.conn, boot)?.filter(|run| run.live) else {
        return Ok(Err(Refusal::because(Code::Conflict, "the run has ended")));
    };
    let supervisor = authn::system(cx.core, SystemRole::Supervisor);
    let bundle = match gate::run(cx, &supervisor, EnvironmentRelease { workspace: run.workspace }, ())? {
        Ok(Answer::Done(done)) => done.value,
        Ok(Answer::Held(_) | Answer::Plan(_)) => {
            return Ok(Err(Refusal::because(Code::Conflict, "the release was held by a policy")));
        }
        Err(refusal) => return Ok(Err(refusal)),
    };
    let versions = restart_context::merged(&run.versions, &bundle.versions());
    let given = FilesGiven { token: bundle.files_token.clone(), versions };
    let mut environment = bundle.into_environment(None);
    environment.variables.clear();
    Ok(Ok((environment, given)))
}
