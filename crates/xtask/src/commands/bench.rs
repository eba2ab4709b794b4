//! `bench`: the numbers of the design, measured from outside on this machine, as a table for `docs/numbers.md`.

use std::process::Command;
use std::time::Instant;

use crate::bench::{Load, Measured, Server, binary, ensure_wrk, median, run as load};
use crate::{browser, postgres, step};

const RUNS: usize = 5;
const SECONDS: u32 = 6;
/// Idle means: nothing was asked for this long.
const IDLE: std::time::Duration = std::time::Duration::from_secs(3);

const LOADS: [Load; 4] = [
    Load { name: "governed write, 64 clients", kind: "write", status: 200, connections: 64 },
    Load { name: "governed write, one client", kind: "write", status: 200, connections: 1 },
    Load { name: "audited refusal, 64 clients", kind: "refuse", status: 403, connections: 64 },
    Load { name: "metadata read, 64 clients", kind: "read", status: 200, connections: 64 },
];

pub fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => {}
        [only] if only == "fleet" => {
            let binary = step::announce("release build", binary)?;
            crate::bench::fleet::run(&binary)?.iter().for_each(|row| step::say(row));
            return Ok(());
        }
        [only] if only == "tools" => {
            step::announce("wrk", ensure_wrk)?;
            let binary = step::announce("release build", binary)?;
            crate::bench::tools::run(&binary)?.iter().for_each(|row| step::say(row));
            return Ok(());
        }
        [only] if only == "console" => {
            step::announce("browser", browser::ensure)?;
            crate::bench::console::run()?.lines().for_each(step::say);
            return Ok(());
        }
        _ => return Err("takes no argument, or `fleet`, `tools` or `console` for that part alone".to_owned()),
    }
    step::announce("wrk", ensure_wrk)?;
    let postgres = step::announce("postgresql", postgres::ensure)?;
    let cluster = step::announce("throw-away cluster", || postgres::Cluster::start(&postgres))?;
    let binary = step::announce("release build", binary)?;
    let mut rows = Vec::new();
    for (engine, url) in [("SQLite", None), ("PostgreSQL", Some(cluster.url()))] {
        let mut server = Server::start(&binary, engine, url, 0)?;
        std::thread::sleep(IDLE);
        rows.push(format!("| start to ready | {engine} | {:.0} ms | | |", server.ready_ms));
        rows.push(format!("| idle memory | {engine} | {:.1} MiB | | |", server.resident_mib()?));
        // Round by round, not load by load: what the machine does besides falls on all of them alike.
        let mut runs: Vec<Vec<Measured>> = vec![Vec::new(); LOADS.len()];
        for round in 0..RUNS {
            for (n, each) in LOADS.into_iter().enumerate() {
                runs[n].push(load(&server, each, SECONDS, (round * LOADS.len() + n) * 1_000_000)?);
            }
        }
        for (each, runs) in LOADS.iter().zip(runs) {
            let m = median(runs).ok_or("no runs")?;
            let (name, rate) = (each.name, m.per_second);
            rows.push(format!("| {name} | {engine} | {rate:.0}/s | {:.2} ms | {:.2} ms |", m.p50_ms, m.p99_ms));
        }
        rows.push(format!("| memory after the load | {engine} | {:.1} MiB | | |", server.resident_mib()?));
        server.stop()?;
        if url.is_none() {
            rows.push(verify(&binary, &server)?);
        }
    }
    rows.extend(decisions()?);
    rows.extend(crate::bench::fleet::run(&binary)?);
    rows.extend(crate::bench::tools::run(&binary)?);
    step::say("\n| what | engine | median | p50 | p99 |\n|---|---|--:|--:|--:|");
    for row in rows {
        step::say(&row);
    }
    Ok(())
}

fn verify(binary: &std::path::Path, server: &Server) -> Result<String, String> {
    let mut took = Vec::new();
    let mut entries = 0.0;
    for _ in 0..RUNS {
        let mut command = Command::new(binary);
        command.args(["--json", "audit", "verify", "--data"]).arg(server.data());
        let began = Instant::now();
        let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
        took.push(began.elapsed().as_secs_f64());
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        entries = said["entries"].as_f64().filter(|_| said["valid"] == true).ok_or("the log does not verify")?;
    }
    took.sort_by(f64::total_cmp);
    Ok(format!("| audit verification, {entries:.0} entries | SQLite | {:.0}/s | | |", entries / took[RUNS / 2]))
}

fn decisions() -> Result<Vec<String>, String> {
    let mut command = step::cargo();
    command.args(["bench", "--quiet", "--package", "portcullis-kernel", "--bench", "decide"]);
    let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
    step::judge(&command, output.status)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let row = |line: &str| {
        let number = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        let (policies, p50, p99) = (number("policies=")?, number("p50_us=")?, number("p99_us=")?);
        Some(format!("| decision, {policies} policies stored | – | | {p50} µs | {p99} µs |"))
    };
    Ok(text.lines().filter_map(row).collect())
}
