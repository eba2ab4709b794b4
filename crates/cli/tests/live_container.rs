//! The life of a workspace whose agent is a container: the same server, the same agent, another runtime.

mod engine;
mod kit;

use std::path::Path;

use kit::{
    balancer::Balancer,
    fleet::{Fleet, shown, text},
    want,
};
use portcullis_authority::testkit_db::{TestDb, databases};
use reqwest::Method;
use serde_json::{Value, json};

/// Ends the containers of a workspace, also after a failure.
struct Containers(&'static Path, String);

impl Containers {
    fn count(&self) -> usize {
        engine::labelled(self.0, "portcullis.workspace", &self.1).len()
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        engine::remove_labelled(self.0, "portcullis.workspace", &self.1);
    }
}

fn fleet(socket: &Path) -> Fleet {
    Fleet::new(TestDb::sqlite(), &format!("engine = {socket:?}\n"))
}

fn runtime(agent: Value) -> Value {
    json!({"kind": "container", "image": engine::IMAGE, "agent": agent})
}

#[test]
fn a_container_comes_up_works_is_restarted_for_a_change_and_leaves_nothing() {
    let Some(socket) = engine::socket() else { return };
    let fleet = fleet(socket);
    let id = fleet.create("boxed", runtime(json!({"mind": "echo"})), None);
    let containers = Containers(socket, id.clone());
    fleet.settled(&id);
    assert_eq!(fleet.workspace(&id)["runtime"], "container");
    assert_eq!(fleet.ask(&id, "hello"), "hello");
    assert_eq!(fleet.ask(&id, "/env KEY"), "unset");
    let first = fleet.boot(&id);

    let long = fleet.send(&id, "/sleep 2");
    fleet.taken(&id, &long);
    fleet.set(&id, "KEY", "value-one-of-the-box");
    fleet.drains(&id);
    let queued = fleet.send(&id, "/env KEY");
    assert_eq!(fleet.reply(&id, &long), "slept 2");
    assert_eq!(fleet.reply(&id, &queued), shown("value-one-of-the-box"));
    fleet.settled(&id);
    let runs = fleet.runs(&id);
    assert_eq!((runs.len(), &runs[0]["cause"], &runs[0]["crash"]), (2, &json!("restart"), &json!(false)), "{runs:?}");
    assert_ne!(fleet.boot(&id), first);
    let log = fleet.get(&format!("/workspaces/{id}/logs"));
    assert!(text(&log, "text").contains("agent: "), "{log}");

    want(200, fleet.ask_as(fleet.owner(), Method::DELETE, &format!("/workspaces/{id}"), None));
    fleet.until("every container of it is gone", || (containers.count() == 0).then_some(()));
    fleet.until("its directory is gone", || (!fleet.dir.join(&id).exists()).then_some(()));
    fleet.verified();
}

#[test]
fn a_command_in_a_container_answers_with_the_new_value_and_sees_files_change() {
    let Some(socket) = engine::socket() else { return };
    let fleet = fleet(socket);
    let script = "read -r kind; case $kind in variable) printf %s \"$KEY\";; \
        file) cat \"$PORTCULLIS_SECRETS_DIR/FILE_KEY\" 2>/dev/null || echo none;; esac | sha256sum | cut -c1-16";
    let id = fleet.create("boxed", runtime(json!({"mind": "exec", "command": ["sh", "-c", script]})), None);
    let _containers = Containers(socket, id.clone());
    fleet.settled(&id);
    fleet.set(&id, "KEY", "value-of-a-variable");
    fleet.settled(&id);
    assert_eq!(format!("set {}", fleet.ask(&id, "variable").trim()), shown("value-of-a-variable"));
    let boot = fleet.boot(&id);
    let secret = json!({"key": "FILE_KEY", "value": "value-of-a-file", "delivery": "file"});
    fleet.post(&format!("/workspaces/{id}/secrets"), Some(secret), 200);
    fleet.settled(&id);
    assert_eq!(format!("set {}", fleet.ask(&id, "file").trim()), shown("value-of-a-file"));
    assert_eq!(fleet.boot(&id), boot, "a file needs no restart");
}

#[test]
fn a_container_ends_its_turn_while_no_server_runs_and_is_found_again() {
    let Some(socket) = engine::socket() else { return };
    let mut fleet = fleet(socket);
    let id = fleet.create("boxed", runtime(json!({"mind": "echo"})), None);
    let _containers = Containers(socket, id.clone());
    fleet.settled(&id);
    let boot = fleet.boot(&id);
    let long = fleet.send(&id, "/sleep 2");
    fleet.taken(&id, &long);
    fleet.kill_server();
    fleet.start();
    assert_eq!(fleet.reply(&id, &long), "slept 2");
    assert_eq!((fleet.boot(&id), fleet.runs(&id).len()), (boot, 1));
    // An image that is not there is a reason, not a loop.
    let missing = json!({"kind": "container", "image": "no-such-image:9", "agent": {"mind": "echo"}});
    let other = fleet.create("missing", missing, None);
    let failed = fleet.shown(&other, "failed");
    assert!(text(&failed, "status_reason").contains("no-such-image:9"), "{failed}");
    assert_eq!(fleet.runs(&other).len(), 1);
}

#[test]
fn a_container_goes_on_with_its_turn_at_another_server_when_its_own_is_gone() {
    let Some(socket) = engine::socket() else { return };
    let Some(db) = databases().into_iter().find(|db| db.url.is_some()) else { return };
    let settings = format!("engine = {socket:?}\n");
    let mut first = Fleet::new(db, &settings);
    let mut second = first.beside("", &settings);
    // Agents talk to whoever is there.
    let runtimes = kit::runtime();
    let balancer = runtimes.block_on(Balancer::start(&[first.url(), second.url()]));
    for fleet in [&first, &second] {
        fleet.configure_agents(&format!("url = {:?}", balancer.url));
    }
    first.stop_server();
    first.start();
    let script = "read -r word name; while [ \"$word\" = hold ] && [ ! -e \"$name\" ]; do sleep 0.03; done; \
        echo \"$word $(cat \"$PORTCULLIS_SECRETS_DIR/FILE_KEY\" 2>/dev/null | wc -c)\"";
    let id = first.create("boxed", runtime(json!({"mind": "exec", "command": ["sh", "-c", script]})), None);
    let containers = Containers(socket, id.clone());
    first.settled(&id);
    let (boot, held) = (first.boot(&id), first.send(&id, "hold it\n"));
    first.taken(&id, &held);
    second.start();
    first.kill_server();

    second.until("it is taken over", || {
        let taken = second.audit(&format!("event=workspace.taken_over&workspace_id={id}"));
        (!taken.is_empty()).then_some(())
    });
    first.touch(&id, "it");
    assert_eq!(second.reply(&id, &held).trim(), "hold 0");
    // What the new server puts into its files is there, in the directories of the old one.
    let file = json!({"key": "FILE_KEY", "value": "value-of-a-file", "delivery": "file"});
    second.post(&format!("/workspaces/{id}/secrets"), Some(file), 200);
    second.settled(&id);
    assert_eq!(second.ask(&id, "file\n").trim(), "file 15");
    assert!(text(&second.get(&format!("/workspaces/{id}/logs")), "text").contains("agent: "));
    assert_eq!((second.boot(&id), second.runs(&id).len()), (boot.clone(), 1));

    // And it is the new server's to stop.
    second.set(&id, "KEY", "value-of-a-variable");
    second.next_boot(&id, &boot);
    second.settled(&id);
    let runs = second.runs(&id);
    assert_eq!((runs.len(), &runs[0]["cause"], &runs[0]["crash"]), (2, &json!("restart"), &json!(false)), "{runs:?}");
    assert_eq!(second.ask(&id, "file\n").trim(), "file 15");
    want(200, second.ask_as(second.owner(), Method::DELETE, &format!("/workspaces/{id}"), None));
    second.until("every container of it is gone", || (containers.count() == 0).then_some(()));
    second.verified();
}
