//! How every history begins, and what it may speak of.

use std::collections::{BTreeMap, BTreeSet};

use super::{Limits, Model, Space, Subject, credentials::Operator};
use crate::step::{Act, Label, ROOT};

const DAY_MS: i64 = 24 * 60 * 60_000;

impl Model {
    /// The organisation of every history, at this time.
    pub fn new(now: i64, limits: Limits) -> Self {
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
            kept: BTreeMap::new(),
            limits,
        };
        for (name, rank) in [("owner", 3), ("approver", 2), ("second", 2), ("plain", 2), ("member", 1), ("auditor", 0)]
        {
            model.operators.insert(name.to_owned(), Operator { rank, disabled: false });
            let session = model.give(name, Subject::Operator(name.to_owned()), None, i64::MAX);
            session.stepped_up = (name != "plain").then_some(now);
        }
        model.give("admin", Subject::Agent(ROOT), None, i64::MAX).wide = true;
        for (name, unattended) in [("service", true), ("attended", false), ("revoked", true)] {
            let given = model.give(name, Subject::Service(name.to_owned()), None, now + 30 * DAY_MS);
            (given.wide, given.unattended, given.revoked) = (true, unattended, name == "revoked");
        }
        for space in 0..4 {
            for name in [format!("w{space}"), format!("w{space}b")] {
                model.give(&name, Subject::Agent(space), Some(space), now + 30 * DAY_MS);
            }
        }
        model
    }

    fn made(&self, kind: char, shown: bool) -> Vec<String> {
        let made = |name: &str| name.strip_prefix(kind).is_some_and(|rest| rest.parse::<Label>().is_ok());
        let all = self.credentials.iter().filter(|(name, one)| made(name) && !(shown && one.delivered));
        all.map(|(name, _)| name.clone()).collect()
    }

    /// Tokens that were minted by a step and shown to somebody.
    pub fn minted(&self) -> Vec<String> {
        self.made('t', true)
    }

    /// Tokens that may be revoked; those a history needs to look at the world stay.
    pub fn tokens(&self) -> Vec<String> {
        [self.made('t', false), ["service", "attended", "w0b", "w2b"].map(str::to_owned).to_vec()].concat()
    }

    /// Tokens that others were minted from.
    pub fn parents(&self) -> Vec<String> {
        let parents: BTreeSet<&String> = self.credentials.values().flat_map(|one| &one.lineage).collect();
        parents.into_iter().filter(|name| *name != "admin").cloned().collect()
    }

    /// Sessions that could decide now.
    pub fn ready(&self) -> Vec<String> {
        let ready = |name: &&String| {
            let lives = self.stranger(name).is_some_and(|code| code.is_none());
            lives && self.proven(name) && self.rank(&self.credentials[*name].subject).is_some_and(|rank| rank >= 2)
        };
        self.credentials.keys().filter(ready).cloned().collect()
    }

    /// Sessions that were opened by a step.
    pub fn sessions(&self) -> Vec<String> {
        self.made('s', true)
    }

    /// Whether a token still speaks for somebody, and for whom.
    pub fn token(&self, name: &str) -> Option<(bool, &Subject)> {
        let one = self.credentials.get(name)?;
        Some((self.stranger(name)?.is_none(), &one.subject))
    }

    /// Humans by name: rank, and whether they may not log in.
    pub fn operators(&self) -> impl Iterator<Item = (&String, u8, bool)> {
        self.operators.iter().map(|(name, operator)| (name, operator.rank, operator.disabled))
    }

    /// The organisation's tokens, whether each was revoked, and the end of those that a step minted.
    pub fn listed_tokens(&self) -> impl Iterator<Item = (&String, bool, Option<i64>)> {
        let listed = self.credentials.iter().filter(|(name, one)| one.wide && *name != "admin");
        listed.map(|(name, one)| (name, one.revoked, Some(one.expires).filter(|_| name.starts_with('t'))))
    }

    /// Requests that wait: who asked, and for what.
    pub fn waiting(&self) -> Vec<(String, Act)> {
        let waiting = self.asks.iter().filter(|ask| ask.state == "pending");
        waiting.map(|ask| (ask.who.clone(), ask.act.clone())).collect()
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
