//! `audit verify`: the database or an export, offline, without secrets. Exit code 10 when something is wrong.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use portcullis_authority::{Pins, Target, Verified, VerifyError, verify_database, verify_export};
use portcullis_kernel::checkpoint::VerifierKey;
use serde_json::json;

use crate::args::AuditVerifyArgs;
use crate::context::Context;
use crate::environment;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::progress::bar;
use crate::settings::data_dir;

/// `portcullis audit verify`.
pub async fn run(context: &Context, args: &AuditVerifyArgs) -> Result<Exit, Error> {
    let pins = pins(args.key.as_deref(), args.checkpoint.as_deref())?;
    let source = match &args.export {
        Some(path) => Source::Export(path.clone()),
        None => {
            let url = args.database_url.clone().map(Hidden::new);
            let url = if args.data.is_some() { url } else { url.or_else(environment::database_url) };
            Source::Database { data: data_dir(args.data.as_deref())?, url }
        }
    };
    let verified = tokio::task::spawn_blocking(move || verify(&source, &pins));
    let verified = verified.await.map_err(|error| Error::fault(format!("the verification ended early: {error}")))?;
    match verified {
        Ok(verified) => {
            let sentence = format!(
                "the log verifies: {} entries, {} signed checkpoints, head {}",
                verified.entries, verified.checkpoints, verified.head
            );
            let value = json!({"valid": true, "entries": verified.entries, "checkpoints": verified.checkpoints,
                "head": verified.head, "key": verified.key});
            context.output.done(&value, &sentence)?;
            Ok(Exit::Ok)
        }
        Err(VerifyError::Unreadable(text)) => {
            Err(Error::new(Exit::NotVerified, format!("the log cannot be verified: {text}")))
        }
        Err(VerifyError::Store(error)) => {
            Err(Error::new(Exit::NotVerified, format!("the log cannot be verified: {error}")))
        }
        Err(error) => Err(Error::new(Exit::NotVerified, error.to_string())
            .hint("keep a copy of the log as it is; compare with an export or a checkpoint saved elsewhere")),
    }
}

enum Source {
    Export(PathBuf),
    Database { data: PathBuf, url: Option<Hidden> },
}

fn pins(key: Option<&str>, checkpoint: Option<&Path>) -> Result<Pins, Error> {
    let malformed = || {
        Error::usage("`--key` is not a verifier key")
            .hint("it has the form `name+hash+base64`, as `GET /audit/key` tells")
    };
    let key = key.map(|text| VerifierKey::parse(text).ok_or_else(malformed)).transpose()?;
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|error| Error::usage(format!("cannot read `{}`: {error}", path.display())))
    };
    Ok(Pins { key, checkpoints: checkpoint.map(read).transpose()?.into_iter().collect() })
}

fn verify(source: &Source, pins: &Pins) -> Result<Verified, VerifyError> {
    let bar = bar("{spinner} {human_pos} entries verified {elapsed}");
    let mut progress = |position: i64| bar.set_position(u64::try_from(position).unwrap_or(0));
    let unreadable = |text: String| VerifyError::Unreadable(text);
    let verified = match source {
        Source::Export(path) => {
            let file = File::open(path).map_err(|error| unreadable(format!("`{}`: {error}", path.display())))?;
            verify_export(BufReader::with_capacity(1 << 20, file), pins, &mut progress)
        }
        Source::Database { data, url } => {
            let target = Target::parse(url.as_ref().map(Hidden::reveal), data)?;
            if let Target::Sqlite { path } = &target
                && !path.exists()
            {
                return Err(unreadable(format!("there is no database in `{}`", data.display())));
            }
            verify_database(&target, pins, &mut progress)
        }
    };
    bar.finish_and_clear();
    verified
}

/// Verifies the log of a data directory, for `demo` and `doctor`.
pub async fn verify_data(data: &Path) -> Result<Verified, VerifyError> {
    let source = Source::Database { data: data.to_path_buf(), url: environment::database_url() };
    let verified = tokio::task::spawn_blocking(move || verify(&source, &Pins::default())).await;
    verified.unwrap_or_else(|error| Err(VerifyError::Unreadable(error.to_string())))
}
