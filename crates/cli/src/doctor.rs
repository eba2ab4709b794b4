//! `doctor`: looks for what is wrong with an installation and says what to do. Changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use portcullis_authority::{Target, schema_version};
use portcullis_kernel::runtime::RuntimeKind;
use portcullis_service::runtime::swarm::{Managing, managing};
use serde_json::json;

use crate::args::DoctorArgs;
use crate::client::Call;
use crate::context::Context;
use crate::environment;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::settings::{Settings, data_dir};

struct Finding {
    what: &'static str,
    good: bool,
    detail: String,
}

fn mode(path: &Path, allowed: u32) -> Result<String, String> {
    let found = std::fs::metadata(path).map_err(|error| format!("`{}`: {error}", path.display()))?;
    let mode = found.permissions().mode() & 0o777;
    if mode & !allowed == 0 {
        Ok(format!("`{}` has mode {mode:04o}", path.display()))
    } else {
        Err(format!("`{}` has mode {mode:04o}; set it to {allowed:04o}", path.display()))
    }
}

/// `portcullis doctor`.
pub async fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, Error> {
    let data = data_dir(args.data.as_deref())?;
    let mut findings = Vec::new();
    let mut look = |what, found: Result<String, String>| {
        let good = found.is_ok();
        findings.push(Finding { what, good, detail: found.unwrap_or_else(|problem| problem) });
    };
    look("data directory", mode(&data, 0o755));
    let root_key =
        environment::root_key_file().unwrap_or_else(|| data.join(portcullis_authority::vault::ROOT_KEY_FILE));
    look("root key", mode(&root_key, 0o600));
    look(
        "configuration",
        Settings::load(args.data.as_deref(), None, None).map(|_| "reads".to_owned()).map_err(|error| error.to_string()),
    );
    look("database", database(&data).await);
    let verified = crate::audit_offline::verify_data(&data).await;
    look("audit log", verified.map(|v| format!("{} entries verify", v.entries)).map_err(|error| error.to_string()));
    if let Some(found) = swarm(args.data.as_deref()).await {
        look("swarm", found);
    }
    look("server", server(context).await);
    let good = findings.iter().all(|finding| finding.good);
    if context.output.is_json() {
        let list: Vec<_> =
            findings.iter().map(|f| json!({"what": f.what, "good": f.good, "detail": f.detail})).collect();
        context.output.json(&json!({"good": good, "findings": list}))?;
    } else {
        let rows =
            findings.iter().map(|f| vec![context.output.mark(f.good).to_owned(), f.what.to_owned(), f.detail.clone()]);
        context.output.table(&["", "looked at", "found"], rows.collect())?;
    }
    Ok(if good { Exit::Ok } else { Exit::Fault })
}

async fn database(data: &Path) -> Result<String, String> {
    let (data, url) = (data.to_path_buf(), environment::database_url());
    let opened = tokio::task::spawn_blocking(move || {
        let target = Target::parse(url.as_ref().map(Hidden::reveal), &data).map_err(|error| error.to_string())?;
        if let Target::Sqlite { path } = &target
            && !path.exists()
        {
            return Err(format!("there is no database in `{}`; `portcullis serve` makes one", data.display()));
        }
        let version = schema_version(&target);
        version.map(|version| format!("opens, schema version {version}")).map_err(|error| error.to_string())
    });
    opened.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// The swarm, where there is one or the configuration needs one.
async fn swarm(data: Option<&Path>) -> Option<Result<String, String>> {
    let settings = Settings::load(data, None, None).ok()?;
    let needed = settings.config.runtimes.values().any(|runtime| runtime.kind == RuntimeKind::Swarm);
    let engine = settings.agents.engine.display().to_string();
    match managing(&settings.agents.engine).await {
        // Somebody else's, perhaps: no agent can be on it.
        Ok(Managing { manages: true, nodes, .. }) if !settings.config.reached_from_afar => Some(Ok(format!(
            "`{engine}` manages a swarm of {nodes} nodes, unused: they do not reach this server without `agents.url`"
        ))),
        Ok(Managing { manages: true, nodes, ready }) if ready == nodes => {
            Some(Ok(format!("`{engine}` manages a swarm of {nodes} nodes, all ready")))
        }
        Ok(Managing { manages: true, nodes, ready }) => Some(Err(format!(
            "`{engine}` manages a swarm of {nodes} nodes, of which {ready} are ready; see `docker node ls`"
        ))),
        Ok(_) if needed => Some(Err(format!("`{engine}` manages no swarm; run `docker swarm init` there"))),
        Err(fault) if needed => Some(Err(fault.to_string())),
        Ok(_) | Err(_) => None,
    }
}

async fn server(context: &Context) -> Result<String, String> {
    let client = context.client_as(crate::client::Credential::None).map_err(|error| error.to_string())?;
    let base = client.base().clone();
    let ready = client.send(&Call::get("/ready")).await.map_err(|error| error.to_string())?;
    match ready.json() {
        Some(value) if value["ready"] == true => Ok(format!("`{base}` is ready")),
        Some(value) => Err(format!("`{base}` is not ready: {}", value["checks"])),
        None => Err(format!("`{base}` does not answer as Portcullis")),
    }
}
