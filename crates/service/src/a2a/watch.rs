//! Looking at one task until something happens to it.

use std::time::Duration;

use portcullis_authority::{Authority, Refusal, TaskView};
use portcullis_kernel::id::{MessageId, WorkspaceId};
use tokio::{sync::watch, time::Instant};

use crate::{app::stops, call::Call, places::Place, presence::Presence};

/// The pause between two looks: many commits have nothing to do with this task.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How often it is looked at although nothing was committed here: another replica may have.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// Something was committed.
    Commit,
    /// Nothing happened for a while.
    Heartbeat,
    /// The server stops.
    Stop,
}

/// One who watches a task, with the credential of the one who asked and a place of its own.
pub(super) struct Watch {
    authority: Authority,
    presence: Presence,
    workspace: WorkspaceId,
    task: MessageId,
    committed: watch::Receiver<i64>,
    stopping: watch::Receiver<bool>,
    looked: Instant,
    _place: Place,
}

impl Watch {
    /// Watches a task of a workspace.
    pub(super) fn new(call: &Call, place: Place, workspace: WorkspaceId, task: MessageId) -> Result<Self, Refusal> {
        let authority = call.app.authority.clone();
        Ok(Self {
            presence: Presence::of(call)?,
            workspace,
            task,
            committed: authority.committed(),
            stopping: call.app.stopping.subscribe(),
            looked: Instant::now(),
            authority,
            _place: place,
        })
    }

    /// The task as it is now, if the credential may still see it.
    pub(super) async fn look(&mut self) -> Result<TaskView, Refusal> {
        self.committed.mark_unchanged();
        self.looked = Instant::now();
        let caller = self.presence.caller().await?;
        self.authority.task(&caller, self.workspace, self.task).await
    }

    /// Waits until it is worth looking again.
    pub(super) async fn wait(&mut self) -> Woken {
        let soonest = self.looked + LOOK_PAUSE;
        let commit = async {
            tokio::time::sleep_until(soonest).await;
            self.committed.changed().await
        };
        tokio::select! {
            changed = commit => if changed.is_ok() { Woken::Commit } else { Woken::Stop },
            () = stops(&mut self.stopping) => Woken::Stop,
            () = tokio::time::sleep(HEARTBEAT) => Woken::Heartbeat,
        }
    }

    /// The task once `enough` says so; as it is then, when the time is up or the server stops.
    pub(super) async fn until(
        &mut self,
        limit: Duration,
        enough: impl Fn(&TaskView) -> bool,
    ) -> Result<TaskView, Refusal> {
        let until = Instant::now() + limit;
        loop {
            let view = self.look().await?;
            if enough(&view) {
                return Ok(view);
            }
            match tokio::time::timeout_at(until, self.wait()).await {
                Ok(Woken::Commit | Woken::Heartbeat) => {}
                Ok(Woken::Stop) | Err(_) => return Ok(view),
            }
        }
    }
}
