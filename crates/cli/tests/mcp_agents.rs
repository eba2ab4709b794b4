//! Live agents with the platform's tools: a model that delegates to a peer, and that runs into the gate as on the night of
//! 2026-06-11.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod endpoint;
mod kit;

use endpoint::Endpoint;
use kit::{
    Actor,
    fleet::{Fleet, text},
};
use portcullis_authority::testkit_db::TestDb;
use reqwest::Method;

use serde_json::{Value, json};

/// The model calls tools.
fn calls(endpoint: &Endpoint, calls: &[(&str, Value)]) {
    let calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(number, (name, arguments))| {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            json!({"id": format!("call-{number}"), "type": "function", "function": function})
        })
        .collect();
    let message = json!({"role": "assistant", "content": null, "tool_calls": calls});
    endpoint.answers(200, None, json!({"choices": [{"message": message}]}));
}

fn thinker(endpoint: &Endpoint) -> Value {
    json!({"kind": "process", "agent": {"mind": "model", "model": "m-1", "base_url": endpoint.url}})
}

/// What the tools gave, as the model saw it in its last request.
fn results(endpoint: &Endpoint) -> Vec<String> {
    let asked = endpoint.asked();
    let messages = asked.last().unwrap().1["messages"].as_array().unwrap().clone();
    messages.iter().filter(|said| said["role"] == "tool").map(|said| text(said, "content")).collect()
}

#[test]
fn a_model_has_its_own_tools_and_a_peer_answers_it() {
    let fleet = Fleet::new(TestDb::sqlite(), "");
    let endpoint = Endpoint::start();
    let lead = fleet.create("lead", thinker(&endpoint), None);
    let helper = fleet.create("helper", json!("process"), Some(&lead));
    fleet.settled(&lead);
    fleet.settled(&helper);
    calls(&endpoint, &[("list_peers", json!({}))]);
    calls(&endpoint, &[("delegate_task", json!({"workspace_id": helper, "task": "say this back"}))]);
    endpoint.says("it said it back");
    assert_eq!(fleet.ask(&lead, "ask the helper"), "it said it back");
    let asked = endpoint.asked();
    let offered = asked[0].1["tools"].as_array().unwrap().clone();
    let names: Vec<_> = offered.iter().map(|tool| text(&tool["function"], "name")).collect();
    assert!(names.contains(&"delegate_task".to_owned()) && !names.contains(&"mint_org_token".to_owned()), "{names:?}");
    assert!(
        offered.iter().all(|tool| tool["type"] == "function" && tool["function"]["parameters"]["type"] == "object")
    );
    let gave = results(&endpoint);
    assert!(gave[0].contains(&helper), "{gave:?}");
    let reply: Value = serde_json::from_str(&gave[1]).unwrap();
    assert_eq!((&reply["status"], &reply["reply"]), (&json!("completed"), &json!("say this back")), "{reply}");
    // The peer was told who asked.
    let said = fleet.get(&format!("/workspaces/{helper}/messages"))["messages"][0].clone();
    assert_eq!((&said["from"]["kind"], &said["from"]["id"]), (&json!("agent"), &json!(lead)), "{said}");
}

#[test]
fn a_model_that_writes_to_the_root_is_told_to_stop_and_its_turn_goes_on() {
    let fleet = Fleet::new(TestDb::sqlite(), "");
    let endpoint = Endpoint::start();
    let root = fleet.root();
    let path = format!("/workspaces/{root}");
    let changed = fleet.ask_as(fleet.owner(), Method::PATCH, &path, Some(json!({"runtime": thinker(&endpoint)})));
    kit::want(200, changed);
    fleet.settled(&root);
    let child = fleet.create("child", json!("process"), None);
    fleet.settled(&child);
    let boot = fleet.boot(&root);
    calls(
        &endpoint,
        &[
            (
                "set_workspace_secret",
                json!({"workspace_id": root, "key": "MODEL_KEY", "value": "a-value-of-the-night"}),
            ),
            ("restart_workspace", json!({"workspace_id": root})),
            (
                "set_workspace_secret",
                json!({"workspace_id": child, "key": "API_KEY", "value": "a-value-for-the-child"}),
            ),
            ("decide_approval", json!({"approval_id": "any", "decision": "approved"})),
            ("list_workspaces", json!("not an object")),
        ],
    );
    endpoint.says("I will ask a human.");
    assert_eq!(fleet.ask(&root, "write a secret to yourself"), "I will ask a human.");
    let gave = results(&endpoint);
    assert!(
        gave[0].starts_with("REFUSED: CONCIERGE_SELF_WRITE_BLOCKED") && gave[0].contains("Next step"),
        "{}",
        gave[0]
    );
    assert!(gave[1].starts_with("REFUSED: SELF_INTERRUPTION_BLOCKED"), "{}", gave[1]);
    assert!(gave[2].starts_with("NOTHING HAS CHANGED YET"), "{}", gave[2]);
    assert!(gave[3].contains("you have no tool of this name"), "{}", gave[3]);
    assert!(gave[4].starts_with("REFUSED"), "{}", gave[4]);
    assert_eq!(fleet.boot(&root), boot, "the root lives on, in the same run");
    assert_eq!(fleet.turns(&root)[0]["state"], "completed");
    // A human agrees; the child is restarted after its turn, and told why.
    let before = fleet.boot(&child);
    let pending = fleet.get("/approvals/pending");
    let approval = text(&pending[0], "id");
    let owner: &Actor = fleet.owner();
    kit::want(200, fleet.ask_as(owner, Method::POST, "/auth/step-up", Some(json!({"password": kit::PASSWORD}))));
    fleet.post(&format!("/approvals/{approval}/decide"), Some(json!({"decision": "approved"})), 200);
    fleet.next_boot(&child, &before);
    fleet.settled(&child);
    assert_eq!(fleet.ask(&child, "/env API_KEY"), kit::fleet::shown("a-value-for-the-child"));
    let context = fleet.ask(&child, "/context");
    assert!(context.contains("API_KEY"), "{context}");
    assert!(!fleet.log().contains("a-value-"), "a value in the log");
}

#[test]
fn a_model_that_never_answers_ends_its_turn_by_itself() {
    let fleet = Fleet::new(TestDb::sqlite(), "");
    let endpoint = Endpoint::start();
    let id = fleet.create("looper", thinker(&endpoint), None);
    fleet.settled(&id);
    for _ in 0..24 {
        calls(&endpoint, &[("list_peers", json!({}))]);
    }
    let message = fleet.send(&id, "go on for ever");
    let outcome = fleet.outcome(&id, &message);
    assert_eq!(outcome["status"], "failed", "{outcome}");
    assert!(text(&outcome, "error").contains("no answer after 24 rounds"), "{outcome}");
}
