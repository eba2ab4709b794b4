//! `workspace …`

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::running;
use super::runtime::RuntimeArgs;
use crate::client::{Call, path};
use crate::context::{Context, given};
use crate::error::Error;
use crate::exit::Exit;
use crate::resolve::workspace_id;

/// `workspace …`
#[derive(Subcommand)]
pub enum WorkspaceCommand {
    /// List workspaces
    List,
    /// Create a workspace
    Create(CreateArgs),
    /// Show one workspace
    Get(OneArgs),
    /// Change how its agent runs
    Configure(ConfigureArgs),
    /// Change the name
    Rename(RenameArgs),
    /// Put it under another parent
    Move(MoveArgs),
    /// Remove it
    Remove(RemoveArgs),
    /// Restart its agent at the end of the running turn
    Restart(ChangeArgs),
    /// Restart its agent, the root's too, with what waits to be applied
    Apply(ChangeArgs),
    /// Stop its agent in the middle of its turn
    ForceStop(running::ForceStopArgs),
    /// Show its agent's log
    Logs(running::LogsArgs),
    /// Send its agent a message and wait for the reply
    Send(running::SendArgs),
    /// List the conversation with its agent
    Messages(running::ListArgs),
    /// List what its agent worked on
    Turns(running::ListArgs),
    /// List the runs of its agent, and which versions of secrets each has
    Runs(running::ListArgs),
    /// Pause it and everything below it
    Pause(ChangeArgs),
    /// Resume it
    Resume(ChangeArgs),
    /// List whom it may talk to
    Peers(OneArgs),
}

/// One workspace to read.
#[derive(Args)]
pub struct OneArgs {
    /// Name or id
    workspace: String,
}

/// One workspace to change.
#[derive(Args)]
pub struct ChangeArgs {
    /// Name or id
    workspace: String,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// `workspace create`
#[derive(Args)]
pub struct CreateArgs {
    /// Name
    name: String,
    /// What its agent is for
    #[arg(long)]
    role: Option<String>,
    /// Name or id of the parent [default: the root]
    #[arg(long)]
    parent: Option<String>,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// `workspace configure`
#[derive(Args)]
pub struct ConfigureArgs {
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    runtime: RuntimeArgs,
}

/// `workspace rename`
#[derive(Args)]
pub struct RenameArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The new name
    name: String,
}

/// `workspace move`
#[derive(Args)]
pub struct MoveArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Name or id of the new parent
    #[arg(long)]
    parent: String,
}

/// `workspace remove`
#[derive(Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// The workspace's name again, if it has children: they are removed too
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

pub async fn run(context: &Context, command: &WorkspaceCommand) -> Result<Exit, Error> {
    const MESSAGES: [&str; 6] = ["position", "direction", "status", "text", "reply", "created_at"];
    const TURNS: [&str; 5] = ["id", "state", "message_id", "started_at", "ended_at"];
    const RUNS: [&str; 8] =
        ["boot_id", "generation", "state", "reason", "started_at", "ended_at", "cause", "exit_code"];
    match command {
        WorkspaceCommand::Logs(args) => return running::logs(context, args).await,
        WorkspaceCommand::Send(args) => return running::send(context, args).await,
        WorkspaceCommand::ForceStop(args) => return running::force_stop(context, args).await,
        WorkspaceCommand::Messages(args) => return running::list(context, args, "messages", &MESSAGES).await,
        WorkspaceCommand::Turns(args) => return running::list(context, args, "turns", &TURNS).await,
        WorkspaceCommand::Runs(args) => return running::list(context, args, "runs", &RUNS).await,
        _ => {}
    }
    let client = context.client()?;
    let (target, dry_run) = match command {
        WorkspaceCommand::List => {
            let all = client.json(&Call::get("/workspaces")).await?;
            context.output.list(
                &all,
                &["id", "name", "kind", "runtime", "status", "status_reason", "turn_since", "queued", "restart_debt"],
            )?;
            return Ok(Exit::Ok);
        }
        WorkspaceCommand::Create(args) => return create(context, args).await,
        WorkspaceCommand::Get(args) | WorkspaceCommand::Peers(args) => (&args.workspace, false),
        WorkspaceCommand::Restart(args)
        | WorkspaceCommand::Apply(args)
        | WorkspaceCommand::Pause(args)
        | WorkspaceCommand::Resume(args) => (&args.workspace, args.dry_run),
        // Answered above.
        WorkspaceCommand::Logs(_)
        | WorkspaceCommand::Send(_)
        | WorkspaceCommand::ForceStop(_)
        | WorkspaceCommand::Messages(_)
        | WorkspaceCommand::Turns(_)
        | WorkspaceCommand::Runs(_) => return Ok(Exit::Ok),
        WorkspaceCommand::Configure(ConfigureArgs { change, .. })
        | WorkspaceCommand::Rename(RenameArgs { change, .. })
        | WorkspaceCommand::Move(MoveArgs { change, .. })
        | WorkspaceCommand::Remove(RemoveArgs { change, .. }) => (&change.workspace, change.dry_run),
    };
    let id = workspace_id(&client, target).await?;
    let here = path(&["workspaces", &id]);
    let (call, done) = match command {
        WorkspaceCommand::Configure(args) => {
            let runtime = args.runtime.to_json()?.ok_or_else(|| Error::usage("nothing to change"))?;
            (Call::patch(here, &json!({ "runtime": runtime })), "configured")
        }
        WorkspaceCommand::Get(_) => {
            context.output.object(&client.json(&Call::get(here)).await?)?;
            return Ok(Exit::Ok);
        }
        WorkspaceCommand::Peers(_) => {
            let peers = client.json(&Call::get(path(&["registry", &id, "peers"]))).await?;
            context.output.list(&peers, &["id", "name", "relation", "role", "kind", "status"])?;
            return Ok(Exit::Ok);
        }
        WorkspaceCommand::Rename(args) => (Call::patch(here, &json!({ "name": args.name })), "renamed"),
        WorkspaceCommand::Move(args) => {
            let parent = workspace_id(&client, &args.parent).await?;
            (Call::patch(here, &json!({ "parent_id": parent })), "moved")
        }
        WorkspaceCommand::Remove(args) => {
            let call = Call::delete(here);
            (args.confirm.iter().fold(call, |call, name| call.query("confirm", name)), "removed")
        }
        WorkspaceCommand::Restart(_) => (Call::new(Method::POST, format!("{here}/restart")), "restart requested for"),
        WorkspaceCommand::Apply(_) => (Call::new(Method::POST, format!("{here}/apply")), "applying to"),
        WorkspaceCommand::Pause(_) => (Call::new(Method::POST, format!("{here}/pause")), "paused"),
        WorkspaceCommand::Resume(_) => (Call::new(Method::POST, format!("{here}/resume")), "resuming"),
        _ => return Ok(Exit::Ok),
    };
    context.submit(&client, call, dry_run, |_| format!("{done} {target}")).await.map_err(name_children)
}

async fn create(context: &Context, args: &CreateArgs) -> Result<Exit, Error> {
    let client = context.client()?;
    let parent = match &args.parent {
        Some(parent) => Some(workspace_id(&client, parent).await?),
        None => None,
    };
    let body = json!({ "name": args.name, "role": args.role, "parent_id": parent, "runtime": args.runtime.to_json()? });
    let call = Call::post("/workspaces", &given(body));
    context
        .submit(&client, call, args.dry_run, |made| {
            format!("created {} ({})", args.name, made["id"].as_str().unwrap_or("?"))
        })
        .await
}

/// Removing a tree has to be meant: say what else would go.
fn name_children(error: Error) -> Error {
    if error.code() != "CONFIRMATION_REQUIRED" {
        return error;
    }
    let children = error.problem.as_ref().and_then(|problem| problem.extra.get("children")).cloned();
    let names: Vec<String> = children
        .as_ref()
        .and_then(serde_json::Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|child| child.as_str().or_else(|| child["name"].as_str()).map(str::to_owned))
        .collect();
    error.hint(format!("give `--confirm NAME` to remove it with its descendants: {}", names.join(", ")))
}
