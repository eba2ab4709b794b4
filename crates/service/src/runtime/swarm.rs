//! Agents on the nodes of a Docker swarm, through the manager that the engine of this machine is (decision 0017).
//!
//! One run is one service, `portcullis-<boot>`, of one task that the swarm never starts a second time: neither when it fails
//! nor when its node is lost. Whether there is another run, with a token of its own, is decided by the control plane alone.
//! Labels carry ids only, and what belongs to another organisation is not seen, looked at or touched. Nothing is
//! remembered here but since when something waits.
//!
//! A service is stopped by a change to it, after which no node takes it: so its task ends with the grace, its exit is kept,
//! and nothing of it can begin again. Its secrets go with that change.
//!
//! Secrets are secrets of the swarm, encrypted in the manager's log, in memory on the node, files inside the container. The
//! service names them and holds no value. Variables are lines that a shell of the image reads before it becomes the agent:
//! an image without `/bin/sh` can have secrets as files only.
//!
//! Absent here: a way to replace files while the agent runs (a swarm's secrets never change, so a changed file is a restart),
//! to freeze an agent, and to reach a node: what is on it is ended by the swarm, as soon as it can.

mod manager;
mod parcel;
mod sight;
mod spec;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use portcullis_kernel::{
    id::{BootId, OrganisationId},
    runtime::RuntimeKind,
    secret::Environment,
};

use super::{
    Capabilities, Exit, ExitCause, Launch, LogPiece, LogRange, Places, Runtime, RuntimeFault, Sight, Unit, blocking,
    container::{ending, place, spec::inside},
    container_environment::io_fault,
    environment,
    known::Known,
    removal::remove_tree,
};
use manager::Manager;
pub use manager::{Managing, managing};
use sight::{Found, Seen};

/// How old an answer of the manager may be that is used for a look.
const FRESH: Duration = Duration::from_millis(200);
/// How often a unit that is waited for is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How long a swarm may take to find a node. What waits longer is given up, so that it does not begin when nobody expects it.
const PLACEMENT_PATIENCE: Duration = Duration::from_secs(20);
/// How long a node may take, beyond the grace, to report an end.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How often a change is tried again that somebody else's change came before.
const CHANGES: usize = 5;

/// Which network an agent's container is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SwarmNetwork {
    /// What its node gives a container: the engine's bridge, from which the node's network is reached.
    #[default]
    Node,
    /// A network of the swarm by name, or `host`, the node's own.
    Named(String),
}

impl SwarmNetwork {
    /// Reads the configuration's word. `None` is what the engine refuses for a service.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "none" | "" => None,
            "bridge" => Some(Self::Node),
            name => Some(Self::Named(name.to_owned())),
        }
    }
}

/// Which swarm, and whose services.
#[derive(Debug, Clone)]
pub struct SwarmSettings {
    /// The Unix socket of an engine that is a manager.
    pub socket: PathBuf,
    /// Ours; services of any other are not there for us.
    pub organisation: OrganisationId,
    /// The agents' network.
    pub network: SwarmNetwork,
    /// How long an agent that is asked to stop may take. Part of each service, so what is in force is what was set when it began.
    pub grace: Duration,
    /// Directories on this machine: what logs are redacted by is kept there.
    pub places: Places,
}

/// The runtime `swarm`.
pub struct SwarmRuntime {
    manager: Manager,
    settings: SwarmSettings,
    /// Boots of which not everything is made yet: not running, and not dead either.
    starting: Mutex<BTreeSet<BootId>>,
    /// Since when a boot waits for a node.
    waiting: Mutex<BTreeMap<BootId, Instant>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn gone() -> Exit {
    Exit { code: None, signal: None, cause: ExitCause::Lost }
}

impl SwarmRuntime {
    /// Connects when first used: an engine that is down now may be up later.
    pub fn new(settings: SwarmSettings) -> Self {
        let manager = Manager::new(&settings.socket, settings.organisation);
        Self { manager, settings, starting: Mutex::default(), waiting: Mutex::default() }
    }

    /// The swarm as a place where agents run, for every server that talks to a manager of it; nothing while none answers.
    pub(crate) async fn place_name(&self) -> Option<String> {
        self.manager.cluster().await.map(|id| format!("swarm/{id}"))
    }

    fn workspace_dir(&self, unit: Unit) -> PathBuf {
        self.settings.places.agents.join(unit.workspace.to_string())
    }

    /// Notes of a run, on this machine.
    fn notes(&self, unit: Unit) -> PathBuf {
        self.workspace_dir(unit).join("swarm").join(unit.boot.to_string())
    }

    /// Whether a boot has waited for a node for too long; counts from the first time it is asked.
    fn is_overdue(&self, boot: BootId) -> bool {
        lock(&self.waiting).entry(boot).or_insert_with(Instant::now).elapsed() > PLACEMENT_PATIENCE
    }

    /// Tells a service to start nothing any more and to end what runs, and takes its secrets from it.
    async fn retire(&self, unit: Unit, asked: &str) -> Result<(), RuntimeFault> {
        for attempt in 1.. {
            let Some(found) = self.manager.find(unit, Duration::ZERO).await? else { break };
            if found.asked().is_some() {
                break;
            }
            match self.manager.update(&found, spec::retired(&found.spec, asked)).await {
                Ok(()) => break,
                // Most likely somebody else changed it in between.
                Err(fault) if attempt >= CHANGES => return Err(fault),
                Err(_) => tokio::time::sleep(FRESH).await,
            }
        }
        self.manager.withdraw(unit.boot).await
    }

    /// The same, where the end was seen already and only tidying is left.
    async fn tidy(&self, unit: Unit, asked: &str) {
        if let Err(fault) = self.retire(unit, asked).await {
            tracing::warn!(boot = %unit.boot, %fault, "an ended service of the swarm could not be put to rest; it is when it is forgotten");
        }
    }

    async fn look_at(&self, unit: Unit) -> Result<Sight, RuntimeFault> {
        if lock(&self.starting).contains(&unit.boot) {
            return Ok(Sight::Unknown("the service is being made".to_owned()));
        }
        let Some(found) = self.manager.find(unit, FRESH).await? else {
            // Made by a control plane that ended before it made the service: nobody else would remove them.
            self.manager.withdraw(unit.boot).await?;
            return Ok(Sight::Absent);
        };
        match found.seen() {
            Seen::Running => {
                lock(&self.waiting).remove(&unit.boot);
                Ok(Sight::Running)
            }
            Seen::Unknown(why) => Ok(Sight::Unknown(why)),
            Seen::Waiting(why) => {
                if self.is_overdue(unit.boot) {
                    // What it has become is seen by the next look.
                    self.retire(unit, spec::UNPLACED).await?;
                }
                Ok(Sight::Unknown(why))
            }
            Seen::Ended(exit) => {
                lock(&self.waiting).remove(&unit.boot);
                let exit = self.told(&found, exit).await?;
                if found.asked().is_none() {
                    self.tidy(unit, spec::TO_END).await;
                }
                Ok(Sight::Exited(exit))
            }
            Seen::Doubled => {
                tracing::error!(boot = %unit.boot, "a service of the swarm was started a second time by somebody's hand; the run ends");
                self.tidy(unit, spec::TO_END).await;
                Ok(Sight::Exited(gone()))
            }
        }
    }

    /// The engine's init ran and the program did not: only its last words tell that from a program's own 127.
    async fn told(&self, found: &Found, exit: Exit) -> Result<Exit, RuntimeFault> {
        if let Exit { code: Some(code @ (126 | 127)), cause: ExitCause::Itself, .. } = exit
            && let Some(task) = found.task()
            && self.manager.init_complained(task).await?
        {
            return Ok(ending::not_executed(&found.program(), code));
        }
        Ok(exit)
    }

    async fn launch(&self, launch: Launch) -> Result<(), RuntimeFault> {
        let unit = launch.unit;
        let twice = || RuntimeFault::Permanent(format!("boot {} has a service already: a boot runs once", unit.boot));
        if self.manager.find(unit, Duration::ZERO).await?.is_some() {
            return Err(twice());
        }
        // What a start that was cut off left behind.
        self.manager.withdraw(unit.boot).await?;
        let seed = super::process::seed().map_err(|error| RuntimeFault::Transient(error.to_string()))?;
        let known = Known { seed, fingerprints: environment::fingerprints(seed, &launch.environment) };
        let notes = self.notes(unit);
        blocking(move || {
            std::fs::create_dir_all(&notes).map_err(|error| io_fault(&notes, &error))?;
            known.keep(&notes)
        })
        .await?;
        let mut public = launch.settings;
        public.extend(inside(unit).map(|(name, value)| (name.to_owned(), value)));
        let parcels = parcel::parcels(&public, &launch.environment, &launch.context)?;
        drop(launch.environment);
        let program = spec::Program {
            image: launch.image,
            command: launch.command,
            limits: launch.limits,
            placement: launch.placement,
            public,
            user: place::user(launch.slot)?,
        };
        let made = async {
            let delivered = self.manager.deliver(unit, parcels).await?;
            self.manager.create(spec::body(&self.settings, unit, program, &delivered)?).await
        };
        match made.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(twice()),
            Err(fault) => {
                // It may have been made although the answer was lost; then it has no row that waits for it.
                let removed = self.manager.remove(unit.boot).await.and(self.manager.withdraw(unit.boot).await);
                if let Err(left) = removed {
                    tracing::warn!(boot = %unit.boot, fault = %left, "what is left of a service that could not be made could not be removed");
                }
                Err(fault)
            }
        }
    }
}

/// Takes a boot out of the set, also when the start is given up in the middle.
struct Starting<'a>(&'a SwarmRuntime, BootId);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        lock(&self.0.starting).remove(&self.1);
    }
}

impl Runtime for SwarmRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Swarm
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { unit_limits: self.manager.has_limits(), isolated: true, live_files: false }
    }

    async fn start(&self, launch: Launch) -> Result<(), RuntimeFault> {
        let boot = launch.unit.boot;
        if !lock(&self.starting).insert(boot) {
            return Err(RuntimeFault::Permanent(format!("boot {boot} is being started already")));
        }
        let _starting = Starting(self, boot);
        self.launch(launch).await
    }

    async fn look(&self, unit: Unit) -> Sight {
        self.look_at(unit).await.unwrap_or_else(|fault| Sight::Unknown(fault.to_string()))
    }

    async fn wait(&self, unit: Unit, at_most: Duration) -> Sight {
        let deadline = Instant::now() + at_most;
        loop {
            let sight = self.look(unit).await;
            let left = deadline.saturating_duration_since(Instant::now());
            if matches!(sight, Sight::Exited(_) | Sight::Absent) || left.is_zero() {
                return sight;
            }
            tokio::time::sleep(POLL.min(left)).await;
        }
    }

    /// SIGTERM to the group of the agent, the grace of its service, SIGKILL: by its node.
    async fn stop(&self, unit: Unit, _grace: Duration) -> Result<Exit, RuntimeFault> {
        if lock(&self.starting).contains(&unit.boot) {
            return Err(RuntimeFault::Transient("the service is being made".to_owned()));
        }
        self.retire(unit, spec::TO_STOP).await?;
        let deadline = Instant::now() + self.settings.grace + STOP_PATIENCE;
        loop {
            let found = self.manager.find(unit, FRESH).await?;
            let seen = found.as_ref().map(Found::seen);
            match (found, seen) {
                (None, _) => return Ok(gone()),
                (Some(found), Some(Seen::Ended(exit))) => return self.told(&found, exit).await,
                (_, Some(Seen::Doubled)) => return Ok(gone()),
                (_, seen) if Instant::now() >= deadline => {
                    return Err(RuntimeFault::Transient(format!("the swarm does not end it: {seen:?}")));
                }
                _ => tokio::time::sleep(FRESH).await,
            }
        }
    }

    /// Never: a swarm's secrets do not change. A changed file is a restart, which the rows know beforehand.
    async fn put_files(&self, _unit: Unit, _environment: Environment) -> Result<(), RuntimeFault> {
        Err(RuntimeFault::Permanent("an agent of the swarm gets new files by a restart only".to_owned()))
    }

    /// Positions are those of containers.
    async fn logs(&self, unit: Unit, range: LogRange) -> Result<LogPiece, RuntimeFault> {
        let found = self.manager.find(unit, FRESH).await?;
        let found =
            found.ok_or_else(|| RuntimeFault::Permanent("there is no service of this boot, so no log".to_owned()))?;
        let Some(task) = found.task() else { return Ok(LogPiece::default()) };
        // Before the log: what is read of one that had ended is all there is.
        let ended = match found.seen() {
            Seen::Ended(Exit { cause: ExitCause::Lost, .. }) | Seen::Unknown(_) => {
                return Err(RuntimeFault::Transient("its node is away, and its log with it".to_owned()));
            }
            seen => matches!(seen, Seen::Ended(_)),
        };
        let piece = self.manager.logs(task, range, ended).await?;
        // Its node wrote what the agent did; values are taken out on the way to whoever reads.
        let notes = self.notes(unit);
        let known = blocking(move || Known::read(&notes)).await?;
        Ok(LogPiece { text: known.redactor().redact(&piece.text).into_owned(), ..piece })
    }

    async fn forget(&self, unit: Unit, workspace_too: bool) -> Result<(), RuntimeFault> {
        let still = || RuntimeFault::Permanent("the service still runs; stop it first".to_owned());
        if lock(&self.starting).contains(&unit.boot) {
            return Err(still());
        }
        match self.manager.find(unit, Duration::ZERO).await?.map(|found| found.seen()) {
            None | Some(Seen::Ended(_)) => {}
            Some(Seen::Running | Seen::Waiting(_) | Seen::Unknown(_) | Seen::Doubled) => return Err(still()),
        }
        if self.manager.find(unit, FRESH).await?.is_some() {
            self.manager.remove(unit.boot).await?;
        }
        self.manager.withdraw(unit.boot).await?;
        lock(&self.waiting).remove(&unit.boot);
        let (notes, workspace) = (self.notes(unit), self.workspace_dir(unit));
        blocking(move || {
            let removed = |path: &Path| remove_tree(path).map_err(|error| io_fault(path, &error));
            removed(&notes)?;
            if workspace_too { removed(&workspace) } else { Ok(()) }
        })
        .await?;
        if workspace_too && let Err(fault) = self.manager.remove_volume(&spec::volume(unit)).await {
            // Its last container goes a moment after its task.
            tracing::info!(workspace = %unit.workspace, %fault, "a volume of a removed workspace stays on the manager's node");
        }
        Ok(())
    }

    async fn units(&self) -> Result<Vec<Unit>, RuntimeFault> {
        let socket = self.settings.socket.clone();
        // No engine, no swarm: most machines have none, and that is nothing to complain about.
        if !blocking(move || Ok(socket.exists())).await? {
            return Ok(Vec::new());
        }
        self.manager.units().await
    }
}
