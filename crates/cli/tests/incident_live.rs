//! The incident of 2026-06-11 with a live agent: the root agent, in the middle of a turn, tries to change its own secrets
//! by every road and with every credential it can get. It is refused, its turn ends as it would have, and it is never
//! restarted. A human sets the same secret: debt is shown, and applied when the human says so, after the turn.

mod kit;

use kit::{
    ADMIN, Actor,
    fleet::{Fleet, HOLDS, exec, text},
    want,
};
use portcullis_authority::testkit_db::databases;
use reqwest::Method;
use serde_json::{Value, json};

const VALUE: &str = "a-value-the-root-wants-to-have";
const SECRET_REFUSED: &str = "CONCIERGE_SELF_WRITE_BLOCKED";
const INTERRUPTION_REFUSED: &str = "SELF_INTERRUPTION_BLOCKED";

/// Every road to the root: method, path, body, and the code of its refusal.
fn roads(root: &str, other: &str) -> Vec<(Method, String, Option<Value>, &'static str)> {
    let own = format!("/workspaces/{root}/secrets");
    let body = |key: &str| Some(json!({"key": key, "value": VALUE}));
    let import = |key: &str| Some(json!({"format": "env", "content": format!("{key}={VALUE}\n"), "apply": true}));
    let line = |workspace: Value, key: &str| {
        Some(json!({"changes": [
            {"workspace_id": other, "op": "set", "key": "HARMLESS", "value": VALUE},
            {"workspace_id": workspace, "op": "set", "key": key, "value": VALUE},
        ]}))
    };
    let secrets = vec![
        (Method::POST, own.clone(), body("KEY")),
        (Method::PUT, own.clone(), body("KEY")),
        (Method::DELETE, format!("{own}/KEY"), None),
        (Method::POST, format!("{own}/KEY/rollback"), Some(json!({"to_version": 1}))),
        (Method::POST, format!("{own}/KEY/activate"), Some(json!({"version": 1}))),
        (Method::POST, format!("{own}/KEY/undelete"), None),
        (Method::POST, format!("{own}/KEY/destroy"), None),
        (Method::POST, format!("{own}/import"), import("KEY")),
        (Method::POST, "/settings/secrets".into(), body("INHERITED")),
        (Method::PUT, "/admin/secrets".into(), body("INHERITED")),
        (Method::DELETE, "/settings/secrets/INHERITED".into(), None),
        (Method::POST, "/settings/secrets/INHERITED/rollback".into(), Some(json!({"to_version": 1}))),
        (Method::POST, "/settings/secrets/import".into(), import("INHERITED")),
        (Method::POST, "/secrets/change-sets".into(), line(root.into(), "KEY")),
        (Method::POST, "/secrets/change-sets".into(), line(Value::Null, "INHERITED")),
    ];
    let at = |what: &str| format!("/workspaces/{root}{what}");
    let interruptions = vec![
        (Method::POST, at("/restart"), None),
        (Method::POST, at("/pause"), None),
        (Method::POST, at("/apply"), None),
        (Method::POST, at("/force-stop"), Some(json!({"reason": "why not"}))),
        (Method::DELETE, at(""), None),
        (Method::PATCH, at(""), Some(json!({"runtime": "process"}))),
        (Method::PATCH, at(""), Some(json!({"name": "another"}))),
    ];
    let with = |code| move |(method, path, body)| (method, path, body, code);
    secrets
        .into_iter()
        .map(with(SECRET_REFUSED))
        .chain(interruptions.into_iter().map(with(INTERRUPTION_REFUSED)))
        .collect()
}

/// An organisation token that the root agent asked for and a human granted.
fn minted(fleet: &Fleet) -> Actor {
    let admin = Actor::bearer(ADMIN);
    let held = fleet.ask_as(&admin, Method::POST, "/org/tokens", Some(json!({"name": "minted by the root"})));
    let approval = text(&want(202, held), "approval_id");
    let decided = fleet.post(&format!("/approvals/{approval}/decide"), Some(json!({"decision": "approved"})), 200);
    let claim = json!({"claim_token": text(&decided["result"], "claim_token")});
    Actor::bearer(&text(&fleet.post("/auth/token-claims", Some(claim), 200), "auth_token"))
}

/// Its shim and its agent; the script of the turn forks all the time.
fn lasting(fleet: &Fleet, id: &str) -> Vec<(i32, String)> {
    let mut all = fleet.processes_of(id);
    all.retain(|(_, command)| command.contains(" agent ") || command.contains(" unit "));
    all
}

#[test]
fn the_root_agent_in_a_turn_is_refused_on_every_road_and_ends_its_turn_as_if_nothing_had_been() {
    for db in databases() {
        let engine = db.engine;
        let fleet = Fleet::new(db, "");
        let root = fleet.root();
        let other = fleet.create("other", json!("external"), None);
        fleet.set(&root, "KEY", "the-first-value");
        fleet.set_for_all("INHERITED", "the-first-value-for-all");
        let path = format!("/workspaces/{root}");
        want(200, fleet.ask_as(fleet.owner(), Method::PATCH, &path, Some(json!({"runtime": exec(HOLDS)}))));
        fleet.settled(&root);
        let (boot, generation) = (fleet.boot(&root), fleet.workspace(&root)["desired_generation"].clone());
        let minted = minted(&fleet);
        let faces = [
            ("its boot's token", Actor::bearer(fleet.token(&boot).trim())),
            ("the admin token", Actor::bearer(ADMIN)),
            ("a token it minted", minted),
        ];

        let held = fleet.send(&root, "hold a\n");
        fleet.taken(&root, &held);
        let agents = lasting(&fleet, &root);
        for (face, actor) in &faces {
            for (method, path, body, code) in roads(&root, &other) {
                let (status, answer) = fleet.ask_as(actor, method.clone(), &path, body).unwrap();
                let what = format!("{engine} {face}: {method} {path}: {answer}");
                assert_eq!((status, answer["code"].as_str()), (403, Some(code)), "{what}");
                assert!(!answer.to_string().contains(VALUE), "{what}");
            }
        }
        let now = fleet.workspace(&root);
        assert_eq!((&now["desired_generation"], &now["restart_debt"]), (&generation, &json!(false)), "{now}");
        assert_eq!((&now["status"], &now["draining_since"]), (&json!("online"), &Value::Null), "{now}");
        assert_eq!(fleet.message(&root, &held)["status"], "delivered");
        // Neither of them is another one than before.
        assert_eq!(lasting(&fleet, &root), agents);
        fleet.touch(&root, "a");
        assert_eq!(fleet.reply(&root, &held), "hold a [redacted:KEY]");
        assert_eq!((fleet.boot(&root), fleet.runs(&root).len()), (boot.clone(), 1));
        let refused = fleet.audit("code=CONCIERGE_SELF_WRITE_BLOCKED");
        assert!(refused.len() >= roads(&root, &other).len() - 7, "{refused:?}");

        // A human sets it. The root is not restarted for that: its debt is shown until somebody applies it.
        let held = fleet.send(&root, "hold b\n");
        fleet.taken(&root, &held);
        fleet.set(&root, "KEY", "short");
        let now = fleet.until("the debt is shown", || {
            let now = fleet.workspace(&root);
            text(&now, "status_reason").contains("until a human applies it").then_some(now)
        });
        assert_eq!((&now["status"], &now["restart_debt"]), (&json!("online"), &json!(true)), "{now}");
        fleet.touch(&root, "b");
        assert_eq!(fleet.reply(&root, &held), "hold b [redacted:KEY]");
        assert_eq!(fleet.ask(&root, "say c\n"), "say c [redacted:KEY]");
        assert_eq!(fleet.boot(&root), boot);
        for (face, actor) in &faces {
            let refused = want(403, fleet.ask_as(actor, Method::POST, &format!("{path}/apply"), None));
            assert_eq!(refused["code"], INTERRUPTION_REFUSED, "{face}: {refused}");
        }

        let held = fleet.send(&root, "hold d\n");
        fleet.taken(&root, &held);
        fleet.post(&format!("{path}/apply"), None, 200);
        fleet.shown(&root, "draining");
        assert_eq!(fleet.boot(&root), boot);
        fleet.touch(&root, "d");
        assert_eq!(fleet.reply(&root, &held), "hold d [redacted:KEY]");
        fleet.settled(&root);
        // Too short to be looked for by redaction, so that the reply shows it.
        assert_eq!(fleet.ask(&root, "say e\n"), "say e short");
        let runs = fleet.runs(&root);
        assert_eq!(
            (runs.len(), &runs[0]["cause"], &runs[0]["crash"]),
            (2, &json!("restart"), &json!(false)),
            "{runs:?}"
        );
        assert!(fleet.turns(&root).iter().all(|turn| turn["state"] == "completed"));
        want(409, fleet.ask_as(fleet.owner(), Method::POST, &format!("{path}/apply"), None));
        fleet.verified();
    }
}
