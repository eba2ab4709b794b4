//! Whoever kills and restarts what runs.

use std::{sync::Arc, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use reqwest::Method;
use serde_json::json;

use crate::{
    kit::{
        cluster::Cluster,
        fleet::{Dice, Fleet},
    },
    load::Load,
};

/// Which workspaces have failed too often to be started again by themselves: a human does it.
const FAILED: &str = "failed";

pub struct Chaos {
    load: Arc<Load>,
    dice: Dice,
    between: Duration,
    strikes: u64,
    /// The database's server, where it has one.
    cluster: Option<Cluster>,
}

impl Chaos {
    pub fn new(load: &Arc<Load>, dice: Dice, between: Duration, cluster: Option<Cluster>) -> Self {
        Self { load: Arc::clone(load), dice, between, strikes: 0, cluster }
    }

    /// Waits a while, then does the next thing, and says what.
    pub fn strike(&mut self, fleet: &mut Fleet) -> String {
        let about = u64::try_from(self.between.as_millis()).unwrap();
        std::thread::sleep(Duration::from_millis(about / 2 + self.dice.below(about)));
        self.mend(fleet);
        self.strikes += 1;
        // The first ones in turn, so that a short run has each of them.
        let which = if self.strikes <= 6 { self.strikes - 1 } else { self.dice.below(6) };
        match which {
            0 => {
                fleet.kill_server();
                fleet.start();
                "the server was killed".to_owned()
            }
            1 => {
                fleet.stop_server();
                fleet.start();
                "the server was stopped and started".to_owned()
            }
            2 => {
                let workspace = self.one();
                let processes = fleet.processes_of(&workspace);
                let agents: Vec<_> = processes.iter().filter(|(_, command)| command.contains(" agent ")).collect();
                for (pid, _) in &agents {
                    // It may have ended meanwhile.
                    let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                }
                format!("{} agent was killed", agents.len())
            }
            3 => {
                let value = format!("{}-of-strike-{}", crate::load::VALUE, self.strikes);
                let body = json!({"key": "KEY", "value": value});
                self.load.human(fleet, Method::POST, "/settings/secrets", Some(body));
                "every agent got another value".to_owned()
            }
            4 => {
                let workspace = self.one();
                self.load.human(fleet, Method::POST, &format!("/workspaces/{workspace}/restart"), None);
                "a human restarted an agent".to_owned()
            }
            _ => match &mut self.cluster {
                Some(cluster) => {
                    cluster.stop(Signal::SIGQUIT);
                    cluster.run(&[]);
                    "the database's server was restarted without a farewell".to_owned()
                }
                None => {
                    let shims = fleet.processes_of(&self.one());
                    let shims: Vec<_> = shims.iter().filter(|(_, command)| command.contains(" unit")).collect();
                    for (pid, _) in &shims {
                        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                    }
                    format!("{} shim was killed", shims.len())
                }
            },
        }
    }

    fn one(&mut self) -> String {
        let all = self.load.talkers();
        let index = self.dice.below(all.len() as u64);
        all[usize::try_from(index).unwrap()].clone()
    }

    /// Does what a human does about agents that have ended by themselves too often.
    pub fn mend(&self, fleet: &Fleet) {
        for workspace in self.load.talkers() {
            if fleet.workspace(workspace)["status"] == FAILED {
                self.load.human(fleet, Method::POST, &format!("/workspaces/{workspace}/restart"), None);
            }
        }
    }
}
