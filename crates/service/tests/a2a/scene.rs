//! Agents that talk by A2A: a workspace with its agent, the requests of the protocol, and its streams read event by event.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Actor, Answer, World};

/// A workspace and its agent.
pub struct Unit {
    pub id: String,
    pub agent: Actor,
}

/// A message in one part.
pub fn message(id: &str, text: &str) -> Value {
    json!({"messageId": id, "role": "ROLE_USER", "parts": [{"text": text}]})
}

/// The parameters of a send that does not wait.
pub fn at_once(message: Value) -> Value {
    json!({"message": message, "configuration": {"returnImmediately": true}})
}

impl Unit {
    /// A workspace under the root whose agent has registered.
    pub async fn new(world: &World, name: &str) -> Self {
        let id = world.workspace(name).await;
        Self::of(world, id).await
    }

    pub async fn of(world: &World, id: String) -> Self {
        let unit = Self { agent: world.agent_of(&id).await, id };
        unit.agent.post("/registry/register", json!({"id": unit.id})).await.status(200);
        unit
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/workspaces/{}/{rest}", self.id)
    }

    /// Calls a method by JSON-RPC.
    pub async fn call(&self, actor: &Actor, method: &str, params: Value) -> Answer {
        let request = json!({"jsonrpc": "2.0", "id": "one", "method": method, "params": params});
        let answer = actor.with("a2a-version", "1.0").post(&self.path("a2a"), request).await;
        answer.status(200);
        assert_eq!((&answer.json["jsonrpc"], &answer.json["id"]), (&json!("2.0"), &json!("one")), "{}", answer.text);
        answer
    }

    /// The result of a method.
    #[track_caller]
    pub fn result(answer: &Answer) -> Value {
        assert!(answer.json["error"].is_null(), "{}", answer.text);
        answer.json["result"].clone()
    }

    /// Sends without waiting, and returns the task.
    pub async fn tell(&self, actor: &Actor, id: &str, text: &str) -> Value {
        let answer = self.call(actor, "SendMessage", at_once(message(id, text))).await;
        Self::result(&answer)["task"].clone()
    }

    pub async fn task(&self, actor: &Actor, id: &Value) -> Value {
        Self::result(&self.call(actor, "GetTask", json!({"id": id})).await)
    }

    /// Takes a message, which there is, and returns the turn's id and the message.
    pub async fn take(&self) -> (String, Value) {
        let claim = self.agent.post(&self.path("inbox/claim"), json!({"wait_s": 30})).await;
        let turn = claim.status(200).json["turn"].clone();
        let id = turn["id"].as_str().unwrap_or_else(|| panic!("no turn in {}", claim.text)).to_owned();
        (id, turn["message"].clone())
    }

    pub async fn end(&self, turn: &str, body: Value) {
        self.agent.post(&self.path(&format!("turns/{turn}/end")), body).await.status(200);
    }

    pub async fn complete(&self, turn: &str, reply: &str) {
        self.end(turn, json!({"state": "completed", "reply": reply})).await;
    }

    /// Answers the next message.
    pub async fn answer(&self, reply: &str) {
        let (turn, _) = self.take().await;
        self.complete(&turn, reply).await;
    }
}

/// Asserts an error of the protocol, with its details as the specification has them.
#[track_caller]
pub fn failed(answer: &Answer, code: i64, reason: &str) {
    let error = &answer.json["error"];
    assert_eq!(error["code"], code, "{}", answer.text);
    assert!(answer.json.get("result").is_none(), "{}", answer.text);
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.text);
    let info = &error["data"][0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{}", answer.text);
    let domain = if code < 0 { "a2a-protocol.org" } else { "portcullis" };
    assert_eq!((&info["reason"], &info["domain"]), (&json!(reason), &json!(domain)), "{}", answer.text);
    assert!(error["data"][1]["next_step"].is_string(), "the whole refusal is there: {}", answer.text);
}

/// A stream of a task.
pub struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    /// Opens one by JSON-RPC.
    pub async fn open(unit: &Unit, actor: &Actor, method: &str, params: Value) -> Self {
        let request = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let actor = actor.with("a2a-version", "1.0");
        Self::of(actor.begin(Method::POST, &unit.path("a2a"), Some(request)).await)
    }

    /// A stream that was answered.
    pub fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event; `None` when the stream has ended. Panics where it waits for ever.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let data = block.strip_prefix("data: ").map(|data| serde_json::from_str(data).expect("JSON"));
                self.text = rest.to_owned();
                match data {
                    Some(data) => return Some(data),
                    None => continue,
                }
            }
            let hang = std::time::Duration::from_secs(60);
            let chunk = tokio::time::timeout(hang, self.response.chunk()).await.expect("an event or the end");
            self.text.push_str(std::str::from_utf8(&chunk.ok().flatten()?).expect("text"));
        }
    }

    /// The result in the next event.
    pub async fn event(&mut self) -> Value {
        let event = self.next().await.expect("an event");
        assert_eq!((&event["jsonrpc"], &event["id"]), (&json!("2.0"), &json!(7)), "{event}");
        event["result"].clone()
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event["result"].clone());
        }
        events
    }
}
