//! What is asked in between: the password again, and who it is after a session ended.

use reqwest::Method;

use super::asking::{CANARY, approval, ask, confirm, open, send, shows, stands, workspace};
use crate::{
    kit::{
        PASSWORD,
        fleet::{OWNER, list, text},
    },
    scene::Scene,
};

/// Ends every session of the owner but the one that asks.
#[track_caller]
fn end_sessions(scene: &Scene) {
    for session in list(&scene.fleet().get("/auth/sessions")).iter().filter(|session| session["current"] == false) {
        let path = format!("/auth/sessions/{}", text(session, "id"));
        assert_eq!(send(scene, scene.fleet().owner(), Method::DELETE, &path, None).0, 200);
    }
}

pub fn a_session_that_ended_is_opened_again_over_what_was_typed(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    scene.sign_in();
    open(page, &id);
    page.control("approval.note").fill("typed before it ended");
    end_sessions(scene);
    page.see("Your session has ended");
    assert_eq!(page.control("again.email").click().value(), OWNER);
    page.control("again.password").fill("not the password of anybody");
    page.control("again.submit").click();
    page.see("LOGIN_FAILED");
    page.control("again.password").fill(PASSWORD);
    page.control("again.submit").click();
    page.not_see("Your session has ended");
    assert_eq!(page.control("approval.note").value(), "typed before it ended");
    page.control("approval.deny").click();
    confirm(page);
    shows(page, &id, "denied");
    stands(scene, &id, "denied", 0);
    assert_eq!(approval(scene, &id)["votes"][0]["note"], "typed before it ended");

    end_sessions(scene);
    page.see("Your session has ended");
    page.control("dialog.close").click();
    page.control("sign-in.email");
    page.no_control("nav.map");
}

pub fn one_session_that_ended_under_two_questions_asks_once(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    scene.sign_in();
    open(page, &id);
    page.control("approval.approve").click();
    page.see("Confirm that it is you");
    end_sessions(scene);
    page.see("Your session has ended");
    page.control("again.password").fill(PASSWORD);
    page.control("again.submit").click();
    page.not_see("Your session has ended");
    // Nothing was decided meanwhile, and nothing is lost: it can be decided now.
    stands(scene, &id, "pending", 0);
    confirm(page);
    shows(page, &id, "applied");
    stands(scene, &id, "applied", 1);
}

pub fn signing_in_again_in_one_window_opens_the_others_with_what_was_typed(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.see("live");
    let first = page.window();
    let second = page.new_window();
    page.open("/console/secrets");
    page.control("secrets.first").click();
    page.control("secret-form.key").fill("API_KEY");
    page.control("secret-form.value").fill("typed and not saved");
    end_sessions(scene);
    page.see("Your session has ended");
    page.look_at(&first);
    page.see("Your session has ended");
    page.control("again.password").fill(PASSWORD);
    page.control("again.submit").click();
    page.not_see("Your session has ended");
    page.look_at(&second);
    page.not_see("Your session has ended");
    assert_eq!(page.control("secret-form.value").value(), "typed and not saved");
    page.control("secret-form.save").click();
    page.see("API_KEY is saved.");
}
