//! The agent card: what this agent is, for whoever wants to write to it.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use super::Server;
use crate::random::encode;

/// How long a card may be kept, in seconds.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=300");
const ETAG_BYTES: usize = 16;

/// The card of an agent with this mind, reached here.
pub fn card(url: &str, mind: &str, guarded: bool) -> Value {
    let does = match mind {
        "exec" => "Answers a message by running a command.",
        "model" => "Answers a message with a language model.",
        _ => "Answers a message with its own text.",
    };
    let mut card = json!({
        "name": format!("Portcullis agent ({mind})"),
        "description": format!("The built-in agent of Portcullis. {does} Messages pass the control plane's queue."),
        "version": env!("CARGO_PKG_VERSION"),
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "capabilities": {"streaming": false, "pushNotifications": false, "extendedAgentCard": false},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [{"id": mind, "name": mind, "description": does, "tags": ["portcullis", mind]}],
    });
    if guarded {
        card["securitySchemes"] = json!({"agent": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}});
        card["securityRequirements"] = json!([{"schemes": {"agent": {"list": []}}}]);
    }
    card
}

/// Names this very card.
pub fn etag(card: &Value) -> String {
    let digest = digest::digest(&digest::SHA256, card.to_string().as_bytes());
    format!("\"{}\"", encode(&digest.as_ref()[..ETAG_BYTES]))
}

/// `GET /.well-known/agent-card.json`
pub async fn serve(State(server): State<Arc<Server>>, headers: HeaderMap) -> Response<Body> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let same = known.is_some_and(|known| known.split(',').any(|tag| [server.etag.as_str(), "*"].contains(&tag.trim())));
    let mut response = if same {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        super::json(StatusCode::OK, &server.card)
    };
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE);
    if let Ok(etag) = HeaderValue::from_str(&server.etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}
