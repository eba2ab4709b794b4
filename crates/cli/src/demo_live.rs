//! The living part of the demo: the root agent is in a turn while the incident is replayed, and a change that a human
//! agreed to reaches an agent at the end of its turn, not in the middle of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Call, Client, path};
use crate::context::Context;
use crate::error::Error;

/// How long the root's turn takes: longer than the replay.
const TURN_S: u32 = 20;
/// How long anything may take before the demo says that it did not happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What an agent was when the incident began.
pub struct Before {
    root: String,
    boot: String,
    message: String,
}

async fn until(what: &str, mut look: impl AsyncFnMut() -> Result<Option<Value>, Error>) -> Result<Value, Error> {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            tokio::time::sleep(LOOK).await;
        }
    });
    waited.await.unwrap_or_else(|_| Err(Error::fault(format!("this did not happen in time: {what}"))))
}

/// Waits until the workspace's agent answers.
pub async fn online(client: &Client, id: &str) -> Result<(), Error> {
    let at = path(&["workspaces", id]);
    let look = async || {
        let workspace = client.json(&Call::get(at.as_str())).await?;
        Ok((workspace["status"] == "online").then_some(workspace))
    };
    until("an agent comes online", look).await.map(drop)
}

async fn boot(client: &Client, id: &str) -> Result<String, Error> {
    let runs = client.json(&Call::get(path(&["workspaces", id, "runs"]))).await?;
    Ok(runs[0]["boot_id"].as_str().unwrap_or_default().to_owned())
}

async fn send(client: &Client, id: &str, text: &str) -> Result<String, Error> {
    let sent = client.json(&Call::post(path(&["workspaces", id, "messages"]), &json!({"text": text}))).await?;
    Ok(sent["id"].as_str().unwrap_or_default().to_owned())
}

async fn reply(client: &Client, id: &str, message: &str) -> Result<Value, Error> {
    let at = path(&["workspaces", id, "messages", message]);
    let look = async || {
        let message = client.json(&Call::get(at.as_str())).await?;
        Ok(matches!(message["status"].as_str(), Some("completed" | "failed")).then_some(message))
    };
    until("an agent replies", look).await
}

async fn in_turn(client: &Client, id: &str) -> Result<(), Error> {
    let at = path(&["workspaces", id]);
    let look = async || {
        let workspace = client.json(&Call::get(at.as_str())).await?;
        Ok((!workspace["turn_since"].is_null()).then_some(workspace))
    };
    until("an agent begins its turn", look).await.map(drop)
}

/// Puts the root agent into a turn.
pub async fn busy_root(context: &Context, client: &Client, root: &str) -> Result<Before, Error> {
    online(client, root).await?;
    let message = send(client, root, &format!("/sleep {TURN_S}")).await?;
    in_turn(client, root).await?;
    context.output.note("the root agent is in a turn; now the incident is replayed against it");
    Ok(Before { root: root.to_owned(), boot: boot(client, root).await?, message })
}

/// Looks whether the root agent ended its turn as if nothing had been.
pub async fn unharmed(context: &Context, client: &Client, before: &Before) -> Result<bool, Error> {
    let message = reply(client, &before.root, &before.message).await?;
    let same = boot(client, &before.root).await? == before.boot;
    let completed = message["status"] == "completed";
    context.output.note(&match (completed, same) {
        (true, true) => "the root agent ended its turn normally and was never restarted".to_owned(),
        _ => format!("the root agent did not survive: turn {}, same run: {same}", message["status"]),
    });
    Ok(completed && same)
}

/// A change to an agent that is busy: it is drained, restarted after its turn, and told why.
pub async fn drained(context: &Context, client: &Client, id: &str, name: &str) -> Result<bool, Error> {
    online(client, id).await?;
    let before = boot(client, id).await?;
    let turn = send(client, id, "/sleep 3").await?;
    in_turn(client, id).await?;
    let secret = json!({"key": "API_BASE", "value": "https://api.demo.example/v2"});
    client.json(&Call::post(path(&["workspaces", id, "secrets"]), &secret)).await?;
    context.output.note(&format!("an operator changed a secret of {name}, which is in a turn: it drains"));
    let asked = send(client, id, "/env API_BASE").await?;
    let (turn, answer) = (reply(client, id, &turn).await?, reply(client, id, &asked).await?);
    let after = boot(client, id).await?;
    let told = client.json(&Call::get(path(&["workspaces", id, "restart-context"]))).await?;
    let has_it = answer["reply"].as_str().is_some_and(|reply| reply.starts_with("set "));
    let good = turn["status"] == "completed" && has_it && after != before && told["changed"][0]["key"] == "API_BASE";
    context.output.note(&if good {
        format!("{name} ended its turn, was restarted, was told that API_BASE changed, and then took the next message")
    } else {
        format!("{name} did not come through: {turn} {answer} {told}")
    });
    Ok(good)
}
