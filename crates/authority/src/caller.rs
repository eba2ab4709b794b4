//! `Caller`: proof that a live credential was presented. Only [`crate::authn`] makes one.

use portcullis_kernel::{
    id::{CredentialId, WorkspaceId},
    scope::{Scope, Scopes},
    subject::{Principal, Standing, Subject},
    time::Timestamp,
};

/// Kind of a credential. Says how it was presented and how it is stored; never what it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// The admin token.
    Admin,
    /// An organisation token.
    Organisation,
    /// A workspace token.
    Workspace,
    /// An operator's session.
    Session,
    /// A one-time enrolment code.
    Enrolment,
    /// A one-time claim.
    Claim,
}

impl CredentialKind {
    const ALL: [Self; 6] =
        [Self::Admin, Self::Organisation, Self::Workspace, Self::Session, Self::Enrolment, Self::Claim];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Organisation => "organisation",
            Self::Workspace => "workspace",
            Self::Session => "session",
            Self::Enrolment => "enrolment",
            Self::Claim => "claim",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// An authenticated subject. Private fields and one mint: holding one means that a credential was presented and was live
/// when it was looked up. The gate looks again, inside the transaction.
///
/// ```compile_fail
/// let forged = portcullis_authority::Caller { subject: todo!(), credential: todo!() };
/// ```
#[derive(Debug, Clone)]
pub struct Caller {
    pub(crate) subject: Subject,
    pub(crate) credential: Option<CredentialId>,
    pub(crate) kind: Option<CredentialKind>,
    pub(crate) standing: Standing,
    pub(crate) scopes: Scopes,
    pub(crate) expires_at: Timestamp,
    pub(crate) stepped_up_until: Option<Timestamp>,
    pub(crate) root: WorkspaceId,
    pub(crate) csrf: Option<String>,
    /// Nobody presented anything: a human asks what would happen if somebody did. Only [`crate::suppose`] says so.
    pub(crate) supposed: bool,
}

impl Caller {
    /// Who asks.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The principal at the root of the lineage.
    pub fn principal(&self) -> Principal {
        self.subject.principal
    }

    /// The credential presented; `None` for the platform's own roles.
    pub fn credential(&self) -> Option<CredentialId> {
        self.credential
    }

    /// How it was presented.
    pub fn kind(&self) -> Option<CredentialKind> {
        self.kind
    }

    /// What the subject was when it was looked up.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether the credential carries `scope`. A caller that is only supposed has no credential: what it would hold counts
    /// at the gate, and nowhere else.
    pub fn has(&self, scope: Scope) -> bool {
        !self.supposed && self.scopes.has(scope)
    }

    /// Nobody presented anything: see [`crate::Authority::suppose`].
    pub fn is_supposed(&self) -> bool {
        self.supposed
    }

    /// When the credential expires.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Until when a re-authentication counts, if there was one.
    pub fn stepped_up_until(&self) -> Option<Timestamp> {
        self.stepped_up_until
    }

    /// The token that a change made with this session must send back in a header.
    pub fn csrf(&self) -> Option<&str> {
        self.csrf.as_deref()
    }

    /// A human with a verified session.
    pub fn is_operator(&self) -> bool {
        matches!(self.subject.principal, Principal::Operator(_))
    }

    /// The organisation's root agent, by whatever credential.
    pub fn is_root_agent(&self) -> bool {
        self.subject.principal == Principal::Agent(self.root)
    }

    /// The workspace whose agent this is, unless it is the root's: the one workspace it may know about.
    pub fn confined_to(&self) -> Option<WorkspaceId> {
        match self.subject.principal {
            Principal::Agent(home) if home != self.root => Some(home),
            _ => None,
        }
    }
}
