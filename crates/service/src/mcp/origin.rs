//! `Host` and `Origin`: a page of somebody else's that a browser shows must not reach a server on the same machine, also not
//! by a name that is made to point there (DNS rebinding).

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header, uri::Authority};
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;

/// Refuses a name that is not ours, and an origin that is not where we are: `public` and `agents` are the addresses that
/// were configured. An address cannot be rebound, so each address is ours.
pub(super) fn check(headers: &HeaderMap, public: Option<&str>, agents: Option<&str>) -> Result<(), Refusal> {
    let refused = |what: &str| Err(Refusal::because(Code::OriginRefused, format!("`{what}` is not this server's")));
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    let host = host.filter(|host| hosts.next().is_none() && is_whole(host));
    let Some(host) = host else { return refused("Host") };
    let [public, agents] = [public, agents].map(|url| url.and_then(|url| url.parse::<Uri>().ok()));
    let named = |known: &Option<Uri>| {
        known.as_ref().and_then(Uri::host).is_some_and(|name| host.host().eq_ignore_ascii_case(name))
    };
    if !(is_unnamed(host.host()) || named(&public) || named(&agents)) {
        return refused("Host");
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin =
        origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()).filter(|_| origins.next().is_none());
    let same = |known: &Authority| origin.as_ref().and_then(Uri::authority) == Some(known);
    if same(&host) || public.as_ref().and_then(Uri::authority).is_some_and(same) { Ok(()) } else { refused("Origin") }
}

/// A host, and a port if there is one: no user before it, and nothing that is no port behind it.
fn is_whole(authority: &Authority) -> bool {
    let Some(rest) = authority.as_str().strip_prefix(authority.host()) else { return false };
    rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `localhost`, or an address.
fn is_unnamed(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}
