//! What a credential may be used for. Scopes only ever shrink: a child's are a subset of its parent's.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// One thing a credential may be used for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Scope { $($(#[$doc])* #[serde(rename = $word)] $name),* }

        impl Scope {
            /// All scopes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

scopes! {
    /// List workspaces and peers.
    WorkspacesRead = "workspaces:read",
    /// Create, rename, restart, pause and remove workspaces.
    WorkspacesWrite = "workspaces:write",
    /// List secret names and versions; never a value.
    SecretsRead = "secrets:read",
    /// Ask for changes to secrets.
    SecretsWrite = "secrets:write",
    /// Pull the own workspace's bundle. Only workspace tokens carry it.
    SecretsPull = "secrets:pull",
    /// List tokens.
    TokensRead = "tokens:read",
    /// Ask for tokens and revoke own children.
    TokensWrite = "tokens:write",
    /// See and withdraw own approvals, raise questions.
    Approvals = "approvals",
    /// Send messages, read the conversations within sight, take the own messages.
    Messages = "messages",
    /// Read the audit log.
    AuditRead = "audit:read",
    /// Follow the event stream.
    EventsRead = "events:read",
    /// Scrape metrics.
    MetricsRead = "metrics:read",
    /// What only humans do: decide, manage operators and policies. No token carries it.
    Govern = "govern",
}

/// A set of scopes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Scopes(pub BTreeSet<Scope>);

impl Scopes {
    /// What an agent credential holds when nothing else is asked: all but pulling and governing.
    pub fn agent() -> Self {
        Self(
            Scope::ALL
                .iter()
                .copied()
                .filter(|s| !matches!(s, Scope::SecretsPull | Scope::Govern | Scope::MetricsRead))
                .collect(),
        )
    }

    /// What the admin token holds: an agent's scopes and metrics.
    pub fn admin() -> Self {
        let mut scopes = Self::agent();
        scopes.0.insert(Scope::MetricsRead);
        scopes
    }

    /// What a workspace token holds: its own work and its own bundle; not the audit log.
    pub fn workspace() -> Self {
        let mut scopes = Self::agent();
        scopes.0.remove(&Scope::AuditRead);
        scopes.0.insert(Scope::SecretsPull);
        scopes
    }

    /// What an operator's session holds: all but pulling, because nothing is ever revealed to a human.
    pub fn session() -> Self {
        Self(Scope::ALL.iter().copied().filter(|s| *s != Scope::SecretsPull).collect())
    }

    /// Whether `scope` is held.
    pub fn has(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Whether every scope here is also in `other`.
    pub fn within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}
