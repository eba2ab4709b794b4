//! The table of commands. A new one is a file in `commands/` and a line here.

mod bench;
mod ci;
mod clients;
mod fuzz;
mod matrix;
mod mutants;
mod refusals;
mod screenshots;
mod soak;
mod test;
mod tidy;
mod tools;

/// One word after `cargo xtask`.
pub struct Command {
    pub name: &'static str,
    /// What may follow, for the help text.
    pub arguments: &'static str,
    pub about: &'static str,
    /// The reason in `Err` is for people: lower case, ends with what to do next.
    pub run: fn(&[String]) -> Result<(), String>,
}

pub const COMMANDS: &[Command] = &[
    Command {
        name: "test",
        arguments: "[-- ARGUMENTS]",
        about: "format, lints and every test on both engines; ARGUMENTS go to `cargo test`",
        run: test::run,
    },
    Command { name: "ci", arguments: "", about: "what continuous integration runs: the same as `test`", run: ci::run },
    Command {
        name: "bench",
        arguments: "[core|durable|growth|compare|fleet|tools|console]… [--scale N] [--profile NAME]",
        about: "the tables and plots of docs/numbers.md, measured on this machine; all of it takes an hour, --scale 10 less",
        run: bench::run,
    },
    Command {
        name: "fuzz",
        arguments: "[TARGET] [--seconds N]",
        about: "the parsers under a coverage-guided fuzzer, N seconds each (default: 51 shared); what breaks one is kept",
        run: fuzz::run,
    },
    Command {
        name: "matrix",
        arguments: "[--accept]",
        about: "who may do what, compared with the policies; --accept writes the page anew",
        run: matrix::run,
    },
    Command {
        name: "mutants",
        arguments: "[PART]… [--shard K/N]",
        about: "changes to the trusted base that tests must notice, compared with docs/mutants.md; all of it takes hours",
        run: mutants::run,
    },
    Command {
        name: "refusals",
        arguments: "[--accept]",
        about: "the published refusal codes, compared with the code; --accept writes them anew",
        run: refusals::run,
    },
    Command {
        name: "clients",
        arguments: "",
        about: "only installs the official clients and the tools that tests use, and says where",
        run: clients::run,
    },
    Command {
        name: "screenshots",
        arguments: "[DIR]",
        about: "a picture of every page of the console, at two sizes and in both themes",
        run: screenshots::run,
    },
    Command {
        name: "tools",
        arguments: "[--accept]",
        about: "what agents read about their tools, compared with the code; --accept writes the page anew",
        run: tools::run,
    },
    Command { name: "tidy", arguments: "", about: "only the house rules, in seconds", run: tidy::run },
    Command {
        name: "soak",
        arguments: "[MINUTES [SEED]]",
        about: "mixed load while everything is restarted, on both engines; an hour each unless said otherwise",
        run: soak::run,
    },
];
