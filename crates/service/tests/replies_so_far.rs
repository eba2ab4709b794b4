//! A reply while it is being written: people who watch see its complete lines without values, programs see nothing of it,
//! and nothing keeps it.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use portcullis_authority::{Config, Ended};
use probe::Events;
use serde_json::{Value, json};
use world::{Actor, Answer, World, each_engine};

const VALUE: &str = "canary-of-a-reply-that-grows";

/// An agent in a turn: its workspace, itself, its turn and the message.
async fn in_a_turn(world: &World) -> (String, Actor, String, String) {
    let id = world.workspace("writer").await;
    let secret = json!({"key": "CANARY", "value": VALUE});
    world.owner().post(&format!("/workspaces/{id}/secrets"), secret).await.status(200);
    let agent = world.agent_of(&id).await;
    agent.post("/registry/register", json!({"id": id})).await.status(200);
    let sent = world.owner().post(&format!("/workspaces/{id}/messages"), json!({"text": "write"})).await;
    let claim = agent.post(&format!("/workspaces/{id}/inbox/claim"), json!({"wait_s": 0})).await;
    let turn = claim.status(200).json["turn"]["id"].as_str().expect("a turn").to_owned();
    (id, agent, turn, sent.status(202).member("id"))
}

async fn show(agent: &Actor, id: &str, turn: &str, reply: &str) -> Answer {
    agent.post(&format!("/workspaces/{id}/turns/{turn}/progress"), json!({"reply": reply})).await
}

/// The next reply that grows.
async fn grown(events: &mut Events) -> Value {
    loop {
        let event = events.next().await.expect("an event");
        if event.name == "turn.progress" {
            assert_eq!(event.id, 0, "it is no event of the log, so it has no position");
            return serde_json::from_str(&event.data).expect("JSON");
        }
    }
}

#[test]
fn people_see_complete_lines_without_values_and_nothing_keeps_them() {
    each_engine(Config::default(), async |world| {
        let (id, agent, turn, message) = in_a_turn(&world).await;
        let mut watching = Events::open(&world.owner(), "/events").await;
        let before = probe::state(&world.db);
        // The value is half written, then whole; never is a part of it shown.
        let (half, rest) = VALUE.split_at(9);
        show(&agent, &id, &turn, &format!("one line\nand {half}")).await.status(200);
        let first = grown(&mut watching).await;
        assert_eq!(first, json!({"workspace_id": id, "message_id": message, "text": "one line\n"}));
        show(&agent, &id, &turn, &format!("one line\nand {half}{rest} is it\nthird")).await.status(200);
        assert_eq!(grown(&mut watching).await["text"], "one line\nand [redacted:CANARY] is it\n");
        assert_eq!(probe::state(&world.db), before, "nothing of it is stored");
        // Whoever comes later sees how far it is; whoever comes after the end sees nothing.
        let mut later = Events::open(&world.owner(), "/events").await;
        assert_eq!(grown(&mut later).await["text"], "one line\nand [redacted:CANARY] is it\n");
        let end = json!({"state": "completed", "reply": "done"});
        agent.post(&format!("/workspaces/{id}/turns/{turn}/end"), end).await.status(200);
        let mut after = Events::open(&world.owner(), "/events").await;
        world.owner().post(&format!("/workspaces/{id}/messages"), json!({"text": "again"})).await.status(202);
        assert_eq!(after.next().await.expect("an event").name, "message.send");
        assert!(!watching.text.contains(VALUE) && !later.text.contains(VALUE) && !after.text.contains("turn.progress"));
        world
    });
}

#[test]
fn a_program_that_listens_is_not_shown_what_an_agent_repeats() {
    each_engine(Config::default(), async |world| {
        let (id, agent, turn, _) = in_a_turn(&world).await;
        let mut program = Events::open(&world.admin(), "/events").await;
        let mut person = Events::open(&world.owner(), "/events").await;
        show(&agent, &id, &turn, &format!("{VALUE}\n")).await.status(200);
        // The person's stream has it, so the program's would have had it before the event that comes now.
        assert_eq!(grown(&mut person).await["text"], "[redacted:CANARY]\n");
        world.owner().post(&format!("/workspaces/{id}/messages"), json!({"text": "again"})).await.status(202);
        assert_eq!(program.next().await.expect("an event").name, "message.send");
        world
    });
}

#[test]
fn only_the_run_that_has_the_turn_shows_it_and_only_so_much() {
    each_engine(Config::default(), async |world| {
        let (id, agent, turn, _) = in_a_turn(&world).await;
        let other = world.workspace("other").await;
        let stranger = world.agent_of(&other).await;
        stranger.post("/registry/register", json!({"id": other})).await.status(200);
        show(&stranger, &id, &turn, "x\n").await.refused(404, "NOT_FOUND");
        show(&stranger, &other, &turn, "x\n").await.refused(404, "TURN_NOT_FOUND");
        show(&agent, &id, &turn, &"x".repeat(65_537)).await.refused(422, "INVALID_FIELD");
        show(&agent, &id, &turn, "x\0\n").await.refused(422, "INVALID_FIELD");
        let end = json!({"state": "failed", "error": "no"});
        agent.post(&format!("/workspaces/{id}/turns/{turn}/end"), end).await.status(200);
        show(&agent, &id, &turn, "x\n").await.refused(404, "TURN_NOT_FOUND");
        world
    });
}

/// What somebody is shown first who begins to listen, and then sees a message arrive.
async fn first_of_a_later_listener(world: &World, id: &str) -> String {
    let mut later = Events::open(&world.owner(), "/events").await;
    world.owner().post(&format!("/workspaces/{id}/messages"), json!({"text": "again"})).await.status(202);
    later.next().await.expect("an event").name
}

#[test]
fn it_is_gone_when_the_turn_ends_without_its_agent() {
    each_engine(Config::default(), async |world| {
        for cause in ["exited", "force_stop", "remove"] {
            let (id, agent, turn, _) = in_a_turn(&world).await;
            show(&agent, &id, &turn, "one line\n").await.status(200);
            let mut listener = Events::open(&world.owner(), "/events").await;
            assert_eq!(grown(&mut listener).await["text"], "one line\n");
            drop(listener);
            let runs = world.owner().get(&format!("/workspaces/{id}/runs")).await;
            let boot = runs.status(200).json[0]["boot_id"].as_str().expect("a boot").parse().expect("a boot");
            let (cause, crash) = (cause.to_owned(), cause == "exited");
            let end = Ended { crash, hopeless: false, cause, code: None, signal: None, detail: None };
            world.supervise().await;
            world.authority.end_run(boot, end).await.expect("an end");
            // Whoever ends a run says so by a commit, and that is looked at a moment later.
            let until = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
            while first_of_a_later_listener(&world, &id).await == "turn.progress" {
                assert!(tokio::time::Instant::now() < until, "it is still shown");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            show(&agent, &id, &turn, "more\n").await.refused(409, "NOT_REGISTERED");
            world.owner().delete(&format!("/workspaces/{id}")).await.status(200);
        }
        world
    });
}

#[test]
fn of_many_that_are_written_at_once_each_is_shown() {
    each_engine(Config::default(), async |world| {
        let mut wanted = std::collections::BTreeSet::new();
        for n in 0..40 {
            let id = world.workspace(&format!("writer-{n}")).await;
            let agent = world.agent_of(&id).await;
            agent.post("/registry/register", json!({"id": id})).await.status(200);
            world.owner().post(&format!("/workspaces/{id}/messages"), json!({"text": "write"})).await.status(202);
            let claim = agent.post(&format!("/workspaces/{id}/inbox/claim"), json!({"wait_s": 0})).await;
            let turn = claim.status(200).json["turn"]["id"].as_str().expect("a turn").to_owned();
            show(&agent, &id, &turn, "one line\n").await.status(200);
            wanted.insert(id);
        }
        // More than one burst, and nothing happens between them that would wake the stream.
        let mut later = Events::open(&world.owner(), "/events").await;
        while !wanted.is_empty() {
            let shown = grown(&mut later).await;
            assert!(wanted.remove(shown["workspace_id"].as_str().expect("an id")), "{shown}: twice");
        }
        world
    });
}
