//! Logging in and out, re-authentication, one-time claims, enrolment.

use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use portcullis_authority::{Device, Opened, Refusal, SessionView, clock::rfc3339};
use portcullis_kernel::refusal::Code;
use serde_json::json;

use crate::{
    app::App,
    call::{Call, json as json_response, ok},
    http::values,
    operation::Operation,
    wire,
};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new("login", Method::POST, "/auth/login", "Open a session", login).public().input::<wire::Login>(),
        Operation::new("claim", Method::POST, "/auth/claim", "Make the first operator from the claim link", claim)
            .public()
            .done(&[201])
            .input::<wire::Claim>(),
        Operation::new("accept", Method::POST, "/auth/accept", "Choose a password, with an invitation", accept)
            .public()
            .input::<wire::Accept>(),
        Operation::new("password_change", Method::POST, "/auth/password", "Change the own password", change_password)
            .input::<wire::ChangePassword>(),
        Operation::new(
            "register",
            Method::POST,
            "/registry/register",
            "An agent says that it is there; with an enrolment code it gets its token",
            register,
        )
        .public()
        .input::<wire::Register>(),
        Operation::new("step_up", Method::POST, "/auth/step-up", "Re-authenticate", step_up).input::<wire::StepUp>(),
        Operation::new("logout", Method::POST, "/auth/logout", "End the session", logout),
        Operation::new("session_list", Method::GET, "/auth/sessions", "The own sessions", sessions)
            .output::<Vec<SessionView>>(),
        Operation::new("session_end", Method::DELETE, "/auth/sessions/{session}", "End one of the own sessions", end),
        Operation::new("session", Method::GET, "/auth/session", "The session", session),
        Operation::new("token_claim", Method::POST, "/auth/token-claims", "Take a minted token, once", token_claim)
            .input::<wire::ClaimToken>(),
    ]
}

fn cookie(app: &App, value: &str, max_age_s: i64) -> Result<HeaderValue, Refusal> {
    let secure = if app.settings.secure_cookies { "; Secure" } else { "" };
    let text = format!("{}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}", app.cookie_name());
    HeaderValue::from_str(&text).map_err(|_| Refusal::new(Code::Internal))
}

/// A session that was opened: the cookie, and what goes with it.
pub(super) fn opened(app: &App, session: &Opened) -> Result<Response, Refusal> {
    let Opened { token, csrf, operator, email, role, expires_at } = session;
    let mut response = ok(&json!({
        "csrf_token": csrf,
        "operator": {"id": operator, "email": email, "role": role},
        "expires_at": rfc3339(*expires_at),
        "idle_timeout_s": app.authority.config().session_idle_ms / 1000,
    }))?;
    let max_age_s = expires_at.since_ms(app.authority.now()) / 1000;
    response.headers_mut().insert(header::SET_COOKIE, cookie(app, token.expose(), max_age_s)?);
    Ok(response)
}

async fn login(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Login = call.input()?;
    let authority = &call.app.authority;
    let device = Device::of(call.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()));
    let session = authority
        .login(call.meta.clone(), &input.email, input.password.into_text(), call.peer.to_string(), device)
        .await?;
    opened(&call.app, &session)
}

async fn claim(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Claim = call.input()?;
    let (token, password) = (input.token.into_text(), input.password.into_text());
    let id = call.app.authority.claim_operator(call.meta.clone(), token, input.email.clone(), password).await?;
    json_response(StatusCode::CREATED, &json!({"id": id, "email": input.email, "role": "owner"}))
}

async fn accept(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Accept = call.input()?;
    let (token, password) = (input.token.into_text(), input.password.into_text());
    let operator = call.app.authority.accept_invite(call.meta.clone(), token, password).await?;
    ok(&json!({"id": operator.id, "email": operator.email, "role": operator.role}))
}

async fn change_password(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::ChangePassword = call.input()?;
    let (current, new, address) = (input.password.into_text(), input.new_password.into_text(), call.peer.to_string());
    let authority = &call.app.authority;
    let ended = authority.change_password(call.meta.clone(), call.caller()?, current, new, &address).await?;
    ok(&json!({"status": "saved", "ended": ended}))
}

async fn register(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let mut input: wire::Register = call.input()?;
    let Some(code) = input.code.take() else { return super::agents::register(&call, &input).await };
    let redeemed = call.app.authority.redeem_enrolment(call.meta.clone(), code.into_text(), input.id).await?;
    ok(&json!({
        "status": "registered", "workspace_id": input.id, "id": redeemed.id, "auth_token": redeemed.token.expose(),
        "expires_at": rfc3339(redeemed.expires_at),
    }))
}

async fn step_up(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::StepUp = call.input()?;
    let address = call.peer.to_string();
    let until =
        call.app.authority.step_up(call.meta.clone(), call.caller()?, input.password.into_text(), &address).await?;
    ok(&json!({"status": "stepped_up", "step_up_until": rfc3339(until)}))
}

async fn logout(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    if !call.caller()?.is_operator() {
        return Err(Refusal::new(Code::HumanRequired));
    }
    call.app.authority.logout(call.meta.clone(), call.caller()?).await?;
    let mut response = ok(&json!({"status": "logged_out"}))?;
    response.headers_mut().insert(header::SET_COOKIE, cookie(&call.app, "", 0)?);
    Ok(response)
}

async fn sessions(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.sessions(call.caller()?).await?)
}

async fn end(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let current = call.app.authority.end_session(call.meta.clone(), call.caller()?, call.path("session")?).await?;
    let mut response = ok(&json!({"status": "logged_out"}))?;
    if current {
        response.headers_mut().insert(header::SET_COOKIE, cookie(&call.app, "", 0)?);
    }
    Ok(response)
}

async fn session(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let caller = call.caller()?;
    let operator = call.app.authority.operator_of(caller).await?;
    ok(&json!({
        "operator": operator,
        "csrf_token": caller.csrf(),
        "expires_at": rfc3339(caller.expires_at()),
        "step_up_until": caller.stepped_up_until().map(rfc3339),
    }))
}

async fn token_claim(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::ClaimToken = call.input()?;
    let token =
        call.app.authority.claim_token(call.meta.clone(), call.caller()?, input.claim_token.into_text()).await?;
    values::claimed(&token)
}
