//! The pipe that the log goes to is closed, or nobody reads it: the server serves, and stops when it is asked to.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Command},
};

use kit::{ADMIN, Actor, runtime, serve, want};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portcullis_authority::testkit_db::TestDb;

/// More lines than a pipe and the queue before it hold.
const REQUESTS: usize = 6_000;
/// So many ask at once.
const CLIENTS: usize = 8;

struct Serving {
    child: Child,
    url: String,
    /// What it writes to, with the end of the test.
    _log: Option<BufReader<ChildStderr>>,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listens on") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "the server ended");
        }
        let url = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { child, url, _log: Some(log) }
    }

    async fn serves(&self) {
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            let (admin, url) = (Actor::bearer(ADMIN), self.url.clone());
            asking.spawn(async move {
                for _ in 0..REQUESTS / CLIENTS {
                    want(200, admin.get(&url, "/workspaces").await);
                }
            });
        }
        while let Some(done) = asking.join_next().await {
            done.unwrap();
        }
        let metrics =
            reqwest::Client::new().get(format!("{}/metrics", self.url)).bearer_auth(ADMIN).send().await.unwrap();
        let page = metrics.text().await.unwrap();
        let line = page.lines().find(|line| line.starts_with("portcullis_log_lines_dropped_total")).unwrap();
        let dropped: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(dropped > 0.0, "{line}");
        want(200, Actor::nobody().get(&self.url, "/ready").await);
    }

    fn stops(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM).unwrap();
        let status = kit::faults::until("the server ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_closed_log_pipe_neither_ends_the_server_nor_a_request() {
    let db = TestDb::sqlite();
    let mut server = Serving::start(serve(&db));
    server._log = None;
    // Standard output has no reader either.
    drop(server.child.stdout.take());
    runtime().block_on(server.serves());
    server.stops();
}

#[test]
fn a_log_that_nobody_reads_keeps_no_request_waiting() {
    let db = TestDb::sqlite();
    // Everything: a line for each statement would be too few to fill the queue soon.
    std::fs::write(db.data_dir.join("portcullis.toml"), "[log]\njson = true\nlevel = \"trace\"\n").unwrap();
    let server = Serving::start(serve(&db));
    runtime().block_on(server.serves());
    server.stops();
}
