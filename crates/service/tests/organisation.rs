//! The organisation over HTTP, on both engines: the tree, its one root, tokens and their lineage, logins and sessions.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod world;

use portcullis_authority::Config;
use portcullis_kernel::{
    operator::Role,
    workspace::{AGENT_CREATES_PER_HOUR_MAX, TREE_DEPTH_MAX},
};
use reqwest::Method;
use serde_json::{Value, json};
use world::{ADMIN, Actor, Answer, PASSWORD, World, each_engine};

async fn post(actor: &Actor, path: &str) -> Answer {
    actor.send(Method::POST, path, None).await
}

/// A workspace below another.
async fn below(world: &World, parent: &str, name: &str) -> String {
    let made = world.owner().post("/workspaces", json!({"name": name, "parent_id": parent})).await;
    made.status(201).member("id")
}

/// A token as the listing has it.
async fn listed(world: &World, path: &str, name: &str) -> Value {
    let list = world.owner().get(path).await;
    let tokens = list.status(200).json["tokens"].as_array().expect("tokens").clone();
    // A claim that was refused first leaves none behind: the last of that name is the one in use.
    tokens.into_iter().rfind(|token| token["name"] == name).unwrap_or_else(|| panic!("no token {name}"))
}

async fn id_of(world: &World, path: &str, name: &str) -> String {
    listed(world, path, name).await["id"].as_str().expect("an id").to_owned()
}

#[test]
fn workspaces_are_created_listed_renamed_moved_and_removed() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        let list = owner.get("/workspaces").await;
        assert_eq!(list.status(200).json.as_array().map(Vec::len), Some(1), "the first start makes the root");
        assert_eq!((&list.json[0]["kind"], &list.json[0]["parent_id"]), (&json!("platform"), &Value::Null));
        let made = owner.post("/workspaces", json!({"name": "one", "role": "writes", "runtime": "process"})).await;
        let one = made.status(201).member("id");
        assert_eq!((made.member("kind"), made.member("parent_id")), ("workspace".into(), world.root()));
        let two = below(&world, &one, "two").await;
        let three = below(&world, &two, "three").await;
        let path = format!("/workspaces/{one}");
        assert_eq!(owner.patch(&path, json!({"name": "renamed"})).await.status(200).json["name"], "renamed");
        for body in [json!({}), json!({"kind": "platform"}), json!({"name": ""})] {
            let (answer, changed) = world.changed(owner.patch(&path, body)).await;
            answer.refused(422, "INVALID_FIELD");
            assert!(!changed.contains_key("workspaces"), "{changed:?}");
        }
        let moved = owner.patch(&format!("/workspaces/{three}"), json!({"parent_id": one})).await;
        assert_eq!(moved.status(200).member("parent_id"), one);

        let (answer, changed) = world.changed(owner.delete(&path)).await;
        answer.refused(409, "CONFIRMATION_REQUIRED");
        assert_eq!(answer.json["children"].as_array().map(Vec::len), Some(2), "{}", answer.text);
        World::only_audited(&changed);
        owner.delete(&format!("{path}?confirm=one")).await.refused(409, "CONFIRMATION_REQUIRED");
        let agent = world.agent_of(&two).await;
        let removed = owner.delete(&format!("{path}?confirm=renamed")).await;
        assert_eq!(removed.status(200).json["removed"].as_array().map(Vec::len), Some(3), "{}", removed.text);
        agent.get(&format!("/workspaces/{two}")).await.refused(401, "CREDENTIAL_REVOKED");
        owner.get(&path).await.refused(404, "WORKSPACE_NOT_FOUND");
        owner.set(&one, "API_KEY", "x").await.status(404);
        assert!(world.db.integer("SELECT COUNT(*) FROM audit") > 0);
        assert!(!world.audit(&format!("workspace_id={one}")).await.is_empty(), "removal keeps the log");
        world
    });
}

#[test]
fn only_a_human_moves_a_workspace_and_never_into_a_circle_or_too_deep() {
    each_engine(Config::default(), async |world| {
        let (owner, one) = (world.owner(), world.workspace("one").await);
        let (two, free) = (below(&world, &one, "two").await, world.workspace("free").await);
        let service = world.bearer(&world.org_token(&owner, json!({"name": "service", "unattended": true})).await);
        let to = |parent: &str| json!({"parent_id": parent});
        for actor in [world.admin(), world.agent_of(&world.root()).await, service] {
            let (answer, changed) = world.changed(actor.patch(&format!("/workspaces/{two}"), to(&free))).await;
            answer.refused(403, "HUMAN_REQUIRED");
            World::only_audited(&changed);
        }
        for (workspace, parent) in [(&one, &one), (&one, &two), (&world.root(), &one)] {
            let (answer, changed) = world.changed(owner.patch(&format!("/workspaces/{workspace}"), to(parent))).await;
            answer.refused(422, "TREE_REFUSED");
            World::only_audited(&changed);
        }
        let nowhere = owner.patch(&format!("/workspaces/{two}"), to("01900000-0000-7000-8000-000000000000")).await;
        assert!((400..500).contains(&nowhere.status) && !nowhere.code().is_empty(), "{}", nowhere.text);
        // The root is the first level, `one` the second.
        let mut deepest = two.clone();
        for level in 4..=TREE_DEPTH_MAX {
            deepest = below(&world, &deepest, &format!("level {level}")).await;
        }
        let (answer, changed) =
            world.changed(owner.post("/workspaces", json!({"name": "too deep", "parent_id": deepest}))).await;
        answer.refused(422, "TREE_REFUSED");
        World::only_audited(&changed);
        // A subtree is as deep as its deepest.
        let (answer, changed) = world.changed(owner.patch(&format!("/workspaces/{one}"), to(&free))).await;
        answer.refused(422, "TREE_REFUSED");
        World::only_audited(&changed);
        owner.patch(&format!("/workspaces/{two}"), to(&free)).await.status(200);
        world
    });
}

#[test]
fn the_database_itself_knows_one_root() {
    each_engine(Config::default(), async |world| {
        let columns = "role, kind, parent_id, runtime, status, desired_state, desired_generation, observed_generation, \
                       created_at, created_by, updated_at, audit_id";
        let root = world.root();
        let tries = [
            format!(
                "INSERT INTO workspaces (id, name, {columns}) \
                 SELECT 'second', name, {columns} FROM workspaces WHERE id = '{root}'"
            ),
            format!("UPDATE workspaces SET status = 'removed' WHERE id = '{root}'"),
            format!("UPDATE workspaces SET parent_id = '{root}' WHERE id = '{root}'"),
            format!("UPDATE workspaces SET kind = 'workspace' WHERE id = '{root}'"),
            "UPDATE workspaces SET kind = 'platform', parent_id = NULL WHERE name = 'ordinary'".to_owned(),
            "UPDATE workspaces SET parent_id = NULL WHERE name = 'ordinary'".to_owned(),
        ];
        world.workspace("ordinary").await;
        for sql in tries {
            let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.db.run(&sql))).is_err();
            assert!(refused, "{} took: {sql}", world.db.engine);
        }
        // The statements are well-formed: without the constraint's cause the same update is taken.
        world.db.run("UPDATE workspaces SET kind = 'workspace' WHERE name = 'ordinary'");
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM workspaces WHERE kind = 'platform'"), 1);
        world.owner().post("/workspaces", json!({"name": "x", "kind": "platform"})).await.refused(422, "INVALID_FIELD");
        world
    });
}

#[test]
fn peers_are_parent_children_and_siblings() {
    each_engine(Config::default(), async |world| {
        let one = world.workspace("one").await;
        let two = world.workspace("two").await;
        let child = below(&world, &one, "child").await;
        let grandchild = below(&world, &child, "grandchild").await;
        let cousin = below(&world, &two, "cousin").await;
        let peers = async |workspace: &str| {
            let agent = world.agent_of(workspace).await;
            let list = agent.get(&format!("/registry/{workspace}/peers")).await;
            let list = list.status(200).json.as_array().expect("peers").clone();
            let mut names: Vec<_> =
                list.iter().map(|p| (p["id"].as_str().expect("an id").to_owned(), p["relation"].clone())).collect();
            names.sort_by(|a, b| a.0.cmp(&b.0));
            names
        };
        let sorted = |mut list: Vec<(String, Value)>| {
            list.sort_by(|a, b| a.0.cmp(&b.0));
            list
        };
        let pair = |id: &str, relation: &str| (id.to_owned(), json!(relation));
        let of_one = vec![pair(&world.root(), "parent"), pair(&two, "sibling"), pair(&child, "child")];
        assert_eq!(peers(&one).await, sorted(of_one));
        assert_eq!(peers(&child).await, sorted(vec![pair(&one, "parent"), pair(&grandchild, "child")]));
        assert_eq!(peers(&cousin).await, vec![pair(&two, "parent")]);
        let agent = world.agent_of(&one).await;
        agent.get(&format!("/registry/{two}/peers")).await.status(404);
        world
    });
}

#[test]
fn the_root_agent_creates_within_a_quota_that_minting_does_not_widen() {
    each_engine(Config::default(), async |world| {
        let minted = world.bearer(&world.org_token(&world.admin(), json!({"name": "minted"})).await);
        for n in 0..AGENT_CREATES_PER_HOUR_MAX {
            let actor = if n % 2 == 0 { world.admin() } else { minted.clone() };
            actor.post("/workspaces", json!({"name": format!("w{n}")})).await.status(201);
        }
        for actor in [world.admin(), minted.clone()] {
            let (answer, changed) = world.changed(actor.post("/workspaces", json!({"name": "more"}))).await;
            answer.refused(403, "QUOTA_SPENT");
            World::only_audited(&changed);
        }
        world.owner().post("/workspaces", json!({"name": "a human may"})).await.status(201);
        world.advance(60 * 60 * 1000 + 1);
        minted.post("/workspaces", json!({"name": "an hour later"})).await.status(201);
        world
    });
}

#[test]
fn the_root_agent_pauses_and_restarts_ordinary_workspaces_only() {
    each_engine(Config::default(), async |world| {
        let (one, other, admin) = (world.workspace("one").await, world.workspace("other").await, world.admin());
        let child = below(&world, &one, "child").await;
        let generation = world.generation(&one).await;
        let restarted = post(&admin, &format!("/workspaces/{one}/restart")).await;
        assert_eq!(restarted.status(200).json["desired_generation"], generation + 1, "{}", restarted.text);
        let paused = post(&admin, &format!("/workspaces/{one}/pause")).await;
        assert_eq!(paused.status(200).json["affected"].as_array().map(Vec::len), Some(2), "{}", paused.text);
        post(&admin, &format!("/workspaces/{one}/restart")).await.refused(409, "CONFLICT");
        let resume = post(&admin, &format!("/workspaces/{child}/resume")).await;
        assert_eq!(resume.refused(409, "ANCESTOR_PAUSED").member("paused_ancestor"), one);
        post(&admin, &format!("/workspaces/{one}/resume")).await.status(200);
        let held = admin.delete(&format!("/workspaces/{other}")).await;
        assert_eq!(held.status(202).json["reason"], "workspace_remove");
        world.owner().get(&format!("/workspaces/{other}")).await.status(200);
        let agent = world.agent_of(&one).await;
        for verb in ["restart", "pause"] {
            let (answer, changed) = world.changed(post(&agent, &format!("/workspaces/{one}/{verb}"))).await;
            answer.refused(403, "SELF_INTERRUPTION_BLOCKED");
            World::only_audited(&changed);
            let (answer, changed) = world.changed(post(&agent, &format!("/workspaces/{other}/{verb}"))).await;
            answer.refused(404, "NOT_FOUND");
            World::only_audited(&changed);
        }
        world
    });
}

#[test]
fn an_idempotency_key_makes_a_retry_the_same_request() {
    each_engine(Config::default(), async |world| {
        let retry = world.owner().with("idempotency-key", "retry-1");
        let body = json!({"name": "once"});
        let first = retry.post("/workspaces", body.clone()).await;
        assert!(!first.status(201).headers.contains_key("idempotent-replayed"));
        let (again, changed) = world.changed(retry.post("/workspaces", body.clone())).await;
        assert_eq!(again.status(201).member("id"), first.member("id"));
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert!(!changed.contains_key("workspaces"), "{changed:?}");
        let (other, changed) = world.changed(retry.post("/workspaces", json!({"name": "twice"}))).await;
        other.refused(422, "IDEMPOTENCY_KEY_REUSED");
        assert!(!changed.contains_key("workspaces"), "{changed:?}");
        // The key is the principal's own.
        let another = world.admin().with("idempotency-key", "retry-1").post("/workspaces", body).await;
        assert_ne!(another.status(201).member("id"), first.member("id"));
        let workspace = first.member("id");
        for (expected, value) in [(200, "v"), (200, "v"), (422, "w")] {
            retry
                .with("x-attempt", value)
                .without("idempotency-key")
                .with("idempotency-key", "set-1")
                .set(&workspace, "API_KEY", value)
                .await
                .status(expected);
        }
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM secret_versions"), 1);
        world.owner().with("idempotency-key", "").post("/workspaces", json!({"name": "x"})).await.status(400);
        world
    });
}

#[test]
fn the_token_of_a_workspace_is_delivered_into_that_workspace_and_no_other() {
    each_engine(Config::default(), async |world| {
        let (own, other) = (world.workspace("own").await, world.workspace("other").await);
        let (owner, agent) = (world.owner(), world.agent_of(&own).await);
        let path = format!("/workspaces/{own}/tokens");
        let into = |workspace: &str| json!({"deliver_to": {"workspace_id": workspace, "key": "TOKEN"}});
        let (answer, changed) = world.changed(owner.post(&path, into(&other))).await;
        answer.refused(422, "INVALID_FIELD");
        World::only_audited(&changed);
        // Its agent is not told whether another workspace is there.
        for workspace in [other.as_str(), "01900000-0000-7000-8000-000000000000"] {
            let (answer, changed) = world.changed(agent.post(&path, into(workspace))).await;
            answer.refused(404, "NOT_FOUND");
            World::only_audited(&changed);
        }
        owner.post(&path, into(&own)).await.status(201);
        let lines = owner.get(&format!("/workspaces/{own}/secrets")).await;
        assert_eq!(lines.status(200).json[0]["key"], "TOKEN", "{}", lines.text);
        let elsewhere = owner.get(&format!("/workspaces/{other}/secrets")).await;
        assert_eq!(elsewhere.status(200).json, json!([]));
        world
    });
}

#[test]
fn a_token_never_carries_more_than_its_minter_and_dies_with_it() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        let narrow =
            json!({"name": "narrow", "scopes": ["tokens:write", "tokens:read", "approvals"], "expires_in_s": 600});
        let parent = world.bearer(&world.org_token(&world.admin(), narrow).await);
        for scopes in [json!(["secrets:write"]), json!(["govern"]), json!(["tokens:write", "workspaces:write"])] {
            let (answer, changed) =
                world.changed(parent.post("/org/tokens", json!({"name": "wide", "scopes": scopes}))).await;
            answer.refused(403, "SCOPE_MISSING");
            World::only_audited(&changed);
        }
        let unattended = json!({"name": "wide", "scopes": ["approvals"], "unattended": true});
        parent.post("/org/tokens", unattended).await.refused(403, "HUMAN_REQUIRED");
        let long = json!({"name": "child", "scopes": ["tokens:read"], "expires_in_s": 86_400});
        let child = world.bearer(&world.org_token(&parent, long).await);
        let parent_end = listed(&world, "/org/tokens", "narrow").await["expires_at"].clone();
        assert_eq!(
            listed(&world, "/org/tokens", "child").await["expires_at"],
            parent_end,
            "no child outlives its parent"
        );
        child.get("/org/tokens").await.status(200);
        let revoked = owner.delete(&format!("/org/tokens/{}", id_of(&world, "/org/tokens", "narrow").await)).await;
        assert_eq!(revoked.status(200).json["revoked"], 2, "{}", revoked.text);
        for dead in [&parent, &child] {
            let (answer, changed) = world.changed(dead.get("/org/tokens")).await;
            answer.refused(401, "CREDENTIAL_REVOKED");
            assert!(changed.is_empty(), "{changed:?}");
        }
        let short = world.org_token(&owner, json!({"name": "short", "expires_in_s": 60})).await;
        world.bearer(&short).get("/workspaces").await.status(200);
        world.advance(60_000);
        world.bearer(&short).get("/workspaces").await.refused(401, "CREDENTIAL_EXPIRED");
        world
    });
}

#[test]
fn a_service_is_no_human_and_its_writes_wait_unless_it_is_unattended() {
    each_engine(Config::default(), async |world| {
        let (owner, workspace) = (world.owner(), world.workspace("one").await);
        let attended = world.bearer(&world.org_token(&owner, json!({"name": "attended"})).await);
        let unattended = json!({"name": "unattended", "unattended": true});
        let unattended = world.bearer(&world.org_token(&owner, unattended).await);
        attended.set(&workspace, "API_KEY", "x").await.status(202);
        unattended.set(&workspace, "API_KEY", "x").await.status(200);
        for service in [attended, unattended] {
            let (answer, changed) = world.changed(service.set(&world.root(), "API_KEY", "x")).await;
            answer.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
            World::only_audited(&changed);
            let body = json!({"email": "new@example.org", "password": PASSWORD, "role": "owner"});
            let (answer, changed) = world.changed(service.post("/operators", body)).await;
            answer.refused(403, "HUMAN_REQUIRED");
            World::only_audited(&changed);
        }
        world
    });
}

#[test]
fn a_minted_token_is_claimed_once_and_by_a_human() {
    each_engine(Config::default(), async |world| {
        let (owner, admin) = (world.owner(), world.admin());
        let held = admin.post("/org/tokens", json!({"name": "minted"})).await;
        let approval = held.status(202).member("approval_id");
        let decided = owner.decide(&approval, "approved").await;
        let claim = decided.status(200).json["result"]["claim_token"].as_str().expect("a claim").to_owned();
        assert!(!admin.get(&format!("/approvals/{approval}")).await.status(200).text.contains(&claim));
        let body = json!({"claim_token": claim});
        for stranger in [admin.clone(), world.bearer(&claim)] {
            let (answer, changed) = world.changed(stranger.post("/auth/token-claims", body.clone())).await;
            assert!(matches!(answer.status, 401 | 403), "{}", answer.text);
            assert!(!changed.contains_key("credentials"), "{changed:?}");
        }
        let token = owner.post("/auth/token-claims", body.clone()).await.status(200).member("auth_token");
        world.bearer(&token).get("/workspaces").await.status(200);
        owner.post("/auth/token-claims", body).await.refused(401, "CREDENTIAL_REVOKED");
        // The same request again says that it is done, and shows nothing.
        let again = admin.post("/org/tokens", json!({"name": "minted"})).await;
        assert!(again.json["auth_token"].is_null() && !again.text.contains(&token), "{}", again.text);
        // A claim that nobody took runs out.
        let held = admin.post("/org/tokens", json!({"name": "late"})).await;
        let decided = owner.decide(&held.status(202).member("approval_id"), "approved").await;
        let claim = decided.status(200).json["result"]["claim_token"].clone();
        world.advance(Config::default().code_ms - 1_000);
        owner.get("/auth/session").await.status(200);
        world.advance(1_000);
        owner.post("/auth/token-claims", json!({"claim_token": claim})).await.refused(401, "CREDENTIAL_EXPIRED");
        world
    });
}

#[test]
fn an_enrolment_code_works_once_for_its_own_workspace() {
    each_engine(Config::default(), async |world| {
        let (owner, one, other) = (world.owner(), world.workspace("one").await, world.workspace("other").await);
        let issue = async || post(&owner, &format!("/workspaces/{one}/enrolments")).await.status(201).member("code");
        let register = async |id: &str, code: &str| {
            world.nobody().post("/registry/register", json!({"id": id, "code": code})).await
        };
        let code = issue().await;
        let (answer, changed) = world.changed(register(&other, &code)).await;
        answer.refused(401, "CREDENTIAL_INVALID");
        assert!(!changed.contains_key("credentials"), "{changed:?}");
        register(&one, ADMIN).await.refused(401, "CREDENTIAL_INVALID");
        world.bearer(&code).get("/workspaces").await.status(401);
        let (first, second) = tokio::join!(register(&one, &code), register(&one, &code));
        let (won, lost) = if first.status == 200 { (first, second) } else { (second, first) };
        lost.refused(401, "CREDENTIAL_REVOKED");
        let agent = world.bearer(&won.status(200).member("auth_token"));
        agent.set(&one, "API_KEY", "own").await.status(200);
        agent.set(&other, "API_KEY", "x").await.status(404);
        let late = issue().await;
        world.advance(Config::default().code_ms);
        register(&one, &late).await.refused(401, "CREDENTIAL_EXPIRED");
        let held = post(&world.admin(), &format!("/workspaces/{one}/enrolments")).await;
        assert!(held.status(202).json["code"].is_null(), "{}", held.text);
        world
    });
}

#[test]
fn a_guesser_is_slowed_and_the_real_user_gets_in_within_seconds() {
    each_engine(Config::default(), async |world| {
        let login = async |password: &str| {
            world.nobody().post("/auth/login", json!({"email": "owner@example.org", "password": password})).await
        };
        for _ in 0..5 {
            let (answer, changed) = world.changed(login("wrong password here")).await;
            answer.refused(401, "LOGIN_FAILED");
            World::only_audited(&changed);
        }
        let (answer, changed) = world.changed(login(PASSWORD)).await;
        answer.refused(429, "LOGIN_RATE_LIMITED");
        assert!(!changed.contains_key("credentials"), "{changed:?}");
        let seconds: i64 = answer.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((1..=10).contains(&seconds), "the real user waits {seconds} s");
        world.owner().get("/workspaces").await.status(200);
        world.advance(seconds * 1_000);
        login(PASSWORD).await.status(200);
        login("wrong password here").await.refused(401, "LOGIN_FAILED");
        // What does not exist looks the same as a wrong password.
        let unknown = json!({"email": "nobody@example.org", "password": PASSWORD});
        let unknown = world.nobody().post("/auth/login", unknown).await;
        let wrong = login("wrong password here").await;
        assert_eq!((unknown.status, unknown.code()), (wrong.status, wrong.code()));
        world
    });
}

#[test]
fn a_session_ends_when_it_is_idle_and_at_the_latest_after_its_life() {
    each_engine(Config::default(), async |world| {
        let Config { session_ms, session_idle_ms, .. } = Config::default();
        let idle = world.log_in("owner@example.org").await;
        world.advance(session_idle_ms - 1);
        idle.get("/workspaces").await.status(200);
        world.advance(session_idle_ms);
        let (answer, changed) = world.changed(idle.post("/workspaces", json!({"name": "late"}))).await;
        answer.refused(401, "CREDENTIAL_EXPIRED");
        assert!(changed.is_empty(), "{changed:?}");
        let busy = world.log_in("owner@example.org").await;
        let half = session_idle_ms / 2;
        for _ in 0..(session_ms / half - 1) {
            world.advance(half);
            busy.get("/workspaces").await.status(200);
        }
        world.advance(half);
        busy.get("/workspaces").await.refused(401, "CREDENTIAL_EXPIRED");
        let left = world.log_in("owner@example.org").await;
        post(&left, "/auth/logout").await.status(200);
        left.get("/workspaces").await.refused(401, "CREDENTIAL_REVOKED");
        world
    });
}

#[test]
fn there_is_always_an_owner_and_roles_bound_what_an_operator_does() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        let id = owner.get("/auth/session").await.json["operator"]["id"].as_str().expect("an id").to_owned();
        for body in [json!({"role": "member"}), json!({"disabled": true})] {
            let (answer, changed) = world.changed(owner.patch(&format!("/operators/{id}"), body)).await;
            answer.refused(409, "CONFLICT");
            World::only_audited(&changed);
        }
        let workspace = world.workspace("one").await;
        let member = world.operator("member@example.org", Role::Member, &[]).await;
        let auditor = world.operator("auditor@example.org", Role::Auditor, &[]).await;
        member.set(&workspace, "API_KEY", "x").await.status(200);
        let org = json!({"key": "SHARED", "value": "x"});
        for (actor, answer) in [
            ("member, root", world.changed(member.set(&world.root(), "API_KEY", "x")).await),
            ("member, all", world.changed(member.post("/settings/secrets", org)).await),
            ("member, token", world.changed(member.post("/org/tokens", json!({"name": "t"}))).await),
            ("auditor", world.changed(auditor.set(&workspace, "API_KEY", "x")).await),
            ("auditor, create", world.changed(auditor.post("/workspaces", json!({"name": "x"}))).await),
        ] {
            let (answer, changed) = answer;
            assert_eq!((answer.status, answer.code()), (403, "ROLE_REQUIRED"), "{actor}: {}", answer.text);
            World::only_audited(&changed);
        }
        auditor.get("/audit").await.status(200);
        world
    });
}
