//! Tokens: shown once, used, ended.

use reqwest::Method;
use serde_json::json;

use crate::{
    kit::{
        Actor,
        fleet::{list, text},
        want,
    },
    scene::Scene,
};

/// A week, in seconds.
const WEEK_S: u32 = 604_800;

pub fn a_new_token_is_shown_once_and_works_until_it_is_revoked(scene: &mut Scene) {
    let page = &scene.page;
    let fleet = scene.fleet();
    let other = |name: &str| fleet.post("/org/tokens", Some(json!({"name": name, "expires_in_s": WEEK_S})), 200);
    scene.sign_in();
    page.control("nav.tokens").click();
    other("made before");
    page.control("tokens.mint").click();
    page.control("mint.name").fill("a pipeline");
    page.control_near("talk to agents", "mint.scope").click();
    page.control("mint.life").choose("7 days");
    page.control("mint.submit").click();
    let shown = page.control("once.value").value();
    page.control("once.copy").click();
    page.see("Copied");
    assert_eq!(shown, page.clipboard());
    other("made after");
    let ends = |name: &str| {
        let tokens = list(&fleet.get("/org/tokens")["tokens"]);
        text(tokens.iter().find(|token| token["name"] == name).expect("a token"), "expires_at")
    };
    assert!((ends("made before")..=ends("made after")).contains(&ends("a pipeline")), "another life was chosen");
    let token = Actor::bearer(shown.as_str().expect("a token"));
    let asks = |status| want(status, fleet.ask_as(&token, Method::GET, "/workspaces", None));
    asks(200);
    page.control("mint.done").click();
    page.no_control("once.value");
    page.control_near("a pipeline", "tokens.revoke").click();
    page.control("confirm.do").click();
    page.no_control("confirm.do");
    page.not_see("a pipeline");
    asks(401);
}
