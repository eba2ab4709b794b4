//! The people: invited by a link, changed, disabled, let in again.

use serde_json::{Value, json};

use crate::{
    kit::{PASSWORD, fleet::text, operator, want},
    page::Page,
    scene::{Scene, sign_in},
};

const NEW: &str = "ann@example.org";
const OTHER: &str = "another horse battery staple";

/// The password again, as the dialog asks for it.
fn confirm(page: &Page) {
    page.control("step-up.password").fill(PASSWORD);
    page.control("step-up.submit").click();
}

/// What the server says of an operator.
fn known(scene: &Scene, email: &str) -> Value {
    let all = scene.fleet().get("/operators");
    let found = all.as_array().expect("a list").iter().find(|one| one["email"] == email);
    found.unwrap_or_else(|| panic!("no {email} in {all}")).clone()
}

pub fn one_is_invited_chooses_a_password_and_is_in(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.open("/console/operators");
    page.control("operators.invite").click();
    page.control("invite-form.cancel").click();
    page.control("operators.invite").click();
    page.control("invite-form.email").fill(NEW);
    page.control("invite-form.role").choose("approver: decides requests, mints tokens, the root's secrets");
    page.control("invite-form.groups").fill("security, qa");
    page.control("invite-form.submit").click();
    confirm(page);
    page.see(&format!("Invitation for {NEW}"));
    let link = text(&json!({"link": page.control("once.value").value()}), "link");
    page.control("once.copy").click();
    page.see("Copied");
    assert_eq!(page.clipboard(), link);
    page.control("invite-form.done").click();
    page.see_in("tbody", "invited");
    let one = known(scene, NEW);
    assert_eq!(
        (&one["role"], &one["groups"], &one["invited"]),
        (&json!("approver"), &json!(["security", "qa"]), &json!(true))
    );

    let theirs = scene.another_page();
    let path = link.split_once("/invite#").map(|(_, token)| format!("/invite#{token}")).expect("a link");
    theirs.open(&path);
    theirs.see("You are invited");
    theirs.is_at("/invite");
    theirs.control("invite.password").fill(OTHER);
    theirs.control("invite.again").fill("not the same at all");
    theirs.control("invite.submit").click();
    theirs.see("The two passwords differ.");
    theirs.control("invite.again").fill(OTHER);
    theirs.control("invite.submit").click();
    theirs.is_at("/console");
    theirs.see(NEW);
    // The list of the one who invited says so, without being asked.
    page.not_see("invited");
    assert_eq!(known(scene, NEW)["invited"], false);
    // The link is used up.
    let again = scene.another_page();
    again.open(&path);
    again.control("invite.password").fill(OTHER);
    again.control("invite.again").fill(OTHER);
    again.control("invite.submit").click();
    again.see("CREDENTIAL_REVOKED");
}

pub fn a_role_is_changed_an_operator_disabled_and_let_in_again(scene: &mut Scene) {
    let page = &scene.page;
    assert_eq!(operator(&scene.fleet().db, NEW, "member").code, Some(0));
    let theirs = scene.another_page();
    sign_in(&theirs, NEW);
    scene.sign_in();
    page.open("/console/operators");
    page.control_near(NEW, "operators.edit").click();
    page.control("operator-form.cancel").click();
    page.control_near(NEW, "operators.edit").click();
    page.control("operator-form.role").choose("auditor: reads, and changes nothing");
    page.control("operator-form.groups").fill("reviewers");
    page.control("operator-form.submit").click();
    confirm(page);
    page.see("Saved.");
    let one = known(scene, NEW);
    assert_eq!((&one["role"], &one["groups"]), (&json!("auditor"), &json!(["reviewers"])));

    page.control_near(NEW, "operators.disable").click();
    page.see(&format!("Disable {NEW}?"));
    page.control("confirm.do").click();
    page.see(&format!("{NEW} is disabled."));
    assert_eq!(known(scene, NEW)["disabled"], true);
    // Their page says at once that it is over.
    theirs.see("Your session has ended");
    page.control_near(NEW, "operators.enable").click();
    page.control("confirm.do").click();
    page.see(&format!("{NEW} can sign in again."));
    assert_eq!(known(scene, NEW)["disabled"], false);
}

pub fn a_forgotten_password_is_replaced_by_a_new_link(scene: &mut Scene) {
    let page = &scene.page;
    assert_eq!(operator(&scene.fleet().db, NEW, "member").code, Some(0));
    scene.sign_in();
    page.open("/console/operators");
    page.control_near(NEW, "operators.link").click();
    page.control("new-link.close").click();
    page.control_near(NEW, "operators.link").click();
    page.control("new-link.make").click();
    confirm(page);
    let link = text(&json!({"link": page.control("once.value").value()}), "link");
    page.control("new-link.close").click();
    let theirs = scene.another_page();
    theirs.open(&format!("/invite#{}", link.split_once('#').expect("a token").1));
    theirs.control("invite.password").fill(OTHER);
    theirs.control("invite.again").fill(OTHER);
    theirs.control("invite.submit").click();
    theirs.is_at("/console");
    let old = json!({"email": NEW, "password": PASSWORD});
    let refused =
        want(401, scene.fleet().ask_as(&crate::kit::Actor::nobody(), reqwest::Method::POST, "/auth/login", Some(old)));
    assert_eq!(text(&refused, "code"), "LOGIN_FAILED");
}

pub fn who_is_no_owner_reads_the_list_and_changes_nothing(scene: &mut Scene) {
    assert_eq!(operator(&scene.fleet().db, NEW, "approver").code, Some(0));
    let page = &scene.page;
    sign_in(page, NEW);
    page.open("/console/operators");
    page.see_in("tbody", NEW);
    for control in ["operators.invite", "operators.edit", "operators.link", "operators.disable"] {
        page.no_control(control);
    }
    page.see("Your role (approver) may not do this; owner may.");
}
