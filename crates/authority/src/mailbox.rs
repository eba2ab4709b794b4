//! What an agent does with the platform while it runs: register, take a message, end a turn, hand off, pull its bundle.
//!
//! None of these is a deed: an agent needs no permission to do the work it was given. Each asks for the credential of the
//! run, so that a stale or doubled process has no power, and each leaves an event. Taking a message *is* the start of a
//! turn; both are one row in one transaction, so there is no message that was taken and has no turn.

use portcullis_kernel::{
    id::{MessageId, TurnId, WorkspaceId},
    lifecycle::Desired,
    operator::Role,
    refusal::Code,
    runtime::{Runtime, RuntimeKind},
    scope::Scope,
    subject::{Principal, Standing},
    time::Timestamp,
    workspace::Status,
};
use serde_json::json;

use crate::{
    actions::environment::Bundle,
    authn,
    caller::{Caller, CredentialKind},
    db::Conn,
    facts,
    gate::Cx,
    permit::Writing,
    refusal::{Fault, Refusal},
    tables::{
        credentials,
        messages::{self, MessageRow, NewMessage},
        runs::{self, Given, NewRun, RunRow},
        turns::{self, TurnRow},
        units,
        workspaces::{self, WorkspaceRow},
    },
    vault,
    views::need,
};

/// Longest hand-off note, in bytes.
pub const HANDOFF_BYTES_MAX: usize = 16 * 1024;
/// Most words of one agent to the people, outside its replies, in an hour.
pub const NOTIFY_PER_HOUR_MAX: i64 = 500;
const HOUR_MS: i64 = 60 * 60 * 1000;
/// Largest agent card, in bytes.
pub const CARD_BYTES_MAX: usize = 64 * 1024;

/// A turn that was handed to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// The turn.
    pub turn: TurnId,
    /// The message.
    pub message: MessageId,
    /// The sender's own id of it.
    pub message_id: String,
    /// From whom.
    pub from: Principal,
    /// The sender's name.
    pub from_name: String,
    /// The text.
    pub text: String,
    /// The conversation.
    pub context_id: Option<String>,
    /// When it was sent, RFC 3339.
    pub sent_at: String,
}

/// What an agent is told when it asks for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Work.
    pub turn: Option<Handed>,
    /// Take no more work; a stop follows.
    pub drain: bool,
    /// Why.
    pub drain_reason: Option<&'static str>,
    /// What the workspace is.
    pub status: Status,
    /// What is wanted of it.
    pub desired: Desired,
    /// Token over what the agent should have been given.
    pub bundle_version: String,
    /// Until when the bundle of an agent elsewhere counts as fresh.
    pub lease_expires_at: Option<String>,
    /// It has left its hand-off note, or leaves none.
    pub handed_off: bool,
    /// It has not been heard yet.
    pub unregistered: bool,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnEnd {
    /// With a reply.
    Completed,
    /// With an error.
    Failed,
}

/// Whoever works for a workspace is its agent, by a credential that was given its conversations: a token for something
/// narrower does not become the agent.
fn own(caller: &Caller, workspace: WorkspaceId) -> Result<(), Refusal> {
    match caller.principal() {
        Principal::Agent(home) if home == workspace => need(caller, Scope::Messages),
        Principal::Agent(_) => Err(Refusal::new(Code::NotFound)),
        Principal::Operator(_) | Principal::Service(_) | Principal::System(_) => {
            Err(Refusal::because(Code::NotEntitled, "only the workspace's own agent takes its work"))
        }
    }
}

/// The run this credential belongs to, as long as it lives.
fn boot(conn: &mut Conn, caller: &Caller, workspace: WorkspaceId) -> Result<RunRow, Refusal> {
    own(caller, workspace)?;
    let run = runs::live(conn, workspace)?.filter(|run| Some(run.credential) == caller.credential);
    run.ok_or_else(|| Refusal::new(Code::NotRegistered))
}

fn require(conn: &mut Conn, workspace: WorkspaceId) -> Result<WorkspaceRow, Refusal> {
    workspaces::find(conn, workspace)?.ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))
}

/// Appends an event about something an agent did in its workspace.
fn record(
    cx: &mut Cx<'_>,
    caller: &Caller,
    workspace: WorkspaceId,
    name: &str,
    detail: serde_json::Value,
) -> Result<i64, Refusal> {
    let mut event = authn::system_event(cx, name, "own_workspace");
    event.subject_kind = caller.principal().kind().to_owned();
    event.subject_id = caller.principal().id();
    event.lineage = crate::tables::credentials::ids_text(&caller.subject.lineage.0);
    event.target_kind = "workspace".to_owned();
    event.target_id = workspace.to_string();
    event.workspace_id = Some(workspace.to_string());
    event.detail = detail.to_string();
    Ok(cx.record(&mut event)?)
}

/// Notes that a run was heard for the first time: its agent is up.
fn came_up(cx: &mut Cx<'_>, caller: &Caller, run: &RunRow) -> Result<(), Refusal> {
    if runs::registered(cx.conn, run.boot, cx.now.0)? {
        record(cx, caller, run.workspace, "run.registered", json!({"boot_id": run.boot}))?;
        units::observe(cx.conn, run.workspace, run.generation)?;
        let row = workspaces::find(cx.conn, run.workspace)?;
        // One that drains, or is to pause, is shown as that.
        if row.is_some_and(|row| row.drain_since.is_none() && row.desired == Desired::Running) {
            crate::fleet::show(cx, run.workspace, Status::Online, "")?;
        }
    }
    Ok(())
}

/// Whether another credential of the workspace may take a run over. Registering is no deed, so it must not be a way to
/// interrupt an agent: not in a turn, and the root never, unless what it stood on is dead, or a human issued a code since.
fn may_replace(cx: &mut Cx<'_>, old: &RunRow, credential: portcullis_kernel::id::CredentialId) -> Result<(), Refusal> {
    let stands = credentials::find(cx.conn, old.credential)?;
    if stands.is_none_or(|row| facts::live(&row, cx.now).is_err()) {
        return Ok(());
    }
    if let Some(new) = credentials::find(cx.conn, credential)?
        && Timestamp(new.created_at) >= old.started_at
        && let Some(parent) = new.ancestors.first()
        && credentials::find(cx.conn, *parent)?.is_some_and(|row| row.kind == CredentialKind::Enrolment)
    {
        return Ok(());
    }
    if old.workspace == cx.core.root || turns::running(cx.conn, old.workspace)?.is_some() {
        let reason =
            "another process is this workspace's agent and is not to be interrupted; a human may issue a new code";
        return Err(Refusal::because(Code::Conflict, reason));
    }
    Ok(())
}

/// An agent says that it is there. For one that runs elsewhere this begins a run: the last to register is the one that
/// counts, and whoever was there before has no power any more.
pub(crate) fn register(
    cx: &mut Cx<'_>,
    caller: &Caller,
    workspace: WorkspaceId,
    card: Option<&str>,
    handoff: Option<bool>,
) -> Result<RunRow, Refusal> {
    facts::recheck(cx, caller)?;
    own(caller, workspace)?;
    let row = require(cx.conn, workspace)?;
    let credential = caller.credential.ok_or_else(|| Refusal::new(Code::NotEntitled))?;
    let known = runs::live(cx.conn, workspace)?;
    let managed = row.runtime.as_ref().is_some_and(|runtime| runtime.kind.is_managed());
    let run = match known {
        Some(run) if run.credential == credential => run,
        // A program that Portcullis starts is the only one that may stand for its workspace.
        Some(run) if run.kind.is_managed() => return Err(Refusal::new(Code::NotRegistered)),
        _ if managed => return Err(Refusal::new(Code::NotRegistered)),
        other => {
            if let Some(old) = other {
                may_replace(cx, &old, credential)?;
                crate::fleet::end_run(cx, &old, &crate::fleet::Ended::replaced())?;
            }
            begin_external(cx, caller, &row, credential)?
        }
    };
    if let Some(card) = card {
        units::set_card(cx.conn, workspace, card)?;
    }
    if let Some(wants) = handoff {
        runs::set_wants_handoff(cx.conn, run.boot, wants)?;
    }
    came_up(cx, caller, &run)?;
    Ok(run)
}

fn begin_external(
    cx: &mut Cx<'_>,
    caller: &Caller,
    row: &WorkspaceRow,
    credential: portcullis_kernel::id::CredentialId,
) -> Result<RunRow, Refusal> {
    let boot = portcullis_kernel::id::BootId::from_uuid(vault::uuid_v7(cx.now.0));
    let because = record(cx, caller, row.id, "run.start", json!({"boot_id": boot, "kind": "external"}))?;
    let spec = workspaces::runtime_text(&Runtime::external())?;
    let context = crate::restart_context::context(cx.conn, cx.now, row, None, "registered")?;
    let by = caller.principal().to_string();
    let mut writing = Writing::new(cx, because, by, None);
    runs::insert(
        &mut writing,
        &NewRun {
            boot,
            workspace: row.id,
            generation: row.observed_generation,
            kind: RuntimeKind::External,
            credential,
            spec: &spec,
            variables_token: "",
            files_token: "",
            versions: "{}",
            context: &context,
            why: "registered",
            place: None,
        },
    )?;
    if row.desired == Desired::Running {
        crate::fleet::show(cx, row.id, Status::Provisioning, "")?;
    }
    runs::find(cx.conn, boot)?.ok_or_else(|| Refusal::new(Code::Internal))
}

/// Remembers what a run was given when it pulled its bundle itself. Called by the release.
pub(crate) fn pulled(
    w: &mut Writing<'_, '_>,
    caller: &Caller,
    workspace: WorkspaceId,
    bundle: &Bundle,
) -> Result<(), Fault> {
    let Some(run) = runs::live(w.conn(), workspace)? else { return Ok(()) };
    if Some(run.credential) != caller.credential || run.kind != RuntimeKind::External {
        return Ok(());
    }
    let (now, lease) = (w.now(), w.core().config.lease_ms);
    let versions = bundle.versions();
    runs::give(
        w.conn(),
        run.boot,
        &Given {
            variables_token: &bundle.variables_token,
            files_token: &bundle.files_token,
            versions: &versions,
            pulled_at: Some(now.0),
            lease_expires_at: Some(now.plus_ms(lease).0),
        },
    )?;
    // What it pulled is all there is: nothing has to be restarted for it.
    let row = workspaces::find(w.conn(), workspace)?;
    let generation = row.map_or(0, |row| row.desired_generation);
    runs::observe(w.conn(), run.boot, generation)?;
    units::observe(w.conn(), workspace, generation)?;
    Ok(())
}

fn handed(turn: &TurnRow, message: MessageRow) -> Handed {
    Handed {
        turn: turn.id,
        message: message.id,
        message_id: message.message_id,
        from: message.sender,
        from_name: message.sender_name,
        text: message.body,
        context_id: message.context_id,
        sent_at: crate::clock::rfc3339(message.created_at),
    }
}

fn answer(cx: &mut Look<'_>, row: &WorkspaceRow, run: &RunRow, turn: Option<Handed>) -> Result<Claim, Refusal> {
    let drain = row.drain_since.is_some() || row.desired != Desired::Running;
    let reason = match row.desired {
        Desired::Running => "restart",
        Desired::Paused => "pause",
        Desired::Removed => "remove",
    };
    let bundle_version = crate::fleet::bundle_version(cx.conn, cx.core, row.id)?;
    Ok(Claim {
        turn,
        drain,
        drain_reason: drain.then_some(reason),
        status: row.status,
        desired: row.desired,
        bundle_version,
        lease_expires_at: run.lease_expires_at.map(crate::clock::rfc3339),
        handed_off: !run.wants_handoff || run.handoff.is_some(),
        unregistered: run.registered_at.is_none(),
    })
}

/// A connection to look with, in a read or in a write.
pub(crate) struct Look<'a> {
    pub(crate) conn: &'a mut Conn,
    pub(crate) core: &'a crate::core::Core,
}

/// What there is to do, without doing it. `None` means that something would change: ask [`claim`].
pub(crate) fn peek(look: &mut Look<'_>, caller: &Caller, workspace: WorkspaceId) -> Result<Option<Claim>, Refusal> {
    let run = boot(look.conn, caller, workspace)?;
    let row = require(look.conn, workspace)?;
    if run.registered_at.is_none() || turns::running(look.conn, workspace)?.is_some() {
        return Ok(None);
    }
    let open = row.drain_since.is_none() && row.desired == Desired::Running;
    if open && messages::queued(look.conn, workspace)? > 0 {
        return Ok(None);
    }
    answer(look, &row, &run, None).map(Some)
}

/// How things stand for an agent that is at work: the answer to a heartbeat, and the boot it came from.
pub(crate) fn pulse(
    look: &mut Look<'_>,
    caller: &Caller,
    workspace: WorkspaceId,
) -> Result<(portcullis_kernel::id::BootId, Claim), Refusal> {
    let run = boot(look.conn, caller, workspace)?;
    let row = require(look.conn, workspace)?;
    let claim = answer(look, &row, &run, None)?;
    Ok((run.boot, claim))
}

/// Takes the oldest message, or the turn that is open already: an answer that was lost on the way loses nothing.
pub(crate) fn claim(cx: &mut Cx<'_>, caller: &Caller, workspace: WorkspaceId) -> Result<Claim, Refusal> {
    facts::recheck(cx, caller)?;
    let run = boot(cx.conn, caller, workspace)?;
    came_up(cx, caller, &run)?;
    let row = require(cx.conn, workspace)?;
    let mut turn = None;
    if let Some(open) = turns::running(cx.conn, workspace)? {
        let message = messages::find(cx.conn, open.message)?.ok_or_else(|| Refusal::new(Code::Internal))?;
        turn = Some(handed(&open, message));
    } else if row.drain_since.is_none()
        && row.desired == Desired::Running
        && let Some(message) = messages::next(cx.conn, workspace)?
    {
        let id = TurnId::from_uuid(vault::uuid_v7(cx.now.0));
        let detail = json!({"turn_id": id, "message_id": message.id, "boot_id": run.boot});
        let because = record(cx, caller, workspace, "turn.start", detail)?;
        let mut writing = Writing::new(cx, because, caller.principal().to_string(), None);
        turns::insert(&mut writing, id, workspace, run.boot, message.id)?;
        messages::deliver(cx.conn, message.id, id, cx.now.0)?;
        crate::failpoint::hit("turn.after_claim");
        let open = turns::find(cx.conn, id)?.ok_or_else(|| Refusal::new(Code::Internal))?;
        turn = Some(handed(&open, message));
    }
    answer(&mut Look { conn: cx.conn, core: cx.core }, &row, &run, turn)
}

/// Ends a turn. Saying the same again is answered the same.
pub(crate) fn end_turn(
    cx: &mut Cx<'_>,
    caller: &Caller,
    workspace: WorkspaceId,
    turn: TurnId,
    end: TurnEnd,
    text: Option<&str>,
) -> Result<(), Refusal> {
    facts::recheck(cx, caller)?;
    let run = boot(cx.conn, caller, workspace)?;
    let known = turns::find(cx.conn, turn)?.filter(|known| known.workspace == workspace && known.boot == run.boot);
    let known = known.ok_or_else(|| Refusal::new(Code::TurnNotFound))?;
    let state = match end {
        TurnEnd::Completed => "completed",
        TurnEnd::Failed => "failed",
    };
    if known.state != "running" {
        return if known.state == state { Ok(()) } else { Err(Refusal::because(Code::Conflict, "the turn has ended")) };
    }
    turns::end(cx.conn, turn, state, cx.now.0)?;
    let (reply, error) = match end {
        TurnEnd::Completed => (text, None),
        TurnEnd::Failed => (None, text),
    };
    messages::end(cx.conn, known.message, state, reply, error, cx.now.0)?;
    let detail = json!({"turn_id": turn, "message_id": known.message, "state": state});
    record(cx, caller, workspace, "turn.end", detail)?;
    crate::failpoint::hit("turn.after_end");
    Ok(())
}

/// Keys of the own values that a program said in the message a turn works on.
pub(crate) fn said(conn: &mut Conn, turn: TurnId) -> Result<Vec<String>, Refusal> {
    let Some(turn) = turns::find(conn, turn)? else { return Ok(Vec::new()) };
    Ok(messages::said(conn, turn.message)?.lines().map(str::to_owned).collect())
}

/// The message that this run's open turn works on.
pub(crate) fn worked_on(
    conn: &mut Conn,
    caller: &Caller,
    workspace: WorkspaceId,
    turn: TurnId,
) -> Result<MessageId, Refusal> {
    let run = boot(conn, caller, workspace)?;
    let open = turns::running(conn, workspace)?.filter(|open| open.id == turn && open.boot == run.boot);
    open.map(|open| open.message).ok_or_else(|| Refusal::new(Code::TurnNotFound))
}

/// Keeps the note an agent leaves for its next run.
pub(crate) fn hand_off(cx: &mut Cx<'_>, caller: &Caller, workspace: WorkspaceId, note: &str) -> Result<(), Refusal> {
    facts::recheck(cx, caller)?;
    let run = boot(cx.conn, caller, workspace)?;
    if note.len() > HANDOFF_BYTES_MAX {
        return Err(Refusal::because(Code::InvalidField, "a hand-off note has at most 16384 bytes"));
    }
    runs::set_handoff(cx.conn, run.boot, note)?;
    record(cx, caller, workspace, "run.handoff", json!({"boot_id": run.boot}))?;
    Ok(())
}

/// A word of an agent to the people, outside any turn or in one.
pub(crate) fn notify(
    cx: &mut Cx<'_>,
    caller: &Caller,
    workspace: WorkspaceId,
    text: &str,
) -> Result<MessageId, Refusal> {
    facts::recheck(cx, caller)?;
    own(caller, workspace)?;
    let row = require(cx.conn, workspace)?;
    if text.is_empty() || text.len() > crate::actions::message::MESSAGE_BYTES_MAX || text.contains('\0') {
        return Err(Refusal::because(Code::InvalidField, "a message has 1 to 1048576 bytes and no NUL"));
    }
    if messages::out_since(cx.conn, workspace, cx.now.plus_ms(-HOUR_MS).0)? >= NOTIFY_PER_HOUR_MAX {
        return Err(Refusal::because(Code::RateLimited, "at most 500 words to the people in an hour"));
    }
    let id = MessageId::from_uuid(vault::uuid_v7(cx.now.0));
    let because = record(cx, caller, workspace, "message.notify", json!({"message_id": id}))?;
    let mut writing = Writing::new(cx, because, caller.principal().to_string(), None);
    messages::insert(
        &mut writing,
        &NewMessage {
            id,
            workspace,
            direction: "out",
            sender: caller.principal(),
            sender_name: &row.name,
            message_id: &id.to_string(),
            context_id: None,
            body: text,
            digest: "",
            said: "",
            state: "completed",
        },
    )?;
    Ok(id)
}

/// Takes a message back. Only its sender, or a human, and only while nobody has taken it.
pub(crate) fn cancel(cx: &mut Cx<'_>, caller: &Caller, id: MessageId) -> Result<(), Refusal> {
    let (standing, _) = facts::recheck(cx, caller)?;
    // An auditor only looks.
    let human = matches!(standing, Standing::Operator { role, .. } if role >= Role::Member);
    let row = messages::find(cx.conn, id)?;
    let row = row.filter(|row| row.sender == caller.principal() || human);
    let row = row.ok_or_else(|| Refusal::new(Code::MessageNotFound))?;
    if !messages::cancel(cx.conn, id, cx.now.0)? {
        return Err(Refusal::because(Code::Conflict, "the message was taken already"));
    }
    record(cx, caller, row.workspace, "message.cancel", json!({"message_id": id}))?;
    Ok(())
}
