//! Organisation and workspace tokens, enrolment codes, data keys.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use portcullis_authority::{Answer, Refusal, TokenView, clock::rfc3339};
use portcullis_kernel::{
    deed::{EnrolmentIssue, KeyRotate, TokenMint, TokenRevoke},
    id::WorkspaceId,
    name::DisplayName,
    refusal::Code,
    scope::Scopes,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::{
    call::{Call, answered, json as json_response, ok},
    operation::Operation,
    wire,
};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new("org_token_mint", Method::POST, "/org/tokens", "Mint an organisation token", mint_org)
            .decided()
            .input::<wire::MintToken>(),
        Operation::new("org_token_list", Method::GET, "/org/tokens", "Organisation tokens", list_org)
            .output::<TokenList>(),
        Operation::new(
            "org_token_revoke",
            Method::DELETE,
            "/org/tokens/{token}",
            "Revoke a token and all minted from it",
            revoke_org,
        )
        .decided(),
        Operation::new(
            "workspace_token_mint",
            Method::POST,
            "/workspaces/{id}/tokens",
            "Mint a workspace token",
            mint_workspace,
        )
        .decided()
        .done(&[201])
        .input::<wire::MintToken>(),
        Operation::new(
            "workspace_token_list",
            Method::GET,
            "/workspaces/{id}/tokens",
            "Tokens of a workspace",
            list_workspace,
        )
        .output::<TokenList>(),
        Operation::new(
            "workspace_token_revoke",
            Method::DELETE,
            "/workspaces/{id}/tokens/{token}",
            "Revoke a workspace token",
            revoke_workspace,
        )
        .decided(),
        Operation::new(
            "enrolment_issue",
            Method::POST,
            "/workspaces/{id}/enrolments",
            "Issue a one-time enrolment code",
            enrol,
        )
        .decided()
        .done(&[201])
        .input::<wire::Enrol>(),
        Operation::new("key_rotate", Method::POST, "/keys/rotate", "Seal new values with a new data key", rotate)
            .decided(),
        Operation::new("key_reseal", Method::POST, "/keys/reseal", "Move some values to the sealing key", reseal),
    ]
}

/// Tokens of the organisation, or of a workspace.
#[derive(Serialize, JsonSchema)]
struct TokenList {
    /// How many.
    count: usize,
    /// The tokens, without their plaintext.
    tokens: Vec<TokenView>,
}

impl From<Vec<TokenView>> for TokenList {
    fn from(tokens: Vec<TokenView>) -> Self {
        Self { count: tokens.len(), tokens }
    }
}

fn action(
    call: &Call,
    workspace: Option<WorkspaceId>,
    input: wire::MintToken,
    unnamed: Option<&str>,
) -> Result<TokenMint, Refusal> {
    let name = match (input.name, unnamed) {
        (Some(name), _) => name,
        (None, Some(name)) => name.parse::<DisplayName>().map_err(|_| Refusal::new(Code::Internal))?,
        (None, None) => return Err(Refusal::because(Code::InvalidField, "missing field `name`")),
    };
    let scopes =
        input.scopes.unwrap_or_else(|| if workspace.is_some() { Scopes::workspace() } else { Scopes::agent() });
    let expires_in_ms = match input.expires_in_s {
        Some(s) => wire::seconds("expires_in_s", s)?,
        None => call.app.authority.config().token_ms,
    };
    Ok(TokenMint { workspace, name, scopes, expires_in_ms, unattended: input.unattended, deliver_to: input.deliver_to })
}

async fn mint_org(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let action = action(&call, None, call.input()?, None)?;
    mint(call, action, StatusCode::OK).await
}

async fn mint_workspace(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let id = call.path("id")?;
    let action = action(&call, Some(id), call.input_or_default()?, Some("workspace token"))?;
    mint(call, action, StatusCode::CREATED).await
}

async fn mint(call: Call, action: TokenMint, status: StatusCode) -> Result<Response, Refusal> {
    let caller = call.caller()?;
    let human = caller.is_operator();
    let answer = call.app.authority.perform(caller, call.meta.clone(), action, ()).await?;
    answered(answer, |minted| {
        let mut body = json!({
            "id": minted.id, "prefix": minted.prefix, "name": minted.name, "workspace_id": minted.workspace_id,
            "expires_at": rfc3339(minted.expires_at), "delivered": minted.delivered,
        });
        // A plaintext token is shown to the human who minted it, once; an agent's mint is held and ends in a claim.
        if let Some(token) = minted.token.as_ref().filter(|_| human) {
            body["auth_token"] = token.expose().into();
            body["warning"] = "shown once; store it now".into();
            body["message"] = "shown once; store it now".into();
        }
        (status, body)
    })
}

async fn list_org(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let tokens = call.app.authority.tokens(call.caller()?, None).await?;
    ok(&TokenList::from(tokens))
}

async fn list_workspace(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let tokens = call.app.authority.tokens(call.caller()?, Some(call.path("id")?)).await?;
    ok(&TokenList::from(tokens))
}

async fn revoke_org(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let action = TokenRevoke { credential: call.path("token")? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::OK, json!({"revoked": done.revoked})))
}

async fn revoke_workspace(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let (workspace, credential): (WorkspaceId, _) = (call.path("id")?, call.path("token")?);
    let caller = call.caller()?;
    if !call.app.authority.token_fits(caller, credential, workspace).await? {
        return Err(Refusal::new(Code::NotFound));
    }
    let answer = call.app.authority.perform(caller, call.meta.clone(), TokenRevoke { credential }, ()).await?;
    answered(answer, |done| (StatusCode::OK, json!({"status": "revoked", "revoked": done.revoked})))
}

async fn enrol(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Enrol = call.input_or_default()?;
    let expires_in_ms = match input.expires_in_s {
        Some(s) => wire::seconds("expires_in_s", s)?,
        None => call.app.authority.config().code_ms,
    };
    let action = EnrolmentIssue { workspace: call.path("id")?, expires_in_ms };
    let caller = call.caller()?;
    let human = caller.is_operator();
    let answer = call.app.authority.perform(caller, call.meta.clone(), action, ()).await?;
    answered(answer, |issued| {
        let mut body =
            json!({"id": issued.id, "workspace_id": issued.workspace_id, "expires_at": rfc3339(issued.expires_at)});
        if let Some(code) = issued.code.as_ref().filter(|_| human) {
            body["code"] = code.expose().into();
        }
        (StatusCode::CREATED, body)
    })
}

async fn rotate(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let authority = &call.app.authority;
    let answer = authority.perform(call.caller()?, call.meta.clone(), KeyRotate {}, ()).await?;
    if matches!(answer, Answer::Done(_)) {
        authority.reload_keys().await?;
    }
    answered(answer, |done| (StatusCode::OK, json!({"status": "rotated", "key_id": done.key_id})))
}

/// Resealing changes nothing anyone can see, so it is no deed; it is an owner's all the same.
async fn reseal(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    call.app.authority.require_owner(call.caller()?)?;
    json_response(StatusCode::OK, &call.app.authority.reseal().await?)
}
