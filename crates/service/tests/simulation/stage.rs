//! The running server as a history sees it: sends each step as the request it is, and reads back, through the routes, what
//! the model has an opinion about.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    model::{Life, Model, Reply},
    step::{Act, Base, Change, Label, Place, Step, Work, Write},
};

/// The password of every operator of a stage.
pub const PASSWORD: &str = "correct horse battery staple";
/// What an added policy says; `{}` is how many approvers.
const RULE: &str = "@hold(\"role:approver={}\")\n@reason(\"ruled\")\nforbid (principal, action == \
                    Action::\"secret.set\", resource) unless { context.approved };";
/// The events that a model speaks of begin so.
const TOLD: [&str; 9] =
    ["secret.", "approval.", "token.", "workspace.", "policy.", "message.", "turn.", "claim.", "environment."];

/// How the state of a workspace is told.
const UNIT: &str = "(generation, paused, queued, in a turn)";

/// What was seen, by what it is about.
pub type Observed = BTreeMap<String, Value>;

type Headers = Vec<(String, String)>;

/// Method, path, headers and body.
type Asked = (Method, String, Vec<(&'static str, String)>, Option<Value>);

/// What a step was answered: `None` if the server went away before it had answered.
pub type Seen = Option<Reply>;

/// One organisation behind one URL, or several.
#[derive(Clone)]
pub struct Stage {
    pub url: String,
    client: reqwest::Client,
    credentials: BTreeMap<String, Headers>,
    spaces: BTreeMap<Label, String>,
    /// The generation each workspace had when it came into being.
    first: BTreeMap<Label, i64>,
    pub asks: BTreeMap<Label, String>,
    tokens: BTreeMap<String, String>,
    rules: BTreeMap<Label, String>,
    messages: BTreeMap<Label, String>,
    turns: BTreeMap<Label, String>,
    /// The last audit event that was seen.
    heard: i64,
}

fn bearer(token: &str) -> Headers {
    vec![("authorization".to_owned(), format!("Bearer {token}"))]
}

fn member(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {json}")).to_owned()
}

impl Stage {
    /// Sets the scene of [`Model::new`]: workspaces, operators and tokens, as `owner`, who has stepped up.
    pub async fn set(url: &str, admin: &str, owner: Headers) -> Self {
        let mut stage = Self {
            url: url.to_owned(),
            client: reqwest::Client::new(),
            credentials: BTreeMap::new(),
            spaces: BTreeMap::new(),
            first: BTreeMap::new(),
            asks: BTreeMap::new(),
            tokens: BTreeMap::new(),
            rules: BTreeMap::new(),
            messages: BTreeMap::new(),
            turns: BTreeMap::new(),
            heard: 0,
        };
        stage.credentials.insert("owner".to_owned(), owner);
        stage.credentials.insert("admin".to_owned(), bearer(admin));
        stage.credentials.insert("nobody".to_owned(), Vec::new());
        stage.credentials.insert("forged".to_owned(), vec![("cookie".to_owned(), "portcullis=forged".to_owned())]);
        let root = stage.must("/workspaces", None).await;
        let root = root.as_array().and_then(|all| all.first()).expect("the root");
        stage.spaces.insert(0, member(root, "id"));
        stage.first.insert(0, root["desired_generation"].as_i64().expect("a generation"));
        for (label, parent) in [(1, 0), (2, 0), (3, 1)] {
            let body = json!({"name": format!("w{label}"), "parent_id": stage.spaces[&parent]});
            let made = stage.must("/workspaces", Some(body)).await;
            stage.spaces.insert(label, member(&made, "id"));
            stage.first.insert(label, 1);
        }
        for (name, role) in [
            ("approver", "approver"),
            ("second", "approver"),
            ("plain", "approver"),
            ("member", "member"),
            ("auditor", "auditor"),
        ] {
            let email = format!("{name}@example.org");
            stage.must("/operators", Some(json!({"email": email, "password": PASSWORD, "role": role}))).await;
            let session = stage.log_in(&email).await;
            stage.credentials.insert(name.to_owned(), session);
            if name != "plain" {
                let stepped = stage.send(name, Method::POST, "/auth/step-up", &[], Some(json!({"password": PASSWORD})));
                assert_eq!(stepped.await.expect("an answer").0, 200);
            }
        }
        for label in 0..4 {
            for name in [format!("w{label}"), format!("w{label}b")] {
                let path = format!("/workspaces/{}/tokens", stage.spaces[&label]);
                stage.hand_out(&name, &path, json!({})).await;
            }
        }
        for (name, unattended) in [("service", true), ("attended", false), ("revoked", true)] {
            stage.hand_out(name, "/org/tokens", json!({"name": name, "unattended": unattended})).await;
        }
        let path = format!("/org/tokens/{}", stage.tokens["revoked"]);
        let gone = stage.send("owner", Method::DELETE, &path, &[], None).await;
        assert_eq!(gone.expect("an answer").0, 200);
        stage.events().await.expect("a log");
        stage
    }

    async fn log_in(&self, email: &str) -> Headers {
        let body = json!({"email": email, "password": PASSWORD}).to_string();
        let request = self.client.post(format!("{}/auth/login", self.url)).body(body);
        let answer = request.header("content-type", "application/json").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let cookie = answer.headers()["set-cookie"].to_str().expect("a cookie").split(';').next().expect("a pair");
        let cookie = ("cookie".to_owned(), cookie.to_owned());
        let text = answer.text().await.expect("text");
        let body: Value = serde_json::from_str(&text).expect("JSON");
        vec![cookie, ("x-csrf-token".to_owned(), member(&body, "csrf_token"))]
    }

    async fn hand_out(&mut self, name: &str, path: &str, body: Value) {
        let minted = self.must(path, Some(body)).await;
        self.tokens.insert(name.to_owned(), member(&minted, "id"));
        self.credentials.insert(name.to_owned(), bearer(&member(&minted, "auth_token")));
    }

    /// As the owner, and it succeeds.
    async fn must(&self, path: &str, body: Option<Value>) -> Value {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        let (status, json) = self.send("owner", method, path, &[], body).await.expect("an answer");
        assert!((200..300).contains(&status), "{path}: {status} {json}");
        json
    }

    async fn send(
        &self,
        who: &str,
        method: Method,
        path: &str,
        more: &[(&str, String)],
        body: Option<Value>,
    ) -> Option<(u16, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in &self.credentials[who] {
            request = request.header(name, value);
        }
        for (name, value) in more {
            request = request.header(*name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status().as_u16();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// The request that a step is. `None`: what it speaks of was never made here.
    fn request(&self, act: &Act) -> Option<Asked> {
        let at = |place: Place| match place {
            Place::Org => Some("/settings/secrets".to_owned()),
            Place::Space(space) => Some(format!("/workspaces/{}/secrets", self.spaces.get(&space)?)),
        };
        let space = |label: &Label| self.spaces.get(label).map(|id| format!("/workspaces/{id}"));
        let plain = |method: Method, path: String| Some((method, path, Vec::new(), None));
        let posted = |path: String, body: Value| Some((Method::POST, path, Vec::new(), Some(body)));
        match act {
            Act::Secret { place, key, write } => {
                let (at, key) = (at(*place)?, key.as_str());
                match write {
                    Write::Set { value, base, staged } => {
                        let body = json!({"key": key, "value": format!("value number {value}"), "activate": !staged});
                        Some((Method::POST, at, based(*base), Some(body)))
                    }
                    Write::Delete { base } => Some((Method::DELETE, format!("{at}/{key}"), based(*base), None)),
                    Write::Undelete => plain(Method::POST, format!("{at}/{key}/undelete")),
                    Write::Destroy { version } => {
                        let body = version.map_or(json!({}), |version| json!({"version": version}));
                        posted(format!("{at}/{key}/destroy"), body)
                    }
                    Write::Rollback { to } => posted(format!("{at}/{key}/rollback"), json!({"to_version": to})),
                    Write::Activate { version } => posted(format!("{at}/{key}/activate"), json!({"version": version})),
                }
            }
            Act::Pair { one, two } => {
                let line = |(place, key, value): &(Place, String, u8)| {
                    let mut line = json!({"op": "set", "key": key, "value": format!("value number {value}")});
                    if let Place::Space(space) = place {
                        line["workspace_id"] = self.spaces.get(space)?.as_str().into();
                    }
                    Some(line)
                };
                posted("/secrets/change-sets".to_owned(), json!({"changes": [line(one)?, line(two)?]}))
            }
            Act::Slot { place, key } => posted(format!("{}/{key}/request", at(*place)?), json!({"description": "why"})),
            Act::Vote { ask, yes } => {
                let body = json!({"decision": if *yes { "approved" } else { "denied" }});
                posted(format!("/approvals/{}/decide", self.asks.get(ask)?), body)
            }
            Act::Withdraw { ask } => plain(Method::POST, format!("/approvals/{}/withdraw", self.asks.get(ask)?)),
            Act::Mint { place, life_s } => match place {
                Place::Org => posted("/org/tokens".to_owned(), json!({"name": "minted", "expires_in_s": life_s})),
                Place::Space(at) => posted(format!("{}/tokens", space(at)?), json!({"expires_in_s": life_s})),
            },
            Act::Revoke { token } => plain(Method::DELETE, format!("/org/tokens/{}", self.tokens.get(token)?)),
            Act::Create { parent } => {
                posted("/workspaces".to_owned(), json!({"name": "made", "parent_id": self.spaces.get(parent)?}))
            }
            Act::Space { space: at, change } => {
                let name = if *at < 4 { format!("w{at}") } else { "made".to_owned() };
                match change {
                    Change::Remove => plain(Method::DELETE, format!("{}?confirm={name}", space(at)?)),
                    Change::Restart => plain(Method::POST, format!("{}/restart", space(at)?)),
                    Change::Pause => plain(Method::POST, format!("{}/pause", space(at)?)),
                    Change::Resume => plain(Method::POST, format!("{}/resume", space(at)?)),
                }
            }
            Act::StepUp => posted("/auth/step-up".to_owned(), json!({"password": PASSWORD})),
            Act::Rule { votes } => {
                let text = RULE.replace("{}", &votes.to_string());
                posted("/policies".to_owned(), json!({"name": "added", "text": text}))
            }
            Act::Unrule { rule } => plain(Method::DELETE, format!("/policies/{}", self.rules.get(rule)?)),
            Act::Send { space: at } => posted(format!("{}/messages", space(at)?), json!({"text": "work"})),
            Act::Agent { space: at, work } => match work {
                Work::Register => posted("/registry/register".to_owned(), json!({"id": self.spaces.get(at)?})),
                Work::Take => posted(format!("{}/inbox/claim", space(at)?), json!({"wait_s": 0})),
                Work::End { turn, done } => {
                    let body = if *done {
                        json!({"state": "completed", "reply": "done"})
                    } else {
                        json!({"state": "failed", "error": "no"})
                    };
                    posted(format!("{}/turns/{}/end", space(at)?, self.turns.get(turn)?), body)
                }
            },
            Act::Clock { .. } | Act::Tick => None,
        }
    }

    /// Sends a step and remembers what it made. `want` is what the model says of it, for the members that are compared.
    pub async fn perform(&mut self, step: &Step) -> Seen {
        let (method, path, more, body) = self.request(&step.act)?;
        let (status, json) = self.send(&step.who, method, &path, &more, body).await?;
        let code = known(json["code"].as_str().filter(|_| status >= 400).unwrap_or_default());
        let mut seen = Reply { status, code, ..Reply::default() };
        if status >= 400 {
            return Some(seen);
        }
        seen.word = known(json["status"].as_str().unwrap_or_default());
        seen.version = json["version"].as_i64();
        if status == 202 && json["approval_id"].is_string() {
            seen.label = Some(named(&mut self.asks, step.label, &member(&json, "approval_id")));
            return Some(seen);
        }
        match &step.act {
            Act::Create { .. } => {
                self.spaces.insert(step.label, member(&json, "id"));
                self.first.insert(step.label, 1);
            }
            Act::Mint { .. } => self.minted(&format!("t{}", step.label), &json),
            Act::Rule { .. } => drop(self.rules.insert(step.label, member(&json, "id"))),
            Act::Send { .. } => drop(self.messages.insert(step.label, member(&json, "id"))),
            Act::Agent { work: Work::Take, .. } => {
                let turn = json["turn"]["id"].as_str();
                seen.label = turn.map(|turn| named(&mut self.turns, step.label, turn));
                seen.word = if turn.is_some() { "turn" } else { "idle" };
            }
            Act::Vote { ask, .. } if json["result"]["claim_token"].is_string() => {
                let claim = json!({"claim_token": json["result"]["claim_token"]});
                let (status, body) = self.send("owner", Method::POST, "/auth/token-claims", &[], Some(claim)).await?;
                assert_eq!(status, 200, "{body}");
                let mut minted = json["result"].clone();
                minted["auth_token"] = body["auth_token"].clone();
                self.minted(&format!("t{ask}"), &minted);
            }
            _ => {}
        }
        // Only what the model gives a word to is compared.
        if !matches!(step.act, Act::Vote { .. }) && !WORDS.contains(&seen.word) {
            seen.word = "";
        }
        Some(seen)
    }

    fn minted(&mut self, name: &str, json: &Value) {
        self.tokens.insert(name.to_owned(), member(json, "id"));
        self.credentials.insert(name.to_owned(), bearer(&member(json, "auth_token")));
    }

    /// The names of the audit events since the last time, of those a model speaks of.
    pub async fn events(&mut self) -> Option<Vec<String>> {
        let mut names = Vec::new();
        loop {
            let path = format!("/audit?order=asc&limit=1000&after={}", self.heard);
            let (status, json) = self.send("owner", Method::GET, &path, &[], None).await?;
            let events = json["events"].as_array().filter(|_| status == 200)?.clone();
            let Some(last) = events.last() else { break };
            self.heard = last["seq"].as_i64().or_else(|| last["audit_id"].as_i64()).or_else(|| last["id"].as_i64())?;
            names.extend(events.iter().map(|event| member(event, "event")));
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
        let (status, json) = self.send("owner", Method::GET, path, &[], None).await?;
        (status == 200).then_some(json)
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
                    want.insert(key.clone(), format!("value number {value}").into());
                }
            }
            if seen != Value::Object(want.clone()) {
                found.push(format!("w{label} is given {seen}, by the model {}", Value::Object(want)));
            }
        }
        found
    }
}

/// Words of answers that are compared.
const WORDS: [&str; 12] = [
    "saved",
    "activated",
    "deleted",
    "undeleted",
    "destroyed",
    "requested",
    "removed",
    "withdrawn",
    "registered",
    "turn",
    "idle",
    "recorded",
];

/// The same text, to be kept: the words and codes of a closed list.
pub fn known(text: &str) -> &'static str {
    match text {
        "" => "",
        text => Box::leak(text.to_owned().into_boxed_str()),
    }
}

/// The label of an id: that of the step that met it first.
fn named(names: &mut BTreeMap<Label, String>, label: Label, id: &str) -> Label {
    if let Some((known, _)) = names.iter().find(|(_, known)| *known == id) {
        return *known;
    }
    names.insert(label, id.to_owned());
    label
}

fn based(base: Base) -> Vec<(&'static str, String)> {
    match base {
        Base::Any => vec![],
        Base::Absent => vec![("if-none-match", "*".to_owned())],
        Base::Present => vec![("if-match", "*".to_owned())],
        Base::Version(version) => vec![("if-match", format!("\"{version}\""))],
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
