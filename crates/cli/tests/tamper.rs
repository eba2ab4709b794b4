//! A log that somebody touched: `audit verify` names the first bad entry and does not exit with 0, in the database and
//! in an export, without the root key and without a server.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{fs, path::PathBuf, process::Command};

use kit::{ADMIN, Actor, Ended, PASSWORD, Server, alone, fed, operator, portcullis, ran, runtime, serve, want};
use portcullis_authority::testkit_db::{TestDb, databases};
use serde_json::json;

const NOT_VERIFIED: i32 = 10;
const OWNER: &str = "owner@example.org";
/// Refusals at the end of the log. No other row refers to them, so the database lets them be deleted.
const REFUSALS: i64 = 6;

/// A log at rest, with what its owner saved elsewhere.
struct Log {
    db: TestDb,
    /// The last entry.
    last: i64,
    /// An earlier end, whose signed head is kept in `earlier_head`: what a thief of the database could put back.
    cut: i64,
    export: PathBuf,
    key: String,
    checkpoint: PathBuf,
}

impl Log {
    fn on(db: TestDb) -> Self {
        operator(&db, OWNER, "owner").exits(0);
        let server = Server::start(serve(&db));
        let url = server.url.clone();
        let cli = |arguments: &[&str]| {
            let mut command = alone(&db.data_dir);
            command.args(["--url", &url]).args(arguments);
            fed(command, &format!("{PASSWORD}\n")).exits(0)
        };
        cli(&["login", "--email", OWNER, "--password-file", "-"]);
        let cut = runtime().block_on(async {
            let owner = Actor::session(&url, OWNER).await;
            let admin = Actor::bearer(ADMIN);
            let root = want(200, owner.get(&url, "/workspaces").await)[0]["id"].as_str().unwrap().to_owned();
            let mut cut = 0;
            for n in 0..REFUSALS {
                if n == REFUSALS / 2 {
                    cut = db.integer("SELECT size FROM audit_head");
                    db.run("CREATE TABLE earlier_head AS SELECT * FROM audit_head");
                }
                let body = json!({"key": format!("KEY_{n}"), "value": "v"});
                want(403, admin.post(&url, &format!("/workspaces/{root}/secrets"), body).await);
            }
            cut
        });
        let export = db.data_dir.join("export.jsonl");
        cli(&["audit", "export", "--out", export.to_str().unwrap()]);
        server.stop();

        let last = db.integer("SELECT MAX(seq) FROM audit");
        assert_eq!(last, cut + REFUSALS / 2 + 1, "the refusals and the export");
        let checkpoint = db.data_dir.join("checkpoint");
        fs::write(&checkpoint, db.texts("SELECT note FROM audit_head").remove(0)).unwrap();
        let key = db.texts("SELECT value FROM meta WHERE name = 'log_verifier_key'").remove(0);
        // From here on the log is read without the key of the organisation.
        fs::remove_file(db.data_dir.join("root.key")).unwrap();
        Self { db, last, cut, export, key, checkpoint }
    }

    fn verify(&self, more: &[&str]) -> Ended {
        let mut command = portcullis(&self.db);
        command.args(["audit", "verify"]);
        if self.db.url.is_none() {
            command.arg("--data").arg(&self.db.data_dir);
        }
        command.args(more);
        ran(command)
    }

    fn verify_export(&self, text: &str, more: &[&str]) -> Ended {
        let path = self.db.data_dir.join("touched.jsonl");
        fs::write(&path, text).unwrap();
        // Nothing but the file: no database, no address, no home with anything in it.
        let mut command: Command = alone(&self.db.data_dir.join("nowhere"));
        command.args(["audit", "verify", "--export"]).arg(&path).args(more);
        ran(command)
    }

    /// Does this to the database, expects this complaint, and puts the log back.
    fn touched(&self, how: &str, complaint: &str, more: &[&str]) {
        self.db.run("CREATE TABLE kept_audit AS SELECT * FROM audit");
        self.db.run("CREATE TABLE whole_head AS SELECT * FROM audit_head");
        self.db.run("CREATE TABLE whole_checkpoints AS SELECT * FROM checkpoints");
        self.db.run(how);
        let found = self.verify(more);
        assert_eq!(found.code, Some(NOT_VERIFIED), "{} {how}: {found:?}", self.db.engine);
        assert!(found.err.contains(complaint), "{} {how}: `{complaint}` is not in {found:?}", self.db.engine);
        // The rows other tables refer to cannot be deleted, so they are set back instead.
        self.db.run(
            "INSERT INTO audit SELECT * FROM kept_audit WHERE seq NOT IN (SELECT seq FROM audit); \
             UPDATE audit SET \
                 reason = (SELECT k.reason FROM kept_audit k WHERE k.seq = audit.seq), \
                 event = (SELECT k.event FROM kept_audit k WHERE k.seq = audit.seq), \
                 at_ms = (SELECT k.at_ms FROM kept_audit k WHERE k.seq = audit.seq), \
                 prev_hash = (SELECT k.prev_hash FROM kept_audit k WHERE k.seq = audit.seq), \
                 hash = (SELECT k.hash FROM kept_audit k WHERE k.seq = audit.seq); \
             DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM whole_head; \
             DELETE FROM checkpoints; INSERT INTO checkpoints SELECT * FROM whole_checkpoints; \
             DROP TABLE kept_audit; DROP TABLE whole_head; DROP TABLE whole_checkpoints",
        );
        self.verify(&[]).exits(0);
    }
}

#[test]
fn a_touched_database_is_named_at_the_entry() {
    for db in databases() {
        let log = Log::on(db);
        let last = log.last;
        let pinned = ["--key", &log.key, "--checkpoint", log.checkpoint.to_str().unwrap()];
        let clean = log.verify(&pinned).exits(0);
        assert!(clean.out.contains("the log verifies"), "{clean:?}");
        let (n, m) = (last - 2, last - 1);
        for (how, complaint) in [
            (format!("UPDATE audit SET reason = 'x' || substr(reason, 2) WHERE seq = {n}"), format!("entry {n} was")),
            (format!("UPDATE audit SET event = 'X' || substr(event, 2) WHERE seq = {n}"), format!("entry {n} was")),
            (format!("UPDATE audit SET at_ms = at_ms + 1 WHERE seq = {n}"), format!("entry {n} was")),
            ("UPDATE audit SET at_ms = at_ms - 1 WHERE seq = 1".to_owned(), "entry 1 was".to_owned()),
            (
                format!("UPDATE audit SET prev_hash = hash WHERE seq = {n}"),
                format!("entry {n} does not continue entry {}", n - 1),
            ),
            (format!("UPDATE audit SET hash = prev_hash WHERE seq = {n}"), format!("entry {n} was")),
            (format!("DELETE FROM audit WHERE seq = {n}"), format!("entry {n} is missing")),
            (format!("DELETE FROM audit WHERE seq IN ({n}, {m})"), format!("entry {n} is missing")),
        ] {
            log.touched(&how, &complaint, &[]);
        }
    }
}

#[test]
fn a_cut_tail_is_named_also_when_the_signed_head_was_put_back() {
    for db in databases() {
        let log = Log::on(db);
        let cut = log.cut;
        let complaint = format!("the log ends at entry {cut}, but a signed checkpoint covers {}", log.last);
        log.touched(&format!("DELETE FROM audit WHERE seq > {cut}"), &complaint, &[]);
        // Everything behind the cut goes, and the head that is put back is genuine: the log is whole in itself. Only
        // what was saved elsewhere knows better.
        let forged = format!(
            "DELETE FROM audit WHERE seq > {cut}; DELETE FROM checkpoints WHERE size > {cut}; \
             DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM earlier_head"
        );
        log.db.run(&forged);
        log.verify(&[]).exits(0);
        log.verify(&["--key", &log.key]).exits(0);
        let found = log.verify(&["--checkpoint", log.checkpoint.to_str().unwrap()]).exits(NOT_VERIFIED);
        assert!(found.err.contains(&complaint), "{found:?}");
    }
}

#[test]
fn another_log_does_not_pass_for_a_pinned_one() {
    let (mine, other) = (Log::on(TestDb::sqlite()), Log::on(TestDb::sqlite()));
    let found = other.verify(&["--key", &mine.key]).exits(NOT_VERIFIED);
    assert!(found.err.contains("signed by another key"), "{found:?}");
    let found = other.verify(&["--checkpoint", mine.checkpoint.to_str().unwrap()]).exits(NOT_VERIFIED);
    assert!(found.err.contains("is not signed by the log's key"), "{found:?}");
}

#[test]
fn a_touched_export_is_named_at_the_entry() {
    for db in databases() {
        let log = Log::on(db);
        let text = fs::read_to_string(&log.export).unwrap();
        let pinned = ["--key", &log.key, "--checkpoint", log.checkpoint.to_str().unwrap()];
        log.verify_export(&text, &pinned).exits(0);
        let lines: Vec<&str> = text.lines().collect();
        let at = |seq: i64| lines.iter().position(|line| line.starts_with(&format!("{{\"seq\":{seq},"))).unwrap();
        let n = log.last - 2;
        let with = |touch: &dyn Fn(usize, &str) -> Option<String>| {
            let kept = lines.iter().enumerate().filter_map(|(i, line)| touch(i, line));
            kept.map(|line| format!("{line}\n")).collect::<String>()
        };
        let place = at(n);
        let changed =
            with(&|i, line| Some(if i == place { line.replacen("KEY_", "KEX_", 1) } else { line.to_owned() }));
        assert_ne!(changed, text);
        let deleted = with(&|i, line| (i != place).then(|| line.to_owned()));
        let cut = with(&|_, line| {
            let seq = line.strip_prefix("{\"seq\":").and_then(|rest| rest.split(',').next()?.parse::<i64>().ok());
            seq.is_none_or(|seq| seq < n).then(|| line.to_owned())
        });
        // The marks of the export itself go too: then only the saved checkpoint knows.
        let bare = with(&|_, line| line.starts_with("{\"seq\"").then(|| line.to_owned()))
            .lines()
            .take(usize::try_from(n - 1).unwrap())
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        for (touched, complaint, more) in [
            (&changed, format!("entry {n} was changed"), &[][..]),
            (&deleted, format!("entry {n} is missing"), &[]),
            (&cut, format!("the log ends at entry {}", n - 1), &[]),
            (&bare, format!("the log ends at entry {}", n - 1), &pinned[..]),
        ] {
            let found = log.verify_export(touched, more);
            assert_eq!(found.code, Some(NOT_VERIFIED), "{}: {found:?}", log.db.engine);
            assert!(found.err.contains(&complaint), "{}: `{complaint}` is not in {found:?}", log.db.engine);
        }
        log.verify_export(&bare, &["--key", &log.key]).exits(0);
    }
}
