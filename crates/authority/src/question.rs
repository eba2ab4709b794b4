//! The question whether to cut a turn that does not end: put before a human, and settled when it is moot.

use portcullis_kernel::{
    approval::State, deed::WorkspaceForceStop, id::WorkspaceId, refusal::Code, subject::SystemRole,
};

use crate::{
    authn,
    gate::{self, Cx},
    plan,
    refusal::{Answer, Fault, Refusal},
    tables::{approvals, units, workspaces},
};

/// Asks a human whether to cut a turn that does not end: the platform asks for the deed, and the rules hold it.
pub(crate) fn ask(cx: &mut Cx<'_>, workspace: WorkspaceId, minutes: i64) -> Result<(), Refusal> {
    let supervisor = authn::system(cx.core, SystemRole::Supervisor);
    let reason = format!(
        "a turn runs for {minutes} min and holds back a restart; approve to stop the agent in the middle of it"
    );
    let reason = reason.parse().map_err(|_| Refusal::new(Code::Internal))?;
    match gate::run(cx, &supervisor, WorkspaceForceStop { workspace, reason }, ())? {
        Ok(Answer::Held(waiting)) => Ok(units::set_asked(cx.conn, workspace, Some(waiting.approval))?),
        // A policy of the organisation may forbid even the question: the debt stays, and is shown.
        Err(refusal) => {
            tracing::warn!(%workspace, code = %refusal.code, "the question about an overdue turn was refused");
            Ok(())
        }
        Ok(Answer::Done(_) | Answer::Plan(_)) => Ok(()),
    }
}

/// The question is moot: the turn ended, or the run did.
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
