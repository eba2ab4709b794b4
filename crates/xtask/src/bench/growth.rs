//! Whether the cost of one operation grows with what is stored: the same load at each size, as a ratio to the smallest.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::http::{Http, many};
use super::plot::{Line, Plot};
use super::{Load, Server, run as load};
use crate::step;

const SECONDS: u32 = 3;
const WRITE: Load = Load { name: "governed write", kind: "write", status: 200, connections: 64 };
const READ: Load = Load { name: "metadata read", kind: "read", status: 200, connections: 64 };
const REFUSE: Load = Load { name: "audited refusal", kind: "refuse", status: 403, connections: 64 };

/// Most keys of one scope.
const KEYS_EACH: usize = 500;
/// Streams that one service opens here.
const STREAMS_EACH: usize = 64;
/// From here on policies are copied by statement: each that is added by hand is a governed write after which all are read again.
const POLICIES_BY_HAND: usize = 100;

/// Workspaces that a server under measurement has from the start, the root among them.
const THERE_ALREADY: usize = 21;

/// What grows, and the sizes in full. `--scale 10` leaves out what is above a tenth of the last.
const AXES: [(&str, &[usize]); 5] = [
    ("workspaces", &[THERE_ALREADY, 100, 1_000, 10_000]),
    ("secrets", &[1_000, 10_000, 100_000, 1_000_000]),
    ("policies", &[1, 100, 1_000, 10_000, 100_000]),
    ("audit events", &[1_000, 10_000, 100_000, 1_000_000]),
    ("event streams", &[1, 10, 100, 1_000]),
];

/// One size of one axis.
struct Point {
    size: usize,
    writes: f64,
    reads: f64,
    memory_mib: f64,
}

/// Rows for the table, and the plot.
pub fn run(binary: &Path, scale: usize) -> Result<(Vec<String>, Plot), String> {
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for (axis, sizes) in AXES {
        let largest = sizes.last().copied().unwrap_or_default() / scale.max(1);
        let mut server = Server::configured(binary, &format!("growth-{}", axis.replace(' ', "-")), None, 0, LIMITS)?;
        let mut grown = Grown::default();
        let mut points = Vec::new();
        for &size in sizes.iter().filter(|size| **size <= largest.max(sizes[0])) {
            step::announce(&format!("{size} {axis}"), || grown.to(&mut server, binary, axis, size))?;
            let writes = load(&server, WRITE, SECONDS, grown.seed())?.per_second;
            let reads = load(&server, READ, SECONDS, grown.seed())?.per_second;
            points.push(Point { size, writes, reads, memory_mib: server.resident_mib()? });
        }
        drop(grown);
        server.stop()?;
        let Some(first) = points.first() else { continue };
        for point in &points {
            rows.push(format!(
                "| {} {axis} | {:.0}/s | {:.2} | {:.0}/s | {:.2} | {:.1} MiB |",
                grouped(point.size),
                point.writes,
                point.writes / first.writes,
                point.reads,
                point.reads / first.reads,
                point.memory_mib
            ));
        }
        let line = |figure: fn(&Point) -> f64| {
            points.iter().map(|point| (point.size as f64, figure(point) / figure(first))).collect()
        };
        lines.push(Line { name: format!("{axis}: writes"), points: line(|point| point.writes) });
        lines.push(Line { name: format!("{axis}: reads"), points: line(|point| point.reads) });
    }
    let title = "Rate beside the rate at the smallest size (1 is flat)".to_owned();
    Ok((rows, Plot { title, x: "how many are stored".to_owned(), lines }))
}

/// The head of the table.
pub const HEAD: [&str; 2] = [
    "| stored | governed write, 64 clients | beside the smallest | metadata read, 64 clients | beside the smallest | memory |",
    "|---|--:|--:|--:|--:|--:|",
];

/// The limits are for agents; what is measured is the work.
const LIMITS: &str = "[limits]\ncalls_per_s = 1000000\nrefusals_per_min = 1000000\n[server]\nconnections = 4096\n";

/// A number with commas.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a server was filled with.
#[derive(Default)]
struct Grown {
    size: usize,
    loads: usize,
    filled: BTreeMap<usize, String>,
    streams: Vec<std::thread::JoinHandle<()>>,
    tokens: Vec<String>,
}

impl Grown {
    /// Another part of the key space for each load.
    fn seed(&mut self) -> usize {
        self.loads += 1;
        self.loads * 1_000_000
    }

    /// Fills the server up to a size.
    fn to(&mut self, server: &mut Server, binary: &Path, axis: &str, size: usize) -> Result<(), String> {
        let (url, token) = (server.url(), server.target("write").0.to_owned());
        match axis {
            "workspaces" => self.workspaces(&url, &token, size.saturating_sub(THERE_ALREADY))?,
            "secrets" => {
                let scopes = size.div_ceil(KEYS_EACH);
                let before = self.filled.len();
                self.workspaces(&url, &token, scopes)?;
                let content: String = (0..KEYS_EACH.min(size)).map(|n| format!("GROWN_{n}=value-{n}\\n")).collect();
                let body = format!("{{\"format\":\"env\",\"content\":\"{content}\",\"apply\":true}}");
                let path = |n: usize| format!("/workspaces/{}/secrets/import", self.filled[&n]);
                many(&url, &token, before..scopes, 200, |n| (path(n), body.clone()))?;
            }
            "policies" => {
                let by_hand = size.min(POLICIES_BY_HAND);
                self.policies(server, by_hand)?;
                if size > by_hand {
                    server.stop()?;
                    copy_policies(&server.data().join("portcullis.db"), size)?;
                    server.start_again()?;
                }
            }
            "audit events" => {
                let mut events = self.size;
                while events < size {
                    let seconds = if size - events > 50_000 { 5 } else { 1 };
                    events += load(server, REFUSE, seconds, self.seed())?.requests as usize;
                }
            }
            _ => self.streams(server, binary, size)?,
        }
        self.size = size;
        Ok(())
    }

    fn workspaces(&mut self, url: &str, token: &str, count: usize) -> Result<(), String> {
        let before = self.filled.len();
        let made = many(url, token, before..count, 201, |n| {
            ("/workspaces".to_owned(), format!("{{\"name\":\"grown-{n}\"}}"))
        })?;
        for (n, body) in made.into_iter().enumerate() {
            let id = serde_json::from_str::<serde_json::Value>(&body)
                .ok()
                .and_then(|all| all["id"].as_str().map(str::to_owned));
            self.filled.insert(before + n, id.ok_or_else(|| format!("no id in {body}"))?);
        }
        Ok(())
    }

    /// Adds policies as an owner does, about workspaces that are not the one it is decided for, as most of them are.
    fn policies(&self, server: &Server, count: usize) -> Result<(), String> {
        let mut owner = server.owner()?;
        for n in self.size..count {
            let about = format!("00000000-0000-7000-8000-{n:012}");
            let text = format!(
                "forbid (principal is Agent, action, resource == Workspace::\"{about}\") when {{ context.quota_spent }};"
            );
            let body = serde_json::json!({"name": format!("grown-{n}"), "text": text}).to_string();
            owner.send("POST", "/policies", &body)?.expect(201)?;
        }
        Ok(())
    }

    /// Listeners that read what comes, each on a thread of its own: their work is on the same processors.
    fn streams(&mut self, server: &Server, binary: &Path, count: usize) -> Result<(), String> {
        for n in self.streams.len()..count {
            if n / STREAMS_EACH >= self.tokens.len() {
                self.tokens.push(server.mint(binary, &format!("listener-{n}"))?);
            }
            let token = self.tokens.last().ok_or("no token")?;
            let mut stream = Http::open(&server.url(), token)?.stream("/events")?;
            stream.set_read_timeout(Some(Duration::from_secs(120))).map_err(|error| error.to_string())?;
            let listen = move || {
                let mut buffer = [0; 16 * 1024];
                while matches!(stream.read(&mut buffer), Ok(1..)) {}
            };
            let listener = std::thread::Builder::new().stack_size(128 * 1024).spawn(listen);
            self.streams.push(listener.map_err(|error| error.to_string())?);
        }
        Ok(())
    }
}

/// Fills the database of a server that is stopped with copies of its first policy, each about another workspace.
fn copy_policies(database: &Path, count: usize) -> Result<(), String> {
    let mut copy = Command::new("python3");
    copy.args(["-c", include_str!("copy_policies.py")]).arg(database).arg(count.to_string());
    step::succeed(&mut copy)
}
