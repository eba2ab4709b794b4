//! Streams and waits: what they say, what they do not touch, and how many there may be.

use crate::scene::{Stream, Unit, failed, message};
use crate::world::each_engine;
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
