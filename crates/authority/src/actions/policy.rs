//! Policies that operators add. The shipped ones are in the binary and cannot be removed.

use portcullis_kernel::{
    deed::{PolicyAdd, PolicyRemove},
    id::PolicyId,
    refusal::Code,
};
use serde::{Deserialize, Serialize};

use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
    tables::policies,
    vault,
};

/// Largest text of one policy, in bytes.
pub(crate) const POLICY_BYTES_MAX: usize = 16 * 1024;

/// A policy that was added or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySaved {
    /// Which.
    pub id: PolicyId,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for PolicyAdd {
    type Cargo = ();
    type Done = PolicySaved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        if self.text.len() > POLICY_BYTES_MAX {
            return Err(Fault::refused(Code::PolicyInvalid, format!("a policy has at most {POLICY_BYTES_MAX} bytes")));
        }
        let checked = cx.core.policy.read_added("new", &self.text);
        checked.map_err(|error| Fault::refused(Code::PolicyInvalid, error.problem))?;
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<PolicySaved>, Fault> {
        permit.spend(|w, deed, _| {
            let id = PolicyId::from_uuid(vault::uuid_v7(w.now().0));
            let text_id = id.to_string();
            let slots = w.core().policy.read_added(&text_id, &deed.text);
            let slots = slots.map_err(|error| Fault::refused(Code::PolicyInvalid, error.problem))?;
            policies::insert(w, &text_id, deed.name.as_str(), &deed.text, &slots)?;
            Ok(PolicySaved { id })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for PolicyRemove {
    type Cargo = ();
    type Done = PolicySaved;

    fn prepare(&self, _cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<PolicySaved>, Fault> {
        permit.spend(|w, deed, _| {
            if policies::remove(w, &deed.policy.to_string())? {
                Ok(PolicySaved { id: deed.policy })
            } else {
                Err(Fault::code(Code::NotFound))
            }
        })
    }
}
