//! A PostgreSQL of our own for the tests: found or installed, started on a free port, gone afterwards.
//!
//! No configuration of the machine is read or changed, and a server that already runs is never touched.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::step;

/// The Debian package that brings `initdb` and `postgres`.
const PACKAGE: &str = "postgresql";

/// Where Debian puts the server binaries, one directory per major version; they are not on the path.
const DEBIAN: &str = "/usr/lib/postgresql";

/// How often to pick another port when the free one was taken before the server came to it.
const ATTEMPTS: usize = 3;

/// Finds the directory of the server binaries, installing them where that is possible.
pub fn ensure() -> Result<PathBuf, String> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let advice = format!("install the package `{PACKAGE}` (apt-get install {PACKAGE}) and try again");
    if !is_root() {
        return Err(format!("no PostgreSQL server binaries in PATH or {DEBIAN}, and only root can add them; {advice}"));
    }
    step::say(&format!("== no PostgreSQL found; installing the package `{PACKAGE}`"));
    apt_get(&["update"])
        .and_then(|()| apt_get(&["install", "-y", "--no-install-recommends", PACKAGE]))
        .map_err(|reason| format!("{reason}; {advice}"))?;
    find().ok_or_else(|| format!("`{PACKAGE}` is installed but brought no server binaries; {advice}"))
}

fn find() -> Option<PathBuf> {
    let path = step::environment("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|e| e.path()).collect();
    // Newest first; numbers, since 9 sorts after 15 as text.
    versions.sort_by_key(|dir| std::cmp::Reverse(dir.file_name().and_then(|n| n.to_str()?.parse::<u32>().ok())));
    let debian = versions.into_iter().map(|dir| dir.join("bin"));
    on_path.into_iter().chain(debian).find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    // Nobody is there to answer a question.
    let quiet = ("DEBIAN_FRONTEND", "noninteractive");
    step::succeed(Command::new("apt-get").args(arguments).env(quiet.0, quiet.1).stdin(Stdio::null()))
}

/// A running server. Its keeper (`keeper.sh`) stops it and removes its directory as soon as this value is dropped or
/// this process ends in any way at all.
pub struct Cluster {
    keeper: Child,
    url: String,
}

impl Cluster {
    /// Starts an empty cluster and waits until it takes connections.
    pub fn start(binaries: &Path) -> Result<Self, String> {
        let mut outcome = Self::try_start(binaries);
        for _ in 1..ATTEMPTS {
            if outcome.is_ok() {
                break;
            }
            outcome = Self::try_start(binaries);
        }
        outcome
    }

    fn try_start(binaries: &Path) -> Result<Self, String> {
        let port = free_port().map_err(|error| format!("no free port on 127.0.0.1: {error}"))?;
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("keeper.sh"), "keeper"]).arg(binaries).arg(port.to_string());
        // A group of its own: an interrupt at the terminal reaches us and not the keeper, who then tidies up after us.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command.spawn().map_err(|error| format!("cannot run `sh`: {error}"))?;
        let said = keeper.stdout.take().map(BufReader::new).and_then(|output| output.lines().next()?.ok());
        let cluster = Self { keeper, url: format!("postgres://postgres@127.0.0.1:{port}/postgres") };
        if said.as_deref() == Some("ready") {
            Ok(cluster)
        } else {
            Err("PostgreSQL did not start; its own words are above".to_owned())
        }
    }

    /// Where tests find the server; they create their own databases in it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server and says whether its keeper was content.
    pub fn stop(mut self) -> Result<(), String> {
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        // The end of its input is what the keeper waits for.
        drop(self.keeper.stdin.take());
        let status = self.keeper.wait().map_err(|error| format!("cannot wait for the cluster's keeper: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("the cluster's keeper ended with {status}")) }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // After `stop` this finds the keeper's remembered status and does nothing more.
        if let Err(reason) = self.end() {
            step::complain(&reason);
        }
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
