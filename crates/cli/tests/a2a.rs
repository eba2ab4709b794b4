//! Two built-in agents that talk by A2A through a real server, also after `kill -9` of the one that was working.

mod kit;

use kit::{
    Actor,
    fleet::{Fleet, HOLDS, exec, text},
    want,
};
use portcullis_authority::testkit_db::databases;
use serde_json::{Value, json};

/// A method of A2A by JSON-RPC; the result, or the error.
fn call(fleet: &Fleet, actor: &Actor, workspace: &str, method: &str, params: &Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let path = format!("/workspaces/{workspace}/a2a?A2A-Version=1.0");
    want(200, fleet.ask_as(actor, reqwest::Method::POST, &path, Some(request)))
}

fn message(id: &str, words: &str) -> Value {
    json!({"messageId": id, "role": "ROLE_USER", "parts": [{"text": words}]})
}

fn at_once(message: &Value) -> Value {
    json!({"message": message, "configuration": {"returnImmediately": true}})
}

#[test]
fn an_agent_that_dies_between_delivery_and_reply_has_executed_once_and_its_sender_is_told() {
    for db in databases() {
        let engine = db.engine;
        let fleet = Fleet::new(db, "");
        let receiver = fleet.create("receiver", exec(HOLDS), None);
        let sender = fleet.create("sender", json!("process"), None);
        fleet.settled(&receiver);
        fleet.settled(&sender);
        // The agent's own credential: what it would send with.
        let agent = Actor::bearer(&fleet.token(&fleet.boot(&sender)));
        let first = call(&fleet, &agent, &receiver, "SendMessage", &json!({"message": message("m-1", "hello\n")}));
        assert_eq!(first["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{engine}: {first}");

        let hold = at_once(&message("m-2", "hold one\n"));
        let task = call(&fleet, &agent, &receiver, "SendMessage", &hold)["result"]["task"].clone();
        let id = text(&task, "id");
        fleet.taken(&receiver, &id);
        let boot = fleet.boot(&receiver);
        for (pid, _) in fleet.processes_of(&receiver) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        // The sender hears of it, in the words of the protocol.
        let failed = fleet.until("the task fails", || {
            let task = call(&fleet, &agent, &receiver, "GetTask", &json!({"id": id}))["result"].clone();
            (task["status"]["state"] == "TASK_STATE_FAILED").then_some(task)
        });
        assert!(failed["status"]["message"]["parts"][0]["text"].as_str().is_some(), "{engine}: {failed}");
        // The agent comes back, and the same message is the same task: it is not executed again.
        fleet.until("another run", || (fleet.runs(&receiver).len() > 1).then_some(()));
        assert_ne!(fleet.boot(&receiver), boot, "{engine}");
        fleet.settled(&receiver);
        let again = call(&fleet, &agent, &receiver, "SendMessage", &hold)["result"]["task"].clone();
        assert_eq!((&again["id"], &again["status"]["state"]), (&task["id"], &json!("TASK_STATE_FAILED")), "{engine}");
        let next = call(&fleet, &agent, &receiver, "SendMessage", &json!({"message": message("m-3", "go on\n")}));
        assert_eq!(next["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{engine}: {next}");
        let turns = fleet.turns(&receiver);
        let held = turns.iter().filter(|turn| turn["message_id"] == id.as_str()).count();
        assert_eq!((held, turns.len()), (1, 3), "{engine}: {turns:?}");
    }
}

#[test]
fn the_socket_beside_an_agent_speaks_with_the_control_planes_voice_and_streams_as_it_comes() {
    for db in databases() {
        let engine = db.engine;
        let fleet = Fleet::new(db, "");
        let id = fleet.create("one", json!("process"), None);
        fleet.settled(&id);
        let socket = fleet.a2a_socket(&fleet.boot(&id));
        let client = reqwest::Client::builder().unix_socket(socket).build().expect("a client");
        let text = fleet.run(async {
            let request = json!({
                "jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": {"message": message("m-1", "to myself")},
            });
            let post = client.post("http://localhost/").header("a2a-version", "1.0");
            let answer = post.header("content-type", "application/json").body(request.to_string()).send().await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.headers()["content-type"], "text/event-stream", "{engine}");
            answer.text().await.expect("the whole stream")
        });
        let events: Vec<Value> = text
            .split("\n\n")
            .filter_map(|block| block.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).expect("JSON"))
            .collect();
        let last = events.last().expect("events");
        assert_eq!(last["result"]["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED", "{engine}: {text}");
        // Written under the agent's own name, by the one path there is.
        let sent = fleet.get(&format!("/workspaces/{id}/messages"))["messages"][0].clone();
        assert_eq!((&sent["from"]["kind"], &sent["from"]["id"]), (&json!("agent"), &json!(id)), "{engine}: {sent}");
        assert_eq!(sent["reply"], "to myself", "{engine}: {sent}");
    }
}

#[test]
fn the_card_of_a_built_in_agent_is_its_own_words_at_the_servers_address() {
    for db in databases() {
        let engine = db.engine;
        let fleet = Fleet::new(db, "");
        let id = fleet.create("one", json!("process"), None);
        fleet.settled(&id);
        let card = fleet.get(&format!("/workspaces/{id}/.well-known/agent-card.json"));
        assert_eq!(card["name"], "Portcullis agent (echo)", "{engine}: {card}");
        let url = format!("{}/workspaces/{id}/a2a", fleet.url());
        assert_eq!(card["supportedInterfaces"][0]["url"], url, "{engine}: {card}");
    }
}
