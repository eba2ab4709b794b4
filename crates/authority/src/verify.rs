//! Verifying a log, live or exported, offline and without secrets: entries, links, checkpoints and their signatures.

use std::{
    io::BufRead,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

use portcullis_kernel::{
    audit::{Broken, Entry, FieldHasher, Hash, Walk},
    checkpoint::{UnverifiedNote, VerifierKey},
};
use serde::{Deserialize, Serialize};

use crate::{
    core::Keys,
    db::{Conn, DbError, Role, Row, Target, off_runtime},
    params,
    refusal::Refusal,
    tables::{audit, meta},
    vault,
};

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Entries walked.
    pub entries: i64,
    /// Hex of the last hash.
    pub head: String,
    /// Signed checkpoints that fit.
    pub checkpoints: usize,
    /// The key they are signed by, as a note verifier key.
    pub key: String,
}

/// Why a log does not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log is broken; the first bad entry is named.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The log could not be read at all.
    #[error("the log cannot be read: {0}")]
    Unreadable(String),
    /// The database did not answer, which says nothing of the log.
    #[error("the log cannot be read: {0}")]
    Store(DbError),
    /// The key that was pinned is not the log's.
    #[error("the log is signed by another key than the one given")]
    OtherKey,
}

impl From<DbError> for VerifyError {
    fn from(error: DbError) -> Self {
        Self::Store(error)
    }
}

impl VerifyError {
    /// The first entry that is not as it was written, where one can be named.
    /// What is wrong with the log, in words of our own; the error of a store that did not answer.
    fn problem(&self) -> Result<String, DbError> {
        match self {
            Self::Broken(Broken::Unreadable { seq, .. }) => Ok(format!("entry {seq} cannot be read")),
            Self::Store(DbError::Shape(_)) => Ok("the log cannot be read: it has not the shape of one".to_owned()),
            Self::Store(error) => Err(error.clone()),
            Self::Broken(_) | Self::Unreadable(_) | Self::OtherKey => Ok(self.to_string()),
        }
    }

    fn first_bad(&self) -> Option<i64> {
        match *self {
            Self::Broken(Broken::Gap { expected, .. }) => Some(expected),
            Self::Broken(Broken::Link { seq } | Broken::Content { seq } | Broken::Unreadable { seq, .. }) => Some(seq),
            Self::Broken(Broken::Tail { size, .. }) => Some(size.saturating_add(1)),
            Self::Broken(Broken::Checkpoint { size }) => Some(size),
            Self::Broken(Broken::Signature { .. }) | Self::Unreadable(_) | Self::Store(_) | Self::OtherKey => None,
        }
    }
}

/// What became of looking at the whole log of a server that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It is whole.
    Sound {
        /// What was walked.
        verified: Verified,
        /// The last hash that was walked to, signed: what to keep elsewhere.
        checkpoint: String,
    },
    /// It is not.
    Unsound {
        /// What is wrong, in words.
        problem: String,
        /// The first bad entry, where one can be named.
        first_bad: Option<i64>,
    },
}

/// Verifies the log of a running server against the key it signs with. A store that is busy or away is no verdict. Blocks.
pub(crate) fn check(target: &Target, keys: &Keys) -> Result<Checked, Refusal> {
    let pins = Pins { key: Some(keys.verifier.clone()), checkpoints: Vec::new() };
    let walked = off_runtime(|| {
        let verified = verify_database(target, &pins, &mut |_| {})?;
        let unreadable = || VerifyError::Unreadable("its last hash".to_owned());
        let hash = portcullis_kernel::audit::hex::decode(&verified.head).ok_or_else(unreadable)?;
        let checkpoint = crate::chain::signed(keys, verified.entries, &hash);
        Ok::<_, VerifyError>((verified, checkpoint))
    });
    match walked {
        Ok((verified, checkpoint)) => Ok(Checked::Sound { verified, checkpoint }),
        Err(error) => Ok(Checked::Unsound { first_bad: error.first_bad(), problem: error.problem()? }),
    }
}

/// What a verifier brings along from outside; without it the log vouches for itself.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    /// The log's key, as it was once noted down.
    pub key: Option<VerifierKey>,
    /// Checkpoints that were saved elsewhere.
    pub checkpoints: Vec<String>,
}

/// Checkpoints against a walk: each must be signed, each must name a hash the walk has passed.
struct Marks {
    key: VerifierKey,
    /// By size, the smallest last.
    due: Vec<(i64, Hash)>,
    fitted: usize,
}

impl Marks {
    fn new(key: VerifierKey, notes: &[String]) -> Result<Self, VerifyError> {
        let mut due = Vec::with_capacity(notes.len());
        for text in notes {
            let note = UnverifiedNote::parse(text)
                .ok_or_else(|| VerifyError::Unreadable("a checkpoint is not a signed note".into()))?;
            let size = note.checkpoint.size;
            if !note.is_signed_by(&key, vault::verify) {
                return Err(Broken::Signature { size }.into());
            }
            due.push((size, note.checkpoint.hash));
        }
        due.sort_unstable_by_key(|(size, _)| std::cmp::Reverse(*size));
        Ok(Self { key, due, fitted: 0 })
    }

    /// The checkpoints up to `end`, for the segment that passes them.
    fn take_until(&mut self, end: i64) -> Self {
        let from = self.due.partition_point(|(size, _)| *size > end);
        Self { key: self.key.clone(), due: self.due.split_off(from), fitted: 0 }
    }

    fn pass(&mut self, walk: &Walk) -> Result<(), Broken> {
        while let Some((size, hash)) = self.due.last().copied().filter(|(size, _)| *size <= walk.seq) {
            if size == walk.seq && hash != walk.hash {
                return Err(Broken::Checkpoint { size });
            }
            self.due.pop();
            self.fitted += 1;
        }
        Ok(())
    }

    fn finish(self, walk: &Walk) -> Result<Verified, Broken> {
        if let Some((signed, _)) = self.due.first() {
            return Err(Broken::Tail { size: walk.seq, signed: *signed });
        }
        Ok(Verified {
            entries: walk.seq,
            head: portcullis_kernel::audit::hex::encode(&walk.hash),
            checkpoints: self.fitted,
            key: self.key.to_text(),
        })
    }
}

fn choose_key(pinned: Option<&VerifierKey>, own: Option<VerifierKey>) -> Result<VerifierKey, VerifyError> {
    match (pinned, own) {
        (Some(pinned), Some(own)) if *pinned != own => Err(VerifyError::OtherKey),
        (Some(pinned), _) => Ok(pinned.clone()),
        (None, Some(own)) => Ok(own),
        (None, None) => Err(VerifyError::Unreadable("it does not name its key; give it with --key".into())),
    }
}

/// Hash of a row as it stands in the database, column by column, without building an entry first.
fn row_hash(row: &Row, seq: i64, previous: &Hash) -> Result<Hash, DbError> {
    let mut hasher = FieldHasher::new(previous);
    hasher.number(seq);
    hasher.number(row.int(1)?);
    for i in 2..=10 {
        hasher.text(row.text(i)?);
    }
    hasher.optional(row.opt_text(11)?);
    hasher.optional(row.opt_text(12)?);
    hasher.text(row.text(13)?);
    for i in 14..=17 {
        hasher.optional(row.opt_text(i)?);
    }
    hasher.text(row.text(18)?);
    hasher.text(row.text(19)?);
    Ok(hasher.finish())
}

/// Threads that walk a long log at the same time.
const SEGMENTS_MAX: usize = 4;
/// Entries that are worth a thread of their own.
const SEGMENT_ENTRIES_MIN: i64 = 20_000;
/// Progress is told this often, in entries.
const PROGRESS_EVERY: i64 = 8_192;

/// Verifies the log of a database as it stands now, also while a server appends to it. `progress` is told how many
/// entries are done now and then.
pub fn verify_database(target: &Target, pins: &Pins, progress: &mut dyn FnMut(i64)) -> Result<Verified, VerifyError> {
    let mut conn = Conn::open(target, Role::Heavy)?;
    // One snapshot: the head must not be older than the entries it is compared with.
    conn.begin_snapshot()?;
    let own = meta::get(&mut conn, crate::authority::VERIFIER_KEY)?.and_then(|text| VerifierKey::parse(&text));
    let key = choose_key(pins.key.as_ref(), own)?;
    let mut notes = audit::checkpoints(&mut conn)?;
    let head = audit::head(&mut conn)?;
    notes.extend(head.iter().map(|(_, _, note)| note.clone()));
    notes.extend(pins.checkpoints.iter().cloned());
    let mut marks = Marks::new(key, &notes)?;
    let last = audit::last_seq(&mut conn)?;
    let walk = walk_database(target, &mut conn, &mut marks, last, progress)?;
    if let Some((size, hash, _)) = head {
        if size > walk.seq {
            return Err(Broken::Tail { size: walk.seq, signed: size }.into());
        }
        // The head is written in every commit, so nothing may stand behind it either.
        if size < walk.seq {
            return Err(Broken::Content { seq: size + 1 }.into());
        }
        if hash != walk.hash {
            return Err(Broken::Checkpoint { size }.into());
        }
    } else if walk.seq > 0 {
        return Err(VerifyError::Unreadable("the log has entries but no signed head".into()));
    }
    Ok(marks.finish(&walk)?)
}

/// Walks the whole log, in segments when it is long. A segment begins with the hash that is stored before it, and the
/// segment before must end with just that one, so together they are one walk from the start. The first complaint in the
/// order of the log is the one that is told.
fn walk_database(
    target: &Target,
    conn: &mut Conn,
    marks: &mut Marks,
    last: i64,
    progress: &mut dyn FnMut(i64),
) -> Result<Walk, VerifyError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(SEGMENTS_MAX) as i64;
    let count = threads.min(last / SEGMENT_ENTRIES_MIN).max(1);
    let mut starts = vec![Walk::default()];
    for n in 1..count {
        let cut = last / count * n;
        match audit::hash_at(conn, cut)? {
            Some(hash) => starts.push(Walk { seq: cut, hash }),
            // An entry is missing just there: the walk before will say so.
            None => break,
        }
    }
    let ends: Vec<i64> = starts.iter().skip(1).map(|start| start.seq).chain([last]).collect();
    let parts: Vec<Marks> = ends.iter().map(|end| marks.take_until(*end)).collect();
    let done = AtomicI64::new(0);
    let walked = std::thread::scope(|scope| {
        let mut segments: Vec<_> = starts.into_iter().zip(ends).zip(parts).collect();
        let rest = segments.split_off(1);
        let others: Vec<_> = rest
            .into_iter()
            .map(|((start, end), part)| {
                let done = &done;
                scope.spawn(move || {
                    let mut conn = Conn::open(target, Role::Heavy)?;
                    segment(&mut conn, start, end, part, done, &mut |_| {})
                })
            })
            .collect();
        let first = segments.pop().map(|((start, end), part)| segment(conn, start, end, part, &done, progress));
        let panicked = |_| Err(VerifyError::Store(DbError::Panicked));
        first
            .into_iter()
            .chain(others.into_iter().map(|other| other.join().unwrap_or_else(panicked)))
            .collect::<Vec<_>>()
    });
    let mut end = Walk::default();
    for segment in walked {
        let (walk, fitted) = segment?;
        marks.fitted += fitted;
        end = walk;
    }
    Ok(end)
}

/// Walks the entries after `walk` up to `end`; returns where it came to and how many checkpoints fitted.
fn segment(
    conn: &mut Conn,
    mut walk: Walk,
    end: i64,
    mut marks: Marks,
    done: &AtomicI64,
    progress: &mut dyn FnMut(i64),
) -> Result<(Walk, usize), VerifyError> {
    let mut broken = None;
    let read = conn.each(audit::EACH_AFTER, params![walk.seq, end], &mut |row| {
        let seq = row.int(0)?;
        let mut unreadable = None;
        let step = walk.step(seq, row.bytes(20)?, row.bytes(21)?, |previous| {
            row_hash(row, seq, previous).unwrap_or_else(|error| {
                unreadable = Some(error);
                [0xff; 32]
            })
        });
        if let Some(error) = unreadable {
            broken = Some(Broken::Unreadable { seq, problem: error.to_string() });
        } else if let Err(problem) = step.and_then(|()| marks.pass(&walk)) {
            broken = Some(problem);
        }
        if seq % PROGRESS_EVERY == 0 {
            progress(done.fetch_add(PROGRESS_EVERY, Relaxed) + PROGRESS_EVERY);
        }
        if broken.is_some() { Err(DbError::Shape("stop".into())) } else { Ok(()) }
    });
    if let Some(problem) = broken {
        return Err(problem.into());
    }
    read?;
    Ok((walk, marks.fitted))
}

/// A line of an export that is not an entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportMark {
    /// The log's key, in the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_key: Option<String>,
    /// A signed checkpoint, in the last line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The entry before the first one exported, when the export does not begin at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// Verifies an export. One that does not begin at the start proves its own links and what its checkpoint covers.
pub fn verify_export(lines: impl BufRead, pins: &Pins, progress: &mut dyn FnMut(i64)) -> Result<Verified, VerifyError> {
    let unreadable = |line: usize, what: &str| VerifyError::Unreadable(format!("line {line}: {what}"));
    let (mut own, mut notes, mut walk, mut after) = (None, Vec::new(), None::<Walk>, 0);
    // A checkpoint may come last and concern an entry before, so hashes at checkpoint sizes are looked up afterwards.
    let mut passed: Vec<(i64, Hash)> = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        let line = line.map_err(|error| unreadable(number + 1, &error.to_string()))?;
        if line.is_empty() {
            continue;
        }
        if !line.starts_with("{\"seq\"") {
            let mark: ExportMark = serde_json::from_str(&line).map_err(|_| unreadable(number + 1, "not an entry"))?;
            own = own.or_else(|| mark.verifier_key.as_deref().and_then(VerifierKey::parse));
            after = mark.after.unwrap_or(after);
            notes.extend(mark.checkpoint);
            continue;
        }
        let entry: Entry = serde_json::from_str(&line).map_err(|_| unreadable(number + 1, "not an entry"))?;
        let walk =
            walk.get_or_insert(if after == 0 { Walk::default() } else { Walk { seq: after, hash: entry.prev_hash } });
        walk.step(entry.seq, &entry.prev_hash, &entry.hash, |previous| entry.event.hash(entry.seq, previous))?;
        passed.push((walk.seq, walk.hash));
        if entry.seq % 8192 == 0 {
            progress(entry.seq);
        }
    }
    let key = choose_key(pins.key.as_ref(), own)?;
    notes.extend(pins.checkpoints.iter().cloned());
    let mut marks = Marks::new(key, &notes)?;
    let walk = walk.unwrap_or(Walk { seq: after, ..Walk::default() });
    marks.due.retain(|(size, _)| *size > after);
    for (seq, hash) in passed {
        marks.pass(&Walk { seq, hash })?;
    }
    Ok(marks.finish(&walk)?)
}

/// Whether the log's head is sound: the stored head is signed by our key, and the last entry has the hash it says.
pub(crate) fn head_is_sound(conn: &mut Conn, key: &VerifierKey) -> Result<bool, DbError> {
    let Some((size, hash, note)) = audit::head(conn)? else { return Ok(false) };
    let signed = UnverifiedNote::parse(&note).filter(|note| {
        note.checkpoint.size == size && note.checkpoint.hash.as_slice() == hash && note.is_signed_by(key, vault::verify)
    });
    let mut sound = false;
    conn.each(audit::EACH_AFTER, params![size - 1, i64::MAX], &mut |row| {
        let previous: Hash = row.bytes(20)?.try_into().map_err(|_| DbError::Shape("hash".into()))?;
        let own = row_hash(row, row.int(0)?, &previous)?;
        sound = row.int(0)? == size && own.as_slice() == hash && row.bytes(21)? == hash;
        Ok(())
    })?;
    Ok(sound && signed.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AdminToken, Authority, Config, Meta, Opening,
        authn::system_event,
        clock::Clock,
        db::testkit::{TestDb, databases},
    };

    /// A log long enough for several segments, on a machine with several cores.
    const ENTRIES: i64 = 3 * SEGMENT_ENTRIES_MIN + 7;

    fn long_log(db: &TestDb) {
        let (clock, _) = Clock::fixed(1_781_136_480_000);
        let authority = Authority::open(Opening {
            data_dir: &db.data_dir,
            database_url: db.url.as_deref(),
            root_key_file: None,
            admin_token: AdminToken::Untouched,
            config: Config::default(),
            clock,
        })
        .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for _ in 0..ENTRIES / 1_000 + 1 {
            let thousand = authority.write(Meta::default(), |cx| {
                for _ in 0..1_000 {
                    cx.record(&mut system_event(cx, "test.entry", "test"))?;
                }
                Ok(())
            });
            runtime.block_on(thousand).unwrap();
        }
    }

    fn verify(db: &TestDb) -> Result<Verified, String> {
        std::thread::scope(|scope| {
            let verified = scope.spawn(|| verify_database(&db.target, &Pins::default(), &mut |_| {}));
            verified.join().unwrap().map_err(|error| error.to_string())
        })
    }

    #[test]
    fn a_long_log_is_walked_in_segments_that_are_one_walk() {
        assert_eq!(VerifyError::from(DbError::Busy).problem(), Err(DbError::Busy), "busy is no verdict");
        for db in databases() {
            long_log(&db);
            let verified = verify(&db).unwrap();
            assert!(verified.entries > ENTRIES && verified.checkpoints > 50, "{verified:?}");
        }
    }

    #[test]
    fn the_first_bad_entry_is_named_wherever_it_is_and_also_at_a_cut() {
        // SQLite only: the walk is the same code, and what it is handed is tested on both engines elsewhere.
        let db = TestDb::sqlite();
        long_log(&db);
        let last = db.integer("SELECT MAX(seq) FROM audit");
        assert_eq!(last % 1_000, 1, "one entry of the first start, then thousands");
        // Two and three and four segments cut at halves, thirds and quarters.
        for (sql, undo, first_bad) in [
            ("UPDATE audit SET rule = 'x' WHERE seq = 5", "UPDATE audit SET rule = 'test' WHERE seq = 5", "5"),
            (
                "UPDATE audit SET rule = 'x' WHERE seq = 60000",
                "UPDATE audit SET rule = 'test' WHERE seq = 60000",
                "60000",
            ),
            (
                "UPDATE audit SET rule = 'x' WHERE seq IN (40000, 59000)",
                "UPDATE audit SET rule = 'test' WHERE seq IN (40000, 59000)",
                "40000",
            ),
        ] {
            db.run(sql);
            let error = verify(&db).unwrap_err();
            assert!(error.contains(first_bad), "{sql}: {error}");
            db.run(undo);
            verify(&db).unwrap();
        }
        let cuts = [2, 3, 4].map(|count| last / count);
        for cut in cuts {
            db.run(&format!("UPDATE audit SET hash = zeroblob(32) WHERE seq = {cut}"));
            let error = verify(&db).unwrap_err();
            assert!(error.contains(&cut.to_string()), "{cut}: {error}");
            db.run(&format!(
                "UPDATE audit SET hash = (SELECT prev_hash FROM audit WHERE seq = {cut} + 1) WHERE seq = {cut}"
            ));
            verify(&db).unwrap();
        }
        db.run(&format!("PRAGMA foreign_keys=OFF; DELETE FROM audit WHERE seq = {}", cuts[0]));
        let error = verify(&db).unwrap_err();
        assert!(error.contains(&cuts[0].to_string()), "{error}");
    }
}
