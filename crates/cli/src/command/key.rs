//! `key rotate`: a new sealing key, then everything moved to it. Interrupted, the same command goes on where it stopped.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::client::{Call, Client};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::progress::bar;

/// `key …`
#[derive(Subcommand)]
pub enum KeyCommand {
    /// Seal new values with a new data key and move the stored ones to it
    Rotate(RotateArgs),
}

/// `key rotate`
#[derive(Args)]
pub struct RotateArgs {
    /// Only move what an earlier rotation left behind
    #[arg(long, conflicts_with = "dry_run")]
    resume: bool,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(context: &Context, KeyCommand::Rotate(args): &KeyCommand) -> Result<Exit, Error> {
    let client = context.client()?;
    let rotate = Call::post("/keys/rotate", &json!({}));
    if args.dry_run {
        return context.submit(&client, rotate, true, |_| String::new()).await;
    }
    if !args.resume {
        client.json(&rotate).await?;
    }
    let moved = reseal(&client).await?;
    context
        .output
        .done(&json!({"status": "rotated", "resealed": moved}), &format!("rotated; {moved} values resealed"))?;
    Ok(Exit::Ok)
}

/// Moves the stored values, some at a time, until none is left under an older key.
async fn reseal(client: &Client) -> Result<u64, Error> {
    let bar = bar("{bar:30} {human_pos}/{human_len} values resealed {elapsed}");
    let mut moved = 0;
    loop {
        let step = client.json(&Call::post("/keys/reseal", &json!({}))).await?;
        let number =
            |name: &str| step[name].as_u64().ok_or_else(|| Error::fault("the server does not say how far it came"));
        let (done, left) = (number("done")?, number("left")?);
        moved += done;
        bar.set_length(moved + left);
        bar.set_position(moved);
        if left == 0 {
            bar.finish_and_clear();
            return Ok(moved);
        }
        if done == 0 {
            return Err(Error::fault(format!("{left} values could not be resealed")).hint("see the server's log"));
        }
    }
}
