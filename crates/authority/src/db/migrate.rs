//! Schema versions. Files are embedded, numbered from 1 without gaps, and never change once released.
//!
//! The text is written once for both engines, with `{{int}}`, `{{bytes}}` and `{{strict}}` where their words differ.

use aws_lc_rs::digest;

use super::{
    conn::Conn,
    error::DbError,
    off_runtime,
    open::{Role, Target},
};

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// 1, 2, 3, …
    pub version: i64,
    /// For people: what the step is about.
    pub name: &'static str,
    /// The neutral text, with placeholders.
    pub sql: &'static str,
}

/// All steps known to this binary, in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "init", sql: include_str!("../../../../migrations/0001_init.sql") },
    Migration { version: 2, name: "agents", sql: include_str!("../../../../migrations/0002_agents.sql") },
    Migration { version: 3, name: "a2a", sql: include_str!("../../../../migrations/0003_a2a.sql") },
    Migration { version: 4, name: "sign_in", sql: include_str!("../../../../migrations/0004_sign_in.sql") },
    Migration { version: 5, name: "passkeys", sql: include_str!("../../../../migrations/0005_passkeys.sql") },
    Migration { version: 6, name: "servers", sql: include_str!("../../../../migrations/0006_servers.sql") },
    Migration { version: 7, name: "swarm", sql: include_str!("../../../../migrations/0007_swarm.sql") },
    Migration { version: 8, name: "restless", sql: include_str!("../../../../migrations/0008_restless.sql") },
];

/// What [`migrate`] found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The database had no tables before: there can be no data that an existing key would have sealed.
    pub was_new: bool,
    /// The versions applied now.
    pub applied: Vec<i64>,
}

/// Why the schema cannot be used. Each begins with a stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// The database was written by a newer release.
    #[error("SCHEMA_NEWER: the database has schema version {0}, which this release does not know; use a newer release")]
    Newer(i64),
    /// A step that was applied is not the step of this binary.
    #[error("SCHEMA_DIFFERS: schema version {0} was applied with another text; use the release that wrote it")]
    Differs(i64),
    /// Steps are missing in the middle, in the database or in the list.
    #[error("SCHEMA_GAP: schema version {0} is missing; restore the database from a backup")]
    Gap(i64),
    /// The database holds tables of something else.
    #[error("SCHEMA_FOREIGN: the database has tables but no `schema_migrations`; use an empty database")]
    Foreign,
    /// The database could not be read or changed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The schema version of a database, for a look from outside; fails where there is none. Blocks.
pub fn schema_version(target: &Target) -> Result<i64, DbError> {
    off_runtime(|| {
        let mut conn = Conn::open(target, Role::Heavy)?;
        let row = conn.query_opt("/* schema_version */ SELECT MAX(version) FROM schema_migrations", &[])?;
        row.map_or(Ok(None), |row| row.opt_int(0))?
            .ok_or_else(|| DbError::Shape("no schema version is recorded".into()))
    })
}

/// Brings the schema up to date in one transaction, or refuses and changes nothing.
///
/// The lock comes first, so of two replicas that start together one applies and the other finds it done. `now_ms` is
/// recorded as the time of application, in milliseconds since 1970.
pub fn migrate(conn: &mut Conn, migrations: &[Migration], now_ms: i64) -> Result<Migrated, MigrateError> {
    conn.batch(if conn.is_postgres() {
        // The writer's lock is a table that does not exist yet. The number is arbitrary, but must never change.
        "BEGIN; SELECT pg_advisory_xact_lock(8095013246213411)"
    } else {
        "BEGIN IMMEDIATE"
    })?;
    let done = apply(conn, migrations, now_ms).and_then(|done| match conn.commit() {
        Ok(()) => Ok(done),
        Err(super::conn::CommitError::Failed(error) | super::conn::CommitError::Unknown(error)) => Err(error.into()),
    });
    if done.is_err() {
        // The first error is the one worth reporting; a failed rollback means that the connection is gone anyway.
        let _ = conn.batch("ROLLBACK");
    }
    done
}

fn apply(conn: &mut Conn, migrations: &[Migration], now_ms: i64) -> Result<Migrated, MigrateError> {
    let tables = tables(conn)?;
    let was_new = tables.is_empty();
    if was_new {
        conn.script(&render(
            "CREATE TABLE schema_migrations (version {{int}} PRIMARY KEY, name TEXT NOT NULL, \
             digest TEXT NOT NULL, applied_at {{int}} NOT NULL){{strict}}",
            conn.is_postgres(),
        ))?;
    } else if !tables.iter().any(|table| table == "schema_migrations") {
        return Err(MigrateError::Foreign);
    }

    for (expected, migration) in (1..).zip(migrations) {
        if migration.version != expected {
            return Err(MigrateError::Gap(expected));
        }
    }
    let mut recorded = 0;
    for row in conn.query("SELECT version, digest FROM schema_migrations ORDER BY version", &[])? {
        let version = row.int(0)?;
        recorded += 1;
        let Some(known) = migrations.iter().find(|migration| migration.version == version) else {
            return Err(MigrateError::Newer(version));
        };
        if version != recorded {
            return Err(MigrateError::Gap(recorded));
        }
        if row.text(1)? != digest_hex(known.sql) {
            return Err(MigrateError::Differs(version));
        }
    }

    let mut applied = Vec::new();
    for migration in migrations.iter().filter(|migration| migration.version > recorded) {
        conn.script(&render(migration.sql, conn.is_postgres()))?;
        conn.execute(
            "INSERT INTO schema_migrations (version, name, digest, applied_at) VALUES ($1, $2, $3, $4)",
            &[migration.version.into(), migration.name.into(), (&digest_hex(migration.sql)).into(), now_ms.into()],
        )?;
        applied.push(migration.version);
    }
    Ok(Migrated { was_new, applied })
}

fn tables(conn: &mut Conn) -> Result<Vec<String>, DbError> {
    let rows = if conn.is_postgres() {
        conn.query(
            "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema() ORDER BY tablename",
            &[],
        )
    } else {
        conn.query(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
             ORDER BY name",
            &[],
        )
    }?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// The text for one engine.
pub(super) fn render(sql: &str, postgres: bool) -> String {
    let (int, bytes, strict) = if postgres { ("BIGINT", "BYTEA", "") } else { ("INTEGER", "BLOB", " STRICT") };
    sql.replace("{{int}}", int).replace("{{bytes}}", bytes).replace("{{strict}}", strict)
}

/// Of the neutral text, so that a database can be compared across engines.
fn digest_hex(sql: &str) -> String {
    let digest = digest::digest(&digest::SHA256, sql.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
