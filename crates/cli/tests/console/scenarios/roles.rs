//! What each role may: what the console blocks is what the server refuses, and nothing else.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::secrets::{echo, is_blocked, open_secrets, secret};
use crate::{
    kit::{
        Actor,
        fleet::{Fleet, list},
        operator, want,
    },
    scene::{Scene, sign_in},
};

/// Who may do what, as the rules are; a test of the kernel keeps it true.
const MATRIX: &str = include_str!("../../../../kernel/tests/policy_matrix.txt");

const ROLES: [&str; 4] = ["auditor", "member", "approver", "owner"];

/// The console's own table, from the page: `[role, verb, wide, may]` for every pair, and every verb it knows.
const TABLE: &str = r#"
const [roles, asked, done] = arguments;
const { href } = document.querySelector(`link[href$="/lib/roles.js"]`);
import(href).then(
  ({ may, MAY }) => done({ verbs: Object.values(MAY).flat(), may: asked.map(([verb, wide]) => roles.map((role) => may(role, verb, wide))) }),
  (error) => done(String(error)),
);
"#;

/// Refusals that are about who asked for it, not about a role.
const ABOUT_WHO_ASKED: [&str; 2] =
    ["approval.decide on an approval it asked for", "approval.withdraw on an approval somebody else asked for"];

/// A block of the matrix: its head, and for each role whether it may, with the password shown again.
fn blocks() -> Vec<(&'static str, Vec<bool>)> {
    let read = |block: &'static str| {
        let (head, lines) = block.trim().split_once('\n')?;
        let may = |role: &&str| {
            let line = lines.lines().find(|line| line.trim().starts_with(&format!("{role}, stepped up "))).expect(role);
            let outcome = line.trim()[format!("{role}, stepped up").len()..].trim();
            outcome == "allow" || outcome.starts_with("hold")
        };
        Some((head, ROLES.iter().map(may).collect()))
    };
    MATRIX.split("\n\n").skip(1).filter_map(read).collect()
}

pub fn what_the_console_offers_is_what_the_rules_allow(scene: &mut Scene) {
    let page = &scene.page;
    page.open("/console");
    page.see("Sign in");
    let blocks: Vec<_> = blocks().into_iter().filter(|(head, _)| !ABOUT_WHO_ASKED.contains(head)).collect();
    assert!(blocks.len() > 90, "the matrix is read");
    let asked: Vec<Value> = blocks
        .iter()
        .map(|(head, _)| {
            let (verb, target) = head.split_once(" on ").expect("a verb and a target");
            json!([verb, target == "the root" || target.starts_with("the organisation")])
        })
        .collect();
    let table = page.session.script_async(TABLE, json!([ROLES, asked])).expect("a table");
    let offered = list(&table["may"]);
    for ((head, allowed), offered) in blocks.iter().zip(&offered) {
        assert_eq!(&json!(allowed), offered, "{head}, for {ROLES:?}: the rules, then the console");
    }
    let known: BTreeSet<&str> = blocks.iter().filter_map(|(head, _)| Some(head.split_once(" on ")?.0)).collect();
    let unknown = list(&table["verbs"]).into_iter().find(|verb| !known.contains(verb.as_str().expect("a verb")));
    assert_eq!(unknown, None, "a verb of the console that the matrix does not know");
}

/// An operator of this role: their address, and their requests.
fn somebody(fleet: &Fleet, role: &str) -> (String, Actor) {
    let email = format!("{role}@example.org");
    operator(&fleet.db, &email, role).exits(0);
    let actor = fleet.run(Actor::session(&fleet.url(), &email));
    (email, actor)
}

pub fn an_auditor_reads_and_changes_nothing(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", echo(), None);
    fleet.set(&id, "API_KEY", "first");
    fleet.set(&id, "API_KEY", "second");
    fleet.set_for_all("SHARED_KEY", "a value");
    let (email, auditor) = somebody(fleet, "auditor");
    sign_in(page, &email);
    open_blocked(page, &id);
    for name in ["secrets.add", "secrets.import", "secrets.change", "secrets.delete", "secrets.override"] {
        is_blocked(page, name, "Your role (auditor) may not do this");
    }
    page.control("secrets.history").click();
    is_blocked(page, "history.roll-back", "member or approver or owner may");
    is_blocked(page, "history.destroy", "owner may");
    page.control("dialog.close").click();
    let base = format!("/workspaces/{id}/secrets");
    let refused = [
        (Method::POST, base.clone(), Some(json!({"key": "API_KEY", "value": "third"}))),
        (Method::DELETE, format!("{base}/API_KEY"), None),
        (Method::POST, format!("{base}/API_KEY/rollback"), Some(json!({"to_version": 1}))),
        (Method::POST, format!("{base}/API_KEY/destroy"), Some(json!({"version": 1}))),
        (Method::POST, "/org/tokens".to_owned(), Some(json!({"name": "mine", "scopes": ["secrets:read"]}))),
    ];
    for (method, path, body) in refused {
        let refusal = want(403, fleet.ask_as(&auditor, method, &path, body));
        assert_eq!(refusal["code"], "ROLE_REQUIRED", "{path}: {refusal}");
    }
    let row = secret(fleet, &id, "API_KEY");
    assert_eq!((&row["state"], &row["latest_version"]), (&json!("live"), &json!(2)));
    page.open("/console/tokens");
    is_blocked(page, "tokens.mint", "approver or owner may");
}

/// The list, where its own controls are blocked.
fn open_blocked(page: &crate::page::Page, id: &str) {
    page.open(&format!("/console/workspaces/{id}/secrets"));
    page.see("API_KEY");
}

pub fn a_member_works_on_ordinary_workspaces_only(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let (id, root) = (fleet.create("writer", echo(), None), fleet.root());
    let (email, member) = somebody(fleet, "member");
    fleet.set(&root, "API_KEY", "a value");
    fleet.set_for_all("SHARED_KEY", "a value");
    sign_in(page, &email);
    open_secrets(page, &id);
    page.control("secrets.add").click();
    page.control("secret-form.key").fill("MINE");
    super::secrets::save(page, "a value");
    page.see("MINE is saved.");
    assert_eq!(secret(fleet, &id, "MINE")["latest_version"], 1);
    open_blocked(page, &root);
    for name in ["secrets.add", "secrets.import", "secrets.change", "secrets.delete"] {
        is_blocked(page, name, "Your role (member) may not do this; approver or owner may.");
    }
    let body = json!({"key": "API_KEY", "value": "another"});
    let refusal =
        want(403, fleet.ask_as(&member, Method::POST, &format!("/workspaces/{root}/secrets"), Some(body.clone())));
    assert_eq!(refusal["code"], "ROLE_REQUIRED");
    assert_eq!(secret(fleet, &root, "API_KEY")["latest_version"], 1);
    page.open("/console/secrets");
    page.see("SHARED_KEY");
    is_blocked(page, "secrets.change", "approver or owner may");
    let refusal = want(403, fleet.ask_as(&member, Method::POST, "/settings/secrets", Some(body)));
    assert_eq!(refusal["code"], "ROLE_REQUIRED");
    page.open(&format!("/console/workspaces/{id}/tokens"));
    is_blocked(page, "tokens.mint", "approver or owner may");
    want(403, fleet.ask_as(&member, Method::POST, &format!("/workspaces/{id}/tokens"), Some(json!({"name": "mine"}))));
}

pub fn an_approver_does_all_but_destroy(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let root = fleet.root();
    let (email, approver) = somebody(fleet, "approver");
    fleet.set(&root, "API_KEY", "first");
    sign_in(page, &email);
    open_secrets(page, &root);
    page.control("secrets.change").click();
    super::secrets::save(page, "second");
    page.see("API_KEY is saved.");
    page.control("secrets.history").click();
    page.control("history.roll-back");
    is_blocked(page, "history.destroy", "Your role (approver) may not do this; owner may.");
    let path = format!("/workspaces/{root}/secrets/API_KEY/destroy");
    let refusal = want(403, fleet.ask_as(&approver, Method::POST, &path, Some(json!({"version": 1}))));
    assert_eq!(refusal["code"], "ROLE_REQUIRED");
    let versions = list(&fleet.get(&format!("/workspaces/{root}/secrets/API_KEY/versions")));
    assert!(versions.iter().all(|version| version["state"] == "stored"), "{versions:?}");
    page.open("/console/tokens");
    page.control("tokens.mint");
}
