//! The swarm's manager: few calls over the engine's socket, each with a time limit, and errors in our words.

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::{
    errors::Error,
    models::{Node, NodeState, SecretSpec, Service, ServiceSpec, Task},
    query_parameters::{
        ListNodesOptions, ListSecretsOptions, ListServicesOptions, ListTasksOptions, LogsOptions, RemoveVolumeOptions,
        UpdateServiceOptions,
    },
};
use portcullis_kernel::id::{BootId, OrganisationId};
use tokio::sync::Mutex;

use super::{
    parcel::{Delivered, Parcel},
    sight::Found,
    spec,
};
use crate::runtime::{
    LogPiece, LogRange, RuntimeFault, Unit,
    container::{
        engine::{ANSWER, Engine, collect, complained, fault, last_words, log_options, status, within},
        log::Lines,
        spec::{BOOT, filter, is_ours, name, unit},
    },
};

/// How an engine says that it does not manage a swarm.
const NO_MANAGER: [&str; 2] = ["not a swarm manager", "not part of a swarm"];
/// The status with which it says so.
const NO_MANAGER_STATUS: u16 = 503;

/// Whether an engine manages a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Managing {
    /// It is a manager and its swarm has a leader.
    pub manages: bool,
    /// Nodes of the swarm.
    pub nodes: usize,
    /// Those of them that are ready.
    pub ready: usize,
}

/// Everything of ours in the swarm at one moment.
#[derive(Default)]
struct Survey {
    services: HashMap<String, Service>,
    tasks: HashMap<String, Vec<Task>>,
    nodes: HashMap<String, Option<NodeState>>,
}

/// A connection to a manager.
pub(super) struct Manager {
    engine: Engine,
    organisation: OrganisationId,
    /// One survey serves every unit that looks at about the same time.
    last: Mutex<Option<(Instant, Arc<Survey>)>>,
}

impl Manager {
    pub(super) fn new(socket: &Path, organisation: OrganisationId) -> Self {
        Self { engine: Engine::new(socket), organisation, last: Mutex::default() }
    }

    pub(super) fn has_limits(&self) -> bool {
        self.engine.has_limits()
    }

    /// What the swarm calls itself; nothing while no manager answers.
    pub(super) async fn cluster(&self) -> Option<String> {
        let docker = self.engine.docker().await.ok()?;
        let info = within(ANSWER, async { docker.info().await.map_err(fault) }).await.ok()?;
        info.swarm?.cluster?.id.filter(|id| !id.is_empty())
    }

    /// Everything of ours, as it was not longer than this ago.
    async fn survey(&self, at_most: Duration) -> Result<Arc<Survey>, RuntimeFault> {
        // Held while asking: whoever comes meanwhile takes this answer.
        let mut last = self.last.lock().await;
        if let Some((_, survey)) = last.as_ref().filter(|(at, _)| at.elapsed() <= at_most) {
            return Ok(Arc::clone(survey));
        }
        let at = Instant::now();
        let survey = Arc::new(self.ask().await?);
        *last = Some((at, Arc::clone(&survey)));
        Ok(survey)
    }

    async fn ask(&self) -> Result<Survey, RuntimeFault> {
        let docker = self.engine.docker().await?;
        let options = ListServicesOptions { filters: Some(filter(self.organisation)), ..Default::default() };
        within(ANSWER, async {
            let mut survey = Survey::default();
            for service in docker.list_services(Some(options)).await.map_err(fault)? {
                let key = service.spec.as_ref().and_then(|spec| spec.name.clone()).unwrap_or_default();
                survey.services.insert(key, service);
            }
            // Not filtered: the engine's filter does not know the labels of a task's service in every version.
            for task in docker.list_tasks(None::<ListTasksOptions>).await.map_err(fault)? {
                survey.tasks.entry(task.service_id.clone().unwrap_or_default()).or_default().push(task);
            }
            for node in docker.list_nodes(None::<ListNodesOptions>).await.map_err(fault)? {
                let state = node.status.and_then(|status| status.state);
                survey.nodes.insert(node.id.unwrap_or_default(), state);
            }
            Ok(survey)
        })
        .await
    }

    /// The service of a unit of ours, as it was not longer than this ago.
    pub(super) async fn find(&self, of: Unit, at_most: Duration) -> Result<Option<Found>, RuntimeFault> {
        let survey = self.survey(at_most).await?;
        let Some(service) = survey.services.get(&name(of.boot)) else { return Ok(None) };
        let labels = service.spec.as_ref().and_then(|spec| spec.labels.as_ref());
        if !labels.is_some_and(|labels| is_ours(labels, self.organisation, of)) {
            return Ok(None);
        }
        let tasks = service.id.as_ref().and_then(|id| survey.tasks.get(id)).cloned().unwrap_or_default();
        Ok(Some(Found::new(service.clone(), tasks, survey.nodes.clone())))
    }

    /// What is known is not true any more.
    async fn changed(&self) {
        *self.last.lock().await = None;
    }

    /// `false` when the name is taken.
    pub(super) async fn create(&self, spec: ServiceSpec) -> Result<bool, RuntimeFault> {
        let docker = self.engine.docker().await?;
        let created = within(ANSWER, async {
            match docker.create_service(spec, None).await {
                Ok(_) => Ok(true),
                Err(error) if status(&error) == Some(409) => Ok(false),
                Err(error) => Err(fault(error)),
            }
        })
        .await;
        self.changed().await;
        created
    }

    /// Changes a service from the state in which it was found.
    pub(super) async fn update(&self, found: &Found, spec: ServiceSpec) -> Result<(), RuntimeFault> {
        let late = |_| RuntimeFault::Permanent("the service's version is out of range".to_owned());
        let version = i32::try_from(found.version).map_err(late)?;
        let options = UpdateServiceOptions { version, registry_auth_from: "spec".to_owned(), rollback: None };
        let docker = self.engine.docker().await?;
        let updated = within(ANSWER, async {
            docker.update_service(&found.id, spec, options, None).await.map(|_| ()).map_err(fault)
        })
        .await;
        self.changed().await;
        updated
    }

    /// One that is not there is fine.
    pub(super) async fn remove(&self, boot: BootId) -> Result<(), RuntimeFault> {
        let docker = self.engine.docker().await?;
        let removed = within(ANSWER, async { gone_is_fine(docker.delete_service(&name(boot)).await) }).await;
        self.changed().await;
        removed
    }

    /// Makes the secrets of a unit, in this order.
    pub(super) async fn deliver(&self, of: Unit, parcels: Vec<Parcel>) -> Result<Vec<Delivered>, RuntimeFault> {
        let docker = self.engine.docker().await?;
        let mut delivered = Vec::with_capacity(parcels.len());
        for (index, Parcel { target, content, is_script }) in parcels.into_iter().enumerate() {
            let name = format!("{}-{index}", name(of.boot));
            let spec = SecretSpec {
                name: Some(name.clone()),
                labels: Some(spec::labels(self.organisation, of)),
                // The client takes a plain text; its memory is not wiped.
                data: Some((*content).clone()),
                ..SecretSpec::default()
            };
            let created = within(ANSWER, async { docker.create_secret(spec).await.map_err(fault) }).await?;
            delivered.push(Delivered { id: created.id, name, target, is_script });
        }
        Ok(delivered)
    }

    /// The secrets there are of a boot, or of all our boots: id and unit.
    async fn secrets(&self, of: Option<BootId>) -> Result<Vec<(String, Unit)>, RuntimeFault> {
        let mut filters = filter(self.organisation);
        if let (Some(boot), Some(labels)) = (of, filters.get_mut("label")) {
            labels.push(format!("{BOOT}={boot}"));
        }
        let options = ListSecretsOptions { filters: Some(filters) };
        let docker = self.engine.docker().await?;
        within(ANSWER, async {
            let listed = docker.list_secrets(Some(options)).await.map_err(fault)?;
            let ours = listed.into_iter().filter_map(|secret| {
                let labels = secret.spec.and_then(|spec| spec.labels)?;
                Some((secret.id?, unit(&labels)?))
            });
            Ok(ours.filter(|(_, unit)| of.is_none_or(|boot| boot == unit.boot)).collect())
        })
        .await
    }

    /// Removes the secrets of a boot. A service that still names one keeps it.
    pub(super) async fn withdraw(&self, boot: BootId) -> Result<(), RuntimeFault> {
        let docker = self.engine.docker().await?;
        for (id, _) in self.secrets(Some(boot)).await? {
            within(ANSWER, async { gone_is_fine(docker.delete_secret(&id).await) }).await?;
        }
        Ok(())
    }

    /// Everything there is of us: services, and secrets whose service was never made.
    pub(super) async fn units(&self) -> Result<Vec<Unit>, RuntimeFault> {
        let docker = self.engine.docker().await?;
        let options = ListServicesOptions { filters: Some(filter(self.organisation)), ..Default::default() };
        let listed = within(ANSWER, async { unless_none(docker.list_services(Some(options)).await) });
        // Most engines manage no swarm, and that is nothing to complain about.
        let Some(services) = listed.await? else { return Ok(Vec::new()) };
        let mut units: Vec<_> =
            services.iter().filter_map(|service| unit(service.spec.as_ref()?.labels.as_ref()?)).collect();
        units.extend(self.secrets(None).await?.into_iter().map(|(_, unit)| unit));
        units.sort_unstable();
        units.dedup();
        Ok(units)
    }

    /// Removes a volume from this node; on others it stays.
    pub(super) async fn remove_volume(&self, name: &str) -> Result<(), RuntimeFault> {
        let docker = self.engine.docker().await?;
        within(ANSWER, async { gone_is_fine(docker.remove_volume(name, None::<RemoveVolumeOptions>).await) }).await
    }

    /// Reads a piece of the log of a task.
    pub(super) async fn logs(&self, task: &str, range: LogRange, ended: bool) -> Result<LogPiece, RuntimeFault> {
        let lines = Lines::new(range);
        let options = LogsOptions { since: lines.since(), tail: lines.tail(), ..log_options() };
        collect(lines, self.engine.docker().await?.task_logs(task, Some(options)), ended).await
    }

    /// Whether the engine's init says that it could not execute the program.
    pub(super) async fn init_complained(&self, task: &str) -> Result<bool, RuntimeFault> {
        complained(self.engine.docker().await?.task_logs(task, Some(last_words()))).await
    }
}

/// What the engine behind this socket says of its swarm.
pub async fn managing(socket: &Path) -> Result<Managing, RuntimeFault> {
    let engine = Engine::new(socket);
    let docker = engine.docker().await?;
    let listed = within(ANSWER, async { unless_none(docker.list_nodes(None::<ListNodesOptions>).await) }).await?;
    let Some(nodes) = listed else { return Ok(Managing { manages: false, nodes: 0, ready: 0 }) };
    let state = |node: &Node| node.status.as_ref().and_then(|status| status.state);
    let ready = nodes.iter().filter(|node| state(node) == Some(NodeState::READY)).count();
    Ok(Managing { manages: true, nodes: nodes.len(), ready })
}

/// `None` from an engine that manages no swarm. One whose swarm has no leader is a fault.
fn unless_none<T>(answer: Result<T, Error>) -> Result<Option<T>, RuntimeFault> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::DockerResponseServerError { status_code: NO_MANAGER_STATUS, message })
            if NO_MANAGER.iter().any(|words| message.contains(words)) =>
        {
            Ok(None)
        }
        Err(error) => Err(fault(error)),
    }
}

fn gone_is_fine(answer: Result<(), Error>) -> Result<(), RuntimeFault> {
    match answer {
        Err(error) if status(&error) != Some(404) => Err(fault(error)),
        _ => Ok(()),
    }
}
