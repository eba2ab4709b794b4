//! What would happen if somebody else did something: the route itself is run as that caller, up to the decision.

use std::collections::{BTreeMap, BTreeSet};

use axum::{http::Method, response::Response};
use portcullis_authority::{Meta, Refusal, Supposed};
use portcullis_kernel::{id::WorkspaceId, name::DisplayName, operator::Role, refusal::Code};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    call::{self, Call, ok},
    inner::Inner,
    operation::Operation,
};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            "policy_what_if",
            Method::POST,
            "/policies/what-if",
            "What would be decided if somebody else asked; nothing happens",
            what_if,
        )
        .input::<WhatIf>(),
    ]
}

/// Ask what would be decided.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhatIf {
    /// Who would ask.
    #[serde(rename = "as")]
    who: As,
    /// The id of the operation, one that takes `dry_run`.
    operation: String,
    /// The parameters of its path, by name.
    #[serde(default)]
    path: BTreeMap<String, String>,
    /// Its query, by name; rarely needed.
    #[serde(default)]
    query: BTreeMap<String, String>,
    /// Its body, where it takes one. A value in it is compared, and neither kept nor shown.
    body: Option<serde_json::Map<String, Value>>,
}

/// Who would ask.
#[derive(Deserialize, JsonSchema, Clone)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum As {
    /// The agent of a workspace, by its own token.
    Agent {
        /// The workspace.
        id: WorkspaceId,
    },
    /// The root agent.
    Root {
        /// By which of its credentials.
        credential: RootCredential,
    },
    /// A program with an organisation token that a human minted.
    Service {
        /// Its secret writes need no approval.
        #[serde(default)]
        unattended: bool,
    },
    /// A human.
    Operator {
        /// Role.
        role: Role,
        /// Groups.
        #[serde(default)]
        groups: Vec<DisplayName>,
        /// Re-authenticated a moment ago.
        #[serde(default)]
        stepped_up: bool,
    },
}

/// A credential of the root agent other than its workspace's token.
#[derive(Deserialize, JsonSchema, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum RootCredential {
    /// The admin token.
    Admin,
}

fn supposed(who: As) -> Supposed {
    match who {
        As::Agent { id } => Supposed::Agent(id),
        As::Root { credential: RootCredential::Admin } => Supposed::Root,
        As::Service { unattended } => Supposed::Service { unattended },
        As::Operator { role, groups, stepped_up } => Supposed::Operator { role, groups, stepped_up },
    }
}

/// The operation of this name, with a path that is filled as it must be.
fn operation(input: &WhatIf) -> Result<Operation, Refusal> {
    let invalid = |reason: String| Refusal::because(Code::InvalidField, reason);
    let found = super::registry().into_iter().find(|operation| operation.id == input.operation && operation.decided);
    let found =
        found.ok_or_else(|| invalid("`operation` is the id of one that is decided and takes `dry_run`".to_owned()))?;
    let wanted: BTreeSet<&str> = found.parameters().collect();
    let given: BTreeSet<&str> = input.path.keys().map(String::as_str).collect();
    if wanted != given {
        let names: Vec<_> = wanted.into_iter().map(|name| format!("`{name}`")).collect();
        let takes = if names.is_empty() { "nothing".to_owned() } else { names.join(" and ") };
        return Err(invalid(format!("`path` of this operation has {takes}")));
    }
    Ok(found)
}

async fn what_if(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let mut input: WhatIf = call.input()?;
    let authority = &call.app.authority;
    let caller = authority.suppose(call.caller()?, supposed(input.who.clone())).await?;
    let operation = operation(&input)?;
    let inner = Inner {
        app: call.app.clone(),
        caller,
        path: std::mem::take(&mut input.path).into_iter().collect(),
        query: std::mem::take(&mut input.query).into_iter().collect(),
        body: input.body.take(),
        // No key: what was kept for somebody else's request is not told here.
        meta: Meta { dry_run: true, idempotency_key: None, request_id: call.meta.request_id.clone() },
        peer: call.peer,
    };
    let mut plan = match inner.send(&operation).await {
        Ok((_, body)) => body,
        // We could not say: that is no answer to the question.
        Err(refusal) if refusal.code.status() >= 500 => return Err(refusal),
        Err(refusal) => call::denied(refusal),
    };
    let rule = plan["rule"].as_str().unwrap_or_default().to_owned();
    let texts: Vec<String> = authority.rule_texts(call.caller()?, rule).await?.into_values().collect();
    if let Value::Object(members) = &mut plan {
        members.insert("rule_text".into(), if texts.is_empty() { Value::Null } else { texts.join("\n\n").into() });
    }
    ok(&json!(plan))
}
