//! The engine: few calls, each with a time limit, and errors in our words.
//!
//! Only what the engine says itself is quoted; the client's own errors may quote what was sent, and that has secrets in it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    container::LogOutput,
    errors::Error,
    models::{ContainerCreateBody, ContainerSummaryStateEnum},
    query_parameters::{
        CreateContainerOptions, KillContainerOptions, ListContainersOptions, LogsOptions, RemoveContainerOptions,
        WaitContainerOptions,
    },
};
use futures_util::{Stream, StreamExt};
use tokio::sync::OnceCell;

use super::{ending::Container, log::Lines};
use crate::runtime::{LogPiece, LogRange, RuntimeFault};

/// How long the engine may take to create, start or remove a container. Copying an image can be slow.
const WORK_SECONDS: u64 = 120;
/// How long it may take to answer a question.
pub(in crate::runtime) const ANSWER: Duration = Duration::from_secs(15);
/// How long reading a log may take; it is bounded in size.
const LOG_ANSWER: Duration = Duration::from_secs(60);
/// Longest text of the engine that is passed on, in characters.
const WORDS_MAX: usize = 500;
/// How the engine's init begins its only words.
const INIT_COMPLAINT: &[u8] = b"[FATAL tini (";

/// A connection that is made when it is needed.
pub(in crate::runtime) struct Engine {
    socket: PathBuf,
    connected: OnceCell<Connected>,
}

struct Connected {
    docker: Docker,
    limits: bool,
    /// The engine's own name for itself.
    id: Option<String>,
}

impl Engine {
    pub(in crate::runtime) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), connected: OnceCell::new() }
    }

    /// Whether memory and processes of a container can be limited; assumed until the engine was asked.
    pub(in crate::runtime) fn has_limits(&self) -> bool {
        self.connected.get().is_none_or(|connected| connected.limits)
    }

    /// The connection, made when it is needed first.
    pub(in crate::runtime) async fn docker(&self) -> Result<&Docker, RuntimeFault> {
        let connected = self.connected.get_or_try_init(|| within(ANSWER, self.connect())).await?;
        Ok(&connected.docker)
    }

    async fn connect(&self) -> Result<Connected, RuntimeFault> {
        let path = self.socket.to_str();
        let path =
            path.ok_or_else(|| RuntimeFault::Permanent("the engine's socket has no readable path".to_owned()))?;
        let docker = Docker::connect_with_unix(path, WORK_SECONDS, API_DEFAULT_VERSION).map_err(fault)?;
        let docker = docker.negotiate_version().await.map_err(fault)?;
        let info = docker.info().await.map_err(fault)?;
        let limits = info.memory_limit == Some(true) && info.pids_limit == Some(true);
        Ok(Connected { docker, limits, id: info.id })
    }

    /// What the engine calls itself; nothing while it does not answer.
    pub(super) async fn id(&self) -> Option<String> {
        self.docker().await.ok()?;
        self.connected.get()?.id.clone()
    }

    /// `None` when there is no such container.
    pub(super) async fn inspect(&self, name: &str) -> Result<Option<Container>, RuntimeFault> {
        let docker = self.docker().await?;
        within(ANSWER, async {
            match docker.inspect_container(name, None).await {
                Ok(response) => Ok(Some(Container::read(response))),
                Err(error) if status(&error) == Some(404) => Ok(None),
                Err(error) => Err(fault(error)),
            }
        })
        .await
    }

    /// `false` when the name is taken.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<bool, RuntimeFault> {
        let image = body.image.clone().unwrap_or_default();
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..CreateContainerOptions::default() };
        match self.docker().await?.create_container(Some(options), body).await {
            Ok(_) => Ok(true),
            Err(error) => match status(&error) {
                Some(409) => Ok(false),
                Some(404) => {
                    let text = format!("the engine has no image `{image}`; pull, build or import it there");
                    Err(RuntimeFault::Permanent(text))
                }
                _ => Err(fault(error)),
            },
        }
    }

    pub(super) async fn start(&self, name: &str) -> Result<(), RuntimeFault> {
        self.docker().await?.start_container(name, None).await.map_err(fault)
    }

    /// A container that does not run any more is fine.
    pub(super) async fn signal(&self, name: &str, signal: &str) -> Result<(), RuntimeFault> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        let docker = self.docker().await?;
        within(ANSWER, async { gone_is_fine(docker.kill_container(name, Some(options)).await) }).await
    }

    pub(super) async fn unpause(&self, name: &str) -> Result<(), RuntimeFault> {
        let docker = self.docker().await?;
        within(ANSWER, async { gone_is_fine(docker.unpause_container(name).await) }).await
    }

    /// Kills it if it runs, with its anonymous volumes. One that is not there is fine.
    pub(super) async fn remove(&self, name: &str) -> Result<(), RuntimeFault> {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        match self.docker().await?.remove_container(name, Some(options)).await {
            Err(error) if status(&error) != Some(404) => Err(fault(error)),
            _ => Ok(()),
        }
    }

    /// Returns when the engine says that the container does not run, or says anything else. The caller limits the time.
    pub(super) async fn wait(&self, name: &str) -> Result<(), RuntimeFault> {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let docker = self.docker().await?;
        let mut answer = std::pin::pin!(docker.wait_container(name, Some(options)));
        match answer.next().await {
            // An exit code other than zero is an error to the client, not to us.
            None | Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => Ok(()),
            Some(Err(error)) => Err(fault(error)),
        }
    }

    /// The labels of all containers that match, in whatever state.
    pub(super) async fn list(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<HashMap<String, String>>, RuntimeFault> {
        let options = ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let docker = self.docker().await?;
        within(ANSWER, async {
            let listed = docker.list_containers(Some(options)).await.map_err(fault)?;
            // One that is being removed is listed for a moment and cannot be asked about.
            let there = listed.into_iter().filter(|one| one.state != Some(ContainerSummaryStateEnum::REMOVING));
            Ok(there.filter_map(|one| one.labels).collect())
        })
        .await
    }

    /// Reads a piece of the log. Never holds more than the piece and one line a stream.
    pub(super) async fn logs(&self, name: &str, range: LogRange, ended: bool) -> Result<LogPiece, RuntimeFault> {
        let lines = Lines::new(range);
        let options = LogsOptions { since: lines.since(), tail: lines.tail(), ..log_options() };
        collect(lines, self.docker().await?.logs(name, Some(options)), ended).await
    }

    /// Whether the engine's init says that it could not execute the program.
    pub(super) async fn init_complained(&self, name: &str) -> Result<bool, RuntimeFault> {
        complained(self.docker().await?.logs(name, Some(last_words()))).await
    }
}

/// Puts a piece together from the engine's frames.
pub(in crate::runtime) async fn collect(
    mut lines: Lines,
    frames: impl Stream<Item = Result<LogOutput, Error>>,
    ended: bool,
) -> Result<LogPiece, RuntimeFault> {
    within(LOG_ANSWER, async {
        let mut frames = std::pin::pin!(frames);
        while !lines.is_full()
            && let Some(frame) = frames.next().await
        {
            match frame.map_err(fault)? {
                LogOutput::StdOut { message } => lines.push(0, &message),
                LogOutput::StdErr { message } => lines.push(1, &message),
                LogOutput::StdIn { .. } | LogOutput::Console { .. } => {}
            }
        }
        Ok(())
    })
    .await?;
    if ended {
        lines.ended();
    }
    Ok(lines.finish())
}

/// Whether the engine's init says that it could not execute the program, in the last line of its standard error.
pub(in crate::runtime) async fn complained(
    frames: impl Stream<Item = Result<LogOutput, Error>>,
) -> Result<bool, RuntimeFault> {
    within(ANSWER, async {
        let mut frames = std::pin::pin!(frames);
        let mut complained = false;
        while let Some(frame) = frames.next().await {
            complained |= frame.map_err(fault)?.into_bytes().starts_with(INIT_COMPLAINT);
        }
        Ok(complained)
    })
    .await
}

/// The last line of standard error.
pub(in crate::runtime) fn last_words() -> LogsOptions {
    LogsOptions { tail: "1".to_owned(), stdout: false, timestamps: false, ..log_options() }
}

pub(in crate::runtime) fn log_options() -> LogsOptions {
    LogsOptions { stdout: true, stderr: true, timestamps: true, ..LogsOptions::default() }
}

/// Waits for an answer no longer than this.
pub(in crate::runtime) async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, RuntimeFault>>,
) -> Result<T, RuntimeFault> {
    let late = |_| RuntimeFault::Transient(format!("the engine gave no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, answer).await.map_err(late)?
}

/// The status of the engine's refusal, if it is one.
pub(in crate::runtime) fn status(error: &Error) -> Option<u16> {
    if let Error::DockerResponseServerError { status_code, .. } = error { Some(*status_code) } else { None }
}

/// 404: there is none. 409: it does not run.
fn gone_is_fine(answer: Result<(), Error>) -> Result<(), RuntimeFault> {
    match answer {
        Err(error) if !matches!(status(&error), Some(404 | 409)) => Err(fault(error)),
        _ => Ok(()),
    }
}

/// What the engine said, in our words.
pub(in crate::runtime) fn fault(error: Error) -> RuntimeFault {
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            let words: String = message.trim().chars().take(WORDS_MAX).collect();
            let text = format!("the engine refuses ({status_code}): {words}");
            // 408 and 429 are the two of the caller's faults that pass by themselves.
            if (400..500).contains(&status_code) && !matches!(status_code, 408 | 429) {
                RuntimeFault::Permanent(text)
            } else {
                RuntimeFault::Transient(text)
            }
        }
        Error::SocketNotFoundError(path) => RuntimeFault::Transient(format!("there is no engine at {path}")),
        Error::RequestTimeoutError => {
            RuntimeFault::Transient(format!("the engine gave no answer within {WORK_SECONDS} s"))
        }
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } => {
            RuntimeFault::Transient("the engine's answer could not be read".to_owned())
        }
        _ => RuntimeFault::Transient("the engine could not be reached".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_caller_did_wrong_is_permanent_and_the_rest_may_pass() {
        let said = |status_code| fault(Error::DockerResponseServerError { status_code, message: "x".repeat(9000) });
        assert!(matches!(said(400), RuntimeFault::Permanent(text) if text.len() < 1000));
        assert!(matches!(said(404), RuntimeFault::Permanent(_)));
        for status_code in [429, 500, 503] {
            assert!(matches!(said(status_code), RuntimeFault::Transient(_)), "{status_code}");
        }
        assert!(matches!(fault(Error::RequestTimeoutError), RuntimeFault::Transient(_)));
    }
}
