//! Requests that need more than one yes, or more than a yes.

use serde_json::json;

use super::asking::{
    CANARY, KEY, approval, ask, colleague, confirm, decide, hold, open, restart_with, shows, stands, workspace,
};
use crate::{
    kit::fleet::{OWNER, text},
    scene::Scene,
};

pub fn two_people_agree_in_two_browsers(scene: &mut Scene) {
    hold(scene, "@hold(\"role:approver=2\")");
    let page = &scene.page;
    scene.sign_in();
    let other = colleague(scene, "approver@example.org", "approver", &[]);
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    open(page, &id);
    open(&other, &id);
    for page in [page, &other] {
        page.see("(0 of 2 so far)");
    }
    page.control("approval.approve").click();
    confirm(page);
    page.see("Your vote counts. It waits for others.");
    page.see("You have voted.");
    page.no_control("approval.approve");
    page.no_control("approval.break-glass");
    for page in [page, &other] {
        page.see("(1 of 2 so far)");
        page.see(&format!("approved {OWNER}"));
        shows(page, &id, "pending");
    }
    stands(scene, &id, "pending", 0);
    other.control("approval.approve").click();
    confirm(&other);
    for page in [page, &other] {
        shows(page, &id, "applied");
        page.see(&format!("Decided by {OWNER}, approver@example.org"));
    }
    stands(scene, &id, "applied", 1);
}

pub fn a_group_decides_and_others_are_told_which(scene: &mut Scene) {
    hold(scene, "@hold(\"group:security=1\")");
    let writer = workspace(scene, "writer");
    // A human asks, whom nothing else holds.
    let body = json!({"key": KEY, "value": CANARY});
    let id = text(&scene.fleet().post(&format!("/workspaces/{writer}/secrets"), Some(body), 202), "approval_id");
    let outsider = colleague(scene, "outsider@example.org", "approver", &["qa"]);
    let insider = colleague(scene, "insider@example.org", "approver", &["security"]);
    open(&outsider, &id);
    outsider.see("This needs 1 member of security.");
    outsider.see("Held by held.");
    outsider.no_control("approval.approve");
    let actor = super::asking::session(scene, "outsider@example.org");
    assert_eq!(decide(scene, &actor, &id, "approved").0, 403);
    stands(scene, &id, "pending", 0);
    open(&insider, &id);
    insider.control("approval.approve").click();
    confirm(&insider);
    shows(&insider, &id, "applied");
    shows(&outsider, &id, "applied");
    stands(scene, &id, "applied", 1);
}

pub fn a_checklist_and_a_note_come_before_a_yes(scene: &mut Scene) {
    hold(scene, "@hold(\"role:approver=1\")\n@checklist(\"backup taken; team told\")\n@note(\"required\")");
    let page = &scene.page;
    scene.sign_in();
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    let auditor = colleague(scene, "auditor@example.org", "auditor", &[]);
    open(&auditor, &id);
    auditor.see("team told");
    auditor.no_control("approval.check");
    open(page, &id);
    let item = |words: &'static str, control: &'static str| {
        let scope = if words == "backup taken" { ".check-item:nth-of-type(1)" } else { ".check-item:nth-of-type(2)" };
        page.see_in(scope, words);
        page.control_in(scope, control)
    };
    page.no_control("approval.approve");
    page.see("A note is required.");
    // The key is no way around it.
    page.press("a");
    page.control("approval.note").fill("told them in the morning");
    page.no_control("approval.approve");
    page.see("2 items of the checklist open.");
    item("backup taken", "approval.check").click();
    item("team told", "approval.check").click();
    page.control("approval.approve");
    item("team told", "approval.not-applicable").click();
    assert_eq!(item("team told", "approval.check").value(), false, "it is one or the other");
    item("backup taken", "approval.check").click();
    page.no_control("approval.approve");
    item("backup taken", "approval.check").click();
    page.control("approval.note").fill("");
    page.no_control("approval.approve");
    page.control("approval.note").fill("told them in the morning");
    stands(scene, &id, "pending", 0);
    page.control("approval.approve").click();
    confirm(page);
    shows(page, &id, "applied");
    stands(scene, &id, "applied", 1);
    assert_eq!(approval(scene, &id)["votes"][0]["note"], "told them in the morning");
    let answers = scene.fleet().db.texts("SELECT checklist_json FROM votes").remove(0);
    let answers: serde_json::Value = serde_json::from_str(&answers).expect("JSON");
    assert_eq!(answers, json!(["backup taken", "team told"]));
}

pub fn deciding_alone_is_refused_where_nobody_allowed_it(scene: &mut Scene) {
    hold(scene, "@hold(\"group:security=2\")");
    let page = &scene.page;
    scene.sign_in();
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    open(page, &id);
    page.control("approval.break-glass").click();
    page.see("Decide alone?");
    page.has_no_barrier();
    page.control("break-glass.cancel").click();
    page.not_see("Decide alone?");
    page.control("approval.break-glass").click();
    page.no_control("break-glass.do");
    page.control("break-glass.reason").fill("everything burns");
    page.control("break-glass.do").click();
    confirm(page);
    page.see("BREAK_GLASS_DISABLED");
    stands(scene, &id, "pending", 0);
    assert_eq!(approval(scene, &id)["votes"], json!([]));
    page.control("refusal.audit").click();
    page.see("approval.decide.refused");
    page.see("BREAK_GLASS_DISABLED");
}

pub fn deciding_alone_leaves_its_reason_for_everybody(scene: &mut Scene) {
    restart_with(scene, "[approvals]\nbreak_glass = true\n");
    hold(scene, "@hold(\"group:security=2\")");
    let page = &scene.page;
    scene.sign_in();
    let other = colleague(scene, "approver@example.org", "approver", &["security"]);
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    open(&other, &id);
    other.control("approval.approve");
    other.no_control("approval.break-glass");
    open(page, &id);
    page.control("approval.break-glass").click();
    page.control("break-glass.reason").fill("everything burns");
    page.control("break-glass.do").click();
    confirm(page);
    for page in [page, &other] {
        shows(page, &id, "applied");
        page.see("break-glass");
        page.see("“everything burns”");
    }
    stands(scene, &id, "applied", 1);
    let vote = approval(scene, &id)["votes"][0].clone();
    assert_eq!((&vote["break_glass"], &vote["note"]), (&json!(true), &json!("everything burns")), "{vote}");
}
