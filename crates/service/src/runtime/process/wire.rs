//! What the control plane and a shim tell each other. Only additions: a shim outlives the control plane that started it,
//! and is spoken to by the next version.

use std::path::PathBuf;

use portcullis_kernel::{
    id::{BootId, WorkspaceId},
    redact::Fingerprints,
    runtime::Limits,
};
use serde::{Deserialize, Serialize};

use super::super::{Exit, ExitCause, Unit};

/// Names in the record directory of a run. The agent cannot write there where it has a user of its own.
pub mod names {
    /// What was started; [`super::Order`].
    pub const ORDER: &str = "unit.json";
    /// Held as long as the shim lives.
    pub const LOCK: &str = "unit.lock";
    /// Where the shim answers.
    pub const SOCKET: &str = "unit.sock";
    /// How it ended; [`super::Record`]. When this is there, nothing of the unit runs any more.
    pub const EXIT: &str = "exit.json";
}

/// Longest request line a shim reads, in bytes: fingerprints of many large values.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;

/// Longest answer of a shim, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The public part of what a shim is told to run. Kept as a file beside the run, so there is no secret in it: the seed
/// alone tells nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Whose agent.
    pub workspace: WorkspaceId,
    /// Which run.
    pub boot: BootId,
    /// Program and arguments.
    pub command: Vec<String>,
    /// The record directory.
    pub records: PathBuf,
    /// The working directory.
    pub work: PathBuf,
    /// User and group of the agent, if it has one of its own.
    pub user: Option<u32>,
    /// Limits.
    pub limits: Limits,
    /// Seed of the fingerprints, so that later ones fit.
    pub seed: [u8; 32],
    /// The shim's process number, and when it started in clock ticks since the machine did; it fills them in.
    #[serde(default)]
    pub shim: Option<(i32, u64)>,
    /// The unit's control group, if it has one; the shim fills it in.
    #[serde(default)]
    pub group: Option<PathBuf>,
}

impl Order {
    /// The unit's name.
    pub fn unit(&self) -> Unit {
        Unit { workspace: self.workspace, boot: self.boot }
    }
}

/// What a shim is asked, one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Who are you, and how is the agent?
    Status,
    /// Answer when it has ended.
    Wait,
    /// Stop it, and answer when nothing of it is left.
    Stop {
        /// How long it may take to end by itself, in milliseconds.
        grace_ms: u64,
    },
    /// Redact these values too.
    Fingerprints {
        /// Made with the seed of the order.
        fingerprints: Fingerprints,
    },
}

/// What a shim answers, one line of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Whose agent.
    pub workspace: WorkspaceId,
    /// Which run.
    pub boot: BootId,
    /// The shim.
    pub shim: i32,
    /// When the shim started, in clock ticks since the machine did.
    pub shim_started: u64,
    /// The agent's first process, while there is one.
    pub child: Option<i32>,
    /// How it ended; absent while anything of it runs.
    pub exit: Option<Record>,
    /// Bytes of output that could not be written to the log.
    pub log_bytes_lost: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose agent.
    pub workspace: WorkspaceId,
    /// Which run.
    pub boot: BootId,
    /// Exit code.
    pub code: Option<i32>,
    /// Signal.
    pub signal: Option<i32>,
    /// Why.
    pub cause: Cause,
    /// In words, where there is more to say.
    #[serde(default)]
    pub detail: Option<String>,
    /// Whether a start that failed would fail again.
    #[serde(default)]
    pub for_good: bool,
    /// When, in milliseconds since the epoch; absent where only the loss was noticed.
    #[serde(default)]
    pub at_ms: Option<i64>,
}

/// Why a run ended, on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// By itself.
    Itself,
    /// It was asked to.
    Stopped,
    /// It was asked to and did not.
    Killed,
    /// Too much memory.
    OutOfMemory,
    /// It never ran.
    StartFailed,
    /// Its shim is gone.
    Lost,
    /// Its shim was never handed its order.
    NeverStarted,
}

impl Record {
    /// As the port says it.
    pub fn exit(&self) -> Exit {
        let cause = match self.cause {
            Cause::Itself => ExitCause::Itself,
            Cause::Stopped => ExitCause::Stopped,
            Cause::Killed => ExitCause::Killed,
            Cause::OutOfMemory => ExitCause::OutOfMemory,
            Cause::StartFailed => {
                ExitCause::StartFailed { why: self.detail.clone().unwrap_or_default(), for_good: self.for_good }
            }
            Cause::Lost => ExitCause::Lost,
            Cause::NeverStarted => ExitCause::NeverStarted,
        };
        Exit { code: self.code, signal: self.signal, cause }
    }
}

/// What a shim says once on the socket it was handed its order on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Started {
    /// Why it will not run this order; absent when it does.
    pub refused: Option<String>,
    /// This boot runs or has run: it will be refused for ever.
    #[serde(default)]
    pub already: bool,
}
