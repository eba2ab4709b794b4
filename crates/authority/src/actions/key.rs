//! Starting to seal with a new data key. Old keys still open; resealing happens afterwards, in steps.

use portcullis_kernel::deed::KeyRotate;
use serde::{Deserialize, Serialize};

use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    keyring,
    permit::{Permit, Spent},
    refusal::Fault,
    tables::keys,
    vault::KeyPurpose,
};

/// A new sealing key. Takes effect when the keys are read again, after the commit: a value is never sealed with a key
/// that is not in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// Its id.
    pub key_id: String,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for KeyRotate {
    type Cargo = ();
    type Done = Rotated;

    fn prepare(&self, _cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Rotated>, Fault> {
        permit.spend(|w, _, _| {
            let now = w.now();
            let cx = w.cx();
            let key_id = keyring::create(cx.conn, cx.core.provider.as_ref(), KeyPurpose::Data, now)?;
            keys::retire_others(cx.conn, &key_id, now.0)?;
            Ok(Rotated { key_id })
        })
    }
}
