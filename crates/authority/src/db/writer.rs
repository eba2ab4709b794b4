//! The one writer of the process: a thread with a bounded queue that commits many jobs with one fsync.
//!
//! INVARIANT: a job is answered with success only after the COMMIT that contains it has succeeded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{self, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    error::DbError,
    job::{Claim, Job, Tx, TypedJob, WriterFault},
    open::Target,
    writer_thread::Thread,
};

/// What happens around the jobs of one transaction, beside the jobs themselves.
pub trait Batch: Send + 'static {
    /// Shared by the jobs of one transaction. Cloned before each job, so that a failing job can be undone: keep it small.
    type State: Clone + Send + 'static;

    /// Called first inside the transaction, with the write lock held: what is read here cannot move any more.
    fn begin(&mut self, conn: &mut super::Conn) -> Result<Self::State, DbError>;

    /// Called last before COMMIT. `jobs` is how many succeeded, at least one: when all failed, the transaction is
    /// rolled back without this call.
    fn before_commit(&mut self, conn: &mut super::Conn, state: &mut Self::State, jobs: usize) -> Result<(), DbError>;

    /// Called after a successful COMMIT, before the jobs are answered.
    fn after_commit(&mut self, state: Self::State);
}

/// Limits of the writer.
#[derive(Clone, Copy, Debug)]
pub struct WriterConfig {
    /// Jobs that may wait; one more is refused with [`WriterFault::Busy`].
    pub queue_max: usize,
    /// Jobs in one transaction.
    pub batch_max: usize,
    /// How long a caller waits for an answer.
    pub wait: Duration,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self { queue_max: 1024, batch_max: 128, wait: super::WAIT_DEFAULT }
    }
}

/// Counters since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Jobs that wait now.
    pub queued: u64,
    /// Transactions committed.
    pub batches: u64,
    /// Jobs answered, with whatever result.
    pub jobs: u64,
    /// Transactions that could not be begun or committed.
    pub failed_commits: u64,
    /// Whether the latest transaction could not be begun or committed: writing does not work at present.
    pub last_commit_failed: bool,
    /// Whether the engine could not do something in a transaction since it was last [trusted](Writer::trust). PostgreSQL
    /// without room fails single statements, and a transaction with nothing in it goes well.
    pub doubted: bool,
    /// Jobs or hooks that panicked.
    pub panics: u64,
    /// Statements between the begin and the end of transactions, the commit included.
    pub statements: u64,
    /// How often one of them was waited for: round trips on PostgreSQL, none on SQLite.
    pub waits: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) queued: AtomicU64,
    pub(super) batches: AtomicU64,
    pub(super) jobs: AtomicU64,
    pub(super) failed_commits: AtomicU64,
    pub(super) last_commit_failed: AtomicBool,
    pub(super) doubted: AtomicBool,
    pub(super) panics: AtomicU64,
    pub(super) statements: AtomicU64,
    pub(super) waits: AtomicU64,
}

/// A handle to the writer thread. Dropping it finishes the queue and waits for the thread.
pub struct Writer<S> {
    queue: Option<SyncSender<Box<dyn Job<S>>>>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    wait: Duration,
}

impl<S: Clone + Send + 'static> Writer<S> {
    /// Opens a connection on a new thread and waits until it is ready. The schema must be up to date.
    ///
    /// Fails as [`super::Conn::open`] does, or with [`DbError::Unavailable`] if no thread can be started.
    pub fn start<B: Batch<State = S>>(target: &Target, batch: B, config: WriterConfig) -> Result<Self, DbError> {
        let (queue, jobs) = mpsc::sync_channel(config.queue_max);
        let (ready, opened) = mpsc::sync_channel(1);
        let counters = Arc::new(Counters::default());
        let target = target.clone();
        let shared = Arc::clone(&counters);
        let thread = thread::Builder::new()
            .name("db-writer".into())
            .spawn(move || match Thread::open(target, batch, jobs, config.batch_max.max(1), shared) {
                Ok(mut thread) => {
                    // The other side waits for exactly this, so it cannot be gone.
                    let _ = ready.send(Ok(()));
                    thread.run();
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|error| DbError::Unavailable(format!("cannot start the writer thread: {error}")))?;
        opened.recv().unwrap_or(Err(DbError::Panicked))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), counters, wait: config.wait })
    }

    /// Runs `job` in the next transaction and waits until that is committed. On `Err` from the job, or a panic, nothing
    /// of it is stored. If the caller stops waiting, the job runs all the same.
    ///
    /// A full queue answers [`WriterFault::Busy`] at once. A database that does not answer in time is
    /// [`WriterFault::Unavailable`] while the job has not begun, which it then never does, else [`WriterFault::Unknown`].
    /// Needs a runtime with a timer.
    pub async fn submit<T, E>(&self, job: impl FnOnce(&mut Tx<'_, S>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriterFault> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let claim = Claim::default();
        // A caller that no longer waits does not want the answer.
        let job = TypedJob::new(claim.clone(), job, move |outcome| drop(reply.send(outcome)));
        self.enqueue(Box::new(job), |queue, job| queue.try_send(job))?;
        match tokio::time::timeout(self.wait, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(WriterFault::Stopped.into())),
            Err(_) if claim.take() => Err(WriterFault::Unavailable(super::NO_ANSWER.into()).into()),
            Err(_) => Err(WriterFault::Unknown.into()),
        }
    }

    /// As [`Writer::submit`] for code outside the asynchronous runtime; waits for a place in the queue instead of
    /// answering busy.
    pub fn submit_blocking<T, E>(
        &self,
        job: impl FnOnce(&mut Tx<'_, S>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<WriterFault> + Send + 'static,
    {
        let (reply, answer) = mpsc::sync_channel(1);
        let job = TypedJob::new(Claim::default(), job, move |outcome| drop(reply.send(outcome)));
        self.enqueue(Box::new(job), |queue, job| queue.send(job).map_err(|gone| TrySendError::Disconnected(gone.0)))?;
        answer.recv().unwrap_or_else(|_| Err(WriterFault::Stopped.into()))
    }

    /// Counters since start.
    pub fn stats(&self) -> WriterStats {
        let counters = &self.counters;
        WriterStats {
            queued: counters.queued.load(Relaxed),
            batches: counters.batches.load(Relaxed),
            jobs: counters.jobs.load(Relaxed),
            failed_commits: counters.failed_commits.load(Relaxed),
            last_commit_failed: counters.last_commit_failed.load(Relaxed),
            doubted: counters.doubted.load(Relaxed),
            panics: counters.panics.load(Relaxed),
            statements: counters.statements.load(Relaxed),
            waits: counters.waits.load(Relaxed),
        }
    }

    /// After a trial that went well: what failed before is of no interest any more.
    pub fn trust(&self) {
        self.counters.doubted.store(false, Relaxed);
    }

    fn enqueue(
        &self,
        job: Box<dyn Job<S>>,
        send: impl FnOnce(&SyncSender<Box<dyn Job<S>>>, Box<dyn Job<S>>) -> Result<(), TrySendError<Box<dyn Job<S>>>>,
    ) -> Result<(), WriterFault> {
        let queue = self.queue.as_ref().ok_or(WriterFault::Stopped)?;
        // Counted before it is sent: the thread may take it, and count it off, before `send` returns.
        self.counters.queued.fetch_add(1, Relaxed);
        send(queue, job).map_err(|refused| {
            self.counters.queued.fetch_sub(1, Relaxed);
            match refused {
                TrySendError::Full(_) => WriterFault::Busy,
                TrySendError::Disconnected(_) => WriterFault::Stopped,
            }
        })
    }
}

impl<S> Drop for Writer<S> {
    fn drop(&mut self) {
        // The thread ends when the queue is empty and has no sender.
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // Panics of jobs are caught, so this only waits.
            let _ = thread.join();
        }
    }
}
