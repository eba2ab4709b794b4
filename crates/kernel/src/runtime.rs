//! How the agent of a workspace runs: a runtime, a program, limits. Plain data, checked when it is read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::name::{DisplayName, Note, SecretKey};

/// Most words of a command.
pub const COMMAND_WORDS_MAX: usize = 64;
/// Longest word of a command, image name or address, in bytes.
pub const WORD_BYTES_MAX: usize = 4096;
/// Most memory one agent may be given, in MiB.
pub const MEMORY_MB_MAX: u32 = 1024 * 1024;
/// Most processes or open files one agent may be given.
pub const COUNT_MAX: u32 = 1_000_000;
/// Most placement constraints of one agent.
pub const PLACEMENT_MAX: usize = 16;
/// Longest placement constraint, in bytes.
pub const PLACEMENT_BYTES_MAX: usize = 256;

/// Where the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeKind {
    /// A child process on this machine, owned by a shim of its own.
    Process,
    /// A container of the local engine.
    Container,
    /// A container on some node of the Docker swarm that the local engine manages.
    Swarm,
    /// Elsewhere: it enrols with a one-time code, pulls its bundle, and is never started or stopped from here.
    External,
}

impl RuntimeKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Process, Self::Container, Self::Swarm, Self::External];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Container => "container",
            Self::Swarm => "swarm",
            Self::External => "external",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether Portcullis starts and stops the agent itself.
    pub const fn is_managed(self) -> bool {
        !matches!(self, Self::External)
    }

    /// Whether the agent runs from an image.
    pub const fn has_image(self) -> bool {
        matches!(self, Self::Container | Self::Swarm)
    }

    /// Whether its secret files can be replaced while it runs. A swarm's secrets never change: there a changed file needs
    /// a restart, as a changed variable does.
    pub const fn replaces_files(self) -> bool {
        !matches!(self, Self::Swarm)
    }

    /// Whether the agent may be on another machine than the server, where an address on loopback is another one.
    pub const fn is_remote(self) -> bool {
        matches!(self, Self::Swarm)
    }
}

/// The program that is the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Program {
    /// The built-in agent; answers what it hears. Written with braces: of a bare variant's members none would be refused.
    Echo {},
    /// The built-in agent; one process per message, the message on its standard input, the reply on its standard output.
    Exec {
        /// The command, word by word; no shell in between.
        command: Vec<String>,
    },
    /// The built-in agent; a model behind an OpenAI-compatible endpoint.
    Model {
        /// The model's name, as the endpoint knows it.
        model: String,
        /// `https://…/v1`; what stands before `/chat/completions`.
        base_url: String,
        /// The secret that holds the endpoint's key, if it wants one.
        key: Option<SecretKey>,
        /// What the model is told before anything else.
        instructions: Option<Note>,
        /// Whether the model is offered the platform's tools; it is unless this is false, for endpoints that know none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tools: Option<bool>,
    },
    /// A program of its own, that speaks the agent contract itself.
    Command {
        /// The command, word by word; no shell in between.
        command: Vec<String>,
    },
}

/// What one agent may use. Absent means the runtime's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    /// Processes and threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Open files of one process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
}

/// How an agent runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Where.
    pub kind: RuntimeKind,
    /// What.
    #[serde(default = "echo")]
    pub agent: Program,
    /// The image; containers and the swarm only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// On which nodes it may be, all of them together: `node.labels.zone==b`, `node.hostname!=one`; the swarm only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placement: Vec<String>,
    /// With how much.
    #[serde(default)]
    pub limits: Limits,
}

fn echo() -> Program {
    Program::Echo {}
}

/// Why a runtime cannot be what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// No words, too many, or one too long, empty or with a NUL.
    #[error("a command is 1 to 64 words of 1 to 4096 bytes without NUL")]
    Command,
    /// A container without an image, or an image without a container.
    #[error("`image` is needed for a container or the swarm and for nothing else")]
    Image,
    /// Not a constraint, too many of them, or not for a swarm.
    #[error(
        "`placement` is for the swarm: at most 16 constraints, each an attribute (`node.id`, `node.hostname`, `node.role`, \
         `node.platform.os`, `node.platform.arch`, `node.labels.…`, `engine.labels.…`), `==` or `!=`, and a value"
    )]
    Placement,
    /// Not an address the built-in agent can ask.
    #[error("`base_url` begins with http:// or https://, has no user and at most 4096 bytes")]
    BaseUrl,
    /// Empty or too long.
    #[error("`model` is 1 to 100 characters")]
    Model,
    /// Zero, or more than a machine has.
    #[error("a limit is at least 1; memory at most 1048576 MiB, counts at most 1000000")]
    Limit,
    /// An agent elsewhere is started by whoever runs it.
    #[error("an external agent is not started from here: it has no program, image or limits")]
    External,
}

impl Runtime {
    /// The built-in echo agent as a process.
    pub fn echo() -> Self {
        Self::process(Program::Echo {})
    }

    /// A program as a process.
    pub fn process(agent: Program) -> Self {
        Self { kind: RuntimeKind::Process, agent, image: None, placement: Vec::new(), limits: Limits::default() }
    }

    /// An agent that runs elsewhere.
    pub fn external() -> Self {
        Self { kind: RuntimeKind::External, ..Self::echo() }
    }

    /// Whether it runs nothing but what this program brings: no command, image or endpoint that somebody chose.
    pub fn is_builtin(&self) -> bool {
        !self.kind.has_image() && self.agent == Program::Echo {}
    }

    /// Checks the limits of every part.
    pub fn check(&self) -> Result<(), RuntimeError> {
        let word = |text: &String| (1..=WORD_BYTES_MAX).contains(&text.len()) && !text.contains('\0');
        match &self.agent {
            Program::Echo {} => {}
            Program::Exec { command } | Program::Command { command } => {
                if !(1..=COMMAND_WORDS_MAX).contains(&command.len()) || !command.iter().all(word) {
                    return Err(RuntimeError::Command);
                }
            }
            Program::Model { model, base_url, .. } => {
                if model.parse::<DisplayName>().is_err() {
                    return Err(RuntimeError::Model);
                }
                let rest = base_url.strip_prefix("https://").or_else(|| base_url.strip_prefix("http://"));
                let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
                if !word(base_url) || !host.is_some_and(|host| !host.is_empty() && !host.contains('@')) {
                    return Err(RuntimeError::BaseUrl);
                }
            }
        }
        if self.kind.has_image() != self.image.is_some() || !self.image.iter().all(word) {
            return Err(RuntimeError::Image);
        }
        let placeable = self.kind == RuntimeKind::Swarm || self.placement.is_empty();
        if !placeable || self.placement.len() > PLACEMENT_MAX || !self.placement.iter().all(|one| is_constraint(one)) {
            return Err(RuntimeError::Placement);
        }
        if self.kind == RuntimeKind::External && (self.agent != Program::Echo {} || self.limits != Limits::default()) {
            return Err(RuntimeError::External);
        }
        let fits = |limit: Option<u32>, max| limit.is_none_or(|limit| (1..=max).contains(&limit));
        let Limits { memory_mb, processes, open_files } = self.limits;
        if !fits(memory_mb, MEMORY_MB_MAX) || !fits(processes, COUNT_MAX) || !fits(open_files, COUNT_MAX) {
            return Err(RuntimeError::Limit);
        }
        Ok(())
    }
}

/// Whether a swarm would understand it. The engine takes attributes that it does not know, and then finds no node.
fn is_constraint(text: &str) -> bool {
    let Some((attribute, value)) = text.split_once("==").or_else(|| text.split_once("!=")) else { return false };
    let (attribute, value) = (attribute.trim(), value.trim());
    let label = |prefix| {
        let name = attribute.strip_prefix(prefix).unwrap_or_default();
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
    };
    let fixed = ["node.id", "node.hostname", "node.role", "node.platform.os", "node.platform.arch"];
    text.len() <= PLACEMENT_BYTES_MAX
        && (fixed.contains(&attribute) || label("node.labels.") || label("engine.labels."))
        && !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.*()?+[]\\^$|/ ".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            r#"{"kind":"process","agent":{"mind":"echo"},"limits":{}}"#,
            r#"{"kind":"process","agent":{"mind":"exec","command":["cat"]},"limits":{"memory_mb":64}}"#,
            r#"{"kind":"container","agent":{"mind":"command","command":["/a"]},"image":"x:1","limits":{}}"#,
            r#"{"kind":"swarm","agent":{"mind":"echo"},"image":"x:1","placement":["node.labels.zone==b"],"limits":{}}"#,
        ] {
            let runtime: Runtime = serde_json::from_str(text).unwrap();
            runtime.check().unwrap();
            assert_eq!(serde_json::to_string(&runtime).unwrap(), text);
        }
    }

    #[test]
    fn what_cannot_run_is_refused() {
        for (text, error) in [
            (r#"{"kind":"process","agent":{"mind":"exec","command":[]}}"#, RuntimeError::Command),
            (r#"{"kind":"process","agent":{"mind":"exec","command":[""]}}"#, RuntimeError::Command),
            (r#"{"kind":"container"}"#, RuntimeError::Image),
            (r#"{"kind":"process","image":"x"}"#, RuntimeError::Image),
            (r#"{"kind":"swarm"}"#, RuntimeError::Image),
            (r#"{"kind":"container","image":"x","placement":["node.role==worker"]}"#, RuntimeError::Placement),
            (r#"{"kind":"swarm","image":"x","placement":["node.role=worker"]}"#, RuntimeError::Placement),
            (r#"{"kind":"swarm","image":"x","placement":["node.size==big"]}"#, RuntimeError::Placement),
            (r#"{"kind":"swarm","image":"x","placement":["node.labels.==big"]}"#, RuntimeError::Placement),
            (r#"{"kind":"swarm","image":"x","placement":["node.id=="]}"#, RuntimeError::Placement),
            (r#"{"kind":"process","limits":{"memory_mb":0}}"#, RuntimeError::Limit),
            (r#"{"kind":"external","agent":{"mind":"exec","command":["a"]}}"#, RuntimeError::External),
            (r#"{"kind":"process","agent":{"mind":"model","model":"m","base_url":"ftp://x"}}"#, RuntimeError::BaseUrl),
            (
                r#"{"kind":"process","agent":{"mind":"model","model":"m","base_url":"http://u@x"}}"#,
                RuntimeError::BaseUrl,
            ),
        ] {
            let runtime: Runtime = serde_json::from_str(text).unwrap();
            assert_eq!(runtime.check(), Err(error), "{text}");
        }
        assert!(serde_json::from_str::<Runtime>(r#"{"kind":"process","extra":1}"#).is_err());
        let ignored = r#"{"kind":"process","agent":{"mind":"echo","command":["a"]}}"#;
        assert!(serde_json::from_str::<Runtime>(ignored).is_err());
        assert!(serde_json::from_str::<Runtime>(r#"{"kind":"langgraph"}"#).is_err());
    }

    #[test]
    fn whoever_chooses_an_image_chooses_what_runs() {
        for kind in ["container", "swarm"] {
            let runtime: Runtime = serde_json::from_str(&format!(r#"{{"kind":"{kind}","image":"x"}}"#)).unwrap();
            runtime.check().unwrap();
            assert!(!runtime.is_builtin());
        }
        assert!(Runtime::echo().is_builtin() && Runtime::external().is_builtin());
    }

    #[test]
    fn words_read_back() {
        for kind in RuntimeKind::ALL {
            assert_eq!(RuntimeKind::parse(kind.as_str()), Some(kind));
        }
    }
}
