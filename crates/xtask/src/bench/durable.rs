//! What durability costs and whether it holds: syncs for each acknowledged write, and what is lost when the server is
//! killed under load. Beside it: how long a question to a human takes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::http::Http;
use super::{Load, Server, run as load};
use crate::{package, step};

const SECONDS: u32 = 4;
const WRITERS: usize = 32;
const ROUNDS: usize = 5;
/// How long the server is written to before it is killed.
const UNDER_LOAD: Duration = Duration::from_millis(1_500);
/// Questions to a human.
const QUESTIONS: usize = 60;

/// Rows: syncs, losses, approvals.
pub fn run(binary: &Path, postgres: &Path, postgres_url: &str) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for connections in [1, 64] {
        rows.push(syncs_of_sqlite(binary, connections)?);
    }
    for connections in [1, 64] {
        let url = database(postgres, postgres_url, &format!("syncs_{connections}"))?;
        rows.push(syncs_of_postgres(binary, postgres, &url, connections)?);
    }
    let url = database(postgres, postgres_url, "killed")?;
    for (engine, url) in [("SQLite", None), ("PostgreSQL", Some(&*url))] {
        rows.push(killed(binary, engine, url)?);
    }
    rows.extend(approvals(binary)?);
    Ok(rows)
}

fn write(connections: usize) -> Load {
    Load { name: "governed write", kind: "write", status: 200, connections }
}

fn syncs_row(engine: &str, connections: usize, syncs: f64, writes: f64) -> String {
    format!(
        "| syncs for each acknowledged write, {connections} clients | {engine} | {:.3} ({syncs:.0} for {writes:.0}) | | |",
        syncs / writes
    )
}

/// Counted by `strace`, which stops the server at these two calls only.
fn syncs_of_sqlite(binary: &Path, connections: usize) -> Result<String, String> {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        package::install("no `strace`", &["strace"])?;
    }
    let counted = std::env::temp_dir().join(format!("portcullis-bench-{}-strace", std::process::id()));
    let mut server = Server::traced(binary, "syncs", &counted)?;
    let writes = load(&server, write(connections), SECONDS, 0)?.requests;
    server.stop()?;
    let text = std::fs::read_to_string(&counted).map_err(|error| error.to_string())?;
    let _ = std::fs::remove_file(&counted);
    Ok(syncs_row("SQLite", connections, counted_calls(&text), writes))
}

/// The `calls` of the lines that name one of the two: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn counted_calls(text: &str) -> f64 {
    let calls = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let named = matches!(words.last(), Some(&("fsync" | "fdatasync")));
        words.get(3).filter(|_| named)?.parse::<f64>().ok()
    };
    text.lines().filter_map(calls).sum()
}

/// Asks PostgreSQL itself.
fn ask(postgres: &Path, url: &str, sql: &str) -> Result<String, String> {
    // Debian keeps it on the path, others beside the server.
    let beside = postgres.join("psql");
    let psql = if beside.is_file() { beside } else { "psql".into() };
    let mut command = std::process::Command::new(psql);
    command.args([url, "-Atc", sql]);
    let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
    step::judge(&command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An empty database beside that of `url`: no two servers of a benchmark share one.
fn database(postgres: &Path, url: &str, name: &str) -> Result<String, String> {
    ask(postgres, url, &format!("CREATE DATABASE {name}"))?;
    let (server, _) = url.rsplit_once('/').ok_or("no database in the address")?;
    Ok(format!("{server}/{name}"))
}

/// Counted by the server of PostgreSQL itself.
fn syncs_of_postgres(binary: &Path, postgres: &Path, url: &str, connections: usize) -> Result<String, String> {
    let syncs = || -> Result<f64, String> {
        // What a backend has counted is told within ten seconds, once it is idle.
        std::thread::sleep(Duration::from_secs(11));
        let told = ask(postgres, url, "SELECT wal_sync FROM pg_stat_wal")?;
        told.trim().parse().map_err(|_| "no `wal_sync`".to_owned())
    };
    let mut server = Server::start(binary, "syncs", Some(url), 0)?;
    let before = syncs()?;
    let writes = load(&server, write(connections), SECONDS, 0)?.requests;
    let row = syncs_row("PostgreSQL", connections, syncs()? - before, writes);
    server.stop()?;
    Ok(row)
}

/// Kills the server while it is written to, starts it again, and looks for what it had acknowledged.
fn killed(binary: &Path, engine: &str, url: Option<&str>) -> Result<String, String> {
    let mut server = Server::start(binary, &format!("killed-{engine}"), url, 0)?;
    let (mut acknowledged, mut lost, mut slowest) = (0, 0, 0.0_f64);
    for round in 0..ROUNDS {
        let (address, token) = (server.url(), server.target("write").0.to_owned());
        let workspaces = server.workspaces().to_vec();
        let over = AtomicBool::new(false);
        // Each writes one key of its own again and again: as many answers, as many versions.
        let writer = |n: usize| -> Result<u64, String> {
            let (mut http, mut answers) = (Http::open(&address, &token)?, 0);
            let path = format!("/workspaces/{}/secrets", workspaces[n % workspaces.len()]);
            while !over.load(Relaxed) {
                let body = format!("{{\"key\":\"KILLED_{round}_{n}\",\"value\":\"value-{answers}\"}}");
                match http.send("POST", &path, &body) {
                    Ok(answer) if answer.status == 200 => answers += 1,
                    Ok(answer) => return Err(format!("{}: {}", answer.status, answer.body)),
                    Err(_) => break,
                }
            }
            Ok(answers)
        };
        let counts = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS).map(|n| scope.spawn(move || writer(n))).collect();
            std::thread::sleep(UNDER_LOAD);
            let killed = server.kill();
            over.store(true, Relaxed);
            let joined = writers.into_iter().map(|one| one.join().map_err(|_| "a writer panicked".to_owned())?);
            killed.and_then(|()| joined.collect::<Result<Vec<_>, _>>())
        })?;
        server.start_again()?;
        slowest = slowest.max(server.ready_ms);
        let mut http = Http::open(&server.url(), &token)?;
        for (n, answers) in counts.into_iter().enumerate().filter(|(_, answers)| *answers > 0) {
            let path = format!("/workspaces/{}/secrets", workspaces[n % workspaces.len()]);
            let kept = http.send("GET", &path, "")?.expect(200)?.json();
            let own = format!("KILLED_{round}_{n}");
            let kept = kept.as_array().into_iter().flatten().find(|secret| secret["key"] == own.as_str());
            let version = kept.and_then(|secret| secret["latest_version"].as_u64()).unwrap_or(0);
            acknowledged += answers;
            lost += answers.saturating_sub(version);
        }
    }
    server.stop()?;
    Ok(format!(
        "| killed {ROUNDS} times with {WRITERS} writing: acknowledged and lost; ready again at the latest after | {engine} | {lost} of {acknowledged}; {slowest:.0} ms | | |"
    ))
}

/// From a request that a human must agree to, to the agent that learns it was done.
fn approvals(binary: &Path) -> Result<Vec<String>, String> {
    let mut server = Server::start(binary, "approvals", None, 0)?;
    let (admin, _) = server.target("refuse");
    let (mut agent, mut owner, workspace) =
        (Http::open(&server.url(), admin)?, server.owner()?, server.workspaces()[0].clone());
    let mut intervals: [Vec<f64>; 3] = Default::default();
    for n in 0..QUESTIONS {
        let asked = Instant::now();
        let body = format!("{{\"key\":\"ASKED_{n}\",\"value\":\"value\"}}");
        let held = agent.send("POST", &format!("/workspaces/{workspace}/secrets"), &body)?.expect(202)?.json();
        let id = held["approval_id"].as_str().ok_or("no approval")?.to_owned();
        // What the inbox of an approver asks for.
        let seen = owner.send("GET", "/approvals/pending", "")?.expect(200)?.body;
        if !seen.contains(&id) {
            return Err("the request is not in sight".to_owned());
        }
        let visible = asked.elapsed();
        let mut waiting = Http::open(&server.url(), admin)?;
        let path = format!("/approvals/{id}?wait=30");
        let (decided, told) = std::thread::scope(|scope| {
            let told = scope.spawn(move || {
                let answer = waiting.send("GET", &path, "").and_then(|answer| answer.expect(200));
                answer.map(|answer| (Instant::now(), answer.body))
            });
            // Long enough for the question to be there before its answer.
            std::thread::sleep(Duration::from_millis(20));
            let began = Instant::now();
            let decided = owner.send("POST", &format!("/approvals/{id}/decide"), "{\"decision\":\"approved\"}");
            let decided = decided.and_then(|answer| answer.expect(200)).map(|_| (began, Instant::now()));
            (decided, told.join().map_err(|_| "the agent panicked".to_owned()))
        });
        let ((began, decided), (told, body)) = (decided?, told??);
        if !body.contains("\"applied\"") {
            return Err(format!("the agent was told {body}"));
        }
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        for (interval, took) in
            intervals.iter_mut().zip([ms(visible), ms(decided - began), ms(told.saturating_duration_since(decided))])
        {
            interval.push(took);
        }
    }
    server.stop()?;
    let names = [
        "asked → visible to the approver",
        "voted → decided and applied (one transaction)",
        "applied → the waiting agent told",
    ];
    let row = |(name, mut all): (&str, Vec<f64>)| {
        all.sort_by(f64::total_cmp);
        let at = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or_default();
        format!("| approval: {name} | SQLite | | {:.2} ms | {:.2} ms |", at(50), at(99))
    };
    Ok(names.into_iter().zip(intervals).map(row).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn calls_are_read_from_the_table_of_strace_with_and_without_errors() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n \
                    98.00    0.100000         100      1000           fdatasync\n  \
                    2.00    0.000200          10        20         1 fsync\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    100.00    0.100200          98      1020         1 total\n";
        assert_eq!(super::counted_calls(text), 1020.0);
    }
}
