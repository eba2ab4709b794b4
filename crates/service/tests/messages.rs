//! Conversations with agents that run elsewhere, on both engines: every message is worked on once and in order, by the one
//! run that speaks for its workspace; who may talk to whom; and no value that a workspace holds stays in a text.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use std::collections::BTreeMap;

use portcullis_authority::{Config, HANDOFF_BYTES_MAX, MESSAGE_BYTES_MAX};
use portcullis_kernel::operator::Role;
use probe::{Events, audited, dump};
use serde_json::{Value, json};
use world::{Actor, Answer, World, each_engine};

/// Messages that may wait for one agent.
const QUEUE_MAX: usize = 1_000;

/// A workspace and its agent.
struct Unit {
    id: String,
    agent: Actor,
}

impl Unit {
    /// A workspace under the root whose agent has registered.
    async fn new(world: &World, name: &str) -> Self {
        let id = world.workspace(name).await;
        Self::of(world, id).await
    }

    async fn of(world: &World, id: String) -> Self {
        let unit = Self { agent: world.agent_of(&id).await, id };
        unit.register().await.status(200);
        unit
    }

    /// The same workspace with another credential.
    async fn again(&self, world: &World) -> Self {
        Self { id: self.id.clone(), agent: world.agent_of(&self.id).await }
    }

    fn path(&self, rest: &str) -> String {
        format!("/workspaces/{}/{rest}", self.id)
    }

    /// The same workspace, by a token for a code that a human issued.
    async fn enrolled(&self, world: &World) -> Self {
        let issued = world.owner().post(&self.path("enrolments"), json!({})).await;
        let code = issued.status(201).member("code");
        let redeemed = world.nobody().post("/registry/register", json!({"id": self.id, "code": code})).await;
        Self { id: self.id.clone(), agent: world.bearer(&redeemed.status(200).member("auth_token")) }
    }

    async fn register(&self) -> Answer {
        self.agent.post("/registry/register", json!({"id": self.id})).await
    }

    async fn heartbeat(&self) -> Answer {
        self.agent.post("/registry/heartbeat", json!({"workspace_id": self.id, "active_tasks": 0})).await
    }

    async fn claim(&self) -> Answer {
        self.agent.post(&self.path("inbox/claim"), json!({"wait_s": 0})).await
    }

    /// The same, waiting for work.
    async fn wait(&self) -> Answer {
        self.agent.post(&self.path("inbox/claim"), json!({"wait_s": 30})).await
    }

    /// Takes a message, which there is, and returns the turn's id and the message.
    async fn take(&self) -> (String, Value) {
        let claim = self.claim().await;
        let turn = claim.status(200).json["turn"].clone();
        let id = turn["id"].as_str().unwrap_or_else(|| panic!("no turn in {}", claim.text)).to_owned();
        (id, turn["message"].clone())
    }

    async fn end(&self, turn: &str, body: Value) -> Answer {
        self.agent.post(&self.path(&format!("turns/{turn}/end")), body).await
    }

    async fn complete(&self, turn: &str, reply: &str) {
        self.end(turn, json!({"state": "completed", "reply": reply})).await.status(200);
    }

    /// Sends a text and returns the message's id.
    async fn tell(&self, sender: &Actor, text: &str) -> String {
        self.send(sender, json!({"text": text})).await.status(202).member("id")
    }

    async fn send(&self, sender: &Actor, body: Value) -> Answer {
        sender.post(&self.path("messages"), body).await
    }

    async fn message(&self, reader: &Actor, id: &str) -> Value {
        reader.get(&self.path(&format!("messages/{id}"))).await.status(200).json.clone()
    }

    async fn cancel(&self, actor: &Actor, id: &str) -> Answer {
        actor.send(reqwest::Method::POST, &self.path(&format!("messages/{id}/cancel")), None).await
    }

    async fn state(&self, world: &World) -> Value {
        world.owner().get(&format!("/workspaces/{}", self.id)).await.status(200).json.clone()
    }
}

/// Asserts that `act` is refused so and left nothing at all.
async fn nothing(world: &World, status: u16, code: &str, act: impl Future<Output = Answer>) -> Answer {
    let before = probe::state(&world.db);
    let (answer, changed) = world.changed(act).await;
    answer.refused(status, code);
    assert!(changed.is_empty(), "{code} left {changed:?}");
    assert_eq!(probe::state(&world.db), before, "{code} changed something");
    answer
}

#[test]
fn a_message_is_taken_once_and_answered_to_whoever_waits() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let idle = unit.claim().await;
        assert_eq!((&idle.status(200).json["turn"], &idle.json["drain"]), (&Value::Null, &json!(false)));
        assert_eq!(idle.json["status"], "online");
        let sent = unit.send(&owner, json!({"text": "what is it?", "message_id": "m-1", "context_id": "c-1"})).await;
        assert_eq!((sent.status(202).member("status"), &sent.json["waiting"]), ("queued".to_owned(), &json!(0)));
        let id = sent.member("id");
        let path = unit.path(&format!("messages/{id}?wait=30"));
        let (waited, ()) = tokio::join!(owner.get(&path), async {
            let (turn, message) = unit.take().await;
            assert_eq!((&message["id"], &message["message_id"]), (&json!(id), &json!("m-1")));
            assert_eq!((&message["text"], &message["context_id"]), (&json!("what is it?"), &json!("c-1")));
            assert_eq!(
                (&message["from"]["kind"], &message["from"]["name"]),
                (&json!("operator"), &json!("owner@example.org"))
            );
            let working = unit.message(&owner, &id).await;
            assert_eq!((&working["status"], &working["turn_id"]), (&json!("delivered"), &json!(turn)));
            unit.complete(&turn, "it is this").await;
        });
        let waited = &waited.status(200).json;
        assert_eq!((&waited["status"], &waited["reply"]), (&json!("completed"), &json!("it is this")), "{waited}");
        assert!(waited["ended_at"].is_string() && waited["error"].is_null(), "{waited}");
        // The other way round: the agent waits, and is woken.
        let (claim, second) = tokio::join!(unit.wait(), unit.tell(&owner, "and this?"));
        assert_eq!(claim.status(200).json["turn"]["message"]["id"], second.as_str(), "{}", claim.text);
        let turn = claim.json["turn"]["id"].as_str().expect("a turn").to_owned();
        unit.end(&turn, json!({"state": "failed", "error": "it broke"})).await.status(200);
        let failed = unit.message(&owner, &second).await;
        assert_eq!((&failed["status"], &failed["error"]), (&json!("failed"), &json!("it broke")));
        assert!(failed["reply"].is_null());
        let newest = world.db.integer("SELECT MAX(id) FROM events");
        let mut events = Events::open(&owner, "/events?after=0").await;
        let heard = events.until(newest).await;
        let of = |name: &str| heard.iter().filter(|event| event.name == name).count();
        assert_eq!((of("message.send"), of("turn.start"), of("turn.end")), (2, 2, 2), "{heard:?}");
        assert!(!events.text.contains("what is it") && !events.text.contains("it is this"), "a text is on the stream");
        world
    });
}

#[test]
fn messages_are_taken_in_the_order_they_came_and_one_at_a_time() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let mut sent = Vec::new();
        for n in 0..5 {
            sent.push(unit.tell(&owner, &format!("number {n}")).await);
        }
        let mut taken = Vec::new();
        for left in (0..5).rev() {
            let (turn, message) = unit.take().await;
            assert_eq!(unit.state(&world).await["queued"], left);
            // An answer that was lost on the way loses nothing, and takes nothing more.
            let ((again, same), changed) = world.changed(unit.take()).await;
            assert_eq!((&again, &same), (&turn, &message));
            assert!(changed.is_empty(), "{changed:?}");
            let parallel: Vec<_> = (0..4)
                .map(|_| {
                    let unit = Unit { id: unit.id.clone(), agent: unit.agent.clone() };
                    tokio::spawn(async move { unit.take().await.0 })
                })
                .collect();
            for claim in parallel {
                assert_eq!(claim.await.expect("a claim"), turn);
            }
            assert_eq!(world.db.integer("SELECT COUNT(*) FROM turns WHERE state = 'running'"), 1);
            taken.push(message["id"].as_str().expect("an id").to_owned());
            unit.complete(&turn, "done").await;
            // The same end again is answered the same; another end is none.
            let (same, changed) = world.changed(unit.end(&turn, json!({"state": "completed", "reply": "other"}))).await;
            assert_eq!(same.status(200).json["status"], "recorded");
            assert!(changed.is_empty(), "{changed:?}");
            assert_eq!(unit.message(&owner, taken.last().expect("one")).await["reply"], "done");
            nothing(&world, 409, "CONFLICT", unit.end(&turn, json!({"state": "failed", "error": "no"}))).await;
        }
        assert_eq!(taken, sent);
        assert_eq!(unit.claim().await.status(200).json["turn"], Value::Null);
        let turns = owner.get(&unit.path("turns?limit=3")).await;
        let turns = turns.status(200).json.as_array().expect("turns").clone();
        let of: Vec<_> = turns.iter().map(|turn| turn["message_id"].as_str().expect("an id").to_owned()).collect();
        assert_eq!(of, sent.iter().rev().take(3).cloned().collect::<Vec<_>>(), "newest first");
        assert!(turns.iter().all(|turn| turn["state"] == "completed" && turn["ended_at"].is_string()));
        // A page goes on where the one before ended.
        let page = owner.get(&unit.path("messages?after=0&limit=2")).await;
        let rest =
            owner.get(&unit.path(&format!("messages?limit=500&after={}", page.status(200).json["next_after"]))).await;
        let ids = |page: &Answer| -> Vec<String> {
            let list = page.json["messages"].as_array().expect("messages");
            list.iter().map(|message| message["id"].as_str().expect("an id").to_owned()).collect()
        };
        assert_eq!([ids(&page), ids(rest.status(200))].concat(), sent);
        let newest = owner.get(&unit.path("activity?limit=2")).await;
        assert_eq!(ids(newest.status(200)), sent[3..]);
        // And backwards, from the oldest that is known.
        let oldest = &newest.json["messages"][0]["position"];
        let before = owner.get(&unit.path(&format!("messages?limit=2&before={oldest}"))).await;
        assert_eq!(ids(before.status(200)), sent[1..3]);
        let both = owner.get(&unit.path("messages?after=0&before=9")).await;
        assert_eq!(both.status(400).code(), "INVALID_REQUEST");
        world
    });
}

#[test]
fn a_message_id_is_its_senders_and_the_same_message_again_is_the_same() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let body = json!({"text": "pay once", "message_id": "pay-1"});
        let first = unit.send(&owner, body.clone()).await.status(202).member("id");
        let (again, changed) = world.changed(unit.send(&owner, body.clone())).await;
        assert_eq!((again.status(202).member("id"), &again.json["known"]), (first.clone(), &json!(true)));
        assert!(!changed.contains_key("messages"), "{changed:?}");
        audited(
            &world,
            409,
            "MESSAGE_ID_REUSED",
            unit.send(&owner, json!({"text": "pay twice", "message_id": "pay-1"})),
        )
        .await;
        let member = world.operator("member@example.org", Role::Member, &[]).await;
        let other = unit.send(&member, json!({"text": "pay twice", "message_id": "pay-1"})).await;
        assert_ne!(other.status(202).member("id"), first, "another sender, another message");
        let own = unit.send(&unit.agent, body.clone()).await;
        assert_ne!(own.status(202).member("id"), first);
        let (turn, message) = unit.take().await;
        assert_eq!(message["id"], first.as_str());
        assert_eq!(unit.send(&owner, body.clone()).await.status(202).member("status"), "delivered");
        unit.complete(&turn, "paid").await;
        let late = unit.send(&owner, body).await;
        assert_eq!((late.status(202).member("id"), late.member("status")), (first, "completed".to_owned()));
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM messages"), 3);
        // Without an id of its own every message is another.
        assert_ne!(unit.tell(&owner, "same").await, unit.tell(&owner, "same").await);
        for (name, value) in [("message_id", ""), ("message_id", "a b"), ("message_id", "é"), ("context_id", "\n")] {
            let mut body = json!({"text": "x"});
            body[name] = value.into();
            audited(&world, 422, "INVALID_FIELD", unit.send(&owner, body)).await;
        }
        let long = json!({"text": "x", "message_id": "m".repeat(129)});
        audited(&world, 422, "INVALID_FIELD", unit.send(&owner, long)).await;
        unit.send(&owner, json!({"text": "x", "message_id": "m".repeat(128)})).await.status(202);
        world
    });
}

#[test]
fn texts_are_as_long_as_the_limit_and_no_longer() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let (longest, longer) = ("x".repeat(MESSAGE_BYTES_MAX), "x".repeat(MESSAGE_BYTES_MAX + 1));
        for text in ["", "a\0b", &longer] {
            audited(&world, 422, "INVALID_FIELD", unit.send(&owner, json!({"text": text}))).await;
        }
        let id = unit.tell(&owner, &longest).await;
        let (turn, message) = unit.take().await;
        assert_eq!(message["text"].as_str().map(str::len), Some(MESSAGE_BYTES_MAX));
        for reply in ["a\0b", &longer] {
            let reply = json!({"state": "completed", "reply": reply});
            nothing(&world, 422, "INVALID_FIELD", unit.end(&turn, reply)).await;
        }
        unit.complete(&turn, &longest).await;
        assert_eq!(unit.message(&owner, &id).await["reply"].as_str().map(str::len), Some(MESSAGE_BYTES_MAX));
        let notify = unit.path("notify");
        for text in ["", "a\0b", &longer] {
            nothing(&world, 422, "INVALID_FIELD", unit.agent.post(&notify, json!({"message": text}))).await;
        }
        let handoff = unit.path("handoff");
        let note = |bytes: usize| json!({"note": "n".repeat(bytes)});
        nothing(&world, 422, "INVALID_FIELD", unit.agent.post(&handoff, note(HANDOFF_BYTES_MAX + 1))).await;
        nothing(&world, 422, "INVALID_FIELD", unit.agent.post(&handoff, json!({"note": "a\0b"}))).await;
        unit.agent.post(&handoff, note(HANDOFF_BYTES_MAX)).await.status(200);
        nothing(&world, 422, "INVALID_FIELD", unit.agent.post(&unit.path("inbox/claim"), json!({"wait_s": 31}))).await;
        nothing(&world, 400, "INVALID_REQUEST", owner.get(&unit.path(&format!("messages/{id}?wait=31")))).await;
        for list in ["turns", "runs", "messages"] {
            for limit in [0, 501] {
                nothing(&world, 400, "INVALID_REQUEST", owner.get(&unit.path(&format!("{list}?limit={limit}")))).await;
            }
        }
        world
    });
}

#[test]
fn an_agent_that_does_not_answer_gets_a_queue_with_an_end() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let fill: Vec<_> = (0..10)
            .map(|part| {
                let (owner, path) = (owner.clone(), unit.path("messages"));
                tokio::spawn(async move {
                    for n in 0..QUEUE_MAX / 10 {
                        let body = json!({"text": "wait", "message_id": format!("{part}-{n}")});
                        owner.post(&path, body).await.status(202);
                    }
                })
            })
            .collect();
        for part in fill {
            part.await.expect("the queue fills");
        }
        assert_eq!(unit.state(&world).await["queued"], QUEUE_MAX);
        let refused = audited(&world, 429, "QUEUE_FULL", unit.send(&owner, json!({"text": "one more"}))).await;
        assert_eq!(refused.json["retryable"], true, "{}", refused.text);
        // What is known already is answered, and a place that becomes free is one.
        let known = unit.send(&owner, json!({"text": "wait", "message_id": "0-0"})).await;
        assert_eq!(known.status(202).json["known"], true);
        let (turn, _) = unit.take().await;
        unit.tell(&owner, "one more").await;
        audited(&world, 429, "QUEUE_FULL", unit.send(&owner, json!({"text": "and another"}))).await;
        unit.complete(&turn, "done").await;
        world
    });
}

#[test]
fn a_message_is_taken_back_by_its_sender_or_a_human_while_nobody_has_taken_it() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let sibling = Unit::new(&world, "two").await;
        let service = json!({"name": "service", "scopes": ["messages"], "unattended": true});
        let service = world.bearer(&world.org_token(&owner, service).await);
        let auditor = world.operator("auditor@example.org", Role::Auditor, &[]).await;
        let member = world.operator("member@example.org", Role::Member, &[]).await;
        let of_owner = unit.tell(&owner, "from the owner").await;
        for stranger in [&sibling.agent, &service, &auditor, &unit.agent, &world.admin()] {
            nothing(&world, 404, "MESSAGE_NOT_FOUND", unit.cancel(stranger, &of_owner)).await;
        }
        // Under another workspace's path it does not exist.
        nothing(&world, 404, "MESSAGE_NOT_FOUND", sibling.cancel(&owner, &of_owner)).await;
        assert_eq!(unit.cancel(&owner, &of_owner).await.status(200).json["status"], "cancelled");
        nothing(&world, 409, "CONFLICT", unit.cancel(&owner, &of_owner)).await;
        let of_sibling = unit.tell(&sibling.agent, "from a sibling").await;
        unit.cancel(&sibling.agent, &of_sibling).await.status(200);
        let of_service = unit.tell(&service, "from a service").await;
        unit.cancel(&service, &of_service).await.status(200);
        let by_human = unit.tell(&sibling.agent, "a human takes it back").await;
        unit.cancel(&member, &by_human).await.status(200);
        let view = unit.message(&sibling.agent, &by_human).await;
        assert_eq!(view["status"], "cancelled", "{view}");
        assert_eq!(unit.claim().await.status(200).json["turn"], Value::Null, "none is left");
        let taken = unit.tell(&owner, "taken").await;
        let (turn, _) = unit.take().await;
        nothing(&world, 409, "CONFLICT", unit.cancel(&owner, &taken)).await;
        unit.complete(&turn, "done").await;
        nothing(&world, 409, "CONFLICT", unit.cancel(&owner, &taken)).await;
        assert_eq!(world.audit("event=message.cancel").await.len(), 4);
        world
    });
}

/// Forms of two values of one key and one of another: as they are, in base64, percent-encoded.
const OLD: [&str; 3] = ["Zq7/x+Old&9=value", "WnE3L3grT2xkJjk9dmFsdWU=", "Zq7%2Fx%2BOld%269%3Dvalue"];
const NEW: [&str; 3] = ["Zq7/x+New&8=value", "WnE3L3grTmV3Jjg9dmFsdWU=", "Zq7%2Fx%2BNew%268%3Dvalue"];
const OTHER: [&str; 3] = ["child?held~value/2", "Y2hpbGQ/aGVsZH52YWx1ZS8y", "child%3Fheld~value%2F2"];

#[test]
fn no_value_that_a_workspace_holds_or_its_agent_still_has_stays_in_a_text() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let sibling = Unit::new(&world, "two").await;
        owner.set(&unit.id, "API_KEY", OLD[0]).await.status(200);
        owner.set(&sibling.id, "OTHER_KEY", OTHER[0]).await.status(200);
        owner.post("/settings/secrets", json!({"key": "SHARED", "value": "shared-by-everybody-1"})).await.status(200);
        let bundle = unit.agent.get(&unit.path("secrets/values")).await;
        assert_eq!(bundle.status(200).json["API_KEY"], OLD[0]);
        // The agent goes on with what it pulled.
        owner.set(&unit.id, "API_KEY", NEW[0]).await.status(200);
        let needles: Vec<&str> =
            OLD.into_iter().chain(NEW).chain(OTHER).chain(["shared-by-everybody-1", "shared%2Dby"]).collect();
        let own: Vec<&str> = OLD.into_iter().chain(NEW).chain(["shared-by-everybody-1"]).collect();
        let text = own.iter().map(|form| format!("<{form}>")).collect::<Vec<_>>().join(" and ");
        let redacted = |view: &Value| {
            let found = view.as_str().unwrap_or_else(|| panic!("no text in {view}")).to_owned();
            assert!(needles.iter().all(|needle| !found.contains(needle)), "{found}");
            assert!(found.contains("<[redacted:API_KEY]>") && found.contains("<[redacted:SHARED]>"), "{found}");
        };
        let asked = unit.tell(&owner, &text).await;
        let (turn, message) = unit.take().await;
        redacted(&message["text"]);
        unit.complete(&turn, &text).await;
        let view = unit.message(&owner, &asked).await;
        redacted(&view["text"]);
        redacted(&view["reply"]);
        let failing = unit.tell(&owner, "fail").await;
        let (turn, _) = unit.take().await;
        unit.end(&turn, json!({"state": "failed", "error": text})).await.status(200);
        redacted(&unit.message(&owner, &failing).await["error"]);
        let told = unit.agent.post(&unit.path("notify"), json!({"message": text})).await;
        let told = unit.message(&owner, &told.status(200).member("id")).await;
        redacted(&told["text"]);
        assert_eq!((&told["direction"], &told["status"]), (&json!("out"), &json!("completed")));
        unit.agent.post(&unit.path("handoff"), json!({"note": text})).await.status(200);
        redacted(&owner.get(&unit.path("runs")).await.status(200).json[0]["handoff"]);
        let card = json!({"description": text, "skills": [{(OLD[0]): [text]}]});
        let card = unit.agent.post("/registry/register", json!({"id": unit.id, "agent_card": card})).await;
        card.status(200);
        let card = sibling.agent.get(&format!("/registry/discover/{}", unit.id)).await;
        redacted(&card.status(200).json["agent_card"]["description"]);
        assert!(needles.iter().all(|needle| !card.text.contains(needle)), "{}", card.text);
        // What the sender holds is taken out as well, wherever it sends it.
        let mixed = unit.tell(&sibling.agent, &format!("{} {} {text}", OTHER[0], OTHER[1])).await;
        let mixed = unit.message(&owner, &mixed).await;
        redacted(&mixed["text"]);
        assert!(mixed["text"].as_str().is_some_and(|text| text.contains("[redacted:OTHER_KEY]")), "{mixed}");
        let note = unit.take().await;
        redacted(&note.1["text"]);
        unit.complete(&note.0, "done").await;
        // The next run finds the note, as it was stored.
        let next = unit.again(&world).await;
        next.register().await.status(200);
        redacted(&next.agent.get(&unit.path("restart-context")).await.status(200).json["handoff"]);

        let newest = world.db.integer("SELECT MAX(id) FROM events");
        let mut events = Events::open(&owner, "/events?after=0").await;
        events.until(newest).await;
        let export = owner.get("/audit/export").await.status(200).text.clone();
        for (place, text) in [("the stream", &events.text), ("the log", &export)] {
            assert!(needles.iter().all(|needle| !text.contains(needle)), "{place} has a value");
            assert!(!text.contains("redacted:"), "{place} has a text");
        }
        let tables = dump(&world.db);
        assert!(tables["messages"].iter().any(|row| row.contains("[redacted:API_KEY]")));
        for (table, rows) in tables {
            for row in rows {
                assert!(needles.iter().all(|needle| !row.contains(needle)), "table `{table}`: {row}");
            }
        }
        world
    });
}

#[test]
fn a_program_learns_from_no_marker_whether_its_guess_is_a_value() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let sibling = Unit::new(&world, "two").await;
        owner.set(&unit.id, "API_KEY", OLD[0]).await.status(200);
        owner.set(&unit.id, "DB_KEY", "another value of it").await.status(200);
        for guess in [OLD[0], "not-a-value-of-anybody"] {
            let sent = unit.tell(&sibling.agent, guess).await;
            let (turn, _) = unit.take().await;
            unit.complete(&turn, &format!("you said {guess}, and another value of it")).await;
            let seen = unit.message(&sibling.agent, &sent).await;
            // What it said comes back as it said it, right or wrong; what it did not say is taken out.
            assert_eq!(seen["text"], "");
            assert_eq!(seen["reply"], format!("you said {guess}, and [redacted:DB_KEY]"));
        }
        // Nor from an id, nor before it is known whether it may speak here at all.
        let stranger = Unit::new(&world, "three").await;
        let below = json!({"name": "below", "parent_id": stranger.id});
        let below = owner.post("/workspaces", below).await.status(201).member("id");
        let far = Unit { agent: world.agent_of(&below).await, id: below };
        let body = json!({"text": OLD[0], "message_id": "guess"});
        far.agent.post(&unit.path("messages"), body).await.refused(404, "NOT_FOUND");
        world
    });
}

/// A tree of five levels with branches, by name, each with its agent; the root is the first level.
async fn tree(world: &World) -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    units.insert("root".to_owned(), Unit { id: world.root(), agent: world.agent_of(&world.root()).await });
    for (name, parent) in [
        ("a", "root"),
        ("b", "root"),
        ("aa", "a"),
        ("ab", "a"),
        ("ba", "b"),
        ("aaa", "aa"),
        ("aab", "aa"),
        ("aaaa", "aaa"),
    ] {
        let body = json!({"name": name, "parent_id": units[parent].id});
        let id = world.owner().post("/workspaces", body).await.status(201).member("id");
        let agent = world.agent_of(&id).await;
        units.insert(name.to_owned(), Unit { id, agent });
    }
    units
}

/// Who lists whom.
async fn peers(unit: &Unit) -> Vec<String> {
    let list = unit.agent.get(&format!("/registry/{}/peers", unit.id)).await;
    let list = list.status(200).json.as_array().expect("peers").clone();
    list.iter().map(|peer| peer["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn an_agent_reaches_exactly_those_it_lists_and_its_line_where_a_policy_says_so() {
    // No refusal is answered from memory: each must leave an event of its own.
    each_engine(Config { refusal_cache_ms: 0, ..Config::default() }, async |world| {
        let units = tree(&world).await;
        let lineal = |one: &str, other: &str| {
            one == "root" || other == "root" || one.starts_with(other) || other.starts_with(one)
        };
        let policy = json!({
            "name": "the line may talk",
            "text": "permit (principal is Agent, action == Action::\"message.send\", resource) when { context.lineal };",
        });
        for opened in [false, true] {
            if opened {
                world.owner().post("/policies", policy.clone()).await.status(201);
            }
            let (mut taken, mut refused) = (0, 0);
            let mut pairs = Vec::new();
            for (from, sender) in &units {
                let listed = peers(sender).await;
                for (to, target) in &units {
                    let reaches = from == to || listed.contains(&target.id) || (opened && lineal(from, to));
                    pairs.push((reaches, from, sender, to, target));
                    // Whom one sees is whom one may find out about; a policy about messages changes nothing there.
                    let found = sender.agent.get(&format!("/registry/discover/{}", target.id)).await;
                    let seen = from == "root" || from == to || listed.contains(&target.id);
                    assert_eq!(found.status, if seen { 200 } else { 404 }, "{from} of {to}: {}", found.text);
                }
            }
            let before = probe::state(&world.db);
            for (_, from, sender, to, target) in pairs.iter().filter(|(reaches, ..)| !reaches) {
                refused += 1;
                let (answer, changed) = world.changed(target.send(&sender.agent, json!({"text": "hello"}))).await;
                let what = format!("{} {from} to {to}, opened: {opened}: {}", world.db.engine, answer.text);
                // The root's agent sees all workspaces: from it existence is not hidden.
                let told = if *from == "root" { (403, "NOT_ENTITLED") } else { (404, "NOT_FOUND") };
                assert_eq!((answer.status, answer.code()), told, "{what}");
                World::only_audited(&changed);
                let seq = answer.json["audit_id"].as_i64().expect("an audit id");
                let event = &world.audit(&format!("after={}", seq - 1)).await[0];
                assert_eq!((&event["event"], &event["outcome"]), (&json!("message.send.refused"), &json!("refused")));
                assert_eq!(event["subject"]["id"], sender.id.as_str(), "{event}");
            }
            assert_eq!(probe::state(&world.db), before, "a refusal changed something");
            for (_, from, sender, to, target) in pairs.iter().filter(|(reaches, ..)| *reaches) {
                taken += 1;
                let (answer, changed) = world.changed(target.send(&sender.agent, json!({"text": "hello"}))).await;
                let what = format!("{} {from} to {to}, opened: {opened}: {}", world.db.engine, answer.text);
                assert_eq!(answer.status, 202, "{what}");
                assert_eq!(changed, BTreeMap::from([("audit", 1), ("messages", 1)]), "{what}");
            }
            assert!(taken > 15 && refused > 15, "{taken} taken, {refused} refused");
        }
        // The line is all that was opened: nothing else of a grandparent.
        let (low, high) = (&units["aaa"], &units["a"]);
        low.agent.get(&high.path("messages")).await.refused(404, "NOT_FOUND");
        high.agent.set(&low.id, "API_KEY", "a value").await.refused(404, "NOT_FOUND");
        low.agent.post(&high.path("inbox/claim"), json!({})).await.refused(404, "NOT_FOUND");
        // A sender reads its own message, and not what others said there.
        let own = high.tell(&low.agent, "to my grandparent").await;
        assert_eq!(high.message(&low.agent, &own).await["text"], "");
        let foreign = high.tell(&world.owner(), "not for you").await;
        low.agent.get(&high.path(&format!("messages/{foreign}"))).await.refused(404, "MESSAGE_NOT_FOUND");
        world
    });
}

#[test]
fn people_talk_by_their_role_and_programs_by_their_scope() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let hello = || json!({"text": "hello"});
        for (role, name) in [(Role::Member, "member"), (Role::Approver, "approver"), (Role::Owner, "second")] {
            let actor = world.operator(&format!("{name}@example.org"), role, &[]).await;
            let sent = unit.send(&actor, hello()).await.status(202).member("id");
            assert_eq!(unit.message(&actor, &sent).await["from"]["name"], format!("{name}@example.org"));
        }
        let auditor = world.operator("auditor@example.org", Role::Auditor, &[]).await;
        audited(&world, 403, "ROLE_REQUIRED", unit.send(&auditor, hello())).await;
        auditor.get(&unit.path("messages")).await.status(200);
        let token = async |scopes: Value| {
            let body = json!({"name": "service", "scopes": scopes, "unattended": true});
            world.bearer(&world.org_token(&owner, body).await)
        };
        let (with, without) = (token(json!(["messages"])).await, token(json!(["workspaces:read"])).await);
        let sent = unit.send(&with, hello()).await.status(202).member("id");
        assert_eq!(unit.message(&with, &sent).await["from"]["kind"], "service");
        audited(&world, 403, "SCOPE_MISSING", unit.send(&without, hello())).await;
        nothing(&world, 403, "SCOPE_MISSING", without.get(&unit.path("messages"))).await;
        nothing(&world, 403, "SCOPE_MISSING", without.get(&unit.path(&format!("messages/{sent}")))).await;
        // Nobody but the agent does its work: not a service, not a human, not another agent, not the root's.
        let other = Unit::new(&world, "two").await;
        let (turn, _) = unit.take().await;
        for (actor, status, code) in [
            (&with, 403, "NOT_ENTITLED"),
            (&owner, 403, "NOT_ENTITLED"),
            (&other.agent, 404, "NOT_FOUND"),
            (&world.admin(), 404, "NOT_FOUND"),
        ] {
            for (path, body) in [
                ("/registry/heartbeat".to_owned(), json!({"workspace_id": unit.id})),
                (unit.path("inbox/claim"), json!({})),
                (unit.path(&format!("turns/{turn}/end")), json!({"state": "completed"})),
                (unit.path("handoff"), json!({"note": "x"})),
                (unit.path("notify"), json!({"message": "x"})),
            ] {
                nothing(&world, status, code, actor.post(&path, body)).await;
            }
        }
        for actor in [&with, &other.agent, &world.admin()] {
            let answer = actor.post("/registry/register", json!({"id": unit.id})).await;
            assert!(matches!(answer.status, 403 | 404), "{}", answer.text);
        }
        nothing(&world, 401, "UNAUTHENTICATED", owner.post("/registry/register", json!({"id": unit.id}))).await;
        unit.complete(&turn, "still mine").await;
        world
    });
}

#[test]
fn a_credential_for_something_narrower_does_not_become_the_agent() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        unit.tell(&owner, "work").await;
        let (turn, _) = unit.take().await;
        let narrow = owner.post(&unit.path("tokens"), json!({"scopes": ["workspaces:read", "secrets:pull"]})).await;
        let narrow = Unit { id: unit.id.clone(), agent: world.bearer(&narrow.status(201).member("auth_token")) };
        nothing(&world, 403, "SCOPE_MISSING", narrow.register()).await;
        nothing(&world, 403, "SCOPE_MISSING", narrow.heartbeat()).await;
        nothing(&world, 403, "SCOPE_MISSING", narrow.claim()).await;
        nothing(&world, 403, "SCOPE_MISSING", narrow.end(&turn, json!({"state": "completed"}))).await;
        for (path, name) in [("handoff", "note"), ("notify", "message")] {
            let said = narrow.agent.post(&narrow.path(path), json!({name: "x"})).await;
            said.refused(403, "SCOPE_MISSING");
        }
        audited(&world, 403, "SCOPE_MISSING", narrow.send(&narrow.agent, json!({"text": "x"}))).await;
        nothing(&world, 403, "SCOPE_MISSING", narrow.agent.get(&unit.path("messages"))).await;
        // What it was minted for, it does.
        narrow.agent.get(&unit.path("secrets/values")).await.status(200);
        narrow.agent.get(&unit.path("runs")).await.status(200);
        unit.complete(&turn, "done").await;
        // The same for the root: a token its agent minted for reading does not take the agent's place.
        let root = Unit { id: world.root(), agent: world.agent_of(&world.root()).await };
        root.register().await.status(200);
        let reading = json!({"name": "reads", "scopes": ["workspaces:read"]});
        let reading = Unit { id: world.root(), agent: world.bearer(&world.org_token(&world.admin(), reading).await) };
        nothing(&world, 403, "SCOPE_MISSING", reading.register()).await;
        root.heartbeat().await.status(200);
        world
    });
}

#[test]
fn the_last_to_register_is_the_agent_and_whoever_was_there_before_is_told() {
    each_engine(Config::default(), async |world| {
        let (first, owner) = (Unit::new(&world, "one").await, world.owner());
        let cut = first.tell(&owner, "first").await;
        let waits = first.tell(&owner, "second").await;
        let (turn, _) = first.take().await;
        // Registering is no deed: it is no way to interrupt an agent in its turn, whichever token one has.
        let other = first.again(&world).await;
        nothing(&world, 409, "CONFLICT", other.register()).await;
        assert_eq!(first.message(&owner, &cut).await["status"], "delivered");
        // A human who issues a code since means it.
        let second = first.enrolled(&world).await;
        // A credential that has not registered has no work.
        nothing(&world, 409, "NOT_REGISTERED", second.claim()).await;
        nothing(&world, 409, "NOT_REGISTERED", second.heartbeat()).await;
        nothing(&world, 409, "NOT_REGISTERED", second.end(&turn, json!({"state": "completed"}))).await;
        let path = first.path(&format!("messages/{cut}?wait=30"));
        let (told, registered) = tokio::join!(owner.get(&path), second.register());
        let boot = registered.status(200).member("boot_id");
        assert_eq!(told.status(200).json["status"], "failed", "{}", told.text);
        assert!(told.json["error"].as_str().is_some_and(|why| why.contains("not delivered again")), "{}", told.text);
        nothing(&world, 409, "NOT_REGISTERED", first.heartbeat()).await;
        nothing(&world, 409, "NOT_REGISTERED", first.claim()).await;
        nothing(&world, 409, "NOT_REGISTERED", first.end(&turn, json!({"state": "completed"}))).await;
        // The turn of another run is none of its own.
        nothing(&world, 404, "TURN_NOT_FOUND", second.end(&turn, json!({"state": "completed"}))).await;
        let (next, message) = second.take().await;
        assert_eq!(message["id"], waits.as_str(), "what was cut is not delivered again");
        second.complete(&next, "done").await;
        let context = second.agent.get(&second.path("restart-context")).await;
        let context = &context.status(200).json;
        assert_eq!((&context["boot_id"], &context["interrupted"]), (&json!(boot), &json!([{"message_id": cut}])));
        assert_eq!((&context["queued"], &context["previous"]["cause"]), (&json!(1), &json!("replaced")), "{context}");
        // Registering again is no other run.
        let (again, changed) = world.changed(second.register()).await;
        assert_eq!(again.status(200).member("boot_id"), boot);
        assert!(changed.is_empty(), "{changed:?}");
        let runs = owner.get(&second.path("runs")).await;
        let runs = runs.status(200).json.as_array().expect("runs").clone();
        let states: Vec<_> = runs.iter().map(|run| (run["state"].clone(), run["cause"].clone())).collect();
        assert_eq!(states, [(json!("live"), Value::Null), (json!("ended"), json!("replaced"))]);
        assert_eq!(second.state(&world).await["status"], "online");
        world
    });
}

#[test]
fn a_credential_that_is_revoked_in_the_middle_of_a_turn_has_no_power_over_it() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        let id = world.workspace("one").await;
        let minted = owner.post(&format!("/workspaces/{id}/tokens"), json!({})).await;
        let unit = Unit { id, agent: world.bearer(&minted.status(201).member("auth_token")) };
        unit.register().await.status(200);
        let sent = unit.tell(&owner, "work").await;
        let (turn, _) = unit.take().await;
        owner.delete(&unit.path(&format!("tokens/{}", minted.member("id")))).await.status(200);
        nothing(&world, 401, "CREDENTIAL_REVOKED", unit.end(&turn, json!({"state": "completed", "reply": "x"}))).await;
        nothing(&world, 401, "CREDENTIAL_REVOKED", unit.claim()).await;
        nothing(&world, 401, "CREDENTIAL_REVOKED", unit.heartbeat()).await;
        nothing(&world, 401, "CREDENTIAL_REVOKED", unit.register()).await;
        assert_eq!(unit.message(&owner, &sent).await["status"], "delivered");
        let next = unit.again(&world).await;
        next.register().await.status(200);
        assert_eq!(unit.message(&owner, &sent).await["status"], "failed", "its sender is told");
        assert_eq!(next.claim().await.status(200).json["turn"], Value::Null);
        world
    });
}

#[test]
fn nothing_revives_a_workspace_that_was_removed_and_its_senders_are_told() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        let sibling = Unit::new(&world, "two").await;
        let worked_on = unit.tell(&owner, "worked on").await;
        let waits = unit.tell(&sibling.agent, "waits").await;
        let (turn, _) = unit.take().await;
        let code = owner.post(&unit.path("enrolments"), json!({})).await.status(201).member("code");
        let path = unit.path(&format!("messages/{waits}?wait=30"));
        let home = format!("/workspaces/{}", unit.id);
        let (told, removed) = tokio::join!(sibling.agent.get(&path), owner.delete(&home));
        removed.status(200);
        assert_eq!(told.status(200).json["status"], "failed", "{}", told.text);
        for (reader, id) in [(&sibling.agent, &waits), (&owner, &worked_on)] {
            let message = unit.message(reader, id).await;
            assert_eq!(
                (&message["status"], &message["error"]),
                (&json!("failed"), &json!("the workspace was removed"))
            );
        }
        nothing(&world, 401, "CREDENTIAL_REVOKED", unit.heartbeat()).await;
        nothing(&world, 401, "CREDENTIAL_REVOKED", unit.claim()).await;
        nothing(&world, 401, "CREDENTIAL_REVOKED", unit.register()).await;
        nothing(&world, 401, "CREDENTIAL_REVOKED", unit.end(&turn, json!({"state": "completed"}))).await;
        let late = world.nobody().post("/registry/register", json!({"id": unit.id, "code": code})).await;
        assert!(matches!(late.status, 401 | 404), "{}", late.text);
        owner.get(&format!("/workspaces/{}", unit.id)).await.refused(404, "WORKSPACE_NOT_FOUND");
        audited(&world, 404, "WORKSPACE_NOT_FOUND", unit.send(&owner, json!({"text": "late"}))).await;
        audited(&world, 404, "NOT_FOUND", unit.send(&sibling.agent, json!({"text": "late"}))).await;
        assert_eq!(world.db.texts("SELECT status FROM workspaces WHERE name = 'one'"), ["removed"]);
        // What its agent was at has ended with it.
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM turns WHERE state = 'running'"), 0);
        assert_eq!(world.db.integer("SELECT COUNT(*) FROM runs WHERE state = 'live'"), 1, "only the sibling's");
        world
    });
}

#[test]
fn a_paused_workspace_takes_messages_and_its_agent_is_told_to_drain() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        unit.tell(&owner, "before").await;
        let (turn, _) = unit.take().await;
        owner.send(reqwest::Method::POST, &unit.path("pause"), None).await.status(200);
        // What was begun is finished.
        let open = unit.claim().await;
        assert_eq!((&open.status(200).json["turn"]["id"], &open.json["drain"]), (&json!(turn), &json!(true)));
        unit.complete(&turn, "done").await;
        let waits = unit.tell(&owner, "in the pause").await;
        let claim = unit.claim().await;
        assert_eq!((&claim.status(200).json["turn"], &claim.json["drain"]), (&Value::Null, &json!(true)));
        assert_eq!(claim.json["drain_reason"], "pause", "{}", claim.text);
        let pulse = unit.heartbeat().await;
        assert_eq!((&pulse.status(200).json["desired_state"], &pulse.json["drain"]), (&json!("paused"), &json!(true)));
        assert_eq!(unit.message(&owner, &waits).await["status"], "queued");
        // Another agent that comes in the pause does not end it.
        let second = unit.again(&world).await;
        second.register().await.status(200);
        assert_eq!(second.state(&world).await["status"], "paused");
        assert_eq!(second.claim().await.status(200).json["turn"], Value::Null);
        owner.send(reqwest::Method::POST, &unit.path("resume"), None).await.status(200);
        let (turn, message) = second.take().await;
        assert_eq!(message["id"], waits.as_str());
        second.complete(&turn, "done").await;
        world
    });
}

#[test]
fn a_run_is_told_why_it_runs_and_finds_the_note_of_the_one_before() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        let id = world.workspace("one").await;
        let unit = Unit { agent: world.agent_of(&id).await, id };
        nothing(&world, 404, "NOT_FOUND", unit.agent.get(&unit.path("restart-context"))).await;
        nothing(&world, 409, "NOT_REGISTERED", unit.agent.post(&unit.path("handoff"), json!({"note": "x"}))).await;
        let able = json!({"id": unit.id, "capabilities": {"handoff": true}, "agent_card": {"name": "the one"}});
        unit.agent.post("/registry/register", able).await.status(200);
        let context = unit.agent.get(&unit.path("restart-context")).await;
        let context = &context.status(200).json;
        assert_eq!((&context["reason"], &context["previous"]), (&json!("registered"), &Value::Null), "{context}");
        assert_eq!((&context["handoff"], &context["interrupted"]), (&Value::Null, &json!([])), "{context}");
        for note in ["first", "last"] {
            unit.agent.post(&unit.path("handoff"), json!({"note": note})).await.status(200);
        }
        let second = unit.again(&world).await;
        second.register().await.status(200);
        for reader in [&second.agent, &owner, &world.admin()] {
            let context = reader.get(&unit.path("restart-context")).await;
            assert_eq!(context.status(200).json["handoff"], "last", "{}", context.text);
        }
        // A stranger sees nothing of it; a sibling the card, and not more.
        let sibling = Unit::new(&world, "two").await;
        for path in ["restart-context", "runs", "turns", "messages", "logs"] {
            nothing(&world, 404, "NOT_FOUND", sibling.agent.get(&unit.path(path))).await;
        }
        let card = sibling.agent.get(&format!("/registry/discover/{}", unit.id)).await;
        assert_eq!(card.status(200).json["agent_card"]["name"], "the one");
        let big = json!({"id": unit.id, "agent_card": {"text": "x".repeat(64 * 1024)}});
        nothing(&world, 422, "INVALID_FIELD", second.agent.post("/registry/register", big)).await;
        // An agent that runs elsewhere has its log elsewhere.
        nothing(&world, 409, "CONFLICT", owner.get(&unit.path("logs"))).await;
        world
    });
}

#[test]
fn an_agent_elsewhere_is_told_that_its_bundle_is_another_and_has_it_once_it_pulled() {
    each_engine(Config::default(), async |world| {
        let (unit, owner) = (Unit::new(&world, "one").await, world.owner());
        owner.set(&unit.id, "API_KEY", "the first value").await.status(200);
        let pull = async || {
            let bundle = unit.agent.get(&unit.path("secrets/values")).await;
            let version = bundle.status(200).headers["x-bundle-version"].to_str().expect("text").to_owned();
            (version.trim_matches('"').to_owned(), bundle.json.clone())
        };
        let claim = unit.claim().await;
        assert_eq!(claim.status(200).json["lease_expires_at"], Value::Null, "it has pulled nothing yet");
        let (first, values) = pull().await;
        assert_eq!((&values["API_KEY"], claim.member("bundle_version")), (&json!("the first value"), first.clone()));
        let fresh = unit.state(&world).await;
        assert_eq!(
            (&fresh["restart_debt"], &fresh["observed_generation"]),
            (&json!(false), &fresh["desired_generation"])
        );
        let lease = unit.heartbeat().await.status(200).member("lease_expires_at");
        assert_eq!(lease, "2026-06-11T00:18:00Z", "ten minutes from the pull");
        // An agent that waits for work hears of it.
        let (told, set) = tokio::join!(unit.wait(), owner.set(&unit.id, "API_KEY", "the second value"));
        set.status(200);
        let (told, now) = (told.status(200).member("bundle_version"), unit.claim().await);
        assert_ne!(now.status(200).member("bundle_version"), first);
        assert_eq!(told, now.member("bundle_version"));
        let owed = unit.state(&world).await;
        assert_eq!(owed["restart_debt"], true, "{owed}");
        world.advance(60_000);
        let (second, values) = pull().await;
        assert_eq!((&values["API_KEY"], &second), (&json!("the second value"), &told));
        let paid = unit.state(&world).await;
        assert_eq!((&paid["restart_debt"], &paid["observed_generation"]), (&json!(false), &owed["desired_generation"]));
        let run = owner.get(&unit.path("runs")).await.status(200).json[0].clone();
        assert_eq!((&run["state"], &run["versions"]["API_KEY"]["version"]), (&json!("live"), &json!(2)), "{run}");
        assert_eq!(run["lease_expires_at"], "2026-06-11T00:19:00Z", "{run}");
        assert!(run["pulled_at"].is_string() && !run.to_string().contains("the second value"), "{run}");
        // Another credential of the workspace pulls, and that is not the run's doing.
        owner.set(&unit.id, "API_KEY", "the third value").await.status(200);
        let other = unit.again(&world).await;
        other.agent.get(&unit.path("secrets/values")).await.status(200);
        assert_eq!(unit.state(&world).await["restart_debt"], true);
        world
    });
}
