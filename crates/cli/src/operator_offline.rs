//! `operator create`: for whoever holds the data directory, with the server stopped or running.

use portcullis_authority::{AdminToken, Answer, Config, Meta};
use portcullis_kernel::{deed::OperatorCreate, operator::Role};
use serde_json::json;

use crate::args::OperatorCreateArgs;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::settings::{data_dir, open};

/// `portcullis operator create`.
pub async fn run(context: &Context, args: &OperatorCreateArgs) -> Result<Exit, Error> {
    let email = args.email.parse().map_err(|error| Error::new(Exit::Invalid, format!("{error}")))?;
    let role = Role::parse(args.role.as_str()).ok_or_else(|| Error::usage("unknown role"))?;
    let password = Hidden::ask("password for the new operator: ", args.password_file.as_deref())?;
    let data = data_dir(args.data.as_deref())?;
    let authority = open(data, Config::default(), AdminToken::Untouched).await?;
    let refused = |refusal: portcullis_authority::Refusal| {
        let exit = match refusal.code.status() {
            409 | 422 => Exit::Invalid,
            503 => Exit::Unavailable,
            _ => Exit::Denied,
        };
        Error::new(exit, format!("{}: {} ({})", refusal.code.error(), refusal.reason, refusal.code))
    };
    let hash = authority.hash_password(password.reveal().to_owned()).await.map_err(refused)?;
    let meta = Meta { request_id: "operator-create".to_owned(), ..Meta::default() };
    let action = OperatorCreate { email, role, groups: Vec::new() };
    let answer = authority.perform_at_console(meta, action, hash).await.map_err(refused)?;
    crate::serve::close(authority).await;
    match answer {
        Answer::Done(done) => {
            let value = json!({"id": done.value.id, "email": args.email, "role": args.role.as_str(), "audit_id": done.audit_id});
            context.output.done(&value, &format!("operator {} created", args.email))?;
            Ok(Exit::Ok)
        }
        Answer::Held(_) | Answer::Plan(_) => Err(Error::fault("the organisation did not create the operator")),
    }
}
