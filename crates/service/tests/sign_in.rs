//! How people sign in: their sessions, the links they are invited with, their passwords.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use portcullis_authority::Config;
use portcullis_kernel::operator::Role;
use probe::state;
use serde_json::{Value, json};
use world::{Actor, World, each_engine};

const LINUX: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";

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
