//! `clients`: installs what tests talk to us with and look at us with, and says where, for running single tests by hand.

use crate::{browser, clients, step};

pub fn run(arguments: &[String]) -> Result<(), String> {
    if !arguments.is_empty() {
        return Err("takes no arguments".to_owned());
    }
    browser::ensure()?;
    let folder = clients::ensure()?;
    step::say(&format!("{}={}", clients::VARIABLE, folder.display()));
    Ok(())
}
