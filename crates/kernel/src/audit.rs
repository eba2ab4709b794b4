//! The audit event and its place in the chain.
//!
//! `hash = SHA-256(tag ‖ previous hash ‖ fields)`, every field with its length in front, absent ones marked as absent, so
//! that no two different events have the same bytes. The fields *are* the stored columns: there is no second copy that
//! could say something else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// A link of the chain.
pub type Hash = [u8; 32];

/// What the first event's previous hash is.
pub const GENESIS: Hash = [0; 32];

const TAG: &[u8] = b"portcullis audit event v1\n";

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It happened.
    Done,
    /// It waits for humans.
    Held,
    /// We said no.
    Refused,
    /// It was allowed and could not be done; nothing was.
    Failed,
}

impl Outcome {
    /// The word in the log, and the last part of the event's name unless it is `done`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Held => "held",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Done, Self::Held, Self::Refused, Self::Failed].into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// One entry of the log, without its place in the chain. Names and ids only; never a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When.
    pub at_ms: Timestamp,
    /// `secret.set`, `secret.set.refused`, `approval.expired`, …
    pub event: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The attempt, as in the logs and the problem document.
    pub request_id: String,
    /// `operator`, `agent`, `service` or `system`.
    pub subject_kind: String,
    /// The principal's id.
    pub subject_id: String,
    /// The credential presented and those it was minted from, nearest first, separated by spaces.
    pub lineage: String,
    /// The verb.
    pub verb: String,
    /// `organisation`, `workspace`, `token` or `approval`.
    pub target_kind: String,
    /// The target's id; empty for the organisation.
    pub target_id: String,
    /// The workspace concerned, if one is.
    pub workspace_id: Option<String>,
    /// The secret's key, if there is one.
    pub key: Option<String>,
    /// The rule that decided.
    pub rule: String,
    /// The refusal code.
    pub code: Option<String>,
    /// Machine-readable reason.
    pub reason: Option<String>,
    /// The incident the rule comes from.
    pub issue: Option<String>,
    /// The approval it waits for, spends or decides.
    pub approval_id: Option<String>,
    /// What it causes, as JSON.
    pub consequences: String,
    /// More names and ids, as JSON.
    pub detail: String,
}

impl Event {
    /// The event's hash after `previous`, at position `seq`.
    pub fn hash(&self, seq: i64, previous: &Hash) -> Hash {
        let mut hasher = FieldHasher::new(previous);
        hasher.number(seq);
        hasher.number(self.at_ms.0);
        for text in
            [&self.event, self.outcome.as_str(), &self.request_id, &self.subject_kind, &self.subject_id, &self.lineage]
        {
            hasher.text(text);
        }
        for text in [&self.verb, &self.target_kind, &self.target_id] {
            hasher.text(text);
        }
        hasher.optional(self.workspace_id.as_deref());
        hasher.optional(self.key.as_deref());
        hasher.text(&self.rule);
        for text in [&self.code, &self.reason, &self.issue, &self.approval_id] {
            hasher.optional(text.as_deref());
        }
        hasher.text(&self.consequences);
        hasher.text(&self.detail);
        hasher.finish()
    }
}

/// Hashes fields with their lengths. Public so that a verifier can hash columns as it reads them, without building an
/// [`Event`] first.
pub struct FieldHasher(Sha256);

impl FieldHasher {
    /// Starts after `previous`.
    pub fn new(previous: &Hash) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(TAG);
        hasher.update(previous);
        Self(hasher)
    }

    /// A number.
    pub fn number(&mut self, number: i64) {
        self.0.update([b'n']);
        self.0.update(number.to_be_bytes());
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.0.update([b't']);
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    /// A text or its absence.
    pub fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.0.update([b'-']),
        }
    }

    /// The hash.
    pub fn finish(self) -> Hash {
        self.0.finalize().into()
    }
}

/// An event in its place; one line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Position, from 1, without gaps.
    pub seq: i64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
    /// Hex of the previous entry's hash.
    #[serde(with = "hex")]
    pub prev_hash: Hash,
    /// Hex of this entry's hash.
    #[serde(with = "hex")]
    pub hash: Hash,
}

/// What is wrong with a log, at its first bad entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A position is missing, or comes twice.
    #[error("entry {expected} is missing: the log goes on with entry {found}")]
    Gap {
        /// The position that should have come.
        expected: i64,
        /// The one that came.
        found: i64,
    },
    /// An entry does not continue the one before it.
    #[error("entry {seq} does not continue entry {}: the previous hash differs", seq - 1)]
    Link {
        /// Where.
        seq: i64,
    },
    /// An entry's content does not have its hash.
    #[error("entry {seq} was changed: its content does not have the hash it carries")]
    Content {
        /// Where.
        seq: i64,
    },
    /// The log ends before a signed checkpoint.
    #[error("the log ends at entry {size}, but a signed checkpoint covers {signed}: the tail is cut off")]
    Tail {
        /// Where it ends.
        size: i64,
        /// What was signed.
        signed: i64,
    },
    /// A checkpoint signs another history.
    #[error("the checkpoint at entry {size} signs another hash: the history before it was rewritten")]
    Checkpoint {
        /// The checkpoint's size.
        size: i64,
    },
    /// A checkpoint's signature is not by the log's key.
    #[error("the checkpoint at entry {size} is not signed by the log's key")]
    Signature {
        /// The checkpoint's size.
        size: i64,
    },
    /// The row cannot be read as an entry.
    #[error("entry {seq} cannot be read: {problem}")]
    Unreadable {
        /// Where.
        seq: i64,
        /// Why.
        problem: String,
    },
}

/// Walks a chain entry by entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// Position of the last good entry; 0 before the first.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
}

impl Default for Walk {
    fn default() -> Self {
        Self { seq: 0, hash: GENESIS }
    }
}

impl Walk {
    /// Takes the next entry: its position, the hashes it carries, and the hash its content has after `self.hash`.
    pub fn step(
        &mut self,
        seq: i64,
        prev_hash: &[u8],
        hash: &[u8],
        content: impl FnOnce(&Hash) -> Hash,
    ) -> Result<(), Broken> {
        if seq != self.seq + 1 {
            return Err(Broken::Gap { expected: self.seq + 1, found: seq });
        }
        if prev_hash != self.hash {
            return Err(Broken::Link { seq });
        }
        let own = content(&self.hash);
        if hash != own {
            return Err(Broken::Content { seq });
        }
        *self = Self { seq, hash: own };
        Ok(())
    }
}

/// Hex for hashes in JSON.
pub mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Hash;

    /// Lower-case hex.
    pub fn encode(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Exactly 32 bytes of hex, as [`encode`] writes it: one hash has one text.
    pub fn decode(text: &str) -> Option<Hash> {
        let mut hash = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(hash)
    }

    const fn nibble(digit: u8) -> Option<u8> {
        match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        }
    }

    /// For serde.
    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(hash))
    }

    /// For serde.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        decode(&text).ok_or_else(|| serde::de::Error::custom("expected 64 hex digits"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event(name: &str) -> Event {
        Event {
            at_ms: Timestamp(1),
            event: name.to_owned(),
            outcome: Outcome::Done,
            request_id: "r".into(),
            subject_kind: "system".into(),
            subject_id: "bootstrap".into(),
            lineage: String::new(),
            verb: "workspace.create".into(),
            target_kind: "organisation".into(),
            target_id: String::new(),
            workspace_id: None,
            key: None,
            rule: "platform".into(),
            code: None,
            reason: None,
            issue: None,
            approval_id: None,
            consequences: "[]".into(),
            detail: "{}".into(),
        }
    }

    /// Found by the fuzzer: a sign before a digit was read as if it were not there.
    #[test]
    fn a_hash_has_one_text() {
        let text = hex::encode(&[0x0b; 32]);
        assert_eq!(hex::decode(&text), Some([0x0b; 32]));
        for other in
            [text.replacen("0b", "+b", 1), text.to_uppercase(), text.replacen("0b", "0g", 1), format!("{text}0b")]
        {
            assert_eq!(hex::decode(&other), None, "{other}");
        }
    }

    #[test]
    fn text_cannot_move_from_one_field_to_the_next() {
        let (mut a, mut b) = (event("x"), event("x"));
        (a.verb, a.target_kind) = ("ab".into(), "c".into());
        (b.verb, b.target_kind) = ("a".into(), "bc".into());
        assert_ne!(a.hash(1, &GENESIS), b.hash(1, &GENESIS));
        let (absent, empty) = (event("x"), Event { key: Some(String::new()), ..event("x") });
        assert_ne!(absent.hash(1, &GENESIS), empty.hash(1, &GENESIS));
        assert_ne!(absent.hash(1, &GENESIS), absent.hash(2, &GENESIS));
    }

    #[test]
    fn the_walk_names_the_first_bad_entry() {
        let one = event("one").hash(1, &GENESIS);
        let two = event("two").hash(2, &one);
        let mut walk = Walk::default();
        walk.step(1, &GENESIS, &one, |p| event("one").hash(1, p)).unwrap();
        assert_eq!(
            walk.clone().step(3, &one, &two, |p| event("two").hash(2, p)),
            Err(Broken::Gap { expected: 2, found: 3 })
        );
        assert_eq!(walk.clone().step(2, &two, &two, |p| event("two").hash(2, p)), Err(Broken::Link { seq: 2 }));
        assert_eq!(walk.clone().step(2, &one, &two, |p| event("2wo").hash(2, p)), Err(Broken::Content { seq: 2 }));
        walk.step(2, &one, &two, |p| event("two").hash(2, p)).unwrap();
        assert_eq!(walk, Walk { seq: 2, hash: two });
    }

    #[test]
    fn an_entry_survives_json() {
        let hash = event("one").hash(1, &GENESIS);
        let entry = Entry { seq: 1, event: event("one"), prev_hash: GENESIS, hash };
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    }
}
