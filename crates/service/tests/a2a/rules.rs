//! The rules of A2A 1.0 that are easily broken, one test each, on both engines: lists, streams, cards, bindings, errors.

use crate::scene::{Stream, Unit, at_once, failed, message};
use crate::world::{World, each_engine};
use portcullis_authority::Config;
use portcullis_kernel::operator::Role;
use reqwest::Method;
use serde_json::{Value, json};

fn states(events: &[Value]) -> Vec<String> {
    let state = |event: &Value| match (&event["task"], &event["statusUpdate"]) {
        (Value::Object(_), _) => format!("task {}", event["task"]["status"]["state"].as_str().unwrap_or_default()),
        (_, Value::Object(_)) => event["statusUpdate"]["status"]["state"].as_str().unwrap_or_default().to_owned(),
        _ => {
            format!("artifact {}", event["artifactUpdate"]["artifact"]["parts"][0]["text"].as_str().unwrap_or_default())
        }
    };
    events.iter().map(state).collect()
}

#[test]
fn a_stream_begins_with_the_task_and_every_stream_of_it_says_the_same_in_the_same_order() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let sent = json!({"message": message("m-1", "go")});
        let mut first = Stream::open(&unit, &owner, "SendStreamingMessage", sent.clone()).await;
        let task = first.event().await["task"].clone();
        assert_eq!(task["status"]["state"], "TASK_STATE_SUBMITTED", "{task}");
        let id = json!({"id": task["id"]});
        let mut second = Stream::open(&unit, &owner, "SubscribeToTask", id.clone()).await;
        assert_eq!(second.event().await["task"], task, "the first event of a subscription is the whole task");
        // Closing one touches neither the others nor the task.
        let mut closed = Stream::open(&unit, &owner, "SubscribeToTask", id.clone()).await;
        closed.event().await;
        drop(closed);
        world.advance(1_000);
        let (turn, _) = unit.take().await;
        assert_eq!(states(&[first.event().await]), ["TASK_STATE_WORKING"]);
        let mut late = Stream::open(&unit, &owner, "SubscribeToTask", id.clone()).await;
        assert_eq!(states(&[late.event().await]), ["task TASK_STATE_WORKING"]);
        world.advance(1_000);
        unit.complete(&turn, "done").await;
        let end = ["artifact done", "TASK_STATE_COMPLETED"];
        let (told, heard, rest) = (first.rest().await, second.rest().await, late.rest().await);
        assert_eq!(states(&told), end);
        assert_eq!(states(&heard), ["TASK_STATE_WORKING", end[0], end[1]]);
        assert_eq!(heard[1..], told[..], "the same events, word for word");
        assert_eq!(rest, told);
        assert_eq!(heard[0]["statusUpdate"]["status"]["timestamp"], "2026-06-11T00:08:01Z");
        // A task that has ended is got, not subscribed to.
        failed(&unit.call(&owner, "SubscribeToTask", id).await, -32004, "UNSUPPORTED_OPERATION");
        // The same message again is the same task, which is all there is to stream.
        let mut again = Stream::open(&unit, &owner, "SendStreamingMessage", sent).await;
        let whole = again.event().await["task"].clone();
        assert_eq!((&whole["id"], &whole["status"]["state"]), (&task["id"], &json!("TASK_STATE_COMPLETED")));
        assert_eq!(again.next().await, None);
        world
    });
}

#[test]
fn the_life_of_a_task_does_not_depend_on_whoever_streams_it() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let mut stream =
            Stream::open(&unit, &owner, "SendStreamingMessage", json!({"message": message("m-1", "go")})).await;
        let id = stream.event().await["task"]["id"].clone();
        drop(stream);
        unit.answer("done").await;
        assert_eq!(unit.task(&owner, &id).await["status"]["state"], "TASK_STATE_COMPLETED");
        // What failed before anybody took it has not been worked on.
        let mut stream =
            Stream::open(&unit, &owner, "SendStreamingMessage", json!({"message": message("m-2", "go")})).await;
        let id = stream.event().await["task"]["id"].clone();
        Unit::result(&unit.call(&owner, "CancelTask", json!({"id": id})).await);
        assert_eq!(states(&stream.rest().await), ["TASK_STATE_CANCELED"]);
        world
    });
}

#[test]
fn a_stream_ends_with_its_credential_and_with_the_server() {
    each_engine(Config::default(), async |mut world| {
        let (one, two) = (Unit::new(&world, "one").await, world.workspace("two").await);
        let minted = world.owner().post(&format!("/workspaces/{two}/tokens"), json!({})).await;
        let agent = world.bearer(&minted.status(201).member("auth_token"));
        let mut revoked =
            Stream::open(&one, &agent, "SendStreamingMessage", json!({"message": message("m-1", "go")})).await;
        let id = revoked.event().await["task"]["id"].clone();
        let mut stays = Stream::open(&one, &world.owner(), "SubscribeToTask", json!({"id": id})).await;
        stays.event().await;
        world.owner().delete(&format!("/workspaces/{two}/tokens/{}", minted.member("id"))).await.status(200);
        assert_eq!(revoked.next().await, None, "a revoked token sees no more");
        one.answer("done").await;
        assert_eq!(states(&stays.rest().await), ["TASK_STATE_WORKING", "artifact done", "TASK_STATE_COMPLETED"]);
        let waits = one.tell(&world.owner(), "m-2", "go").await;
        let mut open = Stream::open(&one, &world.owner(), "SubscribeToTask", json!({"id": waits["id"]})).await;
        open.event().await;
        world.shut_down().await;
        assert_eq!(open.next().await, None, "the server stops");
        world
    });
}

#[test]
fn a_send_that_waits_is_given_the_task_as_it_is_when_the_server_stops() {
    each_engine(Config::default(), async |mut world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let sent = json!({"message": message("m-1", "go")});
        let db = &world.db;
        let queued = async || {
            while db.integer("SELECT COUNT(*) FROM messages") == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let waits = {
            let (unit, owner) = (Unit { id: unit.id.clone(), agent: owner.clone() }, owner.clone());
            tokio::spawn(async move { unit.call(&owner, "SendMessage", sent).await })
        };
        queued().await;
        world.shut_down().await;
        let answer = waits.await.expect("an answer");
        assert_eq!(Unit::result(&answer)["task"]["status"]["state"], "TASK_STATE_SUBMITTED", "{}", answer.text);
        world
    });
}

#[test]
fn streams_and_waits_of_one_principal_are_limited_and_refused_before_anything_is_sent() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let task = unit.tell(&owner, "m-1", "go").await;
        let mut open = Vec::new();
        for _ in 0..64 {
            open.push(Stream::open(&unit, &owner, "SubscribeToTask", json!({"id": task["id"]})).await);
        }
        let rows = world.db.rows();
        for method in ["SendMessage", "SendStreamingMessage"] {
            let one_more = unit.call(&owner, method, json!({"message": message("m-2", "go")})).await;
            failed(&one_more, 429, "RATE_LIMITED");
            assert_eq!(one_more.headers["retry-after"], "5");
        }
        assert_eq!(world.db.rows(), rows, "nothing was sent");
        // Others, and what does not wait, are served.
        let member = world.operator("member@example.org", Role::Member, &[]).await;
        Stream::open(&unit, &member, "SubscribeToTask", json!({"id": task["id"]})).await.event().await;
        unit.tell(&owner, "m-3", "go").await;
        drop(open);
        let begun = std::time::Instant::now();
        while begun.elapsed().as_secs() < 30 {
            let request = json!({"jsonrpc": "2.0", "id": 7, "method": "SubscribeToTask", "params": {"id": task["id"]}});
            let again = owner.with("a2a-version", "1.0").begin(Method::POST, &unit.path("a2a"), Some(request)).await;
            if again.headers()["content-type"] == "text/event-stream" {
                return world;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("places that were left are not free again");
    });
}

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
fn a_card_is_for_those_who_may_talk_and_may_be_kept_a_moment() {
    each_engine(Config::default(), async |world| {
        let (one, two) = (Unit::new(&world, "one").await, Unit::new(&world, "two").await);
        let owner = world.owner();
        let below =
            owner.post("/workspaces", json!({"name": "below", "parent_id": one.id})).await.status(201).member("id");
        let below = Unit::of(&world, below).await;
        let said = json!({
            "name": "The one\u{7}", "description": "d".repeat(5_000), "version": "7", "url": "http://10.0.0.1:9/a2a",
            "supportedInterfaces": [{"url": "http://10.0.0.1:9/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
            "iconUrl": "http://10.0.0.1:9/icon", "documentationUrl": "http://10.0.0.1:9/doc",
            "provider": {"organization": "x", "url": "http://10.0.0.1:9"},
            "skills": [{"id": "s", "name": "S", "description": "does s", "tags": ["t", 7]}, {"name": "no id"}, "x"],
        });
        one.agent.post("/registry/register", json!({"id": one.id, "agent_card": said})).await.status(200);
        let path = one.path("a2a/.well-known/agent-card.json");
        let answer = two.agent.get(&path).await;
        let card = answer.status(200).json.clone();
        assert_eq!(answer.headers["cache-control"], "private, max-age=60");
        assert_eq!((&card["name"], &card["version"]), (&json!("The one"), &json!("7")), "{card}");
        assert_eq!(card["description"].as_str().map(str::len), Some(2_048));
        assert_eq!(card["skills"], json!([{"id": "s", "name": "S", "description": "does s", "tags": ["t"]}]), "{card}");
        assert!(!answer.text.contains("10.0.0.1"), "an address that was registered is not shown: {}", answer.text);
        let url = format!("{}/workspaces/{}/a2a", world.url, one.id);
        let interface = |binding: &str| json!({"url": url, "protocolBinding": binding, "protocolVersion": "1.0"});
        assert_eq!(card["supportedInterfaces"], json!([interface("JSONRPC"), interface("HTTP+JSON")]));
        assert_eq!(
            card["capabilities"],
            json!({"streaming": true, "pushNotifications": false, "extendedAgentCard": false})
        );
        assert_eq!(card["securitySchemes"]["bearer"]["httpAuthSecurityScheme"]["scheme"], "Bearer", "{card}");
        assert_eq!(card["securityRequirements"], json!([{"schemes": {"bearer": {"list": []}}}]), "{card}");
        // The same bytes are not sent again.
        let etag = answer.headers["etag"].to_str().expect("text").to_owned();
        let same = two.agent.with("if-none-match", &etag).get(&path).await;
        assert_eq!(
            (same.status, same.text.as_str(), same.headers["etag"].to_str().ok()),
            (304, "", Some(etag.as_str()))
        );
        one.agent.post("/registry/register", json!({"id": one.id, "agent_card": {"name": "other"}})).await.status(200);
        let other = two.agent.with("if-none-match", &etag).get(&path).await;
        assert_eq!(other.status(200).json["name"], "other");
        // Who sees it or is its peer; to everybody else it is not there.
        for reader in [&owner, &world.admin(), &one.agent, &below.agent] {
            assert_eq!(reader.get(&path).await.status(200).json, other.json);
            let beside = reader.get(&one.path(".well-known/agent-card.json")).await;
            assert_eq!(beside.status(200).json, other.json);
        }
        two.agent.get(&below.path("a2a/.well-known/agent-card.json")).await.refused(404, "NOT_FOUND");
        let nobody = world.nobody().get(&path).await;
        assert_eq!(nobody.refused(401, "UNAUTHENTICATED").headers["www-authenticate"], "Bearer realm=\"portcullis\"");
        // The concierge's, where a client looks first.
        let root = two.agent.get("/.well-known/agent-card.json").await;
        let url = format!("{}/workspaces/{}/a2a", world.url, world.root());
        assert_eq!(root.status(200).json["supportedInterfaces"][0]["url"], url.as_str(), "{}", root.text);
        below.agent.get("/.well-known/agent-card.json").await.refused(404, "NOT_FOUND");
        world
    });
}

#[test]
fn a_registered_address_is_never_called() {
    each_engine(Config::default(), async |world| {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = format!("http://{}/a2a", listener.local_addr().expect("an address"));
        let (one, two) = (Unit::new(&world, "one").await, Unit::new(&world, "two").await);
        let card = json!({"name": "one", "url": address, "supportedInterfaces": [{"url": address, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}]});
        one.agent.post("/registry/register", json!({"id": one.id, "agent_card": card})).await.status(200);
        let shown = two.agent.get(&one.path("a2a/.well-known/agent-card.json")).await;
        assert!(!shown.status(200).text.contains(&address), "{}", shown.text);
        let task = one.tell(&two.agent, "m-1", "go").await;
        let mut stream = Stream::open(&one, &two.agent, "SubscribeToTask", json!({"id": task["id"]})).await;
        stream.event().await;
        let push = json!({"taskId": task["id"], "url": address});
        failed(
            &one.call(&two.agent, "CreateTaskPushNotificationConfig", push.clone()).await,
            -32003,
            "PUSH_NOTIFICATION_NOT_SUPPORTED",
        );
        let mut asks = json!({"message": message("m-2", "go")});
        asks["configuration"] = json!({"taskPushNotificationConfig": push});
        failed(&one.call(&two.agent, "SendMessage", asks).await, -32003, "PUSH_NOTIFICATION_NOT_SUPPORTED");
        one.answer("done").await;
        assert_eq!(stream.rest().await.len(), 3);
        let called = tokio::time::timeout(std::time::Duration::from_millis(300), listener.accept()).await;
        assert!(called.is_err(), "somebody called the registered address");
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
