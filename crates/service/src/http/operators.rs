//! Operators and policies.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use portcullis_authority::{Invite, NewPassword, OperatorView, PolicyView, Refusal, clock::rfc3339};
use portcullis_kernel::deed::{OperatorCreate, OperatorInvite, OperatorUpdate, PolicyAdd, PolicyRemove};
use serde_json::{Value, json};

use crate::{
    call::{Call, answered, ok},
    operation::Operation,
    wire,
};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new("operator_list", Method::GET, "/operators", "Operators", list).output::<Vec<OperatorView>>(),
        Operation::new("operator_create", Method::POST, "/operators", "Create an operator", create)
            .decided()
            .done(&[201])
            .input::<wire::CreateOperator>(),
        Operation::new(
            "operator_update",
            Method::PATCH,
            "/operators/{operator}",
            "Change role or groups, disable",
            update,
        )
        .decided()
        .input::<wire::UpdateOperator>(),
        Operation::new(
            "operator_invite",
            Method::POST,
            "/operators/{operator}/invite",
            "Issue a link to choose a password with, the first or another",
            invite,
        )
        .decided()
        .done(&[201]),
        Operation::new("policy_list", Method::GET, "/policies", "Policies, shipped and added", policies)
            .output::<Vec<PolicyView>>(),
        Operation::new("policy_add", Method::POST, "/policies", "Add a policy", add)
            .decided()
            .done(&[201])
            .input::<wire::AddPolicy>(),
        Operation::new("policy_remove", Method::DELETE, "/policies/{policy}", "Remove an added policy", remove)
            .decided(),
        Operation::new(
            "policy_matrix",
            Method::GET,
            "/policies/matrix",
            "What every rule does for every kind of caller",
            matrix,
        ),
        Operation::new("policy_check", Method::POST, "/policies/check", "Whether a policy could be added", check)
            .input::<wire::CheckPolicy>(),
    ]
}

async fn list(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.operators(call.caller()?).await?)
}

async fn create(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::CreateOperator = call.input()?;
    let action = OperatorCreate { email: input.email.clone(), role: input.role, groups: input.groups };
    // Whoever is no human is refused behind the door without a hash being made: it costs a core and 19 MiB.
    let password = match input.password {
        Some(password) if call.caller()?.is_operator() => {
            call.app.authority.hash_password(password.into_text()).await?
        }
        Some(_) | None => NewPassword::invited(),
    };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, password).await?;
    answered(answer, |done| {
        let mut body = json!({"id": done.id, "email": input.email, "role": input.role});
        if let Some(invite) = &done.invite {
            let (token, expires_at) = link(invite);
            body["invite_token"] = token.map_or(Value::Null, Value::from);
            body["expires_at"] = expires_at.into();
        }
        (StatusCode::CREATED, body)
    })
}

async fn update(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::UpdateOperator = call.input()?;
    let action = OperatorUpdate {
        operator: call.path("operator")?,
        role: input.role,
        groups: input.groups,
        disabled: input.disabled,
    };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::OK, json!({"status": "saved", "id": done.id})))
}

/// The link, for the human who passes it on. Not told again: an answer that is kept has none.
fn link(invite: &Invite) -> (Option<&str>, String) {
    (invite.token.as_ref().map(|token| token.expose()), rfc3339(invite.expires_at))
}

async fn invite(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let action = OperatorInvite { operator: call.path("operator")? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| {
        let (token, expires_at) = link(&done);
        (StatusCode::CREATED, json!({"invite_token": token, "expires_at": expires_at}))
    })
}

async fn policies(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.policies(call.caller()?).await?)
}

async fn matrix(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&json!({"matrix": call.app.authority.policy_matrix(call.caller()?)?}))
}

async fn add(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::AddPolicy = call.input()?;
    let action = PolicyAdd { name: input.name, text: input.text };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::CREATED, json!({"status": "added", "id": done.id})))
}

async fn remove(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let action = PolicyRemove { policy: call.path("policy")? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::OK, json!({"status": "removed", "id": done.id})))
}

async fn check(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::CheckPolicy = call.input()?;
    let slots = call.app.authority.policy_check(call.caller()?, &input.text)?;
    ok(&json!({"status": "valid", "slots": slots}))
}
