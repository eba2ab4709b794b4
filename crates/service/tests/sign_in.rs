//! How people sign in: their sessions, the links they are invited with, their passwords.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use futures_util::FutureExt;
use portcullis_authority::{Answer as Answered, Config, Meta};
use portcullis_kernel::{deed::OperatorInvite, operator::Role};
use probe::state;
use serde_json::{Value, json};
use world::{Actor, World, each_engine};

const LINUX: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";

/// Passwords that the server hashes at the same time.
const HASHES_AT_ONCE: usize = 2;

/// A session of the owner, opened by a program that says this of itself.
async fn session_by(world: &World, user_agent: &str) -> Actor {
    let body = json!({"email": "owner@example.org", "password": world::PASSWORD});
    let answer = world.nobody().with("user-agent", user_agent).post("/auth/login", body).await;
    let cookie = answer.status(200).headers["set-cookie"].to_str().expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    world.nobody().with("cookie", &cookie).with("x-csrf-token", &answer.member("csrf_token"))
}

async fn sessions(actor: &Actor) -> Vec<Value> {
    actor.get("/auth/sessions").await.status(200).json.as_array().expect("a list").clone()
}

fn current(sessions: &[Value]) -> String {
    let found = sessions.iter().find(|session| session["current"] == true).expect("the session that asks");
    found["id"].as_str().expect("an id").to_owned()
}

#[test]
fn people_see_and_end_their_own_sessions_and_no_others() {
    each_engine(Config::default(), async |world| {
        world.advance(60_000);
        let browser = session_by(&world, LINUX).await;
        world.advance(60_000);
        let cli = session_by(&world, "portcullis/0.3.0").await;
        let other = world.operator("other@example.org", Role::Owner, &[]).await;
        let listed = sessions(&cli).await;
        let devices: Vec<_> = listed.iter().map(|session| session["device"].as_str().expect("words")).collect();
        assert_eq!(devices, ["Portcullis CLI", "Chrome on Linux", "another program"]);
        let flags: Vec<_> = listed.iter().map(|session| session["current"] == true).collect();
        assert_eq!(flags, [true, false, false]);
        assert_eq!(listed[1]["created_at"], "2026-06-11T00:09:00Z");
        for member in ["id", "created_at", "last_used_at", "expires_at"] {
            assert!(listed[0][member].is_string(), "{listed:?}");
        }
        // What the program said of itself is nowhere.
        let everything = format!("{:?}", probe::dump(&world.db));
        assert!(!everything.contains("AppleWebKit") && everything.contains("Chrome on Linux"));

        let browsers = current(&sessions(&browser).await);
        let others = current(&sessions(&other).await);
        // Not mine, not a session, no id.
        let target = world.workspace("target").await;
        let minted = world.owner().post(&format!("/workspaces/{target}/tokens"), json!({})).await;
        let token = minted.status(201).member("id");
        let agent = world.agent_of(&target).await;
        let before = (state(&world.db), world.db.rows());
        for id in [others.as_str(), token.as_str(), &target] {
            cli.delete(&format!("/auth/sessions/{id}")).await.refused(404, "NOT_FOUND");
        }
        cli.delete("/auth/sessions/x").await.refused(400, "INVALID_REQUEST");
        for program in [&world.admin(), &agent] {
            program.get("/auth/sessions").await.refused(403, "HUMAN_REQUIRED");
            program.delete(&format!("/auth/sessions/{browsers}")).await.refused(403, "HUMAN_REQUIRED");
        }
        cli.without("x-csrf-token").delete(&format!("/auth/sessions/{browsers}")).await.refused(403, "CSRF_REQUIRED");
        assert_eq!((state(&world.db), world.db.rows()), before);

        // Another one of mine: it ends, and the log says so as of a logout.
        let (ended, changed) = world.changed(cli.delete(&format!("/auth/sessions/{browsers}"))).await;
        ended.status(200);
        assert!(ended.headers.get("set-cookie").is_none());
        World::only_audited(&changed);
        browser.get("/auth/session").await.refused(401, "CREDENTIAL_REVOKED");
        let log = world.audit("event=session.logout").await;
        assert_eq!(log.last().expect("an entry")["detail"], json!({"session": browsers}));
        assert_eq!(log.last().expect("an entry")["subject"]["kind"], "operator");
        assert_eq!(sessions(&cli).await.len(), 2);
        cli.delete(&format!("/auth/sessions/{browsers}")).await.refused(404, "NOT_FOUND");
        // My own: as a logout.
        let own = current(&sessions(&cli).await);
        let ended = cli.delete(&format!("/auth/sessions/{own}")).await;
        assert!(ended.status(200).headers["set-cookie"].to_str().expect("a cookie").contains("Max-Age=0"));
        cli.get("/auth/sessions").await.refused(401, "CREDENTIAL_REVOKED");
        // What was not used for long is not a session any more.
        world.advance(world.authority.config().session_idle_ms);
        let fresh = world.log_in("owner@example.org").await;
        assert_eq!(sessions(&fresh).await.len(), 1);
        world
    });
}

const CHOSEN: &str = "a password that was chosen";

/// Asserts that `act` is refused, and that nothing came of it; `logged` entries of the log are all.
async fn untouched(world: &World, logged: i64, act: impl Future<Output = world::Answer>) -> world::Answer {
    let before = state(&world.db);
    let rows = world.db.rows()["audit"];
    let answer = act.await;
    assert!(answer.status >= 400, "{}", answer.text);
    assert_eq!(state(&world.db), before, "{}", answer.text);
    assert_eq!(world.db.rows()["audit"], rows + logged, "{}", answer.text);
    answer
}

async fn log_in(world: &World, email: &str, password: &str) -> world::Answer {
    world.nobody().post("/auth/login", json!({"email": email, "password": password})).await
}

/// The operator as the list shows it.
async fn listed(world: &World, email: &str) -> Value {
    let list = world.owner().get("/operators").await;
    let list = list.status(200).json.as_array().expect("a list").clone();
    list.into_iter().find(|operator| operator["email"] == email).expect("the operator")
}

#[test]
fn an_invited_operator_chooses_a_password_once_and_in_time() {
    each_engine(Config::default(), async |world| {
        let (owner, nobody) = (world.owner(), world.nobody());
        let body = json!({"email": "new@example.org", "role": "approver"});
        let made = owner.post("/operators", body.clone()).await;
        let (id, first) = (made.status(201).member("id"), made.member("invite_token"));
        assert_eq!((made.member("email"), made.member("role")), ("new@example.org".into(), "approver".into()));
        assert_eq!(made.member("expires_at"), "2026-06-12T00:08:00Z");
        let shown = listed(&world, "new@example.org").await;
        assert_eq!((&shown["invited"], &shown["last_login_at"]), (&json!(true), &Value::Null));
        // Nobody has no password.
        for password in ["!", "", CHOSEN] {
            untouched(&world, 1, log_in(&world, "new@example.org", password)).await.refused(401, "LOGIN_FAILED");
        }
        let accept = |token: &str, password: &str| {
            let body = json!({"token": token, "password": password});
            let nobody = nobody.clone();
            async move { nobody.post("/auth/accept", body).await }
        };
        untouched(&world, 0, accept(&first, "short")).await.refused(422, "PASSWORD_TOO_WEAK");
        // The link is nothing else.
        let link = json!({"token": first, "email": "x@example.org", "password": CHOSEN});
        untouched(&world, 0, nobody.post("/auth/claim", link)).await.refused(401, "CREDENTIAL_INVALID");
        let link = json!({"claim_token": first});
        untouched(&world, 0, owner.post("/auth/token-claims", link)).await.refused(401, "CREDENTIAL_INVALID");
        let link = json!({"id": world.root(), "code": first});
        untouched(&world, 0, nobody.post("/registry/register", link)).await.refused(401, "CREDENTIAL_INVALID");
        untouched(&world, 0, world.bearer(&first).get("/workspaces")).await.refused(401, "CREDENTIAL_INVALID");
        // Another link ends the first.
        let again = owner.post(&format!("/operators/{id}/invite"), json!({})).await;
        let second = again.status(201).member("invite_token");
        assert_eq!(again.member("expires_at"), "2026-06-12T00:08:00Z");
        assert!(again.json["audit_id"].is_i64() && first != second);
        untouched(&world, 0, accept(&first, CHOSEN)).await.refused(401, "CREDENTIAL_REVOKED");
        let (accepted, changed) = world.changed(accept(&second, CHOSEN)).await;
        let words = json!({"id": id, "email": "new@example.org", "role": "approver"});
        assert_eq!(accepted.status(200).json, words);
        World::only_audited(&changed);
        untouched(&world, 0, accept(&second, "another password then")).await.refused(401, "CREDENTIAL_REVOKED");
        assert_eq!(listed(&world, "new@example.org").await["invited"], false);
        world.advance(1_000);
        log_in(&world, "new@example.org", CHOSEN).await.status(200);
        assert_eq!(listed(&world, "new@example.org").await["last_login_at"], "2026-06-11T00:08:01Z");
        let log = world.audit("event=invite.accept").await;
        assert_eq!((log.len(), &log[0]["subject"]), (1, &json!({"kind": "operator", "id": id})));
        // Nothing of it is anywhere: not the links, not the password.
        let everything = format!("{:?}", probe::dump(&world.db));
        for secret in [first.as_str(), &second, CHOSEN] {
            assert!(!everything.contains(secret));
        }
        // A day is too late, and a disabled operator is not invited.
        let third = owner.post(&format!("/operators/{id}/invite"), json!({})).await.status(201).member("invite_token");
        world.advance(24 * 60 * 60 * 1000);
        untouched(&world, 0, accept(&third, "another password then")).await.refused(401, "CREDENTIAL_EXPIRED");
        let owner = world.log_in("owner@example.org").await;
        let last = owner.post(&format!("/operators/{id}/invite"), json!({})).await.status(201).member("invite_token");
        owner.patch(&format!("/operators/{id}"), json!({"disabled": true})).await.status(200);
        untouched(&world, 0, accept(&last, "another password then")).await.refused(401, "CREDENTIAL_REVOKED");
        let path = format!("/operators/{id}/invite");
        untouched(&world, 1, owner.post(&path, json!({}))).await.refused(409, "CONFLICT");
        world
    });
}

#[test]
fn only_owners_invite_and_a_new_link_is_the_way_back_in() {
    each_engine(Config::default(), async |world| {
        let forgetful = world.operator("forgetful@example.org", Role::Approver, &[]).await;
        let id = listed(&world, "forgetful@example.org").await["id"].as_str().expect("an id").to_owned();
        let path = format!("/operators/{id}/invite");
        let body = || json!({"email": "new@example.org", "role": "owner"});
        let target = world.workspace("target").await;
        let service = world.bearer(&world.org_token(&world.owner(), json!({"name": "a program"})).await);
        let agent = world.agent_of(&target).await;
        for program in [&world.admin(), &agent, &service] {
            for act in [program.post(&path, json!({})), program.post("/operators", body())] {
                let refused = untouched(&world, 1, act).await;
                assert!(matches!(refused.code(), "HUMAN_REQUIRED" | "NOT_FOUND" | "SCOPE_MISSING"), "{}", refused.text);
                assert!(!refused.text.contains("invite_token"));
            }
        }
        for role in [Role::Approver, Role::Member, Role::Auditor] {
            let other = world.operator(&format!("{}@example.org", role.as_str()), role, &[]).await;
            untouched(&world, 1, other.post(&path, json!({}))).await.refused(403, "ROLE_REQUIRED");
            untouched(&world, 1, other.post("/operators", body())).await.refused(403, "ROLE_REQUIRED");
        }
        let fresh = world.log_in_only("owner@example.org").await;
        untouched(&world, 1, fresh.post(&path, json!({}))).await.refused(403, "STEP_UP_REQUIRED");
        let nobody = format!("/operators/{}/invite", world.root());
        untouched(&world, 1, world.owner().post(&nobody, json!({}))).await.refused(404, "NOT_FOUND");
        untouched(&world, 0, world.owner().post(&path, json!({"role": "owner"}))).await.status(422);
        let plan = world.owner().post(&format!("{path}?dry_run=true"), json!({})).await;
        assert_eq!(plan.status(200).json["decision"], "allow");
        assert!(!plan.text.contains("token"), "{}", plan.text);
        // What is asked twice under one key is told without the link, and the link stands.
        let twice = world.owner().with("idempotency-key", "one");
        let link = twice.post(&path, json!({})).await.status(201).member("invite_token");
        let again = twice.post(&path, json!({})).await;
        assert_eq!(again.status(201).json["invite_token"], Value::Null);
        // The old password and the old sessions live until the link is used.
        forgetful.get("/auth/session").await.status(200);
        let accept = json!({"token": link, "password": CHOSEN});
        world.nobody().post("/auth/accept", accept).await.status(200);
        forgetful.get("/auth/session").await.refused(401, "CREDENTIAL_REVOKED");
        log_in(&world, "forgetful@example.org", world::PASSWORD).await.refused(401, "LOGIN_FAILED");
        log_in(&world, "forgetful@example.org", CHOSEN).await.status(200);
        world
    });
}

#[test]
fn people_change_their_own_password_and_their_other_sessions_end() {
    each_engine(Config::default(), async |world| {
        let email = "somebody@example.org";
        let one = world.operator(email, Role::Member, &[]).await;
        let two = world.log_in(email).await;
        let id = listed(&world, email).await["id"].as_str().expect("an id").to_owned();
        let link = world.owner().post(&format!("/operators/{id}/invite"), json!({})).await;
        let link = link.status(201).member("invite_token");
        let change = |from: &str, to: &str| json!({"password": from, "new_password": to});
        let wrong = one.post("/auth/password", change("not the password", CHOSEN));
        untouched(&world, 1, wrong).await.refused(401, "LOGIN_FAILED");
        let weak = one.post("/auth/password", change(world::PASSWORD, "short"));
        untouched(&world, 0, weak).await.refused(422, "PASSWORD_TOO_WEAK");
        let target = world.workspace("target").await;
        let agent = world.agent_of(&target).await;
        for program in [&world.admin(), &agent] {
            let act = program.post("/auth/password", change(world::PASSWORD, CHOSEN));
            untouched(&world, 0, act).await.refused(403, "HUMAN_REQUIRED");
        }
        let forged = one.without("x-csrf-token");
        let act = forged.post("/auth/password", change(world::PASSWORD, CHOSEN));
        untouched(&world, 0, act).await.refused(403, "CSRF_REQUIRED");
        let (changed, rows) = world.changed(one.post("/auth/password", change(world::PASSWORD, CHOSEN))).await;
        assert_eq!(changed.status(200).json, json!({"status": "saved", "ended": 2}));
        World::only_audited(&rows);
        one.get("/auth/session").await.status(200);
        two.get("/auth/session").await.refused(401, "CREDENTIAL_REVOKED");
        let accept = json!({"token": link, "password": "another password then"});
        world.nobody().post("/auth/accept", accept).await.refused(401, "CREDENTIAL_REVOKED");
        log_in(&world, email, world::PASSWORD).await.refused(401, "LOGIN_FAILED");
        log_in(&world, email, CHOSEN).await.status(200);
        world.owner().get("/auth/session").await.status(200);
        let log = world.audit("event=password.change").await;
        assert_eq!((log.len(), &log[0]["subject"]["id"]), (1, &json!(id)));
        assert!(!format!("{:?}", probe::dump(&world.db)).contains(CHOSEN));
        // Whoever guesses the current one is slowed as at the door.
        for _ in 0..5 {
            one.post("/auth/password", change("a guess that is wrong", CHOSEN)).await.refused(401, "LOGIN_FAILED");
        }
        let slowed = one.post("/auth/password", change(CHOSEN, "another password then"));
        untouched(&world, 0, slowed).await.refused(429, "LOGIN_RATE_LIMITED");
        world
    });
}

#[test]
fn a_password_that_changed_while_it_was_looked_at_proves_nothing() {
    each_engine(Config::default(), async |world| {
        let email = "somebody@example.org";
        let session = world.operator(email, Role::Member, &[]).await;
        // The same password under another salt: it is the hash that counts.
        let twin = async |n: usize| {
            let other = format!("twin-{n}@example.org");
            world.create_operator(&other, Role::Member, &[]).await;
            format!(
                "UPDATE operators SET password_hash = (SELECT password_hash FROM operators WHERE email = '{other}') \
                 WHERE email = '{email}'"
            )
        };
        let login = json!({"email": email, "password": world::PASSWORD});
        let change = json!({"password": world::PASSWORD, "new_password": CHOSEN});
        for (n, (actor, path, body)) in [
            (world.nobody(), "/auth/login", login.clone()),
            (session.clone(), "/auth/step-up", json!({"password": world::PASSWORD})),
            (session.clone(), "/auth/password", change),
        ]
        .into_iter()
        .enumerate()
        {
            let changes = twin(n).await;
            let failed = world.audit("event=session.login.refused").await.len();
            // As many as are hashed at once. Each has a place from the first time it is polled, and keeps it until the next.
            let mut held: Vec<_> =
                (0..HASHES_AT_ONCE).map(|_| Box::pin(world.authority.hash_password(CHOSEN.to_owned()))).collect();
            assert!(held.iter_mut().all(|one| one.as_mut().now_or_never().is_none()));
            let asked = tokio::spawn(async move { actor.post(path, body).await });
            // It looks the hash up and waits for a place, while so many others are answered.
            for _ in 0..50 {
                session.get("/auth/session").await.status(200);
            }
            assert!(!asked.is_finished(), "{path}: it has not waited for a place");
            world.db.run(&changes);
            for one in held {
                assert!(one.await.is_ok());
            }
            let answer = asked.await.expect("an answer");
            answer.refused(401, "LOGIN_FAILED");
            assert!(answer.json["audit_id"].is_i64(), "{path}: {}", answer.text);
            assert_eq!(world.audit("event=session.login.refused").await.len(), failed + 1, "{path}");
        }
        assert_eq!(sessions(&session).await.len(), 1, "none was opened");
        world.nobody().post("/auth/login", login).await.status(200);
        world
    });
}

#[test]
fn an_invitation_dies_with_whoever_issued_it() {
    each_engine(Config::default(), async |world| {
        let owner = world.owner();
        world.create_operator("forgetful@example.org", Role::Owner, &[]).await;
        let id = listed(&world, "forgetful@example.org").await["id"].as_str().expect("an id").to_owned();
        let issuer = world.operator("issuer@example.org", Role::Owner, &[]).await;
        let issuers = listed(&world, "issuer@example.org").await["id"].as_str().expect("an id").to_owned();
        let change = async |body: Value| owner.patch(&format!("/operators/{issuers}"), body).await.status(200).status;
        let accept = |token: &str| {
            let (nobody, body) = (world.nobody(), json!({"token": token, "password": CHOSEN}));
            async move { nobody.post("/auth/accept", body).await }
        };
        let invite = async |issuer: &Actor| {
            let link = issuer.post(&format!("/operators/{id}/invite"), json!({})).await;
            link.status(201).member("invite_token")
        };
        // Not an owner any more at that moment; of an owner the link is good.
        let link = invite(&issuer).await;
        change(json!({"role": "approver"})).await;
        untouched(&world, 0, accept(&link)).await.refused(401, "CREDENTIAL_REVOKED");
        change(json!({"role": "owner"})).await;
        accept(&link).await.status(200);
        // Disabled: both kinds of link are gone, also when it is enabled again.
        let link = invite(&issuer).await;
        let new = json!({"email": "new@example.org", "role": "owner"});
        let first = issuer.post("/operators", new).await.status(201).member("invite_token");
        change(json!({"disabled": true})).await;
        for link in [&link, &first] {
            untouched(&world, 0, accept(link)).await.refused(401, "CREDENTIAL_REVOKED");
        }
        change(json!({"disabled": false})).await;
        for link in [&link, &first] {
            untouched(&world, 0, accept(link)).await.refused(401, "CREDENTIAL_REVOKED");
        }
        // What others issued stands, and so does what the platform issued at its console.
        accept(&invite(&owner).await).await.status(200);
        let deed = OperatorInvite { operator: id.parse().expect("an id") };
        let issued = world.authority.perform_at_console(Meta::default(), deed, ()).await;
        let Ok(Answered::Done(issued)) = issued else { panic!("no link") };
        accept(issued.value.token.expect("a link").expose()).await.status(200);
        world
    });
}

#[test]
fn with_and_without_a_password_are_two_requests() {
    each_engine(Config::default(), async |world| {
        let with = |email: &str| json!({"email": email, "role": "member", "password": CHOSEN});
        let without = |email: &str| json!({"email": email, "role": "member"});
        let actor = |key: &str| world.owner().with("idempotency-key", key);
        let (one, two) = ("one@example.org", "two@example.org");
        for (key, body, other) in [("first", without(one), with(one)), ("second", with(two), without(two))] {
            let made = actor(key).post("/operators", body.clone()).await;
            untouched(&world, 0, actor(key).post("/operators", other)).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
            let again = actor(key).post("/operators", body).await;
            assert_eq!(again.status(201).member("id"), made.status(201).member("id"));
        }
        world
    });
}
