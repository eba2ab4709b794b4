//! Where `login` keeps its session, and which server and credential a command uses.
//!
//! Order: `--token-file`, `PORTCULLIS_TOKEN`, then the session kept for the server's URL. A token is never kept.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use etcetera::{AppStrategy, AppStrategyArgs};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The server a command talks to if nobody says otherwise.
pub const URL_DEFAULT: &str = "http://127.0.0.1:7717";

/// The sessions of one person, by server.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Profile {
    /// The server of the last login.
    pub current: Option<String>,
    /// One session a server.
    pub sessions: BTreeMap<String, Session>,
}

/// One operator session. Deliberately without `Debug`: it is a credential.
#[derive(Clone, Deserialize, Serialize)]
pub struct Session {
    /// `name=value` of the session cookie.
    pub cookie: String,
    /// Sent with every change.
    pub csrf_token: String,
    /// Whose session it is, for messages.
    pub email: String,
}

impl Profile {
    /// `portcullis/session.json` in the configuration directory of this user.
    pub fn path() -> Result<PathBuf, Error> {
        let names = AppStrategyArgs {
            top_level_domain: "dev".into(),
            author: "portcullis".into(),
            app_name: "portcullis".into(),
        };
        etcetera::choose_app_strategy(names)
            .map(|strategy| strategy.in_config_dir("session.json"))
            .map_err(|_| Error::fault("this user has no home directory").hint("use `--token-file` or PORTCULLIS_TOKEN"))
    }

    /// The kept sessions; none if there is no file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Error::fault(format!("cannot read `{}`: {error}", path.display()))),
        };
        serde_json::from_str(&text).map_err(|_| {
            Error::fault(format!("`{}` is damaged", path.display())).hint("delete it and run `portcullis login`")
        })
    }

    /// Replaces the file as a whole.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(|error| Error::fault(error.to_string()))?;
        write_private(path, format!("{text}\n").as_bytes())
    }
}

/// Writes a file that only this user may read. It is 0600 from its first byte, and appears whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::fault(format!("cannot write `{}`: {error}", path.display()));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(failed)?;
    let name = path.file_name().ok_or_else(|| Error::usage(format!("`{}` is not a file name", path.display())))?;
    let part = directory.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let written = create_private(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // The error that is reported is the first one.
        let _ = fs::remove_file(&part);
    }
    written.map_err(failed)
}

/// Creates a new 0600 file; an existing one is an error, so that nobody can prepare it with wider rights.
pub fn create_private(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_for_this_user_only() {
        let directory = std::env::temp_dir().join(format!("portcullis-profile-{}", std::process::id()));
        let path = directory.join("deep").join("session.json");
        let session = Session { cookie: "c=1".into(), csrf_token: "x".into(), email: "a@b".into() };
        let profile = Profile { current: Some("u".into()), sessions: BTreeMap::from([("u".into(), session)]) };
        profile.save(&path).unwrap();
        profile.save(&path).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(Profile::load(&path).unwrap().sessions["u"].cookie, "c=1");
        fs::remove_dir_all(directory).unwrap();
        assert!(Profile::load(&path).unwrap().sessions.is_empty());
    }
}
