//! The audit log. Rows are inserted and read; no statement updates or deletes one.

use portcullis_kernel::{
    audit::{Entry, Event, Hash, Outcome},
    time::Timestamp,
};

use super::word;
use crate::{
    db::{Conn, DbError, Row},
    params,
};

pub(crate) fn insert(conn: &mut Conn, seq: i64, e: &Event, prev: &Hash, hash: &Hash) -> Result<(), DbError> {
    conn.send(
        "/* audit_insert */ INSERT INTO audit (seq, at_ms, event, outcome, request_id, subject_kind, subject_id, lineage, verb, \
         target_kind, target_id, workspace_id, key, rule, code, reason, issue, approval_id, consequences, detail, prev_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)",
        params![
            seq,
            e.at_ms.0,
            e.event.as_str(),
            e.outcome.as_str(),
            e.request_id.as_str(),
            e.subject_kind.as_str(),
            e.subject_id.as_str(),
            e.lineage.as_str(),
            e.verb.as_str(),
            e.target_kind.as_str(),
            e.target_id.as_str(),
            e.workspace_id.as_deref(),
            e.key.as_deref(),
            e.rule.as_str(),
            e.code.as_deref(),
            e.reason.as_deref(),
            e.issue.as_deref(),
            e.approval_id.as_deref(),
            e.consequences.as_str(),
            e.detail.as_str(),
            prev.as_slice(),
            hash.as_slice(),
        ],
    )
}

/// Every entry after a position, in order. The verifier and the export read the same statement.
pub(crate) const EACH_AFTER: &str = "/* audit_each */ SELECT seq, at_ms, event, outcome, request_id, subject_kind, subject_id, lineage, \
     verb, target_kind, target_id, workspace_id, key, rule, code, reason, issue, approval_id, consequences, detail, prev_hash, hash \
     FROM audit WHERE seq > $1 AND seq <= $2 ORDER BY seq";

/// Position of the last entry; 0 for an empty log.
pub(crate) fn last_seq(conn: &mut Conn) -> Result<i64, DbError> {
    let row = conn.query_opt("/* audit_last */ SELECT MAX(seq) FROM audit", &[])?;
    Ok(row.map_or(Ok(None), |row| row.opt_int(0))?.unwrap_or(0))
}

/// The hash that is stored at a position.
pub(crate) fn hash_at(conn: &mut Conn, seq: i64) -> Result<Option<Hash>, DbError> {
    let row = conn.query_opt("/* audit_hash_at */ SELECT hash FROM audit WHERE seq = $1", params![seq])?;
    Ok(row.and_then(|row| row.bytes(0).ok().and_then(|bytes| bytes.try_into().ok())))
}

pub(crate) fn entry(row: &Row) -> Result<Entry, DbError> {
    let own = |i| row.text(i).map(str::to_owned);
    let opt = |i| row.opt_text(i).map(|text| text.map(str::to_owned));
    let hash = |i| row.bytes(i)?.try_into().map_err(|_| DbError::Shape("audit hash is not 32 bytes".into()));
    Ok(Entry {
        seq: row.int(0)?,
        event: Event {
            at_ms: Timestamp(row.int(1)?),
            event: own(2)?,
            outcome: word(Outcome::parse(row.text(3)?), "audit.outcome")?,
            request_id: own(4)?,
            subject_kind: own(5)?,
            subject_id: own(6)?,
            lineage: own(7)?,
            verb: own(8)?,
            target_kind: own(9)?,
            target_id: own(10)?,
            workspace_id: opt(11)?,
            key: opt(12)?,
            rule: own(13)?,
            code: opt(14)?,
            reason: opt(15)?,
            issue: opt(16)?,
            approval_id: opt(17)?,
            consequences: own(18)?,
            detail: own(19)?,
        },
        prev_hash: hash(20)?,
        hash: hash(21)?,
    })
}

/// What a search asks for; `None` does not restrict.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Principal id.
    pub subject: Option<String>,
    /// Workspace id.
    pub workspace_id: Option<String>,
    /// Secret key.
    pub key: Option<String>,
    /// Refusal code.
    pub code: Option<String>,
    /// Event name.
    pub event: Option<String>,
    /// Approval id.
    pub approval_id: Option<String>,
    /// Request id.
    pub request_id: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
    /// A text that is somewhere in the entry, in whichever case.
    pub text: Option<String>,
    /// From this time on.
    pub from_ms: Option<i64>,
    /// Before this time.
    pub to_ms: Option<i64>,
    /// Cursor: after this position (ascending), or before it (descending).
    pub after: Option<i64>,
    /// Newest first.
    pub descending: bool,
    /// At most this many.
    pub limit: i64,
}

const ASCENDING: &str = "/* audit_search */ SELECT seq, at_ms, event, outcome, request_id, subject_kind, subject_id, lineage, verb, \
     target_kind, target_id, workspace_id, key, rule, code, reason, issue, approval_id, consequences, detail, prev_hash, hash FROM audit \
     WHERE (CAST($1 AS TEXT) IS NULL OR subject_id = $1) AND (CAST($2 AS TEXT) IS NULL OR workspace_id = $2) \
     AND (CAST($3 AS TEXT) IS NULL OR key = $3) AND (CAST($4 AS TEXT) IS NULL OR code = $4) \
     AND (CAST($5 AS TEXT) IS NULL OR event = $5) AND (CAST($6 AS TEXT) IS NULL OR approval_id = $6) \
     AND (CAST($7 AS TEXT) IS NULL OR request_id = $7) AND at_ms >= $8 AND at_ms < $9 AND seq > $10 \
     AND (CAST($12 AS TEXT) IS NULL OR outcome = $12) AND (CAST($13 AS TEXT) IS NULL OR LOWER(event || '\n' || verb || '\n' || rule || '\n' || \
     COALESCE(code, '') || '\n' || COALESCE(reason, '') || '\n' || COALESCE(key, '') || '\n' || subject_id || '\n' || target_id || '\n' || \
     COALESCE(workspace_id, '') || '\n' || COALESCE(approval_id, '') || '\n' || request_id || '\n' || detail) \
     LIKE LOWER(CAST($13 AS TEXT)) ESCAPE '!') ORDER BY seq LIMIT $11";

const DESCENDING: &str = "/* audit_search_newest */ SELECT seq, at_ms, event, outcome, request_id, subject_kind, subject_id, lineage, verb, \
     target_kind, target_id, workspace_id, key, rule, code, reason, issue, approval_id, consequences, detail, prev_hash, hash FROM audit \
     WHERE (CAST($1 AS TEXT) IS NULL OR subject_id = $1) AND (CAST($2 AS TEXT) IS NULL OR workspace_id = $2) \
     AND (CAST($3 AS TEXT) IS NULL OR key = $3) AND (CAST($4 AS TEXT) IS NULL OR code = $4) \
     AND (CAST($5 AS TEXT) IS NULL OR event = $5) AND (CAST($6 AS TEXT) IS NULL OR approval_id = $6) \
     AND (CAST($7 AS TEXT) IS NULL OR request_id = $7) AND at_ms >= $8 AND at_ms < $9 AND seq < $10 \
     AND (CAST($12 AS TEXT) IS NULL OR outcome = $12) AND (CAST($13 AS TEXT) IS NULL OR LOWER(event || '\n' || verb || '\n' || rule || '\n' || \
     COALESCE(code, '') || '\n' || COALESCE(reason, '') || '\n' || COALESCE(key, '') || '\n' || subject_id || '\n' || target_id || '\n' || \
     COALESCE(workspace_id, '') || '\n' || COALESCE(approval_id, '') || '\n' || request_id || '\n' || detail) \
     LIKE LOWER(CAST($13 AS TEXT)) ESCAPE '!') ORDER BY seq DESC LIMIT $11";

/// Matches what has this text somewhere: nothing in it stands for anything else.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// One entry.
pub(crate) fn at(conn: &mut Conn, seq: i64) -> Result<Option<Entry>, DbError> {
    let mut rows = conn.query(EACH_AFTER, params![seq.saturating_sub(1), seq])?;
    rows.pop().as_ref().map(entry).transpose()
}

pub(crate) fn search(conn: &mut Conn, s: &Search) -> Result<Vec<Entry>, DbError> {
    let sql = if s.descending { DESCENDING } else { ASCENDING };
    let cursor = s.after.unwrap_or(if s.descending { i64::MAX } else { 0 });
    let rows = conn.query(
        sql,
        params![
            s.subject.as_deref(),
            s.workspace_id.as_deref(),
            s.key.as_deref(),
            s.code.as_deref(),
            s.event.as_deref(),
            s.approval_id.as_deref(),
            s.request_id.as_deref(),
            s.from_ms.unwrap_or(0),
            s.to_ms.unwrap_or(i64::MAX),
            cursor,
            s.limit,
            s.outcome.as_deref(),
            s.text.as_deref().map(pattern).as_deref(),
        ],
    )?;
    rows.iter().map(entry).collect()
}

/// The stored head: size, hash and signed note.
pub(crate) fn head(conn: &mut Conn) -> Result<Option<(i64, Vec<u8>, String)>, DbError> {
    match conn.query_opt("/* audit_head */ SELECT size, hash, note FROM audit_head WHERE id = 1", &[])? {
        Some(row) => Ok(Some((row.int(0)?, row.bytes(1)?.to_vec(), row.text(2)?.to_owned()))),
        None => Ok(None),
    }
}

/// All kept checkpoints, oldest first.
pub(crate) fn checkpoints(conn: &mut Conn) -> Result<Vec<String>, DbError> {
    let rows = conn.query("/* checkpoint_list */ SELECT note FROM checkpoints ORDER BY size", &[])?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Size of the newest kept checkpoint.
pub(crate) fn kept_size(conn: &mut Conn) -> Result<i64, DbError> {
    let row = conn.query_opt("/* checkpoint_newest */ SELECT MAX(size) FROM checkpoints", &[])?;
    row.map_or(Ok(0), |row| Ok(row.opt_int(0)?.unwrap_or(0)))
}
