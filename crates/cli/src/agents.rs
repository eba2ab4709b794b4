//! How this server runs agents: the `[agents]` part of the configuration, and the runtimes made from it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use portcullis_authority::Authority;
use portcullis_kernel::{id::ServerId, lifecycle::Timings, runtime::Runtime};
use portcullis_service::{
    runtime::{
        Places,
        container::{ContainerRuntime, ContainerSettings, Network},
        process::ProcessRuntime,
        swarm::{SwarmNetwork, SwarmRuntime, SwarmSettings},
    },
    supervisor::{Runtimes, Settings},
};
use serde::Deserialize;

use crate::error::Error;

/// Name of the runtime a workspace gets that names none.
const DEFAULT: &str = "default";
/// Longest time that may be configured, in seconds.
const SECONDS_MAX: i64 = 7 * 24 * 60 * 60;

/// `[agents]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentsFile {
    /// Start agents here. Off for a server that only serves.
    run: Option<bool>,
    /// Directory of agents; short, because of sockets.
    dir: Option<PathBuf>,
    /// Directory of secret files; in memory.
    secrets_dir: Option<PathBuf>,
    /// How agents reach this server, if not where it listens.
    url: Option<String>,
    /// Socket of the container engine.
    engine: Option<PathBuf>,
    /// Network of containers.
    network: Option<String>,
    /// Network of the swarm's agents.
    swarm_network: Option<String>,
    drain_s: Option<i64>,
    provision_s: Option<i64>,
    grace_s: Option<i64>,
    silent_s: Option<i64>,
    unresponsive_s: Option<i64>,
    crash_window_s: Option<i64>,
    crashes: Option<usize>,
    runtimes: BTreeMap<String, Runtime>,
}

/// How agents are run.
#[derive(Clone)]
pub struct Agents {
    /// At all.
    pub run: bool,
    /// Directory of agents, if it was named.
    pub dir: Option<PathBuf>,
    /// Directory of secret files, if it was named.
    pub secrets_dir: Option<PathBuf>,
    /// How agents reach the server; empty for where it listens.
    pub url: String,
    /// Socket of the container engine.
    pub engine: PathBuf,
    /// Network of containers.
    pub network: Network,
    /// Network of the swarm's agents.
    pub swarm_network: SwarmNetwork,
    /// How long things may take.
    pub timings: Timings,
}

impl Default for Agents {
    fn default() -> Self {
        Self {
            run: true,
            dir: None,
            secrets_dir: None,
            url: String::new(),
            engine: PathBuf::from("/var/run/docker.sock"),
            network: Network::Host,
            swarm_network: SwarmNetwork::Node,
            timings: Timings::default(),
        }
    }
}

impl AgentsFile {
    /// The settings, checked.
    pub fn read(&self) -> Result<Agents, Error> {
        let mut agents = Agents::default();
        let timings = &mut agents.timings;
        let seconds = [
            (self.drain_s, "drain_s", &mut timings.drain_ms),
            (self.provision_s, "provision_s", &mut timings.provision_ms),
            (self.grace_s, "grace_s", &mut timings.grace_ms),
            (self.silent_s, "silent_s", &mut timings.silent_ms),
            (self.unresponsive_s, "unresponsive_s", &mut timings.unresponsive_ms),
            (self.crash_window_s, "crash_window_s", &mut timings.crash_window_ms),
        ];
        for (given, name, limit) in seconds {
            match given {
                None => {}
                Some(seconds) if (1..=SECONDS_MAX).contains(&seconds) => *limit = seconds * 1000,
                Some(_) => return Err(Error::usage(format!("`agents.{name}` is 1 second to 7 days"))),
            }
        }
        match self.crashes {
            None => {}
            Some(crashes) if (1..=100).contains(&crashes) => timings.crashes_max = crashes,
            Some(_) => return Err(Error::usage("`agents.crashes` is 1 to 100")),
        }
        agents.run = self.run.unwrap_or(agents.run);
        agents.dir.clone_from(&self.dir);
        agents.secrets_dir.clone_from(&self.secrets_dir);
        agents.url = self.url.clone().unwrap_or_default();
        agents.engine = self.engine.clone().unwrap_or(agents.engine);
        if let Some(word) = &self.network {
            agents.network =
                Network::parse(word).ok_or_else(|| Error::usage("`agents.network` is `host`, `bridge` or `none`"))?;
        }
        if let Some(word) = &self.swarm_network {
            let refused = "`agents.swarm_network` is `bridge`, `host` or the name of a network of the swarm";
            agents.swarm_network = SwarmNetwork::parse(word).ok_or_else(|| Error::usage(refused))?;
        }
        Ok(agents)
    }

    /// Whether agents on other machines reach a server that listens here.
    pub fn reached_from_afar(&self, listen: SocketAddr) -> bool {
        match self.url.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => is_reached_from_afar(url),
            None => is_reached_from_afar(&format!("http://{listen}")),
        }
    }

    /// The named runtimes. Without a default of its own, a workspace gets the built-in echo agent as a process.
    pub fn runtimes(&self) -> Result<BTreeMap<String, Runtime>, Error> {
        let mut runtimes = self.runtimes.clone();
        for (name, runtime) in &runtimes {
            runtime.check().map_err(|error| Error::usage(format!("`agents.runtimes.{name}`: {error}")))?;
        }
        if self.run != Some(false) {
            runtimes.entry(DEFAULT.to_owned()).or_insert_with(Runtime::echo);
        }
        Ok(runtimes)
    }
}

/// Whether the host of a URL is one for other machines too: neither loopback nor "whatever I listen on".
fn is_reached_from_afar(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    match host.parse::<IpAddr>() {
        Ok(address) => !address.is_loopback() && !address.is_unspecified(),
        Err(_) => !host.is_empty() && !host.eq_ignore_ascii_case("localhost"),
    }
}

impl Agents {
    /// Opens the runtimes of an organisation. Blocks for as long as copying the program takes.
    pub fn open(&self, authority: &Authority, server: ServerId) -> Result<(Runtimes, Settings), Error> {
        let places = self.places(authority)?;
        let cannot = |fault: portcullis_service::runtime::RuntimeFault| {
            Error::fault(format!("AGENTS_UNUSABLE: {fault}"))
                .hint("set `agents.dir` and `agents.secrets_dir`, or serve with `--no-agents`")
        };
        let process = ProcessRuntime::open(places.clone()).map_err(cannot)?;
        // Also where there is no engine: it may come up, or be installed, while the server runs.
        let container = ContainerRuntime::new(ContainerSettings {
            socket: self.engine.clone(),
            organisation: authority.organisation(),
            network: self.network,
            places: places.clone(),
        });
        let swarm = SwarmRuntime::new(SwarmSettings {
            socket: self.engine.clone(),
            organisation: authority.organisation(),
            network: self.swarm_network.clone(),
            grace: Duration::from_millis(self.timings.grace_ms.unsigned_abs()),
            places: places.clone(),
        });
        // The end of the id is random.
        let organisation = authority.organisation().to_string();
        let range = u32::from_str_radix(organisation.get(33..).unwrap_or("0"), 16).unwrap_or(0) & 0xfff;
        let settings = Settings { timings: self.timings, url: self.url.clone(), places, range, server };
        Ok((Runtimes::new(process, container, swarm), settings))
    }

    fn places(&self, authority: &Authority) -> Result<Places, Error> {
        let program =
            std::env::current_exe().map_err(|error| Error::fault(format!("where is this program? {error}")))?;
        // The end of the id is random; its beginning is a time, which two organisations may share.
        let id = authority.organisation().to_string();
        let short = id.get(24..).unwrap_or(&id);
        let agents = match (&self.dir, crate::agents::is_root()) {
            (Some(dir), _) => dir.clone(),
            // Agents have users of their own then, who must be able to reach it.
            (None, true) => PathBuf::from("/var/lib/portcullis-agents").join(short),
            (None, false) => crate::settings::data_dir(None)?.with_file_name("portcullis-agents").join(short),
        };
        let secrets = self.secrets_dir.clone().unwrap_or_else(|| {
            PathBuf::from("/dev/shm").join(format!("portcullis-{}-{short}", nix::unistd::geteuid()))
        });
        Ok(Places { agents, secrets, program })
    }
}

/// Whether this process may give files to other users.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_alone_reaches_nobody_afar() {
        for near in [
            "http://127.0.0.1:8080",
            "http://localhost:1/x",
            "http://0.0.0.0:8080",
            "http://[::1]:1",
            "http://[::]",
            "",
        ] {
            assert!(!is_reached_from_afar(near), "{near}");
        }
        for far in ["http://192.0.2.1:8080", "https://portcullis.example", "http://[2001:db8::1]:80/"] {
            assert!(is_reached_from_afar(far), "{far}");
        }
    }
}
