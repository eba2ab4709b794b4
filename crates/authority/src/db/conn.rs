//! One connection to either engine, with one SQL text for both.
//!
//! Statements are literals with `$1`, `$2`, … placeholders. What is deliberately absent: building SQL from strings,
//! and any way to keep a cursor open across calls.

use super::{
    error::DbError,
    levels::{Levels, Savepoint},
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
pub struct Conn {
    engine: Engine,
    levels: Levels,
    /// Inside a transaction that changes nothing.
    snapshot: bool,
    traffic: Traffic,
}

/// What a connection has been asked since it was opened. Both only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Statements, those that begin, mark and end transactions too.
    pub statements: u64,
    /// How often an answer was waited for; on PostgreSQL each is a round trip. SQLite answers at once.
    pub waits: u64,
    /// Statements that the engine could not carry out, whatever they said: no room, no file, no connection.
    pub unavailable: u64,
}

enum Engine {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Pg>),
}

impl Conn {
    /// Opens a connection and brings it into the state that its role needs (durability, foreign keys, time limits).
    ///
    /// Fails with [`DbError::Config`] if the server is not fit for use, [`DbError::Unavailable`] if it is not there.
    pub fn open(target: &Target, role: Role) -> Result<Self, DbError> {
        let engine = match target {
            Target::Sqlite { path } => Engine::Sqlite(Box::new(Sqlite::open(path, role)?)),
            Target::Postgres(server) => Engine::Postgres(Box::new(Pg::open(server, role)?)),
        };
        Ok(Self { engine, levels: Levels::default(), snapshot: false, traffic: Traffic::default() })
    }

    /// Runs a statement that gives no rows; the number of rows it changed.
    pub fn execute(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, DbError> {
        self.begin_change()?;
        storable(params)?;
        let done = match &mut self.engine {
            Engine::Sqlite(engine) => engine.execute(sql, params),
            Engine::Postgres(engine) => engine.execute(sql, params),
        };
        self.judged(done)
    }

    /// As [`Conn::execute`] where nobody asks how many rows it changed: on PostgreSQL it is sent together with what comes
    /// next and not waited for. Its error is then that of a later statement, of [`Conn::settle`] or of the commit,
    /// whichever comes first; nothing after it has any effect.
    pub fn send(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<(), DbError> {
        self.begin_change()?;
        storable(params)?;
        let done = match &mut self.engine {
            Engine::Sqlite(engine) => engine.execute(sql, params).map(drop),
            Engine::Postgres(engine) => engine.send(sql, params),
        };
        self.judged(done)
    }

    /// Waits for everything that was sent. The first error among it is the result.
    pub fn settle(&mut self) -> Result<(), DbError> {
        let done = match &mut self.engine {
            Engine::Sqlite(_) => Ok(()),
            Engine::Postgres(engine) => engine.settle(),
        };
        self.judged(done)
    }

    /// Asks for rows that [`Conn::query_opt`] or [`Conn::query`] will want, with the same statement and parameters, before
    /// anything is changed: on PostgreSQL all such questions are on their way together, and an error is told to whoever
    /// asks for those rows. Only for a few small results, and only in a snapshot or where nothing was changed since the last
    /// savepoint; elsewhere, and on SQLite, which has nothing to gain by it, this does nothing.
    pub(crate) fn ahead(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<(), DbError> {
        let Engine::Postgres(engine) = &mut self.engine else { return Ok(()) };
        if !self.snapshot && !self.levels.is_clean() {
            return Ok(());
        }
        storable(params)?;
        self.traffic.statements += 1;
        if engine.ahead(sql, params).is_err() {
            // It cannot even be prepared. Whoever wants the rows asks again and is told; nobody else is concerned.
            let undone = self.levels.innermost().map_or(Ok(()), |sql| engine.script(sql));
            return self.judged(undone);
        }
        Ok(())
    }

    /// Before something is changed: what was asked ahead and nobody wanted must neither answer for a state that is gone
    /// nor, by its own failure, spoil what follows.
    fn begin_change(&mut self) -> Result<(), DbError> {
        self.traffic.statements += 1;
        self.forget_ahead()?;
        self.levels.changed();
        Ok(())
    }

    fn forget_ahead(&mut self) -> Result<(), DbError> {
        if let Engine::Postgres(engine) = &mut self.engine
            && engine.forget_ahead().is_err()
        {
            // Nothing was changed since the innermost savepoint, or the questions would not have been asked.
            let undone = self.levels.innermost().map_or(Ok(()), |sql| engine.script(sql));
            return self.judged(undone);
        }
        Ok(())
    }

    /// Remembers that something failed: then also a release must be waited for.
    fn judged<T>(&mut self, done: Result<T, DbError>) -> Result<T, DbError> {
        if let Err(error) = &done {
            self.levels.doubt();
            self.traffic.unavailable += u64::from(matches!(error, DbError::Unavailable(_)));
        }
        done
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
        if changes(sql) {
            self.begin_change()?;
        } else {
            self.traffic.statements += 1;
        }
        storable(params)?;
        let done = match &mut self.engine {
            Engine::Sqlite(engine) => engine.each(sql, params, visit),
            Engine::Postgres(engine) => engine.each(sql, params, visit),
        };
        self.judged(done)
    }

    /// Runs statements without parameters and rows, separated by `;`.
    pub fn batch(&mut self, sql: &'static str) -> Result<(), DbError> {
        self.script(sql)
    }

    /// Whether this is PostgreSQL. For the few places where the engines are meant to differ (locks, catalogue).
    pub fn is_postgres(&self) -> bool {
        matches!(self.engine, Engine::Postgres(_))
    }

    /// What it has been asked so far.
    pub(super) fn traffic(&self) -> Traffic {
        let (waits, answered) = match &self.engine {
            Engine::Sqlite(_) => (0, 0),
            Engine::Postgres(engine) => engine.traffic(),
        };
        // What was asked ahead was counted when it was.
        Traffic { statements: self.traffic.statements - answered, waits, ..self.traffic }
    }

    /// As [`Conn::batch`], for text that is not a literal: only migrations, rendered from an embedded file.
    pub(super) fn script(&mut self, sql: &str) -> Result<(), DbError> {
        self.begin_change()?;
        // Who knows what it was: whether the savepoints are still there has to be asked.
        self.levels.doubt();
        self.plain(sql)
    }

    /// Begins a transaction: what was left of the last one is of no interest.
    fn begin(&mut self, sql: &'static str) -> Result<(), DbError> {
        self.levels = Levels::default();
        self.snapshot = false;
        self.traffic.statements += 1;
        if let Engine::Postgres(engine) = &mut self.engine {
            engine.abandon();
        }
        self.plain(sql)
    }

    /// Runs and waits for words of the transaction itself.
    fn plain(&mut self, sql: &str) -> Result<(), DbError> {
        match &mut self.engine {
            Engine::Sqlite(engine) => engine.batch(sql),
            Engine::Postgres(engine) => engine.script(sql),
        }
    }

    /// The same without waiting.
    fn post(&mut self, sql: &'static str) -> Result<(), DbError> {
        self.traffic.statements += 1;
        match &mut self.engine {
            Engine::Sqlite(engine) => engine.batch(sql),
            Engine::Postgres(engine) => engine.post(sql),
        }
    }

    /// Begins what can be undone on its own, and says where it began.
    pub(crate) fn savepoint(&mut self) -> Result<Savepoint, DbError> {
        let (savepoint, sql) = self.levels.begin();
        sql.map_or(Ok(()), |sql| self.post(sql))?;
        Ok(savepoint)
    }

    /// Undoes everything since the savepoint, which stays.
    pub(crate) fn rollback_to(&mut self, savepoint: Savepoint) -> Result<(), DbError> {
        if let Engine::Postgres(engine) = &mut self.engine {
            // They answer for what is about to be undone, and whoever undoes it knows why.
            engine.abandon();
        }
        for sql in self.levels.rollback(savepoint) {
            self.traffic.statements += 1;
            self.plain(sql)?;
        }
        Ok(())
    }

    /// Keeps what was done since the savepoint, which is gone. Waits for everything that was sent, unless that is known
    /// to have succeeded.
    pub(crate) fn release(&mut self, savepoint: Savepoint) -> Result<(), DbError> {
        let (sql, doubtful) = self.levels.to_release(savepoint);
        if sql.is_some() {
            self.forget_ahead()?;
        }
        self.settle()?;
        sql.map_or(Ok(()), |sql| self.post(sql))?;
        if doubtful {
            self.settle()?;
        }
        self.levels.released(savepoint);
        Ok(())
    }

    /// Begins the one write transaction of the service: when this returns, nobody else writes until it ends.
    pub(super) fn begin_write(&mut self) -> Result<(), DbError> {
        self.begin(match self.engine {
            Engine::Sqlite(_) => "BEGIN IMMEDIATE",
            // LOCK takes no snapshot, so everything read afterwards is what the previous writer committed.
            Engine::Postgres(_) => "BEGIN; LOCK TABLE writer_lock IN EXCLUSIVE MODE",
        })
    }

    /// Begins a transaction that sees one state of the database and changes nothing.
    pub(crate) fn begin_snapshot(&mut self) -> Result<(), DbError> {
        let Engine::Postgres(engine) = &mut self.engine else { return self.begin("BEGIN") };
        engine.abandon();
        // It is sent with the first question. Whether anybody is there to take it can be seen without asking.
        if !engine.is_alive() {
            return Err(DbError::Unavailable("PostgreSQL: the connection was lost".to_owned()));
        }
        self.levels = Levels::default();
        self.snapshot = true;
        self.post("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    }

    /// Ends a transaction that changed nothing, without waiting for the answer: a connection that cannot do it is of no
    /// use for the next one, which finds out.
    pub(super) fn end_snapshot(&mut self) {
        self.snapshot = false;
        let ended = match &mut self.engine {
            Engine::Sqlite(engine) => engine.batch("ROLLBACK"),
            Engine::Postgres(engine) => {
                engine.abandon();
                engine.post("ROLLBACK").map(|()| engine.flush())
            }
        };
        self.traffic.statements += 1;
        // COMMIT would only be a slower ROLLBACK, and SQLite has nothing to roll back after an error that ended it.
        drop(ended);
    }

    /// Signals this position to every server when the transaction commits. SQLite has one server, which knows.
    pub(crate) fn tell_others(&mut self, position: i64) -> Result<(), DbError> {
        if self.is_postgres() {
            self.send(
                "/* tell_others */ SELECT pg_notify('portcullis_committed', CAST($1 AS TEXT))",
                &[position.to_string().as_str().into()],
            )?;
        }
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<(), CommitError> {
        self.traffic.statements += 1;
        match &mut self.engine {
            Engine::Sqlite(engine) => engine.commit(),
            Engine::Postgres(engine) => engine.commit(),
        }
    }

    /// False if SQLite has given up the whole transaction by itself, as it does when the disk is full. A savepoint
    /// would then begin a transaction of its own. PostgreSQL never does so: it refuses further statements.
    pub(super) fn in_transaction(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(engine) => engine.in_transaction(),
            Engine::Postgres(_) => true,
        }
    }

    /// Whether the connection is gone and must be opened anew.
    pub(super) fn is_closed(&self) -> bool {
        match &self.engine {
            Engine::Sqlite(_) => false,
            Engine::Postgres(engine) => engine.is_closed(),
        }
    }
}

/// Whether a statement that gives rows changes some as well.
fn changes(sql: &str) -> bool {
    ["INSERT ", "UPDATE ", "DELETE "].iter().any(|word| sql.contains(word))
}

/// PostgreSQL has no NUL in text, SQLite has: refused on both, so that they agree.
fn storable(params: &[Param<'_>]) -> Result<(), DbError> {
    let bad = |param: &Param<'_>| matches!(param, Param::Text(text) if text.as_bytes().contains(&0));
    match params.iter().position(bad) {
        Some(i) => Err(DbError::Shape(format!("parameter ${} is text with a NUL character", i + 1))),
        None => Ok(()),
    }
}
