//! Conversations: send a message to an agent, read, wait for the reply, take back; an agent's word to the people.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use portcullis_authority::{Answer, MessagePage, MessageTaken, MessageView, Refusal, Stretch};
use portcullis_kernel::{
    deed::MessageSend,
    id::{MessageId, WorkspaceId},
    refusal::Code,
};
use serde_json::json;

use super::agents::{MESSAGE_BODY_MAX, limit, wait};
use crate::{
    app::stops,
    call::{Call, answered, json as json_response, ok},
    operation::Operation,
    wire,
};

pub(super) fn operations() -> Vec<Operation> {
    let list = Operation::new("message_list", Method::GET, "/workspaces/{id}/messages", "The conversation", list)
        .output::<MessagePage>();
    let activity = list.also_at("activity_list", Method::GET, "/workspaces/{id}/activity");
    vec![
        Operation::new("message_send", Method::POST, "/workspaces/{id}/messages", "Send a message to the agent", send)
            .decided()
            .done(&[202])
            .input::<wire::SendMessage>()
            .body_max(MESSAGE_BODY_MAX),
        list,
        activity,
        Operation::new(
            "message_get",
            Method::GET,
            "/workspaces/{id}/messages/{message}",
            "One message, waiting for its reply",
            get,
        )
        .output::<MessageView>(),
        Operation::new(
            "message_cancel",
            Method::POST,
            "/workspaces/{id}/messages/{message}/cancel",
            "Take back a message that nobody has taken yet",
            cancel,
        ),
        Operation::new(
            "message_notify",
            Method::POST,
            "/workspaces/{id}/notify",
            "An agent's word to the people",
            notify,
        )
        .input::<wire::Notify>()
        .body_max(MESSAGE_BODY_MAX),
    ]
}

/// A message on its way, from whichever surface it came.
pub(crate) struct Outgoing {
    pub(crate) text: String,
    pub(crate) message_id: String,
    pub(crate) context_id: Option<String>,
}

/// Sends a message: judged, redacted, queued. Every surface sends by this.
pub(crate) async fn deliver(
    call: &Call,
    workspace: WorkspaceId,
    message: Outgoing,
) -> Result<Answer<MessageTaken>, Refusal> {
    let caller = call.caller()?;
    let Outgoing { text, message_id, context_id } = message;
    for id in [Some(&message_id), context_id.as_ref()].into_iter().flatten() {
        if call.app.authority.spoken(caller, workspace, id.clone()).await? != *id {
            return Err(Refusal::because(Code::InvalidField, "an id may not hold what looks like a secret"));
        }
    }
    let (text, digest) = call.app.authority.message_text(caller, workspace, text).await?;
    let action = MessageSend { workspace, message_id, context_id, digest };
    call.app.authority.perform(caller, call.meta.clone(), action, text).await
}

/// The id of a message whose sender gave it none. A retry under the same idempotency key is the same message.
pub(crate) fn unnamed(call: &Call) -> String {
    call.meta.idempotency_key.clone().unwrap_or_else(|| call.meta.request_id.clone())
}

async fn send(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::SendMessage = call.input()?;
    let message_id = input.message_id.unwrap_or_else(|| unnamed(&call));
    let message = Outgoing { text: input.text, message_id, context_id: input.context_id };
    let answer = deliver(&call, call.path("id")?, message).await?;
    let status = match &answer {
        Answer::Done(done) if done.value.known => {
            call.app.authority.message(call.caller()?, done.value.id).await?.status
        }
        _ => "queued".to_owned(),
    };
    answered(answer, |taken| {
        (
            StatusCode::ACCEPTED,
            json!({"id": taken.id, "status": status, "waiting": taken.waiting, "known": taken.known}),
        )
    })
}

async fn list(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["after", "since_id", "before", "limit"])?;
    let after = call.query_as("after")?.or(call.query_as("since_id")?);
    let stretch = match (after, call.query_as("before")?) {
        (Some(_), Some(_)) => return Err(Refusal::because(Code::InvalidRequest, "either `after` or `before`")),
        (Some(position), None) => Stretch::After(position),
        (None, Some(position)) => Stretch::Before(position),
        (None, None) => Stretch::NEWEST,
    };
    ok(&call.app.authority.messages(call.caller()?, call.path("id")?, stretch, limit(&call)?).await?)
}

/// One message. With `wait` the answer comes when it has ended. The end of a turn does not depend on whoever waits.
async fn get(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["wait"])?;
    let (id, message): (WorkspaceId, MessageId) = (call.path("id")?, call.path("message")?);
    let until = tokio::time::Instant::now() + wait(&call)?;
    let mut committed = call.app.authority.committed();
    let mut stopping = call.app.stopping.subscribe();
    loop {
        committed.mark_unchanged();
        let view = call.app.authority.message(call.caller()?, message).await?;
        if view.workspace_id != id {
            return Err(Refusal::new(Code::MessageNotFound));
        }
        let waits = matches!(view.status.as_str(), "queued" | "delivered");
        if !waits || tokio::time::Instant::now() >= until || *stopping.borrow() {
            return ok(&view);
        }
        tokio::select! {
            changed = committed.changed() => if changed.is_err() { return ok(&view) },
            () = stops(&mut stopping) => {}
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

async fn cancel(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let (id, message): (WorkspaceId, MessageId) = (call.path("id")?, call.path("message")?);
    let (caller, authority) = (call.caller()?, &call.app.authority);
    if authority.message(caller, message).await?.workspace_id != id {
        return Err(Refusal::new(Code::MessageNotFound));
    }
    authority.cancel_message(call.meta.clone(), caller, message).await?;
    ok(&json!({"status": "cancelled"}))
}

async fn notify(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Notify = call.input()?;
    let id = call.app.authority.notify(call.meta.clone(), call.caller()?, call.path("id")?, input.message).await?;
    json_response(StatusCode::OK, &json!({"status": "sent", "id": id}))
}
