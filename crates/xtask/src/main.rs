//! `cargo xtask <command>`: what a developer or the continuous integration runs. Nothing here is shipped.

mod bench;
mod browser;
mod clients;
mod commands;
mod docker;
mod keeper;
mod libtest;
mod mutants;
mod package;
mod postgres;
mod solver;
mod step;

use std::process::ExitCode;

use commands::{COMMANDS, Command};

/// Exit code for a command line that makes no sense, as opposed to 1 for checks that failed.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = arguments.split_first() else {
        step::complain(&help());
        return ExitCode::from(USAGE);
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") || matches!(rest, [only] if only == "-h" || only == "--help") {
        step::say(&help());
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        step::complain(&format!("unknown command `{name}`\n\n{}", help()));
        return ExitCode::from(USAGE);
    };
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            step::complain(&format!("xtask {name}: {reason}"));
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let line =
        |Command { name, arguments, about, .. }: &Command| format!("  {:<28}{about}", format!("{name} {arguments}"));
    let commands: Vec<String> = COMMANDS.iter().map(line).collect();
    format!("usage: cargo xtask <command>\n\n{}\n  {:<28}this text", commands.join("\n"), "--help")
}
