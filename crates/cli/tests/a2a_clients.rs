//! The official clients of A2A as those who talk to an agent, over both transports: card, send, stream, get, list, cancel,
//! subscribe.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::process::Command;

use kit::{
    Ended,
    clients::{Clients, Following, clients, spoken_for},
    fleet::{Fleet, HOLDS, exec, list, text},
    ran,
};
use portcullis_authority::testkit_db::{TestDb, databases};
use serde_json::{Value, json};

/// The bindings, as the protocol and as the command names them.
const BINDINGS: [(&str, &str); 2] = [("JSONRPC", "jsonrpc"), ("HTTP+JSON", "rest")];

/// An agent that holds when told to, and another workspace whose token talks to it.
struct Scene {
    clients: Clients,
    fleet: Fleet,
    agent: String,
    token: String,
}

fn scene(db: TestDb) -> Option<Scene> {
    let clients = clients(&db.data_dir)?;
    let fleet = Fleet::new(db, "");
    let (_, token) = spoken_for(&fleet);
    let agent = fleet.create("holder", exec(HOLDS), None);
    fleet.settled(&agent);
    Some(Scene { clients, fleet, agent, token })
}

impl Scene {
    /// Where the agent is talked to.
    fn base(&self) -> String {
        format!("{}/workspaces/{}/a2a", self.fleet.url(), self.agent)
    }

    /// The official command, with these arguments and JSON for an answer.
    fn prepared(&self, transport: &str, arguments: &[&str]) -> Command {
        let mut command = self.clients.a2acli();
        command.env("A2ACLI_BEARER", &self.token).args([
            "--transport",
            transport,
            "-o",
            "json",
            "--poll-interval",
            "50ms",
        ]);
        command.args(["-a", &format!("{}/.well-known/agent-card.json", self.base())]).args(arguments);
        command
    }

    fn command(&self, transport: &str, arguments: &[&str]) -> Ended {
        ran(self.prepared(transport, arguments))
    }

    #[track_caller]
    fn json(&self, transport: &str, arguments: &[&str]) -> Value {
        self.command(transport, arguments).exits(0).json()
    }

    /// What the agent worked on, each once.
    #[track_caller]
    fn worked_on(&self, expected: &[&str]) {
        let ran = std::fs::read_to_string(self.fleet.work(&self.agent).join("ran")).expect("it worked");
        assert_eq!(ran.lines().collect::<Vec<_>>(), expected);
    }
}

fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap_or_else(|| panic!("no state in {task:#}"))
}

#[track_caller]
fn replied(task: &Value, reply: &str) {
    assert_eq!(state(task), "TASK_STATE_COMPLETED", "{task:#}");
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], reply, "{task:#}");
}

/// The first event is the whole task, then its states in order, the reply before the last of them.
#[track_caller]
fn streamed(events: &[Value], reply: &str) {
    assert!(events.len() >= 2, "{events:#?}");
    assert!(events[0]["task"]["id"].is_string(), "{events:#?}");
    let task = &events[0]["task"]["id"];
    let rank = |state: &str| {
        let order = ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING", "TASK_STATE_COMPLETED"];
        order.iter().position(|one| *one == state).unwrap_or_else(|| panic!("{state} in {events:#?}"))
    };
    let mut ranks = vec![rank(state(&events[0]["task"]))];
    let mut replies = Vec::new();
    for event in &events[1..] {
        let update = [&event["statusUpdate"], &event["artifactUpdate"]].into_iter().find(|one| one.is_object());
        let update = update.unwrap_or_else(|| panic!("no update: {event:#}"));
        assert_eq!(&update["taskId"], task, "{event:#}");
        match update["artifact"].as_object() {
            Some(artifact) => replies.push(artifact["parts"][0]["text"].clone()),
            None => ranks.push(rank(state(update))),
        }
    }
    assert!(ranks.is_sorted() && ranks.last() == Some(&2), "{events:#?}");
    assert_eq!(replies, [json!(reply)], "{events:#?}");
    assert!(events.last().is_some_and(|last| last["statusUpdate"].is_object()), "{events:#?}");
}

#[test]
fn the_python_client_talks_to_an_agent_over_both_transports() {
    for db in databases() {
        let Some(scene) = scene(db) else { return };
        let base = scene.base();
        let work = scene.fleet.work(&scene.agent).display().to_string();
        let mut expected = Vec::new();
        for (binding, _) in BINDINGS {
            let environment =
                [("AGENT", base.as_str()), ("TOKEN", &scene.token), ("BINDING", binding), ("WORK", &work)];
            let seen = scene.clients.python(include_str!("clients/a2a.py"), &environment).exits(0).json();
            python_saw(&seen, &base, binding);
            expected.extend(["say hello", "say streamed", "hold file"]);
            std::fs::remove_file(scene.fleet.work(&scene.agent).join("file")).expect("the hold was ended");
        }
        // Never what was cancelled.
        scene.worked_on(&expected);
    }
}

#[track_caller]
fn python_saw(seen: &Value, base: &str, binding: &str) {
    let card = &seen["card"];
    assert_eq!(card["name"], "Portcullis agent (exec)", "{card:#}");
    let interfaces = list(&card["supportedInterfaces"]);
    let ours = interfaces.iter().find(|one| one["protocolBinding"] == binding);
    assert!(ours.is_some_and(|one| one["url"].as_str().is_some_and(|url| url.starts_with(base))), "{card:#}");

    replied(&seen["sent"], "say hello unset");
    assert_eq!(seen["sent"]["contextId"], seen["context"]);
    streamed(&list(&seen["streamed"]), "say streamed unset");
    assert_eq!(seen["got"]["id"], seen["sent"]["id"]);
    replied(&seen["got"], "say hello unset");

    assert_eq!(state(&seen["queued"]), "TASK_STATE_SUBMITTED");
    assert_eq!(state(&seen["cancelled"]), "TASK_STATE_CANCELED");
    assert_eq!(seen["not_cancelled"], "TaskNotCancelableError");
    streamed(&list(&seen["subscribed"]), "hold file unset");
    assert_eq!(state(&seen["subscribed"][0]["task"]), "TASK_STATE_WORKING");
    assert_eq!(seen["over"], "UnsupportedOperationError");
    assert_eq!(seen["unknown"], "TaskNotFoundError");

    let pages = list(&seen["pages"]);
    let tasks: Vec<Value> = pages.iter().flat_map(|page| list(&page["tasks"])).collect();
    let mut states: Vec<&str> = tasks.iter().map(state).collect();
    states.sort_unstable();
    assert_eq!(pages.len(), 2, "{pages:#?}");
    let [done, cancelled] = ["TASK_STATE_COMPLETED", "TASK_STATE_CANCELED"];
    assert_eq!(states, [cancelled, done, done, done], "{pages:#?}");
    assert_eq!(pages[0]["totalSize"], 4, "{pages:#?}");
}

#[test]
fn the_official_command_talks_to_an_agent_over_both_transports() {
    for db in databases() {
        let Some(scene) = scene(db) else { return };
        let mut expected = Vec::new();
        for (_, transport) in BINDINGS {
            let card = scene.json(transport, &["card", "get", "--validate"]);
            assert_eq!(card["name"], "Portcullis agent (exec)", "{card:#}");

            let sent = scene.json(transport, &["send", "say hello"]);
            let sent = sent.get("task").unwrap_or(&sent).clone();
            replied(&sent, "say hello unset");
            let got = scene.json(transport, &["task", "get", &text(&sent, "id")]);
            replied(&got, "say hello unset");
            let stream = scene.command(transport, &["send", "say streamed", "--stream"]).exits(0);
            streamed(&lines(&stream.out), "say streamed unset");

            let held = scene.json(transport, &["send", "hold file", "--async", "--return-immediately"]);
            let held = text(held.get("task").unwrap_or(&held), "id");
            scene.fleet.taken(&scene.agent, &held);
            let queued = scene.json(transport, &["send", "say later", "--async", "--return-immediately"]);
            let queued = text(queued.get("task").unwrap_or(&queued), "id");
            let cancelled = scene.json(transport, &["task", "cancel", &queued]);
            assert_eq!(state(&cancelled), "TASK_STATE_CANCELED");
            refused(scene.command(transport, &["task", "cancel", &held]), "TASK_NOT_CANCELABLE", -32002);
            subscribed(&scene, transport, &held);
            let unknown = "00000000-0000-7000-8000-000000000000";
            refused(scene.command(transport, &["task", "get", unknown]), "TASK_NOT_FOUND", -32001);

            let page = scene.json(transport, &["task", "list", "--status", "canceled", "--page-size", "50"]);
            assert!(list(&page["tasks"]).iter().any(|task| task["id"] == *queued), "{page:#}");
            expected.extend(["say hello", "say streamed", "hold file"]);
            std::fs::remove_file(scene.fleet.work(&scene.agent).join("file")).expect("the hold was ended");
        }
        scene.worked_on(&expected);
    }
}

/// Subscribes while the agent works, and lets it end only then.
#[track_caller]
fn subscribed(scene: &Scene, transport: &str, held: &str) {
    let subscribe = ["task", "subscribe", held];
    let mut following = Following::start(scene.prepared(transport, &subscribe));
    let mut events = vec![following.event().expect("a first event")];
    assert_eq!(state(&events[0]["task"]), "TASK_STATE_WORKING", "{events:#?}");
    scene.fleet.touch(&scene.agent, "file");
    events.extend(std::iter::from_fn(|| following.event()));
    streamed(&events, "hold file unset");
    assert!(following.ended_well());
    refused(scene.command(transport, &subscribe), "UNSUPPORTED_OPERATION", -32004);
}

#[track_caller]
fn lines(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// It failed, and says how the protocol calls that.
#[track_caller]
fn refused(ended: Ended, code: &str, number: i64) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = ended.err.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
    let said = said.unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!((&said["error"]["code"], &said["error"]["a2aCode"]), (&json!(code), &json!(number)), "{said:#}");
}

/// A client whose token is wrong learns that, and the agent nothing.
#[test]
fn the_official_command_without_a_good_token_is_not_heard() {
    let Some(mut scene) = scene(TestDb::sqlite()) else { return };
    scene.token = "pcw_not-a-token".to_owned();
    for (_, transport) in BINDINGS {
        let ended = scene.command(transport, &["send", "say hello"]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(4), ""), "{ended:?}");
    }
    assert_eq!(scene.fleet.workspace(&scene.agent)["queued"], 0);
    assert!(!scene.fleet.work(&scene.agent).join("ran").exists());
}
