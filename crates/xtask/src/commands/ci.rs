//! `ci`: a name for the contract with continuous integration. It is `test` and nothing more, so that what gates a
//! change can always be run at a desk.

use super::test;

pub fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.is_empty() { test::run(&[]) } else { Err("takes no arguments; use `test -- …`".to_owned()) }
}
