//! The process runtime against the contract of all runtimes, and what is its own: the shim.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

#[macro_use]
mod contract;

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use contract::{Bed, LONG, PATIENCE, PAUSE, processes_with, rare_seconds, secret, unit};
use portcullis_service::runtime::{
    ExitCause, Places, Runtime, Sight, Unit,
    process::{LOG_FILE_BYTES_MAX, ProcessRuntime},
};
use serde_json::{Value, json};

/// Directories of one test, gone with it.
struct Home(PathBuf, PathBuf);

impl Home {
    fn new() -> Self {
        let name = format!("ptc-{}", &unit().boot.to_string()[..13]);
        // Not in the target directory: agents with users of their own must reach it, and paths of sockets are short.
        let home = Self(std::env::temp_dir().join(&name), Path::new("/dev/shm").join(&name));
        fs::create_dir(&home.0).unwrap();
        fs::set_permissions(&home.0, Permissions::from_mode(0o711)).unwrap();
        home
    }

    fn bed(&self) -> Bed<ProcessRuntime> {
        let program = env!("CARGO_BIN_EXE_portcullis").into();
        let places = Places { agents: self.0.join("a"), secrets: self.1.clone(), program };
        let runtime = ProcessRuntime::open(places).unwrap();
        Bed { runtime, image: None, extra_variables: BTreeSet::new() }
    }
}

impl Drop for Home {
    /// Also after a failure: what a test could not stop does not outlive it.
    fn drop(&mut self) {
        for workspace in fs::read_dir(self.0.join("a")).into_iter().flatten().flatten() {
            for run in fs::read_dir(workspace.path().join("runs")).into_iter().flatten().flatten() {
                let order = fs::read(run.path().join("unit.json")).unwrap_or_default();
                let order = serde_json::from_slice::<Value>(&order).unwrap_or_default();
                if let (false, Some(shim)) = (run.path().join("exit.json").exists(), order["shim"][0].as_i64()) {
                    // It stops the agent and sweeps, also without its directory.
                    let _ = Command::new("kill").args(["-TERM", &shim.to_string()]).status();
                }
            }
        }
        let _ = fs::remove_dir_all(&self.0);
        let _ = fs::remove_dir_all(&self.1);
    }
}

/// The record a shim made of its order.
fn order(bed: &Bed<ProcessRuntime>, unit: Unit) -> Value {
    serde_json::from_slice(&fs::read(bed.runtime.records(unit).join("unit.json")).unwrap()).unwrap()
}

fn shim(bed: &Bed<ProcessRuntime>, unit: Unit) -> i64 {
    order(bed, unit)["shim"][0].as_i64().unwrap()
}

fn kill(pid: i64) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

macro_rules! pieces {
    ($($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let home = Home::new();
            contract::$name(&home.bed()).await;
        }
    )*};
}

each_piece!(pieces);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_stays_bounded_on_disk_and_in_the_shim() {
    let home = Home::new();
    let bed = home.bed();
    let unit = bed.run("head -c 100000000 /dev/zero | tr '\\0' x | fold -w 99; echo end of flood; sleep 1000").await;
    bed.says(unit, "end of flood").await;
    let files = fs::read_dir(bed.runtime.records(unit)).unwrap().map(Result::unwrap);
    let bytes = files.map(|file| file.metadata().unwrap().len()).sum::<u64>();
    assert!(bytes > LOG_FILE_BYTES_MAX && bytes <= 2 * LOG_FILE_BYTES_MAX + (1 << 20), "{bytes}");
    let status = fs::read_to_string(format!("/proc/{}/status", shim(&bed, unit))).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kb = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
    assert!(peak_kb < 64 << 10, "{peak}");
    bed.runtime.stop(unit, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_without_end_is_bounded_too() {
    let home = Home::new();
    let bed = home.bed();
    let unit = bed.run("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo end of flood").await;
    assert_eq!(bed.ended(unit).await.code, Some(0));
    let log = bed.log(unit).await;
    assert!(log.ends_with("end of flood\n") && log.lines().all(|line| line.len() <= 64 << 10));
}

/// The process that starts a unit and is killed: the adoption test, run again where it finds this file.
const STARTER: &str = "starter.json";

async fn be_the_starter(told: &[u8]) {
    let told: Value = serde_json::from_slice(told).unwrap();
    let path = |name: &str| PathBuf::from(told[name].as_str().unwrap());
    let places = Places { agents: path("agents"), secrets: path("secrets"), program: path("program") };
    let runtime = ProcessRuntime::open(places).unwrap();
    let bed = Bed { runtime, image: None, extra_variables: BTreeSet::new() };
    let id = |name: &str| told[name].as_str().unwrap().to_owned();
    let unit = Unit { workspace: id("workspace").parse().unwrap(), boot: id("boot").parse().unwrap() };
    let script = "trap 'exit 9' TERM; echo up; while :; do echo tick; sleep 0.05; done";
    bed.runtime.start(bed.script(unit, script)).await.unwrap();
    fs::write("started", "").unwrap();
    tokio::time::sleep(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_outlives_its_starter_and_is_adopted() {
    if let Ok(told) = fs::read(STARTER) {
        return be_the_starter(&told).await;
    }
    let home = Home::new();
    let unit = unit();
    let told = json!({
        "agents": home.0.join("a"), "secrets": home.1, "program": env!("CARGO_BIN_EXE_portcullis"),
        "workspace": unit.workspace, "boot": unit.boot,
    });
    fs::write(home.0.join(STARTER), told.to_string()).unwrap();
    let mut starter = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_unit_outlives_its_starter_and_is_adopted"])
        .current_dir(&home.0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while !home.0.join("started").exists() {
        assert!(starter.try_wait().unwrap().is_none(), "the starter failed");
        tokio::time::sleep(PAUSE).await;
    }
    starter.kill().unwrap();
    starter.wait().unwrap();
    let bed = home.bed();
    assert_eq!(bed.runtime.units().await.unwrap(), [unit]);
    assert_eq!(bed.runtime.look(unit).await, Sight::Running);
    // It still works, and its output is still read.
    let ticks = bed.log(unit).await.matches("tick").count();
    while bed.log(unit).await.matches("tick").count() < ticks + 3 {
        tokio::time::sleep(PAUSE).await;
    }
    let exit = bed.runtime.stop(unit, LONG).await.unwrap();
    assert_eq!((exit.code, exit.cause), (Some(9), ExitCause::Stopped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_whose_shim_was_killed_is_lost_without_orphans() {
    let home = Home::new();
    let bed = home.bed();
    let seconds = rare_seconds();
    let script =
        format!("sleep {seconds} & (setsid sleep {seconds} &); sleep 0.2; echo up; while :; do sleep 0.05; done");
    let unit = bed.up(&script).await;
    kill(shim(&bed, unit));
    let exit = bed.ended(unit).await;
    assert_eq!((exit.code, exit.cause), (None, ExitCause::Lost));
    assert_eq!(processes_with(&seconds), 0);
    assert!(bed.runtime.start(bed.script(unit, "true")).await.is_err(), "lost is an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_understood_is_unknown_and_never_down() {
    let home = Home::new();
    let bed = home.bed();
    let unit = bed.up("echo up; sleep 1000").await;
    let records = bed.runtime.records(unit);
    let (socket, aside) = (records.join("unit.sock"), records.join("aside"));
    fs::rename(&socket, &aside).unwrap();
    let unknown = async |why: &str| {
        let sight = bed.runtime.look(unit).await;
        assert!(matches!(&sight, Sight::Unknown(text) if text.contains(why)), "{sight:?}");
        assert!(bed.runtime.stop(unit, Duration::ZERO).await.is_err());
        assert!(bed.runtime.forget(unit, true).await.is_err());
    };
    unknown("does not listen").await;
    fs::write(&socket, "garbage").unwrap();
    unknown("does not listen").await;
    // Somebody answers, and is not a shim, or not this one's.
    for (answer, why) in [
        ("garbage\n".to_owned(), "does not speak like a shim"),
        (
            json!({ "workspace": unit.workspace, "boot": unit.workspace, "shim": 1, "shim_started": 1, "log_bytes_lost": 0 })
                .to_string()
                + "\n",
            "another unit",
        ),
    ] {
        fs::remove_file(&socket).unwrap();
        // Through the open directory: its path may be too long for a socket's.
        let directory = fs::File::open(&records).unwrap();
        let path = format!("/proc/self/fd/{}/unit.sock", directory.as_raw_fd());
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let serve = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                use tokio::io::AsyncWriteExt;
                let _ = stream.write_all(answer.as_bytes()).await;
                // Until the other side has had enough.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        });
        unknown(why).await;
        serve.abort();
    }
    fs::write(records.join("exit.json"), "{\"half").unwrap();
    unknown("").await;
    fs::remove_file(records.join("exit.json")).unwrap();
    fs::rename(&aside, &socket).unwrap();
    assert_eq!(bed.runtime.look(unit).await, Sight::Running);
    bed.runtime.stop(unit, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_command_line_a_record_or_the_shims_environment() {
    let home = Home::new();
    let bed = home.bed();
    let unit = unit();
    let value = format!("canary-{}", unit.boot);
    let mut launch = bed.script(unit, "echo $CANARY; cat $PORTCULLIS_SECRETS_DIR/FILE; echo; echo up; sleep 1000");
    launch.environment.variables = vec![("CANARY".to_owned(), secret(&value))];
    launch.environment.files = vec![("FILE".to_owned(), secret(&format!("{value}-file")))];
    launch.environment.token = Some(secret(&format!("{value}-token")));
    bed.runtime.start(launch).await.unwrap();
    bed.says(unit, "up").await;
    let holds = |bytes: &[u8]| bytes.windows(value.len()).any(|window| window == value.as_bytes());
    let mut looked_at = 0;
    for process in fs::read_dir("/proc").unwrap().map(Result::unwrap) {
        let Ok(line) = fs::read(process.path().join("cmdline")) else { continue };
        looked_at += 1;
        assert!(!holds(&line), "{:?}", process.path());
    }
    assert!(looked_at > 3);
    match fs::read(format!("/proc/{}/environ", shim(&bed, unit))) {
        Ok(environment) => assert!(environment.is_empty()),
        // Not even whoever started it may look into it; root may.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
    let mut files = 0;
    for file in fs::read_dir(bed.runtime.records(unit)).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            files += 1;
            assert!(!holds(&fs::read(file.path()).unwrap()), "{:?}", file.path());
        }
    }
    assert!(files >= 3);
    bed.runtime.stop(unit, LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_agents_have_users_they_cannot_touch_what_is_not_theirs() {
    let home = Home::new();
    let bed = home.bed();
    if !bed.runtime.capabilities().isolated {
        return;
    }
    let mine = home.0.join("server-key");
    fs::write(&mine, "key of the server").unwrap();
    fs::set_permissions(&mine, Permissions::from_mode(0o600)).unwrap();
    let other = bed.up("echo private >$HOME/private; echo up; sleep 1000").await;
    let others = home.0.join("a").join(other.workspace.to_string()).join("work/private");
    let unit = unit();
    let records = bed.runtime.records(unit);
    let script = format!(
        "id -u; id -G; for f in {} {} {}/unit.json; do cat $f && echo READ $f; done
        rm -rf {} && echo REMOVED; touch $PORTCULLIS_SECRETS_DIR/x && echo PLANTED
        kill -9 {} && echo KILLED; ulimit -c; true",
        mine.display(),
        others.display(),
        records.display(),
        records.display(),
        shim(&bed, other),
    );
    bed.runtime.start(bed.script(unit, &script)).await.unwrap();
    let exit = bed.ended(unit).await;
    let log = bed.log(unit).await;
    for bad in ["READ", "REMOVED", "PLANTED", "KILLED", "key of", "private\n"] {
        assert!(!log.contains(bad), "{bad}: {log}");
    }
    assert_eq!(exit.code, Some(0), "{log}");
    let user = order(&bed, unit)["user"].as_u64().unwrap().to_string();
    assert!(user.parse::<u64>().unwrap() >= 2_000_000);
    assert!(log.starts_with(&format!("{user}\n{user}\n")), "{log}");
    bed.runtime.stop(other, LONG).await.unwrap();
}
