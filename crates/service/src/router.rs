//! From a request to a handler: request id, limits, credential, CSRF, then the handler; afterwards headers, log, metrics.
//! The order is the order of safety: nothing of a body is read before the caller is known.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{RawPathParams, Request, State, rejection::RawPathParamsRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    response::Response,
    routing::{MethodFilter, MethodRouter, on},
};
use futures_util::{FutureExt, StreamExt};
use portcullis_authority::{Caller, CredentialKind, Meta, Refusal};
use portcullis_kernel::refusal::Code;
use subtle::ConstantTimeEq;

use crate::{
    app::App,
    call::{Call, is_change},
    connections::Turn,
    head,
    operation::{Auth, Operation},
    problem,
};

/// Largest total of header names and values, in bytes.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// How much of a body that is too large is read and thrown away, so that its sender gets to read the answer.
const EXCESS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The router of an application.
pub fn router(app: App) -> Router {
    let mut paths: BTreeMap<&'static str, MethodRouter<App>> = BTreeMap::new();
    let operations = crate::http::registry();
    #[cfg(feature = "conformance")]
    let operations = [operations, crate::mcp::fixture_operations()].concat();
    for operation in operations {
        let filter = MethodFilter::try_from(operation.method.clone()).unwrap_or(MethodFilter::GET);
        let path = operation.path;
        let operation = Arc::new(operation);
        let handler = move |State(app): State<App>, params: PathParams, request: Request| {
            handle(app, Arc::clone(&operation), params, request)
        };
        let known = paths.remove(path).unwrap_or_default();
        paths.insert(path, known.merge(on(filter, handler)));
    }
    let mut router = Router::new();
    for (path, methods) in paths {
        router = router.route(path, methods);
    }
    router.fallback(not_found).method_not_allowed_fallback(not_allowed).with_state(app)
}

async fn not_found(State(app): State<App>) -> Response {
    bare(&app, Code::RouteNotFound)
}

async fn not_allowed(State(app): State<App>) -> Response {
    bare(&app, Code::MethodNotAllowed)
}

fn bare(app: &App, code: Code) -> Response {
    let request_id = request_id(app);
    finish(problem::response(&Refusal::new(code), &request_id), &request_id)
}

fn request_id(app: &App) -> String {
    portcullis_authority::vault::uuid_v7(app.authority.now().0).to_string()
}

/// Parameters of the path, unless one is not UTF-8.
type PathParams = Result<RawPathParams, RawPathParamsRejection>;

async fn handle(app: App, operation: Arc<Operation>, path: PathParams, request: Request) -> Response {
    let began = Instant::now();
    let request_id = request_id(&app);
    let method = request.method().clone();
    let mut who = String::new();
    // Only where it may be needed: most routes have no challenge of their own.
    let challenged =
        (operation.auth == Auth::Bearer).then(|| (request.headers().clone(), request.uri().path().to_owned()));
    let served = AssertUnwindSafe(serve(&app, &operation, path, request, &request_id, &mut who)).catch_unwind().await;
    let result = served.unwrap_or_else(|_| Err(Refusal::new(Code::Internal)));
    let (response, code) = match result {
        Ok(response) => {
            // Refused in the words of another protocol.
            let refusal = response.extensions().get::<Arc<Refusal>>();
            let code = refusal.map(|refusal| refusal.code);
            if let Some(refusal) = refusal {
                app.metrics.note(&request_id, operation.id, refusal);
            }
            (response, code)
        }
        Err(refusal) => {
            app.metrics.note(&request_id, operation.id, &refusal);
            let mut response = problem::response(&refusal, &request_id);
            let challenge =
                challenged.and_then(|(headers, path)| crate::mcp::challenge(&app, &headers, &path, &refusal));
            if let Some(challenge) = challenge {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            (response, Some(refusal.code))
        }
    };
    let status = response.status().as_u16();
    app.metrics.request(operation.id, status, code, began.elapsed());
    // Names and numbers only: never a path, a query, a header or a body.
    tracing::info!(request_id, operation = operation.id, %method, status, code = code.map(Code::as_str).unwrap_or_default(), who, elapsed_us = began.elapsed().as_micros() as u64, "request");
    let mut response = finish(response, &request_id);
    if app.is_leaving() {
        // The next request of this client goes to whoever serves then.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn serve(
    app: &App,
    operation: &Operation,
    path: PathParams,
    request: Request,
    request_id: &str,
    who: &mut String,
) -> Result<Response, Refusal> {
    let peer = request.extensions().get::<SocketAddr>().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), SocketAddr::ip);
    let (parts, body) = request.into_parts();
    let header_bytes: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return Err(Refusal::new(Code::HeadersTooLarge));
    }
    let caller = match operation.auth {
        Auth::Public => None,
        Auth::Caller | Auth::Bearer => Some(authenticate(app, &parts.headers).await?),
    };
    if let Some(caller) = &caller {
        *who = caller.principal().to_string();
        csrf(caller, &parts.method, &parts.headers)?;
        if operation.auth == Auth::Bearer {
            program(caller)?;
        }
    }
    let path = path.map_err(|_| Refusal::because(Code::InvalidRequest, "the path is not UTF-8"))?;
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let mut query = head::query(&parts.uri)?;
    let dry_run = dry_run(operation, &mut query)?;
    let meta = meta(&parts.headers, dry_run, &parts.method, request_id)?;
    // Behind another server than ours nobody keeps account of turns.
    let turn = parts.extensions.get::<Arc<Turn>>();
    if let Some(turn) = turn {
        turn.client();
    }
    let body = read_body(body, operation.body_bytes_max, app.settings.connections.body_wait).await?;
    if let Some(turn) = turn {
        turn.server();
    }
    let call = Call { app: app.clone(), caller, path, query, headers: parts.headers, body, meta, peer };
    (operation.handler)(call).await
}

/// Who shows a bearer or a session.
pub(crate) async fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, Refusal> {
    match head::presented(headers, app.cookie_name())? {
        Some(presented) => app.authority.authenticate(presented).await,
        None => Err(Refusal::new(Code::Unauthenticated)),
    }
}

/// A bearer, and nothing else: for the one public route where an agent shows the token it has.
pub(crate) async fn authenticate_bearer(app: &App, headers: &HeaderMap) -> Result<Caller, Refusal> {
    if headers.contains_key(header::AUTHORIZATION) {
        authenticate(app, headers).await
    } else {
        Err(Refusal::new(Code::Unauthenticated))
    }
}

/// A console session is a person's, and a page that a browser shows can ride on it: it does not open a door of programs.
fn program(caller: &Caller) -> Result<(), Refusal> {
    let session = caller.kind() == Some(CredentialKind::Session);
    let reason = "this is for programs with a token of their own";
    if session { Err(Refusal::because(Code::NotEntitled, reason)) } else { Ok(()) }
}

fn csrf(caller: &Caller, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if caller.kind() != Some(CredentialKind::Session) || !is_change(method) {
        return Ok(());
    }
    let sent = headers.get("x-csrf-token").map(HeaderValue::as_bytes).unwrap_or_default();
    let same = caller.csrf().is_some_and(|own| bool::from(own.as_bytes().ct_eq(sent)));
    if same { Ok(()) } else { Err(Refusal::new(Code::CsrfRequired)) }
}

/// Whether it is only asked what would happen. Taken out of the query: a route that is not decided does not know it.
fn dry_run(operation: &Operation, query: &mut Vec<(String, String)>) -> Result<bool, Refusal> {
    let Some(at) = query.iter().position(|(name, _)| name == "dry_run").filter(|_| operation.decided) else {
        return Ok(false);
    };
    match query.remove(at).1.as_str() {
        "false" => Ok(false),
        "true" => Ok(true),
        _ => Err(Refusal::because(Code::InvalidRequest, "`dry_run` is `true` or `false`")),
    }
}

fn meta(headers: &HeaderMap, dry_run: bool, method: &Method, request_id: &str) -> Result<Meta, Refusal> {
    let idempotency_key = if is_change(method) { head::idempotency_key_of(headers)? } else { None };
    Ok(Meta { request_id: request_id.to_owned(), idempotency_key, dry_run })
}

async fn read_body(body: Body, max: usize, wait: Duration) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(wait, gather(body, max)).await;
    read.map_err(|_| Refusal::because(Code::InvalidRequest, "the body did not arrive in time"))?
}

/// Reads a body to its end. Of one that is too large the rest is thrown away before it is refused: who is still sending
/// when the connection closes would see a broken pipe instead of the answer.
async fn gather(body: Body, max: usize) -> Result<Bytes, Refusal> {
    let mut stream = body.into_data_stream();
    let (mut whole, mut bytes) = (Vec::new(), 0_usize);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Refusal::because(Code::InvalidRequest, "the body broke off"))?;
        bytes = bytes.saturating_add(chunk.len());
        if bytes <= max {
            whole.extend_from_slice(&chunk);
        } else if bytes > max.saturating_add(EXCESS_BYTES_MAX) {
            break;
        }
    }
    if bytes > max { Err(Refusal::new(Code::BodyTooLarge)) } else { Ok(whole.into()) }
}

fn finish(mut response: Response, request_id: &str) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ] {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("x-request-id", value);
    }
    response
}
