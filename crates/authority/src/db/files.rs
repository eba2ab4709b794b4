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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testkit::TestDb;

    #[test]
    fn a_file_that_is_gone_or_another_one_is_noticed_and_the_same_one_is_taken_again() {
        let db = TestDb::sqlite();
        let Target::Sqlite { path } = &db.target else { panic!("a file") };
        for ending in ["", "-wal", "-shm"] {
            let file = PathBuf::from(format!("{}{ending}", path.display()));
            std::fs::write(&file, "as opened").unwrap();
        }
        let mut files = Files::of(&db.target);
        assert_eq!(files.check(), Ok(()));
        for ending in ["", "-wal", "-shm"] {
            let (file, away) = (PathBuf::from(format!("{}{ending}", path.display())), db.data_dir.join("away"));
            std::fs::rename(&file, &away).unwrap();
            assert!(matches!(files.check(), Err(DbError::Unavailable(_))), "`{ending}` is gone");
            std::fs::copy(&away, &file).unwrap();
            assert!(matches!(files.check(), Err(DbError::Unavailable(_))), "`{ending}` is a copy");
            std::fs::rename(&away, &file).unwrap();
            assert_eq!(files.check(), Ok(()), "`{ending}` is back");
        }
    }

    #[test]
    fn a_log_file_that_comes_later_is_taken_as_it_is_and_kept_in_mind() {
        let db = TestDb::sqlite();
        let Target::Sqlite { path } = &db.target else { panic!("a file") };
        std::fs::write(path, "as opened").unwrap();
        let mut files = Files::of(&db.target);
        assert_eq!(files.check(), Ok(()));
        let log = PathBuf::from(format!("{}-wal", path.display()));
        std::fs::write(&log, "new").unwrap();
        assert_eq!(files.check(), Ok(()));
        std::fs::remove_file(&log).unwrap();
        assert!(files.check().is_err());
    }
}
