//! The closed list of privileged verbs. Adding one breaks the match in every place that must answer for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scope::Scope;

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $scope:expr);* $(;)?) => {
        /// What a deed does. The word is the Cedar action, the first part of the audit event's name and what approvals
        /// call `action`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Verb { $($(#[$doc])* #[serde(rename = $word)] $name),* }

        impl Verb {
            /// All verbs.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// The scope a credential needs for it.
            pub const fn scope(self) -> Scope {
                match self { $(Self::$name => $scope),* }
            }

            /// Reads the word back.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

verbs! {
    /// Put a new version of a secret, and by default activate it.
    SecretSet = "secret.set", Scope::SecretsWrite;
    /// Soft delete.
    SecretDelete = "secret.delete", Scope::SecretsWrite;
    /// Take a soft delete back.
    SecretUndelete = "secret.undelete", Scope::SecretsWrite;
    /// Erase the ciphertext for good. Human, separate right.
    SecretDestroy = "secret.destroy", Scope::SecretsWrite;
    /// Put an old version's value as a new version.
    SecretRollback = "secret.rollback", Scope::SecretsWrite;
    /// Move the active pointer.
    SecretActivate = "secret.activate", Scope::SecretsWrite;
    /// Several changes that happen together or not at all.
    SecretChangeSet = "secret.change_set", Scope::SecretsWrite;
    /// Many keys from a file.
    SecretImport = "secret.import", Scope::SecretsWrite;
    /// Open a slot that a human fills.
    SecretRequest = "secret.request", Scope::SecretsWrite;
    /// Mint an organisation or workspace token.
    TokenMint = "token.mint", Scope::TokensWrite;
    /// Revoke a token and everything minted from it.
    TokenRevoke = "token.revoke", Scope::TokensWrite;
    /// Issue a one-time enrolment code.
    EnrolmentIssue = "enrolment.issue", Scope::TokensWrite;
    /// Create a workspace.
    WorkspaceCreate = "workspace.create", Scope::WorkspacesWrite;
    /// Change name or role.
    WorkspaceRename = "workspace.rename", Scope::WorkspacesWrite;
    /// Move under another parent. Human: it widens whom the agent may talk to.
    WorkspaceReparent = "workspace.reparent", Scope::WorkspacesWrite;
    /// Change how the agent runs.
    WorkspaceConfigure = "workspace.configure", Scope::WorkspacesWrite;
    /// Ask for a drained restart.
    WorkspaceRestart = "workspace.restart", Scope::WorkspacesWrite;
    /// Stop, with descendants, until resumed.
    WorkspacePause = "workspace.pause", Scope::WorkspacesWrite;
    /// Start again after a pause.
    WorkspaceResume = "workspace.resume", Scope::WorkspacesWrite;
    /// Remove, with descendants when confirmed.
    WorkspaceRemove = "workspace.remove", Scope::WorkspacesWrite;
    /// Let a pending restart happen, at the turn boundary; what the root needs, which is never restarted by itself.
    WorkspaceApply = "workspace.apply", Scope::WorkspacesWrite;
    /// Stop an agent at once, in the middle of whatever it does. Human, with a reason.
    WorkspaceForceStop = "workspace.force_stop", Scope::WorkspacesWrite;
    /// Send a message to an agent.
    MessageSend = "message.send", Scope::Messages;
    /// Put a free-form question to a human; grants nothing.
    ApprovalAsk = "approval.ask", Scope::Approvals;
    /// Vote on an approval.
    ApprovalDecide = "approval.decide", Scope::Govern;
    /// Take an own request back.
    ApprovalWithdraw = "approval.withdraw", Scope::Approvals;
    /// Create an operator.
    OperatorCreate = "operator.create", Scope::Govern;
    /// Change an operator's role or groups, disable one.
    OperatorUpdate = "operator.update", Scope::Govern;
    /// Give an operator a link to choose a password with.
    OperatorInvite = "operator.invite", Scope::Govern;
    /// Add a policy.
    PolicyAdd = "policy.add", Scope::Govern;
    /// Remove a policy operators added.
    PolicyRemove = "policy.remove", Scope::Govern;
    /// Release a workspace's own environment to it.
    EnvironmentRelease = "environment.release", Scope::SecretsPull;
    /// Export the audit log; reading it out is itself recorded.
    AuditExport = "audit.export", Scope::AuditRead;
    /// Replace the data key that seals new values.
    KeyRotate = "key.rotate", Scope::Govern;
}

impl Verb {
    /// Whether the verb writes, or would write, a secret. These refuse with the origin's code
    /// `CONCIERGE_SELF_WRITE_BLOCKED` when the root workspace is reached; the others with `SELF_INTERRUPTION_BLOCKED`.
    pub const fn is_secret_write(self) -> bool {
        matches!(
            self,
            Self::SecretSet
                | Self::SecretDelete
                | Self::SecretUndelete
                | Self::SecretDestroy
                | Self::SecretRollback
                | Self::SecretActivate
                | Self::SecretChangeSet
                | Self::SecretImport
        )
    }
}
