//! What handlers share.

use std::sync::Arc;

use portcullis_authority::Authority;
use tokio::sync::watch;

/// How the service presents itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The session cookie is `Secure` and named `__Host-portcullis`. False only for plain HTTP on loopback.
    pub secure_cookies: bool,
    /// Where people and agents reach this server, if that was configured; else a request's own words are believed.
    pub public_url: Option<String>,
    /// Version that `/health` tells.
    pub version: &'static str,
}

/// Shared by all handlers.
#[derive(Clone)]
pub struct App {
    pub(crate) authority: Authority,
    pub(crate) settings: Arc<Settings>,
    pub(crate) openapi: Arc<serde_json::Value>,
    pub(crate) metrics: crate::telemetry::Metrics,
    /// What is known of running agents beside the database.
    pub(crate) live: Arc<crate::live::Live>,
    /// Who waits for tasks of A2A.
    pub(crate) places: Arc<crate::a2a::Places>,
    /// How agents are run, where this server runs any.
    pub(crate) agents: Option<(Arc<crate::supervisor::Runtimes>, crate::supervisor::Settings)>,
    /// True once the server stops: a request that waits for something else waits for this as well.
    pub(crate) stopping: watch::Sender<bool>,
}

impl App {
    /// An application over an open organisation.
    pub fn new(authority: Authority, settings: Settings) -> Self {
        let openapi = Arc::new(crate::openapi::document(&crate::http::registry(), settings.version));
        let (stopping, _) = watch::channel(false);
        Self {
            authority,
            settings: Arc::new(settings),
            openapi,
            metrics: crate::telemetry::metrics(),
            live: Arc::default(),
            places: Arc::default(),
            agents: None,
            stopping,
        }
    }

    /// The same, running agents. Without this a server only serves: agents run elsewhere, or not at all.
    pub fn with_agents(self, runtimes: crate::supervisor::Runtimes, settings: crate::supervisor::Settings) -> Self {
        Self { agents: Some((Arc::new(runtimes), settings)), ..self }
    }

    /// Name of the session cookie.
    pub(crate) fn cookie_name(&self) -> &'static str {
        if self.settings.secure_cookies { "__Host-portcullis" } else { "portcullis" }
    }
}

/// Waits until the server stops.
pub(crate) async fn stops(stopping: &mut watch::Receiver<bool>) {
    // An error means that the application is gone, which is the same.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
