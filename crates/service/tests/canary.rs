//! A unique value is driven through every route, right and wrong, and then looked for everywhere it must not be: answers,
//! the database, the files, the exported log, the live stream, metrics, and what is logged at the most talkative level.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use std::{
    io::Write,
    path::Path,
    sync::{LazyLock, Mutex, PoisonError},
};

use portcullis_authority::Config;
use probe::{Events, Fixture, Sample, dump};
use serde_json::{Value, json};
use world::{ADMIN, Actor, Answer, PASSWORD, World, each_engine};

/// The unmistakable middle of the canary: found whatever is put around it, quoted or escaped.
const CORE: &str = "7f3aCanary91bbQz04TweetXk";

/// A key whose name may be seen: where it is not found, nothing was looked at.
const KEY: &str = "AGREED";

/// A value with everything in it that some encoder would change.
fn canary() -> String {
    format!("+/=&? \"\\{CORE}\\n\" é<%")
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What base64 of any text that has `needle` in it must contain, by where the needle starts in its group of three.
fn base64_forms(needle: &str) -> Vec<String> {
    let form = |skipped: usize| {
        let padded: Vec<u8> = std::iter::repeat_n(0, skipped).chain(needle.bytes()).collect();
        let mut text = String::new();
        // Whole groups only: what stands around the needle decides the rest.
        for group in padded.chunks_exact(3) {
            let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            for shift in [18, 12, 6, 0] {
                text.push(char::from(BASE64[(bits >> shift & 63) as usize]));
            }
        }
        text.split_off(if skipped == 0 { 0 } else { 4 })
    };
    (0..3).map(form).collect()
}

/// The forms in which a text could hide.
fn forms(needle: &str) -> Vec<String> {
    let hex: String = needle.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = needle.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut forms = vec![needle.to_owned(), hex.to_uppercase(), hex, percent.to_lowercase(), percent];
    forms.extend(base64_forms(needle));
    forms.push(needle.chars().rev().collect());
    forms
}

/// Panics when `text` has one of the needles in one of its forms.
#[track_caller]
fn clean(place: &str, text: &str, needles: &[String]) {
    for needle in needles {
        for form in forms(needle) {
            if let Some(at) = text.find(&form) {
                let from = (0..=at.saturating_sub(120)).rev().find(|from| text.is_char_boundary(*from)).unwrap_or(0);
                panic!("{place} has it as `{form}`: …{}", &text[from..at]);
            }
        }
    }
}

/// What was logged so far.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything at every level, once a process.
static LISTENING: LazyLock<()> = LazyLock::new(|| {
    portcullis_service::telemetry::log_to(|| Sink, "trace", true);
});

fn logged() -> String {
    String::from_utf8_lossy(&LOG.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// Answers, with the text that says where each came from.
#[derive(Default)]
struct Answers(Vec<(String, String)>);

impl Answers {
    fn keep(&mut self, what: &str, answer: &Answer) {
        assert!(answer.status < 500, "{what}: {}", answer.text);
        self.0.push((what.to_owned(), format!("{:?} {}", answer.headers, answer.text)));
    }

    async fn of(&mut self, who: &str, actor: &Actor, sample: &Sample) -> Answer {
        let answer = actor.send(sample.method.clone(), &sample.path, sample.body.clone()).await;
        self.keep(&format!("{who}: {}", sample.id), &answer);
        answer
    }
}

/// Routes that take away what the others need: they come last.
const LAST: [&str; 8] = [
    "workspace_remove",
    "workspace_token_revoke",
    "org_token_revoke",
    "operator_update",
    "policy_remove",
    "secret_destroy",
    "org_secret_destroy",
    "logout",
];

/// Every route by everybody, the destructive ones last. The one answer that may hold the value is left out.
async fn every_route(world: &World, fixture: &Fixture, answers: &mut Answers) {
    let mut requests = fixture.requests(&canary());
    requests.sort_by_key(|sample| LAST.iter().position(|id| *id == sample.id).map_or(0, |at| at + 1));
    let owner = probe::owner_again(world).await;
    let everybody = [
        ("nobody", world.nobody()),
        ("a stranger", fixture.stranger.clone()),
        ("the admin token", world.admin()),
        ("the workspace's agent", fixture.agent.clone()),
        ("the owner without CSRF token", owner.without("x-csrf-token")),
        ("the owner", owner),
    ];
    for sample in &requests {
        for (who, actor) in &everybody {
            if sample.id == "events" || sample.id == "a2a_message_stream" {
                continue;
            }
            if sample.id == "secret_values" && *who == "the workspace's agent" {
                let bundle = actor.send(sample.method.clone(), &sample.path, None).await;
                assert!(bundle.status(200).json.to_string().contains(CORE), "the value was never stored");
                continue;
            }
            answers.of(who, actor, sample).await;
            world.advance(61_000);
        }
    }
}

/// The value where no value belongs: in a key, a name of a member, a path, a query, a header, a broken body.
async fn wrong_places(world: &World, fixture: &Fixture, answers: &mut Answers) {
    let value = canary();
    let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let owner = probe::owner_again(world).await;
    for actor in [&owner, &world.admin(), &fixture.agent, &world.nobody()] {
        for sample in fixture.requests(&value) {
            // The bundle is the place where a value belongs; it reads no body.
            if LAST.contains(&sample.id) || ["events", "secret_values"].contains(&sample.id) {
                continue;
            }
            world.advance(5_000);
            let broken = [
                format!("{{\"{CORE}\":1}}"),
                format!("{{\"key\":\"{CORE}\",\"value\":\"{CORE}\",\"name\":7}}"),
                format!("{{\"key\":{CORE}"),
                format!("\"{CORE}\""),
                format!("{{\"decision\":\"{CORE}\",\"format\":\"{CORE}\",\"role\":\"{CORE}\"}}"),
            ];
            for body in broken {
                let answer = actor.send(sample.method.clone(), &sample.path, Some(body.into_bytes())).await;
                answers.keep(&format!("a broken body: {}", sample.id), &answer);
            }
            let path = sample.with(&format!("{encoded}={encoded}"));
            let answer = actor.send(sample.method.clone(), &path, sample.body.clone()).await;
            answers.keep(&format!("a query: {}", sample.id), &answer);
        }
        for path in [
            format!("/workspaces/{encoded}"),
            format!("/workspaces/{encoded}/secrets"),
            format!("/settings/secrets/{encoded}/versions"),
            format!("/{encoded}"),
            format!("/audit?subject={encoded}&key={encoded}&code={encoded}"),
            format!("/audit?from={encoded}"),
            format!("/approvals?state={encoded}"),
            format!("/approvals/{encoded}"),
        ] {
            answers.keep(&format!("a path: {path:.20}"), &actor.get(&path).await);
        }
        for name in ["x-csrf-token", "if-match", "last-event-id", "user-agent", "x-request-id", "origin", "referer"] {
            let sent = actor.with(name, CORE).set(&fixture.ids["id"], "SAMPLE", &value).await;
            answers.keep(&format!("a header: {name}"), &sent);
        }
        for (name, text) in [("authorization", format!("Bearer {CORE}")), ("cookie", format!("portcullis={CORE}"))] {
            answers.keep(name, &actor.without(name).with(name, &text).get("/workspaces").await);
        }
    }
    let import = format!("/workspaces/{}/secrets/import", fixture.ids["id"]);
    for content in [CORE.to_owned(), format!("A={CORE}\nA={CORE}"), format!("{CORE}=x"), format!("A=\"{CORE}")] {
        for format in ["env", "json"] {
            let body = json!({"format": format, "content": content, "apply": true});
            answers.keep("a broken import", &owner.post(&import, body).await);
        }
    }
    let login = json!({"email": format!("{CORE}@example.org"), "password": CORE});
    answers.keep("a login", &world.nobody().post("/auth/login", login).await);
}

/// Approvals in every state, and what they were applied to.
async fn approvals(world: &World, fixture: &Fixture, answers: &mut Answers) {
    let (owner, admin, value) = (probe::owner_again(world).await, world.admin(), canary());
    let target = &fixture.ids["id"];
    for (key, end) in [(KEY, "approved"), ("DENIED", "denied"), ("WITHDRAWN", "withdraw"), ("EXPIRED", "")] {
        let held = admin.set(target, key, &value).await;
        answers.keep(key, held.status(202));
        let id = held.member("approval_id");
        for (who, actor) in [("owner", &owner), ("admin", &admin)] {
            for path in [format!("/approvals/{id}"), "/approvals/pending".into(), "/approvals".into()] {
                answers.keep(&format!("{key} to {who}"), actor.get(&path).await.status(200));
            }
            let path = format!("/workspaces/{target}/approvals");
            answers.keep(&format!("{key} to {who}"), actor.get(&path).await.status(200));
        }
        match end {
            "" => world.advance(world.authority.config().approval_expires_ms),
            "withdraw" => {
                let withdrawn = admin.send(reqwest::Method::POST, &format!("/approvals/{id}/withdraw"), None).await;
                answers.keep(key, withdrawn.status(200));
            }
            _ => answers.keep(key, owner.decide(&id, end).await.status(200)),
        }
        let owner = probe::owner_again(world).await;
        world.authority.tick().await.expect("time passes");
        answers.keep(key, owner.get(&format!("/approvals/{id}")).await.status(200));
    }
    let owner = probe::owner_again(world).await;
    let import = json!({"format": "json", "content": json!({"IMPORTED": value}).to_string(), "apply": true});
    let set = json!({"changes": [{"workspace_id": target, "op": "set", "key": "CHANGED", "value": value}]});
    for (path, body) in [(format!("/workspaces/{target}/secrets/import"), import), ("/secrets/change-sets".into(), set)]
    {
        let held = admin.post(&path, body.clone()).await;
        answers.keep(&path, held.status(202));
        answers.keep(&path, owner.decide(&held.member("approval_id"), "approved").await.status(200));
        answers.keep(&path, &admin.post(&path, body.clone()).await);
        let dry = owner.post(&format!("{path}?dry_run=true"), body).await;
        answers.keep(&path, dry.status(200));
    }
    let same = owner.with("idempotency-key", "one").set(target, "REPEATED", &value).await;
    answers.keep("idempotent", same.status(200));
    answers.keep("idempotent again", &owner.with("idempotency-key", "one").set(target, "REPEATED", &value).await);
    answers.keep("another under its key", &owner.with("idempotency-key", "one").set(target, "OTHER", &value).await);
    answers.keep("the root", &admin.set(&world.root(), "ROOT", &value).await);
    answers.keep("the root again", &admin.set(&world.root(), "ROOT", &value).await);
    owner.set(target, "STORED", &value).await.status(200);
    for path in [format!("/workspaces/{target}/secrets"), format!("/workspaces/{target}/secrets/STORED/versions")] {
        for actor in [&owner, &admin, &fixture.agent] {
            answers.keep(&path, actor.get(&path).await.status(200));
        }
    }
}

/// Credentials that are shown once, where they are shown, and refused as values.
async fn credentials(world: &World, fixture: &Fixture, answers: &mut Answers) -> Vec<String> {
    let owner = probe::owner_again(world).await;
    let target = &fixture.ids["id"];
    let mut shown = vec![ADMIN.to_owned(), PASSWORD.to_owned()];
    let session = owner.header("cookie").expect("a cookie").trim_start_matches("portcullis=").to_owned();
    let csrf = owner.header("x-csrf-token").expect("a token").to_owned();
    shown.extend([session, csrf]);
    let of_workspace = owner.post(&format!("/workspaces/{target}/tokens"), json!({})).await;
    shown.push(of_workspace.status(201).member("auth_token"));
    shown.push(world.org_token(&owner, json!({"name": "of the owner"})).await);
    // Held, approved, claimed: the claim is shown to who approves, the token to who claims.
    let held = world.admin().post("/org/tokens", json!({"name": "claimed"})).await;
    let decided = owner.decide(&held.status(202).member("approval_id"), "approved").await;
    let claim = decided.status(200).json["result"]["claim_token"].as_str().expect("a claim").to_owned();
    let claimed = owner.post("/auth/token-claims", json!({"claim_token": claim})).await;
    shown.extend([claim, claimed.status(200).member("auth_token")]);
    let enrolment = owner.post(&format!("/workspaces/{target}/enrolments"), json!({})).await;
    let code = enrolment.status(201).member("code");
    let registered = world.nobody().post("/registry/register", json!({"id": target, "code": code})).await;
    shown.extend([code, registered.status(200).member("auth_token")]);
    for (n, credential) in shown.iter().enumerate().skip(2) {
        let pasted = owner.set(target, &format!("PASTED_{n}"), credential).await;
        answers.keep("a credential as a value", &pasted);
        let text = format!("prefix {credential} suffix");
        answers.keep("a credential in a value", &owner.set(target, &format!("WRAPPED_{n}"), &text).await);
    }
    for path in ["/org/tokens".to_owned(), format!("/workspaces/{target}/tokens"), "/approvals".to_owned()] {
        let listed = owner.get(&path).await;
        clean(&path, &listed.status(200).text, &shown);
        answers.keep(&path, &listed);
    }
    shown
}

/// Every file below a directory, byte for byte.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
    found
}

#[test]
fn a_value_driven_through_every_route_is_found_nowhere_but_in_its_workspaces_bundle() {
    LazyLock::force(&LISTENING);
    each_engine(Config::default(), async |mut world| {
        let fixture = Fixture::new(&world).await;
        let mut answers = Answers::default();
        approvals(&world, &fixture, &mut answers).await;
        wrong_places(&world, &fixture, &mut answers).await;
        let shown = credentials(&world, &fixture, &mut answers).await;
        every_route(&world, &fixture, &mut answers).await;

        let canary = vec![CORE.to_owned()];
        assert!(answers.0.len() > 1_000, "{} answers: not much was tried", answers.0.len());
        for (what, text) in &answers.0 {
            clean(what, text, &canary);
        }
        let mut needles = canary;
        needles.extend(shown);

        let owner = probe::owner_again(&world).await;
        let export = owner.get("/audit/export").await;
        assert!(export.status(200).text.contains(KEY) && export.text.lines().count() > 100);
        clean("the exported log", &export.text, &needles);
        let page = owner.get("/audit?limit=500").await;
        clean("the log", &page.status(200).text, &needles);
        clean("/metrics", &owner.get("/metrics").await.status(200).text, &needles);
        let newest = world.db.integer("SELECT MAX(id) FROM events");
        let mut events = Events::open(&owner, "/events?after=0").await;
        events.until(newest).await;
        assert!(events.text.contains(KEY));
        clean("the live stream", &events.text, &needles);
        drop(events);

        let tables = dump(&world.db);
        assert!(tables["secret_versions"].iter().any(|row| row.contains(KEY)));
        for (table, rows) in tables {
            for row in rows {
                clean(&format!("{} table `{table}`", world.db.engine), &row, &needles);
            }
        }
        // Its worker keeps the end of the log in a file that is renamed.
        world.shut_down().await;
        let (mut bytes, mut seen) = (0, false);
        for (path, content) in files(&world.db.data_dir) {
            let text = String::from_utf8_lossy(&content);
            (bytes, seen) = (bytes + content.len(), seen || text.contains(KEY));
            clean(&path, &text, &needles);
        }
        assert!(bytes > 0 && seen == (world.db.engine == "sqlite"), "the files of the store were not looked at");
        let log = logged();
        assert!(log.contains("secret_set") && log.contains("request_id") && log.lines().count() > 1_000);
        clean("what was logged", &log, &needles);
        world
    });
}

#[test]
fn the_search_finds_what_it_looks_for_in_every_form() {
    let value = canary();
    let json_text = Value::from(value.clone()).to_string();
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for text in [value, json_text, hex.to_uppercase(), hex, percent] {
        let found = std::panic::catch_unwind(|| clean("here", &format!("before {text} after"), &[CORE.to_owned()]));
        assert!(found.is_err(), "not found in {text}");
    }
    // `printf '%s' "xx7f3aCanary91bbQz04TweetXkyy" | base64`, and with one and three before it.
    for before in ["", "x", "xx", "xxx"] {
        let whole = format!("{before}{CORE}yyyy");
        let encoded = &base64_forms(&whole)[0];
        let found = std::panic::catch_unwind(|| clean("here", encoded, &[CORE.to_owned()]));
        assert!(found.is_err(), "not found in {encoded}");
    }
    clean("here", "nothing", &[CORE.to_owned()]);
}
