//! What agents and those who watch them ask for: registration, heartbeat, work, hand-off; logs, runs, turns; apply and
//! force-stop.

use std::time::Duration;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use portcullis_authority::{
    CARD_BYTES_MAX, CardView, Claim, HANDOFF_BYTES_MAX, HoldingView, MESSAGE_BYTES_MAX, PAGE_MAX, Refusal, RunView,
    TurnEnd, TurnView,
};
use portcullis_kernel::{
    deed::{WorkspaceApply, WorkspaceForceStop},
    id::{BootId, TurnId, WorkspaceId},
    refusal::Code,
};
use serde_json::{Value, json};

use crate::{
    app::stops,
    call::{Call, answered, ok},
    live::SoFar,
    operation::Operation,
    runtime::{LogRange, Unit},
    wire,
};

/// Largest body with a message in it, in bytes: the text at its longest, escaped.
pub(super) const MESSAGE_BODY_MAX: usize = 2 * MESSAGE_BYTES_MAX + 4096;
/// Longest reply that is shown while it is being written, in bytes.
const PROGRESS_BYTES_MAX: usize = 64 * 1024;
/// Longest wait of one request, in seconds.
pub(crate) const WAIT_S_MAX: u64 = 30;
/// How often an agent that works should be heard, in seconds.
const HEARTBEAT_S: u64 = 15;
/// Most lines of a log in one answer without a position.
const TAIL_MAX: usize = 10_000;
/// Lines of a log that are shown when nothing else is asked.
const TAIL: usize = 200;
/// Most bytes of a log in one answer.
const LOG_BYTES_MAX: usize = 512 * 1024;
/// How often a log is looked at while somebody waits for more of it.
const LOG_LOOK: Duration = Duration::from_millis(300);

pub(super) fn operations() -> Vec<Operation> {
    let get = |id, path, summary| (id, Method::GET, path, summary);
    let post = |id, path, summary| (id, Method::POST, path, summary);
    vec![
        route!(post("agent_heartbeat", "/registry/heartbeat", "An agent at work says that it is there"), heartbeat)
            .input::<wire::Heartbeat>(),
        route!(get("agent_discover", "/registry/discover/{id}", "What an agent says of itself"), discover)
            .output::<CardView>(),
        route!(
            post("inbox_claim", "/workspaces/{id}/inbox/claim", "An agent takes its next message: the start of a turn"),
            claim
        )
        .input::<wire::ClaimWork>(),
        route!(
            post(
                "turn_progress",
                "/workspaces/{id}/turns/{turn}/progress",
                "An agent shows its reply while it writes it"
            ),
            progress
        )
        .input::<wire::Progress>(),
        route!(post("turn_end", "/workspaces/{id}/turns/{turn}/end", "An agent ends its turn"), end_turn)
            .input::<wire::EndTurn>()
            .body_max(MESSAGE_BODY_MAX),
        route!(get("turn_list", "/workspaces/{id}/turns", "Turns, newest first"), turns).output::<Vec<TurnView>>(),
        route!(post("agent_handoff", "/workspaces/{id}/handoff", "An agent leaves a note for its next run"), hand_off)
            .input::<wire::HandOff>(),
        route!(
            get("restart_context", "/workspaces/{id}/restart-context", "Why the agent was started, and what changed"),
            context
        ),
        route!(get("run_list", "/workspaces/{id}/runs", "Runs of the agent, newest first"), runs)
            .output::<Vec<RunView>>(),
        route!(get("secret_holdings", "/secrets/{key}/running", "Which version of a key runs where"), holdings)
            .output::<Vec<HoldingView>>(),
        route!(get("log_read", "/workspaces/{id}/logs", "The agent's log, redacted"), logs),
        route!(
            post("workspace_apply", "/workspaces/{id}/apply", "Restart the agent after its turn, with what waits"),
            apply
        )
        .decided(),
        route!(
            post("workspace_force_stop", "/workspaces/{id}/force-stop", "Stop the agent in the middle of its turn"),
            force_stop
        )
        .decided()
        .input::<wire::ForceStop>(),
    ]
}

/// What an agent says on `POST /registry/register` with its bearer: public, since a code needs none; so the credential is
/// looked at here.
pub(super) async fn register(call: &Call, input: &wire::Register) -> Result<Response, Refusal> {
    let caller = crate::router::authenticate_bearer(&call.app, &call.headers).await?;
    let card = input.agent_card.clone();
    if card.as_ref().is_some_and(|card| card.to_string().len() > CARD_BYTES_MAX) {
        return Err(Refusal::because(Code::InvalidField, "`agent_card` has at most 65536 bytes"));
    }
    let handoff = input.capabilities.as_ref().map(|can| can.handoff);
    let boot = call.app.authority.register(call.meta.clone(), &caller, input.id, card, handoff).await?;
    call.app.live.heard(input.id, boot, None);
    ok(&json!({"status": "registered", "workspace_id": input.id, "boot_id": boot, "heartbeat_s": HEARTBEAT_S}))
}

async fn heartbeat(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Heartbeat = call.input()?;
    let (caller, authority) = (call.caller()?, &call.app.authority);
    if input.error_rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
        return Err(Refusal::because(Code::InvalidField, "`error_rate` is 0 to 1"));
    }
    let id = input.workspace_id;
    let (boot, mut standing) = authority.pulse(caller, id).await?;
    if standing.unregistered {
        // Alive is alive: a heartbeat may promote.
        authority.register(call.meta.clone(), caller, id, None, None).await?;
        standing = authority.pulse(caller, id).await?.1;
    }
    call.app.live.heard(id, boot, input.error_rate);
    ok(&json!({
        "status": standing.status, "desired_state": standing.desired.as_str(), "drain": standing.drain,
        "drain_reason": standing.drain_reason, "bundle_version": standing.bundle_version,
        "lease_expires_at": standing.lease_expires_at,
    }))
}

async fn discover(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.discover(call.caller()?, call.path("id")?).await?)
}

fn claimed(claim: &Claim) -> Result<Response, Refusal> {
    let turn = claim.turn.as_ref().map(|turn| {
        json!({
            "id": turn.turn,
            "message": {
                "id": turn.message, "message_id": turn.message_id,
                "from": {"kind": turn.from.kind(), "id": turn.from.id(), "name": turn.from_name},
                "text": turn.text, "context_id": turn.context_id, "sent_at": turn.sent_at,
            },
        })
    });
    ok(&json!({
        "turn": turn, "drain": claim.drain, "drain_reason": claim.drain_reason, "status": claim.status,
        "desired_state": claim.desired.as_str(), "bundle_version": claim.bundle_version,
        "lease_expires_at": claim.lease_expires_at,
    }))
}

/// Waits until there is work, until it should stop, or until the time is up. Nothing is taken for an agent that went
/// away: work is taken at the end of the wait, and taking it again gives the same.
async fn claim(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::ClaimWork = call.input_or_default()?;
    if input.wait_s > WAIT_S_MAX {
        return Err(Refusal::because(Code::InvalidField, "`wait_s` is at most 30"));
    }
    let (caller, id): (_, WorkspaceId) = (call.caller()?, call.path("id")?);
    let authority = &call.app.authority;
    let until = tokio::time::Instant::now() + Duration::from_secs(input.wait_s);
    let mut stopping = call.app.stopping.subscribe();
    let (boot, first) = authority.pulse(caller, id).await?;
    // Only now: a bell for every id that anybody names would be a way to fill the memory.
    let bell = call.app.live.bell(id);
    call.app.live.heard(id, boot, None);
    loop {
        let ring = bell.notified();
        tokio::pin!(ring);
        ring.as_mut().enable();
        let Some(idle) = authority.peek(caller, id).await? else {
            return claimed(&authority.claim(call.meta.clone(), caller, id).await?);
        };
        // An agent that was told to drain, and has left its note, is slowed down by its own wait.
        let news = (idle.drain && !idle.handed_off) || idle.drain != first.drain;
        if news || idle.bundle_version != first.bundle_version {
            return claimed(&idle);
        }
        tokio::select! {
            () = ring => {}
            () = stops(&mut stopping) => return claimed(&idle),
            () = tokio::time::sleep_until(until) => {
                call.app.live.heard(id, boot, None);
                return claimed(&idle);
            }
        }
    }
}

/// Shown to the people who listen now, and kept nowhere: the reply is what the turn ends with.
async fn progress(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Progress = call.input()?;
    let (workspace, turn): (WorkspaceId, TurnId) = (call.path("id")?, call.path("turn")?);
    if input.reply.len() > PROGRESS_BYTES_MAX || input.reply.contains('\0') {
        return Err(Refusal::because(Code::InvalidField, "`reply` has at most 65536 bytes here, and no NUL"));
    }
    let (caller, authority, live) = (call.caller()?, &call.app.authority, &call.app.live);
    let (message, text) = authority.reply_so_far(caller, workspace, turn, input.reply).await?;
    live.writes(SoFar { workspace, turn, message, text });
    // Whoever ended the turn meanwhile found nothing to take back.
    authority.works_on(caller, workspace, turn).await.inspect_err(|_| live.wrote(workspace, turn))?;
    ok(&json!({"status": "shown"}))
}

async fn end_turn(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::EndTurn = call.input()?;
    let (id, turn): (WorkspaceId, TurnId) = (call.path("id")?, call.path("turn")?);
    let (end, text) = match input.state {
        wire::TurnState::Completed => (TurnEnd::Completed, input.reply),
        wire::TurnState::Failed => (TurnEnd::Failed, input.error),
    };
    if text.as_ref().is_some_and(|text| text.len() > MESSAGE_BYTES_MAX || text.contains('\0')) {
        return Err(Refusal::because(Code::InvalidField, "a reply has at most 1048576 bytes and no NUL"));
    }
    let (caller, authority) = (call.caller()?, &call.app.authority);
    authority.end_turn(call.meta.clone(), caller, id, turn, end, text).await?;
    call.app.live.wrote(id, turn);
    let (boot, _) = authority.pulse(caller, id).await?;
    call.app.live.heard(id, boot, None);
    ok(&json!({"status": "recorded"}))
}

async fn hand_off(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::HandOff = call.input()?;
    if input.note.len() > HANDOFF_BYTES_MAX || input.note.contains('\0') {
        return Err(Refusal::because(Code::InvalidField, "`note` has at most 16384 bytes and no NUL"));
    }
    call.app.authority.hand_off(call.meta.clone(), call.caller()?, call.path("id")?, input.note).await?;
    ok(&json!({"status": "kept"}))
}

async fn context(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let text = call.app.authority.restart_context(call.caller()?, call.path("id")?).await?;
    let context: Value = serde_json::from_str(&text).map_err(|_| Refusal::new(Code::Internal))?;
    ok(&context)
}

/// How many of a list to show.
pub(super) fn limit(call: &Call) -> Result<i64, Refusal> {
    match call.query_as::<i64>("limit")? {
        None => Ok(50),
        Some(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(Refusal::because(Code::InvalidRequest, "`limit` is 1 to 500")),
    }
}

async fn turns(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["limit"])?;
    ok(&call.app.authority.turns(call.caller()?, call.path("id")?, limit(&call)?).await?)
}

async fn runs(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["limit"])?;
    ok(&call.app.authority.runs(call.caller()?, call.path("id")?, limit(&call)?).await?)
}

async fn holdings(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let key = wire::key(&call.path::<String>("key")?)?;
    ok(&call.app.authority.secret_holdings(call.caller()?, key).await?)
}

/// How long to wait for something new.
pub(super) fn wait(call: &Call) -> Result<Duration, Refusal> {
    match call.query_as::<u64>("wait")?.unwrap_or(0) {
        seconds if seconds <= WAIT_S_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(Refusal::because(Code::InvalidRequest, "`wait` is 0 to 30 seconds")),
    }
}

/// A piece of the log. With `after` and `wait` the answer comes when there is more, which is how it is followed.
async fn logs(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["tail", "after", "boot_id", "wait"])?;
    let tail: usize = call.query_as("tail")?.unwrap_or(TAIL);
    if tail > TAIL_MAX {
        return Err(Refusal::because(Code::InvalidRequest, "`tail` is at most 10000 lines"));
    }
    let (id, boot): (WorkspaceId, Option<BootId>) = (call.path("id")?, call.query_as("boot_id")?);
    let range = LogRange { after: call.query_as("after")?, tail, bytes_max: LOG_BYTES_MAX };
    let until = tokio::time::Instant::now() + wait(&call)?;
    let run = call.app.authority.log_of(call.caller()?, id, boot).await?;
    if !run.kind.is_managed() {
        // Trying again would not help.
        return Err(Refusal::because(Code::Conflict, "its agent runs elsewhere, and so does its log"));
    }
    let no_log = || Refusal::because(Code::LogUnavailable, "its agent does not run on this server");
    let (runtimes, _) = call.app.agents.as_ref().ok_or_else(no_log)?;
    let unit = Unit { workspace: run.workspace, boot: run.boot };
    let mut stopping = call.app.stopping.subscribe();
    loop {
        let piece = runtimes.logs(run.kind, unit, range).await;
        let piece = match piece {
            Ok(piece) => piece,
            Err(fault) => {
                // It may have gone with its workspace, in the middle of the wait.
                call.app.authority.log_of(call.caller()?, id, Some(run.boot)).await?;
                return Err(Refusal::because(Code::LogUnavailable, fault.to_string()));
            }
        };
        let over = tokio::time::Instant::now() >= until || *stopping.borrow();
        if over || piece.reset || !piece.text.is_empty() {
            // Once more: what was stored since the run began is known here, and a container's engine knows nothing.
            let text = call.app.authority.redacted(id, piece.text).await?;
            return ok(&json!({
                "boot_id": run.boot, "text": text, "position": piece.position, "reset": piece.reset,
            }));
        }
        tokio::select! {
            () = stops(&mut stopping) => {}
            () = tokio::time::sleep(LOG_LOOK) => {}
        }
    }
}

async fn apply(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let action = WorkspaceApply { workspace: call.path("id")? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |_| (StatusCode::OK, json!({"status": "applying"})))
}

async fn force_stop(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::ForceStop = call.input()?;
    let (workspace, authority) = (call.path("id")?, &call.app.authority);
    // The log keeps it: like every text it must not take a value along.
    let reason = authority.spoken(call.caller()?, workspace, input.reason.to_string()).await?;
    let reason = reason.parse().map_err(|_| Refusal::because(Code::InvalidField, "`reason` is too long"))?;
    let action = WorkspaceForceStop { workspace, reason, boot: None, turn: None };
    let answer = authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |_| (StatusCode::OK, json!({"status": "stopping"})))
}
