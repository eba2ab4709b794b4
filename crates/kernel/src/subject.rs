//! Who an attempt is attributed to: the principal at the root of a credential's lineage, never the kind of credential.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    id::{CredentialId, OperatorId, WorkspaceId},
    operator::Role,
};

/// A named role of the platform itself. Internal work runs under one of these, never under a boolean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SystemRole {
    /// First start: creates the organisation and its root workspace.
    Bootstrap,
    /// Commands run by someone who holds the data directory (`portcullis operator create`).
    Console,
    /// Expires approvals and credentials.
    Expiry,
    /// Answers logins and one-time codes before there is a caller.
    Door,
    /// Performs approved plans.
    Executor,
    /// Starts, drains and stops agents, and releases their environment to them.
    Supervisor,
}

impl SystemRole {
    /// All roles.
    pub const ALL: [Self; 6] =
        [Self::Bootstrap, Self::Console, Self::Expiry, Self::Door, Self::Executor, Self::Supervisor];

    /// The word in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Console => "console",
            Self::Expiry => "expiry",
            Self::Door => "door",
            Self::Executor => "executor",
            Self::Supervisor => "supervisor",
        }
    }
}

/// Human, agent, service or the platform itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Principal {
    /// A human with a verified session.
    Operator(OperatorId),
    /// The agent that lives in this workspace.
    Agent(WorkspaceId),
    /// A program that holds an organisation token a human minted; named by the first token of the lineage.
    Service(CredentialId),
    /// The platform itself.
    System(SystemRole),
}

impl Principal {
    /// `operator`, `agent`, `service` or `system`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::Agent(_) => "agent",
            Self::Service(_) => "service",
            Self::System(_) => "system",
        }
    }

    /// The id as text.
    pub fn id(&self) -> String {
        match self {
            Self::Operator(id) => id.to_string(),
            Self::Agent(id) => id.to_string(),
            Self::Service(id) => id.to_string(),
            Self::System(role) => role.as_str().to_owned(),
        }
    }

    /// Reads `kind` and `id` back; `None` for anything else, which callers must treat as a missing fact.
    pub fn parse(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "operator" => id.parse().ok().map(Self::Operator),
            "agent" => id.parse().ok().map(Self::Agent),
            "service" => id.parse().ok().map(Self::Service),
            "system" => SystemRole::ALL.into_iter().find(|role| role.as_str() == id).map(Self::System),
            _ => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.id())
    }
}

/// The credential presented and those it was minted from, nearest first. Never empty for a request from outside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Lineage(pub Vec<CredentialId>);

/// Who asks. Plain data: building one confers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The principal at the root of the lineage. Minting never changes it.
    pub principal: Principal,
    /// How the credential came to be.
    pub lineage: Lineage,
}

/// What the subject's own row says at the time of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Standing {
    /// An operator: role, groups, whether the session re-authenticated recently.
    Operator {
        /// Role now, not at login.
        role: Role,
        /// Groups now.
        groups: Vec<String>,
        /// Re-authenticated within the step-up window.
        stepped_up: bool,
    },
    /// An agent, whose home exists and is not removed.
    Agent,
    /// A service; `unattended` when a human minted its token so.
    Service {
        /// Secret writes need no approval.
        unattended: bool,
    },
    /// The platform itself.
    System,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_of_the_platform_reads_back() {
        for role in SystemRole::ALL {
            // A role that is added has to be added to the list as well.
            match role {
                SystemRole::Bootstrap
                | SystemRole::Console
                | SystemRole::Expiry
                | SystemRole::Door
                | SystemRole::Executor
                | SystemRole::Supervisor => {}
            }
            let principal = Principal::System(role);
            assert_eq!(Principal::parse(principal.kind(), &principal.id()), Some(principal));
        }
        assert_eq!(Principal::parse("system", "nobody"), None);
    }
}
