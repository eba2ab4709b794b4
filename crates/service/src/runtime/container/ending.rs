//! What a container's state means.

use std::{collections::HashMap, path::PathBuf};

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status};

use crate::runtime::{Exit, ExitCause, Sight};

/// A shell and the engine's init add this to the number of the signal that ended their child.
const SIGNAL_BASE: i64 = 128;
/// Signals that end a process; above are real-time ones and plain exit codes such as 255.
const SIGNAL_MAX: i64 = 31;
/// The signal that nobody can ignore.
pub(in crate::runtime) const SIGKILL: i32 = 9;

/// What this side asked of a run, as noted beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// To stop.
    ToStop,
    /// To stop, and it was killed after the grace.
    AndKilled,
}

/// What of a container matters here.
pub(super) struct Container {
    /// Ids.
    pub labels: HashMap<String, String>,
    /// What is mounted, by where it is inside.
    pub mounts: HashMap<String, PathBuf>,
    state: ContainerState,
    program: String,
}

impl Container {
    pub(super) fn read(response: ContainerInspectResponse) -> Self {
        let config = response.config.unwrap_or_default();
        let mounts = response.mounts.unwrap_or_default().into_iter();
        let mounts = mounts.filter_map(|mount| Some((mount.destination?, mount.source?.into()))).collect();
        Self {
            mounts,
            labels: config.labels.unwrap_or_default(),
            state: response.state.unwrap_or_default(),
            program: config.entrypoint.unwrap_or_default().into_iter().next().unwrap_or_default(),
        }
    }

    /// Somebody's debugging hand may have frozen it, and it is not down for that.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.state.status, Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING))
    }

    /// It has never run. Whoever created it may be about to start it.
    pub(super) fn is_only_created(&self) -> bool {
        self.state.status == Some(Status::CREATED)
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.status == Some(Status::PAUSED)
    }
}

/// The engine's state in our words.
pub(super) fn sight(container: &Container, asked: Asked) -> Sight {
    let state = &container.state;
    match state.status {
        _ if container.is_running() => Sight::Running,
        // The control plane ended between "create" and "start": nothing of it ever ran.
        _ if container.is_only_created() => Sight::Absent,
        Some(Status::EXITED | Status::DEAD) => Sight::Exited(exit(state, asked)),
        Some(Status::REMOVING) => Sight::Unknown("the container is being removed".to_owned()),
        _ => Sight::Unknown("the engine names no state of the container".to_owned()),
    }
}

/// The exit code or the signal in an engine's number: one of the two.
pub(in crate::runtime) fn code_or_signal(number: i64) -> (Option<i32>, Option<i32>) {
    let signal = number - SIGNAL_BASE;
    if (1..=SIGNAL_MAX).contains(&signal) {
        (None, i32::try_from(signal).ok())
    } else {
        (i32::try_from(number).ok(), None)
    }
}

fn exit(state: &ContainerState, asked: Asked) -> Exit {
    let (code, signal) = code_or_signal(state.exit_code.unwrap_or_default());
    // 255 is also what the engine writes when it died together with the container. A program's own 255 looks the same,
    // so nothing is concluded from it.
    let killed = signal == Some(SIGKILL);
    let cause = match asked {
        Asked::AndKilled if killed => ExitCause::Killed,
        Asked::ToStop | Asked::AndKilled => ExitCause::Stopped,
        // The flag alone says only that some process of it was ended for memory.
        Asked::Nothing if killed && state.oom_killed == Some(true) => ExitCause::OutOfMemory,
        Asked::Nothing => ExitCause::Itself,
    };
    Exit { code, signal, cause }
}

/// The end of a program that could not be executed. Init exits as a shell does: 126 or 127.
pub(super) fn not_started(container: &Container, code: i32) -> Exit {
    not_executed(&container.program, code)
}

/// The same, of this program.
pub(in crate::runtime) fn not_executed(program: &str, code: i32) -> Exit {
    let why = if code == 127 { "is not there" } else { "may not be executed" };
    let why = format!("the program `{program}` {why} in the image");
    let cause = ExitCause::StartFailed { why, for_good: true };
    Exit { code: None, signal: None, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(status: Status, exit_code: i64, oom: bool) -> Container {
        let state = ContainerState {
            status: Some(status),
            exit_code: Some(exit_code),
            oom_killed: Some(oom),
            ..ContainerState::default()
        };
        Container { labels: HashMap::new(), mounts: HashMap::new(), state, program: "/agent".to_owned() }
    }

    fn exited(code: i64, oom: bool, asked: Asked) -> (Option<i32>, Option<i32>, ExitCause) {
        match sight(&container(Status::EXITED, code, oom), asked) {
            Sight::Exited(Exit { code, signal, cause }) => (code, signal, cause),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_end_is_told_by_number_flag_and_what_was_asked() {
        assert_eq!(exited(0, false, Asked::Nothing), (Some(0), None, ExitCause::Itself));
        assert_eq!(exited(7, false, Asked::ToStop), (Some(7), None, ExitCause::Stopped));
        assert_eq!(exited(143, false, Asked::ToStop), (None, Some(15), ExitCause::Stopped));
        assert_eq!(exited(137, false, Asked::AndKilled), (None, Some(9), ExitCause::Killed));
        assert_eq!(exited(137, false, Asked::Nothing), (None, Some(9), ExitCause::Itself));
        assert_eq!(exited(137, true, Asked::Nothing), (None, Some(9), ExitCause::OutOfMemory));
        assert_eq!(exited(1, true, Asked::Nothing), (Some(1), None, ExitCause::Itself));
        assert_eq!(exited(255, false, Asked::Nothing), (Some(255), None, ExitCause::Itself));
    }

    #[test]
    fn what_is_not_clearly_over_is_not_down() {
        for status in [Status::RUNNING, Status::PAUSED, Status::RESTARTING] {
            assert_eq!(sight(&container(status, 0, false), Asked::Nothing), Sight::Running);
        }
        for status in [Status::REMOVING, Status::EMPTY] {
            assert!(matches!(sight(&container(status, 0, false), Asked::Nothing), Sight::Unknown(_)));
        }
    }

    #[test]
    fn what_never_ran_is_not_there() {
        assert_eq!(sight(&container(Status::CREATED, 0, false), Asked::Nothing), Sight::Absent);
    }

    #[test]
    fn a_program_that_is_not_there_will_not_be_there_another_time() {
        let exit = not_started(&container(Status::EXITED, 127, false), 127);
        assert!(matches!(exit.cause, ExitCause::StartFailed { for_good: true, .. }));
    }
}
