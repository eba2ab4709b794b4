//! The refusal contract: a closed, versioned list of codes that an agent can act on without reading prose.
//!
//! `docs/refusals.md` and `docs/refusals.vectors.json` are generated from this list and a test keeps them equal. Version
//! [`CONTRACT_VERSION`]: codes are added, never renamed or given another meaning.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the contract. Raised when a code is added.
pub const CONTRACT_VERSION: u32 = 3;

/// Why a request was denied, in the four ways a caller can react to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeniedClass {
    /// Never by this caller. Do not retry, do not look for another route.
    Structural,
    /// A human must act first.
    NeedsApproval,
    /// The same request may succeed later.
    Transient,
    /// The request itself is wrong.
    Invalid,
}

impl DeniedClass {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Structural => "structural",
            Self::NeedsApproval => "needs_approval",
            Self::Transient => "transient",
            Self::Invalid => "invalid",
        }
    }
}

macro_rules! codes {
    ($($name:ident = $word:literal, $status:literal, $class:ident, $error:literal, $next:literal;)*) => {
        /// A refusal code. Stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Code {
            $(#[doc = $error] #[serde(rename = $word)] $name),*
        }

        impl Code {
            /// All codes, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// How a caller can react.
            pub const fn class(self) -> DeniedClass {
                match self { $(Self::$name => DeniedClass::$class),* }
            }

            /// One sentence for people; lower case, without a value.
            pub const fn error(self) -> &'static str {
                match self { $(Self::$name => $error),* }
            }

            /// What to do next.
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next),* }
            }

            /// Reads a code back.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

codes! {
    // The decision.
    ConciergeSelfWriteBlocked = "CONCIERGE_SELF_WRITE_BLOCKED", 403, Structural,
        "an agent may not change a secret that reaches the organisation's root workspace",
        "do not retry and do not try another route; ask a human operator to make this change in the console";
    SelfInterruptionBlocked = "SELF_INTERRUPTION_BLOCKED", 403, Structural,
        "an agent may not reconfigure, restart, pause or remove itself or the organisation's root workspace",
        "do not retry and do not try another route; ask a human operator";
    HumanRequired = "HUMAN_REQUIRED", 403, Structural,
        "only a human operator with a session may do this",
        "ask a human operator; no token can do it";
    RoleRequired = "ROLE_REQUIRED", 403, Structural,
        "your role does not allow this",
        "ask an operator with a higher role";
    NotEntitled = "NOT_ENTITLED", 403, Structural,
        "this principal may not do this",
        "ask the root agent or a human operator";
    ScopeMissing = "SCOPE_MISSING", 403, Structural,
        "the credential does not carry the scope this needs",
        "ask for a credential with the scope named in `reason`";
    ValueNeverRevealed = "VALUE_NEVER_REVEALED", 403, Structural,
        "secret values are released only to the workspace they belong to",
        "use the workspace's own token from inside the workspace; nobody else can read a value";
    SelfApprovalBlocked = "SELF_APPROVAL_BLOCKED", 403, Structural,
        "whoever asked may not decide",
        "another operator must decide";
    PolicyForbids = "POLICY_FORBIDS", 403, Structural,
        "a policy of this organisation forbids this",
        "ask an owner; the rule is named in `reason`";
    PolicyError = "POLICY_ERROR", 403, Structural,
        "a policy could not be evaluated, so the request is refused",
        "ask an owner to repair the policy named in `reason`";
    FactUnavailable = "FACT_UNAVAILABLE", 403, Transient,
        "a fact the decision needs could not be read, so the request is refused",
        "wait and try the same request again; do not try another route";
    QuotaSpent = "QUOTA_SPENT", 403, NeedsApproval,
        "the quota for doing this without a human is used up",
        "ask a human operator, or wait an hour";
    OriginRefused = "ORIGIN_REFUSED", 403, Invalid,
        "the `Host` or `Origin` of the request is not one this server answers to",
        "call the server by its address, by `localhost` or by the name in `server.public_url`";
    CsrfRequired = "CSRF_REQUIRED", 403, Invalid,
        "a change made with a session cookie needs the `X-CSRF-Token` header",
        "send the `csrf_token` of `GET /auth/session` in `X-CSRF-Token`";
    StepUpRequired = "STEP_UP_REQUIRED", 403, NeedsApproval,
        "this needs a recent re-authentication",
        "send the password to `POST /auth/step-up`, then repeat the request";

    // Approvals.
    ApprovalDenied = "APPROVAL_DENIED", 403, NeedsApproval,
        "a human denied exactly this request",
        "read the note of the denied approval; change the request or stop";
    ApprovalNotPending = "APPROVAL_NOT_PENDING", 409, Invalid,
        "the approval is no longer pending",
        "read its state; ask again if it is still needed";
    ApprovalExpired = "APPROVAL_EXPIRED", 409, NeedsApproval,
        "the approval has expired; nothing was done",
        "ask again";
    ApprovalVoided = "APPROVAL_VOIDED", 409, NeedsApproval,
        "what was approved is no longer what would happen, so nothing was done",
        "ask again; a human sees the new plan";
    AlreadyVoted = "ALREADY_VOTED", 409, Invalid,
        "you have already voted on this approval",
        "another operator must vote";
    ChecklistIncomplete = "CHECKLIST_INCOMPLETE", 422, Invalid,
        "every item of the checklist must be acknowledged or marked not applicable",
        "send the missing items named in `reason`";
    NoteRequired = "NOTE_REQUIRED", 422, Invalid,
        "this decision needs a note",
        "send `note`";
    BreakGlassDisabled = "BREAK_GLASS_DISABLED", 403, Structural,
        "break-glass is switched off or not yours to use",
        "an owner may switch it on in the configuration file";
    PendingApprovalsFull = "PENDING_APPROVALS_FULL", 429, NeedsApproval,
        "too many of your requests are waiting for a human",
        "withdraw requests that are no longer needed, or wait for decisions";

    // Who is there.
    Unauthenticated = "UNAUTHENTICATED", 401, Invalid,
        "no credential was presented",
        "send `Authorization: Bearer …` or log in";
    CredentialInvalid = "CREDENTIAL_INVALID", 401, Invalid,
        "the credential is not known",
        "check which credential is sent; ask for a new one";
    CredentialExpired = "CREDENTIAL_EXPIRED", 401, Invalid,
        "the credential has expired",
        "ask for a new one, or log in again";
    CredentialRevoked = "CREDENTIAL_REVOKED", 401, Invalid,
        "the credential, or one it was minted from, was revoked",
        "ask for a new one";
    LoginFailed = "LOGIN_FAILED", 401, Invalid,
        "e-mail address or password is wrong",
        "try again; after several failures answers are delayed";
    LoginRateLimited = "LOGIN_RATE_LIMITED", 429, Transient,
        "too many failed logins",
        "wait as long as `Retry-After` says";

    // What is not there. Also the answer for what the caller may not know to exist.
    NotFound = "NOT_FOUND", 404, Invalid,
        "there is no such thing, or it is not yours to see",
        "check the id";
    WorkspaceNotFound = "WORKSPACE_NOT_FOUND", 404, Invalid,
        "there is no such workspace",
        "list the workspaces";
    SecretNotFound = "SECRET_NOT_FOUND", 404, Invalid,
        "there is no such key in this scope",
        "list the secrets";
    VersionNotFound = "VERSION_NOT_FOUND", 404, Invalid,
        "the key has no such version, or it was destroyed",
        "list the versions";
    MessageNotFound = "MESSAGE_NOT_FOUND", 404, Invalid,
        "there is no such message, or it is not yours to see",
        "list the messages";
    TurnNotFound = "TURN_NOT_FOUND", 404, Invalid,
        "this run of the agent has no such turn",
        "claim again; a turn that belonged to an earlier run is lost";
    SessionNotFound = "SESSION_NOT_FOUND", 404, Invalid,
        "there is no such MCP session, or it is not yours",
        "send `initialize` again; a session ends with the server and after some minutes of silence";
    RouteNotFound = "ROUTE_NOT_FOUND", 404, Invalid,
        "there is no such route",
        "see `GET /openapi.json`";

    // What is wrong with the request.
    InvalidJson = "INVALID_JSON", 400, Invalid,
        "the body is not the JSON this route takes",
        "send UTF-8 JSON without duplicate keys, at most 32 levels deep";
    InvalidRequest = "INVALID_REQUEST", 400, Invalid,
        "the request line, a header or a query parameter is malformed",
        "see `reason` and `GET /openapi.json`";
    InvalidField = "INVALID_FIELD", 422, Invalid,
        "a field has a value it cannot have, or is not known",
        "see `reason` and `GET /openapi.json`";
    AgentsUrlNeeded = "AGENTS_URL_NEEDED", 422, Invalid,
        "an agent on another machine would not reach this server: it is known by an address of its own machine only",
        "ask the operator to set `agents.url` to an address that every node of the swarm reaches";
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, Invalid,
        "the route does not take this method",
        "see the `Allow` header";
    NotAcceptable = "NOT_ACCEPTABLE", 406, Invalid,
        "the answer has a media type that the request does not accept",
        "accept `application/json` and `text/event-stream`";
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415, Invalid,
        "the body must be `application/json`",
        "send `Content-Type: application/json`";
    BodyTooLarge = "BODY_TOO_LARGE", 413, Invalid,
        "the body is larger than this route takes",
        "send less";
    HeadersTooLarge = "HEADERS_TOO_LARGE", 431, Invalid,
        "the headers are larger than the server takes",
        "send fewer or shorter headers";
    KeyInvalid = "KEY_INVALID", 422, Invalid,
        "a secret key is 1 to 128 characters: capital letters, digits and underscores, not starting with a digit",
        "rename the key";
    KeyForbidden = "KEY_FORBIDDEN", 422, Invalid,
        "this key is reserved or forbidden in an agent's environment",
        "use another key; the rule is named in `reason`";
    ValueInvalid = "VALUE_INVALID", 422, Invalid,
        "a secret value may not be empty and may not contain a NUL byte",
        "send another value";
    ValueTooLarge = "VALUE_TOO_LARGE", 422, Invalid,
        "a secret value has at most 65536 bytes",
        "store a reference instead";
    OwnCredentialAsSecret = "OWN_CREDENTIAL_AS_SECRET", 422, Invalid,
        "a Portcullis credential may not be stored as a secret value",
        "mint a token with `deliver_to`, the platform then stores it itself";
    BaseVersionMismatch = "BASE_VERSION_MISMATCH", 412, Invalid,
        "the key has changed since the version you named",
        "read the current version and decide again";
    Conflict = "CONFLICT", 409, Invalid,
        "the current state does not allow this",
        "see `reason`";
    NotRegistered = "NOT_REGISTERED", 409, Invalid,
        "this credential does not belong to the run that speaks for the workspace now",
        "send `POST /registry/register` with it, if the agent runs elsewhere; else this process was replaced and should end";
    MessageIdReused = "MESSAGE_ID_REUSED", 409, Invalid,
        "the message id was used for another text",
        "use a new id for a new message";
    ConfirmationRequired = "CONFIRMATION_REQUIRED", 409, Invalid,
        "the workspace has others below it, which would go with it",
        "repeat with `?confirm=` and the workspace's name";
    AncestorPaused = "ANCESTOR_PAUSED", 409, Invalid,
        "a workspace above this one is paused",
        "resume the one above first";
    TreeRefused = "TREE_REFUSED", 422, Invalid,
        "the tree of workspaces would get a cycle or too deep",
        "choose another parent";
    LimitReached = "LIMIT_REACHED", 422, Invalid,
        "a limit of the organisation is reached",
        "remove what is no longer needed; the limit is named in `reason`";
    PasswordTooWeak = "PASSWORD_TOO_WEAK", 422, Invalid,
        "a password has 12 to 256 characters",
        "choose a longer one";
    PolicyInvalid = "POLICY_INVALID", 422, Invalid,
        "the policy does not parse or does not fit the schema",
        "see `reason`";
    ImportInvalid = "IMPORT_INVALID", 422, Invalid,
        "the file cannot be imported as a whole, so nothing was imported",
        "see `changes`, or `reason` for the line";
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", 422, Invalid,
        "the idempotency key was used for another request",
        "use a new key for a new request";
    BundleUnreadable = "BUNDLE_UNREADABLE", 409, Structural,
        "one of the workspace's secrets cannot be opened, so none is released",
        "ask an operator to set the key named in `key` again";

    // Not now.
    RateLimited = "RATE_LIMITED", 429, Transient,
        "too many requests",
        "wait as long as `Retry-After` says";
    QueueFull = "QUEUE_FULL", 429, Transient,
        "too many messages wait for this agent",
        "wait until it has answered some, then send again";
    LogUnavailable = "LOG_UNAVAILABLE", 503, Transient,
        "the runtime cannot read the agent's log now",
        "try the same request again later";
    Busy = "BUSY", 503, Transient,
        "the writer's queue is full",
        "try the same request again in a moment";
    StoreUnavailable = "STORE_UNAVAILABLE", 503, Transient,
        "the store cannot be written or read, so nothing was done",
        "try the same request again later";
    AuditUnavailable = "AUDIT_UNAVAILABLE", 503, Transient,
        "the audit log cannot be written, so nothing was done",
        "try the same request again later";
    ShuttingDown = "SHUTTING_DOWN", 503, Transient,
        "the server is shutting down",
        "try the same request again in a moment";
    Internal = "INTERNAL", 500, Transient,
        "something went wrong inside; nothing was done",
        "tell an operator the `request_id`";
}

impl Code {
    /// Whether the same request may succeed without anything else changing.
    pub const fn retryable(self) -> bool {
        matches!(self.class(), DeniedClass::Transient)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One published test vector: what a client must be able to read.
#[derive(Debug, Clone, Serialize)]
pub struct Vector {
    /// The code.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// How to react.
    pub denied_class: &'static str,
    /// Whether to retry.
    pub retryable: bool,
    /// Sentence.
    pub error: &'static str,
    /// What next.
    pub next_step: &'static str,
}

/// All vectors.
pub fn vectors() -> Vec<Vector> {
    Code::ALL
        .iter()
        .map(|code| Vector {
            code: code.as_str(),
            status: code.status(),
            denied_class: code.class().as_str(),
            retryable: code.retryable(),
            error: code.error(),
            next_step: code.next_step(),
        })
        .collect()
}

/// `docs/refusals.md`, generated.
pub fn markdown() -> String {
    let mut page = format!(
        "# Refusal codes\n\n<!-- generated from `crates/kernel/src/refusal.rs` by `cargo xtask refusals --accept`; a test keeps it equal -->\n\n\
         Contract version {CONTRACT_VERSION}. Every refusal, on every surface, is one body (RFC 9457 on HTTP):\n\
         `code`, `error`, `reason`, `retryable`, `denied_class`, `next_step`, `audit_id`, `workspace_id`, `key`.\n\
         Codes are added, never renamed or given another meaning. Machine-readable: [refusals.vectors.json](refusals.vectors.json).\n\n\
         `denied_class` says how to react: `structural` never by this caller, by no route; `needs_approval` a human must act first;\n\
         `transient` the same request may succeed later; `invalid` the request itself is wrong.\n\n\
         | Code | Status | Class | Retry | Meaning | Next step |\n|---|---|---|---|---|---|\n"
    );
    for v in vectors() {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {} | {} |\n",
            v.code,
            v.status,
            v.denied_class,
            if v.retryable { "yes" } else { "no" },
            v.error,
            v.next_step
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_401_is_never_a_decision() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(*code));
            assert!((400..=503).contains(&code.status()));
            if code.class() == DeniedClass::Structural {
                assert!(matches!(code.status(), 403 | 409), "{code}");
            }
            assert!(!code.error().ends_with('.') && !code.next_step().ends_with('.'), "{code}");
        }
    }
}
