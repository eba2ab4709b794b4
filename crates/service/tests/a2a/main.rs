//! A2A through the control plane, through the real router and on both engines.

#![expect(clippy::expect_used, reason = "a scene that cannot be set ends the test")]

mod cards;
mod hostile;
mod paths;
#[path = "../probe/mod.rs"]
mod probe;
mod rules;
mod scene;
mod streams;
mod tasks;
#[path = "../world/mod.rs"]
mod world;
