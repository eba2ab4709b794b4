//! Speaking with a shim.

use std::{fs::File, io, os::fd::AsRawFd, path::Path, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::wire::{ANSWER_BYTES_MAX, Request, Status, names};

/// How long a shim may take to take a connection or a request, and to answer what it knows at once. Long: a machine
/// under load is slow, and the answer to silence is only "unknown".
pub const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// One connection to a shim.
pub struct Connection(BufReader<UnixStream>);

impl Connection {
    /// Connects through the directory, whose own path may be too long for a socket's. `NotFound` and
    /// `ConnectionRefused` mean that nobody listens there.
    pub async fn open(records: &Path) -> io::Result<Self> {
        let directory = File::open(records)?;
        let path = format!("/proc/self/fd/{}/{}", directory.as_raw_fd(), names::SOCKET);
        let stream = timeout(ANSWER_WAIT, UnixStream::connect(path)).await.map_err(|_| late())??;
        // The directory is ours alone where agents have users of their own; this holds where it is not.
        if stream.peer_cred()?.uid() != nix::unistd::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "somebody else listens on the unit's socket"));
        }
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks, and waits for the answer. `UnexpectedEof`: the shim ended.
    pub async fn ask(&mut self, request: &Request, at_most: Duration) -> io::Result<Status> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        timeout(ANSWER_WAIT, self.0.get_mut().write_all(&line)).await.map_err(|_| late())??;
        let mut answer = Vec::new();
        let mut limited = (&mut self.0).take(ANSWER_BYTES_MAX as u64);
        timeout(at_most, limited.read_until(b'\n', &mut answer)).await.map_err(|_| late())??;
        if answer.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        serde_json::from_slice(&answer).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "what answers on the unit's socket does not speak like a shim")
        })
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the unit's shim does not answer")
}

/// Whether an error says that there is no shim, rather than that something is wrong with it.
pub fn nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionRefused | ConnectionReset | NotFound | UnexpectedEof)
}
