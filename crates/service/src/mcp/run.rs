//! Running a tool: its arguments become a request to its route, and the route's answer becomes the result.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::http::StatusCode;
use portcullis_authority::{Caller, Meta, Refusal};
use portcullis_kernel::refusal::Code;
use rmcp::model::JsonObject;
use serde_json::{Value, json};

use super::{
    schema::member,
    tool::{Bound, Runs, To, home},
};
use crate::{app::App, head::idempotency_key, inner::Inner, operation::Operation, places::Place, presence::Presence};

/// How long `delegate_task` waits for the reply unless told otherwise, in seconds.
pub(super) const DELEGATE_WAIT_S: u64 = 120;
/// The longest it waits, in seconds.
pub(super) const DELEGATE_WAIT_S_MAX: u64 = 600;
/// The longest `wait_for_request` waits, in seconds.
pub(super) const REQUEST_WAIT_S_MAX: u64 = 30;
/// The longest `check_task_status` waits, in seconds.
pub(super) const TASK_WAIT_S_MAX: u64 = 30;
/// The longest one request to a route waits, in seconds.
const STEP_S: u64 = 30;

/// Who is at the door, and with which request.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) app: App,
    pub(super) caller: Caller,
    pub(super) meta: Meta,
    pub(super) peer: IpAddr,
    pub(super) presence: Arc<Presence>,
}

/// What a tool call ended in, other than a refusal.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// It is so.
    Done(Value),
    /// Nothing has changed; a human decides.
    Held(Value),
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::because(Code::InvalidField, reason)
}

/// A request to a route, before it is sent.
struct Asked {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    body: JsonObject,
    meta: Meta,
    wait_s: u64,
}

fn text(name: &str, value: Value) -> Result<String, Refusal> {
    match value {
        Value::String(text) if !text.contains('\0') => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(invalid(format!("`{name}` is a text"))),
    }
}

/// Sorts the arguments into a request. One that the tool does not have is refused: what is ignored cannot be meant.
fn asked(visitor: &Visitor, bound: &Bound, mut arguments: JsonObject, dry_run: bool) -> Result<Asked, Refusal> {
    let mut asked = Asked {
        path: Vec::new(),
        query: Vec::new(),
        body: JsonObject::new(),
        meta: Meta { dry_run, ..visitor.meta.clone() },
        wait_s: 0,
    };
    for arg in bound.tool.args {
        // Where a schema says that it may be null, null is the same as nothing.
        let given = arguments.remove(arg.name).filter(|value| !value.is_null());
        match (arg.to, given) {
            (To::Path(name), Some(value)) => asked.path.push((name.to_owned(), text(arg.name, value)?)),
            (To::Path(_), None) => return Err(invalid(format!("missing argument `{}`", arg.name))),
            (To::Home(name), given) => {
                let own = || home(&visitor.caller).map(|home| Value::String(home.to_string()));
                let value = given.or_else(own).ok_or_else(|| invalid(format!("missing argument `{}`", arg.name)))?;
                asked.path.push((name.to_owned(), text(arg.name, value)?));
            }
            (To::BodyOr(otherwise), given) => {
                asked.body.insert(arg.name.to_owned(), given.unwrap_or_else(|| otherwise.into()));
            }
            (To::Body | To::As(_), Some(value)) => {
                asked.body.insert(member(arg).unwrap_or(arg.name).to_owned(), value);
            }
            (To::Query(name), Some(value)) => asked.query.push((name.to_owned(), text(arg.name, value)?)),
            (To::Key, Some(value)) => asked.meta.idempotency_key = Some(idempotency_key(&text(arg.name, value)?)?),
            (To::Wait(otherwise, max), given) => {
                let seconds = given.map_or(Some(otherwise), |value| value.as_u64()).filter(|seconds| *seconds <= max);
                asked.wait_s = seconds.ok_or_else(|| invalid(format!("`{}` is 0 to {max} seconds", arg.name)))?;
            }
            (To::Body | To::As(_) | To::Query(_) | To::Key, None) => {}
        }
    }
    if arguments.is_empty() { Ok(asked) } else { Err(invalid("an argument that this tool does not have")) }
}

/// The one way from a tool to what it does: the handler of a route, as the caller.
async fn send(
    visitor: &Visitor,
    operation: &Operation,
    asked: Asked,
    has_body: bool,
) -> Result<(StatusCode, Value), Refusal> {
    let inner = Inner {
        app: visitor.app.clone(),
        caller: visitor.caller.clone(),
        path: asked.path,
        query: asked.query,
        body: has_body.then_some(asked.body),
        meta: asked.meta,
        peer: visitor.peer,
    };
    inner.send(operation).await
}

/// Runs a tool.
pub(super) async fn run(visitor: &Visitor, bound: &Bound, arguments: JsonObject) -> Result<Outcome, Refusal> {
    match bound.tool.runs {
        Runs::Route => route(visitor, bound, arguments, false).await,
        Runs::Delegate => delegate(visitor, bound, arguments).await,
        Runs::Plan => plan(visitor, arguments).await,
    }
}

/// Whoever waits holds a connection: each subject has so many places.
fn place(visitor: &Visitor, wait_s: u64) -> Result<Option<Place>, Refusal> {
    (wait_s > 0).then(|| visitor.app.places.take(visitor.caller.principal())).transpose()
}

async fn route(visitor: &Visitor, bound: &Bound, arguments: JsonObject, dry_run: bool) -> Result<Outcome, Refusal> {
    let mut asked = asked(visitor, bound, arguments, dry_run)?;
    let place = place(visitor, asked.wait_s)?;
    if place.is_some() {
        asked.query.push(("wait".to_owned(), asked.wait_s.to_string()));
    }
    let (status, body) = send(visitor, &bound.operation, asked, bound.has_body()).await?;
    if place.is_some() {
        visitor.presence.caller().await?;
    }
    if status == StatusCode::ACCEPTED {
        return Ok(Outcome::Held(body));
    }
    Ok(Outcome::Done(match (bound.tool.list, body) {
        (Some(list), items) if !dry_run => json!({list: items}),
        (_, Value::Object(mut members)) => {
            if bound.tool.does.is_decided() && !dry_run {
                members.entry("status").or_insert_with(|| "done".into());
            }
            Value::Object(members)
        }
        (_, other) => other,
    }))
}

/// Sends a message and waits for its end. Whoever waits changes nothing: the task goes on without.
async fn delegate(visitor: &Visitor, bound: &Bound, arguments: JsonObject) -> Result<Outcome, Refusal> {
    let request = asked(visitor, bound, arguments, false)?;
    let (wait_s, path) = (request.wait_s, request.path.clone());
    let _place = place(visitor, wait_s)?;
    let (_, sent) = send(visitor, &bound.operation, request, true).await?;
    if sent["status"] == "pending_approval" {
        // A policy of the organisation asks a human about messages.
        return Ok(Outcome::Held(sent));
    }
    let id = sent.get("id").and_then(Value::as_str).ok_or_else(|| Refusal::new(Code::Internal))?.to_owned();
    let look = visitor.app.mcp.tools.iter().find(|tool| tool.operation.id == "message_get");
    let look = look.ok_or_else(|| Refusal::new(Code::Internal))?;
    let until = tokio::time::Instant::now() + Duration::from_secs(wait_s);
    loop {
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        let wait = left.as_secs().min(STEP_S);
        let mut path = path.clone();
        path.push(("message".to_owned(), id.clone()));
        let query = vec![("wait".to_owned(), wait.to_string())];
        let again = Asked { path, query, body: JsonObject::new(), meta: visitor.meta.clone(), wait_s: 0 };
        let (_, view) = send(visitor, &look.operation, again, false).await?;
        // What was revoked in between sees nothing more.
        visitor.presence.caller().await?;
        let status = view.get("status").cloned().unwrap_or_default();
        let waits = matches!(status.as_str(), Some("queued" | "delivered"));
        if !waits || left.as_secs() == 0 || *visitor.app.stopping.borrow() {
            return Ok(Outcome::Done(
                json!({"task_id": id, "status": status, "reply": view["reply"], "error": view["error"]}),
            ));
        }
    }
}

async fn plan(visitor: &Visitor, mut arguments: JsonObject) -> Result<Outcome, Refusal> {
    let (tool, inner) = (arguments.remove("tool"), arguments.remove("arguments"));
    let (Some(Value::String(name)), Some(Value::Object(inner)), true) = (tool, inner, arguments.is_empty()) else {
        return Err(invalid("`plan` takes `tool`, a text, and `arguments`, an object, and nothing else"));
    };
    let found = visitor.app.mcp.tool(&visitor.caller, &name).ok_or_else(|| invalid("you have no tool of this name"))?;
    if !found.tool.does.is_decided() {
        return Err(invalid("this tool only reads or speaks: there is nothing to plan"));
    }
    route(visitor, found, inner, true).await
}
