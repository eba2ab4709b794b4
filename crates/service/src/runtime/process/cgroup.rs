//! A control group for one unit, where the machine has a writable version 2 hierarchy: alone, or beside version 1 and
//! then often without controllers. Killing a whole group works in both; limits only where the controllers are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use portcullis_kernel::{id::BootId, runtime::Limits};

/// The group of this process in the version 2 hierarchy, under which groups of units are made.
#[derive(Debug, Clone)]
pub struct Parent(PathBuf);

/// The group of one unit.
#[derive(Debug, Clone)]
pub struct Leaf(PathBuf);

impl Parent {
    /// Where it is; `None` where there is none.
    pub fn find() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        Self::of(&own, &mounts)
    }

    fn of(own: &str, mounts: &str) -> Option<Self> {
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let (root, mount) = mounts.lines().find_map(|line| {
            let (place, kind) = line.split_once(" - ")?;
            let mut fields = place.split(' ').skip(3);
            let (root, mount) = (fields.next()?, fields.next()?);
            kind.starts_with("cgroup2 ").then_some((root, mount))
        })?;
        // Only a part of the hierarchy may be mounted here.
        let below = format!("/{own}");
        let below = Path::new(&below).strip_prefix(root).ok()?;
        Some(Self(Path::new(mount).join(below)))
    }

    /// Whether memory and processes of a unit as a whole can be limited.
    pub fn limits(&self) -> bool {
        let enabled = fs::read_to_string(self.0.join("cgroup.subtree_control")).unwrap_or_default();
        ["memory", "pids"].iter().all(|wanted| enabled.split_ascii_whitespace().any(|name| name == *wanted))
    }

    /// The group of this run, whether or not it exists.
    pub fn leaf(&self, boot: BootId) -> Leaf {
        Leaf(self.0.join(format!("portcullis-{boot}")))
    }
}

impl Leaf {
    /// The group in this directory, as an order names it.
    pub fn at(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.0
    }

    /// Makes the group. `Err`: this machine does not let us; the unit runs without.
    pub fn create(&self) -> io::Result<()> {
        match fs::create_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets what can be set and returns whether memory is limited.
    pub fn limit(&self, limits: &Limits) -> bool {
        if let Some(processes) = limits.processes {
            // Without the controller the file is missing; the limit of the user holds then.
            let _ = fs::write(self.0.join("pids.max"), processes.to_string());
        }
        let Some(memory_mb) = limits.memory_mb else { return false };
        // Otherwise "out of memory" would be "slow".
        let _ = fs::write(self.0.join("memory.swap.max"), "0");
        // All of it at once: half an agent is none.
        let _ = fs::write(self.0.join("memory.oom.group"), "1");
        fs::write(self.0.join("memory.max"), (u64::from(memory_mb) << 20).to_string()).is_ok()
    }

    /// The file a process writes its number to in order to move in.
    pub fn door(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    /// Kills everything in it, forks included. Nothing to do where it does not exist.
    pub fn kill(&self) {
        // Missing on kernels before 5.14; the sweep finds them one by one then.
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }

    /// Whether anything runs in it.
    pub fn is_empty(&self) -> bool {
        fs::read_to_string(self.0.join("cgroup.events")).map_or(true, |events| !events.contains("populated 1"))
    }

    /// Whether the kernel killed anything in it for memory.
    pub fn out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.0.join("memory.events")).unwrap_or_default();
        let count = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.is_some_and(|count| count != "0")
    }

    /// Removes it. Nothing to do where it does not exist.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";

    fn place(own: &str, mounts: &str) -> Option<PathBuf> {
        Parent::of(own, mounts).map(|parent| parent.0)
    }

    #[test]
    fn the_group_is_found_beside_version_1_and_alone() {
        let own = "4:memory:/x\n0::/user.slice/a\n";
        assert_eq!(place(own, HYBRID), Some("/sys/fs/cgroup/unified/user.slice/a".into()));
        assert_eq!(place("0::/\n", HYBRID), Some("/sys/fs/cgroup/unified".into()));
        let part = "9 1 0:1 /user.slice /cg rw - cgroup2 cgroup rw\n";
        assert_eq!(place(own, part), Some("/cg/a".into()));
    }

    #[test]
    fn without_a_version_2_hierarchy_there_is_none() {
        assert_eq!(place("4:memory:/x\n", HYBRID), None);
        assert_eq!(place("0::/\n", "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n"), None);
        assert_eq!(place("0::/a\n", "9 1 0:1 /b /cg rw - cgroup2 cgroup rw\n"), None);
    }
}
