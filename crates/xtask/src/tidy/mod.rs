//! One module per rule. A rule is a pure function from the tree to complaints; reading the tree is `tree.rs` alone.

pub mod credential;
pub mod document;
pub mod exception;
pub mod layering;
pub mod length;
pub mod machine_path;
pub mod plaintext;
pub mod source;
pub mod supply;
pub mod tree;
pub mod unfinished;

use std::fmt;

pub use tree::Tree;

/// One thing to repair, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Relative to the root of the repository.
    pub path: String,
    /// Counted from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do instead. Never quotes a value that might be a credential.
    pub text: String,
}

impl Complaint {
    /// A complaint about one line.
    pub fn at(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }

    /// A complaint about a file as a whole.
    pub fn about(path: &str, text: impl Into<String>) -> Self {
        Self::at(path, 0, text)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}
