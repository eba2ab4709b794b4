//! MCP: the tools of agents, over the official SDK's Streamable HTTP transport.
//!
//! INVARIANT: a tool is a route. Each call runs the handler of an [`Operation`] as its caller, so it passes the same one
//! door as HTTP, and there is no second way to decide, to audit or to limit. A tool that has no route does not exist.
//!
//! Which tools there are is decided by the subject (design §9): an agent gets those of its own workspace, the root agent and
//! the services of humans get those that manage. No tool decides an approval, reads a value or returns a token.

mod door;
#[cfg(feature = "conformance")]
mod fixtures;
mod frame;
mod limits;
mod origin;
mod resources;
mod run;
mod schema;
mod sessions;
mod surface;
mod table;
mod tool;

use std::sync::Arc;

use portcullis_authority::Caller;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tokio_util::sync::CancellationToken;

use crate::{app::Rates, operation::BODY_BYTES_MAX};
use limits::Limits;
use sessions::Sessions;
use surface::Surface;
use tool::Bound;

#[cfg(feature = "conformance")]
pub(crate) use door::fixture_operations;
pub(crate) use door::{challenge, operations};
pub use table::tools_page;

/// How long a silent session of the older revision lives.
const SESSION_IDLE: std::time::Duration = std::time::Duration::from_secs(600);

/// What the endpoint keeps: the tools, who owns which session, who asked how much.
pub(crate) struct Mcp {
    tools: Vec<Bound>,
    limits: Limits,
    stopping: CancellationToken,
    served: Served<Surface>,
    #[cfg(feature = "conformance")]
    fixtures: Served<fixtures::Fixtures>,
}

/// One endpoint of the SDK with its sessions.
struct Served<S> {
    service: StreamableHttpService<S, LocalSessionManager>,
    manager: Arc<LocalSessionManager>,
    sessions: Sessions,
}

impl<S: rmcp::ServerHandler + Send + 'static> Served<S> {
    fn new(stopping: &CancellationToken, surface: impl Fn() -> S + Send + Sync + 'static) -> Self {
        let mut manager = LocalSessionManager::default();
        manager.session_config.keep_alive = Some(SESSION_IDLE);
        let manager = Arc::new(manager);
        // `Host` and `Origin` are checked by `origin`, which knows the public name and answers with a code.
        let config = StreamableHttpServerConfig::default()
            .with_cancellation_token(stopping.clone())
            .with_max_request_body_bytes(BODY_BYTES_MAX)
            .with_json_response(true)
            .disable_allowed_hosts()
            .disable_allowed_origins();
        let service = StreamableHttpService::new(move || Ok(surface()), Arc::clone(&manager), config);
        Self { service, manager, sessions: Sessions::default() }
    }
}

impl Mcp {
    pub(crate) fn new(rates: Rates) -> Self {
        let stopping = CancellationToken::new();
        Self {
            tools: table::bound(),
            limits: Limits::new(rates),
            served: Served::new(&stopping, || Surface),
            #[cfg(feature = "conformance")]
            fixtures: {
                // Its clones share what a later request asks for.
                let fixtures = fixtures::Fixtures::default();
                Served::new(&stopping, move || fixtures.clone())
            },
            stopping,
        }
    }

    /// The tool of this name, if it is this caller's.
    fn tool(&self, caller: &Caller, name: &str) -> Option<&Bound> {
        self.tools.iter().find(|bound| bound.tool.name == name && bound.is_for(caller))
    }

    /// Ends every session and stream: the server stops.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }
}
