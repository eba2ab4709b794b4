//! The conversation with an agent.

use serde_json::{Value, json};

use crate::{
    kit::fleet::{Fleet, HOLDS, exec, list, text},
    page::{Page, done},
    scene::Scene,
};

/// The answer to the next message is lost on its way back, as when the network breaks at that moment. What the page asks
/// for itself meanwhile is answered.
const LOSE_AN_ANSWER: &str = "const real = window.fetch; \
    window.fetch = async (...asked) => { \
        if (asked[1]?.method !== 'POST') return real(...asked); \
        window.fetch = real; await real(...asked); throw new TypeError('cut'); };";

/// Types, and turns to another tab as soon as what was typed is drawn: within one frame.
const TYPE_AND_LEAVE: &str = "const done = arguments[arguments.length - 1]; \
    const control = (name) => document.querySelector(`[data-control='${name}']`); \
    const text = control('chat.text'); \
    text.value += ' more'; \
    text.dispatchEvent(new InputEvent('input', { bubbles: true })); \
    Promise.resolve().then(() => { control('workspace.tab-overview').click(); done(); });";

/// More messages than one page of them holds.
const LONG: usize = 130;

#[track_caller]
fn open(page: &Page, id: &str) {
    page.open(&format!("/console/workspaces/{id}/chat"));
    page.control("chat.text");
}

/// All messages of a workspace, oldest first.
fn messages(fleet: &Fleet, id: &str) -> Vec<Value> {
    list(&fleet.get(&format!("/workspaces/{id}/messages?limit=500"))["messages"])
}

fn shown(page: &Page) -> usize {
    let script = "return document.querySelectorAll('[data-message]').length";
    let count = done("count the messages", page.session.script(script, json!([])));
    usize::try_from(count.as_u64().expect("a number")).expect("a number")
}

pub fn enter_sends_and_the_reply_appears(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("parrot", json!("process"), None);
    fleet.settled(&id);
    scene.sign_in();
    open(page, &id);
    page.see("Nothing has been said to parrot yet");
    page.no_control("chat.send");
    page.control("chat.text").fill("one line");
    page.press("Shift+Enter");
    page.type_keys("and another");
    assert_eq!(page.control("chat.text").value(), "one line\nand another");
    page.press("Enter");
    page.see_in(".message.mine", "one line and another");
    page.see_in(".message.theirs", "one line and another");
    assert_eq!(page.control("chat.text").value(), "");
    assert_eq!(page.focused().as_deref(), Some("chat.text"));
    page.control("chat.text").fill("by the button");
    page.control("chat.send").click();
    page.see_in(".message.theirs:last-child", "by the button");
    let all = messages(fleet, &id);
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["text"], &all[0]["reply"]), (&json!("one line\nand another"), &json!("one line\nand another")));
    // Still there for who comes back.
    page.reload();
    page.see_in(".message.theirs:last-child", "by the button");
}

pub fn a_message_waits_while_the_agent_is_busy_and_is_taken_back(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("worker", exec(HOLDS), None);
    fleet.settled(&id);
    scene.sign_in();
    open(page, &id);
    page.control("chat.text").fill("hold one");
    page.press("Enter");
    page.see("works on it");
    page.control("chat.text").fill("note two");
    page.press("Enter");
    page.see("waits");
    page.see("1 message waiting.");
    page.control("chat.cancel").click();
    page.see("taken back");
    page.no_control("chat.cancel");
    fleet.touch(&id, "one");
    page.see("hold one unset");
    let all = messages(fleet, &id);
    let ends: Vec<&Value> = all.iter().map(|message| &message["status"]).collect();
    assert_eq!(ends, [&json!("completed"), &json!("cancelled")]);
    // The agent never heard of it.
    assert_eq!(std::fs::read_to_string(fleet.work(&id).join("ran")).expect("what it worked on"), "hold one\n");
}

pub fn an_attempt_whose_answer_was_lost_is_one_message(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("parrot", json!("process"), None);
    fleet.settled(&id);
    scene.sign_in();
    open(page, &id);
    page.control("chat.text").fill("once only");
    done("break the network", page.session.script(LOSE_AN_ANSWER, json!([])));
    page.press("Enter");
    page.see("The server cannot be reached.");
    assert_eq!(page.control("chat.text").value(), "once only");
    page.press("Enter");
    page.until(|| (page.control("chat.text").value() == "").then_some(()), || "it was not sent".to_owned());
    page.see_in(".message.theirs", "once only");
    page.not_see("The server cannot be reached.");
    assert_eq!(messages(fleet, &id).len(), 1);
    assert_eq!(shown(page), 1);
    // The next one is another, also if it says the same.
    page.control("chat.text").fill("once only");
    page.press("Enter");
    page.until(|| (shown(page) == 2).then_some(()), || "the second is missing".to_owned());
    assert_eq!(messages(fleet, &id).len(), 2);
}

pub fn a_draft_is_kept_while_one_looks_elsewhere(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("somebody", json!("external"), None);
    scene.sign_in();
    open(page, &id);
    page.control("chat.text").fill("half a thought");
    page.control("workspace.tab-overview").click();
    page.control("workspace.restart");
    page.control("workspace.tab-chat").click();
    assert_eq!(page.control("chat.text").value(), "half a thought");
    // Also the last letter, if one leaves before the next frame.
    page.ask_later(TYPE_AND_LEAVE, json!([]));
    page.control("workspace.restart");
    page.control("workspace.tab-chat").click();
    assert_eq!(page.control("chat.text").value(), "half a thought more");
    assert!(messages(fleet, &id).is_empty());
}

pub fn an_agent_that_does_not_work_now_says_why(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let elsewhere = fleet.create("elsewhere", json!("external"), None);
    let sleeper = fleet.create("sleeper", json!("process"), None);
    fleet.settled(&sleeper);
    scene.sign_in();
    open(page, &elsewhere);
    page.see("elsewhere runs elsewhere and has not been heard yet. What you send waits until it runs.");
    page.control("chat.text").fill("when you come");
    page.press("Enter");
    page.see("1 message waiting.");
    assert_eq!(messages(fleet, &elsewhere)[0]["status"], "queued");

    open(page, &sleeper);
    fleet.post(&format!("/workspaces/{sleeper}/pause"), None, 200);
    page.see("sleeper is paused");
    page.control("chat.text").fill("when you wake");
    page.press("Enter");
    page.see("1 message waiting.");
    fleet.post(&format!("/workspaces/{sleeper}/resume"), None, 200);
    page.see_in(".message.theirs", "when you wake");
    page.not_see("sleeper is paused");
}

pub fn what_was_said_long_ago_is_fetched(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("listener", json!("external"), None);
    for n in 0..LONG {
        fleet.send(&id, &format!("thought number {n}."));
    }
    scene.sign_in();
    open(page, &id);
    page.see("The newest 100 messages are shown.");
    page.see(&format!("thought number {}.", LONG - 1));
    assert!(!page.words().contains("thought number 29."));
    page.control("chat.older").click();
    page.until(|| (shown(page) == LONG).then_some(()), || format!("{} are shown", shown(page)));
    page.see_in(".chat-list", "thought number 0.");
    page.no_control("chat.older");
    // They are in order, and what is said now comes at the end.
    page.control("chat.text").fill("and now");
    page.press("Enter");
    page.see_in(".chat-list > :last-child", "and now");
    let first = page.text("[data-message]");
    assert!(first.contains("thought number 0."), "{first}");
    assert_eq!(text(&messages(fleet, &id)[LONG], "text"), "and now");
}
