//! The built binary as a process: started, spoken to, and gone when the test ends, however it ends.
#![expect(dead_code, reason = "each test binary uses its own part of the kit")]
#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use portcullis_authority::testkit_db::TestDb;
use reqwest::Method;
use serde_json::{Value, json};

pub mod balancer;
pub mod clients;
pub mod cluster;
pub mod faults;
pub mod fleet;
pub mod proxy;

/// Crash points of runs, turns and their supervisor. `crash_agents.rs` crashes at each of them.
pub const AGENT_POINTS: [&str; 9] = [
    "turn.after_claim",
    "turn.after_end",
    "run.after_begin",
    "unit.before_start",
    "unit.before_handover",
    "unit.after_start",
    "run.after_drain",
    "unit.after_stop",
    "run.after_end",
];

/// Where a server dies that has released files to a running agent and not yet put them in their place.
pub const FILES_POINT: &str = "unit.before_put";

/// The admin token of every server that is not asked to make its own.
pub const ADMIN: &str = "the-admin-token-of-a-test-binary";
/// The password of every operator.
pub const PASSWORD: &str = "correct horse battery staple";
/// How long anything may take before the test is lost; nothing is timed with it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary with an environment of its own, on this database.
pub fn portcullis(db: &TestDb) -> Command {
    let mut command = alone(&db.data_dir);
    if let Some(url) = &db.url {
        command.env("PORTCULLIS_DATABASE_URL", url);
    }
    command
}

/// The binary with nothing in its environment but a home.
pub fn alone(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.env_clear().env("HOME", home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a finished command left.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the output is text");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs to its end with this on standard input.
pub fn fed(mut command: Command, input: &str) -> Ended {
    let mut child = Killed(command.stdin(Stdio::piped()).spawn().expect("the binary starts"));
    let mut stdin = child.0.stdin.take().expect("a pipe");
    // A command that refuses early does not read; that is no failure of the test.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let (mut out, mut err) = (child.0.stdout.take().expect("a pipe"), child.0.stderr.take().expect("a pipe"));
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).expect("text");
        text
    });
    let mut text = String::new();
    out.read_to_string(&mut text).expect("text");
    let status = child.ended();
    Ended { code: status.code(), out: text, err: errors.join().expect("the reader ends") }
}

/// Runs to its end.
pub fn ran(command: Command) -> Ended {
    fed(command, "")
}

/// Creates an operator offline, beside whatever runs.
pub fn operator(db: &TestDb, email: &str, role: &str) -> Ended {
    let mut command = portcullis(db);
    command.args(["operator", "create", "--data"]).arg(&db.data_dir);
    command.args(["--email", email, "--role", role, "--password-file", "-"]);
    fed(command, &format!("{PASSWORD}\n"))
}

/// `serve` on this database with a port of the system's choice, without agents: they would outlive it.
pub fn serve(db: &TestDb) -> Command {
    let mut command = portcullis(db);
    command.env("PORTCULLIS_ADMIN_TOKEN", ADMIN).arg("serve").arg("--data").arg(&db.data_dir);
    command.args(["--listen", "127.0.0.1:0", "--no-agents"]);
    command
}

/// A child that does not outlive its test.
pub struct Killed(Child);

impl Killed {
    /// Waits for the end; gives up loudly.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status;
            }
            assert!(waited < PATIENCE, "the process does not end");
            std::thread::sleep(Duration::from_millis(5));
            waited += Duration::from_millis(5);
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that runs.
pub struct Server {
    child: Killed,
    pub url: String,
    log: Arc<Mutex<String>>,
    lines: mpsc::Receiver<String>,
}

impl Server {
    /// Starts a command and waits for the line that names the URL.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let mut child = Killed(command.spawn().expect("the binary starts"));
        let log = Arc::new(Mutex::new(String::new()));
        let (told, lines) = mpsc::sync_channel(100_000);
        let (err, kept) = (child.0.stderr.take().expect("a pipe"), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                let mut log = kept.lock().expect("the log");
                log.push_str(&line);
                log.push('\n');
                drop(log);
                let _ = told.try_send(line);
            }
        });
        let mut server = Self { child, url: String::new(), log, lines };
        let line = server.line("listen");
        server.url = line.rsplit(' ').next().expect("a word").to_owned();
        server
    }

    /// The next line of the log with this word.
    #[track_caller]
    pub fn line(&self, word: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(word) => return line,
                Ok(_) => {}
                Err(_) => panic!("no line with `{word}`: {}", self.log()),
            }
        }
    }

    /// Everything written to standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.0.kill().expect("a signal");
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.pid().to_string()).status().expect("kill runs");
        assert!(sent.success());
    }

    /// How it ended.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        self.child.ended()
    }

    /// SIGTERM, and the end.
    #[track_caller]
    pub fn stop(mut self) -> String {
        self.terminate();
        let status = self.ended();
        assert!(status.success(), "{status}: {}", self.log());
        self.log()
    }
}

/// A server that takes its agents along when it is asked to stop: asked also when the test has failed.
pub struct Gentle(pub Server);

impl Drop for Gentle {
    fn drop(&mut self) {
        let child = &mut self.0.child.0;
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        // Killed after that, whatever it does.
        let _ = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status();
        for _ in 0..1000 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whoever sends requests.
#[derive(Clone)]
pub struct Actor {
    client: reqwest::Client,
    headers: Vec<(&'static str, String)>,
}

impl Actor {
    pub fn nobody() -> Self {
        Self { client: reqwest::Client::builder().build().expect("a client"), headers: Vec::new() }
    }

    /// The same, with a connection for each request.
    pub fn unpooled(&self) -> Self {
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
        Self { client, headers: self.headers.clone() }
    }

    /// An open stream of live events.
    pub async fn stream(&self, url: &str) -> reqwest::Response {
        let mut request = self.client.get(format!("{url}/events"));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer
    }

    pub fn bearer(token: &str) -> Self {
        Self { headers: vec![("authorization", format!("Bearer {token}"))], ..Self::nobody() }
    }

    /// What it shows in this header.
    pub fn shows(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str())
    }

    /// The same, showing this header as well.
    #[must_use]
    pub fn showing(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A request to be completed, with everything it shows.
    pub fn to(&self, url: &str) -> reqwest::RequestBuilder {
        self.headers.iter().fold(self.client.get(url), |request, (name, value)| request.header(*name, value))
    }

    /// An operator's session, stepped up.
    pub async fn session(url: &str, email: &str) -> Self {
        let session = Self::logged_in(url, email).await;
        let stepped = session.post(url, "/auth/step-up", json!({"password": PASSWORD})).await.expect("an answer");
        assert_eq!(stepped.0, 200, "{}", stepped.1);
        session
    }

    /// An operator's session that has shown its password once.
    pub async fn logged_in(url: &str, email: &str) -> Self {
        let credentials = json!({"email": email, "password": PASSWORD});
        let request = Self::nobody().client.post(format!("{url}/auth/login")).body(credentials.to_string());
        let answer = request.header("content-type", "application/json").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let cookie = answer.headers()["set-cookie"].to_str().expect("a cookie").split(';').next().expect("a pair");
        let cookie = cookie.to_owned();
        let body: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
        let csrf = body["csrf_token"].as_str().expect("a token").to_owned();
        Self { headers: vec![("cookie", cookie), ("x-csrf-token", csrf)], ..Self::nobody() }
    }

    /// Status and body; `None` if the server went away before it had answered.
    pub async fn send(&self, method: Method, url: &str, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        let mut request = self.client.request(method, format!("{url}{path}"));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    pub async fn get(&self, url: &str, path: &str) -> Option<(u16, Value)> {
        self.send(Method::GET, url, path, None).await
    }

    pub async fn post(&self, url: &str, path: &str, body: Value) -> Option<(u16, Value)> {
        self.send(Method::POST, url, path, Some(body)).await
    }

    pub async fn delete(&self, url: &str, path: &str) -> Option<(u16, Value)> {
        self.send(Method::DELETE, url, path, None).await
    }
}

/// The answer, if it has this status.
#[track_caller]
pub fn want(status: u16, answer: Option<(u16, Value)>) -> Value {
    let (found, body) = answer.expect("the server answers");
    assert_eq!(found, status, "{body}");
    body
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}
