//! What happened: who asked what, what was answered and why, and whether that is what should happen.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use super::format::Scenario;
use crate::output::{Output, printable};

/// One step or check.
#[derive(Debug, Default, Serialize)]
pub struct Outcome {
    /// `step`, `check` or `cleanup`.
    pub part: &'static str,
    /// Who asked.
    pub who: String,
    /// The sentence of the file.
    pub say: String,
    /// The request as the file has it: names instead of ids, and no value.
    pub request: String,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    /// Code of the refusal.
    pub code: Option<String>,
    /// Sentence of the refusal.
    pub error: Option<String>,
    /// The rule that decided.
    pub reason: Option<String>,
    /// What to do instead.
    pub next_step: Option<String>,
    /// What was not as expected.
    pub failures: Vec<String>,
}

/// One scenario.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Of the scenario.
    pub id: String,
    /// Of the scenario.
    pub title: String,
    /// In order.
    pub outcomes: Vec<Outcome>,
    /// Why it could not be run to its end.
    pub fault: Option<String>,
    /// What the reader should know besides.
    pub notes: Vec<String>,
    /// How long it took.
    pub duration_ms: u64,
}

impl Report {
    /// Whether every expectation holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.fault.is_none() && self.failed() == 0
    }

    fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.failures.is_empty()).count()
    }

    /// For machines.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["passed"] = self.passed().into();
        value
    }

    /// What is said before the first step.
    #[must_use]
    pub fn heading(scenario: &Scenario) -> String {
        let head = &scenario.head;
        let incident = head.incident.as_ref().map(|incident| format!(" [{incident}]")).unwrap_or_default();
        let mut text = format!("{}: {}{incident}\n", head.id, head.title);
        for line in head.story.trim().lines() {
            let _ = writeln!(text, "  {}", line.trim());
        }
        text.push('\n');
        text
    }

    /// What is said after the last.
    #[must_use]
    pub fn summary(&self) -> String {
        let (failed, all, seconds) = (self.failed(), self.outcomes.len(), self.duration_ms / 1000);
        let tenths = self.duration_ms % 1000 / 100;
        let mut text = match &self.fault {
            Some(fault) => format!("{}: could not be run: {}\n", self.id, printable(fault)),
            None if failed == 0 => format!("{}: all {all} hold ({seconds}.{tenths} s)\n", self.id),
            None => format!("{}: {failed} of {all} do not hold ({seconds}.{tenths} s)\n", self.id),
        };
        for note in &self.notes {
            let _ = writeln!(text, "  note: {}", printable(note));
        }
        text.push('\n');
        text
    }
}

impl Outcome {
    /// For people, a few lines.
    #[must_use]
    pub fn text(&self, output: Output) -> String {
        let mut text = format!("  {} {}: {}\n", output.mark(self.failures.is_empty()), self.who, printable(&self.say));
        if let Some(status) = self.status.filter(|_| self.part != "check") {
            let code = self.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
            let error = self.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            let _ = writeln!(text, "      {}", self.request);
            let _ = writeln!(text, "      → {status}{}", printable(&format!("{code}{error}")));
            for (label, line) in [("why", &self.reason), ("instead", &self.next_step)] {
                if let Some(line) = line {
                    let _ = writeln!(text, "        {label}: {}", printable(line));
                }
            }
        }
        for failure in &self.failures {
            let _ = writeln!(text, "      not as expected: {}", printable(failure));
        }
        text
    }
}
