//! The log as its readers use it: filtered, followed, scrolled, opened, verified and taken along.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use super::asking::{CANARY, KEY, approval, ask, look, root_agent, send, workspace};
use crate::{
    kit::{alone, fleet::text, ran, want},
    page::Page,
    scene::Scene,
};

const REFUSED: &str = "CONCIERGE_SELF_WRITE_BLOCKED";

/// Waits until so many events are listed.
#[track_caller]
fn lists(page: &Page, count: usize) {
    let found = || page.controls("audit.event");
    page.until(|| (found() == count).then_some(()), || format!("{} events, not {count}", found()));
}

/// The page lists what this query finds, says so in its address, and is the same when it is loaded again.
#[track_caller]
fn finds(scene: &Scene, page: &Page, query: &str) {
    page.is_at(&format!("/console/audit?{query}"));
    let count = scene.fleet().audit(query).len();
    assert!((1..60).contains(&count), "{query} finds {count}");
    lists(page, count);
    page.reload();
    lists(page, count);
    page.is_at(&format!("/console/audit?{query}"));
}

/// Waits until the text has gone with its list.
#[track_caller]
fn searches_nothing(page: &Page) {
    let text = || page.control("audit.search").value();
    page.until(|| (text() == "").then_some(()), || format!("{} stays behind", text()));
}

#[track_caller]
fn refused_root(scene: &Scene, key: &str) {
    let path = format!("/workspaces/{}/secrets", scene.fleet().root());
    let body = json!({"key": key, "value": CANARY});
    assert_eq!(send(scene, &root_agent(), Method::POST, &path, Some(body)).1["code"], REFUSED);
}

/// The newest event of the log.
fn newest(scene: &Scene) -> Value {
    scene.fleet().get("/audit?order=desc&limit=1")["events"][0].clone()
}

fn number(event: &Value) -> i64 {
    event["id"].as_i64().expect("a number")
}

pub fn each_filter_narrows_the_list_and_stays_in_the_address(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    scene.fleet().set(&workspace(scene, "other"), "OTHER", "x");
    scene.fleet().set(&writer, "MINE", "x");
    refused_root(scene, KEY);
    let id = ask(scene, &writer, CANARY);
    scene.sign_in();
    page.control("nav.audit").click();
    page.see("secret.set.refused");

    page.control("audit.search").fill("secret.set");
    finds(scene, page, "q=secret.set");
    assert_eq!(page.control("audit.search").value(), "secret.set");
    page.control("nav.audit").click();
    page.is_at("/console/audit");
    searches_nothing(page);
    for (choice, outcome) in [("Held", "held"), ("Refused", "refused"), ("Done", "done")] {
        page.control("audit.outcome").choose(choice);
        finds(scene, page, &format!("outcome={outcome}"));
    }
    page.control("audit.outcome").choose("Failed");
    page.see("Nothing in the log fits these filters.");
    page.control("audit.clear").click();
    page.is_at("/console/audit");
    page.control("audit.workspace").choose("writer");
    finds(scene, page, &format!("workspace_id={writer}"));
    page.control("audit.clear").click();

    page.control("audit.more-filters").click();
    page.control("audit.event-name").fill("secret.set.held");
    finds(scene, page, "event=secret.set.held");
    page.control("audit.clear").click();
    page.control("audit.code").fill("concierge_self_write_blocked");
    finds(scene, page, &format!("code={REFUSED}"));
    page.control("audit.clear").click();
    page.control("audit.key").fill("mine");
    finds(scene, page, "key=MINE");
    page.control("audit.clear").click();
    page.control("audit.more-filters").click();
    page.no_control("audit.key");

    // Two at once, the second before the first was asked for.
    page.control("audit.search").fill("secret.set");
    page.control("audit.outcome").choose("Refused");
    page.until(|| page.path().contains("q=secret.set").then_some(()), || page.path());
    assert!(page.path().contains("outcome=refused"), "{}", page.path());
    lists(page, scene.fleet().audit("q=secret.set&outcome=refused").len());
    // The text that was not asked for yet goes with the others.
    page.control("audit.search").fill("nothing like that");
    page.control("audit.clear").click();
    page.is_at("/console/audit");
    page.see("secret.set.refused");
    searches_nothing(page);

    page.open(&format!("/console/audit?approval_id={id}"));
    finds(scene, page, &format!("approval_id={id}"));
    page.control("audit.request").click();
    page.is_at(&format!("/console/approvals/{id}"));
    assert_eq!(approval(scene, &id)["status"], "pending");
}

pub fn days_narrow_the_list(scene: &mut Scene) {
    let page = &scene.page;
    workspace(scene, "writer");
    let today = text(&newest(scene), "at");
    let [year, month, day] = [&today[..4], &today[5..7], &today[8..10]];
    scene.sign_in();
    page.open("/console/audit");
    page.see("workspace.create");
    page.control("audit.more-filters").click();
    // As a person types it into the browser's own field.
    page.control("audit.from").fill(&format!("{month}{day}{year}"));
    page.is_at(&format!("/console/audit?from={year}-{month}-{day}"));
    page.see("workspace.create");
    page.control("audit.to").fill(&format!("{month}{day}{year}"));
    page.until(|| page.path().contains("&to=").then_some(()), || page.path());
    page.see("workspace.create");
    page.control("audit.clear").click();
    page.control("audit.to").fill(&format!("{month}{day}2020"));
    page.see("Nothing in the log fits these filters.");
    page.open("/console/audit?from=no-day");
    page.see("workspace.create");
}

pub fn the_list_goes_back_as_one_scrolls_and_does_not_move_when_it_grows(scene: &mut Scene) {
    const MANY: usize = 230;
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let path = format!("/workspaces/{writer}/secrets");
    for n in 0..MANY {
        let body = json!({"key": format!("KEY_{n}"), "value": "x"});
        // As fast as the server lets anybody.
        let set =
            || (send(scene, scene.fleet().owner(), Method::POST, &path, Some(body.clone())).0 == 200).then_some(());
        scene.fleet().until("a secret is set", set);
    }
    scene.sign_in();
    page.open("/console/audit?event=secret.set");
    lists(page, 100);
    for count in [200, MANY] {
        page.press("End");
        lists(page, count);
    }
    page.press("End");
    page.see("This is the beginning.");
    page.see("KEY_0");
    // The key's own way down is at its end, so that it moves nothing later.
    let down = "return scrollY + innerHeight >= document.documentElement.scrollHeight - 2";
    page.until(|| (look(page, down, json!([])) == true).then_some(()), || "it does not end".to_owned());

    // In the middle of it, what is read stays under the eye.
    let script = "const all = [...document.querySelectorAll('a.event')];\
        if (arguments[0]) all.at(-100).scrollIntoView({ block: 'center' });\
        return [all.at(-100).href, Math.round(all.at(-100).getBoundingClientRect().top)];";
    let place = |go: bool| look(page, script, json!([go]));
    place(true);
    let mut before = place(false);
    let mut looks = 0;
    let still = || {
        let now = place(false);
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
        (looks >= 8).then_some(())
    };
    page.until(still, || "the list does not come to rest".to_owned());
    scene.fleet().set(&writer, "NEWEST", "x");
    lists(page, MANY + 1);
    let now = place(false);
    let moved = now[1].as_i64().expect("a place") - before[1].as_i64().expect("a place");
    assert!(now[0] == before[0] && moved.abs() <= 2, "{before} moved to {now}");
    page.press("Home");
    page.see("NEWEST");
}

pub fn an_event_leads_to_what_it_is_about_and_to_its_neighbours(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    let held = newest(scene);
    assert_eq!(held["event"], "secret.set.held");
    scene.sign_in();
    page.control("nav.audit").click();
    page.control_near("secret.set.held", "audit.event").click();
    let at = |n: i64| format!("/console/audit/{n}");
    page.is_at(&at(number(&held)));
    for words in ["set a secret", "writer", KEY, "secret write", "The rule that decided", "@hold(\"role:approver=1\")"]
    {
        page.see(words);
    }
    let entry = scene.fleet().get(&format!("/audit/entries/{}", number(&held)));
    page.see(&text(&entry, "hash"));
    page.see(&text(&entry, "prev_hash"));
    page.control("entry.previous").click();
    page.is_at(&at(number(&held) - 1));
    page.see("workspace.create");
    page.see(&text(&entry, "prev_hash"));
    page.control("entry.next").click();
    page.is_at(&at(number(&held)));
    page.control("entry.approval").click();
    page.is_at(&format!("/console/approvals/{id}"));
    page.back();
    page.control("entry.workspace").click();
    page.is_at(&format!("/console/workspaces/{writer}"));
    page.back();
    page.control("entry.crumb").click();
    page.is_at("/console/audit");

    // Nothing is behind the last one, until something is.
    let last = number(&newest(scene));
    page.open(&at(last));
    page.see(&format!("event {last}"));
    page.control("entry.previous");
    page.no_control("entry.next");
    scene.fleet().set(&writer, "LATER", "x");
    page.control("entry.next").click();
    page.see("LATER");
    page.open(&at(999_999));
    page.see("There is no such event");
    page.control("entry.to-log").click();
    page.is_at("/console/audit");
}

pub fn a_sound_log_verifies_and_shows_its_signed_head(scene: &mut Scene) {
    let page = &scene.page;
    refused_root(scene, KEY);
    scene.sign_in();
    page.open("/console/audit");
    page.control("audit.verify").click();
    page.see("The log verifies.");
    page.has_no_barrier();
    let size = number(&newest(scene));
    page.see(&format!("{size} entries"));
    let checked = scene.fleet().get("/audit/verify");
    assert_eq!(checked["verified"], true);
    page.see(&text(&checked, "head"));
    page.see(&text(&checked, "key"));
    refused_root(scene, "ANOTHER");
    page.control("verify.again").click();
    page.see(&format!("{} entries", size + 1));
    page.control("verify.close").click();
    page.not_see("The log verifies.");
}

pub fn a_touched_log_shows_its_first_bad_entry(scene: &mut Scene) {
    let page = &scene.page;
    for n in 0..4 {
        refused_root(scene, &format!("KEY_{n}"));
    }
    let bad = number(&newest(scene)) - 2;
    scene.fleet().db.run(&format!("UPDATE audit SET reason = 'x' || substr(reason, 2) WHERE seq = {bad}"));
    scene.sign_in();
    page.open("/console/audit");
    page.control("audit.verify").click();
    page.see("The log does not verify.");
    page.see(&format!("The first bad entry is {bad}."));
    assert_eq!(scene.fleet().get("/audit/verify")["first_bad"], bad);
    page.control("verify.first-bad").click();
    page.is_at(&format!("/console/audit/{bad}"));
    page.see("secret.set.refused");
}

pub fn an_export_verifies_on_a_machine_that_knows_nothing_else(scene: &mut Scene) {
    let page = &scene.page;
    refused_root(scene, KEY);
    scene.sign_in();
    page.open("/console/audit");
    page.see(REFUSED);
    page.control("audit.export").click();
    let export = page.downloaded("audit.jsonl");
    assert!(export.contains(REFUSED) && !export.contains(CANARY), "{export}");
    page.see("audit.export");
    let place = scene.fleet().db.data_dir.join("saved");
    fs::create_dir(&place).expect("a directory");
    let file = place.join("audit.jsonl");
    let verify = |text: &str| {
        fs::write(&file, text).expect("a file");
        let mut command = alone(&place);
        command.args(["audit", "verify", "--export"]).arg(&file);
        ran(command)
    };
    verify(&export).exits(0);
    verify(&export.replacen(KEY, "ANY_KEY", 1)).exits(10);
    want(200, scene.fleet().ask_as(scene.fleet().owner(), Method::GET, "/audit/verify", None));
}
