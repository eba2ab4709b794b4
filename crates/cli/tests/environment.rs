//! What an agent is given, and where secrets are: its environment is the documented one and its own secrets, every release
//! is in the log, and a value is nowhere but where it has to be. Where the server is root, an agent is another user.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use kit::{
    ADMIN,
    fleet::{Fleet, exec, is_root, text},
    want,
};
use portcullis_authority::testkit_db::{TestDb, databases};
use reqwest::Method;
use serde_json::json;

/// In the environment of the server, and of nobody else.
const SERVERS: &str = "what-only-the-server-has-6f1c";
const VARIABLE: &str = "canary-of-a-variable-51d7";
const FILE: &str = "canary-of-a-file-93ab";
/// First user id of agents.
const UID_BASE: u32 = 2_000_000;

/// Every variable that an agent of the process runtime has beside its secrets.
const DOCUMENTED: [&str; 11] = [
    "HOME",
    "LANG",
    "PATH",
    "PORTCULLIS_BOOT_ID",
    "PORTCULLIS_CONTEXT_FILE",
    "PORTCULLIS_RUN_DIR",
    "PORTCULLIS_SECRETS_DIR",
    "PORTCULLIS_TOKEN_FILE",
    "PORTCULLIS_URL",
    "TMPDIR",
    "WORKSPACE_ID",
];

fn guarded(db: TestDb) -> Fleet {
    let mut fleet = Fleet::prepared(db, "");
    fleet.start_with(|command| {
        command.env("SERVERS_OWN", SERVERS).env("LD_LIBRARY_PATH", "/nowhere");
    });
    fleet
}

fn environment(pid: i32) -> Vec<(String, String)> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let entries = String::from_utf8(bytes).unwrap();
    let pairs = entries.split('\0').filter_map(|entry| entry.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The agent and the shim of a workspace.
fn pids(fleet: &Fleet, id: &str) -> (i32, i32) {
    let all = fleet.processes_of(id);
    let of = |word: &str| all.iter().find(|(_, command)| command.contains(word)).unwrap_or_else(|| panic!("{all:?}")).0;
    (of(" agent "), of(" unit "))
}

/// Every file below but programs, with what is in it.
fn files(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && entry.file_name() == "bin" => {}
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            // Sockets cannot be read.
            Ok(kind) if kind.is_file() => {
                // It may be gone already.
                let bytes = fs::read(entry.path()).unwrap_or_default();
                found.push((entry.path(), String::from_utf8_lossy(&bytes).into_owned()));
            }
            _ => {}
        }
    }
    found
}

/// Every row of the tables that have to do with agents, as the engine prints it.
fn rows(db: &TestDb) -> Vec<String> {
    let tables = [
        "SELECT CAST(t AS TEXT) FROM runs t",
        "SELECT CAST(t AS TEXT) FROM turns t",
        "SELECT CAST(t AS TEXT) FROM messages t",
        "SELECT CAST(t AS TEXT) FROM workspaces t",
        "SELECT CAST(t AS TEXT) FROM audit t",
        "SELECT CAST(t AS TEXT) FROM secrets t",
        "SELECT CAST(t AS TEXT) FROM secret_versions t",
        "SELECT CAST(t AS TEXT) FROM credentials t",
        "SELECT CAST(t AS TEXT) FROM approvals t",
        "SELECT CAST(t AS TEXT) FROM idempotency t",
    ];
    tables.into_iter().flat_map(|sql| db.texts(sql)).collect()
}

#[test]
fn an_agent_has_the_documented_environment_and_its_own_secrets_and_nothing_of_the_servers() {
    let fleet = guarded(TestDb::sqlite());
    fleet.set_for_all("FOR_ALL", "a value for everybody");
    let id = fleet.create("own", json!("process"), None);
    let other = fleet.create("other", json!("process"), None);
    fleet.set(&id, "OWN", VARIABLE);
    // No secret stands in for a variable that decides what runs, or what the agent is.
    for key in ["PATH", "LD_PRELOAD", "PORTCULLIS_TOKEN_FILE", "WORKSPACE_ID"] {
        let body = json!({"key": key, "value": "/somewhere/else"});
        let refused = fleet.post(&format!("/workspaces/{other}/secrets"), Some(body), 422);
        assert_eq!(refused["code"], "KEY_FORBIDDEN", "{refused}");
    }
    fleet.settled(&id);
    fleet.settled(&other);
    let boot = fleet.boot(&id);

    let (agent, shim) = pids(&fleet, &id);
    let found = environment(agent);
    let names: BTreeSet<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, DOCUMENTED.into_iter().chain(["FOR_ALL", "OWN"]).collect());
    let value = |name: &str| found.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!(value("OWN"), VARIABLE);
    assert_eq!(
        (value("WORKSPACE_ID"), value("PORTCULLIS_BOOT_ID"), value("PORTCULLIS_URL")),
        (id.clone(), boot.clone(), fleet.url())
    );
    assert_eq!(PathBuf::from(value("HOME")), fleet.work(&id));
    assert_eq!(fs::read_link(format!("/proc/{agent}/cwd")).unwrap(), fleet.work(&id));
    assert_eq!(environment(shim), [], "the shim needs nothing");
    assert_eq!(value("PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    // A neighbour has what is for everybody, and nothing of it.
    let (agent, _) = pids(&fleet, &other);
    let names: BTreeSet<_> = environment(agent).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains("FOR_ALL") && !names.contains("OWN"), "{names:?}");

    // What a command of the agent sees is the same, without the way to the agent's own token.
    let command = fleet.create("command", exec("env | cut -d= -f1 | sort | tr '\\n' ' '"), None);
    fleet.settled(&command);
    let seen = fleet.ask(&command, "what do you have?");
    let seen: BTreeSet<_> =
        seen.split_whitespace().filter(|name| !matches!(*name, "PWD" | "OLDPWD" | "SHLVL" | "_")).collect();
    let mut expected: BTreeSet<_> = DOCUMENTED.into_iter().chain(["FOR_ALL", "PORTCULLIS_TURN_ID"]).collect();
    expected.remove("PORTCULLIS_TOKEN_FILE");
    assert_eq!(seen, expected);
}

#[test]
fn every_release_is_in_the_log_and_a_value_is_nowhere_but_where_it_has_to_be() {
    for db in databases() {
        let engine = db.engine;
        let fleet = guarded(db);
        let script = format!("cat \"$PORTCULLIS_SECRETS_DIR/FILE_KEY\"; echo \" $KEY\"; echo \"{} $KEY\" >&2", "I say");
        let id = fleet.create("talks", exec(&script), None);
        fleet.settled(&id);
        fleet.set(&id, "KEY", VARIABLE);
        fleet.settled(&id);
        for value in ["the-first-canary-of-a-file", FILE] {
            let body = json!({"key": "FILE_KEY", "value": value, "delivery": "file"});
            fleet.post(&format!("/workspaces/{id}/secrets"), Some(body), 200);
            fleet.settled(&id);
        }
        // It says aloud what it knows; nobody hears it.
        assert_eq!(fleet.ask(&id, "say it"), "[redacted:FILE_KEY] [redacted:KEY]", "{engine}");
        let boot = fleet.boot(&id);
        fleet.until("the log has it", || {
            let log = text(&fleet.get(&format!("/workspaces/{id}/logs")), "text");
            log.contains("I say [redacted:KEY]").then_some(())
        });

        let released = fleet.audit(&format!("event=environment.release&workspace_id={id}"));
        assert_eq!(released.len(), fleet.runs(&id).len() + 2, "one a run and one a replaced file: {released:?}");
        assert!(released.iter().all(|event| event["subject"] == json!({"kind": "system", "id": "supervisor"})));
        assert!(released.iter().all(|event| event["outcome"] == "done"));

        let secret_file = fleet.secrets.join(&id).join("FILE_KEY");
        assert_eq!(fs::read_to_string(&secret_file).unwrap(), FILE);
        let about = fs::metadata(&secret_file).unwrap();
        assert_eq!(about.mode() & 0o777, 0o400);
        let log = fleet.log();
        let audit = json!(fleet.audit("order=asc")).to_string();
        let commands: Vec<_> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect();
        let mut stored = files(&fleet.dir);
        stored.extend(files(&fleet.secrets));
        stored.extend(files(&fleet.db.data_dir));
        let rows = if fleet.db.url.is_some() { rows(&fleet.db) } else { Vec::new() };
        assert!(stored.len() > 5, "{stored:?}");
        let token = fleet.token(&boot);
        for secret in [VARIABLE, FILE, "the-first-canary-of-a-file", SERVERS, ADMIN, token.trim()] {
            assert!(!log.contains(secret), "{engine}: {secret} is in the server's log");
            assert!(!audit.contains(secret), "{engine}: {secret} is in the audit log");
            assert!(
                !commands.iter().any(|command| command.contains(secret)),
                "{engine}: {secret} is in a command line"
            );
            assert!(!rows.iter().any(|row| row.contains(secret)), "{engine}: {secret} is in the database");
            let allowed = |path: &Path| {
                (secret == FILE && path == secret_file)
                    || (secret == token.trim() && path == fleet.dir.join("run").join(&boot).join("token"))
                    // The admin token's own place, when it was not given.
                    || (secret == ADMIN && path.starts_with(&fleet.db.data_dir) && path.ends_with("admin-token"))
            };
            let found: Vec<_> = stored
                .iter()
                .filter(|(path, text)| text.contains(secret) && !allowed(path))
                .map(|(path, _)| path)
                .collect();
            assert!(found.is_empty(), "{engine}: {secret} is in {found:?}");
        }

        want(200, fleet.ask_as(fleet.owner(), Method::DELETE, &format!("/workspaces/{id}"), None));
        fleet.gone(&id, &[boot]);
        assert!(!secret_file.exists());
    }
}

#[test]
fn an_agent_is_a_user_of_its_own_who_reads_neither_the_server_nor_its_neighbour() {
    if !is_root() {
        // The reason is that only root may give files to other users; everything else here holds without.
        println!("note: these tests do not run as root; agents have no users of their own");
        return;
    }
    let fleet = guarded(TestDb::sqlite());
    let neighbour = fleet.create("neighbour", json!("process"), None);
    fleet.settled(&neighbour);
    let body = json!({"key": "FILE_KEY", "value": FILE, "delivery": "file"});
    fleet.post(&format!("/workspaces/{neighbour}/secrets"), Some(body), 200);
    fleet.settled(&neighbour);
    let (agent, shim) = pids(&fleet, &neighbour);
    let (dir, secrets) = (fleet.dir.display(), fleet.secrets.display());
    let boot = fleet.boot(&neighbour);
    let server = fleet.server_pid();
    let mut targets: Vec<_> = files(&fleet.db.data_dir).iter().map(|(path, _)| path.display().to_string()).collect();
    // Written by this test, and no secret; and what the server renames when it is whole.
    targets.retain(|path| !path.ends_with("fleet.toml") && !path.ends_with("audit.checkpoint.new"));
    assert!(targets.iter().any(|path| path.contains("key")) && targets.len() > 2, "{targets:?}");
    targets.extend([
        format!("/proc/{server}/environ"),
        format!("/proc/{agent}/environ"),
        format!("/proc/{shim}/environ"),
        format!("{dir}/run/{boot}/token"),
        format!("{dir}/run/{boot}/context.json"),
        format!("{dir}/{neighbour}/runs/{boot}/unit.json"),
        format!("{secrets}/{neighbour}/FILE_KEY"),
    ]);
    let script = format!(
        "id -u; id -G; for target in \"$@\"; do if cat \"$target\" > /dev/null 2>&1; then echo \"read $target\"; fi; done; \
         ls {dir} {dir}/run {secrets} 2> /dev/null; touch \"$PORTCULLIS_SECRETS_DIR/x\" 2> /dev/null && echo wrote; \
         cat \"$PORTCULLIS_CONTEXT_FILE\" > /dev/null && echo own"
    );
    let mut command = vec!["/bin/sh".to_owned(), "-c".to_owned(), script, "sh".to_owned()];
    command.extend(targets.iter().cloned());
    let id = fleet.create("curious", json!({"kind": "process", "agent": {"mind": "exec", "command": command}}), None);
    fleet.settled(&id);
    let said = fleet.ask(&id, "what can you see?");
    let lines: Vec<_> = said.lines().collect();
    let [user, groups, "own"] = lines.as_slice() else { panic!("{said}") };
    let uid: u32 = user.parse().unwrap();
    assert!(uid > UID_BASE && groups == user, "{said}");
    let (own, _) = pids(&fleet, &id);
    let owner = |pid: i32| fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    assert_eq!(owner(own), uid);
    assert_ne!(owner(agent), uid);
    // They are there to be read: root can.
    for target in &targets {
        assert!(fs::read(target).is_ok(), "{target}");
    }
}
