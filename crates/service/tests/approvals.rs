//! Approvals over HTTP, on both engines: a held request is exact, is decided by an entitled human who did not ask, ends
//! once, and is never applied to anything but what was asked.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

#[path = "approvals/again.rs"]
mod again;
#[path = "approvals/questions.rs"]
mod questions;
mod world;

use portcullis_authority::Config;
use portcullis_kernel::operator::Role;
use reqwest::Method;
use serde_json::{Value, json};
use world::{ADMIN, Actor, Answer, World, each_engine};

const VALUE: &str = "canary-value-of-an-approval";

/// Asks as the root agent for a secret of a workspace and returns the approval.
async fn ask(world: &World, workspace: &str, value: &str) -> String {
    let held = world.admin().set(workspace, "API_KEY", value).await;
    assert_eq!(held.status(202).json["status"], "pending_approval");
    held.member("approval_id")
}

async fn status(world: &World, approval: &str) -> String {
    world.owner().get(&format!("/approvals/{approval}")).await.status(200).member("status")
}

async fn versions(world: &World, workspace: &str) -> Vec<Value> {
    let list = world.owner().get(&format!("/workspaces/{workspace}/secrets/API_KEY/versions")).await;
    if list.status == 404 { Vec::new() } else { list.status(200).json.as_array().expect("a list").clone() }
}

/// What the workspace is given under the key.
async fn active(world: &World, workspace: &str) -> Value {
    let agent = world.agent_of(workspace).await;
    agent.get(&format!("/workspaces/{workspace}/secrets/values")).await.status(200).json["API_KEY"].clone()
}

async fn add_policy(world: &World, text: &str) -> String {
    world.owner().post("/policies", json!({"name": "added", "text": text})).await.status(201).member("id")
}

/// A policy that holds every write of a secret until these agree.
fn holds(annotations: &str) -> String {
    format!(
        "{annotations}\nforbid (principal, action == Action::\"secret.set\", resource) unless {{ context.approved }};"
    )
}

#[test]
fn a_held_request_is_unreadable_until_a_human_agrees_and_is_done_once() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let (held, changed) = world.changed(world.admin().set(&workspace, "API_KEY", VALUE)).await;
        held.status(202);
        let approval = held.member("approval_id");
        assert_eq!(held.member("status"), "pending_approval");
        assert_eq!((held.member("action"), held.member("reason")), ("secret.set".into(), "secret_write".into()));
        assert_eq!(held.member("status_url"), format!("/approvals/{approval}"));
        assert!(held.json["expires_at"].is_string() && held.json["audit_id"].is_i64(), "{}", held.text);
        assert_eq!(changed, [("approvals", 1), ("audit", 1)].into(), "a held request writes its plan and nothing else");
        assert_eq!(active(&world, &workspace).await, Value::Null);
        let list = world.owner().get(&format!("/workspaces/{workspace}/secrets")).await;
        assert_eq!(list.status(200).json, json!([]));
        for path in [format!("/approvals/{approval}"), "/approvals/pending".into(), "/audit?limit=1000".into()] {
            let page = world.owner().get(&path).await;
            assert!(!page.status(200).text.contains(VALUE), "{path} shows the value");
        }

        let done = world.owner().decide(&approval, "approved").await;
        assert_eq!(done.status(200).json["status"], "applied");
        let votes = &world.owner().get(&format!("/approvals/{approval}")).await.json["votes"];
        assert_eq!((&votes[0]["decision"], &votes[0]["break_glass"]), (&json!("approved"), &json!(false)), "{votes}");
        for event in ["secret.set.held", "approval.decide", "secret.set", "approval.applied"] {
            let events = world.audit(&format!("event={event}")).await;
            assert_eq!((events.len(), &events[0]["approval_id"]), (1, &json!(approval)), "{event}");
        }
        assert_eq!(active(&world, &workspace).await, VALUE);
        let list = versions(&world, &workspace).await;
        assert_eq!(list.len(), 1);
        assert_eq!(list[0]["created_by"], format!("agent:{}", world.root()), "the version says who asked");
        let owner = world.owner().get("/auth/session").await.json["operator"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(list[0]["approved_by"], format!("operator:{owner}"), "the version says who agreed");
        assert_eq!((&list[0]["approval_id"], &list[0]["active"]), (&json!(approval), &json!(true)));

        let (again, changed) = world.changed(world.admin().set(&workspace, "API_KEY", VALUE)).await;
        assert_eq!((again.status(200).member("status"), again.member("key")), ("saved".into(), "API_KEY".into()));
        assert!(!changed.contains_key("secret_versions") && !changed.contains_key("approvals"), "{changed:?}");
        assert_ne!(ask(&world, &workspace, "another value").await, approval, "another value is another question");
        world
    });
}

#[test]
fn the_same_request_is_the_same_approval_while_it_waits() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let first = world.admin().set(&workspace, "API_KEY", VALUE).await;
        let (second, changed) = world.changed(world.admin().set(&workspace, "API_KEY", VALUE)).await;
        let first_id = first.status(202).member("approval_id");
        assert_eq!(second.status(202).member("approval_id"), first_id);
        assert_eq!(second.json["audit_id"], first.json["audit_id"], "one request, one event");
        assert!(!changed.contains_key("approvals"), "{changed:?}");
        assert_ne!(ask(&world, &workspace, "other").await, first_id);
        world
    });
}

#[test]
fn a_no_stands_and_ends_the_request() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let approval = ask(&world, &workspace, VALUE).await;
        assert_eq!(world.owner().decide(&approval, "denied").await.status(200).json["status"], "denied");
        let (again, changed) = world.changed(world.admin().set(&workspace, "API_KEY", VALUE)).await;
        again.refused(403, "APPROVAL_DENIED");
        World::only_audited(&changed);
        let (late, changed) = world.changed(world.owner().decide(&approval, "approved")).await;
        late.refused(409, "APPROVAL_NOT_PENDING");
        World::only_audited(&changed);
        assert!(versions(&world, &workspace).await.is_empty());
        assert_ne!(ask(&world, &workspace, "another value").await, approval);
        world
    });
}

#[test]
fn only_who_asked_takes_a_request_back() {
    each_engine(Config::default(), async |world| {
        let (workspace, other) = (world.workspace("writer").await, world.workspace("other").await);
        let approval = ask(&world, &workspace, VALUE).await;
        let path = format!("/approvals/{approval}/withdraw");
        for stranger in [world.agent_of(&other).await, world.agent_of(&workspace).await, world.owner()] {
            let (answer, changed) = world.changed(stranger.send(Method::POST, &path, None)).await;
            answer.refused(404, "NOT_FOUND");
            World::only_audited(&changed);
        }
        let back = world.admin().send(Method::POST, &path, None).await;
        assert_eq!(back.status(200).json["status"], "withdrawn");
        world.owner().decide(&approval, "approved").await.refused(409, "APPROVAL_NOT_PENDING");
        assert!(versions(&world, &workspace).await.is_empty());
        assert_ne!(ask(&world, &workspace, VALUE).await, approval);
        world
    });
}

#[test]
fn a_vote_at_the_instant_of_expiry_is_too_late_and_one_before_is_not() {
    let config = Config { approval_expires_ms: 60_000, ..Config::default() };
    each_engine(config, async |mut world| {
        // It would end the late one first, now and then.
        world.without_worker().await;
        let workspace = world.workspace("writer").await;
        let late = ask(&world, &workspace, VALUE).await;
        world.advance(1);
        let early = ask(&world, &workspace, "in time").await;
        world.advance(59_999);
        let (answer, changed) = world.changed(world.owner().decide(&late, "approved")).await;
        answer.refused(409, "APPROVAL_EXPIRED");
        assert!(!changed.contains_key("secret_versions") && !changed.contains_key("votes"), "{changed:?}");
        assert_eq!(status(&world, &late).await, "expired");
        world.owner().decide(&late, "approved").await.refused(409, "APPROVAL_NOT_PENDING");
        assert_eq!(world.owner().decide(&early, "approved").await.status(200).json["status"], "applied");
        assert_eq!(active(&world, &workspace).await, "in time");
        assert_eq!(versions(&world, &workspace).await.len(), 1);
        world
    });
}

#[test]
fn the_worker_ends_what_nobody_decided_and_says_so() {
    let config = Config { approval_expires_ms: 60_000, ..Config::default() };
    each_engine(config, async |world| {
        let workspace = world.workspace("writer").await;
        let approval = ask(&world, &workspace, VALUE).await;
        world.advance(59_999);
        world.authority.tick().await.expect("time passes");
        assert_eq!(status(&world, &approval).await, "pending");
        world.advance(1);
        world.authority.tick().await.expect("time passes");
        let view = world.owner().get(&format!("/approvals/{approval}")).await;
        assert_eq!((view.member("status"), view.member("code")), ("expired".into(), "APPROVAL_EXPIRED".into()));
        assert_eq!(world.audit("event=approval.expired").await.len(), 1);
        world.owner().decide(&approval, "approved").await.refused(409, "APPROVAL_NOT_PENDING");
        assert!(versions(&world, &workspace).await.is_empty());
        assert_ne!(ask(&world, &workspace, VALUE).await, approval, "a new question, a new time");
        world
    });
}

/// Everybody who is not a human, with everything that was ever taken for one.
async fn who_cannot_decide(world: &World, workspace: &str) -> Vec<(&'static str, Actor)> {
    let owner = world.owner();
    let admin = world.admin();
    let minted = world.org_token(&admin, json!({"name": "minted"})).await;
    let grandchild = world.org_token(&world.bearer(&minted), json!({"name": "of the minted"})).await;
    let service = world.org_token(&owner, json!({"name": "service", "unattended": true})).await;
    let cookie = owner.header("cookie").expect("a cookie").to_owned();
    let csrf = owner.header("x-csrf-token").expect("a token").to_owned();
    vec![
        ("the requester", admin.clone()),
        ("its child", world.bearer(&minted)),
        ("its grandchild", world.bearer(&grandchild)),
        ("a service", world.bearer(&service)),
        ("the root's own token", world.agent_of(&world.root()).await),
        ("the workspace's own token", world.agent_of(workspace).await),
        ("a forged cookie beside", admin.with("cookie", "portcullis=forged")),
        ("a stolen session beside", admin.with("cookie", &cookie).with("x-csrf-token", &csrf)),
        ("origin", admin.with("origin", &world.url)),
        ("referer", admin.with("referer", &format!("{}/approvals", world.url))),
        ("workspace header", admin.with("x-workspace-id", workspace)),
        ("forwarded for", admin.with("x-forwarded-for", "127.0.0.1")),
        ("forwarded user", admin.with("x-forwarded-user", "owner@example.org")),
        ("forwarded email", admin.with("x-forwarded-email", "owner@example.org")),
        ("forwarded host", admin.with("x-forwarded-host", "127.0.0.1").with("forwarded", "for=127.0.0.1")),
    ]
}

#[test]
fn nobody_but_a_human_decides_whatever_else_is_sent() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let who = who_cannot_decide(&world, &workspace).await;
        let approval = ask(&world, &workspace, VALUE).await;
        let paths =
            [format!("/approvals/{approval}/decide"), format!("/workspaces/{workspace}/approvals/{approval}/decide")];
        for (name, actor) in who {
            for path in &paths {
                for body in [
                    json!({"decision": "approved"}),
                    json!({"decision": "denied"}),
                    json!({"decision": "approved", "break_glass": true, "note": "now"}),
                ] {
                    // Past the window in which an identical refusal is answered from memory.
                    world.advance(2_001);
                    world.authority.tick().await.expect("time passes");
                    let (answer, changed) = world.changed(actor.post(path, body)).await;
                    assert_eq!(answer.status, 403, "{} {name}: {}", world.db.engine, answer.text);
                    answer.refused(403, "HUMAN_REQUIRED");
                    World::only_audited(&changed);
                }
            }
        }
        let path = &paths[0];
        for (actor, code) in [
            (world.nobody(), "UNAUTHENTICATED"),
            (world.nobody().with("x-forwarded-user", "owner@example.org"), "UNAUTHENTICATED"),
            (world.nobody().with("cookie", "portcullis=forged"), "CREDENTIAL_INVALID"),
            (world.nobody().with("cookie", &format!("portcullis={ADMIN}")), "CREDENTIAL_INVALID"),
        ] {
            let (answer, changed) = world.changed(actor.post(path, json!({"decision": "approved"}))).await;
            answer.refused(401, code);
            assert!(changed.is_empty(), "{changed:?}");
        }
        let owner = world.log_in("owner@example.org").await;
        for decided_by in ["decided_by", "approver", "operator"] {
            let body = json!({"decision": "approved", decided_by: "owner@example.org"});
            for actor in [&owner, &world.admin()] {
                let (answer, changed) = world.changed(actor.post(path, body.clone())).await;
                answer.refused(422, "INVALID_FIELD");
                assert!(changed.is_empty(), "{changed:?}");
            }
        }
        let (answer, changed) =
            world.changed(owner.without("x-csrf-token").post(path, json!({"decision": "approved"}))).await;
        answer.refused(403, "CSRF_REQUIRED");
        assert!(changed.is_empty(), "{changed:?}");
        assert_eq!(status(&world, &approval).await, "pending");
        assert!(versions(&world, &workspace).await.is_empty());
        world
    });
}

#[test]
fn of_two_concurrent_votes_one_decides() {
    each_engine(Config::default(), async |world| {
        let one = world.operator("one@example.org", Role::Approver, &[]).await;
        let two = world.operator("two@example.org", Role::Approver, &[]).await;
        for round in 0..6 {
            let workspace = world.workspace(&format!("writer {round}")).await;
            let approval = ask(&world, &workspace, VALUE).await;
            let second = if round % 2 == 0 { "denied" } else { "approved" };
            let (a, b) = tokio::join!(one.decide(&approval, "approved"), two.decide(&approval, second));
            let (won, lost): (&Answer, &Answer) = if a.status == 200 { (&a, &b) } else { (&b, &a) };
            won.status(200);
            lost.refused(409, "APPROVAL_NOT_PENDING");
            assert_eq!(status(&world, &approval).await, won.member("status"));
            let applied = usize::from(won.json["status"] == "applied");
            assert_eq!(versions(&world, &workspace).await.len(), applied, "{} round {round}", world.db.engine);
            let view = world.owner().get(&format!("/approvals/{approval}")).await;
            assert_eq!(view.json["votes"].as_array().map(Vec::len), Some(1), "{}", view.text);
        }
        world
    });
}

#[test]
fn a_vote_counts_by_what_the_voter_is_at_that_moment() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let approval = ask(&world, &workspace, VALUE).await;
        let demoted = world.create_operator("demoted@example.org", Role::Approver, &[]).await;
        let disabled = world.create_operator("disabled@example.org", Role::Approver, &[]).await;
        let (was_approver, was_enabled) =
            (world.log_in("demoted@example.org").await, world.log_in("disabled@example.org").await);
        world.create_operator("fresh@example.org", Role::Approver, &[]).await;
        let only_logged_in = world.log_in_only("fresh@example.org").await;
        let member = world.operator("member@example.org", Role::Member, &["security"]).await;
        let auditor = world.operator("auditor@example.org", Role::Auditor, &[]).await;
        world.owner().patch(&format!("/operators/{demoted}"), json!({"role": "member"})).await.status(200);
        world.owner().patch(&format!("/operators/{disabled}"), json!({"disabled": true})).await.status(200);
        for (actor, code, audited) in [
            (was_approver, (403, "ROLE_REQUIRED"), true),
            (was_enabled, (401, "CREDENTIAL_REVOKED"), false),
            (only_logged_in.clone(), (403, "STEP_UP_REQUIRED"), true),
            (member, (403, "ROLE_REQUIRED"), true),
            (auditor, (403, "ROLE_REQUIRED"), true),
        ] {
            for decision in ["approved", "denied"] {
                world.advance(2_001);
                world.authority.tick().await.expect("time passes");
                let (answer, changed) = world.changed(actor.decide(&approval, decision)).await;
                answer.refused(code.0, code.1);
                assert_eq!(changed, if audited { [("audit", 1)].into() } else { [].into() }, "{}", answer.text);
            }
        }
        assert_eq!(status(&world, &approval).await, "pending");
        only_logged_in.post("/auth/step-up", json!({"password": world::PASSWORD})).await.status(200);
        // The step-up runs out as well.
        world.advance(Config::default().step_up_ms);
        only_logged_in.decide(&approval, "approved").await.refused(403, "STEP_UP_REQUIRED");
        only_logged_in.post("/auth/step-up", json!({"password": world::PASSWORD})).await.status(200);
        assert_eq!(only_logged_in.decide(&approval, "approved").await.status(200).json["status"], "applied");
        world
    });
}

#[test]
fn a_human_who_asked_does_not_decide_either() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        add_policy(&world, &holds("@hold(\"role:approver=1\")")).await;
        let held = world.owner().set(&workspace, "API_KEY", VALUE).await;
        let approval = held.status(202).member("approval_id");
        let (answer, changed) = world.changed(world.owner().decide(&approval, "approved")).await;
        answer.refused(403, "SELF_APPROVAL_BLOCKED");
        World::only_audited(&changed);
        assert!(versions(&world, &workspace).await.is_empty());
        let other = world.operator("approver@example.org", Role::Approver, &[]).await;
        assert_eq!(other.decide(&approval, "approved").await.status(200).json["status"], "applied");
        assert_eq!(active(&world, &workspace).await, VALUE);
        world
    });
}

#[test]
fn every_named_group_must_agree_and_whoever_left_no_longer_counts() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        add_policy(&world, &holds("@hold(\"group:security=2,group:qa=1\")")).await;
        let left = world.create_operator("left@example.org", Role::Approver, &["security"]).await;
        let leaver = world.log_in("left@example.org").await;
        let security = world.operator("security@example.org", Role::Approver, &["security"]).await;
        let third = world.operator("third@example.org", Role::Approver, &["security"]).await;
        let qa = world.operator("qa@example.org", Role::Approver, &["qa"]).await;
        let approval = ask(&world, &workspace, VALUE).await;
        for (voter, name) in [(&leaver, "left"), (&security, "security")] {
            assert_eq!(voter.decide(&approval, "approved").await.status(200).json["status"], "pending", "{name}");
            voter.decide(&approval, "approved").await.refused(409, "ALREADY_VOTED");
        }
        world.owner().patch(&format!("/operators/{left}"), json!({"groups": []})).await.status(200);
        let vote = qa.decide(&approval, "approved").await;
        assert_eq!(vote.status(200).json["status"], "pending", "who left the group was counted: {}", vote.text);
        assert_eq!(vote.json["missing"].as_array().map(Vec::len), Some(1), "{}", vote.text);
        assert!(versions(&world, &workspace).await.is_empty());
        assert_eq!(third.decide(&approval, "approved").await.status(200).json["status"], "applied");
        assert_eq!(versions(&world, &workspace).await.len(), 1);

        let other = ask(&world, &workspace, "another").await;
        assert_eq!(security.decide(&other, "approved").await.status(200).json["status"], "pending");
        assert_eq!(qa.decide(&other, "denied").await.status(200).json["status"], "denied", "one no is a no");
        assert_eq!(versions(&world, &workspace).await.len(), 1);
        world
    });
}

#[test]
fn a_checklist_and_a_note_are_asked_for_before_a_yes() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let text = holds("@hold(\"role:approver=1\")\n@checklist(\"backup taken; team told\")\n@note(\"required\")");
        add_policy(&world, &text).await;
        let approval = ask(&world, &workspace, VALUE).await;
        let path = format!("/approvals/{approval}/decide");
        let half = json!({"backup taken": "ok"});
        let whole = json!({"backup taken": "ok", "team told": "n/a"});
        for (body, code) in [
            (json!({"decision": "approved", "checklist": whole}), "NOTE_REQUIRED"),
            (json!({"decision": "approved", "note": "why"}), "CHECKLIST_INCOMPLETE"),
            (json!({"decision": "approved", "note": "why", "checklist": half}), "CHECKLIST_INCOMPLETE"),
        ] {
            let (answer, changed) = world.changed(world.owner().post(&path, body)).await;
            answer.refused(422, code);
            World::only_audited(&changed);
        }
        let body = json!({"decision": "approved", "note": "why", "checklist": whole});
        assert_eq!(world.owner().post(&path, body).await.status(200).json["status"], "applied");
        world
    });
}

/// What may happen between a request and its vote, each of which voids it.
#[test]
fn what_is_no_longer_what_was_asked_is_voided_and_never_applied() {
    each_engine(Config::default(), async |world| {
        let unrelated = "forbid (principal is Agent, action == Action::\"audit.export\", resource);";
        let removable = add_policy(&world, unrelated).await;
        let minted = world.org_token(&world.admin(), json!({"name": "asks and is revoked"})).await;
        let tokens = world.owner().get("/org/tokens").await;
        let token = tokens.json["tokens"].as_array().expect("tokens").iter();
        let mut token = token.filter(|token| token["name"] == "asks and is revoked").map(|token| token["id"].clone());
        let token = token.next_back().expect("the token").as_str().expect("an id").to_owned();
        for what in ["policy added", "policy removed", "base version", "key deleted", "requester revoked"] {
            let workspace = world.workspace(what).await;
            if what == "key deleted" {
                world.owner().set(&workspace, "API_KEY", "before").await.status(200);
            }
            let asker = if what == "requester revoked" { world.bearer(&minted) } else { world.admin() };
            let approval = asker.set(&workspace, "API_KEY", VALUE).await.status(202).member("approval_id");
            match what {
                "policy added" => drop(add_policy(&world, unrelated).await),
                "policy removed" => {
                    world.owner().delete(&format!("/policies/{removable}")).await.status(200);
                }
                "base version" => {
                    world.owner().set(&workspace, "API_KEY", "by a human").await.status(200);
                }
                "key deleted" => {
                    world.owner().delete(&format!("/workspaces/{workspace}/secrets/API_KEY")).await.status(200);
                }
                _ => {
                    world.owner().delete(&format!("/org/tokens/{token}")).await.status(200);
                }
            }
            let (before, generation) = (active(&world, &workspace).await, world.generation(&workspace).await);
            let (vote, changed) = world.changed(world.owner().decide(&approval, "approved")).await;
            assert_eq!((vote.status, vote.code()), (409, "APPROVAL_VOIDED"), "{what}: {}", vote.text);
            assert!(!["secret_versions", "secrets", "intents"].iter().any(|t| changed.contains_key(t)), "{changed:?}");
            assert_eq!(status(&world, &approval).await, "voided", "{what}");
            assert_eq!(active(&world, &workspace).await, before, "{what}");
            assert_eq!(world.generation(&workspace).await, generation, "{what}");
            world.owner().decide(&approval, "approved").await.refused(409, "APPROVAL_NOT_PENDING");
        }
        world
    });
}

#[test]
fn an_effect_that_grew_since_it_was_asked_is_voided() {
    each_engine(Config::default(), async |world| {
        let set = |value: &str| json!({"key": "API_KEY", "value": value});
        let first = world.workspace("first").await;
        // The root has its own value, so the organisation's does not reach it and an agent may ask.
        world.owner().set(&world.root(), "API_KEY", "of the root").await.status(200);
        let asked = world.admin().post("/settings/secrets", set(VALUE)).await;
        let approval = asked.status(202).member("approval_id");
        let second = world.workspace("second").await;
        world.owner().decide(&approval, "approved").await.refused(409, "APPROVAL_VOIDED");
        // And the root that loses its own value would be reached.
        let asked = world.admin().post("/settings/secrets", set("again")).await;
        let approval = asked.status(202).member("approval_id");
        world.owner().delete(&format!("/workspaces/{}/secrets/API_KEY", world.root())).await.status(200);
        world.owner().decide(&approval, "approved").await.refused(409, "APPROVAL_VOIDED");
        for workspace in [first, second, world.root()] {
            assert_eq!(active(&world, &workspace).await, Value::Null);
        }
        assert_eq!(world.owner().get("/settings/secrets").await.status(200).json, json!([]));
        world
    });
}

#[test]
fn a_request_asked_again_under_other_policies_is_a_new_approval() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let before = ask(&world, &workspace, VALUE).await;
        add_policy(&world, &holds("@hold(\"group:security=1\")")).await;
        let after = ask(&world, &workspace, VALUE).await;
        assert_ne!(before, after);
        assert_eq!(status(&world, &before).await, "voided");
        world.owner().decide(&after, "approved").await.status(200);
        assert_eq!(status(&world, &after).await, "pending", "the new policy asks for its group");
        assert!(versions(&world, &workspace).await.is_empty());
        world
    });
}

#[test]
fn a_long_poll_returns_with_the_decision() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        for (decision, end) in [("approved", "applied"), ("denied", "denied")] {
            let approval = ask(&world, &workspace, decision).await;
            let (admin, owner) = (world.admin(), world.owner());
            assert_eq!(admin.get(&format!("/approvals/{approval}")).await.status(200).json["status"], "pending");
            let path = format!("/approvals/{approval}?wait=60");
            let (polled, voted) = tokio::join!(admin.get(&path), owner.decide(&approval, decision));
            voted.status(200);
            assert_eq!(polled.status(200).json["status"], end, "{}", polled.text);
            assert!(!polled.text.contains("sealed"), "{}", polled.text);
        }
        let approval = ask(&world, &workspace, "third").await;
        world.admin().get(&format!("/approvals/{approval}?wait=61")).await.refused(400, "INVALID_REQUEST");
        let stranger = world.agent_of(&workspace).await;
        stranger.get(&format!("/approvals/{approval}?wait=60")).await.refused(404, "NOT_FOUND");
        world
    });
}

#[test]
fn nobody_floods_an_approver() {
    let config = Config { pending_per_principal_max: 2, ..Config::default() };
    each_engine(config, async |world| {
        let workspace = world.workspace("writer").await;
        // A token the root agent minted has the same principal, and with it the same cap.
        let minted = world.bearer(&world.org_token(&world.admin(), json!({"name": "minted"})).await);
        let first = ask(&world, &workspace, "1").await;
        minted.set(&workspace, "API_KEY", "2").await.status(202);
        for actor in [world.admin(), minted] {
            let (answer, changed) = world.changed(actor.set(&workspace, "API_KEY", "3")).await;
            answer.refused(429, "PENDING_APPROVALS_FULL");
            World::only_audited(&changed);
        }
        assert_eq!(ask(&world, &workspace, "1").await, first, "what waits already is not counted again");
        world.owner().decide(&first, "denied").await.status(200);
        ask(&world, &workspace, "3").await;
        world
    });
}

#[test]
fn break_glass_is_off_unless_configured_and_then_an_owners_with_a_reason() {
    let body = |note: Option<&str>| json!({"decision": "approved", "break_glass": true, "note": note});
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let approval = ask(&world, &workspace, VALUE).await;
        let path = format!("/approvals/{approval}/decide");
        let (answer, changed) = world.changed(world.owner().post(&path, body(Some("fire")))).await;
        answer.refused(403, "BREAK_GLASS_DISABLED");
        World::only_audited(&changed);
        assert_eq!(status(&world, &approval).await, "pending");
        world
    });
    each_engine(Config { break_glass: true, ..Config::default() }, async |world| {
        let workspace = world.workspace("writer").await;
        add_policy(&world, &holds("@hold(\"group:security=2\")")).await;
        let approval = ask(&world, &workspace, VALUE).await;
        let path = format!("/approvals/{approval}/decide");
        let approver = world.operator("approver@example.org", Role::Approver, &["security"]).await;
        for (actor, note, status, code) in
            [(approver, Some("fire"), 403, "BREAK_GLASS_DISABLED"), (world.owner(), None, 422, "NOTE_REQUIRED")]
        {
            let (answer, changed) = world.changed(actor.post(&path, body(note))).await;
            answer.refused(status, code);
            World::only_audited(&changed);
        }
        assert_eq!(world.owner().post(&path, body(Some("fire"))).await.status(200).json["status"], "applied");
        let view = world.owner().get(&format!("/approvals/{approval}")).await;
        assert_eq!(view.status(200).json["votes"][0]["break_glass"], true, "{}", view.text);
        let events = world.audit("event=approval.decide").await;
        assert!(events.iter().any(|event| event.to_string().contains("break_glass")), "{events:?}");
        assert_eq!(active(&world, &workspace).await, VALUE);
        world
    });
}

/// The clock stands still, as it may for a millisecond or when it is set back: the last request is found by its place in
/// the log.
#[test]
fn a_request_asked_again_after_it_was_taken_back_is_one_request_whatever_the_clock_says() {
    each_engine(Config::default(), async |world| {
        let (admin, body) = (world.admin(), json!({"name": "again"}));
        for _ in 0..8 {
            let asked = admin.post("/org/tokens", body.clone()).await.status(202).member("approval_id");
            let same = admin.post("/org/tokens", body.clone()).await.status(202).member("approval_id");
            assert_eq!(same, asked);
            let path = format!("/approvals/{asked}/withdraw");
            admin.send(Method::POST, &path, None).await.status(200);
        }
        world
    });
}
