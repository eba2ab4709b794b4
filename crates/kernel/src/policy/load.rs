//! Loading rules: parse, re-key by `@id`, validate strictly, read the annotations. Anything doubtful refuses to load.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy as CedarPolicy, PolicyId as CedarId, PolicySet, PrincipalConstraint,
    Schema, ValidationMode, Validator,
};
use sha2::{Digest, Sha256};

use super::{Memory, Meta, Policy, Requirements, Rule, SCHEMA, SHIPPED, Who, request::Names, slice, slice::Alone};
use crate::{operator::Role, refusal::Code, verb::Verb};

/// Why rules were not loaded. Names the rule or the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct LoadError {
    /// File or rule.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

impl LoadError {
    pub(super) fn at(place: &str, problem: &impl ToString) -> Self {
        Self { place: place.to_owned(), problem: problem.to_string() }
    }
}

fn error(place: &str, problem: impl ToString) -> LoadError {
    LoadError::at(place, &problem)
}

impl Policy {
    /// Loads the shipped rules. Fails on anything a reviewer would want to know before the first request: text that does
    /// not parse, a misspelt attribute, a rule that can never apply, a hold that approval cannot lift.
    pub fn shipped() -> Result<Self, LoadError> {
        Self::load(SCHEMA, &SHIPPED)
    }

    /// Loads the given schema and files; what [`Policy::shipped`] does, open to tests that want to see it fail.
    pub fn load(schema_text: &str, files: &[(&str, &str)]) -> Result<Self, LoadError> {
        let (schema, warnings) = Schema::from_cedarschema_str(schema_text).map_err(|e| error("schema", e))?;
        if let Some(warning) = warnings.into_iter().next() {
            return Err(error("schema", warning));
        }
        let mut set = PolicySet::new();
        let mut meta = HashMap::new();
        let mut rules = Vec::new();
        let mut digest = Sha256::new();
        digest.update(schema_text);
        for (file, text) in files {
            digest.update(text);
            for policy in text.parse::<PolicySet>().map_err(|e| error(file, e))?.policies() {
                let id = policy.annotation("id").ok_or_else(|| error(file, "a policy without @id"))?.to_owned();
                let policy = policy.new_id(CedarId::new(&id));
                meta.insert(policy.id().clone(), read_meta(&policy, &id)?);
                rules.push(Rule::new(&id, &policy));
                set.add(policy).map_err(|e| error(&id, e))?;
            }
        }
        validate(&schema, &set)?;
        let members = group_members(&schema)?;
        let mut shipped = HashMap::new();
        for kind in ["operator", "agent", "service", "system"] {
            for verb in Verb::ALL {
                shipped.insert((kind, *verb), slice_shipped(&set, kind, *verb, &members)?);
            }
        }
        let digest = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let names = Names::new(&schema)?;
        Ok(Self { schema, shipped, meta, rules, names, memory: Memory::default(), digest })
    }

    /// Reads a policy an operator wants to add: exactly one, fitting the schema. Returns the slots it is indexed under.
    pub fn read_added(&self, id: &str, text: &str) -> Result<Vec<String>, LoadError> {
        // Allowed in a comment by the grammar; not storable as text.
        if text.contains('\0') {
            return Err(error(id, "the text has a NUL character"));
        }
        let policy = check_added(id, text)?;
        let mut set = PolicySet::new();
        set.add(policy.clone()).map_err(|e| error(id, e))?;
        validate(&self.schema, &set)?;
        Ok(slice::policy_slots(&policy))
    }
}

/// Parses the text of one added policy and reads its annotations; does not look at the schema.
pub fn check_added(id: &str, text: &str) -> Result<CedarPolicy, LoadError> {
    let policy = CedarPolicy::parse(Some(CedarId::new(id)), text).map_err(|e| error(id, e))?;
    read_meta(&policy, id)?;
    Ok(policy)
}

/// An added policy as a set of its own.
pub(super) fn alone(id: &str, text: &str) -> Result<Alone, LoadError> {
    let policy = check_added(id, text)?;
    let meta = read_meta(&policy, id)?;
    let mut set = PolicySet::new();
    set.add(policy).map_err(|e| error(id, e))?;
    Ok(Alone { set, meta })
}

fn validate(schema: &Schema, set: &PolicySet) -> Result<(), LoadError> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    if let Some(problem) = result.validation_errors().next() {
        return Err(error(problem.policy_id().as_ref(), problem));
    }
    // A warning here says that a policy can never apply: a prohibition that prohibits nothing.
    if let Some(warning) = result.validation_warnings().next() {
        return Err(error(warning.policy_id().as_ref(), warning));
    }
    Ok(())
}

fn read_meta(policy: &CedarPolicy, id: &str) -> Result<Meta, LoadError> {
    let known = ["id", "rank", "code", "reason", "issue", "next_step", "hold", "checklist", "note"];
    if let Some((unknown, _)) = policy.annotations().find(|(name, _)| !known.contains(name)) {
        return Err(error(id, format!("unknown annotation @{unknown}")));
    }
    let code = match policy.annotation("code") {
        Some(word) => Code::parse(word).ok_or_else(|| error(id, "@code is not a refusal code"))?,
        None => Code::PolicyForbids,
    };
    let rank = match policy.annotation("rank") {
        Some(word) => word.parse().map_err(|_| error(id, "@rank is not a number"))?,
        None => 50,
    };
    let hold = policy.annotation("hold").map(|text| read_hold(policy, text, id)).transpose()?;
    if hold.is_some() && policy.effect() == Effect::Permit {
        return Err(error(id, "@hold belongs on a forbid"));
    }
    Ok(Meta {
        rank,
        code,
        reason: policy.annotation("reason").unwrap_or(id).to_owned(),
        issue: policy.annotation("issue").map(str::to_owned),
        next_step: policy.annotation("next_step").map(str::to_owned),
        hold,
    })
}

/// `role:approver=1, group:security=2`.
fn read_hold(policy: &CedarPolicy, text: &str, id: &str) -> Result<Requirements, LoadError> {
    let mut votes = BTreeMap::new();
    for part in text.split(',').map(str::trim) {
        let read = || {
            let (who, count) = part.split_once('=')?;
            let count: u32 = count.parse().ok().filter(|n| (1..=10).contains(n))?;
            let who = match who.split_once(':')? {
                ("role", role) => Who::Role(Role::parse(role).filter(|role| *role >= Role::Approver)?),
                ("group", group) if !group.is_empty() => Who::Group(group.to_owned()),
                _ => return None,
            };
            Some((who, count))
        };
        let (who, count) =
            read().ok_or_else(|| error(id, "@hold is not `role:approver=1` or `group:NAME=N`, joined by commas"))?;
        votes.insert(who, count);
    }
    let list = policy.annotation("checklist").unwrap_or_default();
    let checklist = list.split(';').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
    Ok(Requirements { votes, checklist, note: policy.annotation("note") == Some("required") })
}

/// Which verbs each action group has, read from the schema so that the two cannot drift.
fn group_members(schema: &Schema) -> Result<HashMap<EntityUid, Vec<Verb>>, LoadError> {
    let entities = schema.action_entities().map_err(|e| error("schema", e))?;
    let mut members: HashMap<EntityUid, Vec<Verb>> = HashMap::new();
    for verb in Verb::ALL {
        let uid = super::request::action_uid(*verb)?;
        members.entry(uid.clone()).or_default().push(*verb);
        for ancestor in entities.ancestors(&uid).into_iter().flatten() {
            members.entry(ancestor.clone()).or_default().push(*verb);
        }
    }
    Ok(members)
}

/// The shipped rules that can concern this kind of principal and this verb. Only what the scope of a rule says for
/// certain leaves it out.
fn slice_shipped(
    set: &PolicySet,
    kind: &str,
    verb: Verb,
    members: &HashMap<EntityUid, Vec<Verb>>,
) -> Result<PolicySet, LoadError> {
    let mut slice = PolicySet::new();
    let has = |uid: &EntityUid| members.get(uid).is_some_and(|verbs| verbs.contains(&verb));
    for policy in set.policies() {
        let concerns_principal = match policy.principal_constraint() {
            PrincipalConstraint::Is(name) => name.to_string().eq_ignore_ascii_case(kind),
            _ => true,
        };
        let concerns_action = match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => has(&uid),
            ActionConstraint::In(uids) => uids.iter().any(has),
        };
        if concerns_principal && concerns_action {
            slice.add(policy.clone()).map_err(|e| error(policy.id().as_ref(), e))?;
        }
    }
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Cedar finds by itself that it does not concern a request, it need not look at: that is all that slices are for.
    #[test]
    fn a_slice_has_no_rule_that_cannot_concern_it() {
        let policy = Policy::shipped().unwrap();
        for ((kind, verb), slice) in &policy.shipped {
            for rule in slice.policies() {
                let what = format!("{} for {kind} and {}", rule.id(), verb.as_str());
                if let PrincipalConstraint::Is(name) = rule.principal_constraint() {
                    assert!(name.to_string().eq_ignore_ascii_case(kind), "{what}");
                }
                if let ActionConstraint::Eq(uid) = rule.action_constraint() {
                    assert_eq!(uid.id().unescaped(), verb.as_str(), "{what}");
                }
            }
        }
        assert_eq!(policy.shipped.len(), 4 * Verb::ALL.len());
    }
}
