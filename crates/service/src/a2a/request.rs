//! A request of the JSON-RPC binding, as far as it is the same for every method.

use serde_json::{Map, Value, json};

use super::error::Fault;

/// The members of a request; another would be meant and not heard.
const MEMBERS: [&str; 4] = ["jsonrpc", "id", "method", "params"];

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    /// None: nobody wants an answer.
    pub(super) id: Option<Value>,
    pub(super) method: String,
    pub(super) params: Value,
}

impl Request {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let mut members: Map<String, Value> = match crate::json::read(body)? {
            Value::Object(members) => members,
            Value::Array(_) => return Err(Fault::invalid_request("batches are not taken; send one request at a time")),
            _ => return Err(Fault::invalid_request("a request is an object")),
        };
        if members.keys().any(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(Fault::invalid_request("a request has `jsonrpc`, `id`, `method` and `params`"));
        }
        let id = members.remove("id");
        if id.as_ref().is_some_and(|id| !is_id(id)) {
            return Err(Fault::invalid_request("`id` is a text, a number or null"));
        }
        if members.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(Fault::invalid_request("`jsonrpc` is \"2.0\""));
        }
        let Some(Value::String(method)) = members.remove("method") else {
            return Err(Fault::invalid_request("`method` is a text"));
        };
        let params = match members.remove("params") {
            None => json!({}),
            Some(params @ Value::Object(_)) => params,
            Some(_) => return Err(Fault::invalid_params("`params` is an object")),
        };
        Ok(Self { id, method, params })
    }
}

/// The id of a request that is wrong otherwise, if that much can be read.
pub(super) fn identified(body: &[u8]) -> Value {
    let body: Value = crate::json::read(body).unwrap_or_default();
    body.get("id").filter(|id| is_id(id)).cloned().unwrap_or_default()
}

fn is_id(id: &Value) -> bool {
    matches!(id, Value::String(_) | Value::Number(_) | Value::Null)
}
