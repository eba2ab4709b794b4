//! Requests that end while somebody looks at them: the page says how, and no vote is shown as counted that was not.

use reqwest::Method;
use serde_json::json;

use super::asking::{
    CANARY, KEY, ask, colleague, confirm, open, restart_with, root_agent, send, shows, stands, workspace,
};
use crate::{kit::want, page::Page, scene::Scene};

/// Presses Approve and stays in front of the question for the password.
#[track_caller]
fn about_to_approve(page: &Page, id: &str) {
    open(page, id);
    page.control("approval.approve").click();
    page.see("Confirm that it is you");
}

/// The vote came too late, and the page does not say otherwise.
#[track_caller]
fn told_too_late(page: &Page, id: &str, status: &str) {
    shows(page, id, status);
    page.see("Your vote was not counted; this is how it stands now.");
    assert!(!page.words().contains("Approved, and done."), "{}", page.words());
    page.no_control("approval.approve");
    page.no_control("approval.deny");
}

pub fn one_that_expires_says_so_and_cannot_be_decided(scene: &mut Scene) {
    restart_with(scene, "approval_expires_s = 20\n");
    let page = &scene.page;
    scene.sign_in();
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    open(page, &id);
    page.see("Expires in 0:");
    page.see("It expired before anybody said yes.");
    shows(page, &id, "expired");
    page.no_control("approval.approve");
    page.see_in("[data-control='nav.approvals']", "Approvals");
    stands(scene, &id, "expired", 0);
    assert_eq!(scene.fleet().audit(&format!("event=approval.expired&approval_id={id}")).len(), 1);
}

pub fn one_whose_secret_changed_meanwhile_is_voided_by_the_vote(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    about_to_approve(page, &id);
    scene.fleet().set(&writer, KEY, "by a human");
    confirm(page);
    told_too_late(page, &id, "voided");
    page.see("What was asked is no longer what would happen");
    stands(scene, &id, "voided", 1);
}

pub fn one_that_is_taken_back_goes_away_under_the_hand(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    let writer = workspace(scene, "writer");
    let withdraw = |id: &str| {
        let path = format!("/approvals/{id}/withdraw");
        want(200, Some(send(scene, &root_agent(), Method::POST, &path, None)));
    };
    let id = ask(scene, &writer, CANARY);
    open(page, &id);
    page.control("approval.approve");
    withdraw(&id);
    shows(page, &id, "withdrawn");
    page.see("Whoever asked has taken it back. Nothing has changed.");
    page.no_control("approval.approve");

    let id = ask(scene, &writer, CANARY);
    about_to_approve(page, &id);
    withdraw(&id);
    confirm(page);
    told_too_late(page, &id, "withdrawn");
    stands(scene, &id, "withdrawn", 0);
}

pub fn of_two_who_decide_at_once_the_second_is_told(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    let other = colleague(scene, "approver@example.org", "approver", &[]);
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    about_to_approve(page, &id);
    open(&other, &id);
    other.control("approval.deny").click();
    confirm(&other);
    shows(&other, &id, "denied");
    confirm(page);
    told_too_late(page, &id, "denied");
    page.see("Decided by approver@example.org");
    stands(scene, &id, "denied", 0);
    let votes = scene.fleet().get(&format!("/approvals/{id}"))["votes"].clone();
    assert_eq!(votes.as_array().map(Vec::len), Some(1), "{votes}");
    assert_eq!(votes[0]["decision"], json!("denied"));
}
