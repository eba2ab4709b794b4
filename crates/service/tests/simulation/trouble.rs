//! Troubles of a store that is a real one: a table that takes no row, a commit that fails, a connection that goes away.

use crate::{step::Step, world::World};

/// Does it while the store has the step's trouble.
pub async fn during<T>(world: &World, step: &Step, act: impl Future<Output = T>) -> T {
    let trouble = step.trouble.as_deref().unwrap_or_default();
    let postgres = world.db.engine == "postgres";
    match trouble {
        "lost" if postgres => {
            // Not told when: before the transaction, in the middle of it, in its commit, or after.
            let end = async {
                world.db.run(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                );
            };
            tokio::join!(act, end).0
        }
        "lost" => act.await,
        "commit" => {
            world.db.run(if postgres { COMMIT_POSTGRES } else { COMMIT_SQLITE });
            let done = act.await;
            world.db.run(if postgres { OVER_POSTGRES } else { "DROP TRIGGER trouble; DROP TABLE trouble_rows" });
            done
        }
        table => {
            let sql = if postgres { TABLE_POSTGRES } else { TABLE_SQLITE };
            // What a token becomes until a human fetches it, and no other credential.
            let (table, when) =
                if table == "claims" { ("credentials", "WHEN (NEW.kind = 'claim')") } else { (table, "") };
            world.db.run(&sql.replace("{}", table).replace("{when}", when));
            let done = act.await;
            world.db.run(&if postgres {
                OVER_POSTGRES.replace("audit", table)
            } else {
                "DROP TRIGGER trouble".to_owned()
            });
            done
        }
    }
}

const TABLE_SQLITE: &str =
    "CREATE TRIGGER trouble BEFORE INSERT ON {} {when} BEGIN SELECT RAISE(ABORT, 'a trouble of the test'); END";
const TABLE_POSTGRES: &str = "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN RAISE EXCEPTION 'a trouble of the test'; END $$; \
    CREATE TRIGGER trouble BEFORE INSERT ON {} FOR EACH ROW {when} EXECUTE FUNCTION trouble();";
const OVER_POSTGRES: &str = "DROP TRIGGER trouble ON audit; DROP FUNCTION trouble();";
const COMMIT_POSTGRES: &str = "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN RAISE EXCEPTION 'a trouble of the test'; END $$; \
    CREATE CONSTRAINT TRIGGER trouble AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
    EXECUTE FUNCTION trouble();";
/// A row that refers to none is found when the transaction is committed.
const COMMIT_SQLITE: &str = "CREATE TABLE trouble_rows (id INTEGER PRIMARY KEY, of INTEGER REFERENCES trouble_rows (id) \
    DEFERRABLE INITIALLY DEFERRED); \
    CREATE TRIGGER trouble AFTER INSERT ON audit BEGIN INSERT INTO trouble_rows (of) VALUES (-1); END";
