//! Pure data and functions: who asks, what for, with which consequence, and whether it may happen.
//!
//! INVARIANT: this crate does not know that time passes, that a network, a disk or a database exists, or how to make a
//! random number. Its manifest says so, and the tidy test keeps it so. Everything here can be built, printed, compared
//! and tested by the thousand; nothing here confers power, except [`policy::Allowed`], which only [`policy`] can make.

pub mod approval;
pub mod audit;
pub mod checkpoint;
pub mod consequence;
pub mod deed;
pub mod facts;
pub mod id;
pub mod import;
pub mod key_rules;
pub mod lifecycle;
pub mod name;
pub mod operator;
pub mod policy;
pub mod redact;
pub mod refusal;
pub mod runtime;
pub mod scope;
pub mod secret;
pub mod subject;
pub mod time;
pub mod verb;
pub mod workspace;
