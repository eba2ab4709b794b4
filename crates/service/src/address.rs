//! Where this server is, for what it says of itself.

use axum::http::{HeaderMap, header};
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;

use crate::app::App;

/// As it was configured, or as the caller reached it.
pub(crate) fn base(app: &App, headers: &HeaderMap) -> Result<String, Refusal> {
    if let Some(url) = &app.settings.public_url {
        return Ok(url.trim_end_matches('/').to_owned());
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(fits) {
        return Err(Refusal::because(Code::InvalidRequest, "header `host` is malformed"));
    }
    let scheme = if app.settings.secure_cookies { "https" } else { "http" };
    Ok(format!("{scheme}://{host}"))
}
