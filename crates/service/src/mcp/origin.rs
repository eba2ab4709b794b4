//! `Host` and `Origin`: a page of somebody else's that a browser shows must not reach a server on the same machine, also not
//! by a name that is made to point there (DNS rebinding).

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;

/// Refuses a name that is not ours, and an origin that is not where we are: `public` and `agents` are the addresses that
/// were configured. An address cannot be rebound, so each address is ours.
pub(super) fn check(headers: &HeaderMap, public: Option<&str>, agents: Option<&str>) -> Result<(), Refusal> {
    let refused = |what: &str| Err(Refusal::because(Code::OriginRefused, format!("`{what}` is not this server's")));
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Uri>().ok());
    let Some(host) = host.filter(|_| hosts.next().is_none()) else { return refused("Host") };
    let [public, agents] = [public, agents].map(|url| url.and_then(|url| url.parse::<Uri>().ok()));
    let named = |known: &Option<Uri>| {
        known
            .as_ref()
            .and_then(Uri::host)
            .is_some_and(|name| host.host().is_some_and(|own| own.eq_ignore_ascii_case(name)))
    };
    if !(host.host().is_some_and(is_unnamed) || named(&public) || named(&agents)) {
        return refused("Host");
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    let origin =
        origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok()).filter(|_| origins.next().is_none());
    let same = |known: &Uri| {
        origin.as_ref().and_then(Uri::authority).zip(known.authority()).is_some_and(|(one, two)| one == two)
    };
    if same(&host) || public.as_ref().is_some_and(same) { Ok(()) } else { refused("Origin") }
}

/// `localhost`, or an address.
fn is_unnamed(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}
