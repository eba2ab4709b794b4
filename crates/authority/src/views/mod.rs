//! Authorised reads: what each caller may see, and never a value.
//!
//! Reads are not deeds: they change nothing and are decided by three plain questions — has the credential the scope, is
//! the thing within the caller's sight, is it not secret by nature. An ordinary agent is told of nothing but its own
//! workspace and its peers; what it may not see does not exist (404, not 403).

mod agents;
mod approvals;
mod audit;
mod operators;
mod policies;
mod secrets;
mod tasks;
mod workspaces;

use portcullis_kernel::{id::WorkspaceId, refusal::Code, scope::Scope};

pub use agents::{CardView, MessagePage, MessageView, PAGE_MAX, RunView, Sender, Stretch, TurnView};
pub use approvals::{ApprovalView, PrincipalView, RequirementView, ValueView, VoteView};
pub use audit::{AuditEntry, AuditPage};
pub use operators::{OperatorView, PasskeyView, SessionView};
pub use secrets::{HoldingView, SecretView, TokenView, VersionView};
pub use tasks::{TaskPage, TaskView};
pub use workspaces::{Impact, PeerView, StateView, WorkspaceView};

pub(crate) use agents::*;
pub(crate) use approvals::*;
pub(crate) use audit::*;
pub(crate) use operators::*;
pub(crate) use policies::*;
pub(crate) use secrets::*;
pub(crate) use tasks::*;
pub(crate) use workspaces::*;

use crate::{caller::Caller, refusal::Refusal, suppose::present};

/// Refuses a credential without the scope.
pub(crate) fn need(caller: &Caller, scope: Scope) -> Result<(), Refusal> {
    present(caller)?;
    if caller.has(scope) { Ok(()) } else { Err(Refusal::because(Code::ScopeMissing, scope.as_str())) }
}

/// Refuses a workspace that is not within the caller's sight, as if it did not exist.
pub(crate) fn in_sight(caller: &Caller, workspace: WorkspaceId) -> Result<(), Refusal> {
    present(caller)?;
    match caller.confined_to() {
        Some(home) if home != workspace => Err(Refusal::new(Code::NotFound)),
        _ => Ok(()),
    }
}

/// Refuses whoever is confined to one workspace.
pub(crate) fn unconfined(caller: &Caller) -> Result<(), Refusal> {
    present(caller)?;
    if caller.confined_to().is_some() { Err(Refusal::new(Code::NotEntitled)) } else { Ok(()) }
}

/// Refuses everybody who is not a human.
pub(crate) fn human(caller: &Caller) -> Result<(), Refusal> {
    present(caller)?;
    if caller.is_operator() { Ok(()) } else { Err(Refusal::new(Code::HumanRequired)) }
}
