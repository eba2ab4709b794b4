//! The runtimes this server has, by kind.

use std::time::Duration;

use portcullis_kernel::{runtime::RuntimeKind, secret::Environment};

use crate::runtime::{
    Exit, Launch, LogPiece, LogRange, Runtime, RuntimeFault, Sight, Unit, container::ContainerRuntime,
    process::ProcessRuntime, swarm::SwarmRuntime,
};

/// Grace of agents that end with their server, in milliseconds.
const END_ALL_MS: i64 = 2_000;

/// The runtimes of this server. A kind it does not have is a fault with words, never a silent nothing.
pub struct Runtimes {
    process: ProcessRuntime,
    container: ContainerRuntime,
    swarm: SwarmRuntime,
}

macro_rules! on {
    ($self:ident, $kind:expr, $runtime:ident => $call:expr, $missing:expr) => {
        match $kind {
            RuntimeKind::Process => {
                let $runtime = &$self.process;
                $call
            }
            RuntimeKind::Container => {
                let $runtime = &$self.container;
                $call
            }
            RuntimeKind::Swarm => {
                let $runtime = &$self.swarm;
                $call
            }
            RuntimeKind::External => $missing,
        }
    };
}

fn missing(kind: RuntimeKind) -> RuntimeFault {
    RuntimeFault::Permanent(format!("this server does not run agents of kind `{}`", kind.as_str()))
}

impl Runtimes {
    /// Processes, containers as soon as there is an engine, and the swarm as soon as the engine manages one.
    pub fn new(process: ProcessRuntime, container: ContainerRuntime, swarm: SwarmRuntime) -> Self {
        Self { process, container, swarm }
    }

    /// Where agents of a kind run, if any server could reach them there: an engine by its own name.
    pub(crate) async fn place(&self, kind: RuntimeKind) -> Option<String> {
        match kind {
            RuntimeKind::Container => self.container.place_name().await,
            RuntimeKind::Swarm => self.swarm.place_name().await,
            RuntimeKind::Process | RuntimeKind::External => None,
        }
    }

    /// The kinds that can be started here, and the places beyond this machine that are reached.
    pub(crate) async fn reaches(&self) -> Vec<String> {
        let mut reached = vec![RuntimeKind::Process.as_str().to_owned()];
        if let Some(place) = self.container.place_name().await {
            reached.extend([RuntimeKind::Container.as_str().to_owned(), place]);
        }
        if let Some(place) = self.swarm.place_name().await {
            reached.extend([RuntimeKind::Swarm.as_str().to_owned(), place]);
        }
        reached
    }

    pub(crate) async fn start(&self, kind: RuntimeKind, launch: Launch) -> Result<(), RuntimeFault> {
        on!(self, kind, runtime => runtime.start(launch).await, Err(missing(kind)))
    }

    pub(crate) async fn look(&self, kind: RuntimeKind, unit: Unit) -> Sight {
        on!(self, kind, runtime => runtime.look(unit).await, Sight::Unknown(missing(kind).to_string()))
    }

    pub(crate) async fn wait(&self, kind: RuntimeKind, unit: Unit, at_most: Duration) -> Sight {
        on!(self, kind, runtime => runtime.wait(unit, at_most).await, {
            tokio::time::sleep(at_most).await;
            Sight::Unknown(missing(kind).to_string())
        })
    }

    pub(crate) async fn stop(&self, kind: RuntimeKind, unit: Unit, grace: Duration) -> Result<Exit, RuntimeFault> {
        on!(self, kind, runtime => runtime.stop(unit, grace).await, Err(missing(kind)))
    }

    pub(crate) async fn put_files(
        &self,
        kind: RuntimeKind,
        unit: Unit,
        environment: Environment,
    ) -> Result<(), RuntimeFault> {
        on!(self, kind, runtime => runtime.put_files(unit, environment).await, Err(missing(kind)))
    }

    /// Reads a unit's log.
    pub async fn logs(&self, kind: RuntimeKind, unit: Unit, range: LogRange) -> Result<LogPiece, RuntimeFault> {
        on!(self, kind, runtime => runtime.logs(unit, range).await, Err(missing(kind)))
    }

    pub(crate) async fn forget(&self, kind: RuntimeKind, unit: Unit, workspace_too: bool) -> Result<(), RuntimeFault> {
        on!(self, kind, runtime => runtime.forget(unit, workspace_too).await, Err(missing(kind)))
    }

    /// Everything there is here, running or ended.
    pub(crate) async fn units(&self) -> Vec<(RuntimeKind, Unit)> {
        let mut all = Vec::new();
        for kind in RuntimeKind::ALL {
            let found = on!(self, kind, runtime => runtime.units().await, Ok(Vec::new()));
            match found {
                Ok(units) => all.extend(units.into_iter().map(|unit| (kind, unit))),
                Err(fault) => tracing::warn!(kind = kind.as_str(), %fault, "the units of a runtime cannot be listed"),
            }
        }
        all
    }

    /// Ends everything there is here and forgets it.
    pub(crate) async fn end_all(&self) {
        let ending =
            self.units().await.into_iter().map(|(kind, unit)| self.end_orphan(kind, unit, Some(true), END_ALL_MS));
        futures_util::future::join_all(ending).await;
    }

    /// Ends a unit that no row knows. If its workspace is `gone` it is forgotten, and the workspace with its last one.
    pub(crate) async fn end_orphan(&self, kind: RuntimeKind, unit: Unit, gone: Option<bool>, grace_ms: i64) {
        let grace = Duration::from_millis(grace_ms.unsigned_abs());
        if matches!(self.look(kind, unit).await, Sight::Running) {
            tracing::warn!(boot = %unit.boot, workspace = %unit.workspace, "an agent runs that no row knows; it is stopped");
            if let Err(fault) = self.stop(kind, unit, grace).await {
                tracing::warn!(boot = %unit.boot, %fault, "it could not be stopped");
                return;
            }
        }
        let Some(last) = gone else { return };
        if let Err(fault) = self.forget(kind, unit, last).await {
            tracing::warn!(boot = %unit.boot, %fault, "what it left could not be removed");
        }
    }
}
