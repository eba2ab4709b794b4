//! Messages to an agent by when they last changed, newest first: what A2A lists as tasks.
//!
//! Each question has two forms, for all senders and for one.

use portcullis_kernel::{id::WorkspaceId, subject::Principal, time::Timestamp};

use super::{
    messages::{MessageRow, read},
    word,
};
use crate::{
    db::{Conn, DbError},
    params,
};

/// Where a walk through the tasks stands: everything older than this is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskCursor {
    /// When the last one that was shown had changed.
    pub changed_at: Timestamp,
    /// Its position, among those of the same moment.
    pub seq: i64,
}

/// Which tasks are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFilter {
    /// Of this conversation.
    pub context_id: Option<String>,
    /// In this state, in the word of the table.
    pub state: Option<&'static str>,
    /// Changed at this time or later.
    pub changed_from: Option<Timestamp>,
    /// Older than this.
    pub before: Option<TaskCursor>,
    /// At most this many.
    pub limit: i64,
}

const ALL: &str = "/* task_page */ SELECT seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, context_id, body, digest, state, \
     turn_id, reply, error, created_at, ended_at, changed_at FROM messages WHERE workspace_id = $1 AND direction = 'in' \
     AND (CAST($2 AS TEXT) IS NULL OR context_id = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3) AND changed_at >= $4 \
     AND (changed_at < $5 OR (changed_at = $5 AND seq < $6)) ORDER BY changed_at DESC, seq DESC LIMIT $7";

const OF_SENDER: &str = "/* task_page_of_sender */ SELECT seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, context_id, body, digest, state, \
     turn_id, reply, error, created_at, ended_at, changed_at FROM messages WHERE workspace_id = $1 AND direction = 'in' \
     AND (CAST($2 AS TEXT) IS NULL OR context_id = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3) AND changed_at >= $4 \
     AND (changed_at < $5 OR (changed_at = $5 AND seq < $6)) AND sender_kind = $8 AND sender_id = $9 ORDER BY changed_at DESC, seq DESC LIMIT $7";

/// One page, of all senders or of one.
pub(crate) fn page(
    conn: &mut Conn,
    workspace: WorkspaceId,
    sender: Option<Principal>,
    filter: &TaskFilter,
) -> Result<Vec<MessageRow>, DbError> {
    let workspace = workspace.to_string();
    let from = filter.changed_from.map_or(i64::MIN, |from| from.0);
    let (at, seq) = filter.before.map_or((i64::MAX, i64::MAX), |before| (before.changed_at.0, before.seq));
    let (context, state) = (filter.context_id.as_deref(), filter.state);
    let rows = match sender {
        None => conn.query(ALL, params![workspace.as_str(), context, state, from, at, seq, filter.limit])?,
        Some(sender) => {
            let id = sender.id();
            let of =
                params![workspace.as_str(), context, state, from, at, seq, filter.limit, sender.kind(), id.as_str()];
            conn.query(OF_SENDER, of)?
        }
    };
    rows.iter().map(read).collect()
}

/// How many there are on all pages.
pub(crate) fn count(
    conn: &mut Conn,
    workspace: WorkspaceId,
    sender: Option<Principal>,
    filter: &TaskFilter,
) -> Result<i64, DbError> {
    let workspace = workspace.to_string();
    let from = filter.changed_from.map_or(i64::MIN, |from| from.0);
    let (context, state) = (filter.context_id.as_deref(), filter.state);
    let row = match sender {
        None => conn.query_opt(
            "/* task_count */ SELECT COUNT(*) FROM messages WHERE workspace_id = $1 AND direction = 'in' \
             AND (CAST($2 AS TEXT) IS NULL OR context_id = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3) AND changed_at >= $4",
            params![workspace.as_str(), context, state, from],
        )?,
        Some(sender) => conn.query_opt(
            "/* task_count_of_sender */ SELECT COUNT(*) FROM messages WHERE workspace_id = $1 AND direction = 'in' \
             AND (CAST($2 AS TEXT) IS NULL OR context_id = $2) AND (CAST($3 AS TEXT) IS NULL OR state = $3) AND changed_at >= $4 \
             AND sender_kind = $5 AND sender_id = $6",
            params![workspace.as_str(), context, state, from, sender.kind(), sender.id().as_str()],
        )?,
    };
    word(row, "messages count")?.int(0)
}
