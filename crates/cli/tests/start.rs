//! The fixed interface of `serve`: what it makes at first start, what it refuses to start with, how it stops.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use kit::{ADMIN, Actor, Ended, PASSWORD, Server, alone, fed, operator, portcullis, ran, runtime, serve, want};
use portcullis_authority::testkit_db::{TestDb, databases};
use serde_json::json;

const FAULT: i32 = 1;
const USAGE: i32 = 2;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A start that is refused with this code, before it listens and without a word on standard output.
#[track_caller]
fn refused(db: &TestDb, code: &str) -> Ended {
    let ended = ran(serve(db)).exits(FAULT);
    assert!(ended.err.contains(code), "{}: {ended:?}", db.engine);
    assert!(!ended.err.contains("listens on") && ended.out.is_empty(), "{ended:?}");
    ended
}

fn claim(db: &TestDb, link: &str, email: &str) -> Ended {
    let mut command = alone(&db.data_dir);
    let password = db.data_dir.join("password");
    std::fs::write(&password, PASSWORD).unwrap();
    command.args(["operator", "claim", "--link-file", "-", "--email", email, "--password-file"]).arg(&password);
    fed(command, &format!("{link}\n"))
}

#[test]
fn the_first_start_opens_nothing_but_a_link_that_works_once() {
    for db in databases() {
        let mut command = portcullis(&db);
        command.arg("serve").arg("--data").arg(&db.data_dir).args(["--listen", "127.0.0.1:0"]);
        let server = Server::start(command);
        let link = server.line("/claim#").rsplit(' ').next().unwrap().to_owned();
        for file in ["root.key", "admin.token"] {
            assert_eq!(mode(&db.data_dir.join(file)), 0o600, "{} {file}", db.engine);
        }
        runtime().block_on(async {
            for path in ["/workspaces", "/audit", "/approvals/pending", "/operators", "/settings/secrets"] {
                want(401, Actor::nobody().get(&server.url, path).await);
                want(401, Actor::bearer("").get(&server.url, path).await);
            }
            let made = json!({"email": "x@example.org", "password": PASSWORD, "role": "owner"});
            want(401, Actor::nobody().post(&server.url, "/operators", made).await);
            let login = json!({"email": "owner@example.org", "password": PASSWORD});
            want(401, Actor::nobody().post(&server.url, "/auth/login", login).await);
        });
        assert_eq!(db.rows()["operators"], 0);

        let (place, code) = link.split_once('#').unwrap();
        let wrong = format!("{place}#{}", code.chars().rev().collect::<String>());
        assert_ne!(claim(&db, &wrong, "thief@example.org").code, Some(0));
        claim(&db, &link, "owner@example.org").exits(0);
        assert_ne!(claim(&db, &link, "second@example.org").code, Some(0));
        assert_eq!(db.rows()["operators"], 1);
        runtime().block_on(Actor::session(&server.url, "owner@example.org"));
        let log = server.stop();
        assert!(!log.contains(PASSWORD), "{log}");

        // The admin token of the file is the one that works, and the second start prints no link.
        let token = fs::read_to_string(db.data_dir.join("admin.token")).unwrap();
        let mut command = portcullis(&db);
        command.arg("serve").arg("--data").arg(&db.data_dir).args(["--listen", "127.0.0.1:0"]);
        let server = Server::start(command);
        runtime().block_on(async {
            want(200, Actor::bearer(token.trim()).get(&server.url, "/workspaces").await);
        });
        let log = server.stop();
        assert!(!log.contains("claim") && !log.contains(token.trim()), "{log}");
    }
}

/// `serve` without a given token.
fn untold(db: &TestDb) -> Command {
    let mut command = portcullis(db);
    command.arg("serve").arg("--data").arg(&db.data_dir).args(["--listen", "127.0.0.1:0", "--no-agents"]);
    command
}

/// What a token opens at a server.
#[track_caller]
fn opens(server: &Server, token: &str, status: u16) {
    runtime().block_on(async { want(status, Actor::bearer(token.trim()).get(&server.url, "/workspaces").await) });
}

#[test]
fn a_second_server_takes_no_admin_token_away_unless_somebody_chose_another() {
    let Some(db) = databases().into_iter().find(|db| db.url.is_some()) else { return };
    let first = Server::start(untold(&db));
    let token = fs::read_to_string(db.data_dir.join("admin.token")).unwrap();
    let beside = db.beside();
    fs::copy(db.data_dir.join("root.key"), beside.data_dir.join("root.key")).unwrap();
    let file = beside.data_dir.join("admin.token");
    let second = Server::start(untold(&beside));
    assert!(!file.exists(), "a token that would open nothing");
    opens(&first, &token, 200);
    opens(&second, &token, 200);
    second.stop();

    // One that was the organisation's nowhere, or is not any more.
    let other = "an-admin-token-of-another-time";
    fs::write(&file, other).unwrap();
    set_mode(&file, 0o600);
    let second = Server::start(untold(&beside));
    opens(&second, other, 401);
    opens(&second, &token, 200);
    opens(&first, &token, 200);
    let log = second.stop();
    assert!(log.contains("opens nothing") && !log.contains(other), "{log}");

    let mut chosen = untold(&beside);
    chosen.env("PORTCULLIS_ADMIN_TOKEN", ADMIN);
    let second = Server::start(chosen);
    for server in [&first, &second] {
        opens(server, &token, 401);
        opens(server, ADMIN, 200);
    }
    // Its own file opens nothing now, and it serves all the same.
    first.stop();
    let first = Server::start(untold(&db));
    opens(&first, &token, 401);
    opens(&first, ADMIN, 200);
    first.stop();
    second.stop();
}

#[test]
fn a_server_that_is_alone_makes_another_admin_token_when_its_file_is_removed() {
    let db = TestDb::sqlite();
    let file = db.data_dir.join("admin.token");
    let server = Server::start(untold(&db));
    let before = fs::read_to_string(&file).unwrap();
    opens(&server, &before, 200);
    server.stop();
    fs::remove_file(&file).unwrap();
    let server = Server::start(untold(&db));
    let after = fs::read_to_string(&file).unwrap();
    opens(&server, &before, 401);
    opens(&server, &after, 200);
    server.stop();
}

#[test]
fn an_operator_is_created_while_the_server_is_stopped_and_while_it_runs() {
    for db in databases() {
        operator(&db, "before@example.org", "owner").exits(0);
        let server = Server::start(serve(&db));
        operator(&db, "during@example.org", "approver").exits(0);
        runtime().block_on(async {
            Actor::session(&server.url, "before@example.org").await;
            Actor::session(&server.url, "during@example.org").await;
        });
        let twice = operator(&db, "during@example.org", "approver");
        assert_eq!(twice.code, Some(6), "{twice:?}");
        assert_eq!(db.rows()["operators"], 2);
        server.stop();
    }
}

#[test]
fn an_operator_made_at_the_console_ends_the_printed_link() {
    for db in databases() {
        let server = Server::start(serve(&db));
        let link = server.line("/claim#").rsplit(' ').next().unwrap().to_owned();
        operator(&db, "owner@example.org", "owner").exits(0);
        assert_ne!(claim(&db, &link, "late@example.org").code, Some(0));
        assert_eq!(db.rows()["operators"], 1);
        server.stop();
    }
}

#[test]
fn an_unknown_key_of_the_configuration_is_an_error() {
    let db = TestDb::sqlite();
    fs::write(db.data_dir.join("portcullis.toml"), "[limits]\nsesion_s = 5\n").unwrap();
    let ended = ran(serve(&db)).exits(USAGE);
    assert!(ended.err.contains("sesion_s"), "{ended:?}");
    fs::write(db.data_dir.join("portcullis.toml"), "[limits]\nsession_s = 500\n").unwrap();
    Server::start(serve(&db)).stop();
}

#[test]
fn an_existing_database_without_its_root_key_is_refused_and_gets_no_new_one() {
    for db in databases() {
        operator(&db, "owner@example.org", "owner").exits(0);
        let before = db.rows();
        let (key, away) = (db.data_dir.join("root.key"), db.data_dir.join("away"));
        fs::rename(&key, &away).unwrap();
        refused(&db, "ROOT_KEY_MISSING");
        assert_eq!(operator(&db, "x@example.org", "owner").code, Some(FAULT));
        assert!(!key.exists(), "a new root key was made");
        // Another key than the one that sealed.
        fs::write(&key, format!("{}\n", "5a".repeat(32))).unwrap();
        set_mode(&key, 0o600);
        let wrong = ran(serve(&db)).exits(FAULT);
        assert!(!wrong.err.contains("listens on") && !wrong.err.contains("5a5a"), "{wrong:?}");
        assert_eq!(db.rows(), before);
        // It may live elsewhere.
        let mut command = serve(&db);
        command.env("PORTCULLIS_ROOT_KEY_FILE", &away);
        Server::start(command).stop();
    }
}

#[test]
fn keys_and_directories_that_others_may_touch_are_refused() {
    for db in databases() {
        operator(&db, "owner@example.org", "owner").exits(0);
        let key = db.data_dir.join("root.key");
        for wide in [0o604, 0o640, 0o666] {
            set_mode(&key, wide);
            refused(&db, "ROOT_KEY");
        }
        set_mode(&key, 0o600);
        let token = db.data_dir.join("admin.token");
        fs::write(&token, "an-admin-token-others-may-read\n").unwrap();
        set_mode(&token, 0o644);
        let mut command = portcullis(&db);
        command.arg("serve").arg("--data").arg(&db.data_dir).args(["--listen", "127.0.0.1:0"]);
        let ended = ran(command).exits(FAULT);
        assert!(ended.err.contains("ADMIN_TOKEN_UNUSABLE") && !ended.err.contains("others-may-read\n"), "{ended:?}");
        for wide in [0o777, 0o730] {
            set_mode(&db.data_dir, wide);
            refused(&db, "DATA_DIR_UNUSABLE");
        }
        set_mode(&db.data_dir, 0o700);
        let mut short = serve(&db);
        short.env("PORTCULLIS_ADMIN_TOKEN", "short");
        let ended = ran(short).exits(FAULT);
        assert!(ended.err.contains("ADMIN_TOKEN_UNUSABLE"), "{ended:?}");
    }
}

#[test]
fn a_schema_of_somebody_else_or_of_the_future_is_refused_and_left_alone() {
    for db in databases() {
        db.run("CREATE TABLE of_somebody_else (id INTEGER)");
        refused(&db, "SCHEMA_FOREIGN");
    }
    for db in databases() {
        operator(&db, "owner@example.org", "owner").exits(0);
        let before = db.rows();
        db.run("INSERT INTO schema_migrations (version, name, digest, applied_at) VALUES (1000, 'later', 'x', 0)");
        refused(&db, "SCHEMA_NEWER");
        db.run("DELETE FROM schema_migrations WHERE version = 1000; UPDATE schema_migrations SET digest = 'x'");
        refused(&db, "SCHEMA_DIFFERS");
        assert_eq!(db.rows(), before);
    }
}

#[test]
fn a_postgres_that_may_lose_what_it_confirmed_is_refused() {
    // `fsync` belongs to the whole server, which tests share; authority/src/db/tests/open.rs decides it on settings.
    for db in databases() {
        let Some(url) = &db.url else { continue };
        let name = url.rsplit('/').next().unwrap().split('?').next().unwrap();
        db.run(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
        refused(&db, "POSTGRES_NOT_DURABLE");
    }
}

#[test]
fn a_running_request_ends_before_the_server_does() {
    for db in databases() {
        operator(&db, "owner@example.org", "owner").exits(0);
        let mut server = Server::start(serve(&db));
        let address = server.url.strip_prefix("http://").unwrap().to_owned();
        let body = r#"{"name":"made-at-the-end"}"#;
        let mut stream = TcpStream::connect(&address).unwrap();
        let head = format!(
            "POST /workspaces HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {ADMIN}\r\n\
             content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // "100 Continue" says that the request runs: its body is being waited for.
        let mut first = [0; 25];
        stream.read_exact(&mut first).unwrap();
        assert!(first.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&first));
        server.terminate();
        server.line("stopping");
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{}: {answer}", db.engine);
        assert!(server.ended().success(), "{}", server.log());
        assert_eq!(db.integer("SELECT COUNT(*) FROM workspaces WHERE name = 'made-at-the-end'"), 1);
        assert!(TcpStream::connect(&address).is_err(), "it still listens");
    }
}

#[test]
fn the_doctor_finds_a_good_installation_good_and_names_what_is_bad() {
    for db in databases() {
        set_mode(&db.data_dir, 0o700);
        operator(&db, "owner@example.org", "owner").exits(0);
        let server = Server::start(serve(&db));
        let doctor = |url: &str, json: bool| {
            let mut command = portcullis(&db);
            command.args(["doctor", "--url", url, "--data"]).arg(&db.data_dir);
            if json {
                command.arg("--json");
            }
            ran(command)
        };
        let good = doctor(&server.url, true).exits(0);
        assert_eq!(good.json()["good"], true, "{good:?}");
        assert!(doctor(&server.url, false).exits(0).out.contains("audit log"));
        set_mode(&db.data_dir.join("root.key"), 0o644);
        let bad = doctor(&server.url, true).exits(FAULT);
        let findings = bad.json()["findings"].clone();
        let wrong: Vec<_> = findings.as_array().unwrap().iter().filter(|f| f["good"] == false).collect();
        assert_eq!(wrong.len(), 1, "{bad:?}");
        assert_eq!(wrong[0]["what"], "root key");
        let url = server.url.clone();
        server.stop();
        assert!(doctor(&url, false).exits(FAULT).out.contains("✗"));
    }
}
