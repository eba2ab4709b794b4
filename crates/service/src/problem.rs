//! The refusal contract as an HTTP answer: RFC 9457 problem documents.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;
use serde_json::{Map, Value, json};

/// The body of a refusal.
pub(crate) fn body(refusal: &Refusal, request_id: &str) -> Value {
    let code = refusal.code;
    let mut members = Map::new();
    for (name, value) in &refusal.extras {
        members.insert(name.clone(), value.clone());
    }
    let fixed = json!({
        "type": format!("urn:portcullis:refusal:{}", code.as_str()),
        "title": code.error(),
        "status": code.status(),
        "code": code.as_str(),
        "error": code.error(),
        "reason": refusal.reason,
        "retryable": code.retryable(),
        "denied_class": code.class().as_str(),
        "next_step": refusal.next_step.as_deref().unwrap_or(code.next_step()),
        "audit_id": refusal.audit_id,
        "workspace_id": refusal.workspace_id,
        "key": refusal.key,
        "rule": refusal.rule,
        "issue": refusal.issue,
        "request_id": request_id,
    });
    if let Value::Object(fixed) = fixed {
        members.extend(fixed);
    }
    Value::Object(members)
}

/// The answer to a refusal.
pub(crate) fn response(refusal: &Refusal, request_id: &str) -> Response {
    let status = StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Body::from(body(refusal, request_id).to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"portcullis\""));
    }
    if let Some(wait) = retry_after(refusal) {
        headers.insert(header::RETRY_AFTER, wait);
    }
    response
}

/// How long to wait before trying again, in seconds, where that is known.
pub(crate) fn retry_after(refusal: &Refusal) -> Option<HeaderValue> {
    let at_once = matches!(refusal.code, Code::Busy | Code::ShuttingDown).then_some(1000);
    let wait_ms = refusal.retry_after_ms.or(at_once)?;
    Some(HeaderValue::from((wait_ms.max(0) as u64).div_ceil(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/refusals.vectors.json");

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the switch of `cargo xtask refusals --accept`, not a setting")]
    fn the_published_vectors_are_the_bodies_that_are_sent() {
        let bodies: Vec<Value> = Code::ALL.iter().map(|code| body(&Refusal::new(*code), "example")).collect();
        let now = format!("{:#}\n", Value::Array(bodies));
        if std::env::var_os("PORTCULLIS_ACCEPT").is_some() {
            std::fs::write(VECTORS, &now).unwrap();
        }
        let published = std::fs::read_to_string(VECTORS).unwrap_or_default();
        assert!(
            published == now,
            "docs/refusals.vectors.json is no longer true; if the change is meant, `cargo xtask refusals --accept`"
        );
    }
}
