//! Steps of a command: run, time, announce. Also the only place that writes to the terminal or reads the environment.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, ExitStatus};
use std::time::Instant;

/// Writes one line to stdout. A closed pipe is no reason to fail the checks.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes one line to stderr.
pub fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Runs `work` and announces it with its duration, whatever the outcome.
pub fn announce<T>(name: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    let outcome = work();
    let word = if outcome.is_ok() { "ok" } else { "FAILED" };
    say(&format!("== {name}: {word} ({:.1} s)", start.elapsed().as_secs_f64()));
    outcome.map_err(|reason| format!("{name}: {reason}"))
}

/// The cargo that runs us, so that one toolchain does everything.
pub fn cargo() -> Command {
    Command::new(environment("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Whether the only argument is `--accept`; anything else is an error.
pub fn accept(arguments: &[String]) -> Result<bool, String> {
    match arguments {
        [] => Ok(false),
        [word] if word == "--accept" => Ok(true),
        _ => Err("takes nothing but --accept".to_owned()),
    }
}

/// A test that compares a generated file with its source, and writes it first when asked to.
pub fn snapshot(accept: bool) -> Command {
    let mut command = cargo();
    command.args(["test", "--quiet"]);
    if accept {
        command.env("PORTCULLIS_ACCEPT", "1");
    }
    command
}

/// Runs to the end with our terminal; anything but success is an error.
pub fn succeed(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| cannot_run(command, &error))?;
    judge(command, status)
}

/// Turns an exit status into an outcome.
pub fn judge(command: &Command, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", shown(command))) }
}

/// Says that a program could not be started.
pub fn cannot_run(command: &Command, error: &std::io::Error) -> String {
    format!("cannot run `{}`: {error}", shown(command))
}

/// A variable of the environment, for the few that belong to the machine and not to the product.
#[expect(clippy::disallowed_methods, reason = "a developer command: the product's configuration is not involved")]
pub fn environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(name).chain(command.get_args()).map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}
