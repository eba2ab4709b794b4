//! Twisted requests at the A2A endpoint: never an internal error, never a hang, and never a row unless the request was good.

use crate::scene::{Unit, at_once, message};
use crate::world::World;
use portcullis_authority::{Config, testkit_db::TestDb};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as Runs, RngAlgorithm, TestRng, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};

/// The seed is fixed, so a failure comes again; the message holds the request.
const ROUNDS: usize = 1_500;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        proptest::sample::select(vec!["2.0", "ROLE_USER", "TASK_STATE_WORKING", "1.0", "\u{0}"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-zA-Z]{1,8}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Places of a good request where something else is put.
const PLACES: [&str; 14] = [
    "/jsonrpc",
    "/id",
    "/method",
    "/params",
    "/params/message",
    "/params/message/messageId",
    "/params/message/role",
    "/params/message/parts",
    "/params/message/parts/0",
    "/params/message/parts/0/text",
    "/params/message/taskId",
    "/params/message/contextId",
    "/params/id",
    "/params/pageSize",
];

#[derive(Debug)]
enum Request {
    Twisted(&'static str, &'static str, Value),
    Json(Value),
    Bytes(Vec<u8>),
}

fn any_request() -> impl Strategy<Value = Request> {
    let method = proptest::sample::select(vec!["SendMessage", "GetTask", "ListTasks", "CancelTask", "SubscribeToTask"]);
    let place = proptest::sample::select(PLACES.to_vec());
    prop_oneof![
        8 => (method, place, any_json()).prop_map(|(method, place, value)| Request::Twisted(method, place, value)),
        1 => any_json().prop_map(Request::Json),
        1 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Request::Bytes),
    ]
}

fn body(request: &Request) -> Vec<u8> {
    match request {
        Request::Bytes(bytes) => bytes.clone(),
        Request::Json(value) => value.to_string().into_bytes(),
        Request::Twisted(method, place, value) => {
            let mut params = at_once(message("m-1", "hello"));
            params["id"] = "01890a5d-ac96-774b-bcce-b302099a8057".into();
            let mut good = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            good["params"]["pageSize"] = 1.into();
            good["params"]["message"]["taskId"] = "".into();
            good["params"]["message"]["contextId"] = "c".into();
            if let Some(at) = good.pointer_mut(place) {
                *at = value.clone();
            }
            good.to_string().into_bytes()
        }
    }
}

#[test]
fn twisted_requests_are_answered_without_a_fault_and_leave_only_what_was_taken() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::on(TestDb::sqlite(), Config::default()).await;
        let unit = Unit::new(&world, "one").await;
        let owner = world.owner().with("a2a-version", "1.0");
        let runs = Runs { failure_persistence: None, ..Runs::default() };
        let mut runner = TestRunner::new_with_rng(runs, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let (mut errors, mut taken) = (0, 0);
        for round in 0..ROUNDS {
            let request = any_request().new_tree(&mut runner).expect("a request").current();
            let (bytes, rows) = (body(&request), world.db.integer("SELECT COUNT(*) FROM messages"));
            let path = unit.path("a2a");
            let sent = owner.send(Method::POST, &path, Some(bytes));
            let answer = tokio::time::timeout(std::time::Duration::from_secs(20), sent).await;
            let answer = answer.unwrap_or_else(|_| panic!("round {round} hangs: {request:?}"));
            let what = format!("round {round} {request:?}: {} {}", answer.status, answer.text);
            let new = world.db.integer("SELECT COUNT(*) FROM messages") - rows;
            match answer.status {
                204 => {}
                200 if answer.json["error"].is_object() => {
                    errors += 1;
                    assert_eq!(new, 0, "a row of a refused request: {what}");
                    let code = answer.json["error"]["code"].as_i64().expect(&what);
                    assert!(code != -32603 && !(500..600).contains(&code), "{what}");
                    assert!(answer.json["error"]["data"][1]["code"].is_string(), "{what}");
                }
                200 => taken += 1,
                _ => panic!("{what}"),
            }
        }
        assert!(errors > ROUNDS / 3 && taken > 50, "{errors} errors and {taken} results: not much was tried");
        drop(world.stop().await);
    });
}
