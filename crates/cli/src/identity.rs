//! Which server this is: an id in the data directory, held by one process at a time.
//!
//! With the directory goes what a server calls its own: its agents, and with SQLite the database. So two servers in one
//! directory would be one too many, whatever the database says.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use portcullis_authority::{clock::Clock, vault};
use portcullis_kernel::id::ServerId;

use crate::error::Error;

/// Name of the file, of mode 0600.
pub const FILE: &str = "server.id";

/// This server's id, its own for as long as this lives.
pub struct Identity {
    /// The id.
    pub server: ServerId,
    _held: File,
}

impl Identity {
    /// Takes the identity of a data directory, and makes both where they are missing.
    ///
    /// Fails with `DATA_DIR_IN_USE` while another server has it.
    pub fn take(data: &Path) -> Result<Self, Error> {
        let path = data.join(FILE);
        let cannot = |error: std::io::Error| Error::fault(format!("DATA_DIR_UNUSABLE: `{}`: {error}", path.display()));
        if !data.exists() {
            DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(cannot)?;
        }
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::fault(format!("DATA_DIR_IN_USE: another server runs in `{}`", data.display()))
                    .hint("give each server a data directory of its own, and PostgreSQL for several"));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(cannot)?;
        let server = match text.trim() {
            "" => {
                let server = ServerId::from_uuid(vault::uuid_v7(Clock::default().now().0));
                file.write_all(format!("{server}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)?;
                server
            }
            known => known.parse().map_err(|_| {
                Error::fault(format!("DATA_DIR_UNUSABLE: `{}` holds no server id", path.display()))
                    .hint("restore the file, or remove it: then agents that run here are started anew")
            })?,
        };
        Ok(Self { server, _held: file })
    }
}
