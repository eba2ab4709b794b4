//! The only mint of [`Caller`]: from a credential that is live.
//!
//! The kinds are disjoint: a bearer is never a session, a session never a bearer, and there is no fallback from one to the
//! other. Headers like `Origin`, `Referer` or `X-Workspace-ID` do not exist here.

use portcullis_kernel::{
    audit::{Event, Outcome},
    refusal::Code,
    scope::Scopes,
    subject::{Lineage, Principal, Standing, Subject, SystemRole},
    time::Timestamp,
};

use crate::{
    caller::{Caller, CredentialKind},
    core::{Core, Keys},
    db::Conn,
    facts,
    gate::Cx,
    refusal::Refusal,
    tables::credentials::{self, CredentialRow},
    vault::TokenHash,
};

/// What was presented.
#[derive(Clone, Copy)]
pub enum Presented<'a> {
    /// `Authorization: Bearer …`.
    Bearer(&'a str),
    /// The session cookie.
    Cookie(&'a str),
}

/// The token that a change made with this session must send back. Derived, so that nothing has to be stored.
pub(crate) fn csrf(keys: &Keys, session: &str) -> String {
    portcullis_kernel::audit::hex::encode(&keys.digest.digest("csrf", &[session.as_bytes()]))
}

/// Resolves what was presented to a caller. Every way it can fail is a 401 with its own code; a store that cannot answer
/// is a 503, never a yes and never an "unknown token" (reference §1.4.7).
pub(crate) fn authenticate(
    conn: &mut Conn,
    core: &Core,
    presented: Presented<'_>,
    now: Timestamp,
) -> Result<(Caller, CredentialRow), Refusal> {
    let (text, kinds): (&str, &[CredentialKind]) = match presented {
        Presented::Bearer(text) => {
            (text, &[CredentialKind::Admin, CredentialKind::Organisation, CredentialKind::Workspace])
        }
        Presented::Cookie(text) => (text, &[CredentialKind::Session]),
    };
    let row = credentials::find_by_hash(conn, TokenHash::of_text(text).0.as_slice())?;
    let row = row.filter(|row| kinds.contains(&row.kind)).ok_or_else(|| Refusal::new(Code::CredentialInvalid))?;
    let mut caller = caller_of(conn, core, &row, now)?;
    if row.kind == CredentialKind::Session {
        caller.csrf = Some(csrf(&core.keys(), text));
    }
    Ok((caller, row))
}

/// The caller a live credential stands for.
pub(crate) fn caller_of(conn: &mut Conn, core: &Core, row: &CredentialRow, now: Timestamp) -> Result<Caller, Refusal> {
    facts::live(row, now).map_err(Refusal::new)?;
    let standing = facts::standing_of(conn, row, core, now)?;
    Ok(Caller {
        subject: Subject { principal: row.principal, lineage: row.lineage() },
        credential: Some(row.id),
        kind: Some(row.kind),
        standing,
        stepped_up_until: facts::stepped_up_until(row, &core.config).filter(|until| now < *until),
        scopes: row.scopes.clone(),
        expires_at: row.expires_at,
        root: core.root,
        csrf: None,
        supposed: false,
    })
}

/// The platform itself, in a named role.
pub(crate) fn system(core: &Core, role: SystemRole) -> Caller {
    Caller {
        subject: Subject { principal: Principal::System(role), lineage: Lineage::default() },
        credential: None,
        kind: None,
        standing: Standing::System,
        // Rules say what it may do; scopes are what credentials are limited by, and it has none.
        scopes: Scopes(portcullis_kernel::scope::Scope::ALL.iter().copied().collect()),
        expires_at: Timestamp(i64::MAX),
        stepped_up_until: None,
        root: core.root,
        csrf: None,
        supposed: false,
    }
}

/// An event about the platform's own doing.
pub(crate) fn system_event(cx: &Cx<'_>, name: &str, rule: &str) -> Event {
    let role = match name.split('.').next() {
        Some("session" | "enrolment" | "claim" | "invite" | "password" | "passkey") => SystemRole::Door,
        Some("organisation" | "admin_token") => SystemRole::Bootstrap,
        _ => SystemRole::Expiry,
    };
    Event {
        at_ms: cx.now,
        event: name.to_owned(),
        outcome: Outcome::Done,
        request_id: cx.meta.request_id.clone(),
        subject_kind: "system".to_owned(),
        subject_id: role.as_str().to_owned(),
        lineage: String::new(),
        verb: name.to_owned(),
        target_kind: "organisation".to_owned(),
        target_id: String::new(),
        workspace_id: None,
        key: None,
        rule: rule.to_owned(),
        code: None,
        reason: None,
        issue: None,
        approval_id: None,
        consequences: "[]".to_owned(),
        detail: "{}".to_owned(),
    }
}
