//! A browser for the tests of the console, and the program that drives it: found, or installed from Debian.
//!
//! Nothing is downloaded beside the packages: no browser build of a test library's own.

use crate::{package, step};

/// The Debian packages: the browser, its driver, and a font, without which a page would be empty boxes.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-dejavu-core"];

/// What must be in the path.
const PROGRAMS: [&str; 2] = ["chromium", "chromedriver"];

/// Finds the programs, installing them where that is possible.
pub fn ensure() -> Result<(), String> {
    let Some(program) = missing() else { return Ok(()) };
    package::install(&format!("no `{program}` in PATH"), &PACKAGES)?;
    match missing() {
        None => Ok(()),
        Some(program) => Err(format!("`{}` are installed but brought no `{program}`", PACKAGES.join(" "))),
    }
}

fn missing() -> Option<&'static str> {
    let path = step::environment("PATH").unwrap_or_default();
    PROGRAMS.into_iter().find(|program| !std::env::split_paths(&path).any(|place| place.join(program).is_file()))
}
