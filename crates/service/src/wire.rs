//! Bodies of requests. Unknown members are refused: what is ignored cannot be meant.

use std::collections::BTreeMap;

use portcullis_authority::{Refusal, clock};
use portcullis_kernel::{
    deed::{DeliverTo, Delivery},
    id::WorkspaceId,
    import::Format,
    name::{DisplayName, Email, Note, SecretKey},
    operator::Role,
    refusal::Code,
    runtime::{Runtime, RuntimeKind},
    scope::Scopes,
    secret::{SecretValue, ValueError},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// A secret value on its way in. It can be deserialised and taken; nothing else.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("writeOnly" = true))]
pub(crate) struct SecretInput(String);

impl SecretInput {
    /// The value, within its limits.
    pub(crate) fn into_value(self) -> Result<SecretValue, Refusal> {
        SecretValue::new(self.0).map_err(|error| {
            let code = match error {
                ValueError::TooLarge => Code::ValueTooLarge,
                ValueError::Empty | ValueError::Nul => Code::ValueInvalid,
            };
            Refusal::because(code, error.to_string())
        })
    }

    /// A text that is not stored as a secret but must not be shown either: a password, a one-time code.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// A key as text: its grammar has a code of its own.
pub(crate) fn key(text: &str) -> Result<SecretKey, Refusal> {
    text.parse().map_err(|_| Refusal::new(Code::KeyInvalid))
}

/// A time in RFC 3339.
pub(crate) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let malformed = || Refusal::because(Code::InvalidField, format!("`{name}` is not a time in RFC 3339"));
    text.map(|text| clock::parse_rfc3339(text).ok_or_else(malformed)).transpose()
}

/// Seconds as milliseconds.
pub(crate) fn seconds(name: &str, seconds: i64) -> Result<i64, Refusal> {
    let malformed = || Refusal::because(Code::InvalidField, format!("`{name}` is out of range"));
    seconds.checked_mul(1000).filter(|ms| *ms > 0).ok_or_else(malformed)
}

/// Set a secret.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetSecret {
    /// Name of the secret: capital letters, digits and underscores, such as `API_KEY`.
    pub(crate) key: String,
    /// The value, at most 64 KiB. It is sealed at once and can never be read back.
    pub(crate) value: SecretInput,
    /// How the workspace gets it: `env` (default, at its next start) or `file` (at once, without a restart).
    #[serde(default)]
    pub(crate) delivery: Delivery,
    /// When the value stops being valid, RFC 3339.
    pub(crate) expires_at: Option<String>,
    /// What the secret is for.
    pub(crate) description: Option<Note>,
    /// Why it changes; a human who decides reads it.
    pub(crate) reason: Option<Note>,
    /// False only stages the version.
    #[serde(default = "yes")]
    pub(crate) activate: bool,
}

fn yes() -> bool {
    true
}

/// Roll back to a version.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollBack {
    pub(crate) to_version: i64,
    pub(crate) reason: Option<Note>,
}

/// Activate a version.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activate {
    pub(crate) version: i64,
}

/// Destroy one version, or all.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destroy {
    pub(crate) version: Option<i64>,
}

/// Ask a human for a value.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestSecret {
    /// What the secret is for; the human who types it reads this.
    pub(crate) description: Option<Note>,
}

/// Import a file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Import {
    pub(crate) format: Format,
    pub(crate) content: SecretInput,
    #[serde(default)]
    pub(crate) apply: bool,
}

/// A change set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeSet {
    pub(crate) changes: Vec<ChangeLine>,
    pub(crate) reason: Option<Note>,
}

/// One line of a change set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeLine {
    /// Absent or null: the organisation's default.
    pub(crate) workspace_id: Option<WorkspaceId>,
    pub(crate) op: Op,
    pub(crate) key: String,
    pub(crate) value: Option<SecretInput>,
    #[serde(default)]
    pub(crate) delivery: Delivery,
    pub(crate) version: Option<i64>,
    /// 0: the key must not exist.
    pub(crate) base_version: Option<i64>,
}

/// What a line does.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    Set,
    Delete,
    Rollback,
    Activate,
}

/// Mint a token.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MintToken {
    /// What the token is for.
    pub(crate) name: Option<DisplayName>,
    /// What it may be used for; never more than your own.
    pub(crate) scopes: Option<Scopes>,
    /// Its life in seconds; never longer than your own.
    pub(crate) expires_in_s: Option<i64>,
    /// A service may write secrets without approval. Humans only.
    #[serde(default)]
    pub(crate) unattended: bool,
    /// The workspace and the key whose secret the token becomes.
    pub(crate) deliver_to: Option<DeliverTo>,
}

/// Issue an enrolment code.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrol {
    pub(crate) expires_in_s: Option<i64>,
}

/// Register an agent that runs elsewhere.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    pub(crate) id: WorkspaceId,
    /// A one-time code; without it the agent's token is needed.
    pub(crate) code: Option<SecretInput>,
    pub(crate) agent_card: Option<serde_json::Value>,
    pub(crate) capabilities: Option<Capabilities>,
}

/// What an agent can do besides working.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Capabilities {
    /// It leaves a note for its next run when it is asked to drain.
    #[serde(default)]
    pub(crate) handoff: bool,
}

/// A working loop says that it is there. The predecessor's other members are taken and not used.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "part of the contract that published clients send; what they report of themselves is not believed"
)]
pub(crate) struct Heartbeat {
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) error_rate: Option<f64>,
    pub(crate) sample_error: Option<String>,
    pub(crate) active_tasks: Option<i64>,
    pub(crate) current_task: Option<String>,
    pub(crate) uptime_seconds: Option<i64>,
    pub(crate) monthly_spend: Option<i64>,
    pub(crate) runtime_state: Option<serde_json::Value>,
    pub(crate) runtime_metadata: Option<serde_json::Value>,
}

/// Take work.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimWork {
    /// How long to wait for a message, in seconds.
    #[serde(default)]
    pub(crate) wait_s: u64,
}

/// A reply that is still being written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Progress {
    /// All of it until now, at most 64 KiB. People see its complete lines.
    pub(crate) reply: String,
}

/// How a turn ended.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TurnState {
    /// With a reply.
    Completed,
    /// With an error.
    Failed,
}

/// End a turn.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndTurn {
    pub(crate) state: TurnState,
    pub(crate) reply: Option<String>,
    pub(crate) error: Option<String>,
}

/// A note for the next run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandOff {
    pub(crate) note: String,
}

/// Stop at once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForceStop {
    pub(crate) reason: Note,
}

/// A message to an agent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendMessage {
    /// The text, at most 1 MiB.
    pub(crate) text: String,
    /// The sender's own id: the same id again is the same message.
    pub(crate) message_id: Option<String>,
    /// The conversation it belongs to.
    pub(crate) context_id: Option<String>,
}

/// An agent's word to the people.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notify {
    /// The text, at most 1 MiB.
    pub(crate) message: String,
}

/// How an agent runs: a word, or all of it.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum RuntimeInput {
    /// `process` (the built-in echo agent), `external`, or the name of a runtime of the configuration.
    Word(String),
    /// All of it.
    Spec(Box<Runtime>),
}

impl RuntimeInput {
    /// The runtime it means. Names of the configuration come before the words of the platform.
    pub(crate) fn into_runtime(self, named: &BTreeMap<String, Runtime>) -> Result<Runtime, Refusal> {
        match self {
            Self::Spec(runtime) => Ok(*runtime),
            Self::Word(word) => match (named.get(&word), RuntimeKind::parse(&word)) {
                (Some(runtime), _) => Ok(runtime.clone()),
                (None, Some(RuntimeKind::Process)) => Ok(Runtime::echo()),
                (None, Some(RuntimeKind::External)) => Ok(Runtime::external()),
                (None, Some(RuntimeKind::Container | RuntimeKind::Swarm) | None) => Err(Refusal::because(
                    Code::InvalidField,
                    "`runtime` is `process`, `external`, a name of the configuration, or an object with `kind` and `agent`",
                )),
            },
        }
    }
}

/// Create a workspace.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateWorkspace {
    /// Its name.
    pub(crate) name: DisplayName,
    /// What its agent does, in a sentence.
    pub(crate) role: Option<Note>,
    /// The workspace it is under; the root when left out.
    pub(crate) parent_id: Option<WorkspaceId>,
    /// How its agent runs; the default of the organisation when left out.
    pub(crate) runtime: Option<RuntimeInput>,
}

/// Change a workspace.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateWorkspace {
    pub(crate) name: Option<DisplayName>,
    pub(crate) role: Option<Note>,
    pub(crate) parent_id: Option<WorkspaceId>,
    pub(crate) runtime: Option<RuntimeInput>,
}

/// Ask a human.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    /// What you want to do, in a few words.
    pub(crate) action: DisplayName,
    /// Why, for the human who decides.
    pub(crate) reason: Note,
}

/// Vote.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decide {
    pub(crate) decision: Decision,
    pub(crate) note: Option<Note>,
    /// Item by item: `ok` or `n/a`.
    #[serde(default)]
    pub(crate) checklist: std::collections::BTreeMap<String, Acknowledged>,
    #[serde(default)]
    pub(crate) break_glass: bool,
}

/// A vote.
#[derive(Deserialize, JsonSchema, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    Approved,
    Denied,
}

/// How a checklist item was answered.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
pub(crate) enum Acknowledged {
    #[serde(rename = "ok")]
    Ok,
    #[serde(rename = "n/a")]
    NotApplicable,
}

/// Log in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) email: Email,
    pub(crate) password: SecretInput,
}

/// Re-authenticate.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepUp {
    pub(crate) password: SecretInput,
}

/// Claim the first operator.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    pub(crate) token: SecretInput,
    pub(crate) email: Email,
    pub(crate) password: SecretInput,
}

/// Choose a password, with a link.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accept {
    pub(crate) token: SecretInput,
    pub(crate) password: SecretInput,
}

/// Change the own password.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePassword {
    /// The one so far.
    pub(crate) password: SecretInput,
    pub(crate) new_password: SecretInput,
}

/// Claim a minted token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClaimToken {
    pub(crate) claim_token: SecretInput,
}

/// Create an operator.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateOperator {
    pub(crate) email: Email,
    /// Without one the operator is invited, and chooses.
    pub(crate) password: Option<SecretInput>,
    pub(crate) role: Role,
    #[serde(default)]
    pub(crate) groups: Vec<DisplayName>,
}

/// Change an operator.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateOperator {
    pub(crate) role: Option<Role>,
    pub(crate) groups: Option<Vec<DisplayName>>,
    pub(crate) disabled: Option<bool>,
}

/// Add a policy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddPolicy {
    pub(crate) name: DisplayName,
    pub(crate) text: String,
}

/// Check a policy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckPolicy {
    pub(crate) text: String,
}
