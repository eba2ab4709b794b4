//! What a scenario brings along: workspaces, operators and tokens of this run, made and removed through the public API.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::expand::Meanings;
use super::format::{ActorKind, ActorSpec, Scenario};
use super::target::Target;
use crate::client::{Call, Client, Credential, path};
use crate::command::login::{open_session, prove};
use crate::context::given;
use crate::error::Error;
use crate::hidden::Hidden;
use crate::random;

/// Who acts, ready to.
pub struct Actor {
    pub client: Arc<Client>,
    /// For people: `admin (admin token)`.
    pub label: String,
}

/// Everything this run made.
pub struct Fixture {
    pub unique: String,
    pub meanings: Meanings,
    pub actors: BTreeMap<String, Actor>,
    /// Credentials no answer may show.
    pub credentials: Vec<Hidden>,
    /// Approvals that steps left pending, with who asked.
    pub approvals: Vec<(String, String)>,
    workspaces: Vec<(String, String)>,
    operators: Vec<String>,
    tokens: Vec<String>,
}

impl Fixture {
    /// An empty one with a suffix of its own.
    pub fn new(target: &Target) -> Result<Self, Error> {
        let unique = random::hex(4)?;
        Ok(Self {
            meanings: Meanings::new(&unique),
            unique,
            actors: BTreeMap::new(),
            credentials: vec![Hidden::new(target.admin_token.reveal().to_owned())],
            approvals: Vec::new(),
            workspaces: Vec::new(),
            operators: Vec::new(),
            tokens: Vec::new(),
        })
    }

    /// Makes what the scenario names.
    pub async fn build(&mut self, scenario: &Scenario, target: &Target) -> Result<(), Error> {
        target.step_up().await?;
        let all = target.owner.json(&Call::get("/workspaces")).await?;
        let root = all.as_array().into_iter().flatten().find(|workspace| workspace["kind"] == "platform");
        let root = root.ok_or_else(|| Error::fault("the server lists no root workspace"))?;
        self.meanings.learn("root", root["id"].clone());
        self.meanings.learn("root_name", root["name"].clone());
        for workspace in &scenario.workspaces {
            let name = format!("{}-{}", workspace.name, self.unique);
            let parent = self.meanings.text(&format!("{{{}}}", workspace.parent.as_deref().unwrap_or("root")));
            let body = json!({ "name": name, "parent_id": parent.map_err(Error::fault)? });
            let made = target.owner.json(&Call::post("/workspaces", &body)).await?;
            self.workspaces.push((text(&made, "id")?, name));
            self.meanings.learn(&workspace.name, made["id"].clone());
        }
        for spec in &scenario.actors {
            let actor = self.actor(spec, target).await?;
            self.actors.insert(spec.name.clone(), actor);
        }
        Ok(())
    }

    async fn actor(&mut self, spec: &ActorSpec, target: &Target) -> Result<Actor, Error> {
        let name = &spec.name;
        let (client, what) = match spec.kind {
            ActorKind::AdminToken => {
                self.meanings.learn(format!("credential.{name}"), target.admin_token.reveal().into());
                (target.admin.clone(), "admin token".to_owned())
            }
            ActorKind::Anonymous => (Arc::new(target.anonymous.with(Credential::None)?), "nobody".to_owned()),
            ActorKind::Headers => {
                let mut headers = Vec::new();
                for (header, value) in spec.headers.iter().flatten() {
                    headers.push((header.clone(), self.meanings.text(value).map_err(Error::fault)?));
                }
                (Arc::new(target.anonymous.with(Credential::Headers(headers))?), "forged headers".to_owned())
            }
            ActorKind::Operator => match &spec.role {
                None => {
                    self.meanings.learn(name, target.owner_id.clone());
                    (target.owner.clone(), "operator, owner".to_owned())
                }
                Some(role) => (self.operator(spec, role, target).await?, format!("operator, {role}")),
            },
            ActorKind::OrgToken | ActorKind::WorkspaceToken => self.token(spec, target).await?,
        };
        Ok(Actor { client, label: format!("{name} ({what})") })
    }

    async fn operator(&mut self, spec: &ActorSpec, role: &str, target: &Target) -> Result<Arc<Client>, Error> {
        let email = format!("{}-{}@scenario.invalid", spec.name, self.unique);
        let password = Hidden::new(random::hex(16)?);
        let body = json!({ "email": email, "password": password.reveal(), "role": role });
        let made = target.owner.json(&Call::post("/operators", &body)).await?;
        self.operators.push(text(&made, "id")?);
        self.meanings.learn(&spec.name, made["id"].clone());
        let (session, _) = open_session(&target.anonymous, &email, &password).await?;
        self.credentials.push(Hidden::new(session.cookie.clone()));
        let (cookie, csrf_token) = (Hidden::new(session.cookie), Hidden::new(session.csrf_token));
        let client = target.anonymous.with(Credential::Session { cookie, csrf_token })?;
        if spec.step_up.unwrap_or(true) {
            prove(&client, &password).await?;
        }
        self.credentials.push(password);
        Ok(Arc::new(client))
    }

    async fn token(&mut self, spec: &ActorSpec, target: &Target) -> Result<(Arc<Client>, String), Error> {
        let by = |name: &Option<String>| {
            name.as_ref().and_then(|name| self.actors.get(name)).map_or(&target.owner, |actor| &actor.client).clone()
        };
        let (minter, approver) = (by(&spec.minted_by), by(&spec.approved_by));
        let (at, what) = match &spec.of {
            Some(of) => {
                let id = self.meanings.text(&format!("{{{of}}}")).map_err(Error::fault)?;
                (path(&["workspaces", &id, "tokens"]), format!("workspace token of {of}"))
            }
            None => {
                let minted_by = spec.minted_by.as_deref().unwrap_or("the owner");
                ("/org/tokens".to_owned(), format!("organisation token minted by {minted_by}"))
            }
        };
        let name = format!("{}-{}", spec.name, self.unique);
        let body = given(json!({ "name": name, "scopes": spec.scopes, "unattended": spec.unattended }));
        let mut minted = minter.json(&Call::post(at, &body)).await?;
        if let Some(approval) = minted["approval_id"].as_str() {
            minted = claim(&approver, approval).await?;
        }
        let token = text(&minted, "auth_token")?;
        self.meanings.learn(&spec.name, minted["id"].clone());
        self.meanings.learn(format!("credential.{}", spec.name), token.as_str().into());
        if let (None, Some(id)) = (&spec.of, minted["id"].as_str()) {
            self.tokens.push(id.to_owned());
        }
        self.credentials.push(Hidden::new(token.clone()));
        Ok((Arc::new(target.anonymous.with(Credential::Bearer(Hidden::new(token)))?), what))
    }

    /// Takes everything away again. What cannot be removed is named, not hidden.
    pub async fn remove(&mut self, target: &Target) -> Vec<String> {
        let mut notes = Vec::new();
        for (id, actor) in std::mem::take(&mut self.approvals) {
            let withdraw = Call::new(Method::POST, path(&["approvals", &id, "withdraw"]));
            let asker = self.actors.get(&actor).map_or(&target.owner, |actor| &actor.client);
            // Decided ones answer 409, a revoked asker 401; only what is still pending then is left to the owner.
            if asker.json(&withdraw).await.is_err() {
                let deny = json!({ "decision": "denied", "note": "left over by a scenario" });
                let _ = target.owner.json(&Call::post(path(&["approvals", &id, "decide"]), &deny)).await;
            }
        }
        let mut calls = Vec::new();
        for id in self.tokens.drain(..) {
            calls.push((format!("token {id}"), Call::delete(path(&["org", "tokens", &id]))));
        }
        for (id, name) in self.workspaces.drain(..).rev() {
            calls.push((format!("workspace {name}"), Call::delete(path(&["workspaces", &id])).query("confirm", &name)));
        }
        for id in self.operators.drain(..) {
            let call = Call::patch(path(&["operators", &id]), &json!({ "disabled": true }));
            calls.push((format!("operator {id}"), call));
        }
        for (what, call) in calls {
            if let Err(error) = target.owner.json(&call).await
                && error.exit != crate::exit::Exit::NotFound
            {
                notes.push(format!("{what} stays behind: {error}"));
            }
        }
        notes
    }
}

/// Agrees to a held mint and fetches the token as the human who agreed: the agent that asked never sees it.
async fn claim(approver: &Client, approval: &str) -> Result<Value, Error> {
    let at = path(&["approvals", approval]);
    let agree = json!({ "decision": "approved", "note": "fixture of a scenario" });
    let decided = approver.json(&Call::post(format!("{at}/decide"), &agree)).await?;
    let claim_token = text(&decided["result"], "claim_token")?;
    let claimed = Call::post("/auth/token-claims", &json!({ "claim_token": claim_token }));
    let mut minted = approver.json(&claimed).await?;
    if minted["id"].is_null() {
        minted["id"] = decided["result"]["id"].clone();
    }
    Ok(minted)
}

fn text(value: &Value, member: &str) -> Result<String, Error> {
    let found = value[member].as_str().map(str::to_owned);
    found.ok_or_else(|| Error::fault(format!("the server's answer has no `{member}`")))
}
