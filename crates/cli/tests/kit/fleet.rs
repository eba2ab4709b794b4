//! A server with live agents in directories of its own. Agents outlive their server on purpose, so this guard ends every
//! process of its directories when the test ends, however it ends, and leaves nothing behind.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portcullis_authority::testkit_db::TestDb;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ADMIN, Actor, Ended, PATIENCE, Server, operator, portcullis, ran, want};

pub const OWNER: &str = "owner@example.org";
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long leftovers are killed.
const LEFTOVERS_WAIT: Duration = Duration::from_secs(20);
/// How much of the server's log a failure shows, in lines.
const LOG_LINES: usize = 60;

/// A server that starts agents, its owner, and everything it leaves on the machine.
pub struct Fleet {
    server: Option<Server>,
    owner: Option<Actor>,
    runtime: tokio::runtime::Runtime,
    host: &'static str,
    port: u16,
    config: PathBuf,
    /// Directory of agents.
    pub dir: PathBuf,
    /// Directory of secret files.
    pub secrets: PathBuf,
    /// Words in command lines of processes that belong here and hide it.
    marks: Mutex<Vec<String>>,
    pub db: TestDb,
}

impl Fleet {
    /// A server that runs, with these lines in `[agents]`.
    pub fn new(db: TestDb, agents: &str) -> Self {
        let mut fleet = Self::prepared(db, agents);
        fleet.start();
        fleet
    }

    /// The same, not started.
    pub fn prepared(db: TestDb, agents: &str) -> Self {
        Self::prepared_at("127.0.0.1", db, agents)
    }

    /// The same on this address, which is one of the network that the calling thread is in.
    pub fn prepared_at(host: &'static str, db: TestDb, agents: &str) -> Self {
        let name = format!("pa-{:08x}", random());
        let (dir, secrets) = (Path::new("/tmp").join(&name), Path::new("/dev/shm").join(&name));
        let config = db.data_dir.join("fleet.toml");
        let text = format!(
            "[agents]\ndir = {dir:?}\nsecrets_dir = {secrets:?}\n{agents}\n[limits]\nstep_up_s = 36000\n",
            dir = dir.display().to_string(),
            secrets = secrets.display().to_string(),
        );
        fs::write(&config, text).expect("a configuration");
        let runtime = super::runtime();
        let marks = Mutex::default();
        Self { server: None, owner: None, runtime, host, port: port(), config, dir, secrets, marks, db }
    }

    /// Another server on the same PostgreSQL database, with directories of its own and the same root key. Not started.
    pub fn beside(&self, server: &str, agents: &str) -> Self {
        let db = self.db.beside();
        fs::copy(self.db.data_dir.join("root.key"), db.data_dir.join("root.key")).expect("the root key");
        let mut fleet = Self::prepared(db, agents);
        fleet.configure(server);
        fleet.owner.clone_from(&self.owner);
        fleet
    }

    /// Adds lines to `[server]`.
    pub fn configure(&self, server: &str) {
        let text = fs::read_to_string(&self.config).expect("a configuration");
        fs::write(&self.config, format!("{text}\n[server]\n{server}\n")).expect("a configuration");
    }

    /// Adds lines to `[agents]`.
    pub fn configure_agents(&self, agents: &str) {
        let text = fs::read_to_string(&self.config).expect("a configuration");
        let text = text.replacen("[agents]\n", &format!("[agents]\n{agents}\n"), 1);
        fs::write(&self.config, text).expect("a configuration");
    }

    /// Sends the server a signal.
    pub fn signal_server(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.server_pid()).expect("a small number")), signal).expect("a signal");
    }

    /// The command that serves. Always on the same port: agents know no other address.
    pub fn command(&self) -> Command {
        let mut command = portcullis(&self.db);
        command.env("PORTCULLIS_ADMIN_TOKEN", ADMIN).arg("serve").arg("--data").arg(&self.db.data_dir);
        command.arg("--listen").arg(format!("{}:{}", self.host, self.port)).arg("--config").arg(&self.config);
        command
    }

    pub fn start(&mut self) {
        self.start_with(|_| ());
    }

    /// Starts the server, whose command is changed first.
    #[track_caller]
    pub fn start_with(&mut self, change: impl FnOnce(&mut Command)) {
        let mut command = self.command();
        change(&mut command);
        let server = Server::start(command);
        let owner = match self.owner.take() {
            // A connection to the server before it is of no use.
            Some(owner) => Actor { client: Actor::nobody().client, ..owner },
            None => {
                operator(&self.db, OWNER, "owner").exits(0);
                self.runtime.block_on(Actor::session(&server.url, OWNER))
            }
        };
        self.owner = Some(owner);
        self.server = Some(server);
    }

    pub fn server_pid(&self) -> u32 {
        self.server.as_ref().expect("a server runs").pid()
    }

    /// SIGTERM, and the end. Its agents live on.
    #[track_caller]
    pub fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            drop(server.stop());
        }
    }

    /// SIGKILL, and the end.
    pub fn kill_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill();
            server.ended();
        }
    }

    /// Waits for the end of a server that ends by itself.
    #[track_caller]
    pub fn crashed(&mut self) -> (std::process::ExitStatus, String) {
        let mut server = self.server.take().expect("a server");
        (server.ended(), server.log())
    }

    /// Most memory the server ever had, in KiB.
    pub fn server_memory_kib(&self) -> u64 {
        self.server_status_kib("VmHWM:")
    }

    /// Memory the server has, in KiB.
    pub fn server_memory_now_kib(&self) -> u64 {
        self.server_status_kib("VmRSS:")
    }

    fn server_status_kib(&self, field: &str) -> u64 {
        let pid = self.server_pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server's status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field");
        line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
    }

    pub fn url(&self) -> String {
        format!("http://{}:{}", self.host, self.port)
    }

    pub fn owner(&self) -> &Actor {
        self.owner.as_ref().expect("an owner")
    }

    /// Any work over HTTP, with everything it needs.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Everything the server wrote to standard error so far.
    pub fn log(&self) -> String {
        self.server.as_ref().map(Server::log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Status and body of what anybody asks; `None` if the server went away.
    pub fn ask_as(&self, actor: &Actor, method: Method, path: &str, body: Option<Value>) -> Option<(u16, Value)> {
        self.run(actor.send(method, &self.url(), path, body))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let answer = self.ask_as(self.owner(), Method::GET, path, None);
        let (status, body) = answer.unwrap_or_else(|| panic!("GET {path}: no answer\n{}", self.log_tail()));
        assert_eq!(status, 200, "GET {path}: {body}\n{}", self.log_tail());
        body
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: Option<Value>, status: u16) -> Value {
        want(status, self.ask_as(self.owner(), Method::POST, path, body))
    }

    /// Waits until it is so; gives up loudly.
    #[track_caller]
    pub fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}\n{}", self.log_tail());
            std::thread::sleep(LOOK);
        }
    }

    /// Creates a workspace below the root, or below another.
    #[track_caller]
    pub fn create(&self, name: &str, runtime: Value, parent: Option<&str>) -> String {
        let body = json!({"name": name, "runtime": runtime, "parent_id": parent});
        text(&self.post("/workspaces", Some(body), 201), "id")
    }

    #[track_caller]
    pub fn workspace(&self, id: &str) -> Value {
        self.get(&format!("/workspaces/{id}"))
    }

    /// The root workspace.
    pub fn root(&self) -> String {
        let all = self.get("/workspaces");
        let root = all.as_array().expect("a list").iter().find(|one| one["kind"] == "platform");
        text(root.expect("a root"), "id")
    }

    /// Waits until its agent is up and has everything that is wanted.
    #[track_caller]
    pub fn settled(&self, id: &str) -> Value {
        let begun = Instant::now();
        loop {
            let last = self.workspace(id);
            if settled(&last) {
                return last;
            }
            let runs = || self.runs(id);
            assert!(begun.elapsed() < PATIENCE, "never settled: {last}\n{:?}\n{}", runs(), self.log_tail());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it is shown in this state, and returns it with the reason.
    #[track_caller]
    pub fn shown(&self, id: &str, status: &str) -> Value {
        let mut last = Value::Null;
        let begun = Instant::now();
        while last["status"] != status {
            assert!(begun.elapsed() < PATIENCE, "never {status}: {last}\n{:?}\n{}", self.runs(id), self.log_tail());
            std::thread::sleep(LOOK);
            last = self.workspace(id);
        }
        last
    }

    #[track_caller]
    pub fn set(&self, id: &str, key: &str, value: &str) -> Value {
        self.post(&format!("/workspaces/{id}/secrets"), Some(json!({"key": key, "value": value})), 200)
    }

    #[track_caller]
    pub fn set_for_all(&self, key: &str, value: &str) -> Value {
        self.post("/settings/secrets", Some(json!({"key": key, "value": value})), 200)
    }

    /// Sends a message and returns its id.
    #[track_caller]
    pub fn send(&self, id: &str, message: &str) -> String {
        text(&self.post(&format!("/workspaces/{id}/messages"), Some(json!({"text": message})), 202), "id")
    }

    #[track_caller]
    pub fn message(&self, id: &str, message: &str) -> Value {
        self.get(&format!("/workspaces/{id}/messages/{message}"))
    }

    /// Waits until somebody works on it, or has done so.
    #[track_caller]
    pub fn taken(&self, id: &str, message: &str) {
        self.until("a message is taken", || (self.message(id, message)["status"] != "queued").then_some(()));
    }

    /// Waits until it drains for a change that was made, or has done so.
    #[track_caller]
    pub fn drains(&self, id: &str) {
        self.until("it drains, or has done so", || {
            let now = self.workspace(id);
            let done = now["observed_generation"] == now["desired_generation"];
            (!now["draining_since"].is_null() || done).then_some(())
        });
    }

    /// Waits for the end of a message.
    #[track_caller]
    pub fn outcome(&self, id: &str, message: &str) -> Value {
        let begun = Instant::now();
        loop {
            let view = self.get(&format!("/workspaces/{id}/messages/{message}?wait=5"));
            if !matches!(view["status"].as_str(), Some("queued" | "delivered")) {
                return view;
            }
            let late = begun.elapsed() < PATIENCE;
            assert!(late, "no end of {view}: {}\n{}", self.workspace(id), self.log_tail());
        }
    }

    /// Sends a message and returns the reply.
    #[track_caller]
    pub fn ask(&self, id: &str, message: &str) -> String {
        let sent = self.send(id, message);
        self.reply(id, &sent)
    }

    /// The reply to a message.
    #[track_caller]
    pub fn reply(&self, id: &str, message: &str) -> String {
        let view = self.outcome(id, message);
        assert_eq!(view["status"], "completed", "{view}");
        text(&view, "reply")
    }

    /// All runs, oldest first.
    #[track_caller]
    pub fn runs(&self, id: &str) -> Vec<Value> {
        let mut runs = list(&self.get(&format!("/workspaces/{id}/runs?limit=500")));
        runs.reverse();
        runs
    }

    /// All turns, oldest first.
    #[track_caller]
    pub fn turns(&self, id: &str) -> Vec<Value> {
        let mut turns = list(&self.get(&format!("/workspaces/{id}/turns?limit=500")));
        turns.reverse();
        turns
    }

    /// The boot that has not ended.
    #[track_caller]
    pub fn boot(&self, id: &str) -> String {
        self.live_boot(id).unwrap_or_else(|| panic!("no run lives: {:?}", self.runs(id)))
    }

    /// Waits until another run than this one lives; between the two there is none.
    #[track_caller]
    pub fn next_boot(&self, id: &str, before: &str) -> String {
        self.until("another run", || self.live_boot(id).filter(|boot| boot != before))
    }

    fn live_boot(&self, id: &str) -> Option<String> {
        self.runs(id).iter().find(|run| run["state"] == "live").map(|run| text(run, "boot_id"))
    }

    /// The token of a boot, from the file its agent reads.
    pub fn token(&self, boot: &str) -> String {
        fs::read_to_string(self.dir.join("run").join(boot).join("token")).expect("the token's file")
    }

    /// The A2A socket beside the agent of a boot.
    pub fn a2a_socket(&self, boot: &str) -> PathBuf {
        self.dir.join("run").join(boot).join("a2a.sock")
    }

    /// Where the agent of a workspace works.
    pub fn work(&self, id: &str) -> PathBuf {
        self.dir.join(id).join("work")
    }

    /// Makes a file that an agent waits for.
    pub fn touch(&self, id: &str, name: &str) {
        fs::write(self.work(id).join(name), "").expect("a file in the work directory");
    }

    /// Events of the log that match a query.
    pub fn audit(&self, query: &str) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), Some(0));
        while let Some(from) = after {
            let page = self.get(&format!("/audit?limit=500&after={from}&{query}"));
            all.extend(list(&page["events"]));
            after = page["next_after"].as_i64();
        }
        all
    }

    /// `audit verify` on the database as it is.
    #[track_caller]
    pub fn verified(&self) -> Ended {
        let mut command = portcullis(&self.db);
        command.args(["audit", "verify"]);
        if self.db.url.is_none() {
            command.arg("--data").arg(&self.db.data_dir);
        }
        ran(command).exits(0)
    }

    /// A word of a command line by which a process of this fleet is known, whatever else it hides.
    pub fn mark(&self) -> String {
        let mark = format!("{}.{:08}", 100_000 + random() % 100_000, random() % 100_000_000);
        self.marks.lock().expect("marks").push(mark.clone());
        mark
    }

    /// Every process of this fleet but the server: number and command line.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let names = self.names();
        let marks = self.marks.lock().expect("marks").clone();
        let inside = |link: &Path| fs::read_link(link).is_ok_and(|target| target.starts_with(&self.dir));
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").expect("processes") {
            let Ok(entry) = entry else { continue };
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let place = entry.path();
            // Gone meanwhile, or somebody else's.
            let read = |name| fs::read(place.join(name)).unwrap_or_default();
            let (command, environment) = (read("cmdline"), read("environ"));
            let (command, environment) = (String::from_utf8_lossy(&command), String::from_utf8_lossy(&environment));
            let ours = names.iter().any(|name| command.contains(name.as_str()) || environment.contains(name.as_str()))
                || marks.iter().any(|mark| command.contains(mark.as_str()))
                || inside(&place.join("cwd"))
                || inside(&place.join("exe"));
            if ours {
                found.push((pid, command.replace('\0', " ")));
            }
        }
        found
    }

    /// Processes of one workspace.
    pub fn processes_of(&self, id: &str) -> Vec<(i32, String)> {
        let of = |pid: i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(id)
        };
        self.processes().into_iter().filter(|(pid, command)| command.contains(id) || of(*pid)).collect()
    }

    /// The directory and every boot there is in it.
    fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::from([self.dir.display().to_string()]);
        names.extend(entries(&self.dir.join("run")).iter().filter_map(|path| name(path)));
        names
    }

    /// Groups that shims made and could not remove, because they were killed.
    fn groups(&self) -> Vec<PathBuf> {
        let runs = entries(&self.dir).into_iter().flat_map(|workspace| entries(&workspace.join("runs")));
        let orders = runs.filter_map(|run| fs::read(run.join("unit.json")).ok());
        let orders = orders.filter_map(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        orders.filter_map(|order| Some(PathBuf::from(order["group"].as_str()?))).collect()
    }

    /// No process of a workspace that was removed, and no directory.
    #[track_caller]
    pub fn gone(&self, id: &str, boots: &[String]) {
        self.until("nothing is left of a removed workspace", || {
            let places = [self.dir.join(id), self.secrets.join(id)];
            let places = places.into_iter().chain(boots.iter().map(|boot| self.dir.join("run").join(boot)));
            (self.processes_of(id).is_empty() && places.into_iter().all(|place| !place.exists())).then_some(())
        });
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // First the server: it would start what ends.
        drop(self.server.take());
        let (begun, groups) = (Instant::now(), self.groups());
        let mut faults = Vec::new();
        loop {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for (pid, _) in &left {
                // It may be gone already.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            if begun.elapsed() > LEFTOVERS_WAIT {
                faults.push(format!("these processes do not end: {left:?}"));
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for group in groups {
            // A group is removed by whoever ended in it, unless it was killed.
            let _ = fs::remove_dir(group);
        }
        for dir in [&self.dir, &self.secrets] {
            if let Err(error) = fs::remove_dir_all(dir)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                faults.push(format!("{}: {error}", dir.display()));
            }
        }
        // A test that has failed already says why itself.
        assert!(faults.is_empty() || std::thread::panicking(), "{faults:?}");
    }
}

/// Its agent is up and has everything that is wanted.
pub fn settled(workspace: &Value) -> bool {
    workspace["status"] == "online"
        && workspace["desired_generation"] == workspace["observed_generation"]
        && workspace["draining_since"].is_null()
}

/// A runtime whose built-in agent runs this shell script for each message.
pub fn exec(script: &str) -> Value {
    json!({"kind": "process", "agent": {"mind": "exec", "command": ["/bin/sh", "-c", script]}})
}

/// A runtime whose agent is this shell script.
pub fn command(script: &str) -> Value {
    json!({"kind": "process", "agent": {"mind": "command", "command": ["/bin/sh", "-c", script]}})
}

/// A script that works on `hold NAME` until there is a file of that name, and writes down what it worked on.
pub const HOLDS: &str = "read -r word name; echo \"$word $name\" >> ran; \
    if [ \"$word\" = hold ]; then while [ ! -e \"$name\" ]; do sleep 0.03; done; fi; \
    printf '%s %s %s' \"$word\" \"$name\" \"${KEY-unset}\"";

/// What `/env` answers for a value.
pub fn shown(value: &str) -> String {
    format!("set {}", digest(value))
}

/// The first 16 digits of the SHA-256 of a text.
pub fn digest(value: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value.as_bytes());
    digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_else(|| panic!("no `{member}` in {value}")).to_owned()
}

#[track_caller]
pub fn list(value: &Value) -> Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}")).clone()
}

/// Whether tests may give files to other users, and so does the server.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}

/// xorshift: enough to spread moments; the same seed gives the same test.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).expect("random");
    u32::from_le_bytes(bytes)
}

/// A free port outside the range from which the system takes ports for connections: somebody else could otherwise have
/// it while the server is down, even an agent that connects to itself.
pub fn port() -> u16 {
    loop {
        let port = 20_000 + u16::try_from(random() % 12_000).expect("a small number");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}
