//! The shipped policies keep every invariant, for every request the schema can express; and each invariant notices when a
//! rule that it follows from is gone or weaker.

#![expect(clippy::expect_used, reason = "what cannot be set up ends the test")]

mod kit;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use kit::{Actor, Ended, Server, alone, operator, portcullis, ran, runtime, serve, want};
use portcullis_authority::testkit_db::databases;
use portcullis_cli::proof::{Invariant, Prover, Rules};
use portcullis_kernel::policy::SHIPPED;
use serde_json::{Value, json};

/// What is done to the shipped rules.
enum Mutation {
    /// A rule is gone.
    Drop(&'static str),
    /// A text that the rules have once is another one.
    Weaken(&'static str, &'static str),
    /// Somebody adds this.
    Add(&'static str),
}

use Mutation::{Add, Drop, Weaken};

/// Mistakes, and the invariant that shows each.
const MUTATIONS: &[(&str, Mutation)] = &[
    ("no_agent_reaches_the_root", Drop("agent_never_interrupts_the_root")),
    (
        "no_agent_reaches_the_root",
        Weaken(
            "@issue(\"core#2566\")\nforbid (principal is Agent, action, resource)\nwhen {\n    context.interrupts.contains(context.root) ||",
            "@issue(\"core#2566\")\nforbid (principal is Agent, action, resource)\nwhen {",
        ),
    ),
    ("no_service_reaches_the_root", Drop("service_never_interrupts_the_root")),
    ("no_machine_changes_the_root", Drop("agent_never_targets_root_secrets")),
    ("no_machine_changes_the_root", Drop("service_never_targets_root_secrets")),
    ("no_machine_changes_the_root", Drop("agent_never_changes_the_root_workspace")),
    ("no_machine_changes_the_root", Drop("service_never_changes_the_root_workspace")),
    ("no_agent_interrupts_itself", Drop("agent_never_interrupts_itself")),
    ("no_machine_revokes_what_the_root_lives_on", Drop("agent_never_revokes_the_roots_credentials")),
    ("no_machine_revokes_what_the_root_lives_on", Drop("service_never_revokes_the_roots_credentials")),
    ("only_humans_decide", Drop("the_platform_decides_nothing")),
    ("no_machine_governs", Drop("agents_do_not_govern")),
    ("no_machine_governs", Drop("services_do_not_govern")),
    ("nobody_decides_their_own", Drop("whoever_asked_does_not_decide")),
    ("only_the_requester_takes_back", Drop("only_the_requester_withdraws")),
    ("sensitive_deeds_are_fresh", Drop("humans_step_up_before_sensitive_deeds")),
    ("values_go_home_only", Drop("values_leave_only_to_their_own_workspace")),
    ("values_go_home_only", Drop("services_pull_no_values")),
    ("values_go_home_only", Drop("agents_pull_their_own_values")),
    (
        "values_go_home_only",
        Weaken("unless { resource == principal.home && context.in_scope }", "unless { context.in_scope }"),
    ),
    ("no_machine_mints_unasked", Drop("agent_mint_needs_a_human")),
    ("no_machine_mints_unasked", Drop("service_mint_needs_a_human")),
    ("no_machine_removes_unasked", Drop("agent_removal_needs_a_human")),
    ("no_machine_removes_unasked", Drop("service_removal_needs_a_human")),
    ("no_agent_writes_elsewhere_unasked", Drop("agent_secret_write_needs_a_human")),
    (
        "no_agent_writes_elsewhere_unasked",
        Weaken(
            " && [principal.home].containsAll(context.reconfigures))\n};\n\n@id(\"attended",
            ")\n};\n\n@id(\"attended",
        ),
    ),
    ("no_attended_service_writes_unasked", Drop("attended_service_secret_write_needs_a_human")),
    ("no_machine_revokes_others_unasked", Drop("agent_foreign_revoke_needs_a_human")),
    ("no_machine_revokes_others_unasked", Drop("service_foreign_revoke_needs_a_human")),
    ("no_program_is_chosen_unasked", Drop("agent_custom_runtime_needs_a_human")),
    ("no_program_is_chosen_unasked", Drop("service_custom_runtime_needs_a_human")),
    ("no_program_is_chosen_unasked", Drop("member_custom_runtime_needs_an_approver")),
    ("the_platform_cuts_no_turn_unasked", Drop("the_platform_never_cuts_a_turn")),
    ("an_ordinary_agent_acts_on_its_own_workspace", Drop("ordinary_agent_sees_its_own_workspace")),
    ("an_ordinary_agent_acts_on_its_own_workspace", Weaken("&& (context.peer || context.lineal)", "")),
    ("an_ordinary_agent_acts_on_its_own_tokens", Drop("ordinary_agent_sees_its_own_tokens")),
    ("a_credential_does_what_it_was_made_for", Drop("scope_missing")),
    ("a_quota_is_a_quota", Drop("agent_quota")),
    ("only_owners_govern", Weaken("when { principal.rank >= 3 }", "when { principal.rank >= 2 }")),
    (
        "only_approvers_decide_mint_and_remove",
        Weaken(
            "action in Action::\"approver.may\", resource)\nwhen { principal.rank >= 2 }",
            "action in Action::\"approver.may\", resource)\nwhen { principal.rank >= 1 }",
        ),
    ),
    (
        "an_auditor_only_looks",
        Add("permit (principal is Operator, action == Action::\"workspace.restart\", resource);"),
    ),
    (
        "a_member_does_not_reach_the_root",
        Weaken(
            " &&\n    !context.destroys.contains(context.root)\n};\n\n@id(\"member_creates\")",
            "\n};\n\n@id(\"member_creates\")",
        ),
    ),
    ("an_ordinary_agent_manages_nothing", Weaken("when { principal.home == context.root }", "")),
    ("messages_stay_among_peers", Weaken("when { context.peer }", "when { context.peer || context.lineal }")),
    (
        "an_owner_can_take_a_policy_back",
        Add("forbid (principal, action in Action::\"sensitive\", resource is Organisation) when { context.approved };"),
    ),
    ("a_human_can_decide", Drop("approver")),
    ("a_human_can_take_a_credential_away", Drop("approver")),
    // The guard of the incident, for everybody: then nobody can repair the root.
    (
        "an_owner_can_repair_the_root",
        Add("forbid (principal, action, resource) when { context.reconfigures.contains(context.root) };"),
    ),
    ("an_agent_writes_at_home", Drop("agent_at_home")),
    ("an_approval_is_no_trap", Drop("root_agent_manages")),
    ("the_platform_starts_agents", Drop("platform")),
];

/// Prohibitions that no invariant needs, and why they are there.
const FOR_THEIR_CODE: &[&str] = &[
    // `…_never_interrupts_the_root` forbids the same. These say it with the code of the incident.
    "agent_never_writes_a_root_secret",
    "service_never_writes_a_root_secret",
];

const OWNER: &str = "owner@example.org";
/// A mistake that an operator may make: whoever looks may also restart.
const RESTARTS: &str =
    "permit (principal is Operator, action == Action::\"workspace.restart\", resource) when { principal.rank >= 0 };";

fn mutate(mutation: &Mutation) -> Rules {
    let rules = Rules::shipped().expect("the shipped rules");
    match mutation {
        Drop(id) => rules.without(&[id]).expect("a rule to drop"),
        Add(text) => {
            let mut rules = rules;
            rules.add("added", text).expect("a policy to add");
            rules
        }
        Weaken(from, to) => {
            let found: usize = SHIPPED.iter().map(|(_, text)| text.matches(from).count()).sum();
            assert_eq!(found, 1, "the rules have this text once: {from}");
            let files: Vec<_> = SHIPPED.iter().map(|(file, text)| (*file, text.replacen(from, to, 1))).collect();
            let files: Vec<_> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
            Rules::of(&files).expect("weaker rules load")
        }
    }
}

fn invariants() -> Vec<Invariant> {
    Invariant::shipped().expect("the invariants")
}

fn prover(rules: Rules) -> Prover {
    Prover::start(rules).expect("a solver; the Debian package is `cvc5`")
}

#[tokio::test]
async fn every_invariant_is_proved_of_every_request_there_can_be() {
    let rules = Rules::shipped().expect("the shipped rules");
    let environments = rules.environments().len();
    assert!(environments > 150, "the schema has {environments} environments; something is not looked at");
    let mut prover = prover(rules);
    for invariant in invariants() {
        let verdict = prover.invariant(&invariant).await.expect("an answer");
        let example = verdict.counterexample.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(
            verdict.holds(),
            "{}: {} ({} environments)\n{example}",
            invariant.id,
            invariant.says,
            verdict.environments
        );
    }
}

#[tokio::test]
async fn no_shipped_rule_can_fail_and_each_can_apply() {
    let mut prover = prover(Rules::shipped().expect("the shipped rules"));
    for id in prover.rules() {
        let failing = prover.error_of(&id).await.expect("an answer");
        assert!(failing.is_none(), "{id} fails on\n{}", failing.map(|e| e.to_string()).unwrap_or_default());
        assert!(prover.reach_of(&id).await.expect("an answer") > 0, "{id} says nothing");
    }
}

#[tokio::test]
async fn each_invariant_shows_a_request_when_a_rule_it_needs_is_weaker() {
    let invariants = invariants();
    let mut prover = prover(Rules::shipped().expect("the shipped rules"));
    for (id, mutation) in MUTATIONS {
        let invariant = invariants.iter().find(|invariant| invariant.id == *id).expect("an invariant of that name");
        prover.turn_to(mutate(mutation)).expect("other rules");
        let what = match mutation {
            Drop(rule) => format!("without {rule}"),
            Weaken(from, to) => format!("with `{to}` for `{from}`"),
            Add(text) => format!("with `{text}`"),
        };
        let verdict = prover.invariant(invariant).await.expect("an answer");
        let example = verdict.counterexample.unwrap_or_else(|| panic!("{what}, {id} still holds"));
        let text = example.to_string();
        for part in ["principal", "action", "resource", "context.root", "answer"] {
            assert!(text.lines().any(|line| line.trim_start().starts_with(part)), "no {part}:\n{text}");
        }
        println!("{id}, {what}:\n{text}");
    }
}

#[test]
fn every_invariant_and_every_prohibition_has_a_mutation() {
    let shown: BTreeSet<&str> = MUTATIONS.iter().map(|(id, _)| *id).collect();
    let invariants = invariants();
    let names: BTreeSet<&str> = invariants.iter().map(|invariant| invariant.id.as_str()).collect();
    assert_eq!(shown, names);
    assert_eq!(names.len(), invariants.len(), "two invariants have one name");

    let dropped: BTreeSet<&str> =
        MUTATIONS.iter().filter_map(|(_, mutation)| if let Drop(id) = mutation { Some(*id) } else { None }).collect();
    let prohibitions = SHIPPED[..2].iter().flat_map(|(_, text)| text.lines());
    let prohibitions = prohibitions.filter_map(|line| line.strip_prefix("@id(\"")?.strip_suffix("\")"));
    let unguarded: Vec<&str> = prohibitions.filter(|id| !dropped.contains(id)).collect();
    assert_eq!(unguarded, FOR_THEIR_CODE, "no invariant notices when these are gone");
}

/// `policy prove`, with the path of whoever runs the tests: the solver is in it.
#[expect(clippy::disallowed_methods, reason = "the solver is found as a shell finds it")]
fn with_path(mut command: Command) -> Command {
    command.env("PATH", std::env::var_os("PATH").expect("a path")).args(["policy", "prove"]);
    command
}

/// What was found to be wrong, by name.
fn violated(ended: &Ended) -> Vec<String> {
    let results = ended.json()["results"].as_array().cloned().unwrap_or_default();
    let wrong = results.iter().filter(|result| result["holds"] == false);
    wrong.map(|result| result["invariant"].as_str().unwrap_or("a rule").to_owned()).collect()
}

#[test]
fn what_operators_added_to_a_server_is_proved_offline_and_shown_with_a_request() {
    for db in databases() {
        operator(&db, OWNER, "owner").exits(0);
        let server = Server::start(serve(&db));
        let added = runtime().block_on(async {
            let owner = Actor::session(&server.url, OWNER).await;
            let policy = json!({"name": "whoever looks restarts", "text": RESTARTS});
            want(201, owner.post(&server.url, "/policies", policy).await)
        });
        server.stop();
        let id = added["id"].as_str().expect("an id");
        let mut command = with_path(portcullis(&db));
        command.arg("--json").arg("--data").arg(&db.data_dir);
        let ended = ran(command).exits(10);
        assert_eq!(violated(&ended), ["an_auditor_only_looks", "a_member_does_not_reach_the_root"]);
        let answer = ended.json();
        let example = |result: &&Value| result["invariant"] == "an_auditor_only_looks";
        let results = answer["results"].as_array().expect("results");
        let example = &results.iter().find(example).expect("the invariant")["counterexample"];
        assert_eq!(example["action"], "workspace.restart");
        assert!(example["answer"].as_str().is_some_and(|text| text.contains(id)), "{example}");
    }
}

#[test]
fn policies_in_files_are_proved_with_the_shipped_ones_and_a_text_that_does_not_fit_is_refused() {
    let db = databases().remove(0);
    let folder = db.data_dir.join("policies");
    fs::create_dir(&folder).expect("a folder");
    let prove = || {
        let mut command = with_path(alone(&db.data_dir));
        command.arg("--policies").arg(&folder);
        ran(command)
    };
    assert!(prove().exits(2).err.contains("no `.cedar` file"));

    // A prohibition undoes no promise about what is never allowed.
    let freeze = "@id(\"freeze\") forbid (principal is Agent, action == Action::\"secret.delete\", resource);";
    fs::write(folder.join("freeze.cedar"), freeze).expect("written");
    let kept = prove().exits(0);
    assert!(kept.out.lines().count() >= 30 && kept.out.lines().all(|line| line.contains("holds")), "{kept:?}");

    fs::write(
        folder.join("typo.cedar"),
        "permit (principal is Operator, action, resource) when { principal.rnak > 1 };",
    )
    .expect("written");
    let refused = prove().exits(6);
    assert!(refused.err.contains("POLICY_INVALID") && refused.err.contains("rnak"), "{refused:?}");
}

#[test]
fn without_a_solver_nothing_is_proved_and_the_error_says_what_to_install() {
    let db = databases().remove(0);
    let mut command = alone(&db.data_dir);
    command.env("PATH", &db.data_dir).args(["policy", "prove", "--json"]);
    let ended = ran(command).exits(1);
    let problem: Value = serde_json::from_str(&ended.err).expect("a problem document");
    assert_eq!(problem["code"], "SOLVER_MISSING", "{ended:?}");
    assert!(problem["next_step"].as_str().is_some_and(|step| step.contains("apt-get install cvc5")), "{ended:?}");
    assert!(ended.out.is_empty(), "{ended:?}");
}
