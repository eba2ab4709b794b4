//! What an operation costs the store: statements and, where there are any, round trips. Times are measured elsewhere
//! (`docs/numbers.md`); this number is the same on every machine, and whoever makes it larger finds out here.

mod world;

use portcullis_authority::Config;
use serde_json::json;
use world::{Actor, World, each_engine};

/// What one request cost the writer.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    statements: u64,
    round_trips: u64,
}

/// The cost of one write, which must have had a transaction of its own.
async fn cost(world: &World, request: impl AsyncFnOnce()) -> Cost {
    let before = world.authority.stats().writer;
    request().await;
    let after = world.authority.stats().writer;
    assert_eq!((after.jobs - before.jobs, after.batches - before.batches), (1, 1), "something else was written");
    Cost { statements: after.statements - before.statements, round_trips: after.waits - before.waits }
}

#[test]
fn a_governed_write_and_a_refusal_cost_no_more_than_they_did() {
    each_engine(Config::default(), async |world| {
        let token = world.org_token(&world.owner(), json!({"name": "writer", "unattended": true})).await;
        let (service, workspace, root) = (world.bearer(&token), world.workspace("researcher").await, world.root());
        let set = async |actor: &Actor, workspace: &str, key: &str, value: &str, status: u16| {
            actor.set(workspace, key, value).await.status(status);
        };
        // Every statement prepared, and the last use of each credential written.
        for n in 0..2 {
            set(&service, &workspace, &format!("WARM_{n}"), "value", 200).await;
            set(&service, &workspace, "KEY", &format!("value-{n}"), 200).await;
            set(&world.admin(), &root, &format!("WARM_{n}"), "value", 403).await;
        }
        let trips = |of_postgres| if world.db.url.is_some() { of_postgres } else { 0 };
        // PostgreSQL tells other servers of the commit, which waits for nothing.
        let statements = |of_sqlite| of_sqlite + u64::from(world.db.url.is_some());

        // The head of the log, then together: savepoint, credential, policies' revision, workspace, is the value a
        // credential, the key with its digest; together: event, its live copy, pointers, version, generation, intent;
        // then release, head and commit.
        let changed = cost(&world, async || set(&service, &workspace, "KEY", "value", 200).await).await;
        assert_eq!(changed, Cost { statements: statements(16), round_trips: trips(4) }, "{}", world.db.engine);

        // One more, which depends on the answers before: how many keys there are.
        let created = cost(&world, async || set(&service, &workspace, "NEW", "value", 200).await).await;
        assert_eq!(created, Cost { statements: statements(17), round_trips: trips(5) }, "{}", world.db.engine);

        // Neither generation nor intent.
        let equal = cost(&world, async || set(&service, &workspace, "KEY", "value", 200).await).await;
        assert_eq!(equal, Cost { statements: statements(14), round_trips: trips(4) }, "{}", world.db.engine);

        let refused = cost(&world, async || set(&world.admin(), &root, "KEY", "value", 403).await).await;
        assert_eq!(refused, Cost { statements: statements(10), round_trips: trips(4) }, "{}", world.db.engine);
        world
    });
}
