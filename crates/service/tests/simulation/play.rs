//! Plays a history on the running server and on the model at the same time; the first difference ends it and is shrunk.

use std::io::Write;

use portcullis_authority::{Config, testkit_db::TestDb};

use crate::{
    dice::Dice,
    model::{ASK_MS, Limits, Model, Reply, STEP_UP_MS},
    roll::{self, Plan},
    stage::Stage,
    step::{Act, Step, written},
    trouble,
    world::{ADMIN, BEGINNING_MS, World},
};

/// Sessions outlive every history: the one who looks must be able to.
const SESSION_MS: i64 = 10 * 365 * 24 * 60 * 60 * 1000;
/// What the configuration of every history says.
const LIMITS: Limits = Limits { pending_max: 3, break_glass: true };
/// Histories that are tried while one is shrunk.
const TRIES_MAX: usize = 80;

/// Where server and model part.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The number of steps played, with the one that shows it.
    pub steps: usize,
    pub what: String,
}

/// The limits of [`Model::new`].
pub fn config() -> Config {
    Config {
        approval_expires_ms: ASK_MS,
        step_up_ms: STEP_UP_MS,
        session_ms: SESSION_MS,
        session_idle_ms: SESSION_MS,
        pending_per_principal_max: i64::try_from(LIMITS.pending_max).unwrap_or(i64::MAX),
        break_glass: LIMITS.break_glass,
        // Every refusal is recorded on its own.
        refusal_cache_ms: 0,
        ..Config::default()
    }
}

/// A server and a model that agree so far.
pub struct Play {
    pub world: World,
    pub stage: Stage,
    pub model: Model,
}

impl Play {
    /// Both from the beginning, on an empty database.
    pub async fn on(db: TestDb) -> Self {
        let mut world = World::on(db, config()).await;
        // Without the worker: what time brings is a step like any other.
        world.without_worker().await;
        let owner = world.owner();
        let headers = ["cookie", "x-csrf-token"].map(|name| {
            let value = owner.header(name).unwrap_or_default();
            (name.to_owned(), value.to_owned())
        });
        let stage = Stage::set(&world.url, ADMIN, headers.to_vec()).await;
        Self { world, stage, model: Model::new(BEGINNING_MS, LIMITS) }
    }

    /// One step on both. What is said of a difference begins with what kind it is.
    pub async fn step(&mut self, step: &Step) -> Result<(), String> {
        let before = self.model.clone();
        let Some(want) = self.model.step(step) else { return Ok(()) };
        match step.act {
            Act::Clock { ms } => self.world.advance(ms),
            Act::Tick => self.world.authority.tick().await.map(drop).map_err(|refused| format!("tick: {refused:?}"))?,
            _ if step.trouble.is_some() => return self.troubled(step, before, want).await,
            _ => {
                let seen = self.stage.perform(step).await.ok_or("no answer")?;
                let events = self.stage.events().await.ok_or("the log cannot be read")?;
                agree(&want, &Reply { events, ..seen })?;
                return self.looks().await;
            }
        }
        let seen = self.stage.events().await.ok_or("the log cannot be read")?;
        if sorted(&seen) != sorted(&want.events) {
            return Err(format!("events: the server recorded {seen:?}, the model {:?}", want.events));
        }
        self.looks().await
    }

    async fn looks(&self) -> Result<(), String> {
        let found = self.stage.differences(&self.model).await.ok_or("the server cannot be looked at")?;
        if found.is_empty() { Ok(()) } else { Err(format!("state: {}", found.join("; "))) }
    }

    /// A step while the store is in trouble: done as ever, or refused as unavailable and nothing of it is there. Only where
    /// the connection went away in the commit it may be there all the same. A vote that could not be executed says so.
    async fn troubled(&mut self, step: &Step, before: Model, want: Reply) -> Result<(), String> {
        let after = self.model.clone();
        let lost = step.trouble.as_deref() == Some("lost");
        let seen = trouble::during(&self.world, step, self.stage.perform(step)).await;
        let seen = seen.ok_or("no answer")?;
        let mut events = None;
        for _ in 0..20 {
            // Connections that were ended are found out one by one.
            events = self.stage.events().await;
            if events.is_some() {
                break;
            }
        }
        let events = events.ok_or("the log cannot be read after a trouble")?;
        let mut failed = before.clone();
        if let Some(failure) = failed.fail(step)
            && seen.status == 200
            && seen.word == "failed"
        {
            if sorted(&events) != ["approval.decide", &failure] {
                return Err(format!("events: a plan that failed left {events:?}"));
            }
            self.model = failed;
            return self.looks().await;
        }
        let refused = |name: &String| name.ends_with(".failed") || name.ends_with(".refused");
        if step.trouble.as_deref() == Some("audit") && want.status >= 400 && want.events.iter().all(refused) {
            // A refusal stands, also where it cannot be recorded.
            self.model = before;
            agree(&Reply { events: Vec::new(), ..want }, &Reply { events, ..seen })?;
            return self.looks().await;
        }
        if seen.status != 503 {
            agree(&want, &Reply { events, ..seen })?;
            return self.looks().await;
        }
        if seen.code != "STORE_UNAVAILABLE" {
            return Err(format!("reply: a trouble of the store is told as {}", seen.code));
        }
        self.model = before;
        let nothing = self.looks().await;
        if nothing.is_err() && lost && sorted(&events) == sorted(&want.events) {
            self.model = after;
            return self.looks().await;
        }
        if let Some(event) = events.iter().find(|name| !refused(name)) {
            return Err(format!("events: `{event}` was recorded of what was not done"));
        }
        if !events.is_empty() {
            self.model.heard();
        }
        nothing
    }

    /// Ends the server and closes the organisation.
    pub async fn stop(self) -> TestDb {
        self.world.stop().await
    }
}

fn sorted(names: &[String]) -> Vec<String> {
    let mut names = names.to_vec();
    names.sort();
    names
}

fn agree(want: &Reply, seen: &Reply) -> Result<(), String> {
    let short = |reply: &Reply| {
        let Reply { status, code, word, version, label, .. } = reply;
        format!("{status} {code} {word} version {version:?} made {label:?}")
    };
    let version = want.version.is_none() || want.version == seen.version;
    let same = (want.status, want.code, want.word, want.label) == (seen.status, seen.code, seen.word, seen.label);
    if !same || !version {
        return Err(format!("reply: the server says {}, the model {}", short(seen), short(want)));
    }
    if sorted(&want.events) != sorted(&seen.events) {
        return Err(format!("events: the server recorded {:?}, the model {:?}", seen.events, want.events));
    }
    Ok(())
}

/// A fresh database on the same engine.
pub fn again(engine: &str) -> TestDb {
    let all = portcullis_authority::testkit_db::databases();
    all.into_iter().find(|db| db.engine == engine).unwrap_or_else(TestDb::sqlite)
}

/// Plays a history that is known.
pub async fn known(db: TestDb, steps: &[Step]) -> Option<Difference> {
    let mut play = Play::on(db).await;
    let mut found = None;
    for (n, step) in steps.iter().enumerate() {
        if let Err(what) = play.step(step).await {
            found = Some(Difference { steps: n + 1, what: format!("{what}\n  at: {step}") });
            break;
        }
    }
    if found.is_none() {
        let values = play.stage.values(&play.model).await;
        found = (!values.is_empty())
            .then(|| Difference { steps: steps.len(), what: format!("values: {}", values.join("; ")) });
    }
    drop(play.stop().await);
    found
}

/// Plays a random history and, if server and model part, panics with the seed and the shortest history that still shows it.
pub async fn random(db: TestDb, seed: u64, plan: Plan) {
    let engine = db.engine;
    let (mut dice, mut steps) = (Dice(seed), Vec::new());
    let mut play = Play::on(db).await;
    let mut found = None;
    for n in 0..plan.steps {
        let step = roll::step(&mut dice, &play.model, 10 + n, plan);
        steps.push(step.clone());
        if let Err(what) = play.step(&step).await {
            found = Some(format!("{what}\n  at: {step}"));
            break;
        }
    }
    if found.is_none() {
        let values = play.stage.values(&play.model).await;
        found = (!values.is_empty()).then(|| format!("values: {}", values.join("; ")));
    }
    drop(play.stop().await);
    if let Some(what) = found {
        // Said at once: to shrink it takes a while.
        let _ = writeln!(std::io::stderr(), "{engine}, seed {seed}: {what}");
        let (short, last) = shrink(engine, steps, what.clone()).await;
        panic!("{engine}, seed {seed}: {what}\nshrunk to {} steps:\n{}{last}", short.len(), written(&short));
    }
}

/// Leaves out what is not needed to see the difference: halves, quarters, single steps.
async fn shrink(engine: &str, mut steps: Vec<Step>, mut last: String) -> (Vec<Step>, String) {
    let kind = |what: &str| what.split(':').next().unwrap_or_default().to_owned();
    let wanted = kind(&last);
    let (mut tries, mut size) = (0, steps.len() / 2);
    while size > 0 {
        let (mut at, mut shorter) = (0, false);
        while at < steps.len() && tries < TRIES_MAX {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            tries += 1;
            match known(again(engine), &fewer).await {
                Some(found) if kind(&found.what) == wanted => {
                    fewer.truncate(found.steps);
                    (steps, last, shorter) = (fewer, found.what, true);
                }
                _ => at += size,
            }
        }
        if !shorter || size > 1 {
            size /= 2;
        }
        if tries >= TRIES_MAX {
            break;
        }
    }
    (steps, last)
}
