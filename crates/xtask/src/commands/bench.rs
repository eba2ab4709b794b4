//! `bench`: the numbers of the design, measured from outside on this machine, into `docs/numbers.md`.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::bench::growth::grouped;
use crate::bench::plot::Bars;
use crate::bench::report::{draw, publish};
use crate::bench::{
    Load, Measured, Server, binary, compare, console, durable, ensure_wrk, fleet, growth, median, run as load, tools,
};
use crate::{browser, postgres, step};

const RUNS: usize = 5;
const SECONDS: u32 = 6;
/// Idle means: nothing was asked for this long.
const IDLE: std::time::Duration = std::time::Duration::from_secs(3);

const LOADS: [Load; 4] = [
    Load { name: "governed write, 64 clients", kind: "write", status: 200, connections: 64 },
    Load { name: "governed write, one client", kind: "write", status: 200, connections: 1 },
    Load { name: "audited refusal, 64 clients", kind: "refuse", status: 403, connections: 64 },
    Load { name: "metadata read, 64 clients", kind: "read", status: 200, connections: 64 },
];

/// The head of most tables.
const HEAD: [&str; 2] = ["| what | engine | median | p50 | p99 |", "|---|---|--:|--:|--:|"];

/// A part that can be run alone.
type Part = (&'static str, fn(&Options) -> Result<(), String>);

/// All of them in this order is `bench` without a name.
const PARTS: [Part; 7] = [
    ("core", core),
    ("durable", durable),
    ("growth", growth),
    ("compare", compare),
    ("fleet", fleet),
    ("tools", tools),
    ("console", console),
];

/// How to run.
struct Options {
    /// The largest sizes are divided by this.
    scale: usize,
    profile: String,
}

pub fn run(arguments: &[String]) -> Result<(), String> {
    let mut options = Options { scale: 1, profile: "release".to_owned() };
    let mut wanted = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--scale" => {
                let number = words.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
                options.scale = number.ok_or("`--scale` wants a number above 0")?;
            }
            "--profile" => options.profile = words.next().ok_or("`--profile` wants `release` or `dist`")?.clone(),
            name => match PARTS.iter().find(|(known, _)| *known == name) {
                Some(part) => wanted.push(part),
                None => return Err(format!("there is no part `{name}`; the parts are {}", names())),
            },
        }
    }
    let all = wanted.is_empty();
    let parts: Vec<_> = if all { PARTS.iter().collect() } else { wanted };
    parts.into_iter().try_for_each(|(name, part)| step::announce(name, || part(&options)))
}

fn names() -> String {
    PARTS.map(|(name, _)| name).join(", ")
}

fn built(options: &Options) -> Result<std::path::PathBuf, String> {
    step::announce("wrk", ensure_wrk)?;
    step::announce("build", || binary(&options.profile))
}

fn table(head: &[&str], rows: Vec<String>) -> Vec<String> {
    head.iter().map(|line| (*line).to_owned()).chain(rows).collect()
}

fn core(options: &Options) -> Result<(), String> {
    let postgres = step::announce("postgresql", postgres::ensure)?;
    let cluster = step::announce("throw-away cluster", || postgres::Cluster::start(&postgres))?;
    let binary = built(options)?;
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    for (engine, url) in [("SQLite", None), ("PostgreSQL", Some(cluster.url()))] {
        let mut server = Server::start(&binary, engine, url, 0)?;
        std::thread::sleep(IDLE);
        rows.push(format!("| start to ready | {engine} | {:.0} ms | | |", server.ready_ms));
        rows.push(format!("| idle memory | {engine} | {:.1} MiB | | |", server.resident_mib()?));
        // Round by round, not load by load: what the machine does besides falls on all of them alike.
        let mut runs: Vec<Vec<Measured>> = vec![Vec::new(); LOADS.len()];
        for round in 0..RUNS {
            for (n, each) in LOADS.into_iter().enumerate() {
                runs[n].push(load(&server, each, SECONDS, (round * LOADS.len() + n) * 1_000_000)?);
            }
        }
        for (each, runs) in LOADS.iter().zip(runs) {
            let m = median(runs).ok_or("no runs")?;
            let (name, rate) = (each.name, m.per_second);
            let rate_text = grouped(rate.round() as usize);
            rows.push(format!("| {name} | {engine} | {rate_text}/s | {:.2} ms | {:.2} ms |", m.p50_ms, m.p99_ms));
            bars.push((format!("{engine}: {name}"), rate, usize::from(url.is_some())));
        }
        rows.push(format!("| memory after the load | {engine} | {:.1} MiB | | |", server.resident_mib()?));
        server.stop()?;
        if url.is_none() {
            rows.push(verify(&binary, &server)?);
        }
    }
    rows.extend(inside()?);
    let title = format!("Requests a second, {} profile", options.profile);
    let name = format!("core-{}", options.profile);
    let plot = draw(&name, &title, &Bars { title: title.clone(), bars }.svg())?;
    publish(&format!("core {}", options.profile), &[table(&HEAD, rows), plot].concat())
}

fn durable(options: &Options) -> Result<(), String> {
    let postgres = step::announce("postgresql", postgres::ensure)?;
    let cluster = step::announce("throw-away cluster", || postgres::Cluster::start(&postgres))?;
    let binary = built(options)?;
    let rows = durable::run(&binary, &postgres, cluster.url())?;
    publish("durable", &table(&HEAD, rows))
}

fn growth(options: &Options) -> Result<(), String> {
    let (rows, plot) = growth::run(&built(options)?, options.scale)?;
    let plot = draw("growth", "Rates beside the rates at the smallest size", &plot.svg())?;
    let mut lines = table(&growth::HEAD, rows);
    if options.scale > 1 {
        lines.push(format!("\nThe largest sizes were left out: run with `--scale {}`.", options.scale));
    }
    publish("growth", &[lines, plot].concat())
}

fn compare(options: &Options) -> Result<(), String> {
    let (rows, bars) = compare::run(&built(options)?)?;
    let title = "Requests a second, 100 keys of 1,000 bytes, 32 clients";
    let plot = draw("compare", title, &Bars { title: title.to_owned(), bars }.svg())?;
    publish("compare", &[table(&compare::HEAD, rows), plot].concat())
}

fn fleet(options: &Options) -> Result<(), String> {
    publish("fleet", &table(&HEAD, fleet::run(&built(options)?)?))
}

fn tools(options: &Options) -> Result<(), String> {
    publish("tools", &table(&HEAD, tools::run(&built(options)?)?))
}

fn console(_: &Options) -> Result<(), String> {
    step::announce("browser", browser::ensure)?;
    publish("console", &table(&HEAD, console::run()?.lines().map(str::to_owned).collect()))
}

fn verify(binary: &Path, server: &Server) -> Result<String, String> {
    let mut took = Vec::new();
    let mut entries = 0.0;
    for _ in 0..RUNS {
        let mut command = Command::new(binary);
        command.args(["--json", "audit", "verify", "--data"]).arg(server.data());
        let began = Instant::now();
        let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
        took.push(began.elapsed().as_secs_f64());
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        entries = said["entries"].as_f64().filter(|_| said["valid"] == true).ok_or("the log does not verify")?;
    }
    took.sort_by(f64::total_cmp);
    let (entries_text, rate) = (grouped(entries as usize), grouped((entries / took[RUNS / 2]) as usize));
    Ok(format!("| audit verification, {entries_text} entries | SQLite | {rate}/s | | |"))
}

/// What is measured inside, without a server: decisions, seals, the chain.
fn inside() -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for (package, bench) in [("portcullis-kernel", "decide"), ("portcullis-authority", "inside")] {
        let mut command = step::cargo();
        command.args(["bench", "--quiet", "--package", package, "--bench", bench]);
        let output = command.output().map_err(|error| step::cannot_run(&command, &error))?;
        step::judge(&command, output.status)?;
        let before = rows.len();
        rows.extend(String::from_utf8_lossy(&output.stdout).lines().filter_map(row));
        if rows.len() == before {
            return Err(format!("the benchmark `{bench}` said nothing"));
        }
    }
    Ok(rows)
}

/// A row of a line `part="…" p50_us=… p99_us=…`.
fn row(line: &str) -> Option<String> {
    let (name, figures) = line.strip_prefix("part=\"")?.split_once("\" ")?;
    let number = |name: &str| figures.split(' ').find_map(|word| word.strip_prefix(name));
    Some(format!("| {name} | – | | {} µs | {} µs |", number("p50_us=")?, number("p99_us=")?))
}
