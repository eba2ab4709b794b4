//! Passkeys: to add and remove the own ones, to sign in with, to re-authenticate. What is asked and answered are the JSON
//! forms of Web Authentication, as a browser reads and writes them.

use std::net::IpAddr;

use axum::{
    http::{Method, StatusCode, Uri, header},
    response::Response,
};
use portcullis_authority::{Device, NewPasskey, Party, PasskeyUsed, PasskeyView, Refusal, clock::rfc3339};
use portcullis_kernel::{name::DisplayName, refusal::Code};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::session::opened;
use crate::{
    address,
    call::{Call, json as json_response, ok},
    operation::Operation,
};

pub(super) fn operations() -> Vec<Operation> {
    let post = |id, path, summary| (id, Method::POST, path, summary);
    vec![
        route!(("passkey_list", Method::GET, "/auth/passkeys", "The own passkeys"), list).output::<Vec<PasskeyView>>(),
        route!(post("passkey_begin", "/auth/passkeys/begin", "Begin to add a passkey"), begin).input::<Begin>(),
        route!(post("passkey_finish", "/auth/passkeys/finish", "Add a passkey"), finish)
            .done(&[201])
            .input::<Attested>()
            .output::<PasskeyView>(),
        route!(("passkey_remove", Method::DELETE, "/auth/passkeys/{passkey}", "Remove an own passkey"), remove),
        route!(
            post("passkey_login_begin", "/auth/passkey-login/begin", "Begin to sign in with a passkey"),
            login_begin
        )
        .public(),
        route!(
            post("passkey_login_finish", "/auth/passkey-login/finish", "Open a session with a passkey"),
            login_finish
        )
        .public()
        .input::<Asserted>(),
        route!(
            post("passkey_step_up_begin", "/auth/step-up/passkey/begin", "Begin to re-authenticate with a passkey"),
            step_up_begin
        ),
        route!(
            post("passkey_step_up_finish", "/auth/step-up/passkey/finish", "Re-authenticate with a passkey"),
            step_up_finish
        )
        .input::<Asserted>(),
    ]
}

/// Begin to add a passkey.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Begin {
    /// What it will be called; else after the browser.
    name: Option<DisplayName>,
}

/// `PublicKeyCredential.toJSON()` of a new passkey. What the browser has taken apart already is not looked at: it is taken
/// apart again from what was signed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "part of what browsers send; only what is signed is believed")]
struct Attested {
    id: String,
    raw_id: String,
    r#type: Kind,
    authenticator_attachment: Option<String>,
    client_extension_results: Option<Map<String, Value>>,
    response: AttestedResponse,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "part of what browsers send; only what is signed is believed")]
struct AttestedResponse {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    attestation_object: String,
    authenticator_data: Option<String>,
    transports: Option<Vec<String>>,
    public_key: Option<String>,
    public_key_algorithm: Option<i64>,
}

/// `PublicKeyCredential.toJSON()` of a passkey that was used.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "part of what browsers send; only what is signed is believed")]
struct Asserted {
    id: String,
    raw_id: String,
    r#type: Kind,
    authenticator_attachment: Option<String>,
    client_extension_results: Option<Map<String, Value>>,
    response: AssertedResponse,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[expect(dead_code, reason = "part of what browsers send; an attestation was not asked for")]
struct AssertedResponse {
    #[serde(rename = "clientDataJSON")]
    client_data: String,
    authenticator_data: String,
    signature: String,
    user_handle: Option<String>,
    attestation_object: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
enum Kind {
    #[serde(rename = "public-key")]
    PublicKey,
}

impl Asserted {
    fn into_used(self) -> Result<PasskeyUsed, Refusal> {
        same(&self.id, &self.raw_id)?;
        let AssertedResponse { client_data, authenticator_data, signature, user_handle, .. } = self.response;
        Ok(PasskeyUsed { id: self.id, client_data, authenticator_data, signature, user_handle })
    }
}

/// Two names for one thing are one.
fn same(id: &str, raw_id: &str) -> Result<(), Refusal> {
    if id == raw_id { Ok(()) } else { Err(Refusal::because(Code::InvalidField, "`id` and `rawId` differ")) }
}

/// This server as a relying party: by the name it has, or was reached by. An address is no name that a passkey can be for.
fn party(call: &Call) -> Result<Party, Refusal> {
    let malformed = || Refusal::because(Code::InvalidRequest, "header `host` is malformed");
    let base: Uri = address::base(&call.app, &call.headers)?.parse().map_err(|_| malformed())?;
    let (Some(scheme), Some(host)) = (base.scheme_str(), base.host()) else { return Err(malformed()) };
    let rp_id = host.to_ascii_lowercase();
    let bare = rp_id.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        let reason = "a passkey is for a name: reach this server by one, such as `localhost`";
        return Err(Refusal::because(Code::InvalidRequest, reason));
    }
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = base.port_u16().filter(|port| *port != usual).map(|port| format!(":{port}")).unwrap_or_default();
    Ok(Party { origin: format!("{scheme}://{rp_id}{port}"), rp_id })
}

/// The same for a session of a human; whoever is none is told that first.
fn party_of_human(call: &Call) -> Result<Party, Refusal> {
    if call.caller()?.is_operator() { party(call) } else { Err(Refusal::new(Code::HumanRequired)) }
}

fn device(call: &Call) -> Device {
    Device::of(call.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()))
}

async fn list(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.passkeys(call.caller()?).await?)
}

async fn begin(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: Begin = call.input_or_default()?;
    let unnamed = || device(&call).to_string().parse().map_err(|_| Refusal::new(Code::Internal));
    let name = input.name.map_or_else(unnamed, Ok)?;
    ok(&call.app.authority.begin_passkey(call.caller()?, party_of_human(&call)?, name).await?)
}

async fn finish(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: Attested = call.input()?;
    same(&input.id, &input.raw_id)?;
    let AttestedResponse { client_data, attestation_object, .. } = input.response;
    let answer = NewPasskey { id: input.id, client_data, attestation: attestation_object };
    let added = call.app.authority.finish_passkey(call.meta.clone(), call.caller()?, &answer).await?;
    json_response(StatusCode::CREATED, &added)
}

async fn remove(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    call.app.authority.remove_passkey(call.meta.clone(), call.caller()?, call.path("passkey")?).await?;
    ok(&json!({"status": "removed"}))
}

async fn login_begin(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    ok(&call.app.authority.begin_passkey_login(&party(&call)?).await?)
}

async fn login_finish(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let used = call.input::<Asserted>()?.into_used()?;
    let (device, address) = (device(&call), call.peer.to_string());
    let session = call.app.authority.finish_passkey_login(call.meta.clone(), &used, address, device).await?;
    opened(&call.app, &session)
}

async fn step_up_begin(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    ok(&call.app.authority.begin_passkey_step_up(call.caller()?, party_of_human(&call)?).await?)
}

async fn step_up_finish(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let used = call.input::<Asserted>()?.into_used()?;
    let (authority, address) = (&call.app.authority, call.peer.to_string());
    let until = authority.finish_passkey_step_up(call.meta.clone(), call.caller()?, &used, &address).await?;
    ok(&json!({"status": "stepped_up", "step_up_until": rfc3339(until)}))
}
