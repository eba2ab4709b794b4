//! What Portcullis promises, as one small pure program: who may do what, what is held, what an approval binds, how
//! versions move, and which agents a change reaches. Written from the design, for a reader with ten minutes; it shares no
//! code with the product, asks no policy and knows no database. `Model::step` is the whole of it: a step in, a reply out,
//! and the state has moved.
//!
//! The order of the file is the order of safety: who is it, may it, is it possible, does a human have to agree, do it.

use std::collections::{BTreeMap, BTreeSet};

use crate::step::{Act, Base, Label, Place, ROOT, Step};

const MINUTE_MS: i64 = 60_000;
/// How long a request waits, in milliseconds.
pub const ASK_MS: i64 = 60 * MINUTE_MS;
/// How long a proof of a password counts, in milliseconds.
pub const STEP_UP_MS: i64 = 5 * MINUTE_MS;
/// How long a no stands, in milliseconds.
const DENIED_STANDS_MS: i64 = 15 * MINUTE_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// The principal at the root of a credential's lineage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Agent(Label),
    Service {
        name: String,
        unattended: bool,
    },
    /// `rank`: 0 auditor, 1 member, 2 approver, 3 owner.
    Operator {
        name: String,
        rank: u8,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Credential {
    subject: Subject,
    /// Those it was minted from, nearest first.
    lineage: Vec<String>,
    /// The workspace it was minted for.
    bound: Option<Label>,
    /// Carries what an organisation token carries, not only what a workspace token does.
    wide: bool,
    expires: i64,
    revoked: bool,
    stepped_up: Option<i64>,
}

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    Slot,
    Live,
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Secret {
    pub life: Life,
    pub latest: i64,
    pub active: Option<i64>,
    /// By version; `None` when destroyed.
    values: BTreeMap<i64, Option<u8>>,
}

impl Secret {
    /// What agents are given.
    pub fn value(&self) -> Option<u8> {
        self.active.filter(|_| self.life == Life::Live).and_then(|version| self.values.get(&version).copied().flatten())
    }
}

/// What a plan found, and must find again.
type Pin = (Place, String, Option<(Life, i64, Option<i64>)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Effect {
    Interrupts,
    Reconfigures,
    Destroys,
}

type Effects = BTreeSet<(Effect, Label)>;

/// A held request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    pub label: Label,
    pub state: &'static str,
    who: String,
    subject: Subject,
    act: Act,
    pins: Vec<Pin>,
    effects: Effects,
    policies: u32,
    needs: usize,
    pub votes: BTreeMap<String, bool>,
    expires: i64,
    ended: i64,
    /// The version it put, and the pins it left behind.
    done: Option<(Option<i64>, Vec<Pin>)>,
}

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
struct Prepared {
    pins: Vec<Pin>,
    /// No agent is given anything else than before; and that this follows from the value proposed.
    unaffected: bool,
    by_value: bool,
}

type Refused = (u16, &'static str);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Model {
    clock: i64,
    /// The time of the last audit event: the log never goes back.
    log_at: i64,
    pub spaces: BTreeMap<Label, Space>,
    pub secrets: BTreeMap<(Place, String), Secret>,
    /// In the order in which they were made.
    pub asks: Vec<Ask>,
    credentials: BTreeMap<String, Credential>,
    rules: BTreeMap<Label, u32>,
    policies: u32,
    /// Requests of one principal that may wait.
    pending_max: usize,
}

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
            credentials: BTreeMap::new(),
            rules: BTreeMap::new(),
            policies: 0,
            pending_max,
        };
        for (name, rank) in [("owner", 3), ("approver", 2), ("second", 2), ("plain", 2), ("member", 1), ("auditor", 0)]
        {
            let subject = Subject::Operator { name: name.to_owned(), rank };
            model.give(name, subject, None, i64::MAX).stepped_up = (name != "plain").then_some(now);
        }
        model.give("admin", Subject::Agent(ROOT), None, i64::MAX).wide = true;
        for (name, unattended) in [("service", true), ("attended", false), ("revoked", true)] {
            let given =
                model.give(name, Subject::Service { name: name.to_owned(), unattended }, None, now + 30 * DAY_MS);
            (given.wide, given.revoked) = (true, name == "revoked");
        }
        for space in 0..4 {
            for name in [format!("w{space}"), format!("w{space}b")] {
                model.give(&name, Subject::Agent(space), Some(space), now + 30 * DAY_MS);
            }
        }
        model
    }

    fn give(&mut self, name: &str, subject: Subject, bound: Option<Label>, expires: i64) -> &mut Credential {
        let given =
            Credential { subject, lineage: vec![], bound, wide: false, expires, revoked: false, stepped_up: None };
        let place = self.credentials.entry(name.to_owned()).or_insert_with(|| given.clone());
        *place = given;
        place
    }

    /// The time of whatever is done now.
    fn now(&self) -> i64 {
        self.clock.max(self.log_at)
    }

    /// One step. `None`: it speaks of what is not in this history, so there is nothing to send.
    pub fn step(&mut self, step: &Step) -> Option<Reply> {
        match step.act {
            Act::Clock { ms } => self.clock += ms,
            Act::Tick => {
                let due = self.asks.iter().any(|ask| ask.state == "pending" && self.clock >= ask.expires);
                let now = self.now();
                let late =
                    (0..self.asks.len()).filter(|n| self.asks[*n].state == "pending" && now >= self.asks[*n].expires);
                let late: Vec<usize> = late.filter(|_| due).collect();
                let events = late.into_iter().map(|n| self.end(n, "expired")).collect();
                return Some(Reply { events, ..Reply::default() });
            }
            _ => {
                if let Some(refused) = self.stranger(&step.who)? {
                    return Some(Reply { status: 401, code: refused, ..Reply::default() });
                }
                let reply = self.request(step)?;
                if !reply.events.is_empty() || step.act == Act::StepUp {
                    self.log_at = self.now();
                }
                return Some(reply);
            }
        }
        Some(Reply::default())
    }

    // Who is it?

    /// Why a credential is none; the outer `None` if there never was one.
    fn stranger(&self, who: &str) -> Option<Option<&'static str>> {
        match who {
            "nobody" => return Some(Some("UNAUTHENTICATED")),
            "forged" => return Some(Some("CREDENTIAL_INVALID")),
            _ => {}
        }
        let credential = self.credentials.get(who)?;
        Some(if credential.revoked {
            Some("CREDENTIAL_REVOKED")
        } else {
            (self.now() >= credential.expires).then_some("CREDENTIAL_EXPIRED")
        })
    }

    // May it?

    fn lives(&self, space: Label) -> bool {
        self.spaces.get(&space).is_some_and(|space| !space.removed)
    }

    /// A workspace and all below it.
    fn below(&self, space: Label) -> Vec<Label> {
        let under = |mut at: Label| loop {
            if at == space {
                return true;
            }
            let Some(parent) = self.spaces[&at].parent else { return false };
            at = parent;
        };
        self.spaces.keys().copied().filter(|at| self.lives(*at) && under(*at)).collect()
    }

    fn given(&self, place: Place, key: &str) -> bool {
        self.secrets.get(&(place, key.to_owned())).is_some_and(|secret| secret.value().is_some())
    }

    /// What it would do to agents. `None`: it speaks of a workspace that is not there.
    fn effects(&self, act: &Act) -> Option<Effects> {
        let change = |place: Place, key: &str| match place {
            Place::Space(space) => self.lives(space).then(|| vec![space]),
            Place::Org => Some(self.below(ROOT).into_iter().filter(|at| !self.given(Place::Space(*at), key)).collect()),
        };
        let (effect, spaces) = match act {
            Act::Set { place, key, .. }
            | Act::Delete { place, key, .. }
            | Act::Undelete { place, key }
            | Act::Destroy { place, key, .. }
            | Act::Rollback { place, key, .. }
            | Act::Activate { place, key, .. } => (Effect::Reconfigures, change(*place, key)?),
            Act::Pair { one, two } => (Effect::Reconfigures, [change(one.0, &one.1)?, change(two.0, &two.1)?].concat()),
            Act::Restart { space } => (Effect::Interrupts, change(Place::Space(*space), "")?),
            Act::Pause { space } => (Effect::Interrupts, self.lives(*space).then(|| self.below(*space))?),
            Act::Remove { space } => (Effect::Destroys, self.lives(*space).then(|| self.below(*space))?),
            Act::Resume { space: at } | Act::Create { parent: at } | Act::Send { space: at } => {
                return self.lives(*at).then(Effects::new);
            }
            Act::Slot { place: Place::Space(at), .. } | Act::Mint { place: Place::Space(at), .. } => {
                return self.lives(*at).then(Effects::new);
            }
            _ => return Some(Effects::new()),
        };
        Some(spaces.into_iter().map(|space| (effect, space)).collect())
    }

    /// Whether it may, by what it is and what the act does to whom; never by which route or credential it came.
    fn judge(&self, who: &str, act: &Act, effects: Option<&Effects>) -> Result<(), Refused> {
        let credential = &self.credentials[who];
        let write = is_write(act);
        let blocked = Err((403, if write { "CONCIERGE_SELF_WRITE_BLOCKED" } else { "SELF_INTERRUPTION_BLOCKED" }));
        let aim = aim(act);
        let machine = !matches!(credential.subject, Subject::Operator { .. });
        let home = match credential.subject {
            Subject::Agent(home) => Some(home),
            _ => None,
        };
        let confined = home.is_some_and(|home| home != ROOT);
        let own = match act {
            Act::Withdraw { ask } => self.ask(*ask).is_some_and(|n| self.asks[n].subject == credential.subject),
            Act::Vote { ask, .. } => self.ask(*ask).is_some_and(|n| same(&self.asks[n].subject, &credential.subject)),
            Act::Revoke { token } => {
                let token = &self.credentials[token];
                token.subject == credential.subject || token.lineage.iter().any(|parent| parent == who)
            }
            _ => false,
        };
        // What cannot be looked up is refused: a human is told plainly, an ordinary agent must not learn what exists.
        let Some(effects) = effects else {
            return match (machine, confined) {
                (false, _) => Err((404, "WORKSPACE_NOT_FOUND")),
                // Across workspaces it may nothing anyway, whether they are there or not.
                (true, true) if aim == Some(Place::Org) => Err((403, "NOT_ENTITLED")),
                (true, true) => Err((404, "NOT_FOUND")),
                (true, false) => blocked,
            };
        };
        let touches = |space: Label| effects.iter().any(|(_, at)| *at == space);
        let elsewhere = matches!(aim, Some(Place::Space(at)) if home != Some(at));
        if confined && (elsewhere || matches!(act, Act::Revoke { .. }) && !own) {
            return Err((404, "NOT_FOUND"));
        }
        if matches!(act, Act::Withdraw { .. }) && !own {
            return Err((404, "NOT_FOUND"));
        }
        let changes = matches!(act, Act::Restart { .. } | Act::Pause { .. } | Act::Resume { .. } | Act::Remove { .. });
        let at_root = aim == Some(Place::Space(ROOT)) && (write || changes);
        if machine && (touches(ROOT) || at_root) {
            return blocked;
        }
        if let Act::Revoke { token } = act
            && machine
            && self.credentials[token].bound == Some(ROOT)
        {
            return blocked;
        }
        if home.is_some_and(|home| effects.iter().any(|(e, at)| *e != Effect::Reconfigures && *at == home)) {
            return blocked;
        }
        let humans = matches!(act, Act::Vote { .. } | Act::Destroy { .. } | Act::Rule { .. } | Act::Unrule { .. });
        if machine && humans {
            return Err((403, "HUMAN_REQUIRED"));
        }
        if matches!(act, Act::Vote { .. }) && own {
            return Err((403, "SELF_APPROVAL_BLOCKED"));
        }
        let Subject::Operator { rank, .. } = credential.subject else {
            // A confined agent works at home and decides nothing about workspaces.
            let at_home = matches!(aim, None | Some(Place::Space(_))) && !changes && !matches!(act, Act::Create { .. });
            return if confined && !at_home { Err((403, "NOT_ENTITLED")) } else { Ok(()) };
        };
        let proven = credential.stepped_up.is_some_and(|at| self.now() < at + STEP_UP_MS);
        if humans && !proven {
            return Err((403, "STEP_UP_REQUIRED"));
        }
        let member = match act {
            Act::Create { .. } | Act::Send { .. } | Act::Withdraw { .. } => true,
            Act::Mint { .. } | Act::Revoke { .. } | Act::Remove { .. } => false,
            _ => !humans && matches!(aim, Some(Place::Space(at)) if at != ROOT) && !touches(ROOT),
        };
        let may = match rank {
            3 => true,
            2 => !humans || matches!(act, Act::Vote { .. }),
            1 => member,
            _ => false,
        };
        if may { Ok(()) } else { Err((403, "ROLE_REQUIRED")) }
    }

    // Does a human have to agree?

    /// How many approvers must say yes; 0 if it may be done at once.
    fn needs(&self, who: &str, act: &Act, effects: &Effects) -> usize {
        let subject = &self.credentials[who].subject;
        let asks = match (subject, act) {
            (Subject::Operator { .. }, _) => false,
            (Subject::Agent(home), act) if is_write(act) => {
                aim(act) != Some(Place::Space(*home)) || effects.iter().any(|(_, at)| at != home)
            }
            (Subject::Service { unattended, .. }, act) if is_write(act) => !unattended,
            (_, Act::Mint { .. } | Act::Remove { .. }) => true,
            (_, Act::Revoke { token }) => {
                let token = &self.credentials[token];
                token.subject != *subject && !token.lineage.iter().any(|parent| parent == who)
            }
            _ => false,
        };
        let ruled = self.rules.values().copied().max().filter(|_| matches!(act, Act::Set { .. })).unwrap_or(0);
        usize::from(asks).max(ruled as usize)
    }

    // Is it possible?

    fn pin(&self, place: Place, key: &str) -> Pin {
        let secret = self.secrets.get(&(place, key.to_owned()));
        (place, key.to_owned(), secret.map(|secret| (secret.life, secret.latest, secret.active)))
    }

    /// Checks a write that puts a value.
    fn put_prepared(&self, place: Place, key: &str, value: u8, base: Base) -> Result<bool, Refused> {
        allowed(place, key)?;
        let secret = self.secrets.get(&(place, key.to_owned()));
        fits(base, secret)?;
        Ok(secret.and_then(Secret::value) == Some(value))
    }

    fn existing(&self, place: Place, key: &str, lives: &[Life]) -> Result<&Secret, Refused> {
        let secret = self.secrets.get(&(place, key.to_owned())).filter(|secret| lives.contains(&secret.life));
        secret.ok_or((404, "SECRET_NOT_FOUND"))
    }

    fn prepare(&self, who: &str, act: &Act) -> Result<Prepared, Refused> {
        let (mut pins, mut unaffected, mut by_value) = (Vec::new(), false, false);
        match act {
            Act::Set { place, key, value, base, staged } => {
                let same = self.put_prepared(*place, key, *value, *base)?;
                (unaffected, by_value) = (same || *staged, same && !staged);
                pins.push(self.pin(*place, key));
            }
            Act::Pair { one, two } => {
                let first = self.put_prepared(one.0, &one.1, one.2, Base::Any)?;
                if (one.0, &one.1) == (two.0, &two.1) {
                    return Err((422, "INVALID_FIELD"));
                }
                let second = self.put_prepared(two.0, &two.1, two.2, Base::Any)?;
                (unaffected, by_value) = (first && second, first || second);
                pins.extend([self.pin(one.0, &one.1), self.pin(two.0, &two.1)]);
            }
            Act::Delete { place, key, base } => {
                let secret = self.existing(*place, key, &[Life::Live, Life::Slot])?;
                fits(*base, Some(secret))?;
                unaffected = secret.life == Life::Slot || secret.active.is_none();
                pins.push(self.pin(*place, key));
            }
            Act::Undelete { place, key } => {
                let secret = self.existing(*place, key, &[Life::Deleted])?;
                if secret.latest == 0 {
                    return Err((404, "SECRET_NOT_FOUND"));
                }
                if secret.active.is_some_and(|version| secret.values[&version].is_none()) {
                    return Err((409, "CONFLICT"));
                }
                unaffected = secret.active.is_none();
                pins.push(self.pin(*place, key));
            }
            Act::Destroy { place, key, version } => {
                let secret = self.existing(*place, key, &[Life::Live, Life::Deleted, Life::Slot])?;
                let active = secret.active.filter(|_| secret.life == Life::Live);
                unaffected = active.is_none();
                if let Some(version) = version {
                    secret.values.get(version).copied().flatten().ok_or((404, "VERSION_NOT_FOUND"))?;
                    if active == Some(*version) {
                        return Err((409, "CONFLICT"));
                    }
                    unaffected = true;
                }
            }
            Act::Rollback { place, key, to: version } | Act::Activate { place, key, version } => {
                let back = matches!(act, Act::Rollback { .. });
                if back {
                    allowed(*place, key)?;
                }
                let lives = if back { &[Life::Live, Life::Deleted][..] } else { &[Life::Live] };
                let secret = self.existing(*place, key, lives)?;
                let value = secret.values.get(version).copied().flatten().ok_or((404, "VERSION_NOT_FOUND"))?;
                unaffected = secret.value() == Some(value);
                by_value = unaffected;
                pins.push(self.pin(*place, key));
            }
            Act::Slot { place, key } => {
                allowed(*place, key)?;
                if self.secrets.get(&(*place, key.clone())).is_some_and(|secret| secret.life == Life::Live) {
                    return Err((409, "CONFLICT"));
                }
            }
            Act::Vote { ask, .. } => {
                let ask = &self.asks[self.ask(*ask).ok_or((404, "NOT_FOUND"))?];
                if ask.state != "pending" {
                    return Err((409, "APPROVAL_NOT_PENDING"));
                }
                if ask.votes.contains_key(who) {
                    return Err((409, "ALREADY_VOTED"));
                }
            }
            Act::Withdraw { ask } if self.asks[self.ask(*ask).ok_or((404, "NOT_FOUND"))?].state != "pending" => {
                return Err((409, "APPROVAL_NOT_PENDING"));
            }
            // A token never carries more than its minter.
            Act::Mint { place: Place::Org, .. } => {
                let minter = &self.credentials[who];
                if !minter.wide && !matches!(minter.subject, Subject::Operator { .. }) {
                    return Err((403, "SCOPE_MISSING"));
                }
            }
            Act::Revoke { token } => {
                let token = &self.credentials[token];
                if token.revoked || token.bound.is_some_and(|space| !self.lives(space)) {
                    return Err((404, "NOT_FOUND"));
                }
            }
            Act::Remove { space } if *space == ROOT => return Err((409, "CONFLICT")),
            Act::Restart { space } if self.spaces[space].paused => return Err((409, "CONFLICT")),
            Act::Resume { space } => {
                let mut at = self.spaces[space].parent;
                while let Some(parent) = at {
                    if self.spaces[&parent].paused {
                        return Err((409, "ANCESTOR_PAUSED"));
                    }
                    at = self.spaces[&parent].parent;
                }
            }
            _ => {}
        }
        Ok(Prepared { pins, unaffected, by_value })
    }

    // The one door.

    fn request(&mut self, step: &Step) -> Option<Reply> {
        let (who, act, label) = (&step.who, &step.act, step.label);
        match act {
            Act::Vote { ask, .. } | Act::Withdraw { ask } => drop(self.ask(*ask)?),
            Act::Revoke { token } => drop(self.credentials.get(token)?),
            Act::Unrule { rule } => drop(self.rules.get(rule)?),
            Act::Create { parent: at }
            | Act::Remove { space: at }
            | Act::Restart { space: at }
            | Act::Pause { space: at }
            | Act::Resume { space: at }
            | Act::Send { space: at } => drop(self.spaces.get(at)?),
            Act::StepUp => {
                let now = self.now();
                self.credentials.get_mut(who)?.stepped_up = Some(now);
                return Some(Reply { status: 200, ..Reply::default() });
            }
            Act::Register { space } | Act::Take { space } | Act::End { space, .. } => {
                return self.work(who, *space, act, label);
            }
            _ => {}
        }
        let verb = verb(act);
        let refuse = |(status, code): Refused| {
            Some(Reply { status, code, events: vec![format!("{verb}.refused")], ..Reply::default() })
        };
        let effects = self.effects(act);
        if let Err(refused) = self.judge(who, act, effects.as_ref()) {
            return refuse(refused);
        }
        let mut effects = effects?;
        let prepared = match self.prepare(who, act) {
            Ok(prepared) => prepared,
            Err(refused) => return refuse(refused),
        };
        let needs = self.needs(who, act, &effects);
        // Whoever has to ask must not learn from the effect that a guess is the value.
        if prepared.unaffected && (needs == 0 || !prepared.by_value) {
            effects.clear();
        }
        if needs > 0 {
            return match self.hold(step, &effects, prepared.pins, needs) {
                Ok(reply) => Some(reply),
                Err(refused) => refuse(refused),
            };
        }
        if let Act::Vote { ask, yes } = act {
            let n = self.ask(*ask)?;
            return Some(self.vote(who, n, *yes));
        }
        let (version, word) = self.apply(who, act, &effects, label);
        let mut events = vec![verb.to_owned()];
        if let Act::Withdraw { ask } = act {
            let n = self.ask(*ask)?;
            events.push(self.end(n, "withdrawn"));
        }
        let status = match act {
            Act::Create { .. } | Act::Slot { .. } | Act::Rule { .. } | Act::Mint { place: Place::Space(_), .. } => 201,
            Act::Send { .. } => 202,
            _ => 200,
        };
        Some(Reply { status, word, version, events, ..Reply::default() })
    }

    /// The request as it waits under this name.
    fn ask(&self, label: Label) -> Option<usize> {
        self.asks.iter().position(|ask| ask.label == label)
    }

    fn end(&mut self, n: usize, state: &'static str) -> String {
        self.log_at = self.now();
        (self.asks[n].state, self.asks[n].ended) = (state, self.log_at);
        format!("approval.{state}")
    }

    /// Puts a request before humans, or finds that it already is, was done, or was refused.
    fn hold(&mut self, step: &Step, effects: &Effects, pins: Vec<Pin>, needs: usize) -> Result<Reply, Refused> {
        let (subject, now) = (self.credentials[&step.who].subject.clone(), self.now());
        let mut events = Vec::new();
        let known = self.asks.iter().rposition(|ask| ask.act == step.act && ask.subject == subject);
        if let Some(n) = known {
            let ask = &self.asks[n];
            match ask.state {
                "pending" if now >= ask.expires => events.push(self.end(n, "expired")),
                "pending" if ask.pins == pins && ask.policies == self.policies => {
                    return Ok(Reply {
                        status: 202,
                        word: "pending_approval",
                        label: Some(ask.label),
                        ..Reply::default()
                    });
                }
                "pending" => events.push(self.end(n, "voided")),
                "applied" => {
                    if let Some((version, left)) = &ask.done
                        && !left.is_empty()
                        && *left == pins
                    {
                        return Ok(Reply {
                            status: 200,
                            word: done_word(&step.act),
                            version: *version,
                            ..Reply::default()
                        });
                    }
                }
                "denied" if now - ask.ended < DENIED_STANDS_MS => return Err((403, "APPROVAL_DENIED")),
                _ => {}
            }
        }
        let waiting = self.asks.iter().filter(|ask| ask.state == "pending" && ask.subject == subject).count();
        if waiting >= self.pending_max {
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
        Ok(Reply { status: 202, word: "pending_approval", label: Some(step.label), events, ..Reply::default() })
    }

    /// A vote of an entitled human who did not ask. The last one executes the plan, if it is still what was asked.
    fn vote(&mut self, who: &str, n: usize, yes: bool) -> Reply {
        let mut events = vec!["approval.decide".to_owned()];
        let late = |code, events| Reply { status: 409, code, events, ..Reply::default() };
        if self.now() >= self.asks[n].expires {
            events.push(self.end(n, "expired"));
            return late("APPROVAL_EXPIRED", events);
        }
        self.asks[n].votes.insert(who.to_owned(), yes);
        let word = if !yes {
            events.push(self.end(n, "denied"));
            "denied"
        } else if self.asks[n].votes.len() < self.asks[n].needs {
            "pending"
        } else if let Some((version, done)) = self.execute(n) {
            events.push(done);
            let act = self.asks[n].act.clone();
            events.push(self.end(n, "applied"));
            let left = self.prepare_again(n, &act);
            self.asks[n].done = Some((version, left));
            // Whoever said yes to a token fetches it at once.
            if matches!(act, Act::Mint { .. }) {
                events.push("claim.redeem".to_owned());
            }
            "applied"
        } else {
            events.push(self.end(n, "voided"));
            return late("APPROVAL_VOIDED", events);
        };
        Reply { status: 200, word, events, ..Reply::default() }
    }

    fn prepare_again(&self, n: usize, act: &Act) -> Vec<Pin> {
        self.prepare(&self.asks[n].who, act).map_or_else(|_| Vec::new(), |prepared| prepared.pins)
    }

    /// Everything is looked at again. The effect may have shrunk since, never grown.
    fn execute(&mut self, n: usize) -> Option<(Option<i64>, String)> {
        let ask = self.asks[n].clone();
        if self.stranger(&ask.who)?.is_some() || ask.policies != self.policies {
            return None;
        }
        let mut effects = self.effects(&ask.act)?;
        self.judge(&ask.who, &ask.act, Some(&effects)).ok()?;
        let prepared = self.prepare(&ask.who, &ask.act).ok()?;
        if prepared.unaffected {
            effects.clear();
        }
        if prepared.pins != ask.pins || !effects.is_subset(&ask.effects) {
            return None;
        }
        let (version, _) = self.apply(&ask.who, &ask.act, &effects, ask.label);
        Some((version, verb(&ask.act).to_owned()))
    }

    // Do it.

    fn put(&mut self, place: Place, key: &str, value: u8, activate: bool) -> i64 {
        let empty = Secret { life: Life::Slot, latest: 0, active: None, values: BTreeMap::new() };
        let secret = self.secrets.entry((place, key.to_owned())).or_insert(empty);
        secret.latest += 1;
        secret.values.insert(secret.latest, Some(value));
        // A key that was deleted comes back with this value or with none.
        secret.active =
            if activate { Some(secret.latest) } else { secret.active.filter(|_| secret.life == Life::Live) };
        secret.life = Life::Live;
        secret.latest
    }

    /// The effect, and with it one restart intent for each workspace it reaches.
    fn apply(&mut self, who: &str, act: &Act, effects: &Effects, label: Label) -> (Option<i64>, &'static str) {
        let mut version = None;
        match act {
            Act::Set { place, key, value, staged, .. } => version = Some(self.put(*place, key, *value, !staged)),
            Act::Pair { one, two } => {
                self.put(one.0, &one.1, one.2, true);
                self.put(two.0, &two.1, two.2, true);
            }
            Act::Rollback { place, key, to } => {
                let value = self.secrets[&(*place, key.clone())].values[to].unwrap_or_default();
                version = Some(self.put(*place, key, value, true));
            }
            Act::Delete { place, key, .. } | Act::Undelete { place, key } | Act::Activate { place, key, .. } => {
                let secret = self.secrets.entry((*place, key.clone()));
                secret.and_modify(|secret| match act {
                    Act::Delete { .. } => secret.life = Life::Deleted,
                    Act::Activate { version, .. } => secret.active = Some(*version),
                    _ => secret.life = Life::Live,
                });
                version = if let Act::Activate { version, .. } = act { Some(*version) } else { None };
            }
            Act::Destroy { place, key, version: which } => {
                self.secrets.entry((*place, key.clone())).and_modify(|secret| {
                    let gone =
                        secret.values.iter_mut().filter(|(version, _)| which.is_none_or(|which| which == **version));
                    gone.for_each(|(_, value)| *value = None);
                    if which.is_none() {
                        (secret.life, secret.active) = (Life::Deleted, None);
                    }
                });
            }
            Act::Slot { place, key } => {
                let empty = Secret { life: Life::Slot, latest: 0, active: None, values: BTreeMap::new() };
                let secret = self.secrets.entry((*place, key.clone())).or_insert(empty);
                (secret.life, secret.active) = (Life::Slot, None);
            }
            Act::Mint { place, life_s } => self.mint(who, *place, *life_s, label),
            Act::Revoke { token } => {
                let dead = |name: &str, credential: &Credential| name == token || credential.lineage.contains(token);
                self.credentials.iter_mut().filter(|(n, c)| dead(n, c)).for_each(|(_, c)| c.revoked = true);
            }
            Act::Create { parent } => {
                self.spaces.insert(label, Space { parent: Some(*parent), ..Space::default() });
            }
            Act::Remove { space } => self.remove(*space),
            Act::Pause { space } | Act::Resume { space } => {
                for at in self.below(*space) {
                    self.spaces.entry(at).and_modify(|space| space.paused = matches!(act, Act::Pause { .. }));
                }
            }
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
        for at in effects.iter().map(|(_, at)| *at) {
            self.spaces.entry(at).and_modify(|space| space.generation += 1);
        }
        (version, done_word(act))
    }

    /// A child never exceeds its parent, never outlives it, and is the same subject unless it is bound to a workspace.
    fn mint(&mut self, who: &str, place: Place, life_s: i64, label: Label) {
        let name = format!("t{label}");
        let (parent, now) = (self.credentials[who].clone(), self.now());
        let human = matches!(parent.subject, Subject::Operator { .. });
        let bound = if let Place::Space(space) = place { Some(space) } else { None };
        let subject = match (bound, parent.subject) {
            (Some(space), _) => Subject::Agent(space),
            (None, Subject::Operator { .. }) => Subject::Service { name: name.clone(), unattended: false },
            (None, same) => same,
        };
        let own_end = now + life_s * 1000;
        let given = self.give(&name, subject, bound, if human { own_end } else { own_end.min(parent.expires) });
        given.wide = bound.is_none();
        if !human {
            given.lineage = [vec![who.to_owned()], parent.lineage].concat();
        }
    }

    fn remove(&mut self, space: Label) {
        for at in self.below(space) {
            let gone = self.spaces.entry(at).or_default();
            (gone.removed, gone.run, gone.turn) = (true, None, None);
            gone.queue.clear();
            for credential in self.credentials.values_mut() {
                credential.revoked |= credential.bound == Some(at) || credential.subject == Subject::Agent(at);
            }
        }
    }

    // An agent at work: no deed, but only the run that speaks for its workspace has a say.

    fn work(&mut self, who: &str, at: Label, act: &Act, label: Label) -> Option<Reply> {
        let no = |status, code| Some(Reply { status, code, ..Reply::default() });
        let yes = |word, label, event: &str| {
            let events = if event.is_empty() { vec![] } else { vec![event.to_owned()] };
            Some(Reply { status: 200, word, label, events, ..Reply::default() })
        };
        if self.credentials[who].subject != Subject::Agent(at) {
            return None;
        }
        let now = self.now();
        let dead = |holder: &str| self.credentials[holder].revoked || now >= self.credentials[holder].expires;
        let space = &self.spaces[&at];
        if matches!(act, Act::Register { .. }) {
            let replaces = match &space.run {
                Some((holder, _)) if holder == who => false,
                Some((holder, _)) if !dead(holder) && (at == ROOT || space.turn.is_some()) => {
                    return no(409, "CONFLICT");
                }
                _ => true,
            };
            if replaces {
                self.log_at = now;
                let space = self.spaces.entry(at).or_default();
                if let (Some((turn, _)), Some((_, run))) = (space.turn.take(), &space.run) {
                    space.ended.insert(turn, (*run, "lost"));
                }
                space.runs += 1;
                space.run = Some((who.to_owned(), space.runs));
            }
            return yes("registered", None, "");
        }
        let Some((_, run)) = space.run.clone().filter(|(holder, _)| holder == who) else {
            return no(409, "NOT_REGISTERED");
        };
        let space = self.spaces.entry(at).or_default();
        match act {
            Act::Take { .. } => match space.turn {
                Some((turn, _)) => yes("turn", Some(turn), ""),
                None if space.paused || space.queue.is_empty() => yes("idle", None, ""),
                None => {
                    space.turn = Some((label, space.queue.remove(0)));
                    yes("turn", Some(label), "turn.start")
                }
            },
            Act::End { turn, done, .. } => {
                let how = if *done { "completed" } else { "failed" };
                if space.turn.is_some_and(|(open, _)| open == *turn) {
                    space.turn = None;
                    space.ended.insert(*turn, (run, how));
                    return yes("recorded", None, "turn.end");
                }
                match space.ended.get(turn) {
                    Some((of, known)) if *of == run && *known == how => yes("recorded", None, ""),
                    Some((of, _)) if *of == run => no(409, "CONFLICT"),
                    Some(_) => no(404, "TURN_NOT_FOUND"),
                    None => None,
                }
            }
            _ => None,
        }
    }
}

/// Whether the same human stands behind both: an operator is whoever it is, whatever its role became.
fn same(one: &Subject, other: &Subject) -> bool {
    match (one, other) {
        (Subject::Operator { name: one, .. }, Subject::Operator { name: other, .. }) => one == other,
        _ => one == other,
    }
}

fn fits(base: Base, secret: Option<&Secret>) -> Result<(), Refused> {
    let latest = secret.filter(|secret| secret.life == Life::Live).map(|secret| secret.latest);
    let fits = match base {
        Base::Any => true,
        Base::Absent => latest.is_none(),
        Base::Present => latest.is_some(),
        Base::Version(version) => latest == Some(version),
    };
    if fits { Ok(()) } else { Err((412, "BASE_VERSION_MISMATCH")) }
}

/// Keys that change how programs are loaded, and those that would reach every workspace.
fn allowed(place: Place, key: &str) -> Result<(), Refused> {
    let forbidden = key == "PATH" || (place == Place::Org && key == "GITHUB_TOKEN");
    if forbidden { Err((422, "KEY_FORBIDDEN")) } else { Ok(()) }
}

fn is_write(act: &Act) -> bool {
    matches!(
        act,
        Act::Set { .. }
            | Act::Pair { .. }
            | Act::Delete { .. }
            | Act::Undelete { .. }
            | Act::Destroy { .. }
            | Act::Rollback { .. }
            | Act::Activate { .. }
    )
}

/// What it is aimed at; `None` for a token or a request.
fn aim(act: &Act) -> Option<Place> {
    match act {
        Act::Set { place, .. }
        | Act::Delete { place, .. }
        | Act::Undelete { place, .. }
        | Act::Destroy { place, .. }
        | Act::Rollback { place, .. }
        | Act::Activate { place, .. }
        | Act::Slot { place, .. }
        | Act::Mint { place, .. } => Some(*place),
        Act::Pair { one, two } => Some(if one.0 == two.0 { one.0 } else { Place::Org }),
        Act::Create { parent: at }
        | Act::Remove { space: at }
        | Act::Restart { space: at }
        | Act::Pause { space: at }
        | Act::Resume { space: at }
        | Act::Send { space: at }
        | Act::Register { space: at }
        | Act::Take { space: at }
        | Act::End { space: at, .. } => Some(Place::Space(*at)),
        Act::Rule { .. } | Act::Unrule { .. } => Some(Place::Org),
        Act::Vote { .. } | Act::Withdraw { .. } | Act::Revoke { .. } | Act::StepUp | Act::Clock { .. } | Act::Tick => {
            None
        }
    }
}

fn verb(act: &Act) -> &'static str {
    match act {
        Act::Set { .. } => "secret.set",
        Act::Pair { .. } => "secret.change_set",
        Act::Delete { .. } => "secret.delete",
        Act::Undelete { .. } => "secret.undelete",
        Act::Destroy { .. } => "secret.destroy",
        Act::Rollback { .. } => "secret.rollback",
        Act::Activate { .. } => "secret.activate",
        Act::Slot { .. } => "secret.request",
        Act::Vote { .. } => "approval.decide",
        Act::Withdraw { .. } => "approval.withdraw",
        Act::Mint { .. } => "token.mint",
        Act::Revoke { .. } => "token.revoke",
        Act::Create { .. } => "workspace.create",
        Act::Remove { .. } => "workspace.remove",
        Act::Restart { .. } => "workspace.restart",
        Act::Pause { .. } => "workspace.pause",
        Act::Resume { .. } => "workspace.resume",
        Act::Rule { .. } => "policy.add",
        Act::Unrule { .. } => "policy.remove",
        Act::Send { .. } => "message.send",
        Act::StepUp | Act::Register { .. } | Act::Take { .. } | Act::End { .. } | Act::Clock { .. } | Act::Tick => "",
    }
}

/// The word that says that it was done.
fn done_word(act: &Act) -> &'static str {
    match act {
        Act::Set { .. } | Act::Pair { .. } | Act::Rollback { .. } => "saved",
        Act::Activate { .. } => "activated",
        Act::Delete { .. } => "deleted",
        Act::Undelete { .. } => "undeleted",
        Act::Destroy { .. } => "destroyed",
        Act::Slot { .. } => "requested",
        Act::Remove { .. } | Act::Unrule { .. } => "removed",
        Act::Withdraw { .. } => "withdrawn",
        _ => "",
    }
}

/// What a history may speak of, and what a trouble of the store leaves behind.
impl Model {
    /// The log took an event that this model was not told of.
    pub fn heard(&mut self) {
        self.log_at = self.now();
    }

    /// The last vote, where the store could not take what was agreed to: the vote counts, and nothing was done.
    pub fn fail(&mut self, step: &Step) -> Option<String> {
        let Act::Vote { ask, yes: true } = step.act else { return None };
        let n = self.ask(ask).filter(|n| self.asks[*n].state == "pending")?;
        self.asks[n].votes.insert(step.who.clone(), true);
        Some(self.end(n, "failed"))
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
