//! The incident of 2026-06-11 as a person sees it: the root agent changes a secret of its own workspace in the middle of its
//! turn, is refused before their eyes, and goes on.

use reqwest::Method;
use serde_json::json;

use super::asking::{CANARY, open, root_agent, send, shows};
use crate::{
    kit::{
        Actor,
        fleet::{HOLDS, exec},
        want,
    },
    scene::Scene,
};

const REFUSED: &str = "CONCIERGE_SELF_WRITE_BLOCKED";

pub fn a_root_agent_that_writes_to_itself_is_refused_live_and_its_turn_goes_on(scene: &mut Scene) {
    let page = &scene.page;
    let fleet = scene.fleet();
    let root = fleet.root();
    let path = format!("/workspaces/{root}");
    want(200, fleet.ask_as(fleet.owner(), Method::PATCH, &path, Some(json!({"runtime": exec(HOLDS)}))));
    fleet.settled(&root);
    let boot = fleet.boot(&root);
    let held = fleet.send(&root, "hold a\n");
    fleet.taken(&root, &held);
    let generation = fleet.workspace(&root)["desired_generation"].clone();
    scene.sign_in();
    page.control("nav.audit").click();
    page.see("message.send");
    assert!(!page.words().contains(REFUSED));

    let own = Actor::bearer(fleet.token(&boot).trim());
    for (actor, key) in [(root_agent(), "WITH_ADMIN_TOKEN"), (own, "WITH_ITS_OWN_TOKEN")] {
        let body = json!({"key": key, "value": CANARY});
        let (status, answer) = send(scene, &actor, Method::POST, &format!("{path}/secrets"), Some(body));
        assert_eq!((status, &answer["code"]), (403, &json!(REFUSED)), "{answer}");
        // Nobody touched the page.
        page.see(key);
        page.see_in("a.event", "secret.set.refused");
        page.see_in("a.event", REFUSED);
        page.see_in("a.event", key);
        page.control_near(key, "audit.event").click();
        for words in ["secret.set.refused", REFUSED, "core#2566", "The rule", "Would cause reconfigures concierge", key]
        {
            page.see(words);
        }
        page.see_in("[aria-label='The rule']", "forbid (principal is Agent");
        page.see_in("[aria-label='The rule']", "context.root");
        page.back();
        page.see(key);
    }
    assert!(!super::asking::source(page).contains(CANARY), "the value is in the page");
    assert_eq!(scene.fleet().audit(&format!("code={REFUSED}")).len(), 2);

    // Its page says that it works, and owes nothing.
    page.open(&format!("/console/workspaces/{root}"));
    page.see("online");
    let now = fleet.workspace(&root);
    assert_eq!((&now["desired_generation"], &now["restart_debt"]), (&generation, &json!(false)), "{now}");
    assert_eq!(fleet.message(&root, &held)["status"], "delivered");
    fleet.touch(&root, "a");
    assert_eq!(fleet.reply(&root, &held), "hold a unset");
    assert_eq!((fleet.boot(&root), fleet.runs(&root).len()), (boot, 1));
    page.control("nav.audit").click();
    page.see("turn.");
}

pub fn what_would_interrupt_a_busy_agent_is_said_before_the_vote(scene: &mut Scene) {
    let page = &scene.page;
    let fleet = scene.fleet();
    let writer = fleet.create("writer", exec(HOLDS), None);
    fleet.settled(&writer);
    let boot = fleet.boot(&writer);
    scene.sign_in();
    let id = super::asking::ask(scene, &writer, CANARY);
    open(page, &id);
    page.see("restarts after its turn");
    let held = fleet.send(&writer, "hold a\n");
    fleet.taken(&writer, &held);
    page.see("in a turn for");
    page.control("approval.approve").click();
    super::asking::confirm(page);
    shows(page, &id, "applied");
    // Agreed to in the middle of its turn, which ends first.
    assert_eq!(fleet.message(&writer, &held)["status"], "delivered");
    assert_eq!(fleet.boot(&writer), boot);
    fleet.touch(&writer, "a");
    assert_eq!(fleet.reply(&writer, &held), "hold a unset");
    fleet.settled(&writer);
    assert_ne!(fleet.boot(&writer), boot);
}
