//! One sample request for every route, what the store holds as text, and raw bytes on the wire.
#![expect(dead_code, reason = "each test binary uses its own part of the probe")]
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

use std::collections::{BTreeMap, BTreeSet};

use portcullis_authority::testkit_db::TestDb;
use portcullis_kernel::operator::Role;
use portcullis_service::{Operation, registry};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{Actor, Answer, PASSWORD, World};

/// What an ordinary agent is told by a route that it aims at somebody else's things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// A refusal.
    Refused,
    /// An answer that holds nothing but what is its own: there is no target to aim at.
    OnlyItsOwn,
    /// The same as everybody: that there is no such thing here.
    NotOffered,
    /// Not asked: anybody is answered.
    Public,
}

use Stranger::{NotOffered, OnlyItsOwn, Public, Refused};

/// What says that A2A 1.0 is spoken.
const A2A: &str = "?A2A-Version=1.0";

/// Routes whose answer may not come, or not end, until something happens to a task.
pub const ENDLESS: [&str; 3] = ["events", "a2a_message_send", "a2a_message_stream"];

/// One sample request per route: id, query string, body, what a stranger is told. A new route needs a line here.
pub fn samples(value: &str) -> Vec<(&'static str, &'static str, Option<Value>, Stranger)> {
    let set = || Some(json!({"key": "SAMPLE", "value": value}));
    let to_version = || Some(json!({"to_version": 1}));
    let version = || Some(json!({"version": 1}));
    let import = || Some(json!({"format": "env", "content": format!("SAMPLE='{value}'\n"), "apply": true}));
    let description = || Some(json!({"description": "why"}));
    let hello = || {
        let client = json!({"name": value, "version": "1"});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
        Some(json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}))
    };
    let decide = || Some(json!({"decision": "approved"}));
    let said = format!("use {value} there, agent");
    let envelope = || {
        let message = json!({"role": "user", "parts": [{"kind": "text", "text": said}]});
        Some(json!({"method": "message/send", "params": {"message": message, "configuration": {"blocking": false}}}))
    };
    let message = || {
        let message = json!({"messageId": "sample", "role": "ROLE_USER", "parts": [{"text": said}]});
        Some(json!({"message": message, "configuration": {"returnImmediately": true}}))
    };
    vec![
        ("health", "", None, Public),
        ("ready", "", None, Public),
        ("openapi", "", None, Public),
        ("audit_key", "", None, Public),
        ("login", "", Some(json!({"email": "owner@example.org", "password": value})), Public),
        (
            "claim",
            "",
            Some(json!({"token": value, "email": "second@example.org", "password": format!("{value} and more")})),
            Public,
        ),
        ("accept", "", Some(json!({"token": value, "password": format!("{value} and more")})), Public),
        ("password_change", "", Some(json!({"password": value, "new_password": format!("{value} and more")})), Refused),
        ("register", "", Some(json!({"id": "{id}", "code": value})), Public),
        ("metrics", "", None, Refused),
        ("step_up", "", Some(json!({"password": value})), Refused),
        ("logout", "", None, Refused),
        ("session", "", None, Refused),
        ("session_list", "", None, Refused),
        ("session_end", "", None, Refused),
        ("passkey_list", "", None, Refused),
        ("passkey_begin", "", Some(json!({"name": value})), Refused),
        (
            "passkey_finish",
            "",
            Some(
                json!({"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {"clientDataJSON": value, "attestationObject": value}}),
            ),
            Refused,
        ),
        ("passkey_remove", "", None, Refused),
        ("passkey_login_begin", "", None, Public),
        (
            "passkey_login_finish",
            "",
            Some(
                json!({"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {"clientDataJSON": value, "authenticatorData": value, "signature": value}}),
            ),
            Public,
        ),
        ("passkey_step_up_begin", "", None, Refused),
        (
            "passkey_step_up_finish",
            "",
            Some(
                json!({"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {"clientDataJSON": value, "authenticatorData": value, "signature": value}}),
            ),
            Refused,
        ),
        ("token_claim", "", Some(json!({"claim_token": value})), Refused),
        ("workspace_list", "", None, OnlyItsOwn),
        ("workspace_create", "", Some(json!({"name": "new", "parent_id": "{id}"})), Refused),
        ("workspace_get", "", None, Refused),
        ("workspace_update", "", Some(json!({"role": "other"})), Refused),
        ("workspace_remove", "", None, Refused),
        ("workspace_restart", "", None, Refused),
        ("workspace_pause", "", None, Refused),
        ("workspace_resume", "", None, Refused),
        ("workspace_state", "", None, Refused),
        ("peer_list", "", None, Refused),
        ("secret_set", "", set(), Refused),
        ("secret_put", "", set(), Refused),
        ("org_secret_set", "", set(), Refused),
        ("org_secret_put", "", set(), Refused),
        ("admin_secret_set", "", set(), Refused),
        ("admin_secret_put", "", set(), Refused),
        ("secret_list", "", None, Refused),
        ("org_secret_list", "", None, Refused),
        ("admin_secret_list", "", None, Refused),
        ("secret_delete", "", None, Refused),
        ("org_secret_delete", "", None, Refused),
        ("admin_secret_delete", "", None, Refused),
        ("secret_versions", "", None, Refused),
        ("org_secret_versions", "", None, Refused),
        ("secret_undelete", "", None, Refused),
        ("org_secret_undelete", "", None, Refused),
        ("secret_destroy", "", None, Refused),
        ("org_secret_destroy", "", None, Refused),
        ("secret_rollback", "", to_version(), Refused),
        ("org_secret_rollback", "", to_version(), Refused),
        ("secret_activate", "", version(), Refused),
        ("org_secret_activate", "", version(), Refused),
        ("secret_request", "", description(), Refused),
        ("org_secret_request", "", description(), Refused),
        ("secret_import", "", import(), Refused),
        ("org_secret_import", "", import(), Refused),
        (
            "secret_change_set",
            "",
            Some(json!({"changes": [{"workspace_id": "{id}", "op": "set", "key": "SAMPLE", "value": value}]})),
            Refused,
        ),
        ("secret_values", "", None, Refused),
        ("secret_holdings", "", None, OnlyItsOwn),
        ("org_token_mint", "", Some(json!({"name": "another"})), Refused),
        ("org_token_list", "", None, Refused),
        ("org_token_revoke", "", None, Refused),
        ("workspace_token_mint", "", Some(json!({})), Refused),
        ("workspace_token_list", "", None, Refused),
        ("workspace_token_revoke", "", None, Refused),
        ("enrolment_issue", "", Some(json!({})), Refused),
        ("key_rotate", "", None, Refused),
        ("key_reseal", "", None, Refused),
        ("approval_pending", "", None, OnlyItsOwn),
        ("approval_list", "", None, OnlyItsOwn),
        ("approval_get", "", None, Refused),
        ("approval_decide", "", decide(), Refused),
        ("workspace_approval_decide", "", decide(), Refused),
        ("approval_withdraw", "", None, Refused),
        ("workspace_approval_list", "", None, Refused),
        ("approval_ask", "", Some(json!({"action": "go", "reason": "why"})), Refused),
        ("operator_list", "", None, Refused),
        (
            "operator_create",
            "",
            Some(json!({"email": "third@example.org", "password": format!("{value} and more"), "role": "auditor"})),
            Refused,
        ),
        ("operator_update", "", Some(json!({"disabled": true})), Refused),
        ("operator_invite", "", None, Refused),
        ("policy_list", "", None, Refused),
        ("policy_add", "", Some(json!({"name": "another", "text": POLICY})), Refused),
        ("policy_remove", "", None, Refused),
        ("policy_check", "", Some(json!({"text": POLICY})), Refused),
        ("policy_matrix", "", None, Refused),
        (
            "policy_what_if",
            "",
            Some(json!({
                "as": {"kind": "root", "credential": "admin"}, "operation": "secret_set", "path": {"id": "{id}"},
                "body": {"key": "SAMPLE", "value": value},
            })),
            Refused,
        ),
        ("audit_search", "", None, Refused),
        ("workspace_audit", "", None, Refused),
        ("audit_entry", "", None, Refused),
        ("audit_verify", "", None, Refused),
        ("audit_export", "", None, Refused),
        ("audit_checkpoint", "", None, Refused),
        ("events", "", None, OnlyItsOwn),
        (
            "agent_heartbeat",
            "",
            Some(json!({"workspace_id": "{id}", "active_tasks": 1, "sample_error": value})),
            Refused,
        ),
        ("agent_discover", "", None, Refused),
        ("inbox_claim", "", Some(json!({"wait_s": 0})), Refused),
        ("turn_progress", "", Some(json!({"reply": format!("it says {value}\n")})), Refused),
        ("turn_end", "", Some(json!({"state": "completed", "reply": format!("it said {value}.")})), Refused),
        ("turn_list", "", None, Refused),
        ("agent_handoff", "", Some(json!({"note": format!("remember {value}")})), Refused),
        ("restart_context", "", None, Refused),
        ("run_list", "", None, Refused),
        ("log_read", "", None, Refused),
        ("workspace_apply", "", None, Refused),
        ("workspace_force_stop", "", Some(json!({"reason": "why"})), Refused),
        ("message_send", "", Some(json!({"text": format!("use {value} there")})), Refused),
        ("message_list", "", None, Refused),
        ("activity_list", "", None, Refused),
        ("message_get", "", None, Refused),
        ("message_cancel", "", None, Refused),
        ("mcp", "", hello(), OnlyItsOwn),
        ("mcp_listen", "", None, Refused),
        ("mcp_end", "", None, Refused),
        ("workspace_mcp", "", hello(), Refused),
        ("workspace_mcp_listen", "", None, Refused),
        ("workspace_mcp_end", "", None, Refused),
        ("console_root", "", None, Public),
        ("console", "", None, Public),
        ("console_home", "", None, Public),
        ("console_claim", "", None, Public),
        ("console_invite", "", None, Public),
        ("console_asset", "", None, Public),
        ("mcp_metadata", "", None, Public),
        ("mcp_metadata_mcp", "", None, Public),
        ("mcp_metadata_workspace", "", None, Public),
        ("message_notify", "", Some(json!({"message": format!("{value} is what I have")})), Refused),
        ("a2a", "", envelope(), Refused),
        ("a2a_slash", "", envelope(), Refused),
        ("a2a_card", "", None, Refused),
        ("a2a_card_workspace", "", None, Refused),
        ("a2a_card_root", "", None, OnlyItsOwn),
        ("a2a_message_send", A2A, message(), Refused),
        ("a2a_message_stream", A2A, message(), Refused),
        ("a2a_task_list", A2A, None, OnlyItsOwn),
        ("a2a_task_get", A2A, None, Refused),
        ("a2a_task_change", ":cancel?A2A-Version=1.0", None, Refused),
        ("a2a_extended_card", A2A, None, NotOffered),
        ("a2a_push_list", A2A, None, NotOffered),
        ("a2a_push_get", A2A, None, NotOffered),
        ("a2a_push_create", A2A, Some(json!({"url": "https://example.org/hook"})), NotOffered),
        ("a2a_push_delete", A2A, None, NotOffered),
    ]
}

/// A policy that changes nothing for these tests.
pub const POLICY: &str = "@code(\"POLICY_FORBIDS\") @reason(\"sample\") forbid (principal, action == \
                          Action::\"workspace.restart\", resource) when { context.quota_spent };";

/// Things of other people, for the paths of the samples.
pub struct Fixture {
    /// Placeholders of the paths.
    pub ids: BTreeMap<&'static str, String>,
    /// An agent of a workspace that has nothing to do with any of these.
    pub stranger: Actor,
    /// A token of the workspace `id`.
    pub agent: Actor,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Sample {
    pub id: &'static str,
    pub method: Method,
    pub path: String,
    pub body: Option<Vec<u8>>,
    pub stranger: Stranger,
}

impl Sample {
    /// The path with more of a query.
    pub fn with(&self, query: &str) -> String {
        let sign = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{sign}{query}", self.path)
    }
}

impl Fixture {
    /// Workspaces, a secret, an approval, a policy, an operator, a token, a turn and a message, all with somebody else than
    /// the stranger.
    pub async fn new(world: &World) -> Self {
        let owner = world.owner();
        let aunt = world.workspace("aunt").await;
        let target = owner.post("/workspaces", json!({"name": "target", "parent_id": aunt})).await;
        let target = target.status(201).member("id");
        let elsewhere = world.workspace("elsewhere").await;
        owner.set(&target, "HELD", "a stored value").await.status(200);
        owner.post("/settings/secrets", json!({"key": "HELD", "value": "an organisation's value"})).await.status(200);
        let held = world.admin().set(&target, "WAITS", "a proposed value").await.status(202).member("approval_id");
        let policy = owner.post("/policies", json!({"name": "sample", "text": POLICY})).await.status(201).member("id");
        let operator = world.create_operator("member@example.org", Role::Member, &[]).await;
        let minted = owner.post(&format!("/workspaces/{target}/tokens"), json!({})).await;
        let (token, agent) = (minted.status(201).member("id"), world.bearer(&minted.member("auth_token")));
        // Its agent works on one message, and another waits.
        agent.post("/registry/register", json!({"id": target})).await.status(200);
        let send = async || {
            owner
                .post(&format!("/workspaces/{target}/messages"), json!({"text": "go on"}))
                .await
                .status(202)
                .member("id")
        };
        send().await;
        let claim = agent.post(&format!("/workspaces/{target}/inbox/claim"), json!({})).await;
        let turn = claim.status(200).json["turn"]["id"].as_str().expect("a turn").to_owned();
        let message = send().await;
        let ids = BTreeMap::from([
            ("id", target),
            ("key", "HELD".to_owned()),
            ("approval", held),
            ("turn", turn),
            ("task", message.clone()),
            ("config", "no-such-config".to_owned()),
            ("message", message),
            ("*page", "approvals".to_owned()),
            ("build", "no-such-build".to_owned()),
            ("*file", "main.js".to_owned()),
            ("policy", policy),
            ("operator", operator),
            ("seq", "987654321012345".to_owned()),
            ("session", token.clone()),
            ("passkey", token.clone()),
            ("token", token),
        ]);
        Self { ids, stranger: world.agent_of(&elsewhere).await, agent }
    }

    /// Fills the placeholders of a text.
    pub fn fill(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id))
    }

    /// The sample request of every route there is. Panics when a route has none, or a sample no route.
    pub fn requests(&self, value: &str) -> Vec<Sample> {
        let mut samples: BTreeMap<_, _> =
            samples(value).into_iter().map(|(id, query, body, stranger)| (id, (query, body, stranger))).collect();
        let requests: Vec<Sample> = registry()
            .into_iter()
            .map(|operation| {
                let Operation { id, method, path, .. } = operation;
                let missing = || panic!("`{id}` has no sample request: add one to tests/probe/mod.rs");
                let (query, body, stranger) = samples.remove(id).unwrap_or_else(missing);
                let path = self.fill(&format!("{path}{query}"));
                assert!(!path.contains('{'), "a placeholder is left in {path}");
                let body = body.map(|body| self.fill(&body.to_string()).into_bytes());
                Sample { id, method, path, body, stranger }
            })
            .collect();
        assert!(samples.is_empty(), "samples without a route: {:?}", samples.keys());
        let ids: BTreeSet<_> = requests.iter().map(|sample| sample.id).collect();
        assert_eq!(ids.len(), requests.len(), "two routes have the same id");
        requests
    }
}

/// Asserts that the answer is a refusal with one of these statuses, and a whole problem document.
#[track_caller]
pub fn problem(answer: &Answer, statuses: &[u16], what: &str) {
    assert!(statuses.contains(&answer.refused_as()), "{what}: {} {}", answer.status, answer.text);
    let content_type = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
    let wanted = if answer.is_a2a() { "application/json" } else { "application/problem+json" };
    assert_eq!(content_type, Some(wanted), "{what}: {}", answer.text);
    assert_eq!(answer.refusal()["status"], answer.refused_as(), "{what}: {}", answer.text);
    for member in ["code", "error", "reason", "retryable", "denied_class", "next_step", "request_id"] {
        assert!(!answer.refusal()[member].is_null(), "{what}: no `{member}` in {}", answer.text);
    }
}

/// A fresh session of the first owner, stepped up.
pub async fn owner_again(world: &World) -> Actor {
    let session = world.log_in_only("owner@example.org").await;
    session.post("/auth/step-up", json!({"password": PASSWORD})).await.status(200);
    session
}

/// Every column of every row of every table, as text; bytes as hex. By table.
pub fn dump(db: &TestDb) -> BTreeMap<String, Vec<String>> {
    let tables = match db.engine {
        "sqlite" => db.texts("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"),
        _ => db.texts("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"),
    };
    assert!(tables.len() > 15, "{tables:?}");
    let rows: Vec<&'static str> = match db.engine {
        "sqlite" => {
            let columns = |table| kept(format!("SELECT name FROM pragma_table_info('{table}')"));
            let columns = db.texts_of(&tables.iter().map(columns).collect::<Vec<_>>());
            let rows = tables.iter().zip(columns).map(|(table, columns)| {
                let columns: Vec<String> = columns.iter().map(|name| format!("quote(\"{name}\")")).collect();
                kept(format!("SELECT {} FROM \"{table}\" ORDER BY 1", columns.join(" || '|' || ")))
            });
            rows.collect()
        }
        _ => tables.iter().map(|table| kept(format!("SELECT t::text FROM \"{table}\" t ORDER BY 1"))).collect(),
    };
    let rows = db.texts_of(&rows);
    tables.into_iter().zip(rows).collect()
}

/// As [`dump`], without what a refusal may leave behind (the log, its head, its projection; a challenge is spent whatever
/// was answered), when a credential was last used, and how often another server than its supervisor has heard an agent:
/// both are written by a timer of their own.
pub fn state(db: &TestDb) -> BTreeMap<String, Vec<String>> {
    let mut state = dump(db);
    for table in ["audit", "audit_head", "challenges", "checkpoints", "events", "credentials", "runs"] {
        assert!(state.remove(table).is_some(), "no table `{table}`");
    }
    let credentials = "SELECT id || ' ' || kind || ' ' || expires_at || ' ' || COALESCE(revoked_at, 0) || ' ' || \
                       COALESCE(stepped_up_at, 0) || ' ' || scopes_json FROM credentials ORDER BY id";
    state.insert("credentials".to_owned(), db.texts(credentials));
    let runs = "SELECT boot_id || ' ' || workspace_id || ' ' || generation || ' ' || kind || ' ' || state || ' ' || credential_id || \
                ' ' || spec || ' ' || variables_token || ' ' || files_token || ' ' || versions || ' ' || context || ' ' || why || ' ' || \
                started_at || ' ' || COALESCE(registered_at, 0) || ' ' || wants_handoff || ' ' || COALESCE(handoff, '') || ' ' || \
                COALESCE(pulled_at, 0) || ' ' || COALESCE(lease_expires_at, 0) || ' ' || COALESCE(ended_at, 0) || ' ' || crash || ' ' || \
                hopeless || ' ' || COALESCE(cause, '') || ' ' || COALESCE(exit_code, 0) || ' ' || COALESCE(exit_signal, 0) || ' ' || \
                COALESCE(detail, '') || ' ' || audit_id || ' ' || COALESCE(place, '') FROM runs ORDER BY boot_id";
    state.insert("runs".to_owned(), db.texts(runs));
    state
}

/// Asserts that `act` is refused so and left one audit event.
pub async fn audited(world: &World, status: u16, code: &str, act: impl Future<Output = Answer>) -> Answer {
    let before = state(&world.db);
    let (answer, changed) = world.changed(act).await;
    answer.refused(status, code);
    World::only_audited(&changed);
    assert_eq!(state(&world.db), before, "{code} changed something");
    answer
}

/// A statement that lives as long as the test's process: the store takes literals only.
fn kept(sql: String) -> &'static str {
    Box::leak(sql.into_boxed_str())
}

/// An answer to raw bytes: status and the whole text, head and body.
pub struct Raw {
    pub status: u16,
    pub text: String,
}

impl Raw {
    /// The code in the body, or empty.
    pub fn code(&self) -> String {
        let body = self.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let json: Value = serde_json::from_str(body.trim()).unwrap_or(Value::Null);
        json["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends bytes and reads until the server closes: the bytes hold `connection: close` or what ends a connection anyway.
pub async fn raw(world: &World, bytes: &[u8]) -> Raw {
    let mut stream = TcpStream::connect(world.url.trim_start_matches("http://")).await.expect("a connection");
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Raw { status, text }
}

/// An event of the live stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    pub id: i64,
    pub name: String,
    pub data: String,
}

/// A live stream that is read event by event.
pub struct Events {
    response: reqwest::Response,
    pub text: String,
    read: usize,
}

impl Events {
    /// Listens as `actor`.
    pub async fn open(actor: &Actor, path: &str) -> Self {
        let response = actor.open(path).await;
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new(), read: 0 }
    }

    /// The next event; `None` when the stream has ended. Panics where it waits for ever.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text[self.read..].find("\n\n") {
                let block = self.text[self.read..self.read + end].to_owned();
                self.read += end + 2;
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", text)) => event.id = text.parse().expect("a position"),
                        Some(("event", text)) => text.clone_into(&mut event.name),
                        Some(("data", text)) => text.clone_into(&mut event.data),
                        _ => {}
                    }
                }
                if !event.name.is_empty() {
                    return Some(event);
                }
            }
            let hang = std::time::Duration::from_secs(120);
            let chunk = tokio::time::timeout(hang, self.response.chunk()).await.expect("an event or the end");
            self.text.push_str(std::str::from_utf8(&chunk.expect("the stream goes on")?).expect("text"));
        }
    }

    /// Reads up to the event with this position, and returns what came until then.
    pub async fn until(&mut self, id: i64) -> Vec<Event> {
        let mut events = Vec::new();
        while events.last().is_none_or(|event: &Event| event.id < id) {
            events.push(self.next().await.expect("the stream goes on"));
        }
        events
    }
}
