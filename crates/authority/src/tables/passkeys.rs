//! Passkeys of operators: public keys and what they are called.

use portcullis_kernel::id::{OperatorId, PasskeyId};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
    webauthn::Key,
};

/// One passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PasskeyRow {
    pub(crate) id: PasskeyId,
    pub(crate) operator: OperatorId,
    pub(crate) credential_id: Vec<u8>,
    pub(crate) key: Key,
    pub(crate) rp_id: String,
    pub(crate) name: String,
    pub(crate) sign_count: i64,
    pub(crate) created_at: i64,
    pub(crate) last_used_at: Option<i64>,
}

fn read(row: &Row) -> Result<PasskeyRow, DbError> {
    Ok(PasskeyRow {
        id: word(row.text(0)?.parse().ok(), "passkeys.id")?,
        operator: word(row.text(1)?.parse().ok(), "passkeys.operator_id")?,
        credential_id: row.bytes(2)?.to_vec(),
        key: word(Key::stored(row.int(3)?, row.bytes(4)?), "passkeys.public_key")?,
        rp_id: row.text(5)?.to_owned(),
        name: row.text(6)?.to_owned(),
        sign_count: row.int(7)?,
        created_at: row.int(8)?,
        last_used_at: row.opt_int(9)?,
    })
}

/// The passkey that an authenticator calls so.
pub(crate) fn find(conn: &mut Conn, credential_id: &[u8]) -> Result<Option<PasskeyRow>, DbError> {
    let row = conn.query_opt(
        "/* passkey_find */ SELECT id, operator_id, credential_id, algorithm, public_key, rp_id, name, sign_count, created_at, last_used_at \
         FROM passkeys WHERE credential_id = $1",
        params![credential_id],
    )?;
    row.as_ref().map(read).transpose()
}

/// An operator's passkeys, oldest first.
pub(crate) fn list(conn: &mut Conn, operator: OperatorId) -> Result<Vec<PasskeyRow>, DbError> {
    let rows = conn.query(
        "/* passkey_list */ SELECT id, operator_id, credential_id, algorithm, public_key, rp_id, name, sign_count, created_at, last_used_at \
         FROM passkeys WHERE operator_id = $1 ORDER BY created_at, id LIMIT 1000",
        params![operator.to_string().as_str()],
    )?;
    rows.iter().map(read).collect()
}

pub(crate) fn insert(w: &mut Writing<'_, '_>, row: &PasskeyRow) -> Result<(), DbError> {
    let audit_id = w.because();
    w.conn().execute(
        "/* passkey_insert */ INSERT INTO passkeys (id, operator_id, credential_id, algorithm, public_key, rp_id, name, sign_count, \
         created_at, last_used_at, audit_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        params![
            row.id.to_string().as_str(),
            row.operator.to_string().as_str(),
            row.credential_id.as_slice(),
            row.key.algorithm().cose(),
            row.key.bytes(),
            row.rp_id.as_str(),
            row.name.as_str(),
            row.sign_count,
            row.created_at,
            row.last_used_at,
            audit_id,
        ],
    )?;
    Ok(())
}

/// Remembers a use and how far the authenticator has counted.
pub(crate) fn used(conn: &mut Conn, id: PasskeyId, sign_count: i64, now: i64) -> Result<(), DbError> {
    conn.execute(
        "/* passkey_used */ UPDATE passkeys SET sign_count = $2, last_used_at = $3 WHERE id = $1",
        params![id.to_string().as_str(), sign_count, now],
    )?;
    Ok(())
}

/// Removes one of an operator's passkeys; false when there is none. The log remembers it.
pub(crate) fn remove(conn: &mut Conn, operator: OperatorId, id: PasskeyId) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* passkey_remove */ DELETE FROM passkeys WHERE id = $1 AND operator_id = $2",
        params![id.to_string().as_str(), operator.to_string().as_str()],
    )?;
    Ok(rows == 1)
}

/// Removes all of an operator's passkeys. Returns how many there were.
pub(crate) fn remove_all(conn: &mut Conn, operator: OperatorId) -> Result<u64, DbError> {
    conn.execute(
        "/* passkey_remove_all */ DELETE FROM passkeys WHERE operator_id = $1",
        params![operator.to_string().as_str()],
    )
}
