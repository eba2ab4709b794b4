//! How fast the console's pages are in a browser: the measures of its tests, with a server of the test profile.

use std::fs;

use crate::{clients, step};

/// The variable by which the tests of the console measure and do nothing else.
const VARIABLE: &str = "PORTCULLIS_TEST_MEASURES";

/// Measures, and tells the rows of a table.
pub fn run() -> Result<String, String> {
    let file = clients::root()?.join("target/console-measures.txt");
    let mut command = step::cargo();
    command.args(["test", "--quiet", "--package", "portcullis", "--test", "console"]).env(VARIABLE, &file);
    step::announce("measures", || step::succeed(&mut command))?;
    fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}
