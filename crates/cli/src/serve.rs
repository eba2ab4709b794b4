//! `serve`: opens the organisation, listens, and stops in order.

use portcullis_authority::{AdminToken, Authority};
use portcullis_kernel::id::ServerId;
use portcullis_service::{App, Running, Settings as ServiceSettings, telemetry};

use crate::args::ServeArgs;
use crate::environment;
use crate::error::Error;
use crate::exit::Exit;
use crate::identity::Identity;
use crate::settings::{Settings, open};

/// `portcullis serve`.
pub async fn run(args: &ServeArgs) -> Result<Exit, Error> {
    let mut settings = Settings::load(args.data.as_deref(), args.listen, args.config.as_deref())?;
    if args.no_agents {
        settings.agents.run = false;
        settings.config.runtimes.remove("default");
    }
    telemetry::log_to_stderr(&settings.log_level, settings.log_json);
    let identity = Identity::take(&settings.data)?;
    let admin = environment::server_admin_token().map_or(AdminToken::File, AdminToken::Given);
    let authority = open(settings.data.clone(), settings.config.clone(), admin).await?;
    // Asked for before the first connection is taken, and only this once: signals that come while starting stop it too.
    let stop = stop_signal()?;
    let running = listen(&authority, &settings, identity.server).await?;
    let url = settings.url(running.address);
    // Through the log, whose reader may have stopped reading: nothing here waits for it.
    telemetry::say(&format!("portcullis listens on {url}"));
    if let Some(claim) = authority.first_claim().await.map_err(|refusal| Error::fault(refusal.code.as_str()))? {
        telemetry::say(&format!(
            "no operator yet; claim the organisation within a day, once: {url}/claim#{}",
            claim.expose()
        ));
        telemetry::say("  portcullis operator claim --email YOU@EXAMPLE.COM   (asks for the link)");
    }
    stop.await;
    if !settings.leave.is_zero() {
        // Whoever asks twice is in a hurry.
        let again = stop_signal()?;
        telemetry::say("leaving: no longer ready, and still answering");
        running.leave();
        tokio::select! {
            () = again => {}
            () = tokio::time::sleep(settings.leave) => {}
        }
    }
    telemetry::say("stopping: running requests may end");
    running.shutdown().await;
    if let Err(refusal) = authority.keep_head().await {
        telemetry::say(&format!("the end of the log could not be kept: {}", refusal.code));
    }
    close(authority).await;
    telemetry::flush();
    Ok(Exit::Ok)
}

/// Starts the service over an open organisation.
pub async fn listen(authority: &Authority, settings: &Settings, server: ServerId) -> Result<Running, Error> {
    let service = ServiceSettings {
        secure_cookies: settings.secure_cookies(),
        version: env!("CARGO_PKG_VERSION"),
        public_url: settings.public_url.clone(),
        rates: settings.rates,
        connections: settings.connections,
    };
    let mut app = App::new(authority.clone(), service);
    if settings.agents.run {
        let (agents, shared) = (settings.agents.clone(), authority.clone());
        let opened = tokio::task::spawn_blocking(move || agents.open(&shared, server)).await;
        let (runtimes, how) = opened.map_err(|error| Error::fault(format!("cannot start: {error}")))??;
        app = app.with_agents(runtimes, how);
    }
    portcullis_service::start(app, settings.listen).await.map_err(|error| Error::fault(error.to_string()))
}

/// Waits until what the writer accepted is stored. Joining a thread blocks, so not on the runtime's.
pub async fn close(authority: Authority) {
    let _ = tokio::task::spawn_blocking(move || drop(authority)).await;
}

/// Resolves at the first SIGINT or SIGTERM from here on.
pub fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let cannot = |error: std::io::Error| Error::fault(format!("cannot listen for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
