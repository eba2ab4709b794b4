//! One's own account: password, sessions, passkeys, colours; and the server's data key.

use reqwest::Method;
use serde_json::json;

use crate::{
    kit::{Actor, PASSWORD, fleet::OWNER, want},
    page::Page,
    scene::{Scene, sign_in},
};

const OTHER: &str = "another horse battery staple";

pub fn a_changed_password_is_the_only_one_and_ends_other_sessions(scene: &mut Scene) {
    let page = &scene.page;
    let elsewhere = scene.another_page();
    sign_in(&elsewhere, OWNER);
    scene.sign_in();
    page.open("/console/settings");
    page.control("settings.password").click();
    page.control("password.cancel").click();
    page.control("settings.password").click();
    page.control("password.now").fill(PASSWORD);
    page.control("password.new").fill(OTHER);
    page.control("password.again").fill("something else");
    page.see("The two differ.");
    page.control("password.again").fill(OTHER);
    page.control("password.submit").click();
    page.see("Your password is changed.");
    elsewhere.see("Your session has ended");
    let login = |password: &str| json!({"email": OWNER, "password": password});
    let ask =
        |password: &str| scene.fleet().ask_as(&Actor::nobody(), Method::POST, "/auth/login", Some(login(password)));
    want(401, ask(PASSWORD));
    want(200, ask(OTHER));
}

pub fn a_session_elsewhere_is_seen_and_ended(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.open("/console/settings");
    page.see("this one");
    let elsewhere = scene.another_page();
    sign_in(&elsewhere, OWNER);
    // It appears while one looks; the fleet's own requests are a session as well.
    page.see_in("[aria-label=Sessions]", "Chrome on Linux");
    page.until(|| (page.controls("sessions.revoke") >= 2).then_some(()), || "one other session".to_owned());
    page.control_in(
        "[aria-label=Sessions] li:first-child, [aria-label=Sessions] li:has(+ li .badge.good)",
        "sessions.revoke",
    )
    .click();
    page.see("The session has ended.");
    elsewhere.see("Your session has ended");
}

/// Adds the browser's passkey to whoever is signed in, by the password once more.
fn adds_a_passkey(page: &Page) {
    page.open("/console/settings");
    page.control("passkeys.name").fill("laptop");
    page.control("passkeys.add").click();
    page.control("step-up.password").fill(PASSWORD);
    page.control("step-up.submit").click();
    page.see("The passkey is added.");
}

pub fn a_passkey_opens_the_door_and_confirms_a_decision(scene: &mut Scene) {
    let page = &scene.page;
    page.passkey();
    scene.sign_in();
    adds_a_passkey(page);
    page.see_in("[aria-label=Passkeys]", "laptop");
    assert_eq!(scene.fleet().audit("event=passkey.add&outcome=done").len(), 1);

    page.control("nav.sign-out").click();
    page.control("sign-in.passkey").click();
    page.control("nav.map");
    page.see(OWNER);
    // Signed in by it, but a decision wants it once more.
    page.open("/console/settings");
    page.control("settings.rotate").click();
    page.control("step-up.cancel").click();
    page.control("confirm.cancel").click();
    page.control("settings.rotate").click();
    page.control("step-up.passkey").click();
    page.control("confirm.do").click();
    page.see("A new data key seals from now on.");
    assert_eq!(scene.fleet().audit("event=key.rotate&outcome=done").len(), 1);

    page.control("passkeys.remove").click();
    page.control("passkeys.keep").click();
    page.control("passkeys.remove").click();
    page.control("passkeys.remove-now").click();
    page.see("The passkey is removed.");
    page.see_in("[aria-label=Passkeys]", "None yet.");
    page.control("nav.sign-out").click();
    page.control("sign-in.passkey").click();
    page.see("This passkey is not known here");
}

pub fn a_session_that_ended_is_opened_again_with_a_passkey(scene: &mut Scene) {
    let page = &scene.page;
    page.passkey();
    scene.sign_in();
    adds_a_passkey(page);
    let sessions = scene.fleet().get("/auth/sessions");
    let theirs = sessions
        .as_array()
        .expect("a list")
        .iter()
        .find(|one| one["current"] == false && one["device"] == "Chrome on Linux");
    let id = theirs.expect("the browser's session")["id"].as_str().expect("an id").to_owned();
    want(200, scene.fleet().ask_as(scene.fleet().owner(), Method::DELETE, &format!("/auth/sessions/{id}"), None));
    page.see("Your session has ended");
    page.control("again.passkey").click();
    page.not_see("Your session has ended");
    page.see_in("[aria-label=Passkeys]", "laptop");
}

pub fn colours_follow_the_choice_also_after_a_reload(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.open("/console/settings");
    for (choice, theme) in [("Dark", "dark"), ("Light", "light")] {
        page.control("settings.theme").choose(choice);
        page.reload();
        page.see("This browser");
        page.text(&format!("html[data-theme={theme}]"));
        assert_eq!(page.control("settings.theme").value(), theme);
    }
    page.control("settings.theme").choose("As the system");
    page.reload();
    page.see("This browser");
    page.text("html:not([data-theme])");
    page.control("settings.openapi").click();
}
