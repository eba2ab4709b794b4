//! What the SDK asks: who we are, which tools and resources there are for this caller, and to call one.

use std::{borrow::Cow, time::Duration};

use axum::http::request::Parts;
use portcullis_authority::Refusal;
use portcullis_kernel::refusal::DeniedClass;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Extensions, Implementation,
        JsonObject, ListResourcesResult, ListToolsResult, PaginatedRequestParams, ProgressNotificationParam,
        ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerCapabilities, ServerConfig,
    },
    service::RequestContext,
};
use serde_json::Value;

use super::{
    limits::Subject,
    resources,
    run::{Outcome, Visitor, run},
    tool::Bound,
};

/// Told to every client when it comes.
const INSTRUCTIONS: &str = "Portcullis is the control plane of an organisation of AI agents. Every change you ask for is decided together with what \
it does to running agents. A result with `status: pending_approval` means that nothing has changed yet and a human decides: wait with \
`wait_for_request`, do not ask again. A result that is an error carries `code`, `retryable` and `next_step`: do what `next_step` says, and when \
`retryable` is false do not try again and do not try another way. Nobody can read a secret's value back, and no tool can approve a request.";

/// The revisions that are served: the stateless one, and those with sessions that know structured content.
const REVISIONS: &[ProtocolVersion] =
    &[ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

/// How long a client may keep a list of tools, in milliseconds: scopes change only with a new token.
const TTL_MS: u64 = 60_000;

/// How often a client that asked for it is told that a call is still running.
const PROGRESS: Duration = Duration::from_secs(5);

/// Said beside the body of a held request.
const HELD: &str = "NOTHING HAS CHANGED YET. A human has to approve this first. Do not call the tool again and do not try another way: use \
`wait_for_request` with the approval_id, or go on with other work.";

/// The product's tools. It has no state: the caller comes with each request.
#[derive(Clone, Copy)]
pub(super) struct Surface;

/// Who is at the door. The middleware in front put it there; without it nothing is answered.
fn visitor(extensions: &Extensions) -> Result<&Visitor, ErrorData> {
    let found = extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Visitor>());
    found.ok_or_else(|| ErrorData::internal_error("no caller", None))
}

/// The same, once its rate allows. For what is no tool call: those are refused in the words of a tool.
fn admitted(extensions: &Extensions) -> Result<&Visitor, ErrorData> {
    let visitor = visitor(extensions)?;
    let admitted = visitor.app.mcp.limits.admit(Subject::of(&visitor.caller));
    let data = |refusal: &Refusal| Some(crate::problem::body(refusal, &visitor.meta.request_id));
    admitted.map_err(|refusal| ErrorData::internal_error(refusal.code.as_str(), data(&refusal)))?;
    Ok(visitor)
}

fn result(bound: &Bound, outcome: Outcome) -> CallToolResult {
    match outcome {
        Outcome::Done(body) => CallToolResult::structured(body),
        Outcome::Held(mut body) => {
            if let Value::Object(members) = &mut body {
                members.insert("message".into(), HELD.into());
                members.insert("tool".into(), bound.tool.name.into());
            }
            let mut result = CallToolResult::structured(body);
            result.content.insert(0, ContentBlock::text(HELD));
            result
        }
    }
}

/// A refusal as models read it: words first, then the contract.
fn refused(visitor: &Visitor, refusal: &Refusal) -> CallToolResult {
    let code = refusal.code;
    let next = refusal.next_step.as_deref().unwrap_or(code.next_step());
    let again =
        if code.retryable() { "It may be retried later." } else { "Do not retry it, and do not try another way." };
    let words =
        format!("REFUSED: {}: {}. Reason: {}. {again} Next step: {next}.", code.as_str(), code.error(), refusal.reason);
    let mut body = crate::problem::body(refusal, &visitor.meta.request_id);
    if let (Value::Object(members), Some(wait_ms)) = (&mut body, refusal.retry_after_ms) {
        members.insert("retry_after_ms".into(), wait_ms.into());
    }
    let mut result = CallToolResult::structured_error(body);
    result.content.insert(0, ContentBlock::text(words));
    result
}

impl Surface {
    async fn call(visitor: &Visitor, bound: &Bound, arguments: JsonObject) -> CallToolResult {
        let (app, who) = (&visitor.app, Subject::of(&visitor.caller));
        let began = std::time::Instant::now();
        let outcome = match app.mcp.limits.admit(who) {
            Ok(()) => run(visitor, bound, arguments).await,
            Err(refusal) => Err(refusal),
        };
        let (result, code) = match outcome {
            Ok(outcome) => (result(bound, outcome), None),
            Err(refusal) => {
                app.metrics.note(&visitor.meta.request_id, bound.tool.name, &refusal);
                // What is not the caller's doing does not count against it.
                if refusal.code.class() != DeniedClass::Transient {
                    app.mcp.limits.refused(who);
                }
                (refused(visitor, &refusal), Some(refusal.code))
            }
        };
        app.metrics.tool(bound.tool.name, code, began.elapsed());
        // Names and numbers only: never an argument.
        tracing::info!(request_id = visitor.meta.request_id, tool = bound.tool.name, code = code.map(|code| code.as_str()).unwrap_or_default(), who = %visitor.caller.principal(), elapsed_us = began.elapsed().as_micros() as u64, "tool");
        result
    }
}

impl ServerHandler for Surface {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build())
            .with_server_info(Implementation::new("portcullis", env!("CARGO_PKG_VERSION")).with_title("Portcullis"))
            .with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(REVISIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let visitor = admitted(&context.extensions)?;
        let tools = visitor.app.mcp.tools.iter().filter(|bound| bound.is_listed(&visitor.caller)).map(Bound::described);
        let mut list = ListToolsResult::with_all_items(tools.collect());
        (list.ttl_ms, list.cache_scope) = (Some(TTL_MS), Some(CacheScope::Private));
        Ok(list)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let visitor = visitor(&context.extensions)?;
        let Some(bound) = visitor.app.mcp.tool(&visitor.caller, &request.name) else {
            let (limits, who) = (&visitor.app.mcp.limits, Subject::of(&visitor.caller));
            limits.refused(who);
            tracing::info!(request_id = visitor.meta.request_id, tool = "unknown", who = %visitor.caller.principal(), "tool");
            return Err(ErrorData::invalid_params(
                "you have no tool of this name; `tools/list` names those you have",
                None,
            ));
        };
        let call = Self::call(visitor, bound, request.arguments.unwrap_or_default());
        tokio::pin!(call);
        let token = context.meta.get_progress_token();
        let mut steps = 0.0;
        loop {
            tokio::select! {
                result = &mut call => return Ok(result.into()),
                // Only waiting is given up: what a change has begun, the writer ends.
                () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
                () = tokio::time::sleep(PROGRESS), if token.is_some() => {
                    steps += 1.0;
                    if let Some(token) = token.clone() {
                        let progress = ProgressNotificationParam::new(token, steps).with_message("still waiting");
                        // Who does not listen any more is noticed by the transport.
                        let _ = context.peer.notify_progress(progress).await;
                    }
                }
            }
        }
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut list = ListResourcesResult::with_all_items(resources::list());
        (list.ttl_ms, list.cache_scope) = (Some(TTL_MS), Some(CacheScope::Private));
        Ok(list)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let visitor = admitted(&context.extensions)?;
        resources::read(visitor, &request.uri).map(Into::into)
    }
}
