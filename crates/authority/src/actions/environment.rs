//! Releasing a workspace's own bundle: whole or refused, never partial.

use std::collections::BTreeMap;

use portcullis_kernel::{
    deed::{Delivery, EnvironmentRelease},
    id::WorkspaceId,
    refusal::Code,
    secret::{Environment, SecretValue},
};
use serde::{Deserialize, Serialize};

use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    core::Core,
    db::{Conn, DbError},
    gate::Cx,
    permit::{Permit, Spent},
    plaintext,
    refusal::{Fault, Refusal},
    tables::{secrets, versions, word},
};

/// One secret of a bundle.
pub struct Released {
    /// Its key.
    pub key: String,
    /// `organisation`, or the workspace's id.
    pub scope: String,
    /// Which version.
    pub version: i64,
    /// How it is delivered.
    pub delivery: Delivery,
    /// The value.
    pub value: SecretValue,
}

/// What a workspace is given.
#[derive(Serialize, Deserialize)]
pub struct Bundle {
    /// Keyed token over the delivered set: equal tokens, equal content.
    pub version: String,
    /// The same over what becomes variables: a change of these needs a restart.
    pub variables_token: String,
    /// The same over what becomes files.
    pub files_token: String,
    /// The secrets. Never serialised; the edge takes them out one by one.
    #[serde(skip)]
    pub secrets: Vec<Released>,
}

impl Bundle {
    /// Version of each key, as JSON: what is remembered of a run.
    pub(crate) fn versions(&self) -> String {
        let of = |secret: &Released| serde_json::json!({"version": secret.version, "scope": secret.scope, "delivery": secret.delivery});
        let map: BTreeMap<&str, serde_json::Value> =
            self.secrets.iter().map(|secret| (secret.key.as_str(), of(secret))).collect();
        serde_json::json!(map).to_string()
    }

    /// The bundle as what an agent is started with.
    pub(crate) fn into_environment(self, token: Option<SecretValue>) -> Environment {
        let mut environment = Environment { variables: Vec::new(), files: Vec::new(), token };
        for secret in self.secrets {
            match secret.delivery {
                Delivery::Env => environment.variables.push((secret.key, secret.value)),
                Delivery::File => environment.files.push((secret.key, secret.value)),
            }
        }
        environment
    }
}

fn unreadable(key: &str, why: String) -> Fault {
    let mut refusal = Refusal::new(Code::BundleUnreadable).internal(why);
    refusal.key = Some(key.to_owned());
    Fault::from(refusal)
}

/// Scope and version of each key that a workspace would be given now.
pub(crate) fn chosen(conn: &mut Conn, workspace: WorkspaceId) -> Result<BTreeMap<String, (String, i64)>, DbError> {
    let own = workspace.to_string();
    // Organisation values first, the workspace's own over them.
    let mut chosen = BTreeMap::new();
    for scope in ["organisation", own.as_str()] {
        for row in secrets::list(conn, scope)? {
            if let Some(active) = row.active.filter(|_| row.state == "live") {
                chosen.insert(row.key, (row.scope, active));
            }
        }
    }
    Ok(chosen)
}

/// What a workspace would be given now. Opens every value: also to find out whether anything differs from what a run has.
pub(crate) fn content(conn: &mut Conn, core: &Core, workspace: WorkspaceId) -> Result<Bundle, Fault> {
    let chosen = chosen(conn, workspace)?;
    let mut released = Vec::with_capacity(chosen.len());
    for (key, (scope, version)) in chosen {
        let stored = versions::stored(conn, &scope, &key, version)?
            .ok_or_else(|| unreadable(&key, "the active version has no content".to_owned()))?;
        let value = plaintext::open(core, &scope, &key, version, &stored.sealed)
            .map_err(|error| unreadable(&key, error.to_string()))?;
        let delivery = word(Delivery::parse(&stored.delivery), "secret_versions.delivery")?;
        released.push(Released { key, scope, version, delivery, value });
    }
    let keys = core.keys();
    let token = |which: Option<Delivery>| {
        let parts = released.iter().filter(|secret| which.is_none_or(|which| secret.delivery == which));
        plaintext::content_token(&keys, workspace, parts.map(|secret| (secret.key.as_str(), &secret.value)))
    };
    let (version, variables_token, files_token) =
        (token(None), token(Some(Delivery::Env)), token(Some(Delivery::File)));
    Ok(Bundle { version, variables_token, files_token, secrets: released })
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for EnvironmentRelease {
    type Cargo = ();
    type Done = Bundle;

    fn prepare(&self, _cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Bundle>, Fault> {
        permit.spend(|w, deed, caller| {
            let bundle = {
                let cx = w.cx();
                content(cx.conn, cx.core, deed.workspace)?
            };
            crate::mailbox::pulled(w, caller, deed.workspace, &bundle)?;
            Ok(bundle)
        })
    }
}
