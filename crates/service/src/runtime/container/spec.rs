//! What the engine is told about one run. No secret is in a name, a label or a command line.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};
use portcullis_kernel::{
    id::{BootId, OrganisationId},
    runtime::Limits,
    secret::SecretValue,
};

use super::{ContainerSettings, place::Place};
use crate::runtime::{RuntimeFault, Unit, container_environment};

/// The word that means this program itself: the built-in agent.
const BUILT_IN: &str = "portcullis";
/// Where this program is inside. A build that is linked to the C library needs an image that brings it.
const BUILT_IN_INSIDE: &str = "/.portcullis/portcullis";
/// The run's own directory inside, writable.
pub(in crate::runtime) const RUN: &str = "/run/portcullis";
/// Token and secret files inside, not writable.
pub(in crate::runtime) const SECRETS: &str = "/run/secrets-portcullis";
/// The workspace's directory inside, writable; it outlives the run.
pub(in crate::runtime) const WORK: &str = "/work";
/// Temporary files inside: memory of the container, gone with it.
pub(in crate::runtime) const TEMPORARY: (&str, &str) = ("/tmp", "rw,nosuid,nodev,mode=1777,size=256m");
/// The variable by which the engine's init passes signals on to the agent's whole group.
const SIGNAL_GROUP: &str = "TINI_KILL_PROCESS_GROUP";

pub(in crate::runtime) const ORGANISATION: &str = "portcullis.organisation";
pub(in crate::runtime) const WORKSPACE: &str = "portcullis.workspace";
pub(in crate::runtime) const BOOT: &str = "portcullis.boot";

/// Most processes and threads, unless the workspace says otherwise.
pub(in crate::runtime) const PROCESSES: u32 = 512;
/// Size of a log file and how many of them are kept.
pub(in crate::runtime) const LOG: [(&str, &str); 2] = [("max-size", "4m"), ("max-file", "2")];
pub(in crate::runtime) const MIB: i64 = 1024 * 1024;

/// The name of the container, or service, of a boot.
pub(in crate::runtime) fn name(boot: BootId) -> String {
    format!("portcullis-{boot}")
}

/// Whether these are the labels of this unit of this organisation.
pub(in crate::runtime) fn is_ours(labels: &HashMap<String, String>, organisation: OrganisationId, of: Unit) -> bool {
    labels.get(ORGANISATION) == Some(&organisation.to_string()) && unit(labels) == Some(of)
}

/// Which unit these are the labels of.
pub(in crate::runtime) fn unit(labels: &HashMap<String, String>) -> Option<Unit> {
    Some(Unit { workspace: labels.get(WORKSPACE)?.parse().ok()?, boot: labels.get(BOOT)?.parse().ok()? })
}

/// What to ask the engine for, to hear of all containers of an organisation.
pub(in crate::runtime) fn filter(organisation: OrganisationId) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{ORGANISATION}={organisation}")])])
}

/// What to run.
pub(super) struct Program {
    pub image: Option<String>,
    pub command: Vec<String>,
    pub limits: Limits,
    pub settings: BTreeMap<String, String>,
    pub variables: Vec<(String, SecretValue)>,
    /// `uid:gid` inside.
    pub user: String,
}

/// The whole configuration of a container.
pub(super) fn body(
    settings: &ContainerSettings,
    unit: Unit,
    place: &Place,
    program: Program,
) -> Result<ContainerCreateBody, RuntimeFault> {
    let permanent = |text: &str| RuntimeFault::Permanent(text.to_owned());
    let image = program.image.ok_or_else(|| permanent("a container needs an image"))?;
    let mut words = program.command.into_iter();
    let first = words.next().ok_or_else(|| permanent("there is no command to run"))?;
    let mut mounts =
        vec![bind(place.run(), RUN, false)?, bind(place.secrets(), SECRETS, true)?, bind(place.work(), WORK, false)?];
    let first = if first == BUILT_IN {
        mounts.push(bind(&settings.places.program, BUILT_IN_INSIDE, true)?);
        BUILT_IN_INSIDE.to_owned()
    } else {
        first
    };
    let labels = [
        (ORGANISATION, settings.organisation.to_string()),
        (WORKSPACE, unit.workspace.to_string()),
        (BOOT, unit.boot.to_string()),
    ];
    let mut public = program.settings;
    public.extend(inside(unit).map(|(name, value)| (name.to_owned(), value)));
    Ok(ContainerCreateBody {
        image: Some(image),
        // Both replace the image's own.
        entrypoint: Some(vec![first]),
        cmd: Some(words.collect()),
        env: Some(container_environment::variables(public, program.variables)?),
        user: Some(program.user),
        working_dir: Some(WORK.to_owned()),
        labels: Some(labels.map(|(name, value)| (name.to_owned(), value)).into()),
        stop_signal: Some("SIGTERM".to_owned()),
        // Liveness is judged by the control plane alone.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(host(settings, program.limits, mounts)),
        ..ContainerCreateBody::default()
    })
}

/// What every agent finds, beside what its launch says.
pub(in crate::runtime) fn inside(unit: Unit) -> [(&'static str, String); 10] {
    [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOME", WORK.to_owned()),
        ("TMPDIR", TEMPORARY.0.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("PORTCULLIS_BOOT_ID", unit.boot.to_string()),
        ("PORTCULLIS_RUN_DIR", RUN.to_owned()),
        ("PORTCULLIS_CONTEXT_FILE", format!("{RUN}/{}", Place::CONTEXT)),
        ("PORTCULLIS_TOKEN_FILE", format!("{SECRETS}/{}", Place::TOKEN)),
        ("PORTCULLIS_SECRETS_DIR", format!("{SECRETS}/{}", Place::FILES)),
        (SIGNAL_GROUP, "1".to_owned()),
    ]
}

fn host(settings: &ContainerSettings, limits: Limits, mounts: Vec<Mount>) -> HostConfig {
    let Limits { memory_mb, processes, open_files } = limits;
    let memory = memory_mb.map(|mb| i64::from(mb) * MIB);
    let open_files = open_files.map(i64::from);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    HostConfig {
        mounts: Some(mounts),
        tmpfs: Some(HashMap::from([owned(TEMPORARY)])),
        network_mode: Some(settings.network.as_str().to_owned()),
        memory,
        // Equal means: no swap on top.
        memory_swap: memory,
        pids_limit: Some(processes.unwrap_or(PROCESSES).into()),
        ulimits: open_files.map(|limit| {
            vec![ResourcesUlimits { name: Some("nofile".to_owned()), soft: Some(limit), hard: Some(limit) }]
        }),
        init: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(LOG.map(owned).into()),
        }),
        ..HostConfig::default()
    }
}

fn bind(from: &std::path::Path, to: &str, read_only: bool) -> Result<Mount, RuntimeFault> {
    let unreadable = || RuntimeFault::Permanent("the engine takes only paths that are UTF-8".to_owned());
    let from = from.to_str().ok_or_else(unreadable)?;
    Ok(Mount {
        typ: Some(MountType::BIND),
        source: Some(from.to_owned()),
        target: Some(to.to_owned()),
        read_only: Some(read_only),
        ..Mount::default()
    })
}
