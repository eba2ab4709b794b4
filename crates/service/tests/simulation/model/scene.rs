//! How every history begins, what it may speak of, and what a trouble of the store leaves behind.

use std::collections::BTreeMap;

use super::{Model, Space, Subject, credentials::Operator};
use crate::step::{Label, ROOT};

const DAY_MS: i64 = 24 * 60 * 60_000;

impl Model {
    /// The organisation of every history, at this time, with so many requests of one principal that may wait.
    pub fn new(now: i64, pending_max: usize) -> Self {
        let parents = [(0, None), (1, Some(0)), (2, Some(0)), (3, Some(1))];
        let space = |(label, parent)| (label, Space { parent, ..Space::default() });
        let mut model = Self {
            clock: now,
            log_at: now,
            spaces: parents.into_iter().map(space).collect(),
            secrets: BTreeMap::new(),
            asks: Vec::new(),
            operators: BTreeMap::new(),
            credentials: BTreeMap::new(),
            rules: BTreeMap::new(),
            policies: 0,
            pending_max,
        };
        for (name, rank) in [("owner", 3), ("approver", 2), ("second", 2), ("plain", 2), ("member", 1), ("auditor", 0)]
        {
            model.operators.insert(name.to_owned(), Operator { rank });
            let session = model.give(name, Subject::Operator(name.to_owned()), None, i64::MAX);
            session.stepped_up = (name != "plain").then_some(now);
        }
        model.give("admin", Subject::Agent(ROOT), None, i64::MAX).wide = true;
        for (name, unattended) in [("service", true), ("attended", false), ("revoked", true)] {
            let subject = Subject::Service { name: name.to_owned(), unattended };
            let given = model.give(name, subject, None, now + 30 * DAY_MS);
            (given.wide, given.revoked) = (true, name == "revoked");
        }
        for space in 0..4 {
            for name in [format!("w{space}"), format!("w{space}b")] {
                model.give(&name, Subject::Agent(space), Some(space), now + 30 * DAY_MS);
            }
        }
        model
    }

    /// The log took an event that this model was not told of.
    pub fn heard(&mut self) {
        self.log_at = self.now();
    }

    /// Tokens that were minted by a step.
    pub fn minted(&self) -> Vec<String> {
        let minted = |name: &&String| name.strip_prefix('t').is_some_and(|rest| rest.parse::<Label>().is_ok());
        self.credentials.keys().filter(minted).cloned().collect()
    }

    /// Tokens that may be revoked; those a history needs to look at the world stay.
    pub fn tokens(&self) -> Vec<String> {
        [self.minted(), ["service", "attended", "w0b", "w2b"].map(str::to_owned).to_vec()].concat()
    }

    /// Policies that were added.
    pub fn rules(&self) -> Vec<Label> {
        self.rules.keys().copied().collect()
    }

    /// Turns of a workspace, open or ended.
    pub fn turns(&self, at: Label) -> Vec<Label> {
        let Some(space) = self.spaces.get(&at) else { return Vec::new() };
        space.ended.keys().copied().chain(space.turn.map(|(turn, _)| turn)).collect()
    }
}
