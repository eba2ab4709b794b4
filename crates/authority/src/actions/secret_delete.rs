//! Soft delete, undelete and destroy: three rights, because only the last cannot be taken back.

use portcullis_kernel::{
    deed::{Base, SecretDelete, SecretDestroy, SecretRequest, SecretUndelete},
    name::{KEYS_PER_SCOPE_MAX, SecretKey},
    refusal::Code,
};
use serde::{Deserialize, Serialize};

use super::secret_write::{check_key, delete, prepare_existing, set_state};
use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
    tables::{
        secrets::{self, Pointers},
        versions,
    },
};

/// A key whose state changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretGone {
    /// Which key.
    pub key: SecretKey,
}

/// Versions whose ciphertext was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretDestroyed {
    /// Which key.
    pub key: SecretKey,
    /// Which versions.
    pub versions: Vec<i64>,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretDelete {
    type Cargo = ();
    type Done = SecretGone;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let (row, mut prepared) = prepare_existing(cx, self.scope, &self.key, self.base, &["live", "slot"])?;
        prepared.agents_unaffected = row.state == "slot" || row.active.is_none();
        Ok(prepared)
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<SecretGone>, Fault> {
        permit.spend(|w, deed, _| {
            delete(w, deed.scope, &deed.key)?;
            Ok(SecretGone { key: deed.key.clone() })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretUndelete {
    type Cargo = ();
    type Done = SecretGone;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let (row, mut prepared) = prepare_existing(cx, self.scope, &self.key, Base::Any, &["deleted"])?;
        if row.latest == 0 {
            return Err(Fault::code(Code::SecretNotFound));
        }
        if secrets::count(cx.conn, self.scope)? >= KEYS_PER_SCOPE_MAX as i64 {
            return Err(Fault::refused(Code::LimitReached, format!("a scope has at most {KEYS_PER_SCOPE_MAX} keys")));
        }
        if let Some(version) = row.active
            && versions::digest(cx.conn, &self.scope.as_text(), self.key.as_str(), version)?.is_none()
        {
            // Nothing is left that agents could be given.
            return Err(Fault::refused(
                Code::Conflict,
                "its active version is destroyed; roll back to another one or set a new value",
            ));
        }
        prepared.agents_unaffected = row.active.is_none();
        Ok(prepared)
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<SecretGone>, Fault> {
        permit.spend(|w, deed, _| {
            set_state(w, deed.scope, &deed.key, "live")?;
            Ok(SecretGone { key: deed.key.clone() })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretDestroy {
    type Cargo = ();
    type Done = SecretDestroyed;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let (row, mut prepared) = prepare_existing(cx, self.scope, &self.key, Base::Any, &["live", "deleted", "slot"])?;
        let active = row.active.filter(|_| row.state == "live");
        if let Some(version) = self.version {
            if versions::digest(cx.conn, &self.scope.as_text(), self.key.as_str(), version)?.is_none() {
                return Err(Fault::code(Code::VersionNotFound));
            }
            // The active version is what agents run on; erasing it would leave a key that cannot be delivered.
            if active == Some(version) {
                return Err(Fault::refused(
                    Code::Conflict,
                    "the version is active; activate another one or delete the key first",
                ));
            }
            prepared.agents_unaffected = true;
        } else {
            prepared.agents_unaffected = active.is_none();
        }
        Ok(prepared)
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<SecretDestroyed>, Fault> {
        permit.spend(|w, deed, _| {
            let versions = versions::destroy(w, deed.scope, deed.key.as_str(), deed.version)?;
            if deed.version.is_none() {
                let row = secrets::find(w.conn(), deed.scope, deed.key.as_str())?
                    .ok_or_else(|| Fault::code(Code::SecretNotFound))?;
                let key = deed.key.as_str();
                let pointers = Pointers {
                    scope: deed.scope,
                    key,
                    state: "deleted",
                    latest: row.latest,
                    active: None,
                    description: None,
                };
                secrets::put(w, &pointers)?;
            }
            Ok(SecretDestroyed { key: deed.key.clone(), versions })
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretRequest {
    type Cargo = ();
    type Done = SecretGone;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        check_key(self.scope, &self.key)?;
        let row = secrets::find(cx.conn, self.scope, self.key.as_str())?;
        if row.is_some_and(|row| row.state == "live") {
            return Err(Fault::refused(Code::Conflict, "the key already has a value"));
        }
        if secrets::count(cx.conn, self.scope)? >= KEYS_PER_SCOPE_MAX as i64 {
            return Err(Fault::refused(Code::LimitReached, format!("a scope has at most {KEYS_PER_SCOPE_MAX} keys")));
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<SecretGone>, Fault> {
        permit.spend(|w, deed, _| {
            let latest = secrets::find(w.conn(), deed.scope, deed.key.as_str())?.map_or(0, |row| row.latest);
            let pointers = Pointers {
                scope: deed.scope,
                key: deed.key.as_str(),
                state: "slot",
                latest,
                active: None,
                description: deed.description.as_ref().map(|note| note.as_str()),
            };
            secrets::put(w, &pointers)?;
            Ok(SecretGone { key: deed.key.clone() })
        })
    }
}
