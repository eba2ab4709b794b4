//! Whoever does not supervise a workspace any more writes nothing about it, whatever it still believes. On both engines.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod world;

use portcullis_authority::{AdminToken, Authority, Beat, Config, Ended, Opening, Refusal, clock::Clock};
use portcullis_kernel::{id::ServerId, refusal::Code, workspace::Status};
use serde_json::json;
use world::{World, each_engine};

/// Another server on the same database, with a life of its own.
async fn another(world: &World) -> Authority {
    let authority = Authority::open(Opening {
        data_dir: &world.db.data_dir,
        database_url: world.db.url.as_deref(),
        root_key_file: None,
        admin_token: AdminToken::Untouched,
        config: Config::default(),
        clock: Clock::fixed(world.authority.now().0).0,
    })
    .expect("the organisation opens");
    let server: ServerId = "018f3c2e-0000-7000-8000-000000000001".parse().expect("an id");
    authority.enlist(server, &["process".to_owned()]).await.expect("a server");
    authority
}

fn refused<T>(outcome: Result<T, Refusal>) {
    assert_eq!(outcome.map(drop).map_err(|refusal| refusal.code), Err(Code::Conflict));
}

#[test]
fn what_was_taken_over_is_written_about_by_its_new_server_only() {
    each_engine(Config::default(), async |world| {
        let made = world.owner().post("/workspaces", json!({"name": "worker", "runtime": "process"})).await;
        let id = World::id(&made.status(201).member("id"));
        let (first, place) = (&world.authority, || "host/first".to_owned());
        refused(first.begin_run(id, place()).await);
        world.supervise().await;
        let boot = first.begin_run(id, place()).await.expect("a run").boot;

        let second = another(&world).await;
        if second.has_company() {
            let Beat::Noted(others) = second.beat(&["process".to_owned()]).await.expect("a beat") else {
                panic!("it is the only process of this server");
            };
            // One that has beaten since it was looked at lives, and keeps what is its own.
            assert!(matches!(first.beat(&["process".to_owned()]).await, Ok(Beat::Noted(_))));
            assert_eq!(second.take_workspaces(others).await.expect("a look"), 0);
            refused(second.show_unit(id, Status::Provisioning, "mine".to_owned()).await);
            let Beat::Noted(others) = second.beat(&["process".to_owned()]).await.expect("a beat") else {
                panic!("it is the only process of this server");
            };
            assert!(second.take_workspaces(others).await.expect("they are taken") >= 1);
        }

        let rows = world.db.rows();
        let how =
            || Ended { crash: true, hopeless: false, cause: "x".to_owned(), code: None, signal: None, detail: None };
        refused(first.begin_run(id, place()).await);
        if !second.has_company() {
            refused(first.end_run(boot, how()).await);
            refused(first.observe_run(boot, 1, None).await);
            refused(first.release_files(boot).await);
        }
        refused(first.show_unit(id, Status::Provisioning, "mine".to_owned()).await);
        refused(first.drain_unit(id).await);
        refused(first.undrain_unit(id).await);
        refused(first.ask_about(id, None).await);
        refused(first.settle_question(id).await);
        assert_eq!(world.db.rows(), rows, "nothing was written");

        // The run was somewhere else, so it is over where there may be several; the new server begins another.
        if second.has_company() {
            let next = second.begin_run(id, "host/second".to_owned()).await.expect("a run").boot;
            refused(first.end_run(next, how()).await);
            second.end_run(next, how()).await.expect("an end");
        } else {
            second.end_run(boot, how()).await.expect("an end");
        }
        world
    });
}

#[test]
fn a_server_that_was_gone_for_a_month_and_has_nothing_is_forgotten_and_its_lives_are_told_apart() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    each_engine(Config::default(), async |world| {
        world.owner().post("/workspaces", json!({"name": "worker", "runtime": "process"})).await.status(201);
        world.supervise().await;
        let (first, second) = (&world.authority, another(&world).await);
        if !second.has_company() {
            return world;
        }
        let servers = || world.db.integer("SELECT COUNT(*) FROM servers");
        world.advance(29 * DAY_MS);
        first.prune().await.expect("pruned");
        assert_eq!(servers(), 2, "nobody was gone for a month");
        world.advance(2 * DAY_MS);
        first.prune().await.expect("pruned");
        // The other one supervises something, however long it has been silent.
        assert_eq!(servers(), 1);
        let reaches = ["process".to_owned()];
        assert!(matches!(first.beat(&reaches).await, Ok(Beat::Noted(others)) if others.is_empty()));

        // It may come back, and one of its lives before that is not taken for the new one.
        assert!(matches!(second.beat(&reaches).await, Ok(Beat::Forgotten)));
        let again = another(&world).await;
        assert!(matches!(second.beat(&reaches).await, Ok(Beat::Superseded)));
        assert!(matches!(again.beat(&reaches).await, Ok(Beat::Noted(others)) if others.len() == 1));
        assert_eq!(servers(), 2);
        world
    });
}
