//! Signed checkpoints in the C2SP formats `tlog-checkpoint` and `signed-note`.
//!
//! The body is origin, size and hash, one per line. The hash is the chain's head after `size` entries; our log is a chain,
//! not a Merkle tree, so a checkpoint proves the whole prefix and gives no inclusion proofs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use crate::audit::Hash;

/// Signature type of Ed25519 in `signed-note`.
const ED25519: u8 = 1;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many entries.
    pub size: i64,
    /// The chain's head.
    pub hash: Hash,
}

impl Checkpoint {
    /// The bytes that are signed.
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.hash))
    }

    /// The signed note.
    pub fn note(&self, key: &VerifierKey, signature: &[u8; 64]) -> String {
        let mut blob = key.id().to_vec();
        blob.extend_from_slice(signature);
        format!("{}\n\u{2014} {} {}\n", self.body(), key.name, STANDARD.encode(blob))
    }
}

/// Public half of the log's key, with the name it signs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    /// The origin.
    pub name: String,
    /// Ed25519 public key.
    pub public: [u8; 32],
}

impl VerifierKey {
    /// The four bytes that name the key in a note.
    pub fn id(&self) -> [u8; 4] {
        let mut hasher = Sha256::new();
        hasher.update(self.name.as_bytes());
        hasher.update(b"\n");
        hasher.update([ED25519]);
        hasher.update(self.public);
        let digest = hasher.finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// `name+id+key`, as `signed-note` writes a verifier key.
    pub fn to_text(&self) -> String {
        let id: String = self.id().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut blob = vec![ED25519];
        blob.extend_from_slice(&self.public);
        format!("{}+{id}+{}", self.name, STANDARD.encode(blob))
    }

    /// Reads `name+id+key`; the id must fit the key.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '+');
        let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
        let blob = STANDARD.decode(key).ok()?;
        let (algorithm, public) = blob.split_first()?;
        let key = Self { name: name.to_owned(), public: public.try_into().ok()? };
        let own: String = key.id().iter().map(|byte| format!("{byte:02x}")).collect();
        (*algorithm == ED25519 && !name.is_empty() && own == id).then_some(key)
    }
}

/// A note as it was read: nothing about it is believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedNote {
    /// The claim.
    pub checkpoint: Checkpoint,
    signatures: Vec<(String, Vec<u8>)>,
}

impl UnverifiedNote {
    /// Reads a note; `None` for anything that is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (body, signatures) = text.split_once("\n\n")?;
        let mut lines = body.lines();
        let (origin, size, hash) = (lines.next()?, lines.next()?, lines.next()?);
        let size: i64 = size.parse().ok().filter(|n| *n >= 0)?;
        let hash = STANDARD.decode(hash).ok()?.try_into().ok()?;
        if lines.next().is_some() || origin.is_empty() {
            return None;
        }
        let signatures = signatures
            .lines()
            .map(|line| {
                let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
                Some((name.to_owned(), STANDARD.decode(blob).ok()?))
            })
            .collect::<Option<Vec<_>>>()?;
        let checkpoint = Checkpoint { origin: origin.to_owned(), size, hash };
        // INVARIANT: one checkpoint, one text. Another spelling of the same numbers was not what was signed.
        (checkpoint.body().strip_suffix('\n') == Some(body)).then_some(Self { checkpoint, signatures })
    }

    /// Whether one of the signatures is by `key`, asking `verify(public, message, signature)`.
    pub fn is_signed_by(&self, key: &VerifierKey, verify: impl Fn(&[u8; 32], &[u8], &[u8]) -> bool) -> bool {
        let body = self.checkpoint.body();
        self.checkpoint.origin == key.name
            && self.signatures.iter().any(|(name, blob)| {
                blob.split_at_checked(4).is_some_and(|(id, signature)| {
                    *name == key.name && id == key.id() && verify(&key.public, body.as_bytes(), signature)
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> VerifierKey {
        VerifierKey { name: "portcullis/test".into(), public: [7; 32] }
    }

    /// Found by the fuzzer: the signature is over the text as it is printed, so these passed as signed.
    #[test]
    fn another_spelling_of_a_signed_checkpoint_is_no_note() {
        let note = Checkpoint { origin: "portcullis/test".into(), size: 3, hash: [9; 32] }.note(&key(), &[5; 64]);
        assert!(UnverifiedNote::parse(&note).is_some());
        for other in [
            note.replacen("\n3\n", "\n+3\n", 1),
            note.replacen("\n3\n", "\n03\n", 1),
            note.replacen("\n3\n", "\r\n3\n", 1),
            note.replacen("\n3\n", "\n3\r\n", 1),
        ] {
            assert_ne!(other, note);
            assert_eq!(UnverifiedNote::parse(&other), None, "{other:?}");
        }
    }

    #[test]
    fn a_note_reads_back_and_names_its_key() {
        let checkpoint = Checkpoint { origin: "portcullis/test".into(), size: 3, hash: [9; 32] };
        let note = checkpoint.note(&key(), &[5; 64]);
        let read = UnverifiedNote::parse(&note).unwrap();
        assert_eq!(read.checkpoint, checkpoint);
        assert!(read.is_signed_by(&key(), |public, message, signature| {
            public == &[7; 32] && message == checkpoint.body().as_bytes() && signature == [5; 64]
        }));
        assert!(!read.is_signed_by(&VerifierKey { public: [8; 32], ..key() }, |_, _, _| true), "another key's id");
        assert!(!read.is_signed_by(&key(), |_, _, _| false));
    }

    #[test]
    fn a_verifier_key_reads_back_and_a_wrong_id_does_not() {
        let text = key().to_text();
        assert_eq!(VerifierKey::parse(&text), Some(key()));
        assert_eq!(VerifierKey::parse(&text.replace("test+", "best+")), None);
        for bad in ["", "a+b", "a+b+c", "a+00000000+"] {
            assert_eq!(VerifierKey::parse(bad), None);
        }
    }

    #[test]
    fn what_is_not_a_note_is_nothing() {
        for bad in ["", "a\n1\nAA==\n", "a\n-1\n\n\n", "a\n1\nAA==\n\n\u{2014} x\n"] {
            assert_eq!(UnverifiedNote::parse(bad), None, "{bad:?}");
        }
    }
}
