//! Who may write to whom by A2A, and the predecessor's envelope on the same path, on both engines.

use std::collections::{BTreeMap, BTreeSet};

use crate::scene::{Unit, at_once, failed, message};
use crate::world::{World, each_engine};
use portcullis_authority::Config;
use portcullis_kernel::operator::Role;
use serde_json::{Value, json};

#[test]
fn from_each_position_of_a_tree_exactly_the_peers_are_reached() {
    // No refusal is answered from memory: each must leave an event of its own.
    each_engine(Config { refusal_cache_ms: 0, ..Config::default() }, async |world| {
        let owner = world.owner();
        let under = async |parent: &str, name: &str| {
            owner.post("/workspaces", json!({"name": name, "parent_id": parent})).await.status(201).member("id")
        };
        // Five levels: the root, two, three, two and one.
        let root = world.root();
        let (a, b) = (under(&root, "a").await, under(&root, "b").await);
        let (aa, ab, ba) = (under(&a, "aa").await, under(&a, "ab").await, under(&b, "ba").await);
        let (aaa, aab) = (under(&aa, "aaa").await, under(&aa, "aab").await);
        let deep = under(&aaa, "deep").await;
        let all = [&root, &a, &b, &aa, &ab, &ba, &aaa, &aab, &deep];
        let mut reached = 0;
        for from in all {
            let agent = world.agent_of(from).await;
            let peers = agent.get(&format!("/registry/{from}/peers")).await;
            let peers: BTreeSet<String> = peers
                .status(200)
                .json
                .as_array()
                .expect("peers")
                .iter()
                .map(|peer| peer["id"].as_str().expect("an id").to_owned())
                .collect();
            for to in all {
                if from == to {
                    continue;
                }
                let unit = Unit { id: to.clone(), agent: agent.clone() };
                let (answer, changed) = world
                    .changed(unit.call(&agent, "SendMessage", at_once(message(&format!("{from}-{to}"), "hello"))))
                    .await;
                if peers.contains(to) {
                    Unit::result(&answer);
                    assert_eq!(changed.get("messages"), Some(&1), "{changed:?}");
                    reached += 1;
                } else {
                    let (code, word) = if *from == root { (403, "NOT_ENTITLED") } else { (404, "NOT_FOUND") };
                    failed(&answer, code, word);
                    World::only_audited(&changed);
                    assert!(answer.refusal()["audit_id"].is_i64(), "{}", answer.text);
                }
            }
        }
        assert_eq!(reached, 22, "parents, children and siblings");
        world
    });
}

#[test]
fn a_refusal_of_ours_is_whole_in_the_error_and_keeps_its_status_as_the_code() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let reads =
            world.bearer(&world.org_token(&owner, json!({"name": "reads", "scopes": ["workspaces:read"]})).await);
        let answer = unit.call(&reads, "SendMessage", at_once(message("m-1", "go"))).await;
        failed(&answer, 403, "SCOPE_MISSING");
        answer.refused(403, "SCOPE_MISSING");
        assert_eq!(answer.json["error"]["message"], answer.refusal()["error"]);
        for method in ["GetTask", "ListTasks"] {
            failed(
                &unit.call(&reads, method, json!({"id": "01890a5d-ac96-774b-bcce-b302099a8057"})).await,
                403,
                "SCOPE_MISSING",
            );
        }
        let auditor = world.operator("auditor@example.org", Role::Auditor, &[]).await;
        failed(&unit.call(&auditor, "SendMessage", at_once(message("m-1", "go"))).await, 403, "ROLE_REQUIRED");
        let gone = Unit { id: "01890a5d-ac96-774b-bcce-b302099a8057".to_owned(), agent: owner.clone() };
        failed(&gone.call(&owner, "SendMessage", at_once(message("m-1", "go"))).await, 404, "WORKSPACE_NOT_FOUND");
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM messages"), 0);
        // It is counted like every refusal.
        let page = owner.get("/metrics").await;
        assert!(page.status(200).text.contains("portcullis_refusals_total{code=\"ROLE_REQUIRED\"}"), "{}", page.text);
        world
    });
}

fn envelope(words: &str) -> Value {
    let message = json!({"role": "user", "messageId": "old-1", "parts": [{"kind": "text", "text": words}]});
    json!({"jsonrpc": "2.0", "id": 3, "method": "message/send", "params": {"message": message}})
}

#[test]
fn the_predecessors_envelope_is_answered_with_the_reply() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let path = unit.path("a2a");
        let (answer, ()) = tokio::join!(owner.post(&path, envelope("hello")), unit.answer("good day"));
        let result = &answer.status(200).json["result"];
        assert_eq!((&answer.json["jsonrpc"], &answer.json["id"]), (&json!("2.0"), &json!(3)), "{}", answer.text);
        assert_eq!(result["parts"], json!([{"kind": "text", "type": "text", "text": "good day"}]), "{}", answer.text);
        assert_eq!((&result["role"], &result["kind"]), (&json!("agent"), &json!("message")));
        // The same message again is answered the same, and not executed again.
        let again = owner.with("a2a-version", "0.3").post(&path, envelope("hello")).await;
        assert_eq!(again.status(200).json, answer.json);
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM turns"), 1);
        owner.post(&path, envelope("another text")).await.refused(409, "MESSAGE_ID_REUSED");
        // Without the envelope, without an id, with the other name of a part's kind.
        let bare = json!({"method": "message/send", "params": {"message": {"parts": [{"type": "text", "text": "a"}, {"text": "b"}]}}});
        let slash = unit.path("a2a/");
        let (answer, text) = tokio::join!(owner.post(&slash, bare), async {
            let (turn, message) = unit.take().await;
            unit.end(&turn, json!({"state": "failed", "error": "no"})).await;
            message["text"].clone()
        });
        assert_eq!(text, "a\nb");
        assert_eq!(answer.status(200).json["error"], json!({"code": -32000, "message": "no"}), "{}", answer.text);
        assert!(answer.json["id"].is_string(), "{}", answer.text);
        let (answer, ()) = tokio::join!(
            owner.post(&path, json!({"message": {"parts": [{"text": "only the parameters"}]}})),
            unit.answer("yes")
        );
        assert_eq!(answer.status(200).json["result"]["parts"][0]["text"], "yes", "{}", answer.text);
        world
    });
}

#[test]
fn the_predecessors_envelope_is_queued_while_the_agent_is_busy_or_away() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let path = unit.path("a2a");
        unit.tell(&owner, "m-1", "work").await;
        let (turn, _) = unit.take().await;
        let queued = owner.post(&path, envelope("hello")).await;
        assert_eq!(queued.status(202).json["queued"], true, "{}", queued.text);
        assert_eq!(queued.json["queue_depth"], 1, "{}", queued.text);
        assert!(queued.json["message"].is_string());
        let id = queued.member("queue_id");
        // The same again is the same place in the queue.
        assert_eq!(owner.post(&path, envelope("hello")).await.status(202).member("queue_id"), id);
        unit.complete(&turn, "done").await;
        owner.send(reqwest::Method::POST, &unit.path("pause"), None).await.status(200);
        let mut other = envelope("second");
        other["params"]["message"]["messageId"] = "old-2".into();
        let drains = owner.post(&path, other).await;
        assert_eq!((&drains.status(202).json["queued"], &drains.json["queue_depth"]), (&json!(true), &json!(2)));
        owner.send(reqwest::Method::POST, &unit.path("resume"), None).await.status(200);
        assert_eq!(unit.take().await.1["id"], id.as_str());
        world
    });
}

#[test]
fn the_predecessors_envelope_is_refused_with_a_status_and_leaves_nothing() {
    each_engine(Config::default(), async |world| {
        let (one, owner) = (Unit::new(&world, "one").await, world.owner());
        let below =
            owner.post("/workspaces", json!({"name": "below", "parent_id": one.id})).await.status(201).member("id");
        let stranger = Unit::new(&world, "two").await;
        let path = format!("/workspaces/{below}/a2a");
        world.nobody().post(&path, envelope("hello")).await.refused(401, "UNAUTHENTICATED");
        // What it says of itself changes nothing.
        let claims = stranger.agent.with("x-workspace-id", &one.id);
        crate::probe::audited(&world, 404, "NOT_FOUND", claims.post(&path, envelope("hello"))).await;
        let before = crate::probe::state(&world.db);
        let rows = world.db.rows();
        for (body, status, code) in [
            (json!({}), 422, "INVALID_FIELD"),
            (json!({"method": 7}), 422, "INVALID_FIELD"),
            (
                json!({"method": "message/send", "params": {"message": {"parts": [{"kind": "file", "file": {}}]}}}),
                422,
                "INVALID_FIELD",
            ),
            (
                json!({"method": "message/send", "params": {"message": {"parts": [{"kind": "data", "text": "x"}]}}}),
                422,
                "INVALID_FIELD",
            ),
        ] {
            owner.post(&one.path("a2a"), body).await.refused(status, code);
        }
        for (method, code) in [("SendMessage", -32009), ("message/stream", -32601), ("tasks/get", -32601)] {
            let answer =
                owner.post(&one.path("a2a"), json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}})).await;
            assert_eq!((&answer.status(200).json["error"]["code"], &answer.json["id"]), (&json!(code), &json!(1)));
        }
        assert_eq!((crate::probe::state(&world.db), world.db.rows()), (before, rows));
        world
    });
}

#[test]
fn a_value_that_a_workspace_holds_is_in_no_task() {
    each_engine(Config::default(), async |world| {
        let (one, two) = (Unit::new(&world, "one").await, Unit::new(&world, "two").await);
        let owner = world.owner();
        let value = "canary-of-the-tasks-7Qx91";
        owner.set(&one.id, "HELD", value).await.status(200);
        let task = one.tell(&owner, "m-1", &format!("use {value} there")).await;
        one.answer(&format!("I used {value}")).await;
        let ids: BTreeMap<&str, Value> = BTreeMap::from([("human", task["id"].clone())]);
        let shown = one.task(&owner, &ids["human"]).await.to_string();
        assert!(!shown.contains(value) && shown.contains("HELD"), "{shown}");
        let told = Unit::result(&one.call(&owner, "ListTasks", json!({"includeArtifacts": true})).await).to_string();
        assert!(!told.contains(value), "{told}");
        // A program that guesses is told nothing by a marker.
        let guess = one.tell(&two.agent, "m-1", &format!("is it {value}?")).await;
        assert!(guess.get("history").is_none(), "{guess}");
        let mut named = at_once(message("m-2", "go"));
        named["message"]["contextId"] = value.into();
        failed(&one.call(&one.agent, "SendMessage", named).await, -32602, "INVALID_PARAMS");
        world
    });
}
