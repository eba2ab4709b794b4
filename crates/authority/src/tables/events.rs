//! Live events: what the stream shows. A projection of the audit event without lineage and rule.

use portcullis_kernel::audit::Event;
use serde_json::json;

use crate::{
    db::{Conn, DbError},
    params,
};

/// Events kept for clients that reconnect. Older positions are answered with `reset`.
pub(crate) const KEPT: i64 = 50_000;

/// One live event.
#[derive(Debug, Clone)]
pub struct Live {
    /// Position; `id:` on the stream.
    pub id: i64,
    /// Name; `event:` on the stream.
    pub event: String,
    /// The workspace concerned.
    pub workspace_id: Option<String>,
    /// Principal that acted.
    pub subject: (String, String),
    /// `data:` on the stream.
    pub payload: String,
}

pub(crate) fn insert(conn: &mut Conn, id: i64, audit_id: i64, e: &Event) -> Result<(), DbError> {
    let payload = json!({
        "id": id, "type": e.event, "at": crate::clock::rfc3339(e.at_ms), "outcome": e.outcome.as_str(), "audit_id": audit_id,
        "workspace_id": e.workspace_id, "key": e.key, "code": e.code, "reason": e.reason, "approval_id": e.approval_id,
        "subject": {"kind": e.subject_kind, "id": e.subject_id},
    })
    .to_string();
    conn.send(
        "/* event_insert */ INSERT INTO events (id, at_ms, type, workspace_id, subject_kind, subject_id, payload) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![
            id,
            e.at_ms.0,
            e.event.as_str(),
            e.workspace_id.as_deref(),
            e.subject_kind.as_str(),
            e.subject_id.as_str(),
            payload.as_str()
        ],
    )
}

/// Up to `limit` events after `after`.
pub(crate) fn after(conn: &mut Conn, after: i64, limit: i64) -> Result<Vec<Live>, DbError> {
    let rows = conn.query(
        "/* event_list */ SELECT id, type, workspace_id, subject_kind, subject_id, payload FROM events WHERE id > $1 ORDER BY id LIMIT $2",
        params![after, limit],
    )?;
    rows.iter()
        .map(|row| {
            Ok(Live {
                id: row.int(0)?,
                event: row.text(1)?.to_owned(),
                workspace_id: row.opt_text(2)?.map(str::to_owned),
                subject: (row.text(3)?.to_owned(), row.text(4)?.to_owned()),
                payload: row.text(5)?.to_owned(),
            })
        })
        .collect()
}

/// First and last position there is.
pub(crate) fn range(conn: &mut Conn) -> Result<(i64, i64), DbError> {
    let row = conn.query_opt("/* event_range */ SELECT MIN(id), MAX(id) FROM events", &[])?;
    row.map_or(Ok((0, 0)), |row| Ok((row.opt_int(0)?.unwrap_or(0), row.opt_int(1)?.unwrap_or(0))))
}

/// Drops what nobody can resume from any more.
pub(crate) fn prune(conn: &mut Conn, newest: i64) -> Result<u64, DbError> {
    conn.execute("/* event_prune */ DELETE FROM events WHERE id <= $1", params![newest - KEPT])
}
