//! Reads: a fixed number of connections that never wait for the writer, each job in one snapshot.
//!
//! On SQLite a short read runs on the calling thread, because it takes microseconds and a hop to another thread costs
//! more. On PostgreSQL each connection has a thread. Long reads have connections of their own on both, so that an
//! export cannot make requests wait. A long read also keeps SQLite's log from being truncated while it runs.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{
    conn::Conn,
    error::DbError,
    open::{Role, Target},
    reader_threads::Threads,
};

/// Limits of the readers.
#[derive(Clone, Copy, Debug)]
pub struct ReadersConfig {
    /// Connections for short reads.
    pub light: usize,
    /// Connections for long reads.
    pub heavy: usize,
    /// Jobs that may wait for one connection of PostgreSQL, and long reads that may run or wait on SQLite; one more is
    /// [`DbError::Busy`].
    pub queue_max: usize,
    /// How long a caller waits for the answer to a short read of PostgreSQL.
    pub wait: Duration,
}

/// How long a caller waits for the answer to a long read of PostgreSQL: longer than that lets a statement take.
const HEAVY_WAIT: Duration = Duration::from_secs(16 * 60);

impl Default for ReadersConfig {
    fn default() -> Self {
        Self { light: 4, heavy: 2, queue_max: 256, wait: super::WAIT_DEFAULT }
    }
}

/// The read side of the database.
pub struct Readers(Engine);

enum Engine {
    Sqlite { light: Pool, heavy: Arc<Pool>, heavy_places: Arc<Semaphore> },
    Postgres { light: Threads, heavy: Threads },
}

impl Readers {
    /// Opens all connections. Fails as [`Conn::open`] does.
    pub fn open(target: &Target, config: ReadersConfig) -> Result<Self, DbError> {
        let (light, heavy) = (config.light.max(1), config.heavy.max(1));
        Ok(Self(match target {
            Target::Sqlite { .. } => Engine::Sqlite {
                light: Pool::open(target, Role::Reader, light)?,
                heavy: Pool::open(target, Role::Heavy, heavy)?.into(),
                heavy_places: Semaphore::new(config.queue_max).into(),
            },
            Target::Postgres(_) => Engine::Postgres {
                light: Threads::open(target, Role::Reader, light, config.queue_max, config.wait)?,
                heavy: Threads::open(target, Role::Heavy, heavy, config.queue_max, HEAVY_WAIT)?,
            },
        }))
    }

    /// Runs a short `job` on one snapshot. What the job writes is refused.
    ///
    /// Fails with [`DbError::Busy`] if too many wait, [`DbError::Panicked`] if the job panics, [`DbError::Unavailable`] if
    /// PostgreSQL does not answer in time. Needs a runtime with a timer.
    pub async fn read<T, E>(&self, job: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        match &self.0 {
            Engine::Sqlite { light, .. } => light.read(job),
            Engine::Postgres { light, .. } => light.read(job).await,
        }
    }

    /// As [`Readers::read`] for a job that may take seconds: runs apart from the short ones.
    pub async fn read_heavy<T, E>(&self, job: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        match &self.0 {
            Engine::Sqlite { heavy, heavy_places, .. } => {
                let place = Arc::clone(heavy_places).try_acquire_owned().map_err(|_| DbError::Busy)?;
                let heavy = Arc::clone(heavy);
                let done = tokio::task::spawn_blocking(move || {
                    // Given back when the job ends, not when the caller stops waiting for it.
                    let _place = place;
                    heavy.read(job)
                });
                done.await.unwrap_or_else(|_| Err(DbError::Panicked.into()))
            }
            Engine::Postgres { heavy, .. } => heavy.read(job).await,
        }
    }
}

/// Runs `job` between BEGIN and COMMIT. The first error is the answer; a connection that cannot be rolled back is
/// closed by its engine, so that failure needs no answer of its own.
pub(super) fn in_snapshot<T, E: From<DbError>>(
    conn: &mut Conn,
    job: impl FnOnce(&mut Conn) -> Result<T, E>,
) -> Result<T, E> {
    let answer = catch_unwind(AssertUnwindSafe(|| job(conn))).unwrap_or_else(|_| Err(DbError::Panicked.into()));
    conn.end_snapshot();
    answer
}

/// SQLite connections, each used by one thread at a time.
struct Pool {
    conns: Vec<Mutex<Conn>>,
    next: AtomicUsize,
}

impl Pool {
    fn open(target: &Target, role: Role, count: usize) -> Result<Self, DbError> {
        let conns = (0..count).map(|_| Conn::open(target, role).map(Mutex::new)).collect::<Result<_, _>>()?;
        Ok(Self { conns, next: AtomicUsize::new(0) })
    }

    fn read<T, E: From<DbError>>(&self, job: impl FnOnce(&mut Conn) -> Result<T, E>) -> Result<T, E> {
        let mut conn = self.any().ok_or(DbError::Busy)?;
        conn.begin_snapshot()?;
        in_snapshot(&mut conn, job)
    }

    /// A free connection, or else the wait for the one whose turn it is. Poison is ignored: panics are caught inside,
    /// and the transaction was rolled back.
    fn any(&self) -> Option<MutexGuard<'_, Conn>> {
        let first = self.next.fetch_add(1, Relaxed) % self.conns.len();
        let (before, after) = self.conns.split_at_checked(first)?;
        for conn in after.iter().chain(before) {
            match conn.try_lock() {
                Ok(conn) => return Some(conn),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        Some(after.first()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
