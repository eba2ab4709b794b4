//! The inbox, and one person who decides.

use reqwest::Method;
use serde_json::json;

use super::asking::{
    CANARY, KEY, approval, ask, colleague, confirm, decide, hold, look, open, root_agent, send, session, shows,
};
use super::asking::{stands, titled, workspace};
use crate::{
    kit::{
        Actor, PASSWORD,
        fleet::{OWNER, list, text},
        want,
    },
    page::Page,
    scene::Scene,
};

pub fn what_waits_is_counted_live_in_the_menu_and_in_the_title(scene: &mut Scene) {
    let page = &scene.page;
    scene.sign_in();
    titled(page, "Organisation · Portcullis");
    let writer = workspace(scene, "writer");
    let first = ask(scene, &writer, CANARY);
    titled(page, "(1) Organisation · Portcullis");
    page.see_in("[data-control='nav.approvals']", "1 waiting");
    page.control("nav.approvals").click();
    titled(page, "(1) Approvals · Portcullis");
    page.see_in("[data-control='approvals.tab-inbox']", "1");
    let second = ask(scene, &writer, "another");
    titled(page, "(2) Approvals · Portcullis");
    page.see_in("[data-control='nav.approvals']", "2 waiting");
    assert_eq!(page.controls("approvals.row"), 2);
    want(200, Some(decide(scene, scene.fleet().owner(), &first, "denied")));
    titled(page, "(1) Approvals · Portcullis");
    want(200, Some(decide(scene, scene.fleet().owner(), &second, "denied")));
    titled(page, "Approvals · Portcullis");
    page.see("Nothing waits for you");
    assert_eq!(page.text("[data-control='nav.approvals']"), "Approvals");
}

pub fn a_yes_needs_the_password_again_and_is_done_once(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    scene.sign_in();
    page.control("nav.approvals").click();
    page.control("approvals.row").click();
    page.is_at(&format!("/console/approvals/{id}"));
    for words in
        ["wants to set a secret", KEY, "differs from current", "16 to 255 bytes", "1 approver (or a higher role)"]
    {
        page.see(words);
    }
    page.control("approval.approve").click();
    page.see("Confirm that it is you");
    page.has_no_barrier();
    page.control("step-up.cancel").click();
    page.see("STEP_UP_REQUIRED");
    stands(scene, &id, "pending", 0);

    page.control("approval.approve").click();
    page.control("step-up.password").fill("not the password of anybody");
    page.control("step-up.submit").click();
    page.see("LOGIN_FAILED");
    assert_eq!(page.focused().as_deref(), Some("step-up.password"));
    stands(scene, &id, "pending", 0);
    confirm(page);
    page.see("Approved, and done.");
    page.control("toast.close").click();
    page.not_see("Approved, and done.");
    shows(page, &id, "applied");
    page.see(&format!("Decided by {OWNER}"));
    stands(scene, &id, "applied", 1);
    assert_eq!(scene.fleet().audit(&format!("event=approval.decide&approval_id={id}")).len(), 1);
    page.no_control("approval.approve");

    // A second decision within five minutes asks for nothing more.
    let next = ask(scene, &writer, "another");
    open(page, &next);
    page.control("approval.approve").click();
    shows(page, &next, "applied");
    stands(scene, &next, "applied", 2);

    page.control("approval.workspace").click();
    page.is_at(&format!("/console/workspaces/{writer}"));
    page.back();
    page.control("approval.audit").click();
    page.is_at(&format!("/console/audit?approval_id={next}"));
    page.see("secret.set.held");
    page.see("approval.decide");
    page.control("audit.request").click();
    shows(page, &next, "applied");
}

pub fn a_no_keeps_its_note_and_changes_nothing(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    scene.sign_in();
    open(page, &id);
    page.control("approval.note").fill("not before the audit");
    page.control("approval.deny").click();
    confirm(page);
    page.see("Denied. Nothing has changed.");
    shows(page, &id, "denied");
    page.see("“not before the audit”");
    stands(scene, &id, "denied", 0);
    assert_eq!(approval(scene, &id)["votes"][0]["note"], "not before the audit");
    // Denied stands for the same request as well.
    let body = json!({"key": KEY, "value": CANARY});
    let path = format!("/workspaces/{writer}/secrets");
    assert_eq!(send(scene, &root_agent(), Method::POST, &path, Some(body)).1["code"], "APPROVAL_DENIED");
}

pub fn keys_go_through_the_list_and_decide(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let ids: Vec<String> = ["one", "two", "three"].iter().map(|value| ask(scene, &writer, value)).collect();
    let at = |n: usize| format!("/console/approvals/{}", ids[n]);
    scene.sign_in();
    page.control("nav.approvals").click();
    page.until(|| (page.controls("approvals.row") == 3).then_some(()), || "three do not wait".to_owned());
    for (key, place) in [("j", 0), ("j", 1), ("k", 0), ("Down", 1), ("Down", 2), ("j", 2), ("Up", 1)] {
        page.press(key);
        page.is_at(&at(place));
        let row = format!("a.inbox-row[href='{}']", at(place));
        page.until(|| page.is_focused(&row).then_some(()), || format!("after {key}: {:?}", page.focused()));
    }
    page.text(&format!("[data-approval='{}']", ids[1]));
    // What is typed into a note decides nothing.
    page.control("approval.note").fill("bad idea");
    stands(scene, &ids[1], "pending", 0);
    page.press("Shift+Tab");
    page.press("d");
    confirm(page);
    shows(page, &ids[1], "denied");
    page.until(|| (page.controls("approvals.row") == 2).then_some(()), || "it still waits".to_owned());
    page.press("j");
    page.is_at(&at(0));
    page.text(&format!("[data-approval='{}']", ids[0]));
    page.press("a");
    shows(page, &ids[0], "applied");
    stands(scene, &ids[0], "applied", 1);
    stands(scene, &ids[1], "denied", 1);
    assert_eq!(approval(scene, &ids[2])["status"], "pending");
}

/// Whoever may not decide is told why, and the server says the same.
#[track_caller]
fn only_looks_on(scene: &Scene, page: &Page, email: &str, why: &str, code: &str, id: &str) {
    open(page, id);
    page.see(why);
    page.no_control("approval.approve");
    page.no_control("approval.deny");
    page.no_control("approval.note");
    page.press("a");
    page.press("d");
    page.not_see("Confirm that it is you");
    let actor = session(scene, email);
    for decision in ["approved", "denied"] {
        let (status, answer) = decide(scene, &actor, id, decision);
        assert_eq!((status, &answer["code"]), (403, &json!(code)), "{email}: {answer}");
    }
    stands(scene, id, "pending", 0);
}

pub fn members_and_auditors_see_what_waits_and_cannot_decide(scene: &mut Scene) {
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    for role in ["member", "auditor"] {
        let email = format!("{role}@example.org");
        let page = colleague(scene, &email, role, &[]);
        let why = format!("Your role ({role}) may not do this; approver or owner may.");
        only_looks_on(scene, &page, &email, &why, "ROLE_REQUIRED", &id);
    }
}

pub fn who_asked_waits_for_somebody_else(scene: &mut Scene) {
    hold(scene, "@hold(\"role:approver=1\")");
    let writer = workspace(scene, "writer");
    let body = json!({"key": KEY, "value": CANARY});
    let held = scene.fleet().post(&format!("/workspaces/{writer}/secrets"), Some(body), 202);
    let id = text(&held, "approval_id");
    scene.sign_in();
    let why = "You asked for this; somebody else decides.";
    only_looks_on(scene, &scene.page, OWNER, why, "SELF_APPROVAL_BLOCKED", &id);
    scene.page.no_control("approval.break-glass");
    let other = colleague(scene, "approver@example.org", "approver", &[]);
    open(&other, &id);
    other.control("approval.approve").click();
    confirm(&other);
    shows(&other, &id, "applied");
    // Whoever asked sees it where they are.
    shows(&scene.page, &id, "applied");
    stands(scene, &id, "applied", 1);
}

pub fn a_token_that_was_agreed_to_is_shown_once(scene: &mut Scene) {
    let page = &scene.page;
    let ask = |name: &str| {
        let held = send(scene, &root_agent(), Method::POST, "/org/tokens", Some(json!({"name": name})));
        text(&want(202, Some(held)), "approval_id")
    };
    let id = ask("for deployments");
    scene.sign_in();
    open(page, &id);
    page.control("approval.approve").click();
    confirm(page);
    page.see("The token is minted");
    page.control("take-token.take").click();
    page.see("This token is shown once.");
    page.has_no_barrier();
    let token = page.control("once.value").value().as_str().expect("a token").to_owned();
    page.control("once.copy").click();
    page.see("Copied");
    assert_eq!(page.clipboard(), token);
    assert_eq!(send(scene, &Actor::bearer(&token), Method::GET, "/workspaces", None).0, 200);
    page.control("take-token.close").click();
    shows(page, &id, "applied");
    assert!(!super::asking::source(page).contains(&token), "the token is still in the page");
    assert_eq!(scene.fleet().audit("event=claim.redeem").len(), 1);

    // Nobody takes this one.
    let left = ask("for nobody");
    open(page, &left);
    page.control("approval.approve").click();
    page.see("The token is minted");
    page.control("take-token.close").click();
    page.not_see("The token is minted");
    shows(page, &left, "applied");
    assert_eq!(scene.fleet().audit("event=claim.redeem").len(), 1);
}

pub fn the_history_is_filtered_and_goes_back_to_the_first_request(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let owner = scene.fleet().owner();
    let first = ask(scene, &writer, "the very first");
    want(200, Some(decide(scene, owner, &first, "approved")));
    for n in 0..54 {
        let id = ask(scene, &writer, &format!("value {n}"));
        want(200, Some(decide(scene, owner, &id, "denied")));
    }
    let waits = ask(scene, &writer, CANARY);
    scene.sign_in();
    page.control("nav.approvals").click();
    page.control("approvals.tab-history").click();
    page.is_at("/console/approvals?show=history");
    let rows = |count: usize| {
        let found = || page.controls("approvals.history-row");
        page.until(|| (found() == count).then_some(()), || format!("{} rows, not {count}", found()));
    };
    rows(50);
    page.control("approvals.older").click();
    rows(56);
    page.no_control("approvals.older");
    // A new one on top pushes nothing out.
    ask(scene, &writer, "while it is looked at");
    rows(57);
    for (state, count) in [("applied", 1), ("waiting", 2), ("expired", 0), ("denied", 50)] {
        page.control("approvals.state").choose(state);
        rows(count);
    }
    page.control("approvals.state").choose("applied");
    page.control("approvals.history-row").click();
    shows(page, &first, "applied");
    page.control("approvals.tab-inbox").click();
    page.is_at("/console/approvals");
    assert_eq!(list(&scene.fleet().get("/approvals/pending")).len(), 2);
    assert_eq!(approval(scene, &waits)["status"], "pending");
    page.open("/console/approvals/not-a-request");
    page.see("This request is not there");
}

/// Keys pressed so far, counted as a finger counts.
struct Fingers<'a>(&'a Page, std::cell::Cell<usize>);

impl Fingers<'_> {
    #[track_caller]
    fn press(&self, chords: &str) {
        self.1.set(self.1.get() + chords.split(' ').count());
        self.0.press(chords);
    }

    #[track_caller]
    fn write(&self, text: &str) {
        self.1.set(self.1.get() + text.chars().count());
        self.0.type_keys(text);
    }

    /// Goes back until this has the focus.
    #[track_caller]
    fn reach(&self, name: &str, chord: &str) {
        self.0.control(name);
        for _ in 0..12 {
            if self.0.focused().as_deref() == Some(name) {
                return;
            }
            self.press(chord);
        }
        panic!("{name} is more than a dozen keys away: {:?}", self.0.focused());
    }
}

pub fn a_phone_with_keys_approves_without_seeing_the_value(scene: &mut Scene) {
    let page = &scene.page;
    let writer = workspace(scene, "writer");
    let id = ask(scene, &writer, CANARY);
    page.emulate(crate::page::Look { width: 390, height: 844, dark: false, reduced_motion: true });
    let blind = || {
        let source = super::asking::source(page) + &page.words();
        assert!(!source.contains(CANARY), "the value is in the page");
    };
    let begun = std::time::Instant::now();
    let fingers = Fingers(page, std::cell::Cell::new(0));
    page.open("/console");
    fingers.reach("sign-in.email", "Tab");
    fingers.write(OWNER);
    fingers.press("Tab");
    fingers.write(PASSWORD);
    fingers.press("Enter");
    page.control("bottom.approvals");
    titled(page, "(1) Organisation · Portcullis");
    blind();
    fingers.reach("bottom.approvals", "Shift+Tab");
    fingers.press("Enter");
    page.is_at("/console/approvals");
    page.control("approvals.row");
    blind();
    fingers.press("j");
    shows(page, &id, "pending");
    page.see("wants to set a secret");
    let wide = "return document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(look(page, wide, json!([])), true, "the page is wider than the phone");
    blind();
    fingers.press("a");
    page.see("Confirm that it is you");
    fingers.write(PASSWORD);
    blind();
    fingers.press("Enter");
    shows(page, &id, "applied");
    let took = begun.elapsed();
    blind();
    stands(scene, &id, "applied", 1);
    let typed = OWNER.len() + 2 * PASSWORD.len();
    let presses = fingers.1.get() - typed;
    assert!(presses < 20, "it took {presses} keys");
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("approved by keyboard in {:.1} s: {presses} keys, and {typed} letters\n", took.as_secs_f32()),
    );
    // And back to the list, by the way that only a phone needs.
    page.control("approvals.back").click();
    page.is_at("/console/approvals");
    page.see("Nothing waits for you");
}
