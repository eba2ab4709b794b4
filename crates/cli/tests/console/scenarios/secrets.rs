//! Secrets of a workspace and of the organisation, as a person sets them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    kit::{
        ADMIN, Actor,
        fleet::{Fleet, list, shown, text},
        want,
    },
    page::Page,
    scene::Scene,
};

/// A value that can be told from everything else.
pub const CANARY: &str = "canary-5e0c1a-value";

/// Whether the page keeps a text: in what it shows, in what can be typed into, in its stores or in its address.
const KEEPS: &str = r#"
const [wanted] = arguments;
const typed = [...document.querySelectorAll("input, textarea, select")].map((one) => one.value);
const kept = [{ ...localStorage }, { ...sessionStorage }, history.state].map((one) => JSON.stringify(one));
return [document.documentElement.outerHTML, location.href, document.title, document.cookie, ...typed, ...kept].some((text) => text?.includes(wanted));
"#;

/// Why controls of a name are blocked, one reason for each that is.
const BLOCKED: &str = r#"
return [...document.querySelectorAll(`[data-control="${arguments[0]}"][aria-disabled=true]`)].map((one) => one.title);
"#;

pub fn echo() -> Value {
    json!({"kind": "process", "agent": {"mind": "echo"}})
}

/// An agent that runs.
#[track_caller]
pub fn writer(fleet: &Fleet) -> String {
    let id = fleet.create("writer", echo(), None);
    fleet.settled(&id);
    id
}

pub fn open_secrets(page: &Page, id: &str) {
    page.open(&format!("/console/workspaces/{id}/secrets"));
    page.control("secrets.add");
}

/// What the list says of a key; null where it is not in it.
pub fn secret(fleet: &Fleet, id: &str, key: &str) -> Value {
    let all = list(&fleet.get(&format!("/workspaces/{id}/secrets")));
    all.into_iter().find(|one| one["key"] == key).unwrap_or_default()
}

/// What the root agent asks by its admin token.
#[track_caller]
pub fn ask_as_root(fleet: &Fleet, path: &str, body: Value, status: u16) -> Value {
    want(status, fleet.ask_as(&Actor::bearer(ADMIN), Method::POST, path, Some(body)))
}

/// The page does not have a value any more, anywhere.
#[track_caller]
pub fn keeps_nothing_of(page: &Page, value: &str) {
    let keeps = page.session.script(KEEPS, json!([value])).expect("an answer");
    assert_eq!(keeps, false, "the page still has `{value}`");
}

/// Waits until every control of this name is blocked, for a reason with these words.
#[track_caller]
pub fn is_blocked(page: &Page, name: &str, words: &str) {
    let look = || {
        let reasons = list(&page.session.script(BLOCKED, json!([name])).ok()?);
        let all = reasons.iter().all(|reason| reason.as_str().is_some_and(|reason| reason.contains(words)));
        (!reasons.is_empty() && all && page.controls(name) == 0).then_some(())
    };
    page.until(look, || format!("{name} is not blocked with `{words}`"));
}

/// Types a value into the form that is open, and saves it.
#[track_caller]
pub fn save(page: &Page, value: &str) {
    page.control("secret-form.value").fill(value);
    page.control("secret-form.save").click();
}

pub fn a_new_secret_says_what_it_does_and_then_which_version_runs(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = writer(fleet);
    scene.sign_in();
    page.control("nav.map");
    open_secrets(page, &id);
    page.see("No secrets yet");
    page.control("secrets.first").click();
    page.see("Add a secret");
    page.control("secret-form.cancel").click();
    page.not_see("Sealed when it arrives");
    page.control("secrets.add").click();
    page.no_control("secret-form.save");
    page.control("secret-form.key").fill("1st");
    page.see("not a digit first");
    page.control("secret-form.key").fill("api key");
    assert_eq!(page.control("secret-form.key").value(), "API_KEY");
    page.control("secret-form.value").fill(CANARY);
    page.control("secret-form.show").click();
    assert_eq!(page.control("secret-form.show").value(), true);
    page.control("secret-form.description").fill("For the provider");
    page.control("secret-form.reason").fill("A first one");
    // Before it is saved, it is said what saving will do, and nothing has happened.
    page.see("restarts after its turn");
    assert_eq!(secret(fleet, &id, "API_KEY"), Value::Null);
    page.control("secret-form.save").click();
    page.see("API_KEY is saved.");
    page.control("toast.close").click();
    page.not_see("API_KEY is saved.");
    page.see("runs v1");
    page.see("For the provider");
    keeps_nothing_of(page, CANARY);
    let row = secret(fleet, &id, "API_KEY");
    assert_eq!((&row["active_version"], &row["delivery"]), (&json!(1), &json!("env")), "{row}");
    assert_eq!(fleet.audit("event=secret.set&outcome=done").len(), 1);
    fleet.settled(&id);
    assert_eq!(fleet.ask(&id, "/env API_KEY"), shown(CANARY));
    page.reload();
    page.see("runs v1");
    keeps_nothing_of(page, CANARY);
}

pub fn a_version_that_came_in_between_is_said_and_input_is_kept(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    fleet.set(&id, "API_KEY", "first");
    scene.sign_in();
    open_secrets(page, &id);
    page.control_near("API_KEY", "secrets.change").click();
    page.control("secret-form.value").fill(CANARY);
    page.control("secret-form.save");
    fleet.set(&id, "API_KEY", "second");
    page.see("saved v2");
    page.see("BASE_VERSION_MISMATCH");
    page.no_control("secret-form.save");
    assert_eq!(page.control("secret-form.value").value(), CANARY);
    page.control("secret-form.rebase").click();
    page.control("secret-form.save").click();
    page.see("API_KEY is saved.");
    page.see("v3");
    assert_eq!(secret(fleet, &id, "API_KEY")["latest_version"], 3);
    assert_eq!(fleet.audit("event=secret.set&outcome=done").len(), 3);
    keeps_nothing_of(page, CANARY);
}

pub fn a_file_is_there_at_once_and_restarts_nobody(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = writer(fleet);
    let boot = fleet.boot(&id);
    scene.sign_in();
    open_secrets(page, &id);
    page.control("secrets.add").click();
    page.control("secret-form.key").fill("CERTIFICATE");
    page.control("secret-form.value").fill(CANARY);
    page.control("secret-form.delivery").choose("File, at once");
    page.see("gets the file at once, without a restart");
    // The day is typed as the browser's language writes it: either way it is the twelfth of December.
    page.control("secret-form.expires").fill("12122099");
    page.control("secret-form.save").click();
    page.see("CERTIFICATE is saved.");
    page.see("expires");
    page.see("runs v1");
    let row = secret(fleet, &id, "CERTIFICATE");
    assert_eq!(row["delivery"], "file");
    assert!(text(&row, "expires_at").starts_with("2099-12-1"), "{row}");
    assert_eq!(fleet.boot(&id), boot);
    // Whoever changes it is told that the date was the old value's.
    page.control_near("CERTIFICATE", "secrets.change").click();
    page.see("The value so far:");
    page.control("dialog.close").click();
    page.not_see("The value so far");
}

pub fn a_slot_that_an_agent_asks_for_is_filled_by_a_human(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    scene.sign_in();
    open_secrets(page, &id);
    page.see("No secrets yet");
    let words = json!({"description": "to read the mail"});
    ask_as_root(fleet, &format!("/workspaces/{id}/secrets/MAIL_KEY/request"), words.clone(), 201);
    ask_as_root(fleet, &format!("/workspaces/{id}/secrets/NOT_NEEDED/request"), words, 201);
    page.see("to be filled");
    page.control_near("MAIL_KEY", "secrets.fill").click();
    page.see("to read the mail");
    save(page, CANARY);
    page.see("MAIL_KEY is saved.");
    assert_eq!(secret(fleet, &id, "MAIL_KEY")["state"], "live");
    // A slot that nobody fills can be taken away.
    page.control_near("NOT_NEEDED", "secrets.delete").click();
    page.control("confirm.do").click();
    page.see("NOT_NEEDED is deleted.");
    assert_ne!(secret(fleet, &id, "NOT_NEEDED")["state"], "slot");
    keeps_nothing_of(page, CANARY);
}

pub fn a_shared_secret_is_overridden_and_comes_back(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    scene.sign_in();
    page.control("nav.secrets").click();
    page.is_at("/console/secrets");
    page.control("secrets.add").click();
    page.control("secret-form.key").fill("SHARED_KEY");
    save(page, "for everybody");
    page.see("SHARED_KEY is saved.");
    assert_eq!(list(&fleet.get("/settings/secrets"))[0]["key"], "SHARED_KEY");
    open_secrets(page, &id);
    page.see("inherited");
    page.no_control("secrets.delete");
    page.control("secrets.override").click();
    page.see("Override SHARED_KEY");
    save(page, CANARY);
    page.see("overrides");
    assert_eq!(secret(fleet, &id, "SHARED_KEY")["origin"], "overriding");
    page.control("secrets.delete").click();
    page.see("The shared value under the same name is used again.");
    page.control("confirm.do").click();
    page.see("SHARED_KEY is deleted.");
    page.see("inherited");
    // The own one can still be brought back, beside the shared one that is used.
    page.control("secrets.override");
    page.control("secrets.undelete");
    let rows = list(&fleet.get(&format!("/workspaces/{id}/secrets")));
    let origins: Vec<_> = rows.iter().filter(|row| row["state"] == "live").map(|row| &row["origin"]).collect();
    assert_eq!(origins, ["inherited"]);
    keeps_nothing_of(page, CANARY);
}

pub fn a_key_is_found_among_many(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    for key in ["MAIL_HOST", "MAIL_KEY", "SEARCH_KEY", "MAP_KEY", "BANK_KEY", "CHAT_KEY"] {
        fleet.set(&id, key, "a value");
    }
    scene.sign_in();
    open_secrets(page, &id);
    page.control("secrets.search").fill("mail");
    page.not_see("BANK_KEY");
    page.see("MAIL_HOST");
    page.control("secrets.search").fill("nothing like it");
    page.see("No key fits your search.");
    page.control("secrets.search").fill("");
    page.see("BANK_KEY");
}

pub fn the_roots_secret_waits_for_a_human(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let root = fleet.root();
    let path = format!("/workspaces/{root}");
    want(200, fleet.ask_as(fleet.owner(), Method::PATCH, &path, Some(json!({"runtime": echo()}))));
    fleet.settled(&root);
    let boot = fleet.boot(&root);
    scene.sign_in();
    open_secrets(page, &root);
    page.see("The root agent is never restarted by itself");
    page.control("secrets.add").click();
    page.control("secret-form.key").fill("ROOT_KEY");
    page.control("secret-form.value").fill(CANARY);
    page.see("waits until a human applies it");
    page.control("secret-form.save").click();
    page.see("ROOT_KEY is saved.");
    page.see("restart debt");
    page.see("runs nowhere");
    assert_eq!(fleet.boot(&root), boot);
    assert_eq!(secret(fleet, &root, "ROOT_KEY")["running_version"], Value::Null);
    keeps_nothing_of(page, CANARY);
}

pub fn a_held_secret_is_never_shown_as_saved(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    scene.sign_in();
    open_secrets(page, &id);
    page.see("No secrets yet");
    let held =
        ask_as_root(fleet, &format!("/workspaces/{id}/secrets"), json!({"key": "HELD_KEY", "value": CANARY}), 202);
    let approval = text(&held, "approval_id");
    page.see("Not saved yet.");
    page.see("No secrets yet");
    assert_eq!(
        page.session.script("return document.querySelectorAll('tbody tr').length", json!([])).ok(),
        Some(json!(0))
    );
    assert_eq!(secret(fleet, &id, "HELD_KEY"), Value::Null);
    page.control("secrets.pending").click();
    page.is_at(&format!("/console/approvals/{approval}"));
    page.see("HELD_KEY");
    keeps_nothing_of(page, CANARY);
    page.back();
    page.see("Not saved yet.");
    fleet.post(&format!("/approvals/{approval}/decide"), Some(json!({"decision": "approved"})), 200);
    page.not_see("Not saved yet.");
    page.control_near("HELD_KEY", "secrets.history").click();
    page.see("v1");
    page.control("history.approval").click();
    page.is_at(&format!("/console/approvals/{approval}"));
}

pub fn a_refused_key_or_value_says_what_to_do_instead(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    let minted = fleet.post("/org/tokens", Some(json!({"name": "pipeline", "scopes": ["secrets:read"]})), 200);
    let token = text(&minted, "auth_token");
    scene.sign_in();
    open_secrets(page, &id);
    page.control("secrets.add").click();
    page.control("secret-form.key").fill("PATH");
    page.control("secret-form.value").fill("/somewhere");
    page.see("KEY_FORBIDDEN");
    page.see("Use another key");
    page.control("secret-form.key").fill("PIPELINE_TOKEN");
    page.control("secret-form.value").fill(&token);
    page.see("OWN_CREDENTIAL_AS_SECRET");
    page.see("Mint a token with `deliver_to`");
    page.no_control("secret-form.save");
    assert_eq!(page.control("secret-form.value").value(), json!(token));
    page.control("secret-form.value").fill(&"x".repeat(10));
    page.not_see("OWN_CREDENTIAL_AS_SECRET");
    page.control("secret-form.cancel").click();
    page.control("leaving.discard").click();
    page.see("No secrets yet");
    assert_eq!(list(&fleet.get(&format!("/workspaces/{id}/secrets"))), Vec::<Value>::new());
    keeps_nothing_of(page, &token);
}

pub fn leaving_a_form_with_a_value_asks_first(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}"));
    page.control("workspace.tab-secrets").click();
    let here = format!("/console/workspaces/{id}/secrets");
    page.is_at(&here);
    page.control("secrets.add").click();
    // Nothing is typed: nothing is asked.
    page.press("Escape");
    page.not_see("Add a secret");
    page.control("secrets.add").click();
    page.control("secret-form.key").fill("API_KEY");
    page.control("secret-form.value").fill(CANARY);
    page.control("dialog.close").click();
    page.see("Discard what you typed?");
    page.control("leaving.keep").click();
    page.not_see("Discard what you typed?");
    assert_eq!(page.control("secret-form.value").value(), CANARY);
    // However often Escape is pressed, the form stays.
    page.press("Escape");
    page.see("Discard what you typed?");
    page.press("Escape");
    page.not_see("Discard what you typed?");
    page.press("Escape Escape Escape");
    page.see("Discard what you typed?");
    page.control("leaving.keep").click();
    assert_eq!(page.control("secret-form.value").value(), CANARY);
    page.back();
    page.see("Discard what you typed?");
    page.is_at(&here);
    page.control("leaving.keep").click();
    assert_eq!(page.control("secret-form.value").value(), CANARY);
    page.back();
    page.control("leaving.discard").click();
    page.is_at(&format!("/console/workspaces/{id}"));
    page.not_see("Add a secret");
    keeps_nothing_of(page, CANARY);
    assert_eq!(secret(fleet, &id, "API_KEY"), Value::Null);
}
