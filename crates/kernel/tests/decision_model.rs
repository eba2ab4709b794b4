//! `decide` against a small model written from the design's table, not from the policies; and what added policies can
//! and cannot do. The cases come from a fixed seed, which a failure prints.

#![expect(clippy::expect_used, reason = "a cast that cannot be set up ends the test")]

mod cast;
mod dice;

use std::sync::Arc;

use cast::{HOME, OTHER, Person, Place, ROOT, ask, deed, facts, people, places, word};
use dice::Dice;
use portcullis_kernel::{
    consequence::Consequence,
    facts::{FactGap, Facts, Kinship, TargetFacts},
    id::WorkspaceId,
    operator::Role,
    policy::{Added, CANDIDATES_MAX, Decision, Index, Policy, TooMany, request_slots},
    refusal::Code,
    scope::Scope,
    subject::{Principal, Standing},
    verb::Verb,
};
use uuid::Uuid;

const SEED: u64 = 2566;
const CASES: usize = 4_000;

fn pick<'a, T>(dice: &mut Dice, from: &'a [T]) -> &'a T {
    &from[dice.below(from.len() as u64) as usize]
}

/// Somebody, a verb, a place, and facts that need not be the usual ones for it.
fn roll(dice: &mut Dice, people: &[Person]) -> (Person, Verb, Place, Facts) {
    let mut person = pick(dice, people).clone();
    let verb = *pick(dice, Verb::ALL);
    let place = *pick(dice, &places(verb));
    if dice.one_in(5) {
        let scope = *pick(dice, Scope::ALL);
        person.scopes.0.remove(&scope);
    }
    let mut facts = facts(&person, verb, place);
    if dice.one_in(3) {
        facts.reaches = [ROOT, HOME, OTHER].into_iter().filter(|_| dice.one_in(2)).collect();
    }
    facts.approved = dice.one_in(4);
    facts.quota_spent = dice.one_in(8);
    facts.custom_runtime = dice.one_in(4);
    if dice.one_in(2) {
        facts.kinship = if dice.one_in(2) { Kinship::Lineal } else { Kinship::None };
    }
    (person, verb, place, facts)
}

fn policy() -> Policy {
    Policy::shipped().expect("the shipped rules load")
}

fn touches_root(verb: Verb, place: Place, facts: &Facts) -> bool {
    deed(verb, place).consequences(&facts.reaches).iter().any(|c| c.needs_intent() && c.workspace() == Some(ROOT))
}

fn human_only(verb: Verb) -> bool {
    use Verb::*;
    matches!(
        verb,
        SecretDestroy
            | WorkspaceReparent
            | WorkspaceApply
            | WorkspaceForceStop
            | ApprovalDecide
            | OperatorCreate
            | OperatorUpdate
            | OperatorInvite
            | PolicyAdd
            | PolicyRemove
            | KeyRotate
    )
}

/// What the design says, in the order in which it says no.
fn model(person: &Person, verb: Verb, place: Place, facts: &Facts) -> String {
    use Verb::*;
    let no = |code: Code| code.as_str().to_owned();
    let agent = match person.subject.principal {
        Principal::Agent(home) => Some(home),
        _ => None,
    };
    let service = matches!(person.subject.principal, Principal::Service(_));
    let machine = agent.is_some() || service;
    let aim = place.workspace();
    let own = match &facts.target {
        TargetFacts::Token { own, .. } | TargetFacts::Approval { own, .. } => *own,
        _ => false,
    };
    let token = matches!(facts.target, TargetFacts::Token { .. });
    let root_token =
        matches!(facts.target, TargetFacts::Token { builtin, agent, .. } if builtin || agent == Some(ROOT));
    let changes_workspace = matches!(
        verb,
        WorkspaceRename
            | WorkspaceReparent
            | WorkspaceConfigure
            | WorkspaceRestart
            | WorkspacePause
            | WorkspaceResume
            | WorkspaceRemove
            | WorkspaceApply
            | WorkspaceForceStop
    );
    let consequences = deed(verb, place).consequences(&facts.reaches);
    let stops = |id: WorkspaceId| {
        consequences.iter().any(|c| {
            matches!(c, Consequence::Interrupts { .. } | Consequence::Destroys { .. }) && c.workspace() == Some(id)
        })
    };
    let in_scope = facts.scopes.has(verb.scope());

    let talks = verb == MessageSend && facts.kinship != Kinship::None;
    if let Some(home) = agent.filter(|home| *home != ROOT)
        && !talks
        && (aim.is_some_and(|id| id != home) || (token && !own))
    {
        return no(Code::NotFound);
    }
    if verb == ApprovalWithdraw && !own {
        return no(Code::NotFound);
    }
    if machine && verb.is_secret_write() && (touches_root(verb, place, facts) || aim == Some(ROOT)) {
        return no(Code::ConciergeSelfWriteBlocked);
    }
    if machine && (touches_root(verb, place, facts) || (changes_workspace && aim == Some(ROOT)) || root_token) {
        return no(Code::SelfInterruptionBlocked);
    }
    if agent.is_some_and(stops) {
        return no(Code::SelfInterruptionBlocked);
    }
    let system = matches!(person.subject.principal, Principal::System(_));
    if (machine && human_only(verb)) || (system && verb == ApprovalDecide) {
        return no(Code::HumanRequired);
    }
    if verb == EnvironmentRelease && !system && !(agent.is_some() && agent == aim && in_scope) {
        return no(Code::ValueNeverRevealed);
    }
    if !in_scope {
        return no(Code::ScopeMissing);
    }
    if agent.is_some() && facts.quota_spent {
        return no(Code::QuotaSpent);
    }
    if verb == ApprovalDecide && own {
        return no(Code::SelfApprovalBlocked);
    }
    let (role, stepped_up) = match &facts.standing {
        Standing::Operator { role, stepped_up, .. } => (Some(*role), *stepped_up),
        _ => (None, false),
    };
    let sensitive = human_only(verb) && !matches!(verb, WorkspaceReparent | WorkspaceApply);
    if role.is_some() && sensitive && !stepped_up {
        return no(Code::StepUpRequired);
    }

    let root_only = changes_workspace || matches!(verb, WorkspaceCreate | AuditExport);
    let members = !matches!(
        verb,
        TokenMint
            | EnrolmentIssue
            | TokenRevoke
            | WorkspaceRemove
            | EnvironmentRelease
            | ApprovalWithdraw
            | AuditExport
            | MessageSend
    ) && (!human_only(verb) || verb == WorkspaceApply);
    let owners = sensitive && !matches!(verb, ApprovalDecide | WorkspaceForceStop);
    let may = match (role, agent) {
        (Some(Role::Owner), _) => true,
        (Some(Role::Approver), _) => !owners,
        (Some(Role::Member), _) => {
            (members && aim.is_some_and(|id| id != ROOT) && !touches_root(verb, place, facts))
                || (verb == WorkspaceCreate && !touches_root(verb, place, facts))
                || matches!(verb, ApprovalWithdraw | AuditExport | MessageSend)
        }
        (Some(Role::Auditor), _) => verb == AuditExport,
        (None, Some(_)) if verb == MessageSend => facts.kinship == Kinship::Peer,
        (None, Some(home)) => home == ROOT || (!root_only && (aim == Some(home) || own)),
        (None, None) => true,
    };
    if !may && verb == MessageSend && agent.is_some_and(|home| home != ROOT && aim != Some(home)) {
        return no(Code::NotFound);
    }
    if !may {
        return no(if role.is_some() { Code::RoleRequired } else { Code::NotEntitled });
    }
    let at_home = agent.is_some() && agent == aim && facts.reaches.iter().all(|id| Some(*id) == agent);
    let unattended = matches!(facts.standing, Standing::Service { unattended: true });
    let asks = (verb.is_secret_write() && !at_home && !unattended)
        || matches!(verb, TokenMint | EnrolmentIssue | WorkspaceRemove | WorkspaceConfigure)
        || (verb == WorkspaceCreate && facts.custom_runtime)
        || (verb == TokenRevoke && !own);
    let member =
        role == Some(Role::Member) && facts.custom_runtime && matches!(verb, WorkspaceCreate | WorkspaceConfigure);
    let asks = (machine && asks) || (system && verb == WorkspaceForceStop) || member;
    if asks && !facts.approved { "hold role:approver=1".to_owned() } else { "allow".to_owned() }
}

#[test]
fn the_rules_say_what_the_model_says_and_no_machine_reaches_the_root() {
    let (policy, people, mut dice) = (policy(), people(), Dice(SEED));
    let mut seen = std::collections::BTreeMap::new();
    for case in 0..CASES {
        let (person, verb, place, facts) = roll(&mut dice, &people);
        let what =
            format!("seed {SEED}, case {case}: {}: {} on {}, {facts:?}", person.name, verb.as_str(), place.word());
        let said = word(&ask(&policy, &person, verb, place, &facts));
        assert_eq!(said, model(&person, verb, place, &facts), "{what}");
        let machine = matches!(person.subject.principal, Principal::Agent(_) | Principal::Service(_));
        let yes = said == "allow" || said.starts_with("hold");
        assert!(!(machine && yes && touches_root(verb, place, &facts)), "{what}");
        assert!(!(machine && yes && human_only(verb)), "{what}");
        *seen.entry(said).or_insert(0) += 1;
    }
    assert!(seen.len() >= 12 && seen["allow"] > 100, "the cases are too alike: {seen:?}");
}

#[test]
fn a_missing_fact_is_never_a_yes() {
    let policy = policy();
    for person in people() {
        for verb in Verb::ALL {
            for place in places(*verb) {
                for gap in [FactGap::Absent, FactGap::Hidden, FactGap::Unreadable("the table is gone".to_owned())] {
                    let said = policy.decide(&person.subject, &deed(*verb, place), Err(&gap), &Ok(vec![]));
                    let Decision::Deny(denial) = said else {
                        panic!("{}: {} without facts", person.name, verb.as_str())
                    };
                    // What is hidden is refused in the words of the rule that hides what exists.
                    let cause = (gap != FactGap::Hidden).then_some("fact_unavailable");
                    assert_eq!(denial.cause, cause);
                }
            }
        }
    }
}

fn added(id: &str, text: &str) -> Arc<Added> {
    Arc::new(Added::new(id.to_owned(), text.to_owned()))
}

fn with(policy: &Policy, who: &Person, verb: Verb, place: Place, texts: &[&str]) -> Decision {
    let all = texts.iter().enumerate().map(|(n, text)| {
        let id = format!("added-{n}");
        policy.read_added(&id, text).expect("it fits the schema");
        added(&id, text)
    });
    policy.decide(&who.subject, &deed(verb, place), Ok(&facts(who, verb, place)), &Ok(all.collect()))
}

fn called(name: &str) -> Person {
    people().into_iter().find(|person| person.name == name).expect("somebody of the cast")
}

#[test]
fn an_added_permit_overrides_no_shipped_prohibition() {
    let (policy, everything) = (policy(), "permit (principal, action, resource);");
    for person in people() {
        for verb in Verb::ALL {
            for place in places(*verb) {
                let alone = ask(&policy, &person, *verb, place, &facts(&person, *verb, place));
                let more = with(&policy, &person, *verb, place, &[everything]);
                match alone {
                    // Silence is the only no that a permit may end.
                    Decision::Deny(denial) if denial.rule == "silence" => {
                        assert!(["allow", "hold role:approver=1"].contains(&word(&more).as_str()), "{}", word(&more));
                    }
                    other => assert_eq!(word(&more), word(&other), "{}: {}", person.name, verb.as_str()),
                }
            }
        }
    }
}

#[test]
fn an_added_policy_that_fails_or_cannot_be_read_refuses() {
    let (policy, owner) = (policy(), called("owner, stepped up"));
    // Adding one to the largest number overflows, which Cedar reports when it evaluates.
    let overflow =
        "forbid (principal is Operator, action, resource) when { principal.rank + 9223372036854775807 > 0 };";
    let Decision::Deny(denial) = with(&policy, &owner, Verb::SecretSet, Place::Home, &[overflow]) else {
        panic!("a failing prohibition permitted");
    };
    assert_eq!((denial.code, denial.reason.as_str()), (Code::PolicyError, "policy_evaluation_error"));
    assert_eq!(denial.rule, "added-0", "whoever has to repair it is told which");
    let facts = facts(&owner, Verb::SecretSet, Place::Home);
    let broken = Ok(vec![added("broken", "forbid (principal")]);
    let said = policy.decide(&owner.subject, &deed(Verb::SecretSet, Place::Home), Ok(&facts), &broken);
    assert_eq!(word(&said), "POLICY_ERROR");
}

#[test]
fn a_hold_that_no_approval_could_lift_is_refused_at_once() {
    let (policy, owner) = (policy(), called("owner"));
    let trap = "@hold(\"role:owner=1\") forbid (principal, action, resource);";
    let fair = "@hold(\"role:owner=2\") forbid (principal, action, resource) unless { context.approved };";
    assert_eq!(word(&with(&policy, &owner, Verb::SecretSet, Place::Home, &[trap])), "POLICY_FORBIDS");
    assert_eq!(word(&with(&policy, &owner, Verb::SecretSet, Place::Home, &[fair])), "hold role:owner=2");
    assert_eq!(word(&with(&policy, &called("auditor"), Verb::SecretSet, Place::Home, &[fair])), "ROLE_REQUIRED");
}

fn index(policy: &Policy, texts: &[String]) -> (Index, Vec<Arc<Added>>) {
    let (mut index, mut all) = (Index::default(), Vec::new());
    for (n, text) in texts.iter().enumerate() {
        let id = format!("added-{n}");
        let slots = policy.read_added(&id, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let policy = added(&id, text);
        index.insert(&slots, &policy);
        all.push(policy);
    }
    (index, all)
}

#[test]
fn a_hundred_thousand_policies_about_others_are_not_looked_at() {
    let (policy, owner) = (policy(), called("owner"));
    let slots = |about: WorkspaceId| {
        let text = format!("forbid (principal, action, resource == Workspace::\"{about}\");");
        (policy.read_added("added", &text).expect("it fits the schema"), text)
    };
    let mut index = Index::default();
    // One is read; the others differ from it in the id only, so the test does not spend a minute on parsing them.
    let (pattern, text) = slots(OTHER);
    for n in 0..100_000u128 {
        let about = WorkspaceId::from_uuid(Uuid::from_u128(1_000 + n)).to_string();
        let filed: Vec<String> = pattern.iter().map(|slot| slot.replace(&OTHER.to_string(), &about)).collect();
        index.insert(&filed, &added(&format!("added-{n}"), &text.replace(&OTHER.to_string(), &about)));
    }
    let (here, text) = slots(HOME);
    index.insert(&here, &added("here", &text));
    for (place, count, outcome) in [(Place::Home, 1, "POLICY_FORBIDS"), (Place::Other, 0, "allow")] {
        let facts = facts(&owner, Verb::SecretSet, place);
        let found = index.candidates(&request_slots(&owner.subject, &[Verb::SecretSet], &facts));
        assert_eq!(found.as_ref().map(Vec::len), Ok(count));
        let said = policy.decide(&owner.subject, &deed(Verb::SecretSet, place), Ok(&facts), &found);
        assert_eq!(word(&said), outcome);
    }
}

#[test]
fn more_applicable_policies_than_the_limit_are_a_refusal() {
    let (policy, owner) = (policy(), called("owner"));
    let facts = facts(&owner, Verb::SecretSet, Place::Home);
    for (count, outcome) in [(CANDIDATES_MAX, "allow"), (CANDIDATES_MAX + 1, "POLICY_ERROR")] {
        let texts = vec!["forbid (principal, action, resource) when { context.quota_spent };".to_owned(); count];
        let found = index(&policy, &texts).0.candidates(&request_slots(&owner.subject, &[Verb::SecretSet], &facts));
        assert_eq!(found.is_err(), count > CANDIDATES_MAX);
        let said = policy.decide(&owner.subject, &deed(Verb::SecretSet, Place::Home), Ok(&facts), &found);
        assert_eq!(word(&said), outcome);
    }
}

/// Every form a scope can take, against every kind of target.
#[test]
fn looking_at_a_slice_decides_as_looking_at_all() {
    let (policy, people, mut dice) = (policy(), people(), Dice(SEED));
    let agent = format!("Agent::\"{HOME}\"");
    let principals = [
        "".to_owned(),
        " is Agent".to_owned(),
        format!(" == {agent}"),
        format!(" in {agent}"),
        format!(" is Agent in {agent}"),
    ];
    let actions = [
        "",
        " == Action::\"secret.set\"",
        " in Action::\"secret.write\"",
        " in [Action::\"secret.set\", Action::\"token.revoke\"]",
        " in [Action::\"human.only\", Action::\"workspace.pause\"]",
    ];
    let mut resources = vec!["".to_owned(), " in Organisation::\"this\"".to_owned()];
    for id in [ROOT, HOME, OTHER] {
        resources.push(format!(" in Workspace::\"{id}\""));
        resources.push(format!(" == Workspace::\"{id}\""));
        resources.push(format!(" is Workspace in Workspace::\"{id}\""));
    }
    resources.extend([" is Workspace", " is Token", " is Organisation"].map(str::to_owned));
    let mut texts = Vec::new();
    for (principal, action) in principals.iter().flat_map(|p| actions.iter().map(move |a| (p, a))) {
        for resource in &resources {
            let text = format!("forbid (principal{principal}, action{action}, resource{resource});");
            // A scope that can never apply is refused when it is added.
            if let Ok(slots) = policy.read_added("added", &text) {
                texts.push((slots, added(&text, &text)));
            }
        }
    }
    assert!(texts.len() > 100, "too few scopes fit the schema: {}", texts.len());
    let mut left_out = 0;
    for case in 0..CASES / 4 {
        let (person, verb, place, facts) = roll(&mut dice, &people);
        let mut index = Index::default();
        let mut all: Vec<Arc<Added>> = Vec::new();
        for _ in 0..3 {
            let (slots, policy) = pick(&mut dice, &texts);
            if !all.iter().any(|other| Arc::ptr_eq(other, policy)) {
                index.insert(slots, policy);
                all.push(Arc::clone(policy));
            }
        }
        let found = index.candidates(&request_slots(&person.subject, &[verb], &facts));
        left_out += all.len() - found.as_ref().map_or(0, Vec::len);
        let decide =
            |added: &Result<_, TooMany>| word(&policy.decide(&person.subject, &deed(verb, place), Ok(&facts), added));
        let what =
            format!("seed {SEED}, case {case}: {}: {} on {} with {all:?}", person.name, verb.as_str(), place.word());
        assert_eq!(decide(&found), decide(&Ok(all)), "{what}");
    }
    assert!(left_out > 100, "nothing was sliced away");
}
