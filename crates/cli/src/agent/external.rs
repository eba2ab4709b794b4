//! An agent that runs elsewhere: it enrols once, keeps its token in a private directory, and pulls its bundle.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};

use super::plane::Patience;
use crate::client::{Call, Client, Credential};
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::output::Output;

/// How long one attempt to enrol may take.
const ENROL_TIMEOUT: Duration = Duration::from_secs(15);

/// In the mark, when an attempt had no answer.
const SENT: &[u8] = b"sent";

/// The private directory.
pub struct State {
    directory: PathBuf,
}

impl State {
    /// Makes it, or takes the one that is there and closes it to others.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let cannot = |error| Error::usage(format!("cannot use `{}`: {error}", directory.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(cannot)?;
        fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(cannot)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// Where the token is.
    pub fn token_file(&self) -> PathBuf {
        self.directory.join("token")
    }

    /// Written before the code is sent, removed when the token is stored.
    fn mark(&self) -> PathBuf {
        self.directory.join("enrolling")
    }

    /// Whose token it is; a token of one workspace must not be used for another.
    fn owner(&self) -> PathBuf {
        self.directory.join("workspace")
    }

    /// The turn that was begun last and whose end nobody has heard yet.
    fn turn(&self) -> PathBuf {
        self.directory.join("turn")
    }

    /// Notes a turn before it is run: an agent that ends in the middle of it must not run it twice.
    pub fn begin_turn(&self, turn: &str) -> Result<(), Error> {
        write(&self.turn(), turn.as_bytes())
    }

    /// The turn that an earlier process began and did not see ended.
    pub fn begun_turn(&self) -> Result<Option<String>, Error> {
        match fs::read_to_string(self.turn()) {
            Ok(turn) => Ok(Some(turn)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::fault(format!("cannot read `{}`: {error}", self.turn().display()))),
        }
    }

    /// The end of the turn was heard. A note that stays is harmless: no turn has the id of an ended one.
    pub fn end_turn(&self) {
        let _ = fs::remove_file(self.turn());
    }

    /// Writes the restart context where a command can read it.
    pub fn keep_context(&self, context: &str) -> Result<PathBuf, Error> {
        let file = self.directory.join("context.json");
        write(&file, context.as_bytes())?;
        Ok(file)
    }

    /// Makes sure there is a token: the one of an earlier start, else the one that the code is turned into.
    pub async fn enrol(&self, base: &Url, id: &str, code: Option<&Path>, output: Output) -> Result<(), Error> {
        if self.token_file().exists() {
            let owner = fs::read_to_string(self.owner()).unwrap_or_default();
            if owner != id {
                return Err(Error::usage(format!("`{}` belongs to another workspace", self.directory.display())));
            }
            if code.is_some() {
                output.note("agent: enrolled already; the code is not used");
            }
            return Ok(());
        }
        let code = code.ok_or_else(|| {
            Error::usage("this agent is not enrolled").hint("ask for a one-time code and give `--enrol-code-file FILE`")
        })?;
        let code = Hidden::read(code)?.without_final_newline();
        // Found out now, while the code is still good: whether a token could be stored at all, and what happened before.
        let again = self.mark().exists();
        write(&self.owner(), id.as_bytes())?;
        write(&self.mark(), b"")?;
        let token = self.redeem(base, id, &code, output).await.map_err(|error| self.explain(error, again))?;
        write(&self.token_file(), token.reveal().as_bytes())?;
        fs::remove_file(self.mark()).map_err(|error| Error::fault(format!("cannot finish enrolling: {error}")))?;
        output.note("agent: enrolled");
        Ok(())
    }

    async fn redeem(&self, base: &Url, id: &str, code: &Hidden, output: Output) -> Result<Hidden, Error> {
        let client = Client::new(base, Credential::None, ENROL_TIMEOUT)?;
        let body = json!({"id": id, "code": code.reveal()});
        let mut patience = Patience::new(output);
        loop {
            match client.json(&Call::post("/registry/register", &body)).await {
                Ok(answer) => {
                    let token = answer.get("auth_token").and_then(Value::as_str);
                    let token = token.ok_or_else(|| Error::fault("the control plane gave no token for the code"))?;
                    return Ok(Hidden::new(token.to_owned()));
                }
                // The code may have been used although no answer came; if so, the next attempt says it.
                Err(error) if error.exit == Exit::Unavailable => {
                    write(&self.mark(), SENT)?;
                    patience.wait("enrolling", &error.to_string()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether an earlier attempt may have used the code decides what its refusal means.
    fn explain(&self, mut error: Error, again: bool) -> Error {
        if !error.problem.as_ref().is_some_and(|problem| (400..500).contains(&problem.status)) {
            return error;
        }
        let hint = if again || fs::read(self.mark()).is_ok_and(|mark| mark == SENT) {
            "an earlier attempt may have used the code, and ended before its token was stored; nobody has that token. \
             Ask for a new code, and revoke the token of that time"
        } else {
            // Refused at the first attempt: there is nothing to explain the next time.
            let _ = fs::remove_file(self.mark());
            "ask for a new one-time code for this workspace"
        };
        error.exit = Exit::Unauthenticated;
        error.hint(hint)
    }
}

/// Durable, private and whole: a reader sees the old file or the new one.
fn write(file: &Path, bytes: &[u8]) -> Result<(), Error> {
    let store = || {
        let draft = file.with_extension("new");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        fs::rename(&draft, file)?;
        file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    store().map_err(|error| Error::fault(format!("cannot write `{}`: {error}", file.display())))
}
