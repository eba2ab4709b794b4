//! A reply while it is being written: people who watch see its complete lines without values, programs see nothing of it,
//! and nothing keeps it.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use portcullis_authority::Config;
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
