//! The commands against the running binary, as people and scripts use them: exit codes, JSON and words, and no value
//! or token anywhere it was not asked for.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use kit::{ADMIN, Ended, Gentle, PASSWORD, Server, alone, fed, operator, portcullis, ran, serve};
use portcullis_authority::testkit_db::{TestDb, databases};

const OWNER: &str = "owner@example.org";
const HELD: i32 = 3;
const DENIED: i32 = 4;
const NOT_APPROVED: i32 = 5;
const INVALID: i32 = 6;
const UNAVAILABLE: i32 = 7;
const UNAUTHENTICATED: i32 = 8;
const NOT_FOUND: i32 = 9;

fn scenarios() -> Vec<PathBuf> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files
}

/// A server and somebody at a terminal beside it.
struct Desk {
    db: TestDb,
    server: Server,
    /// Everything any command wrote.
    shown: std::cell::RefCell<String>,
}

impl Desk {
    fn at(db: TestDb) -> Self {
        operator(&db, OWNER, "owner").exits(0);
        let server = Server::start(serve(&db));
        Self { db, server, shown: std::cell::RefCell::default() }
    }

    fn keep(&self, ended: Ended) -> Ended {
        self.shown.borrow_mut().push_str(&format!("{}{}", ended.out, ended.err));
        ended
    }

    /// Runs a command as the operator who logged in, with this on standard input.
    fn fed(&self, line: &str, input: &str) -> Ended {
        let mut command = alone(&self.db.data_dir);
        command.args(["--url", &self.server.url]).args(line.split(' '));
        self.keep(fed(command, input))
    }

    fn run(&self, line: &str) -> Ended {
        self.fed(line, "")
    }

    /// The same as the root agent.
    fn agent(&self, line: &str, input: &str) -> Ended {
        let mut command = alone(&self.db.data_dir);
        command.env("PORTCULLIS_TOKEN", ADMIN).args(["--url", &self.server.url]).args(line.split(' '));
        self.keep(fed(command, input))
    }
}

#[test]
fn the_demo_ends_well_in_words_and_in_json() {
    let db = TestDb::sqlite();
    for json in [false, true] {
        let mut command = alone(&db.data_dir);
        command.env("TMPDIR", &db.data_dir).args(["demo", "--once", "--listen", "127.0.0.1:0"]);
        if json {
            command.arg("--json");
        }
        let ended = ran(command).exits(0);
        assert!(ended.err.contains("entries verify"), "{ended:?}");
        if json {
            let shown = ended.json();
            assert_eq!(shown["audit_valid"], true, "{shown}");
        } else {
            assert!(ended.out.contains("403 CONCIERGE_SELF_WRITE_BLOCKED") && !ended.out.contains('✗'), "{ended:?}");
        }
        // It leaves nothing behind.
        assert_eq!(fs::read_dir(&db.data_dir).unwrap().count(), 0);
    }
}

#[test]
fn the_demo_that_stays_tells_how_to_look_around_and_removes_everything() {
    let db = TestDb::sqlite();
    let mut command = alone(&db.data_dir);
    command.env("TMPDIR", &db.data_dir).args(["demo", "--json", "--listen", "127.0.0.1:0"]);
    let mut demo = Gentle(Server::start(command));
    let server = &mut demo.0;
    let line = server.line("operator:");
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, email, _, password] = words[..] else { panic!("{line}") };
    server.line("workspace send");
    let mut command = alone(&db.data_dir);
    command.args(["--url", &server.url, "login", "--email", email, "--password-file", "-"]);
    fed(command, password).exits(0);
    let mut command = alone(&db.data_dir);
    command.args(["--url", &server.url, "--json", "workspace", "list"]);
    let listed = ran(command).exits(0).json();
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for name in ["concierge", "researcher", "writer", "reviewer"] {
        assert!(names.contains(&name), "{names:?}");
    }
    server.terminate();
    assert!(server.ended().success());
    let left = fs::read_dir(&db.data_dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with("portcullis-demo")).count(), 0);
}

#[test]
fn every_scenario_replays_green_against_the_running_binary() {
    let files = scenarios();
    for expected in ["incident-2026-06-11", "sibling-01", "sibling-10", "r-01", "r-14"] {
        assert!(files.iter().any(|path| path.to_string_lossy().contains(expected)), "no scenario {expected}");
    }
    assert!(files.len() >= 25, "{}", files.len());
    for db in databases() {
        let desk = Desk::at(db);
        let mut command = alone(&desk.db.data_dir);
        command.env("PORTCULLIS_ADMIN_TOKEN", ADMIN).args(["--url", &desk.server.url, "replay", "--email", OWNER]);
        command.args(["--password-file", "-"]).args(&files);
        let ended = fed(command, &format!("{PASSWORD}\n"));
        let failed: Vec<_> = ended.out.lines().filter(|line| line.contains('✗')).collect();
        assert_eq!(ended.code, Some(0), "{}: {failed:#?} {}", desk.db.engine, ended.err);
        assert!(ended.err.contains(&format!("{} scenarios, 0 failed", files.len())), "{}", ended.err);
        desk.server.stop();
    }
}

#[test]
fn a_scenario_that_does_not_hold_fails_the_replay() {
    let desk = Desk::at(TestDb::sqlite());
    let incident = scenarios().into_iter().find(|path| path.to_string_lossy().contains("incident")).unwrap();
    let text = fs::read_to_string(incident).unwrap().replace("status = 403", "status = 200");
    let file = desk.db.data_dir.join("incident-2026-06-11.toml");
    fs::write(&file, text).unwrap();
    let mut command = alone(&desk.db.data_dir);
    command.env("PORTCULLIS_ADMIN_TOKEN", ADMIN).args(["--url", &desk.server.url, "replay", "--email", OWNER]);
    command.args(["--password-file", "-"]).arg(&file);
    let ended = fed(command, &format!("{PASSWORD}\n")).exits(1);
    assert!(ended.out.contains('✗'), "{ended:?}");
}

#[test]
fn a_day_at_the_desk() {
    for db in databases() {
        let desk = Desk::at(db);
        let canary = "canary-of-the-desk-4f1d";
        let password = format!("{PASSWORD}\n");

        // Nobody is logged in; then somebody is.
        desk.run("workspace list").exits(UNAUTHENTICATED);
        desk.fed(&format!("login --email {OWNER} --password-file -"), "wrong\n").exits(UNAUTHENTICATED);
        desk.fed(&format!("login --email {OWNER} --password-file -"), &password).exits(0);
        desk.fed("step-up --password-file -", &password).exits(0);

        // Workspaces.
        let writer = desk.run("--json workspace create writer --role drafts").exits(0).json()["id"].clone();
        desk.run("workspace create scratch --parent writer").exits(0);
        let listed = desk.run("workspace list").exits(0).out;
        assert!(listed.contains("writer") && listed.contains("scratch"), "{listed}");
        let found = desk.run("--json workspace get writer").exits(0).json();
        assert_eq!(found["id"], writer);
        desk.run("workspace get nobody").exits(NOT_FOUND);
        desk.run("workspace rename scratch sketch").exits(0);
        desk.run("workspace move sketch --parent concierge").exits(0);
        desk.run("workspace pause sketch").exits(0);
        desk.run("workspace resume sketch").exits(0);
        desk.run("workspace restart sketch --dry-run").exits(0);
        assert!(desk.run("workspace peers writer").exits(0).out.contains("sketch"));

        // Secrets: values from standard input or a file, and by no other way.
        let saved = desk.fed("--json secret set KEY -w writer", canary).exits(0).json();
        assert_eq!((saved["status"].as_str(), saved["version"].as_u64()), (Some("saved"), Some(1)));
        let file = desk.db.data_dir.join("value");
        fs::write(&file, format!("{canary}-two\n")).unwrap();
        desk.run(&format!("secret set KEY -w writer --value-file {}", file.display())).exits(0);
        desk.run(&format!("secret set KEY -w writer {canary}-argument")).exits(2);
        desk.fed("secret set KEY -w writer --if-version 1", canary).exits(INVALID);
        desk.fed("secret set KEY -w writer --if-absent", canary).exits(INVALID);
        desk.fed("secret set PATH -w writer", canary).exits(INVALID);
        desk.fed("secret set SHARED --org", canary).exits(0);
        desk.run("secret rollback KEY -w writer --to 1").exits(0);
        desk.run("secret activate KEY -w writer --version 2").exits(0);
        let versions = desk.run("--json secret versions KEY -w writer").exits(0).json();
        assert_eq!(versions.as_array().unwrap().len(), 3);
        assert!(desk.run("secret versions KEY -w writer").exits(0).out.contains("rollback"));
        let listed = desk.run("secret list -w writer").exits(0).out;
        assert!(listed.contains("KEY") && listed.contains("SHARED") && listed.contains("inherited"), "{listed}");
        desk.run("secret delete KEY -w writer").exits(0);
        desk.run("secret undelete KEY -w writer").exits(0);
        desk.run("secret destroy KEY -w writer --version 1 --yes").exits(0);
        desk.run("secret request WANTED -w writer --description why").exits(0);
        let imported = desk.fed("secret import - -w writer --yes", &format!("A={canary}\nB='{canary} b'\n")).exits(0);
        assert!(imported.out.contains("imported 2 new"), "{imported:?}");
        desk.fed("secret import - -w writer --yes", &format!("LD_PRELOAD={canary}\n")).exits(INVALID);

        // What the root agent may not do, and what waits for a human.
        desk.agent("secret set KEY -w concierge", canary).exits(DENIED);
        let refusal = desk.agent("--json secret set OTHER -w concierge", canary).exits(DENIED);
        assert!(refusal.out.is_empty() && refusal.err.contains("CONCIERGE_SELF_WRITE_BLOCKED"), "{refusal:?}");
        assert!(desk.agent("secret set KEY -w writer", canary).out.contains("held"));
        let mut held = desk.agent("--json secret set HELD -w writer", canary).exits(HELD).json();
        let id = held["approval_id"].take().as_str().unwrap().to_owned();
        desk.agent(&format!("approval approve {id}"), "").exits(DENIED);
        desk.agent(&format!("approval wait {id} --for 0"), "").exits(HELD);
        assert!(desk.run("approval list").exits(0).out.contains(&id));
        assert!(desk.run(&format!("approval show {id}")).exits(0).out.contains("concierge"));
        let approved = desk.run(&format!("approval approve {id} --note fine")).exits(0);
        assert!(approved.out.contains("applied"), "{approved:?}");
        desk.agent(&format!("approval wait {id}"), "").exits(0);
        let again = desk.agent("--json secret set REFUSED -w writer", canary).exits(HELD).json();
        let id = again["approval_id"].as_str().unwrap().to_owned();
        desk.run(&format!("approval deny {id} --note no")).exits(0);
        desk.agent(&format!("approval wait {id}"), "").exits(NOT_APPROVED);
        let mine = desk.agent("--json secret set MINE -w writer", canary).exits(HELD).json();
        let id = mine["approval_id"].as_str().unwrap().to_owned();
        desk.agent(&format!("approval withdraw {id}"), "").exits(0);
        desk.run(&format!("approval approve {id}")).exits(INVALID);

        // Tokens leave into a pipe or a private file, once.
        let out = desk.db.data_dir.join("token");
        desk.run(&format!("token mint ci --scope secrets:read --scope workspaces:read --out {}", out.display()))
            .exits(0);
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
        let token = fs::read_to_string(&out).unwrap();
        let tokens = desk.run("--json token list").exits(0).json();
        let tokens = tokens.get("tokens").unwrap_or(&tokens);
        let id = tokens[0]["id"].as_str().unwrap().to_owned();
        let listed = format!("--token-file {} secret list -w writer", out.display());
        desk.run(&listed).exits(0);
        desk.run(&format!("token revoke {id}")).exits(0);
        desk.run(&listed).exits(UNAUTHENTICATED);

        // Operators.
        operator(&desk.db, "member@example.org", "member").exits(0);
        let operators = desk.run("--json operator list").exits(0).json();
        let all = operators.as_array().unwrap();
        let member = all.iter().find(|one| one["email"] == "member@example.org").unwrap()["id"].as_str().unwrap();
        desk.run(&format!("operator role {member} auditor")).exits(0);
        desk.run(&format!("operator disable {member}")).exits(0);
        assert!(desk.run("operator list").exits(0).out.contains("auditor"));

        // The log, by way of the server and without it.
        let tail = desk.run("audit tail --event secret.set.refused").exits(0).out;
        assert!(tail.contains("CONCIERGE_SELF_WRITE_BLOCKED"), "{tail}");
        let export = desk.db.data_dir.join("export");
        desk.run(&format!("audit export --out {}", export.display())).exits(0);
        let mut verify = portcullis(&desk.db);
        verify.args(["--json", "audit", "verify", "--export"]).arg(&export);
        assert_eq!(ran(verify).exits(0).json()["valid"], true);

        desk.run("workspace remove sketch").exits(0);
        desk.run("logout").exits(0);
        desk.run("workspace list").exits(UNAUTHENTICATED);

        let url = desk.server.url.clone();
        let log = desk.server.stop();
        let mut gone = alone(&desk.db.data_dir);
        gone.env("PORTCULLIS_TOKEN", ADMIN).args(["--url", &url, "workspace", "list"]);
        ran(gone).exits(UNAVAILABLE);

        assert!(log.contains("secret_set"), "the log tells what was asked: {log}");
        let shown = desk.shown.into_inner().replace(&format!("{canary}-argument"), "");
        let export = fs::read_to_string(&export).unwrap();
        for (place, text) in [("log", &log), ("output", &shown), ("export", &export)] {
            for secret in [canary, token.trim(), PASSWORD, ADMIN] {
                assert!(!text.contains(secret), "{}: a secret is in the {place}", desk.db.engine);
            }
        }
    }
}

#[test]
fn every_shell_gets_its_completions() {
    let db = TestDb::sqlite();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = alone(&db.data_dir);
        command.args(["completions", shell]);
        let ended = ran(command).exits(0);
        assert!(ended.out.contains("portcullis") && ended.out.contains("change-set"), "{shell}");
    }
}
