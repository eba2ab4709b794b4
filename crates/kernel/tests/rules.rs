//! How rules are read, what they say of themselves, and how several of them add up.

#![expect(clippy::expect_used, reason = "a cast that cannot be set up ends the test")]

#[expect(dead_code, reason = "each test uses its part of the cast")]
mod cast;

use std::sync::Arc;

use cast::{HOME, Person, Place, ROOT, ask, deed, facts, people, word};
use portcullis_kernel::{
    approval::{Tally, tally},
    consequence::Consequence,
    deed::{Deed, WorkspaceUpdate},
    facts::{FactGap, Facts, Kinship, TargetFacts},
    operator::Role,
    policy::{Added, Decision, Denial, Held, Index, Policy, SCHEMA, SHIPPED, Who, annotations_of, request_slots},
    refusal::Code,
    runtime::Runtime,
    subject::{Standing, Subject},
    verb::Verb,
};

fn policy() -> Policy {
    Policy::shipped().expect("the shipped rules load")
}

fn called(name: &str) -> Person {
    people().into_iter().find(|person| person.name == name).expect("somebody of the cast")
}

fn added(texts: &[&str]) -> Vec<Arc<Added>> {
    let number = texts.iter().enumerate();
    number.map(|(n, text)| Arc::new(Added::new(format!("added-{n}"), (*text).to_owned()))).collect()
}

fn with(policy: &Policy, who: &Person, verb: Verb, place: Place, texts: &[&str]) -> Decision {
    policy.decide(&who.subject, &deed(verb, place), Ok(&facts(who, verb, place)), &Ok(added(texts)))
}

fn denied(decision: Decision) -> Denial {
    match decision {
        Decision::Deny(denial) => denial,
        other => panic!("{other:?} is no refusal"),
    }
}

fn held(decision: Decision) -> Held {
    match decision {
        Decision::Hold(held) => held,
        other => panic!("{other:?} is no hold"),
    }
}

const BODY: &str = "forbid (principal is Agent, action == Action::\"secret.set\", resource)";

#[test]
fn what_a_reviewer_would_want_to_know_does_not_load() {
    let lifted = format!("{BODY} unless {{ context.approved }};");
    let plain = format!("{BODY};");
    for (text, problem) in [
        (plain.clone(), "without @id"),
        (format!("@id(\"a\") @colour(\"red\") {plain}"), "unknown annotation @colour"),
        (format!("@id(\"a\") @code(\"NO_SUCH_CODE\") {plain}"), "not a refusal code"),
        (format!("@id(\"a\") @rank(\"high\") {plain}"), "not a number"),
        (format!("@id(\"a\") {plain} @id(\"a\") {plain}"), "a"),
        (format!("@id(\"a\") @hold(\"role:approver=1\") {}", plain.replace("forbid", "permit")), "on a forbid"),
        (format!("@id(\"a\") {BODY} when {{ context.no_such_fact }};"), "no_such_fact"),
        (format!("@id(\"a\") {BODY} when {{ false }};"), "a"),
        ("@id(\"a\") forbid (principal".to_owned(), "file"),
    ] {
        let error = Policy::load(SCHEMA, &[("file", &text)]).map(drop).expect_err(&text);
        assert!(error.to_string().contains(problem), "{text}: {error}");
    }
    for hold in [
        "",
        "approver",
        "approver=1",
        "role:approver",
        "role:approver=0",
        "role:approver=11",
        "role:approver=one",
        "role:member=1",
        "role:nobody=1",
        "group:=1",
        "team:security=1",
        "role:approver=1,",
    ] {
        let text = format!("@id(\"a\") @hold(\"{hold}\") {lifted}");
        let error = Policy::load(SCHEMA, &[("file", &text)]).map(drop).expect_err(hold);
        assert!(error.to_string().contains("@hold"), "{hold}: {error}");
    }
    assert!(Policy::load("entity", &[]).is_err(), "a schema that does not parse");
    assert!(Policy::load(SCHEMA, &SHIPPED).is_ok());
}

#[test]
fn an_added_policy_is_read_as_strictly() {
    let policy = policy();
    for text in [
        format!("{BODY};\0"),
        String::new(),
        format!("{BODY}; {BODY};"),
        format!("{BODY} when {{ context.no_such_fact }};"),
        format!("// a comment with a NUL: \0\n{BODY};"),
    ] {
        assert!(policy.read_added("added", &text).is_err(), "{text}");
    }
    assert_eq!(policy.read_added("added", &format!("{BODY};")), Ok(vec!["is:Agent|secret.set|*".to_owned()]));
}

#[test]
fn the_digest_is_of_the_text_of_all_rules_and_of_the_schema() {
    let digest = |schema: &str, files: &[(&str, &str)]| {
        let policy = Policy::load(schema, files).expect("it loads");
        assert!(policy.digest().len() == 16 && policy.digest().bytes().all(|byte| byte.is_ascii_hexdigit()));
        policy.digest().to_owned()
    };
    let shipped = digest(SCHEMA, &SHIPPED);
    assert_eq!(shipped, policy().digest());
    assert_ne!(shipped, digest(SCHEMA, &SHIPPED[..2]));
    assert_ne!(shipped, digest(&format!("{SCHEMA}\n"), &SHIPPED));
    let shown = format!("{:?}", policy());
    assert!(shown.contains(&shipped) && !shown.contains("forbid"), "{shown}");
}

#[test]
fn rules_are_listed_as_they_stand_in_their_files() {
    let (policy, files) = (policy(), SHIPPED.map(|(_, text)| text).concat());
    let ids: Vec<&str> = policy.rules().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids.len(), files.matches("@id(").count());
    for rule in policy.rules() {
        assert_eq!(rule.annotations.get("id"), Some(&rule.id));
        assert!(rule.text.contains("forbid") || rule.text.contains("permit"), "{}", rule.text);
    }
    let read = annotations_of(&format!("@reason(\"why\") @code(\"QUOTA_SPENT\") {BODY};"));
    assert_eq!(read.get("reason").map(String::as_str), Some("why"));
    assert_eq!(read.len(), 2);
    assert!(annotations_of("forbid (").is_empty());
}

#[test]
fn a_refusal_says_what_its_rule_says_of_itself() {
    let (policy, agent) = (policy(), called("root agent, admin token"));
    let owner = called("owner");
    let silent =
        denied(with(&policy, &owner, Verb::SecretSet, Place::Home, &["forbid (principal, action, resource);"]));
    let expected = Denial {
        rule: "added-0".to_owned(),
        code: Code::PolicyForbids,
        reason: "added-0".to_owned(),
        issue: None,
        next_step: None,
        cause: None,
    };
    assert_eq!(silent, expected, "what is not said has a default");
    let told = "@code(\"QUOTA_SPENT\") @reason(\"too_much\") @issue(\"42\") @next_step(\"wait\") forbid (principal, action, resource);";
    let expected = Denial {
        code: Code::QuotaSpent,
        reason: "too_much".to_owned(),
        issue: Some("42".to_owned()),
        next_step: Some("wait".to_owned()),
        ..expected
    };
    assert_eq!(denied(with(&policy, &owner, Verb::SecretSet, Place::Home, &[told])), expected);
    let blocked = denied(with(&policy, &agent, Verb::SecretSet, Place::Root, &[]));
    assert_eq!(
        (blocked.rule.as_str(), blocked.issue.as_deref()),
        ("agent_never_targets_root_secrets", Some("core#2566"))
    );
}

#[test]
fn of_several_prohibitions_the_lowest_rank_is_told_and_none_is_fifty() {
    let (policy, owner) = (policy(), called("owner"));
    let ranked = |rank: &str| format!("@rank(\"{rank}\") @reason(\"{rank}\") forbid (principal, action, resource);");
    let unranked = "@reason(\"none\") forbid (principal, action, resource);";
    for (ranks, told) in [(["7", "3", "5"], "3"), (["49", "51", "60"], "49"), (["51", "60", "70"], "none")] {
        let texts = ranks.map(ranked);
        let [a, b, c] = texts.each_ref().map(String::as_str);
        let said = denied(with(&policy, &owner, Verb::SecretSet, Place::Home, &[a, b, c, unranked]));
        assert_eq!(said.reason, told, "{ranks:?}");
    }
    // A hold is no answer where something else is a no, whatever its rank.
    let hold = "@rank(\"1\") @hold(\"role:owner=1\") forbid (principal, action, resource) unless { context.approved };";
    let said = denied(with(&policy, &owner, Verb::SecretSet, Place::Home, &[hold, unranked]));
    assert_eq!(said.reason, "none");
    // And of what an approval would leave, a plain no is told before a hold.
    let trap = "@rank(\"1\") @reason(\"trap\") @hold(\"role:owner=1\") forbid (principal, action, resource);";
    let late = "@rank(\"9\") @reason(\"late\") forbid (principal, action, resource) when { context.approved };";
    let said = denied(with(&policy, &owner, Verb::SecretSet, Place::Home, &[trap, late]));
    assert_eq!(said.reason, "late");
}

#[test]
fn what_humans_agreed_to_and_a_hold_still_forbids_is_refused_by_the_lowest_rank() {
    let (policy, owner) = (policy(), called("owner"));
    let trap = |rank: &str| {
        format!("@rank(\"{rank}\") @reason(\"{rank}\") @hold(\"role:owner=1\") forbid (principal, action, resource);")
    };
    let (late, early) = (trap("9"), trap("1"));
    let approved = Facts { approved: true, ..facts(&owner, Verb::SecretSet, Place::Home) };
    let texts = added(&[&late, &early]);
    let said = policy.decide(&owner.subject, &deed(Verb::SecretSet, Place::Home), Ok(&approved), &Ok(texts));
    assert_eq!(denied(said).reason, "1");
}

#[test]
fn what_two_holds_ask_for_adds_up() {
    let (policy, owner) = (policy(), called("owner"));
    let rule = |annotations: &str| {
        format!(
            "{annotations} forbid (principal, action == Action::\"secret.set\", resource) unless {{ context.approved }};"
        )
    };
    let first = rule("@hold(\"role:approver=2, group:qa=1\") @checklist(\"a; b;\") @reason(\"one\")");
    let second = rule("@hold(\"role:approver=1,group:security=3\") @checklist(\"b;c\") @note(\"required\")");
    let both = held(with(&policy, &owner, Verb::SecretSet, Place::Home, &[&first, &second]));
    let votes: Vec<(Who, u32)> = both.requirements.votes.clone().into_iter().collect();
    let expected = [(Who::Role(Role::Approver), 2), (Who::Group("qa".into()), 1), (Who::Group("security".into()), 3)];
    assert_eq!(votes, expected);
    assert_eq!(both.requirements.checklist, ["a", "b", "c"]);
    assert!(both.requirements.note);
    assert_eq!((both.rule.as_str(), both.reason.as_str()), ("added-0,added-1", "one"));
    assert_eq!(tally(&both.requirements, &[]), Tally::Open(expected.to_vec()));
    let alone = held(with(&policy, &owner, Verb::SecretSet, Place::Home, &[&first]));
    assert!(!alone.requirements.note);
    // As it is stored with an approval.
    let stored = serde_json::to_string(&both.requirements).expect("it is written");
    assert_eq!(serde_json::from_str::<portcullis_kernel::policy::Requirements>(&stored).ok(), Some(both.requirements));
}

fn update(name: bool, parent: bool, runtime: bool) -> Deed {
    WorkspaceUpdate {
        workspace: HOME,
        name: name.then(|| "a name".parse().expect("a name")),
        role: None,
        parent: parent.then_some(ROOT),
        runtime: runtime.then(Runtime::echo),
    }
    .into()
}

fn of_update(policy: &Policy, who: &Person, deed: &Deed, texts: &[&str]) -> Decision {
    policy.decide(&who.subject, deed, Ok(&facts(who, Verb::WorkspaceRename, Place::Home)), &Ok(added(texts)))
}

#[test]
fn a_request_that_does_several_things_needs_all_of_them_permitted() {
    let (policy, owner, member) = (policy(), called("owner, stepped up"), called("member"));
    let all = update(true, true, true);
    match of_update(&policy, &owner, &all, &[]) {
        Decision::Allow(allowed) => assert_eq!(allowed.rule().split(',').count(), 3, "{}", allowed.rule()),
        other => panic!("{other:?}"),
    }
    // A member renames and does not move.
    assert_eq!(word(&of_update(&policy, &member, &update(true, false, false), &[])), "allow");
    assert_eq!(word(&of_update(&policy, &member, &update(true, true, false), &[])), "ROLE_REQUIRED");
    let hold = |verb: &str, who: &str| {
        format!(
            "@hold(\"{who}\") forbid (principal, action == Action::\"{verb}\", resource) unless {{ context.approved }};"
        )
    };
    let (rename, configure) = (hold("workspace.rename", "group:qa=1"), hold("workspace.configure", "group:security=2"));
    let both = held(of_update(&policy, &owner, &update(true, false, true), &[&rename, &configure]));
    assert_eq!(both.requirements.votes.len(), 2);
    assert_eq!(both.rule, "added-1,added-0", "in the order of the verbs: {:?}", update(true, false, true).verbs());
    let one = held(of_update(&policy, &owner, &all, &[&rename]));
    assert_eq!((one.requirements.votes.len(), one.rule.as_str()), (1, "added-0"), "one hold holds everything");
    let no = "@reason(\"no\") forbid (principal, action == Action::\"workspace.configure\", resource);";
    assert_eq!(denied(of_update(&policy, &owner, &all, &[&rename, no])).reason, "no", "one no is a no to everything");
}

#[test]
fn what_is_declared_is_what_the_rules_judge() {
    let owner = called("owner");
    let told = Policy::consequences(
        &deed(Verb::WorkspaceRestart, Place::Home),
        &facts(&owner, Verb::WorkspaceRestart, Place::Home),
    );
    assert_eq!(told, [Consequence::Interrupts { workspace: HOME }]);
}

#[test]
fn a_yes_names_the_rule_that_said_it() {
    let policy = policy();
    for (who, verb, place, rule) in [
        ("owner, stepped up", Verb::KeyRotate, Place::Organisation, "owner"),
        ("member", Verb::WorkspaceRename, Place::Home, "member_workspaces"),
    ] {
        match with(&policy, &called(who), verb, place, &[]) {
            Decision::Allow(allowed) => assert_eq!(allowed.rule(), rule, "{who}"),
            other => panic!("{who}: {other:?}"),
        }
    }
}

#[test]
fn what_is_hidden_is_refused_in_the_words_of_what_exists_and_is_not_seen() {
    let (policy, agent) = (policy(), called("ordinary agent"));
    for (verb, place) in [
        (Verb::SecretSet, Place::Other),
        (Verb::TokenRevoke, Place::ForeignToken),
        (Verb::ApprovalWithdraw, Place::ForeignApproval),
        (Verb::ApprovalDecide, Place::ForeignApproval),
    ] {
        let there = denied(ask(&policy, &agent, verb, place, &facts(&agent, verb, place)));
        let said = policy.decide(&agent.subject, &deed(verb, place), Err(&FactGap::Hidden), &Ok(vec![]));
        assert_eq!(denied(said), there, "{}", verb.as_str());
    }
    // The organisation is no secret.
    let said =
        policy.decide(&agent.subject, &deed(Verb::KeyRotate, Place::Organisation), Err(&FactGap::Hidden), &Ok(vec![]));
    assert_eq!(denied(said).rule, "silence");
}

#[test]
fn a_gap_in_the_facts_is_told_as_its_kind_of_caller_may_know_it() {
    let policy = policy();
    let unreadable = FactGap::Unreadable("the table is gone".to_owned());
    let say = |who: &str, verb: Verb, place: Place, gap: &FactGap| {
        denied(policy.decide(&called(who).subject, &deed(verb, place), Err(gap), &Ok(vec![])))
    };
    for (who, verb, place, gap, code, issue, advised) in [
        ("owner", Verb::SecretSet, Place::Home, &FactGap::Absent, Code::WorkspaceNotFound, false, false),
        ("owner", Verb::SecretSet, Place::Organisation, &FactGap::Absent, Code::WorkspaceNotFound, false, false),
        ("owner", Verb::TokenRevoke, Place::ForeignToken, &FactGap::Absent, Code::NotFound, false, false),
        ("owner", Verb::ApprovalDecide, Place::ForeignApproval, &FactGap::Absent, Code::NotFound, false, false),
        ("owner", Verb::SecretSet, Place::Home, &unreadable, Code::FactUnavailable, false, false),
        ("the platform", Verb::TokenRevoke, Place::ForeignToken, &FactGap::Absent, Code::NotFound, false, false),
        ("the platform", Verb::SecretSet, Place::Home, &unreadable, Code::FactUnavailable, false, false),
        ("ordinary agent", Verb::SecretSet, Place::Home, &unreadable, Code::ConciergeSelfWriteBlocked, true, true),
        (
            "service, attended",
            Verb::SecretSet,
            Place::Home,
            &FactGap::Absent,
            Code::ConciergeSelfWriteBlocked,
            true,
            true,
        ),
        (
            "ordinary agent",
            Verb::WorkspaceRestart,
            Place::Home,
            &unreadable,
            Code::SelfInterruptionBlocked,
            false,
            true,
        ),
        (
            "service, attended",
            Verb::TokenMint,
            Place::Home,
            &FactGap::Absent,
            Code::SelfInterruptionBlocked,
            false,
            true,
        ),
    ] {
        let denial = say(who, verb, place, gap);
        let what = format!("{who}: {} with {gap}", verb.as_str());
        assert_eq!(denial.code, code, "{what}");
        assert_eq!((denial.issue.is_some(), denial.next_step.is_some()), (issue, advised), "{what}");
        assert_eq!((denial.rule.as_str(), denial.cause), ("fact_unavailable", Some("fact_unavailable")), "{what}");
    }
}

#[test]
fn a_subject_that_is_not_what_its_row_says_is_nobody() {
    let policy = policy();
    for person in people() {
        for other in people() {
            let agrees = matches!(
                (person.name.split([' ', ',']).next(), &other.standing),
                (Some("root" | "ordinary"), Standing::Agent)
                    | (Some("service"), Standing::Service { .. })
                    | (Some("auditor" | "member" | "approver" | "owner"), Standing::Operator { .. })
                    | (Some("the"), Standing::System)
            );
            let mixed = Facts { standing: other.standing.clone(), ..facts(&person, Verb::SecretSet, Place::Home) };
            let said = ask(&policy, &person, Verb::SecretSet, Place::Home, &mixed);
            let refused = matches!(&said, Decision::Deny(denial) if denial.reason == "request_not_expressible");
            assert_eq!(refused, !agrees, "{} as {}: {said:?}", person.name, other.name);
        }
    }
}

#[test]
fn rules_see_the_group_an_operator_is_in() {
    let (policy, mut owner) = (policy(), called("owner"));
    let text = "forbid (principal is Operator, action, resource) unless { principal.groups.contains(\"security\") };";
    assert_eq!(word(&with(&policy, &owner, Verb::SecretSet, Place::Home, &[text])), "POLICY_FORBIDS");
    owner.standing = Standing::Operator { role: Role::Owner, groups: vec!["security".to_owned()], stepped_up: false };
    assert_eq!(word(&with(&policy, &owner, Verb::SecretSet, Place::Home, &[text])), "allow");
}

#[test]
fn rules_see_what_a_deed_releases_and_how_kin_the_two_are() {
    let policy = policy();
    let releases =
        format!("forbid (principal, action, resource) when {{ context.releases.contains(Workspace::\"{HOME}\") }};");
    let platform = called("the platform");
    assert_eq!(word(&with(&policy, &platform, Verb::EnvironmentRelease, Place::Home, &[&releases])), "POLICY_FORBIDS");
    assert_eq!(word(&with(&policy, &platform, Verb::EnvironmentRelease, Place::Other, &[&releases])), "allow");
}

/// A policy about one principal is found by a request of that principal, and by nobody else's.
#[test]
fn a_policy_about_one_of_every_kind_is_found() {
    let policy = policy();
    let slots = |person: &Person, verb, place| {
        let facts = facts(person, verb, place);
        request_slots(&person.subject, &[verb], &facts)
    };
    for (who, stranger) in [
        ("owner", "member"),
        ("ordinary agent", "root agent, own token"),
        ("service, attended", "owner"),
        ("the platform", "owner"),
    ] {
        let person = called(who);
        let kind = match person.subject.principal.kind() {
            "operator" => "Operator",
            "agent" => "Agent",
            "service" => "Service",
            _ => "System",
        };
        let text = format!("forbid (principal == {kind}::\"{}\", action, resource);", person.subject.principal.id());
        let filed = policy.read_added("added", &text).expect("it fits the schema");
        let mut index = Index::default();
        assert!(index.is_empty());
        index.insert(&filed, &added(&[&text])[0]);
        assert!(!index.is_empty());
        let found =
            |name: &str| index.candidates(&slots(&called(name), Verb::SecretSet, Place::Home)).map(|found| found.len());
        assert_eq!((found(who), found(stranger)), (Ok(1), Ok(0)), "{text}");
    }
    for (verb, place, other) in [
        (Verb::TokenRevoke, Place::ForeignToken, Place::OwnToken),
        (Verb::ApprovalDecide, Place::ForeignApproval, Place::OwnApproval),
        (Verb::WorkspaceRename, Place::Home, Place::Other),
    ] {
        let owner = called("owner");
        let about = match facts(&owner, verb, place).target {
            TargetFacts::Token { id, .. } => format!("Token::\"{id}\""),
            TargetFacts::Approval { id, .. } => format!("Approval::\"{id}\""),
            _ => format!("Workspace::\"{HOME}\""),
        };
        for (scope, elsewhere) in
            [(format!("== {about}"), 0), (format!("is {}", about.split(':').next().expect("a kind")), 1)]
        {
            let text = format!("forbid (principal, action, resource {scope});");
            let filed = policy.read_added("added", &text).expect("it fits the schema");
            let mut index = Index::default();
            index.insert(&filed, &added(&[&text])[0]);
            let found = |place| index.candidates(&slots(&owner, verb, place)).map(|found| found.len());
            assert_eq!((found(place), found(other)), (Ok(1), Ok(elsewhere)), "{text}");
        }
    }
}

#[test]
fn a_policy_that_is_filed_twice_is_one_candidate() {
    let (policy, owner) = (policy(), called("owner"));
    let text = "forbid (principal, action in [Action::\"secret.set\", Action::\"secret.write\"], resource);";
    let filed = policy.read_added("added", text).expect("it fits the schema");
    assert_eq!(filed.len(), 2);
    let mut index = Index::default();
    index.insert(&filed, &added(&[text])[0]);
    let slots = request_slots(&owner.subject, &[Verb::SecretSet], &facts(&owner, Verb::SecretSet, Place::Home));
    assert_eq!(index.candidates(&slots).map(|found| found.len()), Ok(1));
}

#[test]
fn an_ordinary_agent_is_told_of_its_line_what_it_is_told_of_everything_else() {
    let (policy, agent) = (policy(), called("ordinary agent"));
    let open = "permit (principal is Agent, action == Action::\"message.send\", resource) when { context.lineal };";
    let lineal = Facts { kinship: Kinship::Lineal, ..facts(&agent, Verb::MessageSend, Place::Other) };
    let talk = deed(Verb::MessageSend, Place::Other);
    let said = |subject: &Subject, texts: &[&str]| policy.decide(subject, &talk, Ok(&lineal), &Ok(added(texts)));
    let denial = denied(said(&agent.subject, &[]));
    assert_eq!((denial.code, denial.rule.as_str()), (Code::NotFound, "ordinary_agent_sees_its_own_workspace"));
    assert_eq!(word(&said(&agent.subject, &[open])), "allow");
    // The root sees everything, so it is told the truth.
    let root = called("root agent, own token");
    let apart = Facts { kinship: Kinship::None, ..facts(&root, Verb::MessageSend, Place::Other) };
    let said = policy.decide(&root.subject, &talk, Ok(&apart), &Ok(vec![]));
    assert_eq!(denied(said).code, Code::NotEntitled);
    // And of its own home an agent knows.
    let home = Facts { kinship: Kinship::None, ..facts(&agent, Verb::MessageSend, Place::Home) };
    let said = policy.decide(&agent.subject, &deed(Verb::MessageSend, Place::Home), Ok(&home), &Ok(vec![]));
    assert_eq!(denied(said).code, Code::NotEntitled);
}
