//! One program for all targets: the variable names one, everything else is libFuzzer's.
#![no_main]

#[path = "../../crates/service/src/json.rs"]
mod json;
#[path = "../../crates/service/src/problem.rs"]
#[expect(dead_code, reason = "refusals are put into words here, and sent nowhere")]
mod problem;
/// The format of scenarios, without what replays them.
#[path = "../../crates/cli/src/scenario"]
#[expect(dead_code, reason = "what replays them reads more of it")]
mod scenario {
    mod format;
    mod placeholder;
    mod validate;
    pub use format::Scenario;
}
#[path = "targets.rs"]
mod targets;

use std::sync::OnceLock;

/// Names the target.
const VARIABLE: &str = "PORTCULLIS_FUZZ_TARGET";

static TARGET: OnceLock<targets::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var(VARIABLE).unwrap_or_default();
        let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
        found.unwrap_or_else(|| panic!("{VARIABLE} is `{name}`, which is no target")).1
    });
    target(data);
});
