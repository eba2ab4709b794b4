//! Setting a secret. The model of an action: what it answers, what must be true, what it does.

use portcullis_kernel::{deed::SecretSet, name::SecretKey, secret::SecretValue};
use serde::{Deserialize, Serialize};

use super::secret_write::{Put, prepare_put, put_on};
use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
};

/// A version that was put, or a pointer that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSaved {
    /// Which key.
    pub key: SecretKey,
    /// Which version.
    pub version: i64,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretSet {
    type Cargo = SecretValue;
    type Done = SecretSaved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, value: &SecretValue) -> Result<Prepared, Fault> {
        prepare_put(cx, self.scope, &self.key, self.base, value, self.activate)
    }

    fn apply(
        permit: Permit<'_, '_, Self>,
        value: SecretValue,
        prepared: &Prepared,
    ) -> Result<Spent<SecretSaved>, Fault> {
        permit.spend(|w, deed, _| {
            let new = Put {
                scope: deed.scope,
                key: &deed.key,
                delivery: deed.delivery,
                activate: deed.activate,
                origin: "set",
                description: deed.description.as_ref().map(|note| note.as_str()),
                reason: deed.reason.as_ref().map(|note| note.as_str()),
                expires_at: deed.expires_at.map(|at| at.0),
            };
            let base = prepared.pins.first().ok_or_else(|| Fault::Failed("nothing was prepared".to_owned()))?;
            let version = put_on(w, base, &new, &value)?;
            Ok(SecretSaved { key: deed.key.clone(), version })
        })
    }
}
