//! What a server is told: flags over environment over one optional TOML file over defaults. Unknown keys are errors, so
//! that a misspelt limit is not silently the default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_authority::{AdminToken, Authority, Config, Opening, clock::Clock};
use portcullis_service::{Connections, Rates};
use serde::Deserialize;

use crate::agents::{Agents, AgentsFile};
use crate::environment;
use crate::error::Error;

/// Where the server listens unless told otherwise.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7717);
const CONFIG_FILE: &str = "portcullis.toml";
/// Longest time a server may take to leave, in seconds.
const LEAVE_S_MAX: u64 = 600;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    server: Server,
    limits: Limits,
    approvals: Approvals,
    agents: AgentsFile,
    log: Log,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Server {
    data: Option<PathBuf>,
    listen: Option<SocketAddr>,
    /// `https://…` when a proxy in front speaks TLS: cookies are then `Secure`.
    public_url: Option<String>,
    connections: Option<usize>,
    head_wait_s: Option<u64>,
    body_wait_s: Option<u64>,
    silence_s: Option<u64>,
    /// How long a server that is asked to stop goes on answering, no longer ready: for a balancer to notice.
    leave_s: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    approval_expires_s: Option<i64>,
    step_up_s: Option<i64>,
    session_s: Option<i64>,
    session_idle_s: Option<i64>,
    token_s: Option<i64>,
    token_max_s: Option<i64>,
    code_s: Option<i64>,
    store_wait_s: Option<i64>,
    pending_per_principal: Option<i64>,
    calls_per_s: Option<u32>,
    refusals_per_min: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Approvals {
    break_glass: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Log {
    level: Option<String>,
    json: bool,
}

/// Everything a server needs to start.
pub struct Settings {
    /// Directory of keys and, with SQLite, of the database.
    pub data: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How the service is reached from outside, if not by `listen`.
    pub public_url: Option<String>,
    /// Between the request to stop and the last connection that is accepted.
    pub leave: Duration,
    /// How agents are run.
    pub agents: Agents,
    /// What clients may keep waiting, and how many.
    pub connections: Connections,
    /// Limits.
    pub config: Config,
    /// How much one subject may ask for through the agents' doors.
    pub rates: Rates,
    /// Filter of the log.
    pub log_level: String,
    /// Log as JSON lines.
    pub log_json: bool,
}

/// The platform's directory for this program's data.
pub fn data_dir(flag: Option<&Path>) -> Result<PathBuf, Error> {
    use etcetera::BaseStrategy;
    if let Some(dir) = flag {
        return Ok(dir.to_path_buf());
    }
    let strategy = etcetera::choose_base_strategy()
        .map_err(|_| Error::usage("this user has no home directory").hint("give `--data DIR`"))?;
    Ok(strategy.data_dir().join("portcullis"))
}

impl Settings {
    /// Reads the file, if there is one, and lays the flags over it.
    pub fn load(data: Option<&Path>, listen: Option<SocketAddr>, config: Option<&Path>) -> Result<Self, Error> {
        let early = data_dir(data)?;
        let path = config.map_or_else(|| early.join(CONFIG_FILE), Path::to_path_buf);
        let file = match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                Error::usage(format!("`{}`: {}", path.display(), error.message()))
                    .hint("see the configuration table in the README")
            })?,
            Err(error) if config.is_none() && error.kind() == std::io::ErrorKind::NotFound => File::default(),
            Err(error) => return Err(Error::usage(format!("cannot read `{}`: {error}", path.display()))),
        };
        let data = match (data, file.server.data.as_deref()) {
            (None, Some(dir)) => dir.to_path_buf(),
            _ => early,
        };
        let connections = connections(&file.server)?;
        let listen = listen.or(file.server.listen).unwrap_or(LISTEN_DEFAULT);
        let (runtimes, reached_from_afar) = (file.agents.runtimes()?, file.agents.reached_from_afar(listen));
        if let Some((name, _)) = runtimes.iter().find(|(_, runtime)| runtime.kind.is_remote() && !reached_from_afar) {
            return Err(Error::usage(format!(
                "`agents.runtimes.{name}` is of the swarm, whose nodes do not reach this server"
            ))
            .hint("set `agents.url` to an address that every node reaches"));
        }
        Ok(Self {
            data,
            connections,
            listen,
            leave: leave(file.server.leave_s)?,
            public_url: file.server.public_url,
            agents: file.agents.read()?,
            config: Config { runtimes, reached_from_afar, ..limits(&file.limits, file.approvals.break_glass)? },
            rates: rates(&file.limits)?,
            log_level: file.log.level.unwrap_or_else(|| "info".to_owned()),
            log_json: file.log.json,
        })
    }

    /// Cookies are `Secure` unless this is plain HTTP on loopback.
    pub fn secure_cookies(&self) -> bool {
        match &self.public_url {
            Some(url) => url.starts_with("https://"),
            None => !self.listen.ip().is_loopback(),
        }
    }

    /// Where people reach it.
    pub fn url(&self, listening: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| format!("http://{listening}"))
    }
}

fn leave(given: Option<u64>) -> Result<Duration, Error> {
    match given.unwrap_or_default() {
        seconds @ 0..=LEAVE_S_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::usage(format!("`server.leave_s` is 0 to {LEAVE_S_MAX} seconds"))),
    }
}

fn limits(file: &Limits, break_glass: bool) -> Result<Config, Error> {
    let mut config = Config { break_glass, ..Config::default() };
    let seconds = [
        (file.approval_expires_s, "approval_expires_s", &mut config.approval_expires_ms),
        (file.step_up_s, "step_up_s", &mut config.step_up_ms),
        (file.session_s, "session_s", &mut config.session_ms),
        (file.session_idle_s, "session_idle_s", &mut config.session_idle_ms),
        (file.token_s, "token_s", &mut config.token_ms),
        (file.token_max_s, "token_max_s", &mut config.token_ms_max),
        (file.code_s, "code_s", &mut config.code_ms),
        (file.store_wait_s, "store_wait_s", &mut config.store_wait_ms),
    ];
    for (given, name, limit) in seconds {
        if let Some(seconds) = given {
            let fine = (1..=10 * 365 * 24 * 60 * 60).contains(&seconds);
            *limit = if fine {
                seconds * 1000
            } else {
                return Err(Error::usage(format!("`limits.{name}` is 1 second to 10 years")));
            };
        }
    }
    if let Some(count) = file.pending_per_principal {
        let fine = (1..=10_000).contains(&count);
        config.pending_per_principal_max =
            if fine { count } else { return Err(Error::usage("`limits.pending_per_principal` is 1 to 10000")) };
    }
    Ok(config)
}

fn connections(file: &Server) -> Result<Connections, Error> {
    let mut limits = Connections::default();
    if let Some(count) = file.connections {
        let fine = (16..=100_000).contains(&count);
        limits.max = if fine { count } else { return Err(Error::usage("`server.connections` is 16 to 100000")) };
    }
    let waits = [
        (file.head_wait_s, "head_wait_s", &mut limits.head_wait),
        (file.body_wait_s, "body_wait_s", &mut limits.body_wait),
        (file.silence_s, "silence_s", &mut limits.silence),
    ];
    for (given, name, wait) in waits {
        if let Some(seconds) = given {
            let fine = (1..=3600).contains(&seconds);
            *wait = if fine {
                Duration::from_secs(seconds)
            } else {
                return Err(Error::usage(format!("`server.{name}` is 1 second to an hour")));
            };
        }
    }
    Ok(limits)
}

fn rates(file: &Limits) -> Result<Rates, Error> {
    let mut rates = Rates::default();
    let given = [
        (file.calls_per_s, "calls_per_s", &mut rates.calls_per_s),
        (file.refusals_per_min, "refusals_per_min", &mut rates.refusals_per_min),
    ];
    for (given, name, rate) in given {
        if let Some(count) = given {
            let fine = NonZeroU32::new(count).filter(|count| count.get() <= 1_000_000);
            *rate = fine.ok_or_else(|| Error::usage(format!("`limits.{name}` is 1 to 1000000")))?;
        }
    }
    Ok(rates)
}

/// Opens the organisation of these settings. Blocking work, so on a thread for it.
pub async fn open(data: PathBuf, config: Config, admin_token: AdminToken) -> Result<Authority, Error> {
    let opened = tokio::task::spawn_blocking(move || {
        let url = environment::database_url();
        let root_key = environment::root_key_file();
        Authority::open(Opening {
            data_dir: &data,
            database_url: url.as_ref().map(crate::hidden::Hidden::reveal),
            root_key_file: root_key.as_deref(),
            admin_token,
            config,
            clock: Clock::default(),
        })
    });
    let opened = opened.await.map_err(|error| Error::fault(format!("cannot start: {error}")))?;
    opened.map_err(|error| Error::fault(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_limit_is_an_error_and_not_the_default() {
        assert!(toml::from_str::<File>("[limits]\nsesion_s = 5").is_err());
        assert!(toml::from_str::<File>("[server]\nlisten = \"127.0.0.1:1\"\n[limits]\nsession_s = 5").is_ok());
        assert!(limits(&Limits { session_s: Some(0), ..Limits::default() }, false).is_err());
    }

    #[test]
    fn cookies_are_secure_everywhere_but_on_plain_loopback() {
        let settings = |listen: &str, public_url: Option<&str>| Settings {
            data: PathBuf::new(),
            connections: Connections::default(),
            listen: listen.parse().unwrap(),
            public_url: public_url.map(str::to_owned),
            leave: Duration::ZERO,
            agents: Agents::default(),
            config: Config::default(),
            rates: Rates::default(),
            log_level: String::new(),
            log_json: false,
        };
        assert!(!settings("127.0.0.1:1", None).secure_cookies());
        assert!(settings("0.0.0.0:1", None).secure_cookies());
        assert!(settings("127.0.0.1:1", Some("https://x")).secure_cookies());
    }
}
