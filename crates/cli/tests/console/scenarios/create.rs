//! Workspaces made and changed through their forms.

use serde_json::{Value, json};

use super::map::steady;
use crate::{
    kit::{
        fleet::{Fleet, list, text},
        operator,
    },
    page::Page,
    scene::{Scene, sign_in},
};

fn made(fleet: &Fleet, name: &str) -> Value {
    let all = list(&fleet.get("/workspaces"));
    all.into_iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("there is no {name}"))
}

/// Creates a workspace through the form, whose part about the runtime is filled by `fill`.
#[track_caller]
fn create(page: &Page, name: &str, runtime: &str, fill: impl Fn()) {
    page.control("nav.map").click();
    page.control("map.create").click();
    page.control("create.name").fill(name);
    page.control("runtime.kind").choose(runtime);
    fill();
    page.control("create.submit").click();
    page.see(&format!("{name} was created."));
}

pub fn every_kind_of_runtime_can_be_chosen_and_is_what_was_written(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    fleet.create("somebody", json!("external"), None);
    scene.sign_in();
    let agent = |name: &str| made(fleet, name)["runtime_spec"].clone();

    create(page, "echo", "Built-in: echo (to try things out)", || {
        page.control("runtime.memory").fill("64");
    });
    assert_eq!(agent("echo"), json!({"kind": "process", "agent": {"mind": "echo"}, "limits": {"memory_mb": 64}}));

    create(page, "exec", "Built-in: a command per message", || {
        page.control("runtime.command").fill("sh -c \"echo 'two  spaces'; cat\"");
    });
    let words = ["sh", "-c", "echo 'two  spaces'; cat"];
    assert_eq!(agent("exec")["agent"], json!({"mind": "exec", "command": words}));

    create(page, "model", "Built-in: a model behind an endpoint", || {
        page.control("runtime.model").fill("small-1");
        page.control("runtime.endpoint").fill("http://127.0.0.1:9/v1");
        page.control("runtime.key").fill("model_key");
    });
    let model = agent("model")["agent"].clone();
    assert_eq!((&model["mind"], &model["model"]), (&json!("model"), &json!("small-1")));
    assert_eq!((&model["base_url"], &model["key"]), (&json!("http://127.0.0.1:9/v1"), &json!("MODEL_KEY")));

    create(page, "program", "A program of its own", || {
        page.control("runtime.command").fill("python3 agent.py");
    });
    assert_eq!(agent("program")["agent"], json!({"mind": "command", "command": ["python3", "agent.py"]}));

    create(page, "boxed", "A container", || {
        page.control("runtime.image").fill("my-agent:1");
    });
    assert_eq!((&agent("boxed")["kind"], &agent("boxed")["image"]), (&json!("container"), &json!("my-agent:1")));
    assert_eq!(agent("boxed")["agent"], json!({"mind": "echo"}));

    // The configuration of this server names an address for it.
    create(page, "placed", "A service of the swarm", || {
        page.control("runtime.image").fill("my-agent:1");
        page.control("runtime.placement").fill("node.labels.zone==b, node.role==worker");
    });
    let placed = agent("placed");
    assert_eq!((&placed["kind"], &placed["image"]), (&json!("swarm"), &json!("my-agent:1")));
    assert_eq!(placed["placement"], json!(["node.labels.zone==b", "node.role==worker"]));

    create(page, "elsewhere", "Elsewhere; I start it myself", || page.no_control("runtime.memory"));
    assert_eq!(made(fleet, "elsewhere")["runtime"], "external");
    assert_eq!(fleet.audit("event=workspace.create&outcome=done").len(), 8);
}

pub fn what_the_server_would_refuse_is_said_before(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    fleet.create("somebody", json!("external"), None);
    scene.sign_in();
    page.control("map.create").click();
    page.no_control("create.submit");
    page.control("create.name").fill("model");
    page.control("runtime.kind").choose("Built-in: a model behind an endpoint");
    page.control("runtime.model").fill("small-1");
    page.control("runtime.endpoint").fill("ftp://127.0.0.1/v1");
    page.see("INVALID_FIELD");
    page.no_control("create.submit");
    assert_eq!(page.control("runtime.endpoint").value(), "ftp://127.0.0.1/v1");
    assert_eq!(list(&fleet.get("/workspaces")).len(), 2);
    page.control("runtime.endpoint").fill("http://127.0.0.1:9/v1");
    page.control("create.submit").click();
    page.see("model was created.");
}

pub fn a_parent_is_chosen_by_its_path(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let team = fleet.create("team", json!("external"), None);
    let root = text(&fleet.workspace(&fleet.root()), "name");
    scene.sign_in();
    page.control("map.create").click();
    page.control("create.name").fill("member");
    page.control("create.parent").choose(&format!("{root} / team"));
    page.control("create.submit").click();
    page.see("member was created.");
    assert_eq!(made(fleet, "member")["parent_id"], json!(team));
}

pub fn name_role_and_runtime_are_changed(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let kept = json!({"kind": "process", "agent": {"mind": "model", "model": "small-1", "base_url": "http://127.0.0.1:9/v1",
        "key": null, "instructions": "be brief"}, "limits": {"memory_mb": 64, "open_files": 100}});
    let id = fleet.create("old name", kept, None);
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}"));
    page.control("overview.edit").click();
    page.no_control("edit.submit");
    page.control("edit.name").fill("given up");
    page.control("edit.cancel").click();
    page.no_control("edit.name");
    assert_eq!(fleet.workspace(&id)["name"], "old name");

    page.control("overview.edit").click();
    assert_eq!(page.control("edit.name").value(), "old name");
    page.control("edit.name").fill("new name");
    page.control("edit.role").fill("answers");
    page.see("No running agent is touched.");
    page.control("edit.submit").click();
    page.see_in("h1", "new name");
    let now = fleet.workspace(&id);
    assert_eq!((&now["name"], &now["role"]), (&json!("new name"), &json!("answers")));

    // What the form has no field for stays as it was.
    page.control("overview.edit").click();
    page.control("runtime.model").fill("large-1");
    page.control("edit.submit").click();
    page.see("model large-1");
    let spec = fleet.workspace(&id)["runtime_spec"].clone();
    assert_eq!((&spec["agent"]["model"], &spec["agent"]["instructions"]), (&json!("large-1"), &json!("be brief")));
    assert_eq!(spec["limits"], json!({"memory_mb": 64, "open_files": 100}));
    assert_eq!(fleet.audit(&format!("event=workspace.configure&workspace_id={id}")).len(), 1);
}

pub fn what_needs_an_approver_is_asked_for_and_not_done(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("somebody", json!("external"), None);
    operator(&fleet.db, "member@example.org", "member").exits(0);
    sign_in(page, "member@example.org");
    page.control("map.create").click();
    page.control("create.name").fill("helper");
    page.control("runtime.kind").choose("A program of its own");
    page.control("runtime.command").fill("python3 agent.py");
    page.see("This is not done at once: it waits for 1 approver");
    assert_eq!(page.control("create.submit").label(), "Ask for approval");
    page.control("create.submit").click();
    page.see("Nothing has changed yet: this waits for approval.");
    assert_eq!(list(&fleet.get("/workspaces")).len(), 2);
    let pending = list(&fleet.get("/approvals/pending"));
    assert_eq!(pending.len(), 1, "{pending:?}");
    page.control("toast.link").click();
    page.is_at(&format!("/console/approvals/{}", text(&pending[0], "id")));

    // What a member may not even ask for cannot be pressed, and says why.
    page.control("nav.map").click();
    steady(page);
    page.control_in(&format!("[data-card=\"{id}\"]"), "map.card").click();
    page.control("workspace.restart");
    for control in ["aside.move", "workspace.remove"] {
        page.no_control(control);
        page.see_in(&format!("[data-control=\"{control}\"] .hidden-text"), "Your role (member) may not do this");
    }
}
