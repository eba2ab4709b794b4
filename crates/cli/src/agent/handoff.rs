//! The note an agent leaves for its next boot: what it was doing. No text of the echo and exec minds is in it.

use std::collections::VecDeque;

use super::boundary;
use super::delivered::Delivered;

/// Longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 16 * 1024;
/// Most contexts that are named.
const CONTEXTS_MAX: usize = 10;
/// Longest name of a context in the note, in characters.
const CONTEXT_CHARS_MAX: usize = 200;

/// What happened in this boot.
#[derive(Default)]
pub struct Record {
    turns: u64,
    failed: u64,
    contexts: VecDeque<String>,
}

impl Record {
    /// A turn was run.
    pub fn ran(&mut self, context: Option<&str>, failed: bool) {
        self.turns += 1;
        self.failed += u64::from(failed);
        let Some(context) = context else { return };
        let context: String = context.chars().take(CONTEXT_CHARS_MAX).collect();
        self.contexts.retain(|known| *known != context);
        self.contexts.push_front(context);
        self.contexts.truncate(CONTEXTS_MAX);
    }

    /// The note.
    pub fn note(&self, mind: &str, conversation: &[String], delivered: &Delivered) -> String {
        let mut note = format!("mind: {mind}\nturns in this boot: {}, of which {} failed\n", self.turns, self.failed);
        if !self.contexts.is_empty() {
            note.push_str("last contexts, latest first:\n");
            for context in &self.contexts {
                note.push_str(&format!("- {context}\n"));
            }
        }
        if !conversation.is_empty() {
            note.push_str("open conversation:\n");
            for line in conversation {
                note.push_str(&format!("- {line}\n"));
            }
        }
        // Redacted before it is cut: half a value is not recognised.
        let mut note = delivered.redact(&note);
        note.truncate(boundary(&note, NOTE_BYTES_MAX));
        note
    }
}

#[cfg(test)]
mod tests {
    use super::super::delivered::{Bundle, Values};
    use super::*;

    #[test]
    fn a_note_is_never_too_long() {
        let delivered = Delivered { values: Values::Pulled(Bundle::default()), context: None };
        let mut record = Record::default();
        record.ran(Some("a"), false);
        record.ran(Some("b"), true);
        record.ran(Some("a"), false);
        let note = record.note("echo", &[], &delivered);
        assert_eq!(
            note,
            "mind: echo\nturns in this boot: 3, of which 1 failed\nlast contexts, latest first:\n- a\n- b\n"
        );
        let note = record.note("model", &vec!["é".repeat(1001); 100], &delivered);
        assert!(note.len() <= NOTE_BYTES_MAX && note.len() > NOTE_BYTES_MAX - 4);
    }
}
