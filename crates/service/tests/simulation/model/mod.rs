//! What Portcullis promises, as one small pure program, for a reader with ten minutes. Written from the design; it shares
//! no code with the product, asks no policy and knows no database. [`Model::step`] is the whole of it: a step in, a reply
//! out, and the state has moved.
//!
//! The rules are four files: [`decision`] (may it, and does a human have to agree), [`approvals`] (what a request binds and
//! when it is executed), [`versions`] (how a secret moves) and [`restarts`] (which agents a change reaches). The others keep
//! the books for them: credentials, turns, answers that are kept, words, time, and the scene of a history.

mod approvals;
mod credentials;
mod decision;
mod once;
mod restarts;
mod scene;
mod turns;
mod versions;
mod words;
mod worker;

use std::collections::{BTreeMap, BTreeSet};

pub use approvals::Ask;
pub use credentials::Subject;
pub use versions::{Life, Secret, Value};

use crate::step::{Act, Label, Place, Step};
use approvals::Pin;
use credentials::{Credential, Operator};
use once::Kept;
use words::{done_status, done_word, verb};

/// How long a request waits, in milliseconds.
pub const ASK_MS: i64 = 60 * 60_000;
/// How long a proof of a password counts, in milliseconds.
pub const STEP_UP_MS: i64 = 5 * 60_000;

/// A workspace and what its agent is at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Space {
    pub parent: Option<Label>,
    pub generation: i64,
    pub paused: bool,
    pub removed: bool,
    /// Messages that wait.
    pub queue: Vec<Label>,
    /// Who speaks for it, and since which registration.
    run: Option<(String, u32)>,
    runs: u32,
    /// The open turn and its message.
    pub turn: Option<(Label, Label)>,
    /// Ended turns: in which run, and how.
    ended: BTreeMap<Label, (u32, &'static str)>,
}

/// What becomes of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Effect {
    Interrupts,
    Reconfigures,
    Destroys,
}

type Effects = BTreeSet<(Effect, Label)>;

/// Status and code.
type Refused = (u16, &'static str);

/// What is answered, and recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    pub status: u16,
    /// The code of a refusal, or empty.
    pub code: &'static str,
    /// What became of it: the member `status` of the answer, where the history depends on it.
    pub word: &'static str,
    pub version: Option<i64>,
    /// What it made or met: a request, a turn.
    pub label: Option<Label>,
    /// Names of the audit events.
    pub events: Vec<String>,
}

/// What is true before it is done.
#[derive(Default)]
struct Prepared {
    pins: Vec<Pin>,
    /// No agent is given anything else than before; and that this follows from the value proposed.
    unaffected: bool,
    by_value: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    clock: i64,
    /// The time of the last audit event: the log never goes back.
    log_at: i64,
    pub spaces: BTreeMap<Label, Space>,
    pub secrets: BTreeMap<(Place, String), Secret>,
    /// In the order in which they were made.
    pub asks: Vec<Ask>,
    operators: BTreeMap<String, Operator>,
    credentials: BTreeMap<String, Credential>,
    rules: BTreeMap<Label, u32>,
    /// How often the rules were changed.
    policies: u32,
    /// Answers of requests that came with an idempotency key, by who asked.
    kept: BTreeMap<(Subject, u8), Kept>,
    limits: Limits,
}

/// What a configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Requests of one principal that may wait.
    pub pending_max: usize,
    /// Whether an owner may decide alone.
    pub break_glass: bool,
}

impl Model {
    /// The time of whatever is done now.
    fn now(&self) -> i64 {
        self.clock.max(self.log_at)
    }

    /// One step. `None`: it speaks of what is not in this history, so there is nothing to send.
    pub fn step(&mut self, step: &Step) -> Option<Reply> {
        match step.act {
            Act::Clock { ms } => {
                self.clock += ms;
                Some(Reply::default())
            }
            Act::Tick => Some(Reply { events: self.tick(), ..Reply::default() }),
            Act::LogIn { ref name } => self.log_in(name, step.label),
            _ => {
                if let Some(code) = self.stranger(&step.who)? {
                    return Some(Reply { status: 401, code, ..Reply::default() });
                }
                let reply = self.request(step)?;
                if !reply.events.is_empty() {
                    self.log_at = self.now();
                }
                Some(reply)
            }
        }
    }

    /// What is no deed, or speaks of what never was; then the door.
    fn request(&mut self, step: &Step) -> Option<Reply> {
        let known = match &step.act {
            Act::Vote { ask, .. } | Act::BreakGlass { ask } | Act::Withdraw { ask } => self.ask(*ask).is_some(),
            Act::Revoke { token } => self.credentials.contains_key(token),
            Act::Unrule { rule } => self.rules.contains_key(rule),
            Act::Operator { name, .. } => self.operators.contains_key(name),
            Act::Create { parent: at } | Act::Space { space: at, .. } | Act::Send { space: at } => {
                self.spaces.contains_key(at)
            }
            Act::StepUp => return self.step_up(&step.who),
            Act::LogOut => return self.log_out(&step.who),
            Act::Agent { space, work } => return self.work(&step.who, *space, *work, step.label),
            _ => true,
        };
        if !known {
            return None;
        }
        if let Some(reply) = self.known(step) {
            return Some(reply);
        }
        Some(self.door(step).unwrap_or_else(|(status, code)| {
            let events = vec![format!("{}.refused", verb(&step.act))];
            Reply { status, code, events, ..Reply::default() }
        }))
    }

    /// The one door, in the order of safety: may it, is it possible, does a human have to agree, do it.
    fn door(&mut self, step: &Step) -> Result<Reply, Refused> {
        let (who, act) = (&step.who, &step.act);
        let effects = self.effects(act);
        self.judge(who, act, effects.as_ref())?;
        let mut effects = effects.unwrap_or_default();
        let prepared = self.prepare(who, act)?;
        let needs = self.needs(who, act, &effects);
        // Whoever has to ask must not learn from the effect that a guess is the value.
        if prepared.unaffected && (needs == 0 || !prepared.by_value) {
            effects.clear();
        }
        if needs > 0 {
            return self.hold(step, &effects, prepared.pins, needs);
        }
        let vote = match act {
            Act::Vote { ask, yes } => Some(self.vote(who, *ask, *yes, false)),
            Act::BreakGlass { ask } => Some(self.vote(who, *ask, true, true)),
            _ => None,
        };
        if let Some(reply) = vote {
            self.keep(step, &reply);
            return Ok(reply);
        }
        let version = self.apply(who, act, &effects, step.label);
        let mut events = vec![verb(act).to_owned()];
        if let Act::Withdraw { ask } = act {
            events.push(self.end(*ask, "withdrawn"));
        }
        let reply = Reply { status: done_status(act), word: done_word(act), version, events, ..Reply::default() };
        self.keep(step, &reply);
        Ok(reply)
    }

    /// Looks whether it is possible as things are.
    fn prepare(&self, who: &str, act: &Act) -> Result<Prepared, Refused> {
        match act {
            Act::Secret { place, key, write } => return self.write_fits(*place, key, *write),
            Act::Pair { one, two } => return self.pair_fits(one, two),
            Act::Slot { place, key } => self.slot_fits(*place, key)?,
            Act::Space { space, change } => self.change_fits(*space, *change)?,
            Act::Vote { ask, .. } => self.vote_fits(who, *ask)?,
            Act::BreakGlass { ask } => self.break_glass_fits(who, *ask)?,
            Act::Withdraw { ask } => self.waits(*ask)?,
            Act::Operator { name, office } => self.office_fits(name, *office)?,
            Act::Mint { place, to, .. } => return self.mint_fits(who, *place, to.as_ref()),
            Act::Revoke { token } => self.revoke_fits(token)?,
            _ => {}
        }
        Ok(Prepared::default())
    }

    /// The effect, and with it one restart intent for each workspace it reaches. The version it put or chose.
    fn apply(&mut self, who: &str, act: &Act, effects: &Effects, label: Label) -> Option<i64> {
        let mut version = None;
        match act {
            Act::Secret { place, key, write } => version = self.write(*place, key, *write),
            Act::Pair { one, two } => {
                for (place, key, value) in [one, two] {
                    self.put(*place, key, Value::Number(*value), true);
                }
            }
            Act::Slot { place, key } => self.slot(*place, key),
            Act::Space { space, change } => self.change(*space, *change),
            Act::Create { parent } => {
                self.spaces.insert(label, Space { parent: Some(*parent), ..Space::default() });
            }
            Act::Mint { place, life_s, to } => self.mint(who, (*place, *life_s), to.as_ref(), label),
            Act::Operator { name, office } => self.office(name, *office),
            Act::Revoke { token } => self.revoke(token),
            Act::Rule { votes } => {
                self.rules.insert(label, *votes);
                self.policies += 1;
            }
            Act::Unrule { rule } => {
                self.rules.remove(rule);
                self.policies += 1;
            }
            Act::Send { space } => {
                self.spaces.entry(*space).and_modify(|space| space.queue.push(label));
            }
            _ => {}
        }
        self.raise(effects);
        version
    }
}
