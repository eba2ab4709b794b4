//! `test`: everything that must hold, in one command, on a machine that has only cargo.
//!
//! It finds or installs what is missing, runs the tests on both engines and refuses to call a skipped test passed.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use crate::libtest::Tally;
use crate::{browser, clients, docker, package, postgres, solver, step};

/// Builds the crash points in, for the tests that kill the writer at each of them, and what the MCP conformance suite calls.
pub const FEATURES: &str = "portcullis/failpoints,portcullis/conformance";

pub fn run(arguments: &[String]) -> Result<(), String> {
    let extra = match arguments.split_first() {
        None => &[],
        Some((dashes, extra)) if dashes == "--" => extra,
        Some((word, _)) => return Err(format!("unexpected `{word}`; arguments for `cargo test` follow `--`")),
    };
    step::announce("rustfmt and clippy", components)?;
    let binaries = step::announce("postgresql", postgres::ensure)?;
    step::announce("network tools", package::network_tools)?;
    step::announce("docker", docker::ensure)?;
    step::announce("browser", browser::ensure)?;
    step::announce("solver", solver::ensure)?;
    let clients = step::announce("clients", clients::ensure)?;
    let cluster = step::announce("throw-away cluster", || postgres::Cluster::start(&binaries))?;
    let engine = step::announce("throw-away engine", docker::Engine::start)?;

    // Each of these runs whatever became of the others: one run shows all there is to repair.
    let mut failures = Vec::new();
    failures.extend(step::announce("format", format).err());
    failures.extend(step::announce("lints", lints).err());
    let mut tally = Tally::default();
    let places = Places { database: cluster.url(), engine: engine.socket(), clients: &clients };
    failures.extend(step::announce("tests", || tests(extra, &places, &mut tally)).err());
    failures.extend(step::announce("fuzz", || super::fuzz::run(&[])).err());
    failures.extend(step::announce("engine removed", || engine.stop()).err());
    failures.extend(step::announce("cluster removed", || cluster.stop()).err());

    // Alone on its line: continuous integration reads it.
    step::say(&format!("{} passed, {} failed", tally.passed, tally.failed));
    if !failures.is_empty() {
        return Err(failures.join("\n"));
    }
    step::say(&match tally.filtered_out {
        0 => "all checks passed".to_owned(),
        left_out => format!("the selected tests passed; {left_out} were not selected"),
    });
    Ok(())
}

/// A minimal toolchain lacks both; adding them is one command where rustup is the installer.
fn components() -> Result<(), String> {
    let present = |tool: &str| {
        let mut probe = step::cargo();
        probe.args([tool, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    if present("fmt") && present("clippy") {
        return Ok(());
    }
    step::succeed(std::process::Command::new("rustup").args(["component", "add", "rustfmt", "clippy"]))
        .map_err(|reason| format!("cargo has no rustfmt or no clippy, and {reason}; install both components"))
}

fn format() -> Result<(), String> {
    step::succeed(step::cargo().args(["fmt", "--all", "--check"]))
}

fn lints() -> Result<(), String> {
    let scope = ["clippy", "--workspace", "--all-targets", "--features", FEATURES];
    step::succeed(step::cargo().args(scope).args(["--", "-D", "warnings"]))
}

/// Where the tests find what is not theirs.
struct Places<'a> {
    database: &'a str,
    engine: &'a str,
    clients: &'a Path,
}

/// Runs all tests, passing their output through and adding up their results.
fn tests(extra: &[String], places: &Places, tally: &mut Tally) -> Result<(), String> {
    let mut command = step::cargo();
    command.args(["test", "--workspace", "--features", FEATURES, "--no-fail-fast"]).args(extra);
    command.env("PORTCULLIS_TEST_POSTGRES_URL", places.database);
    command.env(docker::VARIABLE, places.engine).env(clients::VARIABLE, places.clients);
    // A test that lacks what it needs must fail here; elsewhere it may say that it was skipped.
    command.env("PORTCULLIS_TEST_REQUIRE_ALL", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| step::cannot_run(&command, &error))?;
    if let Some(output) = child.stdout.take() {
        pass_through(BufReader::new(output), tally)
            .map_err(|error| format!("cannot read the tests' output: {error}"))?;
    }
    let status = child.wait().map_err(|error| step::cannot_run(&command, &error))?;
    let outcome = step::judge(&command, status);
    if outcome.is_err() {
        // A binary that did not build or was killed prints no result, yet something failed.
        tally.failed = tally.failed.max(1);
    }
    outcome.and(tally.objection().map_or(Ok(()), Err))
}

fn pass_through(mut output: impl BufRead, tally: &mut Tally) -> std::io::Result<()> {
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        let _ = std::io::stdout().lock().write_all(&line);
        tally.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(())
}
