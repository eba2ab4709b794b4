//! What is known of running agents beside the database: who was heard when, and who waits for work. Lost with the process
//! and rebuilt from what comes next; nothing is decided from its absence.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use portcullis_kernel::id::{BootId, MessageId, WorkspaceId};
use tokio::sync::{Notify, watch};

/// When a working loop was last heard, and what it said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pulse {
    /// From which run.
    pub boot: BootId,
    /// When, by a clock that does not jump: a machine that slept, or whose time was set, has silenced nobody.
    pub heard: Instant,
    /// It reports that it is in trouble.
    pub troubled: bool,
}

/// Share of errors from which an agent counts as in trouble, and below which it does not any more. Apart, so that it does
/// not flicker (reference §5.2).
const TROUBLED_FROM: f64 = 0.5;
const WELL_BELOW: f64 = 0.1;

/// A reply that is being written, as far as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SoFar {
    /// In whose turn.
    pub(crate) workspace: WorkspaceId,
    /// The message it answers.
    pub(crate) message: MessageId,
    /// All of it until now.
    pub(crate) text: String,
}

/// Replies that are being written, each with the number of its last change.
#[derive(Default)]
struct Replies {
    changes: u64,
    of: HashMap<WorkspaceId, (u64, SoFar)>,
}

/// Pulses, waiting agents and replies that are being written, by workspace.
#[derive(Default)]
pub struct Live {
    pulses: Mutex<HashMap<WorkspaceId, Pulse>>,
    waiting: Mutex<HashMap<WorkspaceId, Arc<Notify>>>,
    replies: Mutex<Replies>,
    written: watch::Sender<u64>,
}

impl Live {
    /// Notes that a working loop was heard. `error_rate` is what it reports, 0 to 1.
    pub fn heard(&self, workspace: WorkspaceId, boot: BootId, error_rate: Option<f64>) {
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        let was = pulses.get(&workspace).is_some_and(|pulse| pulse.boot == boot && pulse.troubled);
        let troubled = match error_rate {
            Some(rate) if rate >= TROUBLED_FROM => true,
            Some(rate) if rate < WELL_BELOW => false,
            _ => was,
        };
        pulses.insert(workspace, Pulse { boot, heard: Instant::now(), troubled });
    }

    /// The last pulse of a workspace's agent.
    pub fn pulse(&self, workspace: WorkspaceId) -> Option<Pulse> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).get(&workspace).copied()
    }

    /// What an agent waits on while there is nothing to do for it.
    pub fn bell(&self, workspace: WorkspaceId) -> Arc<Notify> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(waiting.entry(workspace).or_default())
    }

    /// Wakes whoever waits for this workspace.
    pub fn ring(&self, workspace: WorkspaceId) {
        let bell = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(&workspace).cloned();
        if let Some(bell) = bell {
            bell.notify_waiters();
        }
    }

    /// Notes how far a reply has come.
    pub(crate) fn writes(&self, reply: SoFar) {
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        if replies.of.get(&reply.workspace).is_some_and(|(_, known)| *known == reply) {
            return;
        }
        replies.changes += 1;
        let change = replies.changes;
        replies.of.insert(reply.workspace, (change, reply));
        drop(replies);
        self.written.send_replace(change);
    }

    /// The turn has ended: what was written is the reply, or nothing.
    pub(crate) fn wrote(&self, workspace: WorkspaceId) {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).of.remove(&workspace);
    }

    /// Tells the number of the last change of any reply.
    pub(crate) fn writing(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Replies that have changed after this change, and the number to ask with next.
    pub(crate) fn written_after(&self, change: u64) -> (Vec<SoFar>, u64) {
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = replies.of.values().filter(|(at, _)| *at > change).map(|(_, reply)| reply.clone());
        (newer.collect(), replies.changes)
    }

    /// Forgets a workspace that is gone.
    pub fn forget(&self, workspace: WorkspaceId) {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).remove(&workspace);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&workspace);
        self.wrote(workspace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_begins_at_half_and_ends_below_a_tenth() {
        let live = Live::default();
        let workspace: WorkspaceId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        let boot: BootId = "01890a5d-ac96-774b-bcce-b302099a8058".parse().unwrap();
        for (rate, troubled) in
            [(Some(0.4), false), (Some(0.5), true), (Some(0.2), true), (None, true), (Some(0.05), false)]
        {
            live.heard(workspace, boot, rate);
            assert_eq!(live.pulse(workspace).unwrap().troubled, troubled, "{rate:?}");
        }
    }
}
