//! Secrets: one row per scope and key, with the two pointers.

use portcullis_kernel::deed::SecretScope;

use crate::{
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
};

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretRow {
    pub(crate) scope: String,
    pub(crate) key: String,
    pub(crate) state: String,
    pub(crate) latest: i64,
    pub(crate) active: Option<i64>,
    pub(crate) description: Option<String>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) updated_by: String,
}

fn read(row: &Row) -> Result<SecretRow, DbError> {
    Ok(SecretRow {
        scope: row.text(0)?.to_owned(),
        key: row.text(1)?.to_owned(),
        state: row.text(2)?.to_owned(),
        latest: row.int(3)?,
        active: row.opt_int(4)?,
        description: row.opt_text(5)?.map(str::to_owned),
        created_at: row.int(6)?,
        updated_at: row.int(7)?,
        updated_by: row.text(8)?.to_owned(),
    })
}

static FIND_WITH_DIGEST: &str = "/* secret_find_with_digest */ SELECT s.scope, s.key, s.state, s.latest, s.active, s.description, s.created_at, \
     s.updated_at, s.updated_by, v.digest FROM secrets s LEFT JOIN secret_versions v ON v.scope = s.scope AND v.key = s.key \
     AND v.version = s.active AND v.destroyed_at IS NULL WHERE s.scope = $1 AND s.key = $2";

/// A key, and the keyed digest of its active value if there is one.
pub(crate) type WithDigest = (SecretRow, Option<Vec<u8>>);

/// A key with the keyed digest of its active value; none when there is no such key.
pub(crate) fn find_with_digest(conn: &mut Conn, scope: SecretScope, key: &str) -> Result<Option<WithDigest>, DbError> {
    let row = conn.query_opt(FIND_WITH_DIGEST, params![scope.as_text().as_str(), key])?;
    row.as_ref().map(|row| Ok((read(row)?, row.opt_bytes(9)?.map(<[u8]>::to_vec)))).transpose()
}

/// Asks ahead for what [`find_with_digest`] will want.
pub(crate) fn find_with_digest_ahead(conn: &mut Conn, scope: SecretScope, key: &str) -> Result<(), DbError> {
    conn.ahead(FIND_WITH_DIGEST, params![scope.as_text().as_str(), key])
}

pub(crate) fn find(conn: &mut Conn, scope: SecretScope, key: &str) -> Result<Option<SecretRow>, DbError> {
    let row = conn.query_opt(
        "/* secret_find */ SELECT scope, key, state, latest, active, description, created_at, updated_at, updated_by \
         FROM secrets WHERE scope = $1 AND key = $2",
        params![scope.as_text().as_str(), key],
    )?;
    row.as_ref().map(read).transpose()
}

/// All keys of a scope, deleted ones too.
pub(crate) fn list(conn: &mut Conn, scope: &str) -> Result<Vec<SecretRow>, DbError> {
    let rows = conn.query(
        "/* secret_list */ SELECT scope, key, state, latest, active, description, created_at, updated_at, updated_by \
         FROM secrets WHERE scope = $1 ORDER BY key",
        params![scope],
    )?;
    rows.iter().map(read).collect()
}

/// Changes whenever a secret that may reach a workspace does.
pub(crate) fn stamp(conn: &mut Conn, workspace: &str) -> Result<String, DbError> {
    let row = conn.query_opt(
        "/* secret_stamp */ SELECT COUNT(*), COALESCE(MAX(audit_id), 0) FROM secrets WHERE scope = 'organisation' OR scope = $1",
        params![workspace],
    )?;
    let row = super::word(row, "secrets stamp")?;
    Ok(format!("{}/{}", row.int(0)?, row.int(1)?))
}

/// How many keys a scope has, deleted ones not counted.
pub(crate) fn count(conn: &mut Conn, scope: SecretScope) -> Result<i64, DbError> {
    let row = conn.query_opt(
        "/* secret_count */ SELECT COUNT(*) FROM secrets WHERE scope = $1 AND state <> 'deleted'",
        params![scope.as_text().as_str()],
    )?;
    super::word(row, "secrets count")?.int(0)
}

/// Where the pointers of a key stand after a write.
pub(crate) struct Pointers<'a> {
    pub(crate) scope: SecretScope,
    pub(crate) key: &'a str,
    pub(crate) state: &'a str,
    pub(crate) latest: i64,
    pub(crate) active: Option<i64>,
    pub(crate) description: Option<&'a str>,
}

/// Creates the row or moves its pointers. A description is kept unless a new one comes.
pub(crate) fn put(w: &mut Writing<'_, '_>, p: &Pointers<'_>) -> Result<(), DbError> {
    let (now, by, audit_id) = (w.now().0, w.by(), w.because());
    w.conn().send(
        "/* secret_put */ INSERT INTO secrets (scope, key, state, latest, active, description, created_at, updated_at, updated_by, audit_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9) ON CONFLICT (scope, key) DO UPDATE SET state = excluded.state, \
         latest = excluded.latest, active = excluded.active, description = COALESCE(excluded.description, secrets.description), \
         updated_at = excluded.updated_at, updated_by = excluded.updated_by, audit_id = excluded.audit_id",
        params![p.scope.as_text().as_str(), p.key, p.state, p.latest, p.active, p.description, now, by.as_str(), audit_id],
    )
}
