use std::{
    collections::HashMap,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Barrier,
};

use super::super::{
    Conn, DbError, Role, Target,
    open::check_settings,
    testkit::{TestDb, databases},
};

fn durable() -> HashMap<String, String> {
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("server_encoding", "UTF8"),
        ("server_version_num", "150018"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[test]
fn a_server_that_may_lose_confirmed_writes_is_refused() {
    assert_eq!(check_settings(&durable()), Ok(()));
    for mode in ["local", "remote_write", "remote_apply"] {
        let mut settings = durable();
        settings.insert("synchronous_commit".into(), mode.into());
        assert_eq!(check_settings(&settings), Ok(()), "{mode}");
    }
    for (name, value, code) in [
        ("fsync", "off", "POSTGRES_NOT_DURABLE"),
        ("full_page_writes", "off", "POSTGRES_NOT_DURABLE"),
        ("synchronous_commit", "off", "POSTGRES_NOT_DURABLE"),
        ("server_encoding", "LATIN1", "POSTGRES_NOT_UTF8"),
        ("server_version_num", "130012", "POSTGRES_TOO_OLD"),
    ] {
        let mut wrong = durable();
        wrong.insert(name.into(), value.into());
        let mut absent = durable();
        absent.remove(name);
        for settings in [wrong, absent] {
            match check_settings(&settings) {
                Err(DbError::Config(text)) => assert!(text.starts_with(code), "{text}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_real_server_without_durable_commits_is_refused() {
    for db in databases() {
        let Some(url) = &db.url else { continue };
        let name = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
        // What an administrator might do for speed; seen by every session from the next one on.
        let sql: &'static str = format!("ALTER DATABASE {name} SET synchronous_commit = off").leak();
        db.with(|conn| conn.batch(sql));
        match Conn::open(&db.target, Role::Writer).map(drop) {
            Err(DbError::Config(text)) => assert!(text.starts_with("POSTGRES_NOT_DURABLE"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn only_this_machine_is_spoken_to_in_plain_text() {
    let tls = |url: &str| match Target::parse(Some(url), Path::new("/nowhere")).unwrap() {
        Target::Postgres(server) => server.uses_tls(),
        Target::Sqlite { .. } => panic!("not a server"),
    };
    assert!(!tls("postgres://u@localhost/db"));
    assert!(!tls("postgres://u@127.0.0.1:5433/db?sslmode=disable"));
    assert!(!tls("postgresql://u@[::1]/db"));
    assert!(!tls("postgres:///db?host=/run/postgresql"));
    assert!(tls("postgres://u@localhost/db?sslmode=require"));
    assert!(tls("postgres://u@db.example.org/db"));
    assert!(tls("postgres://u@db.example.org/db?sslmode=disable"));
    assert!(tls("postgres://u@10.0.0.7/db"));
    assert!(tls("postgres://u@localhost,db.example.org/db"), "one of the hosts is elsewhere");
    assert!(tls("postgres://u@localhost/db?hostaddr=10.0.0.7"), "the name says here, the address elsewhere");
}

#[test]
fn a_bad_url_is_refused_without_repeating_its_password() {
    for url in ["mysql://u:canary@h/db", "postgres://u:canary@h:notaport/db", "postgres://u:canary@h/db?what=ever"] {
        let error = Target::parse(Some(url), Path::new("/nowhere")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    let target = Target::parse(Some("postgres://u:canary@localhost/db"), Path::new("/nowhere")).unwrap();
    assert!(!format!("{target:?}").contains("canary"));
}

#[test]
fn the_file_is_private_and_the_engine_durable() {
    let db = TestDb::sqlite();
    db.schema("CREATE TABLE t (id {{int}});");
    db.with(|conn| {
        for (pragma, value) in [
            ("SELECT synchronous FROM pragma_synchronous", 2),
            ("SELECT foreign_keys FROM pragma_foreign_keys", 1),
            ("SELECT trusted_schema FROM pragma_trusted_schema", 0),
        ] {
            assert_eq!(conn.query_opt(pragma, &[])?.unwrap().int(0)?, value, "{pragma}");
        }
        let mode = conn.query_opt("SELECT journal_mode FROM pragma_journal_mode", &[])?.unwrap();
        assert_eq!(mode.text(0)?, "wal");
        for file in std::fs::read_dir(&db.data_dir).unwrap() {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", file.path());
        }
        Ok(())
    });
}

#[test]
fn a_reader_cannot_write() {
    for db in databases() {
        db.schema("CREATE TABLE t (id {{int}});");
        for role in [Role::Reader, Role::Heavy] {
            let mut conn = Conn::open(&db.target, role).unwrap();
            assert!(conn.execute("INSERT INTO t (id) VALUES (1)", &[]).is_err(), "{} {role:?}", db.engine);
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    let target = Target::parse(Some("postgres://u@127.0.0.1:1/db"), Path::new("/nowhere")).unwrap();
    assert!(matches!(Conn::open(&target, Role::Writer).map(drop), Err(DbError::Unavailable(_))));
}

#[test]
fn a_new_file_that_several_open_at_once_is_open_for_each() {
    for _ in 0..20 {
        let db = TestDb::sqlite();
        let start = Barrier::new(6);
        let open = || {
            start.wait();
            Conn::open(&db.target, Role::Writer).map(drop)
        };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
            for one in all {
                assert_eq!(one.join().unwrap(), Ok(()));
            }
        });
    }
}

/// Whether this process has a lock on a file, which any program that opens it asks for (proc_locks(5)).
fn is_locked(path: &Path) -> bool {
    let (process, file) = (std::process::id().to_string(), format!(":{}", path.metadata().unwrap().ino()));
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(4) == Some(&process.as_str()) && words.get(5).is_some_and(|word| word.ends_with(&file))
    })
}

#[test]
fn no_connection_takes_the_locks_of_another_away() {
    let db = TestDb::sqlite();
    db.schema("CREATE TABLE t (id {{int}} PRIMARY KEY);");
    let path = db.data_dir.join("portcullis.db");
    assert!(!is_locked(&path));
    // A file that is whole, and no log beside it: as after a stop.
    let writer = Conn::open(&db.target, Role::Writer).unwrap();
    assert!(is_locked(&path));
    let reader = Conn::open(&db.target, Role::Reader).unwrap();
    assert!(is_locked(&path), "another program would take itself for the last, and delete the log");
    drop(reader);
    assert!(is_locked(&path));
    drop(writer);
    assert!(!is_locked(&path));
}
