//! One request, passed on to the control plane's A2A endpoint of this workspace, and its answer, passed back as it comes.

use std::{future::poll_fn, pin::Pin, sync::Arc};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header},
};

use super::BODY_BYTES_MAX;
use crate::agent::plane::Plane;

/// How much of a body that is too long is read and thrown away, so that its sender gets to read the answer.
const EXCESS_BYTES_MAX: usize = 16 * BODY_BYTES_MAX;

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
    let body = match gather(body).await {
        Ok(body) => body,
        Err((status, why)) => return bare(status, why),
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

/// Reads a body to its end. Of one that is too long the rest is thrown away before it is refused: who is still sending when
/// the connection closes would see a broken pipe instead of the answer.
async fn gather(mut body: Body) -> Result<Bytes, (StatusCode, &'static str)> {
    let (mut whole, mut bytes) = (Vec::new(), 0_usize);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "the request broke off"))?;
        let Ok(data) = frame.into_data() else { continue };
        bytes = bytes.saturating_add(data.len());
        if bytes <= BODY_BYTES_MAX {
            whole.extend_from_slice(&data);
        } else if bytes > EXCESS_BYTES_MAX {
            break;
        }
    }
    let too_long = (StatusCode::PAYLOAD_TOO_LARGE, "the request is longer than 1 MiB");
    if bytes > BODY_BYTES_MAX { Err(too_long) } else { Ok(whole.into()) }
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
