//! A server under measurement: the release binary on an empty directory, set up through its own command line.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Scratch;
use super::http::Http;
use crate::step;

const EMAIL: &str = "owner@example.org";
const PASSWORD: &str = "a password for a benchmark";
const ADMIN_TOKEN: &str = "the-admin-token-of-a-benchmark";
const WORKSPACES: usize = 20;
/// Longest time a server may take to become ready before the run is given up.
const READY_MAX: Duration = Duration::from_secs(20);

/// A running server with workspaces to aim at.
pub struct Server {
    child: Child,
    scratch: Scratch,
    address: String,
    service_token: String,
    root: String,
    workspaces: Vec<String>,
    serve: Command,
    /// From the start of the process to the first ready answer.
    pub ready_ms: f64,
}

/// Builds the binary with this profile and says where it is.
pub fn binary(profile: &str) -> Result<PathBuf, String> {
    step::succeed(step::cargo().args(["build", "--profile", profile, "--package", "portcullis"]))?;
    let dir = step::environment("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(dir.join(profile).join("portcullis"))
}

impl Server {
    /// Starts it and makes an owner, a service token that may write unattended, and workspaces.
    /// `agents`: how many workspaces get an idle echo agent; without any the server only serves.
    pub fn start(binary: &Path, name: &str, database_url: Option<&str>, agents: usize) -> Result<Self, String> {
        Self::configured(binary, name, database_url, agents, "")
    }

    /// The same, with this in its configuration file.
    pub fn configured(
        binary: &Path,
        name: &str,
        database_url: Option<&str>,
        agents: usize,
        more: &str,
    ) -> Result<Self, String> {
        Self::launch(binary, name, database_url, agents, more, None)
    }

    /// On SQLite and under `strace`, which counts into this file how often it syncs.
    pub fn traced(binary: &Path, name: &str, counted: &Path) -> Result<Self, String> {
        Self::launch(binary, name, None, 0, "", Some(counted))
    }

    fn launch(
        binary: &Path,
        name: &str,
        database_url: Option<&str>,
        agents: usize,
        more: &str,
        counted: Option<&Path>,
    ) -> Result<Self, String> {
        let scratch = Scratch::new(name)?;
        let data = scratch.path().join("data");
        let password = scratch.path().join("password");
        std::fs::write(&password, PASSWORD).map_err(|error| error.to_string())?;
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600))
            .map_err(|error| error.to_string())?;
        // Once before: what is measured is the start of an installation that exists.
        let mut create = command(binary, scratch.path(), database_url);
        create.args(["operator", "create", "--email", EMAIL, "--role", "owner"]);
        step::succeed(create.arg("--data").arg(&data).arg("--password-file").arg(&password).stdout(Stdio::null()))?;

        let address = free_address()?;
        let log = std::fs::File::create(scratch.path().join("log")).map_err(|error| error.to_string())?;
        let mut serve = match counted {
            None => command(binary, scratch.path(), database_url),
            Some(file) => {
                let mut strace = command(Path::new("strace"), scratch.path(), database_url);
                strace.args(["-f", "--seccomp-bpf", "-c", "-e", "trace=fsync,fdatasync", "-o"]).arg(file).arg(binary);
                strace
            }
        };
        serve.args(["serve", "--listen", &address, "--data"]).arg(&data).stdout(Stdio::null()).stderr(log);
        let mut text = more.to_owned();
        if agents == 0 {
            serve.arg("--no-agents");
        } else {
            // Short, because of sockets.
            text += &format!(
                "[agents]\ndir = \"/tmp/ptc-bench-{0}\"\nsecrets_dir = \"/dev/shm/ptc-bench-{0}\"\n",
                std::process::id()
            );
        }
        let config = scratch.path().join("config.toml");
        std::fs::write(&config, text).map_err(|error| error.to_string())?;
        serve.arg("--config").arg(config);
        serve.env("PORTCULLIS_ADMIN_TOKEN", ADMIN_TOKEN);
        let child = serve.spawn().map_err(|error| step::cannot_run(&serve, &error))?;
        let mut server = Self {
            child,
            serve,
            scratch,
            address,
            service_token: String::new(),
            root: String::new(),
            workspaces: Vec::new(),
            ready_ms: 0.0,
        };
        server.until_ready()?;
        server.set_up(binary, &password, database_url, if agents == 0 { WORKSPACES } else { agents })?;
        Ok(server)
    }

    fn set_up(
        &mut self,
        binary: &Path,
        password: &Path,
        database_url: Option<&str>,
        workspaces: usize,
    ) -> Result<(), String> {
        let url = self.url();
        let dir = self.scratch.path().to_path_buf();
        let cli = |words: &[&str]| -> Result<serde_json::Value, String> {
            let mut command = command(binary, &dir, database_url);
            command.args(["--json", "--url", &url]).args(words);
            if words[0] == "login" {
                command.arg("--password-file").arg(password);
            }
            let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            serde_json::from_str(&text)
                .map_err(|_| format!("{words:?}: {text}{}", String::from_utf8_lossy(&output.stderr)))
        };
        let text = |value: &serde_json::Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
        cli(&["login", "--email", EMAIL])?;
        self.service_token = text(&cli(&["token", "mint", "bench", "--unattended"])?, "auth_token");
        let list = cli(&["workspace", "list"])?;
        self.root = list.as_array().and_then(|all| all.first()).map(|root| text(root, "id")).unwrap_or_default();
        for n in 0..workspaces {
            self.workspaces.push(text(&cli(&["workspace", "create", &format!("bench-{n}")])?, "id"));
        }
        if self.service_token.is_empty() || self.root.is_empty() || self.workspaces.iter().any(String::is_empty) {
            return Err("the server could not be set up".to_owned());
        }
        Ok(())
    }

    fn until_ready(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while !self.ready() {
            if began.elapsed() > READY_MAX {
                let log = std::fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default();
                return Err(format!("the server did not become ready; its log:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.ready_ms = began.elapsed().as_secs_f64() * 1e3;
        Ok(())
    }

    /// Kills it as nothing can be caught, and says once it is gone.
    pub fn kill(&mut self) -> Result<(), String> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(|error| error.to_string())
    }

    /// Starts it again on what it left.
    pub fn start_again(&mut self) -> Result<(), String> {
        self.child = self.serve.spawn().map_err(|error| step::cannot_run(&self.serve, &error))?;
        self.until_ready()
    }

    /// The owner, stepped up.
    pub fn owner(&self) -> Result<Http, String> {
        Http::session(&self.url(), EMAIL, PASSWORD)
    }

    /// The workspaces to aim at.
    pub fn workspaces(&self) -> &[String] {
        &self.workspaces
    }

    fn ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let mut answer = String::new();
        stream.write_all(b"GET /ready HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// Whose token, and which workspaces, a kind of load uses.
    pub fn target(&self, kind: &str) -> (&str, String) {
        match kind {
            "refuse" => (ADMIN_TOKEN, self.root.clone()),
            _ => (&self.service_token, self.workspaces.join(" ")),
        }
    }

    /// Another service's token.
    pub fn mint(&self, binary: &Path, name: &str) -> Result<String, String> {
        let minted = self.ask(binary, &["token", "mint", name])?;
        minted["auth_token"].as_str().map(str::to_owned).ok_or_else(|| "no token was minted".to_owned())
    }

    /// How many of its workspaces have an agent that answers.
    pub fn online(&self, binary: &Path) -> Result<usize, String> {
        let all = self.ask(binary, &["workspace", "list"])?;
        Ok(all.as_array().into_iter().flatten().filter(|workspace| workspace["status"] == "online").count())
    }

    /// Removes every workspace and with it its agent.
    pub fn remove_workspaces(&self, binary: &Path) -> Result<(), String> {
        for id in &self.workspaces {
            self.ask(binary, &["workspace", "remove", id])?;
        }
        Ok(())
    }

    fn ask(&self, binary: &Path, words: &[&str]) -> Result<serde_json::Value, String> {
        let mut command = command(binary, self.dir(), None);
        command.args(["--json", "--url", &self.url()]).args(words);
        let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
        step::judge(&command, output.status)?;
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }

    /// Processor time it has used, in seconds.
    pub fn cpu_seconds(&self) -> Result<f64, String> {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).map_err(|error| error.to_string())?;
        // The name in the second field may hold spaces; what follows its parenthesis does not.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default().split_whitespace().collect();
        let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).ok_or("no such field");
        // utime and stime are the fields 14 and 15 of the line; a tick is a hundredth of a second on Linux.
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    /// Resident memory in MiB.
    pub fn resident_mib(&self) -> Result<f64, String> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).map_err(|error| error.to_string())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| "no VmRSS".to_owned())?;
        Ok(kib / 1024.0)
    }

    /// Asks it to stop and waits; the directory stays until this value is dropped.
    pub fn stop(&mut self) -> Result<(), String> {
        // Under `strace` it is the child that has to be asked.
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let traced = self.serve.get_program() == "strace";
        let asked = if traced { children.trim().to_owned() } else { id.to_string() };
        step::succeed(Command::new("kill").arg(asked))?;
        self.child.wait().map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our binary with a home of its own, so that no session of the person who measures is touched.
fn command(binary: &Path, home: &Path, database_url: Option<&str>) -> Command {
    let mut command = Command::new(binary);
    command.env("HOME", home).env("XDG_CONFIG_HOME", home.join("config"));
    if let Some(url) = database_url {
        command.env("PORTCULLIS_DATABASE_URL", url);
    }
    command
}

pub(super) fn free_address() -> Result<String, String> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
}
