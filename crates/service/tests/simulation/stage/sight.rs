//! What can be seen of the server, and the same of a model.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_authority::clock::parse_rfc3339;
use reqwest::Method;
use serde_json::{Value, json};

use super::{OBSERVER, Stage, member};
use crate::{
    model::{Life, Model, Subject, Value as Stored},
    step::{Place, ROLES},
};

/// The events that a model speaks of begin so.
const TOLD: [&str; 10] = [
    "secret.",
    "approval.",
    "token.",
    "workspace.",
    "policy.",
    "message.",
    "turn.",
    "claim.",
    "environment.",
    "operator.",
];
/// How the state of a workspace is told.
const UNIT: &str = "(generation, paused, queued, in a turn)";

/// What was seen, by what it is about.
pub type Observed = BTreeMap<String, Value>;

impl Stage {
    /// The names of the audit events since the last time, of those a model speaks of.
    pub async fn events(&mut self) -> Option<Vec<String>> {
        let mut names = Vec::new();
        loop {
            let path = format!("/audit?order=asc&limit=1000&after={}", self.heard);
            let (status, json) = self.send(OBSERVER, Method::GET, &path, &[], None).await?;
            let events = json["events"].as_array().filter(|_| status == 200)?.clone();
            let Some(last) = events.last() else { break };
            self.heard = last["seq"].as_i64().or_else(|| last["audit_id"].as_i64()).or_else(|| last["id"].as_i64())?;
            names.extend(events.iter().map(|event| member(event, "event")));
            if events.len() < 1000 {
                break;
            }
        }
        let told = |name: &String| TOLD.iter().any(|begin| name.starts_with(begin)) && name != "workspace.status";
        names.retain(told);
        Some(names)
    }

    /// What is different from the model, in words; `None` if the server could not be asked.
    pub async fn differences(&self, model: &Model) -> Option<Vec<String>> {
        let (seen, want) = (self.observe().await?, self.expect(model));
        let all: BTreeSet<&String> = seen.keys().chain(want.keys()).collect();
        let differ = all.into_iter().filter(|what| seen.get(*what) != want.get(*what));
        let null = Value::Null;
        let text = |what: &String| {
            let (seen, want) = (seen.get(what).unwrap_or(&null), want.get(what).unwrap_or(&null));
            format!("{what}: the server has {seen}, the model {want}")
        };
        Some(differ.map(text).collect())
    }

    /// Everything that can be seen and that a model has an opinion about.
    pub async fn observe(&self) -> Option<Observed> {
        let mut seen = Observed::new();
        let all = self.look("/workspaces").await?;
        for (label, id) in &self.spaces {
            let one = all.as_array()?.iter().find(|one| one["id"] == id.as_str() && one["status"] != "removed");
            let Some(one) = one else { continue };
            let generation = one["desired_generation"].as_i64().unwrap_or_default() - self.first[label];
            let (paused, works) = (one["desired_state"] == "paused", one["turn_since"].is_string());
            seen.insert(format!("w{label} {UNIT}"), json!([generation, paused, one["queued"], works]));
            seen.insert(format!("secrets of w{label}"), self.list(Place::Space(*label)).await?);
        }
        seen.insert("secrets of org".to_owned(), self.list(Place::Org).await?);
        let asks = self.look("/approvals?limit=200").await?;
        for (label, id) in &self.asks {
            let one = asks.as_array()?.iter().find(|one| one["id"] == id.as_str())?;
            let mut votes: Vec<&str> =
                one["votes"].as_array()?.iter().filter_map(|vote| vote["decision"].as_str()).collect();
            votes.sort_unstable();
            seen.insert(format!("request {label}"), json!([one["status"], votes]));
        }
        seen.insert("requests".to_owned(), asks.as_array()?.len().into());
        for one in self.look("/operators").await?.as_array()? {
            if let Some((name, _)) =
                self.operators.iter().find(|(name, id)| *name != OBSERVER && one["id"] == id.as_str())
            {
                seen.insert(format!("operator {name}"), json!([one["role"], one["disabled"]]));
            }
        }
        for one in self.look("/org/tokens").await?["tokens"].as_array()? {
            if let Some((name, _)) = self.tokens.iter().find(|(_, id)| one["id"] == id.as_str()) {
                let end = one["expires_at"].as_str().and_then(parse_rfc3339).filter(|_| name.starts_with('t'));
                seen.insert(format!("token {name}"), json!([one["revoked_at"].is_string(), end.map(|end| end.0)]));
            }
        }
        Some(seen)
    }

    /// The same of a model.
    pub fn expect(&self, model: &Model) -> Observed {
        let mut want = Observed::new();
        for (label, space) in model.spaces.iter().filter(|(_, space)| !space.removed) {
            let unit = json!([space.generation, space.paused, space.queue.len(), space.turn.is_some()]);
            want.insert(format!("w{label} {UNIT}"), unit);
            want.insert(format!("secrets of w{label}"), wanted(model, Place::Space(*label)));
        }
        want.insert("secrets of org".to_owned(), wanted(model, Place::Org));
        for ask in model.asks.iter().filter(|ask| self.asks.contains_key(&ask.label)) {
            let mut votes: Vec<&str> = ask.votes.values().map(|yes| if *yes { "approved" } else { "denied" }).collect();
            votes.sort_unstable();
            want.insert(format!("request {}", ask.label), json!([ask.state, votes]));
        }
        want.insert("requests".to_owned(), model.asks.len().into());
        for (name, rank, disabled) in model.operators() {
            want.insert(format!("operator {name}"), json!([ROLES[usize::from(rank)], disabled]));
        }
        for (name, revoked, end) in model.listed_tokens().filter(|(name, ..)| self.tokens.contains_key(*name)) {
            want.insert(format!("token {name}"), json!([revoked, end]));
        }
        want
    }

    /// The secrets of a place, as [`wanted`] says them of a model.
    pub async fn list(&self, place: Place) -> Option<Value> {
        let path = match place {
            Place::Org => "/settings/secrets".to_owned(),
            Place::Space(space) => format!("/workspaces/{}/secrets", self.spaces[&space]),
        };
        listed(&self.look(&path).await?)
    }

    async fn look(&self, path: &str) -> Option<Value> {
        let (status, json) = self.send(OBSERVER, Method::GET, path, &[], None).await?;
        (status == 200).then_some(json)
    }

    /// Whether a token that was delivered speaks for whom the model says, in words where it does not.
    async fn speaks(&self, model: &Model, name: &str, token: &str) -> Option<String> {
        let (lives, Subject::Agent(home)) = model.token(name)? else { return Some(format!("{name} is no agent's")) };
        let path = format!("{}/workspaces/{}/secrets", self.url, self.spaces[home]);
        let answer = self.client.get(path).bearer_auth(token).send().await.ok()?;
        let (status, want) = (answer.status().as_u16(), if lives { 200 } else { 401 });
        (status != want).then(|| format!("{name} is answered {status}, by the model {want}"))
    }

    /// The values that each workspace is given, against the model's. Each pull is a recorded deed.
    pub async fn values(&self, model: &Model) -> Vec<String> {
        let mut found = Vec::new();
        for label in 0..4 {
            let path = format!("/workspaces/{}/secrets/values", self.spaces[&label]);
            let Some((200, seen)) = self.send(&format!("w{label}"), Method::GET, &path, &[], None).await else {
                continue;
            };
            let mut want = serde_json::Map::new();
            for place in [Place::Org, Place::Space(label)] {
                let all = model.secrets.iter().filter(|((at, _), _)| *at == place);
                for ((_, key), value) in all.filter_map(|(at, secret)| Some((at, secret.value()?))) {
                    let value = match value {
                        Stored::Number(value) => format!("value number {value}"),
                        Stored::Token(minted) => {
                            let token = seen[key].as_str().unwrap_or_default();
                            found.extend(self.speaks(model, &format!("t{minted}"), token).await);
                            token.to_owned()
                        }
                    };
                    want.insert(key.clone(), value.into());
                }
            }
            if seen != Value::Object(want.clone()) {
                found.push(format!("w{label} is given {seen}, by the model {}", Value::Object(want)));
            }
        }
        found
    }
}

/// A list of secrets as key, life, latest, active, origin.
fn listed(list: &Value) -> Option<Value> {
    let line =
        |one: &Value| json!([one["key"], one["state"], one["latest_version"], one["active_version"], one["origin"]]);
    let mut lines: Vec<Value> = list.as_array()?.iter().map(line).collect();
    lines.sort_by_key(ToString::to_string);
    Some(lines.into())
}

/// The same of the model.
pub fn wanted(model: &Model, place: Place) -> Value {
    let of = |at: Place| model.secrets.iter().filter(move |((place, _), _)| *place == at);
    let given =
        |at: Place, key: &String| model.secrets.get(&(at, key.clone())).is_some_and(|one| one.value().is_some());
    let mut lines = Vec::new();
    for ((_, key), secret) in of(place) {
        let life = match secret.life {
            Life::Slot => "slot",
            Life::Live => "live",
            Life::Deleted => "deleted",
        };
        let over = place != Place::Org && given(place, key) && given(Place::Org, key);
        let origin = if over { "overriding" } else { "own" };
        lines.push(json!([key, life, secret.latest, secret.active, origin]));
    }
    if place != Place::Org {
        for ((_, key), secret) in of(Place::Org).filter(|((_, key), _)| given(Place::Org, key) && !given(place, key)) {
            lines.push(json!([key, "live", secret.latest, secret.active, "inherited"]));
        }
    }
    lines.sort_by_key(ToString::to_string);
    lines.into()
}
