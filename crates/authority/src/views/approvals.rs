//! Approvals as a card: the exact effect and the live state of the agents it would touch, without the value.

use portcullis_kernel::{
    approval::State,
    consequence::Consequence,
    id::{ApprovalId, WorkspaceId},
    policy::Who,
    refusal::Code,
    scope::Scope,
    secret::ValueShape,
    subject::Principal,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Impact, in_sight, need, workspaces::impact};
use crate::{
    caller::Caller,
    clock::rfc3339,
    db::Conn,
    refusal::Refusal,
    tables::{
        approvals::{self, ApprovalFilter, ApprovalRow},
        credentials, operators, workspaces,
    },
};

/// A principal with the name people know it by.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PrincipalView {
    /// `operator`, `agent`, `service` or `system`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// E-mail address, workspace name or token name.
    pub name: Option<String>,
}

/// Who must agree.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RequirementView {
    /// Of whom.
    pub who: Who,
    /// How many.
    pub count: u32,
}

/// A vote.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VoteView {
    /// Who.
    pub operator: String,
    /// `approved` or `denied`.
    pub decision: String,
    /// Why.
    pub note: Option<String>,
    /// An owner's override.
    pub break_glass: bool,
    /// When.
    pub at: String,
}

/// The proposed value, as far as anybody is told.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ValueView {
    /// Shape of each value.
    pub values: Vec<ValueShape>,
    /// It equals the current one.
    pub same_as_current: bool,
}

/// An approval.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalView {
    /// Its id.
    pub id: ApprovalId,
    /// The same, under the name the reference system uses.
    pub approval_id: ApprovalId,
    /// State.
    pub status: State,
    /// The verb.
    pub action: String,
    /// The workspace concerned.
    pub workspace_id: Option<String>,
    /// The key concerned.
    pub key: Option<String>,
    /// Who asked.
    pub requested_by: PrincipalView,
    /// Why it is held.
    pub reason: String,
    /// The rules that hold it.
    pub rule: String,
    /// Names and ids of what would be done.
    pub deed: Value,
    /// What it would cause.
    pub consequences: Vec<Consequence>,
    /// The agents it would touch, as they are now.
    pub impact: Vec<Impact>,
    /// The proposed value's shape; null where there is no value.
    pub value: Option<ValueView>,
    /// Who must agree.
    pub requirements: Vec<RequirementView>,
    /// Items to acknowledge.
    pub checklist: Vec<String>,
    /// A note is needed to approve.
    pub note_required: bool,
    /// Votes so far.
    pub votes: Vec<VoteView>,
    /// Versions the plan is based on, by key.
    pub base_versions: Value,
    /// When it was asked.
    pub created_at: String,
    /// When it stops waiting.
    pub expires_at: String,
    /// When it ended.
    pub decided_at: Option<String>,
    /// The code of its end, unless it was applied.
    pub code: Option<String>,
    /// What was done.
    pub result: Option<Value>,
}

pub(super) fn name_of(conn: &mut Conn, principal: Principal) -> Result<Option<String>, Refusal> {
    Ok(match principal {
        Principal::Operator(id) => operators::find(conn, id)?.map(|row| row.email),
        Principal::Agent(id) => workspaces::find_any(conn, id)?.map(|row| row.name),
        Principal::Service(id) => credentials::find(conn, id)?.map(|row| row.name),
        Principal::System(_) => None,
    })
}

fn view(conn: &mut Conn, row: ApprovalRow) -> Result<ApprovalView, Refusal> {
    let votes = approvals::votes(conn, row.id)?
        .into_iter()
        .map(|vote| VoteView {
            operator: vote.email,
            decision: if vote.vote.approve { "approved" } else { "denied" }.to_owned(),
            note: vote.note,
            break_glass: vote.break_glass,
            at: rfc3339(vote.at),
        })
        .collect();
    let requested_by = PrincipalView {
        kind: row.requester.kind().to_owned(),
        id: row.requester.id(),
        name: name_of(conn, row.requester)?,
    };
    let value: Option<ValueView> =
        serde_json::from_str(&row.shape_json).ok().filter(|v: &ValueView| !v.values.is_empty());
    let base_versions = row
        .pins
        .iter()
        .map(|pin| serde_json::json!({"scope": pin.scope.as_text(), "key": pin.key, "version": pin.latest}));
    let result: Option<Value> = row.result_json.as_deref().and_then(|text| serde_json::from_str(text).ok());
    Ok(ApprovalView {
        id: row.id,
        approval_id: row.id,
        status: row.state,
        workspace_id: row.workspace_id,
        key: row.key,
        requested_by,
        reason: row.reason,
        rule: row.rule,
        deed: serde_json::from_str(&row.deed_json).unwrap_or(Value::Null),
        impact: impact(conn, &row.consequences)?,
        consequences: row.consequences,
        value,
        requirements: row.requirements.votes.into_iter().map(|(who, count)| RequirementView { who, count }).collect(),
        checklist: row.requirements.checklist,
        note_required: row.requirements.note,
        votes,
        base_versions: base_versions.collect(),
        created_at: rfc3339(row.created_at),
        expires_at: rfc3339(row.expires_at),
        decided_at: row.ended_at.map(rfc3339),
        code: row.code,
        result: result.and_then(|mut outcome| outcome.get_mut("value").map(Value::take)),
        action: row.verb,
    })
}

/// Operators and the root agent see all; services see what they asked; an ordinary agent what it asked.
pub(crate) fn approval_list(
    conn: &mut Conn,
    caller: &Caller,
    mut filter: ApprovalFilter,
    workspace: Option<WorkspaceId>,
) -> Result<Vec<ApprovalView>, Refusal> {
    need(caller, Scope::Approvals)?;
    if let Some(id) = workspace {
        in_sight(caller, id)?;
        workspaces::find(conn, id)?.ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))?;
        filter.workspace_id = Some(id.to_string());
    }
    if !caller.is_operator() && !caller.is_root_agent() {
        filter.requester_kind = Some(caller.principal().kind().to_owned());
        filter.requester_id = Some(caller.principal().id());
    }
    filter.limit = filter.limit.clamp(1, 200);
    let rows = approvals::list(conn, &filter)?;
    rows.into_iter().map(|row| view(conn, row)).collect()
}

pub(crate) fn approval_get(conn: &mut Conn, caller: &Caller, id: ApprovalId) -> Result<ApprovalView, Refusal> {
    need(caller, Scope::Approvals)?;
    let row = approvals::find(conn, id)?.ok_or_else(|| Refusal::new(Code::NotFound))?;
    if !caller.is_operator() && !caller.is_root_agent() && row.requester != caller.principal() {
        return Err(Refusal::new(Code::NotFound));
    }
    view(conn, row)
}
