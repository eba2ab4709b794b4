//! The directories of one run and of its workspace on this machine.
//!
//! `agents/<workspace>/work` outlives runs. `agents/<workspace>/containers/<boot>` has the run's own directory, which is
//! mounted, and beside it, out of the agent's reach, notes about what was asked of it. `secrets/<boot>` is a tmpfs.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use portcullis_kernel::secret::SecretValue;

use super::{ending::Asked, spec};
use crate::runtime::{Places, RuntimeFault, Unit, container_environment, known::Known, removal::remove_tree};

/// The first user id of agents; the workspace's slot is added. Far above those of a machine's users.
const UID_BASE: u32 = 2_000_000;
/// Notes beside a run.
const ASKED: &str = "asked";
const KILLED: &str = "killed";

/// The user id, and group id, of a workspace's agent.
pub(in crate::runtime) fn user(slot: u32) -> Result<u32, RuntimeFault> {
    UID_BASE.checked_add(slot).ok_or_else(|| RuntimeFault::Permanent("no user id left".to_owned()))
}

/// Where one run is.
pub(in crate::runtime) struct Place {
    workspace: PathBuf,
    work: PathBuf,
    notes: PathBuf,
    run: PathBuf,
    secrets: PathBuf,
}

impl Place {
    /// Name of the restart context in the run's directory.
    pub(in crate::runtime) const CONTEXT: &str = "context.json";
    /// Name of the token beside the secret files.
    pub(in crate::runtime) const TOKEN: &str = "token";
    /// Name of the directory of secret files.
    pub(in crate::runtime) const FILES: &str = "files";

    pub(super) fn of(places: &Places, unit: Unit) -> Self {
        let workspace = places.agents.join(unit.workspace.to_string());
        let notes = workspace.join("containers").join(unit.boot.to_string());
        let secrets = places.secrets.join(unit.boot.to_string());
        Self { work: workspace.join("work"), run: notes.join("run"), workspace, notes, secrets }
    }

    /// Where a container has its directories, whichever server made them: whoever takes it over has others. Nothing where
    /// they are not as a server makes them.
    pub(super) fn mounted(mounts: &HashMap<String, PathBuf>, unit: Unit) -> Option<Self> {
        let [run, secrets, work] = [spec::RUN, spec::SECRETS, spec::WORK].map(|inside| mounts.get(inside).cloned());
        let (run, secrets, work) = (run?, secrets?, work?);
        let places = Places {
            agents: work.parent()?.parent()?.to_owned(),
            secrets: secrets.parent()?.to_owned(),
            program: PathBuf::new(),
        };
        let place = Self::of(&places, unit);
        (place.run == run && place.secrets == secrets && place.work == work).then_some(place)
    }

    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    pub(super) fn run(&self) -> &Path {
        &self.run
    }

    pub(super) fn secrets(&self) -> &Path {
        &self.secrets
    }

    /// Makes everything a new run finds and returns `uid:gid` of whom it belongs to: a user of its own where this
    /// process is root, else its own user, since only root can give files away.
    pub(super) fn prepare(
        &self,
        slot: u32,
        context: &str,
        files: &[(String, SecretValue)],
        token: Option<&SecretValue>,
    ) -> Result<String, RuntimeFault> {
        // What a start that was cut off left behind. The caller has seen that there is no container of this boot.
        self.remove()?;
        let make = |path: &Path, mode| {
            fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(|error| io_fault(path, &error))
        };
        // A workspace may become one of processes later, whose users have to pass through here.
        make(&self.workspace, 0o711)?;
        for path in [&self.run, &self.work, &self.secrets, &self.secrets.join(Self::FILES)] {
            make(path, 0o700)?;
        }
        let made = fs::metadata(&self.run).map_err(|error| io_fault(&self.run, &error))?;
        let owner = if made.uid() == 0 {
            let id = user(slot)?;
            (id, id)
        } else {
            (made.uid(), made.gid())
        };
        for path in [&self.run, &self.work, &self.secrets, &self.secrets.join(Self::FILES)] {
            chown(path, Some(owner.0), Some(owner.1)).map_err(|error| io_fault(path, &error))?;
        }
        let context_file = self.run.join(Self::CONTEXT);
        let written = fs::write(&context_file, context)
            .and_then(|()| fs::set_permissions(&context_file, fs::Permissions::from_mode(0o400)))
            .and_then(|()| chown(&context_file, Some(owner.0), Some(owner.1)));
        written.map_err(|error| io_fault(&context_file, &error))?;
        self.put_files(files, token)?;
        Ok(format!("{}:{}", owner.0, owner.1))
    }

    /// Replaces the secret files, each atomically, and removes those not named. The token only if there is one.
    pub(super) fn put_files(
        &self,
        files: &[(String, SecretValue)],
        token: Option<&SecretValue>,
    ) -> Result<(), RuntimeFault> {
        let directory = self.secrets.join(Self::FILES);
        let owner = fs::metadata(&directory).map_err(|error| io_fault(&directory, &error))?;
        let owner = (owner.uid(), owner.gid());
        if let Some(token) = token {
            container_environment::write(&self.secrets, Self::TOKEN, token, owner)?;
        }
        for (name, value) in files {
            container_environment::write(&directory, name, value, owner)?;
        }
        let listed = fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        for entry in listed.map_err(|error| io_fault(&directory, &error))? {
            if !files.iter().any(|(name, _)| entry.file_name() == name.as_str()) {
                let path = entry.path();
                fs::remove_file(&path).map_err(|error| io_fault(&path, &error))?;
            }
        }
        Ok(())
    }

    /// Keeps what the log is redacted by, out of the agent's reach.
    pub(super) fn keep(&self, known: &Known) -> Result<(), RuntimeFault> {
        known.keep(&self.notes)
    }

    /// What the log is redacted by. A log without it is not shown.
    pub(super) fn known(&self) -> Result<Known, RuntimeFault> {
        Known::read(&self.notes)
    }

    /// What was asked of this run.
    pub(super) fn asked(&self) -> Asked {
        if self.notes.join(KILLED).exists() {
            Asked::AndKilled
        } else if self.notes.join(ASKED).exists() {
            Asked::ToStop
        } else {
            Asked::Nothing
        }
    }

    /// Notes what is asked of this run, before it is asked.
    pub(super) fn note(&self, asked: Asked) -> Result<(), RuntimeFault> {
        let path = match asked {
            Asked::Nothing => return Ok(()),
            Asked::ToStop => self.notes.join(ASKED),
            Asked::AndKilled => self.notes.join(KILLED),
        };
        fs::write(&path, "").map_err(|error| io_fault(&path, &error))
    }

    /// Removes what belongs to this run alone.
    pub(super) fn remove(&self) -> Result<(), RuntimeFault> {
        remove_all(&self.secrets)?;
        remove_all(&self.notes)
    }

    /// Removes everything of the workspace.
    pub(super) fn remove_workspace(&self) -> Result<(), RuntimeFault> {
        remove_all(&self.workspace)
    }
}

fn remove_all(path: &Path) -> Result<(), RuntimeFault> {
    remove_tree(path).map_err(|error| io_fault(path, &error))
}

fn io_fault(path: &Path, error: &io::Error) -> RuntimeFault {
    container_environment::io_fault(path, error)
}
