//! The swarm runtime against the contract of all runtimes, on a swarm of one.

#[macro_use]
mod contract;
mod nodes;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    sync::{Mutex, OnceLock, Weak},
    time::Duration,
};

use contract::{Bed, unit};
use nodes::{Nodes, engine};
use portcullis_service::runtime::{
    Places, Runtime,
    swarm::{SwarmNetwork, SwarmRuntime, SwarmSettings},
};

/// Directories of one test.
struct Home {
    at: PathBuf,
    _nodes: Arc<Nodes>,
}

/// The swarm of all tests that run at the same time; the last one takes it down.
fn nodes() -> Arc<Nodes> {
    static NODES: OnceLock<Mutex<Weak<Nodes>>> = OnceLock::new();
    let mut shared = NODES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let made = Arc::new(Nodes::one());
        *shared = Arc::downgrade(&made);
        made
    })
}

impl Home {
    fn new() -> Option<(Self, Bed<SwarmRuntime>)> {
        if !nodes::possible() {
            return None;
        }
        let nodes = nodes();
        let organisation = unit().boot.to_string();
        let at = std::env::temp_dir().join(format!("pts-{}", &organisation[..13]));
        let settings = SwarmSettings {
            socket: nodes.manager.socket.clone(),
            organisation: organisation.parse().ok()?,
            network: SwarmNetwork::Node,
            grace: Duration::from_secs(3),
            places: Places { agents: at.join("a"), secrets: at.join("s"), program: Path::new("/nowhere").to_owned() },
        };
        let extra_variables = ["FROM_IMAGE", "HOSTNAME", "TINI_KILL_PROCESS_GROUP"].map(str::to_owned).into();
        let bed = Bed { runtime: SwarmRuntime::new(settings), image: Some(engine::IMAGE.to_owned()), extra_variables };
        Some((Self { at, _nodes: nodes }, bed))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.at);
    }
}

macro_rules! pieces {
    ($($name:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            if let Some((home, bed)) = Home::new() {
                contract::$name(&bed).await;
                drop(home);
            }
        }
    )*};
}

each_piece!(pieces);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_holds_no_value_and_its_secrets_go_with_its_end() {
    let Some((home, bed)) = Home::new() else { return };
    let unit = unit();
    let mut launch = bed.script(unit, "echo up; while :; do sleep 0.05; done");
    launch.environment.variables = vec![("KEY".to_owned(), contract::secret("s3cret-value-of-key"))];
    launch.environment.files = vec![("FILE_KEY".to_owned(), contract::secret("s3cret-value-of-file"))];
    bed.runtime.start(launch).await.expect("it starts");
    bed.says(unit, "up").await;
    let boot = unit.boot.to_string();
    let shown = home._nodes.service(&boot).expect("a service").to_string();
    // The values, and how base64 of them begins.
    for value in ["s3cret", "the-token-of", "czNjcmV0", "dGhlLXRva2VuLW9m"] {
        assert!(!shown.contains(value), "{shown}");
    }
    let secrets = || home._nodes.names("secrets").into_iter().filter(|name| name.contains(&boot)).count();
    assert_eq!(secrets(), 4, "context, token, variables and a file");
    bed.runtime.stop(unit, contract::LONG).await.expect("it stops");
    assert_eq!(secrets(), 0);
    // What ended by itself has none either, once that was seen.
    let unit = bed.run("exit 0").await;
    bed.ended(unit).await;
    let boot = unit.boot.to_string();
    assert!(!home._nodes.names("secrets").iter().any(|name| name.contains(&boot)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boot_that_somebody_starts_again_is_over() {
    let Some((home, bed)) = Home::new() else { return };
    let unit = bed.up("echo up; while :; do sleep 0.05; done").await;
    let service = home._nodes.service(&unit.boot.to_string()).expect("a service");
    let mut spec = service["Spec"].clone();
    spec["Mode"]["Replicated"]["Replicas"] = serde_json::json!(2);
    let path = format!(
        "/v1.41/services/{}/update?version={}",
        service["ID"].as_str().unwrap_or_default(),
        service["Version"]["Index"]
    );
    let answer = engine::call(&home._nodes.manager.socket, "POST", &path, spec.to_string().as_bytes());
    assert_eq!(answer.0, 200, "{:?}", String::from_utf8_lossy(&answer.1));
    let exit = bed.ended(unit).await;
    assert_eq!(exit.cause, portcullis_service::runtime::ExitCause::Lost);
    bed.runtime.stop(unit, contract::LONG).await.expect("it stops");
    nodes::until("no copy of it is left", || nodes::processes_of(&unit.boot.to_string()).is_empty().then_some(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_node_takes_is_given_up_and_never_begins() {
    let Some((home, bed)) = Home::new() else { return };
    let unit = unit();
    let mut launch = bed.script(unit, "echo up; sleep 1000");
    launch.placement = vec!["node.labels.seat==none".to_owned()];
    bed.runtime.start(launch).await.expect("it is made");
    let exit = bed.ended(unit).await;
    assert!(
        matches!(&exit.cause, portcullis_service::runtime::ExitCause::StartFailed { for_good: false, .. }),
        "{exit:?}"
    );
    assert_eq!(bed.runtime.stop(unit, contract::LONG).await.expect("nothing to stop"), exit);
    bed.runtime.forget(unit, true).await.expect("forgotten");
    assert!(home._nodes.service(&unit.boot.to_string()).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_no_node_has_is_a_reason_and_an_engine_without_a_swarm_is_not_down() {
    let Some((home, bed)) = Home::new() else { return };
    let unit = unit();
    let mut launch = bed.script(unit, "echo up");
    launch.image = Some("no-such-image:9".to_owned());
    bed.runtime.start(launch).await.expect("it is made");
    let exit = bed.ended(unit).await;
    assert!(
        matches!(&exit.cause, portcullis_service::runtime::ExitCause::StartFailed { why, for_good: true } if why.contains("no-such-image:9")),
        "{exit:?}"
    );
    if let Some(socket) = engine::socket() {
        let settings = SwarmSettings {
            socket: socket.to_owned(),
            organisation: unit.boot.to_string().parse().expect("an id"),
            network: SwarmNetwork::Node,
            grace: Duration::from_secs(1),
            places: Places { agents: home.at.join("b"), secrets: home.at.join("s"), program: home.at.clone() },
        };
        let elsewhere = SwarmRuntime::new(settings);
        assert!(matches!(elsewhere.look(unit).await, portcullis_service::runtime::Sight::Unknown(_)));
        assert_eq!(elsewhere.units().await, Ok(Vec::new()));
        let managing = portcullis_service::runtime::swarm::managing(socket).await.expect("it answers");
        assert!(!managing.manages);
    }
}

#[test]
fn the_doctor_says_whether_a_swarm_stands() {
    if !nodes::possible() {
        return;
    }
    let nodes = nodes();
    let home = std::env::temp_dir().join(format!("pts-{}", unit().boot));
    std::fs::create_dir_all(&home).expect("a directory");
    let says = |engine: &Path, more: &str| {
        let text = format!("[agents]\nengine = {engine:?}\n{more}");
        std::fs::write(home.join("portcullis.toml"), text).expect("a configuration");
        let mut doctor = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
        doctor.env_clear().env("HOME", &home).args(["--json", "doctor", "--data"]).arg(&home);
        let said = doctor.output().expect("it runs");
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).expect("JSON");
        let found = said["findings"].as_array().expect("findings").iter().find(|found| found["what"] == "swarm");
        found.map(|found| (found["good"] == true, found["detail"].as_str().unwrap_or_default().to_owned()))
    };
    let needed = "url = \"http://192.0.2.1\"\n[agents.runtimes.far]\nkind = \"swarm\"\nimage = \"x\"\n";
    let (good, detail) = says(&nodes.manager.socket, needed).expect("a finding");
    assert!(good && detail.ends_with("1 nodes, all ready"), "{detail}");
    let (good, detail) = says(&nodes.manager.socket, "").expect("a finding");
    assert!(good && detail.contains("agents.url"), "{detail}");
    let (good, detail) = says(&home.join("nowhere"), needed).expect("a finding");
    assert!(!good, "{detail}");
    assert_eq!(says(&home.join("nowhere"), ""), None, "no swarm, and none needed");
    std::fs::remove_dir_all(&home).expect("removed");
}
