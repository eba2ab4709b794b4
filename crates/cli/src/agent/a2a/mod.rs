//! A socket beside the agent for programs that know no other A2A endpoint than one of their own machine.
//!
//! It passes every request on to the control plane's endpoint of this workspace, with the agent's credential, and serves
//! nothing itself: there is one implementation of the protocol, and queue, drain, hierarchy, redaction and audit apply to
//! whoever writes here as to everybody else.

mod card;
mod relay;

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
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, header};
use axum::middleware::{self, Next};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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

/// Starts serving where there is a place for it, and returns the card.
pub async fn start(plane: Arc<Plane>, mind: &str, listen: Option<SocketAddr>, output: Output) -> Result<Value, Error> {
    let card = card::card(mind);
    let Some(address) = listen else {
        if let Some(directory) = environment::run_dir() {
            let router = router(plane, false);
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
    output.note(&format!("agent: A2A at {url}"));
    let router = router(plane, true);
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

fn router(plane: Arc<Plane>, guarded: bool) -> Router {
    let mut router = Router::new().fallback(relay::relay);
    if guarded {
        router = router.layer(middleware::from_fn_with_state(Arc::clone(&plane), guard));
    }
    router.with_state(plane)
}

/// On a port every process of the machine may knock: only who holds the agent's own token is let in.
async fn guard(State(plane): State<Arc<Plane>>, request: Request, next: Next) -> Response<Body> {
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    if verify_slices_are_equal(shown, plane.bearer().as_bytes()).is_ok() {
        return next.run(request).await;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
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
