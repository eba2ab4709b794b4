//! The errors of A2A 1.0 over JSON-RPC.

use serde_json::{Value, json};

use crate::agent::plane::Miss;

/// Why a request has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Not JSON.
    Parse,
    /// JSON, but no request.
    InvalidRequest,
    /// No such method.
    MethodNotFound,
    /// The parameters do not fit the method.
    InvalidParams,
    /// Nothing the caller did.
    Internal,
    /// No such task, or not the caller's.
    TaskNotFound,
    /// The task has gone too far.
    TaskNotCancelable,
    /// There are no push notifications.
    PushNotificationNotSupported,
    /// A2A knows it, this agent does not.
    UnsupportedOperation,
    /// Something else than text.
    ContentTypeNotSupported,
    /// There is one card only.
    ExtendedAgentCardNotConfigured,
    /// Another version of A2A.
    VersionNotSupported,
}

impl Kind {
    fn code(self) -> i64 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::Internal => -32603,
            Self::TaskNotFound => -32001,
            Self::TaskNotCancelable => -32002,
            Self::PushNotificationNotSupported => -32003,
            Self::UnsupportedOperation => -32004,
            Self::ContentTypeNotSupported => -32005,
            Self::ExtendedAgentCardNotConfigured => -32007,
            Self::VersionNotSupported => -32009,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Parse => "PARSE_ERROR",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::MethodNotFound => "METHOD_NOT_FOUND",
            Self::InvalidParams => "INVALID_PARAMS",
            Self::Internal => "INTERNAL",
            Self::TaskNotFound => "TASK_NOT_FOUND",
            Self::TaskNotCancelable => "TASK_NOT_CANCELABLE",
            Self::PushNotificationNotSupported => "PUSH_NOTIFICATION_NOT_SUPPORTED",
            Self::UnsupportedOperation => "UNSUPPORTED_OPERATION",
            Self::ContentTypeNotSupported => "CONTENT_TYPE_NOT_SUPPORTED",
            Self::ExtendedAgentCardNotConfigured => "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
            Self::VersionNotSupported => "VERSION_NOT_SUPPORTED",
        }
    }
}

/// An error with its words.
#[derive(Debug)]
pub struct RpcError {
    kind: Kind,
    message: String,
    /// The control plane's code, if it was the one to refuse.
    refusal: Option<String>,
}

impl RpcError {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), refusal: None }
    }

    /// What the control plane's answer means to a caller who named a task, or did not.
    pub fn of(miss: Miss) -> Self {
        match miss {
            Miss::Away(_) => Self::new(Kind::Internal, "the control plane does not answer; try again"),
            Miss::Lost(_) => Self::new(Kind::Internal, "this agent has lost its power"),
            Miss::Refused(problem) => {
                let kind = match problem.status {
                    404 | 410 => Kind::TaskNotFound,
                    400 | 413 | 422 => Kind::InvalidParams,
                    _ => Kind::Internal,
                };
                let refusal = Some(problem.code).filter(|code| !code.is_empty());
                Self { kind, message: problem.error, refusal }
            }
        }
    }

    /// The same, as another kind.
    pub fn but(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// As JSON-RPC writes it.
    pub fn json(&self) -> Value {
        let mut info = json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": self.kind.reason(), "domain": "a2a-protocol.org",
        });
        if let Some(code) = &self.refusal {
            info["metadata"] = json!({"code": code});
        }
        json!({"code": self.kind.code(), "message": self.message, "data": [info]})
    }
}
