//! What the fault tests share: faults between the program and the kernel, disks that are small, and clients that remember
//! what they were told.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use portcullis_authority::testkit_db::{TestDb, fresh_dir};
use serde_json::{Value, json};

use super::{Actor, PATIENCE, Server, operator, ran, runtime, serve, want};

pub const OWNER: &str = "owner@example.org";
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What a stream says when nothing has come for a while, before it looks by itself.
pub const HEARTBEAT: &str = ": \n\n";

/// Waits for this to be so; gives up loudly.
#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(LOOK);
    }
}

/// What comes on a stream up to and with this text.
pub async fn upto(stream: &mut reqwest::Response, what: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(what) {
        let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("something comes");
        seen.push_str(std::str::from_utf8(&chunk.expect("an answer").expect("the stream goes on")).expect("text"));
    }
    seen
}

/// Kills the server and looks with a new one.
#[track_caller]
pub fn survives_a_kill(db: &TestDb, mut server: Server, client: &mut Client) {
    server.kill();
    server.ended();
    ran(verify(db)).exits(0);
    let server = Server::start(serve(db));
    runtime().block_on(async {
        client.finds_everything(&server.url).await;
        client.is_well(&server.url).await;
    });
    server.stop();
}

/// The faults of one program, made by a library that is loaded before the C library's own.
pub struct Shim {
    orders: PathBuf,
}

impl Shim {
    pub fn new() -> Self {
        Self { orders: fresh_dir() }
    }

    /// Puts the library between this program and the kernel.
    pub fn before(&self, command: &mut Command) {
        static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
        let library = LIBRARY.get_or_init(|| {
            // Beside the program it is for, and one a process: test binaries may run at the same time.
            let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kit/shim.c");
            // The linker of Rust is this compiler.
            let mut compiler = Command::new("cc");
            compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source);
            assert!(compiler.status().expect("cc runs").success());
            library
        });
        command.env("LD_PRELOAD", library).env("PORTCULLIS_TEST_FAULTS", &self.orders);
    }

    /// From now on.
    pub fn order(&self, name: &str, text: &str) {
        // Whole when it appears: the program may be looking.
        let beside = self.orders.join("new");
        fs::write(&beside, text).expect("an order");
        fs::rename(beside, self.orders.join(name)).expect("an order");
    }

    /// No more.
    pub fn cancel(&self, name: &str) {
        fs::remove_file(self.orders.join(name)).expect("an order");
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.orders);
    }
}

/// A small file system in memory over a directory, which only the commands that are run inside see. It is gone when this
/// is dropped or the test is killed: whoever holds it reads from us.
pub struct Disk {
    holder: Child,
    at: PathBuf,
}

impl Disk {
    pub fn over(at: &Path, bytes: u64) -> Self {
        let script = "mount -t tmpfs -o \"size=$2,mode=0700\" tmpfs \"$1\" && echo ready && exec cat";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "holder"]);
        command.arg(at).arg(bytes.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = command.spawn().expect("unshare runs");
        let mut line = String::new();
        let out = holder.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "a file system in memory needs root");
        Self { holder, at: at.to_path_buf() }
    }

    /// The command, seeing this disk.
    pub fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("--").arg(command.get_program());
        inside.args(command.get_args()).env_clear().envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
        inside.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        inside
    }

    /// Where the test finds a file of this disk.
    pub fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.at.strip_prefix("/").expect("an absolute path")).join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// One owner with one workspace, who remembers what was acknowledged and what was not.
pub struct Client {
    pub owner: Actor,
    pub workspace: String,
    count: usize,
    acknowledged: BTreeSet<String>,
    pub refused: BTreeSet<String>,
}

impl Client {
    /// Makes the owner with the offline command.
    pub async fn new(db: &TestDb, server: &Server) -> Self {
        operator(db, OWNER, "owner").exits(0);
        Self::of_owner(server).await
    }

    /// The same, where there is an owner.
    pub async fn of_owner(server: &Server) -> Self {
        let owner = Actor::session(&server.url, OWNER).await;
        let made = want(201, owner.post(&server.url, "/workspaces", json!({"name": "written-to"})).await);
        let workspace = made["id"].as_str().expect("an id").to_owned();
        Self { owner, workspace, count: 0, acknowledged: BTreeSet::new(), refused: BTreeSet::new() }
    }

    /// Writes once, under a name of its own. Status and body; 0 if the server hung up.
    pub async fn write(&mut self, url: &str, bytes: usize) -> (u16, Value) {
        self.count += 1;
        let key = format!("KEY_{}", self.count);
        let path = format!("/workspaces/{}/secrets", self.workspace);
        let answer = self.owner.post(url, &path, json!({"key": key, "value": "v".repeat(bytes)})).await;
        let (status, body) = answer.unwrap_or_default();
        if status == 200 {
            self.acknowledged.insert(key)
        } else {
            self.refused.insert(key)
        };
        (status, body)
    }

    #[track_caller]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// A write that is taken.
    pub async fn writes(&mut self, url: &str) {
        let (status, body) = self.write(url, 8).await;
        assert_eq!(status, 200, "{body}");
    }

    /// A write that is refused because of the store, and `/ready` says so.
    pub async fn is_refused(&mut self, url: &str, why: &str) -> Value {
        let (status, body) = self.write(url, 8).await;
        assert_eq!((status, body["code"].as_str()), (503, Some("STORE_UNAVAILABLE")), "{why}: {body}");
        assert_eq!(body["retryable"], true, "{why}: {body}");
        want(200, Actor::nobody().get(url, "/health").await);
        let ready = want(503, Actor::nobody().get(url, "/ready").await);
        assert_eq!(ready["ready"], false, "{why}");
        ready["checks"].clone()
    }

    /// Writing works, and `/ready` says so.
    pub async fn is_well(&mut self, url: &str) {
        self.writes(url).await;
        let ready = want(200, Actor::nobody().get(url, "/ready").await);
        assert_eq!(ready["ready"], true);
    }

    /// Waits for that without doing anything for it: what it was refused meanwhile is no failure.
    pub async fn gets_well(&mut self, url: &str, why: &str) {
        let begun = Instant::now();
        loop {
            let (status, body) = self.write(url, 8).await;
            let (ready, checks) = Actor::nobody().get(url, "/ready").await.unwrap_or_default();
            if status == 200 && ready == 200 {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{why}: it does not recover: {status} {body} {ready} {checks}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Everything that was acknowledged is there, and nothing that was never asked for.
    pub async fn finds_everything(&self, url: &str) {
        let path = format!("/workspaces/{}/secrets", self.workspace);
        let listed = want(200, self.owner.get(url, &path).await);
        let listed = listed.as_array().or_else(|| listed["secrets"].as_array()).expect("a list").clone();
        let own = |entry: &Value| entry["key"].as_str().expect("a key").to_owned();
        let found: BTreeSet<String> = listed.iter().map(own).collect();
        let lost: Vec<_> = self.acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let invented: Vec<_> =
            found.iter().filter(|key| !self.acknowledged.contains(*key) && !self.refused.contains(*key)).collect();
        assert!(invented.is_empty(), "never asked for: {invented:?}");
    }
}

/// `audit verify` on this database, as a command that is not run yet.
pub fn verify(db: &TestDb) -> Command {
    let mut command = super::portcullis(db);
    command.args(["audit", "verify"]);
    if db.url.is_none() {
        command.arg("--data").arg(&db.data_dir);
    }
    command
}
