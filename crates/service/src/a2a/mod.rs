//! A2A 1.0: agents and whoever else talks to an agent, in the words of the protocol. The only A2A endpoint is here; an
//! address that an agent registered is never called and never shown.
//!
//! A task *is* a message of ours: its id is the message's, its states are the message's, the reply is its artifact. So
//! queue, drain, hierarchy, redaction, audit and once-only delivery are those of every message. There is one message to a
//! task. What is deliberately absent: push notifications, extensions, tenants, files and data, and any state of its own.

mod card;
mod content;
mod envelope;
mod error;
mod methods;
mod predecessor;
mod request;
mod rest;
mod rpc;
mod stream;
mod task;
mod version;
mod watch;

use crate::operation::Operation;

/// The routes.
pub(crate) fn operations() -> Vec<Operation> {
    let mut all = rpc::operations();
    all.extend(card::operations());
    all.extend(rest::operations());
    all
}
