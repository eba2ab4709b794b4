//! Questions: what an agent puts before a human without asking for a deed, and what the platform asks.

use portcullis_authority::Config;
use serde_json::{Value, json};

use crate::{
    VALUE, ask, status,
    world::{Actor, World, each_engine},
};

async fn question(agent: &Actor, workspace: &str) -> crate::world::Answer {
    let body = json!({"action": "publish the site", "reason": "the draft is ready"});
    agent.post(&format!("/workspaces/{workspace}/approvals"), body).await
}

#[test]
fn a_question_is_answered_by_a_human_and_grants_nothing() {
    let config = Config { pending_per_principal_max: 2, ..Config::default() };
    each_engine(config, async |world| {
        let workspace = world.workspace("writer").await;
        let agent = world.agent_of(&workspace).await;
        let (asked, changed) = world.changed(question(&agent, &workspace)).await;
        assert_eq!(asked.status(201).member("status"), "pending");
        assert_eq!(changed, [("approvals", 1), ("audit", 1)].into());
        let first = asked.member("approval_id");
        let second = question(&agent, &workspace).await.status(201).member("approval_id");
        assert_ne!(first, second, "each question is its own");
        let (third, changed) = world.changed(question(&agent, &workspace)).await;
        third.refused(429, "PENDING_APPROVALS_FULL");
        World::only_audited(&changed);
        let (human, changed) = world.changed(question(&world.owner(), &workspace)).await;
        human.refused(409, "CONFLICT");
        World::only_audited(&changed);

        let view = world.owner().get(&format!("/approvals/{first}")).await;
        let one_approver = json!([{"who": {"by": "role", "name": "approver"}, "count": 1}]);
        assert_eq!(view.status(200).json["requirements"], one_approver, "{}", view.text);
        let (vote, changed) = world.changed(world.owner().decide(&first, "approved")).await;
        assert_eq!((vote.status(200).member("status"), &vote.json["result"]), ("applied".into(), &Value::Null));
        assert_eq!(changed, [("votes", 1), ("audit", 2)].into(), "the answer is all there is");
        assert_eq!(status(&world, &second).await, "pending");
        assert_eq!(world.owner().decide(&second, "denied").await.status(200).json["status"], "denied");
        question(&agent, &workspace).await.status(201);
        world
    });
}

#[test]
fn approvals_are_listed_by_state_and_place_to_whom_they_concern() {
    each_engine(Config::default(), async |world| {
        let (one, two) = (world.workspace("one").await, world.workspace("two").await);
        let first = ask(&world, &one, VALUE).await;
        let second = ask(&world, &two, VALUE).await;
        let agent = world.agent_of(&two).await;
        let third = question(&agent, &two).await.status(201).member("approval_id");
        world.owner().decide(&second, "denied").await.status(200);
        let owner = world.owner();
        let all = [&first, &second, &third];
        for (actor, path, expected) in [
            (&owner, "/approvals".to_owned(), all.as_slice()),
            (&owner, "/approvals?state=denied".to_owned(), &[&second]),
            (&owner, "/approvals/pending".to_owned(), &[&first, &third]),
            (&owner, format!("/workspaces/{one}/approvals"), &[&first]),
            (&owner, format!("/workspaces/{two}/approvals"), &[&second, &third]),
            (&world.admin(), "/approvals/pending".to_owned(), &[&first, &third]),
            (&agent, "/approvals".to_owned(), &[&third]),
            (&agent, format!("/workspaces/{two}/approvals"), &[&third]),
        ] {
            let list = actor.get(&path).await;
            let ids = list.status(200).json.as_array().expect("a list").iter();
            let mut ids: Vec<_> = ids.map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
            let mut expected: Vec<_> = expected.iter().map(|id| (*id).clone()).collect();
            // Of one millisecond, whichever comes first.
            ids.sort();
            expected.sort();
            assert_eq!(ids, expected, "{path}");
        }
        world
    });
}

/// Nobody is behind it whose credential could be asked for: the platform asks in the name of its supervisor.
#[test]
fn the_platform_puts_its_own_question_before_humans_and_does_what_they_agree_to() {
    each_engine(Config::default(), async |world| {
        let made = world.owner().post("/workspaces", json!({"name": "stuck", "runtime": "process"})).await;
        let workspace = made.status(201).member("id");
        world.supervise().await;
        let id = World::id(&workspace);
        world.authority.begin_run(id, "host/this".to_owned()).await.expect("a run");
        world.authority.ask_about(id, Some(61)).await.expect("it is asked");
        let pending = world.owner().get("/approvals/pending").await;
        let asked = &pending.status(200).json[0];
        assert_eq!((&asked["action"], &asked["workspace_id"]), (&json!("workspace.force_stop"), &json!(workspace)));
        assert_eq!(asked["requested_by"]["kind"], "system", "{asked}");
        let approval = asked["id"].as_str().expect("an id");
        let (vote, changed) = world.changed(world.owner().decide(approval, "approved")).await;
        assert_eq!(vote.status(200).json["status"], "applied", "{}", vote.text);
        assert_eq!(changed.get("votes"), Some(&1), "{changed:?}");
        world
    });
}
