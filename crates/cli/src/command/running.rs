//! `workspace …` where an agent runs: its log, its conversation, its turns and runs; apply and force-stop.

use std::io::Read;

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Call, Client, path};
use crate::context::{Context, given};
use crate::error::Error;
use crate::exit::Exit;
use crate::resolve::workspace_id;

/// Longest wait of one request, in seconds; what is longer is asked for again.
const WAIT_S: u64 = 25;
/// Longest text from standard input, in bytes.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// `workspace logs`
#[derive(Args)]
pub struct LogsArgs {
    /// Name or id
    workspace: String,
    /// Lines from the end
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    tail: usize,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// Of an earlier run (see `workspace runs`)
    #[arg(long, value_name = "ID")]
    boot: Option<String>,
}

/// `workspace send`
#[derive(Args)]
pub struct SendArgs {
    /// Name or id
    workspace: String,
    /// The message; from standard input when absent or `-`
    text: Option<String>,
    /// The conversation it belongs to
    #[arg(long, value_name = "ID")]
    context: Option<String>,
    /// The same id again is the same message
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Do not wait for the reply
    #[arg(long)]
    no_wait: bool,
}

/// `workspace messages|turns|runs`
#[derive(Args)]
pub struct ListArgs {
    /// Name or id
    workspace: String,
    /// How many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    limit: u16,
}

/// `workspace force-stop`
#[derive(Args)]
pub struct ForceStopArgs {
    /// Name or id
    workspace: String,
    /// Why; it stands in the audit log
    #[arg(long)]
    reason: String,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

async fn at(client: &Client, workspace: &str, rest: &[&str]) -> Result<String, Error> {
    let id = workspace_id(client, workspace).await?;
    let mut segments = vec!["workspaces", &id];
    segments.extend(rest);
    Ok(path(&segments))
}

/// Shows the log, and with `--follow` what comes, also across restarts of the agent.
pub async fn logs(context: &Context, args: &LogsArgs) -> Result<Exit, Error> {
    let client = context.client()?;
    let at = at(&client, &args.workspace, &["logs"]).await?;
    let call = Call::get(&at).query("tail", &args.tail.to_string());
    let mut piece = client.json(&args.boot.iter().fold(call, |call, boot| call.query("boot_id", boot))).await?;
    loop {
        if context.output.is_json() {
            context.output.json(&piece)?;
        } else {
            let text = piece["text"].as_str().unwrap_or_default();
            for line in text.lines() {
                context.output.line(line)?;
            }
        }
        if !args.follow {
            return Ok(Exit::Ok);
        }
        let (boot, position) = (piece["boot_id"].as_str().unwrap_or_default(), piece["position"].as_u64().unwrap_or(0));
        let more = Call::get(&at).query("wait", &WAIT_S.to_string());
        let more = more.query("boot_id", boot).query("after", &position.to_string());
        piece = client.json(&more).await?;
        if piece["text"] == "" && args.boot.is_none() {
            // Nothing came: perhaps because the agent was started anew, and its run has another log.
            let newest = client.json(&Call::get(&at).query("tail", "10000")).await?;
            if newest["boot_id"] != piece["boot_id"] {
                context.output.note("the agent was started anew");
                piece = newest;
            }
        }
    }
}

/// Sends a message and waits for the reply.
pub async fn send(context: &Context, args: &SendArgs) -> Result<Exit, Error> {
    let text = match args.text.as_deref() {
        Some(text) if text != "-" => text.to_owned(),
        _ => {
            let mut text = String::new();
            let read = std::io::stdin().lock().take(TEXT_BYTES_MAX + 1).read_to_string(&mut text);
            read.map_err(|error| Error::usage(format!("cannot read the message: {error}")))?;
            text
        }
    };
    let client = context.client()?;
    let at = at(&client, &args.workspace, &["messages"]).await?;
    let body = json!({"text": text, "context_id": args.context, "message_id": args.message_id});
    let mut message = client.json(&Call::post(&at, &given(body))).await?;
    let id = message["id"].as_str().unwrap_or_default().to_owned();
    let waiting = async {
        while !args.no_wait && matches!(message["status"].as_str(), Some("queued" | "delivered")) {
            let one = format!("{at}{}", path(&[&id]));
            message = client.json(&Call::get(one).query("wait", &WAIT_S.to_string())).await?;
        }
        Ok::<Value, Error>(message)
    };
    let message = crate::progress::while_waiting("waiting for the reply", waiting).await?;
    let words = match message["status"].as_str() {
        Some("completed") => message["reply"].as_str().unwrap_or_default().to_owned(),
        Some("failed") => {
            if context.output.is_json() {
                context.output.json(&message)?;
            }
            let why = message["error"].as_str().unwrap_or("the agent failed");
            return Err(Error::new(Exit::Fault, why));
        }
        other => format!("{}: message {id}", other.unwrap_or("sent")),
    };
    if context.output.is_json() {
        context.output.json(&message)?;
    } else {
        for line in words.lines() {
            context.output.line(line)?;
        }
    }
    Ok(Exit::Ok)
}

/// Lists messages, turns or runs.
pub async fn list(context: &Context, args: &ListArgs, what: &str, columns: &[&str]) -> Result<Exit, Error> {
    let client = context.client()?;
    let at = at(&client, &args.workspace, &[what]).await?;
    let answer = client.json(&Call::get(at).query("limit", &args.limit.to_string())).await?;
    context.output.list(answer.get("messages").unwrap_or(&answer), columns)?;
    Ok(Exit::Ok)
}

/// Stops an agent in the middle of its turn.
pub async fn force_stop(context: &Context, args: &ForceStopArgs) -> Result<Exit, Error> {
    let client = context.client()?;
    let at = at(&client, &args.workspace, &["force-stop"]).await?;
    let call = Call::new(Method::POST, at).json(&json!({"reason": args.reason}));
    context.submit(&client, call, args.dry_run, |_| format!("stopping {} at once", args.workspace)).await
}
