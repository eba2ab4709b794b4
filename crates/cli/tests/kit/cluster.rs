//! A PostgreSQL of the test's own, which may be stopped, stalled, filled and replaced. The shared one may not.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portcullis_authority::testkit_db::fresh_dir;

use super::{
    faults::{Disk, until},
    fleet::port,
};

/// Where Debian puts the programs of the server, one directory a version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A server in a directory of its own. It is gone when this is dropped or the test is killed.
pub struct Cluster {
    dir: PathBuf,
    pub port: u16,
    server: Option<Child>,
    /// What a part of it is on, if that is small.
    pub disk: Option<Disk>,
}

/// A part of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The tables.
    Data,
    /// The write-ahead log.
    Log,
}

impl Part {
    fn directory(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Log => "log",
        }
    }
}

fn program(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir(DEBIAN).into_iter().flatten().flatten().map(|e| e.path()).collect();
    versions.sort_by_key(|dir| std::cmp::Reverse(dir.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok())));
    let found = versions.into_iter().map(|dir| dir.join("bin").join(name)).find(|path| path.is_file());
    // Elsewhere they are on the path.
    found.unwrap_or_else(|| PathBuf::from(name))
}

/// A program of the server, as the user that may run it, and ended with the test.
fn as_postgres(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if nix::unistd::geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    // Immediate shutdown: what a server that lost its machine leaves.
    command.arg("--pdeathsig=QUIT").arg(program(name)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn own(dir: &Path) {
    let made = Command::new("chown").arg("postgres:").arg(dir).status().expect("chown runs");
    assert!(made.success() || !nix::unistd::geteuid().is_root());
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("a mode");
}

impl Cluster {
    /// An empty cluster that runs with these settings.
    pub fn start(settings: &[&str]) -> Self {
        Self::made(None, settings)
    }

    /// The same with one part on a disk of this size.
    pub fn start_on(part: Part, bytes: u64, settings: &[&str]) -> Self {
        Self::made(Some((part, bytes)), settings)
    }

    fn made(small: Option<(Part, u64)>, settings: &[&str]) -> Self {
        let dir = fresh_dir();
        own(&dir);
        let disk = small.map(|(part, bytes)| {
            let at = dir.join(part.directory());
            fs::create_dir(&at).expect("a directory");
            let disk = Disk::over(&at, bytes);
            own(&disk.path(""));
            disk
        });
        let mut cluster = Self { dir, port: port(), server: None, disk };
        let mut init = as_postgres("initdb");
        init.arg("--pgdata").arg(cluster.dir.join("data")).arg("--waldir").arg(cluster.dir.join("log"));
        init.args(["--username=postgres", "--auth=trust", "--no-locale", "--encoding=UTF8", "--no-sync"]);
        // The smallest there is: a small disk is full sooner.
        init.arg("--wal-segsize=1");
        assert!(cluster.where_it_is(init).status().expect("setpriv runs").success(), "initdb");
        cluster.run(settings);
        cluster
    }

    /// A program of this server, seeing its disk.
    fn where_it_is(&self, command: Command) -> Command {
        let mut command = match &self.disk {
            Some(disk) => disk.inside(&command),
            None => command,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir(&self.dir);
        command
    }

    /// A standby of this cluster, which has what it has.
    pub fn standby(&self, settings: &[&str]) -> Self {
        let dir = fresh_dir();
        own(&dir);
        let mut copy = as_postgres("pg_basebackup");
        copy.arg("--pgdata").arg(dir.join("data")).args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]);
        copy.args(["--host=127.0.0.1", "--username=postgres"]).arg(format!("--port={}", self.port)).current_dir(&dir);
        assert!(copy.status().expect("setpriv runs").success(), "pg_basebackup");
        let mut standby = Self { dir, port: port(), server: None, disk: None };
        standby.run(settings);
        standby
    }

    /// Starts the server, again too, and waits until it answers.
    pub fn run(&mut self, settings: &[&str]) {
        let mut command = as_postgres("postgres");
        command.arg("-D").arg(self.dir.join("data")).arg("-k").arg(&self.dir);
        command.args(["-h", "127.0.0.1", "-p"]).arg(self.port.to_string()).args(["-c", "shared_buffers=16MB"]);
        // A client of the test that is killed lets go of what it held.
        command.args(["-c", "client_connection_check_interval=100"]);
        for setting in settings {
            command.args(["-c", setting]);
        }
        self.server = Some(self.where_it_is(command).spawn().expect("setpriv runs"));
        until("PostgreSQL answers", || self.try_sql("SELECT 1"));
    }

    /// Whether the server has ended, by itself too.
    pub fn has_ended(&mut self) -> bool {
        self.server.as_mut().is_none_or(|server| !matches!(server.try_wait(), Ok(None)))
    }

    /// The database that every cluster has, with these options.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs a statement beside the program that is tested.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|| panic!("psql: {sql}"))
    }

    fn try_sql(&self, sql: &str) -> Option<String> {
        let mut client = self.psql(sql);
        let done = client.output().expect("psql runs");
        done.status.success().then(|| String::from_utf8_lossy(&done.stdout).trim().to_owned())
    }

    /// A client with this statement, not started.
    pub fn psql(&self, sql: &str) -> Command {
        let mut client = Command::new(program("psql"));
        client.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet", "--set=ON_ERROR_STOP=1"]);
        client
            .args(["--host=127.0.0.1", "--username=postgres", "--dbname=postgres"])
            .arg(format!("--port={}", self.port));
        client.arg("--command").arg(sql).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        client
    }

    fn pid(&self) -> Pid {
        let child = self.server.as_ref().expect("it runs");
        Pid::from_raw(i32::try_from(child.id()).expect("a pid"))
    }

    /// SIGINT is the fast shutdown, SIGQUIT the immediate one.
    pub fn stop(&mut self, how: Signal) {
        kill(self.pid(), how).expect("a signal");
        self.server.take().expect("it runs").wait().expect("a child");
    }

    /// SIGSTOP or SIGCONT for the server and everything it has started: connections stand, nobody answers.
    pub fn signal_all(&self, signal: Signal) {
        let server = self.pid();
        if signal == Signal::SIGSTOP {
            // First, so that it starts nobody while the others are told.
            kill(server, signal).expect("a signal");
        }
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
            // After the name in parentheses: the state, then the parent.
            let parent =
                stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
            if parent == Some(server.as_raw()) {
                // Gone since is fine.
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
        if signal == Signal::SIGCONT {
            kill(server, signal).expect("a signal");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let pid = Pid::from_raw(i32::try_from(server.id()).unwrap_or(i32::MAX));
            let _ = kill(pid, Signal::SIGQUIT);
            let _ = kill(pid, Signal::SIGCONT);
            let _ = server.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}
