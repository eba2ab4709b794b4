//! A fresh database per test on every engine. For tests only: it panics instead of returning errors.
//!
//! PostgreSQL is used when `PORTCULLIS_TEST_POSTGRES_URL` names a server on which databases may be created. Without it
//! the tests run on SQLite and say so; with `PORTCULLIS_TEST_REQUIRE_ALL` set as well they fail instead.

use std::{
    fmt::Display,
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{Conn, DbError, Role, Target, off_runtime};

macro_rules! counts {
    ($($table:literal)*) => { [$(($table, concat!("SELECT COUNT(*) FROM ", $table))),*] };
}

/// The tables, and how to count each.
const COUNTS: [(&str, &str); 19] = counts! {
    "audit" "checkpoints" "events" "keys" "workspaces" "intents" "secrets" "secret_versions" "operators" "credentials"
    "approvals" "votes" "policies" "idempotency" "meta" "runs" "turns" "messages" "passkeys"
};

/// One empty database. Dropping it removes the database and the directory.
pub struct TestDb {
    /// `sqlite` or `postgres`, for messages.
    pub engine: &'static str,
    /// How to open it.
    pub target: Target,
    /// What would be configured: absent for SQLite.
    pub url: Option<String>,
    /// A private, empty directory, which holds the SQLite file.
    pub data_dir: PathBuf,
    /// The server and the name of the database to drop.
    server: Option<(String, String)>,
}

/// One empty database on each engine at hand.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file; the environment says what is at hand")]
pub fn databases() -> Vec<TestDb> {
    let mut databases = vec![TestDb::sqlite()];
    match (std::env::var("PORTCULLIS_TEST_POSTGRES_URL"), std::env::var("PORTCULLIS_TEST_REQUIRE_ALL")) {
        (Ok(url), _) => databases.push(TestDb::postgres(&url)),
        (Err(_), Ok(_)) => panic!("set PORTCULLIS_TEST_POSTGRES_URL: all engines are required"),
        (Err(_), Err(_)) => {
            // Not worth failing for: only the note would be lost.
            let _ = writeln!(std::io::stderr(), "note: PORTCULLIS_TEST_POSTGRES_URL is not set; testing SQLite only");
        }
    }
    databases
}

impl TestDb {
    /// An empty directory for a SQLite file.
    pub fn sqlite() -> Self {
        let data_dir = fresh_dir();
        let target = or_panic("parse", Target::parse(None, &data_dir));
        Self { engine: "sqlite", target, url: None, data_dir, server: None }
    }

    /// A new database on the server at `server_url`.
    pub fn postgres(server_url: &str) -> Self {
        let data_dir = fresh_dir();
        let name = unique("ptc_test");
        admin(server_url, &data_dir, &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"));
        let url = with_database(server_url, &name);
        let target = or_panic("parse", Target::parse(Some(&url), &data_dir));
        Self { engine: "postgres", target, url: Some(url), data_dir, server: Some((server_url.to_owned(), name)) }
    }

    /// The same PostgreSQL database for another server: with a directory of its own, and dropped by the first only.
    pub fn beside(&self) -> Self {
        Self {
            engine: self.engine,
            target: self.target.clone(),
            url: self.url.clone(),
            data_dir: fresh_dir(),
            server: None,
        }
    }

    /// Opens a connection, gives it to `work` and drops it, all on a thread of its own: works in every kind of test.
    pub fn with<T: Send>(&self, work: impl FnOnce(&mut Conn) -> Result<T, DbError> + Send) -> T {
        let done = off_runtime(|| work(&mut Conn::open(&self.target, Role::Writer)?));
        or_panic(self.engine, done)
    }

    /// How many rows each table has: what a refusal must leave as it was.
    pub fn rows(&self) -> std::collections::BTreeMap<&'static str, i64> {
        let count = |conn: &mut Conn, sql| conn.query_opt(sql, &[])?.map_or(Ok(0), |row| row.int(0));
        self.with(|conn| COUNTS.iter().map(|(table, sql)| Ok((*table, count(conn, sql)?))).collect())
    }

    /// The first column of the first row, as an integer; for looking at a table instead of at an answer.
    pub fn integer(&self, sql: &'static str) -> i64 {
        self.with(|conn| {
            let row = conn.query_opt(sql, &[])?;
            row.map_or_else(|| Err(DbError::Shape(format!("no row for {sql}"))), |row| row.int(0))
        })
    }

    /// The first column of every row, as text.
    pub fn texts(&self, sql: &'static str) -> Vec<String> {
        self.with(|conn| conn.query(sql, &[])?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect())
    }

    /// The same for several statements, over one connection.
    pub fn texts_of(&self, statements: &[&'static str]) -> Vec<Vec<String>> {
        let texts =
            |conn: &mut Conn, sql| conn.query(sql, &[])?.iter().map(|row| Ok(row.text(0)?.to_owned())).collect();
        self.with(|conn| statements.iter().map(|sql| texts(conn, sql)).collect())
    }

    /// Runs one statement as it is; for tests that break the store under a running server.
    pub fn run(&self, sql: &str) {
        self.with(|conn| conn.script(sql));
    }

    /// Runs statements with the placeholders of a migration (`{{int}}`, `{{bytes}}`, `{{strict}}`).
    pub fn schema(&self, sql: &str) {
        let text = super::migrate::render(sql, self.server.is_some());
        self.with(|conn| conn.script(&text));
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if let Some((server, name)) = &self.server
            && !std::thread::panicking()
        {
            admin(server, &self.data_dir, &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
        // A directory that stays behind is in the temporary files anyway.
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}

fn admin(server_url: &str, dir: &Path, sql: &str) {
    let done: Result<(), DbError> = off_runtime(|| {
        let mut conn = Conn::open(&Target::parse(Some(server_url), dir)?, Role::Writer)?;
        // To drop a database waits for a checkpoint, and that for the disk.
        conn.script("SET statement_timeout = '10min'")?;
        conn.script(sql)
    });
    or_panic(sql, done);
}

/// The same server, user and options, another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, None), |(address, options)| (address, Some(options)));
    let authority_at = address.find("://").map_or(0, |at| at + 3);
    let path_at = address[authority_at..].find('/').map_or(address.len(), |at| authority_at + at);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{}/{name}{options}", &address[..path_at])
}

/// How to open a database of the test's own making.
pub fn target(url: &str, data_dir: &Path) -> Target {
    or_panic("parse", Target::parse(Some(url), data_dir))
}

/// A new private directory among the temporary files.
pub fn fresh_dir() -> PathBuf {
    let dir = std::env::temp_dir().join(unique("ptc_test"));
    or_panic("create a directory", std::fs::create_dir(&dir));
    dir
}

fn unique(prefix: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut salt = [0; 4];
    or_panic("random", aws_lc_rs::rand::fill(&mut salt));
    let (process, salt) = (std::process::id(), u32::from_le_bytes(salt));
    format!("{prefix}_{process}_{}_{salt:08x}", COUNT.fetch_add(1, Relaxed))
}

fn or_panic<T>(what: &str, done: Result<T, impl Display>) -> T {
    done.unwrap_or_else(|error| panic!("{what}: {error}"))
}
