//! Whether the files of a SQLite database are still those that were opened.
//!
//! SQLite writes to what it has open, whatever became of its name: after a `rm` it confirms writes that end with the
//! process. So the writer looks at the names before it begins, and again after COMMIT before anybody is answered.

use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{error::DbError, open::Target};

/// Device and inode.
type Identity = (u64, u64);

/// The database file and its two log files, as they were first seen. Empty for PostgreSQL.
pub(super) struct Files(Vec<(PathBuf, Option<Identity>)>);

impl Files {
    /// Looks at the files of an open database.
    pub(super) fn of(target: &Target) -> Self {
        let Target::Sqlite { path } = target else { return Self(Vec::new()) };
        let beside = |ending: &str| {
            let mut name = path.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        let paths = [path.clone(), beside("-wal"), beside("-shm")];
        Self(paths.into_iter().map(|path| (path.clone(), identity(&path))).collect())
    }

    /// Fails with [`DbError::Unavailable`] where a file is gone or another one. The log files come into being with the
    /// first statement, so one that was not there yet is taken as it is.
    pub(super) fn check(&mut self) -> Result<(), DbError> {
        for (path, known) in &mut self.0 {
            let now = identity(path);
            match *known {
                None => *known = now,
                Some(_) if *known == now => {}
                Some(_) => {
                    return Err(DbError::Unavailable(format!(
                        "`{}` was removed or replaced under the running server; put it back, or restart on what is there",
                        path.display()
                    )));
                }
            }
        }
        Ok(())
    }
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
