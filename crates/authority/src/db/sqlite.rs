//! The SQLite half of [`super::Conn`].

use std::{
    collections::{BTreeMap, HashMap},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{CachedStatement, Connection, OpenFlags, types::ValueRef};

use super::{
    conn::{CommitError, StatementKey},
    error::DbError,
    open::Role,
    value::{Param, Row, Value},
};

/// Prepared statements kept per connection; more than the whole program has.
const STATEMENTS_MAX: usize = 256;

/// How long a statement waits for a lock of another process before it is [`DbError::Busy`].
const BUSY_TIMEOUT: Duration = Duration::from_millis(5_000);

pub(super) struct Sqlite {
    conn: Connection,
    known: HashMap<StatementKey, Arc<Statement>>,
    /// The last to go: the connection is closed by then.
    _held: Held,
}

/// How many connections this process has to each file.
static OPEN: Mutex<BTreeMap<PathBuf, usize>> = Mutex::new(BTreeMap::new());

/// A connection to a file is counted as long as this lives.
struct Held(PathBuf);

impl Held {
    /// `alone` runs before the first connection of this process to the file, and only then. Whoever opens the file and closes
    /// it again beside SQLite takes the locks of all its connections away (POSIX: `fcntl(2)`; "How to corrupt an SQLite
    /// database file" §2.2), and a program that closes the file then believes to be the last, and deletes the log with
    /// what was committed and is nowhere else yet.
    fn take(path: &Path, alone: impl FnOnce() -> Result<(), DbError>) -> Result<Self, DbError> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(path).copied().unwrap_or_default();
        if count == 0 {
            alone()?;
        }
        open.insert(path.to_owned(), count + 1);
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.0) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.0)),
        }
    }
}

/// What is learnt once per statement text.
struct Statement {
    /// `numbers[i]` is the `n` of the `$n` that SQLite counts as its parameter `i + 1`. SQLite takes `$2` for a *name*
    /// and counts names by first appearance, so `… $2 … $1` would otherwise be bound the wrong way round.
    numbers: Vec<usize>,
    /// The highest `n`: how many parameters the caller must give.
    params: usize,
    columns: Arc<[String]>,
}

impl Sqlite {
    pub(super) fn open(path: &Path, role: Role) -> Result<Self, DbError> {
        create_private(path)?;
        let held = Held::take(path, || is_whole(path))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let mode = write_ahead(&conn)?;
        if mode != "wal" {
            return Err(DbError::Config(format!(
                "SQLite cannot use its write-ahead log here (it stays in `{mode}` mode); use a local file system"
            )));
        }
        conn.execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; \
             PRAGMA journal_size_limit=67108864;",
        )?;
        // Negative means KiB. Readers are several and mostly served by the page cache of the operating system.
        conn.execute_batch(match role {
            Role::Writer => "PRAGMA cache_size=-8000;",
            Role::Reader | Role::Heavy => "PRAGMA cache_size=-2000; PRAGMA query_only=ON;",
        })?;
        Ok(Self { conn, known: HashMap::new(), _held: held })
    }

    pub(super) fn execute(&mut self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, DbError> {
        let (mut statement, _) = self.bound(sql, params)?;
        Ok(statement.raw_execute()? as u64)
    }

    pub(super) fn each(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
        visit: &mut dyn FnMut(&mut Row) -> Result<(), DbError>,
    ) -> Result<(), DbError> {
        let (mut statement, known) = self.bound(sql, params)?;
        let mut row = Row::of(Arc::clone(&known.columns));
        let mut rows = statement.raw_query();
        while let Some(found) = rows.next()? {
            for (i, slot) in row.cells() {
                fill(slot, i, found.get_ref(i)?)?;
            }
            visit(&mut row)?;
        }
        Ok(())
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), DbError> {
        if sql.contains(';') {
            return Ok(self.conn.execute_batch(sql)?);
        }
        // BEGIN, SAVEPOINT and RELEASE come with every write: worth a prepared statement.
        self.conn.prepare_cached(sql)?.raw_execute()?;
        Ok(())
    }

    pub(super) fn in_transaction(&self) -> bool {
        !self.conn.is_autocommit()
    }

    pub(super) fn commit(&mut self) -> Result<(), CommitError> {
        let error = match self.conn.prepare_cached("COMMIT").and_then(|mut statement| statement.raw_execute()) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // After a failed write or fsync of the log, the commit record may or may not be on the disk.
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::SystemIoFailure) {
            Err(CommitError::Unknown(error.into()))
        } else {
            Err(CommitError::Failed(error.into()))
        }
    }

    fn bound(
        &mut self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<(CachedStatement<'_>, Arc<Statement>), DbError> {
        let mut statement = self.conn.prepare_cached(sql)?;
        let key = StatementKey::of(sql);
        let known = match self.known.get(&key) {
            Some(known) => Arc::clone(known),
            None => {
                let learnt = Arc::new(Statement::of(&statement)?);
                self.known.insert(key, Arc::clone(&learnt));
                learnt
            }
        };
        if known.params != params.len() {
            let (wanted, given) = (known.params, params.len());
            return Err(DbError::Shape(format!("the statement has {wanted} parameters, {given} were given")));
        }
        for (i, number) in known.numbers.iter().enumerate() {
            match params.get(number - 1) {
                Some(Param::Int(int)) => statement.raw_bind_parameter(i + 1, int)?,
                Some(Param::Text(text)) => statement.raw_bind_parameter(i + 1, text)?,
                Some(Param::Bytes(bytes)) => statement.raw_bind_parameter(i + 1, bytes)?,
                Some(Param::Null) | None => statement.raw_bind_parameter(i + 1, rusqlite::types::Null)?,
            }
        }
        Ok((statement, known))
    }
}

impl Statement {
    fn of(statement: &rusqlite::Statement<'_>) -> Result<Self, DbError> {
        let mut numbers = Vec::with_capacity(statement.parameter_count());
        for i in 1..=statement.parameter_count() {
            let number = statement.parameter_name(i).and_then(|name| name.strip_prefix('$')?.parse().ok());
            match number {
                Some(number @ 1..) => numbers.push(number),
                _ => return Err(DbError::Sql(format!("parameter {i} is not written as `$1`, `$2`, …"))),
            }
        }
        let params = numbers.iter().copied().max().unwrap_or(0);
        let columns = statement.column_names().map(str::to_owned).collect();
        Ok(Self { numbers, params, columns })
    }
}

fn fill(slot: &mut Value, column: usize, found: ValueRef<'_>) -> Result<(), DbError> {
    slot.refill(match found {
        ValueRef::Null => Param::Null,
        ValueRef::Integer(int) => Param::Int(int),
        ValueRef::Text(text) => {
            Param::Text(std::str::from_utf8(text).map_err(|_| DbError::Shape(format!("column {column} is not UTF-8")))?)
        }
        ValueRef::Blob(bytes) => Param::Bytes(bytes),
        ValueRef::Real(_) => return Err(DbError::Shape(format!("column {column} is a fraction"))),
    });
    Ok(())
}

/// Refuses a file that is shorter than it says. SQLite itself notices only when it comes to a page that is missing. Where
/// there is a log, the end of the file may be in it, and what is not is SQLite's to find.
fn is_whole(path: &Path) -> Result<(), DbError> {
    let mut log = path.to_path_buf().into_os_string();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    let unreadable = |error: std::io::Error| DbError::Unavailable(format!("cannot read `{}`: {error}", path.display()));
    let mut file = std::fs::File::open(path).map_err(unreadable)?;
    let mut header = [0; 100];
    let length = file.metadata().map_err(unreadable)?.len();
    if length == 0 {
        return Ok(());
    }
    // https://www.sqlite.org/fileformat.html §1.3
    let number =
        |header: &[u8; 100], at: usize| header[at..at + 4].iter().fold(0, |n, byte| (n << 8) | u64::from(*byte));
    let cut = match file.read_exact(&mut header) {
        Ok(()) => {
            let page = (u64::from(header[16]) << 8) | u64::from(header[17]);
            let bytes = number(&header, 28) * if page == 1 { 65_536 } else { page };
            number(&header, 24) == number(&header, 92) && length < bytes
        }
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => true,
        Err(error) => return Err(unreadable(error)),
    };
    if cut {
        return Err(DbError::Config(format!(
            "SQLITE_FILE_CUT: `{}` is shorter than it was written; restore it from a backup",
            path.display()
        )));
    }
    Ok(())
}

/// Turns to the write-ahead log; the mode it is in. Of several that open a new file at the same time one changes its mode,
/// and SQLite refuses the others at once, whatever the timeout of a lock is: who reads may not wait to write. Ends within
/// twice that timeout, since the last attempt may wait as well.
fn write_ahead(conn: &Connection) -> Result<String, DbError> {
    let until = Instant::now() + BUSY_TIMEOUT;
    loop {
        match conn.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).map_err(DbError::from) {
            Err(DbError::Busy) if Instant::now() < until => std::thread::sleep(Duration::from_millis(10)),
            mode => return mode,
        }
    }
}

/// Creates the file with mode 0600 before SQLite would create it with the umask; the log files inherit its mode.
fn create_private(path: &Path) -> Result<(), DbError> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(DbError::Unavailable(format!("cannot create `{}`: {error}", path.display()))),
    }
}
