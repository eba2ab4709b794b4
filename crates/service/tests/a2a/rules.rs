//! The rules of A2A 1.0 that are easily broken, one test each, on both engines: lists, bindings, errors.

use crate::scene::{Stream, Unit, at_once, failed, message};
use crate::world::{World, each_engine};
use portcullis_authority::Config;
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn a_list_is_newest_first_in_pages_and_holds_only_what_the_caller_may_see() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let two = Unit::new(&world, "two").await;
        let mut ids = Vec::new();
        for n in 0..5 {
            world.advance(1_000);
            let mut one = message(&format!("m-{n}"), "go");
            one["contextId"] = format!("c-{}", n % 2).into();
            let task = Unit::result(&unit.call(&owner, "SendMessage", at_once(one)).await)["task"].clone();
            ids.push(task["id"].clone());
        }
        world.advance(1_000);
        let theirs = unit.tell(&two.agent, "m-0", "go").await;
        world.advance(1_000);
        // What changed last comes first: the oldest message is worked on.
        unit.answer("done").await;
        let list = async |actor: &crate::world::Actor, params: Value| {
            Unit::result(&unit.call(actor, "ListTasks", params).await)
        };
        let found = |list: &Value| -> Vec<Value> {
            list["tasks"].as_array().expect("tasks").iter().map(|task| task["id"].clone()).collect()
        };
        let expected = [&ids[0], &theirs["id"], &ids[4], &ids[3], &ids[2], &ids[1]].map(Value::clone).to_vec();
        let all = list(&owner, json!({})).await;
        assert_eq!(found(&all), expected);
        assert_eq!((&all["nextPageToken"], &all["totalSize"], &all["pageSize"]), (&json!(""), &json!(6), &json!(50)));
        // Artifacts only when asked.
        assert!(all["tasks"].as_array().expect("tasks").iter().all(|task| task.get("artifacts").is_none()), "{all}");
        let with = list(&owner, json!({"includeArtifacts": true, "status": "TASK_STATE_COMPLETED"})).await;
        assert_eq!(with["tasks"][0]["artifacts"][0]["parts"][0]["text"], "done", "{with}");
        assert_eq!(found(&with), [ids[0].clone()]);
        // Pages.
        let (mut walked, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = list(&owner, json!({"pageSize": 2, "pageToken": token})).await;
            assert_eq!((&page["totalSize"], &page["pageSize"]), (&json!(6), &json!(2)));
            walked.extend(found(&page));
            pages += 1;
            token = page["nextPageToken"].as_str().expect("always there").to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!((walked, pages), (expected, 3));
        // Filters.
        assert_eq!(found(&list(&owner, json!({"contextId": "c-1"})).await), [ids[3].clone(), ids[1].clone()]);
        let waiting = list(&owner, json!({"status": "TASK_STATE_SUBMITTED", "contextId": "c-0"})).await;
        assert_eq!(found(&waiting), [ids[4].clone(), ids[2].clone()]);
        let since = list(&owner, json!({"statusTimestampAfter": "2026-06-11T00:08:05Z"})).await;
        assert_eq!(since["totalSize"], 3, "{since}");
        let never = list(&owner, json!({"status": "TASK_STATE_AUTH_REQUIRED"})).await;
        assert_eq!((&never["totalSize"], &never["nextPageToken"]), (&json!(0), &json!("")));
        // A peer sees its own.
        let own = list(&two.agent, json!({})).await;
        assert_eq!((found(&own), &own["totalSize"]), (vec![theirs["id"].clone()], &json!(1)));
        assert_eq!(list(&unit.agent, json!({})).await["totalSize"], 6);
        for bad in [
            json!({"pageSize": 0}),
            json!({"pageSize": 101}),
            json!({"pageSize": -1}),
            json!({"pageToken": "x"}),
            json!({"pageToken": "1.2.3"}),
            json!({"historyLength": -1}),
            json!({"status": "WORKING"}),
            json!({"statusTimestampAfter": "yesterday"}),
            json!({"tenant": "other"}),
        ] {
            failed(&unit.call(&owner, "ListTasks", bad).await, -32602, "INVALID_PARAMS");
        }
        world
    });
}

#[test]
fn http_json_is_the_same_in_other_clothes() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner().with("a2a-version", "1.0"));
        let path = unit.path("a2a/message:send");
        let (sent, ()) = tokio::join!(owner.post(&path, json!({"message": message("m-1", "go")})), unit.answer("done"));
        assert_eq!(sent.status(200).headers["content-type"], "application/a2a+json");
        let task = sent.json["task"].clone();
        let plain = world.owner();
        assert_eq!(unit.task(&plain, &task["id"]).await, task, "one task on both bindings");
        let id = task["id"].as_str().expect("an id");
        let got = owner.with("accept", "application/json").get(&unit.path(&format!("a2a/tasks/{id}"))).await;
        assert_eq!(
            (&got.status(200).json, &got.headers["content-type"]),
            (&task, &"application/json".parse().expect("text"))
        );
        let bare = owner.get(&unit.path(&format!("a2a/tasks/{id}?historyLength=0"))).await;
        assert!(bare.status(200).json.get("history").is_none(), "{}", bare.text);
        let list =
            owner.get(&unit.path("a2a/tasks?pageSize=1&includeArtifacts=true&status=TASK_STATE_COMPLETED")).await;
        assert_eq!((&list.status(200).json["totalSize"], &list.json["nextPageToken"]), (&json!(1), &json!("")));
        assert!(list.json["tasks"][0]["artifacts"].is_array(), "{}", list.text);
        // A stream, and a subscription by either method.
        let body = json!({"message": message("m-2", "go")});
        let mut first = Stream::of(owner.begin(Method::POST, &unit.path("a2a/message:stream"), Some(body)).await);
        let waits = first.next().await.expect("the task")["task"].clone();
        let id = waits["id"].as_str().expect("an id").to_owned();
        let path = unit.path(&format!("a2a/tasks/{id}:subscribe"));
        let mut second = Stream::of(owner.begin(Method::GET, &path, None).await);
        let mut third = Stream::of(owner.begin(Method::POST, &path, None).await);
        for stream in [&mut second, &mut third] {
            assert_eq!(stream.next().await.expect("the task")["task"], waits);
        }
        let cancelled = owner.post(&unit.path(&format!("a2a/tasks/{id}:cancel")), json!({})).await;
        assert_eq!(cancelled.status(200).json["status"]["state"], "TASK_STATE_CANCELED");
        for stream in [&mut first, &mut second, &mut third] {
            let event = stream.next().await.expect("the end");
            assert_eq!(event["statusUpdate"]["status"]["state"], "TASK_STATE_CANCELED");
            assert_eq!(stream.next().await, None);
        }
        // Errors are AIP-193, with the refusal whole.
        let absent = "a2a/tasks/01890a5d-ac96-774b-bcce-b302099a8057";
        for (answer, status, word, reason) in [
            (owner.get(&unit.path(absent)).await, 404, "NOT_FOUND", "TASK_NOT_FOUND"),
            (
                owner.get(&unit.path(&format!("a2a/tasks/{id}:subscribe"))).await,
                400,
                "FAILED_PRECONDITION",
                "UNSUPPORTED_OPERATION",
            ),
            (
                owner.post(&unit.path(&format!("a2a/tasks/{id}:cancel")), json!({})).await,
                400,
                "FAILED_PRECONDITION",
                "TASK_NOT_CANCELABLE",
            ),
            (owner.get(&unit.path("a2a/extendedAgentCard")).await, 400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"),
            (
                owner.get(&unit.path("a2a/tasks/x/pushNotificationConfigs")).await,
                400,
                "INVALID_ARGUMENT",
                "PUSH_NOTIFICATION_NOT_SUPPORTED",
            ),
            (owner.get(&unit.path("a2a/tasks?pageSize=0")).await, 400, "INVALID_ARGUMENT", "INVALID_PARAMS"),
            (owner.get(&unit.path("a2a/tasks?pagesize=1")).await, 400, "INVALID_ARGUMENT", "INVALID_PARAMS"),
            (plain.get(&unit.path("a2a/tasks")).await, 400, "INVALID_ARGUMENT", "VERSION_NOT_SUPPORTED"),
            (
                plain.get(&unit.path("a2a/tasks?A2A-Version=0.3")).await,
                400,
                "INVALID_ARGUMENT",
                "VERSION_NOT_SUPPORTED",
            ),
            (
                owner.post(&unit.path(&format!("a2a/tasks/{id}:reject")), json!({})).await,
                404,
                "NOT_FOUND",
                "ROUTE_NOT_FOUND",
            ),
            (owner.post(&unit.path(&format!("a2a/tasks/{id}")), json!({})).await, 404, "NOT_FOUND", "ROUTE_NOT_FOUND"),
        ] {
            let error = &answer.json["error"];
            assert_eq!(
                (answer.status, &error["code"], &error["status"]),
                (status, &json!(status), &json!(word)),
                "{}",
                answer.text
            );
            assert_eq!(error["details"][0]["reason"], reason, "{}", answer.text);
            assert!(error["details"][1]["next_step"].is_string(), "{}", answer.text);
            assert_eq!(answer.headers["content-type"], "application/json");
        }
        world
    });
}

#[test]
fn versions_other_than_the_two_are_refused_and_none_is_the_predecessors() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let task = unit.tell(&owner, "m-1", "go").await;
        let request = json!({"jsonrpc": "2.0", "id": "a", "method": "GetTask", "params": {"id": task["id"]}});
        let rows = world.db.rows();
        for version in ["", "0.3", "1", "1.1", "2.0", "x"] {
            let answer = owner.with("a2a-version", version).post(&unit.path("a2a"), request.clone()).await;
            failed(answer.status(200), -32009, "VERSION_NOT_SUPPORTED");
            assert_eq!(answer.json["id"], "a");
        }
        failed(owner.post(&unit.path("a2a"), request.clone()).await.status(200), -32009, "VERSION_NOT_SUPPORTED");
        for path in ["a2a?A2A-Version=1.0", "a2a/?A2A-Version=1.0"] {
            let answer = owner.post(&unit.path(path), request.clone()).await;
            assert_eq!(answer.status(200).json["result"]["id"], task["id"], "with and without the slash");
        }
        let twice = owner.with("a2a-version", "1.0").post(&unit.path("a2a?A2A-Version=0.3"), request.clone()).await;
        twice.refused(400, "INVALID_REQUEST");
        // Extensions that nobody knows are not echoed.
        let extended = owner.with("a2a-version", "1.0").with("a2a-extensions", "https://example.org/x");
        let answer = extended.post(&unit.path("a2a"), request).await;
        assert!(answer.status(200).json["error"].is_null() && !answer.headers.contains_key("a2a-extensions"));
        assert_eq!(world.db.rows(), rows);
        world
    });
}

#[test]
fn errors_are_those_of_the_specification_and_leave_nothing() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner().with("a2a-version", "1.0"));
        let before = crate::probe::state(&world.db);
        let path = unit.path("a2a");
        for (body, id, code, reason) in [
            ("{", json!(null), -32700, "PARSE_ERROR"),
            ("", json!(null), -32700, "PARSE_ERROR"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"GetTask"}"#, json!(null), -32700, "PARSE_ERROR"),
            ("[]", json!(null), -32600, "INVALID_REQUEST"),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"x"}}]"#,
                json!(null),
                -32600,
                "INVALID_REQUEST",
            ),
            ("{}", json!(null), -32600, "INVALID_REQUEST"),
            (r#"{"jsonrpc":"2.0","id":[],"method":"GetTask"}"#, json!(null), -32600, "INVALID_REQUEST"),
            (r#"{"jsonrpc":"1.0","id":1,"method":"GetTask"}"#, json!(1), -32600, "INVALID_REQUEST"),
            (r#"{"jsonrpc":"2.0","id":1}"#, json!(1), -32600, "INVALID_REQUEST"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","more":1}"#, json!(1), -32600, "INVALID_REQUEST"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"GetTask","params":[]}"#, json!(1.5), -32602, "INVALID_PARAMS"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"GetTask"}"#, json!(null), -32602, "INVALID_PARAMS"),
            (
                r#"{"jsonrpc":"2.0","id":"x","method":"message/send","params":{}}"#,
                json!("x"),
                -32601,
                "METHOD_NOT_FOUND",
            ),
        ] {
            let answer = owner.send(Method::POST, &path, Some(body.as_bytes().to_vec())).await;
            failed(answer.status(200), code, reason);
            assert_eq!(answer.json["id"], id, "{body}");
        }
        let text = owner.with("content-type", "text/plain").send(Method::POST, &path, Some(b"{}".to_vec())).await;
        failed(text.status(200), -32005, "CONTENT_TYPE_NOT_SUPPORTED");
        let with = |change: fn(&mut Value)| {
            let mut params = at_once(message("m-1", "go"));
            change(&mut params);
            params
        };
        for (method, params, code, reason) in [
            ("GetTask", json!({}), -32602, "INVALID_PARAMS"),
            ("GetTask", json!({"id": 7}), -32602, "INVALID_PARAMS"),
            ("GetTask", json!({"id": "../../x"}), -32001, "TASK_NOT_FOUND"),
            ("GetTaskPushNotificationConfig", json!({}), -32003, "PUSH_NOTIFICATION_NOT_SUPPORTED"),
            ("ListTaskPushNotificationConfigs", json!({}), -32003, "PUSH_NOTIFICATION_NOT_SUPPORTED"),
            ("DeleteTaskPushNotificationConfig", json!({}), -32003, "PUSH_NOTIFICATION_NOT_SUPPORTED"),
            ("GetExtendedAgentCard", json!({}), -32004, "UNSUPPORTED_OPERATION"),
            ("SendMessage", json!({}), -32602, "INVALID_PARAMS"),
            ("SendMessage", with(|p| p["message"]["role"] = "user".into()), -32602, "INVALID_PARAMS"),
            ("SendMessage", with(|p| p["message"]["role"] = "ROLE_AGENT".into()), -32602, "INVALID_PARAMS"),
            ("SendMessage", with(|p| p["message"]["parts"] = json!([])), -32602, "INVALID_PARAMS"),
            ("SendMessage", with(|p| p["message"]["parts"] = json!([{"text": ""}])), -32602, "INVALID_PARAMS"),
            ("SendMessage", with(|p| p["message"]["parts"] = json!([{"kind": "text"}])), -32602, "INVALID_PARAMS"),
            (
                "SendMessage",
                with(|p| p["message"]["parts"] = json!([{"text": "x", "url": "y"}])),
                -32602,
                "INVALID_PARAMS",
            ),
            ("SendMessage", with(|p| p["message"]["messageId"] = "".into()), -32602, "INVALID_PARAMS"),
            ("SendMessage", with(|p| p["message"]["messageId"] = "two words".into()), -32602, "INVALID_PARAMS"),
            (
                "SendMessage",
                with(|p| p["message"]["parts"] = json!([{"url": "http://x"}])),
                -32005,
                "CONTENT_TYPE_NOT_SUPPORTED",
            ),
            (
                "SendMessage",
                with(|p| p["message"]["parts"] = json!([{"raw": "eA=="}])),
                -32005,
                "CONTENT_TYPE_NOT_SUPPORTED",
            ),
            (
                "SendMessage",
                with(|p| p["message"]["parts"] = json!([{"text": "x"}, {"data": {}}])),
                -32005,
                "CONTENT_TYPE_NOT_SUPPORTED",
            ),
            (
                "SendMessage",
                with(|p| p["message"]["parts"] = json!([{"text": "x", "mediaType": "image/png"}])),
                -32005,
                "CONTENT_TYPE_NOT_SUPPORTED",
            ),
            (
                "SendMessage",
                with(|p| p["configuration"]["acceptedOutputModes"] = json!(["image/png"])),
                -32005,
                "CONTENT_TYPE_NOT_SUPPORTED",
            ),
            ("SendMessage", with(|p| p["configuration"]["historyLength"] = json!(-1)), -32602, "INVALID_PARAMS"),
            ("SendMessage", with(|p| p["tenant"] = "x".into()), -32602, "INVALID_PARAMS"),
        ] {
            let answer = unit.call(&world.owner(), method, params.clone()).await;
            failed(&answer, code, reason);
        }
        let long = json!({"message": message("m-1", &"x".repeat(1024 * 1024))});
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": long});
        owner.post(&path, request).await.refused(413, "BODY_TOO_LARGE");
        assert_eq!(crate::probe::state(&world.db), before);
        // Several texts are one text; and what the protocol may add later is left aside.
        let several = with(|p| {
            p["message"]["parts"] = json!([{"text": "a"}, {"text": "b", "mediaType": "text/plain", "later": 1}])
        });
        Unit::result(&unit.call(&world.owner(), "SendMessage", several).await);
        assert_eq!(unit.take().await.1["text"], "a\nb");
        world
    });
}

#[test]
fn what_has_no_id_is_done_and_not_answered() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner().with("a2a-version", "1.0"));
        let notify = async |method: &str, params: Value| {
            let answer =
                owner.post(&unit.path("a2a"), json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
            assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{method}");
        };
        notify("SendMessage", json!({"message": message("m-1", "go")})).await;
        assert_eq!(world.db.texts("SELECT message_id FROM messages"), ["m-1"]);
        for (method, params) in [("GetTask", json!({"id": "x"})), ("Nothing", json!({})), ("SendMessage", json!({}))] {
            notify(method, params).await;
        }
        let id = world.db.texts("SELECT id FROM messages");
        notify("CancelTask", json!({"id": id[0]})).await;
        assert_eq!(world.db.texts("SELECT state FROM messages"), ["cancelled"]);
        world
    });
}

/// The server's own messages to agents in states that take none.
#[test]
fn a_message_waits_while_the_agent_is_busy_or_drains_and_is_delivered_once() {
    each_engine(Config::default(), async |world: World| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        unit.tell(&owner, "m-1", "first").await;
        let (turn, _) = unit.take().await;
        let second = unit.tell(&owner, "m-2", "second").await;
        assert_eq!(second["status"]["state"], "TASK_STATE_SUBMITTED");
        owner.send(Method::POST, &unit.path("pause"), None).await.status(200);
        unit.complete(&turn, "done").await;
        let third = unit.tell(&owner, "m-3", "third").await;
        let claim = unit.agent.post(&unit.path("inbox/claim"), json!({"wait_s": 0})).await;
        assert_eq!(claim.status(200).json["turn"], Value::Null, "it drains");
        owner.send(Method::POST, &unit.path("resume"), None).await.status(200);
        for task in [second, third] {
            let (turn, message) = unit.take().await;
            assert_eq!(message["id"], task["id"]);
            unit.complete(&turn, "done").await;
            assert_eq!(unit.task(&owner, &task["id"]).await["status"]["state"], "TASK_STATE_COMPLETED");
        }
        world
    });
}
