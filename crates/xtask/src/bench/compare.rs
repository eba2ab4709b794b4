//! Beside another secrets store: the workloads of `vault-benchmark` (100 keys, 1,000 bytes, read, write and half of each)
//! against RustyVault, a server in Rust with the API of Vault, in turns within one run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::http::Http;
use super::{Load, Measured, Scratch, Server, aim, median};
use crate::step;

const RUNS: usize = 5;
const SECONDS: u32 = 4;
const VERSION: &str = "0.2.1";
const READY_MAX: Duration = Duration::from_secs(20);

/// Ours, theirs.
const PAIRS: [[Load; 2]; 3] = [
    pair("write", "kv write", "vault write"),
    pair("read", "kv read", "vault read"),
    pair("half of each", "kv mixed", "vault mixed"),
];

const fn pair(name: &'static str, own: &'static str, other: &'static str) -> [Load; 2] {
    // Any success: a write of theirs is answered with 204.
    [Load { name, kind: own, status: 2, connections: 32 }, Load { name, kind: other, status: 2, connections: 32 }]
}

/// Rows of a table, and bars of the rates: name, height and series.
type Compared = (Vec<String>, Vec<(String, f64, usize)>);

/// What was measured: rows, and bars of the rates.
pub fn run(binary: &Path) -> Result<Compared, String> {
    let rival = step::announce("RustyVault", installed)?;
    let rival = Rival::start(&rival)?;
    let mut server = Server::start(binary, "compare", None, 0)?;
    let script = server.dir().join("load.lua");
    std::fs::write(&script, include_str!("load.lua")).map_err(|error| error.to_string())?;
    let own_url = server.url();
    let own = server.target("write");
    let mut runs: Vec<[Vec<Measured>; 2]> = vec![Default::default(); PAIRS.len()];
    for _ in 0..RUNS {
        for (pair, runs) in PAIRS.iter().zip(&mut runs) {
            runs[0].push(aim(&script, &own_url, pair[0], (own.0, &own.1), SECONDS, 0)?);
            runs[1].push(aim(&script, &rival.url, pair[1], (&rival.token, "-"), SECONDS, 0)?);
        }
    }
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (pair, [own, other]) in PAIRS.iter().zip(runs) {
        let (own, other) = (median(own).ok_or("no runs")?, median(other).ok_or("no runs")?);
        rows.push(format!(
            "| {} | {:.0}/s | {:.2} ms | {:.2} ms | {:.0}/s | {:.2} ms | {:.2} ms | {:.2} |",
            pair[0].name,
            own.per_second,
            own.p50_ms,
            own.p99_ms,
            other.per_second,
            other.p50_ms,
            other.p99_ms,
            own.per_second / other.per_second,
        ));
        bars.push((format!("Portcullis, {}", pair[0].name), own.per_second, 0));
        bars.push((format!("RustyVault {VERSION}, {}", pair[0].name), other.per_second, 5));
    }
    server.stop()?;
    Ok((rows, bars))
}

/// The head of the table.
pub const HEAD: [&str; 2] = [
    "| 100 keys, 1,000 bytes, 32 clients | Portcullis | p50 | p99 | RustyVault | p50 | p99 | ratio |",
    "|---|--:|--:|--:|--:|--:|--:|--:|",
];

/// From crates.io, built once; some ten minutes on two cores.
fn installed() -> Result<PathBuf, String> {
    let dir =
        step::environment("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from).join("rivals");
    let dir = std::env::current_dir().map_err(|error| error.to_string())?.join(dir);
    let binary = dir.join("bin/rvault");
    if !binary.is_file() {
        let mut install = step::cargo();
        install.args(["install", "--quiet", "rusty_vault", "--locked", "--version", VERSION, "--root"]).arg(&dir);
        step::succeed(install.env("CARGO_TARGET_DIR", dir.join("build")))?;
    }
    Ok(binary)
}

/// A running RustyVault, initialised, unsealed, with its key-value store.
struct Rival {
    child: Child,
    _scratch: Scratch,
    url: String,
    token: String,
}

impl Rival {
    fn start(binary: &Path) -> Result<Self, String> {
        let scratch = Scratch::new("rival")?;
        let address = super::server::free_address()?;
        let dir = scratch.path().display();
        let config = format!(
            "storage \"file\" {{\n  path = \"{dir}/data\"\n}}\nlistener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = \"true\"\n}}\n\
             api_addr = \"http://{address}\"\nlog_level = \"error\"\nlog_format = \"{{date}} {{req.path}}\"\npid_file = \"{dir}/pid\"\nwork_dir = \"{dir}\"\n"
        );
        let file = scratch.path().join("config.hcl");
        std::fs::write(&file, config).map_err(|error| error.to_string())?;
        let mut serve = Command::new(binary);
        serve.args(["server", "--config"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = serve.spawn().map_err(|error| step::cannot_run(&serve, &error))?;
        let mut rival = Self { child, _scratch: scratch, url: format!("http://{address}"), token: String::new() };
        let began = Instant::now();
        while Http::vault(&rival.url, "").is_err() {
            if began.elapsed() > READY_MAX {
                return Err("RustyVault did not start".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut http = Http::vault(&rival.url, "")?;
        let made =
            http.send("PUT", "/v1/sys/init", "{\"secret_shares\":1,\"secret_threshold\":1}")?.expect(200)?.json();
        let key = made["keys"][0].as_str().ok_or("no key")?;
        rival.token = made["root_token"].as_str().ok_or("no token")?.to_owned();
        http.send("PUT", "/v1/sys/unseal", &format!("{{\"key\":\"{key}\"}}"))?.expect(200)?;
        let mut http = Http::vault(&rival.url, &rival.token)?;
        let value = format!("{{\"value\":\"{}\"}}", "v".repeat(1_000));
        for n in 0..100 {
            let answer = http.send("POST", &format!("/v1/secret/KEY_{n}"), &value)?;
            if !(200..300).contains(&answer.status) {
                return Err(format!("RustyVault: {}: {}", answer.status, answer.body));
            }
        }
        Ok(rival)
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
