//! Approvals: what waits, one with a long poll, votes, withdrawal, free-form questions.

use std::time::Duration;

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use portcullis_authority::{ApprovalFilter, ApprovalView, Decided, Refusal};
use portcullis_kernel::{
    approval::State,
    deed::{ApprovalAsk, ApprovalDecide, ApprovalWithdraw},
    id::{ApprovalId, WorkspaceId},
    refusal::Code,
};
use serde_json::{Value, json};

use crate::{
    app::stops,
    call::{Call, answered, ok},
    operation::Operation,
    wire,
};

/// Longest a poll waits, in seconds.
const WAIT_S_MAX: u64 = 60;

pub(super) fn operations() -> Vec<Operation> {
    let decide = Operation::new("approval_decide", Method::POST, "/approvals/{approval}/decide", "Vote", decide)
        .decided()
        .input::<wire::Decide>();
    vec![
        Operation::new("approval_pending", Method::GET, "/approvals/pending", "What waits for humans", pending)
            .output::<Vec<ApprovalView>>(),
        Operation::new("approval_list", Method::GET, "/approvals", "Approvals, newest first", list)
            .output::<Vec<ApprovalView>>(),
        Operation::new(
            "approval_get",
            Method::GET,
            "/approvals/{approval}",
            "One approval; `?wait=` polls for a decision",
            get,
        )
        .output::<ApprovalView>(),
        decide.also_at("workspace_approval_decide", Method::POST, "/workspaces/{id}/approvals/{approval}/decide"),
        decide,
        Operation::new(
            "approval_withdraw",
            Method::POST,
            "/approvals/{approval}/withdraw",
            "Take an own request back",
            withdraw,
        )
        .decided(),
        Operation::new(
            "workspace_approval_list",
            Method::GET,
            "/workspaces/{id}/approvals",
            "Approvals about a workspace",
            of_workspace,
        )
        .output::<Vec<ApprovalView>>(),
        Operation::new(
            "approval_ask",
            Method::POST,
            "/workspaces/{id}/approvals",
            "Put a question to a human; grants nothing",
            ask,
        )
        .decided()
        .done(&[201])
        .input::<wire::Ask>(),
    ]
}

fn filter(call: &Call, state: Option<&str>) -> Result<ApprovalFilter, Refusal> {
    let malformed = || {
        Refusal::because(
            Code::InvalidRequest,
            "`state` is pending, applied, denied, expired, withdrawn, voided or failed",
        )
    };
    let state = state.map(|word| State::parse(word).ok_or_else(malformed)).transpose()?;
    let before = wire::time("before", call.query("before"))?;
    Ok(ApprovalFilter {
        state: state.map(|state| state.as_str().to_owned()),
        before: before.map(|at| at.0),
        limit: call.query_as("limit")?.unwrap_or(50),
        ..ApprovalFilter::default()
    })
}

async fn pending(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["limit", "before"])?;
    let filter = filter(&call, Some("pending"))?;
    ok(&call.app.authority.approvals(call.caller()?, filter, None).await?)
}

async fn list(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["state", "limit", "before"])?;
    let filter = filter(&call, call.query("state"))?;
    ok(&call.app.authority.approvals(call.caller()?, filter, None).await?)
}

async fn of_workspace(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["state", "limit", "before"])?;
    let filter = filter(&call, call.query("state"))?;
    ok(&call.app.authority.approvals(call.caller()?, filter, Some(call.path("id")?)).await?)
}

async fn get(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["wait"])?;
    let id: ApprovalId = call.path("approval")?;
    let wait_s: u64 = call.query_as("wait")?.unwrap_or(0);
    if wait_s > WAIT_S_MAX {
        return Err(Refusal::because(Code::InvalidRequest, format!("`wait` is at most {WAIT_S_MAX} seconds")));
    }
    let authority = &call.app.authority;
    // Watched before it is read: a decision between the two is not missed.
    let mut committed = authority.committed();
    let mut stopping = call.app.stopping.subscribe();
    let mut view = authority.approval(call.caller()?, id).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(wait_s);
    while view.status == State::Pending {
        committed.mark_unchanged();
        // Other replicas commit without our noticing, and time passes: look again every second.
        let look_again = (tokio::time::Instant::now() + Duration::from_secs(1)).min(deadline);
        tokio::select! {
            _ = committed.changed() => {}
            () = tokio::time::sleep_until(look_again) => {}
            // Still pending is an answer too, and the client asks again.
            () = stops(&mut stopping) => break,
        }
        view = authority.approval(call.caller()?, id).await?;
        if tokio::time::Instant::now() >= deadline {
            break;
        }
    }
    ok(&view)
}

fn decided(done: Decided) -> (StatusCode, Value) {
    let mut body = json!({
        "status": done.state.as_str(), "approval_id": done.approval, "code": done.code, "reason": done.reason,
        "missing": done.missing.iter().map(|(who, count)| json!({"who": who, "count": count})).collect::<Vec<_>>(),
        "result": done.result,
    });
    if let Some(claim) = done.claim {
        body["result"]["claim_token"] = claim.expose().into();
    }
    (StatusCode::OK, body)
}

async fn decide(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Decide = call.input()?;
    let approval: ApprovalId = call.path("approval")?;
    let action = ApprovalDecide {
        approval,
        approve: input.decision == wire::Decision::Approved,
        note: input.note,
        checklist: input.checklist.into_keys().collect(),
        break_glass: input.break_glass,
    };
    let caller = call.caller()?;
    if call.path.iter().any(|(name, _)| name == "id") && caller.is_operator() {
        // The path names the workspace too: it must be the approval's, or the human reads one thing and decides another.
        let workspace: WorkspaceId = call.path("id")?;
        if !call.app.authority.approval_fits(approval, workspace).await? {
            return Err(Refusal::new(Code::NotFound));
        }
    }
    let answer = call.app.authority.perform(caller, call.meta.clone(), action, ()).await?;
    // A vote that came too late or voided the plan was recorded; the voter is told with a code.
    if let portcullis_authority::Answer::Done(done) = &answer
        && let Some(code @ (Code::ApprovalExpired | Code::ApprovalVoided)) = done.value.code
    {
        let mut refusal =
            Refusal::because(code, done.value.reason.clone().unwrap_or_else(|| code.as_str().to_ascii_lowercase()));
        refusal.audit_id = Some(done.audit_id);
        return Err(refusal
            .with("approval_id", approval.to_string())
            .with("approval_status", done.value.state.as_str()));
    }
    answered(answer, decided)
}

async fn withdraw(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let action = ApprovalWithdraw { approval: call.path("approval")? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, decided)
}

async fn ask(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::Ask = call.input()?;
    let action = ApprovalAsk { workspace: call.path("id")?, action: input.action, reason: input.reason };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::CREATED, json!({"approval_id": done.approval, "status": done.state.as_str()})))
}
