//! What would happen if somebody else did something: answered by the decision itself, and nothing comes of it.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use std::collections::BTreeMap;

use portcullis_authority::{Caller, Config, Meta, Presented, Stretch, Supposed};
use portcullis_kernel::{
    deed::{SecretScope, WorkspaceRestart},
    operator::Role,
    refusal::Code,
};
use portcullis_service::registry;
use probe::{Fixture, state};
use serde_json::{Value, json};
use world::{Actor, Answer, World, each_engine};

const VALUE: &str = "canary-value-of-what-if";

/// The caller behind a session.
async fn caller(world: &World, session: &Actor) -> Caller {
    let cookie = session.header("cookie").expect("a cookie").trim_start_matches("portcullis=").to_owned();
    world.authority.authenticate(Presented::Cookie(&cookie)).await.expect("a live session")
}

/// Asks as `asker`, and asserts that not a row came of it.
async fn ask(world: &World, asker: &Actor, body: &Value) -> Answer {
    let (before, rows) = (state(&world.db), world.db.rows());
    let answer = asker.post("/policies/what-if", body.clone()).await;
    assert_eq!(state(&world.db), before, "{body}");
    assert_eq!(world.db.rows(), rows, "{body}");
    assert!(!answer.text.contains(VALUE), "{}", answer.text);
    answer
}

#[test]
fn the_routes_that_take_a_dry_run_are_those_that_say_so() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let owner = world.owner();
        let before = state(&world.db);
        let decided: BTreeMap<_, _> = registry().into_iter().map(|op| (op.id, op.decided)).collect();
        assert!(decided.values().filter(|decided| **decided).count() > 40, "{decided:?}");
        for sample in fixture.requests(VALUE) {
            if probe::ENDLESS.contains(&sample.id) || sample.id.starts_with("a2a") || sample.id.contains("mcp") {
                assert!(!decided[sample.id], "{}", sample.id);
                continue;
            }
            // The bundle belongs to agents.
            let actor = if sample.id == "secret_values" { &fixture.agent } else { &owner };
            let answer = actor.send(sample.method.clone(), &sample.with("dry_run=true"), sample.body.clone()).await;
            if decided[sample.id] {
                answer.status(200);
                assert_eq!(answer.json["dry_run"], true, "{}: {}", sample.id, answer.text);
                assert!(answer.json["decision"].is_string(), "{}: {}", sample.id, answer.text);
            } else if !matches!(sample.id, "health" | "ready" | "openapi" | "audit_key" | "metrics")
                && !sample.id.starts_with("console")
            {
                assert!((400..500).contains(&answer.status), "{} took a dry run: {}", sample.id, answer.text);
            }
        }
        assert_eq!(state(&world.db), before);
        world
    });
}

#[test]
fn it_is_word_for_word_what_the_caller_itself_is_told_by_a_dry_run() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let owner = world.owner();
        let home = fixture.ids["id"].clone();
        let member = world.operator("second@example.org", Role::Member, &[]).await;
        world.create_operator("approver@example.org", Role::Approver, &[]).await;
        let approver = world.log_in_only("approver@example.org").await;
        let service = world.bearer(&world.org_token(&owner, json!({"name": "a program"})).await);
        let unattended = world.bearer(&world.org_token(&owner, json!({"name": "at night", "unattended": true})).await);
        let callers = [
            (json!({"kind": "root", "credential": "admin"}), world.admin()),
            (json!({"kind": "agent", "id": world.root()}), world.agent_of(&world.root()).await),
            (json!({"kind": "agent", "id": home}), world.agent_of(&home).await),
            (json!({"kind": "service", "unattended": false}), service),
            (json!({"kind": "service", "unattended": true}), unattended),
            (json!({"kind": "operator", "role": "owner", "stepped_up": true}), owner.clone()),
            (json!({"kind": "operator", "role": "member", "stepped_up": true}), member),
            (json!({"kind": "operator", "role": "approver", "stepped_up": false}), approver),
        ];
        let root = world.root();
        let operations: BTreeMap<_, _> = registry().into_iter().map(|op| (op.id, op)).collect();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let (before, rows) = (state(&world.db), world.db.rows());
        for (who, actor) in &callers {
            for sample in fixture.requests(VALUE).into_iter().filter(|sample| operations[sample.id].decided) {
                let real = actor.send(sample.method.clone(), &sample.with("dry_run=true"), sample.body.clone()).await;
                let path: BTreeMap<_, _> =
                    operations[sample.id].parameters().map(|name| (name, &fixture.ids[name])).collect();
                let body: Option<Value> =
                    sample.body.as_deref().map(|body| serde_json::from_slice(body).expect("JSON"));
                let asked = json!({"as": who, "operation": sample.id, "path": path, "body": body});
                let told = owner.post("/policies/what-if", asked.clone()).await;
                assert_eq!(told.status, 200, "{asked}: {}", told.text);
                let mut told = told.json;
                let text = told.as_object_mut().expect("an object").remove("rule_text").expect("a rule text");
                let what = format!("{} as {who}", sample.id);
                if real.status == 200 {
                    let mut real = real.json;
                    // That versions are the same, so that nothing restarts, is told to nobody who is only supposed.
                    let by_version = ["secret_rollback", "secret_activate"].iter().any(|id| sample.id.ends_with(id));
                    if by_version && real["decision"] == "allow" && real["consequences"] == json!([]) {
                        for member in ["consequences", "impact"] {
                            real[member].take();
                            told[member].take();
                        }
                    }
                    assert_eq!(told, real, "{what}");
                    let rule = told["rule"].as_str().expect("a rule");
                    if !matches!(rule, "" | "silence" | "state" | "fact_unavailable") {
                        let text = text.as_str().unwrap_or_else(|| panic!("{what}: no text of {rule}"));
                        for id in rule.split(',') {
                            assert!(text.contains(&format!("@id(\"{id}\")")), "{what}: {rule}: {text}");
                        }
                    }
                } else {
                    assert_eq!(told["decision"], "deny", "{what}");
                    assert_eq!(told["refusal"]["code"], real.code(), "{what}");
                }
                *seen.entry(told["decision"].to_string()).or_default() += 1;
            }
        }
        assert_eq!(state(&world.db), before);
        assert_eq!(world.db.rows()["audit"], rows["audit"], "a dry run is not recorded");
        assert!(seen.values().all(|count| *count > 10) && seen.len() == 3, "{seen:?}");
        // The origin.
        for who in [json!({"kind": "root", "credential": "admin"}), json!({"kind": "agent", "id": root})] {
            let body = json!({"as": who, "operation": "secret_set", "path": {"id": root},
                "body": {"key": "SOME", "value": VALUE}});
            let told = ask(&world, &owner, &body).await;
            assert_eq!(told.status(200).json["decision"], "deny");
            assert_eq!(told.json["code"], "CONCIERGE_SELF_WRITE_BLOCKED");
            assert_eq!(told.json["refusal"]["issue"], "core#2566");
            assert!(told.member("rule_text").contains("core#2566"));
        }
        // What was supposed is not remembered: the real attempt is recorded as the first of its kind.
        let (answer, changed) = world.changed(world.admin().set(&root, "SOME", VALUE)).await;
        answer.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        World::only_audited(&changed);
        world
    });
}

#[test]
fn a_policy_that_was_added_is_told_with_its_text() {
    each_engine(Config::default(), async |world| {
        let target = world.workspace("target").await;
        let text = "@code(\"POLICY_FORBIDS\") @reason(\"not now\") forbid (principal, action == \
                    Action::\"workspace.restart\", resource);";
        let added = world.owner().post("/policies", json!({"name": "no restarts", "text": text})).await;
        let id = added.status(201).member("id");
        let body = json!({"as": {"kind": "operator", "role": "owner", "stepped_up": true},
            "operation": "workspace_restart", "path": {"id": target}});
        let told = ask(&world, &world.owner(), &body).await;
        assert_eq!(told.status(200).json["rule"], id.as_str());
        assert_eq!(told.json["refusal"]["code"], "POLICY_FORBIDS");
        assert_eq!(told.json["rule_text"], text);
        // The list tells both kinds, each by its rule.
        let list = world.owner().get("/policies").await;
        let list = list.status(200).json.as_array().expect("a list").clone();
        let shipped: Vec<_> = list.iter().filter(|policy| policy["source"] == "shipped").collect();
        assert_eq!(shipped.len(), list.len() - 1);
        assert_eq!(shipped[0]["id"], "ordinary_agent_sees_its_own_workspace");
        assert_eq!(shipped[0]["annotations"]["code"], "NOT_FOUND");
        assert!(shipped[0]["text"].as_str().expect("a text").starts_with("@id("));
        let own = &list[list.len() - 1];
        assert_eq!((&own["id"], &own["name"], &own["text"]), (&json!(id), &json!("no restarts"), &json!(text)));
        assert_eq!((&own["source"], &own["annotations"]["reason"]), (&json!("added"), &json!("not now")));
        let matrix = world.owner().get("/policies/matrix").await;
        let kept = include_str!("../../kernel/tests/policy_matrix.txt");
        assert_eq!(matrix.status(200).json, json!({"matrix": kept}));
        world.admin().get("/policies/matrix").await.refused(403, "HUMAN_REQUIRED");
        world
    });
}

#[test]
fn only_humans_ask_and_only_about_what_is_decided() {
    each_engine(Config::default(), async |world| {
        let target = world.workspace("target").await;
        let body = |operation: &str, path: Value| json!({"as": {"kind": "root", "credential": "admin"}, "operation": operation, "path": path});
        let restart = body("workspace_restart", json!({"id": target}));
        let service = world.bearer(&world.org_token(&world.owner(), json!({"name": "a program"})).await);
        for program in [world.admin(), world.agent_of(&target).await, service] {
            ask(&world, &program, &restart).await.refused(403, "HUMAN_REQUIRED");
        }
        ask(&world, &world.nobody(), &restart).await.refused(401, "UNAUTHENTICATED");
        // Whoever may read what was decided may read what would be.
        world.create_operator("auditor@example.org", Role::Auditor, &[]).await;
        let auditor = world.log_in_only("auditor@example.org").await;
        assert_eq!(ask(&world, &auditor, &restart).await.status(200).json["decision"], "allow");
        for (operation, path) in [
            ("workspace_list", json!({})),
            ("audit_export", json!({})),
            ("login", json!({})),
            ("policy_what_if", json!({})),
            ("no_such_operation", json!({})),
            ("workspace_restart", json!({})),
            ("workspace_restart", json!({"id": target, "key": "KEY"})),
            ("secret_delete", json!({"id": target})),
        ] {
            ask(&world, &auditor, &body(operation, path)).await.refused(422, "INVALID_FIELD");
        }
        for (who, status, code) in [
            (json!({"kind": "agent", "id": target, "scopes": []}), 422, "INVALID_FIELD"),
            (json!({"kind": "system"}), 422, "INVALID_FIELD"),
            (json!({"kind": "root", "credential": "session"}), 422, "INVALID_FIELD"),
            (
                json!({"kind": "agent", "id": portcullis_kernel::id::WorkspaceId::from_uuid(Default::default())}),
                404,
                "WORKSPACE_NOT_FOUND",
            ),
        ] {
            let body = json!({"as": who, "operation": "workspace_restart", "path": {"id": target}});
            ask(&world, &auditor, &body).await.refused(status, code);
        }
        // What the route itself would not take is an answer, not an error of the question.
        for (request, code) in [
            (json!({"key": "not a key", "value": VALUE}), "KEY_INVALID"),
            (json!({"key": "PATH", "value": VALUE}), "KEY_FORBIDDEN"),
            (json!({"key": "FINE", "value": VALUE, "surplus": 1}), "INVALID_FIELD"),
            (json!({"key": "FINE", "value": ""}), "VALUE_INVALID"),
        ] {
            let body = json!({"as": {"kind": "operator", "role": "owner", "stepped_up": true}, "operation": "secret_set",
                "path": {"id": target}, "body": request});
            let told = ask(&world, &auditor, &body).await;
            assert_eq!((&told.status(200).json["decision"], &told.json["dry_run"]), (&json!("deny"), &json!(true)));
            assert_eq!((&told.json["refusal"]["code"], &told.json["code"]), (&json!(code), &json!(code)));
            assert_eq!(told.json["rule_text"], Value::Null);
        }
        // A preview reads, and reads answer nobody who is not there.
        let import = json!({"as": {"kind": "operator", "role": "owner", "stepped_up": true}, "operation": "secret_import",
            "path": {"id": target}, "body": {"format": "env", "content": format!("A={VALUE}\n")}});
        assert_eq!(ask(&world, &auditor, &import).await.status(200).json["refusal"]["code"], "INVALID_FIELD");
        world
    });
}

#[test]
fn a_supposed_caller_can_do_and_see_nothing() {
    each_engine(Config::default(), async |world| {
        let target = world.workspace("target").await;
        let (id, asker) = (World::id(&target), caller(&world, &world.owner()).await);
        let authority = world.authority.clone();
        let everybody = [
            Supposed::Root,
            Supposed::Agent(id),
            Supposed::Agent(authority.root()),
            Supposed::Service { unattended: true },
            Supposed::Operator { role: Role::Owner, groups: Vec::new(), stepped_up: true },
        ];
        let (before, rows) = (state(&world.db), world.db.rows());
        for who in everybody {
            let supposed = authority.suppose(&asker, who.clone()).await.expect("a supposed caller");
            let caller = &supposed;
            // No way from one to another, no act, no read.
            let mut refused = vec![
                authority.suppose(caller, Supposed::Root).await.map(drop),
                authority.workspaces(caller).await.map(drop),
                authority.workspace(caller, id).await.map(drop),
                authority.workspace_state(caller, id).await.map(drop),
                authority.peers(caller, id).await.map(drop),
                authority.secrets(caller, SecretScope::Workspace(id)).await.map(drop),
                authority.secrets(caller, SecretScope::Organisation).await.map(drop),
                authority.tokens(caller, None).await.map(drop),
                authority.tokens(caller, Some(id)).await.map(drop),
                authority.operators(caller).await.map(drop),
                authority.policies(caller).await.map(drop),
                authority.approvals(caller, portcullis_authority::ApprovalFilter::default(), None).await.map(drop),
                authority.audit(caller, portcullis_authority::Search::default()).await.map(drop),
                authority.events_after(caller, 0, 10).await.map(drop),
                authority.messages(caller, id, Stretch::NEWEST, 10).await.map(drop),
                authority.turns(caller, id, 10).await.map(drop),
                authority.runs(caller, id, 10).await.map(drop),
                authority.restart_context(caller, id).await.map(drop),
                authority.discover(caller, id).await.map(drop),
                authority.log_of(caller, id, None).await.map(drop),
                authority.operator_of(caller).await.map(drop),
                authority.secret_holdings(caller, "KEY".parse().expect("a key")).await.map(drop),
                authority.import_preview(String::new(), caller, SecretScope::Organisation, Vec::new()).await.map(drop),
                authority.require_owner(caller),
                authority.policy_check(caller, "").map(drop),
                authority.claim_token(Meta::default(), caller, String::new()).await.map(drop),
                authority.step_up(Meta::default(), caller, String::new(), "").await.map(drop),
            ];
            for meta in [Meta::default(), Meta { idempotency_key: Some("a key".to_owned()), ..Meta::default() }] {
                let deed = WorkspaceRestart { workspace: id };
                refused.push(authority.perform(caller, meta, deed, ()).await.map(drop));
            }
            for (number, refusal) in refused.into_iter().enumerate() {
                let refusal = refusal.expect_err("a supposed caller was answered");
                assert_eq!(refusal.code, Code::Internal, "{who:?} {number}");
            }
            assert!(authority.logout(Meta::default(), caller).await.is_err());
            assert!(authority.claim(Meta::default(), caller, id).await.is_err());
            assert!(authority.pulse(caller, id).await.is_err());
        }
        assert_eq!(state(&world.db), before);
        assert_eq!(world.db.rows(), rows);
        world
    });
}

/// The plan of a write of this value, as the caller itself is told it by a dry run.
async fn plan(actor: &Actor, workspace: &str, value: &str) -> Value {
    let body = json!({"key": "GUESSED", "value": value});
    let told = actor.post(&format!("/workspaces/{workspace}/secrets?dry_run=true"), body).await;
    told.status(200).json.clone()
}

#[test]
fn no_plan_tells_a_guess_from_another_unless_it_would_be_done() {
    each_engine(Config::default(), async |world| {
        let (target, owner) = (world.workspace("target").await, world.owner());
        owner.set(&target, "GUESSED", VALUE).await.status(200);
        owner.set(&target, "GUESSED", "another").await.status(200);
        owner.set(&target, "GUESSED", VALUE).await.status(200);
        // To whoever may write it as well, an equal value is an effect that stays away.
        let equal = plan(&owner, &target, VALUE).await;
        assert_eq!(equal["decision"], "allow");
        assert_ne!(equal, plan(&owner, &target, "a guess that is wrong").await);
        // The request of these would wait: for them a guess is like any other.
        let service = world.bearer(&world.org_token(&owner, json!({"name": "a program"})).await);
        for program in [world.admin(), service] {
            let equal = plan(&program, &target, VALUE).await;
            assert_eq!(equal["decision"], "hold", "{equal}");
            assert_eq!(equal, plan(&program, &target, "a guess that is wrong").await);
            let by_import = async |value: &str| {
                let body = json!({"format": "env", "content": format!("GUESSED={value}\n"), "apply": true});
                let told = program.post(&format!("/workspaces/{target}/secrets/import?dry_run=true"), body).await;
                told.status(200).json.clone()
            };
            assert_eq!(by_import(VALUE).await, by_import("wrong").await);
            let by_set = async |value: &str| {
                let line = json!({"workspace_id": target, "key": "GUESSED", "op": "set", "value": value});
                let told = program.post("/secrets/change-sets?dry_run=true", json!({"changes": [line]})).await;
                told.status(200).json.clone()
            };
            assert_eq!(by_set(VALUE).await, by_set("wrong").await);
            let by_version = async |version: i64| {
                let path = format!("/workspaces/{target}/secrets/GUESSED/rollback?dry_run=true");
                program.post(&path, json!({"to_version": version})).await.status(200).json.clone()
            };
            assert_eq!(by_version(1).await, by_version(2).await, "whether two versions are the same");
        }
        // Nor by being somebody else: nobody is, whatever that one would be let do.
        world.create_operator("auditor@example.org", Role::Auditor, &[]).await;
        let auditor = world.log_in_only("auditor@example.org").await;
        for who in [
            json!({"kind": "operator", "role": "owner", "stepped_up": true}),
            json!({"kind": "service", "unattended": true}),
            json!({"kind": "agent", "id": target}),
            json!({"kind": "root", "credential": "admin"}),
        ] {
            let told = async |value: &str| {
                let body = json!({"as": who, "operation": "secret_set", "path": {"id": target},
                    "body": {"key": "GUESSED", "value": value}});
                ask(&world, &auditor, &body).await.status(200).json.clone()
            };
            assert_eq!(told(VALUE).await, told("a guess that is wrong").await, "{who}");
        }
        world
    });
}
