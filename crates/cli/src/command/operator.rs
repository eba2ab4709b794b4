//! `operator list|disable|role`; `operator create` is offline and lives elsewhere.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::args::OperatorCommand;
use crate::client::{Call, path};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything, operators and policies included.
    Owner,
    /// Decides approvals.
    Approver,
    /// Works with workspaces and secrets.
    Member,
    /// Reads.
    Auditor,
}

impl Role {
    /// The server's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Approver => "approver",
            Self::Member => "member",
            Self::Auditor => "auditor",
        }
    }
}

/// `operator disable`
#[derive(Args)]
pub struct DisableArgs {
    /// Operator id
    id: String,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// `operator role`
#[derive(Args)]
pub struct RoleArgs {
    /// Operator id
    id: String,
    /// The new role
    #[arg(value_enum)]
    role: Role,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// `operator claim`
#[derive(Args)]
pub struct ClaimArgs {
    /// File with the link, as the server printed it (`-` for stdin) [default: ask]
    #[arg(long, value_name = "FILE")]
    link_file: Option<std::path::PathBuf>,
    /// Login name of the first operator
    #[arg(long)]
    email: String,
    /// File with the password (`-` for stdin) [default: ask]
    #[arg(long, value_name = "FILE")]
    password_file: Option<std::path::PathBuf>,
}

async fn claim(context: &Context, args: &ClaimArgs) -> Result<Exit, Error> {
    let malformed = || Error::usage("the link has no `#` and code").hint("copy it whole, as the server printed it");
    // A one-time code is worth an organisation while it lives: never an argument that others can list.
    let link = crate::hidden::Hidden::ask("the link: ", args.link_file.as_deref())?;
    let (url, token) = link.reveal().trim().split_once('#').ok_or_else(malformed)?;
    let base = crate::client::parse_base(url.strip_suffix("/claim").unwrap_or(url))?;
    let client = crate::client::Client::new(&base, crate::client::Credential::None, context.timeout())?;
    let password = crate::hidden::Hidden::ask("choose a password: ", args.password_file.as_deref())?;
    let body = json!({"token": token, "email": args.email, "password": password.reveal()});
    let answer = client.json(&Call::post("/auth/claim", &body)).await?;
    context.output.done(&answer, &format!("{} owns the organisation; next: portcullis login", args.email))?;
    Ok(Exit::Ok)
}

pub async fn run(context: &Context, command: &OperatorCommand) -> Result<Exit, Error> {
    if let OperatorCommand::Claim(args) = command {
        return claim(context, args).await;
    }
    let client = context.client()?;
    match command {
        OperatorCommand::List => {
            let operators = client.json(&Call::get("/operators")).await?;
            context.output.list(&operators, &["id", "email", "role", "groups", "disabled"])?;
            Ok(Exit::Ok)
        }
        OperatorCommand::Disable(args) => {
            let call = Call::patch(path(&["operators", &args.id]), &json!({ "disabled": true }));
            context.submit(&client, call, args.dry_run, |_| format!("disabled {}", args.id)).await
        }
        OperatorCommand::Role(args) => {
            let role = args.role.as_str();
            let call = Call::patch(path(&["operators", &args.id]), &json!({ "role": role }));
            context.submit(&client, call, args.dry_run, |_| format!("{} is {role} now", args.id)).await
        }
        OperatorCommand::Create(_) | OperatorCommand::Claim(_) => {
            Err(Error::usage("`operator create` works on the data directory"))
        }
    }
}
