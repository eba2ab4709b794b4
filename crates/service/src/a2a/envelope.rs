//! The predecessor's envelope: `message/send` as its published clients write it. What is missing of the envelope is filled
//! in. The answer is the reply, or that the message waits, or a problem document.

use std::time::Duration;

use a2a::methods as names;
use axum::{http::StatusCode, response::Response};
use portcullis_authority::{Answer, MessageTaken, Refusal, TaskView};
use portcullis_kernel::{id::WorkspaceId, refusal::Code};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    content::some,
    error::Fault,
    methods::BLOCKING_MAX,
    rpc::{failed, is_json},
    task::{self, Stage},
    watch::Watch,
};
use crate::{
    call::{Call, answered, json as json_response, ok},
    http::messages::{Outgoing, deliver, unnamed},
};

/// The one method.
const SEND: &str = "message/send";
/// An agent that has not taken a message after this long is busy, or drains, or is not there.
const TAKE_WAIT: Duration = Duration::from_secs(2);
/// The code of a turn that failed: what the predecessor's agents answered.
const FAILED: i32 = -32_000;

/// The parameters. What else the predecessor's clients put into them said nothing to an agent.
#[derive(Deserialize)]
struct Params {
    message: Message,
    #[serde(default)]
    configuration: Configuration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
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

/// Answers one envelope.
pub(super) async fn answer(call: &Call, workspace: WorkspaceId) -> Result<Response, Refusal> {
    if !is_json(call) {
        return Err(Refusal::new(Code::UnsupportedMediaType));
    }
    let mut members: Map<String, Value> = crate::json::read(&call.body)?;
    let id = members.remove("id").unwrap_or_else(|| call.meta.request_id.clone().into());
    let params = match members.remove("method") {
        None => Value::Object(members),
        Some(Value::String(method)) if method == SEND => members.remove("params").unwrap_or_default(),
        Some(Value::String(method)) if names::is_valid(&method) => return failed(call, &id, &Fault::version()),
        Some(Value::String(_)) => return failed(call, &id, &Fault::method_not_found()),
        Some(_) => return Err(invalid("`method` is a text")),
    };
    let params = Params::deserialize(params)
        .map_err(|_| invalid("`params.message` has `parts` and, if wanted, `messageId` and `contextId`"))?;
    let blocking = params.configuration.blocking;
    let message = outgoing(call, params.message)?;
    let place = call.app.places.take(call.caller()?.principal())?;
    let taken = match deliver(call, workspace, message).await? {
        Answer::Done(done) => done.value,
        other => return answered(other, |_| (StatusCode::ACCEPTED, json!({}))),
    };
    let mut watch = Watch::new(call, place, workspace, taken.id)?;
    let wait = if blocking && taken.waiting == 0 { TAKE_WAIT } else { Duration::ZERO };
    let mut view = watch.until(wait, |view| task::stage(view) > Stage::Submitted).await?;
    if blocking && task::stage(&view) == Stage::Working {
        view = watch.until(BLOCKING_MAX, |view| task::stage(view) == Stage::Over).await?;
    }
    if task::stage(&view) == Stage::Over { ok(&ended(&id, &view)) } else { queued(&taken) }
}

fn outgoing(call: &Call, message: Message) -> Result<Outgoing, Refusal> {
    let mut texts = Vec::new();
    for part in message.parts {
        let kinds = [part.kind.as_deref(), part.r#type.as_deref()];
        match part.text {
            Some(text) if kinds.iter().flatten().all(|kind| *kind == "text") => texts.push(text),
            _ => return Err(invalid("agents read text; send parts with `kind` \"text\" and `text`")),
        }
    }
    let message_id = some(message.message_id).unwrap_or_else(|| unnamed(call));
    Ok(Outgoing { text: texts.join("\n"), message_id, context_id: some(message.context_id) })
}

/// It waits, and is worked on without the sender.
fn queued(taken: &MessageTaken) -> Result<Response, Refusal> {
    let body = json!({
        "queued": true, "queue_id": taken.id, "queue_depth": taken.waiting + 1,
        "message": "the agent is busy or away; the message waits for it and is delivered once",
    });
    json_response(StatusCode::ACCEPTED, &body)
}

fn ended(id: &Value, view: &TaskView) -> Value {
    let message = &view.message;
    if message.status != "completed" {
        let why = message.error.as_deref().unwrap_or("the message was taken back");
        return json!({"jsonrpc": "2.0", "id": id, "error": {"code": FAILED, "message": why}});
    }
    let text = message.reply.as_deref().unwrap_or_default();
    let result = json!({
        "kind": "message", "role": "agent", "messageId": format!("{}-reply", message.id), "taskId": message.id,
        "contextId": task::context_id(message), "parts": [{"kind": "text", "type": "text", "text": text}],
    });
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}
