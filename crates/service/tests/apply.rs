//! What people decide about running agents, on both engines: to apply what waits, to stop in the middle of a turn, and
//! which program an agent is. Runs are recorded here and no program is started: what happens to it is another test's.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod probe;
mod world;

use portcullis_authority::Config;
use portcullis_kernel::{operator::Role, runtime::Runtime};
use probe::audited;
use reqwest::Method;
use serde_json::{Value, json};
use world::{Actor, Answer, World, each_engine};

async fn post(actor: &Actor, path: &str) -> Answer {
    actor.send(Method::POST, path, None).await
}

async fn apply(actor: &Actor, workspace: &str) -> Answer {
    post(actor, &format!("/workspaces/{workspace}/apply")).await
}

async fn force_stop(actor: &Actor, workspace: &str, body: Value) -> Answer {
    actor.post(&format!("/workspaces/{workspace}/force-stop"), body).await
}

/// Records a run, as the supervisor does before it starts a program.
async fn run(world: &World, workspace: &str) {
    world.supervise().await;
    drop(world.authority.begin_run(World::id(workspace), "here".to_owned()).await.expect("a run"));
}

/// A workspace with the built-in agent and a run of it.
async fn running(world: &World, name: &str) -> String {
    let made = world.owner().post("/workspaces", json!({"name": name, "runtime": "process"})).await;
    let id = made.status(201).member("id");
    run(world, &id).await;
    id
}

/// Lets the root have a run.
async fn run_root(world: &World) -> String {
    let root = world.root();
    world.owner().patch(&format!("/workspaces/{root}"), json!({"runtime": "process"})).await.status(200);
    run(world, &root).await;
    root
}

/// A turn of the live run on the one message that waits, as if its agent had taken it.
async fn turn(world: &World, workspace: &str) {
    let sent = world.owner().post(&format!("/workspaces/{workspace}/messages"), json!({"text": "work"})).await;
    sent.status(202);
    world.db.run(&format!(
        "INSERT INTO turns (id, workspace_id, boot_id, message_id, state, started_at, audit_id) \
         SELECT '{}', r.workspace_id, r.boot_id, m.id, 'running', r.started_at, m.audit_id \
         FROM runs r JOIN messages m ON m.workspace_id = r.workspace_id WHERE r.state = 'live' AND m.id = '{}'",
        sent.member("id"),
        sent.member("id"),
    ));
    world.db.run(&format!("UPDATE messages SET state = 'delivered' WHERE id = '{}'", sent.member("id")));
}

async fn service(world: &World) -> Actor {
    world.bearer(&world.org_token(&world.owner(), json!({"name": "service", "unattended": true})).await)
}

/// Workspaces up to whose desired generation a human has let their agents be restarted.
fn let_restart(world: &World) -> i64 {
    world.db.integer("SELECT COUNT(*) FROM workspaces WHERE apply_generation = desired_generation")
}

#[test]
fn a_human_applies_what_waits_and_nobody_else_does() {
    each_engine(Config::default(), async |world| {
        let (owner, root) = (world.owner(), run_root(&world).await);
        let other = running(&world, "writer").await;
        let (service, agent) = (service(&world).await, world.agent_of(&other).await);
        for workspace in [&root, &other] {
            audited(&world, 409, "CONFLICT", apply(&owner, workspace)).await;
        }
        for workspace in [&root, &other] {
            owner.set(workspace, "API_KEY", "a new value").await.status(200);
        }
        assert_eq!(let_restart(&world), 0);
        for actor in [&world.admin(), &world.agent_of(&root).await, &service] {
            audited(&world, 403, "SELF_INTERRUPTION_BLOCKED", apply(actor, &root)).await;
            audited(&world, 403, "HUMAN_REQUIRED", apply(actor, &other)).await;
        }
        audited(&world, 403, "SELF_INTERRUPTION_BLOCKED", apply(&agent, &other)).await;
        audited(&world, 404, "NOT_FOUND", apply(&agent, &root)).await;
        let auditor = world.operator("auditor@example.org", Role::Auditor, &[]).await;
        let member = world.operator("member@example.org", Role::Member, &[]).await;
        let approver = world.operator("approver@example.org", Role::Approver, &[]).await;
        audited(&world, 403, "ROLE_REQUIRED", apply(&auditor, &other)).await;
        audited(&world, 403, "ROLE_REQUIRED", apply(&member, &root)).await;
        let plan = post(&approver, &format!("/workspaces/{root}/apply?dry_run=true")).await;
        assert_eq!(plan.status(200).json["decision"], "allow", "{}", plan.text);
        assert_eq!(let_restart(&world), 0, "a plan is no deed");
        assert_eq!(apply(&approver, &root).await.status(200).json["status"], "applying");
        assert_eq!(let_restart(&world), 1);
        apply(&member, &other).await.status(200);
        assert_eq!(let_restart(&world), 2);
        // What comes later waits again: it was not what the human saw.
        owner.set(&root, "API_KEY", "a later value").await.status(200);
        assert_eq!(let_restart(&world), 1);
        // Without a run, and for an agent elsewhere, there is nothing that could wait.
        let idle = world.workspace("idle").await;
        audited(&world, 409, "CONFLICT", apply(&owner, &idle)).await;
        let elsewhere = world.agent_of(&idle).await;
        elsewhere.post("/registry/register", json!({"id": idle})).await.status(200);
        owner.set(&idle, "API_KEY", "a value").await.status(200);
        audited(&world, 409, "CONFLICT", apply(&owner, &idle)).await;
        world
    });
}

#[test]
fn a_turn_is_cut_by_a_human_who_proved_again_who_it_is_and_said_why() {
    each_engine(Config::default(), async |world| {
        let (owner, other) = (world.owner(), running(&world, "writer").await);
        let (service, agent) = (service(&world).await, world.agent_of(&other).await);
        let why = || json!({"reason": "it deletes files"});
        let forced = "SELECT COUNT(*) FROM workspaces WHERE force_boot IS NOT NULL";
        for reason in ["", " \n"] {
            audited(&world, 422, "INVALID_FIELD", force_stop(&owner, &other, json!({"reason": reason}))).await;
        }
        for body in [json!({}), json!({"reason": 7}), json!({"reason": "x", "now": true})] {
            let (answer, changed) = world.changed(force_stop(&owner, &other, body)).await;
            answer.refused(422, "INVALID_FIELD");
            assert!(changed.is_empty(), "{changed:?}");
        }
        let session = world.log_in_only("owner@example.org").await;
        audited(&world, 403, "STEP_UP_REQUIRED", force_stop(&session, &other, why())).await;
        let member = world.operator("member@example.org", Role::Member, &[]).await;
        audited(&world, 403, "ROLE_REQUIRED", force_stop(&member, &other, why())).await;
        for actor in [&world.admin(), &service] {
            audited(&world, 403, "HUMAN_REQUIRED", force_stop(actor, &other, why())).await;
            let root = world.root();
            audited(&world, 403, "SELF_INTERRUPTION_BLOCKED", force_stop(actor, &root, why())).await;
        }
        audited(&world, 403, "SELF_INTERRUPTION_BLOCKED", force_stop(&agent, &other, why())).await;
        let idle = world.workspace("idle").await;
        audited(&world, 409, "CONFLICT", force_stop(&owner, &idle, why())).await;
        let elsewhere = world.agent_of(&idle).await;
        elsewhere.post("/registry/register", json!({"id": idle})).await.status(200);
        audited(&world, 409, "CONFLICT", force_stop(&owner, &idle, why())).await;
        assert_eq!(world.db.integer(forced), 0);

        let approver = world.operator("approver@example.org", Role::Approver, &[]).await;
        assert_eq!(force_stop(&approver, &other, why()).await.status(200).json["status"], "stopping");
        assert_eq!(world.db.integer(forced), 1);
        let event = &world.audit("event=workspace.force_stop").await[0];
        assert_eq!((&event["workspace_id"], &event["outcome"]), (&json!(other), &json!("done")), "{event}");
        assert!(event.to_string().contains("it deletes files"), "the log does not say why: {event}");
        world
    });
}

#[test]
fn a_plan_says_what_each_agent_is_at_and_what_it_takes() {
    each_engine(Config::default(), async |world| {
        let (owner, root) = (world.owner(), run_root(&world).await);
        let (busy, still) = (running(&world, "busy").await, running(&world, "still").await);
        let (idle, elsewhere) = (world.workspace("idle").await, world.workspace("elsewhere").await);
        let agent = world.agent_of(&elsewhere).await;
        agent.post("/registry/register", json!({"id": elsewhere})).await.status(200);
        for workspace in [&busy, &root] {
            turn(&world, workspace).await;
        }
        for workspace in [&busy, &elsewhere] {
            owner.post(&format!("/workspaces/{workspace}/messages"), json!({"text": "later"})).await.status(202);
        }
        agent.post(&format!("/workspaces/{elsewhere}/inbox/claim"), json!({})).await.status(200);
        let before = probe::state(&world.db);
        let plan = owner.post("/settings/secrets?dry_run=true", json!({"key": "SHARED", "value": "a value"})).await;
        let impact = plan.status(200).json["impact"].as_array().expect("an impact").clone();
        assert_eq!(impact.len(), 5, "{}", plan.text);
        let of = |id: &str| impact.iter().find(|one| one["workspace_id"] == id).expect("one of them");
        for (id, takes, works, queued) in [
            (&root, "apply", true, 0),
            (&busy, "restart_after_turn", true, 1),
            (&still, "restart_after_turn", false, 0),
            (&idle, "nothing", false, 0),
            (&elsewhere, "nothing", true, 0),
        ] {
            let one = of(id);
            assert_eq!((&one["takes"], &one["effect"]), (&json!(takes), &json!("reconfigures")), "{one}");
            assert_eq!((one["turn_since"].is_string(), &one["queued"]), (works, &json!(queued)), "{one}");
        }
        let set = format!("/workspaces/{busy}/secrets?dry_run=true");
        let plan = owner.post(&set, json!({"key": "API_KEY", "value": "a value"})).await;
        let one = &plan.status(200).json["impact"][0];
        assert_eq!((&one["takes"], one["turn_since"].is_string()), (&json!("restart_after_turn"), true), "{one}");
        let restart = post(&owner, &format!("/workspaces/{root}/restart?dry_run=true")).await;
        assert_eq!(restart.status(200).json["impact"][0]["takes"], "restart_after_turn", "a human asked by name");
        let removal = owner.delete(&format!("/workspaces/{busy}?dry_run=true")).await;
        assert_eq!(removal.status(200).json["impact"][0]["takes"], "stop", "{}", removal.text);
        assert_eq!(probe::state(&world.db), before, "a plan changed something");
        world
    });
}

/// Runtimes with which somebody chooses what runs on the machine.
fn custom() -> Vec<Value> {
    vec![
        json!({"kind": "process", "agent": {"mind": "exec", "command": ["python3", "agent.py"]}, "limits": {"memory_mb": 64}}),
        json!({"kind": "process", "agent": {"mind": "command", "command": ["/opt/agent", "--serve"]}, "limits": {}}),
        json!({"kind": "container", "agent": {"mind": "echo"}, "image": "example/agent:1", "limits": {}}),
        json!({
            "kind": "swarm", "agent": {"mind": "echo"}, "image": "example/agent:1", "placement": ["node.role==worker"], "limits": {},
        }),
        json!({
            "kind": "process", "limits": {},
            "agent": {
                "mind": "model", "model": "small", "base_url": "https://models.example.org/v1", "key": "MODEL_KEY",
                "instructions": "be brief",
            },
        }),
    ]
}

fn named() -> Config {
    let coder = json!({"kind": "process", "agent": {"mind": "exec", "command": ["coder"]}});
    let coder: Runtime = serde_json::from_value(coder).expect("a runtime");
    Config { runtimes: [("coder".to_owned(), coder)].into(), reached_from_afar: true, ..Config::default() }
}

#[test]
fn an_agent_that_chooses_a_program_waits_for_a_human_who_gets_exactly_that_program() {
    each_engine(named(), async |world| {
        let (owner, admin, service) = (world.owner(), world.admin(), service(&world).await);
        let count = || world.db.integer("SELECT COUNT(*) FROM workspaces");
        for (n, runtime) in custom().into_iter().enumerate() {
            for (who, actor) in [("agent", &admin), ("service", &service)] {
                let name = format!("{who} {n}");
                let before = count();
                let held = actor.post("/workspaces", json!({"name": name, "runtime": runtime})).await;
                assert_eq!(held.status(202).member("reason"), "custom_runtime", "{}", held.text);
                assert_eq!(count(), before, "it was created before anybody agreed");
                let approval = held.member("approval_id");
                actor.decide(&approval, "approved").await.refused(403, "HUMAN_REQUIRED");
                assert_eq!(owner.decide(&approval, "approved").await.status(200).json["status"], "applied");
                let list = owner.get("/workspaces").await;
                let list = list.status(200).json.as_array().expect("workspaces").clone();
                let made = list.iter().find(|one| one["name"] == name.as_str()).expect("it was created");
                assert_eq!(made["runtime_spec"], runtime, "another program than was agreed to");
                assert_eq!(made["runtime"], runtime["kind"]);
            }
        }
        // To change what runs somewhere is a question whatever it is changed to.
        let ordinary = world.workspace("ordinary").await;
        for runtime in [json!("process"), custom().remove(0)] {
            let path = format!("/workspaces/{ordinary}");
            let held = admin.patch(&path, json!({"runtime": runtime})).await;
            held.status(202);
            assert_eq!(owner.get(&path).await.status(200).json["runtime_spec"], Value::Null);
            owner.decide(&held.member("approval_id"), "approved").await.status(200);
            let now = owner.get(&path).await.status(200).json["runtime_spec"].clone();
            assert_eq!(now, if runtime.is_string() { json!(Runtime::echo()) } else { runtime });
            let external = owner.patch(&path, json!({"runtime": "external"})).await;
            assert_eq!(external.status(200).json["runtime"], "external");
            world.db.run("UPDATE workspaces SET runtime = NULL WHERE name = 'ordinary'");
        }
        world
    });
}

#[test]
fn what_the_platform_or_its_configuration_offers_needs_no_human() {
    each_engine(named(), async |world| {
        let admin = world.admin();
        let coder = json!({"kind": "process", "agent": {"mind": "exec", "command": ["coder"]}, "limits": {}});
        let mut n = 0;
        let mut ask = async |runtime: Value| {
            n += 1;
            admin.post("/workspaces", json!({"name": format!("made {n}"), "runtime": runtime})).await
        };
        for (runtime, spec) in [
            (json!("process"), json!(Runtime::echo())),
            (json!("external"), json!(Runtime::external())),
            (json!("coder"), coder.clone()),
            (coder.clone(), coder.clone()),
            (
                json!({"kind": "process", "limits": {"processes": 4}}),
                json!({"kind": "process", "agent": {"mind": "echo"}, "limits": {"processes": 4}}),
            ),
        ] {
            let made = ask(runtime).await;
            assert_eq!(made.status(201).json["runtime_spec"], spec, "{}", made.text);
        }
        // A word more, and it is another program.
        for other in [
            json!({"kind": "process", "agent": {"mind": "exec", "command": ["coder", "--all"]}}),
            json!({"kind": "process", "agent": {"mind": "command", "command": ["coder"]}}),
            json!({"kind": "process", "agent": {"mind": "exec", "command": ["coder"]}, "limits": {"memory_mb": 9}}),
        ] {
            assert_eq!(ask(other).await.status(202).member("reason"), "custom_runtime");
        }
        // A human chooses; an ordinary agent creates nothing at all.
        let chosen = world.owner().post("/workspaces", json!({"name": "chosen", "runtime": custom().remove(1)})).await;
        assert_eq!(chosen.status(201).json["runtime_spec"], custom()[1]);
        let (ordinary, body) = (world.workspace("ordinary").await, json!({"name": "x", "runtime": "process"}));
        let agent = world.agent_of(&ordinary).await;
        audited(&world, 403, "NOT_ENTITLED", agent.post("/workspaces", body)).await;
        world
    });
}

#[test]
fn a_runtime_that_cannot_run_is_refused_before_anybody_is_asked() {
    each_engine(named(), async |world| {
        let (owner, ordinary) = (world.owner(), world.workspace("ordinary").await);
        let exec = |command: Value| json!({"kind": "process", "agent": {"mind": "exec", "command": command}});
        let before = probe::state(&world.db);
        let model = |url: &str| json!({"kind": "process", "agent": {"mind": "model", "model": "m", "base_url": url}});
        for runtime in [
            json!("langgraph"),
            json!("container"),
            json!(""),
            json!(7),
            json!({}),
            json!({"kind": "vm"}),
            json!({"kind": "process", "extra": 1}),
            json!({"kind": "process", "agent": {"mind": "shell", "command": ["a"]}}),
            json!({"kind": "process", "agent": {"mind": "echo", "command": ["a"]}}),
            exec(json!([])),
            exec(json!([""])),
            exec(json!(["a\0b"])),
            exec(json!("ls -l")),
            exec(json!(vec!["a"; 65])),
            json!({"kind": "container"}),
            json!({"kind": "container", "image": ""}),
            json!({"kind": "process", "image": "example/agent:1"}),
            json!("swarm"),
            json!({"kind": "swarm"}),
            json!({"kind": "swarm", "image": "example/agent:1", "placement": ["node.size==big"]}),
            json!({"kind": "container", "image": "example/agent:1", "placement": ["node.role==worker"]}),
            json!({"kind": "process", "limits": {"memory_mb": 0}}),
            json!({"kind": "process", "limits": {"memory_mb": -1}}),
            json!({"kind": "process", "limits": {"cpu": 1}}),
            json!({"kind": "external", "agent": {"mind": "exec", "command": ["a"]}}),
            json!({"kind": "external", "limits": {"memory_mb": 64}}),
            model("ftp://models.example.org"),
            model("https://user@models.example.org"),
            model("models.example.org"),
        ] {
            for actor in [&owner, &world.admin()] {
                let made = actor.post("/workspaces", json!({"name": "new", "runtime": runtime})).await;
                made.refused(422, "INVALID_FIELD");
                let path = format!("/workspaces/{ordinary}");
                actor.patch(&path, json!({"runtime": runtime})).await.refused(422, "INVALID_FIELD");
            }
        }
        assert_eq!(probe::state(&world.db), before, "something was changed, or asked");
        world
    });
}
