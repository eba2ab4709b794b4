//! The working loop: one task, no helper. Whatever stops it also stops its heartbeat, so a sign of life is a sign of work.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::delivered::{Bundle, CONTEXT_BYTES_MAX, Delivered, Values};
use super::external::State;
use super::handoff::Record;
use super::mind::{Ending, Mind, SoFar};
use super::plane::{Claim, Miss, Patience, Plane, Turn, lost};
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Output;

/// Time between signs of life, unless somebody says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Time between two looks at a reply that is being written.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// What the control plane may ask for, in seconds.
const HEARTBEAT_S: std::ops::RangeInclusive<u64> = 1..=300;
/// How many turns are known to have been run. One is open at a time, so the last would do; the rest is for a control plane
/// that was set back.
const EXECUTED_MAX: usize = 1024;
/// The pause after a claim that came back at once with nothing: a control plane in trouble must not be hammered.
const EMPTY_PAUSE: Duration = Duration::from_secs(1);
/// What is "at once".
const EMPTY_EARLY: Duration = Duration::from_secs(1);
/// Time between claims while draining.
const DRAIN_PAUSE: Duration = Duration::from_secs(2);
/// How long a stopped agent tries to say its last word.
const LAST_WORD: Duration = Duration::from_secs(3);

/// What is said of a turn that an earlier process of an external agent began.
const RESTARTED: &str = "the agent was restarted in the middle of this turn; it is not repeated";

/// Where the loop is, for the moment it is stopped.
enum Phase {
    Idle,
    Running,
    Ending { turn: String, ending: Value },
}

/// The agent at work.
pub struct Work {
    plane: Arc<Plane>,
    mind: Mind,
    delivered: Delivered,
    /// External agents only.
    state: Option<State>,
    /// The turn that an earlier process began. It may have had effects.
    begun_before: Option<String>,
    heartbeat: Duration,
    /// The command line's word about it stands above the control plane's.
    heartbeat_is_given: bool,
    /// The version that a bundle was last pulled for: one that is named differently when pulled is not pulled for ever.
    pulled_for: Option<String>,
    output: Output,
    started: Instant,
    last_beat: Instant,
    phase: Phase,
    executed: VecDeque<String>,
    /// How the last turn ended, to say it again.
    last: Option<(String, Value)>,
    record: Record,
    noted: bool,
}

impl Work {
    /// Everything it needs; nothing is sent yet.
    pub fn new(
        plane: Arc<Plane>,
        mind: Mind,
        delivered: Delivered,
        state: Option<State>,
        heartbeat: Option<Duration>,
        output: Output,
    ) -> Self {
        let started = Instant::now();
        let (phase, executed, record) = (Phase::Idle, VecDeque::new(), Record::default());
        Self {
            plane,
            mind,
            delivered,
            state,
            begun_before: None,
            heartbeat: heartbeat.unwrap_or(HEARTBEAT),
            heartbeat_is_given: heartbeat.is_some(),
            pulled_for: None,
            output,
            started,
            last_beat: started,
            phase,
            executed,
            last: None,
            record,
            noted: false,
        }
    }

    /// Works until there is a reason not to. May be dropped at any point; [`Self::stopped`] then says the last word.
    pub async fn run(&mut self, card: &Value) -> Result<Exit, Error> {
        self.register(card).await?;
        if let Some(state) = &self.state {
            self.begun_before = state.begun_turn()?;
            self.fetch_context().await?;
            self.pull(true).await?;
        }
        self.mind.check(&self.delivered)?;
        let mut patience = Patience::new(self.output);
        loop {
            self.renew_lease().await?;
            let asked = Instant::now();
            let claim = match self.plane.claim().await {
                Ok(claim) => claim,
                Err(Miss::Lost(problem)) => return Err(lost(*problem)),
                // Also refusals: a workspace may be paused or moved, and whoever removes it stops this process.
                Err(miss) => {
                    patience.wait("claiming", &miss.text()).await;
                    continue;
                }
            };
            patience.reset();
            // Between two turns, and before the one that was just given: the boundary.
            self.keep_up(claim.bundle_version.as_deref()).await?;
            match claim {
                // Also while draining: it is open, its answer was lost, and the drain waits for its end.
                Claim { turn: Some(turn), .. } => {
                    self.noted = false;
                    if self.take(turn).await? == Next::Die {
                        return Ok(Exit::NotFound);
                    }
                }
                Claim { drain: true, drain_reason, .. } => {
                    self.hand_off(drain_reason.as_deref()).await?;
                    tokio::time::sleep(DRAIN_PAUSE).await;
                }
                Claim { turn: None, .. } => {
                    self.noted = false;
                    if asked.elapsed() < EMPTY_EARLY {
                        tokio::time::sleep(EMPTY_PAUSE).await;
                    }
                }
            }
        }
    }

    async fn register(&mut self, card: &Value) -> Result<(), Error> {
        let mut patience = Patience::new(self.output);
        loop {
            match self.plane.register(card).await {
                Ok(registered) => {
                    let asked = registered.heartbeat_s.filter(|seconds| HEARTBEAT_S.contains(seconds));
                    if let Some(seconds) = asked.filter(|_| !self.heartbeat_is_given) {
                        self.heartbeat = Duration::from_secs(seconds);
                    }
                    self.output.note(&format!("agent: registered for workspace {}", self.plane.workspace()));
                    return Ok(());
                }
                Err(Miss::Lost(problem)) => return Err(lost(*problem)),
                // Not known yet, or not now: the verifier of a token may be a moment behind it.
                Err(Miss::Refused(problem)) if !matches!(problem.status, 401 | 409) => {
                    let mut error = Error::from(*problem);
                    error.exit = Exit::Invalid;
                    return Err(error);
                }
                Err(miss) => patience.wait("registering", &miss.text()).await,
            }
        }
    }

    /// Runs a turn, or says again how it ended.
    async fn take(&mut self, turn: Turn) -> Result<Next, Error> {
        let ending = if self.executed.contains(&turn.id) {
            self.output.note(&format!("agent: turn {} came again; its end is sent again", turn.id));
            // If its end is not wanted either, asking for work at once would spin.
            tokio::time::sleep(EMPTY_PAUSE).await;
            match &self.last {
                Some((id, ending)) if *id == turn.id => ending.clone(),
                _ => failed("this turn was run before, and its reply is no longer kept"),
            }
        } else if self.begun_before.as_ref() == Some(&turn.id) {
            self.output.note(&format!("agent: turn {} was begun by an earlier process; it is not repeated", turn.id));
            self.begun(&turn.id);
            failed(RESTARTED)
        } else {
            if let Some(state) = &self.state {
                state.begin_turn(&turn.id)?;
            }
            match self.execute(&turn).await? {
                Ending::Reply(reply) => json!({"state": "completed", "reply": reply}),
                Ending::Failed(why) => failed(&why),
                Ending::Die => return Ok(Next::Die),
            }
        };
        self.last = Some((turn.id.clone(), ending.clone()));
        self.phase = Phase::Ending { turn: turn.id.clone(), ending: ending.clone() };
        self.deliver(&turn.id, &ending).await?;
        self.state.as_ref().inspect(|state| state.end_turn());
        self.phase = Phase::Idle;
        Ok(Next::Claim)
    }

    async fn execute(&mut self, turn: &Turn) -> Result<Ending, Error> {
        self.output.note(&format!("agent: turn {} begins", turn.id));
        self.phase = Phase::Running;
        // Before, not after: what was begun is never begun again.
        self.begun(&turn.id);
        let begun = Instant::now();
        let beating = beat(&self.plane, &turn.id, self.heartbeat, self.started, self.output);
        let (so_far, written) = SoFar::new();
        let showing = show(&self.plane, &turn.id, written);
        let ending = tokio::select! {
            ending = self.mind.answer(&turn.message, &turn.id, &self.delivered, &so_far) => ending,
            lost = beating => return Err(lost),
            never = showing => match never {},
        };
        if ending == Ending::Die {
            return Ok(ending);
        }
        let failed = matches!(ending, Ending::Failed(_));
        self.record.ran(turn.message.context_id.as_deref(), failed);
        let how = if failed { "failed" } else { "completed" };
        let took = begun.elapsed().as_millis();
        self.output.note(&format!("agent: turn {} {how} after {took} ms (message {})", turn.id, turn.message.id));
        Ok(ending)
    }

    fn begun(&mut self, turn: &str) {
        self.executed.push_back(turn.to_owned());
        if self.executed.len() > EXECUTED_MAX {
            self.executed.pop_front();
        }
    }

    /// Says how a turn ended until it is heard, however long nobody listens.
    async fn deliver(&self, turn: &str, ending: &Value) -> Result<(), Error> {
        let mut patience = Patience::new(self.output);
        let mut ending = ending.clone();
        loop {
            let problem = match self.plane.end(turn, &ending).await {
                Ok(()) => {
                    patience.reset();
                    return Ok(());
                }
                Err(Miss::Away(why)) => {
                    patience.wait("ending the turn", &why).await;
                    continue;
                }
                Err(Miss::Lost(problem)) => return Err(lost(*problem)),
                Err(Miss::Refused(problem)) => problem,
            };
            let code = &problem.code;
            self.output.note(&format!("agent: the end of turn {turn} is refused: {} {code}", problem.status));
            // The turn is not ours any more, or the end itself is not liked; then a shorter one may be.
            if matches!(problem.status, 401 | 403 | 404 | 409 | 410) || ending.get("reply").is_none() {
                return Ok(());
            }
            ending = failed(&format!("the reply was refused: {} {code}", problem.status));
        }
    }

    /// Leaves the note, once.
    async fn hand_off(&mut self, reason: Option<&str>) -> Result<(), Error> {
        if self.noted {
            return Ok(());
        }
        self.output.note(&format!("agent: draining ({})", reason.unwrap_or("no reason given")));
        let note = self.note();
        let mut patience = Patience::new(self.output);
        loop {
            match self.plane.hand_off(&note).await {
                Ok(()) => break,
                Err(Miss::Lost(problem)) => return Err(lost(*problem)),
                Err(Miss::Away(why)) => patience.wait("handing off", &why).await,
                Err(Miss::Refused(problem)) => {
                    self.output.note(&format!("agent: the note is refused: {} {}", problem.status, problem.code));
                    break;
                }
            }
        }
        self.noted = true;
        Ok(())
    }

    fn note(&self) -> String {
        let conversation = self.mind.open_conversation(&self.delivered);
        self.record.note(self.mind.name(), &conversation, &self.delivered)
    }

    /// The last word of a stopped agent. Bounded: whoever stopped it will not wait long.
    pub async fn stopped(&self) -> Exit {
        if matches!(self.phase, Phase::Running) {
            self.output.note("agent: stopped in the middle of a turn");
            return Exit::Fault;
        }
        let ended = tokio::time::timeout(LAST_WORD, async {
            match &self.phase {
                // It ran, and that must be heard, or it is lost; once more does no harm.
                Phase::Ending { turn, ending } => {
                    let heard = self.deliver(turn, ending).await.is_ok();
                    self.state.as_ref().filter(|_| heard).inspect(|state| state.end_turn());
                    heard
                }
                Phase::Idle | Phase::Running => true,
            }
        });
        let ended = ended.await.unwrap_or(false);
        if ended && !self.noted {
            let note = self.note();
            // A note that nobody takes is no reason to be killed.
            let _ = tokio::time::timeout(LAST_WORD, self.plane.hand_off(&note)).await;
        }
        self.output.note("agent: stopped");
        if ended { Exit::Ok } else { Exit::Fault }
    }

    /// External agents hold a lease; a claim alone does not renew it.
    async fn renew_lease(&mut self) -> Result<(), Error> {
        if self.state.is_none() || self.last_beat.elapsed() < self.heartbeat {
            return Ok(());
        }
        match self.plane.heartbeat(None, self.started.elapsed()).await {
            Ok(beat) => {
                self.last_beat = Instant::now();
                self.keep_up(beat.bundle_version.as_deref()).await
            }
            Err(Miss::Lost(problem)) => Err(lost(*problem)),
            // The claim that follows says it.
            Err(_) => Ok(()),
        }
    }

    /// Pulls again if another bundle is to be used than the one it holds.
    async fn keep_up(&mut self, version: Option<&str>) -> Result<(), Error> {
        let Values::Pulled(bundle) = &self.delivered.values else { return Ok(()) };
        let Some(version) = version.filter(|version| *version != bundle.version) else { return Ok(()) };
        if self.pulled_for.as_deref() == Some(version) {
            return Ok(());
        }
        if self.pull(false).await? {
            self.pulled_for = Some(version.to_owned());
        }
        Ok(())
    }

    /// Pulls the bundle; whether there is a new one. Without a first one there is no work; a later refusal leaves the one it holds.
    async fn pull(&mut self, first: bool) -> Result<bool, Error> {
        let mut patience = Patience::new(self.output);
        loop {
            match self.plane.values().await {
                Ok(answer) => {
                    let bundle = Bundle::read(&answer)?;
                    self.output.note(&format!("agent: holds {} values, version {}", bundle.len(), bundle.version));
                    self.delivered.values = Values::Pulled(bundle);
                    return Ok(true);
                }
                Err(Miss::Lost(problem)) => return Err(lost(*problem)),
                Err(Miss::Refused(problem)) if first => return Err((*problem).into()),
                Err(Miss::Refused(problem)) => {
                    self.output.note(&format!("agent: the bundle is refused: {} {}", problem.status, problem.code));
                    return Ok(false);
                }
                Err(Miss::Away(why)) => patience.wait("pulling the bundle", &why).await,
            }
        }
    }

    async fn fetch_context(&mut self) -> Result<(), Error> {
        let mut patience = Patience::new(self.output);
        loop {
            match self.plane.restart_context().await {
                Ok(context) if context.len() <= CONTEXT_BYTES_MAX => {
                    if let Some(state) = &self.state {
                        self.mind.context_is_in(state.keep_context(&context)?);
                    }
                    self.delivered.context = Some(context);
                    return Ok(());
                }
                Ok(_) => {
                    self.output.note("agent: the restart context is too long");
                    return Ok(());
                }
                Err(Miss::Lost(problem)) => return Err(lost(*problem)),
                Err(Miss::Refused(problem)) => {
                    let why = format!("{} {}", problem.status, problem.code);
                    self.output.note(&format!("agent: no restart context: {why}"));
                    return Ok(());
                }
                Err(Miss::Away(why)) => patience.wait("asking for the restart context", &why).await,
            }
        }
    }
}

/// What comes after a turn.
#[derive(PartialEq, Eq)]
enum Next {
    Claim,
    Die,
}

fn failed(why: &str) -> Value {
    json!({"state": "failed", "error": why})
}

/// Shows what the mind writes while it writes it. Nobody waits for it, and nothing depends on it.
async fn show(plane: &Plane, turn: &str, mut written: watch::Receiver<String>) -> Infallible {
    while written.changed().await.is_ok() {
        let reply = written.borrow_and_update().clone();
        // A control plane that does not want it now may want the next.
        let _ = plane.progress(turn, &reply).await;
        tokio::time::sleep(SHOW_EVERY).await;
    }
    std::future::pending().await
}

/// Signs of life while the mind works; a part of the same task, so that it beats only while that task is run. Ends only
/// when the credential has.
async fn beat(plane: &Plane, turn: &str, every: Duration, started: Instant, output: Output) -> Error {
    let mut said = None;
    loop {
        tokio::time::sleep(every).await;
        match plane.heartbeat(Some(turn), started.elapsed()).await {
            Ok(_) => said = None,
            Err(Miss::Lost(problem)) => return lost(*problem),
            // The turn goes on without the control plane.
            Err(miss) => {
                let text = miss.text();
                if said.as_ref() != Some(&text) {
                    output.note(&format!("agent: heartbeat: {text}"));
                    said = Some(text);
                }
            }
        }
    }
}
