//! Directories of process units, and who owns them.
//!
//! ```text
//! agents/bin/portcullis-…          the program, as running shims know it
//! agents/WORKSPACE/work/           the agent's; persists
//! agents/WORKSPACE/runs/BOOT/      records: the server's alone
//! agents/run/BOOT/                 the agent's: token, context, its own sockets, temporary files
//! secrets/WORKSPACE/               secret files: the server writes, the agent reads
//! ```
//!
//! The agent's run directory is not inside the workspace's, because the path of a socket may have 107 bytes only.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, fchown},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open},
    sys::{stat::Mode, statfs},
};
use portcullis_kernel::id::WorkspaceId;

use super::super::{Places, RuntimeFault, Unit, removal::remove_tree};

/// First user id of agents. Far above those of people and of services; a container's mapped ranges begin lower.
pub const UID_BASE: u32 = 2_000_000;

/// Longest path of a socket, in bytes.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// What the name of an agent's own socket may have, in bytes.
const SOCKET_NAME_BYTES: usize = 20;

/// Where things are.
#[derive(Debug, Clone)]
pub struct Layout {
    places: Places,
    /// Whether agents have users of their own.
    pub isolated: bool,
}

impl Layout {
    /// Makes the outer directories. `isolated`: whether this process may give files to other users.
    pub fn create(places: Places, isolated: bool) -> Result<Self, RuntimeFault> {
        let longest = places.agents.as_os_str().len() + "/run//".len() + 36 + SOCKET_NAME_BYTES;
        if longest > SOCKET_PATH_BYTES_MAX || !places.agents.is_absolute() || !places.secrets.is_absolute() {
            let text = format!(
                "the directory of agents must be absolute and short: sockets in it would have {longest} bytes of at \
                 most {SOCKET_PATH_BYTES_MAX} ({})",
                places.agents.display()
            );
            return Err(RuntimeFault::Permanent(text));
        }
        let layout = Self { places, isolated };
        let Places { agents, secrets, .. } = &layout.places;
        for directory in [agents.clone(), agents.join("bin"), agents.join("run"), secrets.clone()] {
            layout.passage(&directory).map_err(fault("the directories of agents"))?;
        }
        Ok(layout)
    }

    /// The user of a slot.
    pub fn user(&self, slot: u32) -> Option<u32> {
        self.isolated.then(|| UID_BASE.saturating_add(slot))
    }

    /// Everything of a workspace but its secrets.
    pub fn workspace(&self, workspace: WorkspaceId) -> PathBuf {
        self.places.agents.join(workspace.to_string())
    }

    /// The working directory.
    pub fn work(&self, workspace: WorkspaceId) -> PathBuf {
        self.workspace(workspace).join("work")
    }

    /// All runs of a workspace.
    pub fn runs(&self, workspace: WorkspaceId) -> PathBuf {
        self.workspace(workspace).join("runs")
    }

    /// Records of a run.
    pub fn records(&self, unit: Unit) -> PathBuf {
        self.runs(unit.workspace).join(unit.boot.to_string())
    }

    /// What the agent itself may write of a run.
    pub fn run(&self, unit: Unit) -> PathBuf {
        self.places.agents.join("run").join(unit.boot.to_string())
    }

    /// Secret files of a workspace.
    pub fn secrets(&self, workspace: WorkspaceId) -> PathBuf {
        self.places.secrets.join(workspace.to_string())
    }

    /// Directories of a new run. The records are made last and exclusively: of two that start one boot, one fails here.
    pub fn create_unit(&self, unit: Unit, user: Option<u32>) -> io::Result<()> {
        self.passage(&self.workspace(unit.workspace))?;
        self.passage(&self.runs(unit.workspace))?;
        DirBuilder::new().mode(0o700).create(self.records(unit))?;
        let (work, run) = (self.work(unit.workspace), self.run(unit));
        // One that was given to the agent before is the agent's.
        private(&run, 0o700, user)?;
        for directory in [work, run.join("tmp")] {
            let directory = private(&directory, 0o700, user)?;
            if user.is_some() {
                fchown(directory, user, user)?;
            }
        }
        self.create_secrets(unit.workspace, user)
    }

    /// Gives the run directory to the agent. Last: what an agent owns, it can change while the server writes to it.
    pub fn give_run(&self, unit: Unit, user: Option<u32>) -> io::Result<()> {
        if user.is_some() { chown(self.run(unit), user, user) } else { Ok(()) }
    }

    /// The directory of secret files: the agent reads it, and cannot put anything there.
    pub fn create_secrets(&self, workspace: WorkspaceId, user: Option<u32>) -> io::Result<()> {
        let secrets = self.secrets(workspace);
        let secrets = private(&secrets, if user.is_some() { 0o750 } else { 0o700 }, None)?;
        if user.is_some() { fchown(secrets, None, user) } else { Ok(()) }
    }

    /// Whether secret files would stay in memory.
    pub fn secrets_are_in_memory(&self) -> io::Result<bool> {
        let kind = statfs::statfs(&self.places.secrets).map_err(io::Error::from)?.filesystem_type();
        Ok(kind == statfs::TMPFS_MAGIC)
    }

    /// The program under a name that stays the same for running shims, whatever happens to the installed one, in a place
    /// that every agent's user can reach. Copied once for each build.
    pub fn program(&self) -> io::Result<PathBuf> {
        let program = &self.places.program;
        let about = fs::metadata(program)?;
        let name = format!("portcullis-{:x}-{:x}{:08x}", about.len(), about.mtime(), about.mtime_nsec());
        let copy = self.places.agents.join("bin").join(&name);
        if fs::metadata(&copy).is_ok_and(|copy| copy.len() == about.len()) {
            return Ok(copy);
        }
        let new = copy.with_file_name(format!(".{name}.{}", std::process::id()));
        fs::copy(program, &new)?;
        fs::set_permissions(&new, Permissions::from_mode(0o755))?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &copy)?;
        Ok(copy)
    }

    /// The installed program, which commands name.
    pub fn installed(&self) -> &Path {
        &self.places.program
    }

    /// Everything of ours that is here.
    pub fn units(&self) -> io::Result<Vec<Unit>> {
        let mut units = Vec::new();
        for workspace in fs::read_dir(&self.places.agents)? {
            let Some(workspace) = id(&workspace?) else { continue };
            match fs::read_dir(self.runs(workspace)) {
                Ok(runs) => {
                    for run in runs {
                        units.extend(id(&run?).map(|boot| Unit { workspace, boot }));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(units)
    }

    /// Removes what is left of a run, and with the last run, or where all is to go, the secret files.
    pub fn remove(&self, unit: Unit, workspace_too: bool) -> io::Result<()> {
        remove_tree(&self.run(unit))?;
        remove_tree(&self.records(unit))?;
        let last = match fs::read_dir(self.runs(unit.workspace)) {
            Ok(mut runs) => runs.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error),
        };
        if last {
            remove_tree(&self.secrets(unit.workspace))?;
            if workspace_too {
                remove_tree(&self.workspace(unit.workspace))?;
            }
        } else if workspace_too {
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "the workspace has other runs"));
        }
        Ok(())
    }

    /// A directory of the server through which agents reach theirs.
    fn passage(&self, directory: &Path) -> io::Result<()> {
        if let Some(parent) = directory.parent() {
            fs::create_dir_all(parent)?;
        }
        private(directory, if self.isolated { 0o711 } else { 0o700 }, None).map(drop)
    }
}

/// Makes a directory, or checks that it is one, not a link to somewhere, and ours (or `user`'s): somebody else's could be
/// replaced under our hands. Sets its mode whatever the mask says. All of it on one descriptor, which is returned, so
/// that what was checked is what is changed.
fn private(directory: &Path, mode: u32, user: Option<u32>) -> io::Result<File> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let said = |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", directory.display()));
    let opened = open(directory, flags, Mode::empty()).map_err(|error| said(error.into()))?;
    let opened = File::from(opened);
    let (owner, us) = (opened.metadata()?.uid(), nix::unistd::geteuid().as_raw());
    if owner != us && Some(owner) != user {
        let text = format!("`{}` belongs to user {owner} and not to us, user {us}", directory.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    opened.set_permissions(Permissions::from_mode(mode))?;
    Ok(opened)
}

fn id<T: std::str::FromStr>(entry: &fs::DirEntry) -> Option<T> {
    entry.file_name().to_str()?.parse().ok()
}

/// A seed nobody can guess.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

/// Sorts an error: what is missing or forbidden stays so until somebody changes it.
pub fn fault(what: &'static str) -> impl Fn(io::Error) -> RuntimeFault {
    use io::ErrorKind::{AlreadyExists, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    move |error| {
        let text = format!("{what}: {error}");
        match error.kind() {
            AlreadyExists | InvalidInput | NotADirectory | NotFound | PermissionDenied => RuntimeFault::Permanent(text),
            _ => RuntimeFault::Transient(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_somebody_else_or_a_link_is_not_used() {
        let place = std::env::temp_dir().join(format!("portcullis-place-{}", std::process::id()));
        let (ours, link) = (place.join("ours"), place.join("link"));
        drop(private(&place, 0o700, None).expect("it is made"));
        for _ in 0..2 {
            let made = private(&ours, 0o711, None).expect("it is made, or there");
            assert_eq!(made.metadata().expect("metadata").mode() & 0o7777, 0o711);
        }
        std::os::unix::fs::symlink(&ours, &link).expect("a link");
        let refused = private(&link, 0o700, None).map(drop).map_err(fault("what"));
        assert!(matches!(&refused, Err(RuntimeFault::Permanent(text)) if text.contains("link")), "{refused:?}");
        assert_eq!(fs::metadata(&ours).expect("metadata").mode() & 0o7777, 0o711, "the link was not followed");
        // Only root can make one of somebody else's; for others the root of the file system is one.
        let theirs = if nix::unistd::geteuid().is_root() {
            chown(&ours, Some(UID_BASE), None).expect("given away");
            ours.clone()
        } else {
            PathBuf::from("/")
        };
        let refused = private(&theirs, 0o700, Some(UID_BASE + 1)).map(drop).map_err(fault("what"));
        assert!(
            matches!(&refused, Err(RuntimeFault::Permanent(text)) if text.contains("and not to us")),
            "{refused:?}"
        );
        if nix::unistd::geteuid().is_root() {
            drop(private(&ours, 0o700, Some(UID_BASE)).expect("the agent's own"));
        }
        remove_tree(&place).expect("it is removed");
    }
}
