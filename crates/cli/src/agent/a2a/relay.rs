//! One request, passed on to the control plane's A2A endpoint of this workspace, and its answer, passed back as it comes.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header},
};

use super::BODY_BYTES_MAX;
use crate::agent::plane::Plane;

/// What is passed on of a request. Who asks is said by the agent's own credential, never by the caller.
const ASKED: [HeaderName; 5] = [
    header::ACCEPT,
    header::CONTENT_TYPE,
    header::IF_NONE_MATCH,
    HeaderName::from_static("a2a-version"),
    HeaderName::from_static("idempotency-key"),
];
/// What is passed back of an answer.
const ANSWERED: [HeaderName; 5] = [
    header::CACHE_CONTROL,
    header::CONTENT_TYPE,
    header::ETAG,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
];

/// Passes a request on.
pub async fn relay(State(plane): State<Arc<Plane>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return bare(StatusCode::PAYLOAD_TOO_LARGE, "the request is longer than 1 MiB");
    };
    let Some(path) = path(&plane, &parts.uri) else {
        return bare(StatusCode::NOT_FOUND, "only this agent's A2A endpoint is here");
    };
    match plane.pass(parts.method, &path, picked(&parts.headers, &ASKED), body).await {
        Ok(answer) => {
            let (status, headers) = (answer.status(), picked(answer.headers(), &ANSWERED));
            let mut response = Response::new(Body::new(reqwest::Body::from(answer)));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            response
        }
        Err(why) => bare(StatusCode::BAD_GATEWAY, why),
    }
}

/// Where it goes: below the endpoint, whatever it asks for. What could lead out of there is not passed on.
fn path(plane: &Plane, uri: &Uri) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/:._-".contains(&byte);
    let asked = uri.path();
    if !asked.bytes().all(plain) || asked.split('/').any(|part| matches!(part, "." | "..")) {
        return None;
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    Some(format!("{}{}{query}", plane.own(&["a2a"]), asked.trim_end_matches('/')))
}

fn picked(headers: &HeaderMap, names: &[HeaderName]) -> HeaderMap {
    let found = names.iter().filter_map(|name| Some((name.clone(), headers.get(name)?.clone())));
    found.collect()
}

fn bare(status: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(why.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
