//! Facts about this deployment.

use portcullis_kernel::audit::hex;

use crate::{
    db::{Conn, DbError},
    params, vault,
};

pub(crate) fn get(conn: &mut Conn, name: &str) -> Result<Option<String>, DbError> {
    let row = conn.query_opt("/* meta_get */ SELECT value FROM meta WHERE name = $1", params![name])?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}

pub(crate) fn put(conn: &mut Conn, name: &str, value: &str) -> Result<(), DbError> {
    conn.execute("/* meta_put */ INSERT INTO meta (name, value) VALUES ($1, $2)", params![name, value])?;
    Ok(())
}

/// Bytes of a trial row, which is twice as long: as much as a large value needs.
const TRIAL_BYTES: usize = 24 * 1024;

/// Stores something and takes it back: a write that changes nothing, to learn whether one is taken. It has to be another
/// value in between, since SQLite does not store what is there already; and PostgreSQL has room for a small one where there
/// is none for a new page, so there it is a large one, which cannot be made smaller.
pub(crate) fn rewrite(conn: &mut Conn) -> Result<(), DbError> {
    if conn.is_postgres() {
        let trial = hex::encode(&vault::random::<TRIAL_BYTES>());
        conn.execute("/* meta_trial */ INSERT INTO meta (name, value) VALUES ('trial', $1)", params![trial.as_str()])?;
        conn.execute("/* meta_tried */ DELETE FROM meta WHERE name = 'trial'", &[])?;
    }
    conn.execute("/* meta_rewrite */ UPDATE meta SET value = value || ' '", &[])?;
    conn.execute("/* meta_rewritten */ UPDATE meta SET value = substr(value, 1, length(value) - 1)", &[])?;
    Ok(())
}

/// Reads of every table: one that is gone or unreadable is an error, and with it a request somewhere would fail.
pub(crate) fn every_table(conn: &mut Conn) -> Result<(), DbError> {
    let row = conn.query_opt(
        "/* meta_every_table */ SELECT COUNT(*) FROM meta WHERE EXISTS (SELECT 1 FROM workspaces) \
         AND NOT (EXISTS (SELECT 1 FROM writer_lock WHERE id < 0) OR EXISTS (SELECT 1 FROM audit WHERE seq < 0) \
         OR EXISTS (SELECT 1 FROM audit_head WHERE id < 0) OR EXISTS (SELECT 1 FROM checkpoints WHERE size < 0) \
         OR EXISTS (SELECT 1 FROM events WHERE id < 0) OR EXISTS (SELECT 1 FROM keys WHERE id = '') \
         OR EXISTS (SELECT 1 FROM intents WHERE id < 0) OR EXISTS (SELECT 1 FROM secrets WHERE scope = '') \
         OR EXISTS (SELECT 1 FROM secret_versions WHERE scope = '') OR EXISTS (SELECT 1 FROM operators WHERE id = '') \
         OR EXISTS (SELECT 1 FROM credentials WHERE id = '') OR EXISTS (SELECT 1 FROM approvals WHERE id = '') \
         OR EXISTS (SELECT 1 FROM votes WHERE approval_id = '') OR EXISTS (SELECT 1 FROM policies WHERE id = '') \
         OR EXISTS (SELECT 1 FROM policy_revision WHERE id < 0) OR EXISTS (SELECT 1 FROM idempotency WHERE principal = '') \
         OR EXISTS (SELECT 1 FROM runs WHERE boot_id = '') OR EXISTS (SELECT 1 FROM turns WHERE id = '') \
         OR EXISTS (SELECT 1 FROM messages WHERE seq < 0) OR EXISTS (SELECT 1 FROM passkeys WHERE id = '') \
         OR EXISTS (SELECT 1 FROM servers WHERE id = '') \
         OR EXISTS (SELECT 1 FROM challenges WHERE seq < 0))",
        &[],
    )?;
    let rows = row.map_or(Ok(0), |row| row.int(0))?;
    if rows > 0 { Ok(()) } else { Err(DbError::Shape("the organisation's rows are gone".into())) }
}
