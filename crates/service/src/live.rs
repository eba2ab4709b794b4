//! What is known of running agents beside the database: who was heard when, and who waits for work. Lost with the process
//! and rebuilt from what comes next; nothing is decided from its absence.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use portcullis_kernel::id::{BootId, WorkspaceId};
use tokio::sync::Notify;

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

/// Pulses and waiting agents, by workspace.
#[derive(Default)]
pub struct Live {
    pulses: Mutex<HashMap<WorkspaceId, Pulse>>,
    waiting: Mutex<HashMap<WorkspaceId, Arc<Notify>>>,
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

    /// Forgets a workspace that is gone.
    pub fn forget(&self, workspace: WorkspaceId) {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).remove(&workspace);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&workspace);
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
