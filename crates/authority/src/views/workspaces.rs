//! Workspaces, peers, states, and what a change would touch.

use std::collections::HashMap;

use portcullis_kernel::{
    consequence::Consequence,
    id::WorkspaceId,
    refusal::Code,
    runtime::{Runtime, RuntimeKind},
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
    tables::{
        messages, runs,
        turns::{self, TurnRow},
        workspaces::{self, WorkspaceRow},
    },
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
    /// Why, in a sentence; empty when there is nothing to say.
    pub status_reason: String,
    /// Where its agent runs; `external` unless it was configured.
    pub runtime: RuntimeKind,
    /// How its agent runs: program, image, limits.
    pub runtime_spec: Option<Runtime>,
    /// `running` or `paused`.
    pub desired_state: String,
    /// Raised by every change its agent must restart for.
    pub desired_generation: i64,
    /// What its agent runs on.
    pub observed_generation: i64,
    /// The agent runs on something older than it should.
    pub restart_debt: bool,
    /// Since when a turn is running.
    pub turn_since: Option<String>,
    /// Messages that wait for its agent.
    pub queued: i64,
    /// Since when no message is delivered, because its agent is to stop at the turn boundary.
    pub draining_since: Option<String>,
    /// When it was created.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
}

impl WorkspaceView {
    fn of(row: WorkspaceRow, turn: Option<&TurnRow>, queued: i64) -> Self {
        Self {
            restart_debt: row.observed_generation > 0 && row.desired_generation > row.observed_generation,
            turn_since: turn.map(|turn| rfc3339(turn.started_at)),
            queued,
            draining_since: row.drain_since.map(rfc3339),
            id: row.id,
            name: row.name,
            role: row.role,
            kind: row.kind,
            parent_id: row.parent_id,
            status: row.status,
            status_reason: row.status_reason,
            runtime: row.runtime.as_ref().map_or(RuntimeKind::External, |runtime| runtime.kind),
            runtime_spec: row.runtime,
            desired_state: row.desired.as_str().to_owned(),
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

/// State of a workspace. `paused` and `deleted` are the predecessor's words for what is wanted.
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
    /// It is paused, or is being paused.
    pub paused: bool,
    /// It is removed; never true here, since a removed workspace is a 404.
    pub deleted: bool,
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
    /// Since when a turn is running.
    pub turn_since: Option<String>,
    /// Messages that wait for its agent.
    pub queued: i64,
    /// What has to happen for the change to reach it: `nothing`, `restart_after_turn`, `apply`, `stop`.
    pub takes: String,
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
        let turn = turns::running(conn, workspace)?;
        let runs = runs::live(conn, workspace)?.is_some_and(|run| run.kind.is_managed());
        let takes = match consequence {
            _ if !runs => "nothing",
            Consequence::Reconfigures { .. } if row.kind == Kind::Platform => "apply",
            Consequence::Reconfigures { .. } | Consequence::Interrupts { .. } => "restart_after_turn",
            Consequence::Destroys { .. } => "stop",
            Consequence::Releases { .. } | Consequence::Grants { .. } => "nothing",
        };
        impact.push(Impact {
            turn_since: turn.map(|turn| rfc3339(turn.started_at)),
            queued: messages::queued(conn, workspace)?,
            takes: takes.to_owned(),
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
    let turns: HashMap<_, _> = turns::all_running(conn)?.into_iter().map(|turn| (turn.workspace, turn)).collect();
    let queued: HashMap<_, _> = messages::all_queued(conn)?.into_iter().collect();
    let view = |row: WorkspaceRow| {
        let (turn, queued) = (turns.get(&row.id), queued.get(&row.id).copied().unwrap_or(0));
        WorkspaceView::of(row, turn, queued)
    };
    Ok(rows.into_iter().map(view).collect())
}

pub(crate) fn workspace_get(conn: &mut Conn, caller: &Caller, id: WorkspaceId) -> Result<WorkspaceView, Refusal> {
    need(caller, Scope::WorkspacesRead)?;
    in_sight(caller, id)?;
    workspaces::find_ahead(conn, id)?;
    turns::running_ahead(conn, id)?;
    messages::queued_ahead(conn, id)?;
    let row = require(conn, id)?;
    let turn = turns::running(conn, id)?;
    let queued = messages::queued(conn, id)?;
    Ok(WorkspaceView::of(row, turn.as_ref(), queued))
}

pub(crate) fn workspace_state(conn: &mut Conn, caller: &Caller, id: WorkspaceId) -> Result<StateView, Refusal> {
    let view = workspace_get(conn, caller, id)?;
    Ok(StateView {
        id: view.id,
        status: view.status,
        desired_generation: view.desired_generation,
        observed_generation: view.observed_generation,
        restart_debt: view.restart_debt,
        paused: view.desired_state == "paused",
        deleted: false,
        desired_state: view.desired_state,
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
