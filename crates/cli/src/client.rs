//! The HTTP client: one server, one credential, problem documents in, typed errors out.
//!
//! Absent on purpose: redirects (a credential goes where it was addressed and nowhere else), retries (only the caller
//! knows whether a request may happen twice), and proxies for plain HTTP (a proxy would read the credential).

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::problem::Problem;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a caller says who it is.
pub enum Credential {
    /// Not at all.
    None,
    /// `Authorization: Bearer`.
    Bearer(Hidden),
    /// An operator's session.
    Session {
        /// `name=value`.
        cookie: Hidden,
        /// Sent with every change.
        csrf_token: Hidden,
    },
    /// Headers as they are: for forged ones.
    Headers(Vec<(String, String)>),
}

impl Credential {
    fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    fn headers(&self, method: &Method) -> Vec<(String, String)> {
        match self {
            Self::None => Vec::new(),
            Self::Bearer(token) => vec![("Authorization".into(), format!("Bearer {}", token.reveal()))],
            Self::Session { cookie, csrf_token } => {
                let mut headers = vec![("Cookie".into(), cookie.reveal().to_owned())];
                if method != Method::GET && method != Method::HEAD {
                    headers.push(("X-CSRF-Token".into(), csrf_token.reveal().to_owned()));
                }
                headers
            }
            Self::Headers(headers) => headers.clone(),
        }
    }
}

/// One request, before it has a caller.
pub struct Call {
    /// The verb.
    pub method: Method,
    /// Path and query, already encoded.
    pub path: String,
    /// Headers beside the credential; these win over it.
    pub headers: Vec<(String, String)>,
    /// Headers that are left out even if the credential would send them.
    pub omit: Vec<String>,
    /// The body, if any; JSON unless `headers` say otherwise.
    pub body: Option<Vec<u8>>,
    /// Longer or shorter than the client's own.
    pub timeout: Option<Duration>,
}

impl Call {
    /// A call without a body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), omit: Vec::new(), body: None, timeout: None }
    }

    /// Reads.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Posts JSON.
    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, path).json(body)
    }

    /// Patches with JSON.
    pub fn patch(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::PATCH, path).json(body)
    }

    /// Deletes.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// With this JSON as the body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(body.to_string().into_bytes());
        self
    }

    /// With one more query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let separator = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{separator}{name}={}", self.path, encode(value));
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// What came back.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, if it is.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The JSON of a success, the problem of anything else.
    pub fn into_json(self) -> Result<Value, Error> {
        if !(200..300).contains(&self.status) {
            return Err(Problem::parse(self.status, &self.body).into());
        }
        self.json().ok_or_else(|| Error::fault("the server's answer is not JSON").hint("is this a Portcullis server?"))
    }
}

/// A server and who we are to it.
pub struct Client {
    http: reqwest::Client,
    base: Url,
    credential: Credential,
}

impl Client {
    /// Refuses to send a credential where others on the network could read it.
    pub fn new(base: &Url, credential: Credential, timeout: Duration) -> Result<Self, Error> {
        if !credential.is_none() {
            require_private(base)?;
        }
        let http = http(base, timeout)?;
        Ok(Self { http, base: base.clone(), credential })
    }

    /// The same connections, another caller.
    pub fn with(&self, credential: Credential) -> Result<Self, Error> {
        if !credential.is_none() {
            require_private(&self.base)?;
        }
        Ok(Self { http: self.http.clone(), base: self.base.clone(), credential })
    }

    /// Where it talks to.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Sends and reads the whole answer, whatever its status.
    pub async fn send(&self, call: &Call) -> Result<Answer, Error> {
        let response = self.start(call).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(|error| unreachable(&self.base, &error))?.to_vec();
        Ok(Answer { status, headers, body })
    }

    /// Sends and expects JSON.
    pub async fn json(&self, call: &Call) -> Result<Value, Error> {
        self.send(call).await?.into_json()
    }

    /// Sends and hands out the answer as it arrives, for downloads without a known end.
    pub async fn start(&self, call: &Call) -> Result<reqwest::Response, Error> {
        // Not `Url::join`: a path that begins with `//` would name another host.
        let base = self.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{}", call.path))
            .map_err(|error| Error::usage(format!("`{}` is not a path: {error}", call.path)))?;
        let mut headers = HeaderMap::new();
        if call.body.is_some() {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
        for (name, value) in self.credential.headers(&call.method).iter().chain(&call.headers) {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(Error::usage("a header has a name or value that HTTP does not allow"));
            };
            headers.insert(name, value);
        }
        for name in &call.omit {
            headers.remove(name.as_str());
        }
        let mut request = self.http.request(call.method.clone(), url).headers(headers);
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        if let Some(timeout) = call.timeout {
            request = request.timeout(timeout);
        }
        request.send().await.map_err(|error| unreachable(&self.base, &error))
    }
}

fn http(base: &Url, timeout: Duration) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
    if base.scheme() == "http" {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| Error::fault(format!("cannot set up HTTP: {error}")))
}

/// Parses `--url`.
pub fn parse_base(text: &str) -> Result<Url, Error> {
    let url = Url::parse(text).map_err(|error| Error::usage(format!("`{text}` is not a URL: {error}")))?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain {
        return Err(Error::usage("the server's URL must look like `https://host[:port]`, with nothing else in it"));
    }
    Ok(url)
}

/// Encrypted, or not leaving this machine.
pub fn require_private(base: &Url) -> Result<(), Error> {
    let host = base.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if base.scheme() == "https" || loopback {
        return Ok(());
    }
    Err(Error::usage(format!("refusing to send a credential over plain HTTP to `{host}`"))
        .hint("use an `https://` URL, or a tunnel to a loopback address"))
}

fn unreachable(base: &Url, error: &reqwest::Error) -> Error {
    let why = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "the connection was refused or could not be made"
    } else {
        "the connection broke"
    };
    Error::new(Exit::Unavailable, format!("cannot talk to `{base}`: {why}"))
        .hint("is the server running? `portcullis serve` starts one; `--url` names another")
}

/// Percent-encodes everything but the unreserved characters.
#[must_use]
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// An absolute path whose segments may hold anything.
#[must_use]
pub fn path(segments: &[&str]) -> String {
    segments.iter().map(|segment| format!("/{}", encode(segment))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client, Error> {
        Client::new(&parse_base(url).unwrap(), Credential::Bearer(Hidden::new("t".into())), CONNECT_TIMEOUT)
    }

    #[test]
    fn a_credential_is_not_sent_in_the_clear_beyond_this_machine() {
        for url in ["http://127.0.0.1:7717", "http://[::1]:7717", "http://localhost", "https://portcullis.example"] {
            assert!(client(url).is_ok(), "{url}");
        }
        for url in
            ["http://portcullis.example", "http://127.0.0.1.example", "http://10.0.0.1", "http://localhost.example"]
        {
            assert_eq!(client(url).err().map(|error| error.exit), Some(Exit::Usage), "{url}");
        }
    }

    #[test]
    fn a_url_that_carries_a_password_or_another_scheme_is_refused() {
        for url in ["ftp://host", "http://a:b@host", "http://host/?q=1", "host:7717", ""] {
            assert!(parse_base(url).is_err(), "{url}");
        }
    }

    #[test]
    fn path_segments_cannot_change_the_path() {
        assert_eq!(path(&["workspaces", "a/../b", "secrets", "K V"]), "/workspaces/a%2F..%2Fb/secrets/K%20V");
        assert_eq!(Call::get("/audit").query("key", "A&b").query("after", "3").path, "/audit?key=A%26b&after=3");
    }
}
