//! A small MCP client of the stateless revision, and one of the older, over a test's own HTTP.
#![expect(dead_code, reason = "each test binary uses its own part of the client")]

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use serde_json::{Value, json};

use crate::world::{Actor, Answer};

/// The stateless revision.
pub const MODERN: &str = "2026-07-28";
/// The revision before it, with sessions.
pub const LEGACY: &str = "2025-11-25";

/// An agent with tools.
#[derive(Clone)]
pub struct Tools {
    pub actor: Actor,
    pub path: String,
    id: Arc<AtomicI64>,
}

/// What a tool call gave.
#[derive(Debug)]
pub struct Given {
    pub result: Value,
}

impl Given {
    pub fn structured(&self) -> &Value {
        &self.result["structuredContent"]
    }

    #[track_caller]
    pub fn done(&self) -> &Value {
        assert_eq!(self.result["isError"], json!(false), "{:#}", self.result);
        self.structured()
    }

    /// Held for a human: a success whose words say that nothing has changed. Gives the approval's id.
    #[track_caller]
    pub fn held(&self) -> String {
        let body = self.done();
        assert_eq!(body["status"], "pending_approval", "{body:#}");
        assert!(self.words().starts_with("NOTHING HAS CHANGED YET"), "{}", self.words());
        body["approval_id"].as_str().expect("an approval").to_owned()
    }

    #[track_caller]
    pub fn refused(&self, code: &str) -> &Value {
        assert_eq!(self.result["isError"], json!(true), "{:#}", self.result);
        let body = self.structured();
        assert_eq!(body["code"], code, "{body:#}");
        for member in ["error", "reason", "retryable", "denied_class", "next_step"] {
            assert!(!body[member].is_null(), "no `{member}` in {body:#}");
        }
        assert!(self.words().starts_with(&format!("REFUSED: {code}")), "{}", self.words());
        body
    }

    /// The words for the model.
    pub fn words(&self) -> &str {
        self.result["content"][0]["text"].as_str().unwrap_or_default()
    }
}

/// A message of the stateless revision.
pub fn message(id: i64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

impl Tools {
    pub fn of(actor: &Actor) -> Self {
        Self { actor: actor.clone(), path: "/mcp".to_owned(), id: Arc::default() }
    }

    /// The same at a workspace's own endpoint.
    pub fn at(&self, workspace: &str) -> Self {
        Self { path: format!("/workspaces/{workspace}/mcp"), ..self.clone() }
    }

    pub async fn rpc(&self, method: &str, params: Value) -> Answer {
        let id = self.id.fetch_add(1, Ordering::Relaxed);
        let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str).unwrap_or_default();
        let actor = self.actor.with("mcp-protocol-version", MODERN).with("mcp-method", method);
        let actor = if name.is_empty() { actor } else { actor.with("mcp-name", name) };
        let actor = actor.with("accept", "application/json, text/event-stream");
        actor.post(&self.path, message(id, method, params)).await
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Given {
        let answer = self.rpc("tools/call", json!({"name": tool, "arguments": arguments})).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let result = answer.json["result"].clone();
        assert!(result.is_object(), "{tool}: {}", answer.text);
        Given { result }
    }

    pub async fn list(&self) -> Vec<Value> {
        let answer = self.rpc("tools/list", json!({})).await;
        answer.status(200).json["result"]["tools"].as_array().expect("a list").clone()
    }

    pub async fn names(&self) -> Vec<String> {
        let name = |tool: &Value| tool["name"].as_str().expect("a name").to_owned();
        self.list().await.iter().map(name).collect()
    }

    pub async fn resource(&self, uri: &str) -> Value {
        let answer = self.rpc("resources/read", json!({"uri": uri})).await;
        let text = answer.status(200).json["result"]["contents"][0]["text"].as_str().expect("a text").to_owned();
        serde_json::from_str(&text).expect("JSON")
    }

    /// Opens a session of the older revision.
    pub async fn session(&self) -> Session {
        let hello = json!({
            "jsonrpc": "2.0", "id": 0, "method": "initialize",
            "params": {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
        });
        let actor = self.actor.with("accept", "application/json, text/event-stream");
        let answer = actor.post(&self.path, hello).await;
        let id = answer.status(200).headers["mcp-session-id"].to_str().expect("text").to_owned();
        let session = Session { actor: actor.with("mcp-protocol-version", LEGACY), path: self.path.clone(), id };
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        session.post(ready).await.status(202);
        session
    }
}

/// A session of the older revision.
#[derive(Clone)]
pub struct Session {
    pub actor: Actor,
    pub path: String,
    pub id: String,
}

impl Session {
    /// The same session, shown by somebody else.
    pub fn by(&self, other: &Actor) -> Self {
        let accept = "application/json, text/event-stream";
        let actor = other.with("accept", accept).with("mcp-protocol-version", LEGACY);
        Self { actor, ..self.clone() }
    }

    pub async fn post(&self, message: Value) -> Answer {
        self.actor.with("mcp-session-id", &self.id).post(&self.path, message).await
    }

    pub async fn end(&self) -> Answer {
        self.actor.with("mcp-session-id", &self.id).delete(&self.path).await
    }

    pub async fn call(&self, tool: &str, arguments: Value) -> Answer {
        let params = json!({"name": tool, "arguments": arguments});
        self.post(json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params})).await
    }
}

/// The messages of a stream's text.
pub fn events(answer: &Answer) -> Vec<Value> {
    let data = answer.text.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|text| serde_json::from_str(text.trim()).ok()).collect()
}
