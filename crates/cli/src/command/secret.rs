//! `secret …`: names, versions and states. No command prints a value, and none takes one as an argument.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::{confirm, secret_import};
use crate::client::{Call, Client, encode, path};
use crate::context::{Context, given};
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::resolve::workspace_id;

/// `secret …`
#[derive(Subcommand)]
pub enum SecretCommand {
    /// List keys, their versions and where they come from
    List(Scope),
    /// Set a value, read from stdin or a file
    Set(SetArgs),
    /// Delete a key; it can be undeleted
    Delete(KeyArgs),
    /// Bring a deleted key back
    Undelete(KeyArgs),
    /// Destroy a version, or all, for good
    Destroy(DestroyArgs),
    /// Make an old version's value the newest version
    Rollback(RollbackArgs),
    /// Deliver this version from now on
    Activate(ActivateArgs),
    /// List the versions of a key
    Versions(KeyArgs),
    /// Show which version of a key each running agent has
    Running(RunningArgs),
    /// Import a `.env` or JSON file after a preview
    Import(secret_import::ImportArgs),
    /// Ask a human for a value you will never see
    Request(RequestArgs),
    /// Apply several changes as one, from a JSON file
    ChangeSet(ChangeSetArgs),
}

/// Whose secrets.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Scope {
    /// Of this workspace (name or id)
    #[arg(long, short)]
    workspace: Option<String>,
    /// Of the whole organisation
    #[arg(long)]
    org: bool,
}

impl Scope {
    /// Where these secrets live.
    pub async fn path(&self, client: &Client) -> Result<String, Error> {
        match &self.workspace {
            Some(workspace) => Ok(path(&["workspaces", &workspace_id(client, workspace).await?, "secrets"])),
            None => Ok("/settings/secrets".into()),
        }
    }
}

/// How a value reaches the agent.
#[derive(Clone, Copy, ValueEnum)]
enum Delivery {
    Env,
    File,
}

/// One key.
#[derive(Args)]
pub struct KeyArgs {
    /// Key
    key: String,
    #[command(flatten)]
    scope: Scope,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// `secret set`
#[derive(Args)]
pub struct SetArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// File with the value (`-` for stdin) [default: stdin, asked without echo on a terminal]
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// Keep the final line break of the value
    #[arg(long)]
    raw: bool,
    /// How the value reaches the agent
    #[arg(long, value_enum)]
    delivery: Option<Delivery>,
    /// When it expires (RFC 3339)
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// What it is
    #[arg(long)]
    description: Option<String>,
    /// Why it changes
    #[arg(long)]
    reason: Option<String>,
    /// Store the version without delivering it
    #[arg(long)]
    no_activate: bool,
    /// Only if this is still the latest version
    #[arg(long, value_name = "N", conflicts_with = "if_absent")]
    if_version: Option<u64>,
    /// Only if the key does not exist
    #[arg(long)]
    if_absent: bool,
}

/// `secret running`
#[derive(Args)]
pub struct RunningArgs {
    /// Key
    key: String,
}

/// `secret destroy`
#[derive(Args)]
pub struct DestroyArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// Only this version
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// `secret rollback`
#[derive(Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The version to go back to
    #[arg(long, value_name = "N")]
    to: u64,
}

/// `secret activate`
#[derive(Args)]
pub struct ActivateArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// The version to deliver
    #[arg(long, value_name = "N")]
    version: u64,
}

/// `secret request`
#[derive(Args)]
pub struct RequestArgs {
    #[command(flatten)]
    key: KeyArgs,
    /// What it is, and why it is needed
    #[arg(long)]
    description: Option<String>,
}

/// `secret change-set`
#[derive(Args)]
pub struct ChangeSetArgs {
    /// JSON file `{"changes":[…],"reason":…}` (`-` for stdin)
    file: PathBuf,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(context: &Context, command: &SecretCommand) -> Result<Exit, Error> {
    let client = context.client()?;
    match command {
        SecretCommand::List(scope) => {
            let secrets = client.json(&Call::get(scope.path(&client).await?)).await?;
            let columns =
                ["key", "state", "scope", "origin", "active_version", "latest_version", "delivery", "expires_at"];
            context.output.list(&secrets, &columns)?;
            Ok(Exit::Ok)
        }
        SecretCommand::Versions(args) => {
            let versions = client.json(&Call::get(key_path(&client, args, "/versions").await?)).await?;
            let columns = ["version", "state", "active", "created_at", "created_by", "approved_by", "origin", "reason"];
            context.output.list(&versions, &columns)?;
            Ok(Exit::Ok)
        }
        SecretCommand::Running(args) => {
            let held = client.json(&Call::get(path(&["secrets", &args.key, "running"]))).await?;
            let columns = ["workspace_id", "name", "scope", "running_version", "active_version", "current"];
            context.output.list(&held, &columns)?;
            Ok(Exit::Ok)
        }
        SecretCommand::Set(args) => set(context, &client, args).await,
        SecretCommand::Delete(args) => {
            let call = Call::delete(key_path(&client, args, "").await?);
            change(context, &client, args, call, "deleted").await
        }
        SecretCommand::Undelete(args) => {
            let call = Call::new(Method::POST, key_path(&client, args, "/undelete").await?);
            change(context, &client, args, call, "undeleted").await
        }
        SecretCommand::Destroy(args) => destroy(context, &client, args).await,
        SecretCommand::Rollback(RollbackArgs { key, to }) => {
            let call = Call::post(key_path(&client, key, "/rollback").await?, &json!({ "to_version": to }));
            change(context, &client, key, call, "rolled back").await
        }
        SecretCommand::Activate(ActivateArgs { key, version }) => {
            let call = Call::post(key_path(&client, key, "/activate").await?, &json!({ "version": version }));
            change(context, &client, key, call, "activated").await
        }
        SecretCommand::Import(args) => secret_import::run(context, &client, args).await,
        SecretCommand::Request(RequestArgs { key, description }) => {
            let body = given(json!({ "description": description }));
            let call = Call::post(key_path(&client, key, "/request").await?, &body);
            change(context, &client, key, call, "requested").await
        }
        SecretCommand::ChangeSet(args) => {
            let text = Hidden::read(&args.file)?;
            // The position is named, the content is not: it holds values.
            let body: Value = serde_json::from_str(text.reveal()).map_err(|error| {
                Error::usage(format!("the change set is not JSON (line {}, column {})", error.line(), error.column()))
            })?;
            let call = Call::post("/secrets/change-sets", &body);
            let count = body["changes"].as_array().map_or(0, Vec::len);
            context.submit(&client, call, args.dry_run, |_| format!("saved {count} changes")).await
        }
    }
}

async fn set(context: &Context, client: &Client, args: &SetArgs) -> Result<Exit, Error> {
    let value = read_value(args.value_file.as_deref(), args.raw)?;
    let body = given(json!({
        "key": args.key.key,
        "value": value.reveal(),
        "delivery": args.delivery.map(|delivery| match delivery { Delivery::Env => "env", Delivery::File => "file" }),
        "expires_at": args.expires_at,
        "description": args.description,
        "reason": args.reason,
        "activate": args.no_activate.then_some(false),
    }));
    let mut call = Call::post(args.key.scope.path(client).await?, &body);
    if let Some(version) = args.if_version {
        call = call.header("If-Match", format!("\"{version}\""));
    } else if args.if_absent {
        call = call.header("If-None-Match", "*");
    }
    change(context, client, &args.key, call, "saved").await
}

async fn destroy(context: &Context, client: &Client, args: &DestroyArgs) -> Result<Exit, Error> {
    let what = args.version.map_or("every version".to_owned(), |version| format!("version {version}"));
    let question = format!("destroy {what} of {} for good?", args.key.key);
    if !args.key.dry_run && !confirm(&question, args.yes)? {
        return Err(Error::usage("not confirmed; nothing was destroyed"));
    }
    let body = given(json!({ "version": args.version }));
    let call = Call::post(key_path(client, &args.key, "/destroy").await?, &body);
    change(context, client, &args.key, call, "destroyed").await
}

async fn change(context: &Context, client: &Client, key: &KeyArgs, call: Call, done: &str) -> Result<Exit, Error> {
    context
        .submit(client, call, key.dry_run, |answer| match answer["version"].as_u64() {
            Some(version) => format!("{done} {} (version {version})", key.key),
            None => format!("{done} {}", key.key),
        })
        .await
}

async fn key_path(client: &Client, args: &KeyArgs, verb: &str) -> Result<String, Error> {
    Ok(format!("{}/{}{verb}", args.scope.path(client).await?, encode(&args.key)))
}

fn read_value(file: Option<&Path>, raw: bool) -> Result<Hidden, Error> {
    if file.is_none() && std::io::stdin().is_terminal() {
        return Hidden::ask("value: ", None);
    }
    let value = Hidden::read(file.unwrap_or(Path::new("-")))?;
    Ok(if raw { value } else { value.without_final_newline() })
}
