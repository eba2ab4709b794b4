//! The end of the log as this server last saw it, in a file beside the keys: what the database cannot forget for us.
//!
//! A database may come back shorter than it was: a cut file, an old backup, a standby that was behind. It is whole in
//! itself then, and only what was kept elsewhere knows better. The file is a signed checkpoint as any other, so
//! `portcullis audit verify --checkpoint` takes it too.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use portcullis_kernel::checkpoint::{UnverifiedNote, VerifierKey};

use crate::{
    db::{Conn, DbError},
    tables::audit,
    vault,
};

/// Name of the file in the data directory.
pub const KEPT_HEAD_FILE: &str = "audit.checkpoint";

/// The file is written at most this often while the log grows, and when the server stops.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// The file, and what was last written to it.
pub(crate) struct KeptHead {
    path: PathBuf,
    last: Mutex<(Option<Instant>, String)>,
}

/// What the file says; `None` where there is none. Fails with what is wrong with it.
pub(crate) fn read(dir: &Path) -> Result<Option<UnverifiedNote>, String> {
    let path = dir.join(KEPT_HEAD_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("`{}` cannot be read: {error}", path.display())),
    };
    let note = UnverifiedNote::parse(&text);
    note.map(Some).ok_or_else(|| format!("`{}` is no checkpoint; {}", path.display(), remedy(dir)))
}

/// What to do about a log that is not the one that was kept.
pub(crate) fn remedy(dir: &Path) -> String {
    format!(
        "bring back the database that has it, or remove `{}` to go on without what is lost",
        dir.join(KEPT_HEAD_FILE).display()
    )
}

/// Whether the log in the database still reaches what was kept. The inner error says why it does not.
pub(crate) fn check(conn: &mut Conn, key: &VerifierKey, kept: &UnverifiedNote) -> Result<Result<(), String>, DbError> {
    if !kept.is_signed_by(key, vault::verify) {
        return Ok(Err("the log in the database is another one than was served from here".to_owned()));
    }
    let (size, hash) = (kept.checkpoint.size, kept.checkpoint.hash);
    if size == 0 || audit::hash_at(conn, size)? == Some(hash) {
        return Ok(Ok(()));
    }
    let last = audit::last_seq(conn)?;
    Ok(Err(format!("the log ends at entry {last} or differs there, but entry {size} was confirmed")))
}

impl KeptHead {
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self { path: dir.join(KEPT_HEAD_FILE), last: Mutex::default() }
    }

    /// Whether it is time to write the file again.
    pub(crate) fn is_due(&self) -> bool {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.0.is_none_or(|at| at.elapsed() >= KEEP_EVERY)
    }

    /// Writes a note that was committed. Blocks.
    pub(crate) fn keep(&self, note: String) -> io::Result<()> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Also when it fails: a full disk is not tried at every tick.
        last.0 = Some(Instant::now());
        if last.1 == note {
            return Ok(());
        }
        let beside = self.path.with_extension("checkpoint.new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(note.as_bytes())?;
        // Whole before it has its name, or a power cut could leave an empty file that stops the next start.
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        last.1 = note;
        Ok(())
    }
}
