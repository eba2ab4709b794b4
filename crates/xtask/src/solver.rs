//! The solver that proves what policies keep.

use std::process::{Command, Stdio};

use crate::package;

/// The program, and the Debian package that brings it.
const SOLVER: &str = "cvc5";

/// Finds the solver, installing it where that is possible.
pub fn ensure() -> Result<(), String> {
    if is_there() {
        return Ok(());
    }
    package::install(&format!("no `{SOLVER}` in PATH"), &[SOLVER])?;
    if is_there() { Ok(()) } else { Err(format!("`{SOLVER}` is installed but does not run")) }
}

fn is_there() -> bool {
    let mut probe = Command::new(SOLVER);
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
