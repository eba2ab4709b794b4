//! Workspaces, peers, states, and what a change would touch.

use portcullis_kernel::{
    consequence::Consequence,
    id::WorkspaceId,
    refusal::Code,
    scope::Scope,
    workspace::{Kind, Relation, Status, relation},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{in_sight, need};
use crate::{
    caller::Caller,
    clock::rfc3339,
    db::{Conn, DbError},
    refusal::Refusal,
    tables::workspaces::{self, WorkspaceRow},
};

/// A workspace.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WorkspaceView {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// What its agent does.
    pub role: Option<String>,
    /// `platform` for the root.
    pub kind: Kind,
    /// Under which.
    pub parent_id: Option<WorkspaceId>,
    /// Observed state.
    pub status: Status,
    /// How its agent runs.
    pub runtime: Option<String>,
    /// `running` or `paused`.
    pub desired_state: String,
    /// Raised by every change its agent must restart for.
    pub desired_generation: i64,
    /// What its agent runs on.
    pub observed_generation: i64,
    /// The agent runs on something older than it should.
    pub restart_debt: bool,
    /// When it was created.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

impl From<WorkspaceRow> for WorkspaceView {
    fn from(row: WorkspaceRow) -> Self {
        Self {
            restart_debt: row.observed_generation > 0 && row.desired_generation > row.observed_generation,
            id: row.id,
            name: row.name,
            role: row.role,
            kind: row.kind,
            parent_id: row.parent_id,
            status: row.status,
            runtime: row.runtime,
            desired_state: row.desired_state,
            desired_generation: row.desired_generation,
            observed_generation: row.observed_generation,
            created_at: rfc3339(row.created_at),
            updated_at: rfc3339(row.updated_at),
        }
    }
}

/// A workspace as its peers see it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PeerView {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// What its agent does.
    pub role: Option<String>,
    /// `platform` for the root.
    pub kind: Kind,
    /// Observed state.
    pub status: Status,
    /// Parent, child or sibling.
    pub relation: Relation,
}

/// State of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StateView {
    /// Its id.
    pub id: WorkspaceId,
    /// Observed state.
    pub status: Status,
    /// `running` or `paused`.
    pub desired_state: String,
    /// Raised by every change its agent must restart for.
    pub desired_generation: i64,
    /// What its agent runs on.
    pub observed_generation: i64,
    /// The agent runs on something older than it should.
    pub restart_debt: bool,
}

/// An agent a change would touch, as it is now.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Impact {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// `platform` for the root.
    pub kind: Kind,
    /// Observed state.
    pub status: Status,
    /// `interrupts`, `reconfigures`, `releases` or `destroys`.
    pub effect: String,
}

/// Workspaces named in one impact; the rest is counted by the consequences.
const IMPACT_MAX: usize = 200;

pub(crate) fn impact(conn: &mut Conn, consequences: &[Consequence]) -> Result<Vec<Impact>, DbError> {
    let mut impact = Vec::new();
    for consequence in consequences.iter().take(IMPACT_MAX) {
        let Some(workspace) = consequence.workspace() else { continue };
        let Some(row) = workspaces::find(conn, workspace)? else { continue };
        let effect = match consequence {
            Consequence::Interrupts { .. } => "interrupts",
            Consequence::Reconfigures { .. } => "reconfigures",
            Consequence::Releases { .. } => "releases",
            Consequence::Destroys { .. } => "destroys",
            Consequence::Grants { .. } => "grants",
        };
        impact.push(Impact {
            workspace_id: row.id,
            name: row.name,
            kind: row.kind,
            status: row.status,
            effect: effect.to_owned(),
        });
    }
    Ok(impact)
}

fn require(conn: &mut Conn, id: WorkspaceId) -> Result<WorkspaceRow, Refusal> {
    workspaces::find(conn, id)?.ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))
}

pub(crate) fn workspace_list(conn: &mut Conn, caller: &Caller) -> Result<Vec<WorkspaceView>, Refusal> {
    need(caller, Scope::WorkspacesRead)?;
    let rows = match caller.confined_to() {
        None => workspaces::list(conn)?,
        Some(home) => {
            let own = require(conn, home)?;
            let mut rows = workspaces::family(conn, &own)?;
            rows.push(own);
            rows
        }
    };
    Ok(rows.into_iter().map(Into::into).collect())
}

pub(crate) fn workspace_get(conn: &mut Conn, caller: &Caller, id: WorkspaceId) -> Result<WorkspaceView, Refusal> {
    need(caller, Scope::WorkspacesRead)?;
    in_sight(caller, id)?;
    Ok(require(conn, id)?.into())
}

pub(crate) fn workspace_state(conn: &mut Conn, caller: &Caller, id: WorkspaceId) -> Result<StateView, Refusal> {
    let view = workspace_get(conn, caller, id)?;
    Ok(StateView {
        id: view.id,
        status: view.status,
        desired_state: view.desired_state,
        desired_generation: view.desired_generation,
        observed_generation: view.observed_generation,
        restart_debt: view.restart_debt,
    })
}

pub(crate) fn peers(conn: &mut Conn, caller: &Caller, id: WorkspaceId) -> Result<Vec<PeerView>, Refusal> {
    need(caller, Scope::WorkspacesRead)?;
    in_sight(caller, id)?;
    let own = require(conn, id)?;
    let family = workspaces::family(conn, &own)?;
    Ok(family
        .into_iter()
        .filter_map(|row| {
            let relation = relation(&own.id, own.parent_id.as_ref(), &row.id, row.parent_id.as_ref())?;
            Some(PeerView { id: row.id, name: row.name, role: row.role, kind: row.kind, status: row.status, relation })
        })
        .collect())
}
