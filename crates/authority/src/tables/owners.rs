//! Which server supervises which workspace, and what a server needs to know of the others' agents.

use portcullis_kernel::{
    id::{BootId, ServerId, WorkspaceId},
    runtime::Runtime,
};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
};

/// Workspaces that are taken in one transaction.
pub(crate) const CLAIM_MAX: i64 = 500;

/// A workspace that a server may take.
pub(crate) struct Free {
    pub(crate) workspace: WorkspaceId,
    /// The kind of its runtime; `external` for an agent that runs elsewhere.
    pub(crate) kind: String,
    /// Its run that has not ended, if it is one of ours.
    pub(crate) boot: Option<BootId>,
    /// Where that one runs, if that was noted.
    pub(crate) place: Option<String>,
}

fn free(row: &Row) -> Result<Free, DbError> {
    let runtime: Option<Runtime> =
        row.opt_text(1)?.map(|text| word(serde_json::from_str(text).ok(), "workspaces.runtime")).transpose()?;
    let kind = runtime.map_or("external", |runtime| runtime.kind.as_str()).to_owned();
    let ours = row.opt_text(3)?.is_some_and(|kind| kind != "external");
    let boot = row.opt_text(2)?.filter(|_| ours).map(|boot| word(boot.parse().ok(), "runs.boot_id")).transpose()?;
    Ok(Free {
        workspace: word(row.text(0)?.parse().ok(), "workspaces.id")?,
        kind,
        boot,
        place: row.opt_text(4)?.map(str::to_owned),
    })
}

/// Workspaces that nobody supervises and somebody should.
pub(crate) fn without(conn: &mut Conn) -> Result<Vec<Free>, DbError> {
    let rows = conn.query(
        "/* owner_without */ SELECT w.id, w.runtime, r.boot_id, r.kind, r.place FROM workspaces w \
         LEFT JOIN runs r ON r.workspace_id = w.id AND r.state = 'live' WHERE w.owner IS NULL AND (r.boot_id IS NOT NULL \
         OR (w.status <> 'removed' AND w.runtime IS NOT NULL AND w.runtime NOT LIKE '{\"kind\":\"external\"%')) \
         ORDER BY w.kind, w.created_at, w.id LIMIT $1",
        params![CLAIM_MAX],
    )?;
    rows.iter().map(free).collect()
}

/// Workspaces that this server supervises, or did.
pub(crate) fn of(conn: &mut Conn, server: ServerId) -> Result<Vec<Free>, DbError> {
    let rows = conn.query(
        "/* owner_of */ SELECT w.id, w.runtime, r.boot_id, r.kind, r.place FROM workspaces w \
         LEFT JOIN runs r ON r.workspace_id = w.id AND r.state = 'live' WHERE w.owner = $1 AND (r.boot_id IS NOT NULL \
         OR (w.status <> 'removed' AND w.runtime IS NOT NULL AND w.runtime NOT LIKE '{\"kind\":\"external\"%')) \
         ORDER BY w.kind, w.created_at, w.id LIMIT $2",
        params![server.to_string().as_str(), CLAIM_MAX],
    )?;
    rows.iter().map(free).collect()
}

/// Who supervises a workspace, and in which life.
pub(crate) fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<(ServerId, i64)>, DbError> {
    let row = conn.query_opt(
        "/* owner_find */ SELECT owner, owner_epoch FROM workspaces WHERE id = $1",
        params![workspace.to_string().as_str()],
    )?;
    let Some(row) = row else { return Ok(None) };
    let epoch = row.int(1)?;
    row.opt_text(0)?.map(|id| Ok((word(id.parse().ok(), "workspaces.owner")?, epoch))).transpose()
}

/// Gives one workspace to a server.
pub(crate) fn set(conn: &mut Conn, workspace: WorkspaceId, server: ServerId, epoch: i64) -> Result<(), DbError> {
    conn.execute(
        "/* owner_set */ UPDATE workspaces SET owner = $2, owner_epoch = $3 WHERE id = $1",
        params![workspace.to_string().as_str(), server.to_string().as_str(), epoch],
    )?;
    Ok(())
}

/// A new life of a server goes on with everything that was its own.
pub(crate) fn renew(conn: &mut Conn, server: ServerId, epoch: i64) -> Result<(), DbError> {
    conn.execute(
        "/* owner_renew */ UPDATE workspaces SET owner_epoch = $2 WHERE owner = $1",
        params![server.to_string().as_str(), epoch],
    )?;
    Ok(())
}

/// Where there is only one server, everything that anybody supervised is its own.
pub(crate) fn take_all(conn: &mut Conn, server: ServerId, epoch: i64) -> Result<(), DbError> {
    conn.execute(
        "/* owner_take_all */ UPDATE workspaces SET owner = $1, owner_epoch = $2 WHERE owner IS NOT NULL",
        params![server.to_string().as_str(), epoch],
    )?;
    Ok(())
}

/// Runs that have not ended and are supervised by another server than this one, or by nobody.
pub(crate) fn elsewhere(conn: &mut Conn, server: Option<ServerId>) -> Result<Vec<BootId>, DbError> {
    let server = server.map(|id| id.to_string()).unwrap_or_default();
    let rows = conn.query(
        "/* owner_elsewhere */ SELECT r.boot_id FROM runs r JOIN workspaces w ON w.id = r.workspace_id \
         WHERE r.state = 'live' AND (w.owner IS NULL OR w.owner <> $1)",
        params![server.as_str()],
    )?;
    rows.iter().map(|row| word(row.text(0)?.parse().ok(), "runs.boot_id")).collect()
}

/// Notes for its supervisor that a run was heard here.
pub(crate) fn heard(conn: &mut Conn, boot: BootId, troubled: bool) -> Result<(), DbError> {
    conn.execute(
        "/* owner_heard */ UPDATE runs SET heard = heard + 1, troubled = $2 WHERE boot_id = $1 AND state = 'live'",
        params![boot.to_string().as_str(), troubled],
    )?;
    Ok(())
}

/// How often other servers have heard the runs of a server's workspaces, and whether they are in trouble.
pub(crate) fn heard_of(
    conn: &mut Conn,
    server: ServerId,
    epoch: i64,
) -> Result<Vec<(WorkspaceId, BootId, i64, bool)>, DbError> {
    let rows = conn.query(
        "/* owner_heard_of */ SELECT r.workspace_id, r.boot_id, r.heard, r.troubled FROM runs r JOIN workspaces w ON w.id = r.workspace_id \
         WHERE r.state = 'live' AND r.heard > 0 AND w.owner = $1 AND w.owner_epoch = $2",
        params![server.to_string().as_str(), epoch],
    )?;
    rows.iter()
        .map(|row| {
            let workspace = word(row.text(0)?.parse().ok(), "runs.workspace_id")?;
            Ok((workspace, word(row.text(1)?.parse().ok(), "runs.boot_id")?, row.int(2)?, row.int(3)? != 0))
        })
        .collect()
}
