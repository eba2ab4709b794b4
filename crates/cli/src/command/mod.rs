//! One command a file.

pub mod approval;
pub mod audit;
pub mod completions;
pub mod key;
pub mod login;
pub mod operator;
pub mod policy;
pub mod replay;
pub mod running;
pub mod runtime;
pub mod secret;
pub mod secret_import;
pub mod token;
pub mod workspace;

use std::io::{BufRead, IsTerminal, Write};

use crate::error::Error;

/// Asks on the terminal; without one only `--yes` is yes.
fn confirm(question: &str, yes: bool) -> Result<bool, Error> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::usage("there is no terminal to ask on").hint("give `--yes` if you mean it"));
    }
    let mut line = String::new();
    let asked =
        write!(std::io::stderr(), "{question} [y/N] ").and_then(|()| std::io::stdin().lock().read_line(&mut line));
    asked.map_err(|error| Error::fault(format!("cannot ask: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
