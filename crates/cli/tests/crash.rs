//! `kill -9` at every crash point of the writer and at arbitrary moments, under load over HTTP: what was answered is
//! there, what is there was recorded, what was recorded as done is there, and the log still verifies.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use kit::{ADMIN, AGENT_POINTS, Actor, FILES_POINT, Server, operator, portcullis, ran, runtime, serve, want};
use portcullis_authority::testkit_db::{TestDb, databases};
use serde_json::json;

/// Every crash point, and at which time of reaching it the process dies: late enough to be in the middle of the load.
const POINTS: [(&str, u32); 12] = [
    ("writer.before_begin", 23),
    ("writer.after_begin", 24),
    ("writer.after_job", 31),
    ("writer.before_commit", 25),
    ("writer.after_commit", 26),
    ("writer.before_reply", 27),
    ("gate.after_audit", 19),
    ("gate.after_effect", 20),
    ("gate.after_intents", 21),
    ("plan.after_audit", 4),
    ("plan.after_insert", 5),
    ("approval.after_vote", 4),
];
/// Decides after how many answers each SIGKILL comes.
const SEED: u64 = 0x0611_2026;
const KILLS: u64 = 6;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
const OWNER: &str = "owner@example.org";

#[test]
fn every_crash_point_in_the_source_is_crashed_at() {
    let mut found = BTreeSet::new();
    for member in ["kernel", "authority", "service", "cli"] {
        points(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(member).join("src"), &mut found);
    }
    // Where agents run is crashed at in `crash_agents.rs`.
    let crashed = POINTS.iter().map(|(name, _)| *name).chain(AGENT_POINTS).chain([FILES_POINT]);
    assert_eq!(found, crashed.map(str::to_owned).collect());
}

/// The names in `hit("…")`. A call without a literal would escape the list, so the literal is demanded.
fn points(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            points(&path, found);
            continue;
        }
        // Where `hit` is defined its parameter is not a literal.
        if path.extension().is_none_or(|extension| extension != "rs") || path.ends_with("authority/src/failpoint.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let calls = text.match_indices("hit(").filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric()));
        for (at, call) in calls {
            let name = text[at + call.len()..].strip_prefix('"').and_then(|rest| rest.split_once('"'));
            found.insert(name.unwrap_or_else(|| panic!("{path:?}: a crash point without a name")).0.to_owned());
        }
    }
}

/// What the clients were told, and what they were still waiting for.
#[derive(Default)]
struct Told {
    /// Scope, key and version of every write that was answered with 200.
    versions: BTreeSet<String>,
    /// By key, the value that was answered last.
    values: BTreeMap<String, String>,
    /// By key, the value that was sent and not answered. It may be there or not.
    open: BTreeMap<String, String>,
    /// Held with 202.
    held: BTreeSet<String>,
    /// Approved with 200.
    applied: BTreeSet<String>,
    /// Keys deleted with 200.
    deleted: BTreeSet<String>,
}

/// One organisation, its clients and what they were told.
struct Load {
    url: String,
    owner: Actor,
    agent: Actor,
    admin: Actor,
    /// Written by its own agent and the owner; written by the root agent after a vote; deleted from.
    own: String,
    governed: String,
    emptied: String,
    told: Mutex<Told>,
    /// Makes every value one of a kind.
    count: AtomicU64,
    answers: AtomicU64,
}

impl Load {
    async fn new(db: &TestDb, url: &str) -> Self {
        operator(db, OWNER, "owner").exits(0);
        let owner = Actor::session(url, OWNER).await;
        let mut ids = Vec::new();
        for name in ["own", "governed", "emptied"] {
            let made = want(201, owner.post(url, "/workspaces", json!({"name": name})).await);
            ids.push(made["id"].as_str().unwrap().to_owned());
        }
        let [own, governed, emptied] = ids.try_into().unwrap();
        let minted = want(201, owner.post(url, &format!("/workspaces/{own}/tokens"), json!({})).await);
        let agent = Actor::bearer(minted["auth_token"].as_str().unwrap());
        let admin = Actor::bearer(ADMIN);
        Self {
            url: url.to_owned(),
            owner,
            agent,
            admin,
            own,
            governed,
            emptied,
            told: Mutex::default(),
            count: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        }
    }

    fn value(&self) -> String {
        format!("value-{}", self.count.fetch_add(1, SeqCst))
    }

    fn told<T>(&self, tell: impl FnOnce(&mut Told) -> T) -> T {
        let done = tell(&mut self.told.lock().unwrap());
        self.answers.fetch_add(1, SeqCst);
        done
    }

    /// Sets until the server is gone.
    async fn write(&self, by: &Actor, key: &str) -> Option<()> {
        loop {
            let value = self.value();
            self.told.lock().unwrap().open.insert(key.to_owned(), value.clone());
            let path = format!("/workspaces/{}/secrets", self.own);
            let answer = by.post(&self.url, &path, json!({"key": key, "value": value})).await?;
            let saved = want(200, Some(answer));
            self.told(|told| {
                told.versions.insert(format!("{} {key} {}", self.own, saved["version"]));
                told.values.insert(key.to_owned(), value);
                told.open.remove(key);
            });
        }
    }

    /// Asks, and lets the owner agree, until the server is gone.
    async fn ask(&self, key: &str) -> Option<()> {
        loop {
            let path = format!("/workspaces/{}/secrets", self.governed);
            let body = json!({"key": key, "value": self.value()});
            let held = want(202, Some(self.admin.post(&self.url, &path, body).await?));
            let approval = held["approval_id"].as_str().unwrap().to_owned();
            self.told(|told| told.held.insert(approval.clone()));
            let path = format!("/approvals/{approval}/decide");
            let decided = self.owner.post(&self.url, &path, json!({"decision": "approved"})).await?;
            assert_eq!(want(200, Some(decided))["status"], "applied");
            self.told(|told| told.applied.insert(approval));
        }
    }

    /// Sets and deletes, each time another key, until the server is gone.
    async fn delete(&self) -> Option<()> {
        loop {
            let key = format!("GONE_{}", self.count.fetch_add(1, SeqCst));
            let path = format!("/workspaces/{}/secrets", self.emptied);
            let body = json!({"key": key, "value": self.value()});
            let saved = want(200, Some(self.owner.post(&self.url, &path, body).await?));
            self.told(|told| told.versions.insert(format!("{} {key} {}", self.emptied, saved["version"])));
            want(200, Some(self.owner.delete(&self.url, &format!("{path}/{key}")).await?));
            self.told(|told| told.deleted.insert(key));
        }
    }

    /// Everything at once, until the server is gone.
    async fn run(self: Arc<Self>) {
        let _ = tokio::join!(
            self.write(&self.owner, "OWNER_A"),
            self.write(&self.owner, "OWNER_B"),
            self.write(&self.agent, "AGENT"),
            self.ask("ASKED_A"),
            self.ask("ASKED_B"),
            self.delete(),
        );
    }

    /// What must be true in the database now, whatever happened.
    fn stands(&self, db: &TestDb, round: &str) {
        let verified = ran({
            let mut command = portcullis(db);
            // Without `--data` the database of the environment is meant.
            command.args(["audit", "verify"]);
            if db.url.is_none() {
                command.arg("--data").arg(&db.data_dir);
            }
            command
        });
        assert_eq!(verified.code, Some(0), "{round}: {verified:?}");

        let all = |sql| db.texts(sql).into_iter().collect::<BTreeSet<_>>();
        let told = self.told.lock().unwrap();
        for (what, promised, sql) in [
            ("versions", &told.versions, "SELECT scope || ' ' || key || ' ' || version FROM secret_versions"),
            ("held", &told.held, "SELECT id FROM approvals"),
            ("applied", &told.applied, "SELECT id FROM approvals WHERE state = 'applied'"),
            ("voted", &told.applied, "SELECT approval_id FROM votes WHERE approve = 1"),
            ("executed", &told.applied, "SELECT approval_id FROM secret_versions WHERE approval_id IS NOT NULL"),
            ("deleted", &told.deleted, "SELECT key FROM secrets WHERE state = 'deleted'"),
        ] {
            let lost: Vec<_> = promised.difference(&all(sql)).cloned().collect();
            assert!(lost.is_empty(), "{round}: {what} were acknowledged and are lost: {lost:?}");
        }

        for (what, sql) in [
            (
                "a version without the event that allowed it",
                "SELECT COUNT(*) FROM secret_versions v WHERE NOT EXISTS \
                 (SELECT 1 FROM audit a WHERE a.seq = v.audit_id AND a.outcome = 'done' AND a.verb = 'secret.set')",
            ),
            (
                "a held request without its event",
                "SELECT COUNT(*) FROM approvals p WHERE NOT EXISTS \
                 (SELECT 1 FROM audit a WHERE a.seq = p.audit_id AND a.outcome = 'held' AND a.approval_id = p.id)",
            ),
            (
                "a vote without its event",
                "SELECT COUNT(*) FROM votes v WHERE NOT EXISTS \
                 (SELECT 1 FROM audit a WHERE a.seq = v.audit_id AND a.outcome = 'done' AND a.verb = 'approval.decide')",
            ),
            (
                "an intent without its event",
                "SELECT COUNT(*) FROM intents i WHERE NOT EXISTS \
                 (SELECT 1 FROM audit a WHERE a.seq = i.audit_id AND a.outcome = 'done' \
                  AND a.consequences LIKE '%' || i.workspace_id || '%')",
            ),
            (
                "a write audited as done without its version",
                "SELECT COUNT(*) FROM audit a WHERE a.outcome = 'done' AND a.verb = 'secret.set' AND NOT EXISTS \
                 (SELECT 1 FROM secret_versions v WHERE v.audit_id = a.seq AND v.key = a.key)",
            ),
            (
                "a delete audited as done of a key that lives",
                "SELECT COUNT(*) FROM audit a WHERE a.outcome = 'done' AND a.verb = 'secret.delete' AND NOT EXISTS \
                 (SELECT 1 FROM secrets s WHERE s.audit_id = a.seq AND s.key = a.key AND s.state = 'deleted')",
            ),
            (
                "a hold audited without its approval",
                "SELECT COUNT(*) FROM audit a WHERE a.outcome = 'held' AND NOT EXISTS \
                 (SELECT 1 FROM approvals p WHERE p.audit_id = a.seq)",
            ),
            (
                "a vote audited as done without the vote",
                "SELECT COUNT(*) FROM audit a WHERE a.outcome = 'done' AND a.verb = 'approval.decide' \
                 AND NOT EXISTS (SELECT 1 FROM votes v WHERE v.audit_id = a.seq)",
            ),
            (
                "an approval applied without its version",
                "SELECT COUNT(*) FROM approvals p WHERE p.state = 'applied' AND NOT EXISTS \
                 (SELECT 1 FROM secret_versions v WHERE v.approval_id = p.id)",
            ),
            (
                "a reconfigured workspace without its intent",
                "SELECT COUNT(*) FROM audit a WHERE a.outcome = 'done' AND a.verb IN ('secret.set', 'secret.delete') \
                 AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.audit_id = a.seq AND i.workspace_id = a.workspace_id)",
            ),
            (
                "a generation that its intents do not explain",
                "SELECT COUNT(*) FROM workspaces w WHERE w.desired_generation <> \
                 (SELECT COUNT(*) FROM intents i WHERE i.workspace_id = w.id) + \
                 (SELECT MIN(o.desired_generation) FROM workspaces o WHERE o.kind = 'platform')",
            ),
        ] {
            assert_eq!(db.integer(sql), 0, "{round}: {what}");
        }
    }

    /// The values a restarted server hands out are those it had acknowledged, or one it was just asked for.
    async fn released(&self, url: &str, round: &str) {
        let path = format!("/workspaces/{}/secrets/values", self.own);
        let bundle = want(200, self.agent.get(url, &path).await);
        let mut told = self.told.lock().unwrap();
        let open = std::mem::take(&mut told.open);
        for (key, value) in &mut told.values {
            let shown = bundle[key].as_str().or_else(|| bundle["values"][key].as_str());
            let fits = shown == Some(value) || (shown.is_some() && shown == open.get(key).map(String::as_str));
            assert!(fits, "{round}: {key} is {shown:?}, acknowledged was {value}, asked for {:?}", open.get(key));
            // What was found is known from now on, also where its answer was lost: the next round may not answer at all.
            *value = shown.unwrap_or_default().to_owned();
        }
    }
}

/// Restarts without a crash point; the clients find everything as it was.
fn survives(db: &TestDb, load: &Load, round: &str) {
    load.stands(db, round);
    let server = Server::start(serve(db));
    runtime().block_on(load.released(&server.url, round));
    server.stop();
    load.stands(db, &format!("{round}, after a restart"));
}

fn begun(db: &TestDb) -> Load {
    let server = Server::start(serve(db));
    let load = runtime().block_on(Load::new(db, &server.url));
    server.stop();
    load
}

#[test]
fn a_crash_at_any_point_of_the_writer_loses_nothing_and_invents_nothing() {
    for db in databases() {
        let mut load = begun(&db);
        for (point, at) in POINTS {
            let round = format!("{} {point}:{at}", db.engine);
            let mut command = serve(&db);
            command.env("PORTCULLIS_FAILPOINT", format!("{point}:{at}"));
            let mut server = Server::start(command);
            load.url.clone_from(&server.url);
            let running = Arc::new(load);
            runtime().block_on(Arc::clone(&running).run());
            assert_eq!(server.ended().signal(), Some(SIGABRT), "{round}: {}", server.log());
            load = Arc::into_inner(running).unwrap();
            survives(&db, &load, &round);
        }
        let told = load.told.lock().unwrap();
        assert!(!told.versions.is_empty() && !told.applied.is_empty() && !told.deleted.is_empty(), "there was no load");
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_and_invents_nothing() {
    for db in databases() {
        let mut load = begun(&db);
        let mut random = SEED;
        for kill in 0..KILLS {
            // xorshift: enough to spread the moments.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let after = 1 + random % 90;
            let round = format!("{} kill {kill} after {after} answers (seed {SEED:#x})", db.engine);
            let mut server = Server::start(serve(&db));
            load.url.clone_from(&server.url);
            let running = Arc::new(load);
            runtime().block_on(async {
                let clients = tokio::spawn(Arc::clone(&running).run());
                let begun = running.answers.load(SeqCst);
                while running.answers.load(SeqCst) < begun + after && !clients.is_finished() {
                    tokio::task::yield_now().await;
                }
                server.kill();
                clients.await.unwrap();
            });
            assert_eq!(server.ended().signal(), Some(SIGKILL), "{round}: {}", server.log());
            load = Arc::into_inner(running).unwrap();
            survives(&db, &load, &round);
        }
    }
}
