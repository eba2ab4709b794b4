//! A Docker engine of our own for the tests: found or installed, started on a socket of its own, gone afterwards.
//!
//! No configuration of the machine is read or changed, and an engine that already runs is never touched.

use std::path::Path;

use crate::{keeper::Keeper, package, step};

/// The Debian packages: the engine, a static shell to build an image from, since there is no registry to ask, and what
/// joins the networks of two engines, for the tests of the swarm.
const PACKAGES: [&str; 3] = ["docker.io", "busybox-static", "iproute2"];

/// Where the engine's parts are; a user's path may lack the `sbin` ones.
const PLACES: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What must be there: the engine with its helpers, the shell, and the tool for networks. Also where the engine is given: the
/// tests of the swarm have engines of their own.
const PROGRAMS: [&str; 6] = ["dockerd", "containerd", "runc", "docker-init", "busybox", "ip"];

/// The variable by which the tests find the engine. Where it is set already, that engine is used and none is started.
pub const VARIABLE: &str = "PORTCULLIS_TEST_DOCKER_SOCKET";

/// An engine for the tests.
pub enum Engine {
    /// Somebody else's, named by the environment.
    Given(String),
    /// Ours. Its keeper (`engine.sh`) ends it with everything that runs in it.
    Ours(Keeper, String),
}

/// Finds the programs, installing them where that is possible.
pub fn ensure() -> Result<(), String> {
    if missing().is_none() {
        return Ok(());
    }
    if let Some(program) = missing() {
        package::install(&format!("no `{program}` on this machine"), &PACKAGES)?;
    }
    match missing() {
        None => Ok(()),
        Some(program) => Err(format!("`{}` are installed but brought no `{program}`", PACKAGES.join(" "))),
    }
}

fn given() -> Option<String> {
    step::environment(VARIABLE)?.into_string().ok().filter(|socket| !socket.is_empty())
}

fn missing() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| !PLACES.iter().any(|place| Path::new(place).join(program).is_file()))
}

impl Engine {
    /// Starts an empty engine and waits until it answers.
    pub fn start() -> Result<Self, String> {
        if let Some(socket) = given() {
            return Ok(Self::Given(socket));
        }
        if !package::is_root() {
            return Err(format!(
                "the container runtime is tested on an engine of its own, and only root can start one; run as root, or \
                 name the socket of an engine that this user may use in {VARIABLE}"
            ));
        }
        let (keeper, said) = Keeper::start("the Docker engine", include_str!("engine.sh"), &[&PLACES.join(":")])?;
        match said.strip_prefix("ready ") {
            Some(socket) => Ok(Self::Ours(keeper, socket.to_owned())),
            None => Err("the keeper of the Docker engine names no socket".to_owned()),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &str {
        let (Self::Given(socket) | Self::Ours(_, socket)) = self;
        socket
    }

    /// Ends it and says whether its keeper was content.
    pub fn stop(self) -> Result<(), String> {
        match self {
            Self::Given(_) => Ok(()),
            Self::Ours(keeper, _) => keeper.stop(),
        }
    }
}
