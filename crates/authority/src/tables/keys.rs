//! Wrapped keys.

use crate::{
    db::{Conn, DbError},
    params,
};

/// A wrapped key.
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) purpose: String,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) root_key_id: String,
    pub(crate) retired: bool,
}

pub(crate) fn list(conn: &mut Conn) -> Result<Vec<KeyRow>, DbError> {
    let rows = conn.query(
        "/* key_list */ SELECT id, purpose, wrapped, root_key_id, retired_at FROM keys ORDER BY created_at, id",
        &[],
    )?;
    rows.iter()
        .map(|row| {
            Ok(KeyRow {
                id: row.text(0)?.to_owned(),
                purpose: row.text(1)?.to_owned(),
                wrapped: row.bytes(2)?.to_vec(),
                root_key_id: row.text(3)?.to_owned(),
                retired: row.opt_int(4)?.is_some(),
            })
        })
        .collect()
}

/// How many there are.
pub(crate) fn count(conn: &mut Conn) -> Result<i64, DbError> {
    let row = conn.query_opt("/* key_count */ SELECT COUNT(*) FROM keys", &[])?;
    super::word(row, "keys")?.int(0)
}

pub(crate) fn insert(
    conn: &mut Conn,
    id: &str,
    purpose: &str,
    wrapped: &[u8],
    root_key_id: &str,
    now: i64,
) -> Result<(), DbError> {
    conn.execute(
        "/* key_insert */ INSERT INTO keys (id, purpose, wrapped, root_key_id, created_at) VALUES ($1, $2, $3, $4, $5)",
        params![id, purpose, wrapped, root_key_id, now],
    )?;
    Ok(())
}

/// Retires every data key but `keep`: they still open, they seal no more.
pub(crate) fn retire_others(conn: &mut Conn, keep: &str, now: i64) -> Result<u64, DbError> {
    conn.execute(
        "/* key_retire */ UPDATE keys SET retired_at = $2 WHERE purpose = 'data' AND id <> $1 AND retired_at IS NULL",
        params![keep, now],
    )
}
