//! One connection to either engine, with one SQL text for both.
//!
//! Statements are literals with `$1`, `$2`, … placeholders. What is deliberately absent: building SQL from strings,
//! and any way to keep a cursor open across calls.

use super::{
    error::DbError,
    open::{Role, Target},
    pg::Pg,
    sqlite::Sqlite,
    value::{Param, Row},
};

/// Why a COMMIT did not succeed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// The engine refused it: nothing was stored.
    Failed(DbError),
    /// The connection or the disk failed in the middle: stored or not, nobody knows.
    Unknown(DbError),
}

/// A statement literal by its address: cheaper to hash than its text. Equal texts at two addresses are prepared twice,
/// which is harmless.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct StatementKey(usize, usize);

impl StatementKey {
    pub(super) fn of(sql: &'static str) -> Self {
        Self(sql.as_ptr().addr(), sql.len())
    }
}

/// One connection. Not for the asynchronous runtime when it is PostgreSQL: open, use and drop it on a thread of its own.
///
/// After an error inside a transaction, PostgreSQL refuses every further statement up to the next rollback to a
/// savepoint; SQLite does not. Code that means to work on both stops at the first error.
pub struct Conn(Engine);

enum Engine {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Pg>),
}

impl Conn {
    /// Opens a connection and brings it into the state that its role needs (durability, foreign keys, time limits).
    ///
    /// Fails with [`DbError::Config`] if the server is not fit for use, [`DbError::Unavailable`] if it is not there.
    pub fn open(target: &Target, role: Role) -> Result<Self, DbError> {
        Ok(Self(match target {
            Target::Sqlite { path } => Engine::Sqlite(Box::new(Sqlite::open(path, role)?)),
            Target::Postgres(server) => Engine::Postgres(Box::new(Pg::new(server.connect(role)?))),
        }))
    }

    /// Runs a statement that gives no rows; the number of rows it changed.
    pub fn execute(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, DbError> {
        storable(params)?;
        match &mut self.0 {
            Engine::Sqlite(engine) => engine.execute(sql, params),
            Engine::Postgres(engine) => engine.execute(sql, params),
        }
    }

    /// Calls `visit` for each row as it arrives; the same [`Row`] is refilled each time, so nothing accumulates.
    /// The first error of `visit` ends the walk and is the result.
    pub fn each(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        visit: &mut dyn FnMut(&Row) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        self.walk(sql, params, &mut |row| visit(row))
    }

    /// All rows. For results whose size the statement itself limits; otherwise [`Conn::each`].
    pub fn query(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, DbError> {
        let mut rows = Vec::new();
        self.walk(sql, params, &mut |row| {
            rows.push(row.take());
            Ok(())
        })?;
        Ok(rows)
    }

    /// The only row, or none. A second row is [`DbError::Shape`].
    pub fn query_opt(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<Option<Row>, DbError> {
        let mut only = None;
        self.walk(sql, params, &mut |row| match only {
            None => {
                only = Some(row.take());
                Ok(())
            }
            Some(_) => Err(DbError::Shape("more than one row where at most one was expected".into())),
        })?;
        Ok(only)
    }

    fn walk(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        visit: &mut dyn FnMut(&mut Row) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        storable(params)?;
        match &mut self.0 {
            Engine::Sqlite(engine) => engine.each(sql, params, visit),
            Engine::Postgres(engine) => engine.each(sql, params, visit),
        }
    }

    /// Runs statements without parameters and rows, separated by `;`.
    pub fn batch(&mut self, sql: &'static str) -> Result<(), DbError> {
        self.script(sql)
    }

    /// Whether this is PostgreSQL. For the few places where the engines are meant to differ (locks, catalogue).
    pub fn is_postgres(&self) -> bool {
        matches!(self.0, Engine::Postgres(_))
    }

    /// As [`Conn::batch`], for text that is not a literal: only migrations, rendered from an embedded file.
    pub(super) fn script(&mut self, sql: &str) -> Result<(), DbError> {
        match &mut self.0 {
            Engine::Sqlite(engine) => engine.batch(sql),
            Engine::Postgres(engine) => engine.batch(sql),
        }
    }

    /// Begins the one write transaction of the service: when this returns, nobody else writes until it ends.
    pub(super) fn begin_write(&mut self) -> Result<(), DbError> {
        self.batch(match self.0 {
            Engine::Sqlite(_) => "BEGIN IMMEDIATE",
            // LOCK takes no snapshot, so everything read afterwards is what the previous writer committed.
            Engine::Postgres(_) => "BEGIN; LOCK TABLE writer_lock IN EXCLUSIVE MODE",
        })
    }

    /// Begins a transaction that sees one state of the database and changes nothing.
    pub(crate) fn begin_snapshot(&mut self) -> Result<(), DbError> {
        self.batch(match self.0 {
            Engine::Sqlite(_) => "BEGIN",
            Engine::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        })
    }

    /// Signals this position to every server when the transaction commits. SQLite has one server, which knows.
    pub(crate) fn tell_others(&mut self, position: i64) -> Result<(), DbError> {
        if self.is_postgres() {
            self.execute(
                "/* tell_others */ SELECT pg_notify('portcullis_committed', CAST($1 AS TEXT))",
                &[position.to_string().as_str().into()],
            )?;
        }
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<(), CommitError> {
        match &mut self.0 {
            Engine::Sqlite(engine) => engine.commit(),
            Engine::Postgres(engine) => engine.commit(),
        }
    }

    /// False if SQLite has given up the whole transaction by itself, as it does when the disk is full. A savepoint
    /// would then begin a transaction of its own. PostgreSQL never does so: it refuses further statements.
    pub(super) fn in_transaction(&self) -> bool {
        match &self.0 {
            Engine::Sqlite(engine) => engine.in_transaction(),
            Engine::Postgres(_) => true,
        }
    }

    /// Whether the connection is gone and must be opened anew.
    pub(super) fn is_closed(&self) -> bool {
        match &self.0 {
            Engine::Sqlite(_) => false,
            Engine::Postgres(engine) => engine.is_closed(),
        }
    }
}

/// PostgreSQL has no NUL in text, SQLite has: refused on both, so that they agree.
fn storable(params: &[Param<'_>]) -> Result<(), DbError> {
    let bad = |param: &Param<'_>| matches!(param, Param::Text(text) if text.as_bytes().contains(&0));
    match params.iter().position(bad) {
        Some(i) => Err(DbError::Shape(format!("parameter ${} is text with a NUL character", i + 1))),
        None => Ok(()),
    }
}
