//! What a deed will cause beyond its own row. Rules speak about these, so a new route with an old consequence is already
//! covered; restart intents are derived from these, so what was not declared cannot happen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::WorkspaceId;

/// One consequence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Consequence {
    /// The agent in this workspace will be stopped or restarted.
    Interrupts {
        /// Which.
        workspace: WorkspaceId,
    },
    /// The environment or settings of the agent in this workspace change; it restarts at a turn boundary, the root's
    /// only when a human applies it.
    Reconfigures {
        /// Which.
        workspace: WorkspaceId,
    },
    /// A credential comes into being that holds this.
    Grants {
        /// `organisation` or the workspace's id, and the scopes.
        scope: String,
    },
    /// Plaintext leaves to this workspace.
    Releases {
        /// Which.
        workspace: WorkspaceId,
    },
    /// The workspace ceases to exist.
    Destroys {
        /// Which.
        workspace: WorkspaceId,
    },
}

impl Consequence {
    /// The workspace concerned, if one is.
    pub const fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::Interrupts { workspace }
            | Self::Reconfigures { workspace }
            | Self::Releases { workspace }
            | Self::Destroys { workspace } => Some(*workspace),
            Self::Grants { .. } => None,
        }
    }

    /// Whether a running agent has to be restarted or stopped for this: the consequences that commit a restart intent.
    pub const fn needs_intent(&self) -> bool {
        matches!(self, Self::Interrupts { .. } | Self::Reconfigures { .. } | Self::Destroys { .. })
    }
}

/// Whether `now` stays within `then`: an approved effect may shrink, never grow (design §2.4).
pub fn within(now: &[Consequence], then: &[Consequence]) -> bool {
    now.iter().all(|consequence| then.contains(consequence))
}
