//! The only file of the service where a value leaves: a workspace's own bundle, and a minted token for the human who
//! claims it once.

use axum::{
    http::{HeaderName, HeaderValue, Method},
    response::Response,
};
use portcullis_authority::{Answer, Refusal};
use portcullis_kernel::{deed::EnvironmentRelease, refusal::Code, secret::SecretValue};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::json;

use crate::{
    call::{Call, ok, planned},
    operation::Operation,
};

pub(super) fn operations() -> Vec<Operation> {
    let pull = Operation::new(
        "secret_values",
        Method::GET,
        "/workspaces/{id}/secrets/values",
        "A workspace pulls its own bundle, whole or refused",
        values,
    );
    vec![pull.decided().output::<std::collections::BTreeMap<String, String>>()]
}

/// A flat map, written straight to the wire.
struct Flat(Vec<portcullis_authority::Released>);

impl Serialize for Flat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for secret in &self.0 {
            map.serialize_entry(&secret.key, secret.value.expose_secret())?;
        }
        map.end()
    }
}

async fn values(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let action = EnvironmentRelease { workspace: call.path("id")? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    let done = match answer {
        Answer::Done(done) => done,
        Answer::Plan(plan) => return planned(*plan),
        Answer::Held(_) => return Err(Refusal::new(Code::ValueNeverRevealed)),
    };
    let version = HeaderValue::from_str(&done.value.version).map_err(|_| Refusal::new(Code::Internal))?;
    let mut response = ok(&Flat(done.value.secrets))?;
    response.headers_mut().insert(HeaderName::from_static("x-bundle-version"), version);
    Ok(response)
}

/// A minted token for the human who claims it.
pub(super) fn claimed(token: &SecretValue) -> Result<Response, Refusal> {
    ok(&json!({"auth_token": token.expose_secret(), "warning": "shown once; store it now"}))
}
