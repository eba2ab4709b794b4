//! What a run is told about why it was started, and what it has of its secrets, by name and version.

use std::collections::BTreeMap;

use portcullis_kernel::time::Timestamp;
use serde_json::{Value, json};

use crate::{
    db::Conn,
    refusal::Refusal,
    tables::{messages, runs, turns, workspaces::WorkspaceRow},
};

/// What a run is told about why it runs: the reason, what changed, by name, what was cut, and what waits.
pub(crate) fn context(
    conn: &mut Conn,
    now: Timestamp,
    row: &WorkspaceRow,
    versions: Option<&str>,
    reason: &str,
) -> Result<String, Refusal> {
    let previous = runs::list(conn, row.id, 1)?.pop();
    let read = |text: &str| serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap_or_default();
    let mut changed = Vec::new();
    let mut interrupted = Vec::new();
    let mut handoff = None;
    let mut before = Value::Null;
    if let Some(old) = &previous {
        if let Some(versions) = versions {
            let (was, is) = (read(&old.versions), read(versions));
            for (key, value) in &is {
                if was.get(key) != Some(value) {
                    changed.push(json!({"key": key, "change": "set", "version": value["version"]}));
                }
            }
            changed.extend(
                was.keys().filter(|key| !is.contains_key(*key)).map(|key| json!({"key": key, "change": "deleted"})),
            );
        }
        interrupted = turns::lost(conn, old.boot)?.iter().map(|id| json!({"message_id": id})).collect();
        handoff.clone_from(&old.handoff);
        before = json!({
            "boot_id": old.boot, "started_at": crate::clock::rfc3339(old.started_at),
            "ended_at": old.ended_at.map(crate::clock::rfc3339), "cause": old.cause, "exit_code": old.exit_code,
            "exit_signal": old.exit_signal,
        });
    }
    let context = json!({
        "reason": reason, "restarted_at": crate::clock::rfc3339(now), "generation": row.desired_generation, "changed": changed,
        "interrupted": interrupted, "handoff": handoff, "queued": messages::queued(conn, row.id)?, "previous": before,
    });
    Ok(context.to_string())
}

/// What a run has after its files were replaced: the files of now, the variables of its start.
pub(crate) fn merged(was: &str, is: &str) -> String {
    let read = |text: &str| serde_json::from_str::<BTreeMap<String, Value>>(text).unwrap_or_default();
    let file = |value: &Value| value["delivery"] == "file";
    let mut all: BTreeMap<String, Value> = read(was).into_iter().filter(|(_, value)| !file(value)).collect();
    all.extend(read(is).into_iter().filter(|(_, value)| file(value)));
    json!(all).to_string()
}
