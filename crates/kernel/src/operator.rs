//! Human operators and what their role lets them do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Role of an operator, from the one who reads to the one who owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything that holds no value; changes nothing.
    Auditor,
    /// Works with ordinary workspaces and their secrets.
    Member,
    /// Also decides approvals, mints tokens, and changes the root workspace and organisation-wide secrets.
    Approver,
    /// Also manages operators, policies and keys, and destroys.
    Owner,
}

impl Role {
    /// All roles, weakest first.
    pub const ALL: [Self; 4] = [Self::Auditor, Self::Member, Self::Approver, Self::Owner];

    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auditor => "auditor",
            Self::Member => "member",
            Self::Approver => "approver",
            Self::Owner => "owner",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}
