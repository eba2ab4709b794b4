//! The arguments of `portcullis agent`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// What `agent --help` ends with.
const HELP: &str = "\
Portcullis starts it for a workspace whose agent is built in; the environment then says everything else. By hand it is
an external agent: give --url, --workspace, --state, and the first time --enrol-code-file.

Exit codes:
   0  stopped outside a turn, the hand-off note written
   1  fault, or stopped in the middle of a turn
   2  wrong command line or environment
   4  its credential was revoked or has expired: this boot has lost its power
   6  the control plane refused to have it
   8  the enrolment code is not accepted
   9  told to die by `/die` (--echo)
";

/// `agent`
#[derive(Args)]
#[command(after_help = HELP)]
#[command(group(ArgGroup::new("mind").required(true).args(["echo", "exec", "exec_json", "model"])))]
pub struct AgentArgs {
    /// Answer every message with its own text
    #[arg(long)]
    pub echo: bool,
    /// Answer by running this command: message on its stdin, reply on its stdout; words as in a shell, but no shell
    #[arg(long, value_name = "CMD")]
    pub exec: Option<String>,
    /// The same, as a JSON array of words
    #[arg(long, value_name = "JSON")]
    pub exec_json: Option<String>,
    /// Answer with this model of an OpenAI-compatible endpoint
    #[arg(long, value_name = "NAME", requires = "base_url")]
    pub model: Option<String>,
    /// The endpoint: what stands before `/chat/completions`
    #[arg(long, value_name = "URL", requires = "model")]
    pub base_url: Option<String>,
    /// The variable, or secret, that holds the endpoint's key
    #[arg(long, value_name = "VAR", requires = "model")]
    pub key_env: Option<String>,
    /// What the model is told before anything else
    #[arg(long, value_name = "TEXT", requires = "model")]
    pub instructions: Option<String>,
    /// Do not offer the platform's tools to the model
    #[arg(long, requires = "model")]
    pub no_tools: bool,
    /// External: the workspace this agent works for
    #[arg(long, value_name = "ID", requires = "state")]
    pub workspace: Option<String>,
    /// External: file with the one-time enrolment code
    #[arg(long, value_name = "FILE", requires = "state")]
    pub enrol_code_file: Option<PathBuf>,
    /// External: private directory where the token is kept
    #[arg(long, value_name = "DIR", requires = "workspace")]
    pub state: Option<PathBuf>,
    /// Serve A2A on this loopback address; callers show the agent's own token
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Time between heartbeats [default: what the control plane asks for]
    #[arg(long, value_name = "MS", hide = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub heartbeat_ms: Option<u64>,
}
