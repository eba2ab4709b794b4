//! The log of a unit: two files at most, each named after the position in the whole log at which it begins, so that a
//! position stays true across rotations, and rotating is one creation and one removal.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::super::{LogPiece, LogRange};

/// A file of the log has about this many bytes; there are at most two.
pub const LOG_FILE_BYTES_MAX: u64 = 4 << 20;

/// How often a read begins again because files were rotated under it.
const ROTATIONS_MAX: usize = 8;

/// The writing end; one a unit.
pub struct LogWriter {
    directory: PathBuf,
    file: File,
    begin: u64,
    bytes: u64,
    lost: u64,
}

impl LogWriter {
    /// Begins a log.
    pub fn create(directory: &Path) -> io::Result<Self> {
        Ok(Self { directory: directory.to_owned(), file: open_new(directory, 0)?, begin: 0, bytes: 0, lost: 0 })
    }

    /// Appends whole lines. What cannot be written is counted: an agent may not stop because a disk is full.
    pub fn write(&mut self, lines: &str) {
        if self.bytes > 0 && self.bytes + lines.len() as u64 > LOG_FILE_BYTES_MAX {
            self.rotate();
        }
        match self.file.write_all(lines.as_bytes()) {
            Ok(()) => self.bytes += lines.len() as u64,
            Err(_) => {
                self.lost += lines.len() as u64;
                // Where half of it was written, the position is what the file says.
                self.bytes = self.file.metadata().map_or(self.bytes, |about| about.len());
            }
        }
    }

    /// Bytes that could not be written.
    pub fn bytes_lost(&self) -> u64 {
        self.lost
    }

    /// Begins the next file and removes all but the last one. If that fails, the old one goes on.
    fn rotate(&mut self) {
        let begin = self.begin + self.bytes;
        let Ok(file) = open_new(&self.directory, begin) else {
            // A full disk must not make the log grow without bound either.
            if self.file.set_len(0).is_ok() && self.file.rewind().is_ok() {
                self.lost += self.bytes;
                self.bytes = 0;
            }
            return;
        };
        let last = self.begin;
        (self.file, self.begin, self.bytes) = (file, begin, 0);
        for (at, path) in files(&self.directory).unwrap_or_default() {
            if at < last {
                // It is tried again at the next rotation.
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn open_new(directory: &Path, begin: u64) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(format!("agent-{begin}.log")))
}

/// The files in their order, with the position at which each begins.
fn files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let begin = name.to_str().and_then(|name| name.strip_prefix("agent-")?.strip_suffix(".log")?.parse().ok());
        files.extend(begin.map(|begin| (begin, entry.path())));
    }
    files.sort_unstable();
    Ok(files)
}

/// Reads a piece of a log; an empty one where there is none.
pub fn read(directory: &Path, range: LogRange) -> io::Result<LogPiece> {
    let mut last = None;
    for _ in 0..ROTATIONS_MAX {
        match read_once(directory, range) {
            // Removed between the list and the read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => last = Some(error),
            done => return done,
        }
    }
    last.map_or_else(|| Ok(LogPiece::default()), Err)
}

fn read_once(directory: &Path, range: LogRange) -> io::Result<LogPiece> {
    let mut opened = Vec::new();
    for (begin, path) in files(directory)? {
        let file = File::open(path)?;
        let end = begin + file.metadata()?.len();
        opened.push((begin, end, file));
    }
    let Some((oldest, end)) = opened.first().map(|first| first.0).zip(opened.last().map(|last| last.1)) else {
        return Ok(LogPiece { position: range.after.unwrap_or(0), ..LogPiece::default() });
    };
    let bytes_max = range.bytes_max as u64;
    let Some(after) = range.after else {
        let from = end.saturating_sub(bytes_max).max(oldest);
        let bytes = read_bytes(&mut opened, from, bytes_max)?;
        return Ok(tail(&bytes, from, from > oldest, range.tail));
    };
    let reset = after < oldest || after > end;
    let from = if reset { oldest } else { after };
    let bytes = read_bytes(&mut opened, from, bytes_max)?;
    // The last line may not be whole yet, or not fit; a line that cannot fit at all goes in pieces.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let full = bytes.len() as u64 == bytes_max;
    let take = whole.unwrap_or(if full { bytes.len() } else { 0 });
    let bytes = bytes.get(..take).unwrap_or_default();
    Ok(LogPiece { text: String::from_utf8_lossy(bytes).into_owned(), position: from + take as u64, reset })
}

/// The last lines. `partial`: the first of them may be cut.
fn tail(bytes: &[u8], from: u64, partial: bool, lines: usize) -> LogPiece {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let bytes = bytes.get(..end).unwrap_or_default();
    let mut starts =
        bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect::<Vec<_>>();
    if !partial {
        starts.insert(0, 0);
    }
    // The last start is the end.
    let start =
        starts.len().checked_sub(lines + 1).map_or_else(|| starts.first().copied(), |at| starts.get(at).copied());
    let text = bytes.get(start.unwrap_or(end)..).unwrap_or_default();
    LogPiece { text: String::from_utf8_lossy(text).into_owned(), position: from + end as u64, reset: false }
}

fn read_bytes(opened: &mut [(u64, u64, File)], from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for (begin, end, file) in opened {
        let at = from + bytes.len() as u64;
        if (*begin..*end).contains(&at) {
            file.seek(SeekFrom::Start(at - *begin))?;
            file.take((*end - at).min(bytes_max - bytes.len() as u64)).read_to_end(&mut bytes)?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test alone, removed at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("portcullis-log-{name}-{}", std::process::id()));
            fs::create_dir(&directory).unwrap();
            Self(directory)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn range(after: Option<u64>, tail: usize, bytes_max: usize) -> LogRange {
        LogRange { after, tail, bytes_max }
    }

    #[test]
    fn positions_hold_across_rotations_and_what_is_gone_is_said() {
        let directory = Directory::new("rotation");
        let mut log = LogWriter::create(&directory.0).unwrap();
        let line = |number: u64| format!("{number:0>1022}\n");
        let lines = 3 * LOG_FILE_BYTES_MAX / 1023;
        for number in 0..lines {
            log.write(&line(number));
        }
        assert_eq!(files(&directory.0).unwrap().len(), 2);
        // Every position that is still there shows the line that was written there.
        for number in [lines - 1, lines - 2, lines - LOG_FILE_BYTES_MAX / 1023] {
            let piece = read(&directory.0, range(Some(number * 1023), 0, 1500)).unwrap();
            assert_eq!((piece.text, piece.reset, piece.position), (line(number), false, (number + 1) * 1023));
        }
        let piece = read(&directory.0, range(Some(0), 0, 1500)).unwrap();
        assert!(piece.reset && piece.position > LOG_FILE_BYTES_MAX / 2);
        assert_eq!(piece.text, line(piece.position / 1023 - 1));
        let last = read(&directory.0, range(None, 1, 1 << 20)).unwrap();
        assert_eq!((last.text, last.position), (line(lines - 1), lines * 1023));
        assert_eq!(log.bytes_lost(), 0);
    }

    #[test]
    fn a_line_that_is_not_whole_yet_waits() {
        let directory = Directory::new("partial");
        assert_eq!(read(&directory.0, range(None, 9, 99)).unwrap(), LogPiece::default());
        let mut log = LogWriter::create(&directory.0).unwrap();
        log.write("one\ntw");
        let piece = read(&directory.0, range(Some(0), 0, 99)).unwrap();
        assert_eq!((piece.text.as_str(), piece.position), ("one\n", 4));
        assert_eq!(read(&directory.0, range(Some(4), 0, 99)).unwrap().text, "");
        assert_eq!(read(&directory.0, range(None, 9, 99)).unwrap().text, "one\n");
        log.write("o\n");
        assert_eq!(read(&directory.0, range(Some(4), 0, 99)).unwrap().text, "two\n");
        // A line longer than what may be returned still gets on.
        assert_eq!(read(&directory.0, range(Some(4), 0, 2)).unwrap().text, "tw");
    }
}
