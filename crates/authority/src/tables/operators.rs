//! Human operators.

use portcullis_kernel::{id::OperatorId, operator::Role};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
};

/// In the place of a hash: no password has it.
pub(crate) const NO_PASSWORD: &str = "!";

/// One operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatorRow {
    pub(crate) id: OperatorId,
    pub(crate) email: String,
    pub(crate) role: Role,
    pub(crate) groups: Vec<String>,
    pub(crate) created_at: i64,
    pub(crate) disabled_at: Option<i64>,
    /// No password was chosen yet.
    pub(crate) invited: bool,
    pub(crate) last_login_at: Option<i64>,
}

fn read(row: &Row) -> Result<OperatorRow, DbError> {
    Ok(OperatorRow {
        id: word(row.text(0)?.parse().ok(), "operators.id")?,
        email: row.text(1)?.to_owned(),
        role: word(Role::parse(row.text(2)?), "operators.role")?,
        groups: word(serde_json::from_str(row.text(3)?).ok(), "operators.groups_json")?,
        created_at: row.int(4)?,
        disabled_at: row.opt_int(5)?,
        invited: row.text(6)? == NO_PASSWORD,
        last_login_at: row.opt_int(7)?,
    })
}

pub(crate) fn find(conn: &mut Conn, id: OperatorId) -> Result<Option<OperatorRow>, DbError> {
    let row = conn.query_opt(
        "/* operator_find */ SELECT id, email, role, groups_json, created_at, disabled_at, password_hash, last_login_at FROM operators WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

/// An operator and the password hash, if one was chosen, by address.
pub(crate) fn find_login(conn: &mut Conn, email: &str) -> Result<Option<(OperatorRow, Option<String>)>, DbError> {
    let row = conn.query_opt(
        "/* operator_find_login */ SELECT id, email, role, groups_json, created_at, disabled_at, password_hash, last_login_at FROM operators WHERE email = $1",
        params![email],
    )?;
    row.map(|row| Ok((read(&row)?, Some(row.text(6)?).filter(|hash| *hash != NO_PASSWORD).map(str::to_owned))))
        .transpose()
}

/// Whether this is still the hash of an operator's password.
pub(crate) fn has_password(conn: &mut Conn, id: OperatorId, hash: &str) -> Result<bool, DbError> {
    let row = conn.query_opt(
        "/* operator_has_password */ SELECT id FROM operators WHERE id = $1 AND password_hash = $2",
        params![id.to_string().as_str(), hash],
    )?;
    Ok(row.is_some())
}

pub(crate) fn list(conn: &mut Conn) -> Result<Vec<OperatorRow>, DbError> {
    let rows = conn.query(
        "/* operator_list */ SELECT id, email, role, groups_json, created_at, disabled_at, password_hash, last_login_at FROM operators ORDER BY created_at, id LIMIT 1000",
        &[],
    )?;
    rows.iter().map(read).collect()
}

/// How many enabled owners there are besides this one.
pub(crate) fn other_owners(conn: &mut Conn, than: OperatorId) -> Result<i64, DbError> {
    let row = conn.query_opt(
        "/* operator_other_owners */ SELECT COUNT(*) FROM operators WHERE role = 'owner' AND disabled_at IS NULL AND id <> $1",
        params![than.to_string().as_str()],
    )?;
    word(row, "operators count")?.int(0)
}

/// How many operators there ever were.
pub(crate) fn count(conn: &mut Conn) -> Result<i64, DbError> {
    word(conn.query_opt("/* operator_count */ SELECT COUNT(*) FROM operators", &[])?, "operators count")?.int(0)
}

pub(crate) fn insert(
    w: &mut Writing<'_, '_>,
    id: OperatorId,
    email: &str,
    password_hash: &str,
    role: Role,
    groups: &[String],
) -> Result<(), DbError> {
    let (now, audit_id) = (w.now().0, w.because());
    let groups = serde_json::to_string(groups).map_err(|e| DbError::Shape(e.to_string()))?;
    w.conn().execute(
        "/* operator_insert */ INSERT INTO operators (id, email, password_hash, role, groups_json, created_at, audit_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![id.to_string().as_str(), email, password_hash, role.as_str(), groups.as_str(), now, audit_id],
    )?;
    Ok(())
}

/// Puts another password in the place of the one before.
pub(crate) fn set_password(w: &mut Writing<'_, '_>, id: OperatorId, hash: &str) -> Result<(), DbError> {
    let audit_id = w.because();
    w.conn().execute(
        "/* operator_set_password */ UPDATE operators SET password_hash = $2, audit_id = $3 WHERE id = $1",
        params![id.to_string().as_str(), hash, audit_id],
    )?;
    Ok(())
}

/// Remembers that a session was opened.
pub(crate) fn logged_in(conn: &mut Conn, id: OperatorId, now: i64) -> Result<(), DbError> {
    conn.execute(
        "/* operator_logged_in */ UPDATE operators SET last_login_at = $2 WHERE id = $1",
        params![id.to_string().as_str(), now],
    )?;
    Ok(())
}

pub(crate) fn update(w: &mut Writing<'_, '_>, row: &OperatorRow) -> Result<(), DbError> {
    let audit_id = w.because();
    let groups = serde_json::to_string(&row.groups).map_err(|e| DbError::Shape(e.to_string()))?;
    w.conn().execute(
        "/* operator_update */ UPDATE operators SET role = $2, groups_json = $3, disabled_at = $4, audit_id = $5 WHERE id = $1",
        params![row.id.to_string().as_str(), row.role.as_str(), groups.as_str(), row.disabled_at, audit_id],
    )?;
    Ok(())
}
