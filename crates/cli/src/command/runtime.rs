//! How an agent runs, as arguments: shared by `workspace create` and `workspace configure`.

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use crate::error::Error;

/// How the agent runs.
#[derive(Args)]
#[command(group(ArgGroup::new("how").multiple(false).args(["runtime", "echo", "exec", "model", "command", "external"])))]
pub struct RuntimeArgs {
    /// A runtime that the server's configuration names, `process` or `external`
    #[arg(long, value_name = "NAME")]
    runtime: Option<String>,
    /// Built-in agent: answer every message with its own text
    #[arg(long)]
    echo: bool,
    /// Built-in agent: run this command for each message, message on its stdin, reply on its stdout
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Built-in agent: ask this model of an OpenAI-compatible endpoint
    #[arg(long, value_name = "NAME", requires = "base_url")]
    model: Option<String>,
    /// The endpoint: what stands before `/chat/completions`
    #[arg(long, value_name = "URL", requires = "model")]
    base_url: Option<String>,
    /// The secret that holds the endpoint's key
    #[arg(long, value_name = "KEY", requires = "model")]
    key_secret: Option<String>,
    /// What the model is told before anything else
    #[arg(long, value_name = "TEXT", requires = "model")]
    instructions: Option<String>,
    /// A program of its own, that speaks the agent contract
    #[arg(long, value_name = "CMD")]
    command: Option<String>,
    /// It runs elsewhere and enrols with a one-time code
    #[arg(long)]
    external: bool,
    /// In a container of this image instead of a process
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["runtime", "external"])]
    image: Option<String>,
    /// On a node of the swarm instead of in a container of this machine
    #[arg(long, requires = "image")]
    swarm: bool,
    /// On nodes of the swarm that meet this, such as `node.labels.zone==b`; may be given several times
    #[arg(long, value_name = "CONSTRAINT", requires = "swarm")]
    placement: Vec<String>,
    /// Memory it may use, in MiB
    #[arg(long, value_name = "MIB", conflicts_with_all = ["runtime", "external"])]
    memory_mb: Option<u32>,
    /// Processes and threads it may have
    #[arg(long, value_name = "N", conflicts_with_all = ["runtime", "external"])]
    processes: Option<u32>,
}

fn words(text: &str) -> Result<Vec<String>, Error> {
    shell_words::split(text).map_err(|error| Error::usage(format!("the command does not read as words: {error}")))
}

impl RuntimeArgs {
    /// The request's `runtime`; `None` when nothing was said about it.
    pub fn to_json(&self) -> Result<Option<Value>, Error> {
        if let Some(name) = &self.runtime {
            return Ok(Some(json!(name)));
        }
        if self.external {
            return Ok(Some(json!("external")));
        }
        let agent = if let Some(command) = &self.exec {
            json!({"mind": "exec", "command": words(command)?})
        } else if let Some(command) = &self.command {
            json!({"mind": "command", "command": words(command)?})
        } else if let Some(model) = &self.model {
            json!({
                "mind": "model", "model": model, "base_url": self.base_url, "key": self.key_secret,
                "instructions": self.instructions,
            })
        } else if self.echo || self.image.is_some() || self.memory_mb.is_some() || self.processes.is_some() {
            json!({"mind": "echo"})
        } else {
            return Ok(None);
        };
        let kind = match (&self.image, self.swarm) {
            (Some(_), true) => "swarm",
            (Some(_), false) => "container",
            (None, _) => "process",
        };
        let limits = crate::context::given(json!({"memory_mb": self.memory_mb, "processes": self.processes}));
        let placement = (!self.placement.is_empty()).then_some(&self.placement);
        let runtime =
            json!({"kind": kind, "agent": agent, "image": self.image, "placement": placement, "limits": limits});
        Ok(Some(crate::context::given(runtime)))
    }
}
