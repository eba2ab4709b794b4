//! The loop of the writer thread: take what waits, one transaction, a savepoint for each job, one commit, answers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed, mpsc::Receiver},
};

use super::{
    conn::{CommitError, Conn},
    error::DbError,
    files::Files,
    job::{Job, Ran, Tx, WriterFault},
    open::{Role, Target},
    writer::{Batch, Counters},
};
use crate::failpoint::hit;

type Waiting<B> = Box<dyn Job<<B as Batch>::State>>;

pub(super) struct Thread<B: Batch> {
    target: Target,
    /// Nothing after the connection was lost; opened anew for the next transaction.
    conn: Option<Conn>,
    files: Files,
    batch: B,
    jobs: Receiver<Waiting<B>>,
    batch_max: usize,
    counters: Arc<Counters>,
}

/// A job that ran, and what befell it alone.
struct Settled<B: Batch> {
    job: Waiting<B>,
    fault: Option<WriterFault>,
}

impl<B: Batch> Thread<B> {
    pub(super) fn open(
        target: Target,
        batch: B,
        jobs: Receiver<Waiting<B>>,
        batch_max: usize,
        counters: Arc<Counters>,
    ) -> Result<Self, DbError> {
        let conn = Some(Conn::open(&target, Role::Writer)?);
        let files = Files::of(&target);
        Ok(Self { target, conn, files, batch, jobs, batch_max, counters })
    }

    pub(super) fn run(&mut self) {
        while let Ok(first) = self.jobs.recv() {
            let mut taken = vec![Settled { job: first, fault: None }];
            // Only what waits already: a lone job must not wait for company.
            while taken.len() < self.batch_max
                && let Ok(job) = self.jobs.try_recv()
            {
                taken.push(Settled { job, fault: None });
            }
            self.counters.queued.fetch_sub(taken.len() as u64, Relaxed);

            let whole = self.transaction(&mut taken).err();
            hit("writer.before_reply");
            self.counters.jobs.fetch_add(taken.len() as u64, Relaxed);
            for Settled { job, fault } in taken {
                // What befell the whole batch wins: then also a refusal rests on facts that were never committed.
                let fault = whole.clone().or(fault);
                if catch_unwind(AssertUnwindSafe(|| job.settle(fault))).is_err() {
                    self.counters.panics.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// One transaction with all of `taken`. An error means that none of them is stored (or, for
    /// [`WriterFault::Unknown`], that nobody knows).
    fn transaction(&mut self, taken: &mut [Settled<B>]) -> Result<(), WriterFault> {
        hit("writer.before_begin");
        let done = self.begin().and_then(|mut conn| {
            hit("writer.after_begin");
            let before = conn.traffic();
            let work = AssertUnwindSafe(|| work(&mut conn, &mut self.batch, &self.counters, taken));
            let mut done = catch_unwind(work).unwrap_or_else(|_| {
                self.counters.panics.fetch_add(1, Relaxed);
                Err(WriterFault::Panicked)
            });
            let after = conn.traffic();
            self.counters.statements.fetch_add(after.statements - before.statements, Relaxed);
            self.counters.waits.fetch_add(after.waits - before.waits, Relaxed);
            if after.unavailable > before.unavailable {
                self.counters.doubted.store(true, Relaxed);
            }
            // Committed into files without a name is not stored.
            if matches!(done, Ok(Some(_)))
                && let Err(error) = self.files.check()
            {
                tracing::error!(%error, "the database was taken away while committing");
                done = Err(WriterFault::Unknown);
            }
            let clean = match &done {
                Ok(Some(_)) => true,
                // What an engine believes after a failed write or fsync is not worth having.
                Err(WriterFault::Unknown) => false,
                // Rolls back also what a failed COMMIT left open; there is nothing to roll back if SQLite gave up by
                // itself.
                Ok(None) | Err(_) => !conn.in_transaction() || conn.batch("ROLLBACK").is_ok(),
            };
            // A connection in doubt is not used again. Dropping it ends its transaction.
            self.conn = (clean && !conn.is_closed()).then_some(conn);
            done
        });
        self.counters.last_commit_failed.store(done.is_err(), Relaxed);
        if done.is_err() {
            self.counters.doubted.store(true, Relaxed);
        }
        match done {
            Ok(None) => Ok(()),
            Ok(Some(state)) => {
                self.counters.batches.fetch_add(1, Relaxed);
                hit("writer.after_commit");
                // Stored is stored: a panic of the listener must not turn the answer into a failure.
                if catch_unwind(AssertUnwindSafe(|| self.batch.after_commit(state))).is_err() {
                    self.counters.panics.fetch_add(1, Relaxed);
                }
                Ok(())
            }
            Err(fault) => {
                self.counters.failed_commits.fetch_add(1, Relaxed);
                tracing::error!(%fault, jobs = taken.len(), "the write transaction failed");
                Err(fault)
            }
        }
    }

    /// A connection inside the write transaction. A connection found dead is replaced once: no job has run yet, so
    /// nothing is repeated.
    fn begin(&mut self) -> Result<Conn, WriterFault> {
        // Before opening anew as well: that would make an empty file where one is missing.
        self.files.check()?;
        if let Some(mut conn) = self.conn.take() {
            match conn.begin_write() {
                Ok(()) => return Ok(conn),
                // Not `is_closed`: a server that says farewell first has not closed the connection yet.
                Err(DbError::Unavailable(_)) => {}
                Err(error) => {
                    // BEGIN itself may have succeeded before the lock was refused.
                    if !conn.in_transaction() || conn.batch("ROLLBACK").is_ok() {
                        self.conn = Some(conn);
                    }
                    return Err(error.into());
                }
            }
        }
        let mut conn = Conn::open(&self.target, Role::Writer)?;
        conn.begin_write()?;
        Ok(conn)
    }
}

/// Everything between BEGIN and the end of COMMIT. `None` if every job failed, so that there is nothing to commit.
fn work<B: Batch>(
    conn: &mut Conn,
    batch: &mut B,
    counters: &Counters,
    taken: &mut [Settled<B>],
) -> Result<Option<B::State>, WriterFault> {
    let mut state = batch.begin(conn)?;
    let mut kept = 0;
    for settled in taken {
        settled.fault = one(conn, &mut state, counters, settled.job.as_mut(), &mut kept)?;
        hit("writer.after_job");
    }
    if kept == 0 {
        return Ok(None);
    }
    batch.before_commit(conn, &mut state, kept)?;
    hit("writer.before_commit");
    match conn.commit() {
        Ok(()) => Ok(Some(state)),
        Err(CommitError::Failed(error)) => Err(error.into()),
        Err(CommitError::Unknown(error)) => {
            tracing::error!(%error, "the connection failed while committing");
            Err(WriterFault::Unknown)
        }
    }
}

/// Runs one job inside a savepoint. `Ok(Some(fault))` concerns this job alone; `Err` means that the transaction is lost.
fn one<S: Clone>(
    conn: &mut Conn,
    state: &mut S,
    counters: &Counters,
    job: &mut dyn Job<S>,
    kept: &mut usize,
) -> Result<Option<WriterFault>, WriterFault> {
    let start = conn.savepoint()?;
    let before = state.clone();
    let ran = job.run(&mut Tx { conn, state });
    if !conn.in_transaction() {
        return Err(WriterFault::Unavailable("the engine gave up the transaction".into()));
    }
    let fault = match ran {
        Ran::Kept => match conn.release(start) {
            Ok(()) => {
                *kept += 1;
                return Ok(None);
            }
            // The job hid a failed statement and reported success, or did not wait to see it fail.
            Err(error) => Some(error.into()),
        },
        Ran::Refused => None,
        Ran::Panicked => {
            counters.panics.fetch_add(1, Relaxed);
            Some(WriterFault::Panicked)
        }
    };
    *state = before;
    conn.rollback_to(start)?;
    conn.release(start)?;
    Ok(fault)
}
