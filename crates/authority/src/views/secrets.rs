//! Secrets, versions and tokens, as names and dates. Never a value, a prefix of one or its length.

use std::collections::HashMap;

use portcullis_kernel::{
    deed::SecretScope,
    id::{CredentialId, WorkspaceId},
    name::SecretKey,
    refusal::Code,
    scope::{Scope, Scopes},
    subject::Lineage,
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{in_sight, need, unconfined};
use crate::{
    caller::{Caller, CredentialKind},
    clock::rfc3339,
    db::Conn,
    refusal::Refusal,
    tables::{
        credentials::{self, CredentialRow},
        runs,
        secrets::{self, SecretRow},
        versions, workspaces,
    },
};

/// One key of the effective set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SecretView {
    /// The key.
    pub key: String,
    /// It has an active value.
    pub has_value: bool,
    /// `workspace` or `global`.
    pub scope: String,
    /// `own`, `inherited` or `overriding`.
    pub origin: String,
    /// The newest version.
    pub latest_version: i64,
    /// The version agents are given.
    pub active_version: Option<i64>,
    /// The version that the workspace's running agent was given; absent for the organisation's own list.
    pub running_version: Option<i64>,
    /// `live`, `deleted` or `slot`.
    pub state: String,
    /// `env` or `file`.
    pub delivery: Option<String>,
    /// When the active value stops being valid.
    pub expires_at: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// When it was created.
    pub created_at: String,
    /// When it last changed, in whatever way.
    pub updated_at: String,
    /// Who changed it last.
    pub updated_by: String,
}

/// One version of a key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    /// Number, from 1.
    pub version: i64,
    /// `stored` or `destroyed`.
    pub state: String,
    /// Agents are given this one.
    pub active: bool,
    /// It is the newest.
    pub latest: bool,
    /// When.
    pub created_at: String,
    /// Who asked.
    pub created_by: String,
    /// Who agreed, separated by spaces.
    pub approved_by: Option<String>,
    /// The approval.
    pub approval_id: Option<String>,
    /// The version it was based on; 0 for none.
    pub base_version: i64,
    /// `set`, `import`, `change_set`, `minted` or `rollback:N`.
    pub origin: String,
    /// `env` or `file`.
    pub delivery: String,
    /// Why.
    pub reason: Option<String>,
    /// When the value stops being valid.
    pub expires_at: Option<String>,
    /// When its ciphertext was erased.
    pub destroyed_at: Option<String>,
}

/// A token, without the token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenView {
    /// Its id.
    pub id: CredentialId,
    /// Its visible beginning.
    pub prefix: String,
    /// Its name.
    pub name: String,
    /// `organisation` or `workspace`.
    pub kind: String,
    /// Whose power it is: `agent:…` or `service:…`.
    pub principal: String,
    /// Its scopes.
    pub scopes: Scopes,
    /// Secret writes need no approval.
    pub unattended: bool,
    /// When.
    pub created_at: String,
    /// Who minted it.
    pub created_by: String,
    /// When it expires; null for the token of a run, which ends with it.
    pub expires_at: Option<String>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// Itself and those it was minted from, nearest first.
    pub lineage: Lineage,
}

pub(super) fn time(ms: i64) -> String {
    rfc3339(Timestamp(ms))
}

fn view(row: SecretRow, scope: &str, origin: &str, active: &HashMap<String, (String, Option<i64>)>) -> SecretView {
    let detail = active.get(&row.key).filter(|_| row.active.is_some());
    SecretView {
        has_value: row.state == "live" && row.active.is_some(),
        scope: scope.to_owned(),
        origin: origin.to_owned(),
        latest_version: row.latest,
        active_version: row.active,
        running_version: None,
        delivery: detail.map(|(delivery, _)| delivery.clone()),
        expires_at: detail.and_then(|(_, expires)| expires.map(time)),
        key: row.key,
        state: row.state,
        description: row.description,
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        updated_by: row.updated_by,
    }
}

fn active_of(conn: &mut Conn, scope: &str) -> Result<HashMap<String, (String, Option<i64>)>, Refusal> {
    let rows = versions::active_of_scope(conn, scope)?;
    Ok(rows.into_iter().map(|(key, delivery, expires)| (key, (delivery, expires))).collect())
}

/// The effective set of a workspace: its own rows first, then the organisation's that it does not override. One snapshot:
/// the whole list or an error, never a part of it.
pub(crate) fn secret_list(conn: &mut Conn, caller: &Caller, scope: SecretScope) -> Result<Vec<SecretView>, Refusal> {
    need(caller, Scope::SecretsRead)?;
    let SecretScope::Workspace(id) = scope else {
        unconfined(caller)?;
        let active = active_of(conn, "organisation")?;
        let rows = secrets::list(conn, "organisation")?;
        return Ok(rows.into_iter().map(|row| view(row, "global", "own", &active)).collect());
    };
    in_sight(caller, id)?;
    workspaces::find(conn, id)?.ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))?;
    let own_scope = id.to_string();
    let (own, global) = (secrets::list(conn, &own_scope)?, secrets::list(conn, "organisation")?);
    let (own_active, global_active) = (active_of(conn, &own_scope)?, active_of(conn, "organisation")?);
    let delivered = |row: &SecretRow| row.state == "live" && row.active.is_some();
    let overridden: std::collections::HashSet<String> =
        own.iter().filter(|row| delivered(row)).map(|row| row.key.clone()).collect();
    let inheritable: std::collections::HashSet<String> =
        global.iter().filter(|row| delivered(row)).map(|row| row.key.clone()).collect();
    let mut list: Vec<SecretView> = own
        .into_iter()
        .map(|row| {
            let origin = if delivered(&row) && inheritable.contains(&row.key) { "overriding" } else { "own" };
            view(row, "workspace", origin, &own_active)
        })
        .collect();
    list.extend(
        global
            .into_iter()
            .filter(|row| delivered(row) && !overridden.contains(&row.key))
            .map(|row| view(row, "global", "inherited", &global_active)),
    );
    if let Some(run) = runs::live(conn, id)? {
        let has = given(&run.versions);
        for secret in &mut list {
            let scope = if secret.scope == "global" { "organisation" } else { own_scope.as_str() };
            secret.running_version =
                has.get(&secret.key).filter(|given| given.scope == scope).map(|given| given.version);
        }
    }
    Ok(list)
}

/// What a run was given of one key.
#[derive(Deserialize)]
struct Given {
    version: i64,
    scope: String,
}

fn given(versions: &str) -> HashMap<String, Given> {
    serde_json::from_str(versions).unwrap_or_default()
}

/// A running agent and what it has of one key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct HoldingView {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// The run.
    pub boot_id: portcullis_kernel::id::BootId,
    /// `workspace` or `global`: whose version it has. Absent when it has none.
    pub scope: Option<String>,
    /// The version it has.
    pub running_version: Option<i64>,
    /// The version it would be given now.
    pub active_version: Option<i64>,
    /// It has what it would be given now.
    pub current: bool,
}

/// Which version of a key runs where: every running agent that has one, or would be given one.
pub(crate) fn holdings(conn: &mut Conn, caller: &Caller, key: &SecretKey) -> Result<Vec<HoldingView>, Refusal> {
    need(caller, Scope::SecretsRead)?;
    let row_of = |conn: &mut Conn, scope| -> Result<Option<i64>, Refusal> {
        let row = secrets::find(conn, scope, key.as_str())?.filter(|row| row.state == "live");
        Ok(row.and_then(|row| row.active))
    };
    let global = row_of(conn, SecretScope::Organisation)?;
    let mut all = Vec::new();
    for run in runs::all_live(conn)? {
        if in_sight(caller, run.workspace).is_err() {
            continue;
        }
        let Some(workspace) = workspaces::find(conn, run.workspace)? else { continue };
        let own = row_of(conn, SecretScope::Workspace(run.workspace))?;
        let wanted = own.map(|version| (version, run.workspace.to_string()));
        let wanted = wanted.or_else(|| global.map(|version| (version, "organisation".to_owned())));
        let has = given(&run.versions).remove(key.as_str()).map(|given| (given.version, given.scope));
        if wanted.is_none() && has.is_none() {
            continue;
        }
        let word = |scope: &str| if scope == "organisation" { "global" } else { "workspace" }.to_owned();
        all.push(HoldingView {
            workspace_id: run.workspace,
            name: workspace.name,
            boot_id: run.boot,
            current: wanted == has,
            scope: has.as_ref().map(|(_, scope)| word(scope)),
            running_version: has.map(|(version, _)| version),
            active_version: wanted.map(|(version, _)| version),
        });
    }
    Ok(all)
}

pub(crate) fn version_list(
    conn: &mut Conn,
    caller: &Caller,
    scope: SecretScope,
    key: &SecretKey,
    limit: i64,
) -> Result<Vec<VersionView>, Refusal> {
    need(caller, Scope::SecretsRead)?;
    match scope {
        SecretScope::Workspace(id) => in_sight(caller, id)?,
        SecretScope::Organisation => unconfined(caller)?,
    }
    let row = secrets::find(conn, scope, key.as_str())?.ok_or_else(|| Refusal::new(Code::SecretNotFound))?;
    let versions = versions::list(conn, &row.scope, &row.key, limit)?;
    Ok(versions
        .into_iter()
        .map(|v| VersionView {
            active: row.state == "live" && row.active == Some(v.version),
            latest: row.latest == v.version,
            state: if v.destroyed_at.is_some() { "destroyed" } else { "stored" }.to_owned(),
            version: v.version,
            created_at: time(v.created_at),
            created_by: v.created_by,
            approved_by: v.approved_by,
            approval_id: v.approval_id,
            base_version: v.base_version,
            origin: v.origin,
            delivery: v.delivery,
            reason: v.reason,
            expires_at: v.expires_at.map(time),
            destroyed_at: v.destroyed_at.map(time),
        })
        .collect())
}

fn token(row: CredentialRow) -> TokenView {
    let lineage = row.lineage();
    TokenView {
        id: row.id,
        prefix: row.hint,
        name: row.name,
        kind: row.kind.as_str().to_owned(),
        principal: row.principal.to_string(),
        scopes: row.scopes,
        unattended: row.unattended,
        created_at: time(row.created_at),
        created_by: row.created_by,
        expires_at: (row.expires_at.0 < i64::MAX).then(|| rfc3339(row.expires_at)),
        last_used_at: row.last_used_at.map(time),
        revoked_at: row.revoked_at.map(time),
        lineage,
    }
}

pub(crate) fn token_list(
    conn: &mut Conn,
    caller: &Caller,
    workspace: Option<WorkspaceId>,
) -> Result<Vec<TokenView>, Refusal> {
    need(caller, Scope::TokensRead)?;
    match workspace {
        Some(id) => {
            in_sight(caller, id)?;
            workspaces::find(conn, id)?.ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))?;
        }
        None => unconfined(caller)?,
    }
    Ok(credentials::list(conn, workspace)?.into_iter().map(token).collect())
}

/// Whether a token is one of this workspace. A path that names both is looked at before the gate is asked, so a caller that
/// is only supposed is answered too: with yes or no, about ids it brought.
pub(crate) fn token_fits(
    conn: &mut Conn,
    caller: &Caller,
    token: CredentialId,
    workspace: WorkspaceId,
) -> Result<bool, Refusal> {
    if !caller.scopes.has(Scope::TokensRead) {
        return Err(Refusal::because(Code::ScopeMissing, Scope::TokensRead.as_str()));
    }
    if caller.confined_to().is_some_and(|home| home != workspace) {
        return Err(Refusal::new(Code::NotFound));
    }
    workspaces::find(conn, workspace)?.ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))?;
    let row = credentials::find(conn, token)?;
    Ok(row.is_some_and(|row| row.kind == CredentialKind::Workspace && row.workspace_id == Some(workspace)))
}

/// An import would put a key that has no value.
pub(crate) const ADD: &str = "add";
/// An import would put another value, or so it is told.
pub(crate) const CHANGE: &str = "change";
/// An import would put the value that is there.
pub(crate) const SAME: &str = "same";

/// What an import would do to each key, whoever asks: not to be told as it is.
pub(crate) fn import_preview(
    conn: &mut Conn,
    core: &crate::core::Core,
    caller: &Caller,
    scope: SecretScope,
    pairs: &[(SecretKey, portcullis_kernel::secret::SecretValue)],
) -> Result<Vec<&'static str>, Refusal> {
    // Whether a guess equals a value is knowledge about the value: only who may write may ask.
    need(caller, Scope::SecretsWrite)?;
    match scope {
        SecretScope::Workspace(id) => {
            in_sight(caller, id)?;
            workspaces::find(conn, id)?.ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))?;
        }
        SecretScope::Organisation => unconfined(caller)?,
    }
    let keys = core.keys();
    let mut changes = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let row = secrets::find(conn, scope, key.as_str())?.filter(|row| row.state == "live");
        let change = match row.and_then(|row| row.active) {
            None => ADD,
            Some(active) => {
                let stored = versions::digest(conn, &scope.as_text(), key.as_str(), active)?;
                let equal = stored.is_some_and(|stored| stored == crate::plaintext::digest(&keys, scope, key, value));
                if equal { SAME } else { CHANGE }
            }
        };
        changes.push(change);
    }
    Ok(changes)
}
