//! Operators: create, invite, change, disable.

use portcullis_kernel::{
    deed::{OperatorCreate, OperatorInvite, OperatorUpdate},
    id::{CredentialId, OperatorId},
    operator::Role,
    refusal::Code,
    scope::Scopes,
    subject::Principal,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    act::{NewPassword, Prepared, sealed::Act},
    caller::{Caller, CredentialKind},
    db::DbError,
    gate::Cx,
    permit::{Permit, Spent, Writing},
    refusal::Fault,
    session::INVITE,
    tables::{
        credentials::{self, NewCredential},
        operators,
    },
    vault::{self, PlainToken, TokenKind},
};

/// How long an invitation waits.
const INVITE_MS: i64 = 24 * 60 * 60 * 1000;

/// A link to choose a password with.
#[derive(Serialize, Deserialize)]
pub struct Invite {
    /// For whom.
    pub id: OperatorId,
    /// Until when.
    pub expires_at: Timestamp,
    /// The link's secret; here once.
    #[serde(skip)]
    pub token: Option<PlainToken>,
}

/// An operator that was created.
#[derive(Serialize, Deserialize)]
pub struct OperatorMade {
    /// Which.
    pub id: OperatorId,
    /// The invitation, where no password was given.
    pub invite: Option<Invite>,
}

/// Issues a link. Those from before stop working.
fn invite(w: &mut Writing<'_, '_>, operator: OperatorId) -> Result<Invite, DbError> {
    let now = w.now();
    credentials::revoke_invites(w.conn(), operator, now.0)?;
    let token = PlainToken::generate(TokenKind::Claim);
    let expires_at = now.plus_ms(INVITE_MS);
    credentials::insert(
        w,
        &NewCredential {
            id: CredentialId::from_uuid(vault::uuid_v7(now.0)),
            kind: CredentialKind::Claim,
            hash: token.hash().0.as_slice(),
            hint: &token.hint(),
            name: INVITE,
            principal: Principal::Operator(operator),
            ancestors: &[],
            workspace: None,
            scopes: &Scopes::default(),
            unattended: false,
            expires_at: expires_at.0,
            idle_ms: None,
            payload: None,
        },
    )?;
    Ok(Invite { id: operator, expires_at, token: Some(token) })
}

/// An operator that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorSaved {
    /// Which.
    pub id: OperatorId,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for OperatorCreate {
    type Cargo = NewPassword;
    type Done = OperatorMade;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, _password: &NewPassword) -> Result<Prepared, Fault> {
        if operators::find_login(cx.conn, self.email.as_str())?.is_some() {
            return Err(Fault::refused(Code::Conflict, "an operator with this e-mail address exists"));
        }
        Ok(Prepared::default())
    }

    fn apply(
        permit: Permit<'_, '_, Self>,
        password: NewPassword,
        _prepared: &Prepared,
    ) -> Result<Spent<OperatorMade>, Fault> {
        permit.spend(|w, deed, _| {
            let id = OperatorId::from_uuid(vault::uuid_v7(w.now().0));
            let groups: Vec<String> = deed.groups.iter().map(ToString::to_string).collect();
            let hash = password.0.as_deref().unwrap_or(operators::NO_PASSWORD);
            match operators::insert(w, id, deed.email.as_str(), hash, deed.role, &groups) {
                Ok(()) => {}
                Err(DbError::Unique { .. }) => {
                    return Err(Fault::refused(Code::Conflict, "an operator with this e-mail address exists"));
                }
                Err(error) => return Err(error.into()),
            }
            let invite = if password.0.is_none() { Some(invite(w, id)?) } else { None };
            Ok(OperatorMade { id, invite })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for OperatorUpdate {
    type Cargo = ();
    type Done = OperatorSaved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = operators::find(cx.conn, self.operator)?.ok_or_else(|| Fault::code(Code::NotFound))?;
        let stays_owner =
            self.role.unwrap_or(row.role) == Role::Owner && !self.disabled.unwrap_or(row.disabled_at.is_some());
        let was_owner = row.role == Role::Owner && row.disabled_at.is_none();
        if was_owner && !stays_owner && operators::other_owners(cx.conn, row.id)? == 0 {
            return Err(Fault::refused(Code::Conflict, "the organisation needs one enabled owner"));
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<OperatorSaved>, Fault> {
        permit.spend(|w, deed, _| {
            let mut row = operators::find(w.conn(), deed.operator)?.ok_or_else(|| Fault::code(Code::NotFound))?;
            let now = w.now().0;
            row.role = deed.role.unwrap_or(row.role);
            if let Some(groups) = &deed.groups {
                row.groups = groups.iter().map(ToString::to_string).collect();
            }
            match deed.disabled {
                Some(true) => {
                    row.disabled_at = Some(now);
                    let operator = Principal::Operator(row.id);
                    credentials::revoke_principal(w.conn(), operator, "operator_disabled", now)?;
                    credentials::revoke_invites_by(w.conn(), operator, now)?;
                }
                Some(false) => row.disabled_at = None,
                None => {}
            }
            operators::update(w, &row)?;
            Ok(OperatorSaved { id: row.id })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for OperatorInvite {
    type Cargo = ();
    type Done = Invite;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = operators::find(cx.conn, self.operator)?.ok_or_else(|| Fault::code(Code::NotFound))?;
        if row.disabled_at.is_some() {
            return Err(Fault::refused(Code::Conflict, "the operator is disabled; enable it first"));
        }
        Ok(Prepared::default())
    }

    fn minted(done: &Invite) -> Option<&PlainToken> {
        done.token.as_ref()
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Invite>, Fault> {
        permit.spend(|w, deed, _| Ok(invite(w, deed.operator)?))
    }
}
