//! What policy may know, read inside the transaction that will act on it. No `Default`: a fact is looked up or missing,
//! and a missing fact is a refusal.

use crate::{
    id::{ApprovalId, CredentialId, WorkspaceId},
    scope::Scopes,
    subject::Standing,
    workspace::Kind,
};

/// A fact that could not be had. The text is for the log, never for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactGap {
    /// The target does not exist (or is removed).
    #[error("the target does not exist")]
    Absent,
    /// The target does not exist, and the caller would not be told if it did.
    #[error("the target does not exist, and the caller may not know")]
    Hidden,
    /// The store could not say.
    #[error("a fact could not be read: {0}")]
    Unreadable(String),
}

/// What is known of the target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetFacts {
    /// The organisation.
    Organisation,
    /// A workspace.
    Workspace {
        /// Which.
        id: WorkspaceId,
        /// Its kind, as the database says, never assumed.
        kind: Kind,
        /// Its ancestors, nearest first.
        ancestors: Vec<WorkspaceId>,
    },
    /// A credential.
    Token {
        /// Which.
        id: CredentialId,
        /// It belongs to the subject's principal, or was minted from the credential presented.
        own: bool,
        /// The agent whose power it is, if an agent's.
        agent: Option<WorkspaceId>,
        /// It is the admin token or an operator's session rather than a minted token.
        builtin: bool,
    },
    /// An approval.
    Approval {
        /// Which.
        id: ApprovalId,
        /// The subject's principal asked for it.
        own: bool,
    },
}

/// How two workspaces stand to each other, as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Kinship {
    /// Not at all, or the subject has no workspace.
    #[default]
    None,
    /// The same one, parent, child or sibling: who sees whom (design §3).
    Peer,
    /// Further up or down the same line.
    Lineal,
}

/// Everything `decide` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The organisation's root workspace.
    pub root: WorkspaceId,
    /// What the subject is, now.
    pub standing: Standing,
    /// What its credential may be used for.
    pub scopes: Scopes,
    /// What it is aimed at.
    pub target: TargetFacts,
    /// The workspaces the deed's change lands on: the target, the inheritors of an organisation-wide key, the descendants
    /// of a workspace that is paused or removed, the workspace a token is delivered to.
    pub reaches: Vec<WorkspaceId>,
    /// Humans have agreed to exactly this plan.
    pub approved: bool,
    /// How the target workspace stands to the subject's own, for an agent.
    pub kinship: Kinship,
    /// The runtime in the deed runs a program, an image or an endpoint that nobody entitled put into the configuration.
    pub custom_runtime: bool,
    /// The quota for what agents may do without asking is used up.
    pub quota_spent: bool,
}
