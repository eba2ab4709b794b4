//! The server a scenario runs against, and the two credentials that fixtures are built with.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;

use crate::client::{Client, Credential};
use crate::command::login::{open_session, prove};
use crate::error::Error;
use crate::hidden::Hidden;

/// A running server, the admin token, and an owner with a session.
pub struct Target {
    pub(super) anonymous: Client,
    pub(super) admin: Arc<Client>,
    pub(super) owner: Arc<Client>,
    pub(super) owner_id: Value,
    pub(super) admin_token: Hidden,
    password: Hidden,
    pub(super) keep: bool,
}

impl Target {
    /// Logs the owner in, once for all scenarios.
    pub async fn connect(
        base: &Url,
        admin_token: Hidden,
        email: &str,
        password: Hidden,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let anonymous = Client::new(base, Credential::None, timeout)?;
        let admin = anonymous.with(Credential::Bearer(Hidden::new(admin_token.reveal().to_owned())))?;
        let (session, answer) = open_session(&anonymous, email, &password).await?;
        let owner = anonymous.with(Credential::Session {
            cookie: Hidden::new(session.cookie),
            csrf_token: Hidden::new(session.csrf_token),
        })?;
        Ok(Self {
            anonymous,
            admin: Arc::new(admin),
            owner: Arc::new(owner),
            owner_id: answer["operator"]["id"].clone(),
            admin_token,
            password,
            keep: false,
        })
    }

    /// Whether fixtures stay behind.
    #[must_use]
    pub fn keep(mut self, keep: bool) -> Self {
        self.keep = keep;
        self
    }

    /// The owner's session.
    #[must_use]
    pub fn owner(&self) -> &Client {
        &self.owner
    }

    /// Freshens the owner's step-up: it decides, and makes operators.
    pub(super) async fn step_up(&self) -> Result<(), Error> {
        prove(&self.owner, &self.password).await.map(drop)
    }
}
