//! Whatever is sent, the answer is a refusal with a code: never a 5xx, never a hang, and nothing changes.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use std::time::Duration;

use portcullis_authority::Config;
use portcullis_service::{Auth, registry};
use probe::{ENDLESS, Fixture, Sample, problem, raw, state};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as Runs, RngAlgorithm, TestRng, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};
use world::{Actor, Answer, each_engine};

const VALUE: &str = "canary-value-of-the-bad-input";
/// A request that has no answer by then hangs. Far beyond what the slowest takes: this measures nothing.
const HANG: Duration = Duration::from_secs(120);
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Sends, and panics instead of waiting for ever.
async fn sent(actor: &Actor, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
    let what = format!("{method} {path} hangs");
    tokio::time::timeout(HANG, actor.send(method, path, body)).await.expect(&what)
}

/// Asserts a refusal in the form of the contract.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, what: &str) {
    assert_eq!((answer.refused_as(), answer.code()), (status, code), "{what}: {}", answer.text);
    problem(answer, &[status], what);
    assert!(!answer.text.contains(VALUE), "{what} repeats the value: {}", answer.text);
}

/// Every body that puts one value under one key, by route.
fn writes(workspace: &str, key: &str, value: &str) -> Vec<(Method, String, Value)> {
    let pair = json!({"key": key, "value": value});
    let line = json!({"changes": [{"workspace_id": workspace, "op": "set", "key": key, "value": value}]});
    let content = json!({key: value}).to_string();
    let import = json!({"format": "json", "content": content, "apply": true});
    vec![
        (Method::POST, format!("/workspaces/{workspace}/secrets"), pair.clone()),
        (Method::PUT, format!("/workspaces/{workspace}/secrets"), pair.clone()),
        (Method::POST, "/settings/secrets".into(), pair.clone()),
        (Method::PUT, "/admin/secrets".into(), pair),
        (Method::POST, "/secrets/change-sets".into(), line),
        (Method::POST, format!("/workspaces/{workspace}/secrets/import"), import),
    ]
}

#[test]
fn a_value_that_cannot_be_a_secret_is_refused_by_every_way_to_write_one() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let (owner, before) = (world.owner(), state(&world.db));
        let (long, nul) = (format!("{VALUE}{}", "x".repeat(VALUE_BYTES_MAX)), format!("{VALUE}\0"));
        for (value, code) in [
            ("", "VALUE_INVALID"),
            (nul.as_str(), "VALUE_INVALID"),
            (&"x".repeat(VALUE_BYTES_MAX + 1), "VALUE_TOO_LARGE"),
            // Counted in bytes, not in characters.
            (&"é".repeat(VALUE_BYTES_MAX / 2 + 1), "VALUE_TOO_LARGE"),
            (long.as_str(), "VALUE_TOO_LARGE"),
        ] {
            for (method, path, body) in writes(&workspace, "ODD", value) {
                let answer = sent(&owner, method.clone(), &path, Some(body.to_string().into_bytes())).await;
                refused(&answer, 422, code, &format!("{} {method} {path} {value:.20?}", world.db.engine));
            }
        }
        assert_eq!(state(&world.db), before);
        // The limit itself is allowed, so the refusals are the limit's.
        owner.set(&workspace, "LARGE", &"x".repeat(VALUE_BYTES_MAX)).await.status(200);
        world
    });
}

#[test]
fn a_key_that_is_no_variable_name_is_refused_in_bodies_paths_and_files() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let (owner, before) = (world.owner(), state(&world.db));
        let long = "K".repeat(129);
        for key in ["", "A=B", "A\nB", "A.B", "A B", "a", "1A", "A\0", "Ä", "A/B", "$(A)", "__proto__", &long] {
            for (method, path, body) in writes(&workspace, key, VALUE) {
                let answer = sent(&owner, method.clone(), &path, Some(body.to_string().into_bytes())).await;
                refused(&answer, 422, "KEY_INVALID", &format!("{} {method} {path} {key:?}", world.db.engine));
            }
            if key.is_empty() {
                continue;
            }
            let encoded: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
            for scope in [format!("/workspaces/{workspace}/secrets"), "/settings/secrets".to_owned()] {
                for (method, tail, body) in [
                    (Method::DELETE, "", None),
                    (Method::GET, "/versions", None),
                    (Method::POST, "/undelete", None),
                    (Method::POST, "/destroy", None),
                    (Method::POST, "/rollback", Some(json!({"to_version": 1}))),
                    (Method::POST, "/activate", Some(json!({"version": 1}))),
                    (Method::POST, "/request", None),
                ] {
                    let body = body.map(|body| body.to_string().into_bytes());
                    let answer = sent(&owner, method, &format!("{scope}/{encoded}{tail}"), body).await;
                    refused(&answer, 422, "KEY_INVALID", &format!("{} {scope} {key:?}{tail}", world.db.engine));
                }
            }
        }
        for (content, code) in [
            (format!("A.B={VALUE}\n"), "KEY_INVALID"),
            (format!("={VALUE}\n"), "KEY_INVALID"),
            (format!("A={VALUE}\nA={VALUE}\n"), "IMPORT_INVALID"),
            (format!("A=\"{VALUE}"), "IMPORT_INVALID"),
            (VALUE.to_owned(), "IMPORT_INVALID"),
            (String::new(), "IMPORT_INVALID"),
            ("A=\n".to_owned(), "VALUE_INVALID"),
        ] {
            for apply in [false, true] {
                let body = json!({"format": "env", "content": content, "apply": apply});
                let path = format!("/workspaces/{workspace}/secrets/import");
                let answer = sent(&owner, Method::POST, &path, Some(body.to_string().into_bytes())).await;
                refused(&answer, 422, code, &format!("{} {content:?}", world.db.engine));
            }
        }
        assert_eq!(state(&world.db), before);
        world
    });
}

#[test]
fn ten_thousand_keys_are_refused_whole() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let (owner, before) = (world.owner(), state(&world.db));
        let env: String = (0..10_000).map(|n| format!("K{n}={VALUE}\n")).collect();
        let object: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("K{n}"), VALUE.into())).collect();
        let lines: Vec<Value> = (0..10_000)
            .map(|n| json!({"workspace_id": workspace, "op": "set", "key": format!("K{n}"), "value": VALUE}))
            .collect();
        let import = |format: &str, content: &str| json!({"format": format, "content": content, "apply": true});
        let json_text = Value::Object(object).to_string();
        let path = format!("/workspaces/{workspace}/secrets/import");
        for (path, body, code) in [
            (path.as_str(), import("env", &env), "LIMIT_REACHED"),
            (path.as_str(), import("json", &json_text), "LIMIT_REACHED"),
            ("/settings/secrets/import", import("env", &env), "LIMIT_REACHED"),
            ("/secrets/change-sets", json!({"changes": lines}), "INVALID_FIELD"),
            ("/secrets/change-sets", json!({"changes": []}), "INVALID_FIELD"),
        ] {
            let answer = sent(&owner, Method::POST, path, Some(body.to_string().into_bytes())).await;
            refused(&answer, 422, code, &format!("{} {path}", world.db.engine));
        }
        assert_eq!(state(&world.db), before);
        world
    });
}

/// The routes that read a body, with the sample that would be taken.
/// Whether a route is a door of programs, which a session does not open.
fn is_for_programs(id: &str) -> bool {
    registry().iter().any(|operation| operation.id == id && operation.auth == Auth::Bearer)
}

/// Those whose body is one of ours; frames of MCP are looked at in `mcp_door.rs`.
fn with_body(fixture: &Fixture) -> Vec<Sample> {
    let with_body = fixture.requests(VALUE).into_iter().filter(|sample| sample.body.is_some());
    let with_body: Vec<Sample> = with_body.filter(|sample| !is_for_programs(sample.id)).collect();
    assert!(with_body.len() > 25, "the registry was not walked");
    with_body
}

#[test]
fn a_body_that_two_readers_could_understand_differently_is_refused_by_every_route() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let (owner, before) = (world.owner(), state(&world.db));
        for sample in with_body(&fixture) {
            let good = String::from_utf8(sample.body.clone().expect("a body")).expect("text");
            let inner = good.trim().trim_start_matches('{').trim_end_matches('}').to_owned();
            let twice = format!("{{{inner}, {inner}}}");
            let what = |case: &str| format!("{} {}: {case}", world.db.engine, sample.id);
            let deep = format!("{{\"key\":{}1{}}}", "[".repeat(40), "]".repeat(40));
            let mut bad_utf8 = good.clone().into_bytes();
            bad_utf8.insert(2, 0xff);
            let mut cases = vec![
                ("nested too deep", deep.into_bytes(), 400, "INVALID_JSON"),
                ("nested far too deep", "[".repeat(100_000).into_bytes(), 400, "INVALID_JSON"),
                ("not UTF-8", bad_utf8, 400, "INVALID_JSON"),
                ("cut off", good.as_bytes()[..good.len() - 1].to_vec(), 400, "INVALID_JSON"),
                ("two documents", format!("{good}{good}").into_bytes(), 400, "INVALID_JSON"),
                ("a byte order mark", format!("\u{feff}{good}").into_bytes(), 400, "INVALID_JSON"),
                ("a lone surrogate", b"{\"key\":\"\\ud800\"}".to_vec(), 400, "INVALID_JSON"),
                ("an unknown member", b"{\"decided_by\":\"me\"}".to_vec(), 422, "INVALID_FIELD"),
                ("another type", b"7".to_vec(), 422, "INVALID_FIELD"),
                ("a text", format!("\"{VALUE}\"").into_bytes(), 422, "INVALID_FIELD"),
            ];
            if !inner.is_empty() {
                cases.push(("members that come twice", twice.into_bytes(), 400, "INVALID_JSON"));
            }
            for (case, body, status, code) in cases {
                let answer = sent(&owner, sample.method.clone(), &sample.path, Some(body)).await;
                refused(&answer, status, code, &what(case));
            }
            for media in
                ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json2", ""]
            {
                let answer =
                    sent(&owner.with("content-type", media), sample.method.clone(), &sample.path, sample.body.clone())
                        .await;
                // Where a body may be left out, an empty object is what is left out.
                refused(&answer, 415, "UNSUPPORTED_MEDIA_TYPE", &what(media));
            }
            let large = vec![b' '; 9 * 1024 * 1024];
            let answer = sent(&owner, sample.method.clone(), &sample.path, Some(large)).await;
            refused(&answer, 413, "BODY_TOO_LARGE", &what("too large"));
        }
        assert_eq!(state(&world.db), before);
        world
    });
}

#[test]
fn a_body_where_none_is_read_and_an_unknown_query_are_refused() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let (owner, agent) = (world.owner(), world.agent_of(&fixture.ids["id"]).await);
        let before = state(&world.db);
        for sample in fixture.requests(VALUE).into_iter().filter(|sample| sample.method != Method::GET) {
            let what = format!("{} {}", world.db.engine, sample.id);
            let owner = if is_for_programs(sample.id) { &agent } else { &owner };
            if sample.body.is_none() {
                let body = Some(b"{\"force\":true}".to_vec());
                let answer = sent(owner, sample.method.clone(), &sample.path, body).await;
                refused(&answer, 422, "INVALID_FIELD", &what);
            }
            for query in ["forced=true", "dry_run=maybe", "dry_run=false&dry_run=true", "dry_run=true&dry_run=true"] {
                let path = sample.with(query);
                let answer = sent(owner, sample.method.clone(), &path, sample.body.clone()).await;
                refused(&answer, 400, "INVALID_REQUEST", &format!("{what}?{query}"));
            }
            let path = sample.with(&format!("q={}", "x".repeat(5_000)));
            let answer = sent(owner, sample.method.clone(), &path, sample.body.clone()).await;
            refused(&answer, 400, "INVALID_REQUEST", &format!("{what} with a long query"));
            for key in ["", "two words", &"k".repeat(129)] {
                let actor = owner.with("idempotency-key", key);
                let answer = sent(&actor, sample.method.clone(), &sample.path, sample.body.clone()).await;
                refused(&answer, 400, "INVALID_REQUEST", &format!("{what} with the idempotency key {key:?}"));
            }
        }
        assert_eq!(state(&world.db), before);
        world
    });
}

#[test]
fn malformed_ids_methods_and_routes_are_refused_with_a_code() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let (owner, agent) = (world.owner(), world.agent_of(&fixture.ids["id"]).await);
        let before = state(&world.db);
        let samples = fixture.requests(VALUE);
        for (operation, sample) in registry().into_iter().zip(&samples) {
            let owner = if is_for_programs(sample.id) { &agent } else { &owner };
            for bad in ["x", "%00", "%FF", "%E2%82", "..%2f..", "0", "-1", "null", "%0d%0aX: y", &"9".repeat(2_000)] {
                for name in ["{id}", "{approval}", "{token}", "{operator}", "{policy}", "{turn}", "{message}"] {
                    if !operation.path.contains(name) {
                        continue;
                    }
                    let path = fixture.fill(&operation.path.replace(name, bad));
                    let answer = sent(owner, sample.method.clone(), &path, sample.body.clone()).await;
                    refused(&answer, 400, "INVALID_REQUEST", &format!("{} {} {path}", world.db.engine, sample.id));
                }
            }
            let known: Vec<_> =
                registry().into_iter().filter(|other| other.path == operation.path).map(|other| other.method).collect();
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
                if known.contains(&method) {
                    continue;
                }
                let answer = sent(owner, method.clone(), &sample.path, None).await;
                refused(&answer, 405, "METHOD_NOT_ALLOWED", &format!("{method} {}", sample.path));
                assert!(answer.headers.contains_key("allow"), "{method} {}", sample.path);
            }
        }
        let strange = Method::from_bytes(b"PROPFIND").expect("a method");
        refused(&sent(&owner, strange, "/workspaces", None).await, 405, "METHOD_NOT_ALLOWED", "PROPFIND");
        for path in ["/nothing", "/workspaces/", "//workspaces", "/workspaces/%FF/nothing", "/WORKSPACES"] {
            for method in [Method::GET, Method::POST, Method::DELETE] {
                refused(&sent(&owner, method, path, None).await, 404, "ROUTE_NOT_FOUND", path);
            }
        }
        assert_eq!(state(&world.db), before);
        world
    });
}

#[test]
fn malformed_preconditions_and_queries_are_refused() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let (owner, before) = (world.owner(), state(&world.db));
        let secrets = fixture.fill("/workspaces/{id}/secrets");
        for (name, value) in [
            ("if-match", "1"),
            ("if-match", "\"x\""),
            ("if-match", "\"0\""),
            ("if-match", "\"-1\""),
            ("if-match", "W/\"1\""),
            ("if-match", "\"1\", \"2\""),
            ("if-match", "\"99999999999999999999\""),
            ("if-match", ""),
            ("if-none-match", "\"1\""),
            ("if-none-match", ""),
        ] {
            let actor = owner.with(name, value);
            let what = format!("{} {name}: {value}", world.db.engine);
            refused(&actor.set(&secrets[12..48], "HELD", VALUE).await, 400, "INVALID_REQUEST", &what);
            refused(&actor.delete(&format!("{secrets}/HELD")).await, 400, "INVALID_REQUEST", &what);
        }
        let both = owner.with("if-match", "*").with("if-none-match", "*");
        refused(&both.set(&secrets[12..48], "HELD", VALUE).await, 400, "INVALID_REQUEST", "both");
        let mut cases = vec![
            ("/approvals?state=maybe".to_owned(), 400, "INVALID_REQUEST"),
            ("/approvals?before=yesterday".to_owned(), 422, "INVALID_FIELD"),
            ("/approvals/pending?limit=many".to_owned(), 400, "INVALID_REQUEST"),
            (fixture.fill("/approvals/{approval}?wait=61"), 400, "INVALID_REQUEST"),
            (fixture.fill("/approvals/{approval}?wait=-1"), 400, "INVALID_REQUEST"),
            (fixture.fill("/approvals/{approval}?wait=1&wait=2"), 400, "INVALID_REQUEST"),
            ("/audit?order=random".to_owned(), 400, "INVALID_REQUEST"),
            ("/audit?from=yesterday".to_owned(), 422, "INVALID_FIELD"),
            ("/audit/export?after=-1".to_owned(), 400, "INVALID_REQUEST"),
            ("/audit/export?limit=0".to_owned(), 400, "INVALID_REQUEST"),
            ("/audit/export?after=99999999999999999999".to_owned(), 400, "INVALID_REQUEST"),
            ("/events?after=x".to_owned(), 400, "INVALID_REQUEST"),
            ("/events?since=1".to_owned(), 400, "INVALID_REQUEST"),
        ];
        for name in ["subject", "workspace_id", "key", "code", "event", "approval_id", "request_id"] {
            cases.push((format!("/audit?{name}=a%00b"), 400, "INVALID_REQUEST"));
            cases.push((format!("/audit?{name}=a&{name}=b"), 400, "INVALID_REQUEST"));
        }
        for (path, status, code) in cases {
            refused(&sent(&owner, Method::GET, &path, None).await, status, code, &path);
        }
        let resumed = owner.with("last-event-id", "not a position");
        refused(&resumed.get("/events").await, 400, "INVALID_REQUEST", "Last-Event-ID");
        // Odd but well-formed: extremes of a range are answered, not failed.
        for path in [
            "/audit?limit=9223372036854775807&after=-9223372036854775808",
            "/audit?limit=-9223372036854775808&order=desc",
            "/audit?after=9223372036854775807",
            "/audit?subject=%25_%27%22--&from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
            "/approvals?limit=-5",
            "/audit/export?after=9223372036854775807",
            "/audit/export?after=3&limit=9223372036854775807",
        ] {
            let answer = sent(&owner, Method::GET, path, None).await;
            assert!(answer.status < 500, "{path}: {}", answer.text);
        }
        assert_eq!(state(&world.db), before);
        world
    });
}

#[test]
fn large_headers_are_refused_and_malformed_heads_never_reach_a_handler() {
    each_engine(Config::default(), async |world| {
        let (owner, before) = (world.owner(), state(&world.db));
        for bytes in [17 * 1024, 40 * 1024] {
            let actor = owner.with("x-large", &"x".repeat(bytes));
            let answer = sent(&actor, Method::GET, "/workspaces", None).await;
            refused(&answer, 431, "HEADERS_TOO_LARGE", &format!("{bytes} bytes"));
        }
        let many: String = (0..90).map(|n| format!("x-{n}: {}\r\n", "x".repeat(250))).collect();
        let many =
            raw(&world, format!("GET /workspaces HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{many}\r\n").as_bytes())
                .await;
        assert_eq!((many.status, many.code().as_str()), (431, "HEADERS_TOO_LARGE"), "{}", many.text);
        // Beyond what is read at all, and where there is no request to answer, the HTTP layer answers without a body.
        let huge = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(1024 * 1024));
        let thousands: String = (0..5_000).map(|n| format!("x-{n}: y\r\n")).collect();
        for (what, bytes, statuses) in [
            ("a megabyte of header", huge.into_bytes(), vec![431, 0]),
            ("5,000 headers", format!("GET / HTTP/1.1\r\n{thousands}\r\n").into_bytes(), vec![431, 0]),
            ("no method", b"/workspaces HTTP/1.1\r\n\r\n".to_vec(), vec![400]),
            ("no version", b"GET /workspaces\r\n\r\n".to_vec(), vec![400]),
            ("another protocol", b"GET / GOPHER/1.0\r\n\r\n".to_vec(), vec![400]),
            ("a colon missing", b"GET / HTTP/1.1\r\nhost\r\n\r\n".to_vec(), vec![400]),
            ("a NUL in a header", b"GET / HTTP/1.1\r\nx: a\0b\r\n\r\n".to_vec(), vec![400]),
            ("a space before the colon", b"GET / HTTP/1.1\r\nhost : x\r\n\r\n".to_vec(), vec![400]),
            ("random bytes", vec![0x16, 0x03, 0x01, 0x02, 0x00, 0xff, 0xfe, b'\r', b'\n', b'\r', b'\n'], vec![400]),
            (
                "two lengths",
                b"POST /auth/login HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx".to_vec(),
                vec![400],
            ),
            (
                "a length that is no number",
                b"POST /auth/login HTTP/1.1\r\ncontent-length: x\r\n\r\n".to_vec(),
                vec![400],
            ),
            ("a chunk that is no number", chunked("zz\r\nxx\r\n"), vec![400]),
            ("a chunk larger than a number", chunked("fffffffffffffffff\r\n"), vec![400]),
        ] {
            let answer = tokio::time::timeout(HANG, raw(&world, &bytes)).await.expect(what);
            assert!(statuses.contains(&answer.status), "{what}: {} {}", answer.status, answer.text);
        }
        // The server is as it was.
        owner.get("/workspaces").await.status(200);
        assert_eq!(state(&world.db), before);
        world
    });
}

fn chunked(chunks: &str) -> Vec<u8> {
    let head = "POST /auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked";
    format!("{head}\r\n\r\n{chunks}").into_bytes()
}

#[test]
fn a_body_that_breaks_off_is_refused_and_a_slow_one_holds_up_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    each_engine(Config::default(), async |world| {
        let before = state(&world.db);
        let head =
            "POST /auth/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
        let mut slow = Vec::new();
        for _ in 0..50 {
            let mut stream =
                tokio::net::TcpStream::connect(world.url.trim_start_matches("http://")).await.expect("a connection");
            stream.write_all(head.as_bytes()).await.expect("the head is sent");
            slow.push(stream);
        }
        let answer = sent(&world.owner(), Method::GET, "/workspaces", None).await;
        answer.status(200);
        for mut stream in slow {
            stream.shutdown().await.expect("the end of sending");
            let mut text = String::new();
            tokio::time::timeout(HANG, stream.read_to_string(&mut text)).await.expect("an end").expect("text");
            // A connection that broke off may be closed without an answer; an answer is a refusal.
            assert!(text.is_empty() || text.starts_with("HTTP/1.1 400 "), "{text}");
        }
        assert_eq!(state(&world.db), before);
        world
    });
}

/// Members that some body takes and no sample has.
const OPTIONAL: [&str; 16] = [
    "expires_in_s",
    "expires_at",
    "description",
    "reason",
    "delivery",
    "scopes",
    "deliver_to",
    "version",
    "base_version",
    "groups",
    "note",
    "checklist",
    "parent_id",
    "runtime",
    "break_glass",
    "activate",
];

#[test]
fn every_member_of_every_body_at_its_extremes_is_answered_below_500() {
    each_engine(Config::default(), async |world| {
        let fixture = Fixture::new(&world).await;
        let extremes =
            || vec![json!("\0"), json!("x".repeat(3_000)), json!(i64::MIN), json!(i64::MAX), json!(0), json!(["\0"])];
        // A stream does not end; its body is read by what reads that of a send.
        for sample in with_body(&fixture).into_iter().filter(|sample| sample.id != "a2a_message_stream") {
            world.advance(60_000);
            let owner = probe::owner_again(&world).await;
            let members: Value = serde_json::from_slice(sample.body.as_deref().expect("a body")).expect("JSON");
            let members = members.as_object().expect("an object");
            let own = members.keys().map(String::as_str);
            for name in own.chain(OPTIONAL) {
                let mut values = extremes();
                // What is right but for a NUL somewhere: in a comment, where no grammar looks.
                if let Some(Value::String(text)) = members.get(name) {
                    values.push(json!(format!("{text}\0")));
                    values.push(json!(format!("{text} // \0")));
                }
                for value in values {
                    let mut body = members.clone();
                    body.insert(name.to_owned(), value.clone());
                    let body = Some(Value::Object(body).to_string().into_bytes());
                    let answer = sent(&owner, sample.method.clone(), &sample.path, body).await;
                    let what = format!("{} {} {name}={value:.40}", world.db.engine, sample.id);
                    assert!(answer.status < 500, "{what}: {}", answer.text);
                    if answer.status >= 400 {
                        problem(&answer, &[answer.refused_as()], &what);
                    }
                }
            }
        }
        world
    });
}

/// Any JSON, to a depth.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        proptest::collection::vec(any::<char>(), 0..12).prop_map(|chars| chars.into_iter().collect::<String>()),
        Just("\0".to_owned()),
        Just("018f0000-0000-7000-8000-000000000000".to_owned()),
        Just("9999-12-31T23:59:59Z".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// What is done to the sample request of every route.
#[derive(Debug, Clone)]
enum Twist {
    Bytes(Vec<u8>),
    Json(Value),
    /// The n-th member of the sample gets another value: everything else is right, so it gets furthest.
    Member(usize, Value),
    /// The n-th placeholder of the path.
    Path(usize, Vec<u8>),
    Query(&'static str, Vec<u8>),
    Header(&'static str, String),
}

fn any_twist() -> impl Strategy<Value = Twist> {
    // `wait` is not among them: it does what it says.
    let names = proptest::sample::select(vec![
        "dry_run", "limit", "after", "before", "from", "to", "state", "subject", "key", "order", "confirm", "event",
    ]);
    let headers =
        proptest::sample::select(vec!["if-match", "if-none-match", "idempotency-key", "last-event-id", "accept"]);
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        1 => bytes().prop_map(Twist::Bytes),
        1 => any_json().prop_map(Twist::Json),
        4 => (0..4usize, any_json()).prop_map(|(n, value)| Twist::Member(n, value)),
        1 => (0..2usize, bytes()).prop_map(|(n, bytes)| Twist::Path(n, bytes)),
        2 => (names, bytes()).prop_map(|(name, bytes)| Twist::Query(name, bytes)),
        1 => (headers, "[ -~]{0,20}").prop_map(|(name, text)| Twist::Header(name, text)),
    ]
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// Twisted requests at every route. The seed is fixed, so a failure comes again; the message holds the twist.
const ROUNDS: usize = 25;

#[test]
fn random_requests_at_every_route_are_answered_below_500_and_every_refusal_has_a_code() {
    each_engine(Config::default(), async |world| {
        let runs = Runs { failure_persistence: None, ..Runs::default() };
        let mut runner = TestRunner::new_with_rng(runs, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let fixture = Fixture::new(&world).await;
        let (mut refusals, mut answers) = (0, 0);
        for round in 0..ROUNDS {
            // Rounds end sessions and use up step-ups, as they may.
            world.advance(60_000);
            let owner = probe::owner_again(&world).await;
            for (operation, sample) in registry().into_iter().zip(fixture.requests(VALUE)) {
                let twist = any_twist().new_tree(&mut runner).expect("a twist").current();
                let (mut actor, mut path, mut body) = (owner.clone(), sample.path.clone(), sample.body.clone());
                if sample.id == "logout" || sample.id == "operator_update" {
                    actor = world.admin();
                }
                match &twist {
                    Twist::Bytes(bytes) => body = Some(bytes.clone()),
                    Twist::Json(value) => body = Some(value.to_string().into_bytes()),
                    Twist::Member(n, value) => {
                        if let Some(Value::Object(mut members)) =
                            body.as_deref().and_then(|body| serde_json::from_slice(body).ok())
                        {
                            let name = members.keys().nth(*n).cloned().unwrap_or_else(|| "reason".to_owned());
                            members.insert(name, value.clone());
                            body = Some(Value::Object(members).to_string().into_bytes());
                        }
                    }
                    Twist::Path(n, bytes) => {
                        let mut parts: Vec<&str> = operation.path.split('/').collect();
                        let encoded = percent(bytes);
                        let place = parts.iter_mut().filter(|part| part.starts_with('{')).nth(*n);
                        if let Some(place) = place {
                            *place = &encoded;
                        }
                        path = fixture.fill(&parts.join("/"));
                    }
                    Twist::Query(name, bytes) => path = format!("{path}?{name}={}", percent(bytes)),
                    Twist::Header(name, text) => actor = actor.with(name, text.trim()),
                }
                if sample.id == "events" {
                    // A stream without end: its head is the answer.
                    let status =
                        tokio::time::timeout(HANG, actor.open(&path)).await.expect("no hang").status().as_u16();
                    assert!(status < 500, "round {round} {}: {twist:?}", sample.id);
                    continue;
                }
                if ENDLESS.contains(&sample.id) {
                    // Twisted at length in `a2a/hostile.rs`.
                    continue;
                }
                let answer = sent(&actor, sample.method.clone(), &path, body).await;
                let what = format!("{} round {round} {} {twist:?}: {}", world.db.engine, sample.id, answer.text);
                assert!(answer.status < 500, "{what}");
                if answer.status >= 400 {
                    refusals += 1;
                    problem(&answer, &[answer.refused_as()], &what);
                } else {
                    answers += 1;
                }
            }
        }
        assert!(refusals > 300 && answers > 100, "{refusals} refusals and {answers} answers: not much was tried");
        world
    });
}
