//! PostgreSQL reads: threads with a connection and a bounded queue each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{self, Receiver, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    conn::Conn,
    error::DbError,
    open::{Role, Target},
    reader::in_snapshot,
};

/// Gets a connection inside a snapshot, or why there is none.
type ReadJob = Box<dyn FnOnce(Result<&mut Conn, DbError>) + Send>;

/// A fixed number of reading threads. Dropping it finishes the queues and waits for the threads.
pub(super) struct Threads {
    lanes: Vec<Lane>,
    wait: Duration,
}

struct Lane {
    queue: Option<SyncSender<ReadJob>>,
    /// Jobs that wait or run here.
    load: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn open(
        target: &Target,
        role: Role,
        count: usize,
        queue_max: usize,
        wait: Duration,
    ) -> Result<Self, DbError> {
        let lanes = (0..count).map(|_| Lane::open(target, role, queue_max)).collect::<Result<_, _>>()?;
        Ok(Self { lanes, wait })
    }

    pub(super) async fn read<T, E>(&self, job: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.enqueue(read_job(job, reply))?;
        match tokio::time::timeout(self.wait, answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(DbError::Panicked.into())),
            Err(_) => Err(DbError::Unavailable(super::NO_ANSWER.into()).into()),
        }
    }

    /// Gives the job to the least loaded thread; if that one's queue is full, so are all.
    fn enqueue(&self, job: ReadJob) -> Result<(), DbError> {
        let lane = self.lanes.iter().min_by_key(|lane| lane.load.load(Relaxed)).ok_or(DbError::Busy)?;
        let queue = lane.queue.as_ref().ok_or(DbError::Busy)?;
        lane.load.fetch_add(1, Relaxed);
        queue.try_send(job).map_err(|refused| {
            lane.load.fetch_sub(1, Relaxed);
            match refused {
                TrySendError::Full(_) => DbError::Busy,
                TrySendError::Disconnected(_) => DbError::Unavailable("the reading thread has ended".into()),
            }
        })
    }
}

fn read_job<T, E>(
    job: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static,
    reply: oneshot::Sender<Result<T, E>>,
) -> ReadJob
where
    T: Send + 'static,
    E: From<DbError> + Send + 'static,
{
    Box::new(move |conn| {
        if reply.is_closed() {
            return;
        }
        let answer = match conn {
            Ok(conn) => in_snapshot(conn, job),
            Err(error) => Err(error.into()),
        };
        // A caller that no longer waits does not want the answer.
        drop(reply.send(answer));
    })
}

impl Lane {
    fn open(target: &Target, role: Role, queue_max: usize) -> Result<Self, DbError> {
        let (queue, jobs) = mpsc::sync_channel(queue_max);
        let (ready, opened) = mpsc::sync_channel(1);
        let load = Arc::new(AtomicUsize::new(0));
        let (target, shared) = (target.clone(), Arc::clone(&load));
        let thread = thread::Builder::new()
            .name("db-reader".into())
            .spawn(move || match Conn::open(&target, role) {
                Ok(conn) => {
                    // The other side waits for exactly this, so it cannot be gone.
                    let _ = ready.send(Ok(()));
                    serve(&target, role, conn, &jobs, &shared);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })
            .map_err(|error| DbError::Unavailable(format!("cannot start a reading thread: {error}")))?;
        opened.recv().unwrap_or(Err(DbError::Panicked))?;
        Ok(Self { queue: Some(queue), load, thread: Some(thread) })
    }
}

fn serve(target: &Target, role: Role, conn: Conn, jobs: &Receiver<ReadJob>, load: &AtomicUsize) {
    let mut idle = Some(conn);
    while let Ok(job) = jobs.recv() {
        match begin(target, role, idle.take()) {
            Ok(mut conn) => {
                job(Ok(&mut conn));
                idle = (!conn.is_closed()).then_some(conn);
            }
            Err(error) => job(Err(error)),
        }
        load.fetch_sub(1, Relaxed);
    }
}

/// A connection inside a snapshot. One that does not answer is replaced once: no job has run yet.
fn begin(target: &Target, role: Role, idle: Option<Conn>) -> Result<Conn, DbError> {
    if let Some(mut conn) = idle
        && conn.begin_snapshot().is_ok()
    {
        return Ok(conn);
    }
    let mut conn = Conn::open(target, role)?;
    conn.begin_snapshot()?;
    Ok(conn)
}

impl Drop for Lane {
    fn drop(&mut self) {
        // The thread ends when the queue is empty and has no sender.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // Panics of jobs are caught, so this only waits.
            let _ = thread.join();
        }
    }
}
