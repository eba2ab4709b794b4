//! Asking Cedar. An error of any policy makes the whole answer an error, because what Cedar skips may be a prohibition.
//!
//! What the shipped rules say to a question is remembered: they never change while the process lives, and the question
//! is all they are told. Facts are read and the question is put together anew for every decision; only the evaluation of
//! an equal question is saved.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use cedar_policy::{
    Authorizer, Decision as CedarDecision, Entities, PolicyId as CedarId, PolicySet, Request as CedarRequest,
};

use super::{Added, Denial, Meta, Policy, policy_error, request::Question};

/// Questions remembered; when there are more, all are forgotten.
const QUESTIONS_MAX: usize = 4_096;
/// Consequences of a question that is worth remembering: a change that reaches hundreds of workspaces is rare.
const CONSEQUENCES_MAX: usize = 16;

/// What rules say to a question.
pub(super) enum Answer {
    Permit(String),
    Forbid(Vec<(String, Meta)>),
    Silence,
}

/// The determining rules of one evaluation.
#[derive(Default, Clone)]
struct Said {
    forbids: Vec<(String, Meta)>,
    permit: Option<String>,
}

/// What the shipped rules said to questions asked lately.
#[derive(Default)]
pub(super) struct Memory(Mutex<HashMap<Question, Arc<Said>>>);

impl Memory {
    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Arc<Said>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recall(&self, question: &Question) -> Option<Arc<Said>> {
        self.entries().get(question).cloned()
    }

    fn keep(&self, question: &Question, said: &Arc<Said>) {
        if question.consequences.len() > CONSEQUENCES_MAX {
            return;
        }
        let mut entries = self.entries();
        if entries.len() >= QUESTIONS_MAX {
            entries.clear();
        }
        entries.insert(question.clone(), Arc::clone(said));
    }
}

impl Policy {
    pub(super) fn evaluate(&self, question: &Question, added: &[Arc<Added>]) -> Result<Answer, Denial> {
        let request = || self.names.request(question).map_err(|_| policy_error("request_not_expressible"));
        let known = self.memory.recall(question);
        let mut said = match &known {
            Some(said) => Said::clone(said),
            None => {
                let Some(rules) = self.shipped.get(&(question.principal.kind(), question.verb)) else {
                    return Err(policy_error("no_rules_loaded"));
                };
                let (request, entities) = request()?;
                let mut said = Said::default();
                collect(rules, &request, &entities, |id| self.meta.get(id), &mut said)?;
                self.memory.keep(question, &Arc::new(said.clone()));
                said
            }
        };
        if !added.is_empty() {
            let (request, entities) = request()?;
            for policy in added {
                let alone = policy.alone().map_err(|_| policy_error("added_policy_unreadable"))?;
                collect(&alone.set, &request, &entities, |_| Some(&alone.meta), &mut said)?;
            }
        }
        Ok(match (said.forbids.is_empty(), said.permit) {
            (false, _) => Answer::Forbid(said.forbids),
            (true, Some(rule)) => Answer::Permit(rule),
            (true, None) => Answer::Silence,
        })
    }
}

fn collect<'m>(
    rules: &PolicySet,
    request: &CedarRequest,
    entities: &Entities,
    meta: impl Fn(&CedarId) -> Option<&'m Meta>,
    said: &mut Said,
) -> Result<(), Denial> {
    let response = Authorizer::new().is_authorized(request, rules, entities);
    if let Some(error) = response.diagnostics().errors().next() {
        let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
        return Err(Denial { rule: error.policy_id().to_string(), ..policy_error("policy_evaluation_error") });
    }
    let mut ids: Vec<&CedarId> = response.diagnostics().reason().collect();
    ids.sort();
    match response.decision() {
        CedarDecision::Allow => said.permit = said.permit.take().or_else(|| ids.first().map(ToString::to_string)),
        CedarDecision::Deny => {
            for id in ids {
                let meta = meta(id).ok_or_else(|| policy_error("unknown_rule"))?;
                said.forbids.push((id.to_string(), meta.clone()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        deed::{Deed, WorkspaceRestart},
        facts::{Facts, Kinship, TargetFacts},
        id::WorkspaceId,
        scope::Scopes,
        subject::{Lineage, Principal, Standing, Subject, SystemRole},
        verb::Verb,
    };

    /// A question of its own for each root, with that many consequences.
    fn question(root: usize, consequences: usize) -> Question {
        let id = |n: usize| WorkspaceId::from_uuid(Uuid::from_u128(n as u128));
        let subject = Subject { principal: Principal::System(SystemRole::Executor), lineage: Lineage::default() };
        let facts = Facts {
            root: id(root),
            standing: Standing::System,
            scopes: Scopes::session(),
            target: TargetFacts::Organisation,
            reaches: (0..consequences).map(id).collect(),
            approved: false,
            kinship: Kinship::None,
            custom_runtime: false,
            quota_spent: false,
        };
        let deed = Deed::from(WorkspaceRestart { workspace: id(1) });
        Question::new(&subject, &deed, Verb::WorkspaceRestart, &facts, false)
    }

    fn said(permit: &str) -> Arc<Said> {
        Arc::new(Said { forbids: Vec::new(), permit: Some(permit.to_owned()) })
    }

    #[test]
    fn an_answer_is_remembered_for_its_question_unless_that_is_long() {
        let memory = Memory::default();
        for (root, consequences, kept) in
            [(1, 0, true), (2, CONSEQUENCES_MAX, true), (3, CONSEQUENCES_MAX + 1, false), (4, 100, false)]
        {
            memory.keep(&question(root, consequences), &said(&root.to_string()));
            let recalled = memory.recall(&question(root, consequences)).and_then(|said| said.permit.clone());
            assert_eq!(recalled, kept.then(|| root.to_string()), "{consequences} consequences");
        }
        assert!(memory.recall(&question(5, 0)).is_none());
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let memory = Memory::default();
        for root in 0..QUESTIONS_MAX {
            memory.keep(&question(root, 0), &said("rule"));
        }
        assert_eq!(memory.entries().len(), QUESTIONS_MAX);
        memory.keep(&question(QUESTIONS_MAX, 0), &said("rule"));
        assert_eq!(memory.entries().len(), 1);
    }
}
