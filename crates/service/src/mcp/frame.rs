//! One message of an MCP client, read strictly before the SDK reads the same bytes: two readers must not understand it
//! differently.

use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;
use serde_json::{Map, Value};

/// JSON-RPC: not JSON.
const PARSE_ERROR: i32 = -32700;
/// JSON-RPC: JSON, but no message.
const INVALID_REQUEST: i32 = -32600;

/// The message, or what JSON-RPC calls the error and why.
pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, (i32, Refusal)> {
    match crate::json::read(body).map_err(|refusal| (PARSE_ERROR, refusal))? {
        Value::Object(message) => Ok(message),
        _ => {
            let reason = "one JSON-RPC message a request; batches are not taken";
            Err((INVALID_REQUEST, Refusal::because(Code::InvalidRequest, reason)))
        }
    }
}

/// Whether the message asks for a session of the older revision.
pub(super) fn opens_a_session(message: &Map<String, Value>) -> bool {
    message.get("method").and_then(Value::as_str) == Some("initialize")
}
