//! `policy …`

use std::path::{Path, PathBuf};

use cedar_policy::PolicySet;
use clap::{Args, Subcommand};
use portcullis_authority::{Target, added_policies};
use serde_json::{Value, json};

use crate::context::Context;
use crate::environment;
use crate::error::Error;
use crate::exit::Exit;
use crate::hidden::Hidden;
use crate::output::{Output, printable};
use crate::proof::{Counterexample, Invariant, ProofError, Prover, Rules};

/// Added policies that are proved together. The server takes more; a proof about so many would not end.
const PROVED_MAX: usize = 500;

/// `policy …`
#[derive(Subcommand)]
pub enum PolicyCommand {
    /// Prove that the rules keep every invariant, for every request there can be; needs the solver `cvc5`
    Prove(ProveArgs),
}

/// `policy prove`
#[derive(Args)]
pub struct ProveArgs {
    /// Add the policies in the `.cedar` files of this directory to the shipped ones
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Add the policies that operators added to the database of this data directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub async fn run(context: &Context, command: &PolicyCommand) -> Result<Exit, Error> {
    match command {
        PolicyCommand::Prove(args) => prove(context.output, args).await,
    }
}

async fn prove(output: Output, args: &ProveArgs) -> Result<Exit, Error> {
    let mut added = args.policies.as_deref().map(of_files).transpose()?.unwrap_or_default();
    if let Some(data) = args.data.clone() {
        let stored = tokio::task::spawn_blocking(move || of_database(&data)).await;
        added.extend(stored.map_err(|error| Error::fault(format!("reading ended early: {error}")))??);
    }
    if added.len() > PROVED_MAX {
        return Err(Error::usage(format!("{} policies are too many to prove; {PROVED_MAX} are possible", added.len())));
    }
    let mut rules = Rules::shipped()?;
    for (id, text) in &added {
        rules.add(id, text)?;
    }
    let mut report = Report { output, lines: Vec::new(), wrong: 0 };
    let mut prover = Prover::start(rules)?;
    for invariant in Invariant::shipped()? {
        let verdict = prover.invariant(&invariant).await?;
        report.invariant(&invariant, verdict.holds(), verdict.counterexample.as_ref())?;
    }
    for id in prover.rules() {
        let failing = prover.error_of(&id).await?;
        if let Some(example) = failing {
            report.rule(&id, "fails", "an error of any rule refuses the request", Some(&example))?;
        } else if prover.reach_of(&id).await? == 0 {
            report.rule(&id, "says nothing", "no request can match it", None)?;
        }
    }
    report.finish(added.len())
}

/// What was found, told as it is found; in JSON at the end.
struct Report {
    output: Output,
    lines: Vec<Value>,
    wrong: usize,
}

impl Report {
    fn invariant(&mut self, of: &Invariant, holds: bool, example: Option<&Counterexample>) -> Result<(), Error> {
        self.lines.push(json!({"invariant": of.id, "says": of.says, "claim": of.claim.as_str(), "holds": holds,
            "counterexample": example.map(members)}));
        self.tell(holds, &of.id, &of.says, example)
    }

    fn rule(&mut self, id: &str, what: &str, why: &str, example: Option<&Counterexample>) -> Result<(), Error> {
        self.lines.push(json!({"rule": id, "problem": what, "holds": false, "counterexample": example.map(members)}));
        self.tell(false, id, &format!("{what}: {why}"), example)
    }

    fn tell(&mut self, holds: bool, id: &str, says: &str, example: Option<&Counterexample>) -> Result<(), Error> {
        self.wrong += usize::from(!holds);
        if self.output.is_json() {
            return Ok(());
        }
        let word = if holds { "holds   " } else { "VIOLATED" };
        let mut text = format!("{} {word}  {}: {}\n", self.output.mark(holds), printable(id), printable(says));
        for (name, value) in example.map(Counterexample::parts).unwrap_or_default() {
            text.push_str(&format!("    {name:<24}{}\n", printable(&value)));
        }
        self.output.raw(text.as_bytes())
    }

    fn finish(self, added: usize) -> Result<Exit, Error> {
        if self.output.is_json() {
            self.output.json(&json!({"holds": self.wrong == 0, "added": added, "results": self.lines}))?;
        }
        if self.wrong == 0 {
            self.output.note(&format!("the shipped rules and {added} added ones keep every invariant"));
            return Ok(Exit::Ok);
        }
        self.output.note(&format!("{} found that must not be; each request above shows one", self.wrong));
        Ok(Exit::NotVerified)
    }
}

fn members(example: &Counterexample) -> Value {
    example
        .parts()
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The policies of a directory, by `@id` or by the place in the file.
fn of_files(directory: &Path) -> Result<Vec<(String, String)>, Error> {
    let unreadable =
        |path: &Path, error: std::io::Error| Error::usage(format!("cannot read `{}`: {error}", path.display()));
    let entries = std::fs::read_dir(directory).map_err(|error| unreadable(directory, error))?;
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(directory, error))?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cedar"));
    files.sort();
    if files.is_empty() {
        return Err(Error::usage(format!("there is no `.cedar` file in `{}`", directory.display())));
    }
    let mut all = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let set: PolicySet = text.parse().map_err(|error| Error::new(Exit::Invalid, format!("{name}: {error}")))?;
        for policy in set.policies() {
            let id = policy.annotation("id").map_or_else(|| format!("{name}/{}", policy.id()), str::to_owned);
            all.push((id, policy.to_string()));
        }
    }
    Ok(all)
}

fn of_database(data: &Path) -> Result<Vec<(String, String)>, Error> {
    let url = environment::database_url();
    let target = Target::parse(url.as_ref().map(Hidden::reveal), data)
        .map_err(|error| Error::fault(format!("cannot open the database: {error}")))?;
    if let Target::Sqlite { path } = &target
        && !path.exists()
    {
        return Err(Error::usage(format!("there is no database in `{}`", data.display())));
    }
    let stored = added_policies(&target).map_err(|error| Error::fault(format!("cannot read the policies: {error}")))?;
    Ok(stored.into_iter().map(|policy| (format!("{} ({})", policy.id, policy.name), policy.text)).collect())
}

impl From<ProofError> for Error {
    fn from(error: ProofError) -> Self {
        match &error {
            ProofError::SolverMissing => Self::coded(Exit::Fault, "SOLVER_MISSING", error.to_string())
                .hint("install `cvc5` (Debian: `apt-get install cvc5`) and try again"),
            ProofError::Undecided(_) => Self::coded(Exit::Fault, "SOLVER_UNDECIDED", error.to_string())
                .hint("nothing is proved; prove fewer policies at once, or simpler ones"),
            ProofError::Text(_) => Self::coded(Exit::Invalid, "POLICY_INVALID", error.to_string()),
            ProofError::Failed(_) => Self::coded(Exit::Fault, "PROOF_FAILED", error.to_string()),
        }
    }
}
