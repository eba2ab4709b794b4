//! What the clients were told. It is compared with what is there at the end.

use std::collections::{BTreeMap, BTreeSet};

/// What was answered, over the lives of all servers.
#[derive(Default)]
pub struct Ledger {
    /// By workspace and key: how many values were saved.
    pub saved: BTreeMap<(String, String), i64>,
    /// Approvals that were decided, and how they must have ended.
    pub decided: BTreeMap<String, &'static str>,
    /// Keys under which the root agent was refused.
    pub refused: BTreeSet<String>,
    /// By workspace: messages that were taken, by their text, and how they ended.
    pub messages: BTreeMap<String, BTreeMap<String, String>>,
    /// Answers to whoever only looked.
    pub looks: u64,
    /// Events that were heard.
    pub heard: u64,
    /// How often a request was repeated because nobody had answered it.
    pub repeated: u64,
    /// How often a request was put off: busy, or not ready.
    pub put_off: u64,
}

impl Ledger {
    pub fn summary(&self) -> String {
        let ended = |how: &str| self.messages.values().flat_map(|all| all.values()).filter(|end| *end == how).count();
        format!(
            "{} saved, {} decided, {} refused, {} messages completed and {} cut, {} looks, {} events; {} asked again, {} put off",
            self.saved.values().sum::<i64>(),
            self.decided.len(),
            self.refused.len(),
            ended("completed"),
            ended("failed"),
            self.looks,
            self.heard,
            self.repeated,
            self.put_off,
        )
    }
}
