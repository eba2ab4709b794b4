//! Slicing: which of the policies operators added can concern a request, found without looking at the others.
//!
//! Every policy is filed under what its scope says for certain: `principal|action|resource`, with `*` for what it leaves
//! open. A request looks into the few slots that can hold something for it, so that 100,000 policies about other
//! workspaces cost nothing.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use cedar_policy::{ActionConstraint, Policy as CedarPolicy, PolicySet, PrincipalConstraint, ResourceConstraint};

use super::{CANDIDATES_MAX, LoadError, Meta, load};
use crate::{
    facts::{Facts, TargetFacts},
    subject::{Principal, Subject},
    verb::Verb,
};

/// A policy that operators added.
#[derive(Debug)]
pub struct Added {
    /// Its id; the rule name in decisions.
    pub id: String,
    /// Cedar text.
    pub text: String,
    alone: OnceLock<Result<Alone, LoadError>>,
}

/// A policy as a set of its own, with what it says about itself.
#[derive(Debug)]
pub(super) struct Alone {
    pub(super) set: PolicySet,
    pub(super) meta: Meta,
}

impl Added {
    /// Takes text that was checked when it was added; parses it when it is first needed.
    pub fn new(id: String, text: String) -> Self {
        Self { id, text, alone: OnceLock::new() }
    }

    pub(super) fn alone(&self) -> Result<&Alone, &LoadError> {
        self.alone.get_or_init(|| load::alone(&self.id, &self.text)).as_ref()
    }
}

/// More than [`CANDIDATES_MAX`] policies could apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// Added policies by slot.
#[derive(Debug, Default)]
pub struct Index {
    slots: HashMap<String, Vec<Arc<Added>>>,
}

impl Index {
    /// Files a policy under its slots.
    pub fn insert(&mut self, slots: &[String], policy: &Arc<Added>) {
        for slot in slots {
            self.slots.entry(slot.clone()).or_default().push(Arc::clone(policy));
        }
    }

    /// The policies that could apply to a request that looks into `slots`.
    pub fn candidates(&self, slots: &[String]) -> Result<Vec<Arc<Added>>, TooMany> {
        let mut found: Vec<Arc<Added>> = Vec::new();
        if self.slots.is_empty() {
            return Ok(found);
        }
        for policy in slots.iter().filter_map(|slot| self.slots.get(slot)).flatten() {
            if !found.iter().any(|other| Arc::ptr_eq(other, policy)) {
                if found.len() == CANDIDATES_MAX {
                    return Err(TooMany);
                }
                found.push(Arc::clone(policy));
            }
        }
        Ok(found)
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// Where a policy is filed.
pub(super) fn policy_slots(policy: &CedarPolicy) -> Vec<String> {
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Eq(uid) => format!("eq:{uid}"),
        PrincipalConstraint::Is(name) => format!("is:{name}"),
        PrincipalConstraint::Any | PrincipalConstraint::In(_) | PrincipalConstraint::IsIn(..) => "*".to_owned(),
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Eq(uid) => format!("eq:{uid}"),
        ResourceConstraint::Is(name) => format!("is:{name}"),
        ResourceConstraint::In(uid) => format!("in:{uid}"),
        ResourceConstraint::IsIn(_, uid) => format!("in:{uid}"),
        ResourceConstraint::Any => "*".to_owned(),
    };
    let actions = match policy.action_constraint() {
        ActionConstraint::Any => vec!["*".to_owned()],
        // A group of actions is filed as open: which verbs it holds is the schema's business, not the index's.
        ActionConstraint::Eq(uid) => vec![action_slot(uid.id().unescaped())],
        ActionConstraint::In(uids) => uids.iter().map(|uid| action_slot(uid.id().unescaped())).collect(),
    };
    actions.into_iter().map(|action| format!("{principal}|{action}|{resource}")).collect()
}

fn action_slot(word: &str) -> String {
    if Verb::parse(word).is_some() { word.to_owned() } else { "*".to_owned() }
}

/// The slots a request looks into.
pub fn request_slots(subject: &Subject, verbs: &[Verb], facts: &Facts) -> Vec<String> {
    let (kind, id) = match &subject.principal {
        Principal::Operator(id) => ("Operator", id.to_string()),
        Principal::Agent(id) => ("Agent", id.to_string()),
        Principal::Service(id) => ("Service", id.to_string()),
        Principal::System(role) => ("System", role.as_str().to_owned()),
    };
    let principals = ["*".to_owned(), format!("is:{kind}"), format!("eq:{kind}::\"{id}\"")];
    let this = "Organisation::\"this\"";
    let mut resources = vec!["*".to_owned()];
    match &facts.target {
        TargetFacts::Organisation => {
            resources.extend(["is:Organisation".to_owned(), format!("eq:{this}"), format!("in:{this}")]);
        }
        TargetFacts::Workspace { id, ancestors, .. } => {
            resources.extend(["is:Workspace".to_owned(), format!("eq:Workspace::\"{id}\""), format!("in:{this}")]);
            resources.extend([*id].iter().chain(ancestors).map(|id| format!("in:Workspace::\"{id}\"")));
        }
        TargetFacts::Token { id, .. } => resources.extend(["is:Token".to_owned(), format!("eq:Token::\"{id}\"")]),
        TargetFacts::Approval { id, .. } => {
            resources.extend(["is:Approval".to_owned(), format!("eq:Approval::\"{id}\"")])
        }
    }
    let mut slots = Vec::with_capacity(principals.len() * (verbs.len() + 1) * resources.len());
    for principal in &principals {
        for action in std::iter::once("*").chain(verbs.iter().map(|verb| verb.as_str())) {
            for resource in &resources {
                slots.push(format!("{principal}|{action}|{resource}"));
            }
        }
    }
    slots
}
