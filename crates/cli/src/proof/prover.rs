//! Asking the solver, environment by environment.

use std::io::ErrorKind;

use cedar_policy::{Policy, PolicySet, RequestEnv};
use cedar_policy_symcc::err::Error as SymccError;
use cedar_policy_symcc::solver::{LocalSolver, SolverError};
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env};

use super::rules::permit_all_but;
use super::{Claim, Counterexample, Invariant, ProofError, Rules};

/// The solver, found in the path.
const SOLVER: &str = "cvc5";

/// How long the solver may think about one question, in milliseconds.
const QUESTION_MS: u32 = 60_000;

/// What became of one invariant.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// In how many environments (principal, action, resource) something matches the invariant. None is no proof.
    pub environments: usize,
    /// A request that shows that it does not hold.
    pub counterexample: Option<Counterexample>,
}

impl Verdict {
    /// Whether it is proved, of something.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.counterexample.is_none() && self.environments > 0
    }
}

/// Rules, compiled for each environment, and a solver.
pub struct Prover {
    compiler: CedarSymCompiler<LocalSolver>,
    rules: Rules,
    forbids: PolicySet,
    environments: Vec<(RequestEnv, Bases)>,
}

/// What invariants are held against; compiled when first asked for.
#[derive(Default)]
struct Bases {
    rules: Option<CompiledPolicySet>,
    forbids: Option<CompiledPolicySet>,
}

impl Prover {
    /// Starts a solver for these rules. It ends with this value. Fails where there is none.
    pub fn start(rules: Rules) -> Result<Self, ProofError> {
        let mut command = tokio::process::Command::new(SOLVER);
        command.args(["--lang", "smt"]).arg(format!("--tlimit-per={QUESTION_MS}")).kill_on_drop(true);
        let solver = LocalSolver::from_command(&mut command).map_err(|error| match error {
            SolverError::Io(error) if error.kind() == ErrorKind::NotFound => ProofError::SolverMissing,
            other => ProofError::Failed(other.to_string()),
        })?;
        let compiler = CedarSymCompiler::new(solver).map_err(|error| ProofError::Failed(error.to_string()))?;
        let environments =
            rules.environments().into_iter().map(|environment| (environment, Bases::default())).collect();
        Ok(Self { compiler, forbids: rules.forbids()?, rules, environments })
    }

    /// Goes on with other rules and the same solver.
    pub fn turn_to(&mut self, rules: Rules) -> Result<(), ProofError> {
        self.forbids = rules.forbids()?;
        self.environments =
            rules.environments().into_iter().map(|environment| (environment, Bases::default())).collect();
        self.rules = rules;
        Ok(())
    }

    /// Whether an invariant holds for every request.
    pub async fn invariant(&mut self, invariant: &Invariant) -> Result<Verdict, ProofError> {
        let place = |error| failed(&invariant.id, error);
        let alone = PolicySet::from_policies([invariant.policy.clone()])
            .map_err(|error| ProofError::text(&invariant.id, &error))?;
        let kept = permit_all_but([&invariant.policy].into_iter())?;
        let mut verdict = Verdict { environments: 0, counterexample: None };
        for (environment, bases) in &mut self.environments {
            let policy = CompiledPolicy::compile(&invariant.policy, environment, &self.rules.schema).map_err(place)?;
            if self.compiler.check_never_matches_opt(&policy).await.map_err(place)? {
                continue;
            }
            verdict.environments += 1;
            let (base, text) = match invariant.claim {
                Claim::NeverByForbids => (&mut bases.forbids, &self.forbids),
                Claim::NeverByRules | Claim::Always => (&mut bases.rules, &self.rules.set),
            };
            let base = match base {
                Some(compiled) => compiled,
                None => base.insert(CompiledPolicySet::compile(text, environment, &self.rules.schema).map_err(place)?),
            };
            let found = match invariant.claim {
                Claim::Always => {
                    let alone = policy.into_compiled_policyset();
                    self.compiler.check_implies_with_counterexample_opt(&alone, base).await
                }
                Claim::NeverByForbids | Claim::NeverByRules => {
                    let kept = CompiledPolicySet::compile(&kept, environment, &self.rules.schema).map_err(place)?;
                    self.compiler.check_implies_with_counterexample_opt(base, &kept).await
                }
            };
            if let Some(env) = found.map_err(place)? {
                verdict.counterexample = Some(confirmed(env, invariant, text, &alone)?);
                break;
            }
        }
        Ok(verdict)
    }

    /// A request on which a rule fails, if there is one.
    pub async fn error_of(&mut self, id: &str) -> Result<Option<Counterexample>, ProofError> {
        let policy = self.rule(id)?;
        for (environment, _) in &self.environments {
            let place = |error| failed(id, error);
            let compiled = CompiledPolicy::compile(&policy, environment, &self.rules.schema).map_err(place)?;
            let found = self.compiler.check_never_errors_with_counterexample_opt(&compiled).await.map_err(place)?;
            if let Some(env) = found {
                return Ok(Some(Counterexample::of(env, &self.rules.set)));
            }
        }
        Ok(None)
    }

    /// In how many environments a rule can apply.
    pub async fn reach_of(&mut self, id: &str) -> Result<usize, ProofError> {
        let policy = self.rule(id)?;
        let mut reach = 0;
        for (environment, _) in &self.environments {
            let place = |error| failed(id, error);
            let compiled = CompiledPolicy::compile(&policy, environment, &self.rules.schema).map_err(place)?;
            reach += usize::from(!self.compiler.check_never_matches_opt(&compiled).await.map_err(place)?);
        }
        Ok(reach)
    }

    /// Names of the rules it is about.
    #[must_use]
    pub fn rules(&self) -> Vec<String> {
        self.rules.ids()
    }

    fn rule(&self, id: &str) -> Result<Policy, ProofError> {
        let found = self.rules.set.policy(&cedar_policy::PolicyId::new(id));
        found.cloned().ok_or_else(|| ProofError::text(id, &"there is no such rule"))
    }
}

/// INVARIANT: what the solver found is a counterexample only if Cedar says so too.
fn confirmed(
    env: Env,
    invariant: &Invariant,
    rules: &PolicySet,
    alone: &PolicySet,
) -> Result<Counterexample, ProofError> {
    let example = Counterexample::of(env, rules);
    let contradicts = example.matches(alone) && example.is_allowed() != (invariant.claim == Claim::Always);
    if contradicts {
        Ok(example)
    } else {
        Err(ProofError::Failed(format!("{}: the solver and Cedar disagree about\n{example}", invariant.id)))
    }
}

fn failed(place: &str, error: SymccError) -> ProofError {
    match error {
        SymccError::SolverUnknown => ProofError::Undecided(place.to_owned()),
        other => ProofError::Failed(format!("{place}: {other}")),
    }
}
