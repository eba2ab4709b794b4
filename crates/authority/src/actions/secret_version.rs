//! Roll-back as a new version, and moving the active pointer.

use portcullis_kernel::{
    deed::{Base, SecretActivate, SecretRollback},
    refusal::Code,
};

use super::{
    SecretSaved,
    secret_write::{activate, check_key, prepare_existing, roll_back, same_digest},
};
use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
};

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretRollback {
    type Cargo = ();
    type Done = SecretSaved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        // The rules may have become stricter since the old version was written.
        check_key(self.scope, &self.key)?;
        let (row, mut prepared) = prepare_existing(cx, self.scope, &self.key, self.base, &["live", "deleted"])?;
        let same = same_digest(cx, self.scope, &self.key, &row, self.to_version)?;
        (prepared.agents_unaffected, prepared.by_value, prepared.same_as_current) = (same, same, same);
        Ok(prepared)
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<SecretSaved>, Fault> {
        permit.spend(|w, deed, _| {
            let reason = deed.reason.as_ref().map(|note| note.as_str());
            let version = roll_back(w, deed.scope, &deed.key, deed.to_version, reason)?;
            Ok(SecretSaved { key: deed.key.clone(), version })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretActivate {
    type Cargo = ();
    type Done = SecretSaved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let (row, mut prepared) = prepare_existing(cx, self.scope, &self.key, Base::Any, &["live"])?;
        if self.version < 1 || self.version > row.latest {
            return Err(Fault::code(Code::VersionNotFound));
        }
        let same = same_digest(cx, self.scope, &self.key, &row, self.version)?;
        (prepared.agents_unaffected, prepared.by_value, prepared.same_as_current) = (same, same, same);
        Ok(prepared)
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<SecretSaved>, Fault> {
        permit.spend(|w, deed, _| {
            activate(w, deed.scope, &deed.key, deed.version)?;
            Ok(SecretSaved { key: deed.key.clone(), version: deed.version })
        })
    }
}
