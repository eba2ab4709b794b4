use portcullis_kernel::{
    deed::*,
    id::{ApprovalId, OperatorId, PolicyId, WorkspaceId},
    name::SecretKey,
    operator::Role,
    scope::Scopes,
};

use super::*;

fn named<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn said(deed: impl Into<Deed>) -> Value {
    Value::Object(detail(&deed.into()))
}

#[test]
fn the_log_names_what_a_deed_was_about_beside_its_target() {
    let (key, base): (SecretKey, _) = (named("API_KEY"), Base::Any);
    let workspace = WorkspaceId::from_uuid(crate::vault::uuid_v7(1));
    let (scope, organisation) = (SecretScope::Workspace(workspace), SecretScope::Organisation);
    let change = |scope, op| Change { scope, key: key.clone(), op, base };
    let changes = vec![
        change(scope, ChangeOp::Set { delivery: Delivery::Env }),
        change(organisation, ChangeOp::Delete),
        change(scope, ChangeOp::Rollback { to_version: 1 }),
        change(scope, ChangeOp::Activate { version: 2 }),
    ];
    let line = |scope: SecretScope, op: &str| json!({"scope": scope.as_text(), "key": "API_KEY", "op": op});
    assert_eq!(
        said(SecretChangeSet { changes, reason: None }),
        json!({"changes": [line(scope, "set"), line(organisation, "delete"), line(scope, "rollback"), line(scope, "activate")]})
    );
    assert_eq!(said(SecretImport { scope, keys: vec![key.clone()] }), json!({"keys": ["API_KEY"]}));
    let back = SecretRollback { scope, key: key.clone(), to_version: 3, base, reason: None };
    assert_eq!(said(back), json!({"to_version": 3}));
    assert_eq!(said(SecretActivate { scope, key: key.clone(), version: 4 }), json!({"version": 4}));
    assert_eq!(said(SecretDestroy { scope, key: key.clone(), version: None }), json!({"version": null}));
    assert_eq!(said(SecretDestroy { scope, key: key.clone(), version: Some(5) }), json!({"version": 5}));
    assert_eq!(said(SecretUndelete { scope, key: key.clone() }), json!({}), "its target says it all");
    let mint = TokenMint {
        workspace: None,
        name: named("deploys"),
        scopes: Scopes::agent(),
        expires_in_ms: 1,
        unattended: true,
        deliver_to: Some(DeliverTo { workspace_id: workspace, key }),
    };
    let to = json!({"workspace_id": workspace, "key": "API_KEY"});
    assert_eq!(said(mint), json!({"name": "deploys", "deliver_to": to, "unattended": true}));
}

#[test]
fn the_log_names_what_became_of_workspaces_operators_and_policies() {
    let workspace = WorkspaceId::from_uuid(crate::vault::uuid_v7(1));
    let made = WorkspaceCreate { name: named("writer"), role: None, parent: None, runtime: None };
    assert_eq!(said(made), json!({"name": "writer"}));
    let update =
        WorkspaceUpdate { workspace, name: Some(named("other")), role: None, parent: Some(workspace), runtime: None };
    assert_eq!(said(update), json!({"name": "other", "parent_id": workspace}));
    let stop = WorkspaceForceStop { workspace, reason: named("it loops"), boot: None, turn: None };
    assert_eq!(said(stop), json!({"reason": "it loops"}));
    let approval = ApprovalId::from_uuid(crate::vault::uuid_v7(1));
    let decide = ApprovalDecide { approval, approve: true, note: None, checklist: vec![], break_glass: false };
    assert_eq!(said(decide), json!({"approve": true, "break_glass": false}));
    let operator = OperatorId::from_uuid(crate::vault::uuid_v7(1));
    let email = || named("a@example.org");
    let create = OperatorCreate { email: email(), role: Role::Member, groups: vec![] };
    assert_eq!(said(create), json!({"email": "a@example.org", "role": "member"}));
    let update = OperatorUpdate { operator, role: Some(Role::Owner), groups: None, disabled: Some(true) };
    let expected = json!({"operator": operator, "role": "owner", "groups": null, "disabled": true});
    assert_eq!(said(update)["operator"], expected);
    assert_eq!(said(OperatorInvite { operator })["operator"], json!({"operator": operator}));
    assert_eq!(said(PolicyAdd { name: named("nights"), text: "permit".to_owned() }), json!({"name": "nights"}));
    let policy = PolicyId::from_uuid(crate::vault::uuid_v7(1));
    assert_eq!(said(PolicyRemove { policy }), json!({"policy": policy}));
    assert_eq!(said(AuditExport { after: 7 }), json!({"after": 7}));
}
