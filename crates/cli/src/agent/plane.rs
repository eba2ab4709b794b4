//! The control plane as the agent sees it: one workspace, one credential, JSON over HTTP.
//!
//! Every answer ends in one of three ways: it is there, it was refused, or nobody answered. Only the last is tried again,
//! and by whoever asked, since only the caller knows whether it may.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::bearer::Bearer;
use crate::client::path;
use crate::error::Error;
use crate::exit::Exit;
use crate::mcp::endpoint::Endpoint;
use crate::output::Output;
use crate::problem::Problem;

/// Longest answer the agent reads, in bytes: a message and a bundle fit, a flood does not.
const ANSWER_BYTES_MAX: usize = 48 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a plain request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// What the control plane may take longer than it was asked to wait.
const WAIT_SLACK: Duration = Duration::from_secs(15);
/// How long one claim waits for work, in seconds.
const CLAIM_WAIT_S: u64 = 25;
/// How long a request that is passed on may take with all of its answer, which may be a stream.
const PASS_TIMEOUT: Duration = Duration::from_secs(3600);
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// Why there is no answer.
pub enum Miss {
    /// Nobody answered, or somebody who may know better soon.
    Away(String),
    /// The credential was revoked or has expired: this boot has lost its power.
    Lost(Box<Problem>),
    /// A refusal that asking again does not change.
    Refused(Box<Problem>),
}

impl Miss {
    /// One line for the log; no value is in it, since no value is in a refusal.
    pub fn text(&self) -> String {
        match self {
            Self::Away(why) => why.clone(),
            Self::Lost(problem) | Self::Refused(problem) => format!("{} {}", problem.status, problem.code),
        }
    }
}

/// How the process ends when its credential has.
pub fn lost(problem: Problem) -> Error {
    let mut error = Error::from(problem);
    error.exit = Exit::Denied;
    error
}

/// An answer of the kind 2xx.
pub struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; may hold values.
    pub body: Zeroizing<Vec<u8>>,
}

impl Answer {
    fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Miss> {
        // What cannot be read now may be answered by a newer server later; it is never taken for an empty answer.
        serde_json::from_slice(&self.body).map_err(|error| Miss::Away(format!("the answer cannot be read: {error}")))
    }
}

/// The answer to a registration.
#[derive(Deserialize)]
pub struct Registered {
    /// How often a sign of life is wanted, in seconds.
    pub heartbeat_s: Option<u64>,
}

/// Who wrote.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct From {
    /// `operator`, `workspace`, …
    pub kind: String,
    /// Their id.
    pub id: String,
}

/// What the mind is to answer.
#[derive(Deserialize)]
pub struct Message {
    /// The control plane's id of it.
    pub id: String,
    /// Who wrote it.
    #[serde(default)]
    pub from: From,
    /// What they wrote.
    pub text: String,
    /// The conversation it belongs to.
    pub context_id: Option<String>,
}

/// One message, to be answered once.
#[derive(Deserialize)]
pub struct Turn {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub message: Message,
}

/// The answer to a claim.
#[derive(Deserialize)]
pub struct Claim {
    /// Work, if there is some.
    pub turn: Option<Turn>,
    /// Take no more work.
    #[serde(default)]
    pub drain: bool,
    /// Why, for the log.
    pub drain_reason: Option<String>,
    /// The version of the bundle that is to be used.
    pub bundle_version: Option<String>,
}

/// The part of a heartbeat's answer that an agent acts on.
#[derive(Deserialize)]
pub struct Beat {
    /// The version of the bundle that is to be used.
    pub bundle_version: Option<String>,
}

/// The control plane of one workspace.
pub struct Plane {
    http: reqwest::Client,
    base: Url,
    workspace: String,
    bearer: Arc<Bearer>,
    output: Output,
}

impl Plane {
    /// Reads the token; nothing is sent yet.
    pub fn new(base: &Url, workspace: String, token_file: &Path, output: Output) -> Result<Self, Error> {
        let bearer = Arc::new(Bearer::file(token_file)?);
        Ok(Self { http: http(base)?, base: base.clone(), workspace, bearer, output })
    }

    /// Whom this agent works for.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// The credential as a caller of this agent must show it.
    pub fn bearer(&self) -> HeaderValue {
        self.bearer.current()
    }

    /// The tools of this agent.
    pub fn tools(&self) -> Result<Endpoint, Error> {
        Endpoint::new(&self.base, &self.own(&["mcp"]), Arc::clone(&self.bearer))
    }

    /// Path below this workspace.
    pub fn own(&self, segments: &[&str]) -> String {
        let mut all = vec!["workspaces", &self.workspace];
        all.extend(segments);
        path(&all)
    }

    /// Says that this agent is there and what it can do.
    pub async fn register(&self, card: &Value) -> Result<Registered, Miss> {
        let body = json!({"id": self.workspace, "agent_card": card, "capabilities": {"handoff": true}});
        self.send(Method::POST, "/registry/register", Some(&body), REQUEST_TIMEOUT).await?.read()
    }

    /// Waits for work. The start of a turn, and the heartbeat of the working loop.
    pub async fn claim(&self) -> Result<Claim, Miss> {
        let wait = Duration::from_secs(CLAIM_WAIT_S) + WAIT_SLACK;
        let body = json!({"wait_s": CLAIM_WAIT_S});
        self.send(Method::POST, &self.own(&["inbox", "claim"]), Some(&body), wait).await?.read()
    }

    /// A sign of life.
    pub async fn heartbeat(&self, turn: Option<&str>, uptime: Duration) -> Result<Beat, Miss> {
        let mut body = json!({
            "workspace_id": self.workspace, "active_tasks": u8::from(turn.is_some()), "uptime_seconds": uptime.as_secs(),
        });
        if let Some(turn) = turn {
            body["current_task"] = turn.into();
        }
        self.send(Method::POST, "/registry/heartbeat", Some(&body), REQUEST_TIMEOUT).await?.read()
    }

    /// Shows a reply that is still being written.
    pub async fn progress(&self, turn: &str, reply: &str) -> Result<(), Miss> {
        let body = json!({"reply": reply});
        self.send(Method::POST, &self.own(&["turns", turn, "progress"]), Some(&body), REQUEST_TIMEOUT).await.map(drop)
    }

    /// Ends a turn.
    pub async fn end(&self, turn: &str, ending: &Value) -> Result<(), Miss> {
        self.send(Method::POST, &self.own(&["turns", turn, "end"]), Some(ending), REQUEST_TIMEOUT).await.map(drop)
    }

    /// Leaves the note for the next boot.
    pub async fn hand_off(&self, note: &str) -> Result<(), Miss> {
        self.send(Method::POST, &self.own(&["handoff"]), Some(&json!({"note": note})), REQUEST_TIMEOUT).await.map(drop)
    }

    /// Why this boot is there, as JSON.
    pub async fn restart_context(&self) -> Result<String, Miss> {
        let answer = self.send(Method::GET, &self.own(&["restart-context"]), None, REQUEST_TIMEOUT).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// The values of this workspace.
    pub async fn values(&self) -> Result<Answer, Miss> {
        self.send(Method::GET, &self.own(&["secrets", "values"]), None, REQUEST_TIMEOUT).await
    }

    /// Sends once, and once more with another token if this one was refused and there is another.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>, wait: Duration) -> Result<Answer, Miss> {
        let body = body.map(Value::to_string);
        let shown = self.bearer();
        let (status, answer) = self.once(&method, path, body.as_ref(), wait, &shown).await?;
        let (status, answer) = if status == 401 && self.has_another(&shown) {
            self.output.note("agent: the token was replaced; using the new one");
            self.once(&method, path, body.as_ref(), wait, &self.bearer()).await?
        } else {
            (status, answer)
        };
        judge(status, answer)
    }

    /// Passes a request on under another's headers, with this agent's credential. The body of the answer is still to come.
    pub async fn pass(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<reqwest::Response, &'static str> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let attempt = async |bearer: HeaderValue| {
            let request = self.http.request(method.clone(), &url).timeout(PASS_TIMEOUT).headers(headers.clone());
            request.header(AUTHORIZATION, bearer).body(body.clone()).send().await.map_err(|error| why(&error))
        };
        let shown = self.bearer();
        let answer = attempt(shown.clone()).await?;
        if answer.status().as_u16() == 401 && self.has_another(&shown) {
            attempt(self.bearer()).await
        } else {
            Ok(answer)
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&String>,
        wait: Duration,
        bearer: &HeaderValue,
    ) -> Result<(u16, Answer), Miss> {
        let url = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let mut request = self.http.request(method.clone(), url).timeout(wait).header(AUTHORIZATION, bearer.clone());
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(|error| Miss::Away(why(&error).into()))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = read_at_most(&mut response, ANSWER_BYTES_MAX).await.map_err(|why| Miss::Away(why.into()))?;
        Ok((status, Answer { headers, body }))
    }

    /// Reads the token's file again; whether it holds another one.
    fn has_another(&self, shown: &HeaderValue) -> bool {
        match self.bearer.renew(shown) {
            Ok(another) => another,
            Err(error) => {
                self.output.note(&format!("agent: {error}"));
                false
            }
        }
    }
}

fn judge(status: u16, answer: Answer) -> Result<Answer, Miss> {
    if (200..300).contains(&status) {
        return Ok(answer);
    }
    let problem = Problem::parse(status, &answer.body);
    match (status, problem.code.as_str()) {
        (401, "CREDENTIAL_REVOKED" | "CREDENTIAL_EXPIRED") => Err(Miss::Lost(Box::new(problem))),
        (408 | 425 | 429 | 500.., _) => Err(Miss::Away(format!("{status} {}", problem.code))),
        _ => Err(Miss::Refused(Box::new(problem))),
    }
}

/// A client for one server. Without encryption no root certificates are loaded: two hundred agents would hold them.
pub fn http(base: &Url) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(2)
        .user_agent(concat!("portcullis-agent/", env!("CARGO_PKG_VERSION")));
    if base.scheme() == "http" {
        builder = builder.no_proxy().tls_certs_only(std::iter::empty());
    }
    builder.build().map_err(|error| Error::fault(format!("cannot set up HTTP: {error}")))
}

/// Why a request has no answer, without its URL.
pub fn why(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "the connection could not be made"
    } else {
        "the connection broke"
    }
}

/// The whole body, if it is no longer than this.
pub async fn read_at_most(response: &mut reqwest::Response, max: usize) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| why(&error))? {
        if body.len() + chunk.len() > max {
            return Err("the answer is too long");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Waits longer from time to time, and speaks only when something changes.
pub struct Patience {
    next: Duration,
    said: Option<String>,
    output: Output,
}

impl Patience {
    /// Nothing has failed yet.
    pub fn new(output: Output) -> Self {
        Self { next: BACK_OFF_FIRST, said: None, output }
    }

    /// It failed like this: wait before the next attempt.
    pub async fn wait(&mut self, what: &str, why: &str) {
        let line = format!("agent: {what}: {why}; trying again");
        if self.said.as_ref() != Some(&line) {
            self.output.note(&line);
            self.said = Some(line);
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(BACK_OFF_MAX);
    }

    /// It worked.
    pub fn reset(&mut self) {
        if self.said.take().is_some() {
            self.output.note("agent: the control plane answers again");
        }
        self.next = BACK_OFF_FIRST;
    }
}
