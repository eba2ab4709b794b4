//! What handlers share.

use std::sync::Arc;

use portcullis_authority::Authority;

/// How the service presents itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The session cookie is `Secure` and named `__Host-portcullis`. False only for plain HTTP on loopback.
    pub secure_cookies: bool,
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
}

impl App {
    /// An application over an open organisation.
    pub fn new(authority: Authority, settings: Settings) -> Self {
        let openapi = Arc::new(crate::openapi::document(&crate::http::registry(), settings.version));
        Self { authority, settings: Arc::new(settings), openapi, metrics: crate::telemetry::metrics() }
    }

    /// Name of the session cookie.
    pub(crate) fn cookie_name(&self) -> &'static str {
        if self.settings.secure_cookies { "__Host-portcullis" } else { "portcullis" }
    }
}
