//! Accepting connections, the worker that time wakes, and the order in which everything stops.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};

use crate::app::App;

/// Connections served at the same time; further ones wait in the listener's backlog.
const CONNECTIONS_MAX: usize = 1_024;
/// How long the headers of a request may take to arrive.
const HEADER_WAIT: Duration = Duration::from_secs(10);
/// Largest head of a request that is read at all, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long running requests may take once the server is asked to stop.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(10);
/// How often time is looked at.
const TICK: Duration = Duration::from_millis(500);
/// How often old rows are dropped.
const PRUNE: Duration = Duration::from_secs(600);

/// Why a server does not start.
#[derive(Debug)]
pub struct ServeError(pub String);

impl std::fmt::Display for ServeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServeError {}

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    agents: Option<Arc<crate::supervisor::Runtimes>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Stops accepting, lets running requests end, then the worker. The authority closes with its last clone.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }

    /// The same, and ends every agent of this server: for an organisation that does not outlive it. Elsewhere agents go on
    /// running while no server does.
    pub async fn shutdown_with_agents(self) {
        let agents = self.agents.clone();
        self.shutdown().await;
        if let Some(agents) = agents {
            agents.end_all().await;
        }
    }
}

/// Starts serving on `listen`.
pub async fn start(app: App, listen: SocketAddr) -> Result<Running, ServeError> {
    let listener =
        TcpListener::bind(listen).await.map_err(|error| ServeError(format!("cannot listen on {listen}: {error}")))?;
    let address = listener.local_addr().map_err(|error| ServeError(error.to_string()))?;
    let (stop, stopped) = (app.stopping.clone(), app.stopping.subscribe());
    let accepting = tokio::spawn(accept(app.clone(), listener, stopped.clone()));
    let mut tasks = vec![accepting, tokio::spawn(work(app.clone(), stopped.clone()))];
    tasks.push(tokio::spawn(end_streams(app.clone(), stopped.clone())));
    let App { authority, live, agents, .. } = app;
    tasks.push(tokio::spawn(crate::supervisor::courier(authority.clone(), Arc::clone(&live), stopped.clone())));
    let runtimes = agents.as_ref().map(|(runtimes, _)| Arc::clone(runtimes));
    if let Some((runtimes, mut settings)) = agents {
        if settings.url.is_empty() {
            settings.url = format!("http://{address}");
        }
        tasks.push(tokio::spawn(crate::supervisor::run(authority, live, runtimes, settings, stopped)));
    }
    Ok(Running { address, stop, agents: runtimes, tasks })
}

async fn accept(app: App, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let router = crate::router::router(app);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Every wait also waits for "stop".
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.map_err(std::io::Error::other)?;
            listener.accept().await.map(|accepted| (accepted, place))
        };
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = next => accepted,
        };
        let ((stream, peer), place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back instead of spinning.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer);
            hyper::service::Service::call(&service, request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_WAIT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // A client that went away is no event.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_WAIT, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were still running and were cut off");
    }
}

/// Ends what would hold a connection for as long as its client likes.
async fn end_streams(app: App, mut stopped: watch::Receiver<bool>) {
    crate::app::stops(&mut stopped).await;
    app.mcp.stop();
}

/// What time brings, woken by the clock. An error is logged and tried again: the next pass repairs what this one missed.
async fn work(app: App, mut stopped: watch::Receiver<bool>) {
    let mut pruned = Instant::now();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(TICK) => {}
        }
        if let Err(refusal) = app.authority.tick().await {
            tracing::warn!(code = %refusal.code, detail = refusal.internal.as_deref().unwrap_or_default(), "the expiry worker failed; it will try again");
        }
        app.metrics.sum_up();
        if pruned.elapsed() >= PRUNE {
            pruned = Instant::now();
            if let Err(refusal) = app.authority.prune().await {
                tracing::warn!(code = %refusal.code, "pruning failed; it will try again");
            }
        }
    }
}
