//! Workspaces and the restart intents against them.

use portcullis_kernel::{
    consequence::Consequence,
    id::{ApprovalId, BootId, WorkspaceId},
    lifecycle::Desired,
    runtime::Runtime,
    subject::Principal,
    time::Timestamp,
    workspace::{Kind, Status},
};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
    permit::Writing,
};

/// One workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkspaceRow {
    pub(crate) id: WorkspaceId,
    pub(crate) name: String,
    pub(crate) role: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) parent_id: Option<WorkspaceId>,
    pub(crate) runtime: Option<Runtime>,
    pub(crate) status: Status,
    pub(crate) status_reason: String,
    pub(crate) desired: Desired,
    pub(crate) desired_generation: i64,
    pub(crate) observed_generation: i64,
    pub(crate) apply_generation: i64,
    pub(crate) drain_since: Option<Timestamp>,
    pub(crate) force_boot: Option<String>,
    pub(crate) asked: Option<ApprovalId>,
    pub(crate) slot: Option<i64>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

fn id(text: &str) -> Result<WorkspaceId, DbError> {
    word(text.parse().ok(), "workspaces.id")
}

fn runtime(text: &str) -> Result<Runtime, DbError> {
    word(serde_json::from_str(text).ok(), "workspaces.runtime")
}

/// A runtime as it is stored.
pub(crate) fn runtime_text(runtime: &Runtime) -> Result<String, DbError> {
    serde_json::to_string(runtime).map_err(|error| DbError::Shape(error.to_string()))
}

fn read(row: &Row) -> Result<WorkspaceRow, DbError> {
    Ok(WorkspaceRow {
        id: id(row.text(0)?)?,
        name: row.text(1)?.to_owned(),
        role: row.opt_text(2)?.map(str::to_owned),
        kind: word(Kind::parse(row.text(3)?), "workspaces.kind")?,
        parent_id: row.opt_text(4)?.map(id).transpose()?,
        runtime: row.opt_text(5)?.map(runtime).transpose()?,
        status: word(Status::parse(row.text(6)?), "workspaces.status")?,
        desired: word(Desired::parse(row.text(7)?), "workspaces.desired_state")?,
        desired_generation: row.int(8)?,
        observed_generation: row.int(9)?,
        created_at: Timestamp(row.int(10)?),
        updated_at: Timestamp(row.int(11)?),
        status_reason: row.text(12)?.to_owned(),
        apply_generation: row.int(13)?,
        drain_since: row.opt_int(14)?.map(Timestamp),
        force_boot: row.opt_text(15)?.map(str::to_owned),
        asked: row.opt_text(16)?.map(|id| word(id.parse().ok(), "workspaces.asked_approval")).transpose()?,
        slot: row.opt_int(17)?,
    })
}

static FIND: &str = "/* workspace_find */ SELECT id, name, role, kind, parent_id, runtime, status, desired_state, desired_generation, \
         observed_generation, created_at, updated_at, status_reason, apply_generation, drain_since, force_boot, asked_approval, slot FROM workspaces WHERE id = $1 AND status <> 'removed'";

/// A workspace that is not removed.
pub(crate) fn find(conn: &mut Conn, id: WorkspaceId) -> Result<Option<WorkspaceRow>, DbError> {
    let row = conn.query_opt(FIND, params![id.to_string().as_str()])?;
    row.as_ref().map(read).transpose()
}

/// Asks ahead for what [`find`] will want.
pub(crate) fn find_ahead(conn: &mut Conn, id: WorkspaceId) -> Result<(), DbError> {
    conn.ahead(FIND, params![id.to_string().as_str()])
}

/// All workspaces that are not removed, the root first, then by age.
pub(crate) fn list(conn: &mut Conn) -> Result<Vec<WorkspaceRow>, DbError> {
    let rows = conn.query(
        "/* workspace_list */ SELECT id, name, role, kind, parent_id, runtime, status, desired_state, desired_generation, \
         observed_generation, created_at, updated_at, status_reason, apply_generation, drain_since, force_boot, asked_approval, slot FROM workspaces WHERE status <> 'removed' ORDER BY kind, created_at, id",
        &[],
    )?;
    rows.iter().map(read).collect()
}

/// Parent, children and siblings.
pub(crate) fn family(conn: &mut Conn, own: &WorkspaceRow) -> Result<Vec<WorkspaceRow>, DbError> {
    let parent = own.parent_id.map(|id| id.to_string());
    let rows = conn.query(
        "/* workspace_family */ SELECT id, name, role, kind, parent_id, runtime, status, desired_state, desired_generation, \
         observed_generation, created_at, updated_at, status_reason, apply_generation, drain_since, force_boot, asked_approval, slot FROM workspaces WHERE status <> 'removed' AND id <> $1 \
         AND (id = $2 OR parent_id = $1 OR parent_id = $2) ORDER BY kind, created_at, id",
        params![own.id.to_string().as_str(), parent.as_deref()],
    )?;
    rows.iter().map(read).collect()
}

/// The root, if the organisation has one.
pub(crate) fn root(conn: &mut Conn) -> Result<Option<WorkspaceId>, DbError> {
    let row = conn.query_opt("/* workspace_root */ SELECT id FROM workspaces WHERE kind = 'platform'", &[])?;
    row.map(|row| id(row.text(0)?)).transpose()
}

/// Ancestors, nearest first. Longer than the deepest tree is a broken tree.
pub(crate) fn ancestors(conn: &mut Conn, of: WorkspaceId) -> Result<Vec<WorkspaceId>, DbError> {
    let rows = conn.query(
        "/* workspace_ancestors */ WITH RECURSIVE up(id, parent_id, depth) AS (\
         SELECT id, parent_id, 0 FROM workspaces WHERE id = $1 \
         UNION ALL SELECT w.id, w.parent_id, up.depth + 1 FROM workspaces w JOIN up ON w.id = up.parent_id WHERE up.depth < 40) \
         SELECT id FROM up WHERE depth > 0 ORDER BY depth",
        params![of.to_string().as_str()],
    )?;
    if rows.len() > portcullis_kernel::workspace::TREE_DEPTH_MAX {
        return Err(DbError::Shape("the tree of workspaces has a cycle".into()));
    }
    rows.iter().map(|row| id(row.text(0)?)).collect()
}

/// A workspace and everything below it that is not removed, with its distance, nearest first.
pub(crate) fn subtree(conn: &mut Conn, of: WorkspaceId) -> Result<Vec<(WorkspaceId, i64)>, DbError> {
    let rows = conn.query(
        "/* workspace_subtree */ WITH RECURSIVE down(id, depth) AS (\
         SELECT id, CAST(0 AS BIGINT) FROM workspaces WHERE id = $1 AND status <> 'removed' \
         UNION ALL SELECT w.id, down.depth + 1 FROM workspaces w JOIN down ON w.parent_id = down.id WHERE w.status <> 'removed' AND down.depth < 40) \
         SELECT id, depth FROM down ORDER BY depth, id",
        params![of.to_string().as_str()],
    )?;
    rows.iter().map(|row| Ok((id(row.text(0)?)?, row.int(1)?))).collect()
}

/// Workspaces that would notice a change of the organisation-wide `key`: those without an own active value.
pub(crate) fn inheritors(conn: &mut Conn, key: &str) -> Result<Vec<WorkspaceId>, DbError> {
    let rows = conn.query(
        "/* workspace_inheritors */ SELECT w.id FROM workspaces w WHERE w.status <> 'removed' AND NOT EXISTS (\
         SELECT 1 FROM secrets s WHERE s.scope = w.id AND s.key = $1 AND s.state = 'live' AND s.active IS NOT NULL) ORDER BY w.id",
        params![key],
    )?;
    rows.iter().map(|row| id(row.text(0)?)).collect()
}

/// How many there are that are not removed.
pub(crate) fn count(conn: &mut Conn) -> Result<i64, DbError> {
    let row = conn.query_opt("/* workspace_count */ SELECT COUNT(*) FROM workspaces WHERE status <> 'removed'", &[])?;
    word(row, "workspaces count")?.int(0)
}

/// How many this principal created since `since`.
pub(crate) fn created_since(conn: &mut Conn, by: &str, since: i64) -> Result<i64, DbError> {
    let row = conn.query_opt(
        "/* workspace_created_since */ SELECT COUNT(*) FROM workspaces WHERE created_by = $1 AND created_at > $2",
        params![by, since],
    )?;
    word(row, "workspaces count")?.int(0)
}

/// A new workspace.
pub(crate) struct NewWorkspace<'a> {
    pub(crate) id: WorkspaceId,
    pub(crate) name: &'a str,
    pub(crate) role: Option<&'a str>,
    pub(crate) kind: Kind,
    pub(crate) parent: Option<WorkspaceId>,
    pub(crate) runtime: Option<&'a Runtime>,
}

pub(crate) fn insert(w: &mut Writing<'_, '_>, new: &NewWorkspace<'_>) -> Result<(), DbError> {
    let (now, by, audit_id) = (w.now().0, w.by(), w.because());
    let parent = new.parent.map(|id| id.to_string());
    let runtime = new.runtime.map(runtime_text).transpose()?;
    w.conn().execute(
        "/* workspace_insert */ INSERT INTO workspaces (id, name, role, kind, parent_id, runtime, status, desired_state, \
         desired_generation, observed_generation, created_at, created_by, updated_at, audit_id) \
         VALUES ($1, $2, $3, $4, $5, $6, 'provisioning', 'running', 1, 0, $7, $8, $7, $9)",
        params![
            new.id.to_string().as_str(),
            new.name,
            new.role,
            new.kind.as_str(),
            parent.as_deref(),
            runtime.as_deref(),
            now,
            by.as_str(),
            audit_id
        ],
    )?;
    Ok(())
}

/// New settings; `None` leaves one as it is.
pub(crate) struct Settings<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) role: Option<&'a str>,
    pub(crate) parent: Option<WorkspaceId>,
    pub(crate) runtime: Option<&'a Runtime>,
}

pub(crate) fn update(w: &mut Writing<'_, '_>, id: WorkspaceId, new: &Settings<'_>) -> Result<(), DbError> {
    let (now, audit_id) = (w.now().0, w.because());
    let parent = new.parent.map(|id| id.to_string());
    let runtime = new.runtime.map(runtime_text).transpose()?;
    w.conn().execute(
        "/* workspace_update */ UPDATE workspaces SET name = COALESCE($2, name), role = COALESCE($3, role), \
         parent_id = COALESCE($4, parent_id), runtime = COALESCE($5, runtime), updated_at = $6, audit_id = $7 WHERE id = $1",
        params![id.to_string().as_str(), new.name, new.role, parent.as_deref(), runtime.as_deref(), now, audit_id],
    )?;
    Ok(())
}

/// Sets desired state and status together.
pub(crate) fn set_state(
    w: &mut Writing<'_, '_>,
    id: WorkspaceId,
    desired: Desired,
    status: Status,
) -> Result<(), DbError> {
    let (now, audit_id) = (w.now().0, w.because());
    w.conn().execute(
        "/* workspace_set_state */ UPDATE workspaces SET desired_state = $2, status = $3, status_reason = '', updated_at = $4, audit_id = $5 WHERE id = $1",
        params![id.to_string().as_str(), desired.as_str(), status.as_str(), now, audit_id],
    )?;
    Ok(())
}

/// Raises the desired generation of the workspace a consequence concerns and commits the intent. Called by the gate for
/// every declared consequence and by nothing else: what policy did not see, no restart follows.
pub(crate) fn intend(w: &mut Writing<'_, '_>, consequence: &Consequence) -> Result<(), DbError> {
    let effect = match consequence {
        Consequence::Interrupts { .. } => "interrupts",
        Consequence::Reconfigures { .. } => "reconfigures",
        Consequence::Destroys { .. } => "destroys",
        Consequence::Grants { .. } | Consequence::Releases { .. } => return Ok(()),
    };
    let Some(workspace) = consequence.workspace() else { return Ok(()) };
    let (now, audit_id, id) = (w.now().0, w.because(), workspace.to_string());
    // An agent that changes something of its own must not reset what counts its crashes.
    let forgiven = (w.by() != Principal::Agent(workspace).to_string()).then_some(now);
    w.conn().send(
        "/* workspace_raise */ UPDATE workspaces SET desired_generation = desired_generation + 1, updated_at = $2, \
         crashes_since = COALESCE($3, crashes_since) WHERE id = $1",
        params![id.as_str(), now, forgiven],
    )?;
    w.cx().head.intent_id += 1;
    let intent = w.cx().head.intent_id;
    // Without such a workspace there is no generation, which the schema does not allow.
    w.conn().send(
        "/* intent_insert */ INSERT INTO intents (id, workspace_id, generation, effect, audit_id, created_at) \
         VALUES ($1, $2, (SELECT desired_generation FROM workspaces WHERE id = $2), $3, $4, $5)",
        params![intent, id.as_str(), effect, audit_id, now],
    )
}

/// Lets the root, or any workspace, be restarted for everything up to the intent that this deed is about to leave.
pub(crate) fn allow_restart(w: &mut Writing<'_, '_>, id: WorkspaceId) -> Result<(), DbError> {
    w.conn().execute(
        "/* workspace_apply */ UPDATE workspaces SET apply_generation = desired_generation + 1 WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    Ok(())
}

/// Marks the live run to be stopped at once.
pub(crate) fn force(w: &mut Writing<'_, '_>, id: WorkspaceId, boot: BootId) -> Result<(), DbError> {
    w.conn().execute(
        "/* workspace_force */ UPDATE workspaces SET force_boot = $2 WHERE id = $1",
        params![id.to_string().as_str(), boot.to_string().as_str()],
    )?;
    Ok(())
}

/// A workspace in whatever state, the removed ones too.
pub(crate) fn find_any(conn: &mut Conn, id: WorkspaceId) -> Result<Option<WorkspaceRow>, DbError> {
    let row = conn.query_opt(
        "/* workspace_find_any */ SELECT id, name, role, kind, parent_id, runtime, status, desired_state, desired_generation, \
         observed_generation, created_at, updated_at, status_reason, apply_generation, drain_since, force_boot, asked_approval, slot FROM workspaces WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    row.as_ref().map(read).transpose()
}
