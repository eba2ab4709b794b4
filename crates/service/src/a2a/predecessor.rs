//! What the predecessor's published clients write: `message/send`, with or without the envelope of JSON-RPC around it.

use a2a::methods as names;
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{content::some, error::Fault};

/// The one method.
const SEND: &str = "message/send";

/// What was sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: Option<Value>,
    pub(super) what: What,
}

/// What it is.
#[derive(Debug)]
pub(super) enum What {
    Message(Message),
    /// A method that is not the predecessor's, and what is answered to that.
    Other(Fault),
}

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) message_id: Option<String>,
    pub(super) context_id: Option<String>,
    pub(super) text: String,
    /// Wait for the end.
    pub(super) blocking: bool,
}

/// The parameters. What else the predecessor's clients put into them said nothing to an agent.
#[derive(Deserialize)]
struct Params {
    message: Written,
    #[serde(default)]
    configuration: Configuration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    message_id: Option<String>,
    context_id: Option<String>,
    parts: Vec<Part>,
}

/// A part: `kind` is what the specification wrote, `type` what many clients did.
#[derive(Deserialize)]
struct Part {
    kind: Option<String>,
    r#type: Option<String>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default = "yes")]
    blocking: bool,
}

impl Default for Configuration {
    fn default() -> Self {
        Self { blocking: true }
    }
}

fn yes() -> bool {
    true
}

fn invalid(reason: &str) -> Refusal {
    Refusal::because(Code::InvalidField, reason)
}

impl Sent {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let mut members: Map<String, Value> = crate::json::read(body)?;
        let id = members.remove("id");
        let params = match members.remove("method") {
            None => Value::Object(members),
            Some(Value::String(method)) if method == SEND => members.remove("params").unwrap_or_default(),
            Some(Value::String(method)) if names::is_valid(&method) => {
                return Ok(Self { id, what: What::Other(Fault::version()) });
            }
            Some(Value::String(_)) => return Ok(Self { id, what: What::Other(Fault::method_not_found()) }),
            Some(_) => return Err(invalid("`method` is a text")),
        };
        let params = Params::deserialize(params)
            .map_err(|_| invalid("`params.message` has `parts` and, if wanted, `messageId` and `contextId`"))?;
        Ok(Self { id, what: What::Message(Message::of(params)?) })
    }
}

impl Message {
    fn of(Params { message, configuration }: Params) -> Result<Self, Refusal> {
        let mut texts = Vec::new();
        for part in message.parts {
            let kinds = [part.kind.as_deref(), part.r#type.as_deref()];
            match part.text {
                Some(text) if kinds.iter().flatten().all(|kind| *kind == "text") => texts.push(text),
                _ => return Err(invalid("agents read text; send parts with `kind` \"text\" and `text`")),
            }
        }
        Ok(Self {
            message_id: some(message.message_id),
            context_id: some(message.context_id),
            text: texts.join("\n"),
            blocking: configuration.blocking,
        })
    }
}
