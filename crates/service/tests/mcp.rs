//! The agents' tools through the real router: who has which, what refusals and holds look like, and that a tool is a route.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod tools;
mod world;

use std::{collections::BTreeSet, num::NonZeroU32};

use portcullis_authority::{Config, testkit_db};
use portcullis_service::Rates;
use serde_json::{Value, json};
use tools::Tools;
use world::{Actor, World, each_engine};

/// What every agent has.
const OWN: [&str; 13] = [
    "check_requests",
    "check_task_status",
    "create_approval",
    "delegate_task",
    "get_workspace_info",
    "list_peers",
    "list_workspace_secrets",
    "plan",
    "request_secret",
    "send_message_to_user",
    "set_workspace_secret",
    "wait_for_request",
    "withdraw_request",
];

#[test]
fn the_tools_are_chosen_by_the_subject_and_by_what_its_credential_carries() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let mut own = Tools::of(&world.agent_of(&child).await).names().await;
        own.sort();
        assert_eq!(own, OWN);

        let root = Tools::of(&world.admin()).names().await;
        assert!(OWN.iter().all(|name| root.iter().any(|known| known == name)), "{root:?}");
        for name in ["mint_org_token", "provision_workspace", "set_org_secret", "list_pending_approvals"] {
            assert!(root.iter().any(|known| known == name), "no `{name}` in {root:?}");
        }

        // By whatever credential: the subject counts.
        let token = world.org_token(&world.admin(), json!({"name": "again"})).await;
        assert_eq!(Tools::of(&world.bearer(&token)).names().await, root);

        // A service manages, and lives nowhere.
        let body = json!({"name": "ci", "scopes": ["workspaces:read"]});
        let service = world.org_token(&world.owner(), body).await;
        assert_eq!(Tools::of(&world.bearer(&service)).names().await, ["plan", "list_workspaces", "get_workspace"]);

        // A tool whose scope it lacks is refused by its route, and recorded.
        let arguments = json!({"workspace_id": child, "key": "K", "value": "v"});
        let lacking = Tools::of(&world.bearer(&service));
        let (given, changed) = world.changed(lacking.call("set_workspace_secret", arguments)).await;
        given.refused("SCOPE_MISSING");
        World::only_audited(&changed);

        // What is another subject's does not exist.
        let agent = Tools::of(&world.agent_of(&child).await);
        let answer = agent.rpc("tools/call", json!({"name": "mint_org_token", "arguments": {}})).await;
        assert_eq!(answer.json["error"]["code"], -32602, "{}", answer.text);

        // The order is the same each time.
        assert_eq!(Tools::of(&world.admin()).names().await, root);
        world
    });
}

#[test]
fn every_tool_says_all_that_a_client_may_ask_of_it() {
    each_engine(Config::default(), |world| async move {
        let tools = Tools::of(&world.admin()).list().await;
        let names: BTreeSet<_> = tools.iter().map(|tool| tool["name"].to_string()).collect();
        assert_eq!(names.len(), tools.len(), "a name stands twice");
        for tool in &tools {
            for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
                assert!(tool["annotations"][hint].is_boolean(), "no `{hint}` in {tool:#}");
            }
            for schema in ["inputSchema", "outputSchema"] {
                assert_eq!(tool[schema]["type"], "object", "{tool:#}");
                assert!(!tool[schema].to_string().contains("$ref"), "{tool:#}");
            }
            assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool:#}");
            let described = tool["inputSchema"]["properties"].as_object().into_iter().flatten();
            for (name, property) in described {
                assert!(property["description"].is_string(), "{}: `{name}` is not described", tool["name"]);
                assert!(!property.to_string().contains("x-mcp-header"), "{tool:#}");
            }
            let description = tool["description"].as_str().expect("a description");
            // What is held or refused is explained before it happens.
            if tool["annotations"]["destructiveHint"] == true && tool["name"] != "withdraw_request" {
                assert!(description.contains("pending_approval"), "{tool:#}");
            }
        }
        world
    });
}

#[test]
fn the_page_of_the_tools_is_what_models_read() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/tools.md");
    let now = portcullis_service::tools_page();
    if accepting() {
        std::fs::write(PAGE, &now).expect("the page is written");
    }
    let kept = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(kept == now, "docs/tools.md is no longer true; if the change is meant, `cargo xtask tools --accept`");
}

#[expect(clippy::disallowed_methods, reason = "the switch of `cargo xtask tools --accept`, not a setting")]
fn accepting() -> bool {
    std::env::var_os("PORTCULLIS_ACCEPT").is_some()
}

#[test]
fn a_tool_is_its_route() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let (agent, root) = (world.agent_of(&child).await, Tools::of(&world.admin()));
        let own = Tools::of(&agent);
        // Reads say what the route says.
        let info = own.call("get_workspace_info", json!({})).await;
        assert_eq!(*info.done(), agent.get(&format!("/workspaces/{child}")).await.json);
        let all = root.call("list_workspaces", json!({})).await;
        assert_eq!(all.done()["workspaces"], world.admin().get("/workspaces").await.json);
        // A change is a change: one version, one event, under the request's id.
        let (saved, changed) =
            world.changed(own.call("set_workspace_secret", json!({"key": "OWN", "value": "one"}))).await;
        assert_eq!((&saved.done()["status"], &saved.done()["version"]), (&json!("saved"), &json!(1)));
        assert_eq!((changed["secret_versions"], changed["audit"]), (1, 1), "{changed:?}");
        // Once only, under an idempotency key.
        let again = json!({"key": "OWN", "value": "two", "idempotency_key": "k-1"});
        let first = own.call("set_workspace_secret", again.clone()).await;
        let (second, changed) = world.changed(own.call("set_workspace_secret", again)).await;
        assert_eq!(first.done()["version"], second.done()["version"]);
        assert!(changed.is_empty(), "{changed:?}");
        let listed = own.call("list_workspace_secrets", json!({})).await;
        assert_eq!(listed.done()["secrets"][0]["key"], "OWN");
        // What the schema does not know is refused, and so is what is missing or of another kind.
        for (tool, arguments) in [
            ("set_workspace_secret", json!({"key": "A", "value": "b", "colour": "red"})),
            ("set_workspace_secret", json!({"key": "A"})),
            ("set_workspace_secret", json!({"key": "A", "value": 7})),
            ("set_workspace_secret", json!({"key": "A", "value": "b", "idempotency_key": "two words"})),
            ("wait_for_request", json!({"approval_id": child, "wait_s": 31})),
            ("wait_for_request", json!({})),
            ("check_requests", json!({"state": "unheard-of"})),
            ("get_workspace_info", json!({"workspace_id": "nobody"})),
            ("get_workspace_info", json!({"workspace_id": {"id": 1}})),
        ] {
            let (given, changed) = world.changed(own.call(tool, arguments.clone())).await;
            assert_eq!(given.result["isError"], true, "{tool} {arguments}: {:#}", given.result);
            assert_eq!(given.structured()["denied_class"], "invalid", "{tool} {arguments}: {:#}", given.result);
            assert!(changed.is_empty(), "{tool} {arguments}: {changed:?}");
        }
        // Another workspace does not exist for it.
        let other = world.workspace("other").await;
        let (given, changed) = world
            .changed(own.call("set_workspace_secret", json!({"workspace_id": other, "key": "A", "value": "b"})))
            .await;
        assert!(matches!(given.structured()["code"].as_str(), Some("NOT_FOUND" | "WORKSPACE_NOT_FOUND")), "{given:?}");
        World::only_audited(&changed);
        world
    });
}

#[test]
fn a_plan_says_what_would_happen_and_does_nothing() {
    each_engine(Config::default(), |world| async move {
        let (child, root) = (world.workspace("child").await, Tools::of(&world.admin()));
        let plan = |tool: &str, arguments: Value| json!({"tool": tool, "arguments": arguments});
        let on = |workspace: &str| json!({"workspace_id": workspace, "key": "K", "value": "v"});
        for (asked, decision, code) in [
            (plan("set_workspace_secret", on(&child)), "hold", Value::Null),
            (plan("set_workspace_secret", on(&world.root())), "deny", json!("CONCIERGE_SELF_WRITE_BLOCKED")),
            (plan("set_org_secret", json!({"key": "K", "value": "v"})), "deny", json!("CONCIERGE_SELF_WRITE_BLOCKED")),
            (plan("restart_workspace", json!({"workspace_id": child})), "allow", Value::Null),
            (plan("mint_org_token", json!({})), "hold", Value::Null),
            (plan("deprovision_workspace", json!({"workspace_id": child})), "hold", Value::Null),
        ] {
            let (given, changed) = world.changed(root.call("plan", asked.clone())).await;
            let body = given.done();
            assert_eq!((&body["decision"], &body["code"]), (&json!(decision), &code), "{asked}: {body:#}");
            assert!(body["rule"].is_string(), "{asked}: {body:#}");
            assert!(changed.is_empty(), "{asked} did something: {changed:?}");
        }
        for asked in [
            plan("plan", json!({})),
            plan("list_workspaces", json!({})),
            plan("delegate_task", json!({"workspace_id": child, "task": "x"})),
            plan("decide_approval", json!({})),
            json!({"tool": "mint_org_token"}),
        ] {
            root.call("plan", asked).await.refused("INVALID_FIELD");
        }
        world
    });
}

#[test]
fn a_request_is_waited_for_listed_and_taken_back() {
    each_engine(Config::default(), |world| async move {
        let (child, root) = (world.workspace("child").await, Tools::of(&world.admin()));
        let arguments = json!({"workspace_id": child, "key": "K", "value": "v"});
        let held = root.call("set_workspace_secret", arguments.clone()).await.held();
        // Asked again it is the same request.
        assert_eq!(root.call("set_workspace_secret", arguments).await.held(), held);
        let listed = root.call("check_requests", json!({"state": "pending"})).await;
        assert_eq!(listed.done()["requests"][0]["id"], json!(held));
        let waiting = root.call("wait_for_request", json!({"approval_id": held, "wait_s": 0})).await;
        assert_eq!(waiting.done()["status"], "pending");
        let owner = world.owner();
        let wait = root.call("wait_for_request", json!({"approval_id": held}));
        let (waited, decided) = tokio::join!(wait, owner.decide(&held, "approved"));
        decided.status(200);
        assert_eq!(waited.done()["status"], "applied");

        let held = root.call("mint_workspace_token", json!({"workspace_id": child})).await.held();
        let back = root.call("withdraw_request", json!({"approval_id": held})).await;
        assert_eq!(back.done()["status"], "withdrawn", "{back:?}");
        // Somebody else's request does not exist.
        let held = root.call("mint_workspace_token", json!({"workspace_id": child})).await.held();
        let own = Tools::of(&world.agent_of(&child).await);
        own.call("wait_for_request", json!({"approval_id": held, "wait_s": 0})).await.refused("NOT_FOUND");
        own.call("withdraw_request", json!({"approval_id": held})).await.refused("NOT_FOUND");
        world
    });
}

#[test]
fn a_requested_secret_is_a_slot_that_only_a_human_fills() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let own = Tools::of(&world.agent_of(&child).await);
        let asked = own.call("request_secret", json!({"key": "API_KEY", "description": "for the mail"})).await;
        assert_eq!(asked.done()["status"], "requested", "{asked:?}");
        world.owner().set(&child, "API_KEY", "typed by a human").await.status(200);
        let listed = own.call("list_workspace_secrets", json!({})).await;
        assert_eq!(listed.done()["secrets"][0]["key"], "API_KEY");
        assert!(!listed.result.to_string().contains("typed by a human"));
        world
    });
}

#[test]
fn a_task_reaches_a_peer_and_its_reply_comes_back() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let (agent, root) = (world.agent_of(&child).await, Tools::of(&world.admin()));
        agent.post("/registry/register", json!({"id": child})).await.status(200);
        let task = json!({"workspace_id": child, "task": "count to three", "message_id": "t-1", "wait_s": 120});
        let work = async {
            let claimed = agent.post(&format!("/workspaces/{child}/inbox/claim"), json!({"wait_s": 30})).await;
            let turn = claimed.status(200).json["turn"].clone();
            assert_eq!(turn["message"]["text"], "count to three");
            let path = format!("/workspaces/{child}/turns/{}/end", turn["id"].as_str().expect("a turn"));
            agent.post(&path, json!({"state": "completed", "reply": "one two three"})).await.status(200);
        };
        let (given, ()) = tokio::join!(root.call("delegate_task", task.clone()), work);
        let body = given.done();
        assert_eq!((&body["status"], &body["reply"]), (&json!("completed"), &json!("one two three")), "{body:#}");
        // The same task again is the same task.
        let again = root.call("delegate_task", task).await;
        assert_eq!(again.done()["task_id"], body["task_id"]);
        // Nobody takes the next one: it is kept, and asked for later.
        let kept = root.call("delegate_task", json!({"workspace_id": child, "task": "wait", "wait_s": 0})).await;
        assert_eq!(kept.done()["status"], "queued");
        let look = json!({"workspace_id": child, "task_id": kept.done()["task_id"]});
        assert_eq!(root.call("check_task_status", look).await.done()["status"], "queued");
        world
    });
}

/// Twelve workspaces on five levels below the root's, with siblings at each: id, and the index of its parent.
async fn tree(world: &World) -> Vec<(String, Option<usize>)> {
    let mut all = vec![(world.root(), None)];
    for (name, parent) in
        [("a", 0), ("b", 0), ("aa", 1), ("ab", 1), ("ba", 2), ("aaa", 3), ("aab", 3), ("aaaa", 6), ("baa", 5)]
    {
        let body = json!({"name": name, "parent_id": all[parent].0});
        all.push((world.owner().post("/workspaces", body).await.status(201).member("id"), Some(parent)));
    }
    all
}

#[test]
fn whom_one_sees_is_whom_one_reaches_from_every_position_of_a_tree() {
    each_engine(Config::default(), |world| async move {
        let all = tree(&world).await;
        for (at, (id, parent)) in all.iter().enumerate() {
            let actor: Actor = if at == 0 { world.admin() } else { world.agent_of(id).await };
            let own = Tools::of(&actor);
            let listed = own.call("list_peers", json!({})).await;
            let seen: BTreeSet<String> = listed.done()["peers"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|peer| peer["id"].as_str().expect("an id").to_owned())
                .collect();
            // Said a second time, and not by the code: parent, children, siblings.
            let related = |other: usize| {
                other != at
                    && (Some(other) == *parent
                        || all[other].1 == Some(at)
                        || (parent.is_some() && all[other].1 == *parent))
            };
            let expected: BTreeSet<_> =
                (0..all.len()).filter(|other| related(*other)).map(|other| all[other].0.clone()).collect();
            assert_eq!(seen, expected, "from {at}");
            for (other, (target, _)) in all.iter().enumerate().filter(|(other, _)| *other != at) {
                let task = json!({"workspace_id": target, "task": format!("from {at} to {other}"), "wait_s": 0});
                let (given, changed) = world.changed(own.call("delegate_task", task)).await;
                if expected.contains(target) {
                    assert_eq!(given.done()["status"], "queued", "from {at} to {other}");
                } else {
                    let body = given.structured();
                    assert_eq!(
                        (&given.result["isError"], &body["retryable"]),
                        (&json!(true), &json!(false)),
                        "from {at} to {other}: {body:#}"
                    );
                    World::only_audited(&changed);
                }
            }
        }
        world
    });
}

#[test]
fn who_asks_too_much_is_slowed_down_and_nobody_else_is() {
    let few = |count| NonZeroU32::new(count).expect("a number");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for db in testkit_db::databases() {
        runtime.block_on(async {
            let rates = Rates { calls_per_s: few(1_000_000), refusals_per_min: few(3) };
            let world = World::limited(db, Config::default(), rates).await;
            let child = world.workspace("child").await;
            let (own, root) = (Tools::of(&world.agent_of(&child).await), Tools::of(&world.admin()));
            for key in ["A", "B", "C", "D"] {
                let arguments = json!({"workspace_id": world.root(), "key": key, "value": "v"});
                root.call("set_workspace_secret", arguments).await.refused("CONCIERGE_SELF_WRITE_BLOCKED");
            }
            let (given, changed) = world.changed(root.call("list_workspaces", json!({}))).await;
            let body = given.refused("RATE_LIMITED");
            assert!(body["retryable"] == true && body["retry_after_ms"].as_i64().expect("a wait") > 0, "{body:#}");
            assert!(changed.is_empty(), "{changed:?}");
            own.call("list_peers", json!({})).await.done();
            drop(world.stop().await);
        });
    }
}

#[test]
fn the_resources_name_every_refusal_and_what_the_caller_may_do() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let own = Tools::of(&world.agent_of(&child).await);
        let catalogue = own.resource("portcullis://refusals").await;
        let codes = catalogue["codes"].as_array().expect("codes");
        assert!(codes.iter().any(|code| code["code"] == "CONCIERGE_SELF_WRITE_BLOCKED" && code["retryable"] == false));
        let me = own.resource("portcullis://me").await;
        assert_eq!((&me["workspace_id"], &me["is_root"]), (&json!(child), &json!(false)));
        assert_eq!(me["tools"].as_array().expect("tools").len(), OWN.len());
        let answer = own.rpc("resources/read", json!({"uri": "portcullis://values"})).await;
        assert_eq!(answer.json["error"]["code"], -32602, "{}", answer.text);
        world
    });
}
