//! Everything at once, for as long as is asked: writes, approvals, refusals, reads, messages to live agents and an event
//! stream, while server, agents and PostgreSQL are stopped and killed one after the other. At the end a ledger of what was
//! answered is compared with what is there. `cargo xtask soak --minutes N`; in the tests a short one.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use kit::{
    ADMIN, Actor,
    cluster::Cluster,
    fleet::{Fleet, OWNER, exec, text},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portcullis_authority::testkit_db::TestDb;
use serde_json::{Value, json};

/// How long each part lasts, in seconds, unless asked for minutes.
const SHORT_S: u64 = 12;
/// Between two blows.
const LIFE: Duration = Duration::from_secs(3);
/// A client rests this long after each request: what is tried is time, not speed.
const REST: Duration = Duration::from_millis(15);
/// The second half may need so much more memory than the first, in KiB: what caches and allocators keep.
const GROWTH_KIB_MAX: u64 = 24 * 1024;
/// What every message leaves behind outside of the database, once.
const NOTES_IT: &str = "read -r line; echo \"$line\" >> noted; echo \"noted $line\"";

/// What the clients were told.
#[derive(Default)]
struct Told {
    /// Answered with success, and asked without an answer, by kind.
    done: BTreeMap<&'static str, i64>,
    open: BTreeMap<&'static str, i64>,
    refused: i64,
    /// Messages that were accepted, by their text.
    accepted: BTreeSet<String>,
    /// The last event seen, and how many.
    position: i64,
    events: i64,
    reads: i64,
}

struct Load {
    url: String,
    owner: Actor,
    admin: Actor,
    root: String,
    written: String,
    agents: Vec<String>,
    stop: AtomicBool,
    told: Mutex<Told>,
}

impl Load {
    fn told<T>(&self, tell: impl FnOnce(&mut Told) -> T) -> T {
        tell(&mut self.told.lock().unwrap())
    }

    /// Counts an answer: success, a refusal that says nothing was done, or nobody knows.
    fn counts(&self, kind: &'static str, answer: Option<&(u16, Value)>, success: u16) -> bool {
        let done = matches!(answer, Some((status, _)) if *status == success);
        // What came in between may have been done and its answer lost.
        let known = done || matches!(answer, Some((status, _)) if *status < 500);
        assert!(known || answer.is_none_or(|(status, _)| *status == 503), "{kind}: {answer:?}");
        self.told(|told| {
            if done {
                *told.done.entry(kind).or_default() += 1;
            } else if !known {
                *told.open.entry(kind).or_default() += 1;
            }
        });
        done
    }

    async fn writes(&self, key: &str) {
        for n in 0.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let path = format!("/workspaces/{}/secrets", self.written);
            let answer = self.owner.post(&self.url, &path, json!({"key": key, "value": format!("value-{n}")})).await;
            self.counts("write", answer.as_ref(), 200);
            tokio::time::sleep(REST).await;
        }
    }

    /// The root agent asks, the owner agrees.
    async fn asks(&self) {
        for n in 0.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let path = format!("/workspaces/{}/secrets", self.written);
            let held = self.admin.post(&self.url, &path, json!({"key": "ASKED", "value": format!("asked-{n}")})).await;
            if self.counts("hold", held.as_ref(), 202) {
                let approval = text(&held.unwrap().1, "approval_id");
                let path = format!("/approvals/{approval}/decide");
                // Until it is decided, or the pending ones would pile up.
                loop {
                    let decided = self.owner.post(&self.url, &path, json!({"decision": "approved"})).await;
                    match decided {
                        Some((status, _)) if status < 500 => break,
                        _ if self.stop.load(SeqCst) => break,
                        _ => tokio::time::sleep(REST).await,
                    }
                }
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// The root agent writes to itself, with other keys each time: nobody answers from memory.
    async fn is_refused(&self) {
        for n in 0.. {
            if self.stop.load(SeqCst) {
                return;
            }
            let path = format!("/workspaces/{}/secrets", self.root);
            let body = json!({"key": format!("NEVER_{}", n % 400), "value": "v"});
            match self.admin.post(&self.url, &path, body).await {
                Some((403, body)) => {
                    assert_eq!(body["code"], "CONCIERGE_SELF_WRITE_BLOCKED", "{body}");
                    self.told(|told| told.refused += 1);
                }
                Some((503 | 429, _)) | None => {}
                other => panic!("the root agent was not refused: {other:?}"),
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn reads(&self) {
        while !self.stop.load(SeqCst) {
            for path in ["/workspaces", "/audit?limit=50", "/approvals/pending"] {
                match self.owner.get(&self.url, path).await {
                    Some((200, _)) => self.told(|told| told.reads += 1),
                    Some((503, _)) | None => {}
                    other => panic!("{path}: {other:?}"),
                }
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// Each message has an id of its own and is sent until it is accepted: again is not twice.
    async fn talks(&self, agent: &str) {
        for n in 0.. {
            let words = format!("{agent}/{n}");
            let body = json!({"text": words, "message_id": format!("soak-{n}")});
            loop {
                if self.stop.load(SeqCst) {
                    return;
                }
                match self.owner.post(&self.url, &format!("/workspaces/{agent}/messages"), body.clone()).await {
                    Some((200 | 202, _)) => break,
                    Some((503 | 429, _)) | None => tokio::time::sleep(REST).await,
                    other => panic!("a message: {other:?}"),
                }
            }
            self.told(|told| told.accepted.insert(words));
            tokio::time::sleep(REST * 10).await;
        }
    }

    /// Follows the events, across restarts from where it was: each once, none left out.
    async fn listens(&self) {
        let client = reqwest::Client::new();
        while !self.stop.load(SeqCst) {
            let after = self.told(|told| told.position);
            let mut request = client.get(format!("{}/events?after={after}", self.url));
            request = request.header("cookie", self.owner.shows("cookie").unwrap());
            let Ok(mut answer) = request.send().await else {
                tokio::time::sleep(REST).await;
                continue;
            };
            let mut text = String::new();
            while !self.stop.load(SeqCst) {
                let next = tokio::time::timeout(LIFE, answer.chunk()).await;
                match next {
                    Err(_) => continue,
                    Ok(Ok(Some(bytes))) => text.push_str(std::str::from_utf8(&bytes).unwrap()),
                    Ok(Ok(None) | Err(_)) => break,
                }
                while let Some((event, rest)) = text.split_once("\n\n") {
                    assert!(!event.contains("event: reset"), "events were lost: {event}");
                    let id = event.lines().find_map(|line| line.strip_prefix("id: ")).and_then(|id| id.parse().ok());
                    if let Some(id) = id {
                        self.told(|told| {
                            assert_eq!(id, told.position + 1, "an event was left out, or came twice");
                            (told.position, told.events) = (id, told.events + 1);
                        });
                    }
                    text = rest.to_owned();
                }
            }
        }
    }

    async fn run(self: Arc<Self>) {
        tokio::join!(
            self.writes("WRITTEN_A"),
            self.writes("WRITTEN_B"),
            self.asks(),
            self.is_refused(),
            self.reads(),
            self.talks(&self.agents[0]),
            self.talks(&self.agents[1]),
            self.listens(),
        );
    }
}

/// How long, if more than a moment was asked for.
#[expect(clippy::disallowed_methods, reason = "`cargo xtask soak` says so, and nothing else")]
fn lasts() -> Duration {
    let minutes = std::env::var("PORTCULLIS_SOAK_MINUTES").ok().map(|minutes| minutes.parse::<u64>().unwrap());
    // Two engines share it.
    Duration::from_secs(minutes.map_or(SHORT_S, |minutes| minutes * 60 / 2))
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse().unwrap()
}

/// What falls down, one after the other.
#[derive(Clone, Copy, Debug)]
enum Blow {
    ServerKilled,
    ServerStopped,
    AgentKilled,
    PostgresStopped,
    Nothing,
}

const BLOWS: [Blow; 5] =
    [Blow::ServerKilled, Blow::AgentKilled, Blow::PostgresStopped, Blow::ServerStopped, Blow::Nothing];

fn strike(blow: Blow, fleet: &mut Fleet, agent: &str, cluster: Option<&mut Cluster>) {
    match (blow, cluster) {
        (Blow::ServerKilled, _) => {
            fleet.kill_server();
            fleet.start();
        }
        (Blow::ServerStopped, _) => {
            kill(Pid::from_raw(i32::try_from(fleet.server_pid()).unwrap()), Signal::SIGTERM).unwrap();
            let (status, log) = fleet.crashed();
            assert!(status.success(), "{status}: {log}");
            fleet.start();
        }
        (Blow::AgentKilled, _) => {
            // Shim and agent: the one is found by its lock, the other by its boot.
            for (pid, _) in fleet.processes_of(agent) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        (Blow::PostgresStopped, Some(cluster)) => {
            cluster.stop(Signal::SIGQUIT);
            cluster.run(&[]);
        }
        (Blow::PostgresStopped, None) | (Blow::Nothing, _) => {}
    }
}

fn soaks(db: TestDb, mut cluster: Option<Cluster>) {
    // Agents are killed more often here than a crash loop would be.
    let mut fleet = Fleet::new(db, "crashes = 100");
    let agents = ["one", "two"].map(|name| fleet.create(name, exec(NOTES_IT), None));
    let written = text(&fleet.post("/workspaces", Some(json!({"name": "written"})), 201), "id");
    agents.iter().for_each(|agent| drop(fleet.settled(agent)));
    let load = Arc::new(Load {
        url: fleet.url(),
        owner: fleet.run(Actor::session(&fleet.url(), OWNER)),
        admin: Actor::bearer(ADMIN),
        root: fleet.root(),
        written,
        agents: agents.to_vec(),
        stop: AtomicBool::new(false),
        told: Mutex::default(),
    });
    let runtime = kit::runtime();
    let clients = runtime.spawn(Arc::clone(&load).run());
    let (begun, lasts, mut samples) = (Instant::now(), lasts(), Vec::new());
    for blow in BLOWS.into_iter().cycle() {
        let life = Instant::now();
        while life.elapsed() < LIFE {
            assert!(!clients.is_finished(), "a client found something wrong; see above");
            std::thread::sleep(REST);
        }
        samples.push(resident_kib(fleet.server_pid()));
        if begun.elapsed() >= lasts {
            break;
        }
        strike(blow, &mut fleet, &agents[0], cluster.as_mut());
    }
    // Everybody gets well, then stops.
    agents.iter().for_each(|agent| drop(fleet.settled(agent)));
    load.stop.store(true, SeqCst);
    runtime.block_on(clients).unwrap();
    ledger(&fleet, &load, &agents, &samples);
}

fn ledger(fleet: &Fleet, load: &Load, agents: &[String; 2], samples: &[u64]) {
    fleet.until("every message has its end", || {
        (fleet.db.integer("SELECT COUNT(*) FROM messages WHERE state IN ('queued', 'delivered')") == 0).then_some(())
    });
    let told = load.told.lock().unwrap();
    let count = |kind| (told.done.get(kind).copied().unwrap_or(0), told.open.get(kind).copied().unwrap_or(0));
    for (kind, sql) in [
        ("write", "SELECT COUNT(*) FROM secret_versions WHERE key LIKE 'WRITTEN%'"),
        ("hold", "SELECT COUNT(*) FROM approvals"),
    ] {
        let ((done, open), there) = (count(kind), fleet.db.integer(sql));
        assert!(done > 0, "no {kind}");
        assert!((done..=done + open).contains(&there), "{kind}: {done} were answered, {open} not, {there} are there");
    }
    let twice = "SELECT COUNT(*) FROM secret_versions v WHERE v.approval_id IS NOT NULL AND \
                 (SELECT COUNT(*) FROM secret_versions o WHERE o.approval_id = v.approval_id) > 1";
    assert_eq!(fleet.db.integer(twice), 0, "an approval was applied twice");
    let unexplained = "SELECT COUNT(*) FROM secret_versions v WHERE NOT EXISTS \
                       (SELECT 1 FROM audit a WHERE a.seq = v.audit_id AND a.outcome = 'done')";
    assert_eq!(fleet.db.integer(unexplained), 0, "a version without its event");
    assert!(told.refused > 0 && told.reads > 0 && told.events > 0 && !told.accepted.is_empty(), "there was no load");

    // What the messages left behind outside: completed ones once, others at most once.
    let completed: BTreeSet<String> = fleet
        .db
        .texts("SELECT body FROM messages WHERE direction = 'in' AND state = 'completed'")
        .into_iter()
        .collect();
    let mut noted = BTreeMap::<String, usize>::new();
    for agent in agents {
        let text = fs::read_to_string(fleet.work(agent).join("noted")).unwrap_or_default();
        text.lines().for_each(|line| *noted.entry(line.to_owned()).or_default() += 1);
    }
    let doubled: Vec<_> = noted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "delivered twice: {doubled:?}");
    let lost: Vec<_> = completed.iter().filter(|words| !noted.contains_key(*words)).collect();
    assert!(lost.is_empty(), "completed and not done: {lost:?}");
    let known: BTreeSet<String> =
        fleet.db.texts("SELECT body FROM messages WHERE direction = 'in'").into_iter().collect();
    let dropped: Vec<_> = told.accepted.difference(&known).collect();
    assert!(dropped.is_empty(), "accepted and lost: {dropped:?}");

    fleet.verified();
    let (first, second) = samples.split_at(samples.len() / 2);
    let mean = |half: &[u64]| half.iter().sum::<u64>() / half.len().max(1) as u64;
    let (before, after) = (mean(first), mean(second));
    let engine = fleet.db.engine;
    let line = format!(
        "{engine}: {:?} answered, {:?} open, {} refused, {} read, {} messages, {} events, {} lives, {before} KiB then {after} KiB",
        told.done,
        told.open,
        told.refused,
        told.reads,
        told.accepted.len(),
        told.events,
        samples.len()
    );
    assert!(after < before + GROWTH_KIB_MAX, "memory grows: {line}: {samples:?}");
    // For `cargo xtask soak`, which shows it; elsewhere nobody misses it.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[test]
fn everything_at_once_loses_and_doubles_nothing_while_everything_falls_down_on_sqlite() {
    soaks(TestDb::sqlite(), None);
}

#[test]
fn everything_at_once_loses_and_doubles_nothing_while_everything_falls_down_on_postgres() {
    let cluster = Cluster::start(&[]);
    let mut db = TestDb::sqlite();
    db.engine = "postgres";
    db.target = portcullis_authority::testkit_db::target(&cluster.url(), &db.data_dir);
    db.url = Some(cluster.url());
    soaks(db, Some(cluster));
}
