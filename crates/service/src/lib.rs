//! HTTP, MCP, live events and telemetry over an [`Authority`](portcullis_authority::Authority).
//!
//! INVARIANT: nothing here can begin a write transaction or read a value, except by performing an action. Handlers parse,
//! build a deed, perform it and put the answer into words; who may do what is decided behind the one door.
//!
//! Every route is declared once, in [`registry`]: the router, the OpenAPI document and the refusal-coverage test walk the
//! same list, so a route cannot exist that is not documented and not tested for refusal.

mod a2a;
mod address;
mod app;
mod call;
mod connections;
mod console;
mod events;
mod head;
mod http;
mod inner;
mod json;
mod live;
mod log_pipe;
mod mcp;
mod openapi;
mod operation;
mod places;
mod presence;
mod problem;
mod router;
pub mod runtime;
mod server;
pub mod supervisor;
pub mod telemetry;
mod turns;
mod wire;

pub use app::{App, Connections, Rates, Settings};
pub use http::registry;
pub use mcp::tools_page;
pub use operation::{Auth, Operation};
pub use router::router;
pub use server::{Running, ServeError, start};
