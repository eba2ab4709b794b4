//! Servers: one row per data directory that ever ran agents on this database.

use portcullis_kernel::id::ServerId;

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
};

/// One server.
pub(crate) struct ServerRow {
    pub(crate) id: ServerId,
    pub(crate) beat: i64,
    pub(crate) reaches: Vec<String>,
}

fn read(row: &Row) -> Result<ServerRow, DbError> {
    Ok(ServerRow {
        id: word(row.text(0)?.parse().ok(), "servers.id")?,
        beat: row.int(1)?,
        reaches: word(serde_json::from_str(row.text(2)?).ok(), "servers.reaches")?,
    })
}

/// Begins a new life of a server; its epoch, which no other life of it has or had. Rows are dropped and may come back, so the
/// first epoch of a row is the time.
pub(crate) fn enlist(conn: &mut Conn, id: ServerId, reaches: &str, now: i64) -> Result<i64, DbError> {
    conn.execute(
        "/* server_enlist */ INSERT INTO servers (id, epoch, beat, reaches, started_at, beat_at) VALUES ($1, $3, 1, $2, $3, $3) \
         ON CONFLICT (id) DO UPDATE SET epoch = servers.epoch + 1, beat = servers.beat + 1, reaches = excluded.reaches, \
         started_at = excluded.started_at, beat_at = excluded.beat_at",
        params![id.to_string().as_str(), reaches, now],
    )?;
    word(epoch(conn, id)?, "servers.epoch")
}

/// The life that a server is in.
pub(crate) fn epoch(conn: &mut Conn, id: ServerId) -> Result<Option<i64>, DbError> {
    let row =
        conn.query_opt("/* server_epoch */ SELECT epoch FROM servers WHERE id = $1", params![id.to_string().as_str()])?;
    row.map(|row| row.int(0)).transpose()
}

/// Drops the servers that have not beaten since then and supervise nothing.
pub(crate) fn prune(conn: &mut Conn, before: i64) -> Result<u64, DbError> {
    conn.execute(
        "/* server_prune */ DELETE FROM servers WHERE beat_at <= $1 \
         AND NOT EXISTS (SELECT 1 FROM workspaces w WHERE w.owner = servers.id AND (w.status <> 'removed' OR EXISTS \
         (SELECT 1 FROM runs r WHERE r.workspace_id = w.id AND r.state = 'live')))",
        params![before],
    )
}

/// A sign of life. False when another life of this server has begun.
pub(crate) fn beat(conn: &mut Conn, id: ServerId, epoch: i64, reaches: &str, now: i64) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* server_beat */ UPDATE servers SET beat = beat + 1, reaches = $3, beat_at = $4 WHERE id = $1 AND epoch = $2",
        params![id.to_string().as_str(), epoch, reaches, now],
    )?;
    Ok(rows == 1)
}

/// One server.
pub(crate) fn find(conn: &mut Conn, id: ServerId) -> Result<Option<ServerRow>, DbError> {
    let row = conn.query_opt(
        "/* server_find */ SELECT id, beat, reaches FROM servers WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

/// All but this one.
pub(crate) fn others(conn: &mut Conn, id: ServerId) -> Result<Vec<ServerRow>, DbError> {
    let rows = conn.query(
        "/* server_others */ SELECT id, beat, reaches FROM servers WHERE id <> $1 ORDER BY id",
        params![id.to_string().as_str()],
    )?;
    rows.iter().map(read).collect()
}
