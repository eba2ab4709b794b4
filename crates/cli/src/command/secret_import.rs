//! `secret import`: a preview without values, then one change for everything or nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::confirm;
use super::secret::Scope;
use crate::client::{Call, Client};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;

/// How the file is written.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Env,
    Json,
}

/// `secret import`
#[derive(Args)]
pub struct ImportArgs {
    /// File to import (`-` for stdin)
    file: PathBuf,
    #[command(flatten)]
    scope: Scope,
    /// How the file is written [default: json if its name ends so, else env]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Only show the preview
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub async fn run(context: &Context, client: &Client, args: &ImportArgs) -> Result<Exit, Error> {
    let content = Hidden::read(&args.file)?;
    let is_json = args.file.extension().is_some_and(|extension| extension == "json");
    let format = match args.format.unwrap_or(if is_json { Format::Json } else { Format::Env }) {
        Format::Env => "env",
        Format::Json => "json",
    };
    let path = format!("{}/import", args.scope.path(client).await?);
    let body = |apply: bool| json!({ "format": format, "content": content.reveal(), "apply": apply });
    let preview = client.json(&Call::post(&path, &body(false))).await?;
    // With `--json` the preview is data only if it is the whole result.
    if args.dry_run || !context.output.is_json() {
        if context.output.is_json() {
            context.output.json(&preview)?;
        } else {
            context.output.list(&preview["changes"], &["key", "change", "code", "line"])?;
        }
    }
    let count = |change: &str| changes(&preview).filter(|entry| entry["change"] == change).count();
    if count("invalid") > 0 {
        return Err(Error::new(Exit::Invalid, format!("{} entries cannot be imported", count("invalid")))
            .hint("the preview names the rule and the line; nothing was changed"));
    }
    let (added, changed) = (count("add"), count("change"));
    if args.dry_run || added + changed == 0 {
        context.output.note("nothing was changed");
        return Ok(Exit::Ok);
    }
    if !confirm(&format!("import {added} new and {changed} changed?"), args.yes)? {
        return Err(Error::usage("not confirmed; nothing was changed"));
    }
    let apply = Call::post(&path, &body(true));
    context.submit(client, apply, false, |_| format!("imported {added} new and {changed} changed")).await
}

fn changes(preview: &Value) -> impl Iterator<Item = &Value> {
    preview["changes"].as_array().into_iter().flatten()
}
