//! The house rules that neither Cargo nor clippy can hold, as functions over the source tree.
//!
//! They run inside plain `cargo test` (`tests/tidy.rs`), so no separate gate can be forgotten. Each rule has unit tests
//! with a good and a bad snippet: a check that cannot fail is a defect.

pub mod tidy;
