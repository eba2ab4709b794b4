//! Where this server is, for what it says of itself.

use axum::http::HeaderMap;
use portcullis_authority::Refusal;

use crate::{app::App, head};

/// As it was configured, or as the caller reached it.
pub(crate) fn base(app: &App, headers: &HeaderMap) -> Result<String, Refusal> {
    if let Some(url) = &app.settings.public_url {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let scheme = if app.settings.secure_cookies { "https" } else { "http" };
    Ok(format!("{scheme}://{}", head::host(headers)?))
}
