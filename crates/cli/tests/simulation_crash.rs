//! The binary is killed while several clients are at it, at a crash point or at any moment, and opened again. What was
//! answered must be there, what was not may be, and all of it together must be what one at a time would have done.

#![expect(clippy::expect_used, reason = "a test that cannot set itself up has failed")]

#[path = "../../kernel/tests/dice/mod.rs"]
mod dice;
mod kit;
#[path = "../../service/tests/simulation/linear.rs"]
mod linear;
#[expect(dead_code, reason = "what only histories of one step after the other use")]
#[path = "../../service/tests/simulation/model/mod.rs"]
mod model;
#[path = "../../service/tests/simulation/race.rs"]
mod race;
#[expect(dead_code, reason = "what only histories of one step after the other use")]
#[path = "../../service/tests/simulation/stage/mod.rs"]
mod stage;
#[expect(dead_code, reason = "what only histories of one step after the other use")]
#[path = "../../service/tests/simulation/step.rs"]
mod step;

use dice::Dice;
use kit::{ADMIN, Actor, Server, operator, runtime, serve};
use model::{Limits, Model};
use portcullis_authority::testkit_db::databases;
use race::Storm;
use stage::Stage;

/// The first seed.
const SEED: u64 = 0x0612;
/// Histories, on each engine.
const FEW: u64 = 4;
/// What is so unless the configuration says otherwise.
const LIMITS: Limits = Limits { pending_max: 50, break_glass: false };
const OWNER: &str = "owner@example.org";
/// Between any two of these something is committed, or it is not.
const POINTS: [&str; 9] = [
    "writer.after_begin",
    "writer.after_job",
    "writer.before_commit",
    "writer.after_commit",
    "writer.before_reply",
    "gate.after_effect",
    "gate.after_intents",
    "plan.after_insert",
    "approval.after_vote",
];

#[expect(clippy::disallowed_methods, reason = "how much more is simulated is said by who runs the tests")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn what_was_answered_before_a_crash_and_what_is_there_after_it_have_an_order() {
    let mut answers = 0;
    let first = asked("PORTCULLIS_TEST_SEED").unwrap_or(SEED);
    for seed in first..first + asked("PORTCULLIS_TEST_SEEDS").unwrap_or(FEW) {
        for db in databases() {
            let mut dice = Dice(seed);
            operator(&db, OWNER, "owner").exits(0);
            let server = Server::start(serve(&db));
            let (mut stage, mut model) = runtime().block_on(async {
                let owner = Actor::session(&server.url, OWNER).await;
                let headers = ["cookie", "x-csrf-token"];
                let headers = headers.map(|name| (name.to_owned(), owner.shows(name).unwrap_or_default().to_owned()));
                let mut stage = Stage::set(&server.url, ADMIN, headers.to_vec()).await;
                let mut model = Model::new(0, LIMITS);
                race::rule(&mut stage, &mut model, seed).await;
                (stage, model)
            });
            server.stop();
            // At a crash point in the first half of the seeds' throws, by a signal otherwise.
            let point = dice.one_in(2).then(|| POINTS[dice.below(POINTS.len() as u64) as usize]);
            let mut command = serve(&db);
            if let Some(point) = point {
                command.env("PORTCULLIS_FAILPOINT", format!("{point}:{}", 3 + dice.below(12)));
            }
            let mut server = Server::start(command);
            stage.url.clone_from(&server.url);
            let until = 20 + dice.below(60);
            let storm = runtime().block_on(async {
                let mut storm = Storm::begin(&stage, std::slice::from_ref(&stage.url), None, seed);
                while point.is_none() && storm.moments() < until {
                    tokio::task::yield_now().await;
                }
                if point.is_none() {
                    server.kill();
                }
                storm.end().await;
                storm
            });
            // A crash point that was not reached leaves a server that has answered everybody.
            server.kill();
            let _ = server.ended();
            let again = Server::start(serve(&db));
            stage.url.clone_from(&again.url);
            let what = format!("{}, seed {seed}, {}", db.engine, point.unwrap_or("SIGKILL"));
            answers += storm.answers().0;
            match runtime().block_on(storm.explained(&mut stage, &model)) {
                Ok(after) => model = after,
                Err(why) => panic!("{what}: {why}"),
            }
            // What is there can be worked with.
            let values = runtime().block_on(stage.values(&model));
            assert!(values.is_empty(), "{what}: {values:?}");
            again.stop();
        }
    }
    // One that dies at once has answered nobody; not all of them do.
    assert!(answers > 0, "nothing was answered");
}
