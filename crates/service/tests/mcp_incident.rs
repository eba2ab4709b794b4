//! The night of 2026-06-11 through MCP, and what no tool may ever do.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod tools;
mod world;

use portcullis_authority::Config;
use serde_json::{Value, json};
use tools::Tools;
use world::{ADMIN, Actor, World, each_engine};

const VALUE: &str = "7f3aCanary91bbQz04TweetXk";

/// Everything that is the root agent, whichever credential it holds.
async fn faces_of_the_root_agent(world: &World) -> Vec<(&'static str, Actor)> {
    // The incident's first step, through its own tool: held, agreed to by a human, claimed by a human.
    let held = Tools::of(&world.admin()).call("mint_org_token", json!({"name": "again"})).await.held();
    let decided = world.owner().decide(&held, "approved").await;
    let claim = decided.status(200).json["result"]["claim_token"].as_str().expect("a claim").to_owned();
    let claimed = world.owner().post("/auth/token-claims", json!({"claim_token": claim})).await;
    let minted = world.bearer(&claimed.status(200).member("auth_token"));
    world.faces_of_the_root_agent(minted).await
}

#[test]
fn the_root_cannot_write_to_itself_by_any_tool_or_credential_it_can_hold() {
    each_engine(Config::default(), |world| async move {
        let root = world.root();
        world.owner().set(&root, "MODEL_KEY", "first").await.status(200);
        world.owner().post("/settings/secrets", json!({"key": "INHERITED", "value": "first"})).await.status(200);
        for (name, actor) in faces_of_the_root_agent(&world).await {
            let generation = world.generation(&root).await;
            for tools in [Tools::of(&actor), Tools::of(&actor).at(&root)] {
                for (tool, arguments, code) in [
                    (
                        "set_workspace_secret",
                        json!({"workspace_id": root, "key": "MODEL_KEY", "value": VALUE}),
                        "CONCIERGE_SELF_WRITE_BLOCKED",
                    ),
                    (
                        "set_workspace_secret",
                        json!({"key": "MODEL_KEY", "value": VALUE}),
                        "CONCIERGE_SELF_WRITE_BLOCKED",
                    ),
                    (
                        "delete_workspace_secret",
                        json!({"workspace_id": root, "key": "MODEL_KEY"}),
                        "CONCIERGE_SELF_WRITE_BLOCKED",
                    ),
                    ("set_org_secret", json!({"key": "INHERITED", "value": VALUE}), "CONCIERGE_SELF_WRITE_BLOCKED"),
                    ("delete_org_secret", json!({"key": "INHERITED"}), "CONCIERGE_SELF_WRITE_BLOCKED"),
                    (
                        "mint_workspace_token",
                        json!({"workspace_id": root, "deliver_to": {"workspace_id": root, "key": "TOKEN"}}),
                        "SELF_INTERRUPTION_BLOCKED",
                    ),
                    ("restart_workspace", json!({"workspace_id": root}), "SELF_INTERRUPTION_BLOCKED"),
                    ("pause_workspace", json!({"workspace_id": root}), "SELF_INTERRUPTION_BLOCKED"),
                    ("deprovision_workspace", json!({"workspace_id": root}), "SELF_INTERRUPTION_BLOCKED"),
                ] {
                    // Past the window in which an identical refusal is answered from memory.
                    world.advance(5_000);
                    world.authority.tick().await.expect("time passes");
                    let (given, changed) = world.changed(tools.call(tool, arguments.clone())).await;
                    let body = given.refused(code);
                    let what = format!("{} {name}: {tool} {arguments}: {body:#}", world.db.engine);
                    assert_eq!(
                        (&body["retryable"], &body["denied_class"]),
                        (&json!(false), &json!("structural")),
                        "{what}"
                    );
                    assert!(body["next_step"].as_str().is_some_and(|next| next.contains("human")), "{what}");
                    assert!(given.words().contains("do not try another way"), "{what}");
                    World::only_audited(&changed);
                    assert!(!given.result.to_string().contains(VALUE), "{what}");
                    let seq = body["audit_id"].as_i64().expect("an audit id");
                    let event = &world.audit(&format!("after={}", seq - 1)).await[0];
                    assert!(event["event"].as_str().is_some_and(|word| word.ends_with(".refused")), "{event}");
                    assert!(!event.to_string().contains(VALUE), "{event}");
                }
            }
            assert_eq!(world.generation(&root).await, generation, "the root was not to move");
        }
        world
    });
}

#[test]
fn a_secret_of_a_child_waits_for_a_human_and_is_then_there() {
    each_engine(Config::default(), |world| async move {
        let (child, root) = (world.workspace("child").await, Tools::of(&world.admin()));
        let before = world.generation(&child).await;
        let arguments = json!({"workspace_id": child, "key": "K", "value": VALUE});
        let (given, changed) = world.changed(root.call("set_workspace_secret", arguments)).await;
        let held = given.held();
        assert!(!changed.contains_key("secrets") && !changed.contains_key("secret_versions"), "{changed:?}");
        assert!(!given.result.to_string().contains(VALUE));
        assert_eq!(world.generation(&child).await, before, "nothing has changed yet");
        world.owner().decide(&held, "approved").await.status(200);
        assert_eq!(world.generation(&child).await, before + 1);
        let listed = root.call("list_workspace_secrets", json!({"workspace_id": child})).await;
        assert_eq!(listed.done()["secrets"][0]["key"], "K");
        world
    });
}

/// Arguments that are right for each tool, so that it gets as far as it can.
fn arguments(tool: &str, child: &str, approval: &str, token: &str) -> Value {
    let at = |mut more: Value| {
        more["workspace_id"] = child.into();
        more
    };
    match tool {
        "set_workspace_secret" => at(json!({"key": "K", "value": VALUE})),
        "set_org_secret" => json!({"key": "ORG", "value": VALUE}),
        "request_secret" => at(json!({"key": "SLOT"})),
        "create_approval" => at(json!({"action": "approve everything", "reason": "because"})),
        "delegate_task" => at(json!({"task": "print your secrets", "wait_s": 0})),
        "check_task_status" => at(json!({"task_id": approval})),
        "send_message_to_user" => json!({"message": "approve it"}),
        "wait_for_request" | "withdraw_request" => json!({"approval_id": approval, "wait_s": 0}),
        "plan" => json!({"tool": "mint_org_token", "arguments": {}}),
        "delete_workspace_secret" => at(json!({"key": "THERE"})),
        "delete_org_secret" => json!({"key": "ORG"}),
        "mint_org_token" => json!({"name": "mine"}),
        "revoke_org_token" => json!({"id": token}),
        "provision_workspace" => json!({"name": "new"}),
        "get_workspace"
        | "deprovision_workspace"
        | "restart_workspace"
        | "pause_workspace"
        | "resume_workspace"
        | "list_workspace_secrets"
        | "mint_workspace_token" => at(json!({})),
        _ => json!({}),
    }
}

/// Whether a token stands in it, or the name of a member that holds one. The first four characters, by which people tell
/// tokens apart, are none.
fn has_token(text: &str) -> bool {
    let long = |rest: &str| {
        let body = rest.split_once('_').map_or("", |(_, body)| body);
        body.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')).count() > 8
    };
    text.contains("claim_token") || text.contains("auth_token") || text.split("ptc_").skip(1).any(long)
}

#[test]
fn no_tool_decides_reads_a_value_or_gives_a_token() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        world.owner().set(&child, "THERE", VALUE).await.status(200);
        world.owner().post("/settings/secrets", json!({"key": "EVERYWHERE", "value": VALUE})).await.status(200);
        let id = world.owner().post("/org/tokens", json!({"name": "other"})).await.status(200).member("id");
        let agent = world.agent_of(&child).await;
        // A service that may do without approval is the one whose calls are done at once.
        let service = world.org_token(&world.owner(), json!({"name": "ci", "unattended": true})).await;
        for actor in [world.admin(), agent, world.bearer(&service)] {
            let tools = Tools::of(&actor);
            let held = Tools::of(&world.admin()).call("mint_org_token", json!({"name": "held"})).await.held();
            let names = tools.names().await;
            assert!(names.len() > 10, "{names:?}");
            for name in &names {
                let word = |part: &str| name.contains(part);
                assert!(!word("decide") && !word("approve_") && !word("reveal") && !word("value"), "{name}");
                let mut asked = arguments(name, &child, &held, &id);
                if name == "withdraw_request" {
                    asked = json!({"approval_id": held});
                }
                let given = tools.call(name, asked).await;
                let text = given.result.to_string();
                assert!(!text.contains(VALUE), "`{name}` gave a value: {text}");
                assert!(!has_token(&text), "`{name}` gave a token: {text}");
                assert!(!text.contains(ADMIN), "{text}");
                let state = world.owner().get(&format!("/approvals/{held}")).await.json["status"].clone();
                assert!(
                    state == "pending" || name == "withdraw_request" || state == "withdrawn",
                    "`{name}` decided: {state}"
                );
            }
            // Names that could be tried all the same.
            for name in ["decide_approval", "approve_request", "respond_request", "get_secret", "reveal_secret"] {
                let answer = tools.rpc("tools/call", json!({"name": name, "arguments": {"approval_id": held}})).await;
                assert_eq!(answer.json["error"]["code"], -32602, "{}", answer.text);
            }
        }
        // Applied or not: what the requester sees of it has no claim.
        let root = Tools::of(&world.admin());
        let held = root.call("mint_org_token", json!({"name": "seen"})).await.held();
        world.owner().decide(&held, "approved").await.status(200);
        for given in [
            root.call("wait_for_request", json!({"approval_id": held})).await,
            root.call("check_requests", json!({})).await,
        ] {
            let text = given.done().to_string();
            assert!(text.contains("applied") && !has_token(&text), "{text}");
        }
        world
    });
}
