//! `soak`: everything at once while everything is restarted, for long. The test is `crates/cli/tests/soak`, which the test
//! command runs for half a minute.

use crate::{postgres, step};

/// How long on each engine without an argument: an hour in all.
const MINUTES: u64 = 30;
/// A week.
const MINUTES_MAX: u64 = 7 * 24 * 60;
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
    if !(1..=MINUTES_MAX).contains(&minutes) {
        return Err(format!("minutes are 1 to {MINUTES_MAX}"));
    }
    step::announce("postgresql", postgres::ensure)?;
    let mut command = step::cargo();
    command.args(["test", "--workspace", "--features", super::test::FEATURES, "--test", "soak", "--", "--nocapture"]);
    command.env(MINUTES_VARIABLE, minutes.to_string());
    if let Some(seed) = seed {
        command.env(SEED_VARIABLE, seed.to_string());
    }
    step::announce("soak", || step::succeed(&mut command))
}
