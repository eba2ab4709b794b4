//! The container runtime on a real engine: the contract of the port, case by case.
#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

mod engine;

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use portcullis_kernel::{
    id::OrganisationId,
    runtime::Limits,
    secret::{Environment, SecretValue},
};
use portcullis_service::runtime::{
    Exit, ExitCause, Launch, LogPiece, LogRange, Places, Runtime, RuntimeFault, Sight, Unit,
    container::{ContainerRuntime, ContainerSettings, Network},
};
use serde_json::Value;

/// How long anything may take before the test is lost; nothing is timed with it.
const PATIENCE: Duration = Duration::from_secs(120);
/// A grace that no well-behaved agent uses up.
const GRACE: Duration = Duration::from_secs(60);
/// A grace that an agent without manners does.
const SHORT: Duration = Duration::from_millis(700);
/// For agents that run until they are stopped.
const FOREVER: &str = "echo ready; while :; do sleep 1; done";

fn id<T: std::str::FromStr<Err: std::fmt::Debug>>() -> T {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel makes ids");
    text.trim().parse().expect("an id")
}

fn secret(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned()).expect("a value")
}

fn files(of: &[(&str, &str)]) -> Environment {
    let files = of.iter().map(|(name, value)| ((*name).to_owned(), secret(value))).collect();
    Environment { variables: Vec::new(), files, token: None }
}

/// One installation: a runtime on the engine, with directories and an organisation of its own.
struct Bench {
    runtime: ContainerRuntime,
    settings: ContainerSettings,
    home: PathBuf,
}

impl Bench {
    /// `None` where there is no engine.
    fn new() -> Option<Self> {
        let socket = engine::socket()?;
        let home = std::env::temp_dir().join(format!("portcullis-container-{}", id::<OrganisationId>()));
        let places = Places {
            agents: home.join("agents"),
            secrets: home.join("secrets"),
            program: env!("CARGO_BIN_EXE_portcullis").into(),
        };
        let organisation = id();
        let settings = ContainerSettings { socket: socket.to_owned(), organisation, network: Network::Host, places };
        Some(Self { runtime: ContainerRuntime::new(settings.clone()), settings, home })
    }

    /// Another value over the same installation: what a control plane is after its restart.
    fn again(&self) -> ContainerRuntime {
        ContainerRuntime::new(self.settings.clone())
    }

    async fn start(&self, launch: Launch) -> Unit {
        let unit = launch.unit;
        self.runtime.start(launch).await.expect("it starts");
        unit
    }

    async fn run(&self, script: &str) -> Unit {
        self.start(launch(script)).await
    }

    /// Waits for the end.
    async fn ended(&self, unit: Unit) -> Exit {
        match self.runtime.wait(unit, PATIENCE).await {
            Sight::Exited(exit) => exit,
            other => panic!("{other:?}: {}", self.log(unit).await),
        }
    }

    async fn piece(&self, unit: Unit, after: Option<u64>, bytes_max: usize) -> LogPiece {
        self.runtime.logs(unit, LogRange { after, tail: 1000, bytes_max }).await.expect("a log")
    }

    async fn log(&self, unit: Unit) -> String {
        self.piece(unit, None, 1 << 20).await.text
    }

    /// Waits until a line is in the log.
    async fn said(&self, unit: Unit, line: &str) -> String {
        let start = Instant::now();
        loop {
            let log = self.log(unit).await;
            if log.lines().any(|one| one == line) {
                return log;
            }
            assert!(start.elapsed() < PATIENCE, "never said `{line}`: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn inspect(&self, unit: Unit) -> Value {
        engine::get(&self.settings.socket, &format!("/containers/portcullis-{}/json", unit.boot))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.home);
        engine::remove_labelled(
            &self.settings.socket,
            "portcullis.organisation",
            &self.settings.organisation.to_string(),
        );
        // Once more: they may have written meanwhile.
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

fn launch(script: &str) -> Launch {
    static SLOT: AtomicU32 = AtomicU32::new(1);
    let unit = Unit { workspace: id(), boot: id() };
    Launch {
        unit,
        command: vec!["/bin/sh".into(), "-c".into(), script.into()],
        image: Some(engine::IMAGE.into()),
        placement: Vec::new(),
        limits: Limits::default(),
        // Other test binaries use this engine too.
        slot: std::process::id() * 100 + SLOT.fetch_add(1, Ordering::Relaxed),
        settings: BTreeMap::from([
            ("WORKSPACE_ID".into(), unit.workspace.to_string()),
            ("PORTCULLIS_URL".into(), "http://127.0.0.1:1".into()),
        ]),
        environment: Environment { variables: Vec::new(), files: Vec::new(), token: Some(secret("the-token")) },
        context: r#"{"reason":"test"}"#.into(),
    }
}

/// Processes of a user on this machine.
fn processes_of(user: u32) -> usize {
    let line = format!("Uid:\t{user}\t");
    let statuses = std::fs::read_dir("/proc").expect("proc").flatten().map(|entry| entry.path().join("status"));
    statuses.filter_map(|path| std::fs::read_to_string(path).ok()).filter(|status| status.contains(&line)).count()
}

fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("proc")) == 0
}

#[tokio::test]
async fn an_agent_finds_what_is_documented_and_nothing_of_the_server() {
    let Some(bench) = Bench::new() else { return };
    let mut launch = launch(
        "env | cat; echo cwd=$(cat /proc/self/environ >/dev/null; pwd); echo token=$(cat $PORTCULLIS_TOKEN_FILE); \
         echo context=$(cat $PORTCULLIS_CONTEXT_FILE); echo file=$(cat $PORTCULLIS_SECRETS_DIR/FILE_KEY); \
         echo modes=$(stat -c %a $PORTCULLIS_TOKEN_FILE $PORTCULLIS_SECRETS_DIR/FILE_KEY); \
         touch $HOME/kept $TMPDIR/x $PORTCULLIS_RUN_DIR/x && echo writable; \
         touch $PORTCULLIS_SECRETS_DIR/x 2>/dev/null || echo secrets are not; \
         echo uid=$(id -u); grep -e CapEff -e NoNewPrivs /proc/self/status; echo done",
    );
    launch.environment.variables.push(("API_KEY".into(), secret("value with spaces")));
    launch.environment.files.push(("FILE_KEY".into(), secret("in a file")));
    let (workspace, boot, slot) = (launch.unit.workspace, launch.unit.boot, launch.slot);
    let unit = bench.start(launch).await;
    let log = bench.said(unit, "done").await;

    let names: BTreeSet<&str> = log
        .lines()
        .take_while(|line| !line.starts_with("cwd="))
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    let documented = [
        "API_KEY",
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
    // From the engine, the image and the shell.
    let others = ["FROM_IMAGE", "HOSTNAME", "PWD", "SHLVL", "TINI_KILL_PROCESS_GROUP"];
    assert_eq!(names, documented.into_iter().chain(others).collect());
    for line in [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        "API_KEY=[redacted:API_KEY]",
        "token=[redacted:PORTCULLIS_TOKEN]",
        r#"context={"reason":"test"}"#,
        "file=[redacted:FILE_KEY]",
        "modes=400 400",
        "writable",
        "secrets are not",
        "CapEff:\t0000000000000000",
        "NoNewPrivs:\t1",
        &format!("WORKSPACE_ID={workspace}"),
        &format!("PORTCULLIS_BOOT_ID={boot}"),
    ] {
        assert!(log.lines().any(|one| one == line), "no `{line}` in {log}");
    }
    let value = |name: &str| log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).expect("a value");
    assert_eq!(value("cwd"), value("HOME"));
    if is_root() {
        assert_eq!(value("uid"), (2_000_000 + slot).to_string());
    }
}

#[tokio::test]
async fn the_end_is_recorded_with_code_or_signal_and_the_first_look_is_not_needed_for_it() {
    let Some(bench) = Bench::new() else { return };
    let (coded, signalled) = (bench.run("exit 7").await, bench.run("kill -9 $$").await);
    assert_eq!(bench.ended(coded).await, Exit { code: Some(7), signal: None, cause: ExitCause::Itself });
    assert_eq!(bench.ended(signalled).await, Exit { code: None, signal: Some(9), cause: ExitCause::Itself });
    let again = bench.again();
    assert_eq!(again.look(coded).await, bench.runtime.look(coded).await);
}

#[tokio::test]
async fn an_agent_that_runs_is_waited_for_no_longer_than_asked() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench.run(FOREVER).await;
    assert_eq!(bench.runtime.wait(unit, SHORT).await, Sight::Running);
    assert_eq!(bench.runtime.wait(unit, Duration::ZERO).await, Sight::Running);
}

#[tokio::test]
async fn a_stop_reaches_the_whole_group_and_lets_the_agent_end_well() {
    let Some(bench) = Bench::new() else { return };
    // A shell runs its trap only when its child has ended: the child must get the signal too.
    let unit = bench.run("trap 'echo bye; exit 5' TERM; echo ready; sleep 100000; exit 1").await;
    bench.said(unit, "ready").await;
    let exit = bench.runtime.stop(unit, GRACE).await.expect("it stops");
    assert_eq!(exit, Exit { code: Some(5), signal: None, cause: ExitCause::Stopped });
    bench.said(unit, "bye").await;
    assert_eq!(bench.runtime.stop(unit, GRACE).await.expect("again"), exit, "stopping twice tells the same");
    let absent = Unit { workspace: id(), boot: id() };
    bench.runtime.stop(absent, GRACE).await.expect("what is gone is stopped");
    assert_eq!(bench.runtime.look(absent).await, Sight::Absent);
}

#[tokio::test]
async fn an_agent_that_ignores_the_signal_is_killed_after_the_grace() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench.run("trap '' TERM; echo ready; while :; do sleep 1; done").await;
    bench.said(unit, "ready").await;
    let exit = bench.runtime.stop(unit, SHORT).await.expect("it stops");
    assert_eq!(exit, Exit { code: None, signal: Some(9), cause: ExitCause::Killed });
    assert_eq!(bench.again().look(unit).await, Sight::Exited(exit), "the cause outlives the control plane");
}

#[tokio::test]
async fn nothing_is_left_of_an_agent_that_forks_daemons() {
    let Some(bench) = Bench::new() else { return };
    let launch = launch(
        "for i in 1 2 3; do setsid sh -c 'trap \"\" TERM HUP; (while :; do sleep 1; done) & sleep 100000' & done; \
         echo ready; while :; do sleep 1; done",
    );
    let user = 2_000_000 + launch.slot;
    let unit = bench.start(launch).await;
    bench.said(unit, "ready").await;
    if is_root() {
        assert!(processes_of(user) > 3, "the test sees the processes it looks for");
    }
    bench.runtime.stop(unit, SHORT).await.expect("it stops");
    assert_eq!(processes_of(user), 0);

    // One that ends by itself takes its daemons along.
    let mut orphans = self::launch("setsid sleep 100000 & exit 0");
    orphans.slot = user - 2_000_000;
    let unit = bench.start(orphans).await;
    assert_eq!(bench.ended(unit).await.code, Some(0));
    assert_eq!(processes_of(user), 0);
}

#[tokio::test]
async fn an_agent_may_close_its_pipes_and_live_on() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench.run("echo first; exec >&- 2>&- <&-; touch /work/alive; while :; do sleep 1; done").await;
    let alive = bench.home.join(format!("agents/{}/work/alive", unit.workspace));
    let start = Instant::now();
    while !alive.exists() {
        assert!(start.elapsed() < PATIENCE, "it ended with its pipes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.runtime.wait(unit, SHORT).await, Sight::Running);
    assert_eq!(bench.log(unit).await, "first\n");
}

#[tokio::test]
async fn a_flood_of_output_leaves_a_bounded_log_that_can_be_read_on() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench
        .run(
            "echo first; until [ -e /work/go ]; do sleep 0.1; done; \
             yes 0123456789012345678901234567890123456789 | head -c 100000000; echo; echo last",
        )
        .await;
    bench.said(unit, "first").await;
    let first = bench.piece(unit, Some(0), 1000).await;
    std::fs::write(bench.home.join(format!("agents/{}/work/go", unit.workspace)), "").expect("it goes on");
    assert!(first.text.starts_with("first\n") && !first.reset);
    assert_eq!(bench.ended(unit).await.code, Some(0));
    assert!(bench.log(unit).await.ends_with("\nlast\n"));

    let path = PathBuf::from(bench.inspect(unit)["LogPath"].as_str().expect("a path"));
    let kept = std::fs::read_dir(path.parent().expect("a directory")).expect("the engine's files are readable");
    let kept = kept.flatten().filter(|entry| entry.file_name().to_string_lossy().contains("json.log"));
    let kept: u64 = kept.map(|entry| entry.metadata().expect("a file").len()).sum();
    assert!((1..=9_000_000).contains(&kept), "{kept} bytes on disk");

    let mut piece = bench.piece(unit, Some(first.position), 1 << 20).await;
    assert!(piece.reset, "what followed the first line was rotated away");
    let mut bytes = 0;
    while !piece.text.is_empty() {
        assert!(piece.text.len() <= 1 << 20 && piece.text.ends_with('\n'));
        bytes += piece.text.len();
        piece = bench.piece(unit, Some(piece.position), 1 << 20).await;
        assert!(!piece.reset);
    }
    assert!((100_000..9_000_000).contains(&bytes), "{bytes} bytes read");
}

#[tokio::test]
async fn a_log_is_read_on_line_by_line_from_both_streams() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench
        .run("echo out; sleep 1; echo err >&2; sleep 1; yes é | head -c 50000 | tr -d '\\n'; echo; echo end")
        .await;
    bench.ended(unit).await;
    let (mut text, mut position) = (String::new(), 0);
    loop {
        let piece = bench.piece(unit, Some(position), 60_000).await;
        assert!(!piece.reset);
        if piece.text.is_empty() {
            assert_eq!(piece.position, position);
            break;
        }
        text += &piece.text;
        position = piece.position;
    }
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "a long line stays one line");
    assert_eq!((lines[0], lines[1], lines[3]), ("out", "err", "end"));
    assert!(lines[2].chars().all(|c| c == 'é') && lines[2].len() > 30_000);
    let tail = bench.runtime.logs(unit, LogRange { after: None, tail: 1, bytes_max: 100 }).await.expect("a log");
    assert_eq!((tail.text.as_str(), tail.position), ("end\n", position));
}

#[tokio::test]
async fn a_program_or_an_image_that_is_not_there_is_told_in_words() {
    let Some(bench) = Bench::new() else { return };
    let mut missing = launch("");
    missing.command = vec!["/no/such/program".into(), "argument".into()];
    let unit = bench.start(missing).await;
    let Exit { code: None, signal: None, cause: ExitCause::StartFailed { why, for_good: true } } =
        bench.ended(unit).await
    else {
        panic!("not a failed start")
    };
    assert!(why.contains("/no/such/program") && why.contains("is not there"), "{why}");

    let mut data = launch("");
    data.command = vec!["/not-a-program".into()];
    let unit = bench.start(data).await;
    let ExitCause::StartFailed { why, for_good: true } = bench.ended(unit).await.cause else {
        panic!("not a failed start")
    };
    assert!(why.contains("may not be executed"), "{why}");

    // A program that ends with the same number by itself did run.
    let unit = bench.run("echo words >&2; no-such-command; exit 127").await;
    assert_eq!(bench.ended(unit).await, Exit { code: Some(127), signal: None, cause: ExitCause::Itself });

    let mut no_image = launch(FOREVER);
    no_image.image = Some("no-such-image:9".into());
    let unit = no_image.unit;
    match bench.runtime.start(no_image).await {
        Err(RuntimeFault::Permanent(why)) => assert!(why.contains("no-such-image:9"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.runtime.look(unit).await, Sight::Absent);
    assert!(!bench.home.join(format!("secrets/{}", unit.boot)).exists(), "a failed start leaves no secret");
}

#[tokio::test]
async fn a_start_that_the_engine_refuses_leaves_nothing() {
    let Some(bench) = Bench::new() else { return };
    let mut tiny = launch(FOREVER);
    tiny.limits.memory_mb = Some(1);
    let unit = tiny.unit;
    match bench.runtime.start(tiny).await {
        Err(RuntimeFault::Permanent(why)) => assert!(why.to_lowercase().contains("memory"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.runtime.look(unit).await, Sight::Absent);
    assert!(!bench.home.join(format!("secrets/{}", unit.boot)).exists());
}

#[tokio::test]
async fn a_container_that_was_only_created_is_absent_and_leaves_nothing_behind() {
    let Some(bench) = Bench::new() else { return };
    // What a control plane leaves that ends between "create" and "start".
    let leave = || {
        let left = launch("echo ran");
        let Unit { workspace, boot } = left.unit;
        let organisation = bench.settings.organisation;
        let labels = serde_json::json!({"portcullis.organisation": organisation.to_string(),
            "portcullis.workspace": workspace.to_string(), "portcullis.boot": boot.to_string()});
        let body = serde_json::json!({"Image": engine::IMAGE, "Entrypoint": ["/bin/true"], "Labels": labels});
        let secrets = bench.home.join(format!("secrets/{boot}"));
        std::fs::create_dir_all(secrets.join("files")).expect("a directory");
        let path = format!("/containers/create?name=portcullis-{boot}");
        let (status, answer) = engine::call(&bench.settings.socket, "POST", &path, body.to_string().as_bytes());
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&answer));
        (left, secrets)
    };
    for end in ["stop", "forget", "start"] {
        let (left, secrets) = leave();
        let unit = left.unit;
        assert_eq!(bench.runtime.look(unit).await, Sight::Absent, "{end}");
        assert_eq!(bench.runtime.wait(unit, SHORT).await, Sight::Absent, "{end}");
        assert_eq!(bench.runtime.units().await.expect("units"), [unit], "it is listed, so that it is swept");
        match end {
            "stop" => assert_eq!(bench.runtime.stop(unit, GRACE).await.expect("it is gone").cause, ExitCause::Lost),
            "forget" => bench.runtime.forget(unit, false).await.expect("it is gone"),
            _ => {
                bench.start(left).await;
                assert_eq!(bench.ended(unit).await.code, Some(0));
                assert_eq!(bench.log(unit).await, "ran\n");
                bench.runtime.forget(unit, false).await.expect("it is gone");
            }
        }
        assert_eq!(bench.runtime.units().await.expect("units"), [], "{end}");
        assert!(!secrets.exists(), "{end}");
    }
}

#[tokio::test]
async fn a_boot_never_runs_twice() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench.run("cat $PORTCULLIS_TOKEN_FILE; echo; while :; do sleep 1; done").await;
    bench.said(unit, "[redacted:PORTCULLIS_TOKEN]").await;
    for runtime in [&bench.runtime, &bench.again()] {
        let mut twice = launch("echo twice");
        twice.unit = unit;
        assert!(matches!(runtime.start(twice).await, Err(RuntimeFault::Permanent(_))));
    }
    assert_eq!(bench.runtime.look(unit).await, Sight::Running);
    let token = bench.home.join(format!("secrets/{}/token", unit.boot));
    assert_eq!(std::fs::read_to_string(token).expect("still there"), "the-token");
    bench.runtime.stop(unit, SHORT).await.expect("it stops");
    let mut after = launch("echo after");
    after.unit = unit;
    assert!(bench.runtime.start(after).await.is_err(), "also when it has ended");

    // Two at once: one of them.
    let unit = Unit { workspace: id(), boot: id() };
    let (mut one, mut other) = (launch(FOREVER), launch(FOREVER));
    (one.unit, other.unit) = (unit, unit);
    let (one, other) = tokio::join!(bench.runtime.start(one), bench.runtime.start(other));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(bench.runtime.look(unit).await, Sight::Running);
}

#[tokio::test]
async fn agents_are_found_again_after_a_restart_of_the_control_plane() {
    let Some(bench) = Bench::new() else { return };
    let (running, ended) = (bench.run(FOREVER).await, bench.run("exit 3").await);
    bench.ended(ended).await;
    let again = bench.again();
    let mut units = again.units().await.expect("a list");
    units.sort_unstable();
    let mut expected = vec![running, ended];
    expected.sort_unstable();
    assert_eq!(units, expected);
    assert_eq!(again.look(running).await, Sight::Running);
    assert!(matches!(again.look(ended).await, Sight::Exited(Exit { code: Some(3), .. })));
    let exit = again.stop(running, GRACE).await.expect("it stops");
    assert_eq!(bench.runtime.look(running).await, Sight::Exited(exit));
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_not_an_agent_that_is_down() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench.run(FOREVER).await;
    let nowhere = bench.home.join("nowhere");
    let deaf = bench.home.join("deaf");
    // Bound and closed again: the file is there and nobody listens.
    drop(UnixListener::bind(&deaf).expect("a socket"));
    let ill = bench.home.join("ill");
    let listener = UnixListener::bind(&ill).expect("a socket");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut head);
            let _ = std::io::Write::write_all(
                &mut stream,
                b"HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    for socket in [nowhere, deaf, ill] {
        let runtime = ContainerRuntime::new(ContainerSettings { socket: socket.clone(), ..bench.settings.clone() });
        assert!(matches!(runtime.look(unit).await, Sight::Unknown(_)), "{socket:?}");
        assert!(matches!(runtime.wait(unit, SHORT).await, Sight::Unknown(_)), "{socket:?}");
        // Where there is no socket there is no engine, and nothing to list.
        let units = runtime.units().await;
        assert!(
            if socket.exists() { matches!(units, Err(RuntimeFault::Transient(_))) } else { units == Ok(Vec::new()) },
            "{socket:?}: {units:?}"
        );
        assert!(matches!(runtime.stop(unit, SHORT).await, Err(RuntimeFault::Transient(_))), "{socket:?}");
        assert!(matches!(runtime.start(launch(FOREVER)).await, Err(RuntimeFault::Transient(_))), "{socket:?}");
    }
    assert_eq!(bench.runtime.look(unit).await, Sight::Running);
}

#[tokio::test]
async fn an_engine_that_comes_up_later_is_used_then() {
    let Some(bench) = Bench::new() else { return };
    std::fs::create_dir_all(&bench.home).expect("a directory");
    let socket = bench.home.join("later");
    let runtime = ContainerRuntime::new(ContainerSettings { socket: socket.clone(), ..bench.settings.clone() });
    let unit = bench.run(FOREVER).await;
    assert_eq!(runtime.units().await, Ok(Vec::new()));
    assert!(matches!(runtime.look(unit).await, Sight::Unknown(_)));
    std::os::unix::fs::symlink(&bench.settings.socket, &socket).expect("a link");
    assert_eq!(runtime.units().await, Ok(vec![unit]));
}

#[tokio::test]
async fn no_secret_is_in_a_name_a_label_or_a_command_line() {
    let Some(bench) = Bench::new() else { return };
    let mut launch = launch(FOREVER);
    launch.environment = Environment {
        variables: vec![("VARIABLE".into(), secret("sesame-variable"))],
        files: vec![("FILE".into(), secret("sesame-file"))],
        token: Some(secret("sesame-token")),
    };
    let unit = bench.start(launch).await;
    let mut seen = bench.inspect(unit);
    let env = seen["Config"]["Env"].take();
    assert!(env.to_string().contains("VARIABLE=sesame-variable"), "the place where variables are: {env}");
    assert!(!env.to_string().contains("sesame-file") && !env.to_string().contains("sesame-token"));
    assert!(!seen.to_string().contains("sesame"), "{seen}");
    let labels = seen["Config"]["Labels"].as_object().expect("labels");
    let ours: Vec<&str> = labels.keys().map(String::as_str).collect();
    assert_eq!(ours, ["portcullis.boot", "portcullis.organisation", "portcullis.workspace"]);
    for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains("sesame-"), "{:?}", entry.path());
    }
}

#[tokio::test]
async fn secret_files_are_replaced_while_the_agent_runs() {
    let Some(bench) = Bench::new() else { return };
    let mut launch = launch(
        "cd $PORTCULLIS_SECRETS_DIR; while :; do echo \"[$(cat KEPT 2>/dev/null)] [$(cat GONE 2>/dev/null)]\"; \
         sleep 1; done",
    );
    launch.environment.files = files(&[("KEPT", "old"), ("GONE", "here")]).files;
    let unit = bench.start(launch).await;
    bench.said(unit, "[old] [here]").await;
    bench.runtime.put_files(unit, files(&[("KEPT", "new")])).await.expect("replaced");
    let entries = std::fs::read_dir(bench.home.join(format!("secrets/{}/files", unit.boot))).expect("its files");
    let names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names, ["KEPT"], "no unfinished file is left");
    bench.said(unit, "[new] []").await;
    let directory = bench.home.join(format!("secrets/{}", unit.boot));
    assert_eq!(std::fs::read_to_string(directory.join("token")).expect("kept"), "the-token");
    for wrong in ["../token", ".hidden", ""] {
        let fault = bench.runtime.put_files(unit, files(&[("KEPT", "new"), (wrong, "x")])).await;
        assert!(matches!(fault, Err(RuntimeFault::Permanent(_))), "{wrong}");
    }
    assert_eq!(std::fs::read_to_string(directory.join("token")).expect("kept"), "the-token");
}

#[tokio::test]
async fn an_agent_that_eats_its_memory_ends_for_that_reason() {
    let Some(bench) = Bench::new() else { return };
    bench.runtime.units().await.expect("the engine was asked");
    let mut launch = launch("x=$(yes | head -c 200000000); echo survived");
    launch.limits.memory_mb = Some(24);
    let unit = bench.start(launch).await;
    let expected = if bench.runtime.capabilities().unit_limits {
        Exit { code: None, signal: Some(9), cause: ExitCause::OutOfMemory }
    } else {
        // A kernel without the controller: nothing limits it, and the runtime says so beforehand.
        Exit { code: Some(0), signal: None, cause: ExitCause::Itself }
    };
    assert_eq!(bench.ended(unit).await, expected);
}

#[tokio::test]
async fn processes_and_open_files_are_limited() {
    let Some(bench) = Bench::new() else { return };
    bench.runtime.units().await.expect("the engine was asked");
    let mut launch =
        launch("ulimit -n; i=0; while [ $i -lt 60 ]; do sleep 100000 & i=$((i+1)); done; echo all of them");
    launch.limits.processes = Some(20);
    launch.limits.open_files = Some(64);
    let unit = bench.start(launch).await;
    bench.said(unit, "64").await;
    if bench.runtime.capabilities().unit_limits {
        bench.ended(unit).await;
        assert!(!bench.log(unit).await.contains("all of them"));
    }
}

#[tokio::test]
async fn two_organisations_on_one_engine_do_not_see_each_other() {
    let (Some(ours), Some(theirs)) = (Bench::new(), Bench::new()) else { return };
    let unit = theirs.run(FOREVER).await;
    assert_eq!(ours.runtime.units().await.expect("a list"), []);
    assert_eq!(ours.runtime.look(unit).await, Sight::Absent);
    ours.runtime.stop(unit, SHORT).await.expect("nothing to stop");
    ours.runtime.forget(unit, true).await.expect("nothing to forget");
    assert!(ours.runtime.logs(unit, LogRange { after: None, tail: 1, bytes_max: 10 }).await.is_err());
    let mut same = launch(FOREVER);
    same.unit = unit;
    assert!(ours.runtime.start(same).await.is_err());
    assert_eq!(theirs.runtime.look(unit).await, Sight::Running);
    assert_eq!(theirs.runtime.units().await.expect("a list"), [unit]);
}

#[tokio::test]
async fn forgetting_leaves_nothing_but_the_work_until_that_is_forgotten_too() {
    let Some(bench) = Bench::new() else { return };
    let running = bench.run(FOREVER).await;
    assert!(matches!(bench.runtime.forget(running, true).await, Err(RuntimeFault::Permanent(_))));
    assert_eq!(bench.runtime.look(running).await, Sight::Running);
    bench.runtime.stop(running, SHORT).await.expect("it stops");
    bench.runtime.forget(running, true).await.expect("forgotten");

    let unit = bench.run("touch /work/kept").await;
    bench.ended(unit).await;
    bench.runtime.forget(unit, false).await.expect("forgotten");
    assert_eq!(bench.runtime.look(unit).await, Sight::Absent);
    assert_eq!(bench.runtime.units().await.expect("a list"), []);
    let names = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).expect("a directory").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names(&bench.home.join("secrets")), [""; 0]);
    let workspace = bench.home.join(format!("agents/{}", unit.workspace));
    assert_eq!(names(&workspace.join("containers")), [""; 0]);

    // The next run of the workspace finds its work.
    let mut next = launch("ls /work");
    next.unit.workspace = unit.workspace;
    let next = bench.start(next).await;
    bench.said(next, "kept").await;
    bench.ended(next).await;
    for _ in 0..2 {
        bench.runtime.forget(next, true).await.expect("forgotten, also twice");
    }
    assert!(!workspace.exists());
}

#[tokio::test]
async fn a_container_that_somebody_froze_is_not_down_and_can_be_stopped() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench.run(FOREVER).await;
    let path = format!("/containers/portcullis-{}/pause", unit.boot);
    assert_eq!(engine::call(&bench.settings.socket, "POST", &path, b"").0, 204);
    assert_eq!(bench.runtime.look(unit).await, Sight::Running);
    bench.runtime.stop(unit, GRACE).await.expect("it stops");
    assert!(matches!(bench.runtime.look(unit).await, Sight::Exited(_)));
}

#[tokio::test]
async fn a_container_that_somebody_removed_is_absent() {
    let Some(bench) = Bench::new() else { return };
    let unit = bench.run(FOREVER).await;
    let path = format!("/containers/portcullis-{}?force=1", unit.boot);
    assert_eq!(engine::call(&bench.settings.socket, "DELETE", &path, b"").0, 204);
    assert_eq!(bench.runtime.wait(unit, PATIENCE).await, Sight::Absent);
    bench.runtime.forget(unit, true).await.expect("what is left is forgotten");
}

#[tokio::test]
async fn the_built_in_agent_is_this_program_brought_along() {
    let Some(bench) = Bench::new() else { return };
    let mut launch = launch("");
    launch.command = vec!["portcullis".into(), "--version".into()];
    let unit = bench.start(launch).await;
    let exit = bench.ended(unit).await;
    let log = bench.log(unit).await;
    assert_eq!(exit.code, Some(0), "{log}");
    assert!(log.contains(env!("CARGO_PKG_VERSION")), "{log}");
}
