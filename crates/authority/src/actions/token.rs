//! Minting and revoking tokens. A minted token never exceeds its minter, never outlives it and dies with it.

use portcullis_kernel::{
    deed::{Base, Delivery, SecretScope, TokenMint, TokenRevoke},
    id::{CredentialId, WorkspaceId},
    refusal::Code,
    scope::{Scope, Scopes},
    subject::Principal,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::secret_write::{Put, check_key, prepare_existing, put};
use crate::{
    act::{Prepared, sealed::Act},
    caller::{Caller, CredentialKind},
    gate::Cx,
    permit::{Permit, Spent},
    plaintext,
    refusal::Fault,
    tables::{
        credentials::{self, NewCredential},
        workspaces,
    },
    vault::{self, PlainToken, TokenKind},
};

/// Live tokens of one workspace, or of the organisation.
pub(crate) const LIVE_TOKENS_MAX: i64 = 50;
/// Live organisation tokens.
pub(crate) const LIVE_ORG_TOKENS_MAX: i64 = 500;

/// A minted token. Its plaintext is here once and is never serialised.
#[derive(Serialize, Deserialize)]
pub struct Minted {
    /// Its id.
    pub id: CredentialId,
    /// The visible beginning of the token.
    pub prefix: String,
    /// Its name.
    pub name: String,
    /// The workspace it belongs to, if one.
    pub workspace_id: Option<WorkspaceId>,
    /// When it expires.
    pub expires_at: Timestamp,
    /// It was put into a workspace's secrets; nobody is shown it.
    pub delivered: bool,
    /// The token, for the caller who may see it.
    #[serde(skip)]
    pub token: Option<PlainToken>,
}

/// How many credentials ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Revoked {
    /// The token and all minted from it.
    pub revoked: u64,
}

/// What the minter may pass on. The right to pull its own bundle belongs to every workspace token by nature.
fn grantable(caller: &Caller, workspace: bool) -> Scopes {
    let mut scopes = caller.scopes.clone();
    scopes.0.remove(&Scope::Govern);
    if workspace {
        scopes.0.insert(Scope::SecretsPull);
    } else {
        scopes.0.remove(&Scope::SecretsPull);
    }
    scopes
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for TokenMint {
    type Cargo = ();
    type Done = Minted;

    fn prepare(&self, cx: &mut Cx<'_>, caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        if self.is_delivered_elsewhere() {
            let reason = "the token of a workspace is delivered into that workspace and no other";
            return Err(Fault::refused(Code::InvalidField, reason));
        }
        if !self.scopes.within(&grantable(caller, self.workspace.is_some())) {
            return Err(Fault::refused(Code::ScopeMissing, "a token never carries more than its minter"));
        }
        if self.scopes.0.is_empty() {
            return Err(Fault::refused(Code::InvalidField, "a token without scopes can do nothing"));
        }
        if self.unattended && (!caller.is_operator() || self.workspace.is_some()) {
            return Err(Fault::refused(Code::HumanRequired, "only a human mints an unattended organisation token"));
        }
        if self.expires_in_ms < 1000 || self.expires_in_ms > cx.core.config.token_ms_max {
            return Err(Fault::refused(Code::InvalidField, "expires_in_s is at least 1 and at most a year"));
        }
        let max = if self.workspace.is_some() { LIVE_TOKENS_MAX } else { LIVE_ORG_TOKENS_MAX };
        if credentials::live_count(cx.conn, self.workspace, cx.now.0)? >= max {
            return Err(Fault::refused(Code::LimitReached, format!("at most {max} live tokens")));
        }
        let Some(to) = &self.deliver_to else { return Ok(Prepared::default()) };
        let scope = SecretScope::Workspace(to.workspace_id);
        check_key(scope, &to.key)?;
        match prepare_existing(cx, scope, &to.key, Base::Any, &["live", "deleted", "slot"]) {
            Ok((_, prepared)) => Ok(prepared),
            Err(Fault::Refused(refusal)) if refusal.code == Code::SecretNotFound => Ok(Prepared::default()),
            Err(fault) => Err(fault),
        }
    }

    fn minted(done: &Minted) -> Option<&PlainToken> {
        done.token.as_ref()
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Minted>, Fault> {
        permit.spend(|w, deed, caller| {
            let kind = if deed.workspace.is_some() { TokenKind::Workspace } else { TokenKind::Organisation };
            let token = PlainToken::generate(kind);
            let id = CredentialId::from_uuid(vault::uuid_v7(w.now().0));
            // The principal at the root of the lineage: delivered into a workspace it is that workspace's agent; minted by a
            // human it is a service, which is not a human; minted by an agent or a service it is still that one.
            let bound = deed.workspace.or(deed.deliver_to.as_ref().map(|to| to.workspace_id));
            let principal = match (bound, caller.subject.principal) {
                (Some(workspace), _) => Principal::Agent(workspace),
                (None, Principal::Operator(_) | Principal::System(_)) => Principal::Service(id),
                (None, same) => same,
            };
            let ancestors = if caller.is_operator() { Vec::new() } else { caller.subject.lineage.0.clone() };
            let own_end = w.now().plus_ms(deed.expires_in_ms);
            let expires_at = if caller.is_operator() { own_end } else { own_end.min(caller.expires_at) };
            credentials::insert(
                w,
                &NewCredential {
                    id,
                    kind: if deed.workspace.is_some() {
                        CredentialKind::Workspace
                    } else {
                        CredentialKind::Organisation
                    },
                    hash: token.hash().0.as_slice(),
                    hint: &token.hint(),
                    name: deed.name.as_str(),
                    principal,
                    ancestors: &ancestors,
                    workspace: bound,
                    scopes: &deed.scopes,
                    unattended: deed.unattended,
                    expires_at: expires_at.0,
                    idle_ms: None,
                    payload: None,
                },
            )?;
            if let Some(to) = &deed.deliver_to {
                let value = plaintext::token_value(&token)?;
                let new = Put {
                    scope: SecretScope::Workspace(to.workspace_id),
                    key: &to.key,
                    delivery: Delivery::Env,
                    activate: true,
                    origin: "minted",
                    description: None,
                    reason: None,
                    expires_at: Some(expires_at.0),
                };
                put(w, &new, &value)?;
            }
            let delivered = deed.deliver_to.is_some();
            Ok(Minted {
                id,
                prefix: token.hint(),
                name: deed.name.to_string(),
                workspace_id: bound,
                expires_at,
                delivered,
                token: (!delivered).then_some(token),
            })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for TokenRevoke {
    type Cargo = ();
    type Done = Revoked;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = credentials::find(cx.conn, self.credential)?.ok_or_else(|| Fault::code(Code::NotFound))?;
        if row.kind == CredentialKind::Admin {
            return Err(Fault::refused(
                Code::Conflict,
                "the admin token is replaced in the environment or its file, not revoked here",
            ));
        }
        if let Some(workspace) = row.workspace_id {
            workspaces::find(cx.conn, workspace)?.ok_or_else(|| Fault::code(Code::NotFound))?;
        }
        if row.revoked_at.is_some() {
            return Err(Fault::code(Code::NotFound));
        }
        // It would end the agent in the middle of its turn, and nobody would have been told.
        if row.name == credentials::BOOT && row.expires_at.0 == i64::MAX {
            let reason =
                "the token belongs to an agent that runs and dies with its run; restart or force-stop it instead";
            return Err(Fault::refused(Code::Conflict, reason));
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Revoked>, Fault> {
        permit.spend(|w, deed, _| {
            let now = w.now().0;
            Ok(Revoked { revoked: credentials::revoke_tree(w.conn(), deed.credential, "revoked", now)? })
        })
    }
}
