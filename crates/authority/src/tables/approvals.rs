//! Approvals and votes.

use portcullis_kernel::{
    approval::{State, Vote},
    consequence::Consequence,
    id::{ApprovalId, CredentialId, OperatorId},
    policy::Requirements,
    subject::Principal,
    time::Timestamp,
};

use super::word;
use crate::{
    act::Pin,
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
    vault::Sealed,
};

/// A plan that waits, or waited, for humans.
#[derive(Debug, Clone)]
pub(crate) struct ApprovalRow {
    pub(crate) id: ApprovalId,
    pub(crate) verb: String,
    pub(crate) workspace_id: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) requester: Principal,
    pub(crate) credential: Option<CredentialId>,
    pub(crate) deed_json: String,
    pub(crate) sealed: Option<Sealed>,
    pub(crate) shape_json: String,
    pub(crate) pins: Vec<Pin>,
    pub(crate) policy_version: String,
    pub(crate) rule: String,
    pub(crate) reason: String,
    pub(crate) requirements: Requirements,
    pub(crate) consequences: Vec<Consequence>,
    pub(crate) state: State,
    pub(crate) code: Option<String>,
    pub(crate) result_json: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) audit_id: i64,
}

fn json<T: serde::de::DeserializeOwned>(text: &str, column: &str) -> Result<T, DbError> {
    word(serde_json::from_str(text).ok(), column)
}

/// Empty where the platform itself asked.
fn optional_id(text: &str) -> Result<Option<CredentialId>, DbError> {
    if text.is_empty() { Ok(None) } else { word(text.parse().ok(), "approvals.credential_id").map(Some) }
}

fn read(row: &Row) -> Result<ApprovalRow, DbError> {
    let sealed = match (row.opt_bytes(8)?, row.opt_text(9)?) {
        (Some(bytes), Some(key_id)) => Some(Sealed { key_id: key_id.to_owned(), bytes: bytes.to_vec() }),
        _ => None,
    };
    Ok(ApprovalRow {
        id: word(row.text(0)?.parse().ok(), "approvals.id")?,
        verb: row.text(1)?.to_owned(),
        workspace_id: row.opt_text(2)?.map(str::to_owned),
        key: row.opt_text(3)?.map(str::to_owned),
        requester: word(Principal::parse(row.text(4)?, row.text(5)?), "approvals.requester")?,
        credential: optional_id(row.text(6)?)?,
        deed_json: row.text(7)?.to_owned(),
        sealed,
        shape_json: row.text(10)?.to_owned(),
        pins: json(row.text(11)?, "approvals.pins_json")?,
        policy_version: row.text(12)?.to_owned(),
        rule: row.text(13)?.to_owned(),
        reason: row.text(14)?.to_owned(),
        requirements: json(row.text(15)?, "approvals.requirements_json")?,
        consequences: json(row.text(16)?, "approvals.consequences_json")?,
        state: word(State::parse(row.text(17)?), "approvals.state")?,
        code: row.opt_text(18)?.map(str::to_owned),
        result_json: row.opt_text(19)?.map(str::to_owned),
        created_at: Timestamp(row.int(20)?),
        expires_at: Timestamp(row.int(21)?),
        ended_at: row.opt_int(22)?.map(Timestamp),
        audit_id: row.int(23)?,
    })
}

pub(crate) fn find(conn: &mut Conn, id: ApprovalId) -> Result<Option<ApprovalRow>, DbError> {
    let row = conn.query_opt(
        "/* approval_find */ SELECT id, verb, workspace_id, key, requester_kind, requester_id, credential_id, deed_json, sealed, key_id, \
         shape_json, pins_json, policy_version, rule, reason, requirements_json, consequences_json, state, code, result_json, created_at, \
         expires_at, ended_at, audit_id FROM approvals WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

/// The newest approval of exactly this request.
pub(crate) fn find_by_digest(conn: &mut Conn, digest: &[u8]) -> Result<Option<ApprovalRow>, DbError> {
    let row = conn.query_opt(
        "/* approval_find_by_digest */ SELECT id, verb, workspace_id, key, requester_kind, requester_id, credential_id, deed_json, sealed, key_id, \
         shape_json, pins_json, policy_version, rule, reason, requirements_json, consequences_json, state, code, result_json, created_at, \
         expires_at, ended_at, audit_id FROM approvals WHERE request_digest = $1 ORDER BY audit_id DESC LIMIT 1",
        params![digest],
    )?;
    row.as_ref().map(read).transpose()
}

/// What a listing asks for; `None` does not restrict.
#[derive(Debug, Clone, Default)]
pub struct ApprovalFilter {
    /// State.
    pub state: Option<String>,
    /// Kind of the requester.
    pub requester_kind: Option<String>,
    /// Id of the requester.
    pub requester_id: Option<String>,
    /// Workspace concerned.
    pub workspace_id: Option<String>,
    /// Created before, in milliseconds.
    pub before: Option<i64>,
    /// At most this many.
    pub limit: i64,
}

pub(crate) fn list(conn: &mut Conn, f: &ApprovalFilter) -> Result<Vec<ApprovalRow>, DbError> {
    let rows = conn.query(
        "/* approval_list */ SELECT id, verb, workspace_id, key, requester_kind, requester_id, credential_id, deed_json, sealed, key_id, \
         shape_json, pins_json, policy_version, rule, reason, requirements_json, consequences_json, state, code, result_json, created_at, \
         expires_at, ended_at, audit_id FROM approvals WHERE (CAST($1 AS TEXT) IS NULL OR state = $1) \
         AND (CAST($2 AS TEXT) IS NULL OR requester_kind = $2) AND (CAST($3 AS TEXT) IS NULL OR requester_id = $3) \
         AND (CAST($4 AS TEXT) IS NULL OR workspace_id = $4) AND created_at < $5 ORDER BY created_at DESC, id DESC LIMIT $6",
        params![
            f.state.as_deref(),
            f.requester_kind.as_deref(),
            f.requester_id.as_deref(),
            f.workspace_id.as_deref(),
            f.before.unwrap_or(i64::MAX),
            f.limit
        ],
    )?;
    rows.iter().map(read).collect()
}

/// Pending approvals that are due.
pub(crate) fn due(conn: &mut Conn, now: i64) -> Result<Vec<ApprovalRow>, DbError> {
    let rows = conn.query(
        "/* approval_due */ SELECT id, verb, workspace_id, key, requester_kind, requester_id, credential_id, deed_json, sealed, key_id, \
         shape_json, pins_json, policy_version, rule, reason, requirements_json, consequences_json, state, code, result_json, created_at, \
         expires_at, ended_at, audit_id FROM approvals WHERE state = 'pending' AND expires_at <= $1 ORDER BY expires_at LIMIT 100",
        params![now],
    )?;
    rows.iter().map(read).collect()
}

/// How many requests of a principal wait.
pub(crate) fn pending_count(conn: &mut Conn, requester: Principal) -> Result<i64, DbError> {
    let row = conn.query_opt(
        "/* approval_pending_count */ SELECT COUNT(*) FROM approvals WHERE requester_kind = $1 AND requester_id = $2 AND state = 'pending'",
        params![requester.kind(), requester.id().as_str()],
    )?;
    word(row, "approvals count")?.int(0)
}

/// A new plan.
pub(crate) struct NewApproval<'a> {
    pub(crate) id: ApprovalId,
    pub(crate) verb: &'a str,
    pub(crate) workspace_id: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) requester: Principal,
    pub(crate) credential: Option<CredentialId>,
    pub(crate) lineage: &'a str,
    pub(crate) request_digest: &'a [u8],
    pub(crate) deed_json: &'a str,
    pub(crate) sealed: Option<&'a Sealed>,
    pub(crate) shape_json: &'a str,
    pub(crate) pins: &'a [Pin],
    pub(crate) policy_version: &'a str,
    pub(crate) rule: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) requirements: &'a Requirements,
    pub(crate) consequences: &'a [Consequence],
    pub(crate) expires_at: Timestamp,
}

pub(crate) fn insert(w: &mut Writing<'_, '_>, a: &NewApproval<'_>) -> Result<(), DbError> {
    let text = |value: serde_json::Result<String>| value.map_err(|e| DbError::Shape(e.to_string()));
    let (pins, requirements) = (text(serde_json::to_string(a.pins))?, text(serde_json::to_string(a.requirements))?);
    let consequences = text(serde_json::to_string(a.consequences))?;
    let (now, audit_id) = (w.now().0, w.because());
    w.conn().execute(
        "/* approval_insert */ INSERT INTO approvals (id, verb, workspace_id, key, requester_kind, requester_id, credential_id, lineage, \
         request_digest, deed_json, sealed, key_id, shape_json, pins_json, policy_version, rule, reason, requirements_json, consequences_json, \
         state, created_at, expires_at, audit_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 'pending', $20, $21, $22)",
        params![
            a.id.to_string().as_str(),
            a.verb,
            a.workspace_id,
            a.key,
            a.requester.kind(),
            a.requester.id().as_str(),
            a.credential.map(|id| id.to_string()).unwrap_or_default().as_str(),
            a.lineage,
            a.request_digest,
            a.deed_json,
            a.sealed.map(|sealed| sealed.bytes.as_slice()),
            a.sealed.map(|sealed| sealed.key_id.as_str()),
            a.shape_json,
            pins.as_str(),
            a.policy_version,
            a.rule,
            a.reason,
            requirements.as_str(),
            consequences.as_str(),
            now,
            a.expires_at.0,
            audit_id,
        ],
    )?;
    Ok(())
}

/// Ends a pending approval and erases the sealed values. False when it was not pending: it is spent once.
pub(crate) fn end(
    conn: &mut Conn,
    id: ApprovalId,
    state: State,
    code: Option<&str>,
    result_json: Option<&str>,
    now: i64,
) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* approval_end */ UPDATE approvals SET state = $2, code = $3, result_json = $4, ended_at = $5, sealed = NULL, key_id = NULL \
         WHERE id = $1 AND state = 'pending'",
        params![id.to_string().as_str(), state.as_str(), code, result_json, now],
    )?;
    Ok(rows == 1)
}

/// A vote with who cast it.
#[derive(Debug, Clone)]
pub(crate) struct VoteRow {
    pub(crate) vote: Vote,
    pub(crate) email: String,
    pub(crate) note: Option<String>,
    pub(crate) break_glass: bool,
    pub(crate) at: Timestamp,
}

/// Votes with what each voter is now, oldest first.
pub(crate) fn votes(conn: &mut Conn, approval: ApprovalId) -> Result<Vec<VoteRow>, DbError> {
    let rows = conn.query(
        "/* vote_list */ SELECT v.operator_id, v.approve, v.note, v.checklist_json, v.break_glass, v.at_ms, o.email, o.role, o.groups_json, \
         o.disabled_at FROM votes v JOIN operators o ON o.id = v.operator_id WHERE v.approval_id = $1 ORDER BY v.at_ms, v.operator_id",
        params![approval.to_string().as_str()],
    )?;
    rows.iter()
        .map(|row| {
            let role = word(portcullis_kernel::operator::Role::parse(row.text(7)?), "operators.role")?;
            Ok(VoteRow {
                vote: Vote {
                    operator: word(row.text(0)?.parse().ok(), "votes.operator_id")?,
                    approve: row.int(1)? != 0,
                    role: row.opt_int(9)?.is_none().then_some(role),
                    groups: json(row.text(8)?, "operators.groups_json")?,
                    checklist: json(row.text(3)?, "votes.checklist_json")?,
                    noted: row.opt_text(2)?.is_some(),
                },
                email: row.text(6)?.to_owned(),
                note: row.opt_text(2)?.map(str::to_owned),
                break_glass: row.int(4)? != 0,
                at: Timestamp(row.int(5)?),
            })
        })
        .collect()
}

/// Records a vote.
pub(crate) fn vote(
    w: &mut Writing<'_, '_>,
    approval: ApprovalId,
    operator: OperatorId,
    approve: bool,
    note: Option<&str>,
    checklist: &[String],
    break_glass: bool,
) -> Result<(), DbError> {
    let (now, audit_id) = (w.now().0, w.because());
    let checklist = serde_json::to_string(checklist).map_err(|e| DbError::Shape(e.to_string()))?;
    w.conn().execute(
        "/* vote_insert */ INSERT INTO votes (approval_id, operator_id, approve, note, checklist_json, break_glass, at_ms, audit_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            approval.to_string().as_str(),
            operator.to_string().as_str(),
            approve,
            note,
            checklist.as_str(),
            break_glass,
            now,
            audit_id
        ],
    )?;
    Ok(())
}
