//! A request that waits for humans binds what was found when it was made: the very act, the secrets it rests on, whom it
//! reaches, the rules of the day. The last yes executes it if all of that still holds for whoever asked.

use std::collections::BTreeMap;

use super::{
    ASK_MS, Effects, Life, Model, Prepared, Refused, Reply, Subject,
    words::{done_status, done_word, verb},
};
use crate::step::{Act, Label, Place, Step};

/// How long a no stands, in milliseconds.
const DENIED_STANDS_MS: i64 = 15 * 60_000;

/// What a plan found, and must find again.
pub(super) type Pin = (Place, String, Option<(Life, i64, Option<i64>)>);

/// A held request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    pub label: Label,
    pub state: &'static str,
    pub(super) who: String,
    pub(super) subject: Subject,
    pub(super) act: Act,
    pins: Vec<Pin>,
    effects: Effects,
    policies: u32,
    needs: usize,
    /// By operator.
    pub votes: BTreeMap<String, bool>,
    pub(super) expires: i64,
    ended: i64,
    /// The version it put, and the pins it left behind.
    done: Option<(Option<i64>, Vec<Pin>)>,
}

impl Model {
    /// The request of this name.
    pub(super) fn ask(&self, label: Label) -> Option<&Ask> {
        self.asks.iter().find(|ask| ask.label == label)
    }

    pub(super) fn change_ask(&mut self, label: Label, change: impl FnOnce(&mut Ask)) {
        if let Some(ask) = self.asks.iter_mut().find(|ask| ask.label == label) {
            change(ask);
        }
    }

    /// Ends a request. The event that says so.
    pub(super) fn end(&mut self, label: Label, state: &'static str) -> String {
        self.log_at = self.now();
        let now = self.log_at;
        self.change_ask(label, |ask| (ask.state, ask.ended) = (state, now));
        format!("approval.{state}")
    }

    pub(super) fn waits(&self, label: Label) -> Result<(), Refused> {
        let ask = self.ask(label).ok_or((404, "NOT_FOUND"))?;
        if ask.state == "pending" { Ok(()) } else { Err((409, "APPROVAL_NOT_PENDING")) }
    }

    pub(super) fn vote_fits(&self, who: &str, label: Label) -> Result<(), Refused> {
        self.waits(label)?;
        let voted = self.ask(label).is_some_and(|ask| ask.votes.contains_key(self.operator(who)));
        if voted { Err((409, "ALREADY_VOTED")) } else { Ok(()) }
    }

    /// Only an owner breaks glass, and only where there is any.
    pub(super) fn break_glass_fits(&self, who: &str, label: Label) -> Result<(), Refused> {
        self.waits(label)?;
        let owner = self.rank(&self.credentials[who].subject) == Some(3);
        if !self.limits.break_glass || !owner {
            return Err((403, "BREAK_GLASS_DISABLED"));
        }
        self.vote_fits(who, label)
    }

    /// Whether enough of those who said yes are approvers still.
    fn agreed(&self, ask: &Ask) -> bool {
        let counts = |name: &&String| self.operators.get(*name).is_some_and(|one| !one.disabled && one.rank >= 2);
        ask.votes.keys().filter(counts).count() >= ask.needs
    }

    /// Puts a request before humans, or finds that it already is, was done, or was refused.
    pub(super) fn hold(
        &mut self,
        step: &Step,
        effects: &Effects,
        pins: Vec<Pin>,
        needs: usize,
    ) -> Result<Reply, Refused> {
        let (subject, now) = (self.credentials[&step.who].subject.clone(), self.now());
        let waiting = |label| Reply { status: 202, word: "pending_approval", label: Some(label), ..Reply::default() };
        let mut events = Vec::new();
        let known = self.asks.iter().rev().find(|ask| ask.act == step.act && ask.subject == subject).cloned();
        if let Some(ask) = known {
            match ask.state {
                "pending" if now >= ask.expires => events.push(self.end(ask.label, "expired")),
                "pending" if ask.pins == pins && ask.policies == self.policies => return Ok(waiting(ask.label)),
                "pending" => events.push(self.end(ask.label, "voided")),
                "applied" => {
                    if let Some((version, _)) = ask.done.filter(|(_, left)| !left.is_empty() && *left == pins) {
                        let (status, word) = (done_status(&step.act), done_word(&step.act));
                        return Ok(Reply { status, word, version, ..Reply::default() });
                    }
                }
                "denied" if now - ask.ended < DENIED_STANDS_MS => return Err((403, "APPROVAL_DENIED")),
                _ => {}
            }
        }
        let pending = self.asks.iter().filter(|ask| ask.state == "pending" && ask.subject == subject).count();
        if pending >= self.limits.pending_max {
            return Err((429, "PENDING_APPROVALS_FULL"));
        }
        events.push(format!("{}.held", verb(&step.act)));
        self.asks.push(Ask {
            label: step.label,
            state: "pending",
            who: step.who.clone(),
            subject,
            act: step.act.clone(),
            pins,
            effects: effects.clone(),
            policies: self.policies,
            needs,
            votes: BTreeMap::new(),
            expires: now + ASK_MS,
            ended: 0,
            done: None,
        });
        Ok(Reply { events, ..waiting(step.label) })
    }

    /// A vote of an entitled human who did not ask. `alone`: a yes that needs no other.
    pub(super) fn vote(&mut self, who: &str, label: Label, yes: bool, alone: bool) -> Reply {
        let mut events = vec!["approval.decide".to_owned()];
        let late = |code, events| Reply { status: 409, code, events, ..Reply::default() };
        let Some(mut ask) = self.ask(label).cloned() else { return Reply::default() };
        if self.now() >= ask.expires {
            events.push(self.end(label, "expired"));
            return late("APPROVAL_EXPIRED", events);
        }
        ask.votes.insert(self.operator(who).to_owned(), yes);
        self.change_ask(label, |known| known.votes.clone_from(&ask.votes));
        let word = if !yes {
            events.push(self.end(label, "denied"));
            "denied"
        } else if !alone && !self.agreed(&ask) {
            "pending"
        } else if let Some(version) = self.execute(&ask) {
            events.push(verb(&ask.act).to_owned());
            events.push(self.end(label, "applied"));
            let left = self.prepare(&ask.who, &ask.act).map(|prepared| prepared.pins).unwrap_or_default();
            self.change_ask(label, |ask| ask.done = Some((version, left)));
            // Whoever said yes to a token fetches it at once, unless it went where it belongs.
            if matches!(ask.act, Act::Mint { to: None, .. }) {
                events.push("claim.redeem".to_owned());
            }
            "applied"
        } else {
            events.push(self.end(label, "voided"));
            return late("APPROVAL_VOIDED", events);
        };
        Reply { status: 200, word, events, ..Reply::default() }
    }

    /// Everything is looked at again. The effect may have shrunk since, never grown.
    fn execute(&mut self, ask: &Ask) -> Option<Option<i64>> {
        if self.stranger(&ask.who)?.is_some() || ask.policies != self.policies {
            return None;
        }
        let mut effects = self.effects(&ask.act)?;
        self.judge(&ask.who, &ask.act, Some(&effects)).ok()?;
        let Prepared { pins, unaffected, .. } = self.prepare(&ask.who, &ask.act).ok()?;
        if unaffected {
            effects.clear();
        }
        if pins != ask.pins || !effects.is_subset(&ask.effects) {
            return None;
        }
        Some(self.apply(&ask.who, &ask.act, &effects, ask.label))
    }
}
