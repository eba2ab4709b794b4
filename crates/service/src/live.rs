//! What is known of running agents beside the database: who was heard when, and who waits for work. Lost with the process
//! and rebuilt from what comes next; nothing is decided from its absence.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use portcullis_kernel::id::{BootId, MessageId, TurnId, WorkspaceId};
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
    /// By whose agent.
    pub(crate) workspace: WorkspaceId,
    /// In which turn.
    pub(crate) turn: TurnId,
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

    /// Notes what another server has heard of an agent, a moment ago.
    pub(crate) fn heard_elsewhere(&self, workspace: WorkspaceId, boot: BootId, troubled: bool) {
        let mut pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.insert(workspace, Pulse { boot, heard: Instant::now(), troubled });
    }

    /// The runs that were heard here since then, and whether each is in trouble.
    pub(crate) fn heard_since(&self, then: Instant) -> Vec<(BootId, bool)> {
        let pulses = self.pulses.lock().unwrap_or_else(PoisonError::into_inner);
        pulses.values().filter(|pulse| pulse.heard > then).map(|pulse| (pulse.boot, pulse.troubled)).collect()
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

    /// The turn has ended: what was written is the reply, or nothing. That of a later turn stays.
    pub(crate) fn wrote(&self, workspace: WorkspaceId, turn: TurnId) {
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        if replies.of.get(&workspace).is_some_and(|(_, reply)| reply.turn == turn) {
            replies.of.remove(&workspace);
        }
    }

    /// The turns whose replies are being written, as far as is known.
    pub(crate) fn written_in(&self) -> Vec<(WorkspaceId, TurnId)> {
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        replies.of.iter().map(|(workspace, (_, reply))| (*workspace, reply.turn)).collect()
    }

    /// Takes back what was written in turns that are not open any more. `before` is what was being written when it was
    /// looked which are open: what began since is of a turn that was opened since.
    pub(crate) fn ended(&self, before: Vec<(WorkspaceId, TurnId)>, open: &HashSet<TurnId>) {
        let over = before.into_iter().filter(|(_, turn)| !open.contains(turn));
        over.for_each(|(workspace, turn)| self.wrote(workspace, turn));
    }

    /// Tells the number of the last change of any reply.
    pub(crate) fn writing(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// The replies that have changed after this change, the longest ago first and at most `limit` of them; the number to
    /// ask with next, and whether there are more.
    pub(crate) fn written_after(&self, change: u64, limit: usize) -> (Vec<SoFar>, u64, bool) {
        let replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newer: Vec<_> = replies.of.values().filter(|(at, _)| *at > change).collect();
        newer.sort_unstable_by_key(|(at, _)| *at);
        let more = newer.len() > limit;
        newer.truncate(limit);
        let reached = newer.last().filter(|_| more).map_or(replies.changes, |(at, _)| *at);
        (newer.into_iter().map(|(_, reply)| reply.clone()).collect(), reached, more)
    }

    /// Forgets a workspace that is gone.
    pub fn forget(&self, workspace: WorkspaceId) {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner).remove(&workspace);
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&workspace);
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).of.remove(&workspace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(n: usize) -> SoFar {
        let id = format!("01890a5d-ac96-774b-bcce-{n:012}");
        SoFar {
            workspace: id.parse().unwrap(),
            turn: id.parse().unwrap(),
            message: id.parse().unwrap(),
            text: n.to_string(),
        }
    }

    #[test]
    fn replies_come_in_bursts_and_each_comes() {
        let live = Live::default();
        (0..70).for_each(|n| live.writes(reply(n)));
        let (mut seen, mut bursts, mut shown) = (Vec::new(), Vec::new(), 0);
        loop {
            let (replies, reached, more) = live.written_after(shown, 32);
            bursts.push(replies.len());
            seen.extend(replies);
            shown = reached;
            if !more {
                break;
            }
        }
        assert_eq!(bursts, [32, 32, 6]);
        assert_eq!(seen, (0..70).map(reply).collect::<Vec<_>>());
        assert_eq!(live.written_after(shown, 32), (Vec::new(), shown, false));
    }

    #[test]
    fn what_was_written_in_a_turn_that_ended_is_taken_back_and_nothing_else() {
        let live = Live::default();
        (0..3).for_each(|n| live.writes(reply(n)));
        let before = live.written_in();
        let open = HashSet::from([reply(1).turn]);
        // The next turn of one of them began after it was looked.
        let next = SoFar { turn: reply(9).turn, ..reply(2) };
        live.writes(next.clone());
        live.ended(before, &open);
        assert_eq!(live.written_after(0, 32).0, [reply(1), next.clone()]);
        live.wrote(next.workspace, reply(2).turn);
        assert_eq!(live.written_in().len(), 2);
        live.wrote(next.workspace, next.turn);
        assert_eq!(live.written_in(), [(reply(1).workspace, reply(1).turn)]);
    }

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
