//! A model's endpoint that follows a script.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, Uri},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A model endpoint that answers what it is told to, and remembers what it was asked.
pub struct Endpoint {
    pub url: String,
    script: Arc<Script>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<(u16, Option<&'static str>, Value)>>,
    asked: Mutex<Vec<(String, Value)>>,
}

impl Endpoint {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let script = Arc::new(Script::default());
        let router = Router::new().fallback(complete).with_state(Arc::clone(&script));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, script, _runtime: runtime }
    }

    /// The next answer; a list is a stream of its items.
    pub fn answers(&self, status: u16, retry_after: Option<&'static str>, body: Value) {
        self.script.answers.lock().expect("a script").push_back((status, retry_after, body));
    }

    pub fn says(&self, text: &str) {
        self.answers(200, None, json!({"choices": [{"message": {"role": "assistant", "content": text}}]}));
    }

    /// Key and body of every request so far.
    pub fn asked(&self) -> Vec<(String, Value)> {
        self.script.asked.lock().expect("a script").clone()
    }
}

async fn complete(State(script): State<Arc<Script>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    assert_eq!(uri.path(), "/v1/chat/completions");
    let key = headers.get("authorization").map(|key| key.to_str().expect("text").to_owned()).unwrap_or_default();
    script.asked.lock().expect("a script").push((key, serde_json::from_slice(&body).expect("JSON")));
    let next = script.answers.lock().expect("a script").pop_front();
    let (status, retry_after, body) = next.unwrap_or((418, None, json!({"error": "the script is over"})));
    let mut response = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    let Value::Array(pieces) = body else {
        return response.body(Body::from(body.to_string())).expect("a response");
    };
    let pieces = pieces.into_iter().map(|piece| piece.to_string()).chain(["[DONE]".to_owned()]);
    let stream: String = pieces.map(|piece| format!("data: {piece}\n\n")).collect();
    response.header("content-type", "text/event-stream").body(Body::from(stream)).expect("a response")
}
