//! The audit chain's head, carried through a batch: read when the batch begins, advanced by every event, signed and
//! stored before the commit. There is one writer, so the head needs no row lock (a locked head row costs four times the
//! throughput, `docs/decisions/0003`).

use std::sync::Arc;

use portcullis_kernel::{
    audit::{Event, GENESIS, Hash},
    checkpoint::Checkpoint,
    time::Timestamp,
};

use crate::{
    core::{Core, Keys},
    db::{Batch, Conn, DbError},
    keyring, params, tables,
};

/// Where the log and the live events stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Position of the last audit event.
    pub size: i64,
    /// Its hash.
    pub hash: Hash,
    /// Id of the last live event.
    pub event_id: i64,
    /// Id of the last restart intent.
    pub intent_id: i64,
    /// Time of the last event; time in the log never goes backwards.
    pub at: Timestamp,
    began_at_size: i64,
    /// Keys there are, so that a rotation by another server is noticed.
    keys: i64,
}

impl Head {
    pub(crate) fn load(conn: &mut Conn) -> Result<Self, DbError> {
        let row = conn.query_opt(
            "/* audit_head_load */ SELECT (SELECT MAX(id) FROM events), (SELECT MAX(id) FROM intents), h.size, h.hash, a.at_ms, \
             (SELECT COUNT(*) FROM keys) \
              FROM (SELECT 1 AS id) one LEFT JOIN audit_head h ON h.id = one.id LEFT JOIN audit a ON a.seq = h.size",
            &[],
        )?;
        let row = row.ok_or_else(|| DbError::Shape("one row joined to nothing is none".into()))?;
        let hash = row.opt_bytes(3)?.map_or(Ok(GENESIS), |bytes| {
            bytes.try_into().map_err(|_| DbError::Shape("audit_head.hash is not 32 bytes".into()))
        })?;
        let number = |column| Ok::<_, DbError>(row.opt_int(column)?.unwrap_or(0));
        let (event_id, intent_id, size, at) = (number(0)?, number(1)?, number(2)?, Timestamp(number(4)?));
        Ok(Self { size, hash, event_id, intent_id, at, began_at_size: size, keys: number(5)? })
    }

    /// Appends an event to the log and to the live stream. Returns its position.
    pub(crate) fn append(&mut self, conn: &mut Conn, event: &mut Event) -> Result<i64, DbError> {
        event.at_ms = event.at_ms.max(self.at);
        let seq = self.size + 1;
        let hash = event.hash(seq, &self.hash);
        tables::audit::insert(conn, seq, event, &self.hash, &hash)?;
        self.event_id += 1;
        tables::events::insert(conn, self.event_id, seq, event)?;
        self.size = seq;
        self.hash = hash;
        self.at = event.at_ms;
        Ok(seq)
    }
}

/// Keep a checkpoint at least this often, in events…
const CHECKPOINT_EVERY: i64 = 1_000;

/// What the writer does around a batch.
pub(crate) struct ChainBatch {
    pub(crate) core: Arc<Core>,
    pub(crate) committed: tokio::sync::watch::Sender<i64>,
    pub(crate) kept_at_size: i64,
    /// Where the log stood when it was last seen here.
    pub(crate) seen: Option<(i64, Hash)>,
}

impl ChainBatch {
    /// Refuses a database that has forgotten what it had confirmed: a standby that was behind and took over, a backup
    /// put under the running server. Going on would be a second history, so that is for a human to decide.
    fn goes_on(&self, conn: &mut Conn, head: &Head) -> Result<(), DbError> {
        let Some((size, hash)) = self.seen.filter(|seen| *seen != (head.size, head.hash)) else { return Ok(()) };
        if head.size > size && tables::audit::hash_at(conn, size)? == Some(hash) {
            return Ok(());
        }
        Err(DbError::Unavailable(format!(
            "LOG_WENT_BACK: the database ends at entry {} and does not go on from entry {size}, which it had confirmed; \
             bring back the database that has it, or restart to decide for this one",
            head.size
        )))
    }
}

impl Batch for ChainBatch {
    type State = Head;

    fn begin(&mut self, conn: &mut Conn) -> Result<Head, DbError> {
        let head = Head::load(conn)?;
        self.goes_on(conn, &head)?;
        self.seen = Some((head.size, head.hash));
        if head.keys > self.core.keys().count {
            // Before any job: what is not committed is never used.
            let read = keyring::refresh(conn, &self.core);
            read.map_err(|error| DbError::Unavailable(format!("the keys cannot be read again: {error}")))?;
        }
        Ok(head)
    }

    fn before_commit(&mut self, conn: &mut Conn, head: &mut Head, _jobs: usize) -> Result<(), DbError> {
        if head.size == head.began_at_size {
            return Ok(());
        }
        let note = signed(&self.core.keys(), head.size, &head.hash);
        conn.send(
            "/* audit_head_store */ INSERT INTO audit_head (id, size, hash, note) VALUES (1, $1, $2, $3) \
             ON CONFLICT (id) DO UPDATE SET size = excluded.size, hash = excluded.hash, note = excluded.note",
            params![head.size, head.hash.as_slice(), note.as_str()],
        )?;
        if head.size - self.kept_at_size >= CHECKPOINT_EVERY || self.kept_at_size == 0 {
            conn.send(
                "/* checkpoint_keep */ INSERT INTO checkpoints (size, at_ms, note) VALUES ($1, $2, $3) ON CONFLICT (size) DO NOTHING",
                params![head.size, head.at.0, note.as_str()],
            )?;
            self.kept_at_size = head.size;
        }
        conn.tell_others(head.event_id)
    }

    fn after_commit(&mut self, head: Head) {
        self.seen = Some((head.size, head.hash));
        if head.size != head.began_at_size {
            // The signal carries a position so that a listener can tell whether it has anything to read.
            self.committed.send_replace(head.event_id);
        }
    }
}

/// A signed checkpoint of the chain at `size`.
pub(crate) fn signed(keys: &Keys, size: i64, hash: &Hash) -> String {
    let checkpoint = Checkpoint { origin: keys.verifier.name.clone(), size, hash: *hash };
    let signature = keys.signer.sign(checkpoint.body().as_bytes());
    checkpoint.note(&keys.verifier, &signature)
}
