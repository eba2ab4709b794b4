//! Health, readiness, metrics, documentation, the log's key.

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use portcullis_authority::Refusal;
use portcullis_kernel::{refusal::Code, scope::Scope};
use serde_json::json;

use crate::{
    call::{Call, json as json_response, ok},
    operation::Operation,
};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new("health", Method::GET, "/health", "Whether the process answers", health).public(),
        Operation::new("ready", Method::GET, "/ready", "Whether a write would be taken now", ready)
            .done(&[200, 503])
            .public(),
        Operation::new("openapi", Method::GET, "/openapi.json", "This document", openapi).public(),
        Operation::new(
            "audit_key",
            Method::GET,
            "/audit/key",
            "The log's public key, a C2SP note verifier key",
            audit_key,
        )
        .public(),
        Operation::new("metrics", Method::GET, "/metrics", "Prometheus metrics", metrics),
    ]
}

async fn health(call: Call) -> Result<Response, Refusal> {
    ok(&json!({"status": "ok", "version": call.app.settings.version}))
}

async fn ready(call: Call) -> Result<Response, Refusal> {
    if call.app.is_leaving() {
        return Err(Refusal::new(Code::ShuttingDown));
    }
    let readiness = call.app.authority.readiness().await;
    let status = if readiness.ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_response(status, &json!({"ready": readiness.ready(), "checks": readiness}))
}

async fn openapi(call: Call) -> Result<Response, Refusal> {
    ok(&*call.app.openapi)
}

async fn audit_key(call: Call) -> Result<Response, Refusal> {
    let key = call.app.authority.verifier_key();
    let origin = key.split('+').next().unwrap_or_default();
    ok(&json!({"verifier_key": key, "origin": origin}))
}

async fn metrics(call: Call) -> Result<Response, Refusal> {
    if !call.caller()?.has(Scope::MetricsRead) {
        return Err(Refusal::because(Code::ScopeMissing, Scope::MetricsRead.as_str()));
    }
    let mut response = Response::new(Body::from(call.app.metrics.render(&call.app.authority, call.app.places.count())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    Ok(response)
}
