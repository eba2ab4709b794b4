//! `portcullis mcp`: the bridge for clients that only start commands, against the real server.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use kit::{ADMIN, Actor, Server, alone, operator, ran, runtime, serve, want};
use portcullis_authority::testkit_db::TestDb;
use reqwest::Method;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A bridge as a client sees it: lines in, lines out.
struct Bridge {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<Value>,
}

impl Bridge {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the bridge starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (send, lines) = mpsc::sync_channel(64);
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let message = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if send.send(message).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    fn write(&mut self, text: &str) {
        let input = self.input.as_mut().expect("an open input");
        writeln!(input, "{text}").and_then(|()| input.flush()).expect("the bridge reads");
    }

    fn say(&mut self, message: &Value) {
        self.write(&message.to_string());
    }

    #[track_caller]
    fn next(&self) -> Value {
        self.lines.recv_timeout(PATIENCE).expect("the bridge answers")
    }

    #[track_caller]
    fn ask(&mut self, message: &Value) -> Value {
        self.say(message);
        let answer = self.next();
        assert_eq!(answer["id"], message["id"], "{answer}");
        answer
    }

    /// Opens a conversation of the older kind.
    fn hello(&mut self) -> Value {
        let params =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let answer = self.ask(&json!({"jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": params}));
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    }

    fn ends(mut self) -> i32 {
        drop(self.input.take());
        self.child.wait().expect("the bridge ends").code().expect("by itself")
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn call(id: i64, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

/// The same in the words of the stateless revision.
fn modern(mut message: Value) -> Value {
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    message
}

fn private(dir: &Path, name: &str, text: &str) -> PathBuf {
    let file = dir.join(name);
    std::fs::write(&file, text).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its rights");
    file
}

fn bridge(db: &TestDb, url: &str, token: &Path) -> Command {
    let mut command = alone(&db.data_dir);
    command.args(["mcp", "--url", url, "--token-file"]).arg(token);
    command
}

#[test]
fn a_client_that_starts_commands_has_its_tools_in_both_revisions() {
    let db = TestDb::sqlite();
    let server = Server::start(serve(&db));
    let token = private(&db.data_dir, "bridge-token", ADMIN);
    let mut old = Bridge::start(bridge(&db, &server.url, &token));
    assert_eq!(old.hello()["result"]["protocolVersion"], "2025-11-25");
    let listed = old.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    let names: Vec<_> =
        listed["result"]["tools"].as_array().expect("tools").iter().map(|tool| tool["name"].clone()).collect();
    assert!(names.contains(&json!("list_peers")) && names.contains(&json!("mint_org_token")), "{names:?}");
    let refused = old.ask(&call(2, "set_workspace_secret", json!({"key": "K", "value": "v"})));
    assert_eq!(refused["result"]["structuredContent"]["code"], "CONCIERGE_SELF_WRITE_BLOCKED", "{refused}");

    let mut new = Bridge::start(bridge(&db, &server.url, &token));
    let found = new.ask(&modern(json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {}})));
    assert!(
        found["result"]["supportedVersions"].as_array().expect("versions").contains(&json!("2026-07-28")),
        "{found}"
    );
    let info = new.ask(&modern(call(2, "get_workspace_info", json!({}))));
    assert_eq!(info["result"]["structuredContent"]["kind"], "platform", "{info}");

    // What is no message is answered, and the conversation goes on.
    new.write("this is no message");
    assert_eq!(new.next()["error"]["code"], -32700);
    new.write(&"x".repeat(3 << 20));
    assert_eq!(new.next()["error"]["code"], -32700);
    let large =
        new.ask(&modern(call(3, "set_workspace_secret", json!({"key": "K", "value": "v".repeat((1 << 20) + 1)}))));
    assert!(large["error"]["message"].as_str().expect("words").starts_with("BODY_TOO_LARGE"), "{large}");
    new.ask(&modern(call(4, "list_peers", json!({}))));
    assert_eq!((old.ends(), new.ends()), (0, 0));
}

#[test]
fn a_call_that_is_taken_back_is_not_answered_and_others_are_not_held_up() {
    let db = TestDb::sqlite();
    operator(&db, "owner@example.org", "owner").exits(0);
    let server = Server::start(serve(&db));
    let token = private(&db.data_dir, "bridge-token", ADMIN);
    let mut bridge = Bridge::start(bridge(&db, &server.url, &token));
    let held = bridge.ask(&modern(call(1, "mint_org_token", json!({"name": "x"}))));
    let approval = held["result"]["structuredContent"]["approval_id"].clone();
    bridge.say(&modern(call(2, "wait_for_request", json!({"approval_id": approval, "wait_s": 30}))));
    bridge.ask(&modern(call(3, "list_peers", json!({}))));
    bridge.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}));
    // Decided: had the call gone on, it would be answered now.
    let owner = runtime().block_on(Actor::session(&server.url, "owner@example.org"));
    let path = format!("/approvals/{}/decide", approval.as_str().expect("an approval"));
    runtime().block_on(async { want(200, owner.post(&server.url, &path, json!({"decision": "denied"})).await) });
    bridge.ask(&modern(call(4, "list_peers", json!({}))));
    assert_eq!(bridge.ends(), 0);
}

#[test]
fn a_token_that_is_replaced_is_read_again_and_one_that_is_revoked_is_said() {
    let db = TestDb::sqlite();
    operator(&db, "owner@example.org", "owner").exits(0);
    let server = Server::start(serve(&db));
    let (runtime, url) = (runtime(), server.url.clone());
    let owner = runtime.block_on(Actor::session(&url, "owner@example.org"));
    let ask = |method: Method, path: &str, body: Option<Value>, status: u16| {
        want(status, runtime.block_on(owner.send(method, &url, path, body)))
    };
    let workspace =
        ask(Method::POST, "/workspaces", Some(json!({"name": "child"})), 201)["id"].as_str().expect("an id").to_owned();
    let path = format!("/workspaces/{workspace}/tokens");
    let mint = || ask(Method::POST, &path, Some(json!({})), 201);
    let text = |token: &Value, name: &str| token[name].as_str().expect("text").to_owned();
    let (first, second) = (mint(), mint());
    let file = private(&db.data_dir, "bridge-token", &text(&first, "auth_token"));
    let mut bridge = Bridge::start(bridge(&db, &url, &file));
    bridge.ask(&modern(call(1, "list_peers", json!({}))));
    let revoke = |token: &Value| ask(Method::DELETE, &format!("{path}/{}", text(token, "id")), None, 200);
    revoke(&first);
    private(&db.data_dir, "bridge-token", &text(&second, "auth_token"));
    let answer = bridge.ask(&modern(call(2, "list_peers", json!({}))));
    assert!(answer.get("result").is_some(), "{answer}");
    revoke(&second);
    let answer = bridge.ask(&modern(call(3, "list_peers", json!({}))));
    assert!(answer["error"]["message"].as_str().expect("words").starts_with("CREDENTIAL_REVOKED"), "{answer}");
    assert!(answer["error"]["data"]["next_step"].is_string(), "{answer}");
    assert!(!answer.to_string().contains(&text(&second, "auth_token")), "{answer}");
    assert_eq!(bridge.ends(), 0);
}

#[test]
fn a_session_that_the_server_forgot_is_opened_again_without_the_client() {
    let db = TestDb::sqlite();
    let server = Server::start(serve(&db));
    let address = server.url.trim_start_matches("http://").to_owned();
    let token = private(&db.data_dir, "bridge-token", ADMIN);
    let mut bridge = Bridge::start(bridge(&db, &server.url, &token));
    bridge.hello();
    bridge.ask(&call(1, "list_peers", json!({})));
    server.stop();
    let away = bridge.ask(&call(2, "list_peers", json!({})));
    assert!(away["error"]["message"].as_str().expect("words").contains("cannot talk to the server"), "{away}");
    let mut again = kit::portcullis(&db);
    again
        .env("PORTCULLIS_ADMIN_TOKEN", ADMIN)
        .args(["serve", "--no-agents", "--listen", &address, "--data"])
        .arg(&db.data_dir);
    let _server = Server::start(again);
    let answer = bridge.ask(&call(3, "list_peers", json!({})));
    assert!(answer.get("result").is_some(), "{answer}");
    assert_eq!(bridge.ends(), 0);
}

#[test]
fn a_bridge_without_a_token_or_with_one_that_others_can_read_does_not_start() {
    let db = TestDb::sqlite();
    let mut command = alone(&db.data_dir);
    command.args(["mcp", "--url", "http://127.0.0.1:9"]);
    let ended = ran(command).exits(2);
    assert!(ended.err.contains("there is no token"), "{ended:?}");
    let token = private(&db.data_dir, "bridge-token", ADMIN);
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).expect("its rights");
    let ended = ran(bridge(&db, "http://127.0.0.1:9", &token)).exits(2);
    assert!(ended.err.contains("read by others") && ended.err.contains("chmod 600"), "{ended:?}");
    let token = private(&db.data_dir, "other", ADMIN);
    let ended = ran(bridge(&db, "http://portcullis.example", &token)).exits(2);
    assert!(ended.err.contains("plain HTTP"), "{ended:?}");
}
