//! `demo`: a throw-away organisation on which the incident of 2026-06-11 is replayed over HTTP, against this binary.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use portcullis_authority::{AdminToken, Answer, Authority, Config, Meta};
use portcullis_kernel::{deed::OperatorCreate, operator::Role, runtime::Runtime};
use serde_json::json;

use crate::args::DemoArgs;
use crate::client::{Call, Client, Credential, parse_base, path};
use crate::command::replay::show;
use crate::context::Context;
use crate::demo_live;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::identity::Identity;
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
    // Asked for before anything is started: what is interrupted is tidied up as well.
    let stop = serve::stop_signal()?;
    let name = random::hex(8)?;
    let dir = Throwaway(std::env::temp_dir().join(format!("portcullis-demo-{name}")));
    let homes = [format!("/tmp/ptc-{name}"), format!("/dev/shm/ptc-{name}")].map(|path| Throwaway(path.into()));
    let admin = random::hex(32)?;
    let password = random::hex(8)?;
    let config = Config { runtimes: [("default".to_owned(), Runtime::echo())].into(), ..Config::default() };
    let authority = open(dir.0.clone(), config, AdminToken::Given(admin.clone().into())).await?;
    owner(&authority, &password).await?;
    let (running, url) = listening(&authority, args.listen, &dir.0, &homes).await?;
    let demo = Demo { context, args, scenario, url, admin, password };
    let exit = tokio::select! {
        exit = demo.run(&authority, &dir.0) => exit,
        () = stop => Ok(Exit::Ok),
    };
    running.shutdown_with_agents().await;
    serve::close(authority).await;
    exit
}

/// A demo that is set up.
struct Demo<'a> {
    context: &'a Context,
    args: &'a DemoArgs,
    scenario: Scenario,
    url: String,
    admin: String,
    password: String,
}

impl Demo<'_> {
    async fn run(&self, authority: &Authority, data: &Path) -> Result<Exit, Error> {
        let Self { context, args, scenario, url, admin, password } = self;
        context.output.note(&format!("an organisation of its own in a temporary directory, listening on {url}"));
        let base = parse_base(url)?;
        let hidden = |text: &str| Hidden::new(text.to_owned());
        let target = Target::connect(&base, hidden(admin), EMAIL, hidden(password), context.timeout()).await?;
        let (agent, owner) =
            (Client::new(&base, Credential::Bearer(hidden(admin)), context.timeout())?, target.owner());
        // The root agent runs here as well; it is an operator who says how.
        let root = authority.root().to_string();
        let runtime = json!({"runtime": {"kind": "process", "agent": {"mind": "echo"}}});
        owner.json(&Call::patch(path(&["workspaces", &root]), &runtime)).await?;
        // Made by the root agent, which may: creating is not interrupting.
        let mut made = Vec::new();
        for (name, role) in WORKSPACES {
            let answer = agent.json(&Call::post("/workspaces", &json!({"name": name, "role": role}))).await?;
            made.push((name, answer["id"].as_str().unwrap_or_default().to_owned()));
        }
        let before = demo_live::busy_root(context, owner, &root).await?;
        let report = show(context.output, scenario, &target).await?;
        let mut alive = demo_live::unharmed(context, owner, &before).await?;
        if let Some((name, id)) = made.first() {
            alive &= demo_live::drained(context, owner, id, name).await?;
        }
        let verified = crate::audit_offline::verify_data(data).await;
        let sound = verified.is_ok();
        match &verified {
            Ok(v) => context.output.note(&format!("audit log: {} entries verify, signed by {}", v.entries, v.key)),
            Err(error) => context.output.note(&format!("audit log: {error}")),
        }
        if context.output.is_json() {
            let report =
                json!({"report": report.to_json(), "audit_valid": sound, "agents_unharmed": alive, "url": url});
            context.output.json(&report)?;
        }
        if !args.once {
            context.output.note(&format!("console:  {url}   (Ctrl-C ends it and removes everything)"));
            context.output.note(&format!("operator: {EMAIL}   password: {password}"));
            context.output.note(&format!("  portcullis --url {url} login --email {EMAIL}"));
            context.output.note(&format!("  portcullis --url {url} workspace list"));
            context.output.note(&format!("  portcullis --url {url} workspace send researcher 'hello'"));
            std::future::pending::<()>().await;
        }
        Ok(if report.passed() && sound && alive { Exit::Ok } else { Exit::Fault })
    }
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
    [agents, secrets]: &[Throwaway; 2],
) -> Result<(portcullis_service::Running, String), Error> {
    let mut settings = Settings::load(Some(data), Some(wanted.unwrap_or(LISTEN_DEFAULT)), None)?;
    settings.agents.dir = Some(agents.0.clone());
    settings.agents.secrets_dir = Some(secrets.0.clone());
    // The directory is this process's own, and goes with it.
    let server = Identity::take(data)?.server;
    let running = match serve::listen(authority, &settings, server).await {
        Err(_) if wanted.is_none() => {
            settings.listen.set_port(0);
            serve::listen(authority, &settings, server).await?
        }
        other => other?,
    };
    let url = settings.url(running.address);
    Ok((running, url))
}
