//! What nobody asks for: what time brings when the worker looks, and what a trouble of the store leaves behind.

use super::{Life, Model, Reply, Secret};
use crate::step::{Act, Label, Step};

impl Secret {
    fn reminds(&self) -> bool {
        self.life == Life::Live && self.active.is_some_and(|version| self.ends.contains(&version))
    }
}

impl Model {
    /// Ends what nobody decided in time and reminds of what ends, when the worker looks.
    pub(super) fn tick(&mut self) -> Vec<String> {
        let late = |at: i64| self.asks.iter().filter(move |ask| ask.state == "pending" && at >= ask.expires);
        // The worker goes by the clock; what it finds goes by the log.
        if late(self.clock).next().is_none() && !self.reminds() {
            return Vec::new();
        }
        let late: Vec<Label> = late(self.now()).map(|ask| ask.label).collect();
        let mut events: Vec<String> = late.into_iter().map(|label| self.end(label, "expired")).collect();
        events.extend(self.remind());
        if !events.is_empty() {
            self.log_at = self.now();
        }
        events
    }

    /// Whether there is a value that ends and of which nobody was reminded.
    fn reminds(&self) -> bool {
        self.secrets.values().any(Secret::reminds)
    }

    /// Reminds of each value that ends: a token lives for days at most.
    fn remind(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        for secret in self.secrets.values_mut().filter(|secret| secret.reminds()) {
            let active = secret.active.unwrap_or_default();
            secret.ends.remove(&active);
            events.push("secret.expiring".to_owned());
        }
        events
    }

    /// The last vote, where the store could not take what was agreed to: the vote counts, and nothing was done.
    pub fn fail(&mut self, step: &Step) -> Option<String> {
        let (Act::Vote { ask, yes: true } | Act::BreakGlass { ask }) = step.act else { return None };
        self.waits(ask).ok()?;
        let operator = self.operator(&step.who).to_owned();
        self.change_ask(ask, |ask| {
            ask.votes.insert(operator, true);
        });
        let event = self.end(ask, "failed");
        self.keep(step, &Reply { status: 200, word: "failed", ..Reply::default() });
        Some(event)
    }

    /// The log took an event that this model was not told of.
    pub fn heard(&mut self) {
        self.log_at = self.now();
    }
}
