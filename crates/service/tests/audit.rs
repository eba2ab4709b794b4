//! The log as people look at it: search by any word, names, one entry with its rules, and whether all of it still stands.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use portcullis_authority::{Config, Pins, Presented, verify_database};
use portcullis_kernel::{operator::Role, refusal::Code};
use probe::state;
use serde_json::{Value, json};
use world::{Actor, each_engine};

/// Events of a page, by name.
async fn found(actor: &Actor, query: &str) -> Vec<String> {
    let page = actor.get(&format!("/audit?limit=500&{query}")).await;
    let events = page.status(200).json["events"].as_array().expect("events").clone();
    events.iter().map(|event| event["event"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_word_finds_the_entries_that_hold_it_anywhere_and_stands_for_nothing_else() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        let target = world.workspace("Atlas 100%").await;
        world.admin().set(&world.root(), "A_KEY", "v").await.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        owner.set(&target, "A_KEY", "v").await.status(200);
        owner.set(&target, "AXKEY", "v").await.status(200);
        world.admin().set(&target, "HELD", "v").await.status(202);
        let all = found(&owner, "").await.len();
        for (q, events) in [
            ("atlas", &["workspace.create"][..]),
            ("ATLAS 100%25", &["workspace.create"]),
            ("100%25", &["workspace.create"]),
            ("a_key", &["secret.set.refused", "secret.set"]),
            ("AXKEY", &["secret.set"]),
            ("%25%25", &[]),
            ("A%25KEY", &[]),
            ("!", &[]),
            ("concierge_SELF", &["secret.set.refused"]),
            ("agent_never_TARGETS", &["secret.set.refused"]),
            ("no such word", &[]),
        ] {
            assert_eq!(found(&owner, &format!("q={q}")).await, events, "{} {q}", world.db.engine);
        }
        let key = found(&owner, "q=key&order=desc").await;
        assert_eq!(key, ["secret.set", "secret.set", "secret.set.refused"]);
        let page = owner.get("/audit?q=atlas").await;
        let entry = page.status(200).json["events"][0].clone();
        // Ids of every kind.
        let held = world.authority.audit_entries(0, i64::MAX, 1000).await.expect("entries");
        let held = held.iter().find_map(|entry| entry.event.approval_id.clone()).expect("an approval");
        for (id, event) in [
            (entry["request_id"].as_str().expect("an id"), "workspace.create"),
            (entry["subject"]["id"].as_str().expect("an id"), "workspace.create"),
            (target.as_str(), "secret.set"),
            (held.as_str(), "secret.set.held"),
        ] {
            let found = found(&owner, &format!("q={}", id.to_uppercase())).await;
            assert!(found.iter().any(|known| known == event), "{id}: {found:?}");
        }
        // It narrows what else is asked.
        assert_eq!(found(&owner, &format!("q=key&workspace_id={target}&key=AXKEY")).await, ["secret.set"]);
        let own = owner.get(&format!("/workspaces/{target}/audit?q=axkey&outcome=done")).await;
        assert_eq!(own.status(200).json["events"].as_array().map(Vec::len), Some(1), "{}", own.text);
        let outcomes = [("done", None), ("held", Some(1)), ("refused", Some(1)), ("failed", Some(0))];
        let mut counted = 0;
        for (outcome, wanted) in outcomes {
            let count = found(&owner, &format!("outcome={outcome}")).await.len();
            assert!(wanted.is_none_or(|wanted| wanted == count), "{outcome}: {count}");
            counted += count;
        }
        assert_eq!(counted, all);
        for query in ["q=", "outcome=", "outcome=fine", "q=a%0Ab", &format!("q={}", "x".repeat(101))] {
            owner.get(&format!("/audit?{query}")).await.refused(400, "INVALID_REQUEST");
        }
        assert_eq!(found(&owner, &format!("q={}", "%C3%A9".repeat(100))).await.len(), 0);
        let agent = world.agent_of(&target).await;
        agent.get("/audit?q=atlas").await.refused(403, "SCOPE_MISSING");
        world.nobody().get("/audit?q=atlas").await.refused(401, "UNAUTHENTICATED");
        world
    });
}

#[test]
fn a_page_names_who_and_what_its_ids_are_also_those_that_are_gone() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        let target = world.workspace("short-lived").await;
        let minted = owner.post(&format!("/workspaces/{target}/tokens"), json!({"name": "a token"})).await;
        let token = minted.status(201).member("id");
        world.bearer(&minted.member("auth_token")).set(&target, "OWN", "v").await.status(200);
        owner.delete(&format!("/workspaces/{target}/tokens/{token}")).await.status(200);
        owner.delete(&format!("/workspaces/{target}")).await.status(200);
        let service = world.org_token(&owner, json!({"name": "a program"})).await;
        world.bearer(&service).set(&world.root(), "KEY", "v").await.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        let page = owner.get("/audit?limit=500").await;
        let names = page.status(200).json["names"].as_object().expect("names").clone();
        let mut told: Vec<_> = names.values().map(|name| name.as_str().expect("a name")).collect();
        told.sort_unstable();
        assert_eq!(told, ["a program", "a token", "concierge", "owner@example.org", "short-lived"]);
        assert_eq!((&names[&target], &names[&token]), (&json!("short-lived"), &json!("a token")));
        // Where people are reached is for people.
        let program = world.admin().get("/audit?limit=500").await;
        let mut told: Vec<_> = program.status(200).json["names"].as_object().expect("names").values().collect();
        told.sort_unstable_by_key(|name| name.as_str());
        assert_eq!(told, ["a program", "a token", "concierge", "short-lived"]);
        let events = world.audit(&format!("workspace_id={target}")).await;
        let done = events.iter().find(|event| event["subject"]["kind"] == "operator").expect("an entry")["id"].clone();
        let path = format!("/audit/entries/{done}");
        let names = owner.get(&path).await.status(200).json["names"].to_string();
        assert!(names.contains("owner@example.org") && names.contains("short-lived"), "{names}");
        assert_eq!(world.admin().get(&path).await.status(200).json["names"], json!({&target: "short-lived"}));
        let one = owner.get("/audit?limit=1").await;
        assert_eq!(one.status(200).json["names"].as_object().map(serde_json::Map::len), Some(1), "{}", one.text);
        world
    });
}

#[test]
fn one_entry_comes_with_the_texts_of_its_rules() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        let refused = world.admin().set(&world.root(), "KEY", "v").await;
        let seq = refused.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED").json["audit_id"].as_i64().expect("an entry");
        let told = owner.get(&format!("/audit/entries/{seq}")).await;
        let page = owner.get(&format!("/audit?after={}&limit=1", seq - 1)).await;
        let mut rest = told.status(200).json.clone();
        let texts = rest.as_object_mut().expect("an object").remove("rule_texts").expect("texts");
        let names = rest.as_object_mut().expect("an object").remove("names").expect("names");
        assert_eq!((&rest, &names), (&page.status(200).json["events"][0], &page.json["names"]));
        assert!(texts["agent_never_targets_root_secrets"].as_str().expect("a text").contains("core#2566"), "{texts}");
        // A rule that an operator added, and removed since: a human still reads why, a program does not.
        let text = "@reason(\"not now\") forbid (principal, action == Action::\"workspace.pause\", resource);";
        let added = owner.post("/policies", json!({"name": "no pause", "text": text})).await;
        let rule = added.status(201).member("id");
        let target = world.workspace("target").await;
        let refused = owner.post(&format!("/workspaces/{target}/pause"), json!({})).await;
        let seq = refused.refused(403, "POLICY_FORBIDS").json["audit_id"].as_i64().expect("an entry");
        owner.delete(&format!("/policies/{rule}")).await.status(200);
        let told = owner.get(&format!("/audit/entries/{seq}")).await;
        assert_eq!(told.status(200).json["rule_texts"], json!({rule: text}));
        let program = world.admin().get(&format!("/audit/entries/{seq}")).await;
        assert_eq!(program.status(200).json["rule_texts"], json!({}));
        owner.get("/audit/entries/1000000").await.refused(404, "NOT_FOUND");
        for malformed in ["x", "99999999999999999999"] {
            owner.get(&format!("/audit/entries/{malformed}")).await.refused(400, "INVALID_REQUEST");
        }
        for none in ["0", "-1", "-9223372036854775808"] {
            owner.get(&format!("/audit/entries/{none}")).await.refused(404, "NOT_FOUND");
        }
        world.agent_of(&target).await.get("/audit/entries/1").await.refused(403, "SCOPE_MISSING");
        world
    });
}

#[test]
fn the_whole_log_is_walked_and_the_first_bad_entry_is_named() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        for n in 0..5 {
            world.admin().set(&world.root(), &format!("KEY_{n}"), "v").await.status(403);
        }
        let before = state(&world.db);
        let rows = world.db.rows();
        let told = owner.get("/audit/verify").await;
        assert_eq!(world.db.rows(), rows, "to look is not recorded");
        assert_eq!(state(&world.db), before);
        let target = world.db.target.clone();
        let known = std::thread::spawn(move || verify_database(&target, &Pins::default(), &mut |_| {}));
        let known = known.join().expect("a walk").expect("a sound log");
        let told = &told.status(200).json;
        assert_eq!(
            (&told["verified"], &told["entries"], &told["head"]),
            (&json!(true), &json!(known.entries), &json!(known.head))
        );
        assert_eq!(
            (&told["key"], &told["checkpoints"]),
            (&json!(world.authority.verifier_key()), &json!(known.checkpoints))
        );
        assert!(told["elapsed_ms"].is_u64());
        // What it answers can be kept, and vouches for the log later.
        let note = told["checkpoint"].as_str().expect("a note").to_owned();
        let (target, pins) = (world.db.target.clone(), Pins { key: None, checkpoints: vec![note] });
        let later = std::thread::spawn(move || verify_database(&target, &pins, &mut |_| {}));
        assert_eq!(later.join().expect("a walk").expect("a sound log").checkpoints, known.checkpoints + 1);
        // Who may read the log may ask whether it stands.
        world.create_operator("auditor@example.org", Role::Auditor, &[]).await;
        let auditor = world.log_in_only("auditor@example.org").await;
        assert_eq!(auditor.get("/audit/verify").await.status(200).json["verified"], true);
        let target = world.workspace("target").await;
        world.agent_of(&target).await.get("/audit/verify").await.refused(403, "SCOPE_MISSING");
        // One at a time.
        let cookie = owner.header("cookie").expect("a cookie").trim_start_matches("portcullis=").to_owned();
        let caller = world.authority.authenticate(Presented::Cookie(&cookie)).await.expect("a session");
        let (one, two) = tokio::join!(world.authority.verify_audit(&caller), world.authority.verify_audit(&caller));
        assert!(one.is_ok());
        assert_eq!(two.expect_err("a second walk").code, Code::Busy);

        // A store that does not answer says nothing of the log, and nothing of itself.
        world.db.run("ALTER TABLE checkpoints RENAME TO elsewhere");
        let away = owner.get("/audit/verify").await;
        away.refused(503, "STORE_UNAVAILABLE");
        for word in ["checkpoints", "relation", "no such", "SQLite", "PostgreSQL", "verified"] {
            assert!(!away.text.contains(word), "{}", away.text);
        }
        world.db.run("ALTER TABLE elsewhere RENAME TO checkpoints");

        let last = world.db.integer("SELECT MAX(seq) FROM audit");
        let unsound = async |how: String, back: String, first_bad: Value| {
            world.db.run(&how);
            let told = owner.get("/audit/verify").await;
            let found = (&told.status(200).json["verified"], &told.json["first_bad"]);
            assert_eq!(found, (&json!(false), &first_bad), "{how}: {}", told.text);
            assert!(told.json["error"].is_string() && told.json["checkpoint"].is_null());
            world.db.run(&back);
            assert_eq!(owner.get("/audit/verify").await.status(200).json["verified"], true, "{back}");
        };
        let touched = last - 2;
        unsound(
            format!("UPDATE audit SET request_id = 'x' || request_id WHERE seq = {touched}"),
            format!("UPDATE audit SET request_id = SUBSTR(request_id, 2) WHERE seq = {touched}"),
            json!(touched),
        )
        .await;
        unsound(
            "UPDATE audit_head SET note = 'x' || note".to_owned(),
            "UPDATE audit_head SET note = SUBSTR(note, 2)".to_owned(),
            Value::Null,
        )
        .await;
        unsound(
            "UPDATE audit_head SET size = size + 1".to_owned(),
            "UPDATE audit_head SET size = size - 1".to_owned(),
            json!(last + 1),
        )
        .await;
        world
    });
}
