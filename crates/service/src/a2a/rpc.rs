//! The JSON-RPC binding: one request in, one answer or one stream out.

use a2a::methods as names;
use axum::{
    body::Body,
    http::{Method, StatusCode, header},
    response::Response,
};
use portcullis_authority::Refusal;
use portcullis_kernel::id::WorkspaceId;
use serde_json::{Value, json};

use super::{
    content, envelope,
    error::Fault,
    methods,
    request::{self, Request},
    stream::Frame,
    version::{self, Version},
};
use crate::{
    call::{Call, ok},
    operation::Operation,
};

/// The routes: with and without the slash, since clients write both.
pub(super) fn operations() -> Vec<Operation> {
    let summary = "A2A over JSON-RPC, and the predecessor's envelope";
    let rpc =
        Operation::new("a2a", Method::POST, "/workspaces/{id}/a2a", summary, answer).done(&[200, 202, 204]).foreign();
    let slash = rpc.also_at("a2a_slash", Method::POST, "/workspaces/{id}/a2a/");
    vec![rpc, slash]
}

async fn answer(call: Call) -> Result<Response, Refusal> {
    call.only_query(&version::QUERY)?;
    let workspace = call.path("id")?;
    match version::of(&call)? {
        Version::One => one(&call, workspace).await,
        Version::Predecessor => envelope::answer(&call, workspace).await,
        Version::Unknown => failed(&call, &request::identified(&call.body), &Fault::version()),
    }
}

async fn one(call: &Call, workspace: WorkspaceId) -> Result<Response, Refusal> {
    let request = match read(call) {
        Ok(request) => request,
        Err(fault) => return failed(call, &request::identified(&call.body), &fault),
    };
    let Some(id) = &request.id else {
        // JSON-RPC: what has no id is done, and not answered, whatever came of it.
        let _ = notified(call, workspace, &request).await;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    };
    match dispatch(call, workspace, &request, id).await {
        Ok(response) => Ok(response),
        Err(fault) => failed(call, id, &fault),
    }
}

/// An error as an answer.
pub(super) fn failed(call: &Call, id: &Value, fault: &Fault) -> Result<Response, Refusal> {
    let error = fault.rpc(&call.meta.request_id);
    Ok(fault.mark(ok(&json!({"jsonrpc": "2.0", "id": id, "error": error}))?))
}

/// A body in one of the two media types of A2A.
pub(super) fn is_json(call: &Call) -> bool {
    let media = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    ["application/json", "application/a2a+json"].iter().any(|known| media.eq_ignore_ascii_case(known))
}

fn read(call: &Call) -> Result<Request, Fault> {
    if !is_json(call) {
        return Err(Fault::content_type("a request is `application/json`"));
    }
    Request::read(&call.body)
}

async fn dispatch(call: &Call, workspace: WorkspaceId, request: &Request, id: &Value) -> Result<Response, Fault> {
    let params = &request.params;
    let result = match request.method.as_str() {
        names::SEND_MESSAGE => json!({"task": methods::send(call, workspace, params).await?}),
        names::GET_TASK => json!(methods::get(call, workspace, content::read(params)?).await?),
        names::LIST_TASKS => json!(methods::list(call, workspace, content::read(params)?).await?),
        names::CANCEL_TASK => json!(methods::cancel(call, workspace, content::read(params)?).await?),
        names::SEND_STREAMING_MESSAGE => {
            return methods::send_streaming(call, workspace, params, Frame::Rpc(id.clone())).await;
        }
        names::SUBSCRIBE_TO_TASK => {
            return methods::subscribe(call, workspace, content::read(params)?, Frame::Rpc(id.clone())).await;
        }
        other => return Err(not_offered(other)),
    };
    Ok(ok(&json!({"jsonrpc": "2.0", "id": id, "result": result}))?)
}

/// What A2A knows and is not done here, and what it does not know.
fn not_offered(method: &str) -> Fault {
    match method {
        names::CREATE_PUSH_CONFIG | names::GET_PUSH_CONFIG | names::LIST_PUSH_CONFIGS | names::DELETE_PUSH_CONFIG => {
            Fault::no_push()
        }
        names::GET_EXTENDED_AGENT_CARD => Fault::unsupported(super::card::NO_EXTENDED_CARD),
        _ => Fault::method_not_found(),
    }
}

async fn notified(call: &Call, workspace: WorkspaceId, request: &Request) -> Result<(), Fault> {
    match request.method.as_str() {
        names::SEND_MESSAGE | names::SEND_STREAMING_MESSAGE => {
            methods::send_unheard(call, workspace, &request.params).await
        }
        names::CANCEL_TASK => methods::cancel(call, workspace, content::read(&request.params)?).await.map(drop),
        // The others only answer.
        _ => Ok(()),
    }
}
