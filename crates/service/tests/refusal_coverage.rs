//! Every route of the registry refuses whoever has no business there, and nothing changes. A new route fails here until
//! it has a sample request; a new public route, until it has a reason.

mod probe;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use portcullis_authority::{Config, testkit_db::TestDb};
use portcullis_kernel::operator::Role;
use portcullis_service::{Auth, registry};
use probe::{Fixture, Sample, Stranger, problem, state};
use reqwest::Method;
use serde_json::json;
use world::{Actor, World, each_engine};

const VALUE: &str = "canary-value-of-the-refusals";
/// How many public routes there were when this was last looked at. Lower it when one goes.
const EXEMPT_MAX: usize = 19;

fn exempt() -> BTreeMap<&'static str, &'static str> {
    let lines = include_str!("refusal_exempt.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| line.split_once(' ').map_or((line, ""), |(id, why)| (id, why.trim()))).collect()
}

/// The requests that need a caller.
fn guarded(fixture: &Fixture) -> Vec<Sample> {
    let exempt = exempt();
    fixture.requests(VALUE).into_iter().filter(|sample| !exempt.contains_key(sample.id)).collect()
}

/// Sends everything as `actor`, and asserts that it is refused with `status` and `code`, and that nothing changed: not
/// even the log, since nobody is known whom it could name.
async fn all_refused(world: &World, fixture: &Fixture, who: &str, actor: &Actor, status: u16, code: &str) {
    let (before, counted) = (state(&world.db), world.db.rows());
    let requests = guarded(fixture);
    assert!(requests.len() > 50, "the registry was not walked");
    for sample in requests {
        let Sample { id, method, path, body, .. } = sample;
        let answer = actor.send(method, &path, body).await;
        let what = format!("{} {who}: {id}", world.db.engine);
        problem(&answer, &[status], &what);
        assert_eq!(answer.code(), code, "{what}");
    }
    assert_eq!(state(&world.db), before, "{who} changed something");
    assert_eq!(world.db.rows()["audit"], counted["audit"], "{who} filled the log");
}

#[test]
fn public_routes_are_the_listed_ones_and_each_has_a_reason() {
    let public: BTreeSet<_> = registry().into_iter().filter(|op| op.auth == Auth::Public).map(|op| op.id).collect();
    let exempt = exempt();
    assert_eq!(public, exempt.keys().copied().collect(), "tests/refusal_exempt.txt and the registry differ");
    assert!(exempt.values().all(|why| why.len() > 10), "an exemption needs a reason: {exempt:?}");
    assert!(exempt.len() <= EXEMPT_MAX, "the list of public routes may only shrink");
}

#[test]
fn every_route_refuses_whoever_presents_nothing_or_something_forged() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let nobody = world.nobody();
        all_refused(&world, &fixture, "nobody", &nobody, 401, "UNAUTHENTICATED").await;
        let root = world.root();
        let forged = [
            ("origin", world.url.as_str()),
            ("referer", world.url.as_str()),
            ("x-workspace-id", root.as_str()),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-user", "owner@example.org"),
            ("x-forwarded-host", "localhost"),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-http-method-override", "GET"),
            ("x-csrf-token", "0000"),
            ("x-api-key", world::ADMIN),
            ("cookie", "__Host-portcullis=forged; session=forged; molecule_session=forged"),
        ]
        .iter()
        .fold(nobody.clone(), |actor, (name, value)| actor.with(name, value));
        all_refused(&world, &fixture, "forged headers", &forged, 401, "UNAUTHENTICATED").await;
        let cookie = nobody.with("cookie", "portcullis=forged").with("x-csrf-token", "0000");
        all_refused(&world, &fixture, "a forged cookie", &cookie, 401, "CREDENTIAL_INVALID").await;
        let session = world.owner().header("cookie").expect("a cookie").trim_start_matches("portcullis=").to_owned();
        for (who, actor) in [
            ("an unknown bearer", world.bearer("forged")),
            ("a session as bearer", world.bearer(&session)),
            ("another scheme", nobody.with("authorization", &format!("Basic {}", world::ADMIN))),
            ("two bearers", world.admin().with("authorization", "Bearer forged")),
            ("a token as cookie", nobody.with("cookie", &format!("portcullis={}", world::ADMIN))),
            // The cookie is good: a credential that is presented and wrong is not overlooked.
            ("a wrong bearer beside a good session", world.owner().with("authorization", "Bearer forged")),
        ] {
            all_refused(&world, &fixture, who, &actor, 401, "CREDENTIAL_INVALID").await;
        }
        world
    });
}

#[test]
fn every_route_refuses_revoked_expired_and_foreign_credentials() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // A well-formed token and a session of another organisation, which lives as long as they are presented.
    let (foreign_token, foreign_cookie, foreign_csrf) = runtime.block_on(async {
        let world = World::on(TestDb::sqlite(), Config::default()).await;
        let token = world.org_token(&world.owner(), json!({"name": "foreign"})).await;
        let owner = world.owner();
        let cookie = owner.header("cookie").expect("a cookie").to_owned();
        let csrf = owner.header("x-csrf-token").expect("a token").to_owned();
        drop(world.stop().await);
        (token, cookie, csrf)
    });
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let owner = world.owner();
        let home = fixture.ids["id"].clone();

        let token = world.bearer(&foreign_token);
        all_refused(&world, &fixture, "a foreign token", &token, 401, "CREDENTIAL_INVALID").await;
        let session = world.nobody().with("cookie", &foreign_cookie).with("x-csrf-token", &foreign_csrf);
        all_refused(&world, &fixture, "a foreign session", &session, 401, "CREDENTIAL_INVALID").await;

        let minted = owner.post(&format!("/workspaces/{home}/tokens"), json!({})).await;
        let revoked = world.bearer(&minted.status(201).member("auth_token"));
        owner.delete(&format!("/workspaces/{home}/tokens/{}", minted.member("id"))).await.status(200);
        all_refused(&world, &fixture, "a revoked token", &revoked, 401, "CREDENTIAL_REVOKED").await;

        let parent = world.org_token(&world.admin(), json!({"name": "parent"})).await;
        let child = world.org_token(&world.bearer(&parent), json!({"name": "child"})).await;
        let listed = owner.get("/org/tokens").await;
        let tokens = listed.status(200).json["tokens"].as_array().expect("tokens").clone();
        let id = tokens.iter().find(|token| token["name"] == "parent").expect("the parent")["id"].clone();
        owner.delete(&format!("/org/tokens/{}", id.as_str().expect("an id"))).await.status(200);
        let child = world.bearer(&child);
        all_refused(&world, &fixture, "a child of a revoked token", &child, 401, "CREDENTIAL_REVOKED").await;

        let ended = world.log_in("owner@example.org").await;
        ended.post("/auth/logout", json!({})).await.status(200);
        all_refused(&world, &fixture, "a session that was logged out", &ended, 401, "CREDENTIAL_REVOKED").await;

        let demoted = world.operator("leaver@example.org", Role::Owner, &[]).await;
        let id = demoted.get("/auth/session").await.json["operator"]["id"].as_str().expect("an id").to_owned();
        owner.patch(&format!("/operators/{id}"), json!({"disabled": true})).await.status(200);
        all_refused(&world, &fixture, "a disabled operator", &demoted, 401, "CREDENTIAL_REVOKED").await;

        let short = owner.post(&format!("/workspaces/{home}/tokens"), json!({"expires_in_s": 60})).await;
        let short = world.bearer(&short.status(201).member("auth_token"));
        let idle = world.log_in("owner@example.org").await;
        world.advance(60 * 1000);
        all_refused(&world, &fixture, "an expired token", &short, 401, "CREDENTIAL_EXPIRED").await;
        world.advance(world.authority.config().session_idle_ms);
        all_refused(&world, &fixture, "an idle session", &idle, 401, "CREDENTIAL_EXPIRED").await;
        world
    });
}

#[test]
fn every_route_refuses_an_agent_that_aims_at_what_is_not_its_own() {
    // No refusal is answered from memory: each must leave an event of its own.
    each_engine(Config { refusal_cache_ms: 0, ..Config::default() }, async |world| {
        let fixture = Fixture::new(&world).await;
        // What it adds to its token must not matter either.
        let forged = fixture.stranger.with("cookie", world.owner().header("cookie").expect("a cookie"));
        let forged = forged.with("x-csrf-token", world.owner().header("x-csrf-token").expect("a token"));
        let forged = forged.with("x-workspace-id", &fixture.ids["id"]).with("origin", &world.url);
        for (who, actor) in [("a stranger", &fixture.stranger), ("a stranger with an owner's cookie", &forged)] {
            let before = state(&world.db);
            for sample in guarded(&fixture) {
                let what = format!("{} {who}: {}", world.db.engine, sample.id);
                // A stream without end: what it shows is looked at in `surfaces.rs`. And what has no target but a session, which
                // `mcp_door.rs` takes from its owner.
                if matches!(sample.id, "events" | "mcp_listen" | "mcp_end") {
                    continue;
                }
                let rows = world.db.rows()["audit"];
                let answer = actor.send(sample.method, &sample.path, sample.body).await;
                let audited = world.db.rows()["audit"] - rows;
                if sample.stranger == Stranger::OnlyItsOwn {
                    answer.status(200);
                } else if sample.stranger == Stranger::NotOffered {
                    problem(&answer, &[400, 409], &what);
                    assert!(answer.is_a2a() && audited == 0, "{what}: {}", answer.text);
                } else {
                    problem(&answer, &[403, 404], &what);
                    let claimed = i64::from(answer.refusal()["audit_id"].is_i64());
                    assert_eq!(audited, claimed, "{what}: {}", answer.text);
                }
                for (name, id) in &fixture.ids {
                    // A refusal may repeat the key and the ids that the request itself named.
                    let named = sample.stranger == Stranger::Refused;
                    assert!(named || !answer.text.contains(id.as_str()), "{what} shows `{name}`: {}", answer.text);
                }
                assert!(!answer.text.contains(VALUE), "{what}: {}", answer.text);
            }
            assert_eq!(state(&world.db), before, "{who} changed something");
        }
        world
    });
}

/// What no token may do, whoever minted it.
const HUMANS_ONLY: [&str; 30] = [
    "step_up",
    "logout",
    "session",
    "session_list",
    "session_end",
    "passkey_list",
    "passkey_begin",
    "passkey_finish",
    "passkey_remove",
    "passkey_step_up_begin",
    "passkey_step_up_finish",
    "token_claim",
    "approval_decide",
    "workspace_approval_decide",
    "operator_list",
    "operator_create",
    "operator_update",
    "operator_invite",
    "password_change",
    "policy_list",
    "policy_add",
    "policy_remove",
    "policy_check",
    "policy_matrix",
    "policy_what_if",
    "key_rotate",
    "key_reseal",
    "secret_destroy",
    "workspace_apply",
    "workspace_force_stop",
];

#[test]
fn the_humans_routes_refuse_the_admin_token_and_every_other_token() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let all = json!(portcullis_kernel::scope::Scopes::agent());
        let of_owner = world.org_token(&world.owner(), json!({"name": "unattended", "unattended": true})).await;
        let of_root = world.org_token(&world.admin(), json!({"name": "of the root", "scopes": all})).await;
        for (who, actor) in [
            ("admin token", world.admin()),
            ("token of the root agent", world.bearer(&of_root)),
            ("unattended token of an owner", world.bearer(&of_owner)),
            ("the workspace's own agent", fixture.agent.clone()),
        ] {
            let before = state(&world.db);
            let mut walked = 0;
            for sample in guarded(&fixture).into_iter().filter(|sample| HUMANS_ONLY.contains(&sample.id)) {
                walked += 1;
                let answer = actor.send(sample.method, &sample.path, sample.body).await;
                let what = format!("{} {who}: {}", world.db.engine, sample.id);
                problem(&answer, &[403, 404], &what);
            }
            assert_eq!(walked, HUMANS_ONLY.len());
            assert_eq!(state(&world.db), before, "{who} changed something");
        }
        world
    });
}

#[test]
fn every_change_by_session_needs_its_own_csrf_token() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let owner = world.owner();
        let bare = owner.without("x-csrf-token");
        let other = world.log_in("owner@example.org").await;
        let swapped = bare.with("x-csrf-token", other.header("x-csrf-token").expect("a token"));
        let (before, counted) = (state(&world.db), world.db.rows());
        let mut changes = 0;
        for (who, actor) in [
            ("without", &bare),
            ("empty", &bare.with("x-csrf-token", "")),
            ("wrong", &bare.with("x-csrf-token", "0000")),
            ("of another session", &swapped),
        ] {
            for sample in guarded(&fixture).into_iter().filter(|sample| sample.method != Method::GET) {
                changes += 1;
                let answer = actor.send(sample.method, &sample.path, sample.body).await;
                answer.refused(403, "CSRF_REQUIRED");
                problem(&answer, &[403], &format!("{who}: {}", sample.id));
            }
        }
        assert!(changes > 100, "the changes were not walked");
        assert_eq!(state(&world.db), before);
        assert_eq!(world.db.rows(), counted);
        world
    });
}

#[test]
fn the_doors_that_are_public_open_to_nothing_that_is_not_theirs() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let nobody = world.nobody();
        let email = json!("second@example.org");
        let password = json!("a password that is long enough");
        for token in [world::ADMIN, "forged", ""] {
            let claim = json!({"token": token, "email": email, "password": password});
            nobody.post("/auth/claim", claim).await.refused(401, "CREDENTIAL_INVALID");
            let accept = json!({"token": token, "password": password});
            nobody.post("/auth/accept", accept).await.refused(401, "CREDENTIAL_INVALID");
            let register = json!({"id": fixture.ids["id"], "code": token});
            nobody.post("/registry/register", register).await.refused(401, "CREDENTIAL_INVALID");
        }
        // A code opens the workspace it was issued for, and no other.
        let issued = world.owner().post(&format!("/workspaces/{}/enrolments", fixture.ids["id"]), json!({})).await;
        let code = issued.status(201).member("code");
        let after_issue = state(&world.db);
        let wrong = nobody.post("/registry/register", json!({"id": world.root(), "code": code})).await;
        wrong.refused(401, "CREDENTIAL_INVALID");
        let claim = json!({"token": code, "email": email, "password": password});
        nobody.post("/auth/claim", claim).await.refused(401, "CREDENTIAL_INVALID");
        assert_eq!(state(&world.db), after_issue);
        for (who, password) in [("owner@example.org", "wrong password"), ("nobody@example.org", world::PASSWORD)] {
            let login = nobody.post("/auth/login", json!({"email": who, "password": password})).await;
            login.refused(401, "LOGIN_FAILED");
            assert!(login.headers.get("set-cookie").is_none());
        }
        assert_eq!(state(&world.db), after_issue);
        world
    });
}
