//! What time brings: approvals that ran out, secrets about to expire, refusals that were repeated, rows nobody can ask
//! for any more. Run by a worker, once a second or so; each run is idempotent.

use portcullis_kernel::{approval::State, audit::Outcome, refusal::Code};
use serde_json::json;

use crate::{
    authn,
    gate::Cx,
    plaintext, plan,
    refusal::{Fault, Refusal},
    refusal_cache::Repeated,
    tables::{approvals, challenges, events, idempotency, servers, versions},
};

/// A reminder is recorded this long before a value expires.
const REMIND_BEFORE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// Values resealed in one transaction.
const RESEAL_STEP: i64 = 100;

/// A server that has given no sign of life for this long, and has nothing to its name, is forgotten.
const SERVER_KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// How far resealing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Resealed {
    /// Values resealed in this step.
    pub done: i64,
    /// Values left.
    pub left: i64,
}

fn failed(fault: Fault) -> Refusal {
    match fault {
        Fault::Refused(refusal) => *refusal,
        Fault::Failed(text) => Refusal::new(Code::StoreUnavailable).internal(text),
    }
}

/// Ends what is due. Returns how many approvals expired.
pub(crate) fn tick(cx: &mut Cx<'_>, repeated: &[Repeated]) -> Result<usize, Refusal> {
    let due = approvals::due(cx.conn, cx.now.0)?;
    for row in &due {
        plan::end(cx, row, State::Expired, Some(Code::ApprovalExpired), None).map_err(failed)?;
    }
    for (scope, key, version, expires_at) in versions::expiring(cx.conn, cx.now.0 + REMIND_BEFORE_MS)? {
        let mut event = authn::system_event(cx, "secret.expiring", "platform");
        event.workspace_id = (scope != "organisation").then(|| scope.clone());
        event.key = Some(key.clone());
        event.detail = json!({"version": version, "expires_at": crate::clock::rfc3339(portcullis_kernel::time::Timestamp(expires_at))}).to_string();
        cx.record(&mut event)?;
        versions::reminded(cx.conn, &scope, &key, version, cx.now.0)?;
    }
    for repeat in repeated {
        let mut event = authn::system_event(cx, "refusal.repeated", "platform");
        event.outcome = Outcome::Refused;
        event.lineage = repeat.credential.to_string();
        event.code = Some(repeat.refusal.code.as_str().to_owned());
        event.reason = Some(repeat.refusal.reason.clone());
        event.workspace_id.clone_from(&repeat.refusal.workspace_id);
        event.key.clone_from(&repeat.refusal.key);
        event.detail = json!({"audit_id": repeat.refusal.audit_id, "repeats": repeat.repeats}).to_string();
        cx.record(&mut event)?;
    }
    Ok(due.len())
}

/// Whether there is anything for [`tick`] to do, asked of a reader so that an idle organisation writes nothing.
pub(crate) fn is_due(conn: &mut crate::db::Conn, now: i64) -> Result<bool, Refusal> {
    Ok(!approvals::due(conn, now)?.is_empty() || !versions::expiring(conn, now + REMIND_BEFORE_MS)?.is_empty())
}

/// Drops what nobody can ask for any more.
pub(crate) fn prune(cx: &mut Cx<'_>) -> Result<(), Refusal> {
    events::prune(cx.conn, cx.head.event_id)?;
    idempotency::prune(cx.conn, cx.now.0)?;
    challenges::prune(cx.conn, cx.now.0)?;
    // SQLite has one server, which gives no signs of life.
    if cx.conn.is_postgres() {
        servers::prune(cx.conn, cx.now.0 - SERVER_KEPT_MS)?;
    }
    Ok(())
}

/// Moves some values to the sealing key. Every step is a transaction of its own, so a crash loses nothing and the next
/// run goes on where this one stopped.
pub(crate) fn reseal(cx: &mut Cx<'_>) -> Result<Resealed, Refusal> {
    let keys = cx.core.keys();
    let sealing = keys.ring.sealing_id();
    let rows = versions::next_to_reseal(cx.conn, sealing, RESEAL_STEP)?;
    let mut done = 0;
    for (scope, key, version, sealed) in &rows {
        let fresh = plaintext::reseal(cx.core, scope, key, *version, sealed)
            .map_err(|error| Refusal::new(Code::Internal).internal(format!("{scope}/{key}/{version}: {error}")))?;
        versions::reseal(cx.conn, scope, key, *version, &fresh)?;
        done += 1;
    }
    Ok(Resealed { done, left: versions::left_to_reseal(cx.conn, sealing)? })
}
