//! The audit log: search, one entry, verification, export, signed head; and the live events.

use std::time::Instant;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Method, header},
    response::Response,
};
use futures_util::stream;
use portcullis_authority::{Answer, AuditEntry, Authority, Checked, ExportMark, Refusal, Search};
use portcullis_kernel::{audit::Outcome, deed::AuditExport, id::WorkspaceId, refusal::Code, scope::Scope};
use serde_json::json;

use crate::{
    call::{Call, ok},
    events,
    operation::Operation,
    wire,
};

/// Entries read in one go while exporting.
const EXPORT_STEP: i64 = 1_000;
/// Longest text to search for, in characters.
const TEXT_MAX: usize = 100;

pub(super) fn operations() -> Vec<Operation> {
    let search = Operation::new("audit_search", Method::GET, "/audit", "Search the log", search)
        .output::<portcullis_authority::AuditPage>();
    vec![
        search.also_at("workspace_audit", Method::GET, "/workspaces/{id}/audit"),
        search,
        Operation::new("audit_entry", Method::GET, "/audit/entries/{seq}", "One entry, with the rules it names", entry)
            .output::<AuditEntry>(),
        Operation::new(
            "audit_verify",
            Method::GET,
            "/audit/verify",
            "Walk the whole log: is it as it was written",
            verify,
        ),
        Operation::new("audit_export", Method::GET, "/audit/export", "Export the log as JSON lines", export),
        Operation::new("audit_checkpoint", Method::GET, "/audit/checkpoint", "The signed head of the log", checkpoint),
        Operation::new("events", Method::GET, "/events", "Live events (SSE)", events::stream),
    ]
}

async fn search(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[
        "subject",
        "workspace_id",
        "key",
        "code",
        "event",
        "approval_id",
        "request_id",
        "outcome",
        "q",
        "from",
        "to",
        "after",
        "order",
        "limit",
    ])?;
    let own = |name| call.query(name).map(str::to_owned);
    let descending = match call.query("order") {
        Some("desc") => true,
        None | Some("asc") => false,
        Some(_) => return Err(Refusal::because(Code::InvalidRequest, "`order` is `asc` or `desc`")),
    };
    // The path of one workspace is the search for it; naming another in the query as well would be two questions.
    let of_path = call.path.iter().any(|(name, _)| name == "id");
    let workspace_id = match (of_path, own("workspace_id")) {
        (true, None) => Some(call.path::<WorkspaceId>("id")?.to_string()),
        (true, Some(_)) => return Err(Refusal::because(Code::InvalidRequest, "the path names the workspace already")),
        (false, named) => named,
    };
    let search = Search {
        subject: own("subject"),
        workspace_id,
        key: own("key"),
        code: own("code"),
        event: own("event"),
        approval_id: own("approval_id"),
        request_id: own("request_id"),
        outcome: outcome(&call)?,
        text: text(&call)?,
        from_ms: wire::time("from", call.query("from"))?.map(|at| at.0),
        to_ms: wire::time("to", call.query("to"))?.map(|at| at.0),
        after: call.query_as("after")?,
        descending,
        limit: call.query_as("limit")?.unwrap_or(100),
    };
    ok(&call.app.authority.audit(call.caller()?, search).await?)
}

/// How it ended, in the log's words.
fn outcome(call: &Call) -> Result<Option<String>, Refusal> {
    let malformed = || Refusal::because(Code::InvalidRequest, "`outcome` is done, held, refused or failed");
    let known = |word| Outcome::parse(word).map(|outcome| outcome.as_str().to_owned()).ok_or_else(malformed);
    call.query("outcome").map(known).transpose()
}

/// A text to search for. No line has a control character in it that people could mean.
fn text(call: &Call) -> Result<Option<String>, Refusal> {
    let Some(text) = call.query("q") else { return Ok(None) };
    let fine = (1..=TEXT_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let malformed = || Refusal::because(Code::InvalidRequest, "`q` is 1 to 100 characters on one line");
    if fine { Ok(Some(text.to_owned())) } else { Err(malformed()) }
}

async fn entry(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.audit_entry(call.caller()?, call.path("seq")?).await?)
}

async fn verify(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let began = Instant::now();
    let checked = call.app.authority.verify_audit(call.caller()?).await?;
    ok(&match checked {
        Checked::Sound { verified, checkpoint } => json!({
            "verified": true, "entries": verified.entries, "head": verified.head, "checkpoints": verified.checkpoints,
            "key": verified.key, "checkpoint": checkpoint, "elapsed_ms": began.elapsed().as_millis() as u64,
        }),
        Checked::Unsound { problem, first_bad } => json!({"verified": false, "error": problem, "first_bad": first_bad}),
    })
}

async fn checkpoint(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    if !call.caller()?.has(Scope::AuditRead) {
        return Err(Refusal::because(Code::ScopeMissing, Scope::AuditRead.as_str()));
    }
    let mut response = Response::new(Body::from(call.app.authority.checkpoint().await?));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

/// What the export has still to send.
enum Part {
    Head,
    Entries(i64),
    Tail,
    End,
}

async fn export(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["after", "limit"])?;
    let after: i64 = call.query_as("after")?.unwrap_or(0);
    let limit: i64 = call.query_as("limit")?.unwrap_or(i64::MAX);
    if after < 0 || limit < 1 {
        return Err(Refusal::because(Code::InvalidRequest, "`after` is a position, from 0; `limit` is at least 1"));
    }
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), AuditExport { after }, ()).await?;
    let Answer::Done(done) = answer else { return Err(Refusal::new(Code::NotEntitled)) };
    let (authority, upto) = (call.app.authority.clone(), done.value.size.min(after.saturating_add(limit)));
    // The checkpoint is taken first: it covers at least what is sent, and its size is where the export ends or later.
    let lines = stream::unfold((authority, Part::Head), move |(authority, part)| async move {
        let (bytes, next) = next_part(&authority, part, after, upto).await.ok()??;
        Some((Ok::<_, std::convert::Infallible>(bytes), (authority, next)))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

async fn next_part(authority: &Authority, part: Part, after: i64, upto: i64) -> Result<Option<(Bytes, Part)>, Refusal> {
    let line = |mark: &ExportMark| serde_json::to_string(mark).map(|text| Bytes::from(text + "\n"));
    let internal = |error: serde_json::Error| {
        let mut refusal = Refusal::new(Code::Internal);
        refusal.internal = Some(error.to_string());
        refusal
    };
    Ok(match part {
        Part::Head => {
            let mark = ExportMark {
                verifier_key: Some(authority.verifier_key()),
                checkpoint: None,
                after: (after > 0).then_some(after),
            };
            Some((line(&mark).map_err(internal)?, Part::Entries(after)))
        }
        Part::Entries(from) if from >= upto => Some((Bytes::new(), Part::Tail)),
        Part::Entries(from) => {
            let entries = authority.audit_entries(from, upto, EXPORT_STEP).await?;
            let mut text = String::new();
            for entry in &entries {
                text.push_str(&serde_json::to_string(entry).map_err(internal)?);
                text.push('\n');
            }
            let reached = entries.last().map_or(upto, |entry| entry.seq);
            Some((Bytes::from(text), Part::Entries(reached)))
        }
        Part::Tail => {
            let note = authority.checkpoint_at(upto).await?;
            let mark = ExportMark { verifier_key: None, checkpoint: note, after: None };
            Some((line(&mark).map_err(internal)?, Part::End))
        }
        Part::End => None,
    })
}
