//! Operators: create, change, disable.

use portcullis_kernel::{
    deed::{OperatorCreate, OperatorUpdate},
    id::OperatorId,
    operator::Role,
    refusal::Code,
    subject::Principal,
};
use serde::{Deserialize, Serialize};

use crate::{
    act::{NewPassword, Prepared, sealed::Act},
    caller::Caller,
    db::DbError,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
    tables::{credentials, operators},
    vault,
};

/// An operator that was created or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorSaved {
    /// Which.
    pub id: OperatorId,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for OperatorCreate {
    type Cargo = NewPassword;
    type Done = OperatorSaved;

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
    ) -> Result<Spent<OperatorSaved>, Fault> {
        permit.spend(|w, deed, _| {
            let id = OperatorId::from_uuid(vault::uuid_v7(w.now().0));
            let groups: Vec<String> = deed.groups.iter().map(ToString::to_string).collect();
            match operators::insert(w, id, deed.email.as_str(), &password.0, deed.role, &groups) {
                Ok(()) => Ok(OperatorSaved { id }),
                Err(DbError::Unique { .. }) => {
                    Err(Fault::refused(Code::Conflict, "an operator with this e-mail address exists"))
                }
                Err(error) => Err(error.into()),
            }
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
                    credentials::revoke_principal(w.conn(), Principal::Operator(row.id), "operator_disabled", now)?;
                }
                Some(false) => row.disabled_at = None,
                None => {}
            }
            operators::update(w, &row)?;
            Ok(OperatorSaved { id: row.id })
        })
    }
}
