//! What a fleet of idle agents costs the control plane: processor and memory of the server process alone. And how soon it
//! is back at work after the server was killed.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Server;

/// Idle echo agents (issue B: on two cores at most 5 % of one core's time in all, and 100 MiB).
const AGENTS: usize = 200;
/// How long all of them may take to come online.
const ONLINE_MAX: Duration = Duration::from_secs(300);
/// Before it is measured: long polls spread out, caches fill.
const SETTLE: Duration = Duration::from_secs(30);
/// Several rounds of the long poll, so that each is in it alike.
const MEASURED: Duration = Duration::from_secs(120);

/// Rows for the table.
pub fn run(binary: &Path) -> Result<Vec<String>, String> {
    let began = Instant::now();
    let mut server = Server::start(binary, "fleet", None, AGENTS)?;
    while server.online(binary)? < AGENTS {
        if began.elapsed() > ONLINE_MAX {
            return Err(format!("{} of {AGENTS} agents came online", server.online(binary)?));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let online_s = began.elapsed().as_secs_f64();
    std::thread::sleep(SETTLE);
    let (before, began) = (server.cpu_seconds()?, Instant::now());
    std::thread::sleep(MEASURED);
    let percent = (server.cpu_seconds()? - before) / began.elapsed().as_secs_f64() * 100.0;
    let memory = server.resident_mib()?;
    let (ready_ms, first_s, all_s) = recovered(&mut server)?;
    server.remove_workspaces(binary)?;
    // Their shims end within the grace; what they leave goes with them.
    std::thread::sleep(Duration::from_secs(15));
    server.stop()?;
    for dir in ["/tmp", "/dev/shm"] {
        let _ = std::fs::remove_dir_all(format!("{dir}/ptc-bench-{}", std::process::id()));
    }
    Ok(vec![
        format!("| {AGENTS} echo agents created one by one until all are online | SQLite | {online_s:.0} s | | |"),
        format!("| {AGENTS} idle echo agents: processor of the server | SQLite | {percent:.1} % of one core | | |"),
        format!("| {AGENTS} idle echo agents: memory of the server | SQLite | {memory:.1} MiB | | |"),
        format!(
            "| the server of {AGENTS} agents killed: from its start until it is ready; until an agent has answered; until all have | SQLite \
             | {ready_ms:.0} ms; {first_s:.1} s; {all_s:.1} s | | |"
        ),
    ])
}

/// Kills the server and starts it again: milliseconds until it is ready, seconds until the first and until every agent has
/// answered a message.
fn recovered(server: &mut Server) -> Result<(f64, f64, f64), String> {
    server.kill()?;
    let began = Instant::now();
    server.start_again()?;
    let mut owner = server.owner()?;
    let mut sent = Vec::new();
    for id in server.workspaces() {
        let path = format!("/workspaces/{id}/messages");
        let taken = owner.send("POST", &path, "{\"text\":\"are you there\"}")?.expect(202)?.json();
        sent.push(format!("{path}/{}?wait=30", taken["id"].as_str().ok_or("a message without an id")?));
    }
    let mut first = None;
    for path in sent {
        let answer = owner.send("GET", &path, "")?.expect(200)?.json();
        if answer["status"] != "completed" {
            return Err(format!("after the restart a message is {}", answer["status"]));
        }
        first.get_or_insert_with(|| began.elapsed().as_secs_f64());
    }
    Ok((server.ready_ms, first.ok_or("no agent")?, began.elapsed().as_secs_f64()))
}
