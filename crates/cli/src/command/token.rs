//! `token …`: a minted token leaves this process once, into a pipe or a 0600 file, never onto a screen or into a log.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::client::{Call, Client, path};
use crate::context::{Context, given};
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::profile::create_private;
use crate::resolve::workspace_id;

/// `token …`
#[derive(Subcommand)]
pub enum TokenCommand {
    /// List tokens
    List(ListArgs),
    /// Mint a token
    Mint(MintArgs),
    /// Fetch a token that was approved, with its one-time claim token
    Claim(ClaimArgs),
    /// Issue a one-time code with which an agent that runs elsewhere enrols
    Enrol(EnrolArgs),
    /// Revoke a token and everything minted with it
    Revoke(RevokeArgs),
}

/// `token list`
#[derive(Args)]
pub struct ListArgs {
    /// Of this workspace (name or id) instead of the organisation
    #[arg(long, short)]
    workspace: Option<String>,
}

/// `token mint`
#[derive(Args)]
pub struct MintArgs {
    /// What it is for
    name: String,
    /// For this workspace (name or id) instead of the organisation
    #[arg(long, short)]
    workspace: Option<String>,
    /// What it may do; repeat for more
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// How long it lives
    #[arg(long, value_name = "SECONDS")]
    expires_in_s: Option<u64>,
    /// Its secret writes are not held
    #[arg(long, conflicts_with = "workspace")]
    unattended: bool,
    /// Put it into a workspace's secret instead of handing it out
    #[arg(long, value_name = "WORKSPACE:KEY", conflicts_with_all = ["workspace", "out"])]
    deliver_to: Option<String>,
    /// Write it to this new file (0600)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// `token claim`
#[derive(Args)]
pub struct ClaimArgs {
    /// File with the claim token (`-` for stdin)
    #[arg(long, value_name = "FILE")]
    claim_file: PathBuf,
    /// Write the token to this new file (0600)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `token enrol`
#[derive(Args)]
pub struct EnrolArgs {
    /// The agent's workspace (name or id)
    workspace: String,
    /// How long the code can be used
    #[arg(long, value_name = "SECONDS")]
    expires_in_s: Option<u64>,
    /// Write the code to this new file (0600)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `token revoke`
#[derive(Args)]
pub struct RevokeArgs {
    /// Token id
    id: String,
    /// Of this workspace (name or id)
    #[arg(long, short)]
    workspace: Option<String>,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(context: &Context, command: &TokenCommand) -> Result<Exit, Error> {
    let client = context.client()?;
    match command {
        TokenCommand::List(args) => {
            let answer = client.json(&Call::get(tokens_path(&client, args.workspace.as_deref()).await?)).await?;
            let tokens = answer.get("tokens").unwrap_or(&answer);
            let columns =
                ["id", "prefix", "name", "kind", "scopes", "created_by", "expires_at", "last_used_at", "revoked_at"];
            context.output.list(tokens, &columns)?;
            Ok(Exit::Ok)
        }
        TokenCommand::Mint(args) => mint(context, &client, args).await,
        TokenCommand::Claim(args) => {
            let sink = Sink::open(args.out.as_deref())?;
            let claim = Hidden::read(&args.claim_file)?.without_final_newline();
            let call = Call::post("/auth/token-claims", &json!({ "claim_token": claim.reveal() }));
            hand_out(context, sink, client.json(&call).await?)
        }
        TokenCommand::Enrol(args) => {
            let at = path(&["workspaces", &workspace_id(&client, &args.workspace).await?, "enrolments"]);
            let call = Call::post(at, &given(json!({ "expires_in_s": args.expires_in_s })));
            issue(context, &client, &call, args.out.as_deref(), "code").await
        }
        TokenCommand::Revoke(args) => {
            let at = format!("{}{}", tokens_path(&client, args.workspace.as_deref()).await?, path(&[&args.id]));
            context
                .submit(&client, Call::delete(at), args.dry_run, |answer| match answer["revoked"].as_u64() {
                    Some(count) => format!("revoked {} ({count} in all)", args.id),
                    None => format!("revoked {}", args.id),
                })
                .await
        }
    }
}

async fn mint(context: &Context, client: &Client, args: &MintArgs) -> Result<Exit, Error> {
    let deliver_to = match &args.deliver_to {
        Some(place) => {
            let (workspace, key) =
                place.rsplit_once(':').ok_or_else(|| Error::usage("`--deliver-to` must be `WORKSPACE:KEY`"))?;
            Some(json!({ "workspace_id": workspace_id(client, workspace).await?, "key": key }))
        }
        None => None,
    };
    let body = given(json!({
        "name": args.name,
        "scopes": args.scopes,
        "expires_in_s": args.expires_in_s,
        "unattended": args.unattended.then_some(true),
        "deliver_to": deliver_to,
    }));
    let call = Call::post(tokens_path(client, args.workspace.as_deref()).await?, &body);
    if args.dry_run || deliver_to.is_some() {
        return context.submit(client, call, args.dry_run, |_| format!("minted and delivered {}", args.name)).await;
    }
    issue(context, client, &call, args.out.as_deref(), "auth_token").await
}

/// Has a token or a code made, and hands it out.
async fn issue(
    context: &Context,
    client: &Client,
    call: &Call,
    out: Option<&Path>,
    member: &str,
) -> Result<Exit, Error> {
    // Before the request: a token that nobody can take must not be minted.
    let sink = Sink::open(out)?;
    let answer = client.send(call).await?;
    if answer.status == 202 {
        sink.discard();
        return context.settle(answer, false, |_| String::new());
    }
    match answer.into_json() {
        Ok(mut value) => {
            let plain = value[member].take();
            value["auth_token"] = plain;
            hand_out(context, sink, value)
        }
        Err(error) => {
            sink.discard();
            Err(error)
        }
    }
}

/// Where a plaintext goes.
enum Sink {
    Stdout,
    File(std::fs::File, PathBuf),
}

impl Sink {
    fn open(out: Option<&Path>) -> Result<Self, Error> {
        match out {
            Some(path) => create_private(path)
                .map(|file| Self::File(file, path.to_owned()))
                .map_err(|error| Error::usage(format!("cannot create `{}`: {error}", path.display()))),
            None if std::io::stdout().is_terminal() => Err(Error::usage("a token is not shown on a terminal")
                .hint("give `--out FILE`, `--deliver-to WORKSPACE:KEY`, or pipe the output")),
            None => Ok(Self::Stdout),
        }
    }

    /// Nothing came: leave no empty file behind.
    fn discard(self) {
        if let Self::File(_, path) = self {
            // It is empty and ours; if it stays, it harms nobody.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn hand_out(context: &Context, sink: Sink, mut value: Value) -> Result<Exit, Error> {
    let Some(token) = value["auth_token"].as_str().map(|token| Hidden::new(token.to_owned())) else {
        sink.discard();
        return Err(Error::fault("the server minted no token that can be handed out")
            .hint("a repeated request never shows a token again; revoke it and mint another"));
    };
    match sink {
        Sink::Stdout if context.output.is_json() => context.output.json(&value)?,
        Sink::Stdout => context.output.raw(format!("{}\n", token.reveal()).as_bytes())?,
        Sink::File(mut file, path) => {
            file.write_all(format!("{}\n", token.reveal()).as_bytes())
                .map_err(|error| Error::fault(format!("cannot write `{}`: {error}", path.display())))?;
            value.as_object_mut().map(|members| members.remove("auth_token"));
            context.output.done(&value, &format!("wrote the token to {}", path.display()))?;
        }
    }
    Ok(Exit::Ok)
}

async fn tokens_path(client: &Client, workspace: Option<&str>) -> Result<String, Error> {
    match workspace {
        Some(workspace) => Ok(path(&["workspaces", &workspace_id(client, workspace).await?, "tokens"])),
        None => Ok("/org/tokens".into()),
    }
}
