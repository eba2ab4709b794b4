//! Several servers on one PostgreSQL: one order, signals everywhere, one supervisor for each workspace, and no moment at
//! which nobody answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod kit;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use kit::{
    ADMIN, Actor,
    balancer::Balancer,
    faults::{HEARTBEAT, upto},
    fleet::{Fleet, HOLDS, exec, list, text},
    portcullis, ran, want,
};
use nix::sys::signal::Signal;
use portcullis_authority::testkit_db::{TestDb, databases};
use reqwest::Method;
use serde_json::json;

/// Only to serve: no agents.
const SERVES: &str = "run = false";

/// Two servers on one database; nothing where there is no PostgreSQL.
fn pair(agents: &str, server: &str) -> Option<(Fleet, Fleet)> {
    let db = databases().into_iter().find(|db| db.url.is_some())?;
    let mut first = Fleet::prepared(db, agents);
    first.configure(server);
    first.start();
    let mut second = first.beside(server, agents);
    second.start();
    Some((first, second))
}

#[test]
fn writes_through_two_servers_are_one_log_and_each_refuses_the_incident() {
    const WRITES: usize = 15;
    let Some((first, second)) = pair(SERVES, "") else { return };
    let workspace = text(&first.post("/workspaces", Some(json!({"name": "shared"})), 201), "id");
    let root = first.root();
    let before = first.audit("").len();
    first.run(async {
        let write = async |fleet: &Fleet, name: &str| {
            for n in 0..WRITES {
                let body = json!({"key": format!("{name}_{n}"), "value": format!("the value {n}")});
                let path = format!("/workspaces/{workspace}/secrets");
                want(200, fleet.owner().post(&fleet.url(), &path, body).await);
                let body = json!({"key": format!("INCIDENT_{name}_{n}"), "value": "x"});
                let path = format!("/workspaces/{root}/secrets");
                let refused = want(403, Actor::bearer(ADMIN).post(&fleet.url(), &path, body).await);
                assert_eq!(refused["code"], "CONCIERGE_SELF_WRITE_BLOCKED");
            }
        };
        tokio::join!(
            write(&first, "FIRST"),
            write(&second, "SECOND"),
            write(&first, "THIRD"),
            write(&second, "FOURTH")
        );
    });
    let seen = [&first, &second].map(|fleet| fleet.audit(""));
    assert_eq!(seen[0], seen[1], "one log, whoever is asked");
    let positions: Vec<_> = seen[0].iter().map(|event| event["id"].as_i64().unwrap()).collect();
    assert_eq!(positions, (1..=i64::try_from(positions.len()).unwrap()).collect::<Vec<_>>(), "one order without gaps");
    assert!(positions.len() >= before + 4 * WRITES * 2, "everything that was answered is there: {}", positions.len());
    assert!(first.get(&format!("/workspaces/{root}/secrets")).to_string().find("INCIDENT").is_none());
    first.verified();
}

#[test]
fn a_commit_through_one_server_wakes_whoever_waits_at_the_other() {
    const ROUNDS: usize = 6;
    let Some((first, second)) = pair(SERVES, "") else { return };
    let workspace = text(&first.post("/workspaces", Some(json!({"name": "shared"})), 201), "id");
    let told = first.run(async {
        let mut stream = second.owner().stream(&second.url()).await;
        upto(&mut stream, "connected").await;
        let mut told = 0;
        for n in 0..ROUNDS {
            let body = json!({"key": format!("KEY_{n}"), "value": "x"});
            let path = format!("/workspaces/{workspace}/secrets");
            want(200, first.owner().post(&first.url(), &path, body).await);
            let seen = upto(&mut stream, &format!("KEY_{n}")).await;
            // A stream that looks by itself says so first.
            told += usize::from(!seen.contains(HEARTBEAT));
        }
        told
    });
    // Not all of them: on a busy machine a heartbeat may fall into the moment between.
    assert!(told >= ROUNDS - 2, "{told} of {ROUNDS} events came by a signal");
}

#[test]
fn what_is_revoked_rotated_or_forbidden_at_one_server_is_so_at_the_other() {
    let Some((first, second)) = pair(SERVES, "") else { return };
    let (one, two) = (first.url(), second.url());
    let workspace = text(&first.post("/workspaces", Some(json!({"name": "shared"})), 201), "id");
    let secrets = format!("/workspaces/{workspace}/secrets");
    let minted = first.post("/org/tokens", Some(json!({"name": "ci", "scopes": ["workspaces:read"]})), 200);
    let token = Actor::bearer(&text(&minted, "auth_token"));
    want(200, second.run(token.get(&two, "/workspaces")));
    want(200, first.run(first.owner().delete(&one, &format!("/org/tokens/{}", text(&minted, "id")))));
    want(401, second.run(token.get(&two, "/workspaces")));

    // Sealed there with a key that was made here, and the other way round.
    let bundle = |fleet: &Fleet, key: &str| {
        let minted = fleet.post(&format!("/workspaces/{workspace}/tokens"), Some(json!({})), 201);
        let agent = Actor::bearer(&text(&minted, "auth_token"));
        let values = want(200, fleet.run(agent.get(&fleet.url(), &format!("{secrets}/values"))));
        text(&values, key)
    };
    for (n, (rotates, other)) in [(&first, &second), (&second, &first)].into_iter().enumerate() {
        other.set(&workspace, &format!("OLD_{n}"), "sealed before");
        rotates.post("/keys/rotate", None, 200);
        rotates.set(&workspace, &format!("NEW_{n}"), "sealed after");
        assert_eq!(bundle(other, &format!("NEW_{n}")), "sealed after");
        other.set(&workspace, &format!("LATE_{n}"), "sealed late");
        assert_eq!(bundle(rotates, &format!("LATE_{n}")), "sealed late");
        assert_eq!(bundle(rotates, &format!("OLD_{n}")), "sealed before");
    }

    let forbid = "@code(\"POLICY_FORBIDS\") @reason(\"not now\") forbid (principal, action == Action::\"secret.set\", \
                  resource);";
    first.post("/policies", Some(json!({"name": "freeze", "text": forbid})), 201);
    let refused = second.run(second.owner().post(&two, &secrets, json!({"key": "LATER", "value": "x"})));
    assert_eq!(refused.unwrap().0, 403);
    first.verified();
}

/// What must be so after another server has taken a workspace over.
fn taken_over(from: &Fleet, by: &Fleet, id: &str, boot: &str, held: &str) -> String {
    let next = by.next_boot(id, boot);
    let runs = by.runs(id);
    let lost = runs.iter().find(|run| run["boot_id"] == boot).unwrap();
    assert_eq!((&lost["cause"], &lost["crash"]), (&json!("unreachable"), &json!(false)), "{runs:?}");
    assert_eq!(by.outcome(id, held)["status"], "failed", "whoever sent it is told");
    by.settled(id);
    assert_eq!(by.ask(id, "go on\n").trim(), "go on unset");
    let taken = by.audit("event=workspace.taken_over");
    assert_eq!(taken.iter().filter(|event| event["workspace_id"] == id).count(), 1, "{taken:?}");

    // What runs on where it was has no power any more.
    assert!(from.processes_of(id).iter().any(|(_, command)| command.contains(" agent ")), "it was not asked");
    let stale = Actor::bearer(&from.token(boot));
    let claim = by.run(stale.post(&by.url(), &format!("/workspaces/{id}/inbox/claim"), json!({})));
    assert_eq!(claim.unwrap().0, 401);
    next
}

/// One run of an agent each, all at `by`, and nothing was worked on twice.
fn once(by: &Fleet, id: &str, boot: &str) {
    let runs = by.runs(id);
    let live: Vec<_> = runs.iter().filter(|run| run["state"] == "live").collect();
    assert_eq!((runs.len(), live.len(), &live[0]["boot_id"]), (2, 1, &json!(boot)), "{runs:?}");
    let worked = std::fs::read_to_string(by.work(id).join("ran")).unwrap();
    assert_eq!(worked.lines().collect::<BTreeSet<_>>().len(), worked.lines().count(), "{worked}");
}

/// Two servers, and an agent of the first in a turn that does not end by itself.
struct Held {
    first: Fleet,
    second: Fleet,
    id: String,
    held: String,
    boot: String,
}

/// `None` without PostgreSQL.
fn held() -> Option<Held> {
    let db = databases().into_iter().find(|db| db.url.is_some())?;
    let first = Fleet::new(db, "");
    let id = first.create("worker", exec(HOLDS), None);
    first.settled(&id);
    let mut second = first.beside("", "");
    second.start();
    let held = second.send(&id, "hold for-ever\n");
    second.taken(&id, &held);
    let boot = first.boot(&id);
    Some(Held { first, second, id, held, boot })
}

#[test]
fn another_server_takes_over_from_one_that_was_killed_and_its_agent_has_no_power() {
    let Some(Held { mut first, second, id, held, boot }) = held() else { return };
    first.kill_server();

    let next = taken_over(&first, &second, &id, &boot, &held);
    first.start();
    first.until("what runs on is swept", || first.processes_of(&id).is_empty().then_some(()));
    assert_eq!(second.ask(&id, "and on\n").trim(), "and on unset");
    once(&second, &id, &next);
    first.verified();
}

#[test]
fn what_an_agent_says_to_another_server_reaches_its_own() {
    let Some((first, second)) = pair("", "") else { return };
    let id = first.create("worker", exec(HOLDS), None);
    first.settled(&id);
    let [own, other] = if first.processes_of(&id).is_empty() { [&second, &first] } else { [&first, &second] };
    let agent = Actor::bearer(&own.token(&own.boot(&id)));
    own.until("its supervisor hears of its trouble", || {
        let trouble = json!({"workspace_id": id, "error_rate": 1.0});
        want(200, other.run(agent.post(&other.url(), "/registry/heartbeat", trouble)));
        (own.workspace(&id)["status"] == "degraded").then_some(())
    });
}

#[test]
fn a_server_that_was_stopped_in_its_tracks_records_nothing_of_what_was_taken_from_it() {
    let Some(Held { first, second, id, held, boot }) = held() else { return };
    first.signal_server(Signal::SIGSTOP);

    let next = taken_over(&first, &second, &id, &boot, &held);
    first.signal_server(Signal::SIGCONT);
    first.until("what runs on is swept", || first.processes_of(&id).is_empty().then_some(()));
    assert_eq!(first.get("/health")["status"], "ok");
    assert_eq!(second.ask(&id, "and on\n").trim(), "and on unset");
    once(&second, &id, &next);
    let ends = second.audit(&format!("event=run.end&workspace_id={id}"));
    assert_eq!(ends.len(), 1, "nobody else said anything of an end: {ends:?}");
    first.verified();
}

#[test]
fn of_two_servers_with_one_identity_the_later_one_supervises_and_the_earlier_one_only_serves() {
    let Some(db) = databases().into_iter().find(|db| db.url.is_some()) else { return };
    let first = Fleet::new(db, "");
    let id = first.create("worker", exec(HOLDS), None);
    first.settled(&id);
    let held = first.send(&id, "hold for-ever\n");
    first.taken(&id, &held);
    let boot = first.boot(&id);
    let mut second = first.beside("", "");
    std::fs::copy(first.db.data_dir.join("server.id"), second.db.data_dir.join("server.id")).unwrap();
    second.start();

    first.until("the earlier one says why it stops", || {
        first.log().contains("another process runs as this server").then_some(())
    });
    let next = second.next_boot(&id, &boot);
    second.settled(&id);
    assert_eq!(second.outcome(&id, &held)["status"], "failed", "whoever sent it is told");
    let stale = Actor::bearer(&first.token(&boot));
    let claim = format!("/workspaces/{id}/inbox/claim");
    want(401, second.run(stale.post(&second.url(), &claim, json!({}))));

    // Both serve; what is changed through the earlier one is brought about by the later one, and by it alone.
    first.set(&id, "KEY", "set at the earlier one");
    let last = second.next_boot(&id, &next);
    second.settled(&id);
    assert_eq!(first.ask(&id, "go on\n").trim(), "go on [redacted:KEY]");
    second.token(&last);
    assert_eq!(first.processes_of(&id).iter().filter(|(_, command)| command.contains(&last)).count(), 0);
    let runs = second.runs(&id);
    let live: Vec<_> = runs.iter().filter(|run| run["state"] == "live").collect();
    assert_eq!((runs.len(), live.len(), &live[0]["boot_id"]), (3, 1, &json!(last)), "{runs:?}");
    let worked = std::fs::read_to_string(second.work(&id).join("ran")).unwrap();
    assert_eq!(worked, "go on\n");
    first.verified();
}

#[test]
fn a_server_that_is_started_again_at_once_keeps_its_agents_and_their_turns() {
    // What takes longer than the others wait is no restart at once, and proves nothing.
    const AT_ONCE: Duration = Duration::from_secs(4);
    let Some(db) = databases().into_iter().find(|db| db.url.is_some()) else { return };
    let mut first = Fleet::new(db, "");
    let id = first.create("worker", exec(HOLDS), None);
    first.settled(&id);
    let mut second = first.beside("", "");
    second.start();
    for round in 0..5 {
        let held = second.send(&id, &format!("hold {round}\n"));
        second.taken(&id, &held);
        let (boot, begun) = (second.boot(&id), Instant::now());
        first.stop_server();
        first.start();
        let took = begun.elapsed();
        first.touch(&id, &round.to_string());
        let outcome = second.outcome(&id, &held);
        if took >= AT_ONCE && outcome["status"] == "failed" {
            // It was taken over, which is right; back to where it was.
            second.settled(&id);
            let there = second.boot(&id);
            second.kill_server();
            first.next_boot(&id, &there);
            first.settled(&id);
            second.start();
            continue;
        }
        assert_eq!((&outcome["status"], first.boot(&id)), (&json!("completed"), boot), "after {took:?}");
        return;
    }
    panic!("this machine does not restart a server in {AT_ONCE:?}");
}

#[test]
fn servers_that_are_restarted_one_after_the_other_fail_no_request_and_lose_nothing() {
    const CLIENTS: usize = 4;
    let Some((mut first, mut second)) = pair(SERVES, "leave_s = 2") else { return };
    let workspace = text(&first.post("/workspaces", Some(json!({"name": "shared"})), 201), "id");
    let (owner, urls) = (first.owner().unpooled(), [first.url(), second.url()]);
    let runtime = kit::runtime();
    let balancer = runtime.block_on(Balancer::start(&urls));
    let (url, over) = (balancer.url.clone(), tokio::sync::watch::channel(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (owner, url, path) = (owner.clone(), url.clone(), format!("/workspaces/{workspace}/secrets"));
            let over = over.1.clone();
            runtime.spawn(async move {
                let mut answered = Vec::new();
                while !*over.borrow() {
                    let key = format!("KEY_{client}_{}", answered.len());
                    want(200, owner.post(&url, &path, json!({"key": key, "value": "x"})).await);
                    want(200, owner.get(&url, &path).await);
                    answered.push(key);
                }
                answered
            })
        })
        .collect();
    for fleet in [&mut first, &mut second] {
        fleet.stop_server();
        fleet.start();
    }
    over.0.send_replace(true);
    let answered: Vec<String> =
        clients.into_iter().flat_map(|client| runtime.block_on(client).expect("no request failed")).collect();
    let stored = first.get(&format!("/workspaces/{workspace}/secrets")).to_string();
    assert!(answered.len() >= CLIENTS, "{answered:?}");
    let lost: Vec<_> = answered.iter().filter(|key| !stored.contains(&format!("\"{key}\""))).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", answered.len());
    drop(balancer);
    first.verified();
}

#[test]
fn a_server_that_leaves_says_so_and_answers_on() {
    let mut fleet = Fleet::prepared(TestDb::sqlite(), SERVES);
    fleet.configure("leave_s = 600");
    fleet.start();
    assert_eq!(fleet.get("/ready")["ready"], true);
    fleet.signal_server(Signal::SIGTERM);
    let refused = fleet.until("it is not ready", || {
        let (status, body) = fleet.ask_as(&Actor::nobody(), Method::GET, "/ready", None)?;
        (status == 503).then_some(body)
    });
    assert_eq!(refused["code"], "SHUTTING_DOWN");
    fleet.post("/workspaces", Some(json!({"name": "late"})), 201);
    // Whoever asks twice is in a hurry.
    fleet.stop_server();
}

#[test]
fn a_data_directory_is_one_servers_own() {
    for db in databases() {
        let fleet = Fleet::new(db, SERVES);
        let mut command = portcullis(&fleet.db);
        command.env("PORTCULLIS_ADMIN_TOKEN", ADMIN).arg("serve").arg("--data").arg(&fleet.db.data_dir);
        command.args(["--listen", "127.0.0.1:0", "--no-agents"]);
        let refused = ran(command).exits(1);
        assert!(refused.err.contains("DATA_DIR_IN_USE"), "{refused:?}");
        assert_eq!(list(&fleet.get("/workspaces")).len(), 1);
    }
}

#[test]
fn an_older_server_goes_on_beside_a_newer_schema_and_is_not_started_again() {
    // What a release after this one may do: it only adds. It takes every table and meets who reads or writes them in another
    // order; where PostgreSQL ends it for that it begins again.
    const NEWER: &str = "DO $$ DECLARE name TEXT; BEGIN LOOP BEGIN \
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP \
        EXECUTE format('ALTER TABLE %I ADD COLUMN of_a_newer_release BIGINT NOT NULL DEFAULT 0', name); END LOOP; \
        CREATE TABLE of_a_newer_release (id TEXT PRIMARY KEY); \
        INSERT INTO schema_migrations (version, name, digest, applied_at) VALUES (1000, 'newer', 'x', 0); EXIT; \
        EXCEPTION WHEN deadlock_detected THEN NULL; END; END LOOP; END $$";
    let Some(db) = databases().into_iter().find(|db| db.url.is_some()) else { return };
    let first = Fleet::new(db, "");
    let id = first.create("worker", exec(HOLDS), None);
    first.settled(&id);
    let mut second = first.beside("", "");
    second.start();
    let (owner, url, path) = (second.owner().clone(), second.url(), format!("/workspaces/{id}/secrets"));
    let (over, looks) = tokio::sync::watch::channel(false);
    let runtime = kit::runtime();
    let writer = runtime.spawn(async move {
        let mut count = 0;
        while !*looks.borrow() || count == 0 {
            let body = json!({"key": format!("KEY_{count}"), "value": "x", "delivery": "file"});
            let (status, answer) = owner.post(&url, &path, body).await.expect("an answer");
            let (read, page) = owner.get(&url, &path).await.expect("an answer");
            for (status, answer) in [(status, &answer), (read, &page)] {
                // Who meets the migration may have to give way, and is told that it may ask again.
                assert!(status == 200 || answer["retryable"] == true, "{status}: {answer}");
            }
            count += usize::from(status == 200);
        }
        count
    });
    let held = first.send(&id, "hold during-it\n");
    first.taken(&id, &held);
    first.db.run(NEWER);
    first.touch(&id, "during-it");
    assert_eq!(first.reply(&id, &held).trim(), "hold during-it unset");
    over.send_replace(true);
    let written = runtime.block_on(writer).expect("no request failed");
    let keys = first.get(&format!("/workspaces/{id}/secrets")).to_string();
    assert!((0..written).all(|n| keys.contains(&format!("\"KEY_{n}\""))), "{written}: {keys}");
    assert_eq!(first.get("/ready")["ready"], true);
    let more = first.create("made-later", exec(HOLDS), None);
    first.settled(&more);
    assert_eq!(first.ask(&more, "go on\n").trim(), "go on unset");

    // Whoever is started again with this release is told, and the other one is not disturbed.
    second.stop_server();
    let refused = ran(second.command()).exits(1);
    assert!(refused.err.contains("SCHEMA_NEWER"), "{refused:?}");
    first.settled(&id);
    assert_eq!(first.ask(&id, "and on\n").trim(), "and on unset");
    first.verified();
}
