//! One unit of work for the writer: what it sees, how it may fail, and how it is answered.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use super::{conn::Conn, error::DbError};

/// Why the writer could not do a job. Converted into the caller's own error type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriterFault {
    /// The queue is full or the write lock was not given in time. Nothing happened; try again.
    #[error("too much is being written; try again")]
    Busy,
    /// The database failed, or the commit was refused. Nothing happened.
    #[error("nothing was written: {0}")]
    Unavailable(String),
    /// The connection or the disk failed while committing. Whether it was stored must be read back.
    #[error("the connection failed while committing; read back whether it was stored")]
    Unknown,
    /// The job panicked and was rolled back.
    #[error("internal error; nothing was written")]
    Panicked,
    /// The writer is shutting down. Nothing happened.
    #[error("the service is shutting down")]
    Stopped,
}

impl From<DbError> for WriterFault {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Busy => Self::Busy,
            DbError::Panicked => Self::Panicked,
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<WriterFault> for DbError {
    fn from(fault: WriterFault) -> Self {
        match fault {
            WriterFault::Busy => Self::Busy,
            WriterFault::Panicked => Self::Panicked,
            fault @ (WriterFault::Unavailable(_) | WriterFault::Unknown | WriterFault::Stopped) => {
                Self::Unavailable(fault.to_string())
            }
        }
    }
}

/// What a job may touch: the connection inside the write transaction, and the state shared by the batch.
pub struct Tx<'a, S> {
    /// The connection, inside the transaction and a savepoint of this job.
    pub conn: &'a mut Conn,
    /// The state of the batch (such as the head of the audit chain); put back if the job fails.
    pub state: &'a mut S,
}

/// What became of a job inside the transaction.
pub(super) enum Ran {
    /// Keep what it wrote.
    Kept,
    /// It answered with an error: undo what it wrote.
    Refused,
    /// It panicked: undo what it wrote.
    Panicked,
}

/// A job of any result type.
pub(super) trait Job<S>: Send {
    /// Does the work. Called once; catches a panic.
    fn run(&mut self, tx: &mut Tx<'_, S>) -> Ran;
    /// Answers the caller: with the job's own result, or with the fault that befell it or its batch.
    fn settle(self: Box<Self>, fault: Option<WriterFault>);
}

/// Who has a job: the writer that begins it, or the caller who waited too long and takes it back. Whoever comes first.
#[derive(Clone, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether it is now the one who asks that has it.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, SeqCst)
    }
}

/// The work, later its outcome, and the way to answer.
pub(super) struct TypedJob<F, T, E, R> {
    claim: Claim,
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: R,
}

impl<F, T, E, R> TypedJob<F, T, E, R> {
    pub(super) fn new(claim: Claim, work: F, reply: R) -> Self {
        Self { claim, work: Some(work), outcome: None, reply }
    }
}

impl<S, F, T, E, R> Job<S> for TypedJob<F, T, E, R>
where
    F: FnOnce(&mut Tx<'_, S>) -> Result<T, E> + Send,
    T: Send,
    E: From<WriterFault> + Send,
    R: FnOnce(Result<T, E>) + Send,
{
    fn run(&mut self, tx: &mut Tx<'_, S>) -> Ran {
        if !self.claim.take() {
            // Its caller was told that nothing was written.
            return Ran::Refused;
        }
        let Some(work) = self.work.take() else { return Ran::Panicked };
        // Unwind safety: what the closure could leave half-done is rolled back to the savepoint, and the state of the
        // batch is replaced by the copy taken before.
        match catch_unwind(AssertUnwindSafe(|| work(tx))) {
            Ok(outcome) => {
                let ran = if outcome.is_ok() { Ran::Kept } else { Ran::Refused };
                self.outcome = Some(outcome);
                ran
            }
            Err(_) => Ran::Panicked,
        }
    }

    fn settle(self: Box<Self>, fault: Option<WriterFault>) {
        let answer = match (fault, self.outcome) {
            (Some(fault), _) => Err(fault.into()),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(WriterFault::Panicked.into()),
        };
        (self.reply)(answer);
    }
}
