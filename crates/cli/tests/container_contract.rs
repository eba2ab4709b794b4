//! The container runtime against the contract of all runtimes (R-60: both back ends, one suite).

#[macro_use]
mod contract;
mod engine;

use std::path::{Path, PathBuf};

use contract::{Bed, unit};
use portcullis_service::runtime::{
    Places,
    container::{ContainerRuntime, ContainerSettings, Network},
};

/// Directories of one test and its containers, gone with it.
struct Home {
    at: PathBuf,
    secrets: PathBuf,
    organisation: String,
}

impl Home {
    /// `None` where there is no engine.
    fn new() -> Option<(Self, Bed<ContainerRuntime>)> {
        let socket = engine::socket()?;
        let organisation = unit().boot.to_string();
        let name = format!("ptc-{}", &organisation[..13]);
        let home =
            Self { at: std::env::temp_dir().join(&name), secrets: Path::new("/dev/shm").join(&name), organisation };
        let places = Places {
            agents: home.at.join("a"),
            secrets: home.secrets.clone(),
            program: env!("CARGO_BIN_EXE_portcullis").into(),
        };
        let settings = ContainerSettings {
            socket: socket.to_owned(),
            organisation: home.organisation.parse().ok()?,
            network: Network::Host,
            places,
        };
        let extra_variables = ["FROM_IMAGE", "HOSTNAME", "TINI_KILL_PROCESS_GROUP"].map(str::to_owned).into();
        let bed =
            Bed { runtime: ContainerRuntime::new(settings), image: Some(engine::IMAGE.to_owned()), extra_variables };
        Some((home, bed))
    }
}

impl Drop for Home {
    /// Also after a failure: what a test could not stop does not outlive it.
    fn drop(&mut self) {
        if let Some(socket) = engine::socket() {
            engine::remove_labelled(socket, "portcullis.organisation", &self.organisation);
        }
        let _ = std::fs::remove_dir_all(&self.at);
        let _ = std::fs::remove_dir_all(&self.secrets);
    }
}

macro_rules! pieces {
    ($($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if let Some((home, bed)) = Home::new() {
                contract::$name(&bed).await;
                drop(home);
            }
        }
    )*};
}

each_piece!(pieces);
