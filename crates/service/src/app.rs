//! What handlers share.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use portcullis_authority::Authority;
use tokio::sync::watch;

pub use crate::connections::Limits as Connections;

/// How the service presents itself.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The session cookie is `Secure` and named `__Host-portcullis`. False only for plain HTTP on loopback.
    pub secure_cookies: bool,
    /// Where people and agents reach this server, if that was configured; else a request's own words are believed.
    pub public_url: Option<String>,
    /// Version that `/health` tells.
    pub version: &'static str,
    /// How much a program may ask for.
    pub rates: Rates,
    /// How many connections there may be, and what they may keep waiting.
    pub connections: Connections,
}

/// How much one subject may ask for through the agents' doors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Calls a second, on average; four times as many at once.
    pub calls_per_s: NonZeroU32,
    /// Refusals a minute, on average and at once. Who is refused more often has to wait before anything else is decided.
    pub refusals_per_min: NonZeroU32,
}

impl Default for Rates {
    fn default() -> Self {
        let some = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self { calls_per_s: some(100), refusals_per_min: some(60) }
    }
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
    /// Who waits, or listens, through the agents' doors.
    pub(crate) places: Arc<crate::places::Places>,
    /// Whose turn it is among those who listen to events.
    pub(crate) turns: Arc<crate::turns::Turns>,
    /// How agents are run, where this server runs any.
    pub(crate) agents: Option<(Arc<crate::supervisor::Runtimes>, crate::supervisor::Settings)>,
    /// The tools of agents.
    pub(crate) mcp: Arc<crate::mcp::Mcp>,
    /// True once the server stops: a request that waits for something else waits for this as well.
    pub(crate) stopping: watch::Sender<bool>,
    /// True once the server is to stop: it still answers, and says that it is not ready.
    pub(crate) leaving: Arc<AtomicBool>,
}

impl App {
    /// An application over an open organisation.
    pub fn new(authority: Authority, settings: Settings) -> Self {
        let openapi = Arc::new(crate::openapi::document(&crate::http::registry(), settings.version));
        let (stopping, _) = watch::channel(false);
        Self {
            authority,
            mcp: Arc::new(crate::mcp::Mcp::new(settings.rates)),
            settings: Arc::new(settings),
            openapi,
            metrics: crate::telemetry::metrics(),
            live: Arc::default(),
            places: Arc::default(),
            turns: Arc::default(),
            agents: None,
            stopping,
            leaving: Arc::default(),
        }
    }

    /// The same, running agents. Without this a server only serves: agents run elsewhere, or not at all.
    pub fn with_agents(self, runtimes: crate::supervisor::Runtimes, settings: crate::supervisor::Settings) -> Self {
        Self { agents: Some((Arc::new(runtimes), settings)), ..self }
    }

    /// Whether the server is about to stop.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed) || *self.stopping.borrow()
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
