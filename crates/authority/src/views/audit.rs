//! The audit log as a page.

use portcullis_kernel::{audit::Entry, scope::Scope};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{need, unconfined};
use crate::{
    caller::Caller,
    clock::rfc3339,
    db::Conn,
    refusal::Refusal,
    tables::audit::{self, Search},
};

/// Entries of one page at most.
pub const PAGE_MAX: i64 = 500;

/// One page of the log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AuditPage {
    /// Entries, with `consequences` and `detail` as JSON.
    pub events: Vec<Value>,
    /// Cursor of the next page; null on the last.
    pub next_after: Option<i64>,
}

/// An entry as the API shows it.
pub(crate) fn entry_json(entry: &Entry) -> Value {
    let e = &entry.event;
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    json!({
        "id": entry.seq, "at": rfc3339(e.at_ms), "event": e.event, "outcome": e.outcome, "request_id": e.request_id,
        "subject": {"kind": e.subject_kind, "id": e.subject_id},
        "lineage": e.lineage.split_whitespace().collect::<Vec<_>>(), "verb": e.verb,
        "target": {"kind": e.target_kind, "id": e.target_id}, "workspace_id": e.workspace_id, "key": e.key, "rule": e.rule,
        "code": e.code, "reason": e.reason, "issue": e.issue, "approval_id": e.approval_id,
        "consequences": parse(&e.consequences), "detail": parse(&e.detail),
        "prev_hash": portcullis_kernel::audit::hex::encode(&entry.prev_hash), "hash": portcullis_kernel::audit::hex::encode(&entry.hash),
    })
}

pub(crate) fn audit_page(conn: &mut Conn, caller: &Caller, mut search: Search) -> Result<AuditPage, Refusal> {
    need(caller, Scope::AuditRead)?;
    unconfined(caller)?;
    search.limit = search.limit.clamp(1, PAGE_MAX);
    let entries = audit::search(conn, &search)?;
    let full = entries.len() as i64 == search.limit;
    let next_after = entries.last().map(|entry| entry.seq).filter(|_| full);
    Ok(AuditPage { events: entries.iter().map(entry_json).collect(), next_after })
}
