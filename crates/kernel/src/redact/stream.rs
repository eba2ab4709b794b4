//! Redaction of a stream of bytes, line by line, in bounded memory.

use zeroize::Zeroize;

use super::{Hit, Redactor, merge, shape};

/// Longest line of the output before redaction, in bytes; longer ones are broken there.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// The state between two pieces of a stream. The result depends on the bytes only, not on how they were cut.
///
/// A value with line breaks is found line by line: its lines under [`super::REDACT_BYTES_MIN`] bytes stay.
#[derive(Default)]
pub struct RedactStream {
    /// The line so far.
    line: Vec<u8>,
    /// How many bytes at its start are already replaced in what was returned. They stay for the finds that begin there.
    covered: usize,
    pem: shape::PemState,
}

impl RedactStream {
    /// At the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes and returns the lines that are complete by them, redacted; bytes that are not UTF-8 are replaced.
    pub fn push(&mut self, redactor: &Redactor, bytes: &[u8]) -> String {
        let mut out = String::new();
        let held_back = redactor.bytes_max().max(shape::SHAPE_BYTES_MAX);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = (LINE_BYTES_MAX + held_back).saturating_sub(self.line.len());
            let piece = rest.get(..room).unwrap_or(rest);
            let end = piece.iter().position(|byte| *byte == b'\n');
            let taken = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
            self.line.extend_from_slice(taken);
            rest = rest.get(taken.len() + usize::from(end.is_some())..).unwrap_or_default();
            if end.is_some() {
                self.end_line(redactor, &mut out);
            } else if self.line.len() >= LINE_BYTES_MAX + held_back {
                self.break_line(redactor, &mut out);
            }
        }
        out
    }

    /// The rest, with a line break if there is any.
    pub fn finish(mut self, redactor: &Redactor) -> String {
        let mut out = String::new();
        if !self.line.is_empty() {
            self.end_line(redactor, &mut out);
        }
        out
    }

    /// Everything of the line is known.
    fn end_line(&mut self, redactor: &Redactor, out: &mut String) {
        let all = self.line.len();
        self.write(redactor, all, out);
        out.push('\n');
        self.line.zeroize();
        self.covered = 0;
    }

    /// The line is too long: lets go of as much as no find can reach into from behind.
    fn break_line(&mut self, redactor: &Redactor, out: &mut String) {
        let mut cut = LINE_BYTES_MAX;
        // A character has at most three bytes after its first.
        while cut > LINE_BYTES_MAX - 3 && self.line.get(cut).is_some_and(|byte| byte & 0xC0 == 0x80) {
            cut -= 1;
        }
        let end = self.write(redactor, cut, out);
        out.push('\n');
        let len = self.line.len();
        self.line.copy_within(cut.., 0);
        if let Some(gone) = self.line.get_mut(len - cut..) {
            gone.zeroize();
        }
        self.line.truncate(len - cut);
        self.covered = end.saturating_sub(cut);
    }

    /// Writes the first `cut` bytes redacted and returns where the last find that begins before `cut` ends.
    fn write(&mut self, redactor: &Redactor, cut: usize, out: &mut String) -> usize {
        let mut hits = redactor.hits(&self.line);
        let key = self.pem.continues(&self.line).filter(|end| *end > 0);
        for hit in hits.iter().filter(|hit| hit.end == self.line.len()) {
            // A value may have been found around it.
            let found = self.line.get(hit.start..).unwrap_or_default();
            self.pem.note(found);
        }
        // What was replaced before the break, and the rest of a key that began on another line.
        hits.extend(key.map(|end| Hit { start: 0, end, by: None }));
        let covered = Hit { start: 0, end: self.covered, by: None };
        hits.extend((self.covered > 0).then_some(covered));
        let mut from = 0;
        for hit in merge(hits).into_iter().filter(|hit| hit.start < cut) {
            out.push_str(&String::from_utf8_lossy(self.line.get(from..hit.start).unwrap_or_default()));
            if hit.start > 0 || self.covered == 0 {
                redactor.name(&hit, out);
            }
            from = hit.end;
        }
        out.push_str(&String::from_utf8_lossy(self.line.get(from..cut).unwrap_or_default()));
        from
    }
}

impl Drop for RedactStream {
    fn drop(&mut self) {
        self.line.zeroize();
    }
}
