//! Secrets over HTTP, on both engines: two scopes, versions with two pointers, change sets, slots, import, and a bundle
//! that is whole or refused.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod world;

use portcullis_authority::Config;
use portcullis_kernel::operator::Role;
use reqwest::Method;
use serde_json::{Value, json};
use world::{ADMIN, Actor, Answer, World, each_engine};

const VALUE: &str = "canary-value-of-a-secret";

fn at(workspace: &str, rest: &str) -> String {
    format!("/workspaces/{workspace}/secrets{rest}")
}

async fn post(actor: &Actor, path: &str) -> Answer {
    actor.send(Method::POST, path, None).await
}

/// What the workspace is given.
async fn bundle(world: &World, workspace: &str) -> Value {
    world.agent_of(workspace).await.get(&at(workspace, "/values")).await.status(200).json.clone()
}

/// One line of the listing.
async fn line(actor: &Actor, workspace: &str, key: &str) -> Value {
    let list = actor.get(&at(workspace, "")).await;
    let lines = list.status(200).json.as_array().expect("a list").clone();
    lines.into_iter().find(|line| line["key"] == key).unwrap_or(Value::Null)
}

#[test]
fn a_workspace_sets_its_own_secret_and_no_other_workspace_exists_for_it() {
    each_engine(Config::default(), async |world| {
        let (own, other) = (world.workspace("own").await, world.workspace("other").await);
        let agent = world.agent_of(&own).await;
        let saved = agent.set(&own, "API_KEY", VALUE).await;
        assert_eq!(saved.status(200).json["status"], "saved");
        assert_eq!(agent.get(&at(&own, "/values")).await.status(200).json, json!({"API_KEY": VALUE}));
        let path = at(&other, "");
        let (answer, changed) = world.changed(agent.set(&other, "API_KEY", VALUE)).await;
        answer.refused(404, "NOT_FOUND");
        World::only_audited(&changed);
        for path in [path, at(&other, "/values"), at(&other, "/API_KEY/versions")] {
            assert_eq!(agent.get(&path).await.status, 404, "{} {path}", world.db.engine);
        }
        let (answer, changed) = world.changed(agent.delete(&at(&other, "/API_KEY"))).await;
        answer.refused(404, "NOT_FOUND");
        World::only_audited(&changed);
        // An id that does not exist is refused in just the words of one that does, or the words would tell which is which.
        let unknown = "01900000-0000-7000-8000-000000000000";
        let (absent, changed) = world.changed(agent.set(unknown, "API_KEY", VALUE)).await;
        absent.refused(404, "NOT_FOUND");
        World::only_audited(&changed);
        let words = |answer: &world::Answer| {
            let mut body = answer.json.clone();
            for own in ["workspace_id", "audit_id", "request_id"] {
                body[own] = Value::Null;
            }
            body
        };
        assert_eq!(words(&absent), words(&agent.set(&other, "API_KEY", VALUE).await));
        // The root is another workspace too. That there is no second root, and none to be had, is shown with the tree.
        let (answer, changed) = world.changed(agent.set(&world.root(), "API_KEY", VALUE)).await;
        answer.refused(404, "NOT_FOUND");
        World::only_audited(&changed);
        assert_eq!(bundle(&world, &other).await, json!({}));
        world
    });
}

#[test]
fn the_organisations_default_is_inherited_and_overridden() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let default = json!({"key": "SHARED", "value": "default"});
        let saved = owner.post("/settings/secrets", default).await;
        assert_eq!((saved.status(200).member("status"), saved.member("scope")), ("saved".into(), "global".into()));
        owner.set(&own, "ONLY", "mine").await.status(200);
        let origin = async |key: &str| line(&owner, &own, key).await["origin"].clone();
        assert_eq!((origin("SHARED").await, origin("ONLY").await), (json!("inherited"), json!("own")));
        assert_eq!(line(&owner, &own, "SHARED").await["scope"], "global");
        assert_eq!(bundle(&world, &own).await, json!({"SHARED": "default", "ONLY": "mine"}));
        owner.set(&own, "SHARED", "override").await.status(200);
        assert_eq!(origin("SHARED").await, "overriding");
        assert_eq!(bundle(&world, &own).await["SHARED"], "override");
        owner.delete(&at(&own, "/SHARED")).await.status(200);
        assert_eq!(bundle(&world, &own).await["SHARED"], "default", "what was overridden is back");
        let listing = owner.get(&at(&own, "")).await;
        assert!(!["default", "mine"].iter().any(|value| listing.text.contains(&format!("\"{value}\""))));
        world
    });
}

#[test]
fn a_write_on_a_version_that_moved_is_refused() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let set = async |actor: Actor, value: &str| actor.set(&own, "API_KEY", value).await;
        set(owner.with("if-match", "*"), "0").await.refused(412, "BASE_VERSION_MISMATCH");
        set(owner.with("if-none-match", "*"), "1").await.status(200);
        set(owner.with("if-match", "\"1\""), "2").await.status(200);
        set(owner.with("if-match", "*"), "3").await.status(200);
        for condition in [owner.with("if-match", "\"1\""), owner.with("if-none-match", "*")] {
            let (answer, changed) = world.changed(set(condition.clone(), "lost")).await;
            answer.refused(412, "BASE_VERSION_MISMATCH");
            assert_eq!(answer.json["current_version"], 3, "{}", answer.text);
            World::only_audited(&changed);
            let (answer, changed) = world.changed(condition.delete(&at(&own, "/API_KEY"))).await;
            answer.refused(412, "BASE_VERSION_MISMATCH");
            World::only_audited(&changed);
        }
        for (name, value) in
            [("if-match", "1"), ("if-match", "\"0\""), ("if-match", "W/\"1\""), ("if-none-match", "\"1\"")]
        {
            set(owner.with(name, value), "4").await.refused(400, "INVALID_REQUEST");
        }
        set(owner.with("if-match", "*").with("if-none-match", "*"), "4").await.refused(400, "INVALID_REQUEST");
        assert_eq!(bundle(&world, &own).await, json!({"API_KEY": "3"}));
        world
    });
}

#[test]
fn versions_have_two_pointers_and_a_roll_back_is_a_new_one() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        for value in ["one", "two"] {
            owner.set(&own, "API_KEY", value).await.status(200);
        }
        let generation = world.generation(&own).await;
        let staged = json!({"key": "API_KEY", "value": "three", "activate": false});
        assert_eq!(owner.post(&at(&own, ""), staged).await.status(200).json["version"], 3);
        assert_eq!(world.generation(&own).await, generation, "a staged version changes nothing for the agent");
        let now = line(&owner, &own, "API_KEY").await;
        assert_eq!((&now["latest_version"], &now["active_version"]), (&json!(3), &json!(2)));
        assert_eq!(bundle(&world, &own).await, json!({"API_KEY": "two"}));
        let activated = owner.post(&at(&own, "/API_KEY/activate"), json!({"version": 3})).await;
        assert_eq!(activated.status(200).json["status"], "activated");
        assert_eq!(world.generation(&own).await, generation + 1);
        let back = owner.post(&at(&own, "/API_KEY/rollback"), json!({"to_version": 1})).await;
        assert_eq!(back.status(200).json["version"], 4);
        assert_eq!(bundle(&world, &own).await, json!({"API_KEY": "one"}));
        let list = owner.get(&at(&own, "/API_KEY/versions")).await;
        let list = list.status(200).json.as_array().expect("a list").clone();
        assert_eq!(list.len(), 4);
        let newest = list.iter().find(|version| version["version"] == 4).expect("the newest");
        assert_eq!((&newest["origin"], &newest["base_version"]), (&json!("rollback:1"), &json!(3)), "{newest}");
        assert!(list.iter().all(|version| version["active"] == json!(version["version"] == 4)), "{list:?}");
        let one = owner.get(&at(&own, "/API_KEY/versions?limit=1")).await;
        assert_eq!(one.status(200).json, json!([newest]));
        for limit in ["0", "1001", "some"] {
            owner.get(&at(&own, &format!("/API_KEY/versions?limit={limit}"))).await.refused(400, "INVALID_REQUEST");
        }
        for (path, body) in [("activate", json!({"version": 9})), ("rollback", json!({"to_version": 9}))] {
            let (answer, changed) = world.changed(owner.post(&at(&own, &format!("/API_KEY/{path}")), body)).await;
            answer.refused(404, "VERSION_NOT_FOUND");
            World::only_audited(&changed);
        }
        world
    });
}

#[test]
fn a_delete_is_soft_and_only_destroy_cannot_be_taken_back() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let agent = world.agent_of(&own).await;
        for value in ["one", "two"] {
            owner.set(&own, "API_KEY", value).await.status(200);
        }
        owner.delete(&at(&own, "/API_KEY")).await.status(200);
        assert_eq!(bundle(&world, &own).await, json!({}));
        owner.delete(&at(&own, "/API_KEY")).await.refused(404, "SECRET_NOT_FOUND");
        assert_eq!(post(&owner, &at(&own, "/API_KEY/undelete")).await.status(200).json["status"], "undeleted");
        assert_eq!(bundle(&world, &own).await, json!({"API_KEY": "two"}));
        let destroy = at(&own, "/API_KEY/destroy");
        let (answer, changed) = world.changed(post(&agent, &destroy)).await;
        answer.refused(403, "HUMAN_REQUIRED");
        World::only_audited(&changed);
        owner.post(&destroy, json!({"version": 2})).await.refused(409, "CONFLICT");
        assert_eq!(owner.post(&destroy, json!({"version": 1})).await.status(200).json["versions"], json!([1]));
        let erased = "SELECT COUNT(*) FROM secret_versions WHERE sealed IS NULL AND digest IS NULL";
        assert_eq!(world.db.integer(erased), 1);
        let back = owner.post(&at(&own, "/API_KEY/rollback"), json!({"to_version": 1})).await;
        back.refused(404, "VERSION_NOT_FOUND");
        assert_eq!(bundle(&world, &own).await, json!({"API_KEY": "two"}));
        assert_eq!(post(&owner, &destroy).await.status(200).json["status"], "destroyed");
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM secret_versions WHERE sealed IS NOT NULL"), 0);
        assert_eq!(bundle(&world, &own).await, json!({}));
        // The number goes on: no version ever means two values.
        assert_eq!(owner.set(&own, "API_KEY", "three").await.status(200).json["version"], 3);
        world
    });
}

#[test]
fn a_key_does_not_come_back_without_its_active_version() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        for value in ["one", "two"] {
            owner.set(&own, "API_KEY", value).await.status(200);
        }
        owner.delete(&at(&own, "/API_KEY")).await.status(200);
        owner.post(&at(&own, "/API_KEY/destroy"), json!({"version": 2})).await.status(200);
        // Otherwise the workspace could not be given anything any more.
        let (answer, changed) = world.changed(post(&owner, &at(&own, "/API_KEY/undelete"))).await;
        answer.refused(409, "CONFLICT");
        World::only_audited(&changed);
        assert_eq!(bundle(&world, &own).await, json!({}));
        owner.post(&at(&own, "/API_KEY/rollback"), json!({"to_version": 1})).await.status(200);
        assert_eq!(bundle(&world, &own).await, json!({"API_KEY": "one"}));
        world
    });
}

#[test]
fn a_change_set_is_done_whole_or_not_at_all() {
    each_engine(Config::default(), async |world| {
        let (one, two, owner) = (world.workspace("one").await, world.workspace("two").await, world.owner());
        owner.set(&one, "OLD", "old").await.status(200);
        let set =
            |workspace: &str, key: &str| json!({"workspace_id": workspace, "op": "set", "key": key, "value": VALUE});
        let delete = json!({"workspace_id": one, "op": "delete", "key": "OLD", "base_version": 1});
        let before = (bundle(&world, &one).await, world.generation(&one).await, world.generation(&two).await);
        for (bad, status, code) in [
            (json!({"workspace_id": two, "op": "delete", "key": "ABSENT"}), 404, "SECRET_NOT_FOUND"),
            (set(&two, "LD_PRELOAD"), 422, "KEY_FORBIDDEN"),
            (
                json!({"workspace_id": one, "op": "set", "key": "OLD", "value": "x", "base_version": 7}),
                412,
                "BASE_VERSION_MISMATCH",
            ),
            (set(&one, "NEW"), 422, "INVALID_FIELD"),
            (json!({"workspace_id": one, "op": "activate", "key": "OLD", "version": 7}), 404, "VERSION_NOT_FOUND"),
        ] {
            let body = json!({"changes": [set(&one, "NEW"), set(&two, "NEW"), bad]});
            let (answer, changed) = world.changed(owner.post("/secrets/change-sets", body)).await;
            answer.refused(status, code);
            World::only_audited(&changed);
        }
        let after = (bundle(&world, &one).await, world.generation(&one).await, world.generation(&two).await);
        assert_eq!(before, after);
        let body = json!({"changes": [set(&one, "NEW"), set(&two, "NEW"), delete], "reason": "together"});
        let done = owner.post("/secrets/change-sets", body.clone()).await;
        assert_eq!(done.status(200).json["status"], "saved");
        assert_eq!(bundle(&world, &one).await, json!({"NEW": VALUE}));
        assert_eq!(bundle(&world, &two).await, json!({"NEW": VALUE}));
        assert_eq!(world.generation(&one).await, before.1 + 1, "two changes of one workspace are one restart");
        // An agent's is one question for all of it.
        let body = json!({"changes": [set(&one, "A"), set(&two, "B")]});
        let approval = world.admin().post("/secrets/change-sets", body).await.status(202).member("approval_id");
        assert_eq!(bundle(&world, &two).await, json!({"NEW": VALUE}));
        owner.decide(&approval, "approved").await.status(200);
        assert_eq!(bundle(&world, &two).await, json!({"NEW": VALUE, "B": VALUE}));
        world
    });
}

#[test]
fn a_slot_is_asked_for_by_an_agent_and_filled_by_a_human() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let agent = world.agent_of(&own).await;
        let path = at(&own, "/API_KEY/request");
        let asked = agent.post(&path, json!({"description": "for the mail gateway"})).await;
        assert_eq!(asked.status(201).json["status"], "requested");
        let slot = line(&owner, &own, "API_KEY").await;
        assert_eq!((&slot["state"], &slot["has_value"]), (&json!("slot"), &json!(false)));
        assert_eq!(slot["description"], "for the mail gateway");
        assert_eq!(bundle(&world, &own).await, json!({}));
        owner.set(&own, "API_KEY", VALUE).await.status(200);
        assert_eq!(bundle(&world, &own).await, json!({"API_KEY": VALUE}));
        let filled = line(&owner, &own, "API_KEY").await;
        assert_eq!((&filled["state"], &filled["description"]), (&json!("live"), &json!("for the mail gateway")));
        post(&agent, &path).await.refused(409, "CONFLICT");
        world
    });
}

#[test]
fn an_expiring_value_is_listed_and_reminded_of_once() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let body = json!({"key": "API_KEY", "value": VALUE, "expires_at": "2026-06-19T00:08:00Z"});
        owner.post(&at(&own, ""), body).await.status(200);
        let expires = line(&owner, &own, "API_KEY").await["expires_at"].clone();
        assert!(expires.as_str().is_some_and(|at| at.starts_with("2026-06-19T00:08:00")), "{expires}");
        world.authority.tick().await.expect("time passes");
        assert!(world.audit("event=secret.expiring").await.is_empty(), "eight days are early enough");
        world.advance(24 * 60 * 60 * 1000 + 1);
        for _ in 0..3 {
            world.authority.tick().await.expect("time passes");
        }
        let fresh = world.log_in("owner@example.org").await;
        let page = fresh.get("/audit?event=secret.expiring").await;
        assert_eq!(page.status(200).json["events"].as_array().map(Vec::len), Some(1), "{}", page.text);
        assert!(!page.text.contains(VALUE));
        let bad = json!({"key": "OTHER", "value": VALUE, "expires_at": "tomorrow"});
        fresh.post(&at(&own, ""), bad).await.refused(422, "INVALID_FIELD");
        world
    });
}

#[test]
fn an_import_is_previewed_without_values_and_put_whole() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        owner.set(&own, "SAME", "same value").await.status(200);
        owner.set(&own, "CHANGED", "old value").await.status(200);
        let env = "# a comment\nSAME=\"same value\"\nexport CHANGED='new value'\nADDED=added-value\n";
        let file =
            |format: &str, content: &str, apply: bool| json!({"format": format, "content": content, "apply": apply});
        let (preview, changed) = world.changed(owner.post(&at(&own, "/import"), file("env", env, false))).await;
        assert_eq!(preview.status(200).json["counts"], json!({"add": 1, "change": 1, "same": 1}), "{}", preview.text);
        assert!(!["same value", "new value", "added-value"].iter().any(|value| preview.text.contains(value)));
        assert!(changed.is_empty(), "{changed:?}");
        // To the root agent an equal value looks like any other: its guess is not answered.
        let guess = world.admin().post(&at(&own, "/import"), file("env", env, false)).await;
        assert_eq!(guess.status(200).json["counts"], json!({"add": 1, "change": 2, "same": 0}), "{}", guess.text);
        // Nor to a program whose import would wait; the agent itself has the value.
        let service = world.bearer(&world.org_token(&owner, json!({"name": "a program"})).await);
        let guess = service.post(&at(&own, "/import"), file("env", env, false)).await;
        assert_eq!(guess.status(200).json["counts"], json!({"add": 1, "change": 2, "same": 0}), "{}", guess.text);
        let agent = world.agent_of(&own).await;
        let asked = agent.post(&at(&own, "/import"), file("env", env, false)).await;
        assert_eq!(asked.status(200).json["counts"], json!({"add": 1, "change": 1, "same": 1}), "{}", asked.text);
        // Whoever may not import there is told nothing.
        let auditor = world.operator("auditor@example.org", Role::Auditor, &[]).await;
        let member = world.operator("member@example.org", Role::Member, &[]).await;
        let own_root = world.agent_of(&world.root()).await;
        for (actor, workspace, code) in [
            (&auditor, own.as_str(), "ROLE_REQUIRED"),
            (&member, &world.root(), "ROLE_REQUIRED"),
            (&world.admin(), &world.root(), "CONCIERGE_SELF_WRITE_BLOCKED"),
            (&own_root, &world.root(), "CONCIERGE_SELF_WRITE_BLOCKED"),
        ] {
            let (refused, changed) =
                world.changed(actor.post(&at(workspace, "/import"), file("env", env, false))).await;
            refused.refused(403, code);
            assert!(changed.is_empty(), "{changed:?}");
        }
        for (bad, code) in [("GOOD=x\nPATH=/bin\n", "KEY_FORBIDDEN"), ("GOOD=x\nno equals sign\n", "IMPORT_INVALID")] {
            let (answer, changed) = world.changed(owner.post(&at(&own, "/import"), file("env", bad, true))).await;
            answer.refused(422, code);
            assert!(!changed.contains_key("secrets"), "{changed:?}");
        }
        let done = owner.post(&at(&own, "/import"), file("env", env, true)).await;
        assert_eq!((&done.status(200).json["applied"], &done.json["counts"]), (&json!(true), &json!({"imported": 3})));
        let json_file = json!({"FROM_JSON": "j"}).to_string();
        owner.post(&at(&own, "/import"), file("json", &json_file, true)).await.status(200);
        let whole = json!({"SAME": "same value", "CHANGED": "new value", "ADDED": "added-value", "FROM_JSON": "j"});
        assert_eq!(bundle(&world, &own).await, whole);
        let held = world.admin().post(&at(&own, "/import"), file("env", "HELD=1\n", true)).await;
        owner.decide(&held.status(202).member("approval_id"), "approved").await.status(200);
        assert_eq!(bundle(&world, &own).await["HELD"], "1");
        world
    });
}

#[test]
fn a_reserved_key_is_refused_when_it_is_written_and_the_rule_is_named() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let agent = world.agent_of(&own).await;
        for (key, rule) in [
            ("PATH", "loader_key"),
            ("LD_PRELOAD", "loader_key"),
            ("NODE_OPTIONS", "loader_key"),
            ("PORTCULLIS_ANYTHING", "platform_key"),
            ("WORKSPACE_ID", "platform_key"),
            ("ADMIN_TOKEN", "admin_key"),
        ] {
            for actor in [&owner, &agent, &world.admin()] {
                let (answer, changed) = world.changed(actor.set(&own, key, VALUE)).await;
                answer.refused(422, "KEY_FORBIDDEN");
                assert_eq!(answer.json["key_rule"], rule, "{}", answer.text);
                World::only_audited(&changed);
            }
            let (answer, changed) = world.changed(post(&agent, &at(&own, &format!("/{key}/request")))).await;
            answer.refused(422, "KEY_FORBIDDEN");
            World::only_audited(&changed);
        }
        let fleet = json!({"key": "GITHUB_TOKEN", "value": VALUE});
        let (answer, changed) = world.changed(owner.post("/settings/secrets", fleet)).await;
        assert_eq!(answer.refused(422, "KEY_FORBIDDEN").json["key_rule"], "fleet_key");
        World::only_audited(&changed);
        owner.set(&own, "GITHUB_TOKEN", VALUE).await.status(200);
        world
    });
}

#[test]
fn an_own_credential_is_no_value() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let agent = world.agent_of(&own).await;
        let bearer = |actor: &Actor| actor.header("authorization").expect("a token")["Bearer ".len()..].to_owned();
        let session = owner.header("cookie").expect("a cookie")["portcullis=".len()..].to_owned();
        let minted = world.org_token(&owner, json!({"name": "service"})).await;
        for credential in [ADMIN.to_owned(), bearer(&agent), session, minted] {
            for value in [credential.clone(), format!(" {credential}\n"), format!("Bearer {credential}")] {
                for actor in [&owner, &agent, &world.admin()] {
                    let (answer, changed) = world.changed(actor.set(&own, "API_KEY", &value)).await;
                    answer.refused(422, "OWN_CREDENTIAL_AS_SECRET");
                    assert!(answer.member("next_step").contains("deliver_to"), "{}", answer.text);
                    assert!(!answer.text.contains(&credential), "the answer repeats the credential");
                    World::only_audited(&changed);
                }
            }
        }
        world
    });
}

#[test]
fn a_bundle_is_whole_or_refused() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let agent = world.agent_of(&own).await;
        for key in ["FIRST", "SECOND"] {
            owner.set(&own, key, VALUE).await.status(200);
        }
        let path = at(&own, "/values");
        let pulled = agent.get(&path).await;
        assert_eq!(pulled.status(200).json, json!({"FIRST": VALUE, "SECOND": VALUE}));
        assert!(pulled.headers.contains_key("x-bundle-version"));
        for (actor, code) in [(owner.clone(), "VALUE_NEVER_REVEALED"), (world.admin(), "VALUE_NEVER_REVEALED")] {
            let (answer, changed) = world.changed(actor.get(&path)).await;
            answer.refused(403, code);
            World::only_audited(&changed);
        }
        // A ciphertext moved to another key does not open there; nothing of the rest is given either.
        let moved = "UPDATE secret_versions SET sealed = \
                     (SELECT s.sealed FROM secret_versions s WHERE s.key = 'FIRST') WHERE key = 'SECOND'";
        world.db.run(moved);
        let (answer, changed) = world.changed(agent.get(&path)).await;
        answer.refused(409, "BUNDLE_UNREADABLE");
        assert_eq!(answer.member("key"), "SECOND");
        assert!(!answer.text.contains(VALUE));
        World::only_audited(&changed);
        owner.set(&own, "SECOND", "again").await.status(200);
        assert_eq!(agent.get(&path).await.status(200).json, json!({"FIRST": VALUE, "SECOND": "again"}));
        world
    });
}

#[test]
fn writing_the_same_value_restarts_nothing() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        owner.set(&own, "API_KEY", VALUE).await.status(200);
        let generation = world.generation(&own).await;
        let version = bundle_version(&world, &own).await;
        let (same, changed) = world.changed(owner.set(&own, "API_KEY", VALUE)).await;
        assert_eq!(same.status(200).json["version"], 2);
        assert!(!changed.contains_key("intents"), "{changed:?}");
        let import = json!({"format": "env", "content": format!("API_KEY={VALUE}\n"), "apply": true});
        owner.post(&at(&own, "/import"), import).await.status(200);
        owner.post(&at(&own, "/API_KEY/rollback"), json!({"to_version": 1})).await.status(200);
        owner.post(&at(&own, "/API_KEY/activate"), json!({"version": 2})).await.status(200);
        assert_eq!(world.generation(&own).await, generation);
        assert_eq!(bundle_version(&world, &own).await, version);
        owner.set(&own, "API_KEY", "another").await.status(200);
        assert_eq!(world.generation(&own).await, generation + 1);
        assert_ne!(bundle_version(&world, &own).await, version);
        world
    });
}

async fn bundle_version(world: &World, workspace: &str) -> String {
    let pulled = world.agent_of(workspace).await.get(&at(workspace, "/values")).await;
    pulled.status(200).headers["x-bundle-version"].to_str().expect("text").to_owned()
}

#[test]
fn values_stay_readable_while_keys_are_rotated_and_values_resealed() {
    each_engine(Config::default(), async |world| {
        let (own, owner) = (world.workspace("own").await, world.owner());
        let keys: Vec<String> = (0..120).map(|n| format!("KEY_{n}")).collect();
        let content: String = keys.iter().map(|key| format!("{key}=value of {key}\n")).collect();
        let import = json!({"format": "env", "content": content, "apply": true});
        owner.post(&at(&own, "/import"), import).await.status(200);
        let before = bundle(&world, &own).await;
        assert_eq!(before.as_object().map(serde_json::Map::len), Some(120));
        let (answer, changed) = world.changed(post(&world.admin(), "/keys/rotate")).await;
        answer.refused(403, "HUMAN_REQUIRED");
        World::only_audited(&changed);
        let generation = world.generation(&own).await;
        let rotated = post(&owner, "/keys/rotate").await.status(200).member("key_id");
        assert_eq!(bundle(&world, &own).await, before, "old keys still open");
        owner.set(&own, "KEY_0", "value of KEY_0").await.status(200);
        let old = "SELECT COUNT(*) FROM secret_versions WHERE key_id <> (SELECT id FROM keys WHERE purpose = 'data' \
                   AND retired_at IS NULL)";
        assert_eq!(world.db.integer(old), 120);
        let mut left = 120;
        while left > 0 {
            let step = post(&owner, "/keys/reseal").await.status(200).json.clone();
            let now = step["left"].as_i64().expect("a count");
            assert!(now < left, "a step that moves nothing: {step}");
            left = now;
            assert_eq!(bundle(&world, &own).await, before, "half-way values open too");
        }
        assert_eq!(world.db.integer(old), 0);
        assert_eq!(world.db.texts("SELECT DISTINCT key_id FROM secret_versions"), [rotated]);
        assert_eq!(world.generation(&own).await, generation, "no agent is restarted for it");
        world
    });
}
