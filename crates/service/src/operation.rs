//! One declaration per route: id, method, path, who may call at all, schemas, handler.

use std::{future::Future, pin::Pin, sync::Arc};

use axum::{http::Method, response::Response};
use portcullis_authority::Refusal;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::call::Call;

/// Whether a route needs a credential before anything else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Answers anybody: health, the door itself, what is public by nature. The refusal-coverage test lists these by name.
    Public,
    /// Needs a live credential. What it may do is decided behind the door.
    Caller,
    /// Needs a live bearer: the door of programs. A console session does not open it, and the challenge names the
    /// metadata of the resource (RFC 9728).
    Bearer,
}

pub(crate) type Answered = Pin<Box<dyn Future<Output = Result<Response, Refusal>> + Send>>;
type Handler = Arc<dyn Fn(Call) -> Answered + Send + Sync>;
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Largest body of most routes, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A route.
#[derive(Clone)]
pub struct Operation {
    /// Stable name: OpenAPI's `operationId`, the label of metrics and logs.
    pub id: &'static str,
    /// Method.
    pub method: Method,
    /// Path with `{parameters}`.
    pub path: &'static str,
    /// Who may call at all.
    pub auth: Auth,
    /// One line for the documentation.
    pub summary: &'static str,
    /// Largest body, in bytes.
    pub body_bytes_max: usize,
    /// The gate decides what it asks for, and `?dry_run=true` says how without doing it.
    pub decided: bool,
    /// The statuses of what is not a refusal and does not wait; the first is the usual one.
    pub done: &'static [u16],
    /// Refuses in the words of another protocol, as JSON of its own.
    pub foreign: bool,
    pub(crate) input: Option<SchemaOf>,
    pub(crate) output: Option<SchemaOf>,
    pub(crate) handler: Handler,
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.id, self.method, self.path)
    }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Operation {
    /// A route that needs a caller.
    pub(crate) fn new<F, R>(
        id: &'static str,
        method: Method,
        path: &'static str,
        summary: &'static str,
        handler: F,
    ) -> Self
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Response, Refusal>> + Send + 'static,
    {
        Self {
            id,
            method,
            path,
            auth: Auth::Caller,
            summary,
            body_bytes_max: BODY_BYTES_MAX,
            decided: false,
            done: &[200],
            foreign: false,
            input: None,
            output: None,
            handler: Arc::new(move |call| Box::pin(handler(call))),
        }
    }

    /// Answers anybody.
    pub(crate) fn public(mut self) -> Self {
        self.auth = Auth::Public;
        self
    }

    /// Answers bearers only.
    pub(crate) fn bearer(mut self) -> Self {
        self.auth = Auth::Bearer;
        self
    }

    /// Takes this body.
    pub(crate) fn input<T: JsonSchema>(mut self) -> Self {
        self.input = Some(schema_of::<T>);
        self
    }

    /// Answers with this body.
    pub(crate) fn output<T: JsonSchema>(mut self) -> Self {
        self.output = Some(schema_of::<T>);
        self
    }

    /// Is decided by the gate, and takes `dry_run`.
    pub(crate) fn decided(mut self) -> Self {
        self.decided = true;
        self
    }

    /// Answers with these statuses where it neither refuses nor waits; the first is the usual one.
    pub(crate) fn done(mut self, statuses: &'static [u16]) -> Self {
        self.done = statuses;
        self
    }

    /// Refuses in the words of another protocol.
    pub(crate) fn foreign(mut self) -> Self {
        self.foreign = true;
        self
    }

    /// The parameters of its path.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Takes a larger body.
    pub(crate) fn body_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    /// The same route under another path.
    pub(crate) fn also_at(&self, id: &'static str, method: Method, path: &'static str) -> Self {
        Self { id, method, path, ..self.clone() }
    }
}
