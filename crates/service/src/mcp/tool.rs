//! What a tool is: a name for the model, a route behind it, and where each argument goes.

use axum::http::Method;
use portcullis_authority::Caller;
use portcullis_kernel::{id::WorkspaceId, scope::Scope, subject::Principal};
use rmcp::model::{JsonObject, ToolAnnotations};
use std::sync::Arc;

use crate::operation::Operation;

/// For whom a tool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// Every agent, about its own workspace.
    Own,
    /// The root agent, and services that a human gave a token.
    Management,
    /// Both.
    Both,
}

/// What a tool does to the world: where its annotations come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    /// Reads.
    Reads,
    /// Adds something; nothing that is there changes.
    Adds,
    /// Puts something into a state; twice is the same as once.
    Sets,
    /// Takes something away.
    Destroys,
    /// Reaches somebody who may do anything with it: another agent, or a person.
    Speaks,
}

impl Does {
    /// Whether `plan` can say what it would do: it passes the decision.
    pub(super) const fn is_decided(self) -> bool {
        matches!(self, Self::Adds | Self::Sets | Self::Destroys)
    }

    /// All four hints, so that no default speaks for us.
    pub(super) fn annotations(self, title: &str) -> ToolAnnotations {
        let (reads, destroys, idempotent) = match self {
            Self::Reads => (true, false, true),
            Self::Adds | Self::Speaks => (false, false, false),
            Self::Sets => (false, true, true),
            Self::Destroys => (false, true, false),
        };
        ToolAnnotations::from_raw(
            Some(title.to_owned()),
            Some(reads),
            Some(destroys),
            Some(idempotent),
            Some(self == Self::Speaks),
        )
    }
}

/// Where an argument goes in the request of the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// A member of the path.
    Path(&'static str),
    /// A member of the path; the caller's own workspace when it is left out.
    Home(&'static str),
    /// A member of the body, described by the route's own schema.
    Body,
    /// A member of the body that has another name there.
    As(&'static str),
    /// A member of the body that the tool fills in when it is left out.
    BodyOr(&'static str),
    /// A query parameter.
    Query(&'static str),
    /// The idempotency key.
    Key,
    /// Seconds to wait, at most this many; the first number is the default.
    Wait(u64, u64),
}

/// One argument.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arg {
    pub(super) name: &'static str,
    pub(super) to: To,
    /// What it is, where the route's schema does not say.
    pub(super) about: &'static str,
}

/// How a call is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// The handler of one route.
    Route,
    /// Sends a message and waits for the reply.
    Delegate,
    /// Another tool, without doing it.
    Plan,
}

/// A tool as it is written in the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// Says what it does, what may not be done with it, and what to do instead. Part of the attack surface: a
    /// snapshot keeps it.
    pub(super) description: &'static str,
    pub(super) set: Set,
    pub(super) does: Does,
    pub(super) scope: Scope,
    pub(super) operation: &'static str,
    pub(super) runs: Runs,
    pub(super) args: &'static [Arg],
    /// The name of a list in the result: structured content is an object.
    pub(super) list: Option<&'static str>,
}

/// A tool with its route and its schemas.
pub(super) struct Bound {
    pub(super) tool: Tool,
    pub(super) operation: Operation,
    pub(super) input: Arc<JsonObject>,
    pub(super) output: Arc<JsonObject>,
}

impl Bound {
    /// Whether it is listed: it is this subject's, and the credential carries its scope.
    pub(super) fn is_listed(&self, caller: &Caller) -> bool {
        self.is_for(caller) && caller.has(self.tool.scope)
    }

    /// Whether it is this subject's. Another's does not exist for it; one whose scope the credential lacks is refused by
    /// its route, and so recorded as every refusal.
    pub(super) fn is_for(&self, caller: &Caller) -> bool {
        let manages = caller.is_root_agent() || matches!(caller.principal(), Principal::Service(_));
        match self.tool.set {
            Set::Own => home(caller).is_some(),
            Set::Management => manages,
            Set::Both => manages || home(caller).is_some(),
        }
    }

    /// What clients are told of it.
    pub(super) fn described(&self) -> rmcp::model::Tool {
        let Tool { name, title, description, does, .. } = self.tool;
        let mut tool = rmcp::model::Tool::new(name, description, Arc::clone(&self.input));
        tool.title = Some(title.to_owned());
        tool.output_schema = Some(Arc::clone(&self.output));
        tool.annotations = Some(does.annotations(title));
        tool
    }

    /// Whether the route takes a body.
    pub(super) fn has_body(&self) -> bool {
        self.tool.args.iter().any(|arg| matches!(arg.to, To::Body | To::As(_) | To::BodyOr(_)))
            || (self.operation.method != Method::GET && self.operation.input.is_some())
    }
}

/// The workspace an agent lives in. Services and people have none.
pub(super) fn home(caller: &Caller) -> Option<WorkspaceId> {
    match caller.principal() {
        Principal::Agent(home) => Some(home),
        Principal::Operator(_) | Principal::Service(_) | Principal::System(_) => None,
    }
}
