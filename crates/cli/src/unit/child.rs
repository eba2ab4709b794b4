//! Starting the agent through its second stage.

use std::{
    collections::BTreeMap,
    io::{self, PipeReader, Read, Write},
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    time::Duration,
};

use nix::unistd::Pid;
use portcullis_service::runtime::process::{Leaf, Order};
use zeroize::Zeroizing;

use super::document::{Failed, Stage, Variable};

/// How long the second stage may take to become the agent.
const EXEC_WAIT: Duration = Duration::from_secs(60);

/// Most of an error message that is kept, in bytes.
const MESSAGE_BYTES_MAX: u64 = 4096;

/// What became of a start.
pub struct Born {
    /// The agent's first process, or the second stage that failed to become it: to be waited for in both cases.
    pub pid: Pid,
    /// Its output.
    pub output: PipeReader,
    /// Why it did not become the agent.
    pub failed: Option<Failed>,
}

/// Forks, and returns when the agent's program runs or cannot.
pub fn start(order: &Order, variables: BTreeMap<String, Variable>, group: Option<&Leaf>) -> io::Result<Born> {
    let (output, input) = io::pipe()?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg(super::EXEC).env_clear();
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(input.try_clone()?).stderr(input);
    let child = command.spawn()?;
    // It still holds the other ends.
    drop(command);
    let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
    let stage = Stage {
        command: order.command.clone(),
        work: order.work.clone(),
        user: order.user,
        limits: order.limits,
        door: group.map(Leaf::door),
        memory_is_limited: group.is_some_and(|group| group.limit(&order.limits)),
        shim: nix::unistd::getpid().as_raw(),
        variables,
    };
    let failed =
        hand_over(&ours, &stage).unwrap_or_else(|error| Some(Failed { text: error.to_string(), for_good: false }));
    Ok(Born { pid, output, failed })
}

fn hand_over(mut stage: &UnixStream, what: &Stage) -> io::Result<Option<Failed>> {
    stage.set_read_timeout(Some(EXEC_WAIT))?;
    stage.set_write_timeout(Some(EXEC_WAIT))?;
    let values = what.variables.values().map(|value| value.reveal().len() * 6);
    let slack = 256 << 10;
    // The full length at once: a growing buffer would leave values behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(values.sum::<usize>() + slack));
    serde_json::to_writer(&mut *bytes, what)?;
    stage.write_all(&bytes)?;
    stage.shutdown(Shutdown::Write)?;
    let mut message = Vec::new();
    stage.take(MESSAGE_BYTES_MAX).read_to_end(&mut message)?;
    Ok(Failed::read(&message))
}
