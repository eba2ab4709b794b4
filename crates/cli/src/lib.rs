//! The command line of Portcullis: one command a file, one client, one format for replayable incidents.
//!
//! Data goes to stdout, everything else to stderr; the exit code names the class of a refusal ([`exit::Exit`]).
//! Absent on purpose: any decision. Every command that changes something asks the server, and the server decides.

pub mod agent;
mod agents;
pub mod args;
mod audit_offline;
pub mod bearer;
mod client;
mod command;
pub mod context;
mod demo;
mod demo_live;
mod doctor;
mod environment;
pub mod error;
pub mod exit;
pub mod hidden;
mod identity;
pub mod mcp;
mod operator_offline;
mod output;
pub mod problem;
pub mod profile;
mod progress;
pub mod proof;
pub mod random;
mod resolve;
pub mod scenario;
mod serve;
mod settings;
mod unit;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{AuditCommand, Cli, Command, OperatorCommand};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::Output;

/// Parses the command line, runs the command and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    // Before anything that costs memory: there is one of these for each agent.
    if let Some(exit) = unit::main() {
        return exit;
    }
    let cli = Cli::parse();
    let output = Output::new(cli.global.json);
    // An agent waits most of its life, and there are many: one thread each.
    let mut builder = match cli.command {
        Command::Agent(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output.error(&Error::fault(format!("cannot start: {error}")));
            return ExitCode::from(Exit::Fault as u8);
        }
    };
    let exit = runtime.block_on(dispatch(cli)).unwrap_or_else(|error| {
        output.error(&error);
        error.exit
    });
    ExitCode::from(exit as u8)
}

async fn dispatch(cli: Cli) -> Result<Exit, Error> {
    let context = Context::new(cli.global);
    match &cli.command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(&context, args).await,
        Command::Agent(args) => agent::run(&context, args).await,
        Command::Mcp(args) => mcp::run(&context, args).await,
        Command::Login(args) => command::login::login(&context, args).await,
        Command::Logout => command::login::logout(&context).await,
        Command::StepUp(args) => command::login::step_up(&context, args).await,
        Command::Workspace { command } => command::workspace::run(&context, command).await,
        Command::Secret { command } => command::secret::run(&context, command).await,
        Command::Approval { command } => command::approval::run(&context, command).await,
        Command::Token { command } => command::token::run(&context, command).await,
        Command::Operator { command: OperatorCommand::Create(args) } => operator_offline::run(&context, args).await,
        Command::Operator { command } => command::operator::run(&context, command).await,
        Command::Key { command } => command::key::run(&context, command).await,
        Command::Policy { command } => command::policy::run(&context, command).await,
        Command::Audit { command: AuditCommand::Verify(args) } => audit_offline::run(&context, args).await,
        Command::Audit { command } => command::audit::run(&context, command).await,
        Command::Replay(args) => command::replay::run(&context, args).await,
        Command::Doctor(args) => doctor::run(&context, args).await,
        Command::Completions { shell } => command::completions::run(&context, *shell),
    }
}
