//! The rules: read, added, removed, added up, and asked.

use reqwest::Method;
use serde_json::json;

use super::asking::{colleague, confirm, look, send, workspace};
use crate::{kit::fleet::list, page::Page, scene::Scene};

const QUIET_HOURS: &str = r#"@code("POLICY_FORBIDS")
@reason("quiet_hours")
@next_step("write in the morning")
forbid (principal is Operator, action == Action::"message.send", resource);"#;

/// Status and body of a message that the owner sends.
#[track_caller]
fn message(scene: &Scene, to: &str) -> (u16, serde_json::Value) {
    let path = format!("/workspaces/{to}/messages");
    send(scene, scene.fleet().owner(), Method::POST, &path, Some(json!({"text": "hello"})))
}

#[track_caller]
fn rules(page: &Page, at_least: usize, at_most: usize) -> usize {
    let found = || page.controls("policies.rule");
    let fits = || Some(found()).filter(|count| (at_least..=at_most).contains(count));
    page.until(fits, || format!("{} rules, not {at_least} to {at_most}", found()))
}

pub fn a_rule_is_found_and_opened(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.control("nav.policies").click();
    let all = rules(page, 20, 200);
    page.see(&format!("{all} shipped rules, 0 added."));
    page.control("policies.search").fill("core#2566");
    let some = rules(page, 1, all - 1);
    page.see(&format!("{some} fit your search."));
    page.control("policies.search").fill("agent never targets root secrets");
    page.see("0 fit your search.");
    page.control("policies.search").fill("agent_never_targets_root_secrets");
    rules(page, 1, 1);
    assert!(!page.words().contains("forbid (principal is Agent"));
    page.control("policies.rule").click();
    page.see("forbid (principal is Agent, action in Action::\"secret.write\", resource is Workspace)");
    page.no_control("policies.remove");
    page.control("policies.search").fill("");
    rules(page, all, all);
}

pub fn a_policy_is_checked_added_decides_and_is_removed(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    assert_eq!(message(scene, &writer).0, 202);
    scene.sign_in();
    page.control("nav.policies").click();
    let all = rules(page, 20, 200);
    page.control("policies.add").click();
    page.see("Add a policy");
    page.no_control("add-policy.submit");
    page.control("add-policy.name").fill("Quiet hours");
    page.control("add-policy.text").fill("forbid (principal, action == Action::\"nothing.like.it\", resource);");
    page.control("add-policy.check").click();
    page.see("POLICY_INVALID");
    page.see("nothing.like.it");
    page.has_no_barrier();
    page.control("add-policy.submit").click();
    confirm(page);
    page.no_control("step-up.password");
    page.see("POLICY_INVALID");
    page.control("add-policy.text").fill(QUIET_HOURS);
    page.not_see("POLICY_INVALID");
    page.control("add-policy.cancel").click();
    page.no_control("add-policy.name");
    assert_eq!(list(&scene.fleet().get("/policies")).iter().filter(|one| one["shipped"] == false).count(), 0);

    page.control("policies.add").click();
    page.control("add-policy.name").fill("Quiet hours");
    page.control("add-policy.text").fill(QUIET_HOURS);
    page.control("add-policy.check").click();
    page.see("It is valid");
    page.control("add-policy.submit").click();
    page.see("The policy was added, and decides from now on.");
    page.see(&format!("{all} shipped rules, 1 added."));
    let (status, refused) = message(scene, &writer);
    assert_eq!((status, &refused["reason"]), (403, &json!("quiet_hours")), "{refused}");
    assert_eq!(scene.fleet().audit("event=policy.add").len(), 1);

    page.control_near("Quiet hours", "policies.rule").click();
    page.control("policies.remove").click();
    page.see("Remove Quiet hours?");
    page.control("confirm.cancel").click();
    page.not_see("Remove Quiet hours?");
    assert_eq!(message(scene, &writer).0, 403);
    page.control("policies.remove").click();
    page.control("confirm.do").click();
    page.see("The policy was removed.");
    page.see(&format!("{all} shipped rules, 0 added."));
    assert_eq!(message(scene, &writer).0, 202);
    assert_eq!(scene.fleet().audit("event=policy.remove").len(), 1);
}

pub fn only_owners_change_policies_and_others_read_them(scene: &mut Scene) {
    scene.fleet().post("/policies", Some(json!({"name": "Quiet hours", "text": QUIET_HOURS})), 201);
    let page = colleague(scene, "member@example.org", "member", &[]);
    page.control("nav.policies").click();
    page.see("1 added.");
    page.no_control("policies.add");
    page.control_near("Quiet hours", "policies.rule").click();
    page.see("write in the morning");
    page.no_control("policies.remove");
    let member = super::asking::session(scene, "member@example.org");
    let body = json!({"name": "mine", "text": QUIET_HOURS});
    assert_eq!(send(scene, &member, Method::POST, "/policies", Some(body)).0, 403);
    assert_eq!(list(&scene.fleet().get("/policies")).iter().filter(|one| one["shipped"] == false).count(), 1);
}

pub fn the_matrix_says_who_may_do_what(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.control("nav.policies").click();
    page.control("policies.tab-matrix").click();
    page.is_at("/console/policies/matrix");
    page.see("set a secret on the root");
    page.see("CONCIERGE_SELF_WRITE_BLOCKED");
    let lines = || {
        let script = "return document.querySelectorAll('.matrix li').length";
        look(page, script, json!([])).as_u64().expect("a number")
    };
    let all = lines();
    page.control("matrix.subject").choose("root agent, own token");
    page.until(|| (lines() < all).then_some(()), || "the subject changes nothing".to_owned());
    let script = "return [...document.querySelectorAll('.matrix li span:first-child')].map((one) => one.innerText)";
    let subjects = list(&look(page, script, json!([])));
    assert!(subjects.iter().all(|subject| subject == "root agent, own token"), "{subjects:?}");
    page.see("hold role:approver=1");
    page.control("matrix.verb").choose("restart an agent (workspace.restart)");
    page.see("SELF_INTERRUPTION_BLOCKED");
    page.not_see("CONCIERGE_SELF_WRITE_BLOCKED");
    page.control("matrix.verb").choose("All deeds");
    page.until(|| (lines() > 50).then_some(()), || "not all deeds are there".to_owned());
    page.control("matrix.subject").choose("All subjects");
    page.until(|| (lines() > 1000).then_some(()), || "not all subjects are there".to_owned());
    page.control("policies.tab-rules").click();
    rules(page, 20, 200);
}

/// Asks, and waits for this answer.
#[track_caller]
fn answers(page: &Page, decision: &str, words: &[&str]) {
    page.control("what-if.ask").click();
    page.text(&format!("[data-decision='{decision}']"));
    for words in words {
        page.see(words);
    }
}

pub fn a_question_is_answered_by_the_rules_and_does_nothing(scene: &mut Scene) {
    let page = &scene.page;
    workspace(scene, "writer");
    scene.sign_in();
    page.control("nav.policies").click();
    page.control("policies.tab-what-if").click();
    page.is_at("/console/policies/what-if");
    let entries = scene.fleet().audit("").len();

    page.control("what-if.who").choose("the root agent, with the admin token");
    page.control("what-if.deed").choose("set a secret");
    page.control("what-if.key").fill("api_key");
    assert_eq!(page.control("what-if.key").value(), "API_KEY");
    let refused = ["It would be refused.", "CONCIERGE_SELF_WRITE_BLOCKED", "forbid (principal is Agent", "core#2566"];
    answers(page, "deny", &refused);
    page.control("what-if.target").choose("writer");
    answers(page, "hold", &["It would wait for a human.", "Needs 1 approver (or a higher role).", "@hold"]);
    page.control("what-if.who").choose("an operator: member");
    answers(page, "allow", &["It would be done at once."]);
    page.control("what-if.who").choose("an operator: auditor");
    answers(page, "deny", &["ROLE_REQUIRED"]);
    // Every question can be asked.
    page.control("what-if.who").choose("an operator: owner, password just shown");
    let script = "return [...document.querySelector('[data-control=\"what-if.deed\"]').options].map((one) => one.text)";
    let deeds = list(&look(page, script, json!([])));
    assert!(deeds.len() > 10, "{deeds:?}");
    for deed in &deeds {
        page.control("what-if.deed").choose(deed.as_str().expect("words"));
        page.control("what-if.ask").click();
        page.text("[data-decision]");
        page.see("The deciding rule");
    }
    assert_eq!(scene.fleet().audit("").len(), entries, "a question was written down");
    assert_eq!(list(&scene.fleet().get("/workspaces")).len(), 2, "a question was acted upon");
}
