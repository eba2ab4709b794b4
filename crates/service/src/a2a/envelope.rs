//! The predecessor's envelope: `message/send` as its published clients write it. What is missing of the envelope is filled
//! in. The answer is the reply, or that the message waits, or a problem document.

use std::time::Duration;

use axum::{http::StatusCode, response::Response};
use portcullis_authority::{Answer, MessageTaken, Refusal, TaskView};
use portcullis_kernel::{id::WorkspaceId, refusal::Code};
use serde_json::{Value, json};

use super::{
    methods::BLOCKING_MAX,
    predecessor::{Sent, What},
    rpc::{failed, is_json},
    task::{self, Stage},
    watch::Watch,
};
use crate::{
    call::{Call, answered, json as json_response, ok},
    http::messages::{Outgoing, deliver, unnamed},
};

/// An agent that has not taken a message after this long is busy, or drains, or is not there.
const TAKE_WAIT: Duration = Duration::from_secs(2);
/// The code of a turn that failed: what the predecessor's agents answered.
const FAILED: i32 = -32_000;

/// Answers one envelope.
pub(super) async fn answer(call: &Call, workspace: WorkspaceId) -> Result<Response, Refusal> {
    if !is_json(call) {
        return Err(Refusal::new(Code::UnsupportedMediaType));
    }
    let Sent { id, what } = Sent::read(&call.body)?;
    let id = id.unwrap_or_else(|| call.meta.request_id.clone().into());
    let message = match what {
        What::Message(message) => message,
        What::Other(fault) => return failed(call, &id, &fault),
    };
    let blocking = message.blocking;
    let message_id = message.message_id.unwrap_or_else(|| unnamed(call));
    let message = Outgoing { text: message.text, message_id, context_id: message.context_id };
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
