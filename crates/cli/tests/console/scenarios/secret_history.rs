//! Versions of a key: staged, activated, rolled back, deleted, brought back, destroyed.

use reqwest::Method;
use serde_json::{Value, json};

use super::secrets::{CANARY, echo, keeps_nothing_of, open_secrets, save, secret, writer};
use crate::{
    kit::{PASSWORD, fleet::list, want},
    scene::Scene,
};

pub fn a_staged_version_waits_until_it_is_activated(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = writer(fleet);
    fleet.set(&id, "API_KEY", "first");
    scene.sign_in();
    open_secrets(page, &id);
    page.see("runs v1");
    page.control("secrets.change").click();
    page.control("secret-form.staged").click();
    page.control("secret-form.value").fill(CANARY);
    page.see("No running agent is touched.");
    page.control("secret-form.save").click();
    page.see("not active yet");
    page.see("(newest v2)");
    keeps_nothing_of(page, CANARY);
    let row = secret(fleet, &id, "API_KEY");
    assert_eq!((&row["active_version"], &row["latest_version"]), (&json!(1), &json!(2)));
    page.control("secrets.history").click();
    page.control("history.activate").click();
    page.see("restarts after its turn");
    page.control("confirm.cancel").click();
    assert_eq!(secret(fleet, &id, "API_KEY")["active_version"], 1);
    page.control("history.activate").click();
    page.control("confirm.do").click();
    page.see("v2 of API_KEY is active.");
    page.no_control("history.activate");
    // The history goes on saying which version runs, until it is the new one.
    page.see("writer v2 current");
    assert_eq!(secret(fleet, &id, "API_KEY")["active_version"], 2);
    assert_eq!(fleet.audit("event=secret.activate&outcome=done").len(), 1);
}

pub fn rolling_back_makes_a_new_version(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    fleet.set(&id, "API_KEY", "first");
    fleet.set(&id, "API_KEY", "second");
    scene.sign_in();
    open_secrets(page, &id);
    page.control("secrets.history").click();
    page.see("No running agent has it.");
    page.control("history.roll-back").click();
    page.see("nothing in the history is lost");
    page.control("confirm.cancel").click();
    page.not_see("nothing in the history is lost");
    assert_eq!(secret(fleet, &id, "API_KEY")["latest_version"], 2);
    page.control("history.roll-back").click();
    page.control("confirm.do").click();
    page.see("API_KEY is rolled back.");
    page.see("rollback to v1");
    page.control("dialog.close").click();
    let row = secret(fleet, &id, "API_KEY");
    assert_eq!((&row["active_version"], &row["latest_version"]), (&json!(3), &json!(3)));
    assert_eq!(fleet.audit("event=secret.rollback&outcome=done").len(), 1);
}

pub fn a_deleted_secret_comes_back_and_a_destroyed_version_does_not(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    fleet.set(&id, "API_KEY", "first");
    fleet.set(&id, "API_KEY", "second");
    scene.sign_in();
    open_secrets(page, &id);
    page.control("secrets.delete").click();
    page.control("confirm.cancel").click();
    assert_eq!(secret(fleet, &id, "API_KEY")["state"], "live");
    page.control("secrets.delete").click();
    page.see("It can be brought back until it is destroyed.");
    page.control("confirm.do").click();
    page.see("API_KEY is deleted.");
    assert_eq!(secret(fleet, &id, "API_KEY")["state"], "deleted");
    page.control("secrets.undelete").click();
    page.control("confirm.cancel").click();
    page.control("secrets.undelete").click();
    page.control("confirm.do").click();
    page.see("API_KEY is back.");
    assert_eq!(secret(fleet, &id, "API_KEY")["state"], "live");
    // Destroying is an owner's, with the password once more, and typed.
    page.control("secrets.history").click();
    page.control("history.destroy").click();
    page.see("Confirm that it is you");
    page.control("step-up.cancel").click();
    page.see("STEP_UP_REQUIRED");
    page.control("confirm.cancel").click();
    page.control("history.destroy").click();
    page.control("step-up.password").fill(PASSWORD);
    page.control("step-up.submit").click();
    page.see("Nobody can bring it back.");
    page.no_control("confirm.do");
    page.control("confirm.type").fill("API");
    page.no_control("confirm.do");
    page.control("confirm.type").fill("API_KEY");
    page.control("confirm.do").click();
    page.see("v1 of API_KEY is destroyed.");
    page.see("destroyed");
    page.no_control("history.destroy");
    page.no_control("history.roll-back");
    let versions = list(&fleet.get(&format!("/workspaces/{id}/secrets/API_KEY/versions")));
    let states: Vec<&Value> = versions.iter().map(|version| &version["state"]).collect();
    assert_eq!(states, [&json!("stored"), &json!("destroyed")]);
    assert_eq!(fleet.audit("event=secret.destroy&outcome=done").len(), 1);
}

pub fn a_key_that_lost_its_active_version_says_how_it_comes_back(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    fleet.set(&id, "API_KEY", "first");
    fleet.set(&id, "API_KEY", "second");
    let delete = fleet.ask_as(fleet.owner(), Method::DELETE, &format!("/workspaces/{id}/secrets/API_KEY"), None);
    want(200, delete);
    fleet.post(&format!("/workspaces/{id}/secrets/API_KEY/destroy"), Some(json!({"version": 2})), 200);
    scene.sign_in();
    open_secrets(page, &id);
    page.control("secrets.undelete").click();
    page.see("CONFLICT");
    page.see("Its active version is destroyed; roll back to another one or set a new value.");
    page.no_control("confirm.do");
    page.control("confirm.cancel").click();
    page.control("secrets.history").click();
    page.no_control("history.activate");
    page.control("history.roll-back").click();
    page.control("confirm.do").click();
    page.see("API_KEY is rolled back.");
    page.control("dialog.close").click();
    let row = secret(fleet, &id, "API_KEY");
    assert_eq!((&row["state"], &row["active_version"]), (&json!("live"), &json!(3)));
}

pub fn the_history_of_a_shared_secret_says_what_runs_where(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    fleet.set_for_all("SHARED_KEY", "first");
    let id = writer(fleet);
    scene.sign_in();
    page.open("/console/secrets");
    page.control("secrets.change").click();
    save(page, CANARY);
    page.see("SHARED_KEY is saved.");
    fleet.settled(&id);
    page.control("secrets.history").click();
    page.see("writer v2 (shared) current");
    keeps_nothing_of(page, CANARY);
}
