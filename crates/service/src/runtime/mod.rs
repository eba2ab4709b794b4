//! Runtimes: how agents are started, watched and stopped, behind one small port with one contract test suite.
//!
//! A runtime decides nothing. It starts what it is handed, tells what it sees, and stops what it is told to stop. What it
//! cannot see is [`Sight::Unknown`], never "down".

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use portcullis_kernel::{
    id::{BootId, WorkspaceId},
    runtime::{Limits, RuntimeKind},
    secret::Environment,
};

pub mod container;
mod container_environment;
mod environment;
mod known;
pub mod process;
mod removal;
pub mod swarm;

/// One execution of one workspace's agent. Named by both ids: a bare process number is a lie waiting to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unit {
    /// Whose agent.
    pub workspace: WorkspaceId,
    /// Which run of it.
    pub boot: BootId,
}

/// What to start.
pub struct Launch {
    /// Its name.
    pub unit: Unit,
    /// Program and arguments. No secret is ever in here: command lines are public on a machine.
    pub command: Vec<String>,
    /// The image; containers and the swarm only.
    pub image: Option<String>,
    /// Placement constraints; the swarm only.
    pub placement: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// A small number that belongs to this workspace alone, for a user id of its own.
    pub slot: u32,
    /// What is public of the environment: addresses, paths, ids.
    pub settings: BTreeMap<String, String>,
    /// Secrets delivered as variables and as files, and the boot's token.
    pub environment: Environment,
    /// Text of the restart context; a file beside the agent.
    pub context: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, if it exited.
    pub code: Option<i32>,
    /// Signal, if it was ended by one.
    pub signal: Option<i32>,
    /// Why, as far as the runtime knows.
    pub cause: ExitCause,
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitCause {
    /// By itself.
    Itself,
    /// It was asked to stop and did.
    Stopped,
    /// It was asked to stop, did not, and was killed after the grace.
    Killed,
    /// It used more memory than it was given.
    OutOfMemory,
    /// It never ran.
    StartFailed {
        /// Why, in words.
        why: String,
        /// Trying again cannot help: the program is missing, may not be run, or is none.
        for_good: bool,
    },
    /// Its shim or engine lost it. What was left of it was swept away or, where that cannot be reached, is swept away as
    /// soon as it can be.
    Lost,
    /// Whoever was to start it ended first, and nothing of it ever ran.
    NeverStarted,
}

/// What a runtime sees of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// It runs.
    Running,
    /// It ended so.
    Exited(Exit),
    /// There is nothing of it here.
    Absent,
    /// The runtime cannot say. Not "down".
    Unknown(String),
}

/// Why a runtime could not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeFault {
    /// It will not work however often it is tried: program, image or directory is missing.
    Permanent(String),
    /// It may work later: the engine does not answer, the machine is out of something.
    Transient(String),
}

impl std::fmt::Display for RuntimeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Permanent(text) | Self::Transient(text) => f.write_str(text),
        }
    }
}

/// What a runtime is able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Memory and process limits are enforced for the whole unit, not only for each process.
    pub unit_limits: bool,
    /// The agent runs under a user of its own and cannot read the control plane's files.
    pub isolated: bool,
    /// Secret files can be replaced while it runs.
    pub live_files: bool,
}

/// Lines of a log to read.
#[derive(Debug, Clone, Copy)]
pub struct LogRange {
    /// Start after this position; `None` begins `tail` lines before the end.
    pub after: Option<u64>,
    /// How many lines from the end, without `after`.
    pub tail: usize,
    /// Most bytes to return.
    pub bytes_max: usize,
}

/// A piece of a log. Already redacted by whoever wrote it, as far as that is possible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPiece {
    /// The text: whole lines.
    pub text: String,
    /// Where the next piece begins.
    pub position: u64,
    /// The position asked for is gone (the log was rotated): this begins at the oldest line there is.
    pub reset: bool,
}

/// A way to run agents.
pub trait Runtime: Send + Sync + 'static {
    /// Which.
    fn kind(&self) -> RuntimeKind;

    /// What it can do here, on this machine.
    fn capabilities(&self) -> Capabilities;

    /// Starts a unit. When it returns `Ok` the unit outlives this process. Starting a boot that already runs is an error,
    /// so that no boot ever runs twice.
    fn start(&self, launch: Launch) -> impl Future<Output = Result<(), RuntimeFault>> + Send;

    /// Looks at a unit.
    fn look(&self, unit: Unit) -> impl Future<Output = Sight> + Send;

    /// Waits until a running unit ends or `at_most` has passed, and looks.
    fn wait(&self, unit: Unit, at_most: Duration) -> impl Future<Output = Sight> + Send;

    /// Asks it to stop, waits for the grace, kills what is left of it: children, grandchildren, whoever left the group.
    /// `Ok` means that nothing of it runs any more, or that the machine it runs on is lost ([`ExitCause::Lost`]): what runs
    /// there has no power once the end is recorded. A unit that is gone already is `Ok`.
    fn stop(&self, unit: Unit, grace: Duration) -> impl Future<Output = Result<Exit, RuntimeFault>> + Send;

    /// Replaces the secret files of a unit, each atomically, removing those not named.
    fn put_files(&self, unit: Unit, environment: Environment) -> impl Future<Output = Result<(), RuntimeFault>> + Send;

    /// Reads a unit's log, also after it ended.
    fn logs(&self, unit: Unit, range: LogRange) -> impl Future<Output = Result<LogPiece, RuntimeFault>> + Send;

    /// Forgets an ended unit: directories, records, leftovers. Its state directory stays unless `workspace_too`.
    fn forget(&self, unit: Unit, workspace_too: bool) -> impl Future<Output = Result<(), RuntimeFault>> + Send;

    /// Everything of ours that there is here, running or ended: what the reconciler compares with its rows.
    fn units(&self) -> impl Future<Output = Result<Vec<Unit>, RuntimeFault>> + Send;
}

/// The word that stands for this program in a command: shim and built-in agent are the same binary. A runtime puts the
/// path there, as it is where the agent runs.
pub const SELF: &str = "portcullis";

/// Where runtimes keep things on this machine.
#[derive(Debug, Clone)]
pub struct Places {
    /// Directories of units and workspaces. Not inside the data directory, where the keys are.
    pub agents: PathBuf,
    /// A tmpfs for secret files.
    pub secrets: PathBuf,
    /// The program itself: shim and built-in agent.
    pub program: PathBuf,
}

/// Runs file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RuntimeFault> + Send + 'static,
) -> Result<T, RuntimeFault> {
    let panicked = |_| RuntimeFault::Transient("file work was given up".to_owned());
    tokio::task::spawn_blocking(work).await.map_err(panicked)?
}
