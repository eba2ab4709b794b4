//! What an agent may read beside its tools: the refusals there are, and what it may do itself.

use portcullis_authority::clock::rfc3339;
use portcullis_kernel::{
    refusal::{CONTRACT_VERSION, Code},
    scope::Scope,
};
use rmcp::{
    ErrorData,
    model::{ReadResourceResult, Resource, ResourceContents},
};
use serde_json::{Value, json};

use super::{run::Visitor, tool::home};

const REFUSALS: &str = "portcullis://refusals";
const ME: &str = "portcullis://me";

pub(super) fn list() -> Vec<Resource> {
    let resource = |uri, name, title, description| {
        Resource::new(uri, name).with_title(title).with_description(description).with_mime_type("application/json")
    };
    vec![
        resource(
            REFUSALS,
            "refusals",
            "Refusals",
            "Every code a refusal can have: what it means, whether to retry, what to do next.",
        ),
        resource(
            ME,
            "me",
            "What you may do",
            "Who you are to Portcullis, your scopes, your tools, and when your token expires.",
        ),
    ]
}

pub(super) fn read(visitor: &Visitor, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let body = match uri {
        REFUSALS => refusals(),
        ME => me(visitor),
        _ => return Err(ErrorData::resource_not_found("there is no such resource", Some(json!({"uri": uri})))),
    };
    let contents = ResourceContents::text(format!("{body:#}"), uri).with_mime_type("application/json");
    Ok(ReadResourceResult::new(vec![contents]))
}

fn refusals() -> Value {
    let codes = Code::ALL.iter().map(|code| {
        json!({
            "code": code.as_str(), "error": code.error(), "retryable": code.retryable(),
            "denied_class": code.class().as_str(), "next_step": code.next_step(),
        })
    });
    json!({"version": CONTRACT_VERSION, "codes": codes.collect::<Vec<_>>()})
}

fn me(visitor: &Visitor) -> Value {
    let caller = &visitor.caller;
    let scopes = Scope::ALL.iter().filter(|scope| caller.has(**scope)).map(|scope| scope.as_str());
    let tools = visitor.app.mcp.tools.iter().filter(|bound| bound.is_listed(caller));
    let tools = tools.map(|bound| json!({"name": bound.tool.name, "title": bound.tool.title}));
    json!({
        "principal": {"kind": caller.principal().kind(), "id": caller.principal().id()},
        "workspace_id": home(caller),
        "is_root": caller.is_root_agent(),
        "scopes": scopes.collect::<Vec<_>>(),
        "expires_at": rfc3339(caller.expires_at()),
        "tools": tools.collect::<Vec<_>>(),
    })
}
