//! The trusted base: the only SQL, the only keys, the only mint of callers and permits.
//!
//! INVARIANT: every privileged effect goes through [`Authority::perform`]: facts, decision, audit event, effect and restart
//! intents in one transaction of the one writer. Nothing outside this crate can begin a write transaction, make a
//! [`Caller`] or a permit, or read a value except through an action that releases it.
//!
//! What is deliberately absent: HTTP, MCP, processes, and any way to switch a rule off.

mod act;
mod actions;
mod admin_token;
mod agents;
mod authn;
mod authority;
mod bootstrap;
mod caller;
mod chain;
mod challenges;
pub mod clock;
mod core;
mod db;
mod device;
mod facts;
pub mod failpoint;
mod fleet;
mod gate;
mod kept_head;
mod keyring;
mod login_guard;
mod mailbox;
mod maintenance;
mod offline;
mod ownership;
mod passkeys;
mod permit;
mod plaintext;
mod plan;
mod question;
mod reads;
mod redaction;
mod refusal;
mod refusal_cache;
mod restart_context;
mod session;
mod sign_in;
mod suppose;
mod tables;
mod tail;
pub mod vault;
mod verify;
mod views;
mod webauthn;

pub use act::{Act, Cargo, NewPassword};
pub use actions::{
    Affected, Bundle, ChangeSaved, ChangeSetSaved, Decided, Enrolment, Exported, Imported, Invite, MESSAGE_BYTES_MAX,
    MessageTaken, MessageText, Minted, OperatorMade, OperatorSaved, PolicySaved, Released, Revoked, Rotated,
    SecretDestroyed, SecretGone, SecretSaved, WorkspaceRemoved, WorkspaceSaved,
};
pub use admin_token::AdminToken;
pub use agents::{Restless, Surviving};
pub use authn::Presented;
pub use authority::{Authority, Readiness, Stats};
pub use bootstrap::{Opening, StartError};
pub use caller::{Caller, CredentialKind};
pub use core::Config;
pub use db::{DbError, MigrateError, SQLITE_FILE, Server, Target, WriterStats, schema_version};
pub use device::Device;
pub use fleet::{Ended, FilesGiven, Launching, LiveRun, UnitState};
pub use gate::Meta;
pub use kept_head::KEPT_HEAD_FILE;
pub use keyring::KeyError;
pub use mailbox::{CARD_BYTES_MAX, Claim, HANDOFF_BYTES_MAX, Handed, TurnEnd};
pub use maintenance::Resealed;
pub use offline::added_policies;
pub use ownership::{Beat, LEASE, Relayed};
pub use passkeys::{NewPasskey, PasskeyUsed};
pub use permit::{Permit, Spent};
pub use refusal::{Answer, Done, Plan, Refusal, Waiting};
pub use session::{Opened, Redeemed};
pub use suppose::Supposed;
pub use tables::{
    approvals::ApprovalFilter,
    audit::Search,
    events::Live,
    policies::{PolicySource, PolicyView},
    tasks::{TaskCursor, TaskFilter},
    units::RestlessUnit,
};
pub use tail::Seen;
pub use verify::{Checked, ExportMark, Pins, Verified, VerifyError, verify_database, verify_export};
pub use views::{
    ApprovalView, AuditEntry, AuditPage, CardView, HoldingView, Impact, MessagePage, MessageView, OperatorView,
    PAGE_MAX, PasskeyView, PeerView, PrincipalView, RequirementView, RunView, SecretView, Sender, SessionView,
    StateView, Stretch, TaskPage, TaskView, TokenView, TurnView, ValueView, VersionView, VoteView, WorkspaceView,
};

pub use webauthn::Party;

#[cfg(any(test, feature = "testkit"))]
pub use db::testkit as testkit_db;
#[cfg(any(test, feature = "testkit"))]
pub use webauthn::testkit::{Authenticator as TestAuthenticator, test_registration};

/// Builds the parameters of a statement from values of different types.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::db::Param::from($value)),*] };
}
use params;
