//! What the supervisor asks of the rows of workspaces: who needs a look, and what it has seen.

use portcullis_kernel::{
    id::{ApprovalId, WorkspaceId},
    time::Timestamp,
    workspace::Status,
};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    ownership::Seat,
    params,
};

fn ids(rows: &[Row]) -> Result<Vec<WorkspaceId>, DbError> {
    rows.iter().map(|row| word(row.text(0)?.parse().ok(), "workspaces.id")).collect()
}

/// Workspaces of a server whose agent it runs, or that have a run which has not ended.
pub(crate) fn all(conn: &mut Conn, seat: Seat) -> Result<Vec<WorkspaceId>, DbError> {
    let rows = conn.query(
        "/* unit_all */ SELECT id FROM workspaces WHERE owner = $1 AND owner_epoch = $2 \
         AND ((status <> 'removed' AND runtime IS NOT NULL AND runtime NOT LIKE '{\"kind\":\"external\"%') \
         OR id IN (SELECT workspace_id FROM runs WHERE state = 'live' AND kind <> 'external')) ORDER BY kind, created_at, id",
        params![seat.server.to_string().as_str(), seat.epoch],
    )?;
    ids(&rows)
}

/// A workspace where something is wanted that is not yet so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestlessUnit {
    /// Which.
    pub workspace: WorkspaceId,
    /// What is wanted, as a text to compare.
    pub wanted: String,
    /// This server supervises it.
    pub ours: bool,
}

/// First whoever it is about, by an index that holds workspaces with agents only: this is asked after every commit.
static RESTLESS: &str = "/* unit_restless */ SELECT w.id, w.desired_state, w.force_boot, r.boot_id, t.id, w.desired_generation, w.apply_generation, \
     w.drain_since, r.registered_at, CASE WHEN r.handoff IS NULL THEN 0 ELSE 1 END, w.owner, w.owner_epoch FROM (\
     SELECT a.id AS id FROM workspaces a WHERE a.runtime IS NOT NULL AND a.desired_state = 'running' AND a.status <> 'removed' \
     AND a.runtime NOT LIKE '{\"kind\":\"external\"%' AND NOT EXISTS (SELECT 1 FROM runs l WHERE l.workspace_id = a.id AND l.state = 'live') \
     UNION ALL SELECT b.id AS id FROM runs l JOIN workspaces b ON b.id = l.workspace_id WHERE l.state = 'live' AND l.kind <> 'external' \
     AND (b.desired_state <> 'running' OR l.generation < b.desired_generation OR b.drain_since IS NOT NULL OR b.force_boot = l.boot_id)) c \
     JOIN workspaces w ON w.id = c.id LEFT JOIN runs r ON r.workspace_id = w.id AND r.state = 'live' \
     LEFT JOIN turns t ON t.workspace_id = w.id AND t.state = 'running' ORDER BY w.kind, w.created_at, w.id";

/// Workspaces of all servers where something is wanted that is not yet so, and what that is, as a text: what to look at after a commit,
/// unless nothing of it has changed since it was looked at.
pub(crate) fn restless(conn: &mut Conn, seat: Option<Seat>) -> Result<Vec<RestlessUnit>, DbError> {
    let seat = seat.map(|seat| (seat.server.to_string(), seat.epoch));
    let rows = conn.query(RESTLESS, &[])?;
    rows.iter()
        .map(|row| {
            let mut stamp = String::new();
            for text in 1..5 {
                stamp.push_str(row.opt_text(text)?.unwrap_or_default());
                stamp.push('/');
            }
            for number in 5..10 {
                stamp.push_str(&row.opt_int(number)?.unwrap_or_default().to_string());
                stamp.push('/');
            }
            let owner = row.opt_text(10)?.map(str::to_owned).zip(Some(row.int(11)?));
            Ok(RestlessUnit {
                workspace: word(row.text(0)?.parse().ok(), "workspaces.id")?,
                wanted: stamp,
                ours: owner.is_some() && owner == seat,
            })
        })
        .collect()
}

/// Workspaces whose agent has something to be told: a message waits and no turn runs, or its bundle is another.
pub(crate) fn deliverable(conn: &mut Conn) -> Result<Vec<WorkspaceId>, DbError> {
    let rows = conn.query(
        "/* unit_deliverable */ SELECT DISTINCT m.workspace_id FROM messages m WHERE m.state = 'queued' \
         AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.workspace_id = m.workspace_id AND t.state = 'running') \
         UNION SELECT w.id FROM workspaces w JOIN runs r ON r.workspace_id = w.id AND r.state = 'live' AND r.kind = 'external' \
         WHERE r.generation < w.desired_generation",
        &[],
    )?;
    ids(&rows)
}

/// Sets what a workspace is seen to be. False when the row says so already.
pub(crate) fn set_status(
    conn: &mut Conn,
    id: WorkspaceId,
    status: Status,
    reason: &str,
    now: i64,
) -> Result<bool, DbError> {
    let rows = conn.execute(
        "/* unit_status */ UPDATE workspaces SET status = $2, status_reason = $3, updated_at = $4 \
         WHERE id = $1 AND status <> 'removed' AND (status <> $2 OR status_reason <> $3)",
        params![id.to_string().as_str(), status.as_str(), reason, now],
    )?;
    Ok(rows == 1)
}

/// Its agent runs what this generation wants.
pub(crate) fn observe(conn: &mut Conn, id: WorkspaceId, generation: i64) -> Result<(), DbError> {
    conn.execute(
        "/* unit_observe */ UPDATE workspaces SET observed_generation = $2 WHERE id = $1 AND observed_generation < $2",
        params![id.to_string().as_str(), generation],
    )?;
    Ok(())
}

/// Stops, or goes on with, the delivery of messages.
pub(crate) fn set_drain(conn: &mut Conn, id: WorkspaceId, since: Option<Timestamp>) -> Result<(), DbError> {
    conn.execute(
        "/* unit_drain */ UPDATE workspaces SET drain_since = $2 WHERE id = $1",
        params![id.to_string().as_str(), since.map(|at| at.0)],
    )?;
    Ok(())
}

/// Remembers the question that was put before a human, or that it is settled.
pub(crate) fn set_asked(conn: &mut Conn, id: WorkspaceId, approval: Option<ApprovalId>) -> Result<(), DbError> {
    let approval = approval.map(|id| id.to_string());
    conn.execute(
        "/* unit_asked */ UPDATE workspaces SET asked_approval = $2 WHERE id = $1",
        params![id.to_string().as_str(), approval.as_deref()],
    )?;
    Ok(())
}

/// Gives a workspace its number, if it has none.
pub(crate) fn slot(conn: &mut Conn, id: WorkspaceId) -> Result<i64, DbError> {
    conn.execute(
        "/* unit_slot */ UPDATE workspaces SET slot = (SELECT COALESCE(MAX(slot), 0) + 1 FROM workspaces) WHERE id = $1 AND slot IS NULL",
        params![id.to_string().as_str()],
    )?;
    let row = conn.query_opt(
        "/* unit_slot_read */ SELECT slot FROM workspaces WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    word(row, "workspaces.slot")?.int(0)
}

/// Keeps what an agent said of itself.
pub(crate) fn set_card(conn: &mut Conn, id: WorkspaceId, card: &str) -> Result<(), DbError> {
    conn.execute(
        "/* unit_card */ UPDATE workspaces SET agent_card = $2 WHERE id = $1",
        params![id.to_string().as_str(), card],
    )?;
    Ok(())
}

/// What an agent said of itself.
pub(crate) fn card(conn: &mut Conn, id: WorkspaceId) -> Result<Option<String>, DbError> {
    let row = conn.query_opt(
        "/* unit_card_read */ SELECT agent_card FROM workspaces WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    row.map_or(Ok(None), |row| Ok(row.opt_text(0)?.map(str::to_owned)))
}

/// Whether a restart was asked for by name, or the program changed, between two generations.
pub(crate) fn restart_asked(conn: &mut Conn, id: WorkspaceId, after: i64, upto: i64) -> Result<bool, DbError> {
    let row = conn.query_opt(
        "/* unit_restart_asked */ SELECT COUNT(*) FROM intents WHERE workspace_id = $1 AND generation > $2 AND generation <= $3 AND effect = 'interrupts'",
        params![id.to_string().as_str(), after, upto],
    )?;
    Ok(word(row, "intents count")?.int(0)? > 0)
}

/// External workspaces of a server with a run: what the clock alone can change.
pub(crate) fn external(conn: &mut Conn, seat: Seat) -> Result<Vec<WorkspaceId>, DbError> {
    let rows = conn.query(
        "/* unit_external */ SELECT r.workspace_id FROM runs r JOIN workspaces w ON w.id = r.workspace_id \
         WHERE r.state = 'live' AND r.kind = 'external' AND w.owner = $1 AND w.owner_epoch = $2 ORDER BY r.workspace_id",
        params![seat.server.to_string().as_str(), seat.epoch],
    )?;
    ids(&rows)
}

/// The parent of a workspace, if it has one.
pub(crate) fn parent(conn: &mut Conn, id: WorkspaceId) -> Result<Option<WorkspaceId>, DbError> {
    let row = conn.query_opt(
        "/* unit_parent */ SELECT parent_id FROM workspaces WHERE id = $1",
        params![id.to_string().as_str()],
    )?;
    let Some(row) = row else { return Ok(None) };
    row.opt_text(0)?.map(|id| word(id.parse().ok(), "workspaces.parent_id")).transpose()
}

#[cfg(test)]
mod tests {
    use super::RESTLESS;
    use crate::db::{MIGRATIONS, migrate, testkit::TestDb};

    #[test]
    fn the_look_after_every_commit_reads_no_workspace_without_an_agent() {
        let db = TestDb::sqlite();
        db.with(|conn| {
            migrate(conn, MIGRATIONS, 0).unwrap();
            let explained: &'static str = Box::leak(format!("EXPLAIN QUERY PLAN {RESTLESS}").into_boxed_str());
            let plan = conn.query(explained, &[])?;
            let steps: Vec<String> = plan.iter().map(|row| row.text(3).unwrap().to_owned()).collect();
            let scans = |step: &&String| step.starts_with("SCAN") && !step.starts_with("SCAN c");
            let scanned: Vec<&String> = steps.iter().filter(scans).collect();
            let fine =
                |step: &&String| step.contains("USING INDEX workspaces_agents") || step.contains("INDEX runs_one_live");
            assert!(!scanned.is_empty() && scanned.iter().all(fine), "{steps:#?}");
            Ok(())
        });
    }
}
