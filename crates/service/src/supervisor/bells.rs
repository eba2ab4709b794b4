//! Which workspaces are supervised, and how their tasks are woken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use portcullis_kernel::id::WorkspaceId;
use tokio::sync::Notify;

/// The bells of all units' tasks.
#[derive(Default)]
pub(super) struct Bells(Mutex<HashMap<WorkspaceId, Arc<Notify>>>);

/// The bell of one task. A workspace has one at most, and none when its task is over, however it ended.
pub(super) struct Bell {
    bells: Arc<Bells>,
    id: WorkspaceId,
    notify: Arc<Notify>,
}

impl Bells {
    fn lock(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all but these.
    pub(super) fn ring_others(&self, ids: &[WorkspaceId]) {
        self.lock().iter().filter(|(id, _)| !ids.contains(id)).for_each(|(_, bell)| bell.notify_one());
    }

    /// Wakes the task of one, if there is one.
    pub(super) fn ring(&self, id: WorkspaceId) {
        if let Some(bell) = self.lock().get(&id) {
            bell.notify_one();
        }
    }

    /// The bell for a new task, or `None` where there is a task already, which is woken if it is to `ring`.
    pub(super) fn hang(self: &Arc<Self>, id: WorkspaceId, ring: bool) -> Option<Bell> {
        let mut bells = self.lock();
        if let Some(bell) = bells.get(&id) {
            if ring {
                bell.notify_one();
            }
            return None;
        }
        let notify = Arc::new(Notify::new());
        bells.insert(id, Arc::clone(&notify));
        Some(Bell { bells: Arc::clone(self), id, notify })
    }
}

impl Bell {
    /// What its task waits for.
    pub(super) fn notify(&self) -> &Notify {
        &self.notify
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(workspace = %self.id, "the task that supervises a workspace panicked; it begins again");
        }
        self.bells.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> WorkspaceId {
        "018f3c2e-0000-7000-8000-000000000001".parse().expect("an id")
    }

    #[test]
    fn a_workspace_has_one_task_and_it_is_woken() {
        let bells = Arc::new(Bells::default());
        let bell = bells.hang(id(), true).expect("the first");
        assert!(bells.hang(id(), true).is_none());
        // It was rung once, and that is kept until it is heard.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(bell.notify().notified());
        bells.ring_others(&[]);
        runtime.block_on(bell.notify().notified());
        drop(bell);
        assert!(bells.hang(id(), true).is_some(), "its task is over");
    }

    #[test]
    fn a_workspace_whose_task_panicked_is_supervised_again() {
        let bells = Arc::new(Bells::default());
        let bell = bells.hang(id(), false).expect("the first");
        let task = std::thread::spawn(move || {
            let _bell = bell;
            panic!("on purpose");
        });
        assert!(task.join().is_err());
        assert!(bells.hang(id(), false).is_some());
    }
}
