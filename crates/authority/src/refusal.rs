//! What the authority answers when it does not do what was asked: one body for every surface.

use portcullis_kernel::{consequence::Consequence, id::ApprovalId, policy::Denial, refusal::Code, time::Timestamp};
use serde_json::{Map, Value};

use crate::db::DbError;

/// A refusal (we said no) or a fault (we could not), with everything the contract carries. Never a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// Machine-readable reason, or one sentence of detail for invalid input.
    pub reason: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The incident the rule comes from.
    pub issue: Option<String>,
    /// Overrides the code's next step.
    pub next_step: Option<String>,
    /// Position of the audit event; `None` when the store could not take one.
    pub audit_id: Option<i64>,
    /// The workspace concerned.
    pub workspace_id: Option<String>,
    /// The key concerned.
    pub key: Option<String>,
    /// How long to wait before trying again.
    pub retry_after_ms: Option<i64>,
    /// More members of the body, such as `cause` or `children`.
    pub extras: Map<String, Value>,
    /// For the log, never for the caller.
    pub internal: Option<String>,
}

impl Refusal {
    /// A refusal with the code's own sentence.
    pub fn new(code: Code) -> Self {
        Self::because(code, code.as_str().to_ascii_lowercase())
    }

    /// A refusal with a reason.
    pub fn because(code: Code, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            rule: None,
            issue: None,
            next_step: None,
            audit_id: None,
            workspace_id: None,
            key: None,
            retry_after_ms: None,
            extras: Map::new(),
            internal: None,
        }
    }

    /// A refusal as the policy decided it.
    pub(crate) fn denied(denial: Denial) -> Self {
        let mut refusal = Self::because(denial.code, denial.reason);
        refusal.rule = Some(denial.rule);
        refusal.issue = denial.issue;
        refusal.next_step = denial.next_step;
        if let Some(cause) = denial.cause {
            refusal.extras.insert("cause".into(), cause.into());
        }
        refusal
    }

    /// Adds a member to the body.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extras.insert(name.to_owned(), value.into());
        self
    }

    /// Adds what only the log may see.
    pub fn internal(mut self, text: impl ToString) -> Self {
        self.internal = Some(text.to_string());
        self
    }
}

impl From<DbError> for Refusal {
    fn from(error: DbError) -> Self {
        let code = match error {
            DbError::Busy => Code::Busy,
            _ => Code::StoreUnavailable,
        };
        Self::new(code).internal(error)
    }
}

/// What went wrong while preparing or applying an effect.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request cannot be done as things are; the caller is told why.
    Refused(Box<Refusal>),
    /// We could not; the caller is told that nothing was done.
    Failed(String),
}

impl Fault {
    pub(crate) fn refused(code: Code, reason: impl Into<String>) -> Self {
        Self::Refused(Box::new(Refusal::because(code, reason)))
    }

    pub(crate) fn code(code: Code) -> Self {
        Self::Refused(Box::new(Refusal::new(code)))
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<crate::vault::VaultError> for Fault {
    fn from(error: crate::vault::VaultError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(format!("a stored document does not read back: {error}"))
    }
}

/// What the one door answers when it did not refuse.
#[derive(Debug)]
pub enum Answer<T> {
    /// It is done and recorded.
    Done(Done<T>),
    /// It waits for humans.
    Held(Waiting),
    /// It was only asked about; nothing was done.
    Plan(Box<Plan>),
}

/// A deed that happened.
#[derive(Debug)]
pub struct Done<T> {
    /// What the action answers.
    pub value: T,
    /// Position of the audit event.
    pub audit_id: i64,
    /// What it caused.
    pub consequences: Vec<Consequence>,
    /// It had happened before under the same idempotency key or approval.
    pub replayed: bool,
}

/// A deed that waits for humans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The approval.
    pub approval: ApprovalId,
    /// The verb.
    pub action: String,
    /// Why it is held.
    pub reason: String,
    /// When it stops waiting.
    pub expires_at: Timestamp,
    /// Position of the audit event that recorded the request.
    pub audit_id: i64,
}

/// What would happen.
#[derive(Debug)]
pub struct Plan {
    /// `allow`, `hold` or `deny`.
    pub decision: &'static str,
    /// The rule that decides.
    pub rule: String,
    /// The refusal, when denied.
    pub refusal: Option<Refusal>,
    /// Who would have to agree, when held.
    pub requirements: Option<portcullis_kernel::policy::Requirements>,
    /// What it would cause.
    pub consequences: Vec<Consequence>,
    /// The agents it would touch, as they are now.
    pub impact: Vec<crate::views::Impact>,
}
