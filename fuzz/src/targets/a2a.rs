//! Bodies of A2A clients, in both revisions of the protocol.

#[path = "../../../crates/service/src/a2a/content.rs"]
mod content;
#[path = "../../../crates/service/src/a2a/error.rs"]
#[expect(dead_code, reason = "the errors of what comes after the reading")]
mod error;
#[path = "../../../crates/service/src/a2a/request.rs"]
mod received;
#[path = "../../../crates/service/src/a2a/predecessor.rs"]
mod sent;

use a2a::{CancelTaskRequest, GetTaskRequest, ListTasksRequest, SubscribeToTaskRequest};
use serde_json::Value;

use super::quotes_nothing;

/// Names of the protocol as long as a short secret, which a message may say.
const NAMES: [&str; 2] = ["historyLength", "acceptedOutputModes"];

/// What is answered: an error of the protocol, which quotes nothing of `input`.
fn refused(fault: &error::Fault, input: &str) {
    let answer = fault.rpc("");
    assert!(answer["code"].as_i64().is_some_and(|code| code < 0), "no error of the protocol: {answer}");
    let said = answer["message"].as_str().expect("a message");
    quotes_nothing(&NAMES.iter().fold(said.to_owned(), |said, name| said.replace(name, "")), input);
}

pub(super) fn request(data: &[u8]) {
    let input = String::from_utf8_lossy(data);
    let id = received::identified(data);
    let request = match received::Request::read(data) {
        Ok(request) => request,
        Err(fault) => return refused(&fault, &input),
    };
    assert_eq!(request.id.unwrap_or_default(), id, "an answer goes to another request");
    assert!(request.params.is_object());
    let _ = request.method;
    match content::incoming(&request.params) {
        Ok(incoming) => {
            assert!(!incoming.message_id.is_empty(), "two messages could be one");
            let empty = Some(String::new());
            assert!(incoming.context_id != empty && incoming.task_id != empty);
            assert!(incoming.history_length.is_none_or(|length| length >= 0));
            let _ = incoming.immediate;
            // What an agent is given is the text of the parts, and there is no other content.
            let parts = request.params["message"]["parts"].as_array().expect("parts");
            let texts: Vec<&str> = parts.iter().map(|part| part["text"].as_str().expect("a text")).collect();
            assert_eq!(incoming.text, texts.join("\n"));
        }
        Err(fault) => refused(&fault, &input),
    }
    let others = [
        content::read::<GetTaskRequest>(&request.params).and_then(|get| content::no_tenant(get.tenant)),
        content::read::<ListTasksRequest>(&request.params)
            .and_then(|list| content::history_length(list.history_length).and(content::no_tenant(list.tenant))),
        content::read::<CancelTaskRequest>(&request.params).and_then(|cancel| content::no_tenant(cancel.tenant)),
        content::read::<SubscribeToTaskRequest>(&request.params).map(drop),
    ];
    others.iter().filter_map(|read| read.as_ref().err()).for_each(|fault| refused(fault, &input));
}

pub(super) fn predecessor(data: &[u8]) {
    let input = String::from_utf8_lossy(data);
    match sent::Sent::read(data) {
        Err(refusal) => quotes_nothing(&refusal.reason, &input),
        Ok(sent::Sent { id, what }) => {
            let whole: Value = serde_json::from_slice(data).expect("the other reader reads it");
            assert!(id.is_none() || whole.get("id").is_some(), "an id that nobody sent");
            match what {
                sent::What::Other(fault) => refused(&fault, &input),
                sent::What::Message(message) => {
                    let empty = Some(String::new());
                    assert!(message.message_id != empty && message.context_id != empty);
                    let params = if whole.get("method").is_some() { &whole["params"] } else { &whole };
                    let parts = params["message"]["parts"].as_array().expect("parts");
                    let texts: Vec<&str> = parts.iter().map(|part| part["text"].as_str().expect("a text")).collect();
                    assert_eq!(message.text, texts.join("\n"));
                    let blocking = params["configuration"]["blocking"].as_bool().unwrap_or(true);
                    assert_eq!(message.blocking, blocking);
                }
            }
        }
    }
}
