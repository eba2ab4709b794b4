//! A rule as people read it: its text and what it says of itself.

use std::collections::BTreeMap;

use cedar_policy::Policy as CedarPolicy;

use super::check_added;

/// What every rule does for every kind of caller, as the test of the rules keeps it.
pub const MATRIX: &str = include_str!("../../tests/policy_matrix.txt");

/// A rule as it stands in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name in decisions.
    pub id: String,
    /// Its text, annotations included.
    pub text: String,
    /// What it says of itself.
    pub annotations: BTreeMap<String, String>,
}

impl Rule {
    pub(super) fn new(id: &str, policy: &CedarPolicy) -> Self {
        Self { id: id.to_owned(), text: policy.to_string(), annotations: annotations(policy) }
    }
}

fn annotations(policy: &CedarPolicy) -> BTreeMap<String, String> {
    policy.annotations().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What the text of an added policy says of itself; nothing where it cannot be read.
pub fn annotations_of(text: &str) -> BTreeMap<String, String> {
    check_added("added", text).map(|policy| annotations(&policy)).unwrap_or_default()
}
