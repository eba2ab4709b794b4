//! A message as A2A sees it: a task.

use a2a::{
    Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus,
    TaskStatusUpdateEvent,
};
use portcullis_authority::{MessageView, TaskView, clock::rfc3339};
use portcullis_kernel::time::Timestamp;

/// The one artifact of a task.
const REPLY: &str = "reply";

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It waits.
    Submitted,
    /// An agent has it.
    Working,
    /// It has ended.
    Over,
}

/// How far this one is.
pub(super) fn stage(view: &TaskView) -> Stage {
    match view.message.status.as_str() {
        "queued" => Stage::Submitted,
        "delivered" => Stage::Working,
        _ => Stage::Over,
    }
}

/// The protocol's word for a state. A word that is not known is not guessed.
fn state(word: &str) -> TaskState {
    match word {
        "queued" => TaskState::Submitted,
        "delivered" => TaskState::Working,
        "completed" => TaskState::Completed,
        "failed" => TaskState::Failed,
        "cancelled" => TaskState::Canceled,
        _ => TaskState::Unspecified,
    }
}

/// Our word for a state; `None` where no task of ours is ever in it.
pub(super) fn word(state: &TaskState) -> Option<&'static str> {
    match state {
        TaskState::Submitted => Some("queued"),
        TaskState::Working => Some("delivered"),
        TaskState::Completed => Some("completed"),
        TaskState::Failed => Some("failed"),
        TaskState::Canceled => Some("cancelled"),
        TaskState::Unspecified | TaskState::InputRequired | TaskState::Rejected | TaskState::AuthRequired => None,
    }
}

/// The conversation. A message that was sent without one, by another surface, is a conversation of its own.
pub(super) fn context_id(message: &MessageView) -> String {
    message.context_id.clone().unwrap_or_else(|| message.id.to_string())
}

/// The task, with as much of its history as was asked for. The artifact is left out where nobody asked for it.
pub(super) fn task(view: &TaskView, history_length: Option<i32>, with_artifacts: bool) -> Task {
    let message = &view.message;
    let artifacts = message.reply.as_deref().filter(|_| with_artifacts).map(|reply| vec![artifact(reply)]);
    let history = asked(message).filter(|_| history_length != Some(0)).map(|asked| vec![asked]);
    Task {
        id: message.id.to_string(),
        context_id: context_id(message),
        status: status(view),
        artifacts,
        history,
        metadata: None,
    }
}

/// What was asked; not for the program that asked, which is not shown its own text (a marker in it would tell it that
/// its guess is a value).
fn asked(message: &MessageView) -> Option<Message> {
    (!message.text.is_empty()).then(|| Message {
        message_id: message.message_id.clone(),
        context_id: Some(context_id(message)),
        task_id: Some(message.id.to_string()),
        role: Role::User,
        parts: vec![Part::text(message.text.as_str())],
        metadata: None,
        extensions: None,
        reference_task_ids: None,
    })
}

fn artifact(reply: &str) -> Artifact {
    Artifact {
        artifact_id: REPLY.to_owned(),
        name: Some(REPLY.to_owned()),
        description: None,
        parts: vec![Part::text(reply).with_media_type("text/plain")],
        metadata: None,
        extensions: None,
    }
}

fn status(view: &TaskView) -> TaskStatus {
    let message = &view.message;
    let why = message.error.as_deref().map(|why| Message {
        message_id: format!("{}-error", message.id),
        context_id: Some(context_id(message)),
        task_id: Some(message.id.to_string()),
        role: Role::Agent,
        parts: vec![Part::text(why)],
        metadata: None,
        extensions: None,
        reference_task_ids: None,
    });
    at(state(&message.status), why, view.changed_at)
}

fn at(state: TaskState, message: Option<Message>, when: Timestamp) -> TaskStatus {
    TaskStatus { state, message, timestamp: rfc3339(when).parse().ok() }
}

/// What a stream that has told up to `told` says next. Only the rows decide, so that every stream of a task says the same
/// in the same order.
pub(super) fn news(view: &TaskView, told: Stage) -> Vec<StreamResponse> {
    let (id, context_id) = (view.message.id.to_string(), context_id(&view.message));
    let update = |status| {
        StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id: id.clone(),
            context_id: context_id.clone(),
            status,
            metadata: None,
        })
    };
    let mut news = Vec::new();
    if let (Some(since), true) = (view.working_since, told < Stage::Working) {
        news.push(update(at(TaskState::Working, None, since)));
    }
    if stage(view) == Stage::Over && told < Stage::Over {
        if let Some(reply) = &view.message.reply {
            news.push(StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
                task_id: id.clone(),
                context_id: context_id.clone(),
                artifact: artifact(reply),
                append: Some(false),
                last_chunk: Some(true),
                metadata: None,
            }));
        }
        news.push(update(status(view)));
    }
    news
}
