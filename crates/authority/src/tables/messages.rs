//! Messages to agents and from them. Texts are redacted before they come here.

use portcullis_kernel::{
    id::{MessageId, TurnId, WorkspaceId},
    subject::Principal,
    time::Timestamp,
};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageRow {
    pub(crate) seq: i64,
    pub(crate) id: MessageId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) direction: String,
    pub(crate) sender: Principal,
    pub(crate) sender_name: String,
    pub(crate) message_id: String,
    pub(crate) context_id: Option<String>,
    pub(crate) body: String,
    pub(crate) digest: String,
    pub(crate) state: String,
    pub(crate) turn: Option<TurnId>,
    pub(crate) reply: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) changed_at: Timestamp,
}

pub(super) fn read(row: &Row) -> Result<MessageRow, DbError> {
    Ok(MessageRow {
        seq: row.int(0)?,
        id: word(row.text(1)?.parse().ok(), "messages.id")?,
        workspace: word(row.text(2)?.parse().ok(), "messages.workspace_id")?,
        direction: row.text(3)?.to_owned(),
        sender: word(Principal::parse(row.text(4)?, row.text(5)?), "messages.sender")?,
        sender_name: row.text(6)?.to_owned(),
        message_id: row.text(7)?.to_owned(),
        context_id: row.opt_text(8)?.map(str::to_owned),
        body: row.text(9)?.to_owned(),
        digest: row.text(10)?.to_owned(),
        state: row.text(11)?.to_owned(),
        turn: row.opt_text(12)?.map(|id| word(id.parse().ok(), "messages.turn_id")).transpose()?,
        reply: row.opt_text(13)?.map(str::to_owned),
        error: row.opt_text(14)?.map(str::to_owned),
        created_at: Timestamp(row.int(15)?),
        ended_at: row.opt_int(16)?.map(Timestamp),
        changed_at: Timestamp(row.int(17)?),
    })
}

pub(crate) fn find(conn: &mut Conn, id: MessageId) -> Result<Option<MessageRow>, DbError> {
    let row = conn.query_opt(
        "/* message_find */ SELECT seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, context_id, body, digest, state, \
         turn_id, reply, error, created_at, ended_at, changed_at FROM messages WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

/// The message this sender gave this id.
pub(crate) fn known(
    conn: &mut Conn,
    workspace: WorkspaceId,
    sender: Principal,
    message_id: &str,
) -> Result<Option<MessageRow>, DbError> {
    let row = conn.query_opt(
        "/* message_known */ SELECT seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, context_id, body, digest, state, \
         turn_id, reply, error, created_at, ended_at, changed_at FROM messages \
         WHERE workspace_id = $1 AND sender_kind = $2 AND sender_id = $3 AND message_id = $4",
        params![workspace.to_string().as_str(), sender.kind(), sender.id().as_str(), message_id],
    )?;
    row.as_ref().map(read).transpose()
}

/// The oldest message that waits for a workspace's agent.
pub(crate) fn next(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<MessageRow>, DbError> {
    let row = conn.query_opt(
        "/* message_next */ SELECT seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, context_id, body, digest, state, \
         turn_id, reply, error, created_at, ended_at, changed_at FROM messages WHERE workspace_id = $1 AND state = 'queued' ORDER BY seq LIMIT 1",
        params![workspace.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

/// Messages of a workspace after a position, oldest first.
pub(crate) fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    after: i64,
    limit: i64,
) -> Result<Vec<MessageRow>, DbError> {
    let rows = conn.query(
        "/* message_list */ SELECT seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, context_id, body, digest, state, \
         turn_id, reply, error, created_at, ended_at, changed_at FROM messages WHERE workspace_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        params![workspace.to_string().as_str(), after, limit],
    )?;
    rows.iter().map(read).collect()
}

/// The newest messages of a workspace before a position, newest first.
pub(crate) fn before(
    conn: &mut Conn,
    workspace: WorkspaceId,
    before: i64,
    limit: i64,
) -> Result<Vec<MessageRow>, DbError> {
    let rows = conn.query(
        "/* message_before */ SELECT seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, context_id, body, digest, state, \
         turn_id, reply, error, created_at, ended_at, changed_at FROM messages WHERE workspace_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3",
        params![workspace.to_string().as_str(), before, limit],
    )?;
    rows.iter().map(read).collect()
}

static QUEUED: &str = "/* message_queued */ SELECT COUNT(*) FROM messages WHERE workspace_id = $1 AND state = 'queued'";

/// How many messages wait for a workspace's agent.
pub(crate) fn queued(conn: &mut Conn, workspace: WorkspaceId) -> Result<i64, DbError> {
    let row = conn.query_opt(QUEUED, params![workspace.to_string().as_str()])?;
    word(row, "messages count")?.int(0)
}

/// Asks ahead for what [`queued`] will want.
pub(crate) fn queued_ahead(conn: &mut Conn, workspace: WorkspaceId) -> Result<(), DbError> {
    conn.ahead(QUEUED, params![workspace.to_string().as_str()])
}

/// How many of those this sender sent.
pub(crate) fn queued_by(conn: &mut Conn, workspace: WorkspaceId, sender: Principal) -> Result<i64, DbError> {
    let row = conn.query_opt(
        "/* message_queued_by */ SELECT COUNT(*) FROM messages WHERE workspace_id = $1 AND state = 'queued' \
         AND sender_kind = $2 AND sender_id = $3",
        params![workspace.to_string().as_str(), sender.kind(), sender.id().as_str()],
    )?;
    word(row, "messages count")?.int(0)
}

/// How many words a workspace's agent had for the people since then.
pub(crate) fn out_since(conn: &mut Conn, workspace: WorkspaceId, since: i64) -> Result<i64, DbError> {
    let row = conn.query_opt(
        "/* message_out_since */ SELECT COUNT(*) FROM messages WHERE workspace_id = $1 AND direction = 'out' AND created_at > $2",
        params![workspace.to_string().as_str(), since],
    )?;
    word(row, "messages count")?.int(0)
}

/// How many messages wait, by workspace.
pub(crate) fn all_queued(conn: &mut Conn) -> Result<Vec<(WorkspaceId, i64)>, DbError> {
    let rows = conn.query(
        "/* message_all_queued */ SELECT workspace_id, COUNT(*) FROM messages WHERE state = 'queued' GROUP BY workspace_id",
        &[],
    )?;
    rows.iter().map(|row| Ok((word(row.text(0)?.parse().ok(), "messages.workspace_id")?, row.int(1)?))).collect()
}

/// A new message.
pub(crate) struct NewMessage<'a> {
    pub(crate) id: MessageId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) direction: &'a str,
    pub(crate) sender: Principal,
    pub(crate) sender_name: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) context_id: Option<&'a str>,
    pub(crate) body: &'a str,
    pub(crate) digest: &'a str,
    pub(crate) said: &'a str,
    pub(crate) state: &'a str,
}

pub(crate) fn insert(w: &mut Writing<'_, '_>, new: &NewMessage<'_>) -> Result<i64, DbError> {
    let (now, audit_id) = (w.now().0, w.because());
    let row = w.conn().query_opt("/* message_seq */ SELECT COALESCE(MAX(seq), 0) + 1 FROM messages", &[])?;
    let seq = word(row, "messages.seq")?.int(0)?;
    w.conn().execute(
        "/* message_insert */ INSERT INTO messages (seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, context_id, \
         body, digest, state, created_at, changed_at, audit_id, said) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $14, $15)",
        params![
            seq,
            new.id.to_string().as_str(),
            new.workspace.to_string().as_str(),
            new.direction,
            new.sender.kind(),
            new.sender.id().as_str(),
            new.sender_name,
            new.message_id,
            new.context_id,
            new.body,
            new.digest,
            new.state,
            now,
            audit_id,
            new.said
        ],
    )?;
    Ok(seq)
}

/// Keys whose values its sender said in it, one a line.
pub(crate) fn said(conn: &mut Conn, id: MessageId) -> Result<String, DbError> {
    let row =
        conn.query_opt("/* message_said */ SELECT said FROM messages WHERE id = $1", params![id.to_string().as_str()])?;
    row.map_or(Ok(String::new()), |row| Ok(row.text(0)?.to_owned()))
}

/// Hands a message to a turn. From here on it is delivered once or lost with its run, never twice.
pub(crate) fn deliver(conn: &mut Conn, id: MessageId, turn: TurnId, now: i64) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* message_deliver */ UPDATE messages SET state = 'delivered', turn_id = $2, changed_at = $3 WHERE id = $1 AND state = 'queued'",
        params![id.to_string().as_str(), turn.to_string().as_str(), now],
    )?;
    Ok(rows == 1)
}

/// Ends a message that was delivered.
pub(crate) fn end(
    conn: &mut Conn,
    id: MessageId,
    state: &str,
    reply: Option<&str>,
    error: Option<&str>,
    now: i64,
) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* message_end */ UPDATE messages SET state = $2, reply = $3, error = $4, ended_at = $5, changed_at = $5 WHERE id = $1 AND state = 'delivered'",
        params![id.to_string().as_str(), state, reply, error, now],
    )?;
    Ok(rows == 1)
}

/// Takes a message back that nobody has taken yet.
pub(crate) fn cancel(conn: &mut Conn, id: MessageId, now: i64) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* message_cancel */ UPDATE messages SET state = 'cancelled', ended_at = $2, changed_at = $2 WHERE id = $1 AND state = 'queued'",
        params![id.to_string().as_str(), now],
    )?;
    Ok(rows == 1)
}

/// Ends everything that waits for a workspace that is gone.
pub(crate) fn fail_all(conn: &mut Conn, workspace: WorkspaceId, error: &str, now: i64) -> Result<u64, DbError> {
    conn.execute(
        "/* message_fail_all */ UPDATE messages SET state = 'failed', error = $2, ended_at = $3, changed_at = $3 \
         WHERE workspace_id = $1 AND state IN ('queued', 'delivered')",
        params![workspace.to_string().as_str(), error, now],
    )
}
