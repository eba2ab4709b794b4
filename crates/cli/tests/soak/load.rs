//! The clients. Each repeats what nobody answered, under the same name, until somebody does.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    kit::{
        ADMIN, Actor,
        fleet::{Fleet, exec, list, text},
    },
    ledger::Ledger,
    listener,
};

/// How every value begins, so that it is found where it must not be.
pub const VALUE: &str = "a-value-that-is-soaked";
/// Writes down what it works on and repeats it, slowly enough to be killed at it now and then.
const REPEATS: &str = "read -r text; echo \"$text\" >> ran; sleep 0.1; printf '%s' \"$text\"";
/// How long a client waits before it asks again.
const AGAIN: Duration = Duration::from_millis(50);

pub struct Load {
    pub url: String,
    pub owner: Actor,
    admin: Actor,
    service: Actor,
    root: String,
    /// Written by a program and by the owner; written by the root agent after a vote.
    written: String,
    governed: String,
    talkers: Vec<String>,
    pause: Duration,
    stop: AtomicBool,
    ledger: Mutex<Ledger>,
    count: AtomicU64,
    /// What went wrong in a client, for the thread that can fail the test.
    faults: Mutex<Vec<String>>,
}

impl Load {
    pub fn new(fleet: &Fleet, pause: Duration) -> Self {
        let written = fleet.create("written", Value::Null, None);
        let governed = fleet.create("governed", Value::Null, None);
        let talkers: Vec<_> = ["first", "second", "third"].map(|name| fleet.create(name, exec(REPEATS), None)).into();
        talkers.iter().for_each(|id| drop(fleet.settled(id)));
        let minted = fleet.post("/org/tokens", Some(json!({"name": "soak", "unattended": true})), 200);
        Self {
            url: fleet.url(),
            owner: fleet.owner().clone(),
            admin: Actor::bearer(ADMIN),
            service: Actor::bearer(&text(&minted, "auth_token")),
            root: fleet.root(),
            written,
            governed,
            talkers,
            pause,
            stop: AtomicBool::new(false),
            ledger: Mutex::default(),
            count: AtomicU64::new(0),
            faults: Mutex::default(),
        }
    }

    pub fn talkers(&self) -> &[String] {
        &self.talkers
    }

    pub fn stop(&self) {
        self.stop.store(true, SeqCst);
    }

    pub fn stopping(&self) -> bool {
        self.stop.load(SeqCst)
    }

    pub fn told<T>(&self, tell: impl FnOnce(&mut Ledger) -> T) -> T {
        tell(&mut self.ledger.lock().unwrap())
    }

    /// Fails the test with what went wrong in a client.
    #[track_caller]
    pub fn complain(&self) {
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{faults:?}");
    }

    fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    /// All clients at once.
    pub fn begin(self: &Arc<Self>, on: &tokio::runtime::Runtime) -> Vec<(&'static str, JoinHandle<()>)> {
        let load = || Arc::clone(self);
        let mut working = vec![
            ("a program that writes", on.spawn(load().write(self.service.clone(), "BY_SERVICE"))),
            ("the owner who writes", on.spawn(load().write(self.owner.clone(), "BY_OWNER"))),
            ("the root agent that asks", on.spawn(load().ask("ASKED_A"))),
            ("the root agent that asks again", on.spawn(load().ask("ASKED_B"))),
            ("the root agent that is refused", on.spawn(load().be_refused())),
            ("a reader", on.spawn(load().look())),
            ("a listener", on.spawn(listener::listen(load()))),
        ];
        working.extend(self.talkers.iter().map(|id| ("a sender", on.spawn(load().talk(id.clone())))));
        working
    }

    /// One request, repeated until it is answered with something else than "later".
    async fn answered(&self, by: &Actor, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let name = format!("soak-{}", self.count.fetch_add(1, SeqCst));
        let named = by.clone().showing("idempotency-key", name);
        let by = if method == Method::GET { by } else { &named };
        loop {
            match by.send(method.clone(), &self.url, path, body.clone()).await {
                None => self.told(|told| told.repeated += 1),
                Some((429 | 503, _)) => self.told(|told| told.put_off += 1),
                Some(answer) => return answer,
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What a human does in between, on a server that runs.
    pub fn human(&self, fleet: &Fleet, method: Method, path: &str, body: Option<Value>) {
        let (status, body) = fleet.run(self.answered(&self.owner, method, path, body));
        assert!((200..300).contains(&status), "{path}: {status} {body}");
    }

    async fn write(self: Arc<Self>, by: Actor, key: &str) {
        let path = format!("/workspaces/{}/secrets", self.written);
        let mut version = 0;
        while !self.stopping() {
            let value = format!("{VALUE}-{}", self.count.fetch_add(1, SeqCst));
            let body = json!({"key": key, "value": value});
            let (status, saved) = self.answered(&by, Method::POST, &path, Some(body)).await;
            version += 1;
            // One more than the last: nothing was lost, and what was repeated was done once.
            if status != 200 || saved["version"] != version {
                return self.fault(format!("{key}: version {version} was to be saved: {status} {saved}"));
            }
            self.told(|told| told.saved.insert((self.written.clone(), key.to_owned()), version));
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn ask(self: Arc<Self>, key: &str) {
        let path = format!("/workspaces/{}/secrets", self.governed);
        let mut saved = 0;
        while !self.stopping() {
            let body = json!({"key": key, "value": format!("{VALUE}-{}", self.count.fetch_add(1, SeqCst))});
            let (status, held) = self.answered(&self.admin, Method::POST, &path, Some(body)).await;
            let Some(approval) = held["approval_id"].as_str().filter(|_| status == 202).map(str::to_owned) else {
                return self.fault(format!("{key} was to be held: {status} {held}"));
            };
            let agrees = !self.count.fetch_add(1, SeqCst).is_multiple_of(4);
            let (decision, end) = if agrees { ("approved", "applied") } else { ("denied", "denied") };
            let decide = format!("/approvals/{approval}/decide");
            let body = json!({"decision": decision, "note": "soaked"});
            let (status, decided) = self.answered(&self.owner, Method::POST, &decide, Some(body)).await;
            if status != 200 || decided["status"] != end {
                return self.fault(format!("{approval} was to be {end}: {status} {decided}"));
            }
            self.told(|told| told.decided.insert(approval, end));
            if agrees {
                saved += 1;
                self.told(|told| told.saved.insert((self.governed.clone(), key.to_owned()), saved));
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn be_refused(self: Arc<Self>) {
        let path = format!("/workspaces/{}/secrets", self.root);
        while !self.stopping() {
            let key = format!("ROOT_{}", self.count.fetch_add(1, SeqCst));
            let body = json!({"key": key, "value": VALUE});
            let (status, refusal) = self.answered(&self.admin, Method::POST, &path, Some(body)).await;
            if status != 403 || refusal["code"] != "CONCIERGE_SELF_WRITE_BLOCKED" || refusal["audit_id"].is_null() {
                return self.fault(format!("{key} was to be refused: {status} {refusal}"));
            }
            self.told(|told| told.refused.insert(key));
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn look(self: Arc<Self>) {
        let paths = [
            "/workspaces".to_owned(),
            format!("/workspaces/{}/secrets", self.written),
            "/approvals/pending".to_owned(),
            "/audit?limit=50".to_owned(),
            format!("/workspaces/{}/messages?limit=20", self.talkers[0]),
        ];
        for path in paths.iter().cycle() {
            let (status, seen) = self.answered(&self.owner, Method::GET, path, None).await;
            if status != 200 || seen.to_string().contains(VALUE) {
                return self.fault(format!("{path}: {status} {seen}"));
            }
            self.told(|told| told.looks += 1);
            if self.stopping() {
                return;
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn talk(self: Arc<Self>, workspace: String) {
        let path = format!("/workspaces/{workspace}/messages");
        while !self.stopping() {
            let said = format!("message {}", self.count.fetch_add(1, SeqCst));
            let body = json!({"text": format!("{said}\n"), "message_id": said.replace(' ', "-")});
            let (status, taken) = self.answered(&self.owner, Method::POST, &path, Some(body)).await;
            let Some(id) = taken["id"].as_str().filter(|_| status == 202) else {
                return self.fault(format!("{said} was to be taken: {status} {taken}"));
            };
            let one = format!("{path}/{id}?wait=5");
            let end = loop {
                let (status, seen) = self.answered(&self.owner, Method::GET, &one, None).await;
                match seen["status"].as_str().filter(|_| status == 200) {
                    Some("queued" | "delivered") => {}
                    Some(end @ ("completed" | "failed")) => break end.to_owned(),
                    _ => return self.fault(format!("{said}: {status} {seen}")),
                }
            };
            self.told(|told| told.messages.entry(workspace.clone()).or_default().insert(said, end));
            tokio::time::sleep(self.pause).await;
        }
    }

    /// One event of the stream; the position after it.
    pub fn heard(&self, event: &str, last: Option<i64>) -> Option<i64> {
        if event.contains(VALUE) || event.contains("event: reset") {
            self.fault(format!("after {last:?}: {event}"));
        }
        let id = event.lines().find_map(|line| line.strip_prefix("id: ")).map(|id| id.parse::<i64>().unwrap());
        let Some(id) = id else { return last };
        if last.is_some_and(|last| id != last + 1) {
            self.fault(format!("event {id} came after {last:?}"));
        }
        self.told(|told| told.heard += 1);
        Some(id)
    }

    /// What is there is what was told.
    pub fn stands(&self, fleet: &Fleet) {
        self.complain();
        let told = self.ledger.lock().unwrap();
        for ((workspace, key), count) in &told.saved {
            let versions = list(&fleet.get(&format!("/workspaces/{workspace}/secrets/{key}/versions")));
            assert_eq!(versions.first().map(|latest| &latest["version"]), Some(&json!(count)), "{key}");
        }
        for (approval, end) in &told.decided {
            assert_eq!(fleet.get(&format!("/approvals/{approval}"))["status"], *end, "{approval}");
        }
        let of_the_root = list(&fleet.get(&format!("/workspaces/{}/secrets", self.root)));
        assert!(of_the_root.iter().all(|secret| secret["origin"] == "inherited"), "{of_the_root:?}");
        let refused = fleet.audit("code=CONCIERGE_SELF_WRITE_BLOCKED");
        for key in &told.refused {
            let events = refused.iter().filter(|event| event["key"] == key.as_str()).count();
            assert!(events >= 1, "{key} was refused and there is no event of it");
        }
        for (what, sql) in [
            (
                "an approval was applied twice",
                "SELECT COUNT(*) FROM secret_versions v WHERE v.approval_id IS NOT NULL AND \
                 (SELECT COUNT(*) FROM secret_versions o WHERE o.approval_id = v.approval_id) > 1",
            ),
            (
                "a version without its event",
                "SELECT COUNT(*) FROM secret_versions v WHERE NOT EXISTS \
                 (SELECT 1 FROM audit a WHERE a.seq = v.audit_id AND a.outcome = 'done')",
            ),
        ] {
            assert_eq!(fleet.db.integer(sql), 0, "{what}");
        }
        for (workspace, messages) in &told.messages {
            let ran = std::fs::read_to_string(fleet.work(workspace).join("ran")).unwrap();
            for (said, end) in messages {
                let worked = ran.lines().filter(|line| line == said).count();
                let right = if end == "completed" { worked == 1 } else { worked <= 1 };
                assert!(right, "{said} is {end} and was worked on {worked} times");
            }
        }
        let total = |all: usize| assert!(all > 0, "a client got nothing done: {}", told.summary());
        total(told.decided.len());
        total(told.refused.len());
        total(told.messages.len());
        total(usize::try_from(told.heard).unwrap());
    }
}
