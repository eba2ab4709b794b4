//! Redaction of text that leaves a place where secrets are known: a log, an activity, an error message.
//!
//! A [`Redactor`] knows stored values without holding them: for each form of a value it keeps a keyed rolling hash with
//! the length, and a keyed digest that decides. Whoever has one, seed included, can test guesses, and so can break a
//! value that is easy to guess, but cannot read a value out of it. Besides stored values it knows the shapes of
//! well-known credentials ([`shape`]).
//!
//! Not promised: values under [`REDACT_BYTES_MIN`] bytes stay (the text would become unreadable, and the length of a
//! value that short is half of the value), and so do values an agent takes apart or encodes in a way not listed at
//! [`Redactor::add`].

mod forms;
mod shape;
mod stream;

use std::{borrow::Cow, collections::HashMap, fmt::Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub use stream::{LINE_BYTES_MAX, RedactStream};

/// Shortest value that is redacted, in bytes.
pub const REDACT_BYTES_MIN: usize = 6;

/// How many lines of one value are known as forms of their own. A line may have six bytes only:
/// without a limit a long value would cost many times its size. Lines beyond are redacted where they are a part
/// of the whole value only.
pub const LINES_MAX: usize = 1_000;

/// How many fingerprints a redactor has before it takes no more lines; about 10 MiB. Forms of whole values, at most
/// some twenty each, are always taken.
pub const FORMS_MAX: usize = 50_000;

/// What stands where a credential was that is no stored value.
const CREDENTIAL: &str = "credential";

/// Modulus of the rolling hash. Small on purpose: it only selects what the digest decides, products fit into 64 bits,
/// and it tells less about a value to whoever has the seed.
const PRIME: u64 = (1 << 31) - 1;

/// Buckets of the filter over the first bytes of a value; few for the same reason.
const BUCKETS: usize = 1 << 16;

/// The first [`REDACT_BYTES_MIN`] bytes in a number.
const PREFIX_MASK: u64 = (1 << (8 * REDACT_BYTES_MIN)) - 1;

/// What is kept of one form of one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fingerprint {
    /// The key whose value it is.
    key: String,
    /// Length of the form, in bytes.
    bytes: usize,
    /// Rolling hash of the whole form.
    hash: u64,
    /// It is one line of a value, not a form of all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    line: bool,
    /// Bucket of its first [`REDACT_BYTES_MIN`] bytes.
    bucket: u16,
    /// Keyed digest of the whole form.
    #[serde(with = "digest_text")]
    digest: [u8; 32],
}

/// Fingerprints on their way to another process that has the same seed. Nothing in it is a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprints(Vec<Fingerprint>);

/// Finds stored values and credentials in text.
pub struct Redactor {
    seed: Zeroizing<[u8; 32]>,
    base: u64,
    /// Odd factor that spreads first bytes over buckets.
    factor: u64,
    fingerprints: Vec<Fingerprint>,
    /// Length, then rolling hash, to positions in `fingerprints`.
    lengths: Vec<(usize, HashMap<u64, Vec<usize>>)>,
    /// One bit a bucket.
    filter: Vec<u64>,
}

/// A piece of text that must go, and how it is called.
#[derive(Debug, Clone, Copy)]
struct Hit {
    start: usize,
    end: usize,
    /// Position of the fingerprint; `None` for a credential by its shape.
    by: Option<usize>,
}

impl Redactor {
    /// Knows nothing yet but shapes. The seed is random and belongs to one place: equal values have different
    /// fingerprints under different seeds.
    pub fn new(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        let number = |purpose| keyed(&seed, purpose, b"").iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte));
        // Away from the ends: a base of 0 or 1 makes every text equal.
        let base = 512 + number(b"base") % (PRIME - 1024);
        let factor = number(b"fact") | 1;
        Self { seed, base, factor, fingerprints: Vec::new(), lengths: Vec::new(), filter: vec![0; BUCKETS / 64] }
    }

    /// Learns a value in all its forms: as it is, in base64 (both alphabets, with and without padding), percent-encoded
    /// (as URLs and forms do it, either case), as it stands in JSON, and each of its lines,
    /// up to [`LINES_MAX`] and [`FORMS_MAX`].
    pub fn add(&mut self, key: &str, value: &str) {
        for form in forms::of(value) {
            if form.len() >= REDACT_BYTES_MIN {
                let fingerprint = self.fingerprint(key, form.as_bytes(), false);
                self.insert(fingerprint);
            }
        }
        for line in forms::lines(value, REDACT_BYTES_MIN, LINES_MAX) {
            let fingerprint = self.fingerprint(key, line.as_bytes(), true);
            self.insert(fingerprint);
        }
    }

    /// Takes over what another redactor with the same seed has learnt.
    pub fn merge(&mut self, fingerprints: Fingerprints) {
        for fingerprint in fingerprints.0.into_iter().filter(|new| new.bytes >= REDACT_BYTES_MIN) {
            self.insert(fingerprint);
        }
    }

    /// What was learnt, for another process with the same seed.
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints(self.fingerprints.clone())
    }

    /// The text with `[redacted:KEY]` for every stored value in it and `[redacted:credential]` for every credential.
    /// Overlapping finds become one, named after the longest value.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replace(text, self.hits(text.as_bytes()))
    }

    fn replace<'a>(&self, text: &'a str, hits: Vec<Hit>) -> Cow<'a, str> {
        if hits.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for hit in hits {
            // Values and shapes begin and end at characters, so the slices exist.
            out.push_str(text.get(from..hit.start).unwrap_or_default());
            self.name(&hit, &mut out);
            from = hit.end;
        }
        out.push_str(text.get(from..).unwrap_or_default());
        Cow::Owned(out)
    }

    /// Keys whose values are in a text, each once.
    pub fn keys_in(&self, text: &str) -> Vec<String> {
        let mut keys: Vec<String> =
            self.hits(text.as_bytes()).iter().filter_map(|hit| self.key(hit)).map(str::to_owned).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// As [`Redactor::redact`], but for the values of these keys: whoever said them knows them, and a marker would only
    /// tell that they are values.
    pub fn redact_beside<'a>(&self, text: &'a str, said: &[String]) -> Cow<'a, str> {
        let mut hits = self.hits(text.as_bytes());
        hits.retain(|hit| self.key(hit).is_none_or(|key| !said.iter().any(|said| said == key)));
        self.replace(text, hits)
    }

    fn key(&self, hit: &Hit) -> Option<&str> {
        hit.by.and_then(|by| self.fingerprints.get(by)).map(|found| found.key.as_str())
    }

    /// Longest form it looks for, in bytes: what a stream must hold back.
    fn bytes_max(&self) -> usize {
        self.lengths.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0)
    }

    fn name(&self, hit: &Hit, out: &mut String) {
        let key = hit.by.and_then(|by| self.fingerprints.get(by)).map_or(CREDENTIAL, |found| &found.key);
        // Writing to a string cannot fail.
        let _ = write!(out, "[redacted:{key}]");
    }

    fn fingerprint(&self, key: &str, form: &[u8], line: bool) -> Fingerprint {
        let hash = form.iter().fold(0, |hash, byte| self.step(hash, *byte));
        let prefix = form.iter().take(REDACT_BYTES_MIN).fold(0, |prefix, byte| prefix << 8 | u64::from(*byte));
        let digest = keyed(&self.seed, b"form", form);
        Fingerprint { key: key.to_owned(), bytes: form.len(), hash, line, bucket: self.bucket(prefix), digest }
    }

    fn insert(&mut self, new: Fingerprint) {
        let at = self.fingerprints.len();
        if new.line && at >= FORMS_MAX {
            return;
        }
        let position = match self.lengths.iter().position(|(bytes, _)| *bytes == new.bytes) {
            Some(position) => position,
            None => {
                self.lengths.push((new.bytes, HashMap::new()));
                self.lengths.len() - 1
            }
        };
        let Some((_, hashes)) = self.lengths.get_mut(position) else { return };
        let same = hashes.entry(new.hash).or_default();
        // Two keys may hold one value: the first names it.
        if same.iter().any(|at| self.fingerprints.get(*at).is_some_and(|old| old.digest == new.digest)) {
            return;
        }
        same.push(at);
        if let Some(word) = self.filter.get_mut(usize::from(new.bucket) / 64) {
            *word |= 1 << (new.bucket % 64);
        }
        self.fingerprints.push(new);
    }

    fn step(&self, hash: u64, byte: u8) -> u64 {
        // The byte plus one: otherwise leading NULs would not count.
        (hash * self.base + u64::from(byte) + 1) % PRIME
    }

    /// The highest bits, which depend on all bytes.
    fn bucket(&self, prefix: u64) -> u16 {
        (prefix.wrapping_mul(self.factor) >> 48) as u16
    }

    /// Everything that must go, in order, without overlaps.
    fn hits(&self, text: &[u8]) -> Vec<Hit> {
        let mut hits = shape::find(text).map(|(start, end)| Hit { start, end, by: None }).collect::<Vec<_>>();
        self.find_values(text, &mut hits);
        merge(hits)
    }

    /// Rabin–Karp over all lengths at once. A filter over the first bytes leaves few places; there, hashes of all
    /// prefixes of the text give the hash of any window by one subtraction.
    fn find_values(&self, text: &[u8], hits: &mut Vec<Hit>) {
        if self.fingerprints.is_empty() {
            return;
        }
        let mut windows = None;
        let mut prefix = 0;
        for (last, byte) in text.iter().enumerate() {
            prefix = (prefix << 8 | u64::from(*byte)) & PREFIX_MASK;
            let bucket = self.bucket(prefix);
            if self.filter.get(usize::from(bucket >> 6)).is_none_or(|word| word >> (bucket & 63) & 1 == 0) {
                continue;
            }
            let Some(start) = (last + 1).checked_sub(REDACT_BYTES_MIN) else { continue };
            windows.get_or_insert_with(|| Windows::new(self, text)).find(start, hits);
        }
    }

    /// `base` to the power of `bytes`.
    fn power(&self, bytes: usize) -> u64 {
        let (mut power, mut square, mut rest) = (1, self.base, bytes);
        while rest > 0 {
            if rest & 1 == 1 {
                power = power * square % PRIME;
            }
            square = square * square % PRIME;
            rest >>= 1;
        }
        power
    }
}

/// A text whose windows are compared.
struct Windows<'a> {
    redactor: &'a Redactor,
    text: &'a [u8],
    /// Hash of the first n bytes.
    prefixes: Vec<u64>,
    lengths: Vec<Length<'a>>,
}

/// One length of values.
struct Length<'a> {
    bytes: usize,
    power: u64,
    hashes: &'a HashMap<u64, Vec<usize>>,
    /// What was found last, and where it ends.
    last: Option<(usize, usize)>,
}

impl<'a> Windows<'a> {
    fn new(redactor: &'a Redactor, text: &'a [u8]) -> Self {
        let mut hash = 0;
        let hashes = text.iter().map(|byte| {
            hash = redactor.step(hash, *byte);
            hash
        });
        let prefixes = std::iter::once(0).chain(hashes).collect();
        let lengths = redactor.lengths.iter().map(|(bytes, hashes)| {
            let power = redactor.power(*bytes);
            Length { bytes: *bytes, power, hashes, last: None }
        });
        Self { redactor, text, prefixes, lengths: lengths.collect() }
    }

    /// Looks for values of every length that begin here.
    fn find(&mut self, start: usize, hits: &mut Vec<Hit>) {
        let Self { redactor, text, prefixes, lengths } = self;
        for Length { bytes, power, hashes, last } in lengths {
            let end = start + *bytes;
            let Some(form) = text.get(start..end) else { continue };
            let Some((before, after)) = prefixes.get(start).zip(prefixes.get(end)) else { continue };
            let hash = (after + PRIME - before * *power % PRIME) % PRIME;
            let Some(found) = hashes.get(&hash) else { continue };
            // A value that repeats itself overlaps itself in a flood of it: a digest for each place would take for ever.
            let again = last.filter(|(by, until)| start < *until && found.contains(by)).map(|(by, _)| by);
            let by = again.or_else(|| {
                let digest = keyed(&redactor.seed, b"form", form);
                let same = |at: &&usize| redactor.fingerprints.get(**at).is_some_and(|f| f.digest == digest);
                found.iter().find(same).copied()
            });
            if let Some(by) = by {
                *last = Some((by, end));
                hits.push(Hit { start, end, by: Some(by) });
            }
        }
    }
}

/// Joins what overlaps: of two values that share bytes, no part may stay.
fn merge(mut hits: Vec<Hit>) -> Vec<Hit> {
    hits.sort_unstable_by_key(|hit| (hit.start, hit.end));
    let mut merged: Vec<(Hit, usize)> = Vec::new();
    for hit in hits {
        // A name is worth more than "credential", and the longer value more than the shorter.
        let weight = if hit.by.is_some() { hit.end - hit.start } else { 0 };
        match merged.last_mut() {
            Some((last, best)) if hit.start < last.end => {
                last.end = last.end.max(hit.end);
                if weight > *best {
                    (last.by, *best) = (hit.by, weight);
                }
            }
            _ => merged.push((hit, weight)),
        }
    }
    merged.into_iter().map(|(hit, _)| hit).collect()
}

/// SHA-256 over seed, purpose and text; seed and purposes have fixed lengths, so no two inputs run into each other.
fn keyed(seed: &[u8; 32], purpose: &[u8; 4], text: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(seed).chain_update(purpose).chain_update(text).finalize().into()
}

/// A digest as text, so that JSON does not carry 32 numbers.
mod digest_text {
    use serde::{Deserializer, Serializer, de::Error};

    use super::{Deserialize, Engine, STANDARD};

    pub fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(digest))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("a digest has 32 bytes"))
    }
}

#[cfg(test)]
mod tests;
