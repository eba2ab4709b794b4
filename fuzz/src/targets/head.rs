//! Heads of requests: a line of the query, then lines of headers.

#[path = "../../../crates/service/src/mcp/origin.rs"]
mod origin;
#[path = "../../../crates/service/src/head.rs"]
mod said;

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use portcullis_authority::Presented;

use super::quotes_nothing;

const COOKIE: &str = "__Host-portcullis";
const PUBLIC: &str = "https://gate.example.org";

fn headers(lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..at]);
        // The server takes spaces off both ends.
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

pub(super) fn head(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    if let Ok(uri) = Uri::try_from([b"/?".as_slice(), target].concat()) {
        query(&uri);
    }
    let headers = headers(&lines.collect::<Vec<_>>());
    credential(&headers);
    place(&headers);
    match said::idempotency_key_of(&headers) {
        Ok(key) => assert!(key.is_none_or(|key| said::idempotency_key(&key).is_ok_and(|again| again == key))),
        Err(refusal) => quotes_nothing(&refusal.reason, &format!("{:?}", headers.get("idempotency-key"))),
    }
}

fn query(uri: &Uri) {
    match said::query(uri) {
        Ok(pairs) => {
            let names: BTreeSet<&String> = pairs.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), pairs.len(), "a name came twice");
            assert!(pairs.iter().all(|(_, value)| !value.contains('\0')));
        }
        Err(refusal) => quotes_nothing(&refusal.reason, uri.query().unwrap_or_default()),
    }
}

/// Whose request it is.
fn presented(headers: &HeaderMap) -> Result<(Option<String>, Option<String>), String> {
    match said::presented(headers, COOKIE) {
        Ok(None) => Ok((None, None)),
        Ok(Some(Presented::Bearer(token))) => Ok((Some(token.to_owned()), None)),
        Ok(Some(Presented::Cookie(token))) => Ok((None, Some(token.to_owned()))),
        Err(refusal) => Err(refusal.reason),
    }
}

fn credential(headers: &HeaderMap) {
    let before = presented(headers);
    let mut more = headers.clone();
    more.append(header::COOKIE, HeaderValue::from_static("a=b; __Host-portcullis=forged"));
    let after = presented(&more);
    if headers.contains_key(header::AUTHORIZATION) {
        assert_eq!(before, after, "a cookie beside a token changed who asks");
        more.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer forged"));
        assert!(presented(&more).is_err(), "one of two tokens was chosen");
    }
    match before {
        Err(reason) => quotes_nothing(&reason, &format!("{headers:?}")),
        Ok((Some(token), _)) => {
            assert!(!token.is_empty() && token.trim() == token);
            let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            assert!(
                value.ends_with(&token) && value[..value.len() - token.len()].trim().eq_ignore_ascii_case("bearer")
            );
        }
        Ok((None, Some(token))) => {
            assert!(!token.contains(';'), "more than one cookie is one");
            assert_ne!(after, Ok((None, Some(token))), "one of two cookies was chosen");
        }
        Ok((None, None)) => {}
    }
}

/// The host without its port, if that is all there is.
fn bare(host: &str) -> &str {
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare)
}

fn place(headers: &HeaderMap) {
    if let Ok(host) = said::host(headers) {
        let url = format!("https://{host}/x");
        assert!(!url.bytes().any(|byte| byte <= b' ' || b"\"'<>@\\,;?#".contains(&byte)), "{url}");
        assert_eq!(url.split('/').count(), 4, "{url} is another place");
    }
    if origin::check(headers, Some(PUBLIC), None).is_ok() {
        assert_eq!(headers.get_all(header::HOST).iter().count(), 1);
        let host = bare(headers[header::HOST].to_str().expect("a text"));
        let ours = ["localhost", "gate.example.org"].iter().any(|name| host.eq_ignore_ascii_case(name));
        assert!(ours || host.parse::<IpAddr>().is_ok(), "`{host}` passes for this server");
        let origins = headers.get_all(header::ORIGIN).iter().map(|origin| origin.to_str().expect("a text"));
        let origins: Vec<&str> = origins.collect();
        assert!(origins.len() <= 1);
        if let Some(origin) = origins.first() {
            let place = origin.split_once("://").map_or(*origin, |(_, place)| place).trim_end_matches('/');
            let host = headers[header::HOST].to_str().expect("a text");
            let ours = [host, "gate.example.org"].iter().any(|known| place.eq_ignore_ascii_case(known));
            assert!(ours, "`{origin}` passes for this server at `{host}`");
        }
    }
}
