//! A swarm to test on: Docker engines of our own, each in a network of its own, joined by a cable that can be cut. Only root
//! can make one. Everything of it is gone when the test ends, however it ends.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]
#![expect(dead_code, reason = "each test binary uses its own part of the kit")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

#[path = "../engine/mod.rs"]
#[expect(dead_code, reason = "what is started on a swarm is not found as containers of one engine are")]
pub mod engine;

/// Where programs are that a user's path may lack.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long anything may take before the test is lost; nothing is timed with it.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often the manager wants to hear a node, in nanoseconds. After three times this it is down.
const HEARTBEAT: i64 = 2_000_000_000;

/// Where the server is, beside the manager. Documentation addresses (RFC 5737): nobody has them.
pub const MANAGER: &str = "192.0.2.1";
const WORKER: &str = "192.0.2.2";

/// Whether a swarm can be made here; where all tests are required it must be.
#[expect(clippy::disallowed_methods, reason = "the test command says what it requires")]
pub fn possible() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0);
    let there = |program: &str| PATH.split(':').any(|place| Path::new(place).join(program).is_file());
    let missing = ["dockerd", "unshare", "nsenter", "ip", "busybox"].into_iter().find(|program| !there(program));
    if root && missing.is_none() {
        return true;
    }
    let why = format!("a swarm of engines is made by root with dockerd and iproute2 (missing: {missing:?})");
    assert!(std::env::var_os("PORTCULLIS_TEST_REQUIRE_ALL").is_none(), "PORTCULLIS_TEST_REQUIRE_ALL is set: {why}");
    // Not worth failing for: only the note would be lost.
    let _ = writeln!(std::io::stderr(), "skipped: {why}; `cargo xtask test` installs both");
    false
}

/// One engine.
pub struct Node {
    keeper: Child,
    /// First process of its namespaces.
    first: u32,
    dir: PathBuf,
    pub socket: PathBuf,
    /// The swarm's id of it.
    pub id: String,
}

/// A manager, and a worker if there is one.
pub struct Nodes {
    pub manager: Node,
    worker: Option<Node>,
}

impl Nodes {
    /// A swarm of one.
    pub fn one() -> Self {
        let mut manager = Node::start();
        manager.id = manager.init("127.0.0.1");
        Self { manager, worker: None }
    }

    /// A swarm of two.
    pub fn two() -> Self {
        let (mut manager, mut worker) = (Node::start(), Node::start());
        // Names of interfaces are short, and of this machine until they are moved.
        let (one, two) = (format!("pm{}", manager.first), format!("pw{}", worker.first));
        run("ip", &["link", "add", &one, "type", "veth", "peer", "name", &two]);
        for (node, link, address) in [(&manager, &one, MANAGER), (&worker, &two, WORKER)] {
            run("ip", &["link", "set", link, "netns", &node.first.to_string()]);
            node.within(&["ip", "link", "set", link, "name", "cable"]);
            node.within(&["ip", "addr", "add", &format!("{address}/24"), "dev", "cable"]);
            node.within(&["ip", "link", "set", "cable", "up"]);
        }
        manager.id = manager.init(MANAGER);
        let token = engine::get(&manager.socket, "/v1.41/swarm")["JoinTokens"]["Worker"].clone();
        let join = json!({
            "ListenAddr": format!("{WORKER}:2377"), "AdvertiseAddr": WORKER, "RemoteAddrs": [format!("{MANAGER}:2377")],
            "JoinToken": token,
        });
        // The cable may not carry anything yet.
        until("the worker joins", || worker.post("/v1.41/swarm/join", &join).is_ok().then_some(()));
        worker.id = worker.own_id();
        let nodes = Self { manager, worker: Some(worker) };
        nodes.until_state("ready");
        nodes
    }

    pub fn worker(&self) -> &Node {
        self.worker.as_ref().expect("there is a worker")
    }

    /// From here on this thread, and whatever it starts, is in the manager's network.
    pub fn enter(&self) {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.manager.first)).expect("a network");
        setns(network, CloneFlags::CLONE_NEWNET).expect("it is entered");
    }

    /// Cuts the cable, or joins it again.
    pub fn cable(&self, whole: bool) {
        self.worker().within(&["ip", "link", "set", "cable", if whole { "up" } else { "down" }]);
    }

    /// `active`, `pause` or `drain`.
    pub fn availability(&self, node: &Node, word: &str) {
        until("a node is changed", || {
            let about = engine::get(&self.manager.socket, &format!("/v1.41/nodes/{}", node.id));
            let mut spec = about["Spec"].clone();
            spec["Availability"] = json!(word);
            let path = format!("/v1.41/nodes/{}/update?version={}", node.id, about["Version"]["Index"]);
            self.manager.post(&path, &spec).is_ok().then_some(())
        });
    }

    /// Waits until the manager holds the worker for this.
    pub fn until_state(&self, state: &str) {
        until(&format!("the worker is {state}"), || {
            let about = engine::get(&self.manager.socket, &format!("/v1.41/nodes/{}", self.worker().id));
            (about["Status"]["State"] == state).then_some(())
        });
    }

    /// The service of a boot, if there is one.
    pub fn service(&self, boot: &str) -> Option<Value> {
        let (status, body) =
            engine::call(&self.manager.socket, "GET", &format!("/v1.41/services/portcullis-{boot}"), b"");
        (status == 200).then(|| serde_json::from_slice(&body).expect("JSON"))
    }

    /// On which node a boot is.
    pub fn node_of(&self, boot: &str) -> String {
        until("the boot has a node", || {
            let service = self.service(boot)?;
            let tasks = engine::get(&self.manager.socket, "/v1.41/tasks");
            let ours = tasks.as_array()?.iter().filter(|task| task["ServiceID"] == service["ID"]);
            ours.filter_map(|task| task["NodeID"].as_str()).find(|node| !node.is_empty()).map(str::to_owned)
        })
    }

    /// Names of everything of a kind: `services`, `secrets`.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let listed = engine::get(&self.manager.socket, &format!("/v1.41/{kind}"));
        let names = listed.as_array().expect("a list").iter();
        names.map(|one| one["Spec"]["Name"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Node {
    fn start() -> Self {
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel makes ids");
        let dir = std::env::temp_dir().join(format!("portcullis-node-{}", &id[..8]));
        fs::create_dir(&dir).expect("a directory");
        let mut keeper = Command::new("sh");
        keeper.args(["-c", include_str!("node.sh"), "node", PATH]).arg(&dir);
        let mut keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a keeper");
        let mut said = BufReader::new(keeper.stdout.take().expect("a pipe")).lines();
        let mut line = || said.next().and_then(Result::ok).expect("the keeper says something");
        // Which comes first is a race.
        let lines = [line(), line()];
        assert!(lines.contains(&"ready".to_owned()), "{lines:?}: {:?}", fs::read_to_string(dir.join("log")));
        let unshare: u32 = lines.iter().find_map(|line| line.parse().ok()).expect("a number");
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).expect("its children");
        let first = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("its first process");
        let socket = dir.join("socket");
        let node = Self { keeper, first, dir, socket, id: String::new() };
        node.until_up();
        engine::import(&node.socket, true);
        node
    }

    fn until_up(&self) {
        let answers = || UnixStream::connect(&self.socket).is_ok() && self.dockerd().is_some();
        until("an engine answers", || answers().then_some(()));
    }

    fn post(&self, path: &str, body: &Value) -> Result<(), String> {
        let (status, answer) = engine::call(&self.socket, "POST", path, body.to_string().as_bytes());
        if status == 200 { Ok(()) } else { Err(format!("{status} {}", String::from_utf8_lossy(&answer))) }
    }

    fn init(&self, address: &str) -> String {
        let body = json!({
            "ListenAddr": format!("{address}:2377"), "AdvertiseAddr": address,
            "Spec": {"Dispatcher": {"HeartbeatPeriod": HEARTBEAT}},
        });
        self.post("/v1.41/swarm/init", &body).expect("a swarm");
        self.own_id()
    }

    fn own_id(&self) -> String {
        until("a node has an id", || {
            let about = engine::get(&self.socket, "/v1.41/info");
            about["Swarm"]["NodeID"].as_str().filter(|id| !id.is_empty()).map(str::to_owned)
        })
    }

    /// Runs a command in its namespaces.
    fn within(&self, command: &[&str]) {
        let first = self.first.to_string();
        run("nsenter", &[&["-t", &first, "-n"], command].concat());
    }

    /// Its engine's process, as this machine numbers it.
    fn dockerd(&self) -> Option<i32> {
        let mark = self.dir.join("socket").display().to_string();
        processes().into_iter().find_map(|(pid, command, _)| {
            let program = command.split('\0').next().unwrap_or_default();
            (program.ends_with("dockerd") && command.contains(&mark)).then_some(pid)
        })
    }

    /// SIGKILL to the engine; what it runs lives on.
    pub fn kill_engine(&self) {
        let pid = self.dockerd().expect("it runs");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a signal");
        until("the engine is gone", || self.dockerd().is_none().then_some(()));
    }

    /// Starts its engine again, where it was.
    pub fn start_engine(&self) {
        let first = self.first.to_string();
        // It ends with its namespaces.
        let engine = self.dir.join("engine").display().to_string();
        let shell = format!("setsid {engine} >/dev/null 2>&1 &");
        run("nsenter", &["-t", &first, "-n", "-m", "-p", "sh", "-c", &shell]);
        self.until_up();
    }

    /// How many containers there are of a boot, running or not.
    pub fn containers(&self, boot: &str) -> usize {
        let listed = engine::get(&self.socket, "/v1.41/containers/json?all=1");
        let named = |one: &&Value| one["Names"].to_string().contains(boot);
        listed.as_array().expect("a list").iter().filter(named).count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// Processes of a boot, on whatever node, as this machine numbers them.
pub fn processes_of(boot: &str) -> Vec<i32> {
    let mark = format!("PORTCULLIS_BOOT_ID={boot}");
    processes().into_iter().filter(|(_, _, environment)| environment.contains(&mark)).map(|(pid, ..)| pid).collect()
}

/// Number, command line and environment of all processes.
fn processes() -> Vec<(i32, String, String)> {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let numbered = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let read = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    numbered.map(|(pid, place)| (pid, read(place.join("cmdline")), read(place.join("environ")))).collect()
}

#[track_caller]
fn run(program: &str, arguments: &[&str]) {
    let ended = Command::new(program).env("PATH", PATH).args(arguments).output().expect("it runs");
    assert!(ended.status.success(), "{program} {arguments:?}: {ended:?}");
}

#[track_caller]
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
