//! A PostgreSQL that stops, stalls, has no connection to give, ends sessions, or is replaced by its standby, under a server
//! that runs. The rules are in docs/faults.md.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::process::Child;

use kit::{
    Server,
    cluster::{Cluster, Part},
    faults::{Client, HEARTBEAT, survives_a_kill, until, upto, verify},
    ran, runtime, serve,
};
use nix::sys::signal::Signal::{SIGCONT, SIGINT, SIGQUIT, SIGSTOP};
use portcullis_authority::testkit_db::{TestDb, databases, target};

/// `serve` that waits four seconds for its database, so that the test does not wait twenty.
const CONFIG: &str = "[limits]\nstore_wait_s = 4\n";
/// Large enough to fill a small disk soon.
const VALUE_BYTES: usize = 60_000;
/// More small writes than pages that exist have room for.
const SMALL_MAX: usize = 500;

/// An organisation in this cluster, whose database is at `url`.
fn organisation(url: String) -> TestDb {
    let mut db = TestDb::sqlite();
    std::fs::write(db.data_dir.join("portcullis.toml"), CONFIG).unwrap();
    db.engine = "postgres";
    db.target = target(&url, &db.data_dir);
    db.url = Some(url);
    db
}

#[test]
fn a_postgres_that_stops_or_stalls_is_refused_in_time_and_used_again_when_it_answers() {
    let mut cluster = Cluster::start(&[]);
    let db = organisation(cluster.url());
    let server = Server::start(serve(&db));
    let url = server.url.clone();
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        client.is_well(&url).await;
        for how in [SIGINT, SIGQUIT] {
            cluster.stop(how);
            for _ in 0..2 {
                let checks = client.is_refused(&url, "stopped").await;
                assert_eq!((&checks["store"], &checks["writer"]), (&false.into(), &false.into()), "{checks}");
            }
            cluster.run(&[]);
            client.gets_well(&url, "started again").await;
            client.finds_everything(&url).await;
        }

        cluster.signal_all(SIGSTOP);
        // More than the readers and the writer are: the waits of some are spent in queues.
        let path = format!("/workspaces/{}/secrets", client.workspace);
        let reads = futures(12, |_| client.owner.get(&url, &path));
        for (status, body) in reads.await {
            assert_eq!((status, body["code"].as_str()), (503, Some("STORE_UNAVAILABLE")), "{body}");
        }
        let checks = client.is_refused(&url, "stalled").await;
        assert_eq!((&checks["store"], &checks["writer"]), (&false.into(), &false.into()), "{checks}");
        cluster.signal_all(SIGCONT);
        client.gets_well(&url, "goes on after a stall").await;
        client.finds_everything(&url).await;
        client
    });
    survives_a_kill(&db, server, &mut client);
}

#[test]
fn a_write_whose_caller_was_refused_while_it_waited_is_not_done_later() {
    let cluster = Cluster::start(&[]);
    let db = organisation(cluster.url());
    let server = Server::start(serve(&db));
    let url = server.url.clone();
    runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        // Readers go on, so that only the write waits.
        let holder = Held::on(&cluster, "BEGIN; LOCK TABLE writer_lock IN EXCLUSIVE MODE; SELECT pg_sleep(600)");
        until("the lock is held", || {
            let held = cluster.sql(
                "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l USING (pid) WHERE a.query LIKE '%pg_sleep(600)%' \
                 AND l.mode = 'ExclusiveLock' AND l.granted AND l.relation = 'writer_lock'::regclass",
            );
            (held == "1").then_some(())
        });
        let path = format!("/workspaces/{}/secrets", client.workspace);
        let body = |n: usize| serde_json::json!({"key": format!("LATE_{n}"), "value": "v"});
        // The first begins a transaction and waits for the lock, the others wait for the first.
        let answers = futures(6, |n| client.owner.post(&url, &path, body(n))).await;
        for (status, answer) in answers {
            assert_eq!((status, answer["code"].as_str()), (503, Some("STORE_UNAVAILABLE")), "{answer}");
        }
        drop(holder);
        client.gets_well(&url, "the lock is free").await;
        client.gets_well(&url, "and everything before was settled").await;
        assert_eq!(cluster.sql("SELECT count(*) FROM secrets WHERE key LIKE 'LATE_%'"), "0", "refused and done all the same");
        client.finds_everything(&url).await;
    });
    server.stop();
    ran(verify(&db)).exits(0);
}

#[test]
fn sessions_that_are_ended_are_opened_again_and_refused_while_there_are_none_to_have() {
    let cluster = Cluster::start(&[]);
    cluster.sql("CREATE ROLE app LOGIN");
    cluster.sql("GRANT ALL ON SCHEMA public TO app");
    let db = organisation(cluster.url().replace("postgres@", "app@"));
    let server = Server::start(serve(&db));
    let url = server.url.clone();
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'";
        for _ in 0..3 {
            assert_ne!(cluster.sql(end), "0");
            client.gets_well(&url, "sessions were ended").await;
        }
        // The same answer as where every place of the server is taken: 53300.
        cluster.sql("ALTER ROLE app CONNECTION LIMIT 0");
        assert_ne!(cluster.sql(end), "0");
        for _ in 0..3 {
            let checks = client.is_refused(&url, "no connection is to be had").await;
            assert_eq!((&checks["store"], &checks["writer"]), (&false.into(), &false.into()), "{checks}");
        }
        cluster.sql("ALTER ROLE app CONNECTION LIMIT -1");
        client.gets_well(&url, "there are connections again").await;
        client.finds_everything(&url).await;
        client
    });
    survives_a_kill(&db, server, &mut client);
}

#[test]
fn a_server_that_was_deaf_for_a_while_hears_of_everything_afterwards() {
    const ROUNDS: usize = 3;
    const LISTENERS: &str = "FROM pg_stat_activity WHERE query = 'LISTEN portcullis_committed'";
    let cluster = Cluster::start(&[]);
    cluster.sql("CREATE ROLE app LOGIN");
    cluster.sql("GRANT ALL ON SCHEMA public TO app");
    let db = organisation(cluster.url().replace("postgres@", "app@"));
    let first = Server::start(serve(&db));
    let beside = db.beside();
    for file in ["root.key", "portcullis.toml"] {
        std::fs::copy(db.data_dir.join(file), beside.data_dir.join(file)).unwrap();
    }
    let second = Server::start(serve(&beside));
    let listening = || cluster.sql(&format!("SELECT count(*) {LISTENERS}"));
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &first).await;
        let mut stream = client.owner.stream(&second.url).await;
        upto(&mut stream, "connected").await;
        let mut told = 0;
        for _ in 0..2 * ROUNDS {
            until("both listen", || (listening() == "2").then_some(()));
            // What is connected stays so, and nobody comes back.
            cluster.sql("ALTER ROLE app CONNECTION LIMIT 0");
            assert_eq!(cluster.sql(&format!("SELECT count(pg_terminate_backend(pid)) {LISTENERS}")), "2");
            until("nobody listens", || (listening() == "0").then_some(()));
            let from = client.acknowledged() + 1;
            for _ in 0..3 {
                client.writes(&first.url).await;
            }
            assert_eq!(listening(), "0", "somebody heard of it");
            cluster.sql("ALTER ROLE app CONNECTION LIMIT -1");
            let keys: Vec<String> = (from..from + 3).map(|n| format!("\"KEY_{n}\"")).collect();
            let seen = upto(&mut stream, keys.last().unwrap()).await;
            let places: Vec<_> = keys.iter().map(|key| seen.find(key)).collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{keys:?} at {places:?}: {seen}");
            // A stream that looks by itself says so first.
            told += usize::from(!seen.contains(HEARTBEAT));
        }
        // Not all of them: on a busy machine a heartbeat may fall into a round.
        assert!(told >= ROUNDS, "{told} of {} times it was told when it could hear again", 2 * ROUNDS);
        client
    });
    second.stop();
    survives_a_kill(&db, first, &mut client);
}

#[test]
fn a_postgres_whose_disk_is_full_refuses_writes_and_takes_them_again_once_there_is_room() {
    full(Part::Data);
}

#[test]
fn a_postgres_whose_log_has_no_room_ends_and_is_used_again_once_it_runs() {
    full(Part::Log);
}

fn full(part: Part) {
    let bytes = match part {
        Part::Data => 64 << 20,
        Part::Log => 8 << 20,
    };
    let mut cluster = Cluster::start_on(part, bytes, &[]);
    let db = organisation(cluster.url());
    let server = Server::start(serve(&db));
    let url = server.url.clone();
    let ballast = cluster.disk.as_ref().unwrap().path("ballast");
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        client.is_well(&url).await;
        for _ in 0..2 {
            fill(&ballast);
            while client.write(&url, VALUE_BYTES).await.0 == 200 {}
            // Pages that are there already may still have room for small ones.
            let mut taken = 0;
            while client.write(&url, 8).await.0 == 200 {
                taken += 1;
                assert!(taken < SMALL_MAX, "{part:?} is full, and {taken} writes were taken");
            }
            let checks = client.is_refused(&url, "no room").await;
            assert_eq!(checks["writer"], false, "{checks}");
            if part == Part::Data {
                assert_eq!(checks["store"], true, "{checks}");
                client.finds_everything(&url).await;
            } else {
                until("it has ended", || cluster.has_ended().then_some(()));
                client.is_refused(&url, "it has ended").await;
            }
            std::fs::remove_file(&ballast).unwrap();
            if cluster.has_ended() {
                // As whoever keeps it running does.
                cluster.run(&[]);
            }
            client.gets_well(&url, "there is room again").await;
            client.finds_everything(&url).await;
        }
        client
    });
    survives_a_kill(&db, server, &mut client);
}

/// Fills a disk to the last page.
fn fill(ballast: &std::path::Path) {
    use std::io::Write;
    // Closed at the end: held open it would keep its room when it is removed.
    let mut file = std::fs::File::create(ballast).unwrap();
    for piece in [1 << 20, 4096] {
        while file.write_all(&vec![0; piece]).is_ok() {}
    }
}

#[test]
fn a_standby_that_has_everything_takes_over_and_one_that_was_behind_is_refused() {
    let mut primary = Cluster::start(&["wal_level=replica", "max_wal_senders=4"]);
    // Both are in the address: whoever may be written to is used.
    let caught_up = primary.standby(&[]);
    let address = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        primary.port, caught_up.port
    );
    let db = organisation(address);
    let server = Server::start(serve(&db));
    let url = server.url.clone();
    let mut client = runtime().block_on(async {
        let mut client = Client::new(&db, &server).await;
        client.is_well(&url).await;
        client
    });
    let end = primary.sql("SELECT pg_current_wal_flush_lsn()");
    until("the standby has everything", || {
        let has = caught_up.sql(&format!("SELECT pg_last_wal_replay_lsn() >= '{end}'"));
        (has == "t").then_some(())
    });
    primary.stop(SIGQUIT);
    runtime().block_on(async { client.is_refused(&url, "no primary").await });
    caught_up.sql("SELECT pg_promote()");
    runtime().block_on(async {
        client.gets_well(&url, "the standby was promoted").await;
        client.finds_everything(&url).await;
    });

    // Another standby, that hears nothing any more, takes the port of the server that goes.
    let mut behind = caught_up.standby(&[]);
    behind.sql("ALTER SYSTEM SET primary_conninfo = ''");
    behind.sql("SELECT pg_reload_conf()");
    until("it hears nothing", || (behind.sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0").then_some(()));
    runtime().block_on(async {
        for _ in 0..3 {
            client.writes(&url).await;
        }
    });
    let (mut caught_up, port) = (caught_up, behind.port);
    caught_up.stop(SIGQUIT);
    behind.stop(SIGINT);
    behind.port = caught_up.port;
    behind.run(&[]);
    behind.sql("SELECT pg_promote()");
    runtime().block_on(async {
        until("it may be written to", || (behind.sql("SELECT pg_is_in_recovery()") == "f").then_some(()));
        for _ in 0..2 {
            let checks = client.is_refused(&url, "the standby lacks what was acknowledged").await;
            assert_eq!(checks["writer"], false, "{checks}");
        }
    });
    assert!(server.log().contains("LOG_WENT_BACK"), "{}", server.log());

    // The one that has it all comes back, and nobody had to tell the server.
    behind.stop(SIGINT);
    behind.port = port;
    caught_up.run(&[]);
    runtime().block_on(async {
        client.gets_well(&url, "the one that has everything is back").await;
        client.finds_everything(&url).await;
    });
    survives_a_kill(&db, server, &mut client);

    // Also a server that was not there when it happened knows what it had confirmed.
    caught_up.stop(SIGINT);
    behind.port = caught_up.port;
    behind.run(&[]);
    let refused = ran(serve(&db)).exits(1);
    assert!(refused.err.contains("LOG_CUT"), "{refused:?}");
}

#[test]
fn an_organisation_does_not_begin_anew_in_another_database() {
    for db in databases() {
        let server = Server::start(serve(&db));
        runtime().block_on(async { Client::new(&db, &server).await.is_well(&server.url).await });
        server.stop();
        for other in databases().into_iter().filter(|other| other.url.is_some()) {
            let mut elsewhere = serve(&db);
            elsewhere.env("PORTCULLIS_DATABASE_URL", other.url.as_ref().unwrap());
            let refused = ran(elsewhere).exits(1);
            assert!(refused.err.contains("LOG_CUT: the database is empty"), "{}: {refused:?}", db.engine);
        }
        Server::start(serve(&db)).stop();
    }
}

/// A client that holds something until it is dropped.
struct Held(Child);

impl Held {
    fn on(cluster: &Cluster, sql: &str) -> Self {
        Self(cluster.psql(sql).spawn().unwrap())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The answers to requests that are made at the same time.
async fn futures<F: Future<Output = Option<(u16, serde_json::Value)>>>(
    count: usize,
    make: impl Fn(usize) -> F,
) -> Vec<(u16, serde_json::Value)> {
    let mut open: Vec<_> = (0..count).map(|n| Box::pin(make(n))).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|cx| {
        open.retain_mut(|request| match request.as_mut().poll(cx) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer.unwrap());
                false
            }
            std::task::Poll::Pending => true,
        });
        if open.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}
