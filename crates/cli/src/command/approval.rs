//! `approval …`

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::login::step_up_with;
use crate::client::{Call, Client, path};
use crate::context::{Context, given};
use crate::error::Error;
use crate::exit::Exit;

/// How long one long-poll asks the server to wait; it allows 60.
const POLL_S: u64 = 30;

/// `approval …`
#[derive(Subcommand)]
pub enum ApprovalCommand {
    /// List what waits for a human
    List(ListArgs),
    /// Show one approval: what would happen, and who asked
    Show(ShowArgs),
    /// Agree; the platform then does what was asked
    Approve(DecideArgs),
    /// Refuse
    Deny(DecideArgs),
    /// Take your own request back
    Withdraw(ShowArgs),
    /// Wait for the decision
    Wait(WaitArgs),
}

/// `approval list`
#[derive(Args)]
pub struct ListArgs {
    /// Show the history with this state instead of what is pending
    #[arg(long)]
    state: Option<String>,
    /// At most this many
    #[arg(long, requires = "state")]
    limit: Option<u32>,
}

/// One approval.
#[derive(Args)]
pub struct ShowArgs {
    /// Approval id
    id: String,
}

/// `approval approve|deny`
#[derive(Args)]
pub struct DecideArgs {
    /// Approval id
    id: String,
    /// Why
    #[arg(long)]
    note: Option<String>,
    /// An item of the checklist: `ITEM=ok` or `ITEM=n/a`
    #[arg(long, value_name = "ITEM=ok|n/a", value_parser = checklist_item)]
    checklist: Vec<(String, String)>,
    /// Owner only: decide alone, loudly audited
    #[arg(long, requires = "note")]
    break_glass: bool,
    /// File with the password, if the server asks for it again
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// `approval wait`
#[derive(Args)]
pub struct WaitArgs {
    /// Approval id
    id: String,
    /// Stop waiting after this long
    #[arg(long = "for", value_name = "SECONDS")]
    wait_s: Option<u64>,
}

pub async fn run(context: &Context, command: &ApprovalCommand) -> Result<Exit, Error> {
    let client = context.client()?;
    match command {
        ApprovalCommand::List(args) => {
            let call = match &args.state {
                None => Call::get("/approvals/pending"),
                Some(state) => {
                    let limit = args.limit.unwrap_or(50).to_string();
                    Call::get("/approvals").query("state", state).query("limit", &limit)
                }
            };
            let approvals = client.json(&call).await?;
            context
                .output
                .list(&approvals, &["id", "status", "action", "key", "workspace_id", "reason", "expires_at"])?;
            Ok(Exit::Ok)
        }
        ApprovalCommand::Show(args) => {
            context.output.object(&client.json(&Call::get(path(&["approvals", &args.id]))).await?)?;
            Ok(Exit::Ok)
        }
        ApprovalCommand::Approve(args) => decide(context, &client, args, "approved").await,
        ApprovalCommand::Deny(args) => decide(context, &client, args, "denied").await,
        ApprovalCommand::Withdraw(args) => {
            let call = Call::new(Method::POST, path(&["approvals", &args.id, "withdraw"]));
            context.submit(&client, call, false, |_| format!("withdrew {}", args.id)).await
        }
        ApprovalCommand::Wait(args) => wait(context, &client, args).await,
    }
}

async fn decide(context: &Context, client: &Client, args: &DecideArgs, decision: &str) -> Result<Exit, Error> {
    let items: Map<String, Value> =
        args.checklist.iter().map(|(item, answer)| (item.clone(), Value::from(answer.as_str()))).collect();
    let body = given(json!({
        "decision": decision,
        "note": args.note,
        "checklist": (!items.is_empty()).then_some(items),
        "break_glass": args.break_glass.then_some(true),
    }));
    let call = Call::post(path(&["approvals", &args.id, "decide"]), &body);
    let answer = match client.json(&call).await {
        Err(error) if error.code() == "STEP_UP_REQUIRED" => {
            context.output.note("the server wants to see your password again before you decide");
            step_up_with(client, args.password_file.as_deref()).await?;
            client.json(&call).await?
        }
        other => other?,
    };
    let status = answer["status"].as_str().unwrap_or("?");
    context.output.done(&answer, &format!("{}: {status}", args.id))?;
    // To deny and to see it denied is success; to approve and to see it denied is not.
    Ok(if decision == "denied" && status == "denied" { Exit::Ok } else { Exit::of_approval(status) })
}

async fn wait(context: &Context, client: &Client, args: &WaitArgs) -> Result<Exit, Error> {
    let end = args.wait_s.map(|wait_s| Instant::now() + Duration::from_secs(wait_s));
    loop {
        let left = end.map_or(POLL_S, |end| end.saturating_duration_since(Instant::now()).as_secs().min(POLL_S));
        let mut call = Call::get(path(&["approvals", &args.id])).query("wait", &left.to_string());
        call.timeout = Some(Duration::from_secs(left) + context.timeout());
        let started = Instant::now();
        let approval = client.json(&call).await?;
        let status = approval["status"].as_str().unwrap_or("?");
        if status != "pending" || end.is_some_and(|end| Instant::now() >= end) || left == 0 {
            context.output.done(&approval, &format!("{}: {status}", args.id))?;
            return Ok(Exit::of_approval(status));
        }
        // A server that does not wait must not be asked in a tight loop.
        if started.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn checklist_item(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((item, answer @ ("ok" | "n/a"))) if !item.is_empty() => Ok((item.to_owned(), answer.to_owned())),
        _ => Err("must be `ITEM=ok` or `ITEM=n/a`".to_owned()),
    }
}
