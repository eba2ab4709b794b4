//! A whole organisation behind a real listener, on each engine, with a clock that stands still until a test moves it.
#![expect(dead_code, reason = "each test binary uses its own part of the world")]
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use portcullis_authority::{
    AdminToken, Answer as Answered, Authority, Config, Meta, Opening, clock::Clock, testkit_db::TestDb,
};
use portcullis_kernel::{deed::OperatorCreate, id::WorkspaceId, operator::Role};
use portcullis_service::{App, Connections, Rates, Running, Settings};
use reqwest::{Method, header::HeaderMap};
use serde_json::{Value, json};

/// The admin token of every world.
pub const ADMIN: &str = "the-admin-token-of-a-test-world";
/// The password of every operator.
pub const PASSWORD: &str = "correct horse battery staple";
/// When the world begins: 2026-06-11T00:08:00Z.
pub const BEGINNING_MS: i64 = 1_781_136_480_000;

/// One organisation with one server.
pub struct World {
    pub db: TestDb,
    pub authority: Authority,
    pub url: String,
    hand: Arc<AtomicI64>,
    running: Option<Running>,
    bare: Option<Bare>,
    owner: Actor,
}

/// The real routes behind a real listener and nothing beside them: no worker looks at the clock every half second.
pub struct Bare {
    pub url: String,
    end: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Bare {
    pub async fn start(authority: Authority) -> Self {
        let rates = Rates { calls_per_s: NonZeroU32::MAX, refusals_per_min: NonZeroU32::MAX };
        let connections = Connections::default();
        let settings = Settings { secure_cookies: false, version: "test", public_url: None, rates, connections };
        let app = App::new(authority, settings);
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let ended = async { drop(ended.await) };
            let router = portcullis_service::router(app);
            axum::serve(listener, router).with_graceful_shutdown(ended).await.expect("it is served");
        });
        Self { url, end, task }
    }

    pub async fn stop(self) {
        // Whoever waits for it is there until the next line.
        let _ = self.end.send(());
        self.task.await.expect("the server ends");
    }
}

/// Whoever sends requests: a credential and where to.
#[derive(Clone)]
pub struct Actor {
    client: reqwest::Client,
    url: String,
    headers: Vec<(String, String)>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Answer {
    /// The refusal: the body, or what an error of A2A carries of it.
    pub fn refusal(&self) -> &Value {
        let error = &self.json["error"];
        let details = error["details"].as_array().or(error["data"].as_array());
        details.and_then(|details| details.iter().find(|one| one["code"].is_string())).unwrap_or(&self.json)
    }

    /// Whether it is a refusal in the words of A2A.
    pub fn is_a2a(&self) -> bool {
        self.json["error"].is_object()
    }

    /// The status of the refusal: that of the answer, unless another protocol has a word of its own for it.
    pub fn refused_as(&self) -> u16 {
        let own = self.refusal()["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        if self.is_a2a() { own.unwrap_or(0) } else { self.status }
    }

    /// The refusal's code, or empty.
    pub fn code(&self) -> &str {
        self.refusal()["code"].as_str().unwrap_or_default()
    }

    /// Panics unless the answer has this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Self {
        assert_eq!((self.refused_as(), self.code()), (status, code), "{}", self.text);
        for member in ["error", "reason", "retryable", "denied_class", "next_step"] {
            assert!(!self.refusal()[member].is_null(), "no `{member}` in {}", self.text);
        }
        self
    }

    /// Panics unless the answer has this status.
    #[track_caller]
    pub fn status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// A member as text.
    #[track_caller]
    pub fn member(&self, name: &str) -> String {
        self.json[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {}", self.text)).to_owned()
    }
}

impl Actor {
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut actor = self.clone();
        actor.headers.push((name.to_owned(), value.to_owned()));
        actor
    }

    /// The same, at another server.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    pub fn without(&self, name: &str) -> Self {
        let mut actor = self.clone();
        actor.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        actor
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            if self.header("content-type").is_none() {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body);
        }
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("the answer is text");
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status, headers, text, json }
    }

    /// The head of the answer to a GET; the body is still to come.
    pub async fn open(&self, path: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.url));
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.expect("the server answers")
    }

    /// The head of the answer to any request; the body is still to come.
    pub async fn begin(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Response {
        let request = self.client.request(method, format!("{}{path}", self.url));
        let mut request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        request.send().await.expect("the server answers")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body.to_string().into_bytes())).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, Some(body.to_string().into_bytes())).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, Some(body.to_string().into_bytes())).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Sets a secret.
    pub async fn set(&self, workspace: &str, key: &str, value: &str) -> Answer {
        self.post(&format!("/workspaces/{workspace}/secrets"), json!({"key": key, "value": value})).await
    }

    /// Votes.
    pub async fn decide(&self, approval: &str, decision: &str) -> Answer {
        self.post(&format!("/approvals/{approval}/decide"), json!({"decision": decision})).await
    }
}

impl World {
    /// A world on one database.
    pub async fn on(db: TestDb, config: Config) -> Self {
        // Tests ask more often than agents; the limits have a test of their own.
        let rates = Rates { calls_per_s: NonZeroU32::MAX, refusals_per_min: NonZeroU32::MAX };
        Self::limited(db, config, rates).await
    }

    /// A world whose programs may ask for so much.
    pub async fn limited(db: TestDb, config: Config, rates: Rates) -> Self {
        let (clock, hand) = Clock::fixed(BEGINNING_MS);
        let authority = Authority::open(Opening {
            data_dir: &db.data_dir,
            database_url: db.url.as_deref(),
            root_key_file: None,
            admin_token: AdminToken::Given(ADMIN.to_owned().into()),
            config,
            clock,
        })
        .expect("the organisation opens");
        let app = App::new(
            authority.clone(),
            Settings { secure_cookies: false, version: "test", public_url: None, rates, ..Settings::default() },
        );
        let running = portcullis_service::start(app, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
        let running = running.expect("the server starts");
        let url = format!("http://{}", running.address);
        let client = reqwest::Client::builder().build().expect("a client");
        let nobody = Actor { client, url: url.clone(), headers: Vec::new() };
        let mut world = Self { db, authority, url, hand, running: Some(running), bare: None, owner: nobody.clone() };
        world.create_operator("owner@example.org", Role::Owner, &[]).await;
        world.owner = world.log_in("owner@example.org").await;
        world
    }

    /// Another server on the same database; where it listens.
    pub async fn beside(&self) -> (portcullis_service::Running, String) {
        let authority = Authority::open(Opening {
            data_dir: &self.db.data_dir,
            database_url: self.db.url.as_deref(),
            root_key_file: None,
            admin_token: AdminToken::Untouched,
            config: Config::default(),
            clock: Clock::fixed(BEGINNING_MS).0,
        })
        .expect("the organisation opens");
        let (rates, connections) = (Rates::default(), Connections::default());
        let settings = Settings { secure_cookies: false, version: "test", public_url: None, rates, connections };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let running = portcullis_service::start(App::new(authority, settings), listen).await.expect("it starts");
        let url = format!("http://{}", running.address);
        (running, url)
    }

    /// Makes this the server that supervises every workspace there is.
    pub async fn supervise(&self) {
        let server = World::id(&self.root()).to_string().parse().expect("an id");
        self.authority.enlist(server, &["process".to_owned()]).await.expect("a server");
        self.authority.take_workspaces(Vec::new()).await.expect("its workspaces");
    }

    /// Nobody: no credential.
    pub fn nobody(&self) -> Actor {
        Actor { headers: Vec::new(), ..self.owner.clone() }
    }

    /// The holder of a bearer token.
    pub fn bearer(&self, token: &str) -> Actor {
        self.nobody().with("authorization", &format!("Bearer {token}"))
    }

    /// The root agent, by the admin token.
    pub fn admin(&self) -> Actor {
        self.bearer(ADMIN)
    }

    /// The first owner's session, stepped up.
    pub fn owner(&self) -> Actor {
        self.owner.clone()
    }

    pub async fn create_operator(&self, email: &str, role: Role, groups: &[&str]) -> String {
        let hash = self.authority.hash_password(PASSWORD.to_owned()).await.expect("a password");
        let groups = groups.iter().map(|group| group.parse().expect("a group")).collect();
        let action = OperatorCreate { email: email.parse().expect("an address"), role, groups };
        let meta = Meta { request_id: "world".to_owned(), ..Meta::default() };
        match self.authority.perform_at_console(meta, action, hash).await.expect("an operator") {
            Answered::Done(done) => done.value.id.to_string(),
            Answered::Held(_) | Answered::Plan(_) => panic!("the operator was not created"),
        }
    }

    /// A new session, stepped up.
    pub async fn log_in(&self, email: &str) -> Actor {
        let session = self.log_in_only(email).await;
        session.post("/auth/step-up", json!({"password": PASSWORD})).await.status(200);
        session
    }

    /// A new session that has only logged in.
    pub async fn log_in_only(&self, email: &str) -> Actor {
        let answer = self.nobody().post("/auth/login", json!({"email": email, "password": PASSWORD})).await;
        answer.status(200);
        let cookie = answer.headers["set-cookie"].to_str().expect("a cookie").split(';').next().expect("a pair");
        self.nobody().with("cookie", cookie).with("x-csrf-token", &answer.member("csrf_token"))
    }

    /// A fresh operator with a session that is stepped up.
    pub async fn operator(&self, email: &str, role: Role, groups: &[&str]) -> Actor {
        self.create_operator(email, role, groups).await;
        self.log_in(email).await
    }

    /// The root workspace's id.
    pub fn root(&self) -> String {
        self.authority.root().to_string()
    }

    /// A workspace under the root, made by the owner.
    pub async fn workspace(&self, name: &str) -> String {
        self.owner.post("/workspaces", json!({"name": name})).await.status(201).member("id")
    }

    /// The agent of a workspace, by a token its owner minted.
    pub async fn agent_of(&self, workspace: &str) -> Actor {
        let minted = self.owner.post(&format!("/workspaces/{workspace}/tokens"), json!({})).await;
        self.bearer(&minted.status(201).member("auth_token"))
    }

    /// Mints an organisation token as `minter`; if it is held the owner agrees and claims it.
    pub async fn org_token(&self, minter: &Actor, body: Value) -> String {
        let minted = minter.post("/org/tokens", body).await;
        if minted.status == 202 {
            let decided = self.owner.decide(&minted.member("approval_id"), "approved").await;
            let claim = decided.status(200).json["result"]["claim_token"].as_str().expect("a claim").to_owned();
            let claimed = self.owner.post("/auth/token-claims", json!({"claim_token": claim})).await;
            return claimed.status(200).member("auth_token");
        }
        minted.status(200).member("auth_token")
    }

    /// Everything that is the root agent, whichever credential it holds. `minted` is a token that it minted.
    pub async fn faces_of_the_root_agent(&self, minted: Actor) -> Vec<(&'static str, Actor)> {
        let grandchild = self.bearer(&self.org_token(&minted, json!({"name": "minted by the minted"})).await);
        let own = self.agent_of(&self.root()).await;
        vec![
            ("admin token", self.admin()),
            ("token it minted", minted),
            ("token minted by that token", grandchild),
            ("the root workspace's own token", own),
        ]
    }

    /// Moves the clock.
    pub fn advance(&self, ms: i64) {
        self.hand.fetch_add(ms, Ordering::SeqCst);
    }

    /// The hand of the clock, for whoever moves it while others ask, and for another server of the same organisation.
    pub fn hand(&self) -> Arc<AtomicI64> {
        Arc::clone(&self.hand)
    }

    /// Desired generation of a workspace.
    pub async fn generation(&self, workspace: &str) -> i64 {
        let state = self.owner.get(&format!("/workspaces/{workspace}")).await;
        state.status(200).json["desired_generation"].as_i64().expect("a generation")
    }

    /// Audit events that match a query string.
    pub async fn audit(&self, query: &str) -> Vec<Value> {
        let page = self.owner.get(&format!("/audit?order=asc&limit=1000&{query}")).await;
        page.status(200).json["events"].as_array().unwrap_or_else(|| panic!("no events in {}", page.text)).clone()
    }

    /// Runs `act` and returns its answer with what it changed in the tables, as differences of row counts.
    pub async fn changed<T>(&self, act: impl Future<Output = T>) -> (T, BTreeMap<&'static str, i64>) {
        let before = self.db.rows();
        let done = act.await;
        let after = self.db.rows();
        // Signed heads come by the clock of the log, not of the request.
        let moved = after.into_iter().map(|(table, rows)| (table, rows - before[table]));
        (done, moved.filter(|(table, by)| *by != 0 && !matches!(*table, "checkpoints" | "events")).collect())
    }

    /// Asserts that `act` is refused so, and left one audit event and nothing else.
    #[track_caller]
    pub fn only_audited(changed: &BTreeMap<&'static str, i64>) {
        assert_eq!(*changed, BTreeMap::from([("audit", 1)]), "more than one audit event came of a refusal");
    }

    /// Stops the server; the organisation stays open.
    pub async fn shut_down(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    /// Goes on without the worker: for tests that move the clock and look at what has *not* been done about it yet.
    pub async fn without_worker(&mut self) {
        self.shut_down().await;
        let bare = Bare::start(self.authority.clone()).await;
        self.url.clone_from(&bare.url);
        self.owner = self.owner.at(&bare.url);
        self.bare = Some(bare);
    }

    /// Stops the server and closes the organisation, which stays in the database.
    pub async fn stop(mut self) -> TestDb {
        self.shut_down().await;
        if let Some(bare) = self.bare.take() {
            bare.stop().await;
        }
        let Self { db, authority, .. } = self;
        tokio::task::spawn_blocking(move || drop(authority)).await.expect("the writer ends");
        db
    }

    pub fn id(text: &str) -> WorkspaceId {
        text.parse().expect("an id")
    }
}

/// Runs a test on every engine at hand.
pub fn each_engine<F: Future<Output = World>>(config: Config, test: impl Fn(World) -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    for db in portcullis_authority::testkit_db::databases() {
        let config = config.clone();
        runtime.block_on(async {
            let world = World::on(db, config).await;
            drop(test(world).await.stop().await);
        });
    }
}
