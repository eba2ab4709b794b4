//! Agents on a swarm of two engines, each in a network of its own: where they are, what a change, a drain and a death do to
//! them, and that no copy of a lost one has any power. The server is on the manager's machine.

mod kit;
mod nodes;

use kit::{
    fleet::{Fleet, shown, text},
    want,
};
use nodes::{MANAGER, Nodes, engine};
use portcullis_authority::testkit_db::TestDb;
use reqwest::Method;
use serde_json::{Value, json};

/// A server beside the manager; the cable is there and everything this thread starts is in the manager's network.
fn fleet(nodes: &Nodes) -> Fleet {
    nodes.enter();
    // `url` is empty: the address the server listens on is one that both nodes reach.
    let settings = format!("engine = {:?}\nswarm_network = \"host\"\ngrace_s = 5\n", nodes.manager.socket);
    let mut fleet = Fleet::prepared_at(MANAGER, TestDb::sqlite(), &settings);
    fleet.start();
    fleet
}

fn runtime(agent: Value, placement: &[&str]) -> Value {
    json!({"kind": "swarm", "image": engine::IMAGE, "agent": agent, "placement": placement})
}

/// Whether a boot has left nothing in the swarm but what is kept for its log.
fn secrets_of(nodes: &Nodes, boot: &str) -> usize {
    nodes.names("secrets").iter().filter(|name| name.contains(boot)).count()
}

#[test]
fn a_server_that_only_its_own_machine_reaches_has_no_agents_on_others() {
    let fleet = Fleet::new(TestDb::sqlite(), "engine = \"/nowhere/engine\"\n");
    let refused = |body: Value| {
        let refusal = fleet.post("/workspaces", Some(body), 422);
        assert_eq!(refusal["code"], "AGENTS_URL_NEEDED", "{refusal}");
        assert!(text(&refusal, "next_step").contains("agents.url"), "{refusal}");
    };
    refused(json!({"name": "far", "runtime": runtime(json!({"mind": "echo"}), &[])}));
    let id = fleet.create("near", json!({"kind": "process", "agent": {"mind": "echo"}}), None);
    let change = json!({"runtime": runtime(json!({"mind": "echo"}), &[])});
    let refusal = want(422, fleet.ask_as(fleet.owner(), Method::PATCH, &format!("/workspaces/{id}"), Some(change)));
    assert_eq!(refusal["code"], "AGENTS_URL_NEEDED", "{refusal}");
    // What is no constraint is refused for another reason.
    let wrong = json!({"name": "far", "runtime": runtime(json!({"mind": "echo"}), &["node.size==big"])});
    let refusal = fleet.post("/workspaces", Some(wrong), 422);
    assert!(refusal["code"] == "INVALID_FIELD" && refusal.to_string().contains("placement"), "{refusal}");
    assert_eq!(fleet.get("/workspaces").as_array().map(Vec::len), Some(2));
}

#[test]
fn an_agent_is_where_it_is_placed_and_moves_after_its_turn() {
    if !nodes::possible() {
        return;
    }
    let nodes = Nodes::two();
    let fleet = fleet(&nodes);
    let worker = format!("node.id=={}", nodes.worker().id);

    // Placement, and a turn on the other machine.
    let id = fleet.create("far", runtime(json!({"mind": "echo"}), &[&worker]), None);
    fleet.settled(&id);
    let first = fleet.boot(&id);
    assert_eq!(nodes.node_of(&first), nodes.worker().id);
    assert_eq!(fleet.ask(&id, "hello"), "hello");
    assert_eq!(fleet.workspace(&id)["runtime"], "swarm");

    // A change waits for the end of the turn, and the next run has the new value; also one of a file.
    let long = fleet.send(&id, "/sleep 2");
    fleet.taken(&id, &long);
    fleet.set(&id, "KEY", "value-one-of-the-swarm");
    fleet.drains(&id);
    let queued = fleet.send(&id, "/env KEY");
    assert_eq!(fleet.reply(&id, &long), "slept 2");
    assert_eq!(fleet.reply(&id, &queued), shown("value-one-of-the-swarm"));
    fleet.settled(&id);
    let second = fleet.boot(&id);
    let runs = fleet.runs(&id);
    assert_eq!((runs.len(), &runs[0]["cause"], &runs[0]["crash"]), (2, &json!("restart"), &json!(false)), "{runs:?}");
    assert_eq!((secrets_of(&nodes, &first), secrets_of(&nodes, &second)), (0, 3));
    let service = nodes.service(&second).expect("a service").to_string();
    assert!(!service.contains("value-one") && !service.contains("dmFsdWUtb25l"), "{service}");
    let file = json!({"key": "FILE_KEY", "value": "value-of-a-file-of-the-swarm", "delivery": "file"});
    fleet.post(&format!("/workspaces/{id}/secrets"), Some(file), 200);
    let third = fleet.next_boot(&id, &second);
    fleet.settled(&id);
    assert_eq!(secrets_of(&nodes, &third), 4);
    // It comes from the other machine, a moment later.
    fleet.until("its log is there", || {
        let log = fleet.get(&format!("/workspaces/{id}/logs"));
        text(&log, "text").contains("agent: ").then_some(())
    });

    // A server that is killed and comes back finds it where it is.
    let mut fleet = fleet;
    fleet.kill_server();
    fleet.start();
    fleet.settled(&id);
    assert_eq!((fleet.boot(&id), fleet.ask(&id, "/env KEY")), (third.clone(), shown("value-one-of-the-swarm")));

    // How a node is emptied without cutting a turn: it takes nothing new, and its agents are restarted after their turns.
    let change = json!({"runtime": runtime(json!({"mind": "echo"}), &[])});
    nodes.availability(nodes.worker(), "pause");
    let long = fleet.send(&id, "/sleep 2");
    fleet.taken(&id, &long);
    want(200, fleet.ask_as(fleet.owner(), Method::PATCH, &format!("/workspaces/{id}"), Some(change)));
    assert_eq!(fleet.reply(&id, &long), "slept 2");
    let fourth = fleet.next_boot(&id, &third);
    fleet.settled(&id);
    assert_eq!(nodes.node_of(&fourth), nodes.manager.id);

    // A node that is drained ends its tasks, with the grace and without asking: the next run is elsewhere, and no crash.
    nodes.availability(nodes.worker(), "active");
    nodes.availability(&nodes.manager, "drain");
    let fifth = fleet.next_boot(&id, &fourth);
    fleet.settled(&id);
    assert_eq!(nodes.node_of(&fifth), nodes.worker().id);
    let runs = fleet.runs(&id);
    assert!(runs.iter().all(|run| run["crash"] == false), "{runs:?}");
    assert_eq!(fleet.ask(&id, "/env KEY"), shown("value-one-of-the-swarm"));

    want(200, fleet.ask_as(fleet.owner(), Method::DELETE, &format!("/workspaces/{id}"), None));
    fleet.until("nothing of it is in the swarm", || {
        (nodes.names("services").is_empty() && nodes.names("secrets").is_empty()).then_some(())
    });
    fleet.verified();
}

#[test]
fn the_copy_of_an_agent_on_a_lost_node_is_powerless_and_cleared_when_the_node_returns() {
    if !nodes::possible() {
        return;
    }
    let nodes = Nodes::two();
    let fleet = fleet(&nodes);
    nodes.availability(&nodes.manager, "pause");
    // It answers with its boot, and works on `hold` without end. The loop lives on when the agent beside it ends, also when it
    // is asked to stop: only a node can end it.
    let work =
        json!(["sh", "-c", "read -r word; echo $PORTCULLIS_BOOT_ID; if [ $word = hold ]; then sleep 100000; fi"]);
    let script = format!("trap '' TERM; portcullis agent --exec-json '{work}' & while :; do sleep 0.2; done");
    let id = fleet.create("far", runtime(json!({"mind": "command", "command": ["sh", "-c", script]}), &[]), None);
    fleet.settled(&id);
    let lost = fleet.boot(&id);
    assert_eq!(nodes.node_of(&lost), nodes.worker().id);
    let held = fleet.send(&id, "hold");
    fleet.taken(&id, &held);
    let queued = fleet.send(&id, "next");
    let agent = *nodes::processes_of(&lost).first().expect("a process");
    let token = std::fs::read_to_string(format!("/proc/{agent}/root/run/secrets-portcullis/token")).expect("its token");
    let claim = |token: &str| {
        let agent = kit::Actor::bearer(token);
        fleet.ask_as(&agent, Method::POST, &format!("/workspaces/{id}/inbox/claim"), Some(json!({"wait_s": 0})))
    };
    // As long as it lives it may take work, which is the turn it has.
    want(200, claim(&token));

    // The machine is gone, as far as anybody can see; the agent on it lives on.
    nodes.availability(&nodes.manager, "active");
    nodes.cable(false);
    nodes.worker().kill_engine();
    let next = fleet.next_boot(&id, &lost);
    fleet.settled(&id);
    assert_eq!(nodes.node_of(&next), nodes.manager.id);
    assert!(!nodes::processes_of(&lost).is_empty(), "the test sees what it is about");
    let ended = fleet.runs(&id).into_iter().find(|run| text(run, "boot_id") == lost).expect("the run");
    assert_eq!((&ended["cause"], &ended["crash"]), (&json!("lost"), &json!(true)), "{ended}");

    // What it worked on is failed and not given to another; what waited is worked on once, by the new run.
    let failed = fleet.outcome(&id, &held);
    assert_eq!(failed["status"], "failed", "{failed}");
    let reply = fleet.reply(&id, &queued);
    assert!(reply.contains(&next), "{reply}");
    let worked: Vec<_> = fleet.turns(&id).iter().map(|turn| text(turn, "state")).collect();
    assert_eq!(worked, ["lost", "completed"]);

    // The cable is whole again, and the copy runs: it may do nothing.
    nodes.cable(true);
    let refusal = want(401, claim(&token));
    assert_eq!(refusal["code"], "CREDENTIAL_REVOKED", "{refusal}");
    assert!(
        !nodes::processes_of(&lost).is_empty(),
        "it was the token that had no power, and not the agent that was gone"
    );
    assert_eq!(fleet.message(&id, &held)["status"], "failed");

    // The node returns, and the swarm clears it.
    nodes.worker().start_engine();
    nodes.until_state("ready");
    fleet.until("the copy is cleared", || nodes::processes_of(&lost).is_empty().then_some(()));
    assert_eq!((fleet.boot(&id), fleet.message(&id, &held)["status"].clone()), (next, json!("failed")));
    assert_eq!(fleet.turns(&id).len(), 2);
    fleet.verified();
}
