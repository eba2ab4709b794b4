//! One message to the control plane's MCP endpoint, and the messages that come back.
//!
//! Only the transport is here: which headers a message needs, that an answer is one document or a stream of them, that a
//! token may have been replaced. What the messages mean is between the client and the server.

use std::time::Duration;

use base64::Engine as _;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::Value;

use crate::agent::plane;
use crate::bearer::Bearer;
use crate::error::Error;
use crate::problem::Problem;

/// The revision that has no sessions.
pub const STATELESS: &str = "2026-07-28";
/// Member of `_meta` that names the revision of a message.
pub const REVISION: &str = "io.modelcontextprotocol/protocolVersion";
/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Longest wait for the next part of an answer: the server says something every fifteen seconds.
const SILENCE: Duration = Duration::from_secs(120);
/// Longest wait for an answer as a whole.
const ANSWER_WAIT: Duration = Duration::from_secs(15 * 60);

/// Why a message has no answer.
#[derive(Debug)]
pub enum Miss {
    /// Nobody answered.
    Away(&'static str),
    /// The server refused the request as such: no token, no session, too large.
    Refused(Box<Problem>),
}

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Away(why) => f.write_str(why),
            Self::Refused(problem) => write!(f, "{} {}", problem.status, problem.code),
        }
    }
}

/// An MCP endpoint and who we are to it.
pub struct Endpoint {
    http: reqwest::Client,
    url: String,
    bearer: std::sync::Arc<Bearer>,
}

/// Session and revision of the older kind of conversation.
#[derive(Clone, Default)]
pub struct Session {
    /// `Mcp-Session-Id`.
    pub id: Option<String>,
    /// The revision that was agreed on.
    pub revision: Option<String>,
}

impl Endpoint {
    /// An endpoint below a server's URL.
    pub fn new(base: &Url, path: &str, bearer: std::sync::Arc<Bearer>) -> Result<Self, Error> {
        Ok(Self { http: plane::http(base)?, url: format!("{}{path}", base.as_str().trim_end_matches('/')), bearer })
    }

    /// Posts a message, once more if the token was replaced.
    pub async fn post(&self, message: &Value, session: &Session) -> Result<Frames, Miss> {
        let shown = self.bearer.current();
        let frames = self.once(message, session, &shown).await;
        if let Err(Miss::Refused(problem)) = &frames
            && problem.status == 401
            && self.bearer.renew(&shown).unwrap_or(false)
        {
            return self.once(message, session, &self.bearer.current()).await;
        }
        frames
    }

    async fn once(&self, message: &Value, session: &Session, bearer: &HeaderValue) -> Result<Frames, Miss> {
        let mut request = self.http.post(&self.url).timeout(ANSWER_WAIT).header(AUTHORIZATION, bearer.clone());
        request = request.header("accept", "application/json, text/event-stream");
        for (name, value) in headers(message, session) {
            request = request.header(name, value);
        }
        let request = request.header("content-type", "application/json").body(message.to_string());
        read(request.send().await.map_err(|error| Miss::Away(plane::why(&error)))?).await
    }

    /// Ends a session. What comes of it is nobody's concern any more.
    pub async fn end(&self, session: &Session) {
        let Some(id) = &session.id else { return };
        let request = self.http.delete(&self.url).timeout(Duration::from_secs(5));
        let request = request.header(AUTHORIZATION, self.bearer.current()).header("mcp-session-id", id);
        let _ = request.header("mcp-protocol-version", session.revision.as_deref().unwrap_or_default()).send().await;
    }
}

/// The revision a message of the stateless kind names.
pub fn revision_of(message: &Value) -> Option<&str> {
    message.pointer("/params/_meta")?.get(REVISION)?.as_str()
}

/// What the transport says of a message beside it.
fn headers(message: &Value, session: &Session) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if let Some(revision) = revision_of(message) {
        headers.push(("mcp-protocol-version", revision.to_owned()));
    } else {
        headers.extend(session.revision.clone().map(|revision| ("mcp-protocol-version", revision)));
        headers.extend(session.id.clone().map(|id| ("mcp-session-id", id)));
    }
    let method = message["method"].as_str().unwrap_or_default();
    if !method.is_empty() {
        headers.push(("mcp-method", method.to_owned()));
    }
    let name = match method {
        "tools/call" | "prompts/get" => message["params"]["name"].as_str(),
        "resources/read" => message["params"]["uri"].as_str(),
        _ => None,
    };
    headers.extend(name.map(|name| ("mcp-name", as_header(name))));
    headers
}

/// A name as a header may hold it: what is not plain is encoded, in the form the protocol has for it.
fn as_header(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|byte| (0x21..0x7f).contains(&byte)) && !name.starts_with("=?");
    if plain {
        name.to_owned()
    } else {
        format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(name))
    }
}

async fn read(mut response: reqwest::Response) -> Result<Frames, Miss> {
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (session, kind) = (header("mcp-session-id"), header("content-type").unwrap_or_default());
    if (200..300).contains(&status) && kind.starts_with("text/event-stream") {
        return Ok(Frames { session, response: Some(response), buffer: Vec::new(), ready: Vec::new(), bytes: 0 });
    }
    let body = plane::read_at_most(&mut response, ANSWER_BYTES_MAX).await.map_err(Miss::Away)?;
    let parsed: Option<Value> = serde_json::from_slice(&body).ok();
    match parsed {
        // An error in the words of the protocol is an answer.
        Some(message) if message.get("jsonrpc").is_some() => {
            Ok(Frames { session, response: None, buffer: Vec::new(), ready: vec![message], bytes: 0 })
        }
        _ if (200..300).contains(&status) => {
            Ok(Frames { session, response: None, buffer: Vec::new(), ready: Vec::new(), bytes: 0 })
        }
        _ => Err(Miss::Refused(Box::new(Problem::parse(status, &body)))),
    }
}

/// The messages of an answer, as they come.
pub struct Frames {
    /// The session that was opened with it.
    pub session: Option<String>,
    response: Option<reqwest::Response>,
    buffer: Vec<u8>,
    /// In reverse order.
    ready: Vec<Value>,
    bytes: usize,
}

impl Frames {
    /// The next message; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Value>, Miss> {
        loop {
            if let Some(message) = self.ready.pop() {
                return Ok(Some(message));
            }
            let Some(response) = &mut self.response else { return Ok(None) };
            let chunk = tokio::time::timeout(SILENCE, response.chunk()).await;
            let chunk = chunk.map_err(|_| Miss::Away("no answer in time"))?;
            let Some(chunk) = chunk.map_err(|error| Miss::Away(plane::why(&error)))? else { return Ok(None) };
            self.bytes += chunk.len();
            if self.bytes > ANSWER_BYTES_MAX {
                return Err(Miss::Away("the answer is too long"));
            }
            self.buffer.extend_from_slice(&chunk);
            self.ready = events(&mut self.buffer);
            self.ready.reverse();
        }
    }
}

/// Takes the whole events out of what has arrived (the server-sent events of the HTML standard; other fields than `data`
/// do not matter here).
fn events(buffer: &mut Vec<u8>) -> Vec<Value> {
    let mut messages = Vec::new();
    while let Some((length, gap)) = blank_line(buffer) {
        let event: Vec<u8> = buffer.drain(..length + gap).take(length).collect();
        let text = String::from_utf8_lossy(&event);
        let data = text
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| data.strip_prefix(' ').unwrap_or(data));
        let data = data.collect::<Vec<_>>().join("\n");
        messages.extend(serde_json::from_str::<Value>(&data).ok());
    }
    messages
}

/// Where an event ends, and how long the line break after it is.
fn blank_line(buffer: &[u8]) -> Option<(usize, usize)> {
    let at =
        |pattern: &[u8]| buffer.windows(pattern.len()).position(|part| part == pattern).map(|at| (at, pattern.len()));
    [at(b"\n\n"), at(b"\r\n\r\n")].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let stream = b": hello\nid: 0\nretry: 3000\ndata: \n\ndata: {\"a\":\ndata: 1}\n\nevent: message\r\ndata: {\"b\":2}\r\n\r\ndata: {\"c\"";
        for size in 1..stream.len() {
            let (mut buffer, mut read) = (Vec::new(), Vec::new());
            for part in stream.chunks(size) {
                buffer.extend_from_slice(part);
                read.extend(events(&mut buffer));
            }
            assert_eq!(read, [json!({"a": 1}), json!({"b": 2})], "in parts of {size}");
            assert_eq!(buffer, b"data: {\"c\"");
        }
    }

    #[test]
    fn a_message_says_in_its_head_what_it_is() {
        let session = Session { id: Some("s".into()), revision: Some("2025-11-25".into()) };
        let modern = json!({"method": "tools/call", "params": {"name": "list_peers", "_meta": {REVISION: STATELESS}}});
        let expected = [("mcp-protocol-version", STATELESS), ("mcp-method", "tools/call"), ("mcp-name", "list_peers")];
        assert_eq!(headers(&modern, &session), expected.map(|(name, value)| (name, value.to_owned())));
        let legacy = json!({"method": "ping"});
        let expected = [("mcp-protocol-version", "2025-11-25"), ("mcp-session-id", "s"), ("mcp-method", "ping")];
        assert_eq!(headers(&legacy, &session), expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(as_header("größe"), "=?base64?Z3LDtsOfZQ==?=");
    }
}
