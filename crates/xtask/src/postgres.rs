//! A PostgreSQL of our own for the tests: found or installed, started on a free port, gone afterwards.
//!
//! No configuration of the machine is read or changed, and a server that already runs is never touched.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::{keeper::Keeper, package, step};

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
    package::install(&format!("no PostgreSQL server binaries in PATH or {DEBIAN}"), &[PACKAGE])?;
    find().ok_or_else(|| format!("`{PACKAGE}` is installed but brought no server binaries"))
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

/// A running server. Its keeper (`keeper.sh`) stops it and removes its directory.
pub struct Cluster {
    keeper: Keeper,
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
        let arguments = [&*binaries.to_string_lossy(), &port.to_string()];
        let (keeper, _) = Keeper::start("PostgreSQL", include_str!("keeper.sh"), &arguments)?;
        Ok(Self { keeper, url: format!("postgres://postgres@127.0.0.1:{port}/postgres") })
    }

    /// Where tests find the server; they create their own databases in it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server and says whether its keeper was content.
    pub fn stop(self) -> Result<(), String> {
        self.keeper.stop()
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
