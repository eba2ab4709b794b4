//! The server and a small model of it are driven with the same random histories, on each engine, and asked after every step
//! whether they agree: about the answer, about what was recorded, and about everything that can be seen. Any difference is
//! a defect of one of them. `PORTCULLIS_TEST_SEEDS` plays so many more, from `PORTCULLIS_TEST_SEED` on.
#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

#[path = "../../../kernel/tests/dice/mod.rs"]
mod dice;
mod linear;
mod model;
mod play;
#[expect(dead_code, reason = "what only crashes need")]
mod race;
mod roll;
mod stage;
mod step;
mod trouble;
#[path = "../world/mod.rs"]
mod world;

use std::path::Path;

use portcullis_authority::{AdminToken, Authority, Opening, clock::Clock, testkit_db::databases};
use roll::Plan;

/// Where the fixed seeds begin.
const SEED: u64 = 0x0611;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

#[expect(clippy::disallowed_methods, reason = "how much more is simulated is said by who runs the tests")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The seeds to play: a few fixed ones, or as many as are asked for.
fn seeds(few: u64) -> std::ops::Range<u64> {
    let first = asked("PORTCULLIS_TEST_SEED").unwrap_or(SEED);
    first..first + asked("PORTCULLIS_TEST_SEEDS").unwrap_or(few)
}

fn simulate(few: u64, plan: Plan) {
    let runtime = runtime();
    for seed in seeds(few) {
        for db in databases() {
            runtime.block_on(play::random(db, seed, plan));
        }
    }
}

#[test]
fn random_histories_end_as_the_model_says() {
    simulate(3, Plan { steps: 150, clock: false, troubles: false });
}

#[test]
fn histories_in_which_the_clock_jumps_end_as_the_model_says() {
    simulate(2, Plan { steps: 150, clock: true, troubles: false });
}

#[test]
fn a_store_in_trouble_does_what_was_asked_or_nothing() {
    simulate(2, Plan { steps: 150, clock: true, troubles: true });
}

async fn at_once(play: play::Play, urls: &[String], seed: u64) {
    let play::Play { world, mut stage, mut model } = play;
    let what = format!("{}, seed {seed}", world.db.engine);
    race::rule(&mut stage, &mut model, seed).await;
    let time = race::Time { hand: world.hand(), authority: world.authority.clone() };
    let mut storm = race::Storm::begin(&stage, urls, Some(&time), seed);
    storm.end().await;
    let (answers, faults) = storm.answers();
    assert!(answers > 30 && faults == 0, "{what}: {answers} answers, {faults} faults");
    if let Err(why) = storm.explained(&mut stage, &model).await {
        panic!("{what}: {why}");
    }
    drop(time);
    drop(world.stop().await);
}

#[test]
fn what_clients_do_at_once_has_an_order() {
    let runtime = runtime();
    for seed in seeds(6) {
        for db in databases() {
            runtime.block_on(async {
                let play = play::Play::on(db).await;
                let urls = [play.world.url.clone()];
                at_once(play, &urls, seed).await;
            });
        }
    }
}

#[test]
fn what_clients_do_at_once_through_two_servers_has_an_order() {
    let runtime = runtime();
    for seed in seeds(3) {
        for db in databases().into_iter().filter(|db| db.url.is_some()) {
            runtime.block_on(async {
                let play = play::Play::on(db).await;
                let other = second(&play.world).await;
                let urls = [play.world.url.clone(), other.url.clone()];
                at_once(play, &urls, seed).await;
                other.stop().await;
            });
        }
    }
}

/// Another server of the same organisation, on the same database and by the same clock.
async fn second(world: &world::World) -> world::Bare {
    let opening = Opening {
        data_dir: &world.db.data_dir,
        database_url: world.db.url.as_deref(),
        root_key_file: None,
        admin_token: AdminToken::Given(world::ADMIN.to_owned().into()),
        config: play::config(),
        clock: Clock::Fixed(world.hand()),
    };
    world::Bare::start(Authority::open(opening).expect("the organisation opens")).await
}

#[test]
fn every_kept_history_is_played_as_it_was_found() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let mut files: Vec<_> =
        std::fs::read_dir(dir).expect("the histories").map(|file| file.expect("a file").path()).collect();
    files.sort();
    assert!(files.iter().all(|file| file.extension().is_some_and(|end| end == "history")) && !files.is_empty());
    let runtime = runtime();
    for file in files {
        let steps = step::read(&std::fs::read_to_string(&file).expect("a history"));
        assert_eq!(step::read(&step::written(&steps)), steps, "{file:?} is not read as it is written");
        for db in databases() {
            let engine = db.engine;
            let found = runtime.block_on(play::known(db, &steps));
            assert!(found.is_none(), "{engine} {file:?}: {}", found.map(|found| found.what).unwrap_or_default());
        }
    }
}
