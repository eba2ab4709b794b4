//! The rules a proof is about: the shipped ones, and what operators add.

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, RequestEnv, Schema};
use portcullis_kernel::policy::{self, SCHEMA};

use super::ProofError;

/// How reports name the permission that permits everything.
const ANY_PERMISSION: &str = "whatever permission is added";

/// Rules under the shipped schema.
#[derive(Clone, Debug)]
pub struct Rules {
    pub(super) schema: Schema,
    pub(super) set: PolicySet,
}

impl Rules {
    /// The shipped rules.
    pub fn shipped() -> Result<Self, ProofError> {
        Self::of(&policy::SHIPPED)
    }

    /// The rules of these files, loaded and checked as the server does at its start.
    pub fn of(files: &[(&str, &str)]) -> Result<Self, ProofError> {
        policy::Policy::load(SCHEMA, files).map_err(|error| ProofError::Text(error.to_string()))?;
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| ProofError::text("schema", &error))?;
        let mut set = PolicySet::new();
        for (file, text) in files {
            for policy in text.parse::<PolicySet>().map_err(|error| ProofError::text(file, &error))?.policies() {
                let id = policy.annotation("id").unwrap_or_default().to_owned();
                set.add(policy.new_id(PolicyId::new(&id))).map_err(|error| ProofError::text(&id, &error))?;
            }
        }
        Ok(Self { schema, set })
    }

    /// Adds a policy as an operator does, checked as the server does.
    pub fn add(&mut self, id: &str, text: &str) -> Result<(), ProofError> {
        let shipped = policy::Policy::shipped().map_err(|error| ProofError::Text(error.to_string()))?;
        shipped.read_added(id, text).map_err(|error| ProofError::Text(error.to_string()))?;
        let policy = Policy::parse(Some(PolicyId::new(id)), text).map_err(|error| ProofError::text(id, &error))?;
        self.set.add(policy).map_err(|error| ProofError::text(id, &error))
    }

    /// The same rules without some of them.
    pub fn without(&self, ids: &[&str]) -> Result<Self, ProofError> {
        let mut fewer = self.clone();
        for id in ids {
            fewer.set.remove_static(PolicyId::new(id)).map_err(|error| ProofError::text(id, &error))?;
        }
        Ok(fewer)
    }

    /// Names of the rules, sorted.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.set.policies().map(|policy| policy.id().to_string()).collect();
        ids.sort();
        ids
    }

    /// Every combination of principal, action and resource that the schema has.
    #[must_use]
    pub fn environments(&self) -> Vec<RequestEnv> {
        self.schema.request_envs().collect()
    }

    /// The prohibitions, under the most generous permission there can be.
    pub(super) fn forbids(&self) -> Result<PolicySet, ProofError> {
        let forbids = self.set.policies().filter(|policy| policy.effect() == Effect::Forbid);
        permit_all_but(forbids)
    }
}

/// Everything is permitted but what these forbid.
pub(super) fn permit_all_but<'p>(forbids: impl Iterator<Item = &'p Policy>) -> Result<PolicySet, ProofError> {
    let everything = Policy::parse(Some(PolicyId::new(ANY_PERMISSION)), "permit (principal, action, resource);");
    let everything = everything.map_err(|error| ProofError::text(ANY_PERMISSION, &error))?;
    PolicySet::from_policies(forbids.cloned().chain([everything])).map_err(|error| ProofError::text("rules", &error))
}
