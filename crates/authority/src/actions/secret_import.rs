//! Importing many keys of one scope, all or none.

use portcullis_kernel::{
    deed::{Base, Delivery, SecretImport},
    name::{KEYS_PER_SCOPE_MAX, SecretKey},
    refusal::Code,
    secret::SecretValue,
};
use serde::{Deserialize, Serialize};

use super::secret_write::{Put, prepare_put, put};
use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
    tables::secrets,
};

/// What an import put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Keys and versions, in file order.
    pub versions: Vec<(SecretKey, i64)>,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretImport {
    type Cargo = Vec<SecretValue>;
    type Done = Imported;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, values: &Vec<SecretValue>) -> Result<Prepared, Fault> {
        if self.keys.is_empty() || self.keys.len() != values.len() {
            return Err(Fault::refused(Code::ImportInvalid, "there are no keys"));
        }
        let mut all = Prepared { agents_unaffected: true, same_as_current: true, ..Prepared::default() };
        let mut new = 0;
        for (key, value) in self.keys.iter().zip(values) {
            let one = prepare_put(cx, self.scope, key, Base::Any, value, true).map_err(|fault| named(fault, key))?;
            new += i64::from(one.pins.iter().any(|pin| pin.state == "absent" || pin.state == "deleted"));
            all.agents_unaffected &= one.agents_unaffected;
            all.by_value |= one.by_value;
            all.same_as_current &= one.same_as_current;
            all.pins.extend(one.pins);
        }
        if secrets::count(cx.conn, self.scope)? + new > KEYS_PER_SCOPE_MAX as i64 {
            return Err(Fault::refused(Code::LimitReached, format!("a scope has at most {KEYS_PER_SCOPE_MAX} keys")));
        }
        Ok(all)
    }

    fn apply(
        permit: Permit<'_, '_, Self>,
        values: Vec<SecretValue>,
        _prepared: &Prepared,
    ) -> Result<Spent<Imported>, Fault> {
        permit.spend(|w, deed, _| {
            let mut versions = Vec::with_capacity(values.len());
            for (key, value) in deed.keys.iter().zip(&values) {
                let new = Put {
                    scope: deed.scope,
                    key,
                    delivery: Delivery::Env,
                    activate: true,
                    origin: "import",
                    description: None,
                    reason: None,
                    expires_at: None,
                };
                versions.push((key.clone(), put(w, &new, value)?));
            }
            Ok(Imported { versions })
        })
    }
}

/// Names the key an error is about.
pub(crate) fn named(fault: Fault, key: &SecretKey) -> Fault {
    match fault {
        Fault::Refused(mut refusal) => {
            refusal.key = Some(key.to_string());
            Fault::Refused(refusal)
        }
        Fault::Failed(text) => Fault::Failed(text),
    }
}
