//! Everything at once while everything is restarted: writers, a root agent that asks and is refused, messages, readers and
//! listeners, beside servers, agents and connections that are killed. At the end nothing that was answered is lost,
//! nothing was done twice, and the log verifies.
//!
//! As a test it takes half a minute on each engine; `cargo xtask soak` makes it an hour, and then looks at memory too.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod chaos;
#[path = "../kit/mod.rs"]
mod kit;
mod ledger;
mod listener;
mod load;
mod memory;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_authority::testkit_db::{TestDb, target};

use chaos::Chaos;
use kit::{
    cluster::Cluster,
    fleet::{Dice, Fleet},
};
use load::Load;
use memory::Memory;

/// For how many minutes on each engine; unset, it is a test among others.
const MINUTES: &str = "PORTCULLIS_SOAK_MINUTES";
/// What decides who is killed, and when.
const SEED_VARIABLE: &str = "PORTCULLIS_SOAK_SEED";
const SEED: u64 = 0x0611_50a4;

/// How long it lasts as a test: everything is restarted, then left alone.
const SHORT: Plan = Plan {
    restarts: Duration::from_secs(15),
    calm: Duration::from_secs(3),
    between: Duration::from_millis(1500),
    pause: Duration::from_millis(20),
};

#[derive(Clone, Copy)]
struct Plan {
    /// How long things are restarted.
    restarts: Duration,
    /// How long they are left alone after that, under the same load.
    calm: Duration,
    /// About how long there is nothing between two restarts.
    between: Duration,
    /// How long each client waits between two requests.
    pause: Duration,
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration file")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn plan() -> Plan {
    let Some(minutes) = number(MINUTES) else { return SHORT };
    let half = Duration::from_secs(minutes * 30);
    Plan { restarts: half, calm: half, between: Duration::from_secs(8), pause: Duration::from_millis(50) }
}

#[test]
fn nothing_is_lost_or_done_twice_while_everything_is_restarted_on_sqlite() {
    soaks(TestDb::sqlite(), None);
}

/// A server of the test's own: it is restarted too.
#[test]
fn nothing_is_lost_or_done_twice_while_everything_is_restarted_on_postgres() {
    let cluster = Cluster::start(&[]);
    let mut db = TestDb::sqlite();
    db.engine = "postgres";
    db.target = target(&cluster.url(), &db.data_dir);
    db.url = Some(cluster.url());
    soaks(db, Some(cluster));
}

#[expect(clippy::print_stdout, reason = "whoever soaks wants to see that it goes on")]
fn soaks(db: TestDb, cluster: Option<Cluster>) {
    let (plan, seed, engine) = (plan(), number(SEED_VARIABLE).unwrap_or(SEED), db.engine);
    println!("{engine}: seed {seed:#x}, {:?} of restarts, {:?} of calm", plan.restarts, plan.calm);
    let mut fleet = Fleet::new(db, "");
    let clients = kit::runtime();
    let load = Arc::new(Load::new(&fleet, plan.pause));
    let working = load.begin(&clients);

    let begun = Instant::now();
    let mut chaos = Chaos::new(&load, Dice(seed), plan.between, cluster);
    while begun.elapsed() < plan.restarts {
        let did = chaos.strike(&mut fleet);
        println!("{engine} {:>6.1} s: {did}; {}", begun.elapsed().as_secs_f64(), load.told(|told| told.summary()));
        load.complain();
    }
    chaos.mend(&fleet);

    let (mut memory, calm) = (Memory::new(plan.calm), Instant::now());
    while calm.elapsed() < plan.calm {
        memory.look(fleet.server_memory_now_kib());
        std::thread::sleep(memory.every());
        load.complain();
    }
    println!("{engine}: memory of the server in the calm: {}", memory.summary());

    load.stop();
    clients.block_on(async {
        for (name, task) in working {
            task.await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    });
    println!("{engine}: all in all: {}", load.told(|told| told.summary()));
    load.stands(&fleet);
    memory.stands();
    assert!(!fleet.log().contains(load::VALUE), "a value in the log");
    fleet.kill_server();
    fleet.verified();
}
