//! What every client command starts from: the output, the server, and the credential.

use std::time::Duration;

use serde_json::{Value, json};

use crate::args::Global;
use crate::client::{self, Answer, Call, Client, Credential};
use crate::environment;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::output::Output;
use crate::profile::{Profile, URL_DEFAULT};

/// The surroundings of one command.
pub struct Context {
    /// Where results go.
    pub output: Output,
    global: Global,
}

impl Context {
    /// From the options every command has.
    #[must_use]
    pub fn new(global: Global) -> Self {
        Self { output: Output::new(global.json), global }
    }

    /// The server: `--url`, `PORTCULLIS_URL`, the one of the last login, this machine.
    pub fn base(&self, profile: &Profile) -> Result<reqwest::Url, Error> {
        let chosen = self.global.url.as_deref().or(profile.current.as_deref());
        client::parse_base(chosen.unwrap_or(URL_DEFAULT))
    }

    /// The server as it was given, not the one of a login.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.global.url.as_deref()
    }

    /// Whether `--token-file` was given.
    #[must_use]
    pub fn has_token_file(&self) -> bool {
        self.global.token_file.is_some()
    }

    /// `--token-file`.
    #[must_use]
    pub fn token_file(&self) -> Option<&std::path::Path> {
        self.global.token_file.as_deref()
    }

    /// How long to wait for an answer.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.global.timeout_s)
    }

    /// A client that presents this credential.
    pub fn client_as(&self, credential: Credential) -> Result<Client, Error> {
        Client::new(&self.base(&Profile::load(&Profile::path()?)?)?, credential, self.timeout())
    }

    /// A client with the token or session this person has.
    pub fn client(&self) -> Result<Client, Error> {
        if let Some(file) = &self.global.token_file {
            return self.client_as(Credential::Bearer(Hidden::read(file)?.without_final_newline()));
        }
        if let Some(token) = environment::token() {
            return self.client_as(Credential::Bearer(token));
        }
        let profile = Profile::load(&Profile::path()?)?;
        let base = self.base(&profile)?;
        let Some(session) = profile.sessions.get(base.as_str()) else {
            return Err(Error::new(Exit::Unauthenticated, format!("you are not logged in at `{base}`"))
                .hint("run `portcullis login`, or give a token with `--token-file` or PORTCULLIS_TOKEN"));
        };
        let credential = Credential::Session {
            cookie: Hidden::new(session.cookie.clone()),
            csrf_token: Hidden::new(session.csrf_token.clone()),
        };
        Client::new(&base, credential, self.timeout())
    }

    /// Sends a change, or with `dry_run` asks what it would do; shows the answer. Held is not done, and says so.
    pub async fn submit(
        &self,
        client: &Client,
        call: Call,
        dry_run: bool,
        done: impl FnOnce(&Value) -> String,
    ) -> Result<Exit, Error> {
        let call = if dry_run { call.query("dry_run", "true") } else { call };
        let answer = crate::progress::while_waiting("waiting for the server", client.send(&call)).await?;
        self.settle(answer, dry_run, done)
    }

    /// Shows the answer to a change.
    pub fn settle(&self, answer: Answer, dry_run: bool, done: impl FnOnce(&Value) -> String) -> Result<Exit, Error> {
        let status = answer.status;
        let value = answer.into_json()?;
        if dry_run {
            // INVARIANT: what was not confirmed as a dry run is not reported as one.
            if value["dry_run"] != true {
                return Err(Error::fault("the server does not know dry runs here; the change may have happened"));
            }
            return self.plan(&value);
        }
        if status == 202 {
            return self.held(&value);
        }
        self.output.done(&value, &done(&value))?;
        Ok(Exit::Ok)
    }

    fn held(&self, value: &Value) -> Result<Exit, Error> {
        let id = value["approval_id"].as_str().unwrap_or("?");
        self.output.done(value, &format!("held: approval {id} is pending; nothing has changed"))?;
        if !self.output.is_json() {
            self.output.note(&format!("hint: `portcullis approval wait {id}` waits for the decision"));
        }
        Ok(Exit::Held)
    }

    fn plan(&self, value: &Value) -> Result<Exit, Error> {
        let decision = value["decision"].as_str().unwrap_or_default();
        self.output.object(value)?;
        Ok(match decision {
            "allow" => Exit::Ok,
            "hold" => Exit::Held,
            "deny" => Exit::Denied,
            _ => Exit::Fault,
        })
    }
}

/// Drops members nobody gave, so that the server's defaults apply.
#[must_use]
pub fn given(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, member| !member.is_null() && *member != json!([]));
    }
    body
}
