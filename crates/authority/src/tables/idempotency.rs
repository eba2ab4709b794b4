//! Answers kept under an idempotency key. No answer kept here holds a value or a token.

use crate::{
    db::{Conn, DbError},
    params,
};

/// How long an answer is kept.
pub(crate) const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// The request digest and the answer kept under `key`.
pub(crate) fn find(
    conn: &mut Conn,
    principal: &str,
    key: &str,
    now: i64,
) -> Result<Option<(Vec<u8>, String)>, DbError> {
    let row = conn.query_opt(
        "/* idempotency_find */ SELECT request_digest, answer FROM idempotency WHERE principal = $1 AND idempotency_key = $2 AND created_at > $3",
        params![principal, key, now - KEPT_MS],
    )?;
    row.map(|row| Ok((row.bytes(0)?.to_vec(), row.text(1)?.to_owned()))).transpose()
}

pub(crate) fn keep(
    conn: &mut Conn,
    principal: &str,
    key: &str,
    digest: &[u8],
    answer: &str,
    now: i64,
) -> Result<(), DbError> {
    conn.execute(
        "/* idempotency_keep */ INSERT INTO idempotency (principal, idempotency_key, request_digest, answer, created_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (principal, idempotency_key) DO UPDATE SET request_digest = excluded.request_digest, \
         answer = excluded.answer, created_at = excluded.created_at",
        params![principal, key, digest, answer, now],
    )?;
    Ok(())
}

pub(crate) fn prune(conn: &mut Conn, now: i64) -> Result<u64, DbError> {
    conn.execute("/* idempotency_prune */ DELETE FROM idempotency WHERE created_at <= $1", params![now - KEPT_MS])
}
