//! Cards: whose they are, who gets them, and what stands in them.

use crate::scene::{Stream, Unit, failed, message};
use crate::world::each_engine;
use portcullis_authority::Config;
use serde_json::json;

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
