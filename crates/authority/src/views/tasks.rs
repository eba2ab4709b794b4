//! Messages to an agent, seen as tasks: what A2A shows of them.

use portcullis_kernel::{
    id::{MessageId, WorkspaceId},
    refusal::Code,
    scope::Scope,
    subject::Principal,
    time::Timestamp,
};

use super::{MessageView, in_sight, message_get, need, shown};
use crate::{
    caller::Caller,
    db::Conn,
    refusal::Refusal,
    tables::{
        messages::{self, MessageRow},
        tasks::{self, TaskCursor, TaskFilter},
        turns, workspaces,
    },
};

/// Text of one page beyond which no more tasks are added, in bytes.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Tasks read at a time.
const PAGE_STEP: i64 = 16;

/// A message to an agent, with the times of its states.
#[derive(Debug, Clone)]
pub struct TaskView {
    /// The message.
    pub message: MessageView,
    /// When an agent took it, if one did.
    pub working_since: Option<Timestamp>,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

/// One page of tasks, the last changed first.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// The tasks.
    pub tasks: Vec<TaskView>,
    /// Where the next page begins, if there is one.
    pub next: Option<TaskCursor>,
    /// How many there are on all pages.
    pub total: i64,
}

fn view(conn: &mut Conn, caller: &Caller, row: MessageRow) -> Result<TaskView, Refusal> {
    let turn = row.turn.map(|turn| turns::find(conn, turn)).transpose()?.flatten();
    let changed_at = row.changed_at;
    Ok(TaskView { message: shown(caller, row), working_since: turn.map(|turn| turn.started_at), changed_at })
}

/// One task of a workspace: for whoever may see the message. Any other is as if it did not exist.
pub(crate) fn task_get(
    conn: &mut Conn,
    caller: &Caller,
    workspace: WorkspaceId,
    id: MessageId,
) -> Result<TaskView, Refusal> {
    let message = message_get(conn, caller, id)?;
    if message.workspace_id != workspace || message.direction != "in" {
        return Err(Refusal::new(Code::MessageNotFound));
    }
    let row = messages::find(conn, id)?.ok_or_else(|| Refusal::new(Code::MessageNotFound))?;
    view(conn, caller, row)
}

/// Tasks of a workspace: all of them for whoever sees it, the own ones for everybody else.
pub(crate) fn task_page(
    conn: &mut Conn,
    caller: &Caller,
    workspace: WorkspaceId,
    filter: &TaskFilter,
) -> Result<TaskPage, Refusal> {
    need(caller, Scope::Messages)?;
    let sender = match in_sight(caller, workspace) {
        // Of a workspace that is not there is told to those only who would see it.
        Ok(()) => {
            workspaces::find(conn, workspace)?.map(|_| None).ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))?
        }
        Err(_) => Some(caller.principal()),
    };
    let total = tasks::count(conn, workspace, sender, filter)?;
    let rows = page(conn, workspace, sender, filter)?;
    let next = rows.last().map(|last| TaskCursor { changed_at: last.changed_at, seq: last.seq });
    let next = match next {
        Some(next) => more(conn, workspace, sender, filter, next)?.then_some(next),
        None => None,
    };
    let tasks = rows.into_iter().map(|row| view(conn, caller, row)).collect::<Result<_, _>>()?;
    Ok(TaskPage { tasks, next, total })
}

/// Few at a time: a page of the longest messages would not fit into memory.
fn page(
    conn: &mut Conn,
    workspace: WorkspaceId,
    sender: Option<Principal>,
    filter: &TaskFilter,
) -> Result<Vec<MessageRow>, Refusal> {
    let (mut rows, mut bytes, mut step) = (Vec::new(), 0, filter.clone());
    let wanted = usize::try_from(filter.limit).unwrap_or(0);
    while rows.len() < wanted && bytes < PAGE_BYTES_MAX {
        step.limit = PAGE_STEP.min(i64::try_from(wanted - rows.len()).unwrap_or(PAGE_STEP));
        let part = tasks::page(conn, workspace, sender, &step)?;
        let Some(last) = part.last() else { break };
        step.before = Some(TaskCursor { changed_at: last.changed_at, seq: last.seq });
        bytes += part.iter().map(|row| row.body.len() + row.reply.as_ref().map_or(0, String::len)).sum::<usize>();
        rows.extend(part);
    }
    Ok(rows)
}

fn more(
    conn: &mut Conn,
    workspace: WorkspaceId,
    sender: Option<Principal>,
    filter: &TaskFilter,
    after: TaskCursor,
) -> Result<bool, Refusal> {
    let one = TaskFilter { before: Some(after), limit: 1, ..filter.clone() };
    Ok(!tasks::page(conn, workspace, sender, &one)?.is_empty())
}
