use super::super::{
    Conn, MIGRATIONS, MigrateError,
    migrate::Migration,
    testkit::{TestDb, databases},
};

const ONE: Migration = Migration {
    version: 1,
    name: "init",
    sql: "CREATE TABLE a (id {{int}} PRIMARY KEY, b {{bytes}}){{strict}}; CREATE TABLE c (id {{int}}){{strict}};",
};
const TWO: Migration = Migration { version: 2, name: "more", sql: "ALTER TABLE c ADD COLUMN note TEXT;" };

fn migrate(db: &TestDb, list: &[Migration]) -> Result<(bool, Vec<i64>), MigrateError> {
    db.with(|conn| Ok(super::super::migrate(conn, list, 17).map(|done| (done.was_new, done.applied))))
}

#[test]
fn pending_versions_are_applied_once_and_in_order() {
    for db in databases() {
        assert_eq!(migrate(&db, &[ONE]), Ok((true, vec![1])), "{}", db.engine);
        assert_eq!(migrate(&db, &[ONE]), Ok((false, vec![])));
        assert_eq!(migrate(&db, &[ONE, TWO]), Ok((false, vec![2])));
        db.with(|conn| {
            conn.execute("INSERT INTO c (id, note) VALUES (1, 'x')", &[])?;
            let rows = conn.query("SELECT version, name, applied_at FROM schema_migrations ORDER BY version", &[])?;
            assert_eq!((rows[1].int(0)?, rows[1].text(1)?, rows[1].int(2)?), (2, "more", 17));
            Ok(())
        });
    }
}

#[test]
fn the_released_schema_applies_to_an_empty_database() {
    for db in databases() {
        assert_eq!(migrate(&db, MIGRATIONS).unwrap().1.len(), MIGRATIONS.len(), "{}", db.engine);
    }
}

#[test]
fn messages_of_an_older_schema_have_changed_when_their_state_last_did() {
    for db in databases() {
        migrate(&db, &MIGRATIONS[..2]).unwrap();
        db.with(|conn| {
            // The rows these refer to do not matter here.
            let free = if conn.is_postgres() { "SET session_replication_role = replica" } else { "PRAGMA foreign_keys = OFF" };
            conn.batch(free)?;
            conn.batch(
                "INSERT INTO messages (seq, id, workspace_id, direction, sender_kind, sender_id, sender_name, message_id, body, digest, said, state, \
                 turn_id, created_at, ended_at, audit_id) VALUES \
                 (1, 'waits', 'w', 'in', 'agent', 'a', 'a', '1', 'x', '', '', 'queued', NULL, 10, NULL, 1), \
                 (2, 'works', 'w', 'in', 'agent', 'a', 'a', '2', 'x', '', '', 'delivered', 't', 10, NULL, 1), \
                 (3, 'ended', 'w', 'in', 'agent', 'a', 'a', '3', 'x', '', '', 'cancelled', NULL, 10, 30, 1)",
            )?;
            conn.batch(
                "INSERT INTO turns (id, workspace_id, boot_id, message_id, state, started_at, audit_id) \
                 VALUES ('t', 'w', 'b', 'works', 'running', 20, 1)",
            )
        });
        migrate(&db, MIGRATIONS).unwrap();
        db.with(|conn| {
            let rows = conn.query("SELECT changed_at FROM messages ORDER BY seq", &[])?;
            let changed: Vec<i64> = rows.iter().map(|row| row.int(0).unwrap()).collect();
            assert_eq!(changed, [10, 20, 30], "{}", db.engine);
            Ok(())
        });
    }
}

#[test]
fn runs_of_an_older_schema_keep_their_kind_and_newer_ones_may_be_of_the_swarm() {
    for db in databases() {
        migrate(&db, &MIGRATIONS[..5]).unwrap();
        let insert = |conn: &mut Conn, boot: &str, kind: &str| {
            conn.execute(
                "INSERT INTO runs (boot_id, workspace_id, generation, kind, state, credential_id, spec, variables_token, files_token, versions, \
                 context, why, started_at, audit_id) VALUES ($1, $1, 1, $2, 'live', 'c', '', '', '', '', '', '', 1, 1)",
                &[boot.into(), kind.into()],
            )
        };
        let free = |conn: &mut Conn| {
            // The rows these refer to do not matter here.
            conn.batch(if conn.is_postgres() {
                "SET session_replication_role = replica"
            } else {
                "PRAGMA foreign_keys = OFF"
            })
        };
        db.with(|conn| {
            free(conn)?;
            assert!(insert(conn, "s", "swarm").is_err(), "{}", db.engine);
            for kind in ["process", "container", "external"] {
                insert(conn, kind, kind)?;
            }
            Ok(())
        });
        migrate(&db, MIGRATIONS).unwrap();
        db.with(|conn| {
            free(conn)?;
            insert(conn, "swarm", "swarm")?;
            assert!(insert(conn, "o", "other").is_err(), "{}", db.engine);
            for row in conn.query("SELECT boot_id, kind FROM runs", &[])? {
                assert_eq!(row.text(0)?, row.text(1)?, "{}", db.engine);
            }
            Ok(())
        });
    }
}

#[test]
fn a_newer_schema_is_refused() {
    for db in databases() {
        migrate(&db, &[ONE, TWO]).unwrap();
        assert_eq!(migrate(&db, &[ONE]), Err(MigrateError::Newer(2)), "{}", db.engine);
    }
}

#[test]
fn a_changed_migration_is_refused() {
    for db in databases() {
        migrate(&db, &[ONE]).unwrap();
        let changed = Migration { sql: "CREATE TABLE a (id {{int}})", ..ONE };
        assert_eq!(migrate(&db, &[changed, TWO]), Err(MigrateError::Differs(1)), "{}", db.engine);
    }
}

#[test]
fn a_gap_is_refused_in_the_list_and_in_the_database() {
    for db in databases() {
        assert_eq!(migrate(&db, &[TWO]), Err(MigrateError::Gap(1)), "{}", db.engine);
        migrate(&db, &[ONE, TWO]).unwrap();
        db.with(|conn| conn.execute("DELETE FROM schema_migrations WHERE version = 1", &[]));
        assert_eq!(migrate(&db, &[ONE, TWO]), Err(MigrateError::Gap(1)), "{}", db.engine);
    }
}

#[test]
fn somebody_elses_database_is_refused_and_left_alone() {
    for db in databases() {
        db.schema("CREATE TABLE payroll (id {{int}});");
        assert_eq!(migrate(&db, &[ONE]), Err(MigrateError::Foreign), "{}", db.engine);
        db.with(|conn| {
            assert!(conn.query("SELECT id FROM a", &[]).is_err());
            Ok(())
        });
    }
}

#[test]
fn a_failing_migration_leaves_nothing_behind() {
    for db in databases() {
        let broken = Migration { version: 2, name: "broken", sql: "CREATE TABLE d (id {{int}}); SELECT nothing_such;" };
        assert!(matches!(migrate(&db, &[ONE, broken]), Err(MigrateError::Db(_))), "{}", db.engine);
        assert_eq!(migrate(&db, &[ONE]), Ok((true, vec![1])), "{}: even the first was undone", db.engine);
    }
}

#[test]
fn replicas_that_start_together_migrate_once() {
    for db in databases() {
        let done: Vec<_> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| migrate(&db, &[ONE, TWO]).unwrap())).collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(done.iter().filter(|(was_new, applied)| *was_new && applied == &[1, 2]).count(), 1);
        assert_eq!(done.iter().filter(|(was_new, applied)| !was_new && applied.is_empty()).count(), 3);
    }
}
