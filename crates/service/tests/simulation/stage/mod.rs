//! The running server as a history sees it: sends each step as the request it is, and reads back, through the routes, what
//! the model has an opinion about.

mod request;
mod sight;

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    model::Reply,
    step::{Act, Label, Step, Work},
};
pub use sight::{Observed, wanted};

/// The password of every operator of a stage.
pub const PASSWORD: &str = "correct horse battery staple";
/// Who looks, and does nothing else: whatever becomes of the others, somebody can.
const OBSERVER: &str = "observer";

type Headers = Vec<(String, String)>;

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
    operators: BTreeMap<String, String>,
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
            operators: BTreeMap::new(),
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
            (OBSERVER, "auditor"),
        ] {
            let email = email(name);
            stage.must("/operators", Some(json!({"email": email, "password": PASSWORD, "role": role}))).await;
            assert_eq!(stage.log_in(name, name).await, Some(200));
            if name != "plain" && name != OBSERVER {
                let stepped = stage.send(name, Method::POST, "/auth/step-up", &[], Some(json!({"password": PASSWORD})));
                assert_eq!(stepped.await.expect("an answer").0, 200);
            }
        }
        for one in stage.must("/operators", None).await.as_array().expect("the operators") {
            let name = member(one, "email").split('@').next().unwrap_or_default().to_owned();
            stage.operators.insert(name, member(one, "id"));
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

    /// Opens a session of an operator. The status of the answer.
    async fn log_in(&mut self, operator: &str, session: &str) -> Option<u16> {
        let body = json!({"email": email(operator), "password": PASSWORD}).to_string();
        let request = self.client.post(format!("{}/auth/login", self.url)).body(body);
        let answer = request.header("content-type", "application/json").send().await.ok()?;
        let status = answer.status().as_u16();
        let cookie = answer.headers().get("set-cookie").and_then(|cookie| cookie.to_str().ok()?.split(';').next());
        let cookie = ("cookie".to_owned(), cookie.unwrap_or_default().to_owned());
        let text = answer.text().await.ok()?;
        if status == 200 {
            let body: Value = serde_json::from_str(&text).expect("JSON");
            let headers = vec![cookie, ("x-csrf-token".to_owned(), member(&body, "csrf_token"))];
            self.credentials.insert(session.to_owned(), headers);
        }
        Some(status)
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

    /// Sends a step and remembers what it made. `want` is what the model says of it, for the members that are compared.
    pub async fn perform(&mut self, step: &Step) -> Seen {
        if let Act::LogIn { name } = &step.act {
            let status = self.log_in(name, &format!("s{}", step.label)).await?;
            return Some(Reply { status, ..Reply::default() });
        }
        let (method, path, mut more, body) = self.request(&step.act)?;
        more.extend(step.once.map(|key| ("idempotency-key", format!("key-{key}"))));
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
                let made = named(&mut self.spaces, step.label, &member(&json, "id"));
                self.first.entry(made).or_insert(1);
            }
            Act::Mint { .. } => self.minted(&format!("t{}", step.label), &json),
            Act::Rule { .. } => drop(named(&mut self.rules, step.label, &member(&json, "id"))),
            Act::Send { .. } => drop(self.messages.insert(step.label, member(&json, "id"))),
            Act::Agent { work: Work::Take, .. } => {
                let turn = json["turn"]["id"].as_str();
                seen.label = turn.map(|turn| named(&mut self.turns, step.label, turn));
                seen.word = if turn.is_some() { "turn" } else { "idle" };
            }
            // Only a token says that.
            Act::Vote { ask, .. } | Act::BreakGlass { ask } if json["result"]["delivered"].is_boolean() => {
                let mut minted = json["result"].clone();
                if json["result"]["claim_token"].is_string() {
                    let claim = Some(json!({"claim_token": json["result"]["claim_token"]}));
                    let (status, body) = self.send(&step.who, Method::POST, "/auth/token-claims", &[], claim).await?;
                    assert_eq!(status, 200, "{body}");
                    minted["auth_token"] = body["auth_token"].clone();
                }
                self.minted(&format!("t{ask}"), &minted);
            }
            _ => {}
        }
        // Only what the model gives a word to is compared.
        if !matches!(step.act, Act::Vote { .. } | Act::BreakGlass { .. }) && !WORDS.contains(&seen.word) {
            seen.word = "";
        }
        Some(seen)
    }

    /// Remembers a token, unless it is one that was met before, and what it is, where that was said.
    fn minted(&mut self, name: &str, json: &Value) {
        let id = member(json, "id");
        if self.tokens.values().any(|known| *known == id) {
            return;
        }
        self.tokens.insert(name.to_owned(), id);
        if let Some(token) = json["auth_token"].as_str() {
            self.credentials.insert(name.to_owned(), bearer(token));
        }
    }
}

/// The address of an operator.
fn email(name: &str) -> String {
    format!("{name}@example.org")
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
