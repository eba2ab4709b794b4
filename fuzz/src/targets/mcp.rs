//! Frames of MCP clients.

#[path = "../../../crates/service/src/mcp/frame.rs"]
mod frame;

use serde::Deserialize;
use serde_json::Value;

use super::{has_point, quotes_nothing};

/// As another reader of the same bytes might look for the method.
#[derive(Deserialize)]
struct Named {
    method: String,
}

pub(super) fn frame(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match frame::read(data) {
        Ok(message) => {
            // The SDK gets the bytes, not what was read of them.
            let message = Value::Object(message);
            let again = serde_json::from_slice::<Value>(data).expect("the other reader reads it");
            assert!(has_point(&message) || message == again, "another reader reads another value");
            let named = serde_json::from_slice::<Named>(data).is_ok_and(|named| named.method == "initialize");
            assert_eq!(message.as_object().is_some_and(frame::opens_a_session), named, "one of two sees a session");
        }
        Err((code, refusal)) => {
            assert!([-32700, -32600].contains(&code));
            quotes_nothing(&refusal.reason, &text);
        }
    }
}
