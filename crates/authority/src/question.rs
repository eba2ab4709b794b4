//! The question whether to stop an agent that the platform does not stop by itself: put before a human, and settled when it
//! is moot.

use portcullis_kernel::{
    approval::State, deed::WorkspaceForceStop, id::WorkspaceId, refusal::Code, subject::SystemRole,
};

use crate::{
    authn,
    gate::{self, Cx},
    plan,
    refusal::{Answer, Fault, Refusal},
    tables::{approvals, runs, turns, units, workspaces},
};

/// Asks a human whether to stop an agent that the platform does not stop by itself: one whose turn does not end (`minutes`
/// is how long it runs), or the root that does not answer. The platform asks for the deed, and the rules hold it.
pub(crate) fn ask(cx: &mut Cx<'_>, workspace: WorkspaceId, minutes: Option<i64>) -> Result<(), Refusal> {
    let supervisor = authn::system(cx.core, SystemRole::Supervisor);
    let reason = match minutes {
        Some(minutes) => {
            format!("a turn runs for {minutes} min and holds back what waits; approve to stop the agent in it")
        }
        None => "the root agent is not heard; approve to stop it and have it started anew".to_owned(),
    };
    let reason = reason.parse().map_err(|_| Refusal::new(Code::Internal))?;
    let boot = runs::live(cx.conn, workspace)?.map(|run| run.boot);
    let turn = turns::running(cx.conn, workspace)?.map(|turn| turn.id);
    match gate::run(cx, &supervisor, WorkspaceForceStop { workspace, reason, boot, turn }, ())? {
        Ok(Answer::Held(waiting)) => Ok(units::set_asked(cx.conn, workspace, Some(waiting.approval))?),
        // A policy of the organisation may forbid even the question: the debt stays, and is shown.
        Err(refusal) => {
            tracing::warn!(%workspace, code = %refusal.code, "the question about an overdue turn was refused");
            Ok(())
        }
        Ok(Answer::Done(_) | Answer::Plan(_)) => Ok(()),
    }
}

/// The question is moot: the turn ended, the run did, or it is heard again.
pub(crate) fn settle(cx: &mut Cx<'_>, workspace: WorkspaceId) -> Result<(), Refusal> {
    let Some(row) = workspaces::find_any(cx.conn, workspace)? else { return Ok(()) };
    let Some(asked) = row.asked else { return Ok(()) };
    units::set_asked(cx.conn, workspace, None)?;
    if let Some(approval) = approvals::find(cx.conn, asked)?
        && approval.state == State::Pending
    {
        let voided = State::Voided;
        plan::end(cx, &approval, voided, Some(Code::ApprovalVoided), None).map_err(|fault| match fault {
            Fault::Refused(refusal) => *refusal,
            Fault::Failed(text) => Refusal::new(Code::StoreUnavailable).internal(text),
        })?;
    }
    Ok(())
}
