//! Versions of secrets: sealed values and who wrote them. Only ciphertext is ever here.

use portcullis_kernel::deed::SecretScope;

use crate::{
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
    vault::Sealed,
};

/// A version without its ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionRow {
    pub(crate) version: i64,
    pub(crate) delivery: String,
    pub(crate) origin: String,
    pub(crate) base_version: i64,
    pub(crate) created_at: i64,
    pub(crate) created_by: String,
    pub(crate) approval_id: Option<String>,
    pub(crate) approved_by: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) destroyed_at: Option<i64>,
}

fn read(row: &Row) -> Result<VersionRow, DbError> {
    Ok(VersionRow {
        version: row.int(0)?,
        delivery: row.text(1)?.to_owned(),
        origin: row.text(2)?.to_owned(),
        base_version: row.int(3)?,
        created_at: row.int(4)?,
        created_by: row.text(5)?.to_owned(),
        approval_id: row.opt_text(6)?.map(str::to_owned),
        approved_by: row.opt_text(7)?.map(str::to_owned),
        reason: row.opt_text(8)?.map(str::to_owned),
        expires_at: row.opt_int(9)?,
        destroyed_at: row.opt_int(10)?,
    })
}

/// The newest versions of a key, newest first.
pub(crate) fn list(conn: &mut Conn, scope: &str, key: &str, limit: i64) -> Result<Vec<VersionRow>, DbError> {
    let rows = conn.query(
        "/* version_list */ SELECT version, delivery, origin, base_version, created_at, created_by, approval_id, approved_by, reason, \
         expires_at, destroyed_at FROM secret_versions WHERE scope = $1 AND key = $2 ORDER BY version DESC LIMIT $3",
        params![scope, key, limit],
    )?;
    rows.iter().map(read).collect()
}

/// Delivery mode and expiry of every active version of a scope, by key.
pub(crate) fn active_of_scope(conn: &mut Conn, scope: &str) -> Result<Vec<(String, String, Option<i64>)>, DbError> {
    let rows = conn.query(
        "/* version_active */ SELECT s.key, v.delivery, v.expires_at FROM secrets s JOIN secret_versions v \
         ON v.scope = s.scope AND v.key = s.key AND v.version = s.active WHERE s.scope = $1",
        params![scope],
    )?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.opt_int(2)?))).collect()
}

/// What a version holds: ciphertext, delivery, expiry. `None` when there is none or it was destroyed.
pub(crate) struct Stored {
    pub(crate) sealed: Sealed,
    pub(crate) delivery: String,
    pub(crate) expires_at: Option<i64>,
}

pub(crate) fn stored(conn: &mut Conn, scope: &str, key: &str, version: i64) -> Result<Option<Stored>, DbError> {
    let row = conn.query_opt(
        "/* version_stored */ SELECT sealed, key_id, delivery, expires_at FROM secret_versions \
         WHERE scope = $1 AND key = $2 AND version = $3 AND destroyed_at IS NULL",
        params![scope, key, version],
    )?;
    row.map(|row| {
        Ok(Stored {
            sealed: Sealed { key_id: row.text(1)?.to_owned(), bytes: row.bytes(0)?.to_vec() },
            delivery: row.text(2)?.to_owned(),
            expires_at: row.opt_int(3)?,
        })
    })
    .transpose()
}

/// Keyed digest of a version; `None` when there is none.
pub(crate) fn digest(conn: &mut Conn, scope: &str, key: &str, version: i64) -> Result<Option<Vec<u8>>, DbError> {
    let row = conn.query_opt(
        "/* version_digest */ SELECT digest FROM secret_versions WHERE scope = $1 AND key = $2 AND version = $3 AND destroyed_at IS NULL",
        params![scope, key, version],
    )?;
    row.map(|row| row.bytes(0).map(<[u8]>::to_vec)).transpose()
}

/// A new version.
pub(crate) struct NewVersion<'a> {
    pub(crate) scope: SecretScope,
    pub(crate) key: &'a str,
    pub(crate) version: i64,
    pub(crate) sealed: &'a Sealed,
    pub(crate) digest: &'a [u8],
    pub(crate) delivery: &'a str,
    pub(crate) origin: &'a str,
    pub(crate) base_version: i64,
    pub(crate) reason: Option<&'a str>,
    pub(crate) expires_at: Option<i64>,
}

pub(crate) fn insert(w: &mut Writing<'_, '_>, v: &NewVersion<'_>) -> Result<(), DbError> {
    let (now, by, audit_id) = (w.now().0, w.by(), w.because());
    let approval = w.approved().map(|approved| (approved.id.to_string(), approved.by.clone()));
    let (approval_id, approved_by) = approval.map_or((None, None), |(id, by)| (Some(id), Some(by)));
    w.conn().send(
        "/* version_insert */ INSERT INTO secret_versions (scope, key, version, sealed, key_id, digest, delivery, origin, base_version, \
         created_at, created_by, approval_id, approved_by, reason, expires_at, audit_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        params![
            v.scope.as_text().as_str(),
            v.key,
            v.version,
            v.sealed.bytes.as_slice(),
            v.sealed.key_id.as_str(),
            v.digest,
            v.delivery,
            v.origin,
            v.base_version,
            now,
            by.as_str(),
            approval_id.as_deref(),
            approved_by.as_deref(),
            v.reason,
            v.expires_at,
            audit_id,
        ],
    )
}

/// Erases ciphertext and digest of one version, or of all. Returns the versions erased.
pub(crate) fn destroy(
    w: &mut Writing<'_, '_>,
    scope: SecretScope,
    key: &str,
    version: Option<i64>,
) -> Result<Vec<i64>, DbError> {
    let (now, audit_id) = (w.now().0, w.because());
    let rows = w.conn().query(
        "/* version_destroy */ UPDATE secret_versions SET sealed = NULL, key_id = NULL, digest = NULL, destroyed_at = $4, audit_id = $5 \
         WHERE scope = $1 AND key = $2 AND (CAST($3 AS BIGINT) IS NULL OR version = $3) AND destroyed_at IS NULL RETURNING version",
        params![scope.as_text().as_str(), key, version, now, audit_id],
    )?;
    let mut versions = rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
    versions.sort_unstable();
    Ok(versions)
}

/// One version under another key than `sealing`, for resealing.
pub(crate) fn next_to_reseal(
    conn: &mut Conn,
    sealing: &str,
    limit: i64,
) -> Result<Vec<(String, String, i64, Sealed)>, DbError> {
    let rows = conn.query(
        "/* version_next_to_reseal */ SELECT scope, key, version, sealed, key_id FROM secret_versions \
         WHERE key_id IS NOT NULL AND key_id <> $1 ORDER BY scope, key, version LIMIT $2",
        params![sealing, limit],
    )?;
    rows.iter()
        .map(|row| {
            let sealed = Sealed { key_id: row.text(4)?.to_owned(), bytes: row.bytes(3)?.to_vec() };
            Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.int(2)?, sealed))
        })
        .collect()
}

/// Replaces a version's ciphertext by the same value under the sealing key. Changes nothing anyone can see.
pub(crate) fn reseal(conn: &mut Conn, scope: &str, key: &str, version: i64, sealed: &Sealed) -> Result<(), DbError> {
    conn.execute(
        "/* version_reseal */ UPDATE secret_versions SET sealed = $4, key_id = $5 WHERE scope = $1 AND key = $2 AND version = $3 AND destroyed_at IS NULL",
        params![scope, key, version, sealed.bytes.as_slice(), sealed.key_id.as_str()],
    )?;
    Ok(())
}

/// How many versions are not under `sealing`.
pub(crate) fn left_to_reseal(conn: &mut Conn, sealing: &str) -> Result<i64, DbError> {
    let row = conn.query_opt(
        "/* version_left_to_reseal */ SELECT COUNT(*) FROM secret_versions WHERE key_id IS NOT NULL AND key_id <> $1",
        params![sealing],
    )?;
    super::word(row, "count")?.int(0)
}

/// Active versions that expire before `before` and were not reported yet: scope, key, version, when.
pub(crate) fn expiring(conn: &mut Conn, before: i64) -> Result<Vec<(String, String, i64, i64)>, DbError> {
    let rows = conn.query(
        "/* version_expiring */ SELECT v.scope, v.key, v.version, v.expires_at FROM secret_versions v JOIN secrets s \
         ON s.scope = v.scope AND s.key = v.key AND s.active = v.version \
         WHERE v.expires_at IS NOT NULL AND v.expires_at < $1 AND v.reminded_at IS NULL AND s.state = 'live' LIMIT 100",
        params![before],
    )?;
    rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned(), row.int(2)?, row.int(3)?))).collect()
}

/// Remembers that a reminder was recorded.
pub(crate) fn reminded(conn: &mut Conn, scope: &str, key: &str, version: i64, now: i64) -> Result<(), DbError> {
    conn.execute(
        "/* version_reminded */ UPDATE secret_versions SET reminded_at = $4 WHERE scope = $1 AND key = $2 AND version = $3",
        params![scope, key, version, now],
    )?;
    Ok(())
}
