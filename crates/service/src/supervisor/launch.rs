//! From a recorded run to what a runtime starts: the command, and what is public of the environment.

use std::collections::BTreeMap;

use portcullis_authority::Launching;
use portcullis_kernel::runtime::Program;

use super::Settings;
use crate::runtime::{Launch, SELF, Unit};

fn command(program: &Program) -> Vec<String> {
    let built_in = |arguments: &[&str]| {
        let words = [SELF, "agent"].iter().chain(arguments);
        words.map(|word| (*word).to_owned()).collect::<Vec<_>>()
    };
    match program {
        Program::Echo {} => built_in(&["--echo"]),
        Program::Exec { command } => {
            let mut all = built_in(&["--exec-json"]);
            all.push(serde_json::json!(command).to_string());
            all
        }
        Program::Model { model, base_url, key, instructions, tools } => {
            let mut all = built_in(&["--model", model, "--base-url", base_url]);
            if let Some(key) = key {
                all.extend(["--key-env".to_owned(), key.to_string()]);
            }
            if let Some(instructions) = instructions {
                all.extend(["--instructions".to_owned(), instructions.to_string()]);
            }
            if *tools == Some(false) {
                all.push("--no-tools".to_owned());
            }
            all
        }
        Program::Command { command } => command.clone(),
    }
}

/// Slots of one organisation. Beyond them an agent has no user of its own, and is not started.
const SLOTS: u32 = 10_000;

/// A number that no other organisation on this machine gives, most likely: agents with the same user could reach each other.
fn slot(range: u32, slot: i64) -> u32 {
    let slot = u32::try_from(slot).ok().filter(|slot| *slot < SLOTS);
    slot.map_or(u32::MAX, |slot| range.saturating_mul(SLOTS).saturating_add(slot))
}

pub(crate) fn launch(run: Launching, settings: &Settings) -> Launch {
    let unit = Unit { workspace: run.workspace, boot: run.boot };
    Launch {
        unit,
        command: command(&run.runtime.agent),
        image: run.runtime.image.clone(),
        placement: run.runtime.placement.clone(),
        limits: run.runtime.limits,
        slot: slot(settings.range, run.slot),
        settings: BTreeMap::from([
            ("WORKSPACE_ID".to_owned(), unit.workspace.to_string()),
            ("PORTCULLIS_URL".to_owned(), settings.url.clone()),
            ("PORTCULLIS_BOOT_ID".to_owned(), unit.boot.to_string()),
        ]),
        environment: run.environment,
        context: run.context,
    }
}
