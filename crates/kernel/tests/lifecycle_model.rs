//! The lifecycle of agents in a small world: rows, a process that may crash, hang or work, a supervisor that does what
//! [`lifecycle::next`] says and may be killed anywhere, people who change things, a clock that jumps. The worlds come from
//! a fixed seed; a failure prints which one it was and what had happened in it.

#![expect(clippy::expect_used, reason = "a world that is not as the model has it ends the test")]

mod dice;

use dice::Dice;
use portcullis_kernel::{
    lifecycle::{Desired, Live, Retry, Seen, Step, StopWhy, Timings, View, external, next, retry},
    time::Timestamp,
    workspace::{Kind, Status},
};

const SEED: u64 = 34;
const WORLDS: u64 = 2_000;
/// Things that happen in one world before it calms down.
const EVENTS: usize = 120;
/// Passes of the supervisor in a row without anything left to do. More is a loop.
const PASSES_MAX: usize = 40;
/// A content with which nothing can be started.
const UNSTARTABLE: u64 = 3;

/// A run as its row has it.
#[derive(Debug, Clone)]
struct Run {
    boot: u64,
    generation: i64,
    content: u64,
    started_at: Timestamp,
    registered: bool,
    forced: bool,
    wants_handoff: bool,
    noted: bool,
}

/// Why a process is no more.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Exit {
    Itself,
    Stopped,
}

/// What really is there.
#[derive(Debug)]
struct Process {
    boot: u64,
    exit: Option<Exit>,
    /// It will never register.
    mute: bool,
    hangs: bool,
}

/// Everything there is. The rows survive the supervisor; `heard` and `adopted_at` do not.
struct World {
    dice: Dice,
    now: Timestamp,
    timings: Timings,
    calm: bool,
    story: Vec<String>,

    kind: Kind,
    desired: Desired,
    status: Status,
    reason: String,
    desired_generation: i64,
    apply_generation: i64,
    content: u64,
    /// Generations that were asked for by name.
    asked_restarts: Vec<i64>,
    drain_since: Option<Timestamp>,
    question: bool,
    run: Option<Run>,
    crashes: Vec<(i64, Timestamp)>,
    hopeless: Option<i64>,
    turn: Option<Timestamp>,
    turn_ended: Option<Timestamp>,
    queued: u32,

    process: Option<Process>,
    visible: bool,
    heard: Option<(u64, Timestamp)>,
    adopted_at: Timestamp,

    boots: u64,
    changes: usize,
    restarts: usize,
}

/// The supervisor was killed.
struct Killed;

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let kind = if dice.one_in(3) { Kind::Platform } else { Kind::Workspace };
        let now = Timestamp(1_781_136_480_000);
        Self {
            dice,
            now,
            timings: Timings::default(),
            calm: false,
            story: Vec::new(),
            kind,
            desired: Desired::Running,
            status: Status::Provisioning,
            reason: String::new(),
            desired_generation: 1,
            apply_generation: 0,
            content: 0,
            asked_restarts: Vec::new(),
            drain_since: None,
            question: false,
            run: None,
            crashes: Vec::new(),
            hopeless: None,
            turn: None,
            turn_ended: None,
            queued: 0,
            process: None,
            visible: true,
            heard: None,
            adopted_at: now,
            boots: 0,
            changes: 0,
            restarts: 0,
        }
    }

    fn tell(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.story.push(format!("{:>9}: {what}", self.now.0 % 1_000_000_000));
    }

    /// The supervisor may die here. What it knew beside the rows is gone.
    fn killed(&mut self) -> Result<(), Killed> {
        if self.calm || !self.dice.one_in(25) {
            return Ok(());
        }
        self.tell("the supervisor is killed");
        self.heard = None;
        self.adopted_at = self.now;
        Err(Killed)
    }

    fn show(&mut self, status: Status, reason: &str) {
        if self.desired == Desired::Removed {
            return;
        }
        assert!(
            status == self.status || self.status.may_become(status),
            "{:?} does not become {status:?}",
            self.status
        );
        if status != self.status {
            self.tell(format!("{status:?} {reason}"));
        }
        self.status = status;
        reason.clone_into(&mut self.reason);
    }

    fn restart_asked(&self, run: &Run) -> bool {
        self.asked_restarts.iter().any(|asked| *asked > run.generation && *asked <= self.desired_generation)
    }

    fn content_changed(&self) -> bool {
        let debt = |run: &&Run| run.generation < self.desired_generation;
        self.run.as_ref().filter(debt).is_some_and(|run| self.restart_asked(run) || run.content != self.content)
    }

    fn end_run(&mut self, crash: bool, cause: &str) {
        let Some(run) = self.run.take() else { return };
        self.tell(format!("boot {} ended: {cause}", run.boot));
        if crash {
            self.crashes.push((run.generation, self.now));
        }
        if self.turn.take().is_some() {
            self.tell("its turn is lost");
        }
        (self.turn_ended, self.drain_since, self.question) = (None, None, false);
        if crash {
            self.show(Status::Offline, "its agent ended by itself");
        } else if self.desired == Desired::Running {
            self.show(Status::Restarting, "");
        }
    }

    fn process_of(&mut self, boot: u64) -> Option<&mut Process> {
        self.process.as_mut().filter(|process| process.boot == boot)
    }

    /// One look of the supervisor. True: look again at once.
    fn pass(&mut self) -> Result<bool, Killed> {
        let mut seen = Seen::Running;
        if let Some(run) = self.run.clone() {
            let visible = self.visible;
            match self.process_of(run.boot).map(|process| process.exit) {
                _ if !visible => seen = Seen::Unknown,
                Some(None) => {}
                Some(Some(exit)) => {
                    self.end_run(exit == Exit::Itself, if exit == Exit::Itself { "exited" } else { "restart" });
                    return Ok(true);
                }
                None => {
                    self.end_run(false, "never_started");
                    return Ok(true);
                }
            }
        }
        let crashes: Vec<Timestamp> =
            self.crashes.iter().filter(|(of, _)| *of == self.desired_generation).map(|(_, at)| *at).collect();
        let live = self.run.as_ref().map(|run| Live {
            generation: run.generation,
            started_at: run.started_at,
            registered: run.registered,
            heard_at: match self.heard {
                Some((boot, at)) if boot == run.boot => at.max(self.adopted_at),
                _ => self.adopted_at.max(run.started_at),
            },
            troubled: false,
            seen,
            forced: run.forced,
            handed_off: !run.wants_handoff || run.noted,
        });
        let view = View {
            kind: self.kind,
            desired: self.desired,
            desired_generation: self.desired_generation,
            apply_generation: self.apply_generation,
            content_changed: self.content_changed(),
            live,
            turn_since: self.turn,
            turn_ended: self.turn_ended,
            drain_since: self.drain_since,
            unreadable: false,
            asked: self.question,
            crashes: &crashes,
            hopeless: self.hopeless.filter(|of| *of >= self.desired_generation).map(|_| "it cannot be started"),
        };
        let step = next(&view, self.now, &self.timings);
        assert_eq!(step, next(&view, self.now, &self.timings), "the same view gives another answer");
        self.judge(seen, &step);
        self.act(seen, step)
    }

    /// What no answer may be.
    fn judge(&mut self, seen: Seen, step: &Step) {
        let run = self.run.clone();
        match step {
            Step::Stop { why } => {
                let run = run.expect("what does not run is stopped");
                let by_hand = matches!(why, StopWhy::Remove | StopWhy::Forced);
                assert!(self.turn.is_none() || by_hand, "a turn is cut: {why:?}");
                assert!(seen == Seen::Running || by_hand, "what cannot be seen is stopped: {why:?}");
                match why {
                    StopWhy::Remove => assert_eq!(self.desired, Desired::Removed),
                    StopWhy::Forced => assert!(run.forced),
                    StopWhy::Pause => assert_eq!(self.desired, Desired::Paused),
                    StopWhy::Restart => {
                        assert!(self.drain_since.is_some(), "a restart without a drain");
                        assert!(run.generation < self.desired_generation);
                        assert!(
                            run.content != self.content || self.restart_asked(&run),
                            "equal content stops an agent"
                        );
                        let applied = self.kind == Kind::Workspace || self.apply_generation > run.generation;
                        assert!(applied, "the root is restarted and nobody said so");
                    }
                    StopWhy::NeverCame => {
                        assert!(!run.registered && self.kind == Kind::Workspace, "it came, or is the root")
                    }
                    StopWhy::Unresponsive => {
                        assert!(run.registered && self.kind == Kind::Workspace, "it never came, or is the root");
                    }
                }
            }
            Step::Start => {
                assert!(run.is_none() && self.desired == Desired::Running);
                assert!(self.turn.is_none(), "a turn without a run");
            }
            Step::Drain => assert!(self.drain_since.is_none() && run.is_some()),
            Step::Undrain => assert!(self.drain_since.is_some()),
            Step::Observe => {
                let run = run.expect("there is something to observe");
                assert!(run.generation < self.desired_generation && run.content == self.content);
            }
            Step::Ask => assert!((self.turn.is_some() || self.kind == Kind::Platform) && !self.question),
            Step::Wait { status, until, .. } => {
                assert!(until.is_none_or(|until| until > self.now), "it waits for what is past");
                assert!(*status != Status::Removed || self.desired == Desired::Removed);
            }
        }
    }

    fn act(&mut self, seen: Seen, step: Step) -> Result<bool, Killed> {
        match step {
            Step::Wait { status, reason, .. } => {
                self.show(status, &reason);
                return Ok(false);
            }
            Step::Start => {
                self.boots += 1;
                let (boot, unstartable) = (self.boots, self.content == UNSTARTABLE);
                self.tell(format!("boot {boot} for generation {}", self.desired_generation));
                self.run = Some(Run {
                    boot,
                    generation: self.desired_generation,
                    content: self.content,
                    started_at: self.now,
                    registered: false,
                    forced: false,
                    wants_handoff: self.dice.one_in(2),
                    noted: false,
                });
                self.drain_since = None;
                self.show(Status::Provisioning, "");
                self.killed()?;
                if unstartable {
                    self.hopeless = Some(self.desired_generation);
                    self.end_run(true, "start_failed");
                } else {
                    let mute = !self.calm && self.dice.one_in(12);
                    self.process = Some(Process { boot, exit: None, mute, hangs: false });
                    self.killed()?;
                }
            }
            Step::Drain => {
                self.drain_since = Some(self.now);
                self.show(Status::Draining, "");
            }
            Step::Undrain => (self.drain_since, self.question) = (None, false),
            Step::Observe => {
                let (generation, run) = (self.desired_generation, self.run.as_mut().expect("a run"));
                run.generation = generation;
            }
            Step::Ask => {
                self.tell("a human is asked");
                self.question = true;
            }
            Step::Stop { why } => {
                self.tell(format!("stop: {why:?}"));
                if seen == Seen::Unknown {
                    // Its runtime does not answer: it is tried again.
                    return Ok(false);
                }
                let boot = self.run.as_ref().map_or(0, |run| run.boot);
                if let Some(process) = self.process_of(boot) {
                    process.exit = Some(Exit::Stopped);
                }
                if why == StopWhy::Restart {
                    self.restarts += 1;
                }
                self.killed()?;
                self.end_run(why.is_crash(), why.as_str());
            }
        }
        self.killed()?;
        Ok(true)
    }

    /// The supervisor looks until there is nothing to do.
    fn supervise(&mut self) {
        for _ in 0..PASSES_MAX {
            match self.pass() {
                Ok(true) => {}
                Ok(false) | Err(Killed) => return,
            }
        }
        panic!("the supervisor does not come to rest");
    }

    /// What the agent does in a moment.
    fn work(&mut self) {
        let Some(boot) = self.run.as_ref().map(|run| run.boot) else { return };
        let (now, calm) = (self.now, self.calm);
        let (crashes, hangs) = (!calm && self.dice.one_in(30), !calm && self.dice.one_in(30));
        let (ends, notes) = (self.dice.one_in(3), self.dice.one_in(2));
        let Some(process) = self.process_of(boot).filter(|process| process.exit.is_none()) else { return };
        if crashes {
            process.exit = Some(Exit::Itself);
            return self.tell("the agent crashes");
        }
        if hangs {
            process.hangs = true;
            return self.tell("the agent hangs");
        }
        if process.hangs || process.mute {
            return;
        }
        self.heard = Some((boot, now));
        let takes = self.drain_since.is_none() && self.desired == Desired::Running;
        let run = self.run.as_mut().expect("a run");
        if !run.registered {
            run.registered = true;
            if takes {
                self.show(Status::Online, "");
            }
            return;
        }
        if self.turn.is_some() && ends {
            (self.turn, self.turn_ended) = (None, Some(now));
        } else if self.turn.is_none() && takes && self.queued > 0 {
            (self.turn, self.queued) = (Some(now), self.queued - 1);
        } else if self.turn.is_none() && !takes && notes {
            run.noted = true;
        }
    }

    fn intend(&mut self, by_name: bool) {
        self.desired_generation += 1;
        if by_name {
            self.asked_restarts.push(self.desired_generation);
        }
        self.changes += 1;
    }

    /// Somebody changes something, or something happens.
    fn event(&mut self) {
        if self.desired == Desired::Removed {
            return;
        }
        let root = self.kind == Kind::Platform;
        match self.dice.below(20) {
            0..=4 => {
                self.content = self.dice.below(5);
                self.tell(format!("the content is {}", self.content));
                self.intend(false);
            }
            5 if self.desired == Desired::Running => {
                self.tell("a human asks for a restart");
                self.apply_generation = self.desired_generation + 1;
                self.intend(true);
            }
            6 if self.run.as_ref().is_some_and(|run| run.generation < self.desired_generation) => {
                self.tell("a human applies");
                self.apply_generation = self.desired_generation + 1;
                self.intend(true);
            }
            7 if self.desired == Desired::Running => {
                self.tell("pause");
                self.desired = Desired::Paused;
                self.intend(true);
                self.status = if self.run.is_some() { Status::Draining } else { Status::Paused };
            }
            8 | 9 if self.desired == Desired::Paused => {
                self.tell("resume");
                self.desired = Desired::Running;
                self.status = Status::Provisioning;
            }
            10 if !root && self.dice.one_in(6) => {
                self.tell("remove");
                (self.desired, self.status) = (Desired::Removed, Status::Removed);
            }
            11 => self.force("a human forces a stop"),
            12 if self.question => self.force("a human agrees to cut the turn"),
            13 if self.question => {
                self.tell("a human does not agree");
                self.question = false;
            }
            14 => {
                self.visible = !self.visible;
                self.tell(format!("visible: {}", self.visible));
            }
            15 => {
                let by = i64::try_from(self.dice.below(3 * 3_600_000)).unwrap_or_default();
                self.tell(format!("the clock jumps by {by} ms"));
                self.now = self.now.plus_ms(by);
            }
            _ => self.queued += 1,
        }
    }

    fn force(&mut self, what: &str) {
        let Some(run) = self.run.as_mut() else { return };
        run.forced = true;
        self.tell(what);
        self.apply_generation = self.desired_generation + 1;
        self.intend(true);
    }

    fn moment(&mut self, ms_max: u64) {
        self.now = self.now.plus_ms(i64::try_from(self.dice.below(ms_max)).unwrap_or_default());
        self.work();
        self.supervise();
    }

    fn live(&mut self) {
        for _ in 0..EVENTS {
            self.event();
            for _ in 0..self.dice.below(5) {
                let most = if self.dice.one_in(6) { 400_000 } else { 8_000 };
                self.moment(most);
            }
        }
        self.tell("calm");
        (self.calm, self.visible) = (true, true);
        if let Some(process) = &mut self.process {
            process.mute = false;
        }
        for _ in 0..800 {
            if self.question {
                self.force("a human agrees to cut the turn");
            }
            self.moment(8_000);
        }
    }

    /// What must be true once nothing happens any more.
    fn at_rest(&self) {
        assert!(self.restarts <= self.changes, "{} restarts for {} changes", self.restarts, self.changes);
        assert!(self.turn.is_none() || self.run.is_some(), "a turn without a run");
        match (self.desired, &self.run) {
            (Desired::Removed, run) => assert!(run.is_none(), "what was removed runs"),
            (Desired::Paused, run) => assert!(run.is_none() && self.status == Status::Paused),
            (Desired::Running, None) => assert!(self.status == Status::Failed && !self.reason.is_empty()),
            (Desired::Running, Some(run)) => {
                assert_eq!(self.status, Status::Online, "{}", self.reason);
                assert!(self.drain_since.is_none() && self.queued == 0, "{} messages wait", self.queued);
                if run.generation < self.desired_generation {
                    assert!(self.kind == Kind::Platform && self.apply_generation < self.desired_generation);
                    assert!(!self.reason.is_empty(), "the debt is not shown");
                } else {
                    assert_eq!(run.content, self.content, "it runs on something older");
                }
            }
        }
    }
}

#[test]
fn whatever_happens_no_turn_is_cut_and_every_unit_comes_to_rest_on_what_is_wanted() {
    let (mut restarts, mut removed, mut debts, mut failed, mut asked) = (0, 0, 0, 0, 0);
    for n in 0..WORLDS {
        let seed = SEED.wrapping_mul(1_000_003).wrapping_add(n);
        let mut world = World::new(seed);
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.live();
            world.at_rest();
        }));
        if let Err(error) = lived {
            let told = world.story.iter().rev().take(40).rev().cloned().collect::<Vec<_>>().join("\n");
            eprintln!("world {n}, seed {seed}, {:?}:\n{told}", world.kind);
            std::panic::resume_unwind(error);
        }
        restarts += world.restarts;
        removed += usize::from(world.desired == Desired::Removed);
        failed += usize::from(world.status == Status::Failed);
        debts += usize::from(world.run.is_some_and(|run| run.generation < world.desired_generation));
        asked += usize::from(world.story.iter().any(|told| told.ends_with("a human is asked")));
    }
    // Worlds in which nothing of this happens would prove nothing.
    for (what, count) in
        [("restarts", restarts), ("removals", removed), ("debts", debts), ("failures", failed), ("questions", asked)]
    {
        assert!(count > 20, "only {count} {what}");
    }
}

const KINDS: [Kind; 2] = [Kind::Platform, Kind::Workspace];
const WANTED: [Desired; 3] = [Desired::Running, Desired::Paused, Desired::Removed];

/// Views that no world may ever come to: the function answers all the same.
#[test]
fn every_view_has_an_answer_and_the_answers_that_stop_an_agent_have_their_reasons() {
    let mut dice = Dice(SEED);
    let timings = Timings::default();
    let mut any = || {
        let far = [i64::MIN, i64::MAX, 0, -1];
        let near = i64::try_from(dice.below(3_000_000)).unwrap_or_default();
        Timestamp(if dice.one_in(20) { far[usize::try_from(dice.below(4)).unwrap_or_default()] } else { near })
    };
    let mut other = Dice(SEED + 1);
    let mut stops = 0;
    for n in 0..200_000_u64 {
        let (now, started_at, heard_at) = (any(), any(), any());
        let (turn, ended, drain) = (any(), any(), any());
        let crashes: Vec<Timestamp> = (0..other.below(8)).map(|_| any()).collect();
        let live = Live {
            generation: i64::try_from(other.below(4)).unwrap_or_default(),
            started_at,
            registered: other.one_in(2),
            heard_at,
            troubled: other.one_in(4),
            seen: if other.one_in(4) { Seen::Unknown } else { Seen::Running },
            forced: other.one_in(8),
            handed_off: other.one_in(2),
        };
        let view = View {
            kind: KINDS[usize::from(other.one_in(2))],
            desired: WANTED[usize::try_from(other.below(3)).unwrap_or_default()],
            desired_generation: i64::try_from(other.below(4)).unwrap_or_default(),
            apply_generation: i64::try_from(other.below(4)).unwrap_or_default(),
            content_changed: other.one_in(2),
            live: (!other.one_in(5)).then_some(live),
            turn_since: other.one_in(3).then_some(turn),
            turn_ended: other.one_in(3).then_some(ended),
            drain_since: other.one_in(2).then_some(drain),
            unreadable: other.one_in(6),
            asked: other.one_in(2),
            crashes: &crashes,
            hopeless: other.one_in(8).then_some("why"),
        };
        let step = next(&view, now, &timings);
        let what = format!("case {n} of seed {SEED}: {view:?} at {now:?}: {step:?}");
        let removed = view.desired == Desired::Removed;
        match (&step, view.live) {
            (Step::Stop { why }, Some(live)) => {
                stops += 1;
                assert!(!(why.is_crash() && view.kind == Kind::Platform), "{what}");
                let by_hand = (*why == StopWhy::Remove && removed) || (*why == StopWhy::Forced && live.forced);
                assert!(by_hand || (view.turn_since.is_none() && live.seen == Seen::Running), "{what}");
                let root = view.kind == Kind::Platform && view.apply_generation <= live.generation;
                assert!(*why != StopWhy::Restart || (view.content_changed && !root), "{what}");
            }
            (Step::Stop { .. } | Step::Drain | Step::Observe | Step::Undrain | Step::Ask, None) => panic!("{what}"),
            (Step::Start, live) => assert!(live.is_none() && view.desired == Desired::Running, "{what}"),
            (Step::Ask, _) => {
                let about = view.turn_since.is_some() || view.kind == Kind::Platform;
                assert!(about && !view.asked, "{what}");
            }
            (Step::Wait { status, .. }, live) => assert_eq!(*status == Status::Removed, removed && live.is_none()),
            _ => {}
        }
    }
    assert!(stops > 10_000);
}

#[test]
fn the_pause_after_crashes_grows_is_bounded_and_ends_in_giving_up() {
    let timings = Timings::default();
    let last = Timestamp(1_000_000);
    let mut before = 0;
    for count in 1..timings.crashes_max {
        let crashes = vec![last; count];
        let Retry::At(at) = retry(&crashes, last, &timings) else { panic!("{count}: it is started at once") };
        let pause = at.since_ms(last);
        assert!(pause >= before && pause > 0 && pause <= timings.crash_most_ms, "{count}: {pause}");
        before = pause;
        // Once it is time it stays so.
        for later in [0, 1, 1_000, timings.crash_window_ms, i64::MAX / 2] {
            assert_eq!(retry(&crashes, at.plus_ms(later), &timings), Retry::Now, "{count} {later}");
        }
        assert_eq!(retry(&crashes, at.plus_ms(-1), &timings), Retry::At(at));
    }
    assert_eq!(retry(&[], last, &timings), Retry::Now);
    for count in timings.crashes_max..timings.crashes_max + 40 {
        for later in [0, timings.crash_window_ms, i64::MAX / 2] {
            assert_eq!(retry(&vec![last; count], last.plus_ms(later), &timings), Retry::GiveUp, "{count} {later}");
        }
    }
    // Spread over more than the window they are not counted together, and the pause is the first one.
    let spread: Vec<Timestamp> = (0..20).map(|n| Timestamp(n * timings.crash_window_ms)).collect();
    let now = Timestamp(19 * timings.crash_window_ms);
    assert_eq!(retry(&spread, now, &timings), Retry::At(now.plus_ms(timings.crash_first_ms)));
    // A budget without an end still has a bound.
    let patient = Timings { crashes_max: usize::MAX, ..timings };
    let Retry::At(at) = retry(&vec![last; 500], last, &patient) else { panic!("no pause") };
    assert_eq!(at.since_ms(last), timings.crash_most_ms);
}

#[test]
fn an_agent_elsewhere_is_only_ever_shown_and_what_is_shown_can_follow() {
    let (mut dice, timings) = (Dice(SEED), Timings::default());
    for world in 0..500 {
        let (mut now, mut heard, mut status) = (Timestamp(1_000_000), None, Status::Provisioning);
        let mut desired = Desired::Running;
        for step in 0..200 {
            let what = format!("world {world}, step {step}, seed {SEED}");
            now = now.plus_ms(i64::try_from(dice.below(900_000)).unwrap_or_default());
            if dice.one_in(3) {
                heard = Some(now.plus_ms(-i64::try_from(dice.below(200_000)).unwrap_or_default()));
            }
            match dice.below(30) {
                0 if desired == Desired::Running => (desired, status) = (Desired::Paused, Status::Paused),
                1 if desired == Desired::Paused => (desired, status) = (Desired::Running, Status::Provisioning),
                2 if dice.one_in(5) => (desired, status) = (Desired::Removed, Status::Removed),
                _ => {}
            }
            let Step::Wait { status: shown, until, .. } = external(desired, heard, now, &timings) else {
                panic!("{what}: more than shown")
            };
            assert!(shown == status || status.may_become(shown), "{what}: {status:?} does not become {shown:?}");
            assert!(until.is_none_or(|until| until > now), "{what}");
            assert_eq!(shown == Status::Removed, desired == Desired::Removed, "{what}");
            status = shown;
        }
    }
}
