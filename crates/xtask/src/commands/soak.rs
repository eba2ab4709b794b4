//! `soak`: everything at once while everything is restarted, for long. It is a test of half a minute with more time.

use crate::{postgres, step};

/// How long without an argument.
const MINUTES: u64 = 60;
/// The variables by which the test is told.
const MINUTES_VARIABLE: &str = "PORTCULLIS_SOAK_MINUTES";
const SEED_VARIABLE: &str = "PORTCULLIS_SOAK_SEED";

pub fn run(arguments: &[String]) -> Result<(), String> {
    let number = |text: &String| text.parse::<u64>().map_err(|_| format!("`{text}` is no number"));
    let (minutes, seed) = match arguments {
        [] => (MINUTES, None),
        [minutes] => (number(minutes)?, None),
        [minutes, seed] => (number(minutes)?, Some(number(seed)?)),
        _ => return Err("takes minutes for each engine, and a seed".to_owned()),
    };
    let binaries = step::announce("postgresql", postgres::ensure)?;
    let cluster = step::announce("throw-away cluster", || postgres::Cluster::start(&binaries))?;
    let mut command = step::cargo();
    command.args(["test", "--package", "portcullis", "--test", "soak", "--", "--nocapture"]);
    command.env(MINUTES_VARIABLE, minutes.to_string()).env("PORTCULLIS_TEST_POSTGRES_URL", cluster.url());
    if let Some(seed) = seed {
        command.env(SEED_VARIABLE, seed.to_string());
    }
    let soaked = step::announce("soak", || step::succeed(&mut command));
    step::announce("cluster removed", || cluster.stop())?;
    soaked
}
