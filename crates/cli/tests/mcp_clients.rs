//! The official clients of MCP as the agents that use us, in both revisions of the protocol: what they list, call, are refused
//! and are answered. One of them also lints every schema.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use kit::{
    ADMIN, Ended,
    clients::{Clients, clients, spoken_for},
    fleet::Fleet,
    ran,
};
use portcullis_authority::testkit_db::{TestDb, databases};
use serde_json::{Value, json};

/// The stateless revision and the one before it, with the word by which the SDKs ask for it.
const REVISIONS: [(&str, &str); 3] = [("auto", "2026-07-28"), ("2026-07-28", "2026-07-28"), ("legacy", "2025-11-25")];

/// What no client may be shown again.
const VALUE: &str = "a-value-that-a-client-set-and-nobody-sees";

/// An organisation in which the client is one agent and the built-in echo agent its peer.
struct Scene {
    clients: Clients,
    fleet: Fleet,
    home: String,
    peer: String,
    token: String,
}

fn scene(db: TestDb) -> Option<Scene> {
    let clients = clients(&db.data_dir)?;
    let fleet = Fleet::new(db, "");
    let (home, token) = spoken_for(&fleet);
    let peer = fleet.create("peer", json!("process"), None);
    fleet.settled(&peer);
    Some(Scene { clients, fleet, home, peer, token })
}

impl Scene {
    fn server(&self) -> String {
        format!("{}/mcp", self.fleet.url())
    }

    /// What a script is told.
    fn environment<'a>(&'a self, server: &'a str, mode: &'a str) -> [(&'a str, &'a str); 5] {
        [("SERVER", server), ("TOKEN", &self.token), ("MODE", mode), ("PEER", &self.peer), ("VALUE", VALUE)]
    }

    /// Lets a script work as the agent and looks at what it saw.
    #[track_caller]
    fn works(&self, mode: &str, revision: &str, run: impl FnOnce(&[(&str, &str)]) -> Ended) {
        let server = self.server();
        let ended = run(&self.environment(&server, mode)).exits(0);
        assert!(!format!("{ended:?}{}", self.fleet.log()).contains(VALUE), "a value came back: {ended:?}");
        let seen = ended.json();
        assert_eq!(seen["revision"], revision, "{seen:#}");
        // Who was told the revision does not ask who is there.
        assert!(seen["server"] == "portcullis" || seen["server"].is_null() && mode == revision, "{seen:#}");
        self.is_the_agent(&seen);
    }

    #[track_caller]
    fn is_the_agent(&self, seen: &Value) {
        let has = |list: &str, name: &str| seen[list].as_array().is_some_and(|all| all.iter().any(|one| one == name));
        assert!(has("tools", "delegate_task") && !has("tools", "mint_org_token"), "{seen:#}");
        assert!(has("resources", "portcullis://refusals"), "{seen:#}");
        for call in ["info", "peers", "set", "secrets", "reply"] {
            assert_eq!(seen[call]["error"], false, "{call}: {seen:#}");
        }
        assert_eq!(seen["info"]["body"]["id"], *self.home, "{seen:#}");
        let ids = |list: &Value, member: &str| -> Vec<Value> {
            list.as_array().expect("a list").iter().map(|one| one[member].clone()).collect()
        };
        assert!(ids(&seen["peers"]["body"]["peers"], "id").contains(&json!(self.peer)), "{seen:#}");
        assert!(ids(&seen["secrets"]["body"]["secrets"], "key").contains(&json!("FROM_A_CLIENT")), "{seen:#}");
        let refused = &seen["refused"];
        assert_eq!((&refused["error"], &refused["body"]["code"]), (&json!(true), &json!("KEY_FORBIDDEN")), "{seen:#}");
        assert_eq!(refused["body"]["retryable"], false, "{seen:#}");
        assert_eq!(seen["reply"]["body"]["reply"], "hello", "{seen:#}");
    }
}

#[test]
fn the_python_client_is_an_agent_in_both_revisions() {
    for db in databases() {
        let Some(scene) = scene(db) else { return };
        for (mode, revision) in REVISIONS {
            scene
                .works(mode, revision, |environment| scene.clients.python(include_str!("clients/mcp.py"), environment));
        }
    }
}

#[test]
fn the_typescript_client_is_an_agent_in_both_revisions() {
    for db in databases() {
        let Some(scene) = scene(db) else { return };
        for (mode, revision) in REVISIONS {
            scene.works(mode, revision, |environment| scene.clients.node(include_str!("clients/mcp.mjs"), environment));
        }
    }
}

/// Its lint exits with 6 if a schema would not do in some client or for some model.
#[test]
fn the_inspector_finds_nothing_in_any_schema() {
    let Some(scene) = scene(TestDb::sqlite()) else { return };
    for era in ["modern", "legacy"] {
        for (token, tool) in [(scene.token.as_str(), "delegate_task"), (ADMIN, "provision_workspace")] {
            let mut command = scene.clients.inspector();
            command.arg(scene.server()).args(["--transport", "http", "--protocol-era", era]);
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
            command.args(["--method", "tools/list", "--strict", "--format", "json"]);
            let ended = ran(command).exits(0);
            let tools = ended.json();
            let tools = tools["result"]["tools"].as_array().expect("tools");
            assert!(tools.iter().any(|one| one["name"] == tool), "{ended:?}");
        }
    }
}

/// It holds a refusal to the tool's output schema, and must still show it.
#[test]
fn a_strict_client_shows_a_refusal_as_it_is() {
    let Some(scene) = scene(TestDb::sqlite()) else { return };
    let arguments = r#"{"key":"PATH","value":"x"}"#;
    for era in ["modern", "legacy"] {
        let mut command = scene.clients.inspector();
        command.arg(scene.server()).args(["--transport", "http", "--protocol-era", era]);
        command.args(["--header", &format!("Authorization: Bearer {}", scene.token), "--format", "json"]);
        command.args(["--method", "tools/call", "--tool-name", "set_workspace_secret", "--tool-args-json", arguments]);
        let ended = ran(command);
        assert!(ended.out.contains("KEY_FORBIDDEN") && !ended.out.contains("must be"), "{ended:?}");
    }
}

/// A client whose token is wrong learns that, and nothing else.
#[test]
fn a_client_without_a_good_token_sees_nothing() {
    let Some(mut scene) = scene(TestDb::sqlite()) else { return };
    let before = scene.fleet.audit("").len();
    scene.token = "pcw_not-a-token".to_owned();
    let server = scene.server();
    for (mode, _) in REVISIONS {
        let environment = scene.environment(&server, mode);
        let python = scene.clients.python(include_str!("clients/mcp.py"), &environment);
        let node = scene.clients.node(include_str!("clients/mcp.mjs"), &environment);
        // Only one of them passes on what it was answered.
        assert!(node.err.contains("TOKEN_INVALID") || node.err.contains("401"), "{}", node.err);
        for ended in [python, node] {
            assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{ended:?}");
        }
    }
    assert_eq!(scene.fleet.audit("").len(), before, "a stranger was noted as somebody");
}
