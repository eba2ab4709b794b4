//! What every answer has in common, what the server says about itself, and the live stream.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

use portcullis_authority::Config;
use portcullis_service::{App, Auth, Settings, registry};
use probe::{Event, Events, Fixture};
use reqwest::Method;
use serde_json::{Value, json};
use world::{Actor, Answer, PASSWORD, World, each_engine};

const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

#[track_caller]
fn guarded(answer: &Answer, what: &str, seen: &mut BTreeSet<String>) {
    // A card may be kept for a moment, by the caller alone.
    let kept = what.starts_with("a2a_card") && answer.status == 200;
    // The console's page may load its own files; what else it may not is in `console_files.rs`.
    let page = what.starts_with("console") && answer.status == 200;
    for (name, value) in HEADERS.into_iter().filter(|(name, _)| !(page && *name == "content-security-policy")) {
        let value = if kept && name == "cache-control" { "private, max-age=60" } else { value };
        let found = answer.headers.get(name).and_then(|found| found.to_str().ok());
        assert_eq!(found, Some(value), "{what}: {name}");
    }
    for name in ["server", "x-powered-by", "access-control-allow-origin"] {
        assert!(!answer.headers.contains_key(name), "{what}: {name}");
    }
    let request_id = answer.headers["x-request-id"].to_str().expect("text").to_owned();
    if answer.json["request_id"].is_string() {
        assert_eq!(answer.json["request_id"], request_id.as_str(), "{what}");
    }
    assert!(seen.insert(request_id), "{what}: the request id was used before");
}

#[test]
fn every_answer_has_the_security_headers_and_a_request_id_of_its_own() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let mut seen = BTreeSet::new();
        let forged = world.nobody().with("x-request-id", "chosen by the caller").with("origin", "https://example.org");
        for sample in fixture.requests("a value") {
            for actor in [&world.nobody(), &forged, &fixture.stranger, &world.owner().without("x-csrf-token")] {
                let anybody = actor.header("authorization").is_some() || actor.header("cookie").is_some();
                if sample.id == "events" && anybody {
                    let response = actor.open(&sample.path).await;
                    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
                    continue;
                }
                let answer = actor.send(sample.method.clone(), &sample.path, sample.body.clone()).await;
                guarded(&answer, sample.id, &mut seen);
            }
        }
        let owner = world.owner();
        for (method, path, body) in [
            (Method::GET, "/nothing", None),
            (Method::PATCH, "/health", None),
            (Method::OPTIONS, "/workspaces", None),
            (Method::HEAD, "/health", None),
            (Method::POST, "/auth/step-up", Some(vec![b' '; 3 * 1024 * 1024])),
            (Method::GET, "/workspaces/%FF", None),
        ] {
            guarded(&owner.send(method, path, body).await, path, &mut seen);
        }
        guarded(&owner.with("x-large", &"x".repeat(20_000)).get("/workspaces").await, "large headers", &mut seen);
        world
    });
}

#[test]
fn health_readiness_and_the_key_of_the_log_are_public_and_say_nothing_else() {
    each_engine(Config::default(), async |world| {
        let nobody = world.nobody();
        let health = nobody.get("/health").await;
        assert_eq!(health.status(200).json, json!({"status": "ok", "version": "test"}));
        let ready = nobody.get("/ready").await;
        let checks = json!({"store": true, "writer": true, "audit": true, "keys": true, "policy": true});
        assert_eq!(ready.status(200).json, json!({"ready": true, "checks": checks}));
        let key = nobody.get("/audit/key").await;
        assert_eq!(key.status(200).member("verifier_key"), world.authority.verifier_key());
        assert!(key.member("verifier_key").starts_with(&key.member("origin")));
        let before = world.db.rows();
        for path in ["/health", "/ready", "/openapi.json", "/audit/key"] {
            nobody.get(path).await.status(200);
        }
        assert_eq!(world.db.rows(), before, "looking changed something");
        world
    });
}

/// Every `$ref` in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let (true, Value::String(text)) = (name == "$ref", member) {
                    found.insert(text.clone());
                }
                references(member, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_openapi_document_has_every_route_and_no_other() {
    each_engine(Config::default(), async |world| {
        let answer = world.nobody().get("/openapi.json").await;
        let document = &answer.status(200).json;
        assert_eq!(document["openapi"], "3.1.0");
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, entry) in methods.as_object().expect("methods") {
                described.insert((
                    path.clone(),
                    method.to_uppercase(),
                    entry["operationId"].as_str().map(str::to_owned),
                ));
            }
        }
        let operations = registry();
        let declared = operations.iter().map(|op| (op.path.to_owned(), op.method.to_string(), Some(op.id.to_owned())));
        assert_eq!(described, declared.collect());
        for operation in &operations {
            let entry = &document["paths"][operation.path][operation.method.as_str().to_lowercase()];
            assert!(entry["summary"].as_str().is_some_and(|text| !text.is_empty()), "{operation:?}");
            assert_eq!(entry["security"] == json!([]), operation.auth == Auth::Public, "{operation:?}");
            let names = operation.path.split('/').filter(|part| part.starts_with('{')).count();
            let described = entry["parameters"].as_array().map(Vec::len);
            assert_eq!(described, Some(names + usize::from(operation.decided)), "{operation:?}");
            let name = if operation.foreign { "ForeignRefusal" } else { "Refusal" };
            assert_eq!(entry["responses"]["401"]["$ref"], format!("#/components/responses/{name}"), "{operation:?}");
            let statuses = entry["responses"].as_object().expect("responses");
            assert!(statuses.keys().all(|status| status.parse::<u16>().is_ok()), "a range documents nothing");
        }
        let mut found = BTreeSet::new();
        references(document, &mut found);
        assert!(found.len() > 10, "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').expect("a reference into the document");
            assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
        world
    });
}

#[test]
fn metrics_count_requests_and_refusals_for_those_who_may_read_them() {
    each_engine(Config::default(), async |world| {
        let other = world.workspace("writer").await;
        world.admin().set(&world.root(), "MODEL_KEY", "a value").await.refused(403, "CONCIERGE_SELF_WRITE_BLOCKED");
        world.nobody().get("/metrics").await.refused(401, "UNAUTHENTICATED");
        world.agent_of(&other).await.get("/metrics").await.refused(403, "SCOPE_MISSING");
        for actor in [world.admin(), world.owner()] {
            let page = actor.get("/metrics").await;
            let page = page.status(200);
            assert!(page.headers["content-type"].to_str().expect("text").starts_with("text/plain"));
            for line in [
                "portcullis_requests_total{operation=\"secret_set\",status=\"403\"} ",
                "portcullis_refusals_total{code=\"CONCIERGE_SELF_WRITE_BLOCKED\"} ",
                "portcullis_request_seconds_bucket{operation=\"secret_set\",le=\"0.005\"} ",
                "portcullis_request_seconds_count{operation=\"secret_set\"} ",
                "portcullis_writer_queue ",
                "portcullis_writer_batches_total ",
                "portcullis_writer_failed_commits_total ",
                "portcullis_event_position ",
            ] {
                let number = page.text.lines().find_map(|found| found.strip_prefix(line));
                let number: f64 =
                    number.unwrap_or_else(|| panic!("no {line} in {}", page.text)).parse().expect("a number");
                assert!(number >= 0.0, "{line}");
            }
            // Labels are words of ours: no id, no path, no address.
            assert!(!page.text.contains(&other) && !page.text.contains("example.org"), "{}", page.text);
        }
        world
    });
}

#[test]
fn the_session_cookie_is_guarded_and_host_bound_where_the_connection_is_not_plain_loopback() {
    each_engine(Config::default(), async |world| {
        let login = json!({"email": "owner@example.org", "password": PASSWORD});
        let cookie = |answer: &Answer| answer.headers["set-cookie"].to_str().expect("text").to_owned();
        let plain = cookie(world.nobody().post("/auth/login", login.clone()).await.status(200));
        assert!(plain.starts_with("portcullis=") && !plain.contains("Secure"), "a cookie");
        let app = App::new(
            world.authority.clone(),
            Settings { secure_cookies: true, version: "test", ..Settings::default() },
        );
        let running =
            portcullis_service::start(app, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a server");
        let elsewhere = world.nobody().at(&format!("http://{}", running.address));
        let answer = elsewhere.post("/auth/login", login).await;
        let secure = cookie(answer.status(200));
        assert!(secure.starts_with("__Host-portcullis=") && secure.ends_with("; Secure"), "a secure cookie");
        for cookie in [&plain, &secure] {
            for attribute in ["; Path=/;", "; HttpOnly", "; SameSite=Strict", "; Max-Age="] {
                assert!(cookie.contains(attribute), "no {attribute}");
            }
            assert!(!cookie.contains("Domain"));
        }
        // A session under the other name is none.
        let token = secure.split(['=', ';']).nth(1).expect("a token");
        let renamed = elsewhere.with("cookie", &format!("portcullis={token}"));
        renamed.get("/auth/session").await.refused(401, "UNAUTHENTICATED");
        let session = elsewhere.with("cookie", &format!("__Host-portcullis={token}"));
        session.get("/auth/session").await.status(200);
        running.shutdown().await;
        world
    });
}

fn position(world: &World) -> i64 {
    world.db.integer("SELECT MAX(id) FROM events")
}

/// Puts something on the stream about a workspace.
async fn stir(world: &World, workspace: &str) -> i64 {
    let place = position(world);
    world.owner().set(workspace, "STIRRED", &format!("value {place}")).await.status(200);
    position(world)
}

#[test]
fn the_stream_resumes_where_a_listener_was_without_a_gap_or_a_repetition() {
    each_engine(Config::default(), async |world| {
        let other = world.workspace("writer").await;
        let beginning = position(&world);
        let mut live = Events::open(&world.owner(), "/events").await;
        let first = stir(&world, &other).await;
        let heard = live.until(first).await;
        assert!(heard.iter().all(|event| event.id > beginning), "a new listener hears what comes: {heard:?}");
        drop(live);
        let last = stir(&world, &other).await;
        let middle = heard[0].id;
        let mut by_header = Events::open(&world.owner().with("last-event-id", &middle.to_string()), "/events").await;
        let mut by_query = Events::open(&world.owner(), &format!("/events?after={middle}")).await;
        // The header is the browser's and newer than the address it was opened with.
        let both = world.owner().with("last-event-id", &middle.to_string());
        let mut by_both = Events::open(&both, &format!("/events?after={beginning}")).await;
        let expected: Vec<i64> = (middle + 1..=last).collect();
        for events in [&mut by_header, &mut by_query, &mut by_both] {
            let events = events.until(last).await;
            assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), expected);
            for event in events {
                let data: Value = serde_json::from_str(&event.data).expect("JSON");
                assert_eq!((&data["id"], &data["type"]), (&json!(event.id), &json!(event.name)), "{data}");
                assert!(data.get("lineage").is_none() && data["at"].is_string() && data["audit_id"].is_i64(), "{data}");
                assert!(!event.data.contains("value "), "{data}");
            }
        }
        let mut everything = Events::open(&world.owner(), "/events?after=0").await;
        assert_eq!(everything.until(last).await.len() as i64, last);
        world
    });
}

#[test]
fn a_position_that_is_gone_or_ahead_is_answered_with_reset_and_the_stream_goes_on() {
    each_engine(Config::default(), async |world| {
        let other = world.workspace("writer").await;
        let last = position(&world);
        let reset = |id: i64| Event { id, name: "reset".into(), data: format!("{{\"position\":{id}}}") };
        world.db.run(&format!("DELETE FROM events WHERE id < {last}"));
        let mut ahead = Events::open(&world.owner().with("last-event-id", "9223372036854775807"), "/events").await;
        assert_eq!(ahead.next().await, Some(reset(last)));
        let mut gone = Events::open(&world.owner(), "/events?after=1").await;
        assert_eq!(gone.next().await, Some(reset(last)));
        let next = stir(&world, &other).await;
        for events in [&mut ahead, &mut gone] {
            let events = events.until(next).await;
            assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), (last + 1..=next).collect::<Vec<_>>());
        }
        // The last one that is kept can still be resumed from.
        let mut kept = Events::open(&world.owner(), &format!("/events?after={last}")).await;
        assert_eq!(kept.next().await.map(|event| event.id), Some(last + 1));
        world
    });
}

#[test]
fn a_hundred_who_listen_hear_everything_once_and_in_order_and_keep_nobody_waiting() {
    each_engine(Config::default(), async |world| {
        let other = world.workspace("writer").await;
        let beginning = position(&world);
        let mut listening = Vec::new();
        for _ in 0..100 {
            listening.push(Events::open(&world.owner(), "/events").await);
        }
        let mut last = 0;
        for _ in 0..10 {
            last = stir(&world, &other).await;
        }
        let expected: Vec<i64> = (beginning + 1..=last).collect();
        for (n, events) in listening.iter_mut().enumerate() {
            let heard = events.until(last).await;
            let heard: Vec<i64> = heard.iter().map(|event| event.id).collect();
            assert_eq!(heard, expected, "{}: listener {n}", world.db.engine);
        }
        world
    });
}

#[test]
fn an_ordinary_agent_hears_of_its_own_workspace_and_its_own_doings_only() {
    each_engine(Config::default(), async |world| {
        let (mine, theirs) = (world.workspace("mine").await, world.workspace("theirs").await);
        let agent = world.agent_of(&mine).await;
        let mut events = Events::open(&agent, "/events?after=0").await;
        stir(&world, &theirs).await;
        world.admin().set(&theirs, "HELD", "a value").await.status(202);
        world.owner().post("/settings/secrets", json!({"key": "ALL", "value": "a value"})).await.status(200);
        agent.set(&theirs, "FOREIGN", "a value").await.status(404);
        let last = stir(&world, &mine).await;
        let heard = events.until(last).await;
        assert!(heard.len() > 2, "{heard:?}");
        for event in heard {
            let data: Value = serde_json::from_str(&event.data).expect("JSON");
            let own = data["workspace_id"] == mine.as_str() || data["subject"]["id"] == mine.as_str();
            assert!(own, "{}: {data}", world.db.engine);
        }
        // A token without the scope hears nothing.
        let deaf = world.org_token(&world.owner(), json!({"name": "deaf", "scopes": ["workspaces:read"]})).await;
        world.bearer(&deaf).get("/events").await.refused(403, "SCOPE_MISSING");
        world
    });
}

/// Reads to the end of a stream, which must come.
async fn ends(events: &mut Events) {
    while events.next().await.is_some() {}
}

#[test]
fn a_stream_ends_with_the_credential_it_was_opened_with_and_with_the_server() {
    each_engine(Config::default(), async |world| {
        let other = world.workspace("writer").await;
        let session = world.log_in("owner@example.org").await;
        let mut of_session = Events::open(&session, "/events").await;
        session.post("/auth/logout", json!({})).await.status(200);
        ends(&mut of_session).await;
        session.get("/events").await.refused(401, "CREDENTIAL_REVOKED");

        let minted = world.owner().post(&format!("/workspaces/{other}/tokens"), json!({})).await;
        let agent: Actor = world.bearer(&minted.status(201).member("auth_token"));
        let mut of_token = Events::open(&agent, "/events").await;
        world.owner().delete(&format!("/workspaces/{other}/tokens/{}", minted.member("id"))).await.status(200);
        ends(&mut of_token).await;

        let short = world.owner().post(&format!("/workspaces/{other}/tokens"), json!({"expires_in_s": 60})).await;
        let short = world.bearer(&short.status(201).member("auth_token"));
        let mut of_short = Events::open(&short, "/events").await;
        world.advance(60_000);
        stir(&world, &other).await;
        ends(&mut of_short).await;

        let app = App::new(
            world.authority.clone(),
            Settings { secure_cookies: false, version: "test", ..Settings::default() },
        );
        let running =
            portcullis_service::start(app, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a server");
        let mut of_server = Events::open(&world.owner().at(&format!("http://{}", running.address)), "/events").await;
        // Heard through the other server: the stream is in the middle of its wait.
        of_server.until(stir(&world, &other).await).await;
        running.shutdown().await;
        ends(&mut of_server).await;
        world
    });
}
