//! The HTTP+JSON binding: the same methods under paths. A verb stands behind a colon in the last part of its path.

use a2a::TaskPushNotificationConfig;
use axum::{
    http::{HeaderValue, Method, header},
    response::Response,
};
use portcullis_authority::Refusal;
use portcullis_kernel::{id::WorkspaceId, refusal::Code};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    content,
    error::Fault,
    methods, rpc,
    stream::Frame,
    version::{self, Version},
};
use crate::{
    call::{Call, ok},
    operation::Operation,
};

/// The media type that A2A prefers, and the one it was.
const MEDIA: HeaderValue = HeaderValue::from_static("application/a2a+json");
/// Query parameters of a list that are texts, numbers and truths.
const TEXTS: [&str; 4] = ["contextId", "status", "pageToken", "statusTimestampAfter"];
const NUMBERS: [&str; 2] = ["pageSize", "historyLength"];
const TRUTHS: [&str; 1] = ["includeArtifacts"];

/// The routes.
pub(super) fn operations() -> Vec<Operation> {
    macro_rules! route {
        ($id:literal, $method:ident, $path:literal, $summary:literal, $inner:ident) => {
            Operation::new(
                $id,
                Method::$method,
                concat!("/workspaces/{id}/a2a", $path),
                $summary,
                |call: Call| async move {
                    let answer = $inner(&call).await;
                    Ok(answer.unwrap_or_else(|fault| fault.response(&call.meta.request_id)))
                },
            )
            .foreign()
        };
    }
    vec![
        route!("a2a_message_send", POST, "/message:send", "A2A: send a message", send),
        route!("a2a_message_stream", POST, "/message:stream", "A2A: send a message and follow its task", stream),
        route!("a2a_task_list", GET, "/tasks", "A2A: tasks, the last changed first", list),
        route!("a2a_task_get", GET, "/tasks/{task}", "A2A: one task, or its stream with `:subscribe`", get),
        route!("a2a_task_change", POST, "/tasks/{task}", "A2A: `:cancel` or `:subscribe` behind a task's id", change),
        route!("a2a_extended_card", GET, "/extendedAgentCard", "Not offered", extended_card),
        route!("a2a_push_list", GET, "/tasks/{task}/pushNotificationConfigs", "Not offered", no_push),
        route!("a2a_push_create", POST, "/tasks/{task}/pushNotificationConfigs", "Not offered", no_new_push),
        route!("a2a_push_get", GET, "/tasks/{task}/pushNotificationConfigs/{config}", "Not offered", no_push),
        route!("a2a_push_delete", DELETE, "/tasks/{task}/pushNotificationConfigs/{config}", "Not offered", no_push),
    ]
}

/// The workspace of a call that speaks 1.0 and says nothing in its query that is not known.
fn opened(call: &Call, query: &[&str]) -> Result<WorkspaceId, Fault> {
    let known: Vec<&str> = query.iter().chain(&version::QUERY).copied().collect();
    call.only_query(&known)?;
    let workspace = call.path("id")?;
    match version::of(call)? {
        Version::One => Ok(workspace),
        Version::Predecessor | Version::Unknown => Err(Fault::version()),
    }
}

/// The body as an object; none is an empty one.
fn body(call: &Call) -> Result<Value, Fault> {
    if call.body.is_empty() {
        return Ok(json!({}));
    }
    if !rpc::is_json(call) {
        return Err(Refusal::new(Code::UnsupportedMediaType).into());
    }
    let members: Map<String, Value> = crate::json::read(&call.body)?;
    Ok(Value::Object(members))
}

/// A result in the media type that was asked for.
fn result(call: &Call, result: &impl Serialize) -> Result<Response, Fault> {
    let mut response = ok(result)?;
    let accepted = call.header("accept")?.unwrap_or("*/*");
    let plain = |media: &str| accepted.split(',').any(|one| one.split(';').next().unwrap_or_default().trim() == media);
    if !plain("application/json") || plain("application/a2a+json") {
        response.headers_mut().insert(header::CONTENT_TYPE, MEDIA);
    }
    Ok(response)
}

async fn send(call: &Call) -> Result<Response, Fault> {
    let workspace = opened(call, &[])?;
    result(call, &json!({"task": methods::send(call, workspace, &body(call)?).await?}))
}

async fn stream(call: &Call) -> Result<Response, Fault> {
    let workspace = opened(call, &[])?;
    methods::send_streaming(call, workspace, &body(call)?, Frame::Rest).await
}

async fn list(call: &Call) -> Result<Response, Fault> {
    let known: Vec<&str> = TEXTS.iter().chain(&NUMBERS).chain(&TRUTHS).copied().collect();
    let workspace = opened(call, &known)?;
    let mut params = Map::new();
    for name in TEXTS.iter().filter(|name| call.query(name).is_some()) {
        params.insert((*name).to_owned(), call.query(name).into());
    }
    for name in NUMBERS {
        params.extend(call.query_as::<i32>(name)?.map(|number| (name.to_owned(), number.into())));
    }
    for name in TRUTHS {
        params.extend(call.query_as::<bool>(name)?.map(|truth| (name.to_owned(), truth.into())));
    }
    result(call, &methods::list(call, workspace, content::read(&Value::Object(params))?).await?)
}

/// The id in the path, and the verb behind it.
fn task_and_verb(call: &Call) -> Result<(String, Option<String>), Fault> {
    call.path::<WorkspaceId>("id")?;
    let text: String = call.path("task")?;
    Ok(match text.split_once(':') {
        Some((task, verb)) => (task.to_owned(), Some(verb.to_owned())),
        None => (text, None),
    })
}

async fn get(call: &Call) -> Result<Response, Fault> {
    let (task, verb) = task_and_verb(call)?;
    match verb.as_deref() {
        None => {
            let workspace = opened(call, &["historyLength"])?;
            let params = json!({"id": task, "historyLength": call.query_as::<i32>("historyLength")?});
            result(call, &methods::get(call, workspace, content::read(&params)?).await?)
        }
        Some("subscribe") => subscribe(call, &task).await,
        Some(_) => Err(Refusal::new(Code::RouteNotFound).into()),
    }
}

async fn change(call: &Call) -> Result<Response, Fault> {
    let (task, verb) = task_and_verb(call)?;
    match verb.as_deref() {
        Some("cancel") => {
            let workspace = opened(call, &[])?;
            let mut params = body(call)?;
            // The protocol knows these three; whoever adds another means something that would not happen.
            let known = |name: &String| ["id", "tenant", "metadata"].contains(&name.as_str());
            if params.as_object().is_some_and(|members| !members.keys().all(known)) {
                return Err(Fault::invalid_params("a cancellation has `tenant` and `metadata`"));
            }
            params["id"] = task.into();
            result(call, &methods::cancel(call, workspace, content::read(&params)?).await?)
        }
        Some("subscribe") => {
            body(call)?;
            subscribe(call, &task).await
        }
        _ => Err(Refusal::new(Code::RouteNotFound).into()),
    }
}

async fn subscribe(call: &Call, task: &str) -> Result<Response, Fault> {
    let workspace = opened(call, &[])?;
    methods::subscribe(call, workspace, content::read(&json!({"id": task}))?, Frame::Rest).await
}

async fn extended_card(call: &Call) -> Result<Response, Fault> {
    opened(call, &[])?;
    Err(Fault::unsupported(super::card::NO_EXTENDED_CARD))
}

async fn no_push(call: &Call) -> Result<Response, Fault> {
    opened(call, &["pageSize", "pageToken"])?;
    call.no_body()?;
    Err(Fault::no_push())
}

async fn no_new_push(call: &Call) -> Result<Response, Fault> {
    opened(call, &[])?;
    content::read::<TaskPushNotificationConfig>(&body(call)?)?;
    Err(Fault::no_push())
}
