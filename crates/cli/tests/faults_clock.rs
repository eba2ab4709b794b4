//! The clock of the machine jumps under the server: what has expired stays expired, the log's time never goes back, and
//! time goes on. The rules are in docs/faults.md.

mod kit;

use kit::{
    ADMIN, Actor, Server,
    faults::{Client, Shim, verify},
    ran, runtime, serve, want,
};
use portcullis_authority::testkit_db::databases;
use serde_json::json;

/// Longer than a session and an approval live, shorter than the token below.
const TWO_DAYS: i64 = 2 * 24 * 60 * 60;

#[test]
fn what_expired_when_the_clock_went_forward_does_not_come_back_when_it_is_set_back() {
    for db in databases() {
        let shim = Shim::new();
        let mut command = serve(&db);
        shim.before(&mut command);
        let server = Server::start(command);
        let url = server.url.clone();
        let (mut client, session, token) = runtime().block_on(async {
            let mut client = Client::new(&db, &server).await;
            client.is_well(&url).await;
            let workspace = client.workspace.clone();
            // Waits for a human.
            let admin = Actor::bearer(ADMIN);
            let path = format!("/workspaces/{workspace}/secrets");
            let held = want(202, admin.post(&url, &path, json!({"key": "ASKED", "value": "v"})).await);
            let approval = held["approval_id"].as_str().unwrap().to_owned();
            let minted = want(
                201,
                client
                    .owner
                    .post(&url, &format!("/workspaces/{workspace}/tokens"), json!({"expires_in_s": 3600}))
                    .await,
            );
            let token = Actor::bearer(minted["auth_token"].as_str().unwrap());
            want(200, token.get(&url, &path).await);

            shim.order("clock", &TWO_DAYS.to_string());
            want(401, client.owner.get(&url, "/workspaces").await);
            want(401, token.get(&url, &path).await);
            // A new session is of the new time.
            let session = Actor::session(&url, kit::faults::OWNER).await;
            let decide = json!({"decision": "approved"});
            let (status, late) =
                session.post(&url, &format!("/approvals/{approval}/decide"), decide.clone()).await.unwrap();
            assert!(status >= 400, "{}: a vote after the end: {late}", db.engine);

            shim.order("clock", "0");
            want(401, client.owner.get(&url, "/workspaces").await);
            want(401, token.get(&url, &path).await);
            let (status, late) = session.post(&url, &format!("/approvals/{approval}/decide"), decide).await.unwrap();
            assert!(status >= 400, "{}: a vote after the end: {late}", db.engine);
            let old = std::mem::replace(&mut client.owner, Actor::session(&url, kit::faults::OWNER).await);
            client.is_well(&url).await;

            // Back before everything.
            shim.order("clock", &(-TWO_DAYS).to_string());
            client.is_well(&url).await;
            want(401, old.get(&url, "/workspaces").await);
            (client, old, token)
        });
        let disorder = "SELECT COUNT(*) FROM audit a JOIN audit b ON b.seq = a.seq + 1 WHERE b.at_ms < a.at_ms";
        assert_eq!(db.integer(disorder), 0, "{}: the log goes back in time", db.engine);
        let mut server = server;
        server.kill();
        server.ended();
        ran(verify(&db)).exits(0);

        // A server that starts with the clock set back knows from the log what time it was.
        let mut command = serve(&db);
        shim.before(&mut command);
        let server = Server::start(command);
        runtime().block_on(async {
            want(401, session.get(&server.url, "/workspaces").await);
            want(401, token.get(&server.url, &format!("/workspaces/{}/secrets", client.workspace)).await);
            client.finds_everything(&server.url).await;
            client.is_well(&server.url).await;
        });
        assert_eq!(db.integer(disorder), 0, "{}: the log goes back in time", db.engine);
        server.stop();
        ran(verify(&db)).exits(0);
    }
}
