//! Credentials of every kind. Only hashes are here.

use portcullis_kernel::{
    id::{CredentialId, OperatorId, WorkspaceId},
    scope::Scopes,
    subject::{Lineage, Principal},
    time::Timestamp,
};

use super::word;
use crate::{
    caller::CredentialKind,
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
};

/// Name of the token that belongs to one run of an agent.
pub(crate) const BOOT: &str = "boot";
/// Why such a token was revoked when its run ended. The principal lives on: what it asked for stays asked.
pub(crate) const BOOT_ENDED: &str = "boot_ended";

/// One credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CredentialRow {
    pub(crate) id: CredentialId,
    pub(crate) kind: CredentialKind,
    pub(crate) hint: String,
    pub(crate) name: String,
    pub(crate) principal: Principal,
    pub(crate) ancestors: Vec<CredentialId>,
    pub(crate) workspace_id: Option<WorkspaceId>,
    pub(crate) scopes: Scopes,
    pub(crate) unattended: bool,
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) idle_ms: Option<i64>,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) stepped_up_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
    pub(crate) revoked_why: Option<String>,
}

impl CredentialRow {
    /// The credential and those it was minted from, nearest first.
    pub(crate) fn lineage(&self) -> Lineage {
        Lineage(std::iter::once(self.id).chain(self.ancestors.iter().copied()).collect())
    }
}

/// Ids separated by spaces, as stored.
pub(crate) fn ids_text(ids: &[CredentialId]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn read(row: &Row) -> Result<CredentialRow, DbError> {
    let ancestors: Option<Vec<_>> = row.text(6)?.split_whitespace().map(|id| id.parse().ok()).collect();
    let scopes = serde_json::from_str(row.text(8)?).ok();
    Ok(CredentialRow {
        id: word(row.text(0)?.parse().ok(), "credentials.id")?,
        kind: word(CredentialKind::parse(row.text(1)?), "credentials.kind")?,
        hint: row.text(2)?.to_owned(),
        name: row.text(3)?.to_owned(),
        principal: word(Principal::parse(row.text(4)?, row.text(5)?), "credentials.principal")?,
        ancestors: word(ancestors, "credentials.ancestors")?,
        workspace_id: row.opt_text(7)?.map(|id| word(id.parse().ok(), "credentials.workspace_id")).transpose()?,
        scopes: word(scopes, "credentials.scopes")?,
        unattended: row.int(9)? != 0,
        created_at: row.int(10)?,
        created_by: row.text(11)?.to_owned(),
        expires_at: Timestamp(row.int(12)?),
        idle_ms: row.opt_int(13)?,
        last_used_at: row.opt_int(14)?,
        stepped_up_at: row.opt_int(15)?,
        revoked_at: row.opt_int(16)?,
        revoked_why: row.opt_text(17)?.map(str::to_owned),
    })
}

static FIND: &str = "/* credential_find */ SELECT id, kind, hint, name, principal_kind, principal_id, ancestors, workspace_id, scopes_json, unattended, \
         created_at, created_by, expires_at, idle_ms, last_used_at, stepped_up_at, revoked_at, revoked_why FROM credentials WHERE id = $1";

pub(crate) fn find(conn: &mut Conn, id: CredentialId) -> Result<Option<CredentialRow>, DbError> {
    let row = conn.query_opt(FIND, params![id.to_string().as_str()])?;
    row.as_ref().map(read).transpose()
}

/// Asks ahead for what [`find`] will want.
pub(crate) fn find_ahead(conn: &mut Conn, id: CredentialId) -> Result<(), DbError> {
    conn.ahead(FIND, params![id.to_string().as_str()])
}

static FIND_BY_HASH: &str = "/* credential_find_by_hash */ SELECT id, kind, hint, name, principal_kind, principal_id, ancestors, workspace_id, scopes_json, unattended, \
         created_at, created_by, expires_at, idle_ms, last_used_at, stepped_up_at, revoked_at, revoked_why FROM credentials WHERE token_hash = $1";

pub(crate) fn find_by_hash(conn: &mut Conn, hash: &[u8]) -> Result<Option<CredentialRow>, DbError> {
    let row = conn.query_opt(FIND_BY_HASH, params![hash])?;
    row.as_ref().map(read).transpose()
}

/// Asks ahead for what [`find_by_hash`] will want.
pub(crate) fn find_by_hash_ahead(conn: &mut Conn, hash: &[u8]) -> Result<(), DbError> {
    conn.ahead(FIND_BY_HASH, params![hash])
}

/// Tokens for listing: organisation tokens (`workspace` absent) or those of one workspace, newest first.
pub(crate) fn list(conn: &mut Conn, workspace: Option<WorkspaceId>) -> Result<Vec<CredentialRow>, DbError> {
    let workspace = workspace.map(|id| id.to_string());
    let rows = conn.query(
        "/* credential_list */ SELECT id, kind, hint, name, principal_kind, principal_id, ancestors, workspace_id, scopes_json, unattended, \
         created_at, created_by, expires_at, idle_ms, last_used_at, stepped_up_at, revoked_at, revoked_why FROM credentials \
         WHERE (CAST($1 AS TEXT) IS NULL AND kind = 'organisation') OR (workspace_id = $1 AND kind = 'workspace') \
         ORDER BY created_at DESC, id LIMIT 1000",
        params![workspace.as_deref()],
    )?;
    rows.iter().map(read).collect()
}

/// Live tokens of one workspace, or of the organisation.
pub(crate) fn live_count(conn: &mut Conn, workspace: Option<WorkspaceId>, now: i64) -> Result<i64, DbError> {
    let workspace = workspace.map(|id| id.to_string());
    let row = conn.query_opt(
        "/* credential_live_count */ SELECT COUNT(*) FROM credentials WHERE ((CAST($1 AS TEXT) IS NULL AND kind = 'organisation') \
         OR (workspace_id = $1 AND kind = 'workspace')) AND revoked_at IS NULL AND expires_at > $2",
        params![workspace.as_deref(), now],
    )?;
    word(row, "credentials count")?.int(0)
}

/// A new credential.
pub(crate) struct NewCredential<'a> {
    pub(crate) id: CredentialId,
    pub(crate) kind: CredentialKind,
    pub(crate) hash: &'a [u8],
    pub(crate) hint: &'a str,
    pub(crate) name: &'a str,
    pub(crate) principal: Principal,
    /// Nearest first; the first is the parent.
    pub(crate) ancestors: &'a [CredentialId],
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) scopes: &'a Scopes,
    pub(crate) unattended: bool,
    pub(crate) expires_at: i64,
    pub(crate) idle_ms: Option<i64>,
    /// Ciphertext and key id of what a claim turns into.
    pub(crate) payload: Option<(&'a [u8], &'a str)>,
}

pub(crate) fn insert(w: &mut Writing<'_, '_>, c: &NewCredential<'_>) -> Result<(), DbError> {
    let (now, by, audit_id) = (w.now().0, w.by(), w.because());
    let scopes = serde_json::to_string(c.scopes).map_err(|e| DbError::Shape(e.to_string()))?;
    let parent = c.ancestors.first().map(ToString::to_string);
    let workspace = c.workspace.map(|id| id.to_string());
    // Whoever begins a session uses it; a token is used by whoever shows it.
    let used = c.idle_ms.map(|_| now);
    w.conn().execute(
        "/* credential_insert */ INSERT INTO credentials (id, kind, token_hash, hint, name, principal_kind, principal_id, parent_id, ancestors, \
         workspace_id, scopes_json, unattended, created_at, created_by, expires_at, idle_ms, last_used_at, payload, payload_key_id, audit_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $20, $17, $18, $19)",
        params![
            c.id.to_string().as_str(),
            c.kind.as_str(),
            c.hash,
            c.hint,
            c.name,
            c.principal.kind(),
            c.principal.id().as_str(),
            parent.as_deref(),
            ids_text(c.ancestors).as_str(),
            workspace.as_deref(),
            scopes.as_str(),
            c.unattended,
            now,
            by.as_str(),
            c.expires_at,
            c.idle_ms,
            c.payload.map(|(bytes, _)| bytes),
            c.payload.map(|(_, key_id)| key_id),
            audit_id,
            used,
        ],
    )?;
    Ok(())
}

/// Revokes a credential and everything minted from it, however deep. Returns how many were live.
pub(crate) fn revoke_tree(conn: &mut Conn, id: CredentialId, why: &str, now: i64) -> Result<u64, DbError> {
    conn.execute(
        "/* credential_revoke_tree */ WITH RECURSIVE tree(id) AS (SELECT id FROM credentials WHERE id = $1 \
         UNION SELECT c.id FROM credentials c JOIN tree ON c.parent_id = tree.id) \
         UPDATE credentials SET revoked_at = $2, revoked_why = $3 WHERE id IN (SELECT id FROM tree) AND revoked_at IS NULL",
        params![id.to_string().as_str(), now, why],
    )
}

/// Revokes everything that speaks for a principal, and everything minted from that.
pub(crate) fn revoke_principal(conn: &mut Conn, principal: Principal, why: &str, now: i64) -> Result<u64, DbError> {
    conn.execute(
        "/* credential_revoke_principal */ UPDATE credentials SET revoked_at = $3, revoked_why = $4 \
         WHERE principal_kind = $1 AND principal_id = $2 AND revoked_at IS NULL",
        params![principal.kind(), principal.id().as_str(), now, why],
    )
}

/// Revokes everything bound to a workspace: its tokens and its enrolment codes.
pub(crate) fn revoke_workspace(conn: &mut Conn, workspace: WorkspaceId, now: i64) -> Result<u64, DbError> {
    let id = workspace.to_string();
    conn.execute(
        "/* credential_revoke_workspace */ UPDATE credentials SET revoked_at = $2, revoked_why = 'workspace_removed' \
         WHERE (workspace_id = $1 OR (principal_kind = 'agent' AND principal_id = $1)) AND revoked_at IS NULL",
        params![id.as_str(), now],
    )
}

/// Uses a one-time code up. False when somebody else did.
pub(crate) fn use_up(conn: &mut Conn, id: CredentialId, now: i64) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* credential_use_up */ UPDATE credentials SET revoked_at = $2, revoked_why = 'used', last_used_at = $2, payload = NULL, \
         payload_key_id = NULL WHERE id = $1 AND revoked_at IS NULL",
        params![id.to_string().as_str(), now],
    )?;
    Ok(rows == 1)
}

/// Revokes the links an operator could choose a password with.
pub(crate) fn revoke_invites(conn: &mut Conn, operator: OperatorId, now: i64) -> Result<u64, DbError> {
    conn.execute(
        "/* credential_revoke_invites */ UPDATE credentials SET revoked_at = $2, revoked_why = 'replaced' \
         WHERE principal_kind = 'operator' AND principal_id = $1 AND kind = 'claim' AND revoked_at IS NULL",
        params![operator.to_string().as_str(), now],
    )
}

/// Revokes the links that an operator issued for others.
pub(crate) fn revoke_invites_by(conn: &mut Conn, issuer: Principal, now: i64) -> Result<u64, DbError> {
    conn.execute(
        "/* credential_revoke_invites_by */ UPDATE credentials SET revoked_at = $2, revoked_why = 'operator_disabled' \
         WHERE created_by = $1 AND principal_kind = 'operator' AND kind = 'claim' AND revoked_at IS NULL",
        params![issuer.to_string().as_str(), now],
    )
}

/// Revokes everything that speaks for an operator but for one session.
pub(crate) fn revoke_others(
    conn: &mut Conn,
    operator: OperatorId,
    but: CredentialId,
    now: i64,
) -> Result<u64, DbError> {
    conn.execute(
        "/* credential_revoke_others */ UPDATE credentials SET revoked_at = $3, revoked_why = 'password_changed' \
         WHERE principal_kind = 'operator' AND principal_id = $1 AND id <> $2 AND revoked_at IS NULL",
        params![operator.to_string().as_str(), but.to_string().as_str(), now],
    )
}

/// The sealed payload of a claim.
pub(crate) fn payload(conn: &mut Conn, id: CredentialId) -> Result<Option<crate::vault::Sealed>, DbError> {
    let row = conn.query_opt(
        "/* credential_payload */ SELECT payload, payload_key_id FROM credentials WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    let Some(row) = row else { return Ok(None) };
    match (row.opt_bytes(0)?, row.opt_text(1)?) {
        (Some(bytes), Some(key_id)) => {
            Ok(Some(crate::vault::Sealed { key_id: key_id.to_owned(), bytes: bytes.to_vec() }))
        }
        _ => Ok(None),
    }
}

/// Remembers the last use. Not exact: written at most once a minute per credential.
pub(crate) fn touch(conn: &mut Conn, id: CredentialId, now: i64) -> Result<(), DbError> {
    conn.execute(
        "/* credential_touch */ UPDATE credentials SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
        params![id.to_string().as_str(), now],
    )?;
    Ok(())
}

/// Words for the program a session was opened with.
pub(crate) fn set_device(conn: &mut Conn, id: CredentialId, device: &str) -> Result<(), DbError> {
    conn.execute(
        "/* credential_set_device */ UPDATE credentials SET device = $2 WHERE id = $1",
        params![id.to_string().as_str(), device],
    )?;
    Ok(())
}

/// A session that lives.
pub(crate) struct SessionRow {
    pub(crate) id: CredentialId,
    /// None for one that was opened before it was asked.
    pub(crate) device: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) last_used_at: Option<i64>,
    pub(crate) expires_at: i64,
}

/// An operator's sessions that live, newest first.
pub(crate) fn sessions(conn: &mut Conn, operator: OperatorId, now: i64) -> Result<Vec<SessionRow>, DbError> {
    let rows = conn.query(
        "/* credential_sessions */ SELECT id, device, created_at, last_used_at, expires_at FROM credentials \
         WHERE principal_kind = 'operator' AND principal_id = $1 AND kind = 'session' AND revoked_at IS NULL AND expires_at > $2 \
         AND (idle_ms IS NULL OR COALESCE(last_used_at, created_at) + idle_ms > $2) ORDER BY created_at DESC, id LIMIT 1000",
        params![operator.to_string().as_str(), now],
    )?;
    let read = |row: &Row| {
        Ok(SessionRow {
            id: word(row.text(0)?.parse().ok(), "credentials.id")?,
            device: row.opt_text(1)?.map(str::to_owned),
            created_at: row.int(2)?,
            last_used_at: row.opt_int(3)?,
            expires_at: row.int(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Remembers a re-authentication.
pub(crate) fn step_up(conn: &mut Conn, id: CredentialId, now: i64) -> Result<(), DbError> {
    conn.execute(
        "/* credential_step_up */ UPDATE credentials SET stepped_up_at = $2, last_used_at = $2 WHERE id = $1",
        params![id.to_string().as_str(), now],
    )?;
    Ok(())
}

/// The live admin credential, with its hash.
pub(crate) fn admin(conn: &mut Conn) -> Result<Option<(CredentialId, Vec<u8>)>, DbError> {
    let row = conn.query_opt(
        "/* credential_admin */ SELECT id, token_hash FROM credentials WHERE kind = 'admin' AND revoked_at IS NULL",
        &[],
    )?;
    row.map(|row| Ok((word(row.text(0)?.parse().ok(), "credentials.id")?, row.bytes(1)?.to_vec()))).transpose()
}

/// Live claim links for operators.
pub(crate) fn revoke_claims_for_first_operator(conn: &mut Conn, now: i64) -> Result<u64, DbError> {
    conn.execute(
        "/* credential_revoke_claims */ UPDATE credentials SET revoked_at = $1, revoked_why = 'replaced' \
         WHERE kind = 'claim' AND name = 'first operator' AND revoked_at IS NULL",
        params![now],
    )
}
