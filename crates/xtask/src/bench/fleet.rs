//! What a fleet of idle agents costs the control plane: processor and memory of the server process alone.

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
    server.remove_workspaces(binary)?;
    // Their shims end within the grace; what they leave goes with them.
    std::thread::sleep(Duration::from_secs(15));
    server.stop()?;
    for dir in ["/tmp", "/dev/shm"] {
        let _ = std::fs::remove_dir_all(format!("{dir}/ptc-bench-{}", std::process::id()));
    }
    Ok(vec![
        format!("| {AGENTS} agents created one by one, all online | SQLite | {online_s:.0} s | | | |"),
        format!("| {AGENTS} idle agents: processor of the server | SQLite | {percent:.1} % of one core | | | 5 % |"),
        format!("| {AGENTS} idle agents: memory of the server | SQLite | {memory:.1} MiB | | | 100 MiB |"),
    ])
}
