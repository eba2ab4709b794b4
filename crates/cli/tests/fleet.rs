//! Many agents at work while their secrets change under them: nobody is cut off, everybody ends on the last version, and
//! nobody is restarted more often than there was a reason for. And the turn that never ends: debt and a question, no kill.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kit::{
    Actor, PASSWORD,
    fleet::{Dice, Fleet, HOLDS, OWNER, exec, list, settled, shown, text},
    want,
};
use portcullis_authority::testkit_db::{TestDb, databases};
use reqwest::Method;
use serde_json::{Value, json};

/// Decides what changes when.
const SEED: u64 = 0x5042_0fed;
const AGENTS: usize = 20;
const CHANGES: u64 = 50;
/// Every so many changes one is for the whole organisation.
const FOR_ALL: u64 = 10;
/// Messages that wait for each agent while secrets change.
const WAITING: usize = 2;
/// Longest pause between two changes, in milliseconds.
const PAUSE_MS: u64 = 150;

/// Sends an agent work until everything has changed, and returns the messages.
async fn busy(fleet: &Fleet, id: &str, changed: &std::sync::atomic::AtomicBool) -> Vec<String> {
    let (owner, url, path) = (fleet.owner(), fleet.url(), format!("/workspaces/{id}/messages"));
    let mut sent: Vec<String> = Vec::new();
    loop {
        let over = changed.load(std::sync::atomic::Ordering::SeqCst);
        // A message of its own id, sent twice, is one message.
        let body = json!({"text": "/sleep 1", "message_id": format!("m-{}", sent.len())});
        for _ in 0..2 {
            let taken = want(202, owner.post(&url, &path, body.clone()).await);
            let message = text(&taken, "id");
            if sent.last() != Some(&message) {
                sent.push(message);
            }
        }
        if over {
            return sent;
        }
        while waiting(&want(200, owner.get(&url, &format!("/workspaces/{id}")).await)) >= WAITING {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn waiting(workspace: &Value) -> usize {
    usize::try_from(workspace["queued"].as_u64().unwrap()).unwrap()
}

#[test]
fn fifty_changes_to_twenty_busy_agents_cut_no_turn_and_reach_everybody() {
    for db in databases() {
        let engine = db.engine;
        println!("seed {SEED:#x} on {engine}");
        let fleet = Fleet::new(db, "");
        let ids: Vec<_> = (0..AGENTS).map(|n| fleet.create(&format!("agent {n}"), json!("process"), None)).collect();
        for id in &ids {
            fleet.settled(id);
        }

        let changed = std::sync::atomic::AtomicBool::new(false);
        let mut own: BTreeMap<usize, (u64, String)> = BTreeMap::new();
        let mut for_all = (0, String::new());
        let messages = fleet.run(async {
            let work = futures(ids.iter().map(|id| busy(&fleet, id, &changed)));
            let change = async {
                let (mut dice, owner, url) = (Dice(SEED), fleet.owner(), fleet.url());
                for change in 1..=CHANGES {
                    tokio::time::sleep(Duration::from_millis(dice.below(PAUSE_MS))).await;
                    let value = format!("value-{change}-of-the-changes");
                    let (path, key) = if change % FOR_ALL == 0 {
                        for_all = (for_all.0 + 1, value.clone());
                        ("/settings/secrets".to_owned(), "FOR_ALL")
                    } else {
                        let agent = usize::try_from(dice.below(AGENTS as u64)).unwrap();
                        let entry = own.entry(agent).or_default();
                        *entry = (entry.0 + 1, value.clone());
                        (format!("/workspaces/{}/secrets", ids[agent]), "OWN")
                    };
                    want(200, owner.post(&url, &path, json!({"key": key, "value": value})).await);
                }
                changed.store(true, std::sync::atomic::Ordering::SeqCst);
            };
            tokio::join!(work, change).0
        });

        let (mut restarts, mut touched) = (0, 0);
        for (number, id) in ids.iter().enumerate() {
            let what = format!("{engine} agent {number} (seed {SEED:#x})");
            for message in &messages[number] {
                assert_eq!(fleet.outcome(id, message)["reply"], "slept 1", "{what}");
            }
            fleet.settled(id);
            let (changes, last) = own.get(&number).cloned().unwrap_or_default();
            let expected = if changes == 0 { "unset".to_owned() } else { shown(&last) };
            assert_eq!(fleet.ask(id, "/env OWN"), expected, "{what}");
            assert_eq!(fleet.ask(id, "/env FOR_ALL"), shown(&for_all.1), "{what}");

            // One turn a message, none of them cut.
            let turns = fleet.turns(id);
            assert!(turns.iter().all(|turn| turn["state"] == "completed"), "{what}: {turns:?}");
            let worked: BTreeSet<_> = turns.iter().map(|turn| text(turn, "message_id")).collect();
            assert_eq!((turns.len(), worked.len()), (messages[number].len() + 2, messages[number].len() + 2), "{what}");

            // A restart needs a change that came after the one before it had begun.
            let runs = fleet.runs(id);
            let generations: Vec<_> = runs.iter().map(|run| run["generation"].as_i64().unwrap()).collect();
            assert!(generations.is_sorted_by(|earlier, later| earlier < later), "{what}: {runs:?}");
            assert!(runs.iter().all(|run| run["crash"] == false), "{what}: {runs:?}");
            let again = u64::try_from(runs.len() - 1).unwrap();
            assert!((1..=changes + for_all.0).contains(&again), "{what}: {again} restarts: {runs:?}");
            (restarts, touched) = (restarts + again, touched + changes + for_all.0);
        }
        println!("{engine}: {restarts} restarts for {touched} changes that reached an agent");
        assert!(restarts < touched, "nothing was coalesced");
        fleet.verified();
    }
}

/// All of them at once, in order.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|cx| {
        for (one, done) in running.iter_mut().filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = one.as_mut().poll(cx) {
                *done = Some(value);
            }
        }
        if running.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    running.into_iter().map(|(_, done)| done.unwrap()).collect()
}

#[test]
fn ten_changes_in_one_turn_are_one_restart_after_it() {
    let fleet = Fleet::new(TestDb::sqlite(), "");
    let id = fleet.create("held", exec(HOLDS), None);
    fleet.settled(&id);
    let boot = fleet.boot(&id);
    let held = fleet.send(&id, "hold a\n");
    fleet.taken(&id, &held);
    for change in 0..10 {
        fleet.set(&id, "KEY", &format!("value-{change}-in-one-turn"));
    }
    fleet.shown(&id, "draining");
    assert_eq!(fleet.workspace(&id)["restart_debt"], true);
    assert_eq!(fleet.boot(&id), boot);
    fleet.touch(&id, "a");
    assert_eq!(fleet.reply(&id, &held), "hold a unset");
    fleet.settled(&id);
    // Shorter than what redaction looks for, or the reply would not show it.
    assert_eq!(fleet.ask(&id, "say it\n"), "say it [redacted:KEY]");
    let runs = fleet.runs(&id);
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(runs[1]["versions"]["KEY"]["version"], 10, "{runs:?}");
}

/// The question about this workspace's turn, once it waits for a human.
fn question(fleet: &Fleet, id: &str) -> Value {
    fleet.until("a human is asked", || {
        let pending = list(&fleet.get("/approvals/pending"));
        pending.into_iter().find(|one| one["action"] == "workspace.force_stop" && one["workspace_id"] == id)
    })
}

#[test]
fn a_turn_that_never_ends_is_debt_and_a_question_and_never_a_kill() {
    for db in databases() {
        let fleet = Fleet::new(db, "drain_s = 2\ngrace_s = 2\n");
        let [denied, approved, ended] = ["denied", "approved", "ended"]
            .map(|name| fleet.create(name, if name == "ended" { exec(HOLDS) } else { json!("process") }, None));
        let ids = [&denied, &approved, &ended];
        let boots = ids.map(|id| {
            fleet.settled(id);
            fleet.boot(id)
        });
        let messages = ids.map(|id| fleet.send(id, if *id == ended { "hold a\n" } else { "/sleep 3600" }));
        for (id, message) in ids.iter().zip(&messages) {
            fleet.taken(id, message);
            fleet.set(id, "KEY", "the-value-that-waits");
        }
        let questions = ids.map(|id| question(&fleet, id));
        for ((id, boot), question) in ids.iter().zip(&boots).zip(&questions) {
            assert_eq!(question["requested_by"]["kind"], "system", "{question}");
            assert_eq!(question["impact"][0]["workspace_id"], id.as_str(), "{question}");
            assert!(!question["impact"][0]["turn_since"].is_null(), "{question}");
            let now = fleet.until("it is said that a human was asked", || {
                let now = fleet.workspace(id);
                text(&now, "status_reason").contains("a human was asked").then_some(now)
            });
            assert_eq!((&now["status"], &now["restart_debt"]), (&json!("draining"), &json!(true)), "{now}");
            assert_eq!((fleet.boot(id), fleet.turns(id)[0]["state"].clone()), (boot.clone(), json!("running")));
        }
        let decide = |actor: &Actor, question: &Value, decision: &str| {
            let path = format!("/approvals/{}/decide", text(question, "id"));
            fleet.ask_as(actor, Method::POST, &path, Some(json!({"decision": decision})))
        };

        // Denied: it goes on, with its debt.
        want(200, decide(fleet.owner(), &questions[0], "denied"));
        // Ends by itself: the question is void, and the restart happens.
        fleet.touch(&ended, "a");
        assert_eq!(fleet.reply(&ended, &messages[2]), "hold a unset");
        fleet.settled(&ended);
        let path = format!("/approvals/{}", text(&questions[2], "id"));
        assert_eq!(fleet.get(&path)["status"], "voided");
        assert_eq!(fleet.runs(&ended)[0]["cause"], "restart");
        let late = decide(fleet.owner(), &questions[2], "approved").unwrap();
        assert!((400..500).contains(&late.0), "{late:?}");

        // An agent does not answer the question, and neither does a human who has not shown the password again.
        let agent = Actor::bearer(fleet.token(&boots[1]).trim());
        let refused = decide(&agent, &questions[1], "approved").unwrap();
        assert!(matches!(refused.0, 403 | 404), "{refused:?}");
        let fresh = fleet.run(Actor::logged_in(&fleet.url(), OWNER));
        let refused = want(403, decide(&fresh, &questions[1], "approved"));
        assert_eq!(refused["code"], "STEP_UP_REQUIRED", "{refused}");
        assert_eq!(fleet.boot(&approved), boots[1]);
        want(200, fleet.ask_as(&fresh, Method::POST, "/auth/step-up", Some(json!({"password": PASSWORD}))));
        assert_eq!(want(200, decide(&fresh, &questions[1], "approved"))["status"], "applied");
        cut(&fleet, &approved, &messages[1]);

        // The denied one was left alone all the while; a human may still stop it by name.
        assert_eq!(
            (fleet.boot(&denied), fleet.turns(&denied)[0]["state"].clone()),
            (boots[0].clone(), json!("running"))
        );
        assert!(!settled(&fleet.workspace(&denied)));
        fleet.post(&format!("/workspaces/{denied}/force-stop"), Some(json!({"reason": "it hangs"})), 200);
        cut(&fleet, &denied, &messages[0]);
        let forced = fleet.audit("event=workspace.force_stop");
        let by: BTreeSet<_> = forced.iter().map(|event| text(&event["subject"], "kind")).collect();
        assert!(by.contains("operator"), "{forced:?}");
        fleet.verified();
    }
}

/// A human let the turn be cut: it is lost, its sender is told, and the next boot has the value.
fn cut(fleet: &Fleet, id: &str, message: &str) {
    let failed = fleet.outcome(id, message);
    assert_eq!(failed["status"], "failed", "{failed}");
    assert!(text(&failed, "error").contains("forced"), "{failed}");
    fleet.settled(id);
    assert_eq!(fleet.turns(id)[0]["state"], "lost");
    assert_eq!(fleet.ask(id, "/env KEY"), shown("the-value-that-waits"));
    let runs = fleet.runs(id);
    assert_eq!((runs.len(), &runs[0]["cause"], &runs[1]["reason"]), (2, &json!("forced"), &json!("forced_stop")));
    let context: Value = serde_json::from_str(&fleet.ask(id, "/context")).unwrap();
    assert_eq!(context["interrupted"][0]["message_id"], message, "{context}");
}
