//! Runs: one row per execution of an agent, its boot.

use portcullis_kernel::{
    id::{BootId, CredentialId, WorkspaceId},
    runtime::RuntimeKind,
    time::Timestamp,
};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
};

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunRow {
    pub(crate) boot: BootId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) generation: i64,
    pub(crate) kind: RuntimeKind,
    pub(crate) live: bool,
    pub(crate) credential: CredentialId,
    pub(crate) spec: String,
    pub(crate) variables_token: String,
    pub(crate) files_token: String,
    pub(crate) versions: String,
    pub(crate) context: String,
    pub(crate) why: String,
    pub(crate) started_at: Timestamp,
    pub(crate) registered_at: Option<Timestamp>,
    pub(crate) wants_handoff: bool,
    pub(crate) handoff: Option<String>,
    pub(crate) pulled_at: Option<Timestamp>,
    pub(crate) lease_expires_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) crash: bool,
    pub(crate) hopeless: bool,
    pub(crate) cause: Option<String>,
    pub(crate) exit_code: Option<i64>,
    pub(crate) exit_signal: Option<i64>,
    pub(crate) detail: Option<String>,
}

fn read(row: &Row) -> Result<RunRow, DbError> {
    Ok(RunRow {
        boot: word(row.text(0)?.parse().ok(), "runs.boot_id")?,
        workspace: word(row.text(1)?.parse().ok(), "runs.workspace_id")?,
        generation: row.int(2)?,
        kind: word(RuntimeKind::parse(row.text(3)?), "runs.kind")?,
        live: row.text(4)? == "live",
        credential: word(row.text(5)?.parse().ok(), "runs.credential_id")?,
        spec: row.text(6)?.to_owned(),
        variables_token: row.text(7)?.to_owned(),
        files_token: row.text(8)?.to_owned(),
        versions: row.text(9)?.to_owned(),
        context: row.text(10)?.to_owned(),
        why: row.text(11)?.to_owned(),
        started_at: Timestamp(row.int(12)?),
        registered_at: row.opt_int(13)?.map(Timestamp),
        wants_handoff: row.int(14)? != 0,
        handoff: row.opt_text(15)?.map(str::to_owned),
        pulled_at: row.opt_int(16)?.map(Timestamp),
        lease_expires_at: row.opt_int(17)?.map(Timestamp),
        ended_at: row.opt_int(18)?.map(Timestamp),
        crash: row.int(19)? != 0,
        hopeless: row.int(20)? != 0,
        cause: row.opt_text(21)?.map(str::to_owned),
        exit_code: row.opt_int(22)?,
        exit_signal: row.opt_int(23)?,
        detail: row.opt_text(24)?.map(str::to_owned),
    })
}

pub(crate) fn find(conn: &mut Conn, boot: BootId) -> Result<Option<RunRow>, DbError> {
    let row = conn.query_opt(
        "/* run_find */ SELECT boot_id, workspace_id, generation, kind, state, credential_id, spec, variables_token, files_token, versions, context, \
         why, started_at, registered_at, wants_handoff, handoff, pulled_at, lease_expires_at, ended_at, crash, hopeless, cause, exit_code, \
         exit_signal, detail FROM runs WHERE boot_id = $1",
        params![boot.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

/// The run of a workspace that has not ended.
pub(crate) fn live(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<RunRow>, DbError> {
    let row = conn.query_opt(
        "/* run_live */ SELECT boot_id, workspace_id, generation, kind, state, credential_id, spec, variables_token, files_token, versions, context, \
         why, started_at, registered_at, wants_handoff, handoff, pulled_at, lease_expires_at, ended_at, crash, hopeless, cause, exit_code, \
         exit_signal, detail FROM runs WHERE workspace_id = $1 AND state = 'live'",
        params![workspace.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}

/// Runs of a workspace, newest first.
pub(crate) fn list(conn: &mut Conn, workspace: WorkspaceId, limit: i64) -> Result<Vec<RunRow>, DbError> {
    let rows = conn.query(
        "/* run_list */ SELECT boot_id, workspace_id, generation, kind, state, credential_id, spec, variables_token, files_token, versions, context, \
         why, started_at, registered_at, wants_handoff, handoff, pulled_at, lease_expires_at, ended_at, crash, hopeless, cause, exit_code, \
         exit_signal, detail FROM runs WHERE workspace_id = $1 ORDER BY started_at DESC, audit_id DESC LIMIT $2",
        params![workspace.to_string().as_str(), limit],
    )?;
    rows.iter().map(read).collect()
}

/// Every run that has not ended, of removed workspaces too.
pub(crate) fn all_live(conn: &mut Conn) -> Result<Vec<RunRow>, DbError> {
    let rows = conn.query(
        "/* run_all_live */ SELECT boot_id, workspace_id, generation, kind, state, credential_id, spec, variables_token, files_token, versions, context, \
         why, started_at, registered_at, wants_handoff, handoff, pulled_at, lease_expires_at, ended_at, crash, hopeless, cause, exit_code, \
         exit_signal, detail FROM runs WHERE state = 'live' ORDER BY workspace_id",
        &[],
    )?;
    rows.iter().map(read).collect()
}

/// When runs ended by themselves since somebody else than the agent last changed something, oldest first; the newest
/// hundred.
pub(crate) fn crashes(conn: &mut Conn, workspace: WorkspaceId) -> Result<Vec<Timestamp>, DbError> {
    let rows = conn.query(
        "/* run_crashes */ SELECT r.ended_at FROM runs r JOIN workspaces w ON w.id = r.workspace_id WHERE r.workspace_id = $1 AND r.crash = 1 \
         AND r.ended_at > w.crashes_since ORDER BY r.ended_at DESC LIMIT 100",
        params![workspace.to_string().as_str()],
    )?;
    rows.iter().rev().map(|row| Ok(Timestamp(row.int(0)?))).collect()
}

/// A new run.
pub(crate) struct NewRun<'a> {
    pub(crate) boot: BootId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) generation: i64,
    pub(crate) kind: RuntimeKind,
    pub(crate) credential: CredentialId,
    pub(crate) spec: &'a str,
    pub(crate) variables_token: &'a str,
    pub(crate) files_token: &'a str,
    pub(crate) versions: &'a str,
    pub(crate) context: &'a str,
    pub(crate) why: &'a str,
    /// Where it runs; nothing for one that nobody here starts.
    pub(crate) place: Option<&'a str>,
}

pub(crate) fn insert(w: &mut Writing<'_, '_>, run: &NewRun<'_>) -> Result<(), DbError> {
    let (now, audit_id) = (w.now().0, w.because());
    w.conn().execute(
        "/* run_insert */ INSERT INTO runs (boot_id, workspace_id, generation, kind, state, credential_id, spec, variables_token, files_token, \
         versions, context, why, started_at, audit_id, place) VALUES ($1, $2, $3, $4, 'live', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        params![
            run.boot.to_string().as_str(),
            run.workspace.to_string().as_str(),
            run.generation,
            run.kind.as_str(),
            run.credential.to_string().as_str(),
            run.spec,
            run.variables_token,
            run.files_token,
            run.versions,
            run.context,
            run.why,
            now,
            audit_id,
            run.place
        ],
    )?;
    Ok(())
}

/// Its agent was heard for the first time.
pub(crate) fn registered(conn: &mut Conn, boot: BootId, now: i64) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* run_registered */ UPDATE runs SET registered_at = $2 WHERE boot_id = $1 AND registered_at IS NULL AND state = 'live'",
        params![boot.to_string().as_str(), now],
    )?;
    Ok(rows == 1)
}

/// Whether it writes hand-off notes.
pub(crate) fn set_wants_handoff(conn: &mut Conn, boot: BootId, wants: bool) -> Result<(), DbError> {
    conn.execute(
        "/* run_wants_handoff */ UPDATE runs SET wants_handoff = $2 WHERE boot_id = $1",
        params![boot.to_string().as_str(), wants],
    )?;
    Ok(())
}

/// Keeps its hand-off note; a later one replaces an earlier.
pub(crate) fn set_handoff(conn: &mut Conn, boot: BootId, note: &str) -> Result<(), DbError> {
    conn.execute(
        "/* run_handoff */ UPDATE runs SET handoff = $2 WHERE boot_id = $1",
        params![boot.to_string().as_str(), note],
    )?;
    Ok(())
}

/// It has what is wanted of this generation without having been restarted.
pub(crate) fn observe(conn: &mut Conn, boot: BootId, generation: i64) -> Result<(), DbError> {
    conn.execute(
        "/* run_observe */ UPDATE runs SET generation = $2 WHERE boot_id = $1 AND generation < $2",
        params![boot.to_string().as_str(), generation],
    )?;
    Ok(())
}

/// What it was last given.
pub(crate) struct Given<'a> {
    pub(crate) variables_token: &'a str,
    pub(crate) files_token: &'a str,
    pub(crate) versions: &'a str,
    pub(crate) pulled_at: Option<i64>,
    pub(crate) lease_expires_at: Option<i64>,
}

pub(crate) fn give(conn: &mut Conn, boot: BootId, given: &Given<'_>) -> Result<(), DbError> {
    conn.execute(
        "/* run_give */ UPDATE runs SET variables_token = $2, files_token = $3, versions = $4, pulled_at = COALESCE($5, pulled_at), \
         lease_expires_at = COALESCE($6, lease_expires_at) WHERE boot_id = $1",
        params![
            boot.to_string().as_str(),
            given.variables_token,
            given.files_token,
            given.versions,
            given.pulled_at,
            given.lease_expires_at
        ],
    )?;
    Ok(())
}

/// How a run ended.
pub(crate) struct End<'a> {
    pub(crate) crash: bool,
    pub(crate) hopeless: bool,
    pub(crate) cause: &'a str,
    pub(crate) code: Option<i64>,
    pub(crate) signal: Option<i64>,
    pub(crate) detail: Option<&'a str>,
}

/// Ends a run. False when it had ended before.
pub(crate) fn end(conn: &mut Conn, boot: BootId, end: &End<'_>, now: i64) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* run_end */ UPDATE runs SET state = 'ended', ended_at = $2, crash = $3, hopeless = $4, cause = $5, exit_code = $6, exit_signal = $7, \
         detail = $8 WHERE boot_id = $1 AND state = 'live'",
        params![
            boot.to_string().as_str(),
            now,
            end.crash,
            end.hopeless,
            end.cause,
            end.code,
            end.signal,
            end.detail
        ],
    )?;
    Ok(rows == 1)
}
