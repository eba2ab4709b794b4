//! What a service, its tasks and their nodes mean for one run.
//!
//! The first task of a service is the run; there must be no second one. Tasks that begin after a service was told to start
//! nothing any more are no runs: no node takes them.

use std::collections::HashMap;

use bollard::models::{NodeState, Service, ServiceSpec, Task, TaskState};

use super::spec::{ASKED, NOWHERE, TO_STOP, UNPLACED};
use crate::runtime::{
    Exit, ExitCause,
    container::ending::{SIGKILL, code_or_signal},
};

/// How an engine says that it lacks an image.
const NO_IMAGE: &str = "No such image";
/// How an engine says that a container was made and could not be started.
const NOT_STARTED: &str = "starting container failed";

/// A service of ours as the manager shows it.
pub(super) struct Found {
    /// Its id.
    pub id: String,
    /// For changes: the manager refuses one that is based on an older.
    pub version: u64,
    /// What it was told.
    pub spec: ServiceSpec,
    tasks: Vec<Task>,
    nodes: HashMap<String, Option<NodeState>>,
}

/// What the manager's answers say about a run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It runs, or a node prepares it.
    Running,
    /// No node has it yet, for this reason.
    Waiting(String),
    /// It is over.
    Ended(Exit),
    /// A boot was begun a second time, by somebody's hand: none of its copies may go on.
    Doubled,
    /// The swarm does not know.
    Unknown(String),
}

impl Found {
    pub(super) fn new(service: Service, mut tasks: Vec<Task>, nodes: HashMap<String, Option<NodeState>>) -> Self {
        let spec = service.spec.unwrap_or_default();
        tasks.retain(|task| !is_stopper(task));
        let version = service.version.and_then(|version| version.index).unwrap_or_default();
        Self { id: service.id.unwrap_or_default(), version, spec, tasks, nodes }
    }

    /// What was asked of it, by this side.
    pub(super) fn asked(&self) -> Option<&str> {
        self.spec.labels.as_ref()?.get(ASKED).map(String::as_str)
    }

    /// The task that is the run, for its log.
    pub(super) fn task(&self) -> Option<&str> {
        self.tasks.first()?.id.as_deref()
    }

    /// The agent's program, without the shell that reads variables.
    pub(super) fn program(&self) -> String {
        let container = self.spec.task_template.as_ref().and_then(|task| task.container_spec.as_ref());
        let first = container.and_then(|container| container.command.as_ref()?.first());
        first.cloned().unwrap_or_default()
    }

    /// What it all means.
    pub(super) fn seen(&self) -> Seen {
        let task = match self.tasks.as_slice() {
            [task] => task,
            [] if self.asked().is_some() => return Seen::Ended(self.untold()),
            [] => return Seen::Waiting("the swarm has made no task of it yet".to_owned()),
            _ => return Seen::Doubled,
        };
        let status = task.status.clone().unwrap_or_default();
        let state = status.state.unwrap_or(TaskState::NEW);
        let words = status.err.clone().or(status.message.clone()).unwrap_or_default();
        if !is_assigned(task) {
            // No node has seen it, and none will.
            return if is_given_up(task) { Seen::Ended(self.untold()) } else { Seen::Waiting(words) };
        }
        let number = status.container_status.and_then(|container| container.exit_code);
        match state {
            TaskState::COMPLETE | TaskState::FAILED | TaskState::SHUTDOWN | TaskState::REMOVE => {
                Seen::Ended(self.exit(state, number, &words))
            }
            TaskState::REJECTED => Seen::Ended(start_failed(&words)),
            TaskState::ORPHANED => Seen::Ended(lost()),
            _ => self.on_its_node(task),
        }
    }

    /// A task that its node has not reported the end of.
    fn on_its_node(&self, task: &Task) -> Seen {
        let node = task.node_id.as_deref().unwrap_or_default();
        match self.nodes.get(node) {
            // The swarm gave the node up, and the task with it: should the node come back, the task is ended there.
            None | Some(Some(NodeState::DOWN)) if is_given_up(task) => Seen::Ended(lost()),
            Some(Some(NodeState::READY)) => Seen::Running,
            _ => Seen::Unknown(format!("the swarm does not hear the node {node}")),
        }
    }

    fn exit(&self, state: TaskState, number: Option<i64>, words: &str) -> Exit {
        if state == TaskState::FAILED && words.starts_with(NOT_STARTED) {
            return start_failed(words);
        }
        let (code, signal) = number.map_or((None, None), code_or_signal);
        // The swarm ends a task by itself too, for example when its node is drained.
        let asked = self.asked() == Some(TO_STOP) || matches!(state, TaskState::SHUTDOWN | TaskState::REMOVE);
        let cause = match (asked, signal) {
            (true, Some(SIGKILL)) => ExitCause::Killed,
            (true, _) => ExitCause::Stopped,
            (false, _) => ExitCause::Itself,
        };
        Exit { code, signal, cause }
    }

    /// The end of something of which the swarm keeps no record.
    fn untold(&self) -> Exit {
        match self.asked() {
            Some(UNPLACED) => start_failed("no node of the swarm took it; see its limits, placement and the nodes"),
            Some(TO_STOP) => Exit { code: None, signal: None, cause: ExitCause::Stopped },
            _ => lost(),
        }
    }
}

fn lost() -> Exit {
    Exit { code: None, signal: None, cause: ExitCause::Lost }
}

fn start_failed(words: &str) -> Exit {
    let why = format!("the swarm could not start it: {words}");
    let cause = ExitCause::StartFailed { why, for_good: words.contains(NO_IMAGE) };
    Exit { code: None, signal: None, cause }
}

fn is_assigned(task: &Task) -> bool {
    task.node_id.as_deref().is_some_and(|node| !node.is_empty())
}

/// The swarm wants it to run no more.
fn is_given_up(task: &Task) -> bool {
    use TaskState::{COMPLETE, FAILED, ORPHANED, REJECTED, REMOVE, SHUTDOWN};
    matches!(task.desired_state, Some(COMPLETE | FAILED | ORPHANED | REJECTED | REMOVE | SHUTDOWN))
}

/// Whether this is the task that no node takes, of a service that was told to start nothing any more.
fn is_stopper(task: &Task) -> bool {
    let placement = task.spec.as_ref().and_then(|spec| spec.placement.as_ref());
    let constraints = placement.and_then(|placement| placement.constraints.as_ref());
    constraints.is_some_and(|all| all.iter().any(|one| one == NOWHERE))
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerStatus, TaskSpec, TaskSpecPlacement, TaskStatus};

    use super::*;

    const NODE: &str = "n1";

    fn task(state: TaskState, desired: TaskState, node: Option<&str>, number: Option<i64>, err: Option<&str>) -> Task {
        Task {
            id: Some("t1".to_owned()),
            node_id: node.map(str::to_owned),
            desired_state: Some(desired),
            status: Some(TaskStatus {
                state: Some(state),
                err: err.map(str::to_owned),
                container_status: number
                    .map(|number| ContainerStatus { exit_code: Some(number), ..ContainerStatus::default() }),
                ..TaskStatus::default()
            }),
            ..Task::default()
        }
    }

    fn stopper() -> Task {
        let constraints = Some(vec![NOWHERE.to_owned()]);
        let placement = Some(TaskSpecPlacement { constraints, ..TaskSpecPlacement::default() });
        let spec = Some(TaskSpec { placement, ..TaskSpec::default() });
        Task { spec, ..task(TaskState::PENDING, TaskState::READY, None, None, None) }
    }

    fn seen(asked: Option<&str>, node: Option<NodeState>, tasks: Vec<Task>) -> Seen {
        let labels = asked.map(|word| HashMap::from([(ASKED.to_owned(), word.to_owned())]));
        let spec = Some(ServiceSpec { labels, ..ServiceSpec::default() });
        let nodes = node.map(|state| (NODE.to_owned(), Some(state)));
        Found::new(Service { spec, ..Service::default() }, tasks, nodes.into_iter().collect()).seen()
    }

    fn ended(code: Option<i32>, signal: Option<i32>, cause: ExitCause) -> Seen {
        Seen::Ended(Exit { code, signal, cause })
    }

    #[test]
    fn an_end_is_told_by_state_number_and_what_was_asked() {
        use TaskState::{COMPLETE, FAILED, SHUTDOWN};
        let ready = Some(NodeState::READY);
        for (asked, state, number, wanted) in [
            (None, COMPLETE, 0, ended(Some(0), None, ExitCause::Itself)),
            (None, FAILED, 7, ended(Some(7), None, ExitCause::Itself)),
            (None, FAILED, 137, ended(None, Some(9), ExitCause::Itself)),
            (Some(TO_STOP), SHUTDOWN, 3, ended(Some(3), None, ExitCause::Stopped)),
            (Some(TO_STOP), SHUTDOWN, 137, ended(None, Some(9), ExitCause::Killed)),
            // It ended by itself just when it was to stop.
            (Some(TO_STOP), FAILED, 7, ended(Some(7), None, ExitCause::Stopped)),
            // A node that is drained.
            (None, SHUTDOWN, 143, ended(None, Some(15), ExitCause::Stopped)),
        ] {
            let tasks = vec![stopper(), task(state, SHUTDOWN, Some(NODE), Some(number), Some("task: non-zero exit"))];
            assert_eq!(seen(asked, ready, tasks), wanted);
        }
    }

    #[test]
    fn only_what_the_swarm_has_given_up_on_a_node_that_is_down_is_lost() {
        use TaskState::{RUNNING, SHUTDOWN};
        let on = |desired, node| seen(None, node, vec![task(RUNNING, desired, Some(NODE), None, None)]);
        assert_eq!(on(RUNNING, Some(NodeState::READY)), Seen::Running);
        // It was asked to stop and does.
        assert_eq!(on(SHUTDOWN, Some(NodeState::READY)), Seen::Running);
        for unsure in [Some(NodeState::UNKNOWN), Some(NodeState::DISCONNECTED)] {
            assert!(matches!(on(SHUTDOWN, unsure), Seen::Unknown(_)));
        }
        for unsure in [Some(NodeState::UNKNOWN), Some(NodeState::DOWN), None] {
            assert!(matches!(on(RUNNING, unsure), Seen::Unknown(_)));
        }
        for down in [Some(NodeState::DOWN), None] {
            assert_eq!(on(SHUTDOWN, down), ended(None, None, ExitCause::Lost));
        }
    }

    #[test]
    fn what_no_node_took_waits_until_it_is_given_up() {
        use TaskState::{PENDING, RUNNING, SHUTDOWN};
        let words = "no suitable node (insufficient resources on 2 nodes)";
        let waiting = || task(PENDING, RUNNING, None, None, Some(words));
        assert_eq!(seen(None, None, vec![waiting()]), Seen::Waiting(words.to_owned()));
        assert!(matches!(seen(None, None, Vec::new()), Seen::Waiting(_)));
        let given_up = |state| vec![stopper(), task(state, SHUTDOWN, None, None, None)];
        for tasks in [vec![stopper()], given_up(PENDING), given_up(SHUTDOWN)] {
            let given_up = seen(Some(UNPLACED), None, tasks);
            assert!(
                matches!(&given_up, Seen::Ended(exit) if matches!(exit.cause, ExitCause::StartFailed { for_good: false, .. }))
            );
        }
        assert_eq!(seen(Some(TO_STOP), None, vec![stopper()]), ended(None, None, ExitCause::Stopped));
    }

    #[test]
    fn an_image_that_is_not_there_will_not_be_there_another_time() {
        let rejected = |words| {
            let task = task(TaskState::REJECTED, TaskState::SHUTDOWN, Some(NODE), None, Some(words));
            match seen(None, Some(NodeState::READY), vec![task]) {
                Seen::Ended(Exit { cause: ExitCause::StartFailed { why, for_good }, .. }) => (why, for_good),
                other => panic!("{other:?}"),
            }
        };
        let (why, for_good) = rejected("No such image: nope:9");
        assert!(why.contains("nope:9") && for_good);
        assert!(!rejected("no space left on device").1);
    }

    #[test]
    fn a_second_task_is_a_doubled_boot() {
        let one = || task(TaskState::RUNNING, TaskState::RUNNING, Some(NODE), None, None);
        assert_eq!(seen(None, Some(NodeState::READY), vec![one(), one()]), Seen::Doubled);
        assert_eq!(seen(None, Some(NodeState::READY), vec![stopper(), one()]), Seen::Running);
    }
}
