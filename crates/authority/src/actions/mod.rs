//! One file per family of actions: what it needs to be possible, and how it is done once it is allowed. None of them looks
//! at who asks in order to decide; that happened before.

pub(crate) mod approval;
pub(crate) mod audit;
pub(crate) mod change_set;
pub(crate) mod enrolment;
pub(crate) mod environment;
pub(crate) mod key;
pub(crate) mod message;
pub(crate) mod operator;
pub(crate) mod policy;
pub(crate) mod secret_delete;
pub(crate) mod secret_import;
pub(crate) mod secret_set;
pub(crate) mod secret_version;
pub(crate) mod secret_write;
pub(crate) mod token;
pub(crate) mod workspace;

pub use approval::Decided;
pub use audit::Exported;
pub use change_set::{ChangeSaved, ChangeSetSaved};
pub use enrolment::Enrolment;
pub use environment::{Bundle, Released};
pub use key::Rotated;
pub use message::{MESSAGE_BYTES_MAX, MessageTaken, MessageText};
pub use operator::{Invite, OperatorMade, OperatorSaved};
pub use policy::PolicySaved;
pub use secret_delete::{SecretDestroyed, SecretGone};
pub use secret_import::Imported;
pub use secret_set::SecretSaved;
pub use token::{Minted, Revoked};
pub use workspace::{Affected, WorkspaceRemoved, WorkspaceSaved};
