//! Loading the facts of a decision, inside the transaction that will act on it. What cannot be read is a gap, and a gap
//! is a refusal: there is no default for any of these.

use std::collections::BTreeSet;

use portcullis_kernel::{
    deed::{Deed, SecretScope, Target},
    facts::{FactGap, Facts, Kinship, TargetFacts},
    id::WorkspaceId,
    refusal::Code,
    scope::Scopes,
    secret::SecretValue,
    subject::{Principal, Standing},
    time::Timestamp,
    workspace::{AGENT_CREATES_PER_HOUR_MAX, relation},
};

use crate::{
    caller::{Caller, CredentialKind},
    core::{Config, Core},
    db::{Conn, DbError},
    gate::Cx,
    plaintext,
    refusal::Refusal,
    suppose,
    tables::{
        approvals,
        credentials::{self, CredentialRow},
        operators, policies, secrets, units, workspaces,
    },
};

impl From<DbError> for FactGapOr {
    fn from(error: DbError) -> Self {
        Self(FactGap::Unreadable(error.to_string()))
    }
}

/// Carries a gap through `?`.
pub(crate) struct FactGapOr(pub(crate) FactGap);

/// Whether a credential may still be used.
pub(crate) fn live(row: &CredentialRow, now: Timestamp) -> Result<(), Code> {
    if row.revoked_at.is_some() {
        return Err(Code::CredentialRevoked);
    }
    let idle_until = row.idle_ms.map(|idle| row.last_used_at.unwrap_or(row.created_at).saturating_add(idle));
    if now >= row.expires_at || idle_until.is_some_and(|until| now.0 >= until) {
        return Err(Code::CredentialExpired);
    }
    Ok(())
}

/// What the principal of a live credential is, now.
pub(crate) fn standing_of(
    conn: &mut Conn,
    row: &CredentialRow,
    core: &Core,
    now: Timestamp,
) -> Result<Standing, Refusal> {
    Ok(match row.principal {
        Principal::Operator(id) => {
            let operator = operators::find(conn, id)?.filter(|operator| operator.disabled_at.is_none());
            // A session is a human; a token never is, whoever is written in its row.
            let operator = operator
                .filter(|_| row.kind == CredentialKind::Session)
                .ok_or_else(|| Refusal::new(Code::CredentialRevoked))?;
            let stepped_up = stepped_up_until(row, &core.config).is_some_and(|until| now < until);
            Standing::Operator { role: operator.role, groups: operator.groups, stepped_up }
        }
        // The root cannot be removed, the schema says so: nothing to look up, and so nothing that could be unreadable
        // here before the gate refuses for it and records that it did.
        Principal::Agent(home) if home == core.root => Standing::Agent,
        Principal::Agent(home) => {
            workspaces::find(conn, home)?.ok_or_else(|| Refusal::new(Code::CredentialRevoked))?;
            Standing::Agent
        }
        Principal::Service(_) => Standing::Service { unattended: row.unattended },
        // No credential speaks for the platform.
        Principal::System(_) => return Err(Refusal::new(Code::CredentialInvalid)),
    })
}

/// Until when the session's last re-authentication counts.
pub(crate) fn stepped_up_until(row: &CredentialRow, config: &Config) -> Option<Timestamp> {
    row.stepped_up_at.map(|at| Timestamp(at).plus_ms(config.step_up_ms))
}

/// Looks again whether the caller's credential is live, and what its principal is now. Authentication happened a moment
/// ago, in another transaction.
pub(crate) fn recheck(cx: &mut Cx<'_>, caller: &Caller) -> Result<(Standing, Scopes), Refusal> {
    suppose::present(caller)?;
    let Some(id) = caller.credential else {
        return Ok((caller.standing.clone(), caller.scopes.clone()));
    };
    let row = credentials::find(cx.conn, id)?.ok_or_else(|| Refusal::new(Code::CredentialInvalid))?;
    live(&row, cx.now).map_err(Refusal::new)?;
    if row.principal != caller.subject.principal {
        return Err(Refusal::new(Code::CredentialInvalid));
    }
    let standing = standing_of(cx.conn, &row, cx.core, cx.now)?;
    Ok((standing, row.scopes))
}

/// Asks ahead for what most decisions and effects look up, so that it is one round trip where there is one. Nothing rests
/// on it: whoever needs a row asks for it, and who does not find it here asks the store.
pub(crate) fn ahead(cx: &mut Cx<'_>, caller: &Caller, deed: &Deed, values: &[&SecretValue]) -> Result<(), DbError> {
    let (conn, root) = (&mut *cx.conn, SecretScope::Workspace(cx.core.root));
    if !conn.is_postgres() {
        return Ok(());
    }
    if let Some(id) = caller.credential {
        credentials::find_ahead(conn, id)?;
    }
    policies::revision_ahead(conn)?;
    if let Target::Workspace(id) = deed.target() {
        workspaces::find_ahead(conn, id)?;
    }
    // On the root it is mostly refused before anybody wants to know.
    if let (Deed::SecretSet(set), [value]) = (deed, values)
        && set.scope != root
    {
        plaintext::own_credential_ahead(conn, value)?;
        secrets::find_with_digest_ahead(conn, set.scope, set.key.as_str())?;
    }
    Ok(())
}

/// Everything the decision is told. `with_ancestors` is for policies that speak of a subtree; the shipped ones do not.
pub(crate) fn load(
    cx: &mut Cx<'_>,
    caller: &Caller,
    deed: &Deed,
    (standing, scopes): (Standing, Scopes),
    approved: bool,
    with_ancestors: bool,
) -> Result<Facts, FactGapOr> {
    // An ordinary agent must not learn from its refusal which ids exist.
    let hide = |FactGapOr(gap)| match gap {
        FactGap::Absent if caller.confined_to().is_some() => FactGapOr(FactGap::Hidden),
        gap => FactGapOr(gap),
    };
    let target = target(cx.conn, caller, deed, with_ancestors).map_err(hide)?;
    let reaches = reaches(cx.conn, deed, &target).map_err(hide)?;
    // It names another workspace by way of its own, and must not learn from the answer whether that one is there.
    if caller.confined_to().is_some() && matches!(deed, Deed::TokenMint(mint) if mint.is_delivered_elsewhere()) {
        return Err(FactGapOr(FactGap::Hidden));
    }
    let quota_spent = match (deed, &caller.subject.principal) {
        (Deed::WorkspaceCreate(_), Principal::Agent(_)) => {
            let since = cx.now.plus_ms(-60 * 60 * 1000).0;
            workspaces::created_since(cx.conn, &caller.subject.principal.to_string(), since)?
                >= AGENT_CREATES_PER_HOUR_MAX
        }
        _ => false,
    };
    let kinship = match (deed, &caller.subject.principal) {
        (Deed::MessageSend(message), Principal::Agent(home)) => kinship(cx.conn, *home, message.workspace)?,
        _ => Kinship::None,
    };
    let custom_runtime = deed.runtime().is_some_and(|runtime| {
        !runtime.is_builtin() && !cx.core.config.runtimes.values().any(|known| known == runtime)
    });
    Ok(Facts { root: cx.core.root, standing, scopes, target, reaches, approved, kinship, custom_runtime, quota_spent })
}

fn require(conn: &mut Conn, id: WorkspaceId) -> Result<workspaces::WorkspaceRow, FactGapOr> {
    workspaces::find(conn, id)?.ok_or(FactGapOr(FactGap::Absent))
}

fn target(conn: &mut Conn, caller: &Caller, deed: &Deed, with_ancestors: bool) -> Result<TargetFacts, FactGapOr> {
    Ok(match deed.target() {
        Target::Organisation => TargetFacts::Organisation,
        Target::Workspace(id) => {
            let row = require(conn, id)?;
            let ancestors = if with_ancestors { workspaces::ancestors(conn, id)? } else { Vec::new() };
            TargetFacts::Workspace { id, kind: row.kind, ancestors }
        }
        Target::Token(id) => {
            let row = credentials::find(conn, id)?.ok_or(FactGapOr(FactGap::Absent))?;
            let minted_here = caller.credential.is_some_and(|credential| row.ancestors.contains(&credential));
            TargetFacts::Token {
                id,
                own: row.principal == caller.subject.principal || minted_here,
                agent: row.workspace_id,
                builtin: matches!(row.kind, CredentialKind::Admin | CredentialKind::Session | CredentialKind::Claim),
            }
        }
        Target::Approval(id) => {
            let row = approvals::find(conn, id)?.ok_or(FactGapOr(FactGap::Absent))?;
            TargetFacts::Approval { id, own: row.requester == caller.subject.principal }
        }
    })
}

/// The workspaces the deed's change lands on.
fn reaches(conn: &mut Conn, deed: &Deed, target: &TargetFacts) -> Result<Vec<WorkspaceId>, FactGapOr> {
    let mut reached = BTreeSet::new();
    for (scope, key) in deed.secrets_written() {
        match scope {
            SecretScope::Workspace(id) => {
                let looked_up = matches!(target, TargetFacts::Workspace { id: known, .. } if *known == id);
                if reached.insert(id) && !looked_up {
                    require(conn, id)?;
                }
            }
            SecretScope::Organisation => reached.extend(workspaces::inheritors(conn, key.as_str())?),
        }
    }
    match deed {
        Deed::WorkspaceUpdate(update) => {
            reached.insert(update.workspace);
            if let Some(parent) = update.parent {
                require(conn, parent)?;
            }
        }
        Deed::WorkspaceRestart(restart) => {
            reached.insert(restart.workspace);
        }
        Deed::WorkspaceApply(apply) => {
            reached.insert(apply.workspace);
        }
        Deed::WorkspaceForceStop(stop) => {
            reached.insert(stop.workspace);
        }
        Deed::WorkspacePause(pause) => reached.extend(below(conn, pause.workspace)?),
        Deed::WorkspaceRemove(remove) => reached.extend(below(conn, remove.workspace)?),
        _ => {}
    }
    Ok(reached.into_iter().collect())
}

/// How two workspaces stand to each other. The same function answers `list_peers` and every message (design §3).
fn kinship(conn: &mut Conn, home: WorkspaceId, other: WorkspaceId) -> Result<Kinship, DbError> {
    if home == other {
        return Ok(Kinship::Peer);
    }
    let (own_parent, other_parent) = (units::parent(conn, home)?, units::parent(conn, other)?);
    if relation(&home, own_parent.as_ref(), &other, other_parent.as_ref()).is_some() {
        return Ok(Kinship::Peer);
    }
    let line =
        workspaces::ancestors(conn, other)?.contains(&home) || workspaces::ancestors(conn, home)?.contains(&other);
    Ok(if line { Kinship::Lineal } else { Kinship::None })
}

fn below(conn: &mut Conn, id: WorkspaceId) -> Result<Vec<WorkspaceId>, FactGapOr> {
    Ok(workspaces::subtree(conn, id)?.into_iter().map(|(id, _)| id).collect())
}
