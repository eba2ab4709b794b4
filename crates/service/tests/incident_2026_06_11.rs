//! The origin's story and its siblings over HTTP, on both engines: whatever the credential, whatever the verb, whatever
//! the route, no agent reaches the organisation's root workspace, and every attempt leaves one audit event and no more.

mod world;

use portcullis_authority::Config;
use reqwest::Method;
use serde_json::{Value, json};
use world::{Actor, World, each_engine};

const VALUE: &str = "canary-value-of-the-incident";

/// Every way to a secret of the root: method, path, body.
fn ways(root: &str, other: &str) -> Vec<(Method, String, Option<Value>)> {
    let body = json!({"key": "MODEL_KEY", "value": VALUE});
    // Not a key the root has of its own: that would override, and nothing would reach it.
    let inherited = json!({"key": "INHERITED", "value": VALUE});
    let import = |key: &str| json!({"format": "env", "content": format!("{key}={VALUE}\n"), "apply": true});
    let line = |workspace: Value, key: &str| {
        json!({"changes": [
            {"workspace_id": other, "op": "set", "key": "HARMLESS", "value": VALUE},
            {"workspace_id": workspace, "op": "set", "key": key, "value": VALUE},
        ]})
    };
    let own = format!("/workspaces/{root}/secrets");
    vec![
        (Method::POST, own.clone(), Some(body.clone())),
        (Method::PUT, own.clone(), Some(body)),
        (Method::DELETE, format!("{own}/MODEL_KEY"), None),
        (Method::POST, format!("{own}/MODEL_KEY/rollback"), Some(json!({"to_version": 1}))),
        (Method::POST, format!("{own}/MODEL_KEY/activate"), Some(json!({"version": 1}))),
        (Method::POST, format!("{own}/MODEL_KEY/undelete"), None),
        (Method::POST, format!("{own}/MODEL_KEY/destroy"), None),
        (Method::POST, format!("{own}/import"), Some(import("MODEL_KEY"))),
        (Method::POST, "/settings/secrets".into(), Some(inherited.clone())),
        (Method::PUT, "/settings/secrets".into(), Some(inherited.clone())),
        (Method::POST, "/admin/secrets".into(), Some(inherited.clone())),
        (Method::PUT, "/admin/secrets".into(), Some(inherited)),
        (Method::DELETE, "/settings/secrets/INHERITED".into(), None),
        (Method::DELETE, "/admin/secrets/INHERITED".into(), None),
        (Method::POST, "/settings/secrets/INHERITED/rollback".into(), Some(json!({"to_version": 1}))),
        (Method::POST, "/settings/secrets/import".into(), Some(import("INHERITED"))),
        (Method::POST, "/secrets/change-sets".into(), Some(line(root.into(), "MODEL_KEY"))),
        (Method::POST, "/secrets/change-sets".into(), Some(line(Value::Null, "INHERITED"))),
    ]
}

/// Everything that is the root agent, whichever credential it holds.
async fn faces_of_the_root_agent(world: &World) -> Vec<(&'static str, Actor)> {
    let minted = world.bearer(&world.org_token(&world.admin(), json!({"name": "minted by the root"})).await);
    world.faces_of_the_root_agent(minted).await
}

#[test]
fn no_credential_of_the_root_agent_reaches_the_root_by_any_way() {
    each_engine(Config::default(), async |world| {
        let (root, other) = (world.root(), world.workspace("writer").await);
        // What there is to delete and to roll back, so that a refusal is the rule's and not for lack of a target.
        world.owner().set(&root, "MODEL_KEY", "first").await.status(200);
        let inherited = json!({"key": "INHERITED", "value": "first"});
        world.owner().post("/settings/secrets", inherited).await.status(200);
        for (name, actor) in faces_of_the_root_agent(&world).await {
            let generation = world.generation(&root).await;
            for (method, path, body) in ways(&root, &other) {
                // Past the window in which an identical refusal is answered from memory.
                world.advance(5_000);
                world.authority.tick().await.expect("time passes");
                let body = body.map(|body| body.to_string().into_bytes());
                let (answer, changed) = world.changed(actor.send(method.clone(), &path, body)).await;
                let what = format!("{} {name}: {method} {path}: {}", world.db.engine, answer.text);
                assert_eq!((answer.status, answer.code()), (403, "CONCIERGE_SELF_WRITE_BLOCKED"), "{what}");
                assert!(answer.json["error"].is_string() && answer.json["retryable"] == false, "{what}");
                World::only_audited(&changed);
                let seq = answer.json["audit_id"].as_i64().expect("an audit id");
                let event = &world.audit(&format!("after={}", seq - 1)).await[0];
                assert_eq!(event["reason"], "concierge_self_write_blocked", "{event}");
                assert_eq!(event["issue"], "core#2566", "{event}");
                assert!(event["event"].as_str().is_some_and(|word| word.ends_with(".refused")), "{event}");
                assert!(!event.to_string().contains(VALUE), "{event}");
            }
            assert_eq!(world.generation(&root).await, generation, "the root was not to move");
        }
        world
    });
}

#[test]
fn the_origin_itself_is_refused_with_the_words_its_clients_know() {
    each_engine(Config::default(), async |world| {
        let root = world.root();
        let (answer, changed) = world.changed(world.admin().set(&root, "MODEL_KEY", VALUE)).await;
        answer.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        assert_eq!((answer.member("workspace_id"), answer.member("key")), (root.clone(), "MODEL_KEY".to_owned()));
        World::only_audited(&changed);
        let events = world.audit("event=secret.set.refused").await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["workspace_id"], root.as_str());
        world
    });
}

#[test]
fn no_agent_restarts_pauses_removes_or_reconfigures_the_root() {
    each_engine(Config::default(), async |world| {
        let root = world.root();
        let generation = world.generation(&root).await;
        for (name, actor) in faces_of_the_root_agent(&world).await {
            for (method, path, body) in [
                (Method::POST, format!("/workspaces/{root}/restart"), None),
                (Method::POST, format!("/workspaces/{root}/pause"), None),
                (Method::DELETE, format!("/workspaces/{root}"), None),
                (Method::PATCH, format!("/workspaces/{root}"), Some(json!({"runtime": "process"}))),
                (Method::PATCH, format!("/workspaces/{root}"), Some(json!({"name": "other"}))),
            ] {
                let body = body.map(|body| body.to_string().into_bytes());
                let (answer, changed) = world.changed(actor.send(method.clone(), &path, body)).await;
                let what = format!("{name}: {method} {path}: {}", answer.text);
                assert_eq!((answer.status, answer.code()), (403, "SELF_INTERRUPTION_BLOCKED"), "{what}");
                World::only_audited(&changed);
            }
        }
        assert_eq!(world.generation(&root).await, generation);
        world
    });
}

#[test]
fn a_human_may_and_the_root_is_not_restarted() {
    each_engine(Config::default(), async |world| {
        let root = world.root();
        let before = world.owner().get(&format!("/workspaces/{root}/state")).await.status(200).json.clone();
        let plan = format!("/workspaces/{root}/secrets?dry_run=true");
        let plan = world.owner().post(&plan, json!({"key": "MODEL_KEY", "value": VALUE})).await;
        assert_eq!(plan.status(200).json["decision"], "allow", "{}", plan.text);
        let (answer, changed) = world.changed(world.owner().set(&root, "MODEL_KEY", VALUE)).await;
        assert_eq!(answer.status(200).json["status"], "saved");
        assert_eq!(changed["secret_versions"], 1);
        let after = world.owner().get(&format!("/workspaces/{root}/state")).await.status(200).json.clone();
        let number = |state: &Value, name: &str| state[name].as_i64().unwrap_or_else(|| panic!("{name} in {state}"));
        assert_eq!(number(&after, "desired_generation"), number(&before, "desired_generation") + 1);
        assert_eq!(number(&after, "observed_generation"), number(&before, "observed_generation"));
        let anywhere = world.workspace("writer").await;
        assert_eq!(world.owner().set(&anywhere, "ANY", VALUE).await.status(200).json["status"], "saved");
        world
    });
}

#[test]
fn an_agent_in_a_loop_costs_one_row_and_is_counted() {
    const AGAIN: i64 = 50;
    each_engine(Config::default(), async |mut world| {
        // It would take what was repeated out of the memory and write it down a moment later.
        world.without_worker().await;
        let root = world.root();
        let first = world.admin().set(&root, "MODEL_KEY", VALUE).await;
        first.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        let (last, changed) = world
            .changed(async {
                for _ in 1..AGAIN {
                    world.admin().set(&root, "MODEL_KEY", VALUE).await.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
                }
                world.admin().set(&root, "MODEL_KEY", VALUE).await
            })
            .await;
        last.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        assert_eq!((&last.json["audit_id"], &last.json["repeated"]), (&first.json["audit_id"], &json!(AGAIN)));
        assert!(changed.is_empty(), "{changed:?}");
        // Another key is another question.
        let (other, changed) = world.changed(world.admin().set(&root, "ANOTHER_KEY", VALUE)).await;
        other.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        World::only_audited(&changed);
        world.advance(5_000);
        world.authority.tick().await.expect("time passes");
        let counted = world.audit("event=refusal.repeated").await;
        assert_eq!(counted.len(), 1, "{counted:?}");
        assert_eq!(counted[0]["detail"]["repeats"], AGAIN, "{}", counted[0]);
        // The window is over: the next one is decided and audited again.
        let (answer, changed) = world.changed(world.admin().set(&root, "MODEL_KEY", VALUE)).await;
        answer.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        World::only_audited(&changed);
        world
    });
}
