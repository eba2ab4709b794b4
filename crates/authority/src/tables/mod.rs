//! One table per file: every statement of the system is here or in `db`, a literal, one text for both engines.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod challenges;
pub(crate) mod credentials;
pub(crate) mod events;
pub(crate) mod idempotency;
pub(crate) mod keys;
pub(crate) mod messages;
pub(crate) mod meta;
pub(crate) mod operators;
pub(crate) mod owners;
pub(crate) mod passkeys;
pub(crate) mod policies;
pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod servers;
pub(crate) mod tasks;
pub(crate) mod turns;
pub(crate) mod units;
pub(crate) mod versions;
pub(crate) mod workspaces;

use crate::db::DbError;

/// A stored word that does not read back is a fact that cannot be had, never a default (design §2.3).
pub(crate) fn word<T>(value: Option<T>, column: &str) -> Result<T, DbError> {
    value.ok_or_else(|| DbError::Shape(format!("{column} does not read back")))
}
