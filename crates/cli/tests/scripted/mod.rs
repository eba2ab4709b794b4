//! A control plane that follows a script: the agent contract with a real queue, and switches for what goes wrong.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, Uri},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};

/// How long anything may take before the test is lost; nothing is timed with it.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const WORKSPACE: &str = "018f3c2e-0000-7000-8000-000000000001";
pub const TOKEN: &str = "the-token-of-this-boot";

/// Waits until it is so; gives up loudly.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One message in the queue.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: String,
    pub text: String,
    pub context: Option<String>,
    pub status: &'static str,
    pub reply: Option<String>,
    pub error: Option<String>,
}

/// What the control plane knows and was told.
#[derive(Default)]
pub struct Known {
    pub token: String,
    pub unauthorized: Option<&'static str>,
    pub messages: Vec<Stored>,
    /// The kind of who writes.
    pub sender: &'static str,
    pub open: Option<String>,
    /// Ends that are recorded without closing the turn, as if the store had been set back.
    pub ends_to_forget: usize,
    /// Replies are too long, whatever they are.
    pub refuses_replies: bool,
    pub drain: bool,
    pub code: Option<String>,
    pub bundle: Value,
    pub bundle_version: String,
    pub registered: Vec<Value>,
    pub heartbeats: Vec<Value>,
    pub ends: Vec<(String, Value)>,
    pub notes: Vec<String>,
    /// Requests at the A2A endpoint.
    pub a2a: Vec<Value>,
    pub claims: usize,
    pub pulls: usize,
}

struct Shared {
    known: Mutex<Known>,
    changed: Notify,
}

/// A control plane that can go away and come back under the same address.
pub struct Plane {
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
    address: SocketAddr,
}

impl Plane {
    pub fn start() -> Self {
        let (token, bundle_version, bundle) = (TOKEN.into(), "v1".into(), json!({}));
        let known = Known { token, bundle_version, bundle, sender: "operator", ..Known::default() };
        let shared = Arc::new(Shared { known: Mutex::new(known), changed: Notify::new() });
        let mut plane = Self { shared, runtime: None, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        plane.come_back();
        plane
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().expect("what is known")
    }

    /// Looks, and lets go: a guard that lives to the end of a statement would stop the whole plane.
    pub fn see<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known())
    }

    /// Changes something, and wakes who waits for it.
    pub fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known());
        self.shared.changed.notify_waiters();
    }

    /// Every connection breaks and no new one is taken.
    pub fn go_away(&mut self) {
        self.runtime.take().expect("it was there").shutdown_background();
        let address = self.address;
        until("the port is closed", || std::net::TcpStream::connect(address).is_err().then_some(()));
    }

    pub fn come_back(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(self.address)).expect("a port");
        self.address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&self.shared));
        runtime.spawn(async move { axum::serve(listener, router).await });
        self.runtime = Some(runtime);
    }

    /// Queues a message.
    pub fn send(&self, text: &str, context: Option<&str>) -> String {
        let mut id = String::new();
        self.change(|known| id = known.queue(text, context.map(str::to_owned)));
        id
    }

    /// Queues a message and waits for its end: the reply, or the error.
    #[track_caller]
    pub fn ask(&self, text: &str, context: Option<&str>) -> Result<String, String> {
        let id = self.send(text, context);
        self.outcome(&id)
    }

    #[track_caller]
    pub fn outcome(&self, id: &str) -> Result<String, String> {
        until("the turn ends", || {
            let known = self.known();
            let message = known.messages.iter().find(|message| message.id == id)?;
            match message.status {
                "completed" => Some(Ok(message.reply.clone().unwrap_or_default())),
                "failed" => Some(Err(message.error.clone().unwrap_or_default())),
                _ => None,
            }
        })
    }

    /// Waits for this turn to be taken.
    #[track_caller]
    pub fn taken(&self, id: &str) {
        until("the turn begins", || (self.known().open.as_deref() == Some(id)).then_some(()));
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Known {
    fn queue(&mut self, text: &str, context: Option<String>) -> String {
        let id = format!("m-{}", self.messages.len() + 1);
        let (text, id) = (text.to_owned(), id);
        self.messages.push(Stored { id: id.clone(), text, context, status: "queued", reply: None, error: None });
        id
    }

    fn message(&mut self, id: &str) -> Option<&mut Stored> {
        self.messages.iter_mut().find(|message| message.id == id)
    }

    /// The turn of the open message, or of the next.
    fn turn(&mut self) -> Option<Value> {
        let (open, sender) = (self.open.clone(), self.sender);
        let message = match open {
            Some(id) => self.message(&id)?,
            None => self.messages.iter_mut().find(|message| message.status == "queued")?,
        };
        message.status = "delivered";
        let turn = json!({"id": format!("t-{}", message.id), "message": {
            "id": message.id, "message_id": message.id, "from": {"kind": sender, "id": "o-1", "name": "Zoë"},
            "text": message.text, "context_id": message.context, "sent_at": "2026-06-11T00:00:00Z",
        }});
        self.open = Some(message.id.clone());
        Some(turn)
    }

    fn end(&mut self, turn: &str, body: Value) -> (u16, Value) {
        let id = turn.trim_start_matches("t-").to_owned();
        self.ends.push((turn.to_owned(), body.clone()));
        if self.refuses_replies && body.get("reply").is_some() {
            return problem(413, "BODY_TOO_LARGE");
        }
        if self.ends_to_forget > 0 {
            self.ends_to_forget -= 1;
            return (200, json!({"status": "recorded"}));
        }
        self.open = None;
        let Some(message) = self.message(&id) else { return problem(404, "NOT_FOUND") };
        message.status = if body["state"] == "completed" { "completed" } else { "failed" };
        message.reply = body["reply"].as_str().map(str::to_owned);
        message.error = body["error"].as_str().map(str::to_owned);
        (200, json!({"status": "recorded"}))
    }
}

fn problem(status: u16, code: &str) -> (u16, Value) {
    (status, json!({"status": status, "code": code, "error": format!("refused: {code}")}))
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
    let (status, answer) = handle(&shared, &method, &uri, &headers, body).await;
    let version = shared.known.lock().expect("what is known").bundle_version.clone();
    let response = Response::builder().status(status).header("x-bundle-version", version);
    response.body(Body::from(answer.to_string())).expect("a response")
}

async fn handle(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: Value) -> (u16, Value) {
    let known = || shared.known.lock().expect("what is known");
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    if let ["registry", "register"] = path[..]
        && let Some(code) = body["code"].as_str()
    {
        let mut known = known();
        if known.code.as_deref() != Some(code) {
            return problem(401, "CREDENTIAL_INVALID");
        }
        known.code = None;
        return (200, json!({"status": "registered", "auth_token": known.token}));
    }
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wanted = format!("Bearer {}", known().token);
    if let Some(code) = known().unauthorized {
        return problem(401, code);
    }
    if shown != wanted {
        return problem(401, "CREDENTIAL_REVOKED");
    }
    let own = |id: &str| id == WORKSPACE;
    match (method.as_str(), &path[..]) {
        ("POST", ["registry", "register"]) => {
            known().registered.push(body);
            (200, json!({"status": "registered", "workspace_id": WORKSPACE, "boot_id": "b", "heartbeat_s": 15}))
        }
        ("POST", ["registry", "heartbeat"]) => {
            let mut known = known();
            known.heartbeats.push(body);
            let (drain, version) = (known.drain, known.bundle_version.clone());
            let running = json!({"status": "online", "desired_state": "running", "lease_expires_at": null});
            (200, merged(running, json!({"drain": drain, "bundle_version": version})))
        }
        ("POST", ["workspaces", id, "inbox", "claim"]) if own(id) => {
            let until = Instant::now() + Duration::from_secs(body["wait_s"].as_u64().expect("wait_s"));
            known().claims += 1;
            loop {
                let changed = shared.changed.notified();
                {
                    let mut known = known();
                    let drain = known.drain;
                    // A turn that is open already is handed out again all the same.
                    let turn = if drain && known.open.is_none() { None } else { known.turn() };
                    if let Some(code) = known.unauthorized {
                        return problem(401, code);
                    }
                    if turn.is_some() || drain || Instant::now() >= until {
                        let version = known.bundle_version.clone();
                        let reason = drain.then_some("a secret changed");
                        return (
                            200,
                            json!({"turn": turn, "drain": drain, "drain_reason": reason,
                            "status": "online", "bundle_version": version}),
                        );
                    }
                }
                let left = until.saturating_duration_since(Instant::now()).min(Duration::from_millis(50));
                let _ = tokio::time::timeout(left, changed).await;
            }
        }
        ("POST", ["workspaces", id, "turns", turn, "end"]) if own(id) => known().end(turn, body),
        ("POST", ["workspaces", id, "handoff"]) if own(id) => {
            known().notes.push(body["note"].as_str().expect("a note").to_owned());
            (200, json!({"status": "recorded"}))
        }
        ("GET", ["workspaces", id, "restart-context"]) if own(id) => (200, json!({"reason": "first start"})),
        ("GET", ["workspaces", id, "secrets", "values"]) if own(id) => {
            let mut known = known();
            known.pulls += 1;
            (200, known.bundle.clone())
        }
        (method, ["workspaces", id, "a2a", ..]) if own(id) => {
            let shown = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let (path, query) = (uri.path().split_once("/a2a").map(|(_, rest)| rest), uri.query());
            known().a2a.push(json!({
                "method": method, "path": path, "query": query, "body": body, "version": shown("a2a-version"),
                "accept": shown("accept"), "other": shown("x-other"), "cookie": shown("cookie"),
            }));
            if uri.path().ends_with("/tasks/none") { problem(404, "NOT_FOUND") } else { (200, json!({"passed": "on"})) }
        }
        _ => problem(404, "NOT_FOUND"),
    }
}

fn merged(mut a: Value, b: Value) -> Value {
    a.as_object_mut().expect("an object").extend(b.as_object().expect("an object").clone());
    a
}

/// A private directory that is gone with the test.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        let name = portcullis_cli::random::hex(8).expect("random numbers");
        let path = std::env::temp_dir().join(format!("ptc-agent-{name}"));
        std::fs::create_dir(&path).expect("a directory");
        Self(path)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file with this text.
    pub fn with(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.file(name), text).expect("a file");
        self.file(name)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An agent that does not outlive its test.
pub struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// As its runtime starts it: everything is said by the environment.
    pub fn managed(plane: &Plane, place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let token = place.with("token", TOKEN);
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", place.path());
        command.env("WORKSPACE_ID", WORKSPACE).env("PORTCULLIS_URL", plane.url()).env("PORTCULLIS_BOOT_ID", "b");
        command.env("PORTCULLIS_TOKEN_FILE", token).env("PORTCULLIS_RUN_DIR", place.path());
        command.envs(environment.iter().copied()).arg("agent").args(arguments);
        Self::start(command, place)
    }

    /// As a person starts it.
    pub fn external(plane: &Plane, place: &Place, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", place.path());
        command.env("PORTCULLIS_TOKEN", "the-power-of-a-person");
        command.args(["agent", "--url", &plane.url(), "--workspace", WORKSPACE, "--state"]).arg(place.file("state"));
        Self::start(command_with(command, arguments), place)
    }

    fn start(mut command: Command, place: &Place) -> Self {
        let log = place.file("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a file");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().expect("the binary starts");
        Self { child, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("a log")).into_owned()
    }

    pub fn terminate(&self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status().expect("kill runs");
        assert!(sent.success());
    }

    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        until("the agent ends", || self.child.try_wait().expect("a child"))
    }

    /// Waits for the end, and wants this code.
    #[track_caller]
    pub fn exits(&mut self, code: i32) -> String {
        let status = self.ended();
        assert_eq!(status.code(), Some(code), "{status}: {}", self.log());
        self.log()
    }
}

fn command_with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
