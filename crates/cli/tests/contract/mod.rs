//! What every runtime must do, as pieces that run against any of them. Agents are shell scripts.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    time::Duration,
};

use portcullis_kernel::{
    id::{BootId, WorkspaceId},
    runtime::Limits,
    secret::{Environment, SecretValue},
};
use portcullis_service::runtime::{Exit, ExitCause, Launch, LogRange, Runtime, RuntimeFault, Sight, Unit};

/// Calls a macro with the names of all pieces, so that no runtime is spared one.
macro_rules! each_piece {
    ($pieces:ident) => {
        $pieces! {
            the_end_is_recorded_as_code_or_signal
            the_environment_is_built_from_nothing
            it_finds_its_files_and_its_place
            a_stop_asks_first_and_kills_after_the_grace
            nothing_is_left_of_forks_and_daemons
            an_agent_without_pipes_lives_on
            a_missing_program_is_a_failed_start
            a_boot_never_runs_twice
            printed_values_do_not_reach_the_log
            files_are_replaced_while_it_runs
            the_log_is_read_in_pieces
            what_is_forgotten_is_absent
            an_agent_that_eats_memory_ends
        }
    };
}

/// How long anything may take before the test is lost; nothing is timed with it.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
pub const PAUSE: Duration = Duration::from_millis(20);
/// A grace that no test waits for.
pub const LONG: Duration = Duration::from_secs(60);

/// A runtime and what its agents need beside a script.
pub struct Bed<R> {
    pub runtime: R,
    /// The image; containers and the swarm only. It has `/bin/sh` and the usual small tools.
    pub image: Option<String>,
    /// Variables that the runtime's own engine adds.
    pub extra_variables: BTreeSet<String>,
}

/// Random bytes as an id.
fn random_id() -> String {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{}-{}-7{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

/// A name nobody has.
pub fn unit() -> Unit {
    Unit { workspace: random_id().parse::<WorkspaceId>().unwrap(), boot: random_id().parse::<BootId>().unwrap() }
}

/// A number that occurs in no other command line of this machine.
pub fn rare_seconds() -> String {
    let digits = random_id().chars().filter(char::is_ascii_digit).take(6).collect::<String>();
    format!("7{digits:0<6}")
}

pub fn secret(text: &str) -> SecretValue {
    SecretValue::new(text.to_owned()).unwrap()
}

pub fn no_secrets() -> Environment {
    Environment { variables: Vec::new(), files: Vec::new(), token: Some(secret("the-token-of-this-boot")) }
}

impl<R: Runtime> Bed<R> {
    /// A unit that runs this script.
    pub fn script(&self, unit: Unit, script: &str) -> Launch {
        self.launch(unit, &["/bin/sh", "-c", script])
    }

    /// A unit that runs this command.
    pub fn launch(&self, unit: Unit, command: &[&str]) -> Launch {
        let settings = [("PORTCULLIS_URL", "http://127.0.0.1:9"), ("WORKSPACE_ID", &unit.workspace.to_string())];
        Launch {
            unit,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            image: self.image.clone(),
            placement: Vec::new(),
            limits: Limits::default(),
            slot: u32::from_str_radix(&unit.workspace.to_string()[..6], 16).unwrap(),
            settings: settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            environment: no_secrets(),
            context: "{\"reason\":\"test\"}".to_owned(),
        }
    }

    /// Starts a script.
    pub async fn run(&self, script: &str) -> Unit {
        let unit = unit();
        self.runtime.start(self.script(unit, script)).await.unwrap();
        unit
    }

    /// Waits for the end.
    pub async fn ended(&self, unit: Unit) -> Exit {
        match self.runtime.wait(unit, PATIENCE).await {
            Sight::Exited(exit) => exit,
            other => panic!("{other:?}; log: {}", self.log(unit).await),
        }
    }

    /// The log so far.
    pub async fn log(&self, unit: Unit) -> String {
        let range = LogRange { after: None, tail: 10_000, bytes_max: 1 << 20 };
        self.runtime.logs(unit, range).await.unwrap().text
    }

    /// Waits until the log holds a text.
    pub async fn says(&self, unit: Unit, text: &str) -> String {
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            let log = self.log(unit).await;
            if log.contains(text) {
                return log;
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("`{text}` never appeared: {} ({:?})", self.log(unit).await, self.runtime.look(unit).await);
    }

    /// Starts a script that says "up", and waits for it.
    pub async fn up(&self, script: &str) -> Unit {
        let unit = self.run(script).await;
        self.says(unit, "up").await;
        unit
    }
}

/// How many processes of this machine have a word in their command line.
pub fn processes_with(word: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|entry| {
            let is_word = |part: &[u8]| part.strip_suffix(b"\0").unwrap_or(part) == word.as_bytes();
            fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.split_inclusive(|b| *b == 0).any(is_word))
        })
        .count()
}

pub async fn the_end_is_recorded_as_code_or_signal<R: Runtime>(bed: &Bed<R>) {
    let unit = bed.run("exit 7").await;
    assert_eq!(bed.ended(unit).await, Exit { code: Some(7), signal: None, cause: ExitCause::Itself });
    // Asked again, also by a stop that comes too late.
    assert_eq!(bed.runtime.stop(unit, LONG).await.unwrap().code, Some(7));
    let unit = bed.up("echo up; sleep 1; kill -9 $$").await;
    let exit = bed.ended(unit).await;
    // An engine may report a signal as 128 and its number.
    assert!(exit.signal == Some(9) || exit.code == Some(137), "{exit:?}");
    assert_eq!(exit.cause, ExitCause::Itself);
}

pub async fn the_environment_is_built_from_nothing<R: Runtime>(bed: &Bed<R>) {
    let unit = unit();
    let mut launch = bed.launch(unit, &["env"]);
    launch.environment.variables =
        vec![("API_KEY".to_owned(), secret("pi")), ("HOME".to_owned(), secret("/nowhere-to-be-seen"))];
    bed.runtime.start(launch).await.unwrap();
    assert_eq!(bed.ended(unit).await.code, Some(0), "{}", bed.log(unit).await);
    let log = bed.log(unit).await;
    let seen = log.lines().filter_map(|line| line.split_once('=')).collect::<BTreeMap<_, _>>();
    let mut wanted = BTreeSet::from_iter(
        [
            "PATH",
            "HOME",
            "TMPDIR",
            "LANG",
            "WORKSPACE_ID",
            "PORTCULLIS_URL",
            "PORTCULLIS_BOOT_ID",
            "PORTCULLIS_TOKEN_FILE",
            "PORTCULLIS_CONTEXT_FILE",
            "PORTCULLIS_SECRETS_DIR",
            "PORTCULLIS_RUN_DIR",
            "API_KEY",
        ]
        .map(str::to_owned),
    );
    wanted.extend(bed.extra_variables.iter().cloned());
    assert_eq!(seen.keys().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), wanted);
    assert_eq!(seen["API_KEY"], "pi");
    assert_eq!(seen["WORKSPACE_ID"], unit.workspace.to_string());
    assert_eq!(seen["PORTCULLIS_BOOT_ID"], unit.boot.to_string());
    assert_ne!(seen["HOME"], "/nowhere-to-be-seen");
    assert_eq!(seen["PATH"], "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
}

pub async fn it_finds_its_files_and_its_place<R: Runtime>(bed: &Bed<R>) {
    let script = "cat $PORTCULLIS_CONTEXT_FILE; echo; wc -c <$PORTCULLIS_TOKEN_FILE; [ $PWD = $HOME ] && echo home
        echo kept >>$HOME/kept; wc -l <kept; echo x >$TMPDIR/x && echo x >$PORTCULLIS_RUN_DIR/x && echo writable
        cat $PORTCULLIS_TOKEN_FILE; read -r x || echo no input
        for n in 0 1 2 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/self/fd/$n ] && echo open:$n; done; true";
    let first = bed.run(script).await;
    assert_eq!(bed.ended(first).await.code, Some(0));
    let log = bed.log(first).await;
    for text in ["{\"reason\":\"test\"}\n", "22\n", "home\n", "1\n", "writable\n", "no input\n"] {
        assert!(log.contains(text), "{text}: {log}");
    }
    assert!(log.contains("[redacted:PORTCULLIS_TOKEN]") && !log.contains("the-token-of"), "{log}");
    let open = log.lines().filter(|line| line.starts_with("open:")).collect::<Vec<_>>();
    assert_eq!(open, ["open:0", "open:1", "open:2"], "{log}");
    // The same workspace again: its directory has stayed.
    let second = Unit { boot: unit().boot, ..first };
    bed.runtime.start(bed.script(second, "wc -l <kept")).await.unwrap();
    assert_eq!(bed.ended(second).await.code, Some(0));
    assert_eq!(bed.log(second).await.trim(), "1");
}

pub async fn a_stop_asks_first_and_kills_after_the_grace<R: Runtime>(bed: &Bed<R>) {
    let unit = bed.up("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done").await;
    let exit = bed.runtime.stop(unit, LONG).await.unwrap();
    assert_eq!((exit.code, exit.cause), (Some(3), ExitCause::Stopped));
    assert!(bed.log(unit).await.contains("bye"));
    let unit = bed.up("trap '' TERM; echo up; while :; do sleep 0.05; done").await;
    let exit = bed.runtime.stop(unit, Duration::from_millis(300)).await.unwrap();
    assert_eq!(exit.cause, ExitCause::Killed);
    assert!(exit.signal == Some(9) || exit.code == Some(137), "{exit:?}");
    assert!(matches!(bed.runtime.look(unit).await, Sight::Exited(seen) if seen == exit));
}

pub async fn nothing_is_left_of_forks_and_daemons<R: Runtime>(bed: &Bed<R>) {
    let seconds = rare_seconds();
    let daemons = format!(
        "trap '' TERM HUP; sleep {seconds} & (setsid sleep {seconds} &) ; setsid sh -c 'sleep {seconds} & sleep {seconds}' &
        (env -i setsid /bin/sh -c 'trap \"\" TERM; sleep {seconds} & sleep {seconds}' & )
        sleep 0.5; echo up;"
    );
    let unit = bed.up(&format!("{daemons} while :; do sleep 0.05; done")).await;
    // They begin beside the script.
    let begun = std::time::Instant::now();
    while processes_with(&seconds) < 5 {
        assert!(begun.elapsed() < PATIENCE, "{} processes", processes_with(&seconds));
        tokio::time::sleep(PAUSE).await;
    }
    bed.runtime.stop(unit, Duration::from_millis(200)).await.unwrap();
    assert_eq!(processes_with(&seconds), 0);
    // The same if the first process ends by itself.
    let unit = bed.run(&format!("{daemons} exit 5")).await;
    let exit = bed.ended(unit).await;
    assert_eq!((exit.code, exit.cause), (Some(5), ExitCause::Itself));
    assert_eq!(processes_with(&seconds), 0);
}

pub async fn an_agent_without_pipes_lives_on<R: Runtime>(bed: &Bed<R>) {
    let unit = bed.up("echo up; exec >/dev/null 2>&1; touch $HOME/closed; while :; do sleep 0.05; done").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bed.runtime.look(unit).await, Sight::Running);
    assert_eq!(bed.runtime.wait(unit, Duration::from_millis(300)).await, Sight::Running);
    assert_eq!(bed.runtime.stop(unit, LONG).await.unwrap().cause, ExitCause::Stopped);
}

pub async fn a_missing_program_is_a_failed_start<R: Runtime>(bed: &Bed<R>) {
    let unit = unit();
    // A runtime may say so at once or at the first look.
    if let Err(fault) = bed.runtime.start(bed.launch(unit, &["/nowhere/agent"])).await {
        assert!(matches!(fault, RuntimeFault::Permanent(_)), "{fault:?}");
        return;
    }
    let exit = bed.ended(unit).await;
    assert!(
        matches!(&exit.cause, ExitCause::StartFailed { why, for_good: true } if why.contains("/nowhere/agent")),
        "{exit:?}"
    );
    assert_eq!(exit.code, None);
}

pub async fn a_boot_never_runs_twice<R: Runtime>(bed: &Bed<R>) {
    let unit = bed.up("echo up; sleep 1000").await;
    assert!(bed.runtime.start(bed.script(unit, "echo twice")).await.is_err());
    assert_eq!(bed.runtime.look(unit).await, Sight::Running);
    bed.runtime.stop(unit, LONG).await.unwrap();
    assert!(bed.runtime.start(bed.script(unit, "echo twice")).await.is_err());
    assert!(!bed.log(unit).await.contains("twice"));
}

pub async fn printed_values_do_not_reach_the_log<R: Runtime>(bed: &Bed<R>) {
    let unit = unit();
    // Base64 of the value is `czNjcmV0LXZhbHVlLW9mLWtleQ==`. The last print ends in the middle of a line and a value.
    let script = "echo \"v=$KEY;\"; echo czNjcmV0LXZhbHVlLW9mLWtleQ==; echo \"$FILE_KEY_COPY\"
        printf s3cret-va; sleep 0.4; printf 'lue-of-key\\n'; printf s3cret-; printf 'value-of-key'";
    let mut launch = bed.script(unit, script);
    launch.environment.variables = vec![("KEY".to_owned(), secret("s3cret-value-of-key"))];
    bed.runtime.start(launch).await.unwrap();
    bed.ended(unit).await;
    let log = bed.log(unit).await;
    assert!(!log.contains("s3cret") && !log.contains("czNj"), "{log}");
    assert_eq!(log.matches("[redacted:KEY]").count(), 4, "{log}");
    assert!(log.starts_with("v=[redacted:KEY];\n"), "{log}");
}

pub async fn files_are_replaced_while_it_runs<R: Runtime>(bed: &Bed<R>) {
    let unit = unit();
    let script = "cd $PORTCULLIS_SECRETS_DIR; echo first $(ls) $(wc -c <A); echo up
        until [ -e C ]; do sleep 0.05; done; echo then $(ls) $(wc -c <A); cat A";
    let mut launch = bed.script(unit, script);
    launch.environment.files = vec![("A".to_owned(), secret("old-a-value")), ("B".to_owned(), secret("b-value"))];
    bed.runtime.start(launch).await.unwrap();
    let log = bed.says(unit, "up").await;
    assert!(log.contains("first A B 11\n"), "{log}");
    if !bed.runtime.capabilities().live_files {
        // It says so beforehand and afterwards, and leaves what there is as it is.
        let put = bed.runtime.put_files(unit, no_secrets()).await;
        assert!(matches!(put, Err(RuntimeFault::Permanent(_))), "{put:?}");
        assert!(!bed.runtime.kind().replaces_files());
        bed.runtime.stop(unit, LONG).await.unwrap();
        return;
    }
    let files = vec![("A".to_owned(), secret("a-new-value-of-a")), ("C".to_owned(), secret("c-value"))];
    bed.runtime.put_files(unit, Environment { variables: Vec::new(), files, token: None }).await.unwrap();
    bed.ended(unit).await;
    let log = bed.log(unit).await;
    // Whether B was already gone when C came is not promised, only that each file is whole.
    assert!(log.contains("then A C 16\n") || log.contains("then A B C 16\n"), "{log}");
    assert!(log.contains("[redacted:A]") && !log.contains("a-new-value"), "{log}");
}

pub async fn the_log_is_read_in_pieces<R: Runtime>(bed: &Bed<R>) {
    let unit = bed.run("i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done").await;
    bed.ended(unit).await;
    let read =
        async |after, tail, bytes_max| bed.runtime.logs(unit, LogRange { after, tail, bytes_max }).await.unwrap();
    let last = read(None, 2, 1 << 16).await;
    assert_eq!(last.text, "line 98\nline 99\n");
    assert_eq!(read(Some(last.position), 2, 1 << 16).await.text, "");
    let mut all = String::new();
    let mut position = 0;
    loop {
        let piece = read(Some(position), 0, 64).await;
        assert!(!piece.reset && (piece.text.is_empty() || piece.text.ends_with('\n')), "{piece:?}");
        if piece.text.is_empty() {
            break;
        }
        position = piece.position;
        all += &piece.text;
    }
    assert_eq!(all.lines().count(), 100);
    assert!(read(Some(u64::MAX >> 1), 0, 64).await.reset);
}

pub async fn what_is_forgotten_is_absent<R: Runtime>(bed: &Bed<R>) {
    let unit = bed.up("echo up; sleep 1000").await;
    assert!(bed.runtime.units().await.unwrap().contains(&unit));
    assert!(bed.runtime.forget(unit, true).await.is_err(), "it runs");
    bed.runtime.stop(unit, LONG).await.unwrap();
    assert!(bed.runtime.units().await.unwrap().contains(&unit));
    bed.runtime.forget(unit, true).await.unwrap();
    assert!(!bed.runtime.units().await.unwrap().contains(&unit));
    assert_eq!(bed.runtime.look(unit).await, Sight::Absent);
    assert!(bed.runtime.stop(unit, LONG).await.is_ok());
    bed.runtime.forget(unit, true).await.unwrap();
}

pub async fn an_agent_that_eats_memory_ends<R: Runtime>(bed: &Bed<R>) {
    let unit = unit();
    let mut launch = bed.script(unit, "x=0123456789abcdef; while :; do x=$x$x; done");
    launch.limits.memory_mb = Some(64);
    bed.runtime.start(launch).await.unwrap();
    let exit = bed.ended(unit).await;
    assert!(matches!(exit.cause, ExitCause::Itself | ExitCause::OutOfMemory), "{exit:?}");
    assert_ne!(exit.code, Some(0), "{exit:?}");
}
