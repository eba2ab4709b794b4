//! Mutation testing of the trusted base: what is changed, by whose tests that must be noticed, and what need not be.

pub mod copy;
pub mod page;
pub mod tool;
pub mod verdict;

/// Some files, and the tests of which one must fail whatever is changed in them.
pub struct Round {
    /// Paths with `*`, as cargo-mutants takes them.
    pub files: &'static [&'static str],
    /// Which of the mutants in them, as arguments of cargo-mutants; all where there are none.
    pub filters: &'static [&'static str],
    pub packages: &'static [&'static str],
    /// What of these packages is built and run, as `cargo test` takes it: as little as notices what there is to notice.
    pub targets: &'static [&'static str],
    /// Which tests, by a part of their names; all where there are none.
    pub tests: &'static [&'static str],
    /// Whether the tests run on both engines.
    pub both_engines: bool,
}

/// A part of the trusted base that can be run alone.
pub struct Part {
    pub name: &'static str,
    pub rounds: &'static [Round],
}

/// What the gate writes into the log beside the names of the deed.
const GATE_WORDS: &str = "(detail|scope_text|op_word)( ->|$)";

pub const PARTS: [Part; 5] = [
    Part {
        name: "decision",
        rounds: &[Round {
            files: &[
                "crates/kernel/src/policy/*.rs",
                "crates/kernel/src/deed.rs",
                "crates/kernel/src/deed/*.rs",
                "crates/kernel/src/consequence.rs",
                "crates/kernel/src/facts.rs",
                "crates/kernel/src/operator.rs",
                "crates/kernel/src/scope.rs",
                "crates/kernel/src/subject.rs",
                "crates/kernel/src/verb.rs",
            ],
            filters: &[],
            packages: &["portcullis-kernel"],
            targets: &["--lib", "--test=decision_model", "--test=deeds", "--test=rules"],
            tests: &[],
            both_engines: false,
        }],
    },
    Part {
        name: "approvals",
        rounds: &[
            Round {
                files: &["crates/kernel/src/approval.rs"],
                filters: &[],
                packages: &["portcullis-kernel"],
                targets: &["--lib"],
                tests: &["approval::"],
                both_engines: false,
            },
            Round {
                files: &[
                    "crates/authority/src/actions/approval.rs",
                    "crates/authority/src/plan.rs",
                    "crates/authority/src/tables/approvals.rs",
                ],
                filters: &[],
                packages: &["portcullis-service"],
                targets: &["--test=approvals"],
                tests: &[],
                both_engines: false,
            },
        ],
    },
    Part {
        name: "writer",
        rounds: &[
            Round {
                files: &[
                    "crates/authority/src/db/files.rs",
                    "crates/authority/src/db/job.rs",
                    "crates/authority/src/db/levels.rs",
                    "crates/authority/src/db/writer.rs",
                    "crates/authority/src/db/writer_thread.rs",
                ],
                filters: &[],
                packages: &["portcullis-authority"],
                targets: &["--lib"],
                tests: &["db::"],
                both_engines: true,
            },
            Round {
                files: &["crates/authority/src/gate.rs"],
                filters: &["--re", GATE_WORDS],
                packages: &["portcullis-authority"],
                targets: &["--lib"],
                tests: &["gate::"],
                both_engines: false,
            },
            Round {
                files: &["crates/authority/src/gate.rs", "crates/authority/src/permit.rs"],
                filters: &["--exclude-re", GATE_WORDS],
                packages: &["portcullis-service"],
                targets: &[
                    "--test=approvals",
                    "--test=secrets",
                    "--test=organisation",
                    "--test=what_if",
                    "--test=fact_unavailable",
                ],
                tests: &[],
                both_engines: false,
            },
        ],
    },
    Part {
        name: "vault",
        rounds: &[Round {
            files: &["crates/authority/src/vault/*.rs", "crates/authority/src/keyring.rs"],
            filters: &[],
            packages: &["portcullis-authority"],
            targets: &["--lib"],
            tests: &["vault::", "keyring::"],
            both_engines: false,
        }],
    },
    Part {
        name: "lifecycle",
        rounds: &[Round {
            files: &["crates/kernel/src/lifecycle.rs"],
            filters: &[],
            packages: &["portcullis-kernel"],
            targets: &["--lib", "--test=lifecycle_model", "--test=lifecycle_answers"],
            tests: &[],
            both_engines: false,
        }],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_part_exists() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for path in PARTS.iter().flat_map(|part| part.rounds).flat_map(|round| round.files) {
            let path = root.join(path.strip_suffix("/*.rs").unwrap_or(path));
            assert!(path.exists(), "{}", path.display());
        }
    }
}
