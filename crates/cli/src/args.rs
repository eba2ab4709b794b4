//! The command line. Commands with a file of their own keep their arguments there.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command::{approval, audit, key, login, operator, policy, replay, secret, token, workspace};

/// A gate that fails closed, for organisations of AI agents.
#[derive(Parser)]
#[command(name = "portcullis", version, about, after_help = crate::exit::HELP)]
pub struct Cli {
    /// Options every command has.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command has.
#[derive(Args)]
pub struct Global {
    /// The server [default: the one of the last login, else this machine]
    #[arg(long, global = true, env = "PORTCULLIS_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Use the token in this file (`-` for stdin) instead of the login; PORTCULLIS_TOKEN does the same
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print JSON, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// Give up on an answer after this long
    #[arg(long = "timeout", global = true, value_name = "SECONDS", default_value_t = 30)]
    pub timeout_s: u64,
}

/// What can be done.
#[derive(Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Try it: a throw-away server on which an incident is replayed
    Demo(DemoArgs),
    /// Be the agent of a workspace
    Agent(Box<crate::agent::args::AgentArgs>),
    /// Bridge MCP clients that start commands to the server
    Mcp(crate::mcp::McpArgs),
    /// Log in as an operator
    Login(login::LoginArgs),
    /// End the session
    Logout,
    /// Show the password again, for decisions that ask for it
    StepUp(login::StepUpArgs),
    /// Workspaces: where agents live
    Workspace {
        /// What to do
        #[command(subcommand)]
        command: workspace::WorkspaceCommand,
    },
    /// Secrets: names and versions, never values
    Secret {
        /// What to do
        #[command(subcommand)]
        command: secret::SecretCommand,
    },
    /// Approvals: what waits for a human
    Approval {
        /// What to do
        #[command(subcommand)]
        command: approval::ApprovalCommand,
    },
    /// Tokens of the organisation and of workspaces
    Token {
        /// What to do
        #[command(subcommand)]
        command: token::TokenCommand,
    },
    /// Operators: the humans
    Operator {
        /// What to do
        #[command(subcommand)]
        command: OperatorCommand,
    },
    /// Keys that seal the secrets
    Key {
        /// What to do
        #[command(subcommand)]
        command: key::KeyCommand,
    },
    /// Policies: what they keep
    Policy {
        /// What to do
        #[command(subcommand)]
        command: policy::PolicyCommand,
    },
    /// The audit log
    Audit {
        /// What to do
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Replay scenario files against a running server
    Replay(replay::ReplayArgs),
    /// Look for what is wrong with this installation
    Doctor(DoctorArgs),
    /// Print a completion script
    Completions {
        /// For this shell
        shell: clap_complete::Shell,
    },
}

/// `serve`
#[derive(Args)]
pub struct ServeArgs {
    /// Data directory [default: the platform's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:7717]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Configuration file (TOML; unknown keys are errors)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Only serve: start no agents here, and leave those that run alone
    #[arg(long)]
    pub no_agents: bool,
}

/// `demo`
#[derive(Args)]
pub struct DemoArgs {
    /// Replay this scenario instead of the incident of 2026-06-11
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:7717]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Stop the server after the replay
    #[arg(long)]
    pub once: bool,
}

/// `operator …`
#[derive(Subcommand)]
pub enum OperatorCommand {
    /// Create an operator in the data directory, without the network
    Create(OperatorCreateArgs),
    /// Make the first operator, an owner, from the link the first start prints
    Claim(operator::ClaimArgs),
    /// List operators
    List,
    /// Shut an operator out; sessions end at once
    Disable(operator::DisableArgs),
    /// Change an operator's role
    Role(operator::RoleArgs),
}

/// `operator create`
#[derive(Args)]
pub struct OperatorCreateArgs {
    /// Data directory [default: the platform's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Login name
    #[arg(long)]
    pub email: String,
    /// What the operator may do
    #[arg(long, value_enum)]
    pub role: operator::Role,
    /// File with the password (`-` for stdin) [default: ask]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `audit …`
#[derive(Subcommand)]
pub enum AuditCommand {
    /// Check the chain and the signatures, offline and without secrets
    Verify(AuditVerifyArgs),
    /// Show the newest events
    Tail(audit::TailArgs),
    /// Write events as JSON lines
    Export(audit::ExportArgs),
}

/// `audit verify`
#[derive(Args)]
pub struct AuditVerifyArgs {
    /// Verify the log in this data directory [default: the platform's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Verify an export
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "database_url"])]
    pub export: Option<PathBuf>,
    /// Verify the log in this database
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub database_url: Option<String>,
    /// A checkpoint saved earlier: shows a cut tail
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Verifier key of the checkpoints (`name+hash+base64`)
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
}

/// `doctor`
#[derive(Args)]
pub struct DoctorArgs {
    /// Data directory [default: the platform's]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_fixed_interface_parses() {
        for line in [
            "serve --data d --listen 127.0.0.1:7717",
            "serve --config c.toml",
            "demo --scenario s.toml --listen 127.0.0.1:0 --once",
            "operator create --data d --email e@x --role owner --password-file f",
            "audit verify --data d --checkpoint c --key v",
            "audit verify --export f",
            "audit verify --database-url postgres://x",
            "doctor --data d",
            "policy prove",
            "policy prove --policies p --data d",
            "completions bash",
            "agent --echo",
            "agent --exec cat --url http://127.0.0.1:1 --workspace w --state s --enrol-code-file f",
            "agent --model m --base-url http://127.0.0.1:1/v1 --key-env K --instructions be-brief",
            "secret set KEY --workspace writer --value-file - --dry-run",
            "secret set KEY --org",
            "approval approve 1 --note ok --checklist diff=ok",
            "token mint ci --deliver-to writer:TOKEN",
        ] {
            let arguments = std::iter::once("portcullis").chain(line.split(' '));
            assert!(Cli::try_parse_from(arguments).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_value_is_never_an_argument() {
        for line in ["secret set KEY hunter2 --org", "secret set KEY --org --value hunter2", "secret set KEY"] {
            let arguments = std::iter::once("portcullis").chain(line.split(' '));
            assert!(Cli::try_parse_from(arguments).is_err(), "{line}");
        }
    }
}
