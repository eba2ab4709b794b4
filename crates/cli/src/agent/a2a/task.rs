//! Tasks: messages in the control plane's queue, seen as A2A sees them. A task is one message; its id is the message's.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Server;
use super::error::{Kind, RpcError};
use crate::random;

/// How long one look at a task waits for its end, in seconds.
const WAIT_S: u64 = 30;
const WAIT_TIMEOUT: Duration = Duration::from_secs(WAIT_S + 15);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a blocking call blocks. A caller who waits longer asks with `GetTask`.
const BLOCKING_MAX: Duration = Duration::from_secs(3600);
/// The pause between two looks that both came back at once.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// How many tasks' contexts are remembered.
const CONTEXTS_MAX: usize = 1024;
/// Longest id a caller may choose, in bytes.
const ID_BYTES_MAX: usize = 256;
/// Bytes of randomness in a context that nobody named.
const CONTEXT_BYTES: usize = 16;

/// Which context a task belongs to: the control plane keeps it, but does not tell it with the task.
#[derive(Default)]
pub struct Contexts(Mutex<VecDeque<(String, String)>>);

impl Contexts {
    fn remember(&self, task: &str, context: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|(known, _)| known == task) {
            return;
        }
        if known.len() == CONTEXTS_MAX {
            known.pop_front();
        }
        known.push_back((task.to_owned(), context.to_owned()));
    }

    fn of(&self, task: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(known, _)| known == task).map(|(_, context)| context.clone())
    }
}

/// A message as the control plane tells it.
#[derive(Deserialize)]
struct Stored {
    id: String,
    status: String,
    reply: Option<String>,
    error: Option<String>,
}

impl Stored {
    fn state(&self) -> Result<&'static str, RpcError> {
        match self.status.as_str() {
            "queued" => Ok("TASK_STATE_SUBMITTED"),
            "delivered" => Ok("TASK_STATE_WORKING"),
            "completed" => Ok("TASK_STATE_COMPLETED"),
            "failed" => Ok("TASK_STATE_FAILED"),
            "cancelled" => Ok("TASK_STATE_CANCELED"),
            // Never guessed: a caller would act on it.
            _ => Err(RpcError::new(Kind::Internal, "the task is in a state this agent does not know")),
        }
    }

    fn is_over(&self) -> bool {
        !matches!(self.status.as_str(), "queued" | "delivered")
    }

    fn task(&self, server: &Server) -> Result<Value, RpcError> {
        let mut task = json!({"id": self.id, "status": {"state": self.state()?}});
        let context = server.contexts.of(&self.id);
        if let Some(context) = &context {
            task["contextId"] = context.as_str().into();
        }
        if let Some(reply) = &self.reply {
            task["artifacts"] = json!([{"artifactId": format!("{}-reply", self.id), "parts": [{"text": reply}]}]);
        }
        if let Some(error) = &self.error {
            let mut message = json!({
                "messageId": format!("{}-error", self.id), "role": "ROLE_AGENT", "taskId": self.id,
                "parts": [{"text": error}],
            });
            if let Some(context) = context {
                message["contextId"] = context.into();
            }
            task["status"]["message"] = message;
        }
        Ok(task)
    }
}

/// `SendMessage`
pub async fn send(server: &Server, params: &Value) -> Result<Value, RpcError> {
    let message = Incoming::read(params)?;
    if let Some(task) = &message.task {
        // A task takes one message; which of the two errors it is depends on whether there is such a task.
        let stored = look(server, task, None).await?;
        if message.context.is_some() && server.contexts.of(&stored.id) != message.context {
            return Err(RpcError::new(Kind::InvalidParams, "the task belongs to another context"));
        }
        return Err(RpcError::new(
            Kind::UnsupportedOperation,
            "a task takes one message; send another without `taskId`",
        ));
    }
    let context = match message.context {
        Some(context) => context,
        None => random::hex(CONTEXT_BYTES).map_err(|_| RpcError::new(Kind::Internal, "no context could be made"))?,
    };
    let body = json!({"text": message.text, "message_id": message.id, "context_id": context});
    let path = server.plane.own(&["messages"]);
    let answer = server.plane.send(Method::POST, &path, Some(&body), REQUEST_TIMEOUT).await.map_err(|miss| {
        let error = RpcError::of(miss);
        if error.kind() == Kind::TaskNotFound { error.but(Kind::Internal) } else { error }
    })?;
    let mut stored: Stored = read(&answer.body)?;
    server.contexts.remember(&stored.id, &context);
    let until = Instant::now() + BLOCKING_MAX;
    while !message.at_once && !stored.is_over() && Instant::now() < until {
        let asked = Instant::now();
        stored = look(server, &stored.id, Some(WAIT_S)).await?;
        if !stored.is_over() && asked.elapsed() < LOOK_PAUSE {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
    Ok(json!({"task": stored.task(server)?}))
}

/// `GetTask`
pub async fn get(server: &Server, params: &Value) -> Result<Value, RpcError> {
    look(server, &task_id(params)?, None).await?.task(server)
}

/// `CancelTask`: a message that waits can be taken back, one that is being answered cannot.
pub async fn cancel(server: &Server, params: &Value) -> Result<Value, RpcError> {
    let id = task_id(params)?;
    let path = server.plane.own(&["messages", &id, "cancel"]);
    server.plane.send(Method::POST, &path, None, REQUEST_TIMEOUT).await.map_err(|miss| {
        let conflict = matches!(&miss, crate::agent::plane::Miss::Refused(problem) if problem.status == 409);
        let error = RpcError::of(miss);
        if conflict { error.but(Kind::TaskNotCancelable) } else { error }
    })?;
    look(server, &id, None).await?.task(server)
}

async fn look(server: &Server, id: &str, wait_s: Option<u64>) -> Result<Stored, RpcError> {
    let mut path = server.plane.own(&["messages", id]);
    if let Some(wait_s) = wait_s {
        path.push_str(&format!("?wait={wait_s}"));
    }
    let answer = server.plane.send(Method::GET, &path, None, WAIT_TIMEOUT).await.map_err(RpcError::of)?;
    read(&answer.body)
}

fn read(body: &[u8]) -> Result<Stored, RpcError> {
    serde_json::from_slice(body).map_err(|_| RpcError::new(Kind::Internal, "the control plane's answer cannot be read"))
}

fn task_id(params: &Value) -> Result<String, RpcError> {
    text(params, "id")?.ok_or_else(|| RpcError::new(Kind::InvalidParams, "`id` names the task"))
}

/// A text that is there or is not, and never something else.
fn text(object: &Value, name: &str) -> Result<Option<String>, RpcError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        // An empty text is absent: that is how the protocol's own encoding writes it.
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.len() <= ID_BYTES_MAX => Ok(Some(text.clone())),
        Some(Value::String(_)) => Err(RpcError::new(Kind::InvalidParams, format!("`{name}` is too long"))),
        Some(_) => Err(RpcError::new(Kind::InvalidParams, format!("`{name}` is a text"))),
    }
}

/// A message that somebody sends.
struct Incoming {
    id: String,
    text: String,
    context: Option<String>,
    task: Option<String>,
    at_once: bool,
}

impl Incoming {
    fn read(params: &Value) -> Result<Self, RpcError> {
        let invalid = |why: &str| RpcError::new(Kind::InvalidParams, why);
        let message = params.get("message").filter(|message| message.is_object());
        let message = message.ok_or_else(|| invalid("`message` is an object"))?;
        let id = text(message, "messageId")?.ok_or_else(|| invalid("`messageId` is needed"))?;
        if message.get("role").and_then(Value::as_str) != Some("ROLE_USER") {
            return Err(invalid("`role` is ROLE_USER"));
        }
        let parts = message.get("parts").and_then(Value::as_array).filter(|parts| !parts.is_empty());
        let parts = parts.ok_or_else(|| invalid("`parts` has at least one part"))?;
        let mut texts = Vec::new();
        for part in parts {
            match part.get("text") {
                Some(Value::String(text)) => texts.push(text.as_str()),
                Some(_) => return Err(invalid("`text` is a text")),
                None => return Err(RpcError::new(Kind::ContentTypeNotSupported, "this agent reads text only")),
            }
        }
        let configuration = params.get("configuration").cloned().unwrap_or_default();
        if !configuration.is_null() && !configuration.is_object() {
            return Err(invalid("`configuration` is an object"));
        }
        if configuration.get("taskPushNotificationConfig").is_some_and(|push| !push.is_null()) {
            return Err(RpcError::new(Kind::PushNotificationNotSupported, "there are no push notifications"));
        }
        let at_once = match configuration.get("returnImmediately") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(at_once)) => *at_once,
            Some(_) => return Err(invalid("`returnImmediately` is true or false")),
        };
        let (context, task) = (text(message, "contextId")?, text(message, "taskId")?);
        Ok(Self { id, text: texts.join("\n"), context, task, at_once })
    }
}
