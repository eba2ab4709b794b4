//! The methods of A2A, once for both bindings.

use std::time::Duration;

use a2a::{
    CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, SubscribeToTaskRequest, Task, TaskState,
};
use axum::response::Response;
use portcullis_authority::{Answer, Refusal, TaskCursor, TaskFilter, TaskView};
use portcullis_kernel::{
    id::{MessageId, WorkspaceId},
    refusal::Code,
    time::Timestamp,
};
use serde_json::Value;

use super::{
    content::{self, Incoming, history_length, no_tenant, some},
    error::Fault,
    stream::{self, Frame},
    task::{self, Stage},
    watch::Watch,
};
use crate::{
    call::Call,
    http::messages::{Outgoing, deliver},
    places::Place,
};

/// Longest that a send waits for the end of its task. Whoever wants to wait longer asks again, or subscribes.
pub(super) const BLOCKING_MAX: Duration = Duration::from_secs(300);
/// Tasks of a page where nothing else is asked, and the most there are.
const PAGE: i32 = 50;
const PAGE_MAX: i32 = 100;

/// SendMessage: the task, once it has ended, or at once where that is asked for.
pub(super) async fn send(call: &Call, workspace: WorkspaceId, params: &Value) -> Result<Task, Fault> {
    let incoming = content::incoming(params)?;
    let (immediate, length) = (incoming.immediate, incoming.history_length);
    // Before anything is sent: whoever is refused for want of a place has sent nothing.
    let place = if immediate { None } else { Some(place(call)?) };
    let id = submit(call, workspace, incoming).await?;
    let view = match place {
        Some(place) => {
            let mut watch = Watch::new(call, place, workspace, id)?;
            watch.until(BLOCKING_MAX, |view| task::stage(view) == Stage::Over).await?
        }
        None => call.app.authority.task(call.caller()?, workspace, id).await?,
    };
    Ok(task::task(&view, length, true))
}

/// SendMessage of one who does not want to hear of it.
pub(super) async fn send_unheard(call: &Call, workspace: WorkspaceId, params: &Value) -> Result<(), Fault> {
    submit(call, workspace, content::incoming(params)?).await.map(drop)
}

/// SendStreamingMessage: the task, then what happens to it.
pub(super) async fn send_streaming(
    call: &Call,
    workspace: WorkspaceId,
    params: &Value,
    frame: Frame,
) -> Result<Response, Fault> {
    let incoming = content::incoming(params)?;
    let (length, place) = (incoming.history_length, place(call)?);
    let id = submit(call, workspace, incoming).await?;
    let mut watch = Watch::new(call, place, workspace, id)?;
    let view = watch.look().await?;
    Ok(stream::response(watch, frame, &view, length))
}

/// SubscribeToTask: the same for a task that is there and has not ended.
pub(super) async fn subscribe(
    call: &Call,
    workspace: WorkspaceId,
    request: SubscribeToTaskRequest,
    frame: Frame,
) -> Result<Response, Fault> {
    no_tenant(request.tenant)?;
    let mut watch = Watch::new(call, place(call)?, workspace, task_id(&request.id)?)?;
    let view = watch.look().await?;
    if task::stage(&view) == Stage::Over {
        return Err(Fault::unsupported("the task has ended; get it instead"));
    }
    Ok(stream::response(watch, frame, &view, None))
}

/// GetTask.
pub(super) async fn get(call: &Call, workspace: WorkspaceId, request: GetTaskRequest) -> Result<Task, Fault> {
    no_tenant(request.tenant)?;
    let length = history_length(request.history_length)?;
    let view = look(call, workspace, &request.id).await?;
    Ok(task::task(&view, length, true))
}

/// CancelTask: what waits can be taken back; what an agent works on is not cut.
pub(super) async fn cancel(call: &Call, workspace: WorkspaceId, request: CancelTaskRequest) -> Result<Task, Fault> {
    no_tenant(request.tenant)?;
    let view = look(call, workspace, &request.id).await?;
    match task::stage(&view) {
        Stage::Over => return Err(Fault::not_cancelable("the task has ended")),
        Stage::Working => return Err(Fault::not_cancelable("an agent works on it, and nobody cuts a turn")),
        Stage::Submitted => {}
    }
    let taken_back = call.app.authority.cancel_message(call.meta.clone(), call.caller()?, view.message.id).await;
    taken_back.map_err(|refusal| match refusal.code {
        Code::Conflict => Fault::not_cancelable("an agent has taken it in this moment"),
        Code::MessageNotFound => Fault::not_cancelable("only its sender, or a human, takes it back"),
        _ => refusal.into(),
    })?;
    Ok(task::task(&look(call, workspace, &request.id).await?, None, true))
}

/// ListTasks: what the caller may see of this workspace's tasks, the last changed first.
pub(super) async fn list(
    call: &Call,
    workspace: WorkspaceId,
    request: ListTasksRequest,
) -> Result<ListTasksResponse, Fault> {
    no_tenant(request.tenant)?;
    let length = history_length(request.history_length)?;
    let page_size = match request.page_size {
        None => PAGE,
        Some(size) if (1..=PAGE_MAX).contains(&size) => size,
        Some(_) => return Err(Fault::invalid_params("`pageSize` is 1 to 100")),
    };
    let state = request.status.filter(|state| *state != TaskState::Unspecified);
    let word = state.as_ref().map(task::word);
    if word == Some(None) {
        // A state that tasks have elsewhere: the question is good, and the answer is none.
        return Ok(ListTasksResponse { tasks: Vec::new(), next_page_token: String::new(), page_size, total_size: 0 });
    }
    let filter = TaskFilter {
        context_id: some(request.context_id),
        state: word.flatten(),
        changed_from: request.status_timestamp_after.map(|time| Timestamp(time.timestamp_millis())),
        before: some(request.page_token).map(|token| cursor(&token)).transpose()?,
        limit: i64::from(page_size),
    };
    let page = call.app.authority.tasks(call.caller()?, workspace, filter).await?;
    let with_artifacts = request.include_artifacts.unwrap_or(false);
    Ok(ListTasksResponse {
        tasks: page.tasks.iter().map(|view| task::task(view, length, with_artifacts)).collect(),
        next_page_token: page.next.map(token).unwrap_or_default(),
        page_size,
        total_size: i32::try_from(page.total).unwrap_or(i32::MAX),
    })
}

fn token(cursor: TaskCursor) -> String {
    format!("{}.{}", cursor.changed_at.0, cursor.seq)
}

fn cursor(token: &str) -> Result<TaskCursor, Fault> {
    let read = || {
        let (changed_at, seq) = token.split_once('.')?;
        Some(TaskCursor { changed_at: Timestamp(changed_at.parse().ok()?), seq: seq.parse().ok()? })
    };
    read().ok_or_else(|| Fault::invalid_params("`pageToken` is not one that was given here"))
}

fn place(call: &Call) -> Result<Place, Refusal> {
    call.app.places.take(call.caller()?.principal())
}

/// An id that is none of ours is the id of no task.
fn task_id(text: &str) -> Result<MessageId, Fault> {
    text.parse().map_err(|_| Fault::task_not_found())
}

async fn look(call: &Call, workspace: WorkspaceId, id: &str) -> Result<TaskView, Fault> {
    Ok(call.app.authority.task(call.caller()?, workspace, task_id(id)?).await?)
}

/// A message that names a task is for one that waits for more input. None of ours does: say what to do instead.
async fn continued(call: &Call, workspace: WorkspaceId, id: &str, context: Option<&str>) -> Fault {
    let view = match look(call, workspace, id).await {
        Ok(view) => view,
        Err(fault) => return fault,
    };
    if context.is_some_and(|context| context != task::context_id(&view.message)) {
        return Fault::invalid_params("the task belongs to another context");
    }
    Fault::unsupported("a task takes one message: send a new message in the same context, without `taskId`")
}

/// Sends the message. The task is there once this has returned.
pub(super) async fn submit(call: &Call, workspace: WorkspaceId, incoming: Incoming) -> Result<MessageId, Fault> {
    let Incoming { message_id, text, context_id, task_id, .. } = incoming;
    if let Some(id) = task_id {
        return Err(continued(call, workspace, &id, context_id.as_deref()).await);
    }
    let context = match &context_id {
        Some(context) => context.clone(),
        None => call.app.authority.context_of(call.caller()?, workspace, &message_id),
    };
    let message = Outgoing { text, message_id, context_id: Some(context) };
    let taken = match deliver(call, workspace, message).await? {
        Answer::Done(done) => done.value,
        Answer::Held(waiting) => {
            let refusal = Refusal::because(Code::Conflict, "a human must agree before this agent is written to");
            return Err(refusal.with("approval_id", waiting.approval.to_string()).into());
        }
        Answer::Plan(_) => return Err(Refusal::new(Code::Internal).into()),
    };
    if let (Some(context), true) = (context_id, taken.known) {
        let view = call.app.authority.task(call.caller()?, workspace, taken.id).await?;
        if task::context_id(&view.message) != context {
            return Err(Fault::invalid_params("this message was sent in another context"));
        }
    }
    Ok(taken.id)
}
