//! The connections of a server: how many there may be, whose turn it is on each, and who gives up a place for others.
//!
//! A place is held by whoever is being served. A client that keeps the server waiting, with a head or a body that does not
//! come, with an answer it does not read, or idle between two requests, holds its place only as long as nobody else wants
//! it. So ten thousand idle connections keep nobody out, and a place is refused only where all are being served.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use nix::sys::socket::{setsockopt, sockopt};
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};

/// A client may keep its place this long before it is asked to give it up.
const COURTESY: Duration = Duration::from_secs(1);
/// How long a place that is given up may take to be free. Nobody else is let in meanwhile.
const GIVE_UP_WAIT: Duration = Duration::from_millis(200);
/// How long a client that is refused may take to ask and to read why.
const REFUSAL_WAIT: Duration = Duration::from_secs(2);
/// Clients that are told at the same time that they are refused; further ones are only hung up on.
const REFUSALS_MAX: usize = 256;
/// Of what a refused client sent this much is read, in bytes: a connection that is closed over unread bytes is reset, and
/// the answer with it.
const REFUSED_BYTES_MAX: usize = 64 * 1024;
/// File descriptors for everything that is not being served: refusals, the database, agents, what is asked of them.
const DESCRIPTORS_RESERVED: u64 = 512;

/// How many connections there may be, and what clients may keep waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections served at the same time.
    pub max: usize,
    /// How long the head of a request may take to arrive, and how long a connection may be idle before it.
    pub head_wait: Duration,
    /// How long a body may take to arrive.
    pub body_wait: Duration,
    /// How long a client may be silent on the wire, neither reading what was sent nor giving a sign of life.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { max: 1_024, head_wait: seconds(10), body_wait: seconds(30), silence: seconds(30) }
    }
}

/// Everybody who is connected.
pub(crate) struct Guests {
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    silence: Duration,
    /// When time began, for the turns.
    began: Instant,
    here: Mutex<(u64, HashMap<u64, Arc<Turn>>)>,
}

/// Whose turn it is on one connection.
pub(crate) struct Turn {
    began: Instant,
    /// Since when the server waits for the client, in milliseconds and one; 0 while the client waits for the server.
    since: AtomicU64,
    give_up: Notify,
}

impl Turn {
    /// The server waits for the client from now on.
    pub(crate) fn client(&self) {
        self.since.store(self.began.elapsed().as_millis() as u64 + 1, Relaxed);
    }

    /// The client waits for the server from now on.
    pub(crate) fn server(&self) {
        self.since.store(0, Relaxed);
    }

    /// Whether the server waits for the client.
    pub(crate) fn is_clients(&self) -> bool {
        self.since.load(Relaxed) != 0
    }

    /// Resolves when the place is wanted for somebody else.
    pub(crate) async fn wanted(&self) {
        self.give_up.notified().await;
    }
}

/// A place; free again when this is dropped.
pub(crate) struct Guest {
    number: u64,
    guests: Arc<Guests>,
    pub(crate) turn: Arc<Turn>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut here = self.guests.here();
        here.1.remove(&self.number);
        metrics::gauge!("portcullis_connections").set(here.1.len() as f64);
    }
}

impl Guests {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        let max = affordable(limits.max);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            silence: limits.silence,
            began: Instant::now(),
            here: Mutex::default(),
        })
    }

    fn here(&self) -> std::sync::MutexGuard<'_, (u64, HashMap<u64, Arc<Turn>>)> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for this connection, or nothing: then it was refused.
    pub(crate) async fn admit(self: &Arc<Self>, stream: TcpStream) -> Option<(TcpStream, Guest)> {
        self.prepare(&stream);
        let place = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => self.place_of_another().await,
        };
        let Some(place) = place else {
            self.refuse(stream);
            return None;
        };
        let turn = Turn { began: self.began, since: AtomicU64::new(0), give_up: Notify::new() };
        turn.client();
        let turn = Arc::new(turn);
        let mut here = self.here();
        here.0 += 1;
        let number = here.0;
        here.1.insert(number, Arc::clone(&turn));
        metrics::gauge!("portcullis_connections").set(here.1.len() as f64);
        drop(here);
        Some((stream, Guest { number, guests: Arc::clone(self), turn, _place: place }))
    }

    /// A client that is gone without a word, or does not read, is noticed by the kernel: what it does not acknowledge and
    /// the signs of life it does not answer end the connection.
    fn prepare(&self, stream: &TcpStream) {
        let every = (self.silence.as_secs() / 3).clamp(1, u64::from(u32::MAX)) as u32;
        let silence_ms = u32::try_from(self.silence.as_millis()).unwrap_or(u32::MAX);
        // None of these is worth a connection: without them it only ends later.
        let _ = stream.set_nodelay(true);
        let _ = setsockopt(stream, sockopt::KeepAlive, &true);
        let _ = setsockopt(stream, sockopt::TcpKeepIdle, &every);
        let _ = setsockopt(stream, sockopt::TcpKeepInterval, &every);
        let _ = setsockopt(stream, sockopt::TcpUserTimeout, &silence_ms);
    }

    /// Takes the place of whoever has kept the server waiting longest.
    async fn place_of_another(&self) -> Option<OwnedSemaphorePermit> {
        let now = self.began.elapsed().as_millis() as u64 + 1;
        let waiting = |turn: &Arc<Turn>| match turn.since.load(Relaxed) {
            0 => None,
            since => (now.saturating_sub(since) >= COURTESY.as_millis() as u64).then_some(since),
        };
        let slowest = {
            let here = self.here();
            let slow = here.1.values().filter_map(|turn| Some((waiting(turn)?, turn)));
            slow.min_by_key(|(since, _)| *since).map(|(_, turn)| Arc::clone(turn))
        }?;
        slowest.give_up.notify_one();
        metrics::counter!("portcullis_connections_given_up_total").increment(1);
        let place = tokio::time::timeout(GIVE_UP_WAIT, Arc::clone(&self.places).acquire_owned()).await;
        place.ok()?.ok()
    }

    /// Tells a client that there is no place, beside the loop that accepts.
    fn refuse(&self, mut stream: TcpStream) {
        metrics::counter!("portcullis_connections_refused_total").increment(1);
        let Ok(telling) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        tokio::spawn(async move {
            let _telling = telling;
            let refusal = Refusal::because(Code::Busy, "all connections are in use");
            let body = crate::problem::body(&refusal, "").to_string();
            let answer = format!(
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
                 cache-control: no-store\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            // A client that went away is no event.
            let _ = tokio::time::timeout(REFUSAL_WAIT, async {
                // An answer before the question would be one to nothing.
                let mut asked = Vec::new();
                let whole = |asked: &[u8]| asked.windows(4).any(|end| end == b"\r\n\r\n");
                while !whole(&asked) && asked.len() < REFUSED_BYTES_MAX {
                    if stream.read_buf(&mut asked).await? == 0 {
                        break;
                    }
                }
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await?;
                tokio::io::copy(&mut stream.take(REFUSED_BYTES_MAX as u64), &mut tokio::io::sink()).await
            })
            .await;
        });
    }
}

/// As many as are asked for and the descriptors of the process allow.
fn affordable(max: usize) -> usize {
    let Ok((descriptors, _)) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) else {
        return max;
    };
    let can = usize::try_from(descriptors.saturating_sub(DESCRIPTORS_RESERVED)).unwrap_or(usize::MAX).max(16);
    if can < max {
        tracing::warn!(
            descriptors,
            connections = can,
            "fewer connections than configured: the process may open too few files"
        );
    }
    max.min(can)
}

/// The answer as it goes out: one that is whole is the client's to read, one that is still being made is not.
pub(crate) fn sent(body: Body, turn: Arc<Turn>) -> Body {
    if body.size_hint().exact().is_some() {
        turn.client();
        return body;
    }
    Body::new(Flowing { body, turn })
}

struct Flowing {
    body: Body,
    turn: Arc<Turn>,
}

impl HttpBody for Flowing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Flowing {
    fn drop(&mut self) {
        self.turn.client();
    }
}
