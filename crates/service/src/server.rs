//! Accepting connections, the worker that time wakes, and the order in which everything stops.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use portcullis_authority::Authority;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{
    app::App,
    connections::{self, Guests},
};

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
    authority: Authority,
    stop: watch::Sender<bool>,
    leaving: Arc<AtomicBool>,
    agents: Option<Arc<crate::supervisor::Runtimes>>,
    tasks: Vec<JoinHandle<()>>,
    /// Says that the server lives, until everything else has ended.
    keeping: Option<JoinHandle<()>>,
    ended: watch::Sender<bool>,
}

impl Running {
    /// Says that it is not ready any more and lets each connection go after its answer, and answers on all the same: a
    /// balancer takes its time to notice. Followed by [`Running::shutdown`].
    pub fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    /// Stops accepting, lets running requests end, then the worker. The authority closes with its last clone.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
        self.ended.send_replace(true);
        if let Some(keeping) = self.keeping {
            let _ = keeping.await;
        }
        if let Err(refusal) = self.authority.last_beat().await {
            tracing::warn!(code = %refusal.code, "the last sign of life could not be written");
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
    let App { authority, live, agents, leaving, .. } = app;
    let kept = authority.clone();
    tasks.push(tokio::spawn(crate::supervisor::courier(authority.clone(), Arc::clone(&live), stopped.clone())));
    let (ended, mut keeping) = (watch::channel(false).0, None);
    let runtimes = agents.as_ref().map(|(runtimes, _)| Arc::clone(runtimes));
    if let Some((runtimes, mut settings)) = agents {
        if settings.url.is_empty() {
            settings.url = format!("http://{address}");
        }
        let over = ended.subscribe();
        let [supervising, beating] = crate::supervisor::start(authority, live, runtimes, settings, stopped, over);
        tasks.push(supervising);
        keeping = Some(beating);
    }
    Ok(Running { address, authority: kept, stop, leaving, agents: runtimes, tasks, keeping, ended })
}

async fn accept(app: App, listener: TcpListener, mut stopped: watch::Receiver<bool>) {
    let limits = app.settings.connections;
    let router = crate::router::router(app);
    let graceful = GracefulShutdown::new();
    let guests = Guests::new(limits);
    loop {
        // Every wait also waits for "stop".
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come back instead of spinning.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some((stream, guest)) = guests.admit(stream).await else { continue };
        let service = TowerToHyperService::new(router.clone());
        let turn = Arc::clone(&guest.turn);
        let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            let turn = Arc::clone(&turn);
            turn.server();
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(Arc::clone(&turn));
            let answered = hyper::service::Service::call(&service, request);
            async move { answered.await.map(|response| response.map(|body| connections::sent(body, turn))) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_wait)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let mut connection = std::pin::pin!(connection);
            loop {
                tokio::select! {
                    // A client that went away is no event.
                    _ = &mut connection => return,
                    () = guest.turn.wanted() => {}
                }
                // It may have asked meanwhile, and only this server have been too slow to read it: then it is served.
                tokio::task::yield_now().await;
                tokio::select! {
                    biased;
                    _ = &mut connection => return,
                    () = std::future::ready(()) => {}
                }
                if guest.turn.is_clients() {
                    return;
                }
            }
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
