//! The life of a workspace with a live agent, whole: it is created, works, is restarted for a change at the turn boundary,
//! is paused and resumed, and leaves nothing behind. Real server, real agents, both engines where storage matters.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use kit::{
    Actor,
    fleet::{Fleet, HOLDS, digest, exec, list, shown, text},
    want,
};
use portcullis_authority::testkit_db::{TestDb, databases};
use portcullis_kernel::{runtime::Limits, secret::Environment};
use portcullis_service::runtime::{Launch, Places, Runtime, Unit, process::ProcessRuntime};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn an_agent_comes_up_works_is_restarted_for_a_change_and_leaves_nothing() {
    for db in databases() {
        let fleet = Fleet::new(db, "");
        let made = fleet.post("/workspaces", Some(json!({"name": "writer", "runtime": "process"})), 201);
        assert_eq!(made["status"], "provisioning", "{made}");
        let id = text(&made, "id");
        fleet.settled(&id);
        assert_eq!(fleet.ask(&id, "hello"), "hello");
        assert_eq!(fleet.ask(&id, "/env KEY"), "unset");
        let first = fleet.boot(&id);
        let old_token = fleet.token(&first);

        fleet.set(&id, "KEY", "value-one-of-the-test");
        fleet.settled(&id);
        assert_eq!(fleet.ask(&id, "/env KEY"), shown("value-one-of-the-test"));
        let runs = fleet.runs(&id);
        assert_eq!(runs.len(), 2, "{runs:?}");
        assert_eq!(
            (&runs[0]["cause"], &runs[0]["crash"], &runs[0]["exit_code"]),
            (&json!("restart"), &json!(false), &json!(0))
        );
        assert!(runs[0]["handoff"].as_str().is_some_and(|note| note.contains("mind: echo")), "{runs:?}");
        assert_eq!(runs[1]["versions"]["KEY"]["version"], 1, "{runs:?}");
        let context: Value = serde_json::from_str(&fleet.ask(&id, "/context")).unwrap();
        assert_eq!(context["reason"], "change", "{context}");
        assert_eq!(context["changed"][0]["key"], "KEY", "{context}");
        assert_eq!(context["previous"]["boot_id"], first.as_str(), "{context}");

        // A boot that has ended has no power, whoever kept its token.
        let stale = Actor::bearer(old_token.trim());
        for (method, path, body) in [
            (Method::POST, format!("/workspaces/{id}/inbox/claim"), json!({"wait_s": 0})),
            (Method::POST, "/registry/register".to_owned(), json!({"id": id})),
            (Method::POST, "/registry/heartbeat".to_owned(), json!({"workspace_id": id})),
        ] {
            let refused = want(401, fleet.ask_as(&stale, method, &path, Some(body)));
            assert_eq!(refused["code"], "CREDENTIAL_REVOKED", "{path}: {refused}");
        }
        want(401, fleet.ask_as(&stale, Method::GET, &format!("/workspaces/{id}/secrets/values"), None));
        let second = fleet.boot(&id);
        let current = Actor::bearer(fleet.token(&second).trim());
        want(200, fleet.ask_as(&current, Method::GET, &format!("/workspaces/{id}/secrets/values"), None));

        // The same value again is no change.
        let generation = fleet.workspace(&id)["desired_generation"].clone();
        fleet.set(&id, "KEY", "value-one-of-the-test");
        assert_eq!(fleet.workspace(&id)["desired_generation"], generation);
        assert_eq!(fleet.ask(&id, "still there?"), "still there?");
        assert_eq!((fleet.boot(&id), fleet.runs(&id).len()), (second.clone(), 2));

        // What comes while it drains waits for the next boot, and is delivered once.
        let long = fleet.send(&id, "/sleep 2");
        fleet.taken(&id, &long);
        fleet.set(&id, "KEY", "value-two-of-the-test");
        fleet.drains(&id);
        let queued = fleet.send(&id, "/env KEY");
        assert_eq!(fleet.reply(&id, &long), "slept 2");
        assert_eq!(fleet.reply(&id, &queued), shown("value-two-of-the-test"));
        fleet.settled(&id);
        let turns = fleet.turns(&id);
        let of = |message: &str| {
            let turns: Vec<_> = turns.iter().filter(|turn| turn["message_id"] == message).collect();
            assert_eq!(turns.len(), 1, "{turns:?}");
            text(turns[0], "boot_id")
        };
        let third = fleet.boot(&id);
        assert_eq!((of(&long), of(&queued)), (second.clone(), third.clone()));
        assert_eq!(fleet.runs(&id).len(), 3);

        let all: Vec<_> = fleet.runs(&id).iter().map(|run| text(run, "boot_id")).collect();
        assert!(!fleet.processes_of(&id).is_empty());
        want(200, fleet.ask_as(fleet.owner(), Method::DELETE, &format!("/workspaces/{id}"), None));
        fleet.gone(&id, &all);
        want(404, fleet.ask_as(fleet.owner(), Method::GET, &format!("/workspaces/{id}"), None));
        let dead = Actor::bearer(current_token(&current));
        let answer =
            fleet.ask_as(&dead, Method::POST, &format!("/workspaces/{id}/inbox/claim"), Some(json!({"wait_s": 0})));
        assert!(matches!(answer, Some((401 | 404 | 410, _))), "{answer:?}");
        fleet.verified();
    }
}

/// A unit of no row, by hand: what a crash or another database leaves. It does not end when it is asked to.
fn stray(fleet: &Fleet) -> Unit {
    let places = Places {
        agents: fleet.dir.clone(),
        secrets: fleet.secrets.clone(),
        program: env!("CARGO_BIN_EXE_portcullis").into(),
    };
    let id = || std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
    let unit = Unit { workspace: id().trim().parse().unwrap(), boot: id().trim().parse().unwrap() };
    let script = "trap '' TERM; while :; do sleep 0.2; done";
    let launch = Launch {
        unit,
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        image: None,
        placement: Vec::new(),
        limits: Limits::default(),
        slot: 77,
        settings: BTreeMap::new(),
        environment: Environment { variables: Vec::new(), files: Vec::new(), token: None },
        context: "{}".to_owned(),
    };
    fleet.run(async { ProcessRuntime::open(places).unwrap().start(launch).await.unwrap() });
    unit
}

#[test]
fn what_no_row_knows_is_ended_and_no_agent_waits_for_it() {
    let Some(db) = databases().into_iter().next() else { return };
    let mut fleet = Fleet::prepared(db, "grace_s = 40");
    let (workspace, boot) = {
        let Unit { workspace, boot } = stray(&fleet);
        (workspace.to_string(), boot.to_string())
    };
    assert!(!fleet.processes_of(&workspace).is_empty());
    fleet.start();
    let id = fleet.create("writer", json!("process"), None);
    assert_eq!(fleet.ask(&id, "hello"), "hello");
    assert!(!fleet.processes_of(&workspace).is_empty(), "its grace is not over, and the other agent is up");
    fleet.until("it is ended", || fleet.processes_of(&workspace).is_empty().then_some(()));
    fleet.gone(&workspace, &[boot]);
    assert_eq!(fleet.ask(&id, "still there?"), "still there?");
    assert_eq!(fleet.runs(&id).len(), 1);
}

/// The token an actor shows.
fn current_token(actor: &Actor) -> &str {
    actor.shows("authorization").unwrap().strip_prefix("Bearer ").unwrap()
}

#[test]
fn a_command_that_answers_gets_variables_by_a_restart_and_files_without_one() {
    let fleet = Fleet::new(TestDb::sqlite(), "");
    let script = "read -r kind; case $kind in variable) printf %s \"$KEY\";; \
        file) cat \"$PORTCULLIS_SECRETS_DIR/FILE_KEY\" 2>&1 || echo none;; esac | sha256sum | cut -c1-16";
    let id = fleet.create("digests", exec(script), None);
    fleet.settled(&id);
    assert_eq!(fleet.ask(&id, "variable\n"), digest(""));
    fleet.set(&id, "KEY", "a-variable-of-the-test");
    fleet.settled(&id);
    assert_eq!(fleet.ask(&id, "variable\n"), digest("a-variable-of-the-test"));

    let boot = fleet.boot(&id);
    for value in ["a-file-of-the-test", "another-file-of-the-test"] {
        let body = json!({"key": "FILE_KEY", "value": value, "delivery": "file"});
        fleet.post(&format!("/workspaces/{id}/secrets"), Some(body), 200);
        fleet.until("the file is replaced", || (fleet.ask(&id, "file\n") == digest(value)).then_some(()));
        fleet.settled(&id);
    }
    want(200, fleet.ask_as(fleet.owner(), Method::DELETE, &format!("/workspaces/{id}/secrets/FILE_KEY"), None));
    fleet.settled(&id);
    fleet.until("the file is gone", || (!fleet.secrets.join(&id).join("FILE_KEY").exists()).then_some(()));
    assert_eq!(fleet.boot(&id), boot, "a file is no reason to restart");
    assert_eq!(fleet.runs(&id).len(), 2);
    let observed = fleet.audit(&format!("event=run.observed&workspace_id={id}"));
    assert_eq!(observed.len(), 3, "{observed:?}");
}

/// An endpoint that answers with what it was asked, and keeps the credentials it was shown.
struct Endpoint {
    address: SocketAddr,
    shown: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    fn start(fleet: &Fleet) -> Self {
        async fn answer(State(shown): State<Arc<Mutex<Vec<String>>>>, headers: HeaderMap, body: String) -> String {
            let shows = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
            shown.lock().unwrap().push(shows.unwrap_or_default());
            let asked: Value = serde_json::from_str(&body).unwrap();
            let last = asked["messages"].as_array().unwrap().last().unwrap()["content"].clone();
            json!({"choices": [{"message": {"role": "assistant", "content": last}}]}).to_string()
        }
        let shown = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&shown));
        let address = fleet.run(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::spawn(async move { axum::serve(listener, router).await });
            address
        });
        Self { address, shown }
    }

    fn last(&self) -> String {
        self.shown.lock().unwrap().last().unwrap().clone()
    }
}

#[test]
fn a_model_is_asked_with_the_key_of_now() {
    let fleet = Fleet::new(TestDb::sqlite(), "");
    let endpoint = Endpoint::start(&fleet);
    fleet.set_for_all("MODEL_KEY", "a-key-for-everybody");
    let agent = json!({"mind": "model", "model": "m-1", "base_url": format!("http://{}/v1", endpoint.address),
        "key": "MODEL_KEY"});
    let id = fleet.create("thinker", json!({"kind": "process", "agent": agent}), None);
    fleet.settled(&id);
    assert_eq!(fleet.ask(&id, "what is it?"), "what is it?");
    assert_eq!(endpoint.last(), "Bearer a-key-for-everybody");
    fleet.set(&id, "MODEL_KEY", "a-key-of-its-own");
    fleet.settled(&id);
    assert_eq!(fleet.ask(&id, "and now?"), "and now?");
    assert_eq!(endpoint.last(), "Bearer a-key-of-its-own");
    // Overridden here: a change of what it would inherit is none.
    let boot = fleet.boot(&id);
    fleet.set_for_all("MODEL_KEY", "another-key-for-everybody");
    assert_eq!(fleet.ask(&id, "still?"), "still?");
    assert_eq!((endpoint.last(), fleet.boot(&id)), ("Bearer a-key-of-its-own".to_owned(), boot));
}

#[test]
fn pausing_stops_the_whole_branch_at_the_turn_boundary_and_resuming_delivers_what_waited() {
    let fleet = Fleet::new(TestDb::sqlite(), "");
    let parent = fleet.create("lead", exec(HOLDS), None);
    let child = fleet.create("helper", json!("process"), Some(&parent));
    let ids = [parent.as_str(), child.as_str()];
    for id in ids {
        fleet.settled(id);
    }
    let held = fleet.send(&parent, "hold a\n");
    fleet.taken(&parent, &held);

    let paused = fleet.post(&format!("/workspaces/{parent}/pause"), None, 200);
    assert_eq!(list(&paused["affected"]), [json!(parent), json!(child)]);
    fleet.shown(&child, "paused");
    // The parent is in a turn, and stays in it.
    assert_eq!(fleet.shown(&parent, "draining")["desired_state"], "paused");
    let waiting = ids.map(|id| fleet.send(id, "go b\n"));
    assert_eq!(fleet.message(&parent, &held)["status"], "delivered");
    fleet.touch(&parent, "a");
    assert_eq!(fleet.reply(&parent, &held), "hold a unset");
    fleet.shown(&parent, "paused");
    fleet.until("no agent of the branch runs", || ids.iter().all(|id| fleet.processes_of(id).is_empty()).then_some(()));
    for (id, message) in ids.iter().zip(&waiting) {
        assert_eq!(fleet.message(id, message)["status"], "queued");
    }
    let refused = fleet.post(&format!("/workspaces/{child}/resume"), None, 409);
    assert_eq!(refused["code"], "ANCESTOR_PAUSED", "{refused}");

    fleet.post(&format!("/workspaces/{parent}/resume"), None, 200);
    for id in ids {
        fleet.settled(id);
    }
    assert_eq!(fleet.reply(&parent, &waiting[0]), "go b unset");
    fleet.outcome(&child, &waiting[1]);
    assert_eq!(std::fs::read_to_string(fleet.work(&parent).join("ran")).unwrap(), "hold a\ngo b\n");
    let runs = fleet.runs(&parent);
    assert_eq!((&runs[0]["cause"], &runs[1]["reason"]), (&json!("pause"), &json!("resume")), "{runs:?}");

    let remove =
        |query: &str| fleet.ask_as(fleet.owner(), Method::DELETE, &format!("/workspaces/{parent}{query}"), None);
    for query in ["", "?confirm=another"] {
        let refused = want(409, remove(query));
        assert_eq!(refused["code"], "CONFIRMATION_REQUIRED", "{refused}");
    }
    for id in ids {
        assert_eq!(fleet.workspace(id)["status"], "online");
    }
    let boots = ids.map(|id| fleet.runs(id).iter().map(|run| text(run, "boot_id")).collect::<Vec<_>>());
    want(200, remove("?confirm=lead"));
    for (id, boots) in ids.iter().zip(&boots) {
        fleet.gone(id, boots);
    }
    assert_eq!(fleet.processes(), [], "and nobody else's was started");
}
