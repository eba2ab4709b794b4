//! Agents as containers of the engine on this machine, through the Docker Engine API.
//!
//! One run is one container, `portcullis-<boot>`, found again by name after any restart of the control plane: nothing is
//! remembered here. Labels carry ids only, and a container of another organisation is not seen, looked at or touched.
//!
//! What a container is given: capabilities dropped, no new privileges, a user id of its own where the control plane is
//! root, an init process of the engine (`docker-init`) that reaps orphans, bounded logs, no restart policy (whether to
//! start again is not the engine's decision). When its first process ends, the kernel ends all the others with it.
//!
//! Secrets: the token and file-delivered secrets are files of a directory mounted read-only. Secrets delivered as
//! **variables are part of the container's configuration**: whoever may talk to the engine can read them, and the engine
//! keeps them on its disk until the run is forgotten. Where that is too much, deliver as files.
//!
//! An engine that ends takes its containers with it, unless it is configured with `live-restore`.

pub(super) mod ending;
pub(super) mod engine;
pub(super) mod log;
pub(super) mod place;
pub(super) mod spec;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_kernel::{
    id::{BootId, OrganisationId},
    runtime::RuntimeKind,
    secret::Environment,
};
use tokio::time::Instant;

use super::{
    Capabilities, Exit, ExitCause, Launch, LogPiece, LogRange, Places, Runtime, RuntimeFault, Sight, Unit, blocking,
    environment, known::Known,
};
use ending::{Asked, Container};
use engine::Engine;
use place::Place;

/// Where Docker's engine listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// How long the kernel may take to end a container that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait before an engine that gave no answer is asked again.
const RETRY: Duration = Duration::from_millis(250);

/// Which network an agent's container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// The machine's own: the only one that reaches a control plane on loopback.
    #[default]
    Host,
    /// The engine's bridge; the control plane must listen on an address that is reached from there.
    Bridge,
    /// None: nothing but its own loopback, so no control plane either.
    None,
}

impl Network {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Bridge => "bridge",
            Self::None => "none",
        }
    }

    /// Reads the word of the configuration.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Host, Self::Bridge, Self::None].into_iter().find(|network| network.as_str() == word)
    }
}

/// Which engine, and whose containers.
#[derive(Debug, Clone)]
pub struct ContainerSettings {
    /// The engine's Unix socket.
    pub socket: PathBuf,
    /// Ours; containers of any other are not there for us.
    pub organisation: OrganisationId,
    /// Where agents find the control plane.
    pub network: Network,
    /// Directories on this machine. The engine must see the same file system.
    pub places: Places,
}

/// The runtime `container`.
pub struct ContainerRuntime {
    engine: Engine,
    settings: ContainerSettings,
    /// Boots between "created" and "started": not running yet, and not dead either.
    starting: Mutex<BTreeSet<BootId>>,
}

impl ContainerRuntime {
    /// Connects when first used: an engine that is down now may be up later.
    pub fn new(settings: ContainerSettings) -> Self {
        Self { engine: Engine::new(&settings.socket), settings, starting: Mutex::default() }
    }

    /// The engine as a place where agents run, for every server that talks to it; nothing while it does not answer.
    pub(crate) async fn place_name(&self) -> Option<String> {
        self.engine.id().await.map(|id| format!("engine/{id}"))
    }

    fn place(&self, unit: Unit) -> Place {
        Place::of(&self.settings.places, unit)
    }

    /// Where this container's directories are.
    fn place_of(&self, unit: Unit, container: &Container) -> Place {
        Place::mounted(&container.mounts, unit).unwrap_or_else(|| self.place(unit))
    }

    fn starting(&self) -> MutexGuard<'_, BTreeSet<BootId>> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ours, or nothing.
    async fn find(&self, unit: Unit) -> Result<Option<Container>, RuntimeFault> {
        let found = self.engine.inspect(&spec::name(unit.boot)).await?;
        Ok(found.filter(|found| self.is_ours(unit, found)))
    }

    fn is_ours(&self, unit: Unit, container: &Container) -> bool {
        spec::is_ours(&container.labels, self.settings.organisation, unit)
    }

    async fn sight(&self, unit: Unit, container: &Container) -> Result<Sight, RuntimeFault> {
        if self.starting().contains(&unit.boot) {
            return Ok(Sight::Unknown("the container is being started".to_owned()));
        }
        let place = self.place_of(unit, container);
        let asked = blocking(move || Ok(place.asked())).await?;
        let mut sight = ending::sight(container, asked);
        // The engine's init ran and the program did not: only its last words tell that from a program's own 127.
        if let Sight::Exited(exit) = &mut sight
            && let Exit { code: Some(code @ (126 | 127)), cause: ExitCause::Itself, .. } = *exit
            && self.engine.init_complained(&spec::name(unit.boot)).await?
        {
            *exit = ending::not_started(container, code);
        }
        Ok(sight)
    }

    /// Waits until the container does not run; `false` when it still runs after `at_most`. An engine that does not
    /// answer is asked again until then.
    async fn ended_within(&self, unit: Unit, at_most: Duration) -> Result<bool, RuntimeFault> {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Whatever this says, the container's state is what counts.
            let _ = tokio::time::timeout(left, self.engine.wait(&spec::name(unit.boot))).await;
            let found = self.find(unit).await;
            let running = matches!(&found, Ok(Some(container)) if container.is_running());
            if found.is_ok() && !running {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return found.map(|_| false);
            }
            tokio::time::sleep(RETRY.min(left)).await;
        }
    }

    /// Notes on disk what was asked. A run that cannot be noted is stopped all the same; only the cause is less exact.
    async fn note(&self, unit: Unit, container: &Container, asked: Asked) {
        let place = self.place_of(unit, container);
        if let Err(fault) = blocking(move || place.note(asked)).await {
            tracing::warn!(boot = %unit.boot, %fault, "the request to stop a container could not be noted");
        }
    }

    async fn clean(&self, unit: Unit, what: &str) {
        let place = self.place(unit);
        let removed = self.engine.remove(&spec::name(unit.boot)).await;
        if let Err(fault) = removed.and(blocking(move || place.remove()).await) {
            tracing::warn!(boot = %unit.boot, %fault, "what is left of a container that {what} could not be removed");
        }
    }

    async fn launch(&self, launch: Launch) -> Result<(), RuntimeFault> {
        let unit = launch.unit;
        let name = spec::name(unit.boot);
        let twice = || RuntimeFault::Permanent(format!("the container {name} exists already: a boot runs once"));
        match self.engine.inspect(&name).await? {
            None => {}
            // Left by a control plane that ended before it started it; its directories go when new ones are made.
            Some(found) if self.is_ours(unit, &found) && found.is_only_created() => self.engine.remove(&name).await?,
            Some(_) => return Err(twice()),
        }
        let place = self.place(unit);
        let slot = launch.slot;
        let seed = super::process::seed().map_err(|error| RuntimeFault::Transient(error.to_string()))?;
        let known = Known { seed, fingerprints: environment::fingerprints(seed, &launch.environment) };
        let Environment { variables, files, token } = launch.environment;
        let context = launch.context;
        let prepared = blocking(move || {
            let user = place.prepare(slot, &context, &files, token.as_ref())?;
            place.keep(&known)?;
            Ok(user)
        });
        let user = prepared.await?;
        let program = spec::Program {
            image: launch.image,
            command: launch.command,
            limits: launch.limits,
            settings: launch.settings,
            variables,
            user,
        };
        let body = spec::body(&self.settings, unit, &self.place(unit), program)?;
        match self.engine.create(&name, body).await {
            Ok(true) => {}
            // Somebody else was faster; the directories are theirs.
            Ok(false) => return Err(twice()),
            Err(fault) => {
                self.clean(unit, "could not be created").await;
                return Err(fault);
            }
        }
        if let Err(fault) = self.engine.start(&name).await {
            self.clean(unit, "could not be started").await;
            return Err(fault);
        }
        Ok(())
    }
}

/// Takes a boot out of the set, also when the start is given up in the middle.
struct Starting<'a>(&'a ContainerRuntime, BootId);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.starting().remove(&self.1);
    }
}

impl Runtime for ContainerRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Container
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { unit_limits: self.engine.has_limits(), isolated: true, live_files: true }
    }

    async fn start(&self, launch: Launch) -> Result<(), RuntimeFault> {
        let boot = launch.unit.boot;
        if !self.starting().insert(boot) {
            return Err(RuntimeFault::Permanent(format!("boot {boot} is being started already")));
        }
        let _starting = Starting(self, boot);
        self.launch(launch).await
    }

    async fn look(&self, unit: Unit) -> Sight {
        let seen = async {
            match self.find(unit).await? {
                Some(container) => self.sight(unit, &container).await,
                None => Ok(Sight::Absent),
            }
        };
        seen.await.unwrap_or_else(|fault| Sight::Unknown(fault.to_string()))
    }

    async fn wait(&self, unit: Unit, at_most: Duration) -> Sight {
        match self.ended_within(unit, at_most).await {
            Ok(_) => self.look(unit).await,
            Err(fault) => Sight::Unknown(fault.to_string()),
        }
    }

    /// SIGTERM to the group of the agent, the grace, SIGKILL. The grace is counted here and not by the engine's own
    /// `stop`, which knows whole seconds only; if the control plane ends meanwhile, stopping again is safe.
    async fn stop(&self, unit: Unit, grace: Duration) -> Result<Exit, RuntimeFault> {
        let transient = |text: &str| RuntimeFault::Transient(text.to_owned());
        if self.starting().contains(&unit.boot) {
            return Err(transient("the container is being started"));
        }
        let name = spec::name(unit.boot);
        let gone = Exit { code: None, signal: None, cause: ExitCause::Lost };
        let Some(container) = self.find(unit).await? else { return Ok(gone) };
        if container.is_only_created() {
            let place = self.place_of(unit, &container);
            self.engine.remove(&name).await?;
            blocking(move || place.remove()).await?;
            return Ok(gone);
        }
        if container.is_running() {
            self.note(unit, &container, Asked::ToStop).await;
            if container.is_paused() {
                // Frozen processes take no signal.
                self.engine.unpause(&name).await?;
            }
            self.engine.signal(&name, "SIGTERM").await?;
            if !self.ended_within(unit, grace).await? {
                self.note(unit, &container, Asked::AndKilled).await;
                self.engine.signal(&name, "SIGKILL").await?;
                if !self.ended_within(unit, KILL_PATIENCE).await? {
                    return Err(transient("the container was killed and still runs"));
                }
            }
        }
        match self.look(unit).await {
            Sight::Exited(exit) => Ok(exit),
            Sight::Absent => Ok(gone),
            Sight::Running => Err(transient("the container runs again")),
            Sight::Unknown(text) => Err(RuntimeFault::Transient(text)),
        }
    }

    async fn put_files(&self, unit: Unit, environment: Environment) -> Result<(), RuntimeFault> {
        let container = self.find(unit).await?;
        let place = container.map_or_else(|| self.place(unit), |container| self.place_of(unit, &container));
        blocking(move || {
            // Before the files: a value must not be printable before it is known.
            let mut known = place.known()?;
            let mut all = known.redactor();
            all.merge(environment::fingerprints(known.seed, &environment));
            known.fingerprints = all.fingerprints();
            place.keep(&known)?;
            place.put_files(&environment.files, environment.token.as_ref())
        })
        .await
    }

    /// Positions are nanoseconds since the Unix epoch: the engine's timestamp of the last line that was handed out.
    /// It is `reset` when that very line is no longer in the log.
    async fn logs(&self, unit: Unit, range: LogRange) -> Result<LogPiece, RuntimeFault> {
        let Some(container) = self.find(unit).await? else {
            return Err(RuntimeFault::Permanent("there is no container of this boot, so no log".to_owned()));
        };
        // Before the log: what is read of one that had ended is all there is.
        let ended = !container.is_running();
        let piece = self.engine.logs(&spec::name(unit.boot), range, ended).await?;
        // The engine wrote what the agent did; values are taken out on the way to whoever reads.
        let place = self.place_of(unit, &container);
        let known = blocking(move || place.known()).await?;
        Ok(LogPiece { text: known.redactor().redact(&piece.text).into_owned(), ..piece })
    }

    async fn forget(&self, unit: Unit, workspace_too: bool) -> Result<(), RuntimeFault> {
        let mut places = vec![self.place(unit)];
        if let Some(container) = self.find(unit).await? {
            if container.is_running() || self.starting().contains(&unit.boot) {
                return Err(RuntimeFault::Permanent("the container still runs; stop it first".to_owned()));
            }
            places.push(self.place_of(unit, &container));
            self.engine.remove(&spec::name(unit.boot)).await?;
        }
        blocking(move || {
            places.iter().try_for_each(|place| {
                place.remove()?;
                if workspace_too { place.remove_workspace() } else { Ok(()) }
            })
        })
        .await
    }

    async fn units(&self) -> Result<Vec<Unit>, RuntimeFault> {
        let socket = self.settings.socket.clone();
        // No engine, no containers: most machines have none, and that is nothing to complain about.
        if !blocking(move || Ok(socket.exists())).await? {
            return Ok(Vec::new());
        }
        let labels = self.engine.list(spec::filter(self.settings.organisation)).await?;
        Ok(labels.iter().filter_map(spec::unit).collect())
    }
}
