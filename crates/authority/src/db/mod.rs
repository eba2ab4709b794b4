//! The database: one SQL text for SQLite and PostgreSQL, one writer thread with group commit, readers that never wait
//! for it, and migrations.
//!
//! Everything here is synchronous on purpose. No await can happen inside a transaction, and on SQLite a statement costs
//! microseconds, less than a hop to another thread.

mod conn;
mod error;
mod files;
mod job;
mod levels;
mod listen;
mod migrate;
mod open;
mod pg;
mod reader;
mod reader_threads;
mod sqlite;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tests;
mod value;
mod writer;
mod writer_thread;

pub use conn::Conn;
pub use error::DbError;
pub use job::WriterFault;
pub use migrate::{MIGRATIONS, MigrateError, migrate, schema_version};
pub use open::{Role, SQLITE_FILE, Server, Target};
pub use reader::{Readers, ReadersConfig};
pub use value::{Param, Row};
pub use writer::{Batch, Writer, WriterConfig, WriterStats};

/// How long a request waits for the database unless configured: longer than the database itself lets a short statement
/// take, so that this ends only the wait for one that does not answer at all.
pub const WAIT_DEFAULT: std::time::Duration = std::time::Duration::from_secs(20);

const NO_ANSWER: &str = "the database did not answer in time";
/// Hears of the commits of other servers, where there may be any: `committed` moves with them.
pub fn hear(target: &Target, committed: &tokio::sync::watch::Sender<i64>) -> Result<(), DbError> {
    match target {
        Target::Sqlite { .. } => Ok(()),
        Target::Postgres(server) => listen::start(server, committed),
    }
}

/// Runs `work` on a thread of its own and waits for it: the way for start-up code inside the asynchronous runtime to
/// open, migrate and drop a PostgreSQL connection, which must never happen on one of the runtime's threads.
///
/// A panic of `work` is [`DbError::Panicked`].
pub fn off_runtime<T: Send, E: Send + From<DbError>>(work: impl FnOnce() -> Result<T, E> + Send) -> Result<T, E> {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(done) => done,
        Err(_) => Err(DbError::Panicked.into()),
    })
}
