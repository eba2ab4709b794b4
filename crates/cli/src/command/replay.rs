//! `replay FILE…`

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::context::Context;
use crate::environment;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::output::Output;
use crate::profile::Profile;
use crate::scenario::{Outcome, Report, Scenario, Target, replay};

/// `replay`
#[derive(Args)]
pub struct ReplayArgs {
    /// Scenario files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// File with the admin token [default: PORTCULLIS_ADMIN_TOKEN]
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// An owner's login name, for the fixtures
    #[arg(long, required_unless_present = "check")]
    email: Option<String>,
    /// File with the owner's password (`-` for stdin) [default: ask]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Leave workspaces, tokens and operators behind, to look at them
    #[arg(long)]
    keep: bool,
    /// Only read the files; talk to no server
    #[arg(long)]
    check: bool,
}

pub async fn run(context: &Context, args: &ReplayArgs) -> Result<Exit, Error> {
    // All files before the first request: a typing error in the last one must not leave half a run behind.
    let scenarios = args.files.iter().map(|file| Scenario::load(file)).collect::<Result<Vec<_>, _>>()?;
    if args.check {
        context.output.note(&format!("{} scenario files are well-formed", scenarios.len()));
        return Ok(Exit::Ok);
    }
    let admin_token = admin_token(args)?;
    let email = args.email.clone().unwrap_or_default();
    let password = Hidden::ask("password: ", args.password_file.as_deref())?;
    let base = context.base(&Profile::load(&Profile::path()?)?)?;
    let target = Target::connect(&base, admin_token, &email, password, context.timeout()).await?.keep(args.keep);
    let mut reports = Vec::new();
    for scenario in &scenarios {
        reports.push(show(context.output, scenario, &target).await?);
    }
    if context.output.is_json() {
        context.output.json(&reports.iter().map(Report::to_json).collect::<Value>())?;
    }
    let failed = reports.iter().filter(|report| !report.passed()).count();
    context.output.note(&format!("{} scenarios, {failed} failed", reports.len()));
    Ok(if failed == 0 { Exit::Ok } else { Exit::Fault })
}

/// Replays one scenario and shows it as it happens.
pub async fn show(output: Output, scenario: &Scenario, target: &Target) -> Result<Report, Error> {
    if output.is_json() {
        return Ok(replay(scenario, target, &mut |_| {}).await);
    }
    output.raw(Report::heading(scenario).as_bytes())?;
    let mut written = Ok(());
    let report = replay(scenario, target, &mut |outcome: &Outcome| {
        if written.is_ok() {
            written = output.raw(outcome.text(output).as_bytes());
        }
    })
    .await;
    written?;
    output.raw(report.summary().as_bytes())?;
    Ok(report)
}

fn admin_token(args: &ReplayArgs) -> Result<Hidden, Error> {
    if let Some(file) = &args.admin_token_file {
        return Ok(Hidden::read(file)?.without_final_newline());
    }
    environment::admin_token().ok_or_else(|| {
        Error::usage("replaying needs the admin token")
            .hint("give `--admin-token-file FILE` or set PORTCULLIS_ADMIN_TOKEN")
    })
}
