//! Errors in the words of A2A: over JSON-RPC, and as AIP-193 over HTTP. Each carries the refusal it comes from, whole, so
//! that a client of Portcullis reads the same contract on every surface.

use std::sync::Arc;

use a2a::{A2AError, error_code, error_reason, errordetails};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;
use serde_json::{Value, json};

/// The domain of reasons that are codes of ours.
const DOMAIN: &str = "portcullis";
/// What is answered to another version of the protocol.
const OTHER_VERSION: &str = "A2A 1.0 is spoken here; send `A2A-Version: 1.0`";

/// Why there is no result. A negative code is the protocol's; a positive one is the status of a refusal of ours.
#[derive(Debug)]
pub(super) struct Fault {
    code: i32,
    refusal: Box<Refusal>,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            Code::MessageNotFound => error_code::TASK_NOT_FOUND,
            Code::InvalidJson => error_code::PARSE_ERROR,
            Code::InvalidField | Code::InvalidRequest => error_code::INVALID_PARAMS,
            Code::UnsupportedMediaType => error_code::CONTENT_TYPE_NOT_SUPPORTED,
            Code::Internal => error_code::INTERNAL_ERROR,
            other => i32::from(other.status()),
        };
        Self { code, refusal: refusal.into() }
    }
}

impl Fault {
    fn new(code: i32, ours: Code, reason: impl Into<String>) -> Self {
        Self { code, refusal: Refusal::because(ours, reason).into() }
    }

    /// JSON, but no request.
    pub(super) fn invalid_request(reason: &str) -> Self {
        Self::new(error_code::INVALID_REQUEST, Code::InvalidJson, reason)
    }

    /// The parameters do not fit the method.
    pub(super) fn invalid_params(reason: impl Into<String>) -> Self {
        Self::new(error_code::INVALID_PARAMS, Code::InvalidField, reason)
    }

    /// No such method.
    pub(super) fn method_not_found() -> Self {
        Self::new(error_code::METHOD_NOT_FOUND, Code::RouteNotFound, "A2A 1.0 has no such method")
    }

    /// No such task, or not the caller's to see.
    pub(super) fn task_not_found() -> Self {
        Refusal::new(Code::MessageNotFound).into()
    }

    /// The task has gone too far to be taken back.
    pub(super) fn not_cancelable(reason: &str) -> Self {
        Self::new(error_code::TASK_NOT_CANCELABLE, Code::Conflict, reason)
    }

    /// A2A knows it; here it is not done.
    pub(super) fn unsupported(reason: &str) -> Self {
        Self::new(error_code::UNSUPPORTED_OPERATION, Code::Conflict, reason)
    }

    /// Nobody is called back.
    pub(super) fn no_push() -> Self {
        let reason = "there are no push notifications; subscribe to the task instead";
        Self::new(error_code::PUSH_NOTIFICATION_NOT_SUPPORTED, Code::InvalidRequest, reason)
    }

    /// Something else than text.
    pub(super) fn content_type(reason: &str) -> Self {
        Self::new(error_code::CONTENT_TYPE_NOT_SUPPORTED, Code::InvalidField, reason)
    }

    /// Another version of the protocol.
    pub(super) fn version() -> Self {
        Self::new(error_code::VERSION_NOT_SUPPORTED, Code::InvalidRequest, OTHER_VERSION)
    }

    /// For people: of the protocol's errors what was wrong, of a refusal the code's own sentence.
    fn message(&self) -> &str {
        if self.code < 0 { &self.refusal.reason } else { self.refusal.code.error() }
    }

    fn details(&self, request_id: &str) -> Value {
        let code = self.refusal.code.as_str();
        let (reason, domain) = match self.code {
            protocol if protocol < 0 => (error_reason(protocol), errordetails::PROTOCOL_DOMAIN),
            _ => (code, DOMAIN),
        };
        let info = json!({"@type": errordetails::ERROR_INFO_TYPE, "reason": reason, "domain": domain});
        let mut whole = crate::problem::body(&self.refusal, request_id);
        whole["@type"] = errordetails::STRUCT_TYPE.into();
        json!([info, whole])
    }

    /// As JSON-RPC writes it.
    pub(super) fn rpc(&self, request_id: &str) -> Value {
        json!({"code": self.code, "message": self.message(), "data": self.details(request_id)})
    }

    fn status(&self) -> StatusCode {
        let status = match self.code {
            protocol if protocol < 0 => A2AError::new(protocol, "").http_status_code(),
            _ => self.refusal.code.status(),
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// As HTTP writes it (AIP-193).
    pub(super) fn response(&self, request_id: &str) -> Response {
        let status = self.status();
        let word = match (status.as_u16(), self.code) {
            (_, error_code::TASK_NOT_CANCELABLE | error_code::UNSUPPORTED_OPERATION) => "FAILED_PRECONDITION",
            (400 | 413 | 415 | 422, _) => "INVALID_ARGUMENT",
            (401, _) => "UNAUTHENTICATED",
            (403, _) => "PERMISSION_DENIED",
            (404, _) => "NOT_FOUND",
            (409 | 412, _) => "FAILED_PRECONDITION",
            (429, _) => "RESOURCE_EXHAUSTED",
            (503, _) => "UNAVAILABLE",
            _ => "INTERNAL",
        };
        let error = json!({
            "code": status.as_u16(), "status": word, "message": self.message(), "details": self.details(request_id),
        });
        let mut response = Response::new(Body::from(json!({"error": error}).to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.mark(response)
    }

    /// Notes on an answer, whatever it looks like, that it is a refusal, for the log and for whoever should wait.
    pub(super) fn mark(&self, mut response: Response) -> Response {
        response.extensions_mut().insert(Arc::new(Refusal::clone(&self.refusal)));
        if let Some(wait) = crate::problem::retry_after(&self.refusal) {
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        response
    }
}
