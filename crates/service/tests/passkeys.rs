//! Passkeys through the real routes, with a browser and an authenticator made of software.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use portcullis_authority::{Config, TestAuthenticator};
use portcullis_kernel::operator::Role;
use probe::state;
use serde_json::{Value, json};
use world::{Actor, Answer, World, each_engine};

const EMAIL: &str = "keeper@example.org";
const ORIGIN: &str = "http://localhost:8080";

/// The same, reached by a name.
fn named(actor: &Actor) -> Actor {
    actor.with("host", "localhost:8080")
}

async fn add(actor: &Actor, device: &mut TestAuthenticator, name: &str) -> Answer {
    let options = actor.post("/auth/passkeys/begin", json!({"name": name})).await;
    actor.post("/auth/passkeys/finish", device.create(&options.status(200).json)).await
}

async fn log_in(world: &World, device: &mut TestAuthenticator) -> Answer {
    let nobody = named(&world.nobody());
    let options = nobody.post("/auth/passkey-login/begin", json!({})).await;
    nobody.post("/auth/passkey-login/finish", device.get(&options.status(200).json)).await
}

async fn step_up(actor: &Actor, device: &mut TestAuthenticator) -> Answer {
    let options = actor.post("/auth/step-up/passkey/begin", json!({})).await;
    actor.post("/auth/step-up/passkey/finish", device.get(&options.status(200).json)).await
}

/// A session that a login opened.
fn session(world: &World, opened: &Answer) -> Actor {
    let cookie = opened.status(200).headers["set-cookie"].to_str().expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair");
    named(&world.nobody()).with("cookie", cookie).with("x-csrf-token", &opened.member("csrf_token"))
}

/// Asserts that `act` is refused, and that nothing came of it but so many entries of the log.
async fn untouched(world: &World, logged: i64, act: impl Future<Output = Answer>) -> Answer {
    let before = state(&world.db);
    let rows = world.db.rows()["audit"];
    let answer = act.await;
    assert!(answer.status >= 400, "{}", answer.text);
    assert_eq!(state(&world.db), before, "{}", answer.text);
    assert_eq!(world.db.rows()["audit"], rows + logged, "{}", answer.text);
    answer
}

#[test]
fn a_passkey_opens_a_session_and_renews_it() {
    each_engine(Config::default(), async |world| {
        for es256 in [true, false] {
            let email = format!("{es256}-{EMAIL}");
            let keeper = named(&world.operator(&email, Role::Owner, &[]).await);
            let mut device = TestAuthenticator::new(es256, ORIGIN);
            let options = keeper.post("/auth/passkeys/begin", json!({})).await;
            let asked = &options.status(200).json;
            assert_eq!((&asked["rp"]["id"], &asked["user"]["name"]), (&json!("localhost"), &json!(email)));
            assert_eq!(asked["authenticatorSelection"]["userVerification"], "required");
            assert_eq!((&asked["attestation"], &asked["excludeCredentials"]), (&json!("none"), &json!([])));
            let (added, rows) = world.changed(keeper.post("/auth/passkeys/finish", device.create(asked))).await;
            assert_eq!(added.status(201).member("name"), "another program");
            assert_eq!((rows.get("audit"), rows.get("passkeys"), rows.len()), (Some(&1), Some(&1), 2));
            let listed = keeper.get("/auth/passkeys").await;
            assert_eq!(listed.status(200).json, json!([added.json]));

            world.advance(60_000);
            let opened = log_in(&world, &mut device).await;
            assert_eq!(opened.status(200).json["operator"]["email"], email.as_str());
            let fresh = session(&world, &opened);
            assert_eq!(fresh.get("/auth/session").await.status(200).json["step_up_until"], Value::Null);
            // It is a sign-in like any other: what needs a re-authentication still does.
            fresh.post("/auth/passkeys/begin", json!({})).await.refused(403, "STEP_UP_REQUIRED");
            let path = format!("/auth/passkeys/{}", added.member("id"));
            untouched(&world, 0, fresh.delete(&path)).await.refused(403, "STEP_UP_REQUIRED");
            let renewed = step_up(&fresh, &mut device).await;
            assert!(renewed.status(200).json["step_up_until"].is_string());
            fresh.post("/auth/passkeys/begin", json!({})).await.status(200);
            let used = fresh.get("/auth/passkeys").await.json[0]["last_used_at"].clone();
            assert!(used.is_string());
            let id = added.member("id");
            let login = world.audit("event=session.login").await;
            let login = login.last().expect("an entry").clone();
            assert_eq!((&login["rule"], &login["detail"]["passkey"]), (&json!("passkey"), &json!(id)));
            let again = world.audit("event=session.step_up").await;
            assert_eq!(again.last().expect("an entry")["detail"], json!({"passkey": id}));
            // Gone is gone.
            let (others, path) = (world.owner(), format!("/auth/passkeys/{id}"));
            untouched(&world, 0, others.delete(&path)).await.refused(404, "NOT_FOUND");
            fresh.delete(&format!("/auth/passkeys/{id}")).await.status(200);
            assert_eq!(fresh.get("/auth/passkeys").await.status(200).json, json!([]));
            untouched(&world, 1, log_in(&world, &mut device)).await.refused(401, "LOGIN_FAILED");
        }
        world
    });
}

#[test]
fn what_was_not_asked_is_not_answered() {
    each_engine(Config::default(), async |world| {
        let keeper = named(&world.operator(EMAIL, Role::Member, &[]).await);
        let nobody = named(&world.nobody());
        let mut device = TestAuthenticator::new(true, ORIGIN);
        add(&keeper, &mut device, "mine").await.status(201);
        let begin = async |path: &str, actor: &Actor| actor.post(path, json!({})).await.status(200).json.clone();
        let login = "/auth/passkey-login/finish";
        // Twice, late, made up, or for something else.
        let options = begin("/auth/passkey-login/begin", &nobody).await;
        let answer = device.get(&options);
        nobody.post(login, answer.clone()).await.status(200);
        untouched(&world, 0, nobody.post(login, answer)).await.refused(401, "LOGIN_FAILED");
        let late = device.get(&begin("/auth/passkey-login/begin", &nobody).await);
        world.advance(5 * 60 * 1000);
        untouched(&world, 0, nobody.post(login, late)).await.refused(401, "LOGIN_FAILED");
        let keeper = named(&world.log_in(EMAIL).await);
        let mut made_up = options.clone();
        made_up["challenge"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into();
        untouched(&world, 0, nobody.post(login, device.get(&made_up))).await.refused(401, "LOGIN_FAILED");
        let step_up_options = begin("/auth/step-up/passkey/begin", &keeper).await;
        assert_eq!(step_up_options["allowCredentials"].as_array().map(Vec::len), Some(1));
        let answer = device.get(&step_up_options);
        untouched(&world, 0, nobody.post(login, answer)).await.refused(401, "LOGIN_FAILED");
        let answer = device.get(&begin("/auth/passkey-login/begin", &nobody).await);
        let act = keeper.post("/auth/step-up/passkey/finish", answer);
        untouched(&world, 0, act).await.refused(401, "LOGIN_FAILED");
        // In another session of the same human, and of another.
        let second = named(&world.log_in(EMAIL).await);
        let other = named(&world.operator("other@example.org", Role::Owner, &[]).await);
        for actor in [&second, &other] {
            let answer = device.get(&begin("/auth/step-up/passkey/begin", &keeper).await);
            let act = actor.post("/auth/step-up/passkey/finish", answer);
            untouched(&world, 0, act).await.refused(401, "LOGIN_FAILED");
            let mut new = TestAuthenticator::new(true, ORIGIN);
            let answer = new.create(&begin("/auth/passkeys/begin", &keeper).await);
            let act = actor.post("/auth/passkeys/finish", answer);
            untouched(&world, 0, act).await.refused(422, "INVALID_FIELD");
        }
        // With a passkey of somebody else.
        let mut theirs = TestAuthenticator::new(true, ORIGIN);
        add(&other, &mut theirs, "theirs").await.status(201);
        untouched(&world, 1, step_up(&keeper, &mut theirs)).await.refused(401, "LOGIN_FAILED");
        let whose = theirs.user_handle.clone();
        theirs.user_handle.clone_from(&device.user_handle);
        untouched(&world, 1, log_in(&world, &mut theirs)).await.refused(401, "LOGIN_FAILED");
        theirs.user_handle = Vec::new();
        untouched(&world, 1, log_in(&world, &mut theirs)).await.refused(401, "LOGIN_FAILED");
        theirs.user_handle = whose;
        log_in(&world, &mut theirs).await.status(200);
        // The same passkey is not added twice, nor by anybody else.
        for actor in [&keeper, &other] {
            untouched(&world, 0, add(actor, &mut device, "again")).await.refused(409, "CONFLICT");
        }
        let programs = [world.admin(), world.agent_of(&world.workspace("target").await).await];
        for program in &programs {
            for path in ["/auth/passkeys/begin", "/auth/step-up/passkey/begin"] {
                untouched(&world, 0, named(program).post(path, json!({}))).await.refused(403, "HUMAN_REQUIRED");
            }
            untouched(&world, 0, program.get("/auth/passkeys")).await.refused(403, "HUMAN_REQUIRED");
        }
        // A number is no name.
        let unnamed = world.nobody();
        untouched(&world, 0, unnamed.post("/auth/passkey-login/begin", json!({})))
            .await
            .refused(400, "INVALID_REQUEST");
        world
    });
}

#[test]
fn a_user_who_was_not_verified_a_copy_and_another_page_are_refused_and_recorded() {
    each_engine(Config::default(), async |world| {
        let keeper = named(&world.operator(EMAIL, Role::Member, &[]).await);
        let mut device = TestAuthenticator::new(false, ORIGIN);
        add(&keeper, &mut device, "mine").await.status(201);
        log_in(&world, &mut device).await.status(200);
        let good = (device.flags, device.origin.clone());
        device.flags = 0b001;
        untouched(&world, 1, log_in(&world, &mut device)).await.refused(401, "LOGIN_FAILED");
        device.flags = good.0;
        log_in(&world, &mut device).await.status(200);
        device.origin = "http://localhost:9090".to_owned();
        untouched(&world, 1, log_in(&world, &mut device)).await.refused(401, "LOGIN_FAILED");
        device.origin = good.1;
        log_in(&world, &mut device).await.status(200);
        // A copy counts on from where it was made.
        device.count = Some(1);
        untouched(&world, 1, log_in(&world, &mut device)).await.refused(401, "LOGIN_FAILED");
        let log = world.audit("event=session.login.refused").await;
        let last = log.last().expect("an entry").clone();
        assert_eq!((&last["rule"], &last["outcome"]), (&json!("passkey"), &json!("refused")));
        let told = last["detail"]["problem"].as_str().expect("a problem");
        assert!(told.contains("counter") && last["detail"]["operator"].is_string(), "{last}");
        device.count = Some(100);
        log_in(&world, &mut device).await.status(200);
        // Whoever tries again and again is slowed, by this passkey only.
        device.flags = 0b001;
        for _ in 0..5 {
            log_in(&world, &mut device).await.refused(401, "LOGIN_FAILED");
        }
        untouched(&world, 0, log_in(&world, &mut device)).await.refused(429, "LOGIN_RATE_LIMITED");
        let other = named(&world.operator("other@example.org", Role::Member, &[]).await);
        let mut theirs = TestAuthenticator::new(true, ORIGIN);
        theirs.count = None;
        add(&other, &mut theirs, "does not count").await.status(201);
        for _ in 0..3 {
            log_in(&world, &mut theirs).await.status(200);
        }
        // Disabled, and back in by a link: the passkeys are gone with the password.
        let owner = world.owner();
        let list = owner.get("/operators").await;
        let found = list.json.as_array().expect("a list").iter().find(|one| one["email"] == "other@example.org");
        let id = found.expect("the operator")["id"].as_str().expect("an id").to_owned();
        owner.patch(&format!("/operators/{id}"), json!({"disabled": true})).await.status(200);
        untouched(&world, 1, log_in(&world, &mut theirs)).await.refused(401, "LOGIN_FAILED");
        owner.patch(&format!("/operators/{id}"), json!({"disabled": false})).await.status(200);
        log_in(&world, &mut theirs).await.status(200);
        let link = owner.post(&format!("/operators/{id}/invite"), json!({})).await.status(201).member("invite_token");
        let accept = json!({"token": link, "password": "a password that was chosen"});
        world.nobody().post("/auth/accept", accept).await.status(200);
        untouched(&world, 1, log_in(&world, &mut theirs)).await.refused(401, "LOGIN_FAILED");
        world
    });
}

#[test]
fn twisted_answers_are_refused_below_500() {
    each_engine(Config::default(), async |world| {
        let keeper = named(&world.operator(EMAIL, Role::Member, &[]).await);
        let nobody = named(&world.nobody());
        let mut device = TestAuthenticator::new(true, ORIGIN);
        let twists: [(&str, Value); 9] = [
            ("/id", json!("AAAA")),
            ("/id", json!("not base64!")),
            ("/type", json!("password")),
            ("/response/clientDataJSON", json!("")),
            ("/response/clientDataJSON", json!("e30")),
            ("/response/clientDataJSON", json!("A".repeat(40_000))),
            ("/response/surplus", json!(1)),
            ("/surplus", json!(1)),
            ("/response", json!(null)),
        ];
        let twist = |answer: &Value, (at, to): &(&str, Value)| {
            let mut answer = answer.clone();
            let (parent, name) = at.rsplit_once('/').expect("a path");
            answer.pointer_mut(parent).expect("an object")[name] = to.clone();
            answer
        };
        for one in &twists {
            let options = keeper.post("/auth/passkeys/begin", json!({})).await.status(200).json.clone();
            let act = keeper.post("/auth/passkeys/finish", twist(&device.create(&options), one));
            let answer = untouched(&world, 0, act).await;
            assert_eq!(answer.status, 422, "{one:?}: {}", answer.text);
        }
        add(&keeper, &mut device, "mine").await.status(201);
        for one in &twists {
            let options = nobody.post("/auth/passkey-login/begin", json!({})).await.status(200).json.clone();
            let act = nobody.post("/auth/passkey-login/finish", twist(&device.get(&options), one));
            let answer = untouched(&world, 0, act).await;
            assert!(matches!(answer.status, 401 | 422), "{one:?}: {}", answer.text);
        }
        log_in(&world, &mut device).await.status(200);
        world
    });
}

#[test]
fn a_ceremony_that_began_at_one_server_ends_at_another_and_once() {
    each_engine(Config::default(), async |world| {
        let (running, url) = world.beside().await;
        let keeper = named(&world.operator(EMAIL, Role::Owner, &[]).await);
        let mut device = TestAuthenticator::new(true, ORIGIN);
        let options = keeper.post("/auth/passkeys/begin", json!({"name": "mine"})).await;
        let made = device.create(&options.status(200).json);
        keeper.at(&url).post("/auth/passkeys/finish", made).await.status(201);
        let nobody = named(&world.nobody());
        let options = nobody.at(&url).post("/auth/passkey-login/begin", json!({})).await;
        let used = device.get(&options.status(200).json);
        nobody.post("/auth/passkey-login/finish", used.clone()).await.status(200);
        nobody.at(&url).post("/auth/passkey-login/finish", used).await.refused(401, "LOGIN_FAILED");
        running.shutdown().await;
        world
    });
}

#[test]
fn there_is_room_for_so_many() {
    each_engine(Config::default(), async |world| {
        let keeper = named(&world.operator(EMAIL, Role::Member, &[]).await);
        for n in 0..20 {
            add(&keeper, &mut TestAuthenticator::new(true, ORIGIN), &format!("number {n}")).await.status(201);
        }
        let one_more = keeper.post("/auth/passkeys/begin", json!({"name": "one more"}));
        untouched(&world, 0, one_more).await.refused(422, "LIMIT_REACHED");
        world
    });
}
