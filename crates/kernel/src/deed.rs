//! The data form of every privileged request. A deed holds everything but secret values, so it can be stored in a plan,
//! shown to a human, hashed and judged; what was judged is what will be done.

mod meaning;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    id::{ApprovalId, BootId, CredentialId, OperatorId, PolicyId, TurnId, WorkspaceId},
    name::{DisplayName, Email, Note, SecretKey},
    operator::Role,
    runtime::Runtime,
    scope::Scopes,
    time::Timestamp,
};

/// Where a secret lives: exactly two levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "scope", content = "workspace_id", rename_all = "snake_case")]
pub enum SecretScope {
    /// Organisation default, inherited by every workspace that does not override it.
    Organisation,
    /// One workspace.
    Workspace(WorkspaceId),
}

impl SecretScope {
    /// The text in the database and in a ciphertext's place: `organisation` or the workspace's id.
    pub fn as_text(&self) -> String {
        match self {
            Self::Organisation => "organisation".to_owned(),
            Self::Workspace(id) => id.to_string(),
        }
    }

    /// The workspace, if it is one.
    pub const fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::Organisation => None,
            Self::Workspace(id) => Some(*id),
        }
    }
}

/// What the caller believes the latest version to be (`If-Match`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// No belief.
    #[default]
    Any,
    /// The key must not exist.
    Absent,
    /// The key must exist in whatever version (`If-Match: *`).
    Present,
    /// Exactly this version.
    Exactly(i64),
}

/// How a value reaches its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Environment variable; a change needs a restart.
    #[default]
    Env,
    /// Live-updated file; a change needs none.
    File,
}

impl Delivery {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Env, Self::File].into_iter().find(|d| d.as_str() == word)
    }
}

macro_rules! deeds {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name { $($(#[$fdoc])* pub $field: $type),* }

            impl From<$name> for Deed {
                fn from(deed: $name) -> Self {
                    Self::$name(deed)
                }
            }
        )*

        /// Everything privileged.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "deed", rename_all = "snake_case")]
        pub enum Deed { $($(#[$doc])* $name($name)),* }
    };
}

deeds! {
    /// Put a new version of a secret. The value travels beside the deed.
    SecretSet {
        /// Where.
        scope: SecretScope,
        /// Which key.
        key: SecretKey,
        /// `If-Match`.
        base: Base,
        /// How it is delivered.
        delivery: Delivery,
        /// Move the active pointer too; `false` only stages the version.
        activate: bool,
        /// What the key is for.
        description: Option<Note>,
        /// Why it changes.
        reason: Option<Note>,
        /// When the value stops being valid.
        expires_at: Option<Timestamp>,
    }
    /// Soft delete of a key.
    SecretDelete {
        /// Where.
        scope: SecretScope,
        /// Which key.
        key: SecretKey,
        /// `If-Match`.
        base: Base,
        /// Why.
        reason: Option<Note>,
    }
    /// Take a soft delete back.
    SecretUndelete {
        /// Where.
        scope: SecretScope,
        /// Which key.
        key: SecretKey,
    }
    /// Erase one version's ciphertext, or all of them.
    SecretDestroy {
        /// Where.
        scope: SecretScope,
        /// Which key.
        key: SecretKey,
        /// One version; all when absent.
        version: Option<i64>,
    }
    /// Put an old version's value as a new version.
    SecretRollback {
        /// Where.
        scope: SecretScope,
        /// Which key.
        key: SecretKey,
        /// The version to take the value from.
        to_version: i64,
        /// `If-Match`.
        base: Base,
        /// Why.
        reason: Option<Note>,
    }
    /// Move the active pointer to a version that exists.
    SecretActivate {
        /// Where.
        scope: SecretScope,
        /// Which key.
        key: SecretKey,
        /// Which version.
        version: i64,
    }
    /// Several changes that happen together or not at all.
    SecretChangeSet {
        /// In order; at most [`CHANGES_MAX`].
        changes: Vec<Change>,
        /// Why.
        reason: Option<Note>,
    }
    /// Many keys of one scope, from a file.
    SecretImport {
        /// Where.
        scope: SecretScope,
        /// The keys, in the order of the values that travel beside the deed.
        keys: Vec<SecretKey>,
    }
    /// Open a slot for a value that a human fills.
    SecretRequest {
        /// Where.
        scope: SecretScope,
        /// Which key.
        key: SecretKey,
        /// What it is for.
        description: Option<Note>,
    }
    /// Mint a token.
    TokenMint {
        /// What it gives access to: the organisation, or one workspace.
        workspace: Option<WorkspaceId>,
        /// Its name.
        name: DisplayName,
        /// Its scopes; never more than the minter's.
        scopes: Scopes,
        /// Life in milliseconds; never longer than the minter's.
        expires_in_ms: i64,
        /// A service may write secrets without approval. Humans only.
        unattended: bool,
        /// Put the plaintext straight into a workspace's secrets; it then is that workspace's agent.
        deliver_to: Option<DeliverTo>,
    }
    /// Revoke a credential and all minted from it.
    TokenRevoke {
        /// Which.
        credential: CredentialId,
    }
    /// Issue a one-time enrolment code.
    EnrolmentIssue {
        /// For which workspace.
        workspace: WorkspaceId,
        /// Life in milliseconds.
        expires_in_ms: i64,
    }
    /// Create a workspace.
    WorkspaceCreate {
        /// Its name.
        name: DisplayName,
        /// What its agent does.
        role: Option<Note>,
        /// Under which; the root when absent.
        parent: Option<WorkspaceId>,
        /// How its agent runs; the organisation's default when absent.
        runtime: Option<Runtime>,
    }
    /// Change a workspace's settings, all at once.
    WorkspaceUpdate {
        /// Which.
        workspace: WorkspaceId,
        /// New name.
        name: Option<DisplayName>,
        /// New role.
        role: Option<Note>,
        /// New parent.
        parent: Option<WorkspaceId>,
        /// New runtime.
        runtime: Option<Runtime>,
    }
    /// Ask for a drained restart.
    WorkspaceRestart {
        /// Which.
        workspace: WorkspaceId,
    }
    /// Pause with descendants.
    WorkspacePause {
        /// Which.
        workspace: WorkspaceId,
    }
    /// Resume with descendants.
    WorkspaceResume {
        /// Which.
        workspace: WorkspaceId,
    }
    /// Remove with descendants.
    WorkspaceRemove {
        /// Which.
        workspace: WorkspaceId,
        /// The workspace's name, needed when it has children.
        confirm: Option<DisplayName>,
    }
    /// Let a pending restart happen.
    WorkspaceApply {
        /// Which.
        workspace: WorkspaceId,
    }
    /// Stop an agent at once.
    WorkspaceForceStop {
        /// Which.
        workspace: WorkspaceId,
        /// Why. It stands in the log.
        reason: Note,
        /// Only this run, when it is the platform that asks.
        boot: Option<BootId>,
        /// Only in this turn.
        turn: Option<TurnId>,
    }
    /// Send a message to an agent. Its text travels beside the deed.
    MessageSend {
        /// To which workspace's agent.
        workspace: WorkspaceId,
        /// The sender's own id of it: the same id again is the same message.
        message_id: String,
        /// The conversation it belongs to.
        context_id: Option<String>,
        /// Keyed digest of the text: the same id with another text is an error, not another message.
        digest: String,
    }
    /// A free-form question to a human.
    ApprovalAsk {
        /// About which workspace.
        workspace: WorkspaceId,
        /// What the agent wants to do, in its words.
        action: DisplayName,
        /// Why.
        reason: Note,
    }
    /// A vote.
    ApprovalDecide {
        /// On which approval.
        approval: ApprovalId,
        /// Yes or no.
        approve: bool,
        /// The voter's note.
        note: Option<Note>,
        /// Checklist items acknowledged, or marked not applicable.
        checklist: Vec<String>,
        /// Owner's override; needs a note and must be switched on in the configuration.
        break_glass: bool,
    }
    /// Take an own request back.
    ApprovalWithdraw {
        /// Which.
        approval: ApprovalId,
    }
    /// Create an operator; the password travels beside the deed, hashed.
    OperatorCreate {
        /// Login.
        email: Email,
        /// Role.
        role: Role,
        /// Groups.
        groups: Vec<DisplayName>,
    }
    /// Change an operator.
    OperatorUpdate {
        /// Which.
        operator: OperatorId,
        /// New role.
        role: Option<Role>,
        /// New groups.
        groups: Option<Vec<DisplayName>>,
        /// Disable or enable.
        disabled: Option<bool>,
    }
    /// Give an operator a link to choose a password with, the first or another.
    OperatorInvite {
        /// Whom.
        operator: OperatorId,
    }
    /// Add a policy.
    PolicyAdd {
        /// Its name.
        name: DisplayName,
        /// Cedar text of exactly one policy.
        text: String,
    }
    /// Remove a policy that was added.
    PolicyRemove {
        /// Which.
        policy: PolicyId,
    }
    /// Release a workspace's own bundle to it.
    EnvironmentRelease {
        /// Which.
        workspace: WorkspaceId,
    }
    /// Export the audit log.
    AuditExport {
        /// After this position.
        after: i64,
    }
    /// Start sealing with a new data key.
    KeyRotate {}
}

/// Most changes of one change set.
pub const CHANGES_MAX: usize = 200;
/// Most keys of one import.
pub const IMPORT_KEYS_MAX: usize = crate::name::KEYS_PER_SCOPE_MAX;

/// Where a minted token's plaintext goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeliverTo {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// The key it is stored under.
    pub key: SecretKey,
}

/// One line of a change set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Where.
    pub scope: SecretScope,
    /// Which key.
    pub key: SecretKey,
    /// What.
    pub op: ChangeOp,
    /// `If-Match`.
    pub base: Base,
}

/// What one line of a change set does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ChangeOp {
    /// Put a version; the values travel beside the deed, in the order of the `set` lines.
    Set {
        /// How it is delivered.
        delivery: Delivery,
    },
    /// Soft delete.
    Delete,
    /// Put an old version's value as a new version.
    Rollback {
        /// Which.
        to_version: i64,
    },
    /// Move the active pointer.
    Activate {
        /// Which.
        version: i64,
    },
}

/// What a deed is aimed at; its Cedar resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Target {
    /// The organisation as a whole.
    Organisation,
    /// One workspace.
    Workspace(WorkspaceId),
    /// One credential.
    Token(CredentialId),
    /// One approval.
    Approval(ApprovalId),
}
