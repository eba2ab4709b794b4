//! JSON-RPC: one request in, one answer out.

use axum::http::{HeaderMap, Uri, header};
use serde_json::{Value, json};

use super::Server;
use super::error::{Kind, RpcError};
use super::task;

/// The version of A2A that is spoken here.
const VERSION: &str = "1.0";
const VERSION_NAME: &str = "a2a-version";

/// Answers one request.
pub async fn answer(server: &Server, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Value {
    let mut id = Value::Null;
    let outcome = match read(headers, body, &mut id) {
        Ok((method, params)) => match speaks(uri, headers) {
            Ok(()) => dispatch(server, &method, &params).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error.json()}),
    }
}

/// Method and parameters; the id even if they are wrong.
fn read(headers: &HeaderMap, body: &[u8], id: &mut Value) -> Result<(String, Value), RpcError> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !["application/json", "application/a2a+json"].iter().any(|known| media.eq_ignore_ascii_case(known)) {
        return Err(RpcError::new(Kind::ContentTypeNotSupported, "requests are application/json"));
    }
    let request: Value = serde_json::from_slice(body).map_err(|_| RpcError::new(Kind::Parse, "this is not JSON"))?;
    let invalid = |why: &str| RpcError::new(Kind::InvalidRequest, why);
    let request = request.as_object().ok_or_else(|| invalid("one request at a time, as an object"))?;
    match request.get("id") {
        Some(found @ (Value::String(_) | Value::Number(_) | Value::Null)) => *id = found.clone(),
        Some(_) => return Err(invalid("`id` is a text or a number")),
        None => return Err(invalid("a request without `id` has no answer, and there is nothing to notify of")),
    }
    if request.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(invalid("`jsonrpc` is \"2.0\""));
    }
    let method = request.get("method").and_then(Value::as_str).ok_or_else(|| invalid("`method` is a text"))?;
    let params = request.get("params").cloned().unwrap_or_else(|| json!({}));
    if !params.is_object() {
        return Err(RpcError::new(Kind::InvalidParams, "`params` is an object"));
    }
    Ok((method.to_owned(), params))
}

/// Whether the caller speaks this version. No version is 0.3, whose messages look different.
fn speaks(uri: &Uri, headers: &HeaderMap) -> Result<(), RpcError> {
    let in_query = || {
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(VERSION_NAME)).map(|(_, value)| value)
    };
    let shown = headers.get(VERSION_NAME).and_then(|value| value.to_str().ok()).or_else(in_query).unwrap_or_default();
    match shown.trim() {
        VERSION => Ok(()),
        "" => Err(RpcError::new(Kind::VersionNotSupported, "A2A 0.3 is not spoken here; send `A2A-Version: 1.0`")),
        _ => Err(RpcError::new(Kind::VersionNotSupported, "only A2A 1.0 is spoken here")),
    }
}

async fn dispatch(server: &Server, method: &str, params: &Value) -> Result<Value, RpcError> {
    match method {
        "SendMessage" => task::send(server, params).await,
        "GetTask" => task::get(server, params).await,
        "CancelTask" => task::cancel(server, params).await,
        "SendStreamingMessage" | "SubscribeToTask" => {
            Err(RpcError::new(Kind::UnsupportedOperation, "this agent does not stream; see its card"))
        }
        "ListTasks" => Err(RpcError::new(Kind::UnsupportedOperation, "tasks are listed by the control plane")),
        "CreateTaskPushNotificationConfig"
        | "GetTaskPushNotificationConfig"
        | "ListTaskPushNotificationConfigs"
        | "DeleteTaskPushNotificationConfig" => {
            Err(RpcError::new(Kind::PushNotificationNotSupported, "there are no push notifications"))
        }
        "GetExtendedAgentCard" => {
            Err(RpcError::new(Kind::ExtendedAgentCardNotConfigured, "there is one card only, the public one"))
        }
        _ => Err(RpcError::new(Kind::MethodNotFound, "A2A 1.0 has no such method here")),
    }
}
