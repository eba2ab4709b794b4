//! Several clients at once on a few keys and requests: set, If-Match, read, vote, withdraw, the same idempotency key, an
//! operator who becomes something else, and time that runs out. What they were answered must be what one at a time would
//! have been answered, in some order.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
};

use portcullis_authority::Authority;
use serde_json::Value;

use crate::{
    dice::Dice,
    linear::{Timed, explained},
    model::{Model, Reply},
    stage::{Observed, Stage, wanted},
    step::{Act, Base, Label, Office, Place, Step, Write},
};

/// Clients at once.
const CLIENTS: u32 = 5;
/// What each does.
const STEPS: u32 = 14;

/// What a client did and saw.
#[derive(Debug, Clone)]
enum Did {
    Step(Step, Option<Reply>),
    Read(Place, Option<Value>),
    /// Looked at everything, when all were through.
    End(Observed),
}

/// What one of the clients does to all: the hand of the clock, and whose worker it wakes.
#[derive(Clone)]
pub struct Time {
    pub hand: Arc<AtomicI64>,
    pub authority: Authority,
}

/// What the clients share: the requests they know, and the order of events.
#[derive(Clone, Default)]
struct Shared {
    asks: Arc<Mutex<BTreeMap<Label, String>>>,
    moment: Arc<AtomicU64>,
}

impl Shared {
    fn moment(&self) -> u64 {
        self.moment.fetch_add(1, SeqCst)
    }

    /// One name for each request, whoever met it first.
    fn meet(&self, stage: &mut Stage, seen: &mut Option<Reply>) {
        let mut asks = self.asks.lock().expect("the requests");
        if let Some(label) = seen.as_mut().and_then(|seen| seen.label.as_mut()) {
            let id = stage.asks[label].clone();
            match asks.iter().find(|(_, known)| **known == id) {
                Some((first, _)) => *label = *first,
                None => drop(asks.insert(*label, id)),
            }
        }
        stage.asks.clone_from(&asks);
    }
}

/// One of these.
pub fn pick<T: Copy>(dice: &mut Dice, from: &[T]) -> T {
    from[dice.below(from.len() as u64) as usize]
}

fn roll(dice: &mut Dice, asks: &[Label], time: bool) -> (&'static str, Act) {
    let place = pick(dice, &[Place::Space(1), Place::Space(1), Place::Space(2)]);
    let key = pick(dice, &["A", "A", "B"]).to_owned();
    let version = i64::try_from(1 + dice.below(6)).unwrap_or(1);
    let value = u8::try_from(dice.below(3)).unwrap_or_default();
    let human = pick(dice, &["owner", "approver", "second"]);
    match dice.below(if time { 24 } else { 21 }) {
        0..4 => (
            pick(dice, &["admin", "admin", "attended"]),
            Act::Secret { place, key, write: Write::Set { value, base: Base::Any, staged: false } },
        ),
        4..8 => {
            let base =
                pick(dice, &[Base::Any, Base::Version(version), Base::Version(version), Base::Absent, Base::Present]);
            (
                pick(dice, &["owner", "w1", "service"]),
                Act::Secret { place, key, write: Write::Set { value, base, staged: false } },
            )
        }
        8 => (
            "owner",
            Act::Secret { place, key, write: Write::Delete { base: pick(dice, &[Base::Any, Base::Version(version)]) } },
        ),
        9 => ("owner", Act::Secret { place, key, write: Write::Rollback { to: version } }),
        10 if !asks.is_empty() => ("admin", Act::Withdraw { ask: pick(dice, asks) }),
        11..18 if !asks.is_empty() => {
            let recent = &asks[asks.len().saturating_sub(3)..];
            (human, Act::Vote { ask: pick(dice, recent), yes: !dice.one_in(8) })
        }
        // Whose yes counted a moment ago.
        20 => {
            let office = pick(dice, &[Office::Role(1), Office::Role(2), Office::Role(2), Office::Disable]);
            ("owner", Act::Operator { name: "second".to_owned(), office })
        }
        21 => ("time", Act::Tick),
        22 => ("time", Act::Clock { ms: 61 * 60_000 }),
        23 => ("time", Act::Clock { ms: 4 * 60_000 }),
        18 | 19 => (human, Act::StepUp),
        _ => ("admin", Act::Secret { place, key, write: Write::Set { value, base: Base::Any, staged: false } }),
    }
}

async fn client(mut stage: Stage, shared: Shared, time: Option<Time>, n: u32, seed: u64) -> Vec<Timed<Did>> {
    let mut dice = Dice(seed.wrapping_mul(1_000).wrapping_add(u64::from(n)));
    let mut all = Vec::new();
    for step in 0..STEPS {
        shared.meet(&mut stage, &mut None);
        let asks: Vec<Label> = stage.asks.keys().copied().collect();
        if dice.one_in(5) {
            let place = pick(&mut dice, &[Place::Space(1), Place::Space(2)]);
            let asked = shared.moment();
            let seen = stage.list(place).await;
            all.push(Timed { asked, answered: seen.as_ref().map(|_| shared.moment()), did: Did::Read(place, seen) });
            continue;
        }
        // Time passes for one of them only.
        let (who, act) = roll(&mut dice, &asks, time.is_some());
        // The same key for the same again, for something else, and by several at the same time.
        let keyed = matches!(act, Act::Secret { .. } | Act::Operator { .. }) && dice.one_in(4);
        let once = keyed.then(|| pick(&mut dice, &[1, 2]));
        let step = Step { label: 1_000 + step * 100 + n, who: who.to_owned(), act, once, trouble: None };
        let asked = shared.moment();
        let mut seen = match (&step.act, &time) {
            (Act::Clock { ms }, Some(time)) => {
                time.hand.fetch_add(*ms, SeqCst);
                Some(Reply::default())
            }
            (Act::Tick, Some(time)) => time.authority.tick().await.ok().map(|_| Reply::default()),
            _ => stage.perform(&step).await,
        };
        let answered = seen.as_ref().map(|_| shared.moment());
        shared.meet(&mut stage, &mut seen);
        let over = seen.is_none();
        all.push(Timed { asked, answered, did: Did::Step(step, seen) });
        if over {
            break;
        }
    }
    all
}

/// The model after it, if the model answers the same.
fn apply(stage: &Stage, model: &Model, one: &Timed<Did>) -> Option<Model> {
    let mut after = model.clone();
    match &one.did {
        Did::End(seen) => (stage.expect(model) == *seen).then_some(after),
        Did::Read(place, seen) => {
            let fits = one.answered.is_none() || seen.as_ref().is_some_and(|seen| *seen == wanted(model, *place));
            fits.then_some(after)
        }
        Did::Step(step, seen) => {
            let mut step = step.clone();
            if let Some(label) = seen.as_ref().and_then(|seen| seen.label) {
                step.label = label;
            }
            let want = after.step(&step)?;
            let Some(seen) = seen.as_ref().filter(|_| one.answered.is_some()) else { return Some(after) };
            let version = want.version.is_none() || want.version == seen.version;
            let same =
                (want.status, want.code, want.word, want.label) == (seen.status, seen.code, seen.word, seen.label);
            (same && version).then_some(after)
        }
    }
}

fn written(clients: &[Vec<Timed<Did>>]) -> String {
    let mut lines: Vec<(u64, String)> = Vec::new();
    for (n, one) in clients.iter().enumerate().flat_map(|(n, client)| client.iter().map(move |one| (n, one))) {
        let answered = one.answered.map_or("never".to_owned(), |at| at.to_string());
        let what = match &one.did {
            Did::Read(place, seen) => {
                format!("read {place}: {}", seen.as_ref().map(Value::to_string).unwrap_or_default())
            }
            Did::End(seen) => format!("in the end {seen:?}"),
            Did::Step(step, seen) => format!("{step}: {seen:?}"),
        };
        lines.push((one.asked, format!("client {n}, {} to {answered}: {what}\n", one.asked)));
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// What several clients do at once through these servers, and what is seen when all of them are through.
pub struct Storm {
    clients: Vec<Vec<Timed<Did>>>,
    shared: Shared,
    tasks: Vec<tokio::task::JoinHandle<Vec<Timed<Did>>>>,
}

impl Storm {
    /// Begins. One of them has time in its hand, if there is a time to move.
    pub fn begin(stage: &Stage, urls: &[String], time: Option<&Time>, seed: u64) -> Self {
        let shared = Shared::default();
        let client = |n: u32| {
            let mut stage = stage.clone();
            stage.url.clone_from(&urls[n as usize % urls.len()]);
            tokio::spawn(client(stage, shared.clone(), time.filter(|_| n == 0).cloned(), n, seed))
        };
        Self { clients: Vec::new(), tasks: (0..CLIENTS).map(client).collect(), shared: shared.clone() }
    }

    /// How much was asked and answered so far.
    pub fn moments(&self) -> u64 {
        self.shared.moment.load(SeqCst)
    }

    /// Waits until every client is through, or the server is gone.
    pub async fn end(&mut self) {
        for task in self.tasks.drain(..) {
            self.clients.push(task.await.expect("a client"));
        }
    }

    /// The state in which one at a time would have left the model, if there is an order in which they would have been
    /// answered the same and would have left what is seen now; otherwise the shortest beginning that has none.
    pub async fn explained(mut self, stage: &mut Stage, model: &Model) -> Result<Model, String> {
        stage.asks.clone_from(&self.shared.asks.lock().expect("the requests"));
        let asked = self.shared.moment();
        let seen = stage.observe().await.expect("the server can be looked at");
        self.clients.push(vec![Timed { asked, answered: Some(self.shared.moment()), did: Did::End(seen) }]);
        let stage = &*stage;
        let fits = |model: &Model, one: &Timed<Did>| apply(stage, model, one);
        let found = explained(model, &self.clients, fits);
        found.map_err(|short| format!("no order explains\n{}", written(&short)))
    }

    /// Answers, and how many were faults.
    pub fn answers(&self) -> (usize, usize) {
        let replies = self.clients.iter().flatten().filter_map(|one| match &one.did {
            Did::Step(_, seen) => seen.as_ref(),
            Did::Read(..) | Did::End(_) => None,
        });
        replies.fold((0, 0), |(all, faults), reply| (all + 1, faults + usize::from(reply.status >= 500)))
    }
}

/// In every second history two humans must agree.
pub async fn rule(stage: &mut Stage, model: &mut Model, seed: u64) {
    if seed.is_multiple_of(2) {
        let rule = Step { label: 10, who: "owner".to_owned(), act: Act::Rule { votes: 2 }, once: None, trouble: None };
        assert_eq!(stage.perform(&rule).await.map(|seen| seen.status), Some(201));
        model.step(&rule);
    }
}
