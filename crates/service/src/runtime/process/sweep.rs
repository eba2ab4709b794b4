//! Finding and ending what is left of a unit: whoever forked twice, began a session of its own, or lost its parent.
//!
//! A process belongs to a unit if it is in its cgroup, descends from its shim, has the boot's mark in its first
//! environment, or runs under the user that belongs to its workspace alone. No single one of them holds for all: a
//! cgroup is not to be had everywhere, a descent ends where the parent does, an environment can be dropped at an exec,
//! and a user of its own needs root.

use std::{
    collections::HashSet,
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use nix::{sys::signal::Signal, unistd::Pid};
use portcullis_kernel::id::BootId;

use super::cgroup::Leaf;

/// Variable that marks every process of a run.
pub const BOOT_VARIABLE: &str = "PORTCULLIS_BOOT_ID";

/// What processes of a unit have in common.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// The run.
    pub boot: BootId,
    /// The user that belongs to the workspace alone.
    pub user: Option<u32>,
    /// The shim whose descendants count; it does not count itself.
    pub shim: Option<i32>,
}

/// A process as `/proc/PID/stat` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// When it started, in clock ticks since the machine did: with the number it is a name.
    pub started: u64,
    /// It has ended and waits for its parent to notice.
    pub dead: bool,
}

impl Process {
    /// Looks at one process. `None`: there is none, or none that can be looked at.
    pub fn of(pid: i32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name of a program may hold anything, brackets and blanks too, so fields are counted from its last bracket.
    fn parse(pid: i32, stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let dead = matches!(fields.next()?, "Z" | "X" | "x");
        let parent = fields.next()?.parse().ok()?;
        Some(Self { pid, parent, started: fields.nth(17)?.parse().ok()?, dead })
    }
}

/// All living processes of a unit. Fails where the list of processes cannot be read: then nothing is known.
pub fn find(mark: &Mark) -> io::Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        all.extend(pid.and_then(Process::of));
    }
    let me = i32::try_from(std::process::id()).unwrap_or_default();
    let mut ours: HashSet<i32> = mark.shim.into_iter().collect();
    if mark.shim.is_some() {
        // Parents may come after their children in the list: again until nothing is new.
        while all.iter().any(|process| ours.contains(&process.parent) && ours.insert(process.pid)) {}
    }
    all.retain(|process| {
        let not_me = process.pid != me && Some(process.pid) != mark.shim;
        not_me && !process.dead && (ours.contains(&process.pid) || is_marked(process.pid, mark))
    });
    Ok(all)
}

/// Kills everything of a unit until nothing is left or the time is up, and returns whether nothing is left.
pub fn kill_all(mark: &Mark, group: Option<&Leaf>, at_most: Duration) -> io::Result<bool> {
    let until = Instant::now() + at_most;
    loop {
        group.inspect(|group| group.kill());
        if kill(mark)? == 0 && group.is_none_or(Leaf::is_empty) {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills all processes of a unit once and returns how many there were. They may have forked meanwhile: call until zero.
pub fn kill(mark: &Mark) -> io::Result<usize> {
    let found = find(mark)?;
    for process in &found {
        // The number may belong to another one by now; the start time tells.
        if Process::of(process.pid).is_some_and(|now| now.started == process.started) {
            // It may have ended between the two lines.
            let _ = nix::sys::signal::kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
    }
    Ok(found.len())
}

fn is_marked(pid: i32, mark: &Mark) -> bool {
    let directory = format!("/proc/{pid}");
    let directory = Path::new(&directory);
    // Not readable: it belongs to somebody else, or is gone.
    let environment = fs::read(directory.join("environ")).unwrap_or_default();
    let boots = environment.split(|byte| *byte == 0).find_map(|entry| {
        entry
            .strip_prefix(BOOT_VARIABLE.as_bytes())?
            .strip_prefix(b"=")
            .map(|boot| boot == mark.boot.to_string().as_bytes())
    });
    match (boots, mark.user) {
        // Marked, for this run or for another one of the same workspace.
        (Some(ours), _) => ours,
        (None, None) => false,
        (None, user) => fs::read_to_string(directory.join("status")).is_ok_and(|status| real_user(&status) == user),
    }
}

fn real_user(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_brackets_in_its_name_is_read() {
        let stat = "7 (a) R) b) Z 3 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1";
        let process = Process::parse(7, stat).unwrap();
        assert_eq!(process, Process { pid: 7, parent: 3, started: 12345, dead: true });
        assert_eq!(Process::parse(7, "7 (a"), None);
    }

    #[test]
    fn the_real_user_is_the_first_of_four() {
        assert_eq!(real_user("Name:\tx\nUid:\t5\t6\t7\t8\n"), Some(5));
        assert_eq!(real_user("Name:\tx\n"), None);
    }
}
