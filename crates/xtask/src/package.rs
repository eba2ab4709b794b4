//! Debian packages that the tests need and a machine may lack.

use std::process::{Command, Stdio};

use crate::step;

/// Whether this process may install packages and start servers.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Installs packages. `missing` says what was looked for in vain.
pub fn install(missing: &str, packages: &[&str]) -> Result<(), String> {
    let words = packages.join(" ");
    let advice = format!("install `{words}` (apt-get install {words}) and try again");
    if !is_root() {
        return Err(format!("{missing}, and only root can add it; {advice}"));
    }
    step::say(&format!("== {missing}; installing `{words}`"));
    apt_get(&["update"])
        .and_then(|()| apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat()))
        .map_err(|reason| format!("{reason}; {advice}"))
}

/// `ip`, for the tests that cut a network of their own.
pub fn network_tools() -> Result<(), String> {
    let found = Command::new("ip").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    install("no `ip` on this machine", &["iproute2"])
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    // Nobody is there to answer a question.
    let quiet = ("DEBIAN_FRONTEND", "noninteractive");
    step::succeed(Command::new("apt-get").args(arguments).env(quiet.0, quiet.1).stdin(Stdio::null()))
}
