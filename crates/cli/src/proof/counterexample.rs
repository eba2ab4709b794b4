//! A request that shows that something does not hold, as people read it.

use std::fmt;

use cedar_policy::{Authorizer, Decision, Entities, Entity, EntityUid, EvalResult, PolicySet, Request};
use cedar_policy_symcc::Env;

/// One request, and what the rules say to it.
#[derive(Clone, Debug)]
pub struct Counterexample {
    request: Request,
    entities: Entities,
    decision: Decision,
    rules: Vec<String>,
    errors: usize,
}

impl Counterexample {
    /// Asks Cedar itself about what the solver found: a request is shown only with the answer it really has.
    pub(super) fn of(env: Env, rules: &PolicySet) -> Self {
        let Env { request, entities } = env;
        let response = Authorizer::new().is_authorized(&request, rules, &entities);
        let mut reasons: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        reasons.sort();
        let errors = response.diagnostics().errors().count();
        Self { decision: response.decision(), rules: reasons, errors, request, entities }
    }

    /// Whether the rules allow it.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allow
    }

    /// Whether a rule fails while it is evaluated.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether a policy applies to it.
    #[must_use]
    pub(super) fn matches(&self, set: &PolicySet) -> bool {
        let response = Authorizer::new().is_authorized(&self.request, set, &self.entities);
        response.diagnostics().reason().next().is_some()
    }

    /// Its parts by name: `principal`, `action`, `resource`, each member of `context`, `answer`.
    #[must_use]
    pub fn parts(&self) -> Vec<(String, String)> {
        let mut parts = vec![
            ("principal".to_owned(), self.entity(self.request.principal())),
            (
                "action".to_owned(),
                self.request.action().map_or_else(String::new, |uid| uid.id().unescaped().to_owned()),
            ),
            ("resource".to_owned(), self.entity(self.request.resource())),
        ];
        let mut context: Vec<(String, String)> =
            self.members().into_iter().map(|(name, value)| (format!("context.{name}"), value)).collect();
        context.sort();
        parts.extend(context);
        let by = if self.rules.is_empty() { "no rule".to_owned() } else { self.rules.join(", ") };
        let answer = match self.decision {
            Decision::Allow => "allowed",
            Decision::Deny => "denied",
        };
        parts.push(("answer".to_owned(), format!("{answer} by {by}")));
        parts
    }

    fn members(&self) -> Vec<(String, String)> {
        let Some(context) = self.request.context() else { return Vec::new() };
        let Ok(json) = context.to_json_value() else { return Vec::new() };
        json.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), plain(value))).collect()
    }

    fn entity(&self, uid: Option<&EntityUid>) -> String {
        let Some(uid) = uid else { return "?".to_owned() };
        let attributes = self.entities.get(uid).map(attributes).unwrap_or_default();
        if attributes.is_empty() { uid.to_string() } else { format!("{uid} {{ {attributes} }}") }
    }
}

fn attributes(entity: &Entity) -> String {
    let mut members: Vec<String> = entity
        .attrs()
        .map(|(name, value)| match value {
            Ok(EvalResult::EntityUid(uid)) => format!("{name}: {uid}"),
            Ok(value) => format!("{name}: {value}"),
            Err(_) => format!("{name}: ?"),
        })
        .collect();
    members.sort();
    members.join(", ")
}

/// A member of the context: `Workspace::"a"` instead of the JSON that stands for it.
fn plain(value: &serde_json::Value) -> String {
    if let Some(list) = value.as_array() {
        return format!("[{}]", list.iter().map(plain).collect::<Vec<_>>().join(", "));
    }
    let entity = value.get("__entity").unwrap_or(value);
    match (entity["type"].as_str(), entity["id"].as_str()) {
        (Some(kind), Some(id)) => format!("{kind}::{id:?}"),
        _ => value.to_string(),
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.parts() {
            writeln!(f, "    {name:<24}{value}")?;
        }
        Ok(())
    }
}
