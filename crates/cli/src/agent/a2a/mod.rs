//! The agent as an A2A 1.0 server: a card, and JSON-RPC over one socket.
//!
//! It hands every message to the control plane and none to the mind, so that queue, drain, hierarchy, redaction and audit
//! apply to whoever writes here as to everybody else.

mod card;
mod error;
mod rpc;
mod task;

use std::convert::Infallible;
use std::fs::{self, Permissions};
use std::future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::task::Contexts;
use super::plane::Plane;
use crate::environment::agent as environment;
use crate::error::Error;
use crate::output::Output;

/// The name of the socket in the run's directory.
const SOCKET: &str = "a2a.sock";
/// Most connections at once; one more waits.
const CONNECTIONS_MAX: usize = 32;
/// Longest request, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a caller may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection could not be taken: most likely no file is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every request needs.
struct Server {
    plane: Arc<Plane>,
    card: Value,
    etag: String,
    contexts: Contexts,
}

/// Starts serving where there is a place for it, and returns the card.
pub async fn start(plane: Arc<Plane>, mind: &str, listen: Option<SocketAddr>, output: Output) -> Result<Value, Error> {
    let Some(address) = listen else {
        let card = card::card("http://localhost/", mind, false);
        if let Some(directory) = environment::run_dir() {
            let router = router(plane, card.clone(), false)?;
            match unix(&directory.join(SOCKET)) {
                Ok(listener) => drop(tokio::spawn(serve(move |context| listener.poll_accept(context), router))),
                // Messages come by the control plane all the same.
                Err(error) => output.note(&format!("agent: no A2A socket: {error}")),
            }
        }
        return Ok(card);
    };
    if !address.ip().is_loopback() {
        return Err(Error::usage("--listen takes an address of this machine only, such as 127.0.0.1:0"));
    }
    let cannot = |error| Error::fault(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let url = format!("http://{}/", listener.local_addr().map_err(cannot)?);
    let card = card::card(&url, mind, true);
    output.note(&format!("agent: A2A at {url}"));
    let router = router(plane, card.clone(), true)?;
    drop(tokio::spawn(serve(move |context| listener.poll_accept(context), router)));
    Ok(card)
}

/// For the owner of the run's directory only, which is private besides.
fn unix(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn router(plane: Arc<Plane>, card: Value, guarded: bool) -> Result<Router, Error> {
    let etag = card::etag(&card);
    let server = Arc::new(Server { plane, card, etag, contexts: Contexts::default() });
    let mut router = Router::new()
        .route("/.well-known/agent-card.json", get(card::serve))
        .route("/", post(answer))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    if guarded {
        router = router.layer(middleware::from_fn_with_state(Arc::clone(&server), guard));
    }
    Ok(router.with_state(server))
}

async fn answer(State(server): State<Arc<Server>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let answer = rpc::answer(&server, &uri, &headers, &body).await;
    json(StatusCode::OK, &answer)
}

/// On a port every process of the machine may knock: only who holds the agent's own token is let in.
async fn guard(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response<Body> {
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    if verify_slices_are_equal(shown, server.plane.bearer().as_bytes()).is_ok() {
        return next.run(request).await;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

fn json(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// Serves what `accept` lets in, of either kind of socket.
async fn serve<S, A>(
    mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(S, A)>> + Send,
    router: Router,
) -> Infallible
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { future::pending().await };
        match future::poll_fn(&mut accept).await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, router.clone(), seat))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    _seat: OwnedSemaphorePermit,
) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    // Broken by the caller: nobody is left to tell.
    let _ = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}
