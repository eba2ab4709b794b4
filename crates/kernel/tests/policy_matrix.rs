//! Who may do what to which, as a page that somebody who does not program can review in a diff; and the decision table
//! of the design, row by row, which accepting a new page does not change.

#![expect(clippy::expect_used, reason = "a cast that cannot be set up ends the test")]

mod cast;

use cast::{Person, Place, ask, facts, people, places, word};
use portcullis_kernel::{
    facts::{Facts, Kinship},
    policy::Policy,
    verb::Verb,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policy_matrix.txt");

fn page(policy: &Policy) -> String {
    let mut page = String::from(
        "Who may do what to which. Written by `cargo xtask matrix --accept`; a test keeps it true.\n\
         allow: at once. hold: after the named humans agree. A word in capitals: refused with this code.\n",
    );
    for verb in Verb::ALL {
        for place in places(*verb) {
            page.push_str(&format!("\n{} on {}\n", verb.as_str(), place.word()));
            for person in people() {
                let outcome = word(&ask(policy, &person, *verb, place, &facts(&person, *verb, place)));
                page.push_str(&format!("    {:<26}{outcome}\n", person.name));
            }
        }
    }
    page
}

/// Every line with the heading it stands under, so that a new block does not shift all that follow.
fn lines(page: &str) -> std::collections::BTreeSet<String> {
    let mut heading = "";
    let mut all = std::collections::BTreeSet::new();
    for line in page.lines() {
        match line.strip_prefix("    ") {
            Some(outcome) => all.insert(format!("{heading}: {outcome}")),
            None => {
                heading = line;
                false
            }
        };
    }
    all
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the switch of `cargo xtask matrix --accept`, not a setting")]
fn the_page_says_what_the_rules_say() {
    let now = page(&Policy::shipped().expect("the shipped rules load"));
    if std::env::var_os("PORTCULLIS_ACCEPT").is_some() {
        std::fs::write(PAGE, &now).expect("the page is written");
    }
    let then = std::fs::read_to_string(PAGE).unwrap_or_default();
    let (before, after) = (lines(&then), lines(&now));
    let gone = before.difference(&after).map(|line| format!("- {line}"));
    let new = after.difference(&before).map(|line| format!("+ {line}"));
    let differences: Vec<String> = gone.chain(new).collect();
    assert!(
        then == now,
        "policy_matrix.txt is no longer true; if the change is meant, `cargo xtask matrix --accept`:\n{}",
        differences.join("\n")
    );
}

struct Table(Policy, Vec<Person>);

impl Table {
    fn says(&self, who: &str, verb: Verb, place: Place) -> String {
        let person = self.1.iter().find(|person| person.name == who).expect("somebody of the cast");
        word(&ask(&self.0, person, verb, place, &facts(person, verb, place)))
    }

    fn row(&self, who: &[&str], verbs: &[Verb], places: &[Place], outcome: &str) {
        assert!(!who.is_empty() && !verbs.is_empty() && !places.is_empty(), "an empty row checks nothing");
        for who in who {
            for verb in verbs {
                for place in places {
                    assert_eq!(self.says(who, *verb, *place), outcome, "{who}: {} on {place:?}", verb.as_str());
                }
            }
        }
    }
}

fn table() -> Table {
    Table(Policy::shipped().expect("the shipped rules load"), people())
}

const ROOT_AGENT: [&str; 2] = ["root agent, admin token", "root agent, own token"];
const SERVICES: [&str; 2] = ["service, attended", "service, unattended"];
const HOLD: &str = "hold role:approver=1";

fn secret_writes() -> Vec<Verb> {
    Verb::ALL.iter().copied().filter(|verb| verb.is_secret_write()).collect()
}

/// Destroying is a human's deed everywhere; the other secret writes an agent may ask for.
fn ordinary_secret_writes() -> Vec<Verb> {
    secret_writes().into_iter().filter(|verb| *verb != Verb::SecretDestroy).collect()
}

const ROOT_CHANGES: [Verb; 6] = [
    Verb::WorkspaceRename,
    Verb::WorkspaceConfigure,
    Verb::WorkspaceRestart,
    Verb::WorkspacePause,
    Verb::WorkspaceResume,
    Verb::WorkspaceRemove,
];
const GOVERNING: [Verb; 6] = [
    Verb::OperatorCreate,
    Verb::OperatorUpdate,
    Verb::OperatorInvite,
    Verb::PolicyAdd,
    Verb::PolicyRemove,
    Verb::KeyRotate,
];

#[test]
fn no_agent_and_no_service_changes_what_reaches_the_root() {
    let table = table();
    let who = [&ROOT_AGENT[..], &SERVICES].concat();
    let reaching = [Place::Root, Place::Organisation];
    table.row(&who, &secret_writes(), &reaching, "CONCIERGE_SELF_WRITE_BLOCKED");
    table.row(&["ordinary agent"], &secret_writes(), &[Place::Root], "NOT_FOUND");
    table.row(&["ordinary agent"], &secret_writes(), &[Place::Organisation], "CONCIERGE_SELF_WRITE_BLOCKED");
    table.row(&who, &ROOT_CHANGES, &[Place::Root], "SELF_INTERRUPTION_BLOCKED");
    table.row(&who, &[Verb::TokenRevoke], &[Place::RootToken, Place::AdminToken], "SELF_INTERRUPTION_BLOCKED");
}

#[test]
fn an_agent_writes_at_home_and_asks_elsewhere() {
    let table = table();
    let writes = ordinary_secret_writes();
    table.row(&ROOT_AGENT, &writes, &[Place::Home, Place::Other, Place::RootOverrides], HOLD);
    table.row(&["ordinary agent"], &writes, &[Place::Home], "allow");
    table.row(&["ordinary agent"], &writes, &[Place::Other], "NOT_FOUND");
}

#[test]
fn an_agent_asks_before_it_mints_or_removes() {
    let table = table();
    table.row(&ROOT_AGENT, &[Verb::TokenMint], &[Place::Root, Place::Home, Place::Organisation], HOLD);
    table.row(&["ordinary agent"], &[Verb::TokenMint], &[Place::Home], HOLD);
    table.row(&ROOT_AGENT, &[Verb::WorkspaceRemove], &[Place::Home, Place::Other], HOLD);
}

#[test]
fn the_root_agent_creates_restarts_and_pauses_within_its_quota() {
    let table = table();
    table.row(&ROOT_AGENT, &[Verb::WorkspaceCreate], &[Place::Root, Place::Home, Place::Organisation], "allow");
    table.row(&ROOT_AGENT, &[Verb::WorkspaceRestart, Verb::WorkspacePause], &[Place::Home, Place::Other], "allow");
    for person in table.1.iter().filter(|person| ROOT_AGENT.contains(&person.name.as_str())) {
        let mut spent = facts(person, Verb::WorkspaceRestart, Place::Home);
        spent.quota_spent = true;
        assert_eq!(word(&ask(&table.0, person, Verb::WorkspaceRestart, Place::Home, &spent)), "QUOTA_SPENT");
    }
}

#[test]
fn for_an_ordinary_agent_there_are_no_other_workspaces() {
    let table = table();
    let aimed = Verb::ALL.iter().copied().filter(|verb| places(*verb).contains(&Place::Other));
    // But to talk to: both stand next to it in the tree.
    let aimed: Vec<Verb> = aimed.filter(|verb| *verb != Verb::MessageSend).collect();
    table.row(&["ordinary agent"], &aimed, &[Place::Root, Place::Other], "NOT_FOUND");
    table.row(&["ordinary agent"], &[Verb::MessageSend], &[Place::Root, Place::Home, Place::Other], "allow");
    // Its own line is no exception until a policy makes it one.
    for (kinship, outcome) in [(Kinship::None, "NOT_FOUND"), (Kinship::Lineal, "NOT_FOUND")] {
        let person = table.1.iter().find(|person| person.name == "ordinary agent").expect("one of the cast");
        let apart = Facts { kinship, ..facts(person, Verb::MessageSend, Place::Other) };
        assert_eq!(word(&ask(&table.0, person, Verb::MessageSend, Place::Other, &apart)), outcome, "{kinship:?}");
    }
}

#[test]
fn only_humans_decide_and_govern() {
    let table = table();
    let who = [&ROOT_AGENT[..], &SERVICES, &["ordinary agent"]].concat();
    table.row(&who, &[Verb::ApprovalDecide], &[Place::OwnApproval, Place::ForeignApproval], "HUMAN_REQUIRED");
    table.row(&who, &GOVERNING, &[Place::Organisation], "HUMAN_REQUIRED");
}

#[test]
fn a_service_asks_before_it_writes_unless_it_was_minted_unattended() {
    let table = table();
    let places = [Place::Home, Place::Other, Place::RootOverrides];
    table.row(&["service, attended"], &ordinary_secret_writes(), &places, HOLD);
    table.row(&["service, unattended"], &ordinary_secret_writes(), &places, "allow");
}

#[test]
fn operators_write_by_role_the_root_included() {
    let table = table();
    let everywhere = [Place::Root, Place::Home, Place::Other, Place::Organisation];
    let writes = ordinary_secret_writes();
    table.row(&["owner", "approver", "owner, stepped up", "approver, stepped up"], &writes, &everywhere, "allow");
    table.row(&["member"], &writes, &[Place::Home, Place::Other], "allow");
    table.row(&["member"], &writes, &[Place::Root, Place::Organisation], "ROLE_REQUIRED");
    table.row(&["auditor"], &writes, &everywhere, "ROLE_REQUIRED");
    table.row(&["owner", "approver"], &[Verb::ApprovalDecide], &[Place::ForeignApproval], "STEP_UP_REQUIRED");
    let stepped = ["owner, stepped up", "approver, stepped up"];
    table.row(&stepped, &[Verb::ApprovalDecide], &[Place::ForeignApproval], "allow");
    table.row(&stepped, &[Verb::ApprovalDecide], &[Place::OwnApproval], "SELF_APPROVAL_BLOCKED");
    table.row(&["member, stepped up"], &[Verb::ApprovalDecide], &[Place::ForeignApproval], "ROLE_REQUIRED");
}

#[test]
fn every_verb_has_a_deed_of_its_own() {
    for verb in Verb::ALL {
        for place in places(*verb) {
            assert_eq!(cast::deed(*verb, place).verbs(), [*verb], "{}", verb.as_str());
        }
    }
}
