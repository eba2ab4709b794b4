//! The routes against their own description: a fuzzer reads `/openapi.json`, makes requests that fit it and requests that do
//! not, and looks at every answer. No fault of the server, no status, content type or body that is not described.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use kit::{ADMIN, Actor, Ended, Server, clients, operator, runtime, serve, want};
use portcullis_authority::testkit_db::databases;
use serde_json::{Value, json};

const OWNER: &str = "owner@example.org";
/// The same requests every time.
const SEED: &str = "2566";
/// Random requests of each operation, beside the ones that its description implies.
const EXAMPLES: &str = "3";
/// What is looked at in every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance";

/// Operations that are not asked for, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("logout", "ends the session that asks"),
    ("session_end", "ends the session that asks"),
    ("password_change", "ends the session that asks"),
    ("step_up", "a wrong password ends the session that asks"),
    ("passkey_step_up_finish", "a wrong answer ends the session that asks"),
    ("operator_update", "takes its role from whoever asks"),
    ("workspace_remove", "takes away what the others are asked about"),
    ("events", "a stream without an end"),
    ("mcp_listen", "a stream without an end"),
    ("workspace_mcp_listen", "a stream without an end"),
    ("a2a_message_stream", "a stream that ends when an agent has answered"),
];

/// A server with something of everything.
struct Scene {
    server: Server,
    owner: Actor,
    token: String,
    known: Value,
}

impl Scene {
    fn on(db: &portcullis_authority::testkit_db::TestDb) -> Self {
        operator(db, OWNER, "owner").exits(0);
        let server = Server::start(serve(db));
        let url = server.url.clone();
        let (owner, token, known) = runtime().block_on(async {
            let owner = Actor::session(&url, OWNER).await;
            let root = want(200, owner.get(&url, "/workspaces").await)[0]["id"].clone();
            let new = json!({"name": "writer", "runtime": {"kind": "external"}});
            let home = want(201, owner.post(&url, "/workspaces", new).await)["id"].clone();
            let path = |rest: &str| format!("/workspaces/{}/{rest}", home.as_str().expect("an id"));
            let secret = |value: &str| json!({"key": "API_KEY", "value": value});
            want(200, owner.post(&url, &path("secrets"), secret("one")).await);
            let held = want(202, Actor::bearer(ADMIN).post(&url, &path("secrets"), secret("two")).await);
            let sent = want(202, owner.post(&url, &path("messages"), json!({"text": "hello"})).await);
            let minted = want(201, owner.post(&url, &path("tokens"), json!({"name": "fuzzer"})).await);
            let known = json!({"id": [home, root], "key": ["API_KEY"], "approval": [held["approval_id"]],
                "message": [sent["id"]], "task": [sent["id"]], "seq": ["1", "2"]});
            (owner, minted["auth_token"].as_str().expect("a token").to_owned(), known)
        });
        Self { server, owner, token, known }
    }

    /// The server's description without what is left out, and with what exists for its path parameters. Who asks is said by
    /// headers, not guessed.
    fn description(&self) -> Value {
        let mut document =
            runtime().block_on(async { want(200, Actor::nobody().get(&self.server.url, "/openapi.json").await) });
        let paths = document["paths"].as_object_mut().expect("paths");
        for (id, why) in LEFT_OUT {
            let before = paths.values().filter_map(Value::as_object).map(|methods| methods.len()).sum::<usize>();
            for methods in paths.values_mut().filter_map(Value::as_object_mut) {
                methods.retain(|_, operation| operation["operationId"] != *id);
            }
            let after = paths.values().filter_map(Value::as_object).map(|methods| methods.len()).sum::<usize>();
            assert_eq!(before, after + 1, "{id} ({why}) is no operation");
        }
        let operations = paths.values_mut();
        for operation in operations.filter_map(Value::as_object_mut).flat_map(|methods| methods.values_mut()) {
            operation.as_object_mut().expect("an operation").remove("security");
            for parameter in operation["parameters"].as_array_mut().expect("parameters") {
                let known = &self.known[parameter["name"].as_str().expect("a name")];
                if known.is_array() {
                    parameter["schema"]["enum"] = known.clone();
                }
            }
        }
        document
    }
}

/// Who asks: a word for people, and the headers that show it.
type Who<'a> = (&'a str, &'a [(&'a str, &'a str)]);

/// Fuzzes the operations of a description as somebody.
fn fuzz(scene: &Scene, clients: &clients::Clients, file: &str, who: Who<'_>, phases: &str) -> Ended {
    let mut arguments: Vec<String> =
        ["run", file, "--url", &scene.server.url, "--seed", SEED].map(str::to_owned).into();
    // One worker: CPython 3.11 cannot parse in two threads at once under load, and what is asked stays in order.
    for pair in [("--max-examples", EXAMPLES), ("--checks", CHECKS), ("--phases", phases), ("--workers", "1")] {
        arguments.extend([pair.0.to_owned(), pair.1.to_owned()]);
    }
    // A slow machine is no finding; a request that never ends is one, after this many seconds.
    arguments.extend(["--no-shrink", "--continue-on-failure", "--request-timeout", "60"].map(str::to_owned));
    for (name, value) in who.1.iter().chain(&[("A2A-Version", "1.0")]) {
        arguments.extend(["--header".to_owned(), format!("{name}: {value}")]);
    }
    clients.schemathesis(&arguments)
}

/// Nothing was found, and much was asked for.
fn is_sound(ended: &Ended, who: &str) {
    assert_eq!(ended.code, Some(0), "as {who}:\n{}\n{}", ended.out, ended.err);
    let tested = ended.out.lines().find_map(|line| line.trim().strip_prefix("Tested: ")?.parse::<usize>().ok());
    assert!(tested.is_some_and(|tested| tested > 100), "as {who}, too little was asked for:\n{}", ended.out);
}

#[test]
fn every_answer_is_one_that_the_description_names() {
    for (number, db) in databases().into_iter().enumerate() {
        let Some(clients) = clients::clients(&db.data_dir) else { return };
        let scene = Scene::on(&db);
        let mut document = scene.description();
        let written = |name: &str, document: &Value| {
            let file = db.data_dir.join(name);
            std::fs::write(&file, document.to_string()).expect("written");
            file.to_str().expect("a path").to_owned()
        };
        let file = written("openapi.json", &document);
        let shown = |name: &'static str| (name, scene.owner.shows(name).expect("a session"));
        let owner: Who<'_> = ("an owner", &[shown("cookie"), shown("x-csrf-token")]);
        let (admin, agent) = (format!("Bearer {ADMIN}"), format!("Bearer {}", scene.token));
        is_sound(&fuzz(&scene, &clients, &file, owner, "coverage,fuzzing"), owner.0);
        // What agents are told does not depend on the engine; once is enough.
        for (who, bearer) in [("the root agent", &admin), ("an agent", &agent)].into_iter().filter(|_| number == 0) {
            is_sound(&fuzz(&scene, &clients, &file, (who, &[("authorization", bearer.as_str())]), "fuzzing"), who);
        }
        // A description that is wrong in one place is found to be.
        let list = document["paths"]["/workspaces"]["get"]["responses"].as_object_mut().expect("responses");
        let done = list.remove("200").expect("an answer");
        list.insert("201".to_owned(), done);
        let paths = document["paths"].as_object_mut().expect("paths");
        paths.retain(|path, _| path == "/workspaces");
        let found = fuzz(&scene, &clients, &written("wrong.json", &document), owner, "fuzzing");
        assert!(found.code == Some(1) && found.out.contains("Undocumented status code"), "{found:?}");

        // What was asked did not break it.
        let log = scene.server.stop();
        assert!(!log.contains("panicked") && !log.contains("code=\"INTERNAL\""), "{log}");
    }
}
