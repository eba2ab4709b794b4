//! Proof that rules keep what was promised: for every request the schema can express, not for those a test thought of.
//!
//! Cedar's symbolic compiler turns a question about policies into one for an SMT solver, `cvc5`, which runs beside us as a
//! program. An answer is a proof or a request that shows the opposite; that request is put to Cedar itself before anybody
//! sees it. What is proved is what the rules say to a request; that the server asks them, with true facts, is for tests.
//!
//! Absent on purpose: any use of this while deciding.

mod counterexample;
mod invariant;
mod prover;
mod rules;

pub use counterexample::Counterexample;
pub use invariant::{Claim, Invariant};
pub use prover::{Prover, Verdict};
pub use rules::Rules;

/// Why there is neither a proof nor a counterexample.
#[derive(Debug)]
pub enum ProofError {
    /// There is no solver.
    SolverMissing,
    /// The solver did not answer within its time.
    Undecided(String),
    /// A text that is no policy, or none that fits the schema.
    Text(String),
    /// The solver or the compiler failed.
    Failed(String),
}

impl ProofError {
    fn text(place: &str, problem: &impl ToString) -> Self {
        Self::Text(format!("{place}: {}", problem.to_string()))
    }
}

impl std::fmt::Display for ProofError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SolverMissing => {
                f.write_str("there is no `cvc5` in the path; without a solver nothing can be proved")
            }
            Self::Undecided(place) => write!(f, "{place}: the solver gave no answer within its time"),
            Self::Text(problem) => f.write_str(problem),
            Self::Failed(problem) => write!(f, "the proof failed: {problem}"),
        }
    }
}

impl std::error::Error for ProofError {}
