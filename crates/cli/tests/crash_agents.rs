//! `kill -9` of the server in each phase of its agents' lives, and at arbitrary moments: agents in a turn finish it, what
//! was begun is resumed by the next server, nothing is restarted twice for one change, nothing is worked on twice.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use kit::{
    AGENT_POINTS, FILES_POINT,
    fleet::{Dice, Fleet, HOLDS, digest, exec, text},
    want,
};
use portcullis_authority::testkit_db::{TestDb, databases};
use reqwest::Method;
use serde_json::json;

/// Decides when each SIGKILL comes.
const SEED: u64 = 0x0611_2b0b;
const KILLS: u64 = 4;
/// Latest moment of a SIGKILL after its round's changes, in milliseconds.
const KILL_MS: u64 = 700;
const SIGABRT: i32 = 6;

/// Two agents, one of them always in a turn when the server dies, and what was sent to them.
struct Crew {
    fleet: Fleet,
    busy: String,
    idle: String,
    /// Workspace, the sender's id and text of every message.
    sent: Vec<(String, String)>,
    /// Rounds so far.
    rounds: u64,
}

impl Crew {
    fn new(db: TestDb) -> Self {
        let mut fleet = Fleet::new(db, "");
        let busy = fleet.create("busy", exec(HOLDS), None);
        let idle = fleet.create("idle", exec(HOLDS), None);
        fleet.settled(&busy);
        fleet.settled(&idle);
        fleet.kill_server();
        Self { fleet, busy, idle, sent: Vec::new(), rounds: 0 }
    }

    /// Sends a message under its text as its id; `None` if the server died before it answered.
    fn send(&self, workspace: &str, message: &str) -> Option<String> {
        let body = json!({"text": format!("{message}\n"), "message_id": message.replace(' ', "-")});
        let path = format!("/workspaces/{workspace}/messages");
        let answer = self.fleet.ask_as(self.fleet.owner(), Method::POST, &path, Some(body))?;
        Some(text(&want(202, Some(answer)), "id"))
    }

    fn change(&self) -> Option<()> {
        let body = json!({"key": "KEY", "value": format!("the-value-of-round-{}", self.rounds)});
        let answer = self.fleet.ask_as(self.fleet.owner(), Method::POST, "/settings/secrets", Some(body))?;
        want(200, Some(answer));
        Some(())
    }

    /// One death of the server while one agent is in a turn, and everything that must hold after it.
    #[expect(clippy::print_stdout, reason = "how long it took is told, not asserted")]
    fn round(&mut self, what: &str, arm: Option<&str>, die: impl FnOnce(&mut Fleet)) {
        self.rounds += 1;
        let round = self.rounds;
        self.fleet.start_with(|command| {
            if let Some(point) = arm {
                command.env("PORTCULLIS_FAILPOINT", point);
            }
        });
        let (hold, go) = (format!("hold {round}"), format!("go {round}"));
        let held = self.send(&self.busy, &hold).unwrap();
        self.fleet.taken(&self.busy, &held);
        let boot = self.fleet.boot(&self.busy);
        // What is not answered is asked again of the next server.
        let changed = self.change();
        let sent = self.send(&self.idle, &go);
        die(&mut self.fleet);

        let working = self.fleet.processes_of(&self.busy);
        assert!(working.iter().any(|(_, command)| command.contains(" agent ")), "{what}: {working:?}");
        let ends_alone = round.is_multiple_of(2);
        if ends_alone {
            // The turn ends while there is no server.
            self.fleet.touch(&self.busy, &round.to_string());
        }
        self.fleet.start();
        let begun = Instant::now();
        if changed.is_none() {
            self.change().unwrap();
        }
        let sent = sent.or_else(|| self.send(&self.idle, &go)).unwrap();
        self.fleet.settled(&self.idle);
        println!("{what}: everything was resumed {} ms after the start", begun.elapsed().as_millis());
        if !ends_alone {
            let before = self.fleet.message(&self.busy, &held);
            assert_eq!((&before["status"], self.fleet.boot(&self.busy)), (&json!("delivered"), boot.clone()), "{what}");
            self.fleet.touch(&self.busy, &round.to_string());
        }

        assert!(self.fleet.reply(&self.busy, &held).starts_with(&hold), "{what}");
        assert!(self.fleet.reply(&self.idle, &sent).starts_with(&go), "{what}");
        self.sent.extend([(self.busy.clone(), hold), (self.idle.clone(), go)]);
        let turns = self.fleet.turns(&self.busy);
        let turn = turns.iter().find(|turn| turn["message_id"] == held.as_str()).unwrap();
        assert_eq!(turn["boot_id"], boot.as_str(), "{what}: the turn was finished by whoever began it");
        for id in [&self.busy, &self.idle] {
            self.fleet.settled(id);
            self.stands(id, what);
        }
        self.fleet.kill_server();
        self.fleet.verified();
    }

    fn stands(&self, id: &str, what: &str) {
        let mut started: BTreeMap<i64, u32> = BTreeMap::new();
        let runs = self.fleet.runs(id);
        // A run that was recorded and never started is not one: the server died in between.
        for run in runs.iter().filter(|run| run["cause"] != "never_started") {
            *started.entry(run["generation"].as_i64().unwrap()).or_default() += 1;
        }
        assert!(started.values().all(|count| *count == 1), "{what}: restarted twice for one change: {runs:?}");
        assert!(runs.iter().all(|run| run["crash"] == false), "{what}: {runs:?}");
        assert_eq!(runs.iter().filter(|run| run["state"] == "live").count(), 1, "{what}: {runs:?}");
        let turns = self.fleet.turns(id);
        assert!(turns.iter().all(|turn| turn["state"] == "completed"), "{what}: {turns:?}");
        let agents = self.fleet.processes_of(id);
        let agents: BTreeSet<_> = agents.iter().filter(|(_, command)| command.contains(" agent ")).collect();
        assert_eq!(agents.len(), 1, "{what}: {agents:?}");

        let worked = std::fs::read_to_string(self.fleet.work(id).join("ran")).unwrap();
        let worked: Vec<_> = worked.lines().collect();
        let sent: Vec<_> = self.sent.iter().filter(|(to, _)| to == id).map(|(_, message)| message.as_str()).collect();
        assert_eq!(worked, sent, "{what}");
    }
}

#[test]
fn a_crash_in_any_phase_of_an_agents_life_cuts_no_turn_and_repeats_nothing() {
    for db in databases() {
        let engine = db.engine;
        let mut crew = Crew::new(db);
        for point in AGENT_POINTS {
            // The first message of a round is the one that holds the turn.
            let at = if point == "turn.after_claim" { 2 } else { 1 };
            let (what, point) = (format!("{engine} {point}"), format!("{point}:{at}"));
            crew.round(&what, Some(&point), |fleet| {
                let (status, log) = fleet.crashed();
                assert_eq!(status.signal(), Some(SIGABRT), "{what}: {log}");
            });
        }
    }
}

#[test]
fn a_kill_at_any_moment_cuts_no_turn_and_repeats_nothing() {
    for db in databases() {
        let (engine, mut dice) = (db.engine, Dice(SEED));
        let mut crew = Crew::new(db);
        for kill in 0..KILLS {
            let after = dice.below(KILL_MS);
            let what = format!("{engine} kill {kill} after {after} ms (seed {SEED:#x})");
            crew.round(&what, None, |fleet| {
                std::thread::sleep(Duration::from_millis(after));
                fleet.kill_server();
            });
        }
    }
}

/// A file that was released and not put in its place is put there by the next server: no change is lost.
#[test]
fn files_that_were_released_and_not_put_in_their_place_are_put_by_the_next_server() {
    let mut fleet = Fleet::new(TestDb::sqlite(), "");
    let script = "sha256sum \"$PORTCULLIS_SECRETS_DIR/FILE_KEY\" | cut -c1-16";
    let id = fleet.create("reader", exec(script), None);
    fleet.settled(&id);
    let boot = fleet.boot(&id);
    fleet.kill_server();
    fleet.start_with(|command| {
        command.env("PORTCULLIS_FAILPOINT", format!("{FILES_POINT}:1"));
    });
    let body = json!({"key": "FILE_KEY", "value": "the-value-of-a-file", "delivery": "file"});
    let path = format!("/workspaces/{id}/secrets");
    // The server may die before it has answered.
    let _ = fleet.ask_as(fleet.owner(), Method::POST, &path, Some(body));
    let (status, log) = fleet.crashed();
    assert_eq!(status.signal(), Some(SIGABRT), "{log}");
    fleet.start();
    fleet.settled(&id);
    assert_eq!(fleet.ask(&id, "what is it?").trim(), digest("the-value-of-a-file"));
    assert_eq!(fleet.boot(&id), boot, "a file needs no restart");
    fleet.verified();
}
