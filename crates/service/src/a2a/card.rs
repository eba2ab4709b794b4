//! Agent cards: one for each workspace, for whoever sees it or may talk to it. The interfaces are ours; what an agent says
//! of itself is its name, its description, its version and its skills, within limits, and never an address.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
};

use a2a::{
    AgentCapabilities, AgentCard, AgentInterface, AgentSkill, HttpAuthSecurityScheme, SecurityScheme,
    TRANSPORT_PROTOCOL_HTTP_JSON, TRANSPORT_PROTOCOL_JSONRPC,
};
use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use portcullis_authority::{CardView, Refusal};
use portcullis_kernel::{id::WorkspaceId, refusal::Code};
use serde_json::Value;

use crate::{
    call::{Call, ok},
    operation::Operation,
};

/// Why there is no other card for those who are authenticated: everybody is.
pub(super) const NO_EXTENDED_CARD: &str = "there is one card for each agent, and no extended one";

/// How long a card may be kept. Nobody but the caller may keep it.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=60");
/// Longest name, version, id or tag that is passed on, in characters.
const WORD_CHARS_MAX: usize = 128;
/// Longest description or example.
const TEXT_CHARS_MAX: usize = 2_048;
/// Most skills, and most tags or examples of one.
const SKILLS_MAX: usize = 64;
const TAGS_MAX: usize = 16;

/// The routes.
pub(super) fn operations() -> Vec<Operation> {
    let path = "/workspaces/{id}/a2a/.well-known/agent-card.json";
    let card =
        Operation::new("a2a_card", Method::GET, path, "The A2A card of an agent", of_workspace).done(&[200, 304]);
    let beside = card.also_at("a2a_card_workspace", Method::GET, "/workspaces/{id}/.well-known/agent-card.json");
    let path = "/.well-known/agent-card.json";
    vec![
        card,
        beside,
        Operation::new("a2a_card_root", Method::GET, path, "The A2A card of the concierge", of_root).done(&[200, 304]),
    ]
}

async fn of_workspace(call: Call) -> Result<Response, Refusal> {
    let workspace = call.path("id")?;
    serve(&call, workspace).await
}

async fn of_root(call: Call) -> Result<Response, Refusal> {
    let root = call.app.authority.root();
    serve(&call, root).await
}

async fn serve(call: &Call, workspace: WorkspaceId) -> Result<Response, Refusal> {
    call.only_query(&super::version::QUERY)?;
    let view = call.app.authority.discover(call.caller()?, workspace).await?;
    let mut response = ok(&card(&crate::address::base(&call.app, &call.headers)?, &view))?;
    let body = std::mem::take(response.body_mut());
    let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(|_| Refusal::new(Code::Internal))?;
    let etag = etag(&bytes);
    let known = call.header("if-none-match")?.unwrap_or_default();
    if known.split(',').any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Body::from(bytes);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, CACHE);
    headers.insert(header::VARY, HeaderValue::from_static("authorization, cookie"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    Ok(response)
}

/// Names these very bytes. A cache's business: nothing is decided by it.
fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("\"{:016x}\"", hasher.finish())
}

fn card(base: &str, view: &CardView) -> AgentCard {
    let own = view.agent_card.as_ref().unwrap_or(&Value::Null);
    let url = format!("{base}/workspaces/{}/a2a", view.id);
    let text_only = || vec!["text/plain".to_owned()];
    let bearer = HttpAuthSecurityScheme {
        scheme: "Bearer".to_owned(),
        description: Some("a token of this organisation".to_owned()),
        bearer_format: None,
    };
    AgentCard {
        name: text(own, "name", WORD_CHARS_MAX).unwrap_or_else(|| view.name.clone()),
        description: text(own, "description", TEXT_CHARS_MAX)
            .unwrap_or_else(|| format!("The agent of the workspace {}.", view.name)),
        version: text(own, "version", WORD_CHARS_MAX).unwrap_or_else(|| "1".to_owned()),
        supported_interfaces: vec![
            AgentInterface::new(url.as_str(), TRANSPORT_PROTOCOL_JSONRPC),
            AgentInterface::new(url, TRANSPORT_PROTOCOL_HTTP_JSON),
        ],
        capabilities: AgentCapabilities {
            streaming: Some(true),
            push_notifications: Some(false),
            extensions: None,
            extended_agent_card: Some(false),
        },
        default_input_modes: text_only(),
        default_output_modes: text_only(),
        skills: skills(own),
        provider: None,
        documentation_url: None,
        icon_url: None,
        security_schemes: Some(HashMap::from([("bearer".to_owned(), SecurityScheme::HttpAuth(bearer))])),
        security_requirements: Some(vec![HashMap::from([("bearer".to_owned(), Vec::new())])]),
        signatures: None,
    }
}

/// A text of an agent's card: without control characters, and cut where it is too long.
fn text(object: &Value, name: &str, chars_max: usize) -> Option<String> {
    clean(object.get(name)?, chars_max)
}

fn clean(value: &Value, chars_max: usize) -> Option<String> {
    let text: String = value.as_str()?.chars().filter(|c| !c.is_control()).take(chars_max).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn texts(object: &Value, name: &str, chars_max: usize) -> Vec<String> {
    let values = object.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(|value| clean(value, chars_max)).take(TAGS_MAX).collect()
}

fn skills(own: &Value) -> Vec<AgentSkill> {
    let said = own.get("skills").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let skills: Vec<AgentSkill> = said.iter().filter_map(skill).take(SKILLS_MAX).collect();
    if skills.is_empty() { vec![conversation()] } else { skills }
}

fn skill(said: &Value) -> Option<AgentSkill> {
    let id = text(said, "id", WORD_CHARS_MAX)?;
    let examples = texts(said, "examples", TEXT_CHARS_MAX);
    Some(AgentSkill {
        name: text(said, "name", WORD_CHARS_MAX).unwrap_or_else(|| id.clone()),
        description: text(said, "description", TEXT_CHARS_MAX).unwrap_or_default(),
        tags: texts(said, "tags", WORD_CHARS_MAX),
        examples: Some(examples).filter(|examples| !examples.is_empty()),
        input_modes: None,
        output_modes: None,
        security_requirements: None,
        id,
    })
}

/// What every agent can do.
fn conversation() -> AgentSkill {
    AgentSkill {
        id: "conversation".to_owned(),
        name: "Conversation".to_owned(),
        description: "Takes a message in text and answers in text.".to_owned(),
        tags: vec!["text".to_owned()],
        examples: None,
        input_modes: None,
        output_modes: None,
        security_requirements: None,
    }
}
