//! The endpoint itself: who is let in, whose session it is, and what becomes of frames that are not what they should be.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod tools;
mod world;

use portcullis_authority::{Config, testkit_db};
use reqwest::Method;
use serde_json::{Value, json};
use tools::{LEGACY, MODERN, Tools, events, message};
use world::{Actor, World, each_engine};

/// A tool that changes something, as a frame of the older revision.
fn write(id: Value) -> Value {
    let params = json!({"name": "set_workspace_secret", "arguments": {"key": "K", "value": "v"}});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
}

fn modern(actor: &Actor, method: &str) -> Actor {
    actor
        .with("accept", "application/json, text/event-stream")
        .with("mcp-protocol-version", MODERN)
        .with("mcp-method", method)
}

#[test]
fn nobody_is_let_in_without_a_bearer_and_is_told_where_the_metadata_is() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let hello = message(1, "server/discover", json!({}));
        let workspace = format!("/workspaces/{child}/mcp");
        for path in ["/mcp", workspace.as_str()] {
            for (actor, code) in [
                (world.nobody(), "UNAUTHENTICATED"),
                (world.bearer("ptc_org_nothing"), "CREDENTIAL_INVALID"),
                (world.nobody().with("cookie", "portcullis=forged"), "CREDENTIAL_INVALID"),
            ] {
                let answer = modern(&actor, "server/discover").post(path, hello.clone()).await;
                answer.refused(401, code);
                let challenge = answer.headers["www-authenticate"].to_str().expect("text");
                let metadata =
                    format!("resource_metadata=\"{}/.well-known/oauth-protected-resource{path}\"", world.url);
                assert!(challenge.starts_with("Bearer ") && challenge.contains(&metadata), "{challenge}");
                let named = challenge.split('"').rev().nth(1).expect("a URL").trim_start_matches(&world.url).to_owned();
                let found = world.nobody().get(&named).await;
                assert_eq!(found.status(200).member("resource"), format!("{}{path}", world.url));
                assert_eq!(found.json["bearer_methods_supported"], json!(["header"]));
            }
        }
        // A console session is a person's; it is not a way in for programs.
        modern(&world.owner(), "server/discover").post("/mcp", hello.clone()).await.refused(403, "NOT_ENTITLED");
        // A token that is for something else altogether: all scopes that would help are named at once.
        let metrics = json!({"name": "metrics", "scopes": ["metrics:read"]});
        let token = world.org_token(&world.owner(), metrics).await;
        let answer = modern(&world.bearer(&token), "server/discover").post("/mcp", hello).await;
        answer.refused(403, "SCOPE_MISSING");
        let challenge = answer.headers["www-authenticate"].to_str().expect("text");
        assert!(
            challenge.contains("error=\"insufficient_scope\"") && challenge.contains("workspaces:read"),
            "{challenge}"
        );
        // The workspace in the path is a claim, and only its own agent's claim holds.
        let other = world.workspace("other").await;
        let stranger = world.agent_of(&other).await;
        modern(&stranger, "server/discover")
            .post(&workspace, message(1, "server/discover", json!({})))
            .await
            .refused(404, "NOT_FOUND");
        Tools::of(&stranger).at(&other).call("list_peers", json!({})).await.done();
        world
    });
}

#[test]
fn a_page_of_somebody_else_and_a_name_that_was_rebound_are_kept_out() {
    each_engine(Config::default(), |world| async move {
        let actor = modern(&world.admin(), "server/discover");
        let hello = || message(1, "server/discover", json!({}));
        let here = world.url.trim_start_matches("http://").to_owned();
        for (name, value) in [
            ("host", "evil.example.com"),
            ("host", "evil.example.com:80"),
            ("host", "localhost.evil.example.com"),
            // Found by the fuzzer: what parses as an authority and is no host and port.
            ("host", "a@localhost"),
            ("host", "[::1]:80a"),
            ("host", "[::1]a6=:80"),
            ("origin", "http://evil.example.com"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:1"),
        ] {
            let (answer, changed) = world.changed(actor.with(name, value).post("/mcp", hello())).await;
            answer.refused(403, "ORIGIN_REFUSED");
            assert!(changed.is_empty(), "{changed:?}");
        }
        actor.with("origin", &format!("http://{here}")).post("/mcp", hello()).await.status(200);
        let port = here.split(':').next_back().expect("a port");
        let by_name = actor.with("host", &format!("localhost:{port}"));
        by_name.post("/mcp", hello()).await.status(200);
        world
    });
}

#[test]
fn a_session_is_its_subjects_and_never_an_authentication() {
    each_engine(Config::default(), |world| async move {
        let (child, other) = (world.workspace("child").await, world.workspace("other").await);
        let (agent, stranger) = (world.agent_of(&child).await, world.agent_of(&other).await);
        let session = Tools::of(&agent).session().await;
        let peers = session.call("list_peers", json!({})).await;
        assert_eq!(events(peers.status(200)).last().expect("an answer")["id"], 7, "{}", peers.text);
        // Without a bearer, and with somebody else's.
        let (answer, changed) = world.changed(session.by(&world.nobody()).post(write(json!(1)))).await;
        answer.refused(401, "UNAUTHENTICATED");
        assert!(changed.is_empty(), "{changed:?}");
        for thief in [&stranger, &world.admin()] {
            let (answer, changed) = world.changed(session.by(thief).post(write(json!(1)))).await;
            answer.refused(404, "SESSION_NOT_FOUND");
            assert!(changed.is_empty(), "{changed:?}");
            session.by(thief).end().await.refused(404, "SESSION_NOT_FOUND");
            let listen = session.by(thief).actor.with("mcp-session-id", &session.id);
            listen.get("/mcp").await.refused(404, "SESSION_NOT_FOUND");
        }
        // Nor by what the request says it speaks.
        for revision in [MODERN, "2031-01-01", "zzzz"] {
            let thief =
                session.by(&stranger).actor.without("mcp-protocol-version").with("mcp-protocol-version", revision);
            let mut call = write(json!(1));
            call["params"]["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": revision});
            let thief = thief.with("mcp-session-id", &session.id);
            let (answer, changed) = world.changed(thief.post("/mcp", call)).await;
            answer.refused(404, "SESSION_NOT_FOUND");
            assert!(changed.is_empty(), "{changed:?}");
        }
        let hello =
            json!({"protocolVersion": MODERN, "capabilities": {}, "clientInfo": {"name": "thief", "version": "1"}});
        let hello = json!({"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": hello});
        let thief = session.by(&stranger).actor.without("mcp-protocol-version").with("mcp-protocol-version", MODERN);
        let answer = thief.with("mcp-session-id", &session.id).post("/mcp", hello).await;
        answer.refused(404, "SESSION_NOT_FOUND");
        // Nor another credential of the same agent: it may be a narrower one.
        let again = world.agent_of(&child).await;
        session.by(&again).call("list_peers", json!({})).await.refused(404, "SESSION_NOT_FOUND");
        // Ended is ended.
        assert!(session.end().await.status < 300);
        session.call("list_peers", json!({})).await.refused(404, "SESSION_NOT_FOUND");
        // A session that never was, and none at all.
        let mut forged = session.clone();
        forged.id = "0b8e7a5e-0000-4000-8000-000000000000".to_owned();
        forged.call("list_peers", json!({})).await.refused(404, "SESSION_NOT_FOUND");
        session.actor.post("/mcp", write(json!(1))).await.refused(400, "INVALID_REQUEST");
        world
    });
}

#[test]
fn a_bearer_that_is_revoked_in_the_middle_of_a_session_opens_nothing_more() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let minted = world.owner().post(&format!("/workspaces/{child}/tokens"), json!({})).await;
        let agent = world.bearer(&minted.status(201).member("auth_token"));
        let session = Tools::of(&agent).session().await;
        let listening = session.actor.with("mcp-session-id", &session.id);
        let mut stream = listening.open("/mcp").await;
        assert_eq!(stream.status(), 200);
        let path = format!("/workspaces/{child}/tokens/{}", minted.member("id"));
        world.owner().delete(&path).await.status(200);
        let (answer, changed) = world.changed(session.post(write(json!(1)))).await;
        answer.refused(401, "CREDENTIAL_REVOKED");
        assert!(changed.is_empty(), "{changed:?}");
        // The stream that is open ends by itself.
        let ended = async { while stream.chunk().await.expect("a stream").is_some() {} };
        tokio::time::timeout(std::time::Duration::from_secs(30), ended).await.expect("the stream ends");
        world
    });
}

#[test]
fn frames_that_are_not_what_they_should_be_get_an_error_and_do_nothing() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let agent = world.agent_of(&child).await;
        let session = Tools::of(&agent).session().await;
        let inside = session.actor.with("mcp-session-id", &session.id);
        let text = |value: &Value| value.to_string().into_bytes();
        let arguments = json!({"key": "K", "value": "v".repeat(1024 * 1024 + 1)});
        let large = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "set_workspace_secret", "arguments": arguments}});
        let deep = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{}1{}}}",
            "[".repeat(90),
            "]".repeat(90)
        );
        let bodies: Vec<(&str, Vec<u8>)> = vec![
            ("empty", Vec::new()),
            ("no JSON", b"tools/call".to_vec()),
            ("half a frame", text(&write(json!(1)))[..40].to_vec()),
            ("no UTF-8", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec()),
            ("a batch", text(&json!([write(json!(1)), write(json!(2))]))),
            ("an empty batch", b"[]".to_vec()),
            ("a scalar", b"7".to_vec()),
            ("a member twice", b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"method\":\"tools/call\",\"params\":{\"name\":\"set_workspace_secret\",\"arguments\":{\"key\":\"K\",\"value\":\"v\"}}}".to_vec()),
            ("too deep", deep.into_bytes()),
            ("too large", text(&large)),
            ("another JSON-RPC", text(&json!({"jsonrpc": "1.0", "id": 1, "method": "ping"}))),
            ("no method", text(&json!({"jsonrpc": "2.0", "id": 1}))),
            ("an id that is an object", text(&write(json!({"a": 1})))),
            ("an id that is null", text(&write(Value::Null))),
            ("an unknown method", text(&json!({"jsonrpc": "2.0", "id": 1, "method": "secrets/reveal"}))),
            ("an unknown tool", text(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "reveal_secret", "arguments": {}}}))),
            ("arguments that are a list", text(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "set_workspace_secret", "arguments": [1]}}))),
            ("a reply that nobody asked for", text(&json!({"jsonrpc": "2.0", "id": 99, "result": {}}))),
        ];
        for (what, body) in bodies {
            for actor in [&inside, &modern(&agent, "tools/call").with("mcp-name", "set_workspace_secret")] {
                let (answer, changed) = world.changed(actor.send(Method::POST, "/mcp", Some(body.clone()))).await;
                assert!(changed.is_empty(), "{what}: {changed:?}: {}", answer.text);
                assert!(answer.status < 500, "{what}: {} {}", answer.status, answer.text);
                let answered = events(&answer);
                let error = answered.last().unwrap_or(&answer.json);
                let defined =
                    error["error"]["code"].is_i64() || error["code"].is_string() || error["result"]["isError"] == true;
                assert!(defined || answer.status == 202, "{what}: {} {}", answer.status, answer.text);
            }
        }
        // And the session goes on.
        session.call("list_peers", json!({})).await.status(200);
        world
    });
}

#[test]
fn heads_that_contradict_the_frame_are_refused() {
    each_engine(Config::default(), |world| async move {
        let child = world.workspace("child").await;
        let agent = world.agent_of(&child).await;
        let call = || {
            message(1, "tools/call", json!({"name": "set_workspace_secret", "arguments": {"key": "K", "value": "v"}}))
        };
        let right = modern(&agent, "tools/call").with("mcp-name", "set_workspace_secret");
        for (what, actor) in [
            ("another tool", right.without("mcp-name").with("mcp-name", "list_peers")),
            ("no tool", right.without("mcp-name")),
            ("another method", right.without("mcp-method").with("mcp-method", "tools/list")),
            ("no method", right.without("mcp-method")),
            ("another revision", right.without("mcp-protocol-version").with("mcp-protocol-version", LEGACY)),
            (
                "an unheard-of revision",
                right.without("mcp-protocol-version").with("mcp-protocol-version", "2031-01-01"),
            ),
        ] {
            let (answer, changed) = world.changed(actor.post("/mcp", call())).await;
            assert_eq!(answer.status, 400, "{what}: {}", answer.text);
            assert!(changed.is_empty(), "{what}: {changed:?}");
        }
        for (what, actor, status, code) in [
            ("no accept", right.without("accept").with("accept", "text/html"), 406, "NOT_ACCEPTABLE"),
            ("another media type", right.with("content-type", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ] {
            let (answer, changed) = world.changed(actor.post("/mcp", call())).await;
            answer.refused(status, code);
            assert!(changed.is_empty(), "{what}: {changed:?}");
        }
        // The stateless revision has no stream to listen on and no session to end.
        right.get("/mcp").await.refused(405, "METHOD_NOT_ALLOWED");
        right.delete("/mcp").await.refused(405, "METHOD_NOT_ALLOWED");
        right.put("/mcp", json!({})).await.refused(405, "METHOD_NOT_ALLOWED");
        right.post("/mcp", call()).await.status(200);
        world
    });
}

#[test]
fn a_server_that_stops_does_not_wait_for_those_who_listen() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for db in testkit_db::databases() {
        runtime.block_on(async {
            let world = World::on(db, Config::default()).await;
            let root = Tools::of(&world.admin());
            let session = root.session().await;
            let mut stream = session.actor.with("mcp-session-id", &session.id).open("/mcp").await;
            let held = root.call("mint_org_token", json!({"name": "x"})).await.held();
            let wait = json!({"name": "wait_for_request", "arguments": {"approval_id": held}});
            let waiting = tokio::spawn(async move { root.rpc("tools/call", wait).await });
            // The stream has a place, and whoever waits has one: only then is there something to be cut off.
            let both = || async { world.admin().get("/metrics").await.text.contains("\nportcullis_waits 2\n") };
            while !both().await {}
            drop(world.stop().await);
            while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {}
            waiting.await.expect("whoever waited was answered");
        });
    }
}
