//! The audit log as a page.

use std::collections::BTreeMap;

use portcullis_kernel::{audit::Entry, refusal::Code, scope::Scope, subject::Principal};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::{name_of, need, rule_texts, unconfined};
use crate::{
    caller::Caller,
    clock::rfc3339,
    core::Core,
    db::Conn,
    refusal::Refusal,
    tables::{
        audit::{self, Search},
        credentials,
    },
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
    /// Names of the workspaces, operators and tokens in these entries by id, also of those that are gone.
    pub names: BTreeMap<String, String>,
}

/// One entry, and the rules it speaks of.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// The entry.
    #[serde(flatten)]
    pub entry: Value,
    /// Names by id, as in a page.
    pub names: BTreeMap<String, String>,
    /// Texts of the rules that decided, by name.
    pub rule_texts: BTreeMap<String, String>,
}

/// What people call the things that the entries name. The addresses of people are for people.
fn names(conn: &mut Conn, caller: &Caller, entries: &[Entry]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut names = BTreeMap::new();
    for Entry { event, .. } in entries {
        let workspace = event.workspace_id.as_deref().unwrap_or_default();
        let named = [
            (event.subject_kind.as_str(), event.subject_id.as_str()),
            (event.target_kind.as_str(), event.target_id.as_str()),
            ("workspace", workspace),
        ];
        for (kind, id) in named {
            if names.contains_key(id) || (kind == "operator" && !caller.is_operator()) {
                continue;
            }
            let name = match kind {
                "workspace" => name_of_principal(conn, "agent", id)?,
                "token" => match id.parse() {
                    Ok(id) => credentials::find(conn, id)?.map(|row| row.name),
                    Err(_) => None,
                },
                kind => name_of_principal(conn, kind, id)?,
            };
            names.extend(name.map(|name| (id.to_owned(), name)));
        }
    }
    Ok(names)
}

fn name_of_principal(conn: &mut Conn, kind: &str, id: &str) -> Result<Option<String>, Refusal> {
    Principal::parse(kind, id).map_or(Ok(None), |principal| name_of(conn, principal))
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
    audit_reader(caller)?;
    search.limit = search.limit.clamp(1, PAGE_MAX);
    let entries = audit::search(conn, &search)?;
    let full = entries.len() as i64 == search.limit;
    let next_after = entries.last().map(|entry| entry.seq).filter(|_| full);
    Ok(AuditPage {
        events: entries.iter().map(entry_json).collect(),
        next_after,
        names: names(conn, caller, &entries)?,
    })
}

pub(crate) fn audit_entry(conn: &mut Conn, core: &Core, caller: &Caller, seq: i64) -> Result<AuditEntry, Refusal> {
    audit_reader(caller)?;
    let entry = audit::at(conn, seq)?.ok_or_else(|| Refusal::new(Code::NotFound))?;
    let rule_texts = rule_texts(conn, core, caller, &entry.event.rule)?;
    let names = names(conn, caller, std::slice::from_ref(&entry))?;
    Ok(AuditEntry { entry: entry_json(&entry), names, rule_texts })
}

/// Refuses whoever may not read the log.
pub(crate) fn audit_reader(caller: &Caller) -> Result<(), Refusal> {
    need(caller, Scope::AuditRead)?;
    unconfined(caller)
}
