//! The official clients of MCP and A2A, in the folder that `PORTCULLIS_TEST_CLIENTS` names and `cargo xtask clients` makes.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    Ended, Killed, fed,
    fleet::{Fleet, text},
};

/// How long a client may take, in seconds: one that waits for ever must fail its test, not hang it.
const CLIENT_S: &str = "180";

/// Where the clients are.
pub struct Clients {
    folder: PathBuf,
    home: PathBuf,
}

/// The clients, or `None` where there are none and none are required. What they write at home goes to `home`.
#[expect(clippy::disallowed_methods, reason = "the test command tells its tests where the clients are")]
pub fn clients(home: &Path) -> Option<Clients> {
    let folder = std::env::var_os("PORTCULLIS_TEST_CLIENTS").map(PathBuf::from);
    let required = std::env::var_os("PORTCULLIS_TEST_REQUIRE_ALL").is_some();
    assert!(folder.is_some() || !required, "PORTCULLIS_TEST_REQUIRE_ALL is set and PORTCULLIS_TEST_CLIENTS is not");
    if folder.is_none() {
        // Not worth failing for: only the note would be lost.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: no clients in PORTCULLIS_TEST_CLIENTS; `cargo xtask clients` installs them"
        );
    }
    let home = home.join("client");
    std::fs::create_dir_all(&home).expect("a home");
    Some(Clients { folder: folder?, home })
}

/// The agent that a client speaks for: its workspace, and its token.
pub fn spoken_for(fleet: &Fleet) -> (String, String) {
    let home = fleet.create("client", json!("external"), None);
    let token = fleet.post(&format!("/workspaces/{home}/tokens"), Some(json!({"name": "client"})), 201);
    (home, text(&token, "auth_token"))
}

impl Clients {
    fn alone(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("timeout");
        command.arg(CLIENT_S).arg(self.folder.join(program));
        command.env_clear().env("HOME", &self.home).current_dir(&self.home);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A script for Node, with these arguments. It finds its packages because it runs where they are.
    pub fn node(&self, script: &str, environment: &[(&str, &str)]) -> Ended {
        let mut command = self.alone("node/run");
        command
            .current_dir(self.folder.join("node"))
            .args(["--input-type=module", "-"])
            .envs(environment.iter().copied());
        fed(command, script)
    }

    /// A script for Python.
    pub fn python(&self, script: &str, environment: &[(&str, &str)]) -> Ended {
        let mut command = self.alone("python/venv/bin/python");
        command.arg("-").envs(environment.iter().copied());
        fed(command, script)
    }

    /// The fuzzer of routes.
    pub fn schemathesis(&self, arguments: &[String]) -> Ended {
        let mut command = self.alone("python/venv/bin/schemathesis");
        command.env("NO_COLOR", "1").args(arguments);
        fed(command, "")
    }

    /// The command of a package for Node, by the file it starts with.
    fn package(&self, file: &str) -> Command {
        let mut command = self.alone("node/run");
        command.arg(self.folder.join("node/node_modules/@modelcontextprotocol").join(file));
        command
    }

    /// The official inspector, as a command.
    pub fn inspector(&self) -> Command {
        let mut command = self.package("inspector/clients/launcher/build/index.js");
        command.arg("--cli");
        command
    }

    /// The official conformance suite.
    pub fn conformance(&self) -> Command {
        self.package("conformance/dist/index.js")
    }

    /// The official command of A2A.
    pub fn a2acli(&self) -> Command {
        self.alone("a2acli/bin/a2acli")
    }
}

/// A command that prints an event a line, as JSON, for as long as it follows something.
pub struct Following {
    child: Killed,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Following {
    pub fn start(mut command: Command) -> Self {
        let mut child = Killed(command.stderr(Stdio::null()).spawn().expect("the command starts"));
        let lines = BufReader::new(child.0.stdout.take().expect("a pipe")).lines();
        Self { child, lines }
    }

    /// The next event; waits for it.
    pub fn event(&mut self) -> Option<Value> {
        let line = self.lines.next()?.expect("text");
        Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
    }

    /// Whether it ended well.
    pub fn ended_well(mut self) -> bool {
        self.child.ended().success()
    }
}
