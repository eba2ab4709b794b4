//! The same request after it ended: what still stands, and what is a new question. And what is looked at again when humans
//! have agreed.

use portcullis_authority::{Config, Ended};
use portcullis_kernel::{approval::DENIED_STANDS_MS, lifecycle::StopWhy};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    VALUE, active, add_policy, ask, holds, status, versions,
    world::{World, each_engine},
};

#[test]
fn one_that_ran_out_unseen_is_ended_by_who_asks_again() {
    let config = Config { approval_expires_ms: 60_000, ..Config::default() };
    each_engine(config, async |mut world| {
        // It would end it first.
        world.without_worker().await;
        let workspace = world.workspace("writer").await;
        let first = ask(&world, &workspace, VALUE).await;
        world.advance(59_999);
        assert_eq!(ask(&world, &workspace, VALUE).await, first);
        world.advance(1);
        let (second, changed) = world.changed(ask(&world, &workspace, VALUE)).await;
        assert_ne!(second, first);
        assert_eq!(changed, [("approvals", 1), ("audit", 2)].into(), "one ends, one begins");
        assert_eq!((status(&world, &first).await, status(&world, &second).await), ("expired".into(), "pending".into()));
        assert_eq!(world.audit("event=approval.expired").await.len(), 1);
        world
    });
}

#[test]
fn a_no_stands_for_a_while_and_no_longer() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let denied = ask(&world, &workspace, VALUE).await;
        world.owner().decide(&denied, "denied").await.status(200);
        world.advance(DENIED_STANDS_MS - 1);
        let (again, changed) = world.changed(world.admin().set(&workspace, "API_KEY", VALUE)).await;
        again.refused(403, "APPROVAL_DENIED");
        assert_eq!(again.member("approval_id"), denied, "it is told which one was denied");
        World::only_audited(&changed);
        world.advance(1);
        assert_ne!(ask(&world, &workspace, VALUE).await, denied);
        world
    });
}

#[test]
fn what_was_done_is_a_new_question_where_it_no_longer_stands_or_leaves_nothing_to_compare() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let first = ask(&world, &workspace, VALUE).await;
        let done = world.owner().decide(&first, "approved").await;
        assert_eq!(done.status(200).json["result"], json!({"key": "API_KEY", "version": 1}));
        world.admin().set(&workspace, "API_KEY", VALUE).await.status(200);
        world.owner().set(&workspace, "API_KEY", "by a human").await.status(200);
        assert_ne!(ask(&world, &workspace, VALUE).await, first, "it is not as it was left");
        assert_eq!(active(&world, &workspace).await, "by a human");

        // Two tokens of a name are two tokens.
        let body = json!({"name": "again"});
        let asked = world.admin().post("/org/tokens", body.clone()).await.status(202).member("approval_id");
        world.owner().decide(&asked, "approved").await.status(200);
        let again = world.admin().post("/org/tokens", body).await;
        assert_ne!(again.status(202).member("approval_id"), asked);
        world
    });
}

#[test]
fn what_is_taken_back_is_taken_back_once() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let approval = ask(&world, &workspace, VALUE).await;
        let path = format!("/approvals/{approval}/withdraw");
        world.admin().send(Method::POST, &path, None).await.status(200);
        let (again, changed) = world.changed(world.admin().send(Method::POST, &path, None)).await;
        again.refused(409, "APPROVAL_NOT_PENDING");
        assert_eq!(again.member("reason"), "withdrawn", "it is told how it ended: {}", again.text);
        World::only_audited(&changed);
        world
    });
}

#[test]
fn a_workspace_that_was_moved_meanwhile_is_under_the_rules_of_where_it_is() {
    each_engine(Config::default(), async |world| {
        let (workspace, frozen) = (world.workspace("writer").await, world.workspace("frozen").await);
        let text = format!(
            "forbid (principal, action == Action::\"secret.set\", resource) when {{ resource in Workspace::\"{frozen}\" }};"
        );
        add_policy(&world, &text).await;
        let approval = ask(&world, &workspace, VALUE).await;
        let moved = world.owner().patch(&format!("/workspaces/{workspace}"), json!({"parent_id": frozen})).await;
        assert_eq!(moved.status(200).member("parent_id"), frozen);
        let (vote, changed) = world.changed(world.owner().decide(&approval, "approved")).await;
        vote.refused(409, "APPROVAL_VOIDED");
        assert!(!changed.contains_key("secret_versions"), "{changed:?}");
        assert_eq!(status(&world, &approval).await, "voided");
        assert!(versions(&world, &workspace).await.is_empty());
        world
    });
}

#[test]
fn a_value_that_is_there_already_restarts_nobody_when_humans_agree_to_it_either() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        world.owner().set(&workspace, "API_KEY", VALUE).await.status(200);
        let generation = world.generation(&workspace).await;
        let approval = ask(&world, &workspace, VALUE).await;
        let (vote, changed) = world.changed(world.owner().decide(&approval, "approved")).await;
        assert_eq!(vote.status(200).json["status"], "applied");
        assert_eq!(changed.get("secret_versions"), Some(&1), "{changed:?}");
        assert!(!changed.contains_key("intents"), "{changed:?}");
        assert_eq!(world.generation(&workspace).await, generation);
        let other = ask(&world, &workspace, "another value").await;
        world.owner().decide(&other, "approved").await.status(200);
        assert_eq!(world.generation(&workspace).await, generation + 1);
        world
    });
}

#[test]
fn what_reaches_no_agent_yet_is_put_before_humans_without_an_effect() {
    each_engine(Config::default(), async |world| {
        let workspace = world.workspace("writer").await;
        let effect = async |body: Value| {
            let asked = world.admin().post(&format!("/workspaces/{workspace}/secrets"), body).await;
            let approval = asked.status(202).member("approval_id");
            world.owner().get(&format!("/approvals/{approval}")).await.status(200).json["consequences"].clone()
        };
        assert_eq!(effect(json!({"key": "API_KEY", "value": VALUE, "activate": false})).await, json!([]));
        assert_ne!(effect(json!({"key": "API_KEY", "value": VALUE})).await, json!([]));
        world
    });
}

/// Whoever writes into the database lends nobody else's name to a plan: its requester is the one whose credential asked.
#[test]
fn a_plan_whose_requester_was_exchanged_in_the_database_is_void() {
    each_engine(Config::default(), async |world| {
        let (workspace, other) = (world.workspace("writer").await, world.workspace("other").await);
        let approval = ask(&world, &workspace, VALUE).await;
        world.db.run(&format!("UPDATE approvals SET requester_id = '{other}' WHERE id = '{approval}'"));
        let (vote, changed) = world.changed(world.owner().decide(&approval, "approved")).await;
        vote.refused(409, "APPROVAL_VOIDED");
        assert!(!changed.contains_key("secret_versions"), "{changed:?}");
        assert!(versions(&world, &workspace).await.is_empty());
        world
    });
}

/// What an agent asked for outlives its run: it is the agent that asked, and the next run of it is the same agent.
#[test]
fn a_request_stands_although_the_run_it_was_made_from_has_ended() {
    each_engine(Config::default(), async |world| {
        add_policy(&world, &holds("@hold(\"role:approver=1\")")).await;
        let made = world.owner().post("/workspaces", json!({"name": "worker", "runtime": "process"})).await;
        let workspace = made.status(201).member("id");
        world.supervise().await;
        let boot = world.authority.begin_run(World::id(&workspace), "host/this".to_owned()).await.expect("a run").boot;
        // What the token of a run is only its agent knows: the run is given one that the test knows.
        let agent = world.agent_of(&workspace).await;
        let token = format!("SELECT id FROM credentials WHERE principal_id = '{workspace}' AND name <> 'boot'");
        world.db.run(&format!("UPDATE runs SET credential_id = ({token})"));
        let approval = agent.set(&workspace, "API_KEY", VALUE).await.status(202).member("approval_id");
        let how = Ended::stopped(StopWhy::Restart, None, None);
        world.authority.end_run(boot, how).await.expect("an end");
        agent.get(&format!("/approvals/{approval}")).await.refused(401, "CREDENTIAL_REVOKED");
        assert_eq!(world.owner().decide(&approval, "approved").await.status(200).json["status"], "applied");
        assert_eq!(versions(&world, &workspace).await.len(), 1);
        world
    });
}
