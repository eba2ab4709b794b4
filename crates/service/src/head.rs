//! What the head of a request says: who asks, as whom, what for. Functions of text, which know no server; the fuzzer takes
//! this file as it is.

use axum::http::{HeaderMap, Uri, header};
use portcullis_authority::{Presented, Refusal};
use portcullis_kernel::refusal::Code;

/// Longest query string, in bytes.
const QUERY_BYTES_MAX: usize = 4096;
/// Longest idempotency key, in characters.
const IDEMPOTENCY_KEY_MAX: usize = 128;
const IDEMPOTENCY_KEY: &str = "an idempotency key is 1 to 128 visible ASCII characters";
/// Longest name of a host, in bytes.
const HOST_BYTES_MAX: usize = 255;

/// A bearer or a session. Where there is an `Authorization` header the cookie is not looked at: adding a cookie to a
/// token, forged or not, never changes who it is.
pub(crate) fn presented<'a>(headers: &'a HeaderMap, cookie_name: &str) -> Result<Option<Presented<'a>>, Refusal> {
    let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = authorization.next() else {
        return Ok(cookie(headers, cookie_name).map(Presented::Cookie));
    };
    let text = value.to_str().map_err(|_| Refusal::new(Code::CredentialInvalid))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if authorization.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(Refusal::new(Code::CredentialInvalid));
    }
    Ok(Some(Presented::Bearer(token.trim())))
}

/// The cookie of this name, if exactly one came.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies =
        headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(';'));
    let mut found = cookies.filter_map(|pair| pair.trim().split_once('=')).filter(|(known, _)| *known == name);
    match (found.next(), found.next()) {
        (Some((_, token)), None) => Some(token),
        _ => None,
    }
}

/// An idempotency key, within its limits.
pub(crate) fn idempotency_key(text: &str) -> Result<String, Refusal> {
    let fine = (1..=IDEMPOTENCY_KEY_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if fine { Ok(text.to_owned()) } else { Err(Refusal::because(Code::InvalidRequest, IDEMPOTENCY_KEY)) }
}

/// The idempotency key that came.
pub(crate) fn idempotency_key_of(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let malformed = |_| Refusal::because(Code::InvalidRequest, IDEMPOTENCY_KEY);
    let text = headers.get("idempotency-key").map(|value| value.to_str().map_err(malformed)).transpose()?;
    text.map(idempotency_key).transpose()
}

/// The query. A name comes once, or two readers could take two values for it; and no text has a NUL, which the store
/// cannot hold.
pub(crate) fn query(uri: &Uri) -> Result<Vec<(String, String)>, Refusal> {
    let malformed = |reason: &str| Err(Refusal::because(Code::InvalidRequest, reason));
    let text = uri.query().unwrap_or_default();
    if text.len() > QUERY_BYTES_MAX {
        return malformed("the query is longer than 4096 bytes");
    }
    let query: Vec<(String, String)> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    if query.iter().any(|(_, value)| value.contains('\0')) {
        return malformed("a query parameter has a NUL character");
    }
    let mut names: Vec<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return malformed("a query parameter comes twice");
    }
    Ok(query)
}

/// The host as the caller wrote it, which answers and challenges repeat: no character of it means anything there.
pub(crate) fn host(headers: &HeaderMap) -> Result<&str, Refusal> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(fits) {
        return Err(Refusal::because(Code::InvalidRequest, "header `host` is malformed"));
    }
    Ok(host)
}
