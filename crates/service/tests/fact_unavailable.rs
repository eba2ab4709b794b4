//! What cannot be looked up is refused: an id nobody knows, and tables that are gone underneath a running server. Nothing
//! is written, readiness says so, and everything works again once they are back.

mod probe;
mod world;

use portcullis_authority::Config;
use probe::{dump, problem, state};
use reqwest::Method;
use serde_json::{Value, json};
use world::{Actor, Answer, World, each_engine};

const VALUE: &str = "canary-value-of-the-missing-facts";
const ABSENT: &str = "018f0000-0000-7000-8000-000000000000";

/// Every way to write a secret of one workspace.
fn ways(workspace: &str) -> Vec<(Method, String, Option<Value>)> {
    let own = format!("/workspaces/{workspace}/secrets");
    let pair = || Some(json!({"key": "MODEL_KEY", "value": VALUE}));
    let import = json!({"format": "env", "content": format!("MODEL_KEY={VALUE}\n"), "apply": true});
    let line = json!({"workspace_id": workspace, "op": "set", "key": "MODEL_KEY", "value": VALUE});
    vec![
        (Method::POST, own.clone(), pair()),
        (Method::PUT, own.clone(), pair()),
        (Method::DELETE, format!("{own}/MODEL_KEY"), None),
        (Method::POST, format!("{own}/MODEL_KEY/rollback"), Some(json!({"to_version": 1}))),
        (Method::POST, format!("{own}/MODEL_KEY/activate"), Some(json!({"version": 1}))),
        (Method::POST, format!("{own}/MODEL_KEY/undelete"), None),
        (Method::POST, format!("{own}/import"), Some(import)),
        (Method::POST, "/secrets/change-sets".to_owned(), Some(json!({"changes": [line]}))),
    ]
}

async fn send(actor: &Actor, (method, path, body): &(Method, String, Option<Value>)) -> Answer {
    actor.send(method.clone(), path, body.as_ref().map(|body| body.to_string().into_bytes())).await
}

#[test]
fn an_id_nobody_knows_is_refused_with_the_code_of_the_guard_that_could_not_be_checked() {
    each_engine(Config::default(), async |world| {
        for way in ways(ABSENT) {
            let (answer, changed) = world.changed(send(&world.admin(), &way)).await;
            answer.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
            assert_eq!(answer.json["cause"], "fact_unavailable", "{}", answer.text);
            World::only_audited(&changed);
            let seq = answer.json["audit_id"].as_i64().expect("an audit id");
            let event = &world.audit(&format!("after={}", seq - 1)).await[0];
            assert_eq!(event["outcome"], "refused", "{event}");
            assert_eq!(event["detail"]["cause"], "fact_unavailable", "{event}");
            assert!(!event.to_string().contains(VALUE), "{event}");
        }
        for (method, path) in [
            (Method::POST, format!("/workspaces/{ABSENT}/restart")),
            (Method::POST, format!("/workspaces/{ABSENT}/pause")),
            (Method::DELETE, format!("/workspaces/{ABSENT}")),
        ] {
            let (answer, changed) = world.changed(send(&world.admin(), &(method, path, None))).await;
            answer.refused(403, "SELF_INTERRUPTION_BLOCKED");
            assert_eq!(answer.json["cause"], "fact_unavailable", "{}", answer.text);
            World::only_audited(&changed);
        }
        // A human is told plainly.
        world.owner().set(ABSENT, "MODEL_KEY", VALUE).await.refused(404, "WORKSPACE_NOT_FOUND");
        world
    });
}

/// Every table: which checks of readiness must say that it is gone, and whether no write can do without it.
const TABLES: [(&str, &[&str], bool); 24] = [
    ("credentials", &["store", "writer"], true),
    ("audit", &["store", "audit", "writer"], true),
    ("audit_head", &["store", "audit", "writer"], true),
    ("policy_revision", &["store", "policy", "writer"], true),
    ("events", &["store", "writer"], true),
    ("secrets", &["store", "writer"], true),
    ("keys", &["store", "keys", "writer"], false),
    ("workspaces", &["store", "writer"], false),
    ("intents", &["store", "writer"], false),
    ("secret_versions", &["store", "writer"], false),
    ("operators", &["store", "writer"], false),
    ("approvals", &["store", "writer"], false),
    ("votes", &["store", "writer"], false),
    ("policies", &["store", "writer"], false),
    ("idempotency", &["store", "writer"], false),
    ("checkpoints", &["store", "writer"], false),
    ("writer_lock", &["store", "writer"], false),
    ("meta", &["store", "writer"], false),
    ("runs", &["store", "writer"], false),
    ("turns", &["store", "writer"], false),
    ("messages", &["store", "writer"], false),
    ("passkeys", &["store", "writer"], false),
    ("challenges", &["store", "writer"], false),
    ("servers", &["store", "writer"], false),
];

fn gone(world: &World, table: &str) {
    world.db.run(&format!("ALTER TABLE {table} RENAME TO {table}_elsewhere"));
}

fn back(world: &World, table: &str) {
    world.db.run(&format!("ALTER TABLE {table}_elsewhere RENAME TO {table}"));
}

/// The names of the checks that fail, sorted.
async fn unready(world: &World) -> Vec<String> {
    let ready = world.nobody().get("/ready").await;
    let checks = ready.json["checks"].as_object().unwrap_or_else(|| panic!("no checks in {}", ready.text));
    let failing = checks.iter().filter(|(_, sound)| **sound == false).map(|(name, _)| name.to_owned());
    let failing: Vec<String> = failing.collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    assert_eq!(ready.status, if failing.is_empty() { 200 } else { 503 }, "{}", ready.text);
    assert_eq!(ready.json["ready"], failing.is_empty(), "{}", ready.text);
    failing
}

#[test]
fn the_table_of_workspaces_is_dropped_and_the_origins_write_is_refused_closed_and_audited() {
    each_engine(Config::default(), async |world| {
        let (root, other) = (world.root(), world.workspace("writer").await);
        let minted = world.bearer(&world.org_token(&world.admin(), json!({"name": "minted"})).await);
        let own = world.agent_of(&root).await;
        let stored = dump(&world.db)["secret_versions"].clone();
        gone(&world, "workspaces");
        for (name, actor) in [("admin token", world.admin()), ("token it minted", minted), ("its own token", own)] {
            for target in [&root, &other] {
                for way in ways(target) {
                    let log = world.db.integer("SELECT COUNT(*) FROM audit");
                    let answer = send(&actor, &way).await;
                    let what = format!("{} {name}: {} {}: {}", world.db.engine, way.0, way.1, answer.text);
                    assert_eq!((answer.status, answer.code()), (403, "CONCIERGE_SELF_WRITE_BLOCKED"), "{what}");
                    assert_eq!(answer.json["cause"], "fact_unavailable", "{what}");
                    assert!(answer.json["audit_id"].is_i64(), "{what}");
                    assert_eq!(world.db.integer("SELECT COUNT(*) FROM audit"), log + 1, "{what}");
                }
            }
        }
        assert_eq!(dump(&world.db)["secret_versions"], stored);
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM approvals"), 1, "only the mint was ever held");
        back(&world, "workspaces");
        assert!(unready(&world).await.is_empty());
        world.admin().set(&root, "MODEL_KEY", VALUE).await.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        world.admin().set(&other, "MODEL_KEY", VALUE).await.status(202);
        world.owner().set(&root, "MODEL_KEY", VALUE).await.status(200);
        world
    });
}

#[test]
fn any_table_that_is_gone_shows_in_readiness_refuses_what_needs_it_and_heals() {
    // No refusal is answered from memory: every one meets the table that is gone.
    each_engine(Config { refusal_cache_ms: 0, ..Config::default() }, async |world| {
        let (root, other) = (world.root(), world.workspace("writer").await);
        let agent = world.agent_of(&other).await;
        agent.set(&other, "MODEL_KEY", "a value from before").await.status(200);
        let known: Vec<String> = dump(&world.db).into_keys().filter(|name| !name.contains("migration")).collect();
        let mut listed: Vec<&str> = TABLES.iter().map(|(table, ..)| *table).collect();
        listed.sort_unstable();
        assert_eq!(known, listed, "a table is not tried");
        for (table, checks, needed) in TABLES {
            let before = state(&world.db);
            gone(&world, table);
            let what = format!("{} without `{table}`", world.db.engine);
            let mut checks = checks.to_vec();
            checks.sort_unstable();
            assert_eq!(unready(&world).await, checks, "{what}");
            let mut tries = vec![("the root agent on the root", world.admin(), &root)];
            if needed {
                tries.push(("the root agent elsewhere", world.admin(), &other));
                tries.push(("an agent at home", agent.clone(), &other));
                tries.push(("the owner", world.owner(), &root));
            }
            for (name, actor, target) in tries {
                for way in ways(target) {
                    let answer = send(&actor, &way).await;
                    let what = format!("{what}, {name}: {} {}", way.0, way.1);
                    problem(&answer, &[403, 503], &what);
                    assert!(!answer.text.contains(VALUE), "{what}: {}", answer.text);
                    assert!(!answer.text.contains("no such table"), "{what}: {}", answer.text);
                    assert!(!answer.text.contains("does not exist"), "{what}: {}", answer.text);
                }
            }
            back(&world, table);
            for (name, rows) in &state(&world.db) {
                assert_eq!(before[name], *rows, "{what}: `{name}` changed");
            }
            assert!(unready(&world).await.is_empty(), "{what}: not ready again");
            agent.set(&other, "MODEL_KEY", &format!("after {table}")).await.status(200);
            world.admin().set(&root, "MODEL_KEY", VALUE).await.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        }
        world
    });
}

#[test]
fn an_added_policy_that_cannot_be_read_refuses_instead_of_being_forgotten() {
    each_engine(Config::default(), async |world| {
        let other = world.workspace("writer").await;
        let agent = world.agent_of(&other).await;
        let policy = json!({"name": "freeze", "text": "@code(\"POLICY_FORBIDS\") @reason(\"frozen\") forbid (principal \
            is Agent, action == Action::\"secret.set\", resource is Workspace);"});
        world.owner().post("/policies", policy).await.status(201);
        agent.set(&other, "MODEL_KEY", VALUE).await.refused(403, "POLICY_FORBIDS");
        gone(&world, "policies");
        // What was read before is of another revision: the rules have to be read again, and cannot be.
        world.db.run("UPDATE policy_revision SET revision = revision + 1");
        assert_eq!(unready(&world).await, ["policy", "store", "writer"]);
        let (answer, stored) = (agent.set(&other, "MODEL_KEY", VALUE).await, "SELECT COUNT(*) FROM secret_versions");
        problem(&answer, &[403, 503], "a write under unreadable rules");
        assert_eq!(world.db.integer(stored), 0);
        back(&world, "policies");
        assert!(unready(&world).await.is_empty());
        agent.set(&other, "MODEL_KEY", VALUE).await.refused(403, "POLICY_FORBIDS");
        assert_eq!(world.db.integer(stored), 0);
        world
    });
}

#[test]
fn a_log_that_was_tampered_with_at_its_head_shows_in_readiness() {
    each_engine(Config::default(), async |world| {
        assert!(unready(&world).await.is_empty());
        world.db.run("UPDATE audit SET rule = 'other' WHERE seq = (SELECT MAX(seq) FROM audit)");
        assert_eq!(unready(&world).await, ["audit"]);
        world
    });
}

#[test]
fn a_target_whose_kind_does_not_read_back_is_refused_closed() {
    each_engine(Config::default(), async |world| {
        let (other, before) = (world.workspace("writer").await, "SELECT COUNT(*) FROM secret_versions");
        world.db.run(match world.db.engine {
            "sqlite" => {
                "PRAGMA ignore_check_constraints = ON; UPDATE workspaces SET kind = 'other' WHERE name = 'writer'"
            }
            _ => {
                "ALTER TABLE workspaces DROP CONSTRAINT workspaces_kind_check; \
                 UPDATE workspaces SET kind = 'other' WHERE name = 'writer'"
            }
        });
        for way in ways(&other) {
            let (answer, changed) = world.changed(send(&world.admin(), &way)).await;
            answer.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
            assert_eq!(answer.json["cause"], "fact_unavailable", "{}", answer.text);
            World::only_audited(&changed);
        }
        let (answer, changed) = world.changed(world.owner().set(&other, "MODEL_KEY", VALUE)).await;
        answer.refused(403, "FACT_UNAVAILABLE");
        World::only_audited(&changed);
        assert_eq!(world.db.integer(before), 0);
        world.db.run("UPDATE workspaces SET kind = 'workspace' WHERE name = 'writer'");
        world.owner().set(&other, "MODEL_KEY", VALUE).await.status(200);
        world
    });
}

#[test]
fn connections_that_are_cut_under_a_running_server_refuse_until_they_are_replaced() {
    each_engine(Config::default(), async |world| {
        let root = world.root();
        if world.db.engine == "sqlite" {
            // A file has no connection to cut; what fails there are its tables, above.
            return world;
        }
        world.db.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");
        // As many as there are readers and some more: each may have a dead connection of its own.
        for _ in 0..20 {
            let answer = world.admin().set(&root, "MODEL_KEY", VALUE).await;
            problem(&answer, &[403, 503], "after the cut");
        }
        assert!(unready(&world).await.is_empty());
        world.admin().set(&root, "MODEL_KEY", VALUE).await.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM secret_versions"), 0);
        world
    });
}
