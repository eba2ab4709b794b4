//! The agent's output on its way to the log: redacted, rotated, and always read, whoever listens.

use std::io::{self, PipeReader, Read};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use portcullis_kernel::redact::{Fingerprints, RedactStream, Redactor};
use portcullis_service::runtime::process::LogWriter;

/// What is read at once: as much as a pipe holds.
const READ_BYTES: usize = 64 << 10;

/// How much is still read when nothing of the agent is left: no more than a pipe holds can be in it, unless somebody
/// outside has the other end.
const REST_BYTES_MAX: usize = 4 << 20;

/// Pipe, redaction and log.
pub struct Output {
    pipe: Option<PipeReader>,
    redactor: Redactor,
    stream: RedactStream,
    log: LogWriter,
    buffer: Vec<u8>,
}

impl Output {
    /// Takes over the reading end.
    pub fn new(pipe: PipeReader, redactor: Redactor, log: LogWriter) -> io::Result<Self> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Self { pipe: Some(pipe), redactor, stream: RedactStream::new(), log, buffer: vec![0; READ_BYTES] })
    }

    /// The pipe to wait for; `None` once everybody has closed it.
    pub fn pipe(&self) -> Option<&PipeReader> {
        self.pipe.as_ref()
    }

    /// Reads once and returns how much there was.
    pub fn read(&mut self) -> usize {
        let Some(pipe) = &mut self.pipe else { return 0 };
        match pipe.read(&mut self.buffer) {
            Ok(0) => self.pipe = None,
            Ok(bytes) => {
                let lines = self.stream.push(&self.redactor, self.buffer.get(..bytes).unwrap_or_default());
                if !lines.is_empty() {
                    self.log.write(&lines);
                }
                return bytes;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            // A pipe that cannot be read will not get better, and would keep the loop busy.
            Err(_) => self.pipe = None,
        }
        0
    }

    /// Learns more values.
    pub fn learn(&mut self, fingerprints: Fingerprints) {
        self.redactor.merge(fingerprints);
    }

    /// What could not be written.
    pub fn bytes_lost(&self) -> u64 {
        self.log.bytes_lost()
    }

    /// A word of the shim itself in the log.
    pub fn say(&mut self, text: &str) {
        let text = self.redactor.redact(text);
        self.log.write(&format!("[portcullis] {text}\n"));
    }

    /// Reads what is left.
    pub fn finish(&mut self) {
        let mut left = REST_BYTES_MAX;
        while left > 0 {
            let read = self.read();
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        self.pipe = None;
        let rest = std::mem::take(&mut self.stream).finish(&self.redactor);
        if !rest.is_empty() {
            self.log.write(&rest);
        }
    }
}
