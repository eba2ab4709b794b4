//! A keeper: a small shell script that runs something for as long as its standard input stays open, and tidies up after it.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::step;

/// A running keeper. It ends as soon as this value is dropped or this process ends in any way at all.
pub struct Keeper {
    child: Child,
    what: &'static str,
}

impl Keeper {
    /// Runs a script with these arguments and waits for its first line of output, which says that `what` is ready.
    pub fn start(what: &'static str, script: &str, arguments: &[&str]) -> Result<(Self, String), String> {
        let mut command = Command::new("sh");
        command.args(["-c", script, "keeper"]).args(arguments);
        // A group of its own: an interrupt at the terminal reaches us and not the keeper, who then tidies up after us.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot run `sh`: {error}"))?;
        let said = child.stdout.take().map(BufReader::new).and_then(|output| output.lines().next()?.ok());
        let keeper = Self { child, what };
        match said {
            Some(line) if line.starts_with("ready") => Ok((keeper, line)),
            _ => Err(format!("{what} did not start; its own words are above")),
        }
    }

    /// Ends it and says whether it was content.
    pub fn stop(mut self) -> Result<(), String> {
        self.end()
    }

    fn end(&mut self) -> Result<(), String> {
        // The end of its input is what the keeper waits for.
        drop(self.child.stdin.take());
        let status =
            self.child.wait().map_err(|error| format!("cannot wait for the keeper of {}: {error}", self.what))?;
        if status.success() { Ok(()) } else { Err(format!("the keeper of {} ended with {status}", self.what)) }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // After `stop` this finds the keeper's remembered status and does nothing more.
        if let Err(reason) = self.end() {
            step::complain(&reason);
        }
    }
}
