//! Turns: the work of one run on one message.

use portcullis_kernel::{
    id::{BootId, MessageId, TurnId, WorkspaceId},
    time::Timestamp,
};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
};

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TurnRow {
    pub(crate) id: TurnId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) boot: BootId,
    pub(crate) message: MessageId,
    pub(crate) state: String,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

fn read(row: &Row) -> Result<TurnRow, DbError> {
    Ok(TurnRow {
        id: word(row.text(0)?.parse().ok(), "turns.id")?,
        workspace: word(row.text(1)?.parse().ok(), "turns.workspace_id")?,
        boot: word(row.text(2)?.parse().ok(), "turns.boot_id")?,
        message: word(row.text(3)?.parse().ok(), "turns.message_id")?,
        state: row.text(4)?.to_owned(),
        started_at: Timestamp(row.int(5)?),
        ended_at: row.opt_int(6)?.map(Timestamp),
    })
}

pub(crate) fn find(conn: &mut Conn, id: TurnId) -> Result<Option<TurnRow>, DbError> {
    let row = conn.query_opt(
        "/* turn_find */ SELECT id, workspace_id, boot_id, message_id, state, started_at, ended_at FROM turns WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

static RUNNING: &str = "/* turn_running */ SELECT id, workspace_id, boot_id, message_id, state, started_at, ended_at FROM turns \
     WHERE workspace_id = $1 AND state = 'running'";

/// The turn of a workspace that is running.
pub(crate) fn running(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<TurnRow>, DbError> {
    let row = conn.query_opt(RUNNING, params![workspace.to_string().as_str()])?;
    row.as_ref().map(read).transpose()
}

/// Asks ahead for what [`running`] will want.
pub(crate) fn running_ahead(conn: &mut Conn, workspace: WorkspaceId) -> Result<(), DbError> {
    conn.ahead(RUNNING, params![workspace.to_string().as_str()])
}

/// Every turn that is running.
pub(crate) fn all_running(conn: &mut Conn) -> Result<Vec<TurnRow>, DbError> {
    let rows = conn.query(
        "/* turn_all_running */ SELECT id, workspace_id, boot_id, message_id, state, started_at, ended_at FROM turns WHERE state = 'running'",
        &[],
    )?;
    rows.iter().map(read).collect()
}

/// Turns of a workspace, newest first.
pub(crate) fn list(conn: &mut Conn, workspace: WorkspaceId, limit: i64) -> Result<Vec<TurnRow>, DbError> {
    let rows = conn.query(
        "/* turn_list */ SELECT id, workspace_id, boot_id, message_id, state, started_at, ended_at FROM turns \
         WHERE workspace_id = $1 ORDER BY started_at DESC, audit_id DESC LIMIT $2",
        params![workspace.to_string().as_str(), limit],
    )?;
    rows.iter().map(read).collect()
}

/// When the last turn of a run ended.
pub(crate) fn last_ended(conn: &mut Conn, boot: BootId) -> Result<Option<Timestamp>, DbError> {
    let row = conn.query_opt(
        "/* turn_last_ended */ SELECT MAX(ended_at) FROM turns WHERE boot_id = $1",
        params![boot.to_string().as_str()],
    )?;
    row.map_or(Ok(None), |row| Ok(row.opt_int(0)?.map(Timestamp)))
}

/// Messages whose turns were lost with a run.
pub(crate) fn lost(conn: &mut Conn, boot: BootId) -> Result<Vec<MessageId>, DbError> {
    let rows = conn.query(
        "/* turn_lost */ SELECT message_id FROM turns WHERE boot_id = $1 AND state = 'lost'",
        params![boot.to_string().as_str()],
    )?;
    rows.iter().map(|row| word(row.text(0)?.parse().ok(), "turns.message_id")).collect()
}

pub(crate) fn insert(
    w: &mut Writing<'_, '_>,
    id: TurnId,
    workspace: WorkspaceId,
    boot: BootId,
    message: MessageId,
) -> Result<(), DbError> {
    let (now, audit_id) = (w.now().0, w.because());
    w.conn().execute(
        "/* turn_insert */ INSERT INTO turns (id, workspace_id, boot_id, message_id, state, started_at, audit_id) \
         VALUES ($1, $2, $3, $4, 'running', $5, $6)",
        params![
            id.to_string().as_str(),
            workspace.to_string().as_str(),
            boot.to_string().as_str(),
            message.to_string().as_str(),
            now,
            audit_id
        ],
    )?;
    Ok(())
}

/// Ends a turn. False when it had ended before.
pub(crate) fn end(conn: &mut Conn, id: TurnId, state: &str, now: i64) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* turn_end */ UPDATE turns SET state = $2, ended_at = $3 WHERE id = $1 AND state = 'running'",
        params![id.to_string().as_str(), state, now],
    )?;
    Ok(rows == 1)
}
