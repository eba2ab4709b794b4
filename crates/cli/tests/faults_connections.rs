//! Clients that come in thousands, say nothing, speak slowly, do not listen, or vanish: others are served meanwhile, or
//! refused with a code, and nothing grows without bound. The rules are in docs/faults.md.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use kit::{
    ADMIN, Actor, Server,
    faults::{Client, OWNER, until},
    runtime, serve,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use portcullis_authority::testkit_db::TestDb;
use serde_json::json;

const IDLE: usize = 10_000;
/// What those may cost, in KiB: a connection that is served has buffers, one that is not has none.
const IDLE_KIB_MAX: u64 = 96 * 1024;
/// What logins may leave behind in all, in KiB: less than one of them takes.
const LOGINS_KIB_MAX: u64 = 19 * 1024;
/// Waits that are short enough for a test.
const IMPATIENT: &str = "[server]\nhead_wait_s = 1\nbody_wait_s = 1\nsilence_s = 2\n";

fn configured(text: &str) -> TestDb {
    let db = TestDb::sqlite();
    fs::write(db.data_dir.join("portcullis.toml"), text).unwrap();
    db
}

fn address(server: &Server) -> String {
    server.url.strip_prefix("http://").unwrap().to_owned()
}

fn resident_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Whether the server still has this connection, whoever its client is now. `client` is the client's port.
fn is_held(server: &Server, client: u16) -> bool {
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", server.pid())).unwrap();
    let port = server.url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let (local, remote) = (format!(":{port:04X}"), format!(":{client:04X}"));
    // Local address, remote address, state: 01 is established, 08 is closed by the client alone.
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() > 3 && words[1].ends_with(&local) && words[2].ends_with(&remote) && ["01", "08"].contains(&words[3])
    })
}

#[test]
fn ten_thousand_idle_connections_keep_nobody_out() {
    let wanted = IDLE as u64 + 2_000;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, wanted, most.max(wanted)).unwrap();
    let db = TestDb::sqlite();
    let server = Server::start(serve(&db));
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        client.is_well(&server.url).await;
        client
    });
    let (before, to) = (resident_kib(&server), address(&server));
    let mut idle = Vec::new();
    for n in 0..IDLE {
        idle.push(TcpStream::connect(&to).unwrap_or_else(|error| panic!("connection {n}: {error}")));
    }
    runtime().block_on(async {
        // Each of these is a new connection. Refused is fine while everybody came just now; for good it is not.
        let mut served = 0;
        while served < 20 {
            match Actor::nobody().get(&server.url, "/ready").await {
                Some((200, _)) => served += 1,
                Some((503, body)) => assert_eq!(body["code"], "BUSY", "{body}"),
                // So many are being told that one more is only hung up on.
                None => {}
                other => panic!("neither answered nor refused: {other:?}"),
            }
        }
        client.owner = Actor::session(&server.url, kit::faults::OWNER).await;
        client.is_well(&server.url).await;
        client.finds_everything(&server.url).await;
    });
    let after = resident_kib(&server);
    assert!(after < before + IDLE_KIB_MAX, "{before} KiB, with {IDLE} idle connections {after} KiB");
    drop(idle);
    server.stop();
}

/// Sends this and returns what comes back until the server hangs up.
fn hung_up(stream: &mut TcpStream, sent: &[u8]) -> String {
    stream.write_all(sent).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn slow_clients_are_hung_up_on_and_hold_nobody_else_up() {
    let db = configured(&format!("{IMPATIENT}connections = 16\n"));
    let server = Server::start(serve(&db));
    let mut client = runtime().block_on(Client::new(&db, &server));
    let to = address(&server);
    let connect = || TcpStream::connect(&to).unwrap();

    // No head, half a head, a head that comes a byte at a time.
    assert_eq!(hung_up(&mut connect(), b""), "");
    hung_up(&mut connect(), b"GET /health HTTP/1.1\r\nhost: x\r\n");
    let mut dripping = connect();
    let dripped = until("a head that never ends is given up", || dripping.write_all(b"x").err());
    assert!([ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&dripped.kind()), "{dripped}");
    // Idle after an answer.
    let answer = hung_up(&mut connect(), b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // A body that does not come: told, since there is somebody to tell.
    let head = format!(
        "POST /workspaces HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{"
    );
    let answer = hung_up(&mut connect(), head.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("did not arrive in time"), "{answer}");

    // Who asks for much and reads nothing: the kernel's buffers fill, and that is that.
    let mut deaf = connect();
    let port = deaf.local_addr().unwrap().port();
    deaf.write_all(&b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000)).unwrap();
    assert!(is_held(&server, port));
    until("the server gives up on who does not read", || (!is_held(&server, port)).then_some(()));

    // Slow ones in every place: others get one of theirs.
    let mut slow: Vec<TcpStream> = (0..200).map(|_| connect()).collect();
    for stream in &mut slow {
        // Refused ones may be gone.
        let _ = stream.write_all(head.as_bytes());
    }
    runtime().block_on(async {
        client.gets_well(&server.url, "a place is given up").await;
    });
    server.stop();
}

#[test]
fn a_flood_is_answered_or_refused_and_over_when_it_is_over() {
    const AT_ONCE: usize = 200;
    let db = configured("[server]\nconnections = 32\n");
    let server = Server::start(serve(&db));
    runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        let path = Arc::new(format!("/workspaces/{}/secrets", client.workspace));
        let owner = Arc::new(client.owner);
        let mut flood = tokio::task::JoinSet::new();
        for n in 0..AT_ONCE {
            let (url, path, owner) = (server.url.clone(), Arc::clone(&path), Arc::clone(&owner));
            flood.spawn(async move {
                // A connection of its own.
                let mut request = reqwest::Client::new().post(format!("{url}{path}"));
                for name in ["cookie", "x-csrf-token"] {
                    request = request.header(name, owner.shows(name).unwrap());
                }
                let body = json!({"key": "FLOODED", "value": format!("v{n}")}).to_string();
                // Whoever has not asked within a second gives up its place, and on a busy machine that may be one of these.
                let answer = request.header("content-type", "application/json").body(body).send().await.ok()?;
                let (status, waits) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
                Some((status, waits, answer.text().await.ok()?))
            });
        }
        let (mut taken, mut refused, mut late) = (0, 0, 0);
        while let Some(answer) = flood.join_next().await {
            match answer.unwrap() {
                Some((200, _, _)) => taken += 1,
                Some((503, true, body)) if body.contains("\"BUSY\"") => refused += 1,
                None => late += 1,
                other => panic!("neither answered nor refused: {other:?}"),
            }
        }
        assert_eq!(taken + refused + late, AT_ONCE);
        assert!(taken > 0, "nobody was served");
        let versions = db.integer("SELECT COUNT(*) FROM secret_versions WHERE key = 'FLOODED'");
        assert_eq!(versions, taken as i64, "as many as were told so, no more");
        // Their places are free once the server has seen that they left.
        let begun = std::time::Instant::now();
        while held(&server.url).await.is_none_or(|held| held > FEW) {
            assert!(begun.elapsed() < LEFT, "the flood is over and its places are not free");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        client.owner = Actor::session(&server.url, kit::faults::OWNER).await;
        client.is_well(&server.url).await;
    });
    server.stop();
}

/// Connections of those who ask, with some to spare.
const FEW: f64 = 4.0;
/// Sooner than the server gives up on somebody who is silent: places are free because their holders left.
const LEFT: std::time::Duration = std::time::Duration::from_secs(20);

/// How many connections the server says it holds; nothing while it has no place for who asks.
async fn held(url: &str) -> Option<f64> {
    let page = reqwest::Client::new().get(format!("{url}/metrics")).bearer_auth(ADMIN).send().await.ok()?;
    let page = page.error_for_status().ok()?.text().await.ok()?;
    page.lines().find_map(|line| line.strip_prefix("portcullis_connections ")?.parse().ok())
}

/// A network of its own, gone with the test.
struct Network(Child);

impl Network {
    fn new() -> Self {
        let script = "ip link set lo up && echo ready && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        // A network of one's own needs root and `ip`.
        holder.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        Self(holder)
    }

    fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.0.id())).args(["--", program]);
        command
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Each hash of a password takes 19 MiB, on whichever thread is free.
#[test]
fn logins_leave_no_memory_behind() {
    let db = TestDb::sqlite();
    let server = Server::start(serve(&db));
    runtime().block_on(async {
        Client::new(&db, &server).await.is_well(&server.url).await;
        let before = resident_kib(&server);
        for _ in 0..4 {
            let (url, mut logins) = (&server.url, tokio::task::JoinSet::new());
            for _ in 0..8 {
                let url = url.clone();
                logins.spawn(async move { Actor::session(&url, OWNER).await });
            }
            assert_eq!(logins.join_all().await.len(), 8);
        }
        let after = resident_kib(&server);
        assert!(after < before + LOGINS_KIB_MAX, "{before} KiB before 32 logins, {after} KiB after");
    });
    server.stop();
}

#[test]
fn a_client_that_vanished_without_a_word_is_noticed() {
    let db = configured(IMPATIENT);
    let network = Network::new();
    let made = serve(&db);
    let mut command = network.inside(made.get_program().to_str().unwrap());
    command.args(made.get_args()).env_clear().envs(made.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let server = Server::start(command);
    let port = server.url.rsplit(':').next().unwrap();
    // Listens to the events, from inside.
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /events HTTP/1.1\\r\\nhost: x\\r\\nauthorization: Bearer {ADMIN}\\r\\n\\r\\n' >&3; \
         while read -r line <&3; do case $line in *connected*) echo listens;; esac; done"
    );
    let mut listener = network.inside("bash").args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut heard = [0; 8];
    listener.stdout.as_mut().unwrap().read_exact(&mut heard).unwrap();
    let held = || {
        let table = fs::read_to_string(format!("/proc/{}/net/tcp", server.pid())).unwrap();
        let local = format!(":{:04X}", port.parse::<u16>().unwrap());
        table
            .lines()
            .filter(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                words.len() > 3 && words[1].ends_with(&local) && words[3] == "01"
            })
            .count()
    };
    assert_eq!(held(), 1);
    // The cable is cut: nothing arrives any more, and nobody says so.
    assert!(network.inside("ip").args(["link", "set", "lo", "down"]).status().unwrap().success());
    until("the server lets go of who is not there", || (held() == 0).then_some(()));
    assert!(listener.try_wait().unwrap().is_none(), "the client went away by itself");
    listener.kill().unwrap();
    listener.wait().unwrap();
    server.stop();
}
