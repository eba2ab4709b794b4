//! A workspace: kinds, states and the transitions between them, as data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Deepest tree of workspaces, the root counted as 1 (design §3).
pub const TREE_DEPTH_MAX: usize = 32;
/// Most workspaces of one organisation that are not removed.
pub const WORKSPACES_MAX: i64 = 10_000;
/// Most workspaces the root agent may create without a human, per rolling hour.
pub const AGENT_CREATES_PER_HOUR_MAX: i64 = 100;

/// What a workspace is for. Never settable by an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The organisation's root, home of the concierge. Exactly one, without parent.
    Platform,
    /// Any other.
    Workspace,
}

impl Kind {
    /// The word on the wire and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Workspace => "workspace",
        }
    }

    /// Reads the word back. A word that is neither is `None`, never a default: a kind that cannot be read is a fact that
    /// is missing, and what cannot be looked up is refused.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Platform, Self::Workspace].into_iter().find(|kind| kind.as_str() == word)
    }
}

macro_rules! states {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// Observed state of a workspace; one exhaustive list.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Status { $($(#[$doc])* $name),* }

        impl Status {
            /// All states.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// Reads the word back.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

states! {
    /// Created, its agent not yet seen.
    Provisioning = "provisioning",
    /// Agent alive.
    Online = "online",
    /// Agent alive and in trouble.
    Degraded = "degraded",
    /// Finishing its turn before a restart or a stop.
    Draining = "draining",
    /// Between stop and start.
    Restarting = "restarting",
    /// Stopped on request; resumes on request.
    Paused = "paused",
    /// Known to be down.
    Offline = "offline",
    /// Gave up; needs a human.
    Failed = "failed",
    /// Tombstone. Nothing leads out of it.
    Removed = "removed",
}

impl Status {
    /// The transition table. `Removed` is terminal: a late heartbeat revives nothing.
    pub const fn next(self) -> &'static [Self] {
        use Status::*;
        match self {
            Provisioning => &[Online, Degraded, Draining, Restarting, Paused, Offline, Failed, Removed],
            Online => &[Degraded, Draining, Restarting, Paused, Offline, Failed, Removed],
            Degraded => &[Online, Draining, Restarting, Paused, Offline, Failed, Removed],
            Draining => &[Provisioning, Online, Degraded, Restarting, Paused, Offline, Failed, Removed],
            Restarting => &[Provisioning, Online, Offline, Failed, Paused, Removed],
            Paused => &[Provisioning, Removed],
            Offline => &[Provisioning, Online, Degraded, Restarting, Paused, Failed, Removed],
            Failed => &[Provisioning, Restarting, Paused, Removed],
            Removed => &[],
        }
    }

    /// Whether the table has an arrow from here to `to`.
    pub fn may_become(self, to: Self) -> bool {
        self.next().contains(&to)
    }
}

/// How two workspaces stand to each other in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The one above.
    Parent,
    /// One below.
    Child,
    /// Under the same parent.
    Sibling,
}

/// Who sees whom: parent, children, siblings (design §3). The same function answers listing and sending, so that what
/// one may list is what one may reach.
pub fn relation<I: PartialEq>(
    own: &I,
    own_parent: Option<&I>,
    other: &I,
    other_parent: Option<&I>,
) -> Option<Relation> {
    if own == other {
        None
    } else if own_parent == Some(other) {
        Some(Relation::Parent)
    } else if other_parent == Some(own) {
        Some(Relation::Child)
    } else if own_parent.is_some() && own_parent == other_parent {
        Some(Relation::Sibling)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_removed_and_everything_leads_into_it() {
        assert!(Status::Removed.next().is_empty());
        for status in Status::ALL.iter().filter(|s| **s != Status::Removed) {
            assert!(status.may_become(Status::Removed), "{status:?}");
            assert!(!status.may_become(*status), "{status:?} to itself is not a transition");
        }
    }

    #[test]
    fn words_read_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(*status));
        }
        assert_eq!(Kind::parse(""), None);
    }

    #[test]
    fn two_roots_are_not_siblings() {
        assert_eq!(relation(&1, None, &2, None), None);
        assert_eq!(relation(&2, Some(&1), &3, Some(&1)), Some(Relation::Sibling));
        assert_eq!(relation(&1, None, &3, Some(&1)), Some(Relation::Child));
        assert_eq!(relation(&3, Some(&1), &1, None), Some(Relation::Parent));
        assert_eq!(relation(&4, Some(&3), &1, None), None);
    }
}
