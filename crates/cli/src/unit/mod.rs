//! `portcullis unit`: the small process that owns one run of an agent, so that the agent does not depend on the server.
//!
//! One thread, which forks, waits and listens: a parent-death signal is sent when the forking *thread* ends, and a unit
//! that has one thread has one order of events. It starts before anything else of this program: no command line parser,
//! no async runtime, a few MiB.
//!
//! Absent on purpose: any decision. It runs what it was handed, once, tells how that is, and stops it when told to. Its
//! last deed is the record of the end, written when nothing of the agent is left.

mod child;
mod document;
mod exec;
mod output;
mod socket;
mod watch;

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::AsFd,
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    process::ExitCode,
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};
use portcullis_service::runtime::process::{
    Leaf, Order, Parent, Process, Record, Started, names, read_record, write_record,
};
use zeroize::Zeroizing;

use self::document::Document;
use self::watch::Watch;

/// First word of the shim's command line.
const UNIT: &str = "unit";

/// First word of the second stage's command line.
const EXEC: &str = "unit-exec";

/// Largest document, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 64 << 20;

/// How long the server may take to write the document.
const DOCUMENT_WAIT: Duration = Duration::from_secs(60);

/// Runs as shim or second stage if the command line says so; `None`: this is an ordinary command.
pub fn main() -> Option<ExitCode> {
    let word = std::env::args_os().nth(1)?;
    if word == OsStr::new(UNIT) {
        Some(if run().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    } else if word == OsStr::new(EXEC) {
        // It returns only if it failed, and has said so.
        exec::run();
        Some(ExitCode::FAILURE)
    } else {
        None
    }
}

/// There is nowhere to print to: what goes wrong is said to the server, or the unit is found lost.
fn run() -> io::Result<()> {
    close_inherited()?;
    // A terminal or a service manager that ends the server's session does not mean the agents.
    nix::unistd::setsid()?;
    // One of the same user could otherwise read the values out of this process.
    nix::sys::prctl::set_dumpable(false)?;
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0)?;
    let signals =
        SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]);
    signals.thread_block()?;
    nix::sys::prctl::set_child_subreaper(true)?;

    let server = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let document = Document::read(&server)?;
    let started = begin(&document.order);
    let (lock, order) = match started {
        Ok(begun) => begun,
        Err(error) => return answer(&server, Some(&error)),
    };
    let begun = Watch::begin(order, document, &signals);
    answer(&server, begun.as_ref().err())?;
    drop(server);
    forget_stdin()?;
    let ended = begun.and_then(Watch::run);
    // Held to the end: whoever gets it may write the record of a lost unit.
    drop(lock);
    ended
}

/// Takes the lock, makes the group, and writes the order down. After this a server can find the unit.
fn begin(order: &Order) -> io::Result<(File, Order)> {
    let records = &order.records;
    std::env::set_current_dir(records)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(names::LOCK)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(already("this boot runs already")),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    if read_record::<Record>(records, names::EXIT)?.is_some() || read_record::<Order>(records, names::ORDER)?.is_some()
    {
        return Err(already("this boot has run before"));
    }
    let mut order = order.clone();
    let me = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    order.shim = Process::of(me).map(|process| (me, process.started));
    let group = Parent::find().map(|parent| parent.leaf(order.boot)).filter(|leaf| leaf.create().is_ok());
    order.group = group.as_ref().map(|leaf: &Leaf| leaf.directory().to_owned());
    write_record(records, names::ORDER, &order)?;
    Ok((lock, order))
}

fn already(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, text)
}

fn answer(mut server: &UnixStream, refused: Option<&io::Error>) -> io::Result<()> {
    let already = refused.is_some_and(|error| error.kind() == io::ErrorKind::AlreadyExists);
    let text = serde_json::to_vec(&Started { refused: refused.map(ToString::to_string), already })?;
    // A server that died meanwhile will find the unit by its directory.
    let _ = server.write_all(&text);
    let _ = server.shutdown(Shutdown::Both);
    Ok(())
}

/// Puts `/dev/null` where the server's socket was.
fn forget_stdin() -> io::Result<()> {
    Ok(nix::unistd::dup2_stdin(File::open("/dev/null")?)?)
}

/// Closes what whoever started the server left open: neither shim nor agent may hold it.
fn close_inherited() -> io::Result<()> {
    let names = fs::read_dir("/proc/self/fd")?.map(|entry| entry.map(|entry| entry.file_name()));
    for name in names.collect::<io::Result<Vec<_>>>()? {
        if let Some(number) = name.to_str().and_then(|name| name.parse::<i32>().ok()).filter(|number| *number > 2) {
            // One of them was the directory itself.
            let _ = nix::unistd::close(number);
        }
    }
    Ok(())
}

/// Reads everything up to a limit into a buffer that is wiped and never moves, so that it leaves no copies behind.
fn read_wiped(mut from: impl Read, bytes_max: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
    let mut piece = Zeroizing::new([0; 8 << 10]);
    loop {
        let read = from.read(piece.as_mut_slice())?;
        let Some(new) = piece.get(..read).filter(|new| !new.is_empty()) else { return Ok(bytes) };
        if bytes.len() + new.len() > bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 2));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(new);
        if bytes.len() as u64 > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}
