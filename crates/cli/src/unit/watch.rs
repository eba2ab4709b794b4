//! The life of a unit, as one loop over everything that can happen to it.
//!
//! ```text
//! running ──stop──▶ stopping ──grace over──▶ (killed)
//!    └───────────────────┴──── first process ended ──▶ sweeping ──nothing left──▶ recorded
//! ```

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal, killpg},
        signalfd::{SfdFlags, SignalFd},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};
use portcullis_authority::clock::Clock;
use portcullis_kernel::redact::Redactor;
use portcullis_service::runtime::process::{
    Cause, Leaf, LogWriter, Mark, Order, Record, Request, Status, kill, names, write_record,
};

use super::child;
use super::document::Document;
use super::output::Output;
use super::socket::Socket;

/// Grace of a stop that comes as a signal.
const GRACE: Duration = Duration::from_secs(10);

/// Longest grace; later than that nobody waits for it.
const GRACE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Between two sweeps. A process that was killed needs a moment to be gone.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// After this many sweeps they become rarer: what is left then waits for a disk, and nothing helps but waiting.
const SWEEPS_QUICK: u32 = 500;

/// How often a record is tried again that could not be written.
const RECORD_PAUSE: Duration = Duration::from_secs(1);

/// One unit.
pub struct Watch {
    order: Order,
    group: Option<Leaf>,
    socket: Socket,
    output: Output,
    signals: SignalFd,
    child: Pid,
    /// Whether the first process still runs.
    alive: bool,
    stop_at: Option<Instant>,
    sweeps: u32,
    record: Record,
}

impl Watch {
    /// Starts the agent. An error means that nothing runs.
    pub fn begin(order: Order, document: Document, signals: &SigSet) -> io::Result<Self> {
        let signals = SignalFd::with_flags(signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let socket = Socket::bind()?;
        let log = LogWriter::create(&order.records)?;
        let mut redactor = Redactor::new(order.seed);
        redactor.merge(document.fingerprints);
        let group = order.group.clone().map(Leaf::at);
        let born = child::start(&order, document.variables, group.as_ref())?;
        let mut output = Output::new(born.output, redactor, log)?;
        let cause = if born.failed.is_some() { Cause::StartFailed } else { Cause::Itself };
        if let Some(why) = &born.failed {
            output.say(&format!("the agent did not start: {}", why.text));
            // It ends by itself; this is for one that hangs.
            let _ = nix::sys::signal::kill(born.pid, Signal::SIGKILL);
        }
        let (workspace, boot) = (order.workspace, order.boot);
        let for_good = born.failed.as_ref().is_some_and(|why| why.for_good);
        let (code, signal, detail, at_ms) = (None, None, born.failed.map(|why| why.text), None);
        let record = Record { workspace, boot, code, signal, cause, detail, for_good, at_ms };
        let child = born.pid;
        Ok(Self { order, group, socket, output, signals, child, alive: true, stop_at: None, sweeps: 0, record })
    }

    /// Watches until nothing of the unit is left and that is written down.
    pub fn run(mut self) -> io::Result<()> {
        loop {
            self.reap();
            if !self.alive && self.sweep() {
                break;
            }
            self.kill_after_grace();
            self.wait_and_serve()?;
        }
        self.end()
    }

    /// Takes note of every process that ended: the agent, and whoever lost its parent and became ours.
    fn reap(&mut self) {
        loop {
            // A look first: as long as its first process is not buried, the number of its group cannot be anybody else's.
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
            let pid = match waitid(Id::All, flags) {
                Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _)) => pid,
                Err(Errno::EINTR) => continue,
                // Nobody has ended, or there is nobody.
                _ => return,
            };
            if pid == self.child {
                let _ = killpg(self.child, Signal::SIGKILL);
            }
            let status = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            if pid == self.child {
                self.alive = false;
                match status {
                    // A start that failed has no code: that was the second stage's.
                    Ok(_) if self.record.cause == Cause::StartFailed => {}
                    Ok(WaitStatus::Exited(_, code)) => self.record.code = Some(code),
                    Ok(WaitStatus::Signaled(_, signal, _)) => self.record.signal = Some(signal as i32),
                    _ => {}
                }
            }
        }
    }

    /// Kills what is left and returns whether nothing is.
    fn sweep(&mut self) -> bool {
        self.sweeps = self.sweeps.saturating_add(1);
        self.group.as_ref().inspect(|group| group.kill());
        let shim = Some(nix::unistd::getpid().as_raw());
        let mark = Mark { boot: self.order.boot, user: self.order.user, shim };
        // What cannot be seen is not gone.
        matches!(kill(&mark), Ok(0)) && self.group.as_ref().is_none_or(Leaf::is_empty)
    }

    fn stop(&mut self, grace: Duration) {
        if !self.alive {
            return;
        }
        if self.record.cause == Cause::Itself {
            self.record.cause = Cause::Stopped;
        }
        let first = self.stop_at.is_none();
        let at = Instant::now() + grace.min(GRACE_MAX);
        self.stop_at = Some(self.stop_at.map_or(at, |before| before.min(at)));
        if first {
            let _ = killpg(self.child, Signal::SIGTERM);
        }
    }

    fn kill_after_grace(&mut self) {
        if self.alive && self.stop_at.is_some_and(|at| at <= Instant::now()) {
            if self.record.cause == Cause::Stopped {
                self.record.cause = Cause::Killed;
            }
            let _ = killpg(self.child, Signal::SIGKILL);
            // Once is enough; the loop now waits for the end.
            self.stop_at = self.stop_at.map(|_| Instant::now() + GRACE_MAX);
        }
    }

    /// Waits until something happens, and does what it asks for.
    fn wait_and_serve(&mut self) -> io::Result<()> {
        let timeout = match (self.alive, self.stop_at) {
            (false, _) if self.sweeps > SWEEPS_QUICK => Some(Duration::from_secs(1)),
            (false, _) => Some(SWEEP_PAUSE),
            (true, Some(at)) => Some(at.saturating_duration_since(Instant::now()) + Duration::from_millis(1)),
            (true, None) => None,
        };
        let timeout = timeout.map_or(Ok(PollTimeout::NONE), |timeout| {
            PollTimeout::try_from(timeout.min(Duration::from_secs(3600))).map_err(io::Error::other)
        })?;
        let ready = {
            let fds = [self.signals.as_fd(), self.socket.listener().as_fd()].into_iter();
            let fds = fds.chain(self.socket.clients().iter().map(|client| client.stream.as_fd()));
            // Last, because it may be missing.
            let fds = fds.chain(self.output.pipe().map(AsFd::as_fd));
            let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect::<Vec<_>>();
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            fds.iter().map(|fd| fd.any().unwrap_or(false)).collect::<Vec<_>>()
        };
        let is_ready = |at: usize| ready.get(at).copied().unwrap_or(false);
        let clients = self.socket.clients().len();
        if is_ready(2 + clients) {
            self.output.read();
        }
        for at in (0..clients).filter(|at| is_ready(2 + at)) {
            for request in self.socket.read(at) {
                self.serve(at, request);
            }
        }
        self.socket.tidy();
        if is_ready(1) {
            self.socket.accept();
        }
        if is_ready(0) {
            self.take_signals();
        }
        Ok(())
    }

    fn serve(&mut self, at: usize, request: Request) {
        match request {
            Request::Status => {}
            // Answered at the end.
            Request::Wait => return,
            Request::Stop { grace_ms } => return self.stop(Duration::from_millis(grace_ms)),
            Request::Fingerprints { fingerprints } => self.output.learn(fingerprints),
        }
        let status = self.status(false);
        self.socket.answer(at, &status);
    }

    /// A stop as a signal is for whoever has no server; the others are meant for terminals and mean nothing here.
    fn take_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Signal::SIGTERM as u32 {
                self.stop(GRACE);
            }
        }
    }

    fn status(&self, ended: bool) -> Status {
        let (shim, shim_started) = self.order.shim.unwrap_or_default();
        Status {
            workspace: self.order.workspace,
            boot: self.order.boot,
            shim,
            shim_started,
            child: self.alive.then_some(self.child.as_raw()),
            exit: ended.then(|| self.record.clone()),
            log_bytes_lost: self.output.bytes_lost(),
        }
    }

    /// Nothing is left: writes it down, then tells.
    fn end(mut self) -> io::Result<()> {
        self.output.finish();
        let out_of_memory = self.group.as_ref().is_some_and(Leaf::out_of_memory);
        if out_of_memory && self.record.cause == Cause::Itself {
            self.record.cause = Cause::OutOfMemory;
        }
        if let Some(group) = &self.group {
            // An empty group that stays costs nothing and confuses nobody: its name is the boot's.
            let _ = group.remove();
        }
        self.record.at_ms = Some(Clock::default().now().0);
        // A full disk is no reason to be taken for lost: the shim stays until it could write.
        while write_record(&self.order.records, names::EXIT, &self.record).is_err() {
            if !self.order.records.is_dir() {
                break;
            }
            std::thread::sleep(RECORD_PAUSE);
        }
        let status = self.status(true);
        self.socket.close(&status);
        Ok(())
    }
}
