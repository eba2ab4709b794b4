//! `soak`: a mixed load for as long as is asked, while everything it stands on is stopped and killed in turn. The test is
//! `crates/cli/tests/soak.rs`, which the test command runs for a moment.

use crate::{postgres, step};

/// An hour, half of it on each engine.
const MINUTES: u64 = 60;

pub fn run(arguments: &[String]) -> Result<(), String> {
    let minutes = match arguments {
        [] => MINUTES,
        [flag, minutes] if flag == "--minutes" => {
            let given = minutes.parse().ok().filter(|minutes| (1..=7 * 24 * 60).contains(minutes));
            given.ok_or("`--minutes` is 1 to 10080")?
        }
        _ => return Err("takes `--minutes N` or nothing".to_owned()),
    };
    step::announce("postgresql", postgres::ensure)?;
    step::say(&format!("about {minutes} minutes from here"));
    let mut command = step::cargo();
    command.args(["test", "--workspace", "--features", super::test::FEATURES, "--test", "soak"]);
    // One after the other: the memory of each is compared with its own.
    command.args(["--", "--nocapture", "--test-threads", "1"]).env("PORTCULLIS_SOAK_MINUTES", minutes.to_string());
    step::succeed(&mut command)
}
