//! Coming in and leaving.

use crate::{
    kit::{PASSWORD, fleet::OWNER},
    scene::Scene,
};

pub fn a_claim_link_makes_an_owner(scene: &mut Scene) {
    let page = &scene.page;
    page.open(&scene.claim_path());
    page.see("Claim this organisation");
    page.is_at("/claim");
    page.control("claim.email").fill(OWNER);
    page.control("claim.password").fill(PASSWORD);
    page.control("claim.again").fill("something else");
    page.control("claim.submit").click();
    page.see("The two passwords differ.");
    page.control("claim.again").fill(PASSWORD);
    page.control("claim.submit").click();
    page.is_at("/console");
    page.control("nav.map");
    page.see(OWNER);
}

pub fn a_claim_link_without_its_token_says_so(scene: &mut Scene) {
    let page = &scene.page;
    page.open("/claim");
    page.see("This link is not complete");
    page.control("door.sign-in").click();
    page.is_at("/console");
    page.see("Sign in");
}

pub fn a_wrong_password_is_said_and_the_right_one_opens(scene: &mut Scene) {
    let page = &scene.page;
    page.open("/console");
    page.control("sign-in.email").fill(OWNER);
    page.control("sign-in.password").fill("not the password of anybody");
    page.control("sign-in.submit").click();
    page.see("LOGIN_FAILED");
    assert_eq!(page.control("sign-in.password").value(), "");
    assert_eq!(page.focused().as_deref(), Some("sign-in.password"));
    // The rest by the keyboard alone.
    page.type_keys(PASSWORD);
    page.press("Enter");
    page.control("nav.map");
}

pub fn signing_out_closes_the_door(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    page.control("nav.sign-out").click();
    page.control("sign-in.email");
    page.reload();
    page.control("sign-in.email");
    page.no_control("nav.map");
}
