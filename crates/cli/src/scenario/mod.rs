//! Scenarios: incidents as files that replay against any running server (`docs/scenarios.md`).
//!
//! A scenario brings its own workspaces, operators and tokens, made through the public API with names of this run, and
//! takes them away at the end. Its values are canaries of this run: an answer that shows one fails the step.

mod check;
mod expand;
mod fixture;
mod format;
mod load;
mod pattern;
mod placeholder;
mod report;
mod run;
mod target;
mod validate;

pub use format::Scenario;
pub use report::{Outcome, Report};
pub use run::{replay, run_scenario};
pub use target::Target;
