//! Benchmarks from outside: the release binary, a real load generator, everything durable.

pub mod compare;
pub mod console;
pub mod durable;
pub mod fleet;
pub mod growth;
mod http;
pub mod plot;
pub mod report;
mod server;
pub mod tools;

use std::path::Path;
use std::process::Command;

pub use server::{Server, binary};

use crate::step;

/// What to ask of a server.
#[derive(Clone, Copy)]
pub struct Load {
    pub name: &'static str,
    /// `write`, `refuse`, `read`, `tool write` or `tool read`, as `load.lua` knows them.
    pub kind: &'static str,
    /// The status every answer must have: a benchmark of wrong answers is none.
    pub status: u16,
    pub connections: usize,
}

/// One run.
#[derive(Clone, Copy)]
pub struct Measured {
    pub requests: f64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Runs wrk once. One of its threads, so that the server keeps a core and a half.
pub fn run(server: &Server, load: Load, seconds: u32, seed: usize) -> Result<Measured, String> {
    let script = server.dir().join("load.lua");
    std::fs::write(&script, include_str!("load.lua")).map_err(|error| error.to_string())?;
    let (token, workspaces) = server.target(load.kind);
    aim(&script, &server.url(), load, (token, &workspaces), seconds, seed)
}

/// Runs wrk with its script against anything that answers.
pub fn aim(
    script: &Path,
    url: &str,
    load: Load,
    (token, workspaces): (&str, &str),
    seconds: u32,
    seed: usize,
) -> Result<Measured, String> {
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", &load.connections.to_string(), "-d", &format!("{seconds}s"), "-s"]).arg(script);
    command.arg(url);
    for (name, value) in [("BENCH_KIND", load.kind), ("BENCH_TOKEN", token), ("BENCH_WORKSPACES", workspaces)] {
        command.env(name, value);
    }
    command.env("BENCH_STATUS", load.status.to_string()).env("BENCH_SEED", seed.to_string());
    let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let numbers: Vec<f64> = line.unwrap_or_default().split(' ').filter_map(|word| word.parse().ok()).collect();
    let [requests, micros, errors, p50, p99] = numbers[..] else {
        return Err(format!("wrk said nothing to read: {text}{}", String::from_utf8_lossy(&output.stderr)));
    };
    if errors > 0.0 {
        return Err(format!("{}: {errors} of {requests} answers were not {}", load.name, load.status));
    }
    Ok(Measured { requests, per_second: requests / micros * 1e6, p50_ms: p50 / 1e3, p99_ms: p99 / 1e3 })
}

/// The median of each figure on its own.
pub fn median(mut runs: Vec<Measured>) -> Option<Measured> {
    let mut middle = |figure: fn(&Measured) -> f64| {
        runs.sort_by(|a, b| figure(a).total_cmp(&figure(b)));
        runs.get(runs.len() / 2).map(figure)
    };
    Some(Measured {
        requests: middle(|m| m.requests)?,
        per_second: middle(|m| m.per_second)?,
        p50_ms: middle(|m| m.p50_ms)?,
        p99_ms: middle(|m| m.p99_ms)?,
    })
}

/// `wrk` is a package of Debian; there is nothing to build.
pub fn ensure_wrk() -> Result<(), String> {
    if Command::new("wrk").arg("-v").output().is_ok() {
        return Ok(());
    }
    step::succeed(Command::new("apt-get").args(["install", "-y", "wrk"]))
        .map_err(|reason| format!("{reason}; install the package `wrk` and try again"))
}

/// The directory of one run, gone when it is over.
pub struct Scratch(std::path::PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("portcullis-bench-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
