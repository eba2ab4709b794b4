//! What scenarios of decisions need: requests that wait, rules that hold them, and people who decide, each in a browser of
//! their own.

use std::{fs, io::Write, rc::Rc};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    kit::{ADMIN, Actor, PASSWORD, fleet::text, want},
    page::{Page, done},
    scene::{Scene, sign_in},
};

/// The key of every secret that is asked for.
pub const KEY: &str = "API_KEY";
/// The value of every secret that is asked for; no page ever shows it.
pub const CANARY: &str = "canary-value-that-no-page-shows";

/// The root agent, with the admin token.
pub fn root_agent() -> Actor {
    Actor::bearer(ADMIN)
}

/// Status and body of what somebody asks.
#[track_caller]
pub fn send(scene: &Scene, actor: &Actor, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    scene.fleet().ask_as(actor, method, path, body).expect("the server answers")
}

/// A workspace that no agent of this machine works in.
#[track_caller]
pub fn workspace(scene: &Scene, name: &str) -> String {
    scene.fleet().create(name, json!("external"), None)
}

/// The root agent asks to set a secret of a workspace; the request waits.
#[track_caller]
pub fn ask(scene: &Scene, workspace: &str, value: &str) -> String {
    let body = json!({"key": KEY, "value": value});
    let held = send(scene, &root_agent(), Method::POST, &format!("/workspaces/{workspace}/secrets"), Some(body));
    text(&want(202, Some(held)), "approval_id")
}

#[track_caller]
pub fn approval(scene: &Scene, id: &str) -> Value {
    scene.fleet().get(&format!("/approvals/{id}"))
}

/// The status is this, and there are as many versions of the secret.
#[track_caller]
pub fn stands(scene: &Scene, id: &str, status: &str, versions: usize) {
    let view = approval(scene, id);
    assert_eq!(view["status"], status, "{view}");
    let path = format!("/workspaces/{}/secrets/{KEY}/versions", text(&view, "workspace_id"));
    let (found, list) = send(scene, scene.fleet().owner(), Method::GET, &path, None);
    let count = if found == 404 { 0 } else { list.as_array().expect("a list").len() };
    assert_eq!(count, versions, "{list}");
}

/// A vote by request instead of by page.
#[track_caller]
pub fn decide(scene: &Scene, actor: &Actor, id: &str, decision: &str) -> (u16, Value) {
    send(scene, actor, Method::POST, &format!("/approvals/{id}/decide"), Some(json!({"decision": decision})))
}

/// Holds every write of a secret until these agree.
#[track_caller]
pub fn hold(scene: &Scene, annotations: &str) {
    let rule = "forbid (principal, action == Action::\"secret.set\", resource) unless { context.approved };";
    let body = json!({"name": "held", "text": format!("{annotations}\n{rule}")});
    scene.fleet().post("/policies", Some(body), 201);
}

/// Somebody with this role, signed in with a browser of their own.
#[track_caller]
pub fn colleague(scene: &Scene, email: &str, role: &str, groups: &[&str]) -> Rc<Page> {
    let body = json!({"email": email, "password": PASSWORD, "role": role, "groups": groups});
    scene.fleet().post("/operators", Some(body), 201);
    let page = scene.another_page();
    sign_in(&page, email);
    page
}

/// The same person, by requests.
pub fn session(scene: &Scene, email: &str) -> Actor {
    scene.fleet().run(Actor::session(&scene.fleet().url(), email))
}

/// Goes to a request and waits until it is shown.
#[track_caller]
pub fn open(page: &Page, id: &str) {
    page.open(&format!("/console/approvals/{id}"));
    page.text(&format!("[data-approval='{id}']"));
}

/// Waits until the page shows this state of a request.
#[track_caller]
pub fn shows(page: &Page, id: &str, status: &str) {
    page.text(&format!("[data-approval='{id}'][data-status='{status}']"));
}

/// Shows the password again, as a decision wants it.
#[track_caller]
pub fn confirm(page: &Page) {
    page.see("Confirm that it is you");
    page.control("step-up.password").fill(PASSWORD);
    page.control("step-up.submit").click();
}

/// Waits until the window has this title.
#[track_caller]
pub fn titled(page: &Page, title: &str) {
    page.until(|| (page.title() == title).then_some(()), || format!("the title is {}, not {title}", page.title()));
}

/// What a script finds in the page.
#[track_caller]
pub fn look(page: &Page, script: &str, arguments: Value) -> Value {
    done("look into the page", page.session.script(script, arguments))
}

/// Everything that is in the page, shown or not, with what its fields hold.
#[track_caller]
pub fn source(page: &Page) -> String {
    let script = "return document.documentElement.outerHTML + [...document.querySelectorAll('input, textarea')]\
        .map((field) => field.value).join(' ')";
    look(page, script, json!([])).as_str().expect("a text").to_owned()
}

/// Starts the server anew with more lines of configuration; the last section before them is `[limits]`.
pub fn restart_with(scene: &mut Scene, lines: &str) {
    let fleet = scene.fleet_mut();
    fleet.kill_server();
    let file = fleet.db.data_dir.join("fleet.toml");
    let mut file = fs::OpenOptions::new().append(true).open(file).expect("the configuration");
    file.write_all(lines.as_bytes()).expect("the configuration");
    fleet.start_with(|command| {
        command.arg("--no-agents");
    });
}
