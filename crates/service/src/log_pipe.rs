//! The way of the log to standard error: a bounded queue and a thread, so that whoever should read it and does not, or has
//! gone away, keeps no request waiting and stops nothing. What does not fit is dropped, counted, and said.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, SyncSender},
    },
    time::Duration,
};

/// Lines that may wait for the reader of the log.
const LINES_MAX: usize = 4_096;
/// How long a stopping server waits for the last lines to be read.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

enum Item {
    Line(Vec<u8>),
    /// Everything before this was written.
    Flush(SyncSender<()>),
}

static PIPE: OnceLock<SyncSender<Item>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A writer of whole lines that never blocks and never fails: one event of the log is one call.
#[derive(Clone, Copy)]
pub(crate) struct Pipe;

impl Pipe {
    /// Starts the thread, once a process. Without a thread or a descriptor there is no log, and the server serves.
    pub(crate) fn open() -> Self {
        PIPE.get_or_init(|| {
            let (lines, waiting) = mpsc::sync_channel(LINES_MAX);
            // Not the handle of the standard library, whose lock a blocked write would keep from everybody else.
            if let Ok(descriptor) = io::stderr().as_fd().try_clone_to_owned() {
                let writing = move || write_out(&mut File::from(descriptor), &waiting);
                // Without it every line counts as dropped.
                let _ = std::thread::Builder::new().name("log".into()).spawn(writing);
            }
            lines
        });
        Self
    }
}

fn write_out(file: &mut File, waiting: &Receiver<Item>) {
    let mut told = 0;
    while let Ok(item) = waiting.recv() {
        match item {
            Item::Line(line) => {
                if file.write_all(&line).is_err() {
                    DROPPED.fetch_add(1, Relaxed);
                    continue;
                }
                let dropped = DROPPED.load(Relaxed);
                if dropped > told
                    && writeln!(file, "{} lines of the log were dropped: nobody read them", dropped - told).is_ok()
                {
                    told = dropped;
                }
            }
            // Whoever asked may have stopped waiting.
            Item::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let taken = PIPE.get().is_some_and(|pipe| pipe.try_send(Item::Line(line.to_vec())).is_ok());
        if !taken {
            DROPPED.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines that nobody read, since the process began.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// Waits until what was written so far has left the process, or for as long as that is worth.
pub(crate) fn flush() {
    let (done, written) = mpsc::sync_channel(1);
    if PIPE.get().is_some_and(|pipe| pipe.try_send(Item::Flush(done)).is_ok()) {
        // In vain where nobody reads.
        let _ = written.recv_timeout(FLUSH_WAIT);
    }
}
