//! The admin token, which stands for the root agent: where it comes from, and which of two holds.
//!
//! One that was set in the environment replaces any other, because somebody chose it. One that a server made for itself does
//! so only where the server is alone, on SQLite: several share a PostgreSQL, and none takes away what another one uses.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use portcullis_kernel::{
    id::CredentialId,
    refusal::Code,
    scope::Scopes,
    subject::{Principal, SystemRole},
};
use zeroize::Zeroizing;

use crate::{
    authn,
    bootstrap::StartError,
    caller::CredentialKind,
    db::DbError,
    gate::Cx,
    permit::Writing,
    refusal::Refusal,
    tables::credentials,
    vault::{self, PlainToken, TokenHash, TokenKind},
};

/// Shortest admin token that is taken from the environment, in characters.
const ADMIN_TOKEN_CHARS_MIN: usize = 16;
const ADMIN_TOKEN_FILE: &str = "admin.token";

/// Where the admin token comes from.
pub enum AdminToken {
    /// From the environment.
    Given(Zeroizing<String>),
    /// A 0600 file in the data directory, made at first start.
    File,
    /// Leave it as it is: commands that work beside a running server.
    Untouched,
}

/// The root agent's token as this server has it, and what that may replace.
pub(crate) enum Admin {
    /// None: it is left as it is.
    Untouched,
    /// Somebody chose it: it replaces any other.
    Given(Zeroizing<String>),
    /// It was made, here, for this data directory.
    Filed(Zeroizing<String>),
    /// None yet; where one is kept that is made.
    Missing(PathBuf),
}

impl Admin {
    /// What there is; a token that cannot be used is refused before anything is opened.
    pub(crate) fn find(source: AdminToken, dir: &Path) -> Result<Self, StartError> {
        match source {
            AdminToken::Untouched => Ok(Self::Untouched),
            AdminToken::Given(text) => {
                let trimmed = Zeroizing::new(text.trim().to_owned());
                if trimmed.chars().count() < ADMIN_TOKEN_CHARS_MIN {
                    let problem = format!(
                        "PORTCULLIS_ADMIN_TOKEN has fewer than {ADMIN_TOKEN_CHARS_MIN} characters; use 32 random bytes"
                    );
                    return Err(StartError::AdminToken(problem));
                }
                Ok(Self::Given(trimmed))
            }
            AdminToken::File => read(dir.join(ADMIN_TOKEN_FILE)),
        }
    }

    /// What is to be the organisation's token. One that is missing is made, unless the database is `shared` and the
    /// organisation has one: whoever made that goes on using it, and only a human's choice takes it away.
    ///
    /// It is written before its hash is, so that a crash between leaves a file that the next start takes up.
    pub(crate) fn settle(self, shared: bool, has_one: bool) -> Result<Option<Wanted>, StartError> {
        Ok(match self {
            Self::Untouched => None,
            Self::Given(text) => Some(Wanted { text, replaces: true, made: None }),
            Self::Filed(text) => Some(Wanted { text, replaces: !shared, made: None }),
            Self::Missing(_) if shared && has_one => {
                tracing::info!("the organisation has an admin token, so none is made here");
                None
            }
            Self::Missing(path) => Some(Wanted { text: make(&path)?, replaces: !shared, made: Some(path) }),
        })
    }
}

/// A token that is to be the organisation's.
pub(crate) struct Wanted {
    text: Zeroizing<String>,
    /// Also where the organisation has another.
    replaces: bool,
    /// Where it was just made.
    pub(crate) made: Option<PathBuf>,
}

/// Says what came of a token that is not the organisation's.
pub(crate) fn useless(made: Option<&Path>) {
    match made {
        // Another server was faster.
        Some(path) => drop(fs::remove_file(path)),
        None => tracing::warn!(
            "`{ADMIN_TOKEN_FILE}` in the data directory is not the organisation's admin token and opens nothing; remove it, or \
             set PORTCULLIS_ADMIN_TOKEN, which replaces the one there is"
        ),
    }
}

fn problem_at(path: &Path, what: String) -> StartError {
    StartError::AdminToken(format!("`{}`: {what}", path.display()))
}

fn read(path: PathBuf) -> Result<Admin, StartError> {
    let problem = |what: String| problem_at(&path, what);
    let Ok(mut file) = fs::File::open(&path) else { return Ok(Admin::Missing(path)) };
    let mode = file.metadata().map_err(|e| problem(e.to_string()))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(problem("others may read it; set its mode to 0600".into()));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(|e| problem(e.to_string()))?;
    let text = Zeroizing::new(text.trim().to_owned());
    if text.len() < ADMIN_TOKEN_CHARS_MIN {
        return Err(problem("it is too short; remove it, or set PORTCULLIS_ADMIN_TOKEN".into()));
    }
    Ok(Admin::Filed(text))
}

fn make(path: &Path) -> Result<Zeroizing<String>, StartError> {
    let problem = |error: std::io::Error| problem_at(path, error.to_string());
    let token = PlainToken::generate(TokenKind::Admin);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(problem)?;
    let written =
        file.write_all(token.expose().as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    written.map_err(problem)?;
    Ok(Zeroizing::new(token.expose().to_owned()))
}

/// Makes the stored hash that of a token. Another token ends the old one and everything minted from it; false where it may
/// not, and nothing was done.
pub(crate) fn put(cx: &mut Cx<'_>, wanted: &Wanted) -> Result<bool, Refusal> {
    let hash = TokenHash::of_text(&wanted.text);
    let known = credentials::admin(cx.conn)?;
    if known.as_ref().is_some_and(|(_, stored)| stored == hash.0.as_slice()) {
        return Ok(true);
    }
    if known.is_some() && !wanted.replaces {
        return Ok(false);
    }
    if let Some((id, _)) = known {
        credentials::revoke_tree(cx.conn, id, "admin_token_replaced", cx.now.0)?;
    }
    let because = cx.record(&mut authn::system_event(cx, "admin_token.set", "start"))?;
    let id = CredentialId::from_uuid(vault::uuid_v7(cx.now.0));
    let root = cx.core.root;
    let mut writing = Writing::new(cx, because, Principal::System(SystemRole::Bootstrap).to_string(), None);
    let new = credentials::NewCredential {
        id,
        kind: CredentialKind::Admin,
        hash: hash.0.as_slice(),
        hint: "admin",
        name: "admin token",
        // An agent surface, never a human: whoever holds it is the root agent (design §3).
        principal: Principal::Agent(root),
        ancestors: &[],
        workspace: None,
        scopes: &Scopes::admin(),
        unattended: false,
        // Replaced in the environment, not by time.
        expires_at: i64::MAX,
        idle_ms: None,
        payload: None,
    };
    match credentials::insert(&mut writing, &new) {
        Ok(()) => Ok(true),
        // The same token was in use before and was replaced: it does not come back to life.
        Err(DbError::Unique { .. }) => {
            Err(Refusal::because(Code::Conflict, "this admin token was replaced earlier; choose a new one"))
        }
        Err(error) => Err(error.into()),
    }
}
