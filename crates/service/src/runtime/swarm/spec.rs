//! What the swarm is told about one run: a service of one task that is never started twice. No secret is in it.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    HealthConfig, Limit, Mount, MountTmpfsOptions, MountType, MountVolumeOptions, NetworkAttachmentConfig,
    ResourcesUlimits, ServiceSpec, ServiceSpecMode, ServiceSpecModeReplicated, ServiceSpecUpdateConfig, TaskSpec,
    TaskSpecContainerSpec, TaskSpecContainerSpecFile, TaskSpecContainerSpecPrivileges, TaskSpecContainerSpecSecrets,
    TaskSpecLogDriver, TaskSpecPlacement, TaskSpecResources, TaskSpecRestartPolicy, TaskSpecRestartPolicyConditionEnum,
};
use portcullis_kernel::{id::OrganisationId, runtime::Limits};

use super::{SwarmNetwork, SwarmSettings, parcel::Delivered};
use crate::runtime::{
    RuntimeFault, Unit,
    container::place::Place,
    container::spec::{BOOT, LOG, MIB, ORGANISATION, PROCESSES, RUN, SECRETS, TEMPORARY, WORK, WORKSPACE, name},
};

/// A constraint that no node meets: node ids have 25 characters. A service that has it starts nothing any more.
pub(super) const NOWHERE: &str = "node.id==nowhere";
/// The label that says what was asked of a service, and its values.
pub(super) const ASKED: &str = "portcullis.asked";
/// It was to stop.
pub(super) const TO_STOP: &str = "stop";
/// It had ended, or was given up.
pub(super) const TO_END: &str = "end";
/// No node took it in time.
pub(super) const UNPLACED: &str = "unplaced";

/// Mode of a directory of which everybody in the container may make use.
const SHARED: i64 = 0o1777;
/// Mode of the directory of secret files while there are none.
const READABLE: i64 = 0o555;
/// Bytes of temporary files. They are the container's memory.
const TEMPORARY_BYTES: i64 = 256 * MIB;
/// Bytes of the run's own directory.
const RUN_BYTES: i64 = 16 * MIB;

/// The labels of everything that belongs to a unit.
pub(super) fn labels(organisation: OrganisationId, unit: Unit) -> HashMap<String, String> {
    let all = [
        (ORGANISATION, organisation.to_string()),
        (WORKSPACE, unit.workspace.to_string()),
        (BOOT, unit.boot.to_string()),
    ];
    all.map(|(name, value)| (name.to_owned(), value)).into()
}

/// The name of the volume in which the work of a workspace is, on each node it was on.
pub(super) fn volume(unit: Unit) -> String {
    format!("portcullis-{}", unit.workspace)
}

/// What to run.
pub(super) struct Program {
    pub image: Option<String>,
    pub command: Vec<String>,
    pub limits: Limits,
    pub placement: Vec<String>,
    pub public: BTreeMap<String, String>,
    pub user: u32,
}

/// The whole configuration of a service, with its secrets by id.
pub(super) fn body(
    settings: &SwarmSettings,
    unit: Unit,
    program: Program,
    delivered: &[Delivered],
) -> Result<ServiceSpec, RuntimeFault> {
    let permanent = |text: &str| RuntimeFault::Permanent(text.to_owned());
    let image = program.image.ok_or_else(|| permanent("an agent of the swarm needs an image"))?;
    if program.command.is_empty() {
        return Err(permanent("there is no command to run"));
    }
    let mut words = command(program.command, delivered).into_iter();
    let user = program.user.to_string();
    let nanoseconds = i64::try_from(settings.grace.as_nanos()).unwrap_or(i64::MAX);
    let container = TaskSpecContainerSpec {
        image: Some(image),
        // Both replace the image's own. No labels: those of a container of this machine are another runtime's business.
        command: words.next().map(|first| vec![first]),
        args: Some(words.collect()),
        env: Some(program.public.into_iter().map(|(name, value)| format!("{name}={value}")).collect()),
        user: Some(format!("{user}:{user}")),
        dir: Some(WORK.to_owned()),
        mounts: Some(mounts(settings.organisation, unit, delivered)),
        secrets: Some(delivered.iter().map(|one| secret(one, &user)).collect()),
        stop_signal: Some("SIGTERM".to_owned()),
        stop_grace_period: Some(nanoseconds),
        // Liveness is judged by the control plane alone.
        health_check: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        init: Some(true),
        // Engines before 28 leave it unheeded. Without capabilities a program of another user gains nothing there either.
        privileges: Some(TaskSpecContainerSpecPrivileges {
            no_new_privileges: Some(true),
            ..TaskSpecContainerSpecPrivileges::default()
        }),
        capability_drop: Some(vec!["ALL".to_owned()]),
        ulimits: program.limits.open_files.map(i64::from).map(|limit| {
            vec![ResourcesUlimits { name: Some("nofile".to_owned()), soft: Some(limit), hard: Some(limit) }]
        }),
        ..TaskSpecContainerSpec::default()
    };
    let limits = Limit {
        nano_cpus: None,
        memory_bytes: program.limits.memory_mb.map(|mb| i64::from(mb) * MIB),
        pids: Some(program.limits.processes.unwrap_or(PROCESSES).into()),
    };
    let network = |name: &str| NetworkAttachmentConfig { target: Some(name.to_owned()), ..Default::default() };
    let task = TaskSpec {
        container_spec: Some(container),
        resources: Some(TaskSpecResources { limits: Some(limits), ..TaskSpecResources::default() }),
        // Never a second time, on this node or on another: the boot's token is in it.
        restart_policy: Some(TaskSpecRestartPolicy {
            condition: Some(TaskSpecRestartPolicyConditionEnum::NONE),
            max_attempts: Some(0),
            ..TaskSpecRestartPolicy::default()
        }),
        placement: Some(TaskSpecPlacement { constraints: Some(program.placement), ..TaskSpecPlacement::default() }),
        networks: Some(match &settings.network {
            SwarmNetwork::Node => Vec::new(),
            SwarmNetwork::Named(name) => vec![network(name)],
        }),
        log_driver: Some(TaskSpecLogDriver {
            name: Some("json-file".to_owned()),
            options: Some(LOG.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
        }),
        ..TaskSpec::default()
    };
    Ok(ServiceSpec {
        name: Some(name(unit.boot)),
        labels: Some(labels(settings.organisation, unit)),
        task_template: Some(task),
        mode: Some(ServiceSpecMode {
            replicated: Some(ServiceSpecModeReplicated { replicas: Some(1) }),
            ..ServiceSpecMode::default()
        }),
        ..ServiceSpec::default()
    })
}

/// The command, with a shell before it where variables are to be read. The built-in agent is `portcullis`, which the image
/// brings: nothing of this machine is on another node.
fn command(mut command: Vec<String>, delivered: &[Delivered]) -> Vec<String> {
    let scripts = delivered.iter().filter(|one| one.is_script);
    let read: String = scripts.map(|one| format!(". {} && ", one.target)).collect();
    if read.is_empty() {
        return command;
    }
    let script = format!("{read}unset PWD OLDPWD SHLVL && exec \"$@\"");
    let mut all = vec!["/bin/sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()];
    all.append(&mut command);
    all
}

/// The same service, told to start nothing any more, without its secrets.
pub(super) fn retired(spec: &ServiceSpec, asked: &str) -> ServiceSpec {
    let mut spec = spec.clone();
    spec.labels.get_or_insert_default().insert(ASKED.to_owned(), asked.to_owned());
    let task = spec.task_template.get_or_insert_default();
    task.placement.get_or_insert_default().constraints = Some(vec![NOWHERE.to_owned()]);
    task.container_spec.get_or_insert_default().secrets = Some(Vec::new());
    // All at once: where somebody made several, the second would wait for the first one's successor, which never runs.
    spec.update_config = Some(ServiceSpecUpdateConfig { parallelism: Some(0), ..ServiceSpecUpdateConfig::default() });
    spec
}

fn secret(delivered: &Delivered, user: &str) -> TaskSpecContainerSpecSecrets {
    TaskSpecContainerSpecSecrets {
        file: Some(TaskSpecContainerSpecFile {
            name: Some(delivered.target.clone()),
            uid: Some(user.to_owned()),
            gid: Some(user.to_owned()),
            mode: Some(0o400),
        }),
        secret_id: Some(delivered.id.clone()),
        secret_name: Some(delivered.name.clone()),
    }
}

fn mounts(organisation: OrganisationId, unit: Unit, delivered: &[Delivered]) -> Vec<Mount> {
    let memory = |target: &str, bytes: i64, mode: i64| Mount {
        typ: Some(MountType::TMPFS),
        target: Some(target.to_owned()),
        tmpfs_options: Some(MountTmpfsOptions { size_bytes: Some(bytes), mode: Some(mode), options: None }),
        ..Mount::default()
    };
    let work = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(volume(unit)),
        target: Some(WORK.to_owned()),
        volume_options: Some(MountVolumeOptions {
            labels: Some(
                labels(organisation, unit).into_iter().filter(|(name, _)| name != BOOT).collect::<HashMap<_, _>>(),
            ),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    };
    let mut mounts = vec![work, memory(TEMPORARY.0, TEMPORARY_BYTES, SHARED), memory(RUN, RUN_BYTES, SHARED)];
    let files = format!("{SECRETS}/{}", Place::FILES);
    // The directory is there also when nothing is in it.
    if !delivered.iter().any(|one| one.target.starts_with(&files)) {
        mounts.push(Mount { read_only: Some(true), ..memory(&files, MIB, READABLE) });
    }
    mounts
}
