//! A2A 1.0 by JSON-RPC, on both engines: a task is a message, the rules of the specification one by one, and nothing that
//! is refused leaves a row.

use crate::scene::{Unit, at_once, failed, message};
use crate::world::{World, each_engine};
use portcullis_authority::Config;
use portcullis_kernel::operator::Role;
use serde_json::{Value, json};

/// Asserts that a call leaves nothing.
async fn nothing<T>(world: &World, act: impl Future<Output = T>) -> T {
    let before = crate::probe::state(&world.db);
    let (answer, changed) = world.changed(act).await;
    assert!(changed.is_empty(), "it left {changed:?}");
    assert_eq!(crate::probe::state(&world.db), before, "it changed something");
    answer
}

#[test]
fn a_send_blocks_until_the_task_has_ended_and_the_result_is_an_artifact() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let sent = json!({"message": message("m-1", "what is it?")});
        let (answer, ()) = tokio::join!(unit.call(&owner, "SendMessage", sent), unit.answer("a thing"));
        let task = Unit::result(&answer)["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_COMPLETED", "{task}");
        assert_eq!(task["artifacts"][0]["parts"], json!([{"text": "a thing", "mediaType": "text/plain"}]), "{task}");
        assert!(task["status"].get("message").is_none(), "a result is no message: {task}");
        assert_eq!(task["history"][0]["parts"], json!([{"text": "what is it?"}]), "{task}");
        assert_eq!(task["history"][0]["messageId"], "m-1", "{task}");
        // The task is there afterwards, the same.
        assert_eq!(unit.task(&owner, &task["id"]).await, task);
        // An error is a message of the status, not an artifact.
        let sent = json!({"message": message("m-2", "fail")});
        let (answer, ()) = tokio::join!(unit.call(&owner, "SendMessage", sent), async {
            let (turn, _) = unit.take().await;
            unit.end(&turn, json!({"state": "failed", "error": "it cannot be done"})).await;
        });
        let task = Unit::result(&answer)["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_FAILED", "{task}");
        assert_eq!(task["status"]["message"]["parts"], json!([{"text": "it cannot be done"}]), "{task}");
        assert_eq!(task["status"]["message"]["role"], "ROLE_AGENT", "{task}");
        assert!(task.get("artifacts").is_none(), "{task}");
        world
    });
}

#[test]
fn return_immediately_gives_the_task_at_once_and_it_passes_its_states() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let task = unit.tell(&owner, "m-1", "go").await;
        let (id, context) = (task["id"].clone(), task["contextId"].clone());
        assert_eq!(task["status"]["state"], "TASK_STATE_SUBMITTED", "{task}");
        assert_eq!(task["status"]["timestamp"], "2026-06-11T00:08:00Z", "{task}");
        world.advance(1_000);
        let (turn, message) = unit.take().await;
        assert_eq!((&message["id"], &message["context_id"]), (&id, &context), "the agent is told the same context");
        let working = unit.task(&owner, &id).await;
        assert_eq!(working["status"]["state"], "TASK_STATE_WORKING", "{working}");
        assert_eq!(working["status"]["timestamp"], "2026-06-11T00:08:01Z", "{working}");
        world.advance(1_000);
        unit.complete(&turn, "done").await;
        let ended = unit.task(&owner, &id).await;
        assert_eq!(ended["status"]["state"], "TASK_STATE_COMPLETED", "{ended}");
        assert_eq!(ended["status"]["timestamp"], "2026-06-11T00:08:02Z", "{ended}");
        assert_eq!(ended["contextId"], context);
        world
    });
}

#[test]
fn task_ids_are_the_servers_and_the_same_message_id_is_the_same_task() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let first = unit.tell(&owner, "m-1", "go").await;
        assert_ne!(first["id"], "m-1");
        let again = nothing_but_audit(&world, unit.tell(&owner, "m-1", "go")).await;
        assert_eq!((&again["id"], &again["contextId"]), (&first["id"], &first["contextId"]));
        let other = unit.call(&owner, "SendMessage", at_once(message("m-1", "something else"))).await;
        failed(&other, 409, "MESSAGE_ID_REUSED");
        // Another sender's ids are its own.
        let member = world.operator("member@example.org", Role::Member, &[]).await;
        let theirs = unit.tell(&member, "m-1", "go").await;
        assert_ne!(theirs["id"], first["id"]);
        assert_ne!(theirs["contextId"], first["contextId"]);
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM messages"), 2);
        world
    });
}

async fn nothing_but_audit<T>(world: &World, act: impl Future<Output = T>) -> T {
    let before = world.db.integer("SELECT COUNT(*) FROM messages");
    let done = act.await;
    assert_eq!(world.db.integer("SELECT COUNT(*) FROM messages"), before, "a message was stored");
    done
}

#[test]
fn a_clients_context_is_kept_and_never_replaced_and_one_that_is_missing_is_made() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let mut own = message("m-1", "go");
        own["contextId"] = "my-conversation".into();
        let task = Unit::result(&unit.call(&owner, "SendMessage", at_once(own.clone())).await)["task"].clone();
        assert_eq!(task["contextId"], "my-conversation");
        let made = unit.tell(&owner, "m-2", "go").await;
        let made = made["contextId"].as_str().expect("a context").to_owned();
        assert_eq!(world.db.texts("SELECT context_id FROM messages ORDER BY seq"), ["my-conversation", made.as_str()]);
        // The same message in another conversation is a contradiction.
        own["contextId"] = "another".into();
        let moved = unit.call(&owner, "SendMessage", at_once(own)).await;
        failed(&moved, -32602, "INVALID_PARAMS");
        // One that cannot be kept is refused, not shortened.
        let mut long = message("m-3", "go");
        long["contextId"] = "c".repeat(129).into();
        failed(&unit.call(&owner, "SendMessage", at_once(long)).await, -32602, "INVALID_PARAMS");
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM messages"), 2);
        world
    });
}

#[test]
fn a_message_for_a_task_is_refused_as_the_specification_has_it() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let task = unit.tell(&owner, "m-1", "go").await;
        let with = |task: &Value, context: Option<&str>| {
            let mut next = message("m-2", "more");
            next["taskId"] = task.clone();
            if let Some(context) = context {
                next["contextId"] = context.into();
            }
            at_once(next)
        };
        let own = task["contextId"].as_str().expect("a context");
        for state in ["queued", "delivered", "completed"] {
            for context in [None, Some(own)] {
                let answer = nothing(&world, unit.call(&owner, "SendMessage", with(&task["id"], context))).await;
                failed(&answer, -32004, "UNSUPPORTED_OPERATION");
                assert!(answer.text.contains("new message in the same context"), "{state}: {}", answer.text);
            }
            let other = nothing(&world, unit.call(&owner, "SendMessage", with(&task["id"], Some("other")))).await;
            failed(&other, -32602, "INVALID_PARAMS");
            if state == "queued" {
                unit.take().await;
            } else if state == "delivered" {
                let (turn, _) = unit.take().await;
                unit.complete(&turn, "done").await;
            }
        }
        for unknown in [json!("01890a5d-ac96-774b-bcce-b302099a8057"), json!("no id at all")] {
            let answer = nothing(&world, unit.call(&owner, "SendMessage", with(&unknown, None))).await;
            failed(&answer, -32001, "TASK_NOT_FOUND");
        }
        // Streaming is the same.
        let answer = nothing(&world, unit.call(&owner, "SendStreamingMessage", with(&task["id"], None))).await;
        failed(&answer, -32004, "UNSUPPORTED_OPERATION");
        world
    });
}

#[test]
fn what_is_not_the_callers_looks_as_if_it_did_not_exist() {
    each_engine(Config::default(), async |world| {
        let (one, two) = (Unit::new(&world, "one").await, Unit::new(&world, "two").await);
        let three = Unit::new(&world, "three").await;
        let owner = world.owner();
        // A sibling's task: its sender and whoever sees the workspace see it.
        let task = one.tell(&two.agent, "m-1", "go").await;
        for reader in [&two.agent, &one.agent, &owner, &world.admin()] {
            assert_eq!(one.task(reader, &task["id"]).await["id"], task["id"]);
        }
        let absent = json!("01890a5d-ac96-774b-bcce-b302099a8057");
        for method in ["GetTask", "CancelTask", "SubscribeToTask"] {
            let hidden = nothing(&world, one.call(&three.agent, method, json!({"id": task["id"]}))).await;
            failed(&hidden, -32001, "TASK_NOT_FOUND");
            let missing = nothing(&world, one.call(&three.agent, method, json!({"id": absent}))).await;
            let words = |text: &str| text.split("\"request_id\"").next().map(str::to_owned);
            assert_eq!(words(&hidden.text), words(&missing.text), "{method}");
            // The right task under another workspace is none.
            failed(&two.call(&owner, method, json!({"id": task["id"]})).await, -32001, "TASK_NOT_FOUND");
        }
        let list = Unit::result(&one.call(&three.agent, "ListTasks", json!({})).await);
        assert_eq!((&list["tasks"], &list["totalSize"]), (&json!([]), &json!(0)), "{list}");
        // An agent's word to the people is no task.
        one.agent.post(&one.path("notify"), json!({"message": "hello"})).await.status(200);
        let list = Unit::result(&one.call(&owner, "ListTasks", json!({})).await);
        assert_eq!(list["totalSize"], 1, "{list}");
        let word = world.db.texts("SELECT id FROM messages WHERE direction = 'out'");
        failed(&one.call(&owner, "GetTask", json!({"id": word[0]})).await, -32001, "TASK_NOT_FOUND");
        world
    });
}

#[test]
fn a_program_is_not_shown_its_own_text_and_a_human_as_much_history_as_asked() {
    each_engine(Config::default(), async |world| {
        let (one, two) = (Unit::new(&world, "one").await, Unit::new(&world, "two").await);
        let task = one.tell(&two.agent, "m-1", "go").await;
        assert!(task.get("history").is_none(), "a marker in it would tell that a guess is a value: {task}");
        let owner = world.owner();
        let task = one.tell(&owner, "m-1", "go").await;
        for (length, shown) in [(json!(null), true), (json!(0), false), (json!(1), true), (json!(100), true)] {
            let params = json!({"id": task["id"], "historyLength": length});
            let got = Unit::result(&one.call(&owner, "GetTask", params).await);
            assert_eq!(got.get("history").is_some(), shown, "{length}: {got}");
        }
        let params = json!({"id": task["id"], "historyLength": -1});
        failed(&one.call(&owner, "GetTask", params).await, -32602, "INVALID_PARAMS");
        world
    });
}

#[test]
fn what_waits_can_be_taken_back_and_what_is_worked_on_cannot() {
    each_engine(Config::default(), async |world| {
        let (one, two) = (Unit::new(&world, "one").await, Unit::new(&world, "two").await);
        let owner = world.owner();
        let worked_on = one.tell(&owner, "m-1", "go").await;
        let waits = one.tell(&two.agent, "m-2", "go").await;
        // Whoever sees it but did not send it does not take it back.
        let other = nothing(&world, one.call(&one.agent, "CancelTask", json!({"id": waits["id"]}))).await;
        failed(&other, -32002, "TASK_NOT_CANCELABLE");
        let (turn, _) = one.take().await;
        let answer = nothing(&world, one.call(&owner, "CancelTask", json!({"id": worked_on["id"]}))).await;
        failed(&answer, -32002, "TASK_NOT_CANCELABLE");
        let cancelled = Unit::result(&one.call(&two.agent, "CancelTask", json!({"id": waits["id"]})).await);
        assert_eq!(cancelled["status"]["state"], "TASK_STATE_CANCELED", "{cancelled}");
        let again = nothing(&world, one.call(&two.agent, "CancelTask", json!({"id": waits["id"]}))).await;
        failed(&again, -32002, "TASK_NOT_CANCELABLE");
        one.complete(&turn, "done").await;
        let over = nothing(&world, one.call(&owner, "CancelTask", json!({"id": worked_on["id"]}))).await;
        failed(&over, -32002, "TASK_NOT_CANCELABLE");
        let claim = one.agent.post(&one.path("inbox/claim"), json!({"wait_s": 0})).await;
        assert_eq!(claim.status(200).json["turn"], Value::Null, "what was taken back is not delivered");
        world
    });
}
