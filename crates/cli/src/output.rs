//! What the terminal shows: data on stdout, everything else on stderr, legible without colour.
//!
//! Names come from agents. Nothing is written before control characters, which could repaint the screen of the person
//! who is about to approve something, are made visible.

use std::io::{IsTerminal, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

use crate::error::Error;

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    /// Colour only on a terminal, and not if `NO_COLOR` is set.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self { json, colour: !json && !crate::environment::no_color() && std::io::stdout().is_terminal() }
    }

    /// Whether the caller asked for JSON.
    #[must_use]
    pub fn is_json(self) -> bool {
        self.json
    }

    /// One line of data.
    pub fn line(self, text: &str) -> Result<(), Error> {
        self.raw(format!("{}\n", printable(text)).as_bytes())
    }

    /// Data as it is, for files and pipes.
    pub fn raw(self, bytes: &[u8]) -> Result<(), Error> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
            // The reader has had enough (`| head`): no fault of ours and nothing to say.
            std::io::ErrorKind::BrokenPipe => Error::new(crate::exit::Exit::Ok, ""),
            _ => Error::fault(format!("cannot write to standard output: {error}")),
        })
    }

    /// A value as one line of JSON.
    pub fn json(self, value: &Value) -> Result<(), Error> {
        self.raw(format!("{value}\n").as_bytes())
    }

    /// The whole value as JSON, or one sentence about it.
    pub fn done(self, value: &Value, sentence: &str) -> Result<(), Error> {
        if self.json { self.json(value) } else { self.line(sentence) }
    }

    /// A list: JSON as it came, or a table of these members.
    pub fn list(self, rows: &Value, columns: &[&str]) -> Result<(), Error> {
        if self.json {
            return self.json(rows);
        }
        let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
        if rows.is_empty() {
            self.note("nothing to list");
            return Ok(());
        }
        let cells = rows.iter().map(|row| columns.iter().map(|column| cell(row.get(column))).collect()).collect();
        self.table(columns, cells)
    }

    /// One object: JSON as it came, or one member a line.
    pub fn object(self, value: &Value) -> Result<(), Error> {
        if self.json {
            return self.json(value);
        }
        let members = value.as_object().into_iter().flatten().filter(|(_, member)| !member.is_null());
        self.table(&[], members.map(|(name, member)| vec![name.clone(), cell(Some(member))]).collect())
    }

    /// Rows under headings, without borders.
    pub fn table(self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<(), Error> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if !headings.is_empty() {
            table.set_header(headings.iter().map(|heading| heading.to_uppercase().replace('_', " ")));
        }
        for row in rows {
            table.add_row(row);
        }
        let text: String = table.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        self.raw(text.as_bytes())
    }

    /// A remark on stderr.
    pub fn note(self, text: &str) {
        // Nobody is left to tell if stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
    }

    /// What a child wrote to its standard error, as it wrote it.
    pub fn pass(self, bytes: &[u8]) {
        // Nobody is left to tell if stderr is gone.
        let _ = std::io::stderr().lock().write_all(bytes);
    }

    /// The error, then what to do next; with `--json` the problem document instead.
    pub fn error(self, error: &Error) {
        if error.message.is_empty() {
            return;
        }
        if self.json {
            let problem = error.problem.as_ref().and_then(|problem| serde_json::to_value(problem).ok());
            let document = problem.unwrap_or_else(
                || serde_json::json!({ "error": error.message, "next_step": error.hint, "exit": error.exit as u8 }),
            );
            let _ = writeln!(std::io::stderr().lock(), "{document}");
            return;
        }
        self.note(&format!("error: {error}"));
        // A rule's name that only repeats the code says nothing.
        let reason = error.problem.as_ref().and_then(|problem| problem.reason.as_deref());
        if let Some(reason) = reason.filter(|reason| !reason.eq_ignore_ascii_case(error.code())) {
            self.note(&format!("why: {reason}"));
        }
        if let Some(hint) = &error.hint {
            self.note(&format!("hint: {hint}"));
        }
    }

    /// Green for what holds, red for what does not.
    #[must_use]
    pub fn mark(self, good: bool) -> &'static str {
        match (good, self.colour) {
            (true, true) => "\u{1b}[32m✓\u{1b}[0m",
            (true, false) => "✓",
            (false, true) => "\u{1b}[31m✗\u{1b}[0m",
            (false, false) => "✗",
        }
    }
}

/// A JSON member in a table cell.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => printable(text),
        Some(Value::Bool(flag)) => if *flag { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(items)) => items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(", "),
        Some(other) => printable(&other.to_string()),
    }
}

/// The text with control and direction-changing characters spelled out.
#[must_use]
pub fn printable(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_repaint_the_screen() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(printable("Zoë ✓"), "Zoë ✓");
    }

    #[test]
    fn cells_show_members_for_people() {
        assert_eq!(cell(Some(&serde_json::json!(["a", 1, true]))), "a, 1, yes");
        assert_eq!(cell(None), "");
    }
}
