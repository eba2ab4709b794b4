//! One error type for every command: a sentence, what to do next, and how the process ends.

use std::fmt;

use crate::exit::Exit;
use crate::problem::Problem;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Error {
    /// How the process ends.
    pub exit: Exit,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The server's own words, if it was the server.
    pub problem: Option<Box<Problem>>,
}

impl Error {
    /// An error of this class.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, problem: None }
    }

    /// Something broke that is nobody's decision.
    pub fn fault(message: impl Into<String>) -> Self {
        Self::new(Exit::Fault, message)
    }

    /// The command line was wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An error of this class with a code of its own, for what no server said.
    pub fn coded(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let problem = Problem { code: code.to_owned(), error: message.clone(), ..Problem::default() };
        Self { problem: Some(Box::new(problem)), ..Self::new(exit, message) }
    }

    /// The same error with a next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if let Some(problem) = &mut self.problem {
            problem.next_step.get_or_insert_with(|| hint.clone());
        }
        self.hint = Some(hint);
        self
    }

    /// The code of the refusal, empty if there is none.
    #[must_use]
    pub fn code(&self) -> &str {
        self.problem.as_ref().map_or("", |problem| problem.code.as_str())
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self {
            exit: Exit::of(&problem),
            message: problem.error.clone(),
            hint: problem.next_step.clone(),
            problem: Some(Box::new(problem)),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(problem) = self.problem.as_ref().filter(|problem| !problem.code.is_empty()) {
            write!(f, " ({})", problem.code)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
