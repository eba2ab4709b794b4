//! The HTTP side: what is checked before the SDK sees a request, and what becomes of its answers.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::Response,
};
use futures_util::{StreamExt, stream};
use portcullis_authority::{Caller, Refusal};
use portcullis_kernel::{id::WorkspaceId, refusal::Code, scope::Scope};
use rmcp::ServerHandler;
use serde_json::json;

use super::{Served, frame, origin, run::Visitor, tool::home};
use crate::{
    app::App,
    call::{Call, json as json_response, ok},
    operation::Operation,
    places::Place,
    presence::Presence,
};

/// Header of a session of the older revision.
const SESSION: &str = "mcp-session-id";
/// How often a stream looks whether its bearer still opens the door.
const LOOK: Duration = Duration::from_secs(10);
/// Longest text of the SDK that is passed on as a reason, in bytes.
const REASON_BYTES_MAX: usize = 512;

pub(crate) fn operations() -> Vec<Operation> {
    let post =
        Operation::new("mcp", Method::POST, "/mcp", "A message of an MCP client", |call| product(call, Method::POST))
            .done(&[200, 202])
            .foreign()
            .bearer();
    let get = Operation::new("mcp_listen", Method::GET, "/mcp", "Messages to an MCP session", |call| {
        product(call, Method::GET)
    })
    .foreign()
    .bearer();
    let end =
        Operation::new("mcp_end", Method::DELETE, "/mcp", "End an MCP session", |call| product(call, Method::DELETE))
            .done(&[200, 202, 204])
            .foreign()
            .bearer();
    let metadata = Operation::new(
        "mcp_metadata",
        Method::GET,
        "/.well-known/oauth-protected-resource",
        "Metadata of the protected resource (RFC 9728)",
        metadata,
    )
    .public();
    vec![
        post.also_at("workspace_mcp", Method::POST, "/workspaces/{id}/mcp"),
        get.also_at("workspace_mcp_listen", Method::GET, "/workspaces/{id}/mcp"),
        end.also_at("workspace_mcp_end", Method::DELETE, "/workspaces/{id}/mcp"),
        metadata.also_at("mcp_metadata_mcp", Method::GET, "/.well-known/oauth-protected-resource/mcp"),
        metadata.also_at(
            "mcp_metadata_workspace",
            Method::GET,
            "/.well-known/oauth-protected-resource/workspaces/{id}/mcp",
        ),
        post,
        get,
        end,
        metadata,
    ]
}

/// What the conformance suite needs beside the product, on the same stack. In a test build only, and in no list of routes.
#[cfg(feature = "conformance")]
pub(crate) fn fixture_operations() -> Vec<Operation> {
    let route = |id, method: Method| {
        let how = method.clone();
        Operation::new(id, method, "/conformance/mcp", "Fixtures", move |call| fixtures(call, how.clone())).bearer()
    };
    vec![
        route("conformance", Method::POST),
        route("conformance_listen", Method::GET),
        route("conformance_end", Method::DELETE),
    ]
}

/// Tells a program without a valid bearer where the metadata of this resource is (RFC 9728 §5.1).
pub(crate) fn challenge(app: &App, headers: &HeaderMap, path: &str, refusal: &Refusal) -> Option<HeaderValue> {
    let base = crate::address::base(app, headers).ok()?;
    let metadata = format!("{base}/.well-known/oauth-protected-resource{path}");
    let text = match refusal.code.status() {
        401 => format!("Bearer realm=\"portcullis\", resource_metadata=\"{metadata}\""),
        403 if refusal.code == Code::ScopeMissing => format!(
            "Bearer realm=\"portcullis\", error=\"insufficient_scope\", scope=\"{}\", resource_metadata=\"{metadata}\"",
            refusal.reason
        ),
        _ => return None,
    };
    HeaderValue::from_str(&text).ok()
}

async fn metadata(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let named = call.path.iter().any(|(name, _)| name == "id");
    let path = if named { format!("/workspaces/{}/mcp", call.path::<WorkspaceId>("id")?) } else { "/mcp".to_owned() };
    let scopes = Scope::ALL.iter().filter(|scope| **scope != Scope::Govern).map(|scope| scope.as_str());
    ok(&json!({
        "resource": format!("{}{path}", crate::address::base(&call.app, &call.headers)?),
        "resource_name": "Portcullis",
        "bearer_methods_supported": ["header"],
        "scopes_supported": scopes.collect::<Vec<_>>(),
    }))
}

async fn product(call: Call, method: Method) -> Result<Response, Refusal> {
    let app = call.app.clone();
    serve(&app.mcp.served, call, method).await
}

#[cfg(feature = "conformance")]
async fn fixtures(call: Call, method: Method) -> Result<Response, Refusal> {
    let app = call.app.clone();
    serve(&app.mcp.fixtures, call, method).await
}

/// The workspace in the path is only a claim: it must be the caller's own.
fn at_home(call: &Call) -> Result<(), Refusal> {
    let named = call.path.iter().any(|(name, _)| name == "id");
    if named && home(call.caller()?) != Some(call.path("id")?) { Err(Refusal::new(Code::NotFound)) } else { Ok(()) }
}

async fn serve<S: ServerHandler + Send + 'static>(
    served: &Served<S>,
    call: Call,
    method: Method,
) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let agents = call.app.agents.as_ref().map(|(_, agents)| agents.url.as_str());
    origin::check(&call.headers, call.app.settings.public_url.as_deref(), agents)?;
    at_home(&call)?;
    if method != Method::POST {
        call.no_body()?;
    }
    let (caller, app) = (call.caller()?.clone(), call.app.clone());
    if !app.mcp.tools.iter().any(|bound| bound.is_listed(&caller)) {
        let mut scopes: Vec<_> = app.mcp.tools.iter().map(|bound| bound.tool.scope.as_str()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        return Err(Refusal::because(Code::ScopeMissing, scopes.join(" ")));
    }
    let who = caller.principal();
    let session = call.header(SESSION)?.map(str::to_owned);
    if let Some(session) = session.as_deref() {
        served.sessions.own(session, caller.credential(), is_stateless(&call.headers))?;
    }
    if method == Method::POST {
        match frame::read(&call.body) {
            Err((code, refusal)) => return misread(code, &refusal),
            Ok(message) if frame::opens_a_session(&message) => served.sessions.room(&served.manager, who).await?,
            Ok(_) => {}
        }
    }
    let place = if method == Method::GET { Some(app.places.take(who)?) } else { None };
    let presence = Arc::new(Presence::of(&call)?);
    let request = request(&call, &method, &caller, Arc::clone(&presence))?;
    let response = served.service.handle(request).await;
    if let Some(opened) = response.headers().get(SESSION).and_then(|id| id.to_str().ok()) {
        served.sessions.opened(opened, who, caller.credential());
    }
    if let Some(session) = session.filter(|_| method == Method::DELETE && response.status().is_success()) {
        served.sessions.ended(&session);
    }
    let mut response = response.map(Body::new);
    // As for every answer: kept by nobody.
    response.headers_mut().remove(header::CACHE_CONTROL);
    if is_stream(&response) { Ok(while_live(presence, response, place)) } else { worded(response).await }
}

/// Whether the request says that it speaks a revision without sessions. Only a word: nobody gets into a session by it.
fn is_stateless(headers: &HeaderMap) -> bool {
    headers.get("mcp-protocol-version").is_some_and(|version| version.as_bytes() >= b"2026-07-28".as_slice())
}

/// What is wrong with a message, as JSON-RPC says it, with the refusal beside it.
fn misread(code: i32, refusal: &Refusal) -> Result<Response, Refusal> {
    let data = crate::problem::body(refusal, "");
    let error = json!({"code": code, "message": refusal.code.error(), "data": data});
    json_response(StatusCode::BAD_REQUEST, &json!({"jsonrpc": "2.0", "id": null, "error": error}))
}

fn request(call: &Call, method: &Method, caller: &Caller, presence: Arc<Presence>) -> Result<Request<Body>, Refusal> {
    let mut request = Request::new(Body::from(call.body.clone()));
    *request.method_mut() = method.clone();
    *request.headers_mut() = call.headers.clone();
    // Whoever does not say what it accepts accepts anything (RFC 9110 §12.5.1); the SDK wants it said.
    if call.header("accept")?.is_none_or(|accept| accept.contains("*/*")) {
        let both = HeaderValue::from_static("application/json, text/event-stream");
        request.headers_mut().insert(header::ACCEPT, both);
    }
    // The SDK hands the head of the request around; what authenticates has done its work.
    request.headers_mut().remove(header::AUTHORIZATION);
    request.headers_mut().remove(header::COOKIE);
    request.extensions_mut().insert(Visitor {
        app: call.app.clone(),
        caller: caller.clone(),
        meta: call.meta.clone(),
        peer: call.peer,
        presence,
    });
    Ok(request)
}

fn has_kind(response: &Response, kind: &str) -> bool {
    let found = response.headers().get(header::CONTENT_TYPE).and_then(|found| found.to_str().ok());
    found.is_some_and(|found| found.starts_with(kind))
}

fn is_stream(response: &Response) -> bool {
    has_kind(response, "text/event-stream")
}

/// The SDK answers what its transport refuses with plain text: such an answer gets a code.
async fn worded(response: Response) -> Result<Response, Refusal> {
    let code = match response.status() {
        status if !(status.is_client_error() || status.is_server_error()) => return Ok(response),
        _ if has_kind(&response, "application/json") => return Ok(response),
        StatusCode::NOT_FOUND => Code::SessionNotFound,
        StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
        StatusCode::NOT_ACCEPTABLE => Code::NotAcceptable,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        StatusCode::PAYLOAD_TOO_LARGE => Code::BodyTooLarge,
        status if status.is_client_error() => Code::InvalidRequest,
        _ => Code::Internal,
    };
    let text = axum::body::to_bytes(response.into_body(), REASON_BYTES_MAX).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    Err(if code == Code::Internal { Refusal::new(code).internal(text) } else { Refusal::because(code, text) })
}

/// The same stream, which ends when its bearer does not open the door any more.
fn while_live(presence: Arc<Presence>, response: Response, place: Option<Place>) -> Response {
    response.map(|body| {
        // Its own clock: a stream that speaks all the time is looked at as often as one that is silent.
        let clock = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
        let state = (body.into_data_stream(), presence, place, clock);
        Body::from_stream(stream::unfold(state, |(mut body, presence, place, mut clock)| async move {
            loop {
                tokio::select! {
                    biased;
                    _ = clock.tick() => drop(presence.caller().await.ok()?),
                    chunk = body.next() => {
                        let chunk: Bytes = chunk?.ok()?;
                        return Some((Ok::<_, Infallible>(chunk), (body, presence, place, clock)));
                    }
                }
            }
        }))
    })
}
