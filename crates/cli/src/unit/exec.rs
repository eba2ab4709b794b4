//! `portcullis unit-exec`: the second stage, which becomes the agent.
//!
//! What has to happen between fork and exec happens here, in a program of its own: after a fork only few calls are
//! allowed, and none of them are safe Rust. The agent's environment arrives over the socket and takes effect at the exec
//! only: a variable of an agent could otherwise decide what this stage, which may still be root, loads.

use std::{
    fs,
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, Signal},
    },
    unistd::{Gid, Pid, Uid, getppid, setgroups, setresgid, setresuid, setsid},
};

use super::document::{Failed, Stage};

/// Processes and threads of an agent with a user of its own, unless its limits say otherwise.
const PROCESSES: u32 = 1024;

/// Open files of one process, unless its limits say otherwise.
const OPEN_FILES: u32 = 4096;

/// Becomes the agent, or tells the shim why it could not, and returns.
pub fn run() {
    // Closed by the exec: for the shim, its end is the news that the agent runs.
    let Ok(shim) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else { return };
    let failed = Stage::read(&shim).map_err(Failed::from).and_then(|stage| become_agent(&stage));
    if let Err(failed) = failed {
        // Without a shim there is nobody to tell.
        let _ = (&shim).write_all(&failed.message());
    }
}

/// Never returns `Ok`.
fn become_agent(stage: &Stage) -> Result<(), Failed> {
    let door = stage.door.as_ref().map_or(Ok(()), |door| fs::write(door, std::process::id().to_string()));
    // A group that can be made but not entered is like none, unless a limit rests on it.
    if let Err(error) = door.as_ref().map_err(|error| said("its control group", error))
        && stage.memory_is_limited
    {
        return Err(error.into());
    }
    // A session of its own is also a group of its own, which a stop can reach as a whole.
    setsid()?;
    set_limits(stage)?;
    if let Some(user) = stage.user {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
        setgroups(&[])?;
        setresgid(group, group, group)?;
        setresuid(user, user, user)?;
    }
    // After the change of user, which clears it.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != Pid::from_raw(stage.shim) {
        return Err(io::Error::other("the shim is gone").into());
    }
    if stage.user.is_some() {
        // Nothing an agent executes gives it more than it has.
        prctl::set_no_new_privs()?;
    }
    std::env::set_current_dir(&stage.work).map_err(|error| said("its working directory", &error))?;
    SigSet::empty().thread_set_mask()?;
    let Some((program, arguments)) = stage.command.split_first() else {
        return Err(Failed { text: "the command is empty".to_owned(), for_good: true });
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command.envs(stage.variables.iter().map(|(name, value)| (name, value.reveal())));
    let error = command.exec();
    Err(Failed { for_good: stays(&error), ..said(&format!("`{program}`"), &error).into() })
}

/// Whether a program that could not be executed will not be another time either: it is not there, may not be run, or is
/// no program. A machine that is out of memory or processes passes.
fn stays(error: &io::Error) -> bool {
    // A command with a NUL in it has no number.
    error.kind() == io::ErrorKind::InvalidInput
        || matches!(
            error.raw_os_error().map(Errno::from_raw),
            Some(
                Errno::ENOENT
                    | Errno::EACCES
                    | Errno::ENOEXEC
                    | Errno::ENOTDIR
                    | Errno::EISDIR
                    | Errno::ELOOP
                    | Errno::ENAMETOOLONG
                    | Errno::E2BIG
                    | Errno::ELIBBAD
            )
        )
}

fn set_limits(stage: &Stage) -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    limit(Resource::RLIMIT_NOFILE, stage.limits.open_files.unwrap_or(OPEN_FILES).into())?;
    if stage.user.is_some() {
        // Counted for the user as a whole, so it only makes sense for one that belongs to the agent alone.
        limit(Resource::RLIMIT_NPROC, stage.limits.processes.unwrap_or(PROCESSES).into())?;
    }
    if let Some(memory_mb) = stage.limits.memory_mb.filter(|_| !stage.memory_is_limited) {
        // Address space of each process: coarse, but all there is without a control group.
        limit(Resource::RLIMIT_AS, u64::from(memory_mb) << 20)?;
    }
    Ok(())
}

/// Sets a limit, or what is already the most one may have.
fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let (_, most) = getrlimit(resource)?;
    let value = if nix::unistd::geteuid().is_root() { value } else { value.min(most) };
    Ok(setrlimit(resource, value, value)?)
}

fn said(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_program_that_cannot_be_run_is_hopeless() {
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::ENOEXEC, Errno::ENOTDIR] {
            assert!(stays(&errno.into()), "{errno}");
        }
        for errno in
            [Errno::EAGAIN, Errno::ENOMEM, Errno::EMFILE, Errno::ENFILE, Errno::ETXTBSY, Errno::EIO, Errno::EINTR]
        {
            assert!(!stays(&errno.into()), "{errno}");
        }
    }

    #[test]
    fn a_failure_is_read_as_it_was_told() {
        assert!(Failed::read(b"").is_none());
        for for_good in [true, false] {
            let read =
                Failed::read(&Failed { text: "why".to_owned(), for_good }.message()).map(|f| (f.text, f.for_good));
            assert_eq!(read, Some(("why".to_owned(), for_good)));
        }
    }
}
