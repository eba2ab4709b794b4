//! cargo-mutants: installed once under `target`, and how it is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Round;
use crate::step;

/// Its release. Another one may make other mutants, and then the page is another one too.
pub const VERSION: &str = "27.1.0";

/// No test takes longer than this unless a mutant made it wait for ever, in seconds.
const TEST_SECONDS_MIN: &str = "60";

/// Exit codes that mean that mutants were tried: all were noticed, some were not, some never ended.
const TRIED: [i32; 3] = [0, 2, 3];

/// Finds the program in `folder`, installing it where it is missing.
pub fn ensure(folder: &Path) -> Result<PathBuf, String> {
    let folder = folder.join(VERSION);
    let program = folder.join("bin/cargo-mutants");
    if program.is_file() {
        return Ok(program);
    }
    let build = folder.join("build");
    let mut command = step::cargo();
    command.args(["install", "cargo-mutants", "--version", VERSION, "--locked", "--debug", "--root"]).arg(&folder);
    command.arg("--target-dir").arg(&build).env("CARGO_PROFILE_DEV_DEBUG", "0");
    step::succeed(&mut command)?;
    std::fs::remove_dir_all(&build).map_err(|error| format!("cannot remove what was built: {error}"))?;
    Ok(program)
}

/// All mutants of a round, in the order of the source, each with its place.
pub fn list(program: &Path, tree: &Path, round: &Round) -> Result<Vec<String>, String> {
    let mut command = start(program, tree, round);
    command.arg("--list");
    let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
    step::judge(&command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Tries the mutants of a round and returns what cargo-mutants wrote about them. `shard` is `k/n`, from `0/n`.
pub fn run(
    program: &Path,
    tree: &Path,
    round: &Round,
    shard: Option<&str>,
    database: Option<&str>,
    output: &Path,
) -> Result<String, String> {
    std::fs::create_dir_all(output).map_err(|error| format!("cannot make {}: {error}", output.display()))?;
    let mut command = start(program, tree, round);
    command.args(["--in-place", "--profile", "mutants", "--cap-lints", "true", "--no-times"]);
    command.args(["--minimum-test-timeout", TEST_SECONDS_MIN]);
    command.arg("--output").arg(output);
    // Beside the package of the file: that of the tests may be another one, and before any mutant cargo-mutants runs the
    // tests with what it was told here and the packages of the files.
    for package in round.packages {
        command.arg(format!("--cargo-arg=--package={package}"));
    }
    for target in round.targets {
        command.arg(format!("--cargo-arg={target}"));
    }
    if let Some(shard) = shard {
        command.args(["--shard", shard]);
    }
    match database {
        Some(url) => command.env("PORTCULLIS_TEST_POSTGRES_URL", url).env("PORTCULLIS_TEST_REQUIRE_ALL", "1"),
        None => command.env_remove("PORTCULLIS_TEST_POSTGRES_URL"),
    };
    if !round.tests.is_empty() {
        // The first ends the arguments of cargo-mutants, the second those of cargo.
        command.args(["--", "--"]).args(round.tests);
    }
    let status = command.status().map_err(|error| step::cannot_run(&command, &error))?;
    if !status.code().is_some_and(|code| TRIED.contains(&code)) {
        step::judge(&command, status)?;
    }
    let outcomes = output.join("mutants.out/outcomes.json");
    std::fs::read_to_string(&outcomes).map_err(|error| format!("cannot read {}: {error}", outcomes.display()))
}

fn start(program: &Path, tree: &Path, round: &Round) -> Command {
    let mut command = Command::new(program);
    command.args(["mutants", "--no-config", "--workspace", "--colors", "never", "--dir"]).arg(tree);
    for file in round.files {
        command.args(["--file", file]);
    }
    command.args(round.filters);
    command
}
