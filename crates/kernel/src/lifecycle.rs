//! What to do next with one workspace's agent: a pure function of what is wanted, what is seen and what time it is.
//!
//! The reconciler asks it again whenever anything may have changed; it has no memory, so a crash of the control plane
//! loses nothing. What cannot be seen is waited for, never taken for down. A turn is never cut by a change: the
//! only answers that stop an agent are [`Step::Stop`] without an open turn, a removal, a human's force-stop, and an agent
//! that never came up or fell silent without a turn.

use crate::{
    time::Timestamp,
    workspace::{Kind, Status},
};

/// How long things may take. In milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// A turn that is waited for longer than this becomes a question to a human (design §7: 10 min).
    pub drain_ms: i64,
    /// An agent that has not been heard by then never came up (R-57: a warming agent is left alone until then).
    pub provision_ms: i64,
    /// How long a drained agent may take to write its hand-off note.
    pub handoff_ms: i64,
    /// Between the request to stop and the kill.
    pub grace_ms: i64,
    /// Silence after which an agent counts as in trouble.
    pub silent_ms: i64,
    /// Silence after which an agent without a turn is started anew; with one, a human is asked.
    pub unresponsive_ms: i64,
    /// First pause after a crash; doubles with each further one.
    pub crash_first_ms: i64,
    /// Longest pause after a crash.
    pub crash_most_ms: i64,
    /// Crashes within [`Timings::crash_window_ms`] after which it is given up.
    pub crashes_max: usize,
    /// See [`Timings::crashes_max`].
    pub crash_window_ms: i64,
    /// How long an external agent may be silent before it counts as offline.
    pub external_offline_ms: i64,
}

impl Default for Timings {
    fn default() -> Self {
        const SECOND: i64 = 1000;
        const MINUTE: i64 = 60 * SECOND;
        Self {
            drain_ms: 10 * MINUTE,
            provision_ms: 2 * MINUTE,
            handoff_ms: 3 * SECOND,
            grace_ms: 10 * SECOND,
            silent_ms: 90 * SECOND,
            unresponsive_ms: 5 * MINUTE,
            crash_first_ms: SECOND,
            crash_most_ms: MINUTE,
            crashes_max: 5,
            crash_window_ms: 10 * MINUTE,
            external_offline_ms: 10 * MINUTE,
        }
    }
}

/// What is wanted of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Desired {
    /// Its agent runs.
    Running,
    /// Its agent is stopped until it is resumed.
    Paused,
    /// It is gone.
    Removed,
}

impl Desired {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Removed => "removed",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Removed].into_iter().find(|desired| desired.as_str() == word)
    }
}

/// What the runtime says about the run that should be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It runs.
    Running,
    /// Nobody can say at the moment.
    Unknown,
}

/// The run that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// The generation it was started for.
    pub generation: i64,
    /// When it was started.
    pub started_at: Timestamp,
    /// It registered, or claimed a message, at least once.
    pub registered: bool,
    /// When its working loop was last heard; for a run that was adopted, when it was adopted.
    pub heard_at: Timestamp,
    /// It says itself that it is in trouble.
    pub troubled: bool,
    /// What the runtime sees.
    pub seen: Seen,
    /// A human asked for it to be stopped at once.
    pub forced: bool,
    /// It has written its hand-off note, or does not write any.
    pub handed_off: bool,
}

/// Everything [`next`] is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<'a> {
    /// The root is never restarted by itself.
    pub kind: Kind,
    /// What is wanted.
    pub desired: Desired,
    /// Raised by every change an agent must restart for.
    pub desired_generation: i64,
    /// Up to which generation a human has let the root be restarted.
    pub apply_generation: i64,
    /// What a start now would give the agent differs from what the live run has, or a restart was asked for by name.
    pub content_changed: bool,
    /// A secret of it cannot be opened, so a start now would give it nothing. What runs goes on running.
    pub unreadable: bool,
    /// The run that has not ended.
    pub live: Option<Live>,
    /// Since when a turn is open.
    pub turn_since: Option<Timestamp>,
    /// When the last turn of the live run ended.
    pub turn_ended: Option<Timestamp>,
    /// Since when no new message is delivered.
    pub drain_since: Option<Timestamp>,
    /// A human was asked about the turn that does not end.
    pub asked: bool,
    /// When runs ended by themselves since somebody else than the agent last changed something about it, oldest first.
    pub crashes: &'a [Timestamp],
    /// Why it cannot be started however often it is tried, with this generation.
    pub hopeless: Option<&'a str>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing but to show this, and to look again then, or when something changes.
    Wait {
        /// What the workspace is.
        status: Status,
        /// Why, in a sentence; empty when there is nothing to say.
        reason: String,
        /// When time alone changes the answer.
        until: Option<Timestamp>,
    },
    /// Start a run of the desired generation.
    Start,
    /// Deliver no new message.
    Drain,
    /// Deliver messages again: what it was drained for is no longer wanted.
    Undrain,
    /// Ask it to stop, then kill.
    Stop {
        /// Why, for the log.
        why: StopWhy,
    },
    /// The live run has what is wanted: note it.
    Observe,
    /// Put the question whether to cut the turn before a human.
    Ask,
}

/// Why a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopWhy {
    /// To start again with what changed.
    Restart,
    /// The workspace is paused.
    Pause,
    /// The workspace is removed.
    Remove,
    /// A human said so.
    Forced,
    /// It never registered.
    NeverCame,
    /// Its working loop is not heard any more.
    Unresponsive,
}

impl StopWhy {
    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Remove => "remove",
            Self::Forced => "forced",
            Self::NeverCame => "never_registered",
            Self::Unresponsive => "unresponsive",
        }
    }

    /// Whether it counts as the agent's own failure.
    pub const fn is_crash(self) -> bool {
        matches!(self, Self::NeverCame | Self::Unresponsive)
    }
}

/// Whether, and when, to start again after crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Now.
    Now,
    /// Then.
    At(Timestamp),
    /// Not before a human, or a change, says so.
    GiveUp,
}

/// The back-off: doubles from crash to crash, and ends when the budget of the window is used up. A pure function of when
/// the crashes were; a change by anybody but the agent itself begins anew.
pub fn retry(crashes: &[Timestamp], now: Timestamp, timings: &Timings) -> Retry {
    let Some(last) = crashes.last() else { return Retry::Now };
    let within = |at: &&Timestamp| last.since_ms(**at) < timings.crash_window_ms;
    let recent = crashes.iter().rev().take_while(within).count();
    if recent >= timings.crashes_max {
        return Retry::GiveUp;
    }
    let doubled = timings.crash_first_ms.saturating_mul(1 << recent.saturating_sub(1).min(30));
    let at = last.plus_ms(doubled.min(timings.crash_most_ms));
    if now >= at { Retry::Now } else { Retry::At(at) }
}

fn wait(status: Status, reason: impl Into<String>, until: Option<Timestamp>) -> Step {
    Step::Wait { status, reason: reason.into(), until }
}

/// Said of a run that cannot be seen.
const UNSEEN: &str = "its runtime does not say whether it runs";

/// What to do next with a workspace whose agent Portcullis runs itself. Total; the same view gives the same answer.
pub fn next(view: &View<'_>, now: Timestamp, timings: &Timings) -> Step {
    let Some(live) = &view.live else { return without_run(view, now, timings) };
    if view.desired == Desired::Removed {
        return Step::Stop { why: StopWhy::Remove };
    }
    if live.forced {
        return Step::Stop { why: StopWhy::Forced };
    }
    if view.desired == Desired::Paused {
        return drain(view, live, now, timings, StopWhy::Pause);
    }
    if live.generation < view.desired_generation && !view.unreadable {
        if !view.content_changed {
            return Step::Observe;
        }
        // The root waits for a human, whatever changed. One who applied meant this run, and what came since comes along:
        // or an organisation that changes often would never get its root restarted.
        if view.kind != Kind::Platform || view.apply_generation > live.generation {
            return drain(view, live, now, timings, StopWhy::Restart);
        }
    }
    match watch(view, live, now, timings) {
        // First no turn may begin, then it is looked at again: it may have come up since it was looked at.
        Step::Stop { .. } if view.drain_since.is_none() => Step::Drain,
        stop @ Step::Stop { .. } => stop,
        _ if view.drain_since.is_some() => Step::Undrain,
        step => step,
    }
}

fn without_run(view: &View<'_>, now: Timestamp, timings: &Timings) -> Step {
    match view.desired {
        Desired::Removed => return wait(Status::Removed, "", None),
        Desired::Paused => return wait(Status::Paused, "", None),
        Desired::Running => {}
    }
    if let Some(why) = view.hopeless {
        return wait(Status::Failed, why, None);
    }
    let count = view.crashes.len();
    match retry(view.crashes, now, timings) {
        Retry::GiveUp => {
            let minutes = timings.crash_window_ms / 60_000;
            wait(Status::Failed, format!("it ended by itself {count} times within {minutes} min"), None)
        }
        Retry::At(at) => {
            wait(Status::Offline, format!("it ended by itself {count} times; it is started again"), Some(at))
        }
        Retry::Now => Step::Start,
    }
}

/// Towards a stop at the turn boundary.
fn drain(view: &View<'_>, live: &Live, now: Timestamp, timings: &Timings, why: StopWhy) -> Step {
    let Some(since) = view.drain_since else { return Step::Drain };
    if view.turn_since.is_some() {
        let deadline = since.plus_ms(timings.drain_ms);
        if now < deadline {
            return wait(Status::Draining, "waits for the running turn to end", Some(deadline));
        }
        if !view.asked {
            return Step::Ask;
        }
        return wait(Status::Draining, "a turn outlasts the deadline; a human was asked", None);
    }
    if live.seen == Seen::Unknown {
        return wait(Status::Draining, UNSEEN, None);
    }
    let idle_since = view.turn_ended.map_or(since, |ended| ended.max(since));
    let handoff_until = idle_since.plus_ms(timings.handoff_ms);
    if live.registered && !live.handed_off && now < handoff_until {
        return wait(Status::Draining, "writes its hand-off note", Some(handoff_until));
    }
    Step::Stop { why }
}

/// A run that is to go on as it is.
fn watch(view: &View<'_>, live: &Live, now: Timestamp, timings: &Timings) -> Step {
    let debt = live.generation < view.desired_generation;
    let debt = match (debt, view.unreadable) {
        (true, true) => "a secret of it cannot be opened; what waits cannot reach it",
        (true, false) => "a change waits until a human applies it",
        (false, _) => "",
    };
    if live.seen == Seen::Unknown {
        let status = if live.registered { Status::Degraded } else { Status::Provisioning };
        return wait(status, UNSEEN, None);
    }
    // Whoever has a turn was heard, whatever the row of its run says.
    if !live.registered && view.turn_since.is_none() {
        let until = live.started_at.plus_ms(timings.provision_ms);
        if now < until {
            return wait(Status::Provisioning, "", Some(until));
        }
        // A root that warms up longer than expected was once restarted in a loop: a human decides.
        return match (view.kind, view.asked) {
            (Kind::Workspace, _) => Step::Stop { why: StopWhy::NeverCame },
            (Kind::Platform, false) => Step::Ask,
            (Kind::Platform, true) => wait(Status::Provisioning, "it does not register; a human was asked", None),
        };
    }
    let silent_at = live.heard_at.plus_ms(timings.silent_ms);
    if now < silent_at {
        let (status, reason) =
            if live.troubled { (Status::Degraded, "it reports errors") } else { (Status::Online, debt) };
        return wait(status, reason, Some(silent_at));
    }
    let lost_at = live.heard_at.plus_ms(timings.unresponsive_ms);
    if now < lost_at {
        return wait(Status::Degraded, "its working loop is silent", Some(lost_at));
    }
    // The root is not stopped by itself, in a turn or not; nobody is in one.
    match (view.turn_since.is_some() || view.kind == Kind::Platform, view.asked) {
        (false, _) => Step::Stop { why: StopWhy::Unresponsive },
        (true, false) => Step::Ask,
        (true, true) => wait(Status::Degraded, "its working loop is silent; a human was asked", None),
    }
}

/// What an agent that runs elsewhere is, by when it was last heard. Nothing is ever started or stopped for it.
pub fn external(desired: Desired, heard_at: Option<Timestamp>, now: Timestamp, timings: &Timings) -> Step {
    match (desired, heard_at) {
        (Desired::Removed, _) => wait(Status::Removed, "", None),
        (Desired::Paused, _) => wait(Status::Paused, "", None),
        (Desired::Running, None) => wait(Status::Provisioning, "", None),
        (Desired::Running, Some(heard)) => {
            let (silent, gone) = (heard.plus_ms(timings.silent_ms), heard.plus_ms(timings.external_offline_ms));
            if now < silent {
                wait(Status::Online, "", Some(silent))
            } else if now < gone {
                wait(Status::Degraded, "it is not heard", Some(gone))
            } else {
                wait(Status::Offline, "it is not heard", None)
            }
        }
    }
}
