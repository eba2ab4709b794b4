//! `demo`: a throw-away organisation on which the incident of 2026-06-11 is replayed over HTTP, against this binary.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use portcullis_authority::{AdminToken, Answer, Authority, Config, Meta};
use portcullis_kernel::{deed::OperatorCreate, operator::Role};
use serde_json::json;

use crate::args::DemoArgs;
use crate::client::{Call, Client, Credential, parse_base};
use crate::command::replay::show;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::random;
use crate::scenario::{Scenario, Target};
use crate::serve;
use crate::settings::{LISTEN_DEFAULT, Settings, open};

const INCIDENT: &str = include_str!("../../../scenarios/incident-2026-06-11.toml");
const EMAIL: &str = "owner@demo.example";
/// The organisation people find when they look around afterwards.
const WORKSPACES: [(&str, &str); 3] =
    [("researcher", "reads and summarises"), ("writer", "drafts"), ("reviewer", "checks what the others wrote")];

/// A directory that goes with the demo.
struct Throwaway(PathBuf);

impl Drop for Throwaway {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `portcullis demo`.
pub async fn run(context: &Context, args: &DemoArgs) -> Result<Exit, Error> {
    let scenario = match &args.scenario {
        Some(path) => Scenario::load(path)?,
        None => Scenario::parse(INCIDENT).map_err(Error::fault)?,
    };
    let dir = Throwaway(std::env::temp_dir().join(format!("portcullis-demo-{}", random::hex(8)?)));
    let admin = random::hex(32)?;
    let password = random::hex(8)?;
    let authority = open(dir.0.clone(), Config::default(), AdminToken::Given(admin.clone().into())).await?;
    owner(&authority, &password).await?;
    let (running, url) = listening(&authority, args.listen, &dir.0).await?;
    context.output.note(&format!("an organisation of its own in a temporary directory, listening on {url}"));

    let base = parse_base(&url)?;
    let target =
        Target::connect(&base, Hidden::new(admin.clone()), EMAIL, Hidden::new(password.clone()), context.timeout())
            .await?;
    // Made by the root agent, which may: creating is not interrupting.
    let agent = Client::new(&base, Credential::Bearer(Hidden::new(admin)), context.timeout())?;
    for (name, role) in WORKSPACES {
        agent.json(&Call::post("/workspaces", &json!({"name": name, "role": role}))).await?;
    }
    let report = show(context.output, &scenario, &target).await?;
    let verified = crate::audit_offline::verify_data(&dir.0).await;
    let sound = verified.is_ok();
    match &verified {
        Ok(v) => context.output.note(&format!("audit log: {} entries verify, signed by {}", v.entries, v.key)),
        Err(error) => context.output.note(&format!("audit log: {error}")),
    }
    if context.output.is_json() {
        context.output.json(&json!({"report": report.to_json(), "audit_valid": sound, "url": url}))?;
    }
    let exit = if report.passed() && sound { Exit::Ok } else { Exit::Fault };
    if !args.once {
        let stop = serve::stop_signal()?;
        context.output.note(&format!("look around: {url}   (Ctrl-C ends it and removes everything)"));
        context.output.note(&format!("operator:    {EMAIL}   password: {password}"));
        context.output.note(&format!("  portcullis --url {url} login --email {EMAIL}"));
        context.output.note(&format!("  portcullis --url {url} audit tail"));
        stop.await;
    }
    running.shutdown().await;
    drop(target);
    serve::close(authority).await;
    Ok(exit)
}

async fn owner(authority: &Authority, password: &str) -> Result<(), Error> {
    let fault = |refusal: portcullis_authority::Refusal| Error::fault(format!("{}: {}", refusal.code, refusal.reason));
    let email = EMAIL.parse().map_err(|_| Error::fault("the demo's own address is malformed"))?;
    let hash = authority.hash_password(password.to_owned()).await.map_err(fault)?;
    let action = OperatorCreate { email, role: Role::Owner, groups: Vec::new() };
    let meta = Meta { request_id: "demo".to_owned(), ..Meta::default() };
    match authority.perform_at_console(meta, action, hash).await.map_err(fault)? {
        Answer::Done(_) => Ok(()),
        Answer::Held(_) | Answer::Plan(_) => Err(Error::fault("the demo's operator was not created")),
    }
}

/// Listens where it was told, or at the usual place, or, when that is taken, anywhere.
async fn listening(
    authority: &Authority,
    wanted: Option<SocketAddr>,
    data: &Path,
) -> Result<(portcullis_service::Running, String), Error> {
    let mut settings = Settings::load(Some(data), Some(wanted.unwrap_or(LISTEN_DEFAULT)), None)?;
    let running = match serve::listen(authority, &settings).await {
        Err(_) if wanted.is_none() => {
            settings.listen.set_port(0);
            serve::listen(authority, &settings).await?
        }
        other => other?,
    };
    let url = settings.url(running.address);
    Ok((running, url))
}
