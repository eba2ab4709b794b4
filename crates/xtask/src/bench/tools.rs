//! What a tool costs beside the route behind it, and what a session of the older revision costs in memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::{Load, Measured, Server, median, run as load};

const RUNS: usize = 5;
const SECONDS: u32 = 4;
/// Sessions that are open at the same time.
const SESSIONS: usize = 1_000;

/// By so many subjects: one has at most 256.
const SUBJECTS: usize = 4;

/// The same thing by its route and by its tool, in pairs.
const PAIRS: [[Load; 2]; 4] = [
    pair("metadata read, one client", "read", "tool read", 1),
    pair("metadata read, 64 clients", "read", "tool read", 64),
    pair("governed write, one client", "write", "tool write", 1),
    pair("governed write, 64 clients", "write", "tool write", 64),
];

const fn pair(name: &'static str, route: &'static str, tool: &'static str, connections: usize) -> [Load; 2] {
    [Load { name, kind: route, status: 200, connections }, Load { name, kind: tool, status: 200, connections }]
}

/// Rows for the table.
pub fn run(binary: &Path) -> Result<Vec<String>, String> {
    // The limits are for agents; what is measured is the work.
    let limits = "[limits]\ncalls_per_s = 1000000\nrefusals_per_min = 1000000\n";
    let mut server = Server::configured(binary, "tools", None, 0, limits)?;
    let mut runs: Vec<[Vec<Measured>; 2]> = vec![Default::default(); PAIRS.len()];
    let mut seed = 0;
    for _ in 0..RUNS {
        for (pair, runs) in PAIRS.iter().zip(&mut runs) {
            for (each, runs) in pair.iter().zip(runs) {
                seed += 1_000_000;
                runs.push(load(&server, *each, SECONDS, seed)?);
            }
        }
    }
    let mut rows = Vec::new();
    for (pair, [route, tool]) in PAIRS.iter().zip(runs) {
        let (route, tool) = (median(route).ok_or("no runs")?, median(tool).ok_or("no runs")?);
        rows.push(format!(
            "| {}: its tool beside its route | SQLite | {:.0}/s beside {:.0}/s | {:.2} ms beside {:.2} ms: {:.2} times | |",
            pair[0].name, tool.per_second, route.per_second, tool.p50_ms, route.p50_ms, tool.p50_ms / route.p50_ms,
        ));
    }
    let before = server.resident_mib()?;
    for subject in 0..SUBJECTS {
        let token = server.mint(binary, &format!("subject-{subject}"))?;
        for n in 0..SESSIONS / SUBJECTS {
            open(&server, &token).map_err(|error| format!("session {n}: {error}"))?;
        }
    }
    std::thread::sleep(Duration::from_secs(2));
    let each = (server.resident_mib()? - before) * 1024.0 / SESSIONS as f64;
    rows.push(format!("| {SESSIONS} sessions open at once: memory of each | SQLite | {each:.1} KiB | | |"));
    server.stop()?;
    Ok(rows)
}

/// Opens a session and leaves it open.
fn open(server: &Server, token: &str) -> Result<(), String> {
    let address = server.url().trim_start_matches("http://").to_owned();
    let body = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\",\
                \"capabilities\":{},\"clientInfo\":{\"name\":\"bench\",\"version\":\"1\"}}}";
    let ready = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
    let head = post(&address, token, None, body)?;
    let session = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).map(str::trim);
    let session = session.ok_or_else(|| format!("no session in {head}"))?;
    let head = post(&address, token, Some(session), ready)?;
    if head.starts_with("HTTP/1.1 202") { Ok(()) } else { Err(head) }
}

fn post(address: &str, token: &str, session: Option<&str>, body: &str) -> Result<String, String> {
    let session = session.map(|id| format!("mcp-session-id: {id}\r\nmcp-protocol-version: 2025-11-25\r\n"));
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        session.unwrap_or_default(),
        body.len(),
    );
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    Ok(answer)
}
