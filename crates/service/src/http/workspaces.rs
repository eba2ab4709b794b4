//! Workspaces: list, create, change, restart, pause, resume, remove; peers and state.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use portcullis_authority::{Answer, PeerView, Refusal, StateView, WorkspaceView};
use portcullis_kernel::{
    deed::{WorkspaceCreate, WorkspacePause, WorkspaceRemove, WorkspaceRestart, WorkspaceResume, WorkspaceUpdate},
    id::WorkspaceId,
    name::DisplayName,
};
use serde_json::json;

use crate::{
    call::{Call, answered, ok},
    operation::Operation,
    wire,
};

/// The runtime of the configuration that a workspace gets which names none.
const DEFAULT_RUNTIME: &str = "default";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new("workspace_list", Method::GET, "/workspaces", "Workspaces within sight", list)
            .output::<Vec<WorkspaceView>>(),
        Operation::new("workspace_create", Method::POST, "/workspaces", "Create a workspace", create)
            .decided()
            .done(&[201])
            .input::<wire::CreateWorkspace>()
            .output::<WorkspaceView>(),
        Operation::new("workspace_get", Method::GET, "/workspaces/{id}", "One workspace", get)
            .output::<WorkspaceView>(),
        Operation::new(
            "workspace_update",
            Method::PATCH,
            "/workspaces/{id}",
            "Change name, role, parent or runtime",
            update,
        )
        .decided()
        .input::<wire::UpdateWorkspace>()
        .output::<WorkspaceView>(),
        Operation::new(
            "workspace_remove",
            Method::DELETE,
            "/workspaces/{id}",
            "Remove, with those below when confirmed",
            remove,
        )
        .decided(),
        Operation::new(
            "workspace_restart",
            Method::POST,
            "/workspaces/{id}/restart",
            "Ask for a drained restart",
            restart,
        )
        .decided(),
        Operation::new("workspace_pause", Method::POST, "/workspaces/{id}/pause", "Pause, with those below", pause)
            .decided(),
        Operation::new("workspace_resume", Method::POST, "/workspaces/{id}/resume", "Resume, with those below", resume)
            .decided(),
        Operation::new("workspace_state", Method::GET, "/workspaces/{id}/state", "Desired and observed state", state)
            .output::<StateView>(),
        Operation::new("peer_list", Method::GET, "/registry/{id}/peers", "Parent, children and siblings", peers)
            .output::<Vec<PeerView>>(),
    ]
}

async fn list(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.workspaces(call.caller()?).await?)
}

async fn get(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.workspace(call.caller()?, call.path("id")?).await?)
}

async fn state(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.workspace_state(call.caller()?, call.path("id")?).await?)
}

async fn peers(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.peers(call.caller()?, call.path("id")?).await?)
}

/// The workspace as it is after a change, for the answer.
async fn now(call: &Call, id: WorkspaceId) -> Result<serde_json::Value, Refusal> {
    Ok(json!(call.app.authority.workspace(call.caller()?, id).await?))
}

async fn create(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::CreateWorkspace = call.input()?;
    let named = &call.app.authority.config().runtimes;
    let runtime = input.runtime.map(|runtime| runtime.into_runtime(named)).transpose()?;
    let runtime = runtime.or_else(|| named.get(DEFAULT_RUNTIME).cloned());
    let action = WorkspaceCreate { name: input.name, role: input.role, parent: input.parent_id, runtime };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    let view = match &answer {
        Answer::Done(done) => now(&call, done.value.id).await?,
        Answer::Held(_) | Answer::Plan(_) => json!(null),
    };
    answered(answer, |_| (StatusCode::CREATED, view))
}

async fn update(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let id = call.path("id")?;
    let input: wire::UpdateWorkspace = call.input()?;
    let named = &call.app.authority.config().runtimes;
    let runtime = input.runtime.map(|runtime| runtime.into_runtime(named)).transpose()?;
    let action =
        WorkspaceUpdate { workspace: id, name: input.name, role: input.role, parent: input.parent_id, runtime };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    let view = match &answer {
        Answer::Done(_) => now(&call, id).await?,
        Answer::Held(_) | Answer::Plan(_) => json!(null),
    };
    answered(answer, |_| (StatusCode::OK, view))
}

async fn remove(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["confirm"])?;
    call.no_body()?;
    let confirm: Option<DisplayName> = call.query_as("confirm")?;
    let action = WorkspaceRemove { workspace: call.path("id")?, confirm };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| {
        (StatusCode::OK, json!({"status": "removed", "removed": done.workspaces, "credentials_revoked": done.revoked}))
    })
}

async fn restart(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let id = call.path("id")?;
    let answer =
        call.app.authority.perform(call.caller()?, call.meta.clone(), WorkspaceRestart { workspace: id }, ()).await?;
    let generation = match &answer {
        Answer::Done(_) => now(&call, id).await?["desired_generation"].clone(),
        Answer::Held(_) | Answer::Plan(_) => json!(null),
    };
    answered(answer, |_| (StatusCode::OK, json!({"status": "restart_requested", "desired_generation": generation})))
}

async fn pause(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let action = WorkspacePause { workspace: call.path("id")? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::OK, json!({"status": "paused", "affected": done.workspaces})))
}

async fn resume(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let action = WorkspaceResume { workspace: call.path("id")? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::OK, json!({"status": "resuming", "affected": done.workspaces})))
}
