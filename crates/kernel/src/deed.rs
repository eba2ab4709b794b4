//! The data form of every privileged request. A deed holds everything but secret values, so it can be stored in a plan,
//! shown to a human, hashed and judged; what was judged is what will be done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    consequence::Consequence,
    id::{ApprovalId, CredentialId, OperatorId, PolicyId, WorkspaceId},
    name::{DisplayName, Email, Note, SecretKey},
    operator::Role,
    scope::Scopes,
    time::Timestamp,
    verb::Verb,
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
        /// How its agent runs.
        runtime: Option<Note>,
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
        runtime: Option<Note>,
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

impl Target {
    /// `organisation`, `workspace`, `token` or `approval`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Workspace(_) => "workspace",
            Self::Token(_) => "token",
            Self::Approval(_) => "approval",
        }
    }

    /// The id as text; empty for the organisation.
    pub fn id(&self) -> String {
        match self {
            Self::Organisation => String::new(),
            Self::Workspace(id) => id.to_string(),
            Self::Token(id) => id.to_string(),
            Self::Approval(id) => id.to_string(),
        }
    }
}

fn scope_target(scope: SecretScope) -> Target {
    scope.workspace().map_or(Target::Organisation, Target::Workspace)
}

impl Deed {
    /// The verb that names it in the log.
    pub fn verb(&self) -> Verb {
        match self {
            Self::SecretSet(_) => Verb::SecretSet,
            Self::SecretDelete(_) => Verb::SecretDelete,
            Self::SecretUndelete(_) => Verb::SecretUndelete,
            Self::SecretDestroy(_) => Verb::SecretDestroy,
            Self::SecretRollback(_) => Verb::SecretRollback,
            Self::SecretActivate(_) => Verb::SecretActivate,
            Self::SecretChangeSet(_) => Verb::SecretChangeSet,
            Self::SecretImport(_) => Verb::SecretImport,
            Self::SecretRequest(_) => Verb::SecretRequest,
            Self::TokenMint(_) => Verb::TokenMint,
            Self::TokenRevoke(_) => Verb::TokenRevoke,
            Self::EnrolmentIssue(_) => Verb::EnrolmentIssue,
            Self::WorkspaceCreate(_) => Verb::WorkspaceCreate,
            Self::WorkspaceUpdate(update) => update.verb(),
            Self::WorkspaceRestart(_) => Verb::WorkspaceRestart,
            Self::WorkspacePause(_) => Verb::WorkspacePause,
            Self::WorkspaceResume(_) => Verb::WorkspaceResume,
            Self::WorkspaceRemove(_) => Verb::WorkspaceRemove,
            Self::ApprovalAsk(_) => Verb::ApprovalAsk,
            Self::ApprovalDecide(_) => Verb::ApprovalDecide,
            Self::ApprovalWithdraw(_) => Verb::ApprovalWithdraw,
            Self::OperatorCreate(_) => Verb::OperatorCreate,
            Self::OperatorUpdate(_) => Verb::OperatorUpdate,
            Self::PolicyAdd(_) => Verb::PolicyAdd,
            Self::PolicyRemove(_) => Verb::PolicyRemove,
            Self::EnvironmentRelease(_) => Verb::EnvironmentRelease,
            Self::AuditExport(_) => Verb::AuditExport,
            Self::KeyRotate(_) => Verb::KeyRotate,
        }
    }

    /// Every verb that must be permitted for the deed to happen. One, except where one request does several things: an
    /// update that renames *and* moves needs both permissions, whichever name it has in the log.
    pub fn verbs(&self) -> Vec<Verb> {
        match self {
            Self::WorkspaceUpdate(update) => update.verbs(),
            other => vec![other.verb()],
        }
    }

    /// What it is aimed at. A change set that spans workspaces is aimed at the organisation.
    pub fn target(&self) -> Target {
        match self {
            Self::SecretSet(d) => scope_target(d.scope),
            Self::SecretDelete(d) => scope_target(d.scope),
            Self::SecretUndelete(d) => scope_target(d.scope),
            Self::SecretDestroy(d) => scope_target(d.scope),
            Self::SecretRollback(d) => scope_target(d.scope),
            Self::SecretActivate(d) => scope_target(d.scope),
            Self::SecretImport(d) => scope_target(d.scope),
            Self::SecretRequest(d) => scope_target(d.scope),
            Self::SecretChangeSet(d) => match d.changes.split_first() {
                Some((first, rest)) if rest.iter().all(|change| change.scope == first.scope) => {
                    scope_target(first.scope)
                }
                _ => Target::Organisation,
            },
            Self::TokenMint(d) => d.workspace.map_or(Target::Organisation, Target::Workspace),
            Self::TokenRevoke(d) => Target::Token(d.credential),
            Self::EnrolmentIssue(d) => Target::Workspace(d.workspace),
            Self::WorkspaceCreate(d) => d.parent.map_or(Target::Organisation, Target::Workspace),
            Self::WorkspaceUpdate(d) => Target::Workspace(d.workspace),
            Self::WorkspaceRestart(d) => Target::Workspace(d.workspace),
            Self::WorkspacePause(d) => Target::Workspace(d.workspace),
            Self::WorkspaceResume(d) => Target::Workspace(d.workspace),
            Self::WorkspaceRemove(d) => Target::Workspace(d.workspace),
            Self::ApprovalAsk(d) => Target::Workspace(d.workspace),
            Self::ApprovalDecide(d) => Target::Approval(d.approval),
            Self::ApprovalWithdraw(d) => Target::Approval(d.approval),
            Self::EnvironmentRelease(d) => Target::Workspace(d.workspace),
            Self::OperatorCreate(_)
            | Self::OperatorUpdate(_)
            | Self::PolicyAdd(_)
            | Self::PolicyRemove(_)
            | Self::AuditExport(_)
            | Self::KeyRotate(_) => Target::Organisation,
        }
    }

    /// The key, where there is one; what the log and the refusal name.
    pub fn key(&self) -> Option<&SecretKey> {
        match self {
            Self::SecretSet(d) => Some(&d.key),
            Self::SecretDelete(d) => Some(&d.key),
            Self::SecretUndelete(d) => Some(&d.key),
            Self::SecretDestroy(d) => Some(&d.key),
            Self::SecretRollback(d) => Some(&d.key),
            Self::SecretActivate(d) => Some(&d.key),
            Self::SecretRequest(d) => Some(&d.key),
            Self::SecretChangeSet(d) => d.changes.first().map(|change| &change.key),
            Self::SecretImport(d) => d.keys.first(),
            _ => None,
        }
    }

    /// The secrets the deed writes: what the facts must say who inherits.
    pub fn secrets_written(&self) -> Vec<(SecretScope, &SecretKey)> {
        match self {
            Self::SecretSet(d) => vec![(d.scope, &d.key)],
            Self::SecretDelete(d) => vec![(d.scope, &d.key)],
            Self::SecretUndelete(d) => vec![(d.scope, &d.key)],
            Self::SecretDestroy(d) => vec![(d.scope, &d.key)],
            Self::SecretRollback(d) => vec![(d.scope, &d.key)],
            Self::SecretActivate(d) => vec![(d.scope, &d.key)],
            Self::SecretChangeSet(d) => d.changes.iter().map(|change| (change.scope, &change.key)).collect(),
            Self::SecretImport(d) => d.keys.iter().map(|key| (d.scope, key)).collect(),
            Self::TokenMint(TokenMint { deliver_to: Some(to), .. }) => {
                vec![(SecretScope::Workspace(to.workspace_id), &to.key)]
            }
            _ => Vec::new(),
        }
    }

    /// What it will cause, given the workspaces it reaches (see [`crate::facts::Facts::reaches`]).
    pub fn consequences(&self, reaches: &[WorkspaceId]) -> Vec<Consequence> {
        let each = |make: fn(WorkspaceId) -> Consequence| reaches.iter().copied().map(make).collect::<Vec<_>>();
        let reconfigures = |workspace| Consequence::Reconfigures { workspace };
        let interrupts = |workspace| Consequence::Interrupts { workspace };
        match self {
            // A version that is only staged reaches nobody until it is activated, but activating it later must not be
            // the first time anyone asks: it is judged as if it did.
            Self::SecretSet(_)
            | Self::SecretDelete(_)
            | Self::SecretUndelete(_)
            | Self::SecretDestroy(_)
            | Self::SecretRollback(_)
            | Self::SecretActivate(_)
            | Self::SecretChangeSet(_)
            | Self::SecretImport(_) => each(reconfigures),
            Self::TokenMint(d) => {
                let to = d.workspace.map_or_else(|| "organisation".to_owned(), |id| id.to_string());
                let scopes = d.scopes.0.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
                let mut all = vec![Consequence::Grants { scope: format!("{to}: {scopes}") }];
                all.extend(each(reconfigures));
                all
            }
            Self::EnrolmentIssue(d) => vec![Consequence::Grants { scope: format!("{}: enrolment", d.workspace) }],
            Self::WorkspaceUpdate(d) if d.runtime.is_some() => each(reconfigures),
            Self::WorkspaceRestart(_) | Self::WorkspacePause(_) => each(interrupts),
            Self::WorkspaceRemove(_) => each(|workspace| Consequence::Destroys { workspace }),
            Self::EnvironmentRelease(d) => vec![Consequence::Releases { workspace: d.workspace }],
            Self::OperatorCreate(d) => vec![Consequence::Grants { scope: format!("operator: {}", d.role.as_str()) }],
            Self::OperatorUpdate(OperatorUpdate { role: Some(role), .. }) => {
                vec![Consequence::Grants { scope: format!("operator: {}", role.as_str()) }]
            }
            Self::WorkspaceUpdate(_)
            | Self::WorkspaceResume(_)
            | Self::WorkspaceCreate(_)
            | Self::OperatorUpdate(_)
            | Self::SecretRequest(_)
            | Self::TokenRevoke(_)
            | Self::ApprovalAsk(_)
            | Self::ApprovalDecide(_)
            | Self::ApprovalWithdraw(_)
            | Self::PolicyAdd(_)
            | Self::PolicyRemove(_)
            | Self::AuditExport(_)
            | Self::KeyRotate(_) => Vec::new(),
        }
    }
}

impl WorkspaceUpdate {
    fn verb(&self) -> Verb {
        if self.parent.is_some() {
            Verb::WorkspaceReparent
        } else if self.runtime.is_some() {
            Verb::WorkspaceConfigure
        } else {
            Verb::WorkspaceRename
        }
    }

    fn verbs(&self) -> Vec<Verb> {
        let mut verbs = vec![self.verb()];
        let also = [
            (self.runtime.is_some(), Verb::WorkspaceConfigure),
            (self.name.is_some() || self.role.is_some(), Verb::WorkspaceRename),
        ];
        for (asked, verb) in also {
            if asked && !verbs.contains(&verb) {
                verbs.push(verb);
            }
        }
        verbs
    }
}
