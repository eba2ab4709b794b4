//! Releasing a workspace's own bundle: whole or refused, never partial.

use std::collections::BTreeMap;

use portcullis_kernel::{deed::EnvironmentRelease, refusal::Code, secret::SecretValue};
use serde::{Deserialize, Serialize};

use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    plaintext,
    refusal::{Fault, Refusal},
    tables::{secrets, versions},
};

/// What a workspace is given.
#[derive(Serialize, Deserialize)]
pub struct Bundle {
    /// Keyed token over the delivered set: equal tokens, equal content.
    pub version: String,
    /// Keys and values. Never serialised; the edge takes them out one by one.
    #[serde(skip)]
    pub values: Vec<(String, SecretValue)>,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for EnvironmentRelease {
    type Cargo = ();
    type Done = Bundle;

    fn prepare(&self, _cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Bundle>, Fault> {
        permit.spend(|w, deed, _| {
            let own = deed.workspace.to_string();
            // Organisation values first, the workspace's own over them.
            let mut chosen: BTreeMap<String, (String, i64)> = BTreeMap::new();
            for scope in ["organisation", own.as_str()] {
                for row in secrets::list(w.conn(), scope)? {
                    if let Some(active) = row.active.filter(|_| row.state == "live") {
                        chosen.insert(row.key, (row.scope, active));
                    }
                }
            }
            let mut values = Vec::with_capacity(chosen.len());
            let mut parts = Vec::new();
            for (key, (scope, version)) in chosen {
                let unreadable = |key: &str, why: String| {
                    let mut refusal = Refusal::new(Code::BundleUnreadable).internal(why);
                    refusal.key = Some(key.to_owned());
                    Fault::from(refusal)
                };
                let stored = versions::stored(w.conn(), &scope, &key, version)?
                    .ok_or_else(|| unreadable(&key, "the active version has no content".to_owned()))?;
                let value = plaintext::open(w.core(), &scope, &key, version, &stored.sealed)
                    .map_err(|error| unreadable(&key, error.to_string()))?;
                parts.extend_from_slice(key.as_bytes());
                parts.push(0);
                parts.extend_from_slice(&stored.digest);
                values.push((key, value));
            }
            let token = w.core().keys().digest.digest("bundle", &[own.as_bytes(), &parts]);
            Ok(Bundle { version: portcullis_kernel::audit::hex::encode(&token[..16]), values })
        })
    }
}
