//! One workspace: what is done to its agent, and the ways through its page.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    kit::{
        PASSWORD,
        fleet::{Fleet, HOLDS, OWNER, command, exec, text},
        want,
    },
    page::{Page, done},
    scene::{Scene, sign_in},
};

/// A log that grows until its agent is stopped.
const CHATTERS: &str = "n=0; while :; do n=$((n+1)); echo \"line $n\"; sleep 0.05; done";

#[track_caller]
fn open(page: &Page, id: &str) {
    page.open(&format!("/console/workspaces/{id}"));
    page.control("workspace.restart");
}

/// Opens a dialog, leaves it, and opens it again.
#[track_caller]
fn asks_first(page: &Page, control: &str) {
    page.control(control).click();
    page.control("confirm.do");
    page.control("confirm.cancel").click();
    page.no_control("confirm.do");
    page.control(control).click();
}

#[track_caller]
fn audited(fleet: &Fleet, event: &str, id: &str) -> Value {
    let mut events = fleet.audit(&format!("event={event}&workspace_id={id}"));
    assert_eq!(events.len(), 1, "{event}: {events:?}");
    events.remove(0)
}

pub fn an_agent_is_restarted_after_its_turn(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("worker", exec(HOLDS), None);
    fleet.settled(&id);
    let message = fleet.send(&id, "hold one");
    fleet.taken(&id, &message);
    scene.sign_in();
    open(page, &id);
    asks_first(page, "workspace.restart");
    page.see("restarts after its turn");
    page.see("in a turn for");
    page.control("confirm.do").click();
    page.see("worker restarts at the end of its turn.");
    page.see("Restart debt.");
    assert_eq!(fleet.runs(&id).len(), 1, "a turn was cut");
    fleet.touch(&id, "one");
    assert_eq!(fleet.reply(&id, &message), "hold one unset");
    fleet.settled(&id);
    page.not_see("Restart debt.");
    assert_eq!(fleet.runs(&id).len(), 2);
    audited(fleet, "workspace.restart", &id);
}

pub fn an_agent_is_paused_and_resumed(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("worker", json!("process"), None);
    fleet.settled(&id);
    scene.sign_in();
    open(page, &id);
    asks_first(page, "workspace.pause");
    page.control("confirm.do").click();
    page.see("worker pauses at the end of its turn.");
    fleet.shown(&id, "paused");
    page.see_in(".page-head", "paused");
    page.no_control("workspace.pause");
    asks_first(page, "workspace.resume");
    page.control("confirm.do").click();
    page.see("worker resumes.");
    fleet.settled(&id);
    page.see_in(".page-head", "online");
    audited(fleet, "workspace.pause", &id);
    audited(fleet, "workspace.resume", &id);
}

pub fn the_root_gets_its_changes_when_a_human_applies_them(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let root = fleet.root();
    let runs = json!({"runtime": exec(HOLDS)});
    want(200, fleet.ask_as(fleet.owner(), Method::PATCH, &format!("/workspaces/{root}"), Some(runs)));
    fleet.settled(&root);
    scene.sign_in();
    open(page, &root);
    page.no_control("workspace.remove");
    page.no_control("workspace.apply");
    fleet.set(&root, "KEY", "a value");
    page.see("The root agent is never restarted by itself");
    asks_first(page, "workspace.apply");
    page.control("confirm.do").click();
    page.see("gets what is current at the end of its turn.");
    fleet.settled(&root);
    page.not_see("Restart debt.");
    page.no_control("workspace.apply");
    assert_eq!(fleet.runs(&root).len(), 2);
    audited(fleet, "workspace.apply", &root);
}

pub fn a_turn_is_cut_only_with_a_reason_and_a_password(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("worker", exec(HOLDS), None);
    fleet.settled(&id);
    let message = fleet.send(&id, "hold for-ever");
    fleet.taken(&id, &message);
    scene.sign_in();
    open(page, &id);
    page.control("workspace.force-stop").click();
    page.control("force-stop.cancel").click();
    page.no_control("force-stop.reason");
    page.control("workspace.force-stop").click();
    page.no_control("force-stop.do");
    page.control("force-stop.reason").fill("it does not end");
    page.control("force-stop.do").click();
    page.see("Confirm that it is you");
    page.control("step-up.cancel").click();
    page.see("STEP_UP_REQUIRED");
    assert_eq!(fleet.message(&id, &message)["status"], "delivered", "nothing was cut yet");

    page.control("force-stop.do").click();
    page.control("step-up.password").fill("somebody else's");
    page.control("step-up.submit").click();
    page.see("LOGIN_FAILED");
    page.control("step-up.password").fill(PASSWORD);
    page.control("step-up.submit").click();
    page.see("worker is stopped.");
    assert_eq!(fleet.outcome(&id, &message)["status"], "failed");
    let event = audited(fleet, "workspace.force_stop", &id);
    assert!(event.to_string().contains("it does not end"), "{event}");
}

pub fn a_removal_is_typed_and_its_address_says_what_happened(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("worker", json!("process"), None);
    fleet.settled(&id);
    scene.sign_in();
    let other = scene.another_page();
    sign_in(&other, OWNER);
    open(&other, &id);
    open(page, &id);
    page.control("workspace.remove").click();
    page.see("is stopped");
    page.control("confirm.type").fill("another");
    page.no_control("confirm.do");
    page.control("confirm.cancel").click();
    page.control("workspace.remove").click();
    page.control("confirm.type").fill("worker");
    page.control("confirm.do").click();
    page.see("worker was removed.");
    page.is_at("/console");
    want(404, fleet.ask_as(fleet.owner(), Method::GET, &format!("/workspaces/{id}"), None));
    audited(fleet, "workspace.remove", &id);

    // Whoever was looking at it sees the same without asking.
    other.see("This workspace is not there");
    page.open(&format!("/console/workspaces/{id}/chat"));
    page.see("This workspace is not there");
    page.control("workspace.gone-audit").click();
    page.is_at(&format!("/console/audit?workspace_id={id}"));
    page.see("workspace.remove");
}

pub fn tabs_and_crumbs_lead_through_it(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let team = fleet.create("team", json!("external"), None);
    let member = fleet.create("member", json!("external"), Some(&team));
    let root = text(&fleet.workspace(&fleet.root()), "name");
    let at = |id: &str, tab: &str| format!("/console/workspaces/{id}{tab}");
    scene.sign_in();
    page.open(&at(&member, ""));
    for (tab, path) in [
        ("workspace.tab-chat", "/chat"),
        ("workspace.tab-secrets", "/secrets"),
        ("workspace.tab-activity", "/activity"),
        ("workspace.tab-approvals", "/approvals"),
        ("workspace.tab-tokens", "/tokens"),
        ("workspace.tab-overview", ""),
    ] {
        page.control(tab).click();
        page.is_at(&at(&member, path));
        assert_eq!(page.control(tab).attribute("aria-current").as_deref(), Some("page"), "{tab}");
    }
    page.see("Its agent runs elsewhere, and so does its log.");
    page.see_in(".crumbs", &format!("Organisation / {root} / team"));
    page.control_in(".crumbs span:last-child", "workspace.crumb-parent").click();
    page.is_at(&at(&team, ""));
    page.see_in("h1", "team");
    page.control("overview.child").click();
    page.is_at(&at(&member, ""));
    page.control("overview.parent").click();
    page.is_at(&at(&team, ""));
    page.control("workspace.crumb").click();
    page.is_at("/console");
}

pub fn addresses_that_lead_nowhere_say_so(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let root = fleet.root();
    scene.sign_in();
    let unknown_tab = format!("/console/workspaces/{root}/nothing");
    for path in [
        "/console/nothing",
        "/console/approvals/a/b/c",
        "/console/workspaces/..%2Fsettings",
        "/console/workspaces/50%",
        unknown_tab.as_str(),
    ] {
        page.open(path);
        page.see("No such page");
        page.control("not-found.home").click();
        page.is_at("/console");
    }
    page.open("/console/workspaces/00000000-0000-7000-8000-000000000000");
    page.see("This workspace is not there");
}

pub fn the_log_is_followed_until_one_reads_back(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("chatters", command(CHATTERS), None);
    let rest = || {
        let script =
            "const log = document.querySelector('.log'); return log.scrollHeight - log.clientHeight - log.scrollTop";
        done("measure the log", page.session.script(script, json!([]))).as_f64().expect("a distance")
    };
    scene.sign_in();
    open(page, &id);
    page.see_in(".log", "line 60");
    page.until(|| (rest() < 2.0).then_some(()), || format!("not at its end: {}", rest()));
    page.control("logs.follow").click();
    assert_eq!(page.control("logs.follow").value(), false);
    page.until(|| (rest() > 60.0).then_some(()), || "it moves on by itself".to_owned());
    page.control("logs.follow").click();
    page.until(|| (rest() < 2.0).then_some(()), || format!("not at its end: {}", rest()));
}
