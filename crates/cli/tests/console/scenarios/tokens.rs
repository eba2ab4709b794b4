//! Tokens: minted, used, revoked.

use reqwest::Method;
use serde_json::{Value, json};

use super::secrets::{echo, keeps_nothing_of};
use crate::{
    kit::{
        Actor,
        fleet::{Fleet, list, text},
        want,
    },
    scene::Scene,
};

/// Where the only token that is shown says when it was used.
const LAST_USED: &str = "tbody td[data-label='Last used']";

/// The tokens behind a path, of this name.
fn named(fleet: &Fleet, path: &str, name: &str) -> Vec<Value> {
    let tokens = list(&fleet.get(path)["tokens"]);
    tokens.into_iter().filter(|token| token["name"] == name).collect()
}

pub fn a_token_is_shown_once_works_and_stops_working(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    scene.sign_in();
    page.control("nav.tokens").click();
    page.control("tokens.mint").click();
    page.control("mint.cancel").click();
    page.not_see("New organisation token");
    page.control("tokens.mint").click();
    page.no_control("mint.submit");
    page.control("mint.name").fill("pipeline");
    page.control("mint.life").choose("7 days");
    // Two are taken already; without any there is nothing to mint.
    page.control_near("workspaces:read", "mint.scope").click();
    page.control_near("talk to agents", "mint.scope").click();
    page.no_control("mint.submit");
    page.control_near("secrets:write", "mint.scope").click();
    page.control_near("secrets:read", "mint.scope").click();
    page.control("mint.unattended").click();
    page.control("mint.submit").click();
    page.see("is shown once");
    let token = page.control("once.value").value();
    let token = token.as_str().expect("a token").to_owned();
    page.control("once.value").click();
    page.control("once.copy").click();
    page.see("Copied");
    assert_eq!(page.clipboard(), token);
    page.control("mint.done").click();
    page.see_in("tbody tr", "unattended");
    page.see_in(LAST_USED, "never");
    keeps_nothing_of(page, &token);
    page.reload();
    page.see("pipeline");
    keeps_nothing_of(page, &token);
    let minted = named(fleet, "/org/tokens", "pipeline");
    assert_eq!(minted.len(), 1, "{minted:?}");
    assert_eq!(minted[0]["unattended"], true);
    assert_eq!(minted[0]["scopes"], json!(["secrets:read", "secrets:write"]));
    assert_eq!(fleet.audit("event=token.mint&outcome=done").len(), 1);
    // It works without a human, as it was minted to, and says when.
    let holder = Actor::bearer(&token);
    let path = format!("/workspaces/{id}/secrets");
    let body = json!({"key": "PIPELINE", "value": "a value"});
    want(200, fleet.ask_as(&holder, Method::POST, &path, Some(body.clone())));
    fleet.until("its last use is known", || {
        (!named(fleet, "/org/tokens", "pipeline")[0]["last_used_at"].is_null()).then_some(())
    });
    page.reload();
    page.see_in(LAST_USED, "ago");
    page.control_near("pipeline", "tokens.revoke").click();
    page.control("confirm.cancel").click();
    want(200, fleet.ask_as(&holder, Method::GET, &path, None));
    page.control_near("pipeline", "tokens.revoke").click();
    page.see("stop working at once");
    page.control("confirm.do").click();
    page.see("pipeline is revoked.");
    want(401, fleet.ask_as(&holder, Method::POST, &path, Some(body)));
    assert_eq!(fleet.audit("event=token.revoke&outcome=done").len(), 1);
    page.control("tokens.ended").click();
    page.see("revoked");
    page.control("tokens.ended").click();
    page.not_see("pipeline");
}

pub fn a_token_of_a_workspace_is_its_agent(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    let other = fleet.create("reader", echo(), None);
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}"));
    page.control("workspace.tab-tokens").click();
    page.see("No live tokens");
    page.no_control("tokens.enrol");
    page.control("tokens.mint").click();
    page.see("Whoever has it is writer's agent");
    page.control("mint.name").fill("by hand");
    page.control("mint.life").choose("1 day");
    page.control("mint.submit").click();
    let token = page.control("once.value").value();
    let token = token.as_str().expect("a token").to_owned();
    page.control("dialog.close").click();
    keeps_nothing_of(page, &token);
    let agent = Actor::bearer(&token);
    want(200, fleet.ask_as(&agent, Method::GET, &format!("/workspaces/{id}/secrets"), None));
    want(404, fleet.ask_as(&agent, Method::GET, &format!("/workspaces/{other}/secrets"), None));
    page.control_near("by hand", "tokens.revoke").click();
    page.control("confirm.do").click();
    page.see("by hand is revoked.");
    want(401, fleet.ask_as(&agent, Method::GET, &format!("/workspaces/{id}/secrets"), None));
}

pub fn an_enrolment_code_admits_an_agent_once(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("elsewhere", json!("external"), None);
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}/tokens"));
    page.control("tokens.enrol").click();
    page.control("enrol.close").click();
    page.not_see("A code that works once");
    page.control("tokens.enrol").click();
    page.control("enrol.issue").click();
    page.see("is shown once");
    let code = page.control("once.value").value();
    let code = code.as_str().expect("a code").to_owned();
    page.control("enrol.close").click();
    keeps_nothing_of(page, &code);
    assert_eq!(fleet.audit("event=enrolment.issue&outcome=done").len(), 1);
    let register = json!({"id": id, "code": code});
    let nobody = Actor::nobody();
    let enrolled = want(200, fleet.ask_as(&nobody, Method::POST, "/registry/register", Some(register.clone())));
    let agent = Actor::bearer(&text(&enrolled, "auth_token"));
    want(200, fleet.ask_as(&agent, Method::GET, &format!("/workspaces/{id}/secrets"), None));
    let again = fleet.ask_as(&nobody, Method::POST, "/registry/register", Some(register)).expect("an answer");
    assert_eq!(again.0, 401, "{}", again.1);
}
