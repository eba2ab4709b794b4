//! `audit tail|export`, over HTTP; `audit verify` is offline and lives elsewhere.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::args::AuditCommand;
use crate::client::{Call, Client};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::problem::Problem;
use crate::profile::create_private;
use crate::progress::while_waiting;

const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);
const COLUMNS: [&str; 7] = ["id", "at", "event", "outcome", "code", "workspace_id", "key"];

/// `audit tail`
#[derive(Args)]
pub struct TailArgs {
    /// Keep showing new events
    #[arg(long, short)]
    follow: bool,
    /// How many to begin with
    #[arg(long, short = 'n', default_value_t = 20)]
    lines: u32,
    /// Only of this workspace id
    #[arg(long)]
    workspace_id: Option<String>,
    /// Only about this key
    #[arg(long)]
    key: Option<String>,
    /// Only with this code
    #[arg(long)]
    code: Option<String>,
    /// Only of this kind, such as `secret.set.refused`
    #[arg(long)]
    event: Option<String>,
}

/// `audit export`
#[derive(Args)]
pub struct ExportArgs {
    /// Write to this new file (0600) instead of stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Begin after this event
    #[arg(long, value_name = "N")]
    after: Option<String>,
    /// At most this many
    #[arg(long)]
    limit: Option<u64>,
}

pub async fn run(context: &Context, command: &AuditCommand) -> Result<Exit, Error> {
    let client = context.client()?;
    match command {
        AuditCommand::Tail(args) => tail(context, &client, args).await,
        AuditCommand::Export(args) => while_waiting("exporting", export(context, &client, args)).await,
        AuditCommand::Verify(_) => Err(Error::usage("`audit verify` works offline")),
    }
}

async fn tail(context: &Context, client: &Client, args: &TailArgs) -> Result<Exit, Error> {
    let newest = filtered(args).query("order", "desc").query("limit", &args.lines.to_string());
    let mut events = events(client.json(&newest).await?).0;
    events.reverse();
    let mut after = events.last().and_then(event_id).unwrap_or_else(|| "0".to_owned());
    show(context, events, true)?;
    if !args.follow {
        return Ok(Exit::Ok);
    }
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let (fresh, next) = self::events(client.json(&filtered(args).query("after", &after)).await?);
        after = next.or_else(|| fresh.last().and_then(event_id)).unwrap_or(after);
        show(context, fresh, false)?;
    }
}

async fn export(context: &Context, client: &Client, args: &ExportArgs) -> Result<Exit, Error> {
    let mut call = Call::get("/audit/export");
    call.timeout = Some(Duration::from_secs(24 * 60 * 60));
    if let Some(after) = &args.after {
        call = call.query("after", after);
    }
    if let Some(limit) = args.limit {
        call = call.query("limit", &limit.to_string());
    }
    let mut response = client.start(&call).await?;
    let status = response.status().as_u16();
    let broken = |_| Error::fault("the export broke off").hint("go on with `--after` and the last event's id");
    if status != 200 {
        return Err(Problem::parse(status, &response.bytes().await.map_err(broken)?).into());
    }
    let failed = |error: std::io::Error| Error::fault(format!("cannot write the export: {error}"));
    let mut file = args.out.as_deref().map(create_private).transpose().map_err(failed)?;
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        match &mut file {
            Some(file) => file.write_all(&chunk).map_err(failed)?,
            None => context.output.raw(&chunk)?,
        }
    }
    if let Some(file) = file {
        file.sync_all().map_err(failed)?;
    }
    Ok(Exit::Ok)
}

fn filtered(args: &TailArgs) -> Call {
    let filters =
        [("workspace_id", &args.workspace_id), ("key", &args.key), ("code", &args.code), ("event", &args.event)];
    filters
        .into_iter()
        .filter_map(|(name, value)| value.as_deref().map(|value| (name, value)))
        .fold(Call::get("/audit"), |call, (name, value)| call.query(name, value))
}

fn events(mut page: Value) -> (Vec<Value>, Option<String>) {
    let next = page.get("next_after").and_then(id_text);
    let events = page.get_mut("events").map(Value::take);
    (events.and_then(|events| serde_json::from_value(events).ok()).unwrap_or_default(), next)
}

fn event_id(event: &Value) -> Option<String> {
    event.get("id").and_then(id_text)
}

fn id_text(id: &Value) -> Option<String> {
    id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))
}

fn show(context: &Context, events: Vec<Value>, first: bool) -> Result<(), Error> {
    if context.output.is_json() {
        return events.iter().try_for_each(|event| context.output.json(event));
    }
    if first {
        return context.output.list(&Value::Array(events), &COLUMNS);
    }
    events.iter().try_for_each(|event| {
        let shown = COLUMNS.iter().filter_map(|column| event.get(*column)).filter(|member| !member.is_null());
        let words: Vec<String> =
            shown.map(|member| member.as_str().map_or(member.to_string(), str::to_owned)).collect();
        context.output.line(&words.join("  "))
    })
}
