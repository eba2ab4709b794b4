//! Agents as processes of this machine.
//!
//! Each unit has a small process of its own, the shim (`portcullis unit`), which owns the agent, its output and a socket.
//! It does not depend on the server that started it: the next server finds it by its directory and knows it by the boot
//! and workspace it answers with, never by a process number.
//!
//! What is known of a unit without its shim's word rests on two files: the record of its end, which is written when
//! nothing of it runs any more, and a lock that is held exactly as long as the shim lives.

mod cgroup;
mod client;
mod log;
mod place;
mod record;
mod sweep;
mod wire;

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_kernel::{runtime::RuntimeKind, secret::Environment};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::Command,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{
    Capabilities, Exit, ExitCause, Launch, LogPiece, LogRange, Places, Runtime, RuntimeFault, SELF, Sight, Unit,
    environment,
};
use client::{ANSWER_WAIT, Connection, nobody};
use place::{Layout, fault};

pub use cgroup::{Leaf, Parent};
pub use log::{LOG_FILE_BYTES_MAX, LogWriter};
pub(super) use place::seed;

pub use place::UID_BASE;
pub use record::{read_record, write_record};
pub use sweep::{BOOT_VARIABLE, Mark, Process, find, kill};
pub use wire::{ANSWER_BYTES_MAX, Cause, Order, REQUEST_BYTES_MAX, Record, Request, Started, Status, names};

/// How long a shim may take to say that it runs.
const START_WAIT: Duration = Duration::from_secs(30);

/// What sweeping may take beyond the grace before a stop is given up for now.
const SWEEP_WAIT: Duration = Duration::from_secs(30);

/// How long leftovers of a lost unit are killed before the answer is "unknown".
const LEFTOVERS_WAIT: Duration = Duration::from_secs(5);

/// How often a unit is looked at whose shim cannot be waited for.
const POLL: Duration = Duration::from_millis(250);

/// How often, and after which pause, a program is started again that is still open for writing somewhere.
const BUSY_MAX: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The process runtime.
pub struct ProcessRuntime {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    /// The program's copy.
    program: PathBuf,
    unit_limits: bool,
}

impl ProcessRuntime {
    /// Makes the directories and copies the program. Blocks for as long as copying takes.
    pub fn open(places: Places) -> Result<Self, RuntimeFault> {
        let layout = Layout::create(places, nix::unistd::geteuid().is_root())?;
        let program = layout.program().map_err(fault("the program for shims"))?;
        let unit_limits = Parent::find().is_some_and(|parent| parent.limits());
        Ok(Self { inner: Arc::new(Inner { layout, program, unit_limits }) })
    }

    /// Where the records of a unit are.
    pub fn records(&self, unit: Unit) -> PathBuf {
        self.inner.layout.records(unit)
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> io::Result<T> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(io::Error::other)
    }

    async fn sight(&self, unit: Unit) -> io::Result<Sight> {
        if let Some(sight) = self.blocking(move |inner| inner.ended(unit)).await?? {
            return Ok(sight);
        }
        let asked = match Connection::open(&self.records(unit)).await {
            Ok(mut shim) => shim.ask(&Request::Status, ANSWER_WAIT).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(status) => known(&status, unit).map(|()| seen(&status)),
            Err(error) if nobody(&error) => self.blocking(move |inner| inner.settle(unit)).await?,
            Err(error) => Err(error),
        }
    }

    /// Starts the shim and hands it its document. The shim is a child of this process only until this process ends.
    async fn hand_over(&self, unit: Unit, document: Zeroizing<Vec<u8>>) -> io::Result<()> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut ours = UnixStream::from_std(ours)?;
        let mut busy = 0;
        let mut command = Command::new(&self.inner.program);
        command.arg("unit").arg(unit.workspace.to_string()).arg(unit.boot.to_string());
        command.env_clear().current_dir("/");
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = loop {
            match command.spawn() {
                // Another thread forked while the copy was written, and its child has not come to its exec yet.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && busy < BUSY_MAX => busy += 1,
                spawned => break spawned?,
            }
            tokio::time::sleep(BUSY_PAUSE).await;
        };
        // Its end of the socket is still in there, and would keep it from ever ending.
        drop(command);
        portcullis_authority::failpoint::hit("unit.before_handover");
        let answer = timeout(START_WAIT, async {
            ours.write_all(&document).await?;
            ours.shutdown().await?;
            drop(document);
            let mut answer = Vec::new();
            (&mut ours).take(ANSWER_BYTES_MAX as u64).read_to_end(&mut answer).await?;
            io::Result::Ok(answer)
        });
        let answer = answer.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let started = answer.and_then(|answer| Ok(serde_json::from_slice::<Started>(&answer)?));
        if started.is_err() {
            // It may be in any state; without it the unit is lost, and swept when it is looked at.
            let _ = child.start_kill();
        }
        // Somebody has to take note of its end, or it stays as a zombie.
        tokio::spawn(async move { child.wait().await });
        match started? {
            Started { refused: None, .. } => Ok(()),
            Started { refused: Some(why), already: true } => Err(io::Error::new(io::ErrorKind::AlreadyExists, why)),
            Started { refused: Some(why), already: false } => Err(io::Error::other(why)),
        }
    }
}

/// Whether the shim that answers is the one that was asked for.
fn known(status: &Status, unit: Unit) -> io::Result<()> {
    if status.boot == unit.boot && status.workspace == unit.workspace {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "another unit answers on this unit's socket"))
}

fn seen(status: &Status) -> Sight {
    status.exit.as_ref().map_or(Sight::Running, |record| Sight::Exited(record.exit()))
}

fn unknown(error: io::Error) -> Sight {
    Sight::Unknown(error.to_string())
}

impl Inner {
    /// Directories, files and the document of a new unit.
    fn prepare(&self, launch: Launch) -> Result<Zeroizing<Vec<u8>>, RuntimeFault> {
        let Launch { unit, mut command, limits, slot, mut settings, environment, context, .. } = launch;
        let layout = &self.layout;
        let user = layout.user(slot);
        // The copy: agents cannot reach the installed one, and running ones do not notice an upgrade.
        match command.first_mut() {
            Some(first) if first == SELF || Path::new(first.as_str()) == layout.installed() => {
                *first = self.program.to_string_lossy().into_owned();
            }
            Some(_) => {}
            None => return Err(RuntimeFault::Permanent("the command is empty".to_owned())),
        }
        let in_memory = || layout.secrets_are_in_memory().map_err(fault("the directory of secret files"));
        if !environment.files.is_empty() && !in_memory()? {
            let text = "secret files need a memory file system (tmpfs), and their directory is not in one";
            return Err(RuntimeFault::Permanent(text.to_owned()));
        }
        layout.create_unit(unit, user).map_err(fault("the unit's directories"))?;
        let (run, work, secrets) = (layout.run(unit), layout.work(unit.workspace), layout.secrets(unit.workspace));
        let (token, restart) = (run.join("token"), run.join("context.json"));
        environment::write_files(&secrets, &environment, user).map_err(fault("the secret files"))?;
        environment::write_token(&token, &environment, user).map_err(fault("the token's file"))?;
        environment::write_private(&restart, context.as_bytes(), user).map_err(fault("the restart context"))?;
        layout.give_run(unit, user).map_err(fault("the unit's directories"))?;
        for (name, value) in [
            ("PATH", Path::new(PATH)),
            ("LANG", Path::new("C.UTF-8")),
            ("HOME", &work),
            ("TMPDIR", &run.join("tmp")),
            ("PORTCULLIS_CONTEXT_FILE", &restart),
            ("PORTCULLIS_RUN_DIR", &run),
            ("PORTCULLIS_SECRETS_DIR", &secrets),
            ("PORTCULLIS_TOKEN_FILE", &token),
        ] {
            settings.insert(name.to_owned(), value.to_string_lossy().into_owned());
        }
        settings.insert(BOOT_VARIABLE.to_owned(), unit.boot.to_string());
        settings.insert("WORKSPACE_ID".to_owned(), unit.workspace.to_string());
        let seed = place::seed().map_err(fault("the seed of fingerprints"))?;
        let Unit { workspace, boot } = unit;
        let records = layout.records(unit);
        let order = Order { workspace, boot, command, records, work, user, limits, seed, shim: None, group: None };
        environment::document(&order, &settings, &environment).map_err(fault("the shim's document"))
    }

    /// What files alone say: that there is nothing, or how it ended.
    fn ended(&self, unit: Unit) -> io::Result<Option<Sight>> {
        let records = self.layout.records(unit);
        match std::fs::metadata(&records) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Sight::Absent)),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let Some(record) = read_record::<Record>(&records, names::EXIT)? else { return Ok(None) };
        if record.boot != unit.boot || record.workspace != unit.workspace {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the record of the end is another unit's"));
        }
        Ok(Some(Sight::Exited(record.exit())))
    }

    /// Finds the truth about a unit nobody answers for. Whoever holds the lock may say how it ended: a shim that still
    /// lives holds it, and one that comes too late finds the record and does not start.
    fn settle(&self, unit: Unit) -> io::Result<Sight> {
        let records = self.layout.records(unit);
        let lock = match OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(records.join(names::LOCK))
        {
            Ok(lock) => lock,
            // Forgotten meanwhile; or an error.
            Err(error) => return self.ended(unit)?.ok_or(error),
        };
        match File::try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Ok(Sight::Unknown("the unit's shim lives and does not listen".to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if let Some(sight) = self.ended(unit)? {
            return Ok(sight);
        }
        let order = read_record::<Order>(&records, names::ORDER)?;
        // A shim writes its order down before it starts anything. The record that follows keeps a late one from starting.
        let cause = if order.is_some() { Cause::Lost } else { Cause::NeverStarted };
        let group = order.as_ref().and_then(|order| order.group.clone()).map(Leaf::at);
        let mark = Mark { boot: unit.boot, user: order.and_then(|order| order.user), shim: None };
        if !sweep::kill_all(&mark, group.as_ref(), LEFTOVERS_WAIT)? {
            return Ok(Sight::Unknown("what is left of the lost unit does not die".to_owned()));
        }
        if let Some(group) = group {
            // An empty group that stays costs nothing and confuses nobody: its name is the boot's.
            let _ = group.remove();
        }
        let Unit { workspace, boot } = unit;
        let (code, signal, detail, at_ms) = (None, None, None, None);
        let record = Record { workspace, boot, code, signal, cause, detail, for_good: false, at_ms };
        write_record(&records, names::EXIT, &record)?;
        Ok(Sight::Exited(record.exit()))
    }
}

impl Runtime for ProcessRuntime {
    fn kind(&self) -> RuntimeKind {
        RuntimeKind::Process
    }

    fn capabilities(&self) -> Capabilities {
        let Inner { layout, unit_limits, .. } = &*self.inner;
        Capabilities { unit_limits: *unit_limits, isolated: layout.isolated, live_files: true }
    }

    async fn start(&self, launch: Launch) -> Result<(), RuntimeFault> {
        let unit = launch.unit;
        let document = self.blocking(move |inner| inner.prepare(launch)).await.map_err(fault("the unit"))??;
        self.hand_over(unit, document).await.map_err(fault("the unit's shim"))
    }

    async fn look(&self, unit: Unit) -> Sight {
        self.sight(unit).await.unwrap_or_else(unknown)
    }

    async fn wait(&self, unit: Unit, at_most: Duration) -> Sight {
        let until = Instant::now() + at_most;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let asked = match Connection::open(&self.records(unit)).await {
                Ok(mut shim) => shim.ask(&Request::Wait, left).await,
                Err(error) => Err(error),
            };
            let left = until.saturating_duration_since(Instant::now());
            let sight = self.look(unit).await;
            // A shim that is waited for answers at the end only, so this is for those that cannot be asked.
            if left.is_zero() || !matches!(sight, Sight::Running | Sight::Unknown(_)) {
                return sight;
            }
            drop(asked);
            tokio::time::sleep(left.min(POLL)).await;
        }
    }

    async fn stop(&self, unit: Unit, grace: Duration) -> Result<Exit, RuntimeFault> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        if let Ok(mut shim) = Connection::open(&self.records(unit)).await {
            // First whose it is: a stop must not reach another unit.
            let status = shim.ask(&Request::Status, ANSWER_WAIT).await;
            if status.is_ok_and(|status| known(&status, unit).is_ok()) {
                let asked = shim.ask(&Request::Stop { grace_ms }, grace.saturating_add(SWEEP_WAIT)).await;
                if let Ok(Some(record)) = asked.map(|status| status.exit) {
                    return Ok(record.exit());
                }
            }
        }
        match self.look(unit).await {
            Sight::Exited(exit) => Ok(exit),
            Sight::Absent => Ok(Exit { code: None, signal: None, cause: ExitCause::Lost }),
            Sight::Running => Err(RuntimeFault::Transient("the unit is still being stopped".to_owned())),
            Sight::Unknown(why) => Err(RuntimeFault::Transient(why)),
        }
    }

    async fn put_files(&self, unit: Unit, environment: Environment) -> Result<(), RuntimeFault> {
        let records = self.records(unit);
        let order = self.blocking(move |_| read_record::<Order>(&records, names::ORDER)).await.flatten();
        let missing = || RuntimeFault::Permanent("the unit does not run here".to_owned());
        let order = order.map_err(fault("the unit's order"))?.ok_or_else(missing)?;
        let mut shim = Connection::open(&self.records(unit)).await.map_err(fault("the unit's shim"))?;
        // Before the files: a value must not be printable before it is known.
        let fingerprints = environment::fingerprints(order.seed, &environment);
        let status = shim.ask(&Request::Fingerprints { fingerprints }, ANSWER_WAIT).await;
        status.and_then(|status| known(&status, unit)).map_err(fault("the unit's shim"))?;
        let written = self.blocking(move |inner| {
            let layout = &inner.layout;
            if !environment.files.is_empty() && !layout.secrets_are_in_memory()? {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not in a memory file system (tmpfs)"));
            }
            layout.create_secrets(unit.workspace, order.user)?;
            environment::write_files(&layout.secrets(unit.workspace), &environment, order.user)
        });
        written.await.flatten().map_err(fault("the secret files"))
    }

    async fn logs(&self, unit: Unit, range: LogRange) -> Result<LogPiece, RuntimeFault> {
        let records = self.records(unit);
        self.blocking(move |_| log::read(&records, range)).await.flatten().map_err(fault("the unit's log"))
    }

    async fn forget(&self, unit: Unit, workspace_too: bool) -> Result<(), RuntimeFault> {
        match self.look(unit).await {
            Sight::Exited(_) | Sight::Absent => {}
            Sight::Running => return Err(RuntimeFault::Transient("the unit still runs".to_owned())),
            Sight::Unknown(why) => return Err(RuntimeFault::Transient(why)),
        }
        let removed = self.blocking(move |inner| inner.layout.remove(unit, workspace_too)).await.flatten();
        removed.map_err(fault("the unit's directories"))
    }

    async fn units(&self) -> Result<Vec<Unit>, RuntimeFault> {
        self.blocking(|inner| inner.layout.units()).await.flatten().map_err(fault("the directory of agents"))
    }
}
