//! What is under the database gives way while the server runs, and while it does not: full, unsynced, read-only, gone, cut.
//! The rules are in docs/faults.md: refused within one request, said in `/ready`, nothing acknowledged lost, recovered
//! without help.

mod kit;

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use kit::{
    Server,
    faults::{Client, Disk, OWNER, Shim, survives_a_kill, until, verify},
    portcullis, ran, runtime, serve,
};
use portcullis_authority::testkit_db::TestDb;

const SQLITE_FILE: &str = "portcullis.db";
const FAULT: i32 = 1;
const KEPT_HEAD: &str = "audit.checkpoint";
const DISK_BYTES: u64 = 6 * 1024 * 1024;
/// Large enough to fill that soon.
const VALUE_BYTES: usize = 60_000;
/// More trial writes than fit into what SQLite's log has room for.
const TRIALS_MAX: usize = 500;

/// What a viewer or a backup does: another SQLite than the server's opens the file, reads, and closes it.
const LOOK_INTO: &str = "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]); \
    database.execute('SELECT count(*) FROM secrets').fetchone(); database.close()";

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_once_there_is_room() {
    let db = TestDb::sqlite();
    let disk = Disk::over(&db.data_dir, DISK_BYTES);
    let mut owner = portcullis(&db);
    owner.args(["operator", "create", "--data"]).arg(&db.data_dir);
    fs::write(db.data_dir.with_extension("password"), kit::PASSWORD).unwrap();
    owner.args(["--email", OWNER, "--role", "owner", "--password-file"]).arg(db.data_dir.with_extension("password"));
    let made = ran(disk.inside(&owner));
    fs::remove_file(db.data_dir.with_extension("password")).unwrap();
    made.exits(0);

    let mut server = Server::start(disk.inside(&serve(&db)));
    let url = server.url.clone();
    let mut client = runtime().block_on(async {
        let mut client = Client::of_owner(&server).await;
        let ballast = disk.path("ballast");
        fs::write(&ballast, vec![0; DISK_BYTES as usize / 2]).unwrap();
        while client.write(&url, VALUE_BYTES).await.0 == 200 {}
        assert!(client.acknowledged() > 3, "the disk was full before it was used");
        // Full to the last byte: also the smallest write is too much, several times over.
        let rest = OpenOptions::new().append(true).open(&ballast).unwrap();
        let mut at = rest.metadata().unwrap().len();
        while rest.write_at(&[0; 4096], at).is_ok() {
            at += 4096;
        }
        // Held open it would keep its room when it is removed.
        drop(rest);
        let mut refused = 0;
        while refused < 3 {
            // What SQLite's log has room for already may still be taken.
            if client.write(&url, VALUE_BYTES).await.0 == 503 {
                refused += 1;
            }
        }
        // The trial write of `/ready` is the smallest there is: it may still fit where others do not, a few times.
        let mut ready = kit::Actor::nobody().get(&url, "/ready").await;
        for _ in 0..TRIALS_MAX {
            if !matches!(ready, Some((200, _))) {
                break;
            }
            client.write(&url, 1).await;
            ready = kit::Actor::nobody().get(&url, "/ready").await;
        }
        let checks = kit::want(503, ready)["checks"].clone();
        assert_eq!((&checks["store"], &checks["writer"]), (&true.into(), &false.into()), "{checks}");
        client.finds_everything(&url).await;
        fs::remove_file(&ballast).unwrap();
        client.gets_well(&url, "a disk with room again").await;
        client
    });
    server.kill();
    server.ended();
    ran(disk.inside(&verify(&db))).exits(0);
    let server = Server::start(disk.inside(&serve(&db)));
    runtime().block_on(async {
        client.finds_everything(&server.url).await;
        client.is_well(&server.url).await;
    });
    server.stop();
}

#[test]
fn a_failed_fsync_is_never_called_a_success() {
    fails_and_recovers("eio", "fsync fails with EIO");
}

#[test]
fn a_file_system_that_became_read_only_refuses_writes_and_serves_reads() {
    fails_and_recovers("erofs", "the file system is read-only");
}

fn fails_and_recovers(order: &str, why: &str) {
    let (db, shim) = (TestDb::sqlite(), Shim::new());
    let mut command = serve(&db);
    shim.before(&mut command);
    let server = Server::start(command);
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        for round in 0..3 {
            client.is_well(&server.url).await;
            shim.order(order, "");
            for _ in 0..3 {
                let checks = client.is_refused(&server.url, why).await;
                assert_eq!((&checks["store"], &checks["writer"]), (&true.into(), &false.into()), "{why}: {checks}");
            }
            client.finds_everything(&server.url).await;
            if round < 2 {
                shim.cancel(order);
            }
        }
        client
    });
    // Killed while it fails: nobody came to put anything right.
    survives_a_kill(&db, server, &mut client);
}

#[test]
fn a_database_that_is_deleted_under_the_server_is_not_written_to_any_more() {
    // What is taken away: the database, its log, the memory of its log, everything.
    let wal = format!("{SQLITE_FILE}-wal");
    let shm = format!("{SQLITE_FILE}-shm");
    for gone in [SQLITE_FILE, &wal, &shm, ""] {
        let db = TestDb::sqlite();
        let server = Server::start(serve(&db));
        let (what, away) = (db.data_dir.join(gone), db.data_dir.with_extension("away"));
        let mut client = runtime().block_on(async {
            let mut client = Client::new(&db, &server).await;
            client.is_well(&server.url).await;
            fs::rename(what.components().as_path(), &away).unwrap();
            for _ in 0..2 {
                let checks = client.is_refused(&server.url, gone).await;
                assert_eq!(checks["writer"], false, "{gone}: {checks}");
            }
            assert!(!what.exists(), "{gone}: an empty one was made in its place");
            // Another one in its place is not what was lost.
            if gone == SQLITE_FILE {
                fs::copy(&away, &what).unwrap();
                client.is_refused(&server.url, "a copy").await;
            }
            // The same one again is.
            fs::rename(&away, what.components().as_path()).unwrap();
            client.gets_well(&server.url, gone).await;
            client
        });
        survives_a_kill(&db, server, &mut client);
    }
}

#[test]
fn a_server_does_not_begin_anew_where_its_database_was_deleted() {
    let db = TestDb::sqlite();
    let server = Server::start(serve(&db));
    runtime().block_on(async { Client::new(&db, &server).await.is_well(&server.url).await });
    server.stop();
    let (file, away) = (db.data_dir.join(SQLITE_FILE), db.data_dir.join("away"));
    fs::rename(&file, &away).unwrap();
    let refused = ran(serve(&db)).exits(FAULT);
    assert!(refused.err.contains("LOG_CUT") && refused.err.contains(KEPT_HEAD), "{refused:?}");
    assert!(!file.exists(), "an empty one was made in its place");
    // An empty one is refused as well, and stays as it is.
    fs::write(&file, "").unwrap();
    assert!(ran(serve(&db)).exits(FAULT).err.contains("LOG_CUT"));
    fs::rename(&away, &file).unwrap();
    Server::start(serve(&db)).stop();
}

#[test]
fn a_log_that_was_cut_while_nobody_served_is_noticed_at_the_start() {
    let db = TestDb::sqlite();
    let (file, wal) = (db.data_dir.join(SQLITE_FILE), db.data_dir.join(format!("{SQLITE_FILE}-wal")));
    let (kept, key) = (db.data_dir.join(KEPT_HEAD), db.data_dir.join("root.key"));
    let mut server = Server::start(serve(&db));
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        for _ in 0..20 {
            client.writes(&server.url).await;
        }
        client
    });
    // Kept while it runs, not only at a stop: it is killed.
    let written = |path: &Path| fs::metadata(path).ok()?.modified().ok();
    let first = until("the end of the log is kept", || written(&kept));
    runtime().block_on(client.writes(&server.url));
    until("the end of the log is kept again", || (written(&kept)? > first).then_some(()));
    server.kill();
    server.ended();

    let whole = fs::read(&wal).unwrap();
    assert!(whole.len() > 4096 * 8, "the log of SQLite was not written back");
    // SQLite takes what is left of its log for all there was.
    fs::write(&wal, &whole[..whole.len() / 2]).unwrap();
    ran(verify(&db)).exits(0);
    let mut against = verify(&db);
    against.arg("--checkpoint").arg(&kept);
    let found = ran(against).exits(10);
    assert!(found.err.contains("but a signed checkpoint covers"), "{found:?}");
    let refused = ran(serve(&db)).exits(FAULT);
    assert!(refused.err.contains("LOG_CUT") && refused.err.contains("was confirmed"), "{refused:?}");

    // A human may decide for what is left.
    fs::rename(&kept, db.data_dir.join("set-aside")).unwrap();
    Server::start(serve(&db)).stop();
    assert!(!wal.exists() || fs::metadata(&wal).unwrap().len() == 0, "a server that stops leaves one file");

    // Half of that file, then a byte less than a page of it.
    let whole = fs::read(&file).unwrap();
    for length in [whole.len() / 2, whole.len() - 1, 50] {
        fs::write(&file, &whole[..length]).unwrap();
        let refused = ran(serve(&db)).exits(FAULT);
        assert!(refused.err.contains("SQLITE_FILE_CUT"), "{length}: {refused:?}");
        assert_ne!(ran(verify(&db)).code, Some(0), "{length}");
    }
    fs::write(&file, &whole).unwrap();
    ran(verify(&db)).exits(0);
    assert!(key.exists());
}

#[test]
fn without_its_root_key_a_server_goes_on_and_does_not_start_again() {
    let db = TestDb::sqlite();
    let server = Server::start(serve(&db));
    let (key, away) = (db.data_dir.join("root.key"), db.data_dir.join("away"));
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        fs::rename(&key, &away).unwrap();
        client.is_well(&server.url).await;
        client
    });
    server.stop();
    assert!(ran(serve(&db)).exits(FAULT).err.contains("ROOT_KEY_MISSING"));
    assert!(!key.exists(), "a new root key was made");
    fs::rename(&away, &key).unwrap();
    let server = Server::start(serve(&db));
    runtime().block_on(async {
        client.finds_everything(&server.url).await;
        client.is_well(&server.url).await;
    });
    server.stop();
}

#[test]
fn a_program_that_looks_into_the_database_takes_nothing_with_it() {
    let db = TestDb::sqlite();
    let first = Server::start(serve(&db));
    let mut client = runtime().block_on(Client::new(&db, &first));
    // The file is whole and has no log beside it, as after every stop.
    first.stop();
    let server = Server::start(serve(&db));
    runtime().block_on(client.writes(&server.url));
    let mut viewer = std::process::Command::new("python3");
    viewer.args(["-c", LOOK_INTO]).arg(db.data_dir.join(SQLITE_FILE));
    let looked = viewer.output().unwrap();
    assert!(looked.status.success(), "{looked:?}");
    runtime().block_on(client.is_well(&server.url));
    survives_a_kill(&db, server, &mut client);
}
