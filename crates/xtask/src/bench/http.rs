//! Requests over connections that stay open: for filling a server, which is not measured, and for one client at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// One connection of one caller.
pub struct Http {
    stream: BufReader<TcpStream>,
    address: String,
    /// Header lines that say who asks.
    who: String,
    /// The last cookie that was set.
    cookie: String,
}

/// What was answered.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or(serde_json::Value::Null)
    }

    /// The answer, if it is this one.
    pub fn expect(self, status: u16) -> Result<Self, String> {
        if self.status == status {
            Ok(self)
        } else {
            Err(format!("{} instead of {status}: {}", self.status, self.body))
        }
    }
}

impl Http {
    /// Whoever holds a token. `url` is `http://ADDRESS`.
    pub fn open(url: &str, token: &str) -> Result<Self, String> {
        Self::connect(url, format!("authorization: Bearer {token}\r\n"))
    }

    /// A client of Vault.
    pub fn vault(url: &str, token: &str) -> Result<Self, String> {
        Self::connect(url, format!("x-vault-token: {token}\r\n"))
    }

    /// A human, with a session that is stepped up.
    pub fn session(url: &str, email: &str, password: &str) -> Result<Self, String> {
        let mut http = Self::connect(url, String::new())?;
        let body = format!("{{\"email\":\"{email}\",\"password\":\"{password}\"}}");
        let entered = http.send("POST", "/auth/login", &body)?.expect(200)?.json();
        let csrf = entered["csrf_token"].as_str().ok_or("no CSRF token")?;
        let cookie = http.cookie.split(';').next().unwrap_or_default();
        http.who = format!("cookie: {cookie}\r\nx-csrf-token: {csrf}\r\n");
        http.send("POST", "/auth/step-up", &format!("{{\"password\":\"{password}\"}}"))?.expect(200)?;
        Ok(http)
    }

    fn connect(url: &str, who: String) -> Result<Self, String> {
        let address = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&address).map_err(|error| format!("{address}: {error}"))?;
        stream.set_read_timeout(Some(ANSWER_MAX)).map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { stream: BufReader::new(stream), address, who, cookie: String::new() })
    }

    pub fn send(&mut self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        self.ask(method, path, body).map_err(|error| format!("{method} {path}: {error}"))
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<Answer> {
        let content = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{}{content}content-length: {}\r\n\r\n{body}",
            self.address,
            self.who,
            body.len(),
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (status, length) = self.head()?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Reads the head of an answer: its status, and how long its body is.
    fn head(&mut self) -> std::io::Result<(u16, usize)> {
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(std::io::Error::other("the server hung up"));
            }
            if line.to_ascii_lowercase().starts_with("set-cookie: ") {
                self.cookie = line.trim_end()[12..].to_owned();
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                return Ok((status, length));
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest.get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
            } else if let Some(rest) = line.strip_prefix("content-length:") {
                length = rest.trim().parse().unwrap_or(0);
            }
        }
    }

    /// Asks for a stream, and gives the connection whose bytes it is once it has begun.
    pub fn stream(mut self, path: &str) -> Result<TcpStream, String> {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{}accept: text/event-stream\r\n\r\n", self.address, self.who);
        self.stream.get_mut().write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        match self.head() {
            Ok((200, _)) => Ok(self.stream.into_inner()),
            Ok((status, _)) => Err(format!("{status} for the stream {path}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Does `count` things on a few connections at once. `path_and_body` says what the n-th request is.
pub fn many(
    url: &str,
    token: &str,
    numbers: std::ops::Range<usize>,
    status: u16,
    path_and_body: impl Fn(usize) -> (String, String) + Sync,
) -> Result<Vec<String>, String> {
    const CONNECTIONS: usize = 16;
    let next = std::sync::atomic::AtomicUsize::new(numbers.start);
    let worker = || -> Result<Vec<(usize, String)>, String> {
        let (mut http, mut answers) = (Http::open(url, token)?, Vec::new());
        loop {
            let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if n >= numbers.end {
                return Ok(answers);
            }
            let (path, body) = path_and_body(n);
            answers.push((n, http.send("POST", &path, &body)?.expect(status)?.body));
        }
    };
    let mut all = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| {
            all.extend(worker.join().map_err(|_| "a filling thread panicked".to_owned())??);
            Ok::<_, String>(())
        })
    })?;
    all.sort_by_key(|(n, _)| *n);
    Ok(all.into_iter().map(|(_, body)| body).collect())
}
