//! What must hold, as text that a reviewer can read: `policies/invariants/*.cedar`.

use cedar_policy::{Effect, Policy, PolicyId, PolicySet};

use super::ProofError;

/// What must never and what must always be allowed.
const SHIPPED: [(&str, &str); 2] = [
    ("invariants/never.cedar", include_str!("../../../../policies/invariants/never.cedar")),
    ("invariants/always.cedar", include_str!("../../../../policies/invariants/always.cedar")),
];

/// What an invariant claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing it matches is allowed, by the prohibitions alone: no permission that anybody adds undoes it.
    NeverByForbids,
    /// Nothing it matches is allowed, by prohibitions and permissions together.
    NeverByRules,
    /// Everything it matches is allowed.
    Always,
}

impl Claim {
    /// In one word, for reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverByForbids => "never_by_forbids",
            Self::NeverByRules => "never_by_rules",
            Self::Always => "always",
        }
    }
}

/// One sentence that holds for every request, and its exact meaning.
#[derive(Clone, Debug)]
pub struct Invariant {
    /// Its name.
    pub id: String,
    /// The sentence.
    pub says: String,
    /// What it claims.
    pub claim: Claim,
    pub(super) policy: Policy,
}

impl Invariant {
    /// The invariants of the shipped policies, in the order of their files.
    pub fn shipped() -> Result<Vec<Self>, ProofError> {
        let mut all = Vec::new();
        for (file, text) in SHIPPED {
            all.extend(Self::read(file, text)?);
        }
        Ok(all)
    }

    /// Reads invariants from text. `file` is named in errors.
    pub fn read(file: &str, text: &str) -> Result<Vec<Self>, ProofError> {
        let set: PolicySet = text.parse().map_err(|error| ProofError::text(file, &error))?;
        let mut all = set.policies().map(|policy| Self::of(file, policy)).collect::<Result<Vec<_>, _>>()?;
        // The parser numbers what it reads; the set itself has no order.
        all.sort_by_key(|(number, _)| *number);
        Ok(all.into_iter().map(|(_, invariant)| invariant).collect())
    }

    fn of(file: &str, policy: &Policy) -> Result<(usize, Self), ProofError> {
        let number = policy.id().to_string().trim_start_matches("policy").parse().unwrap_or(usize::MAX);
        let word = |name: &str| policy.annotation(name).map(str::to_owned);
        let id = word("id").ok_or_else(|| ProofError::text(file, &"an invariant without @id"))?;
        let says = word("says").ok_or_else(|| ProofError::text(&id, &"an invariant without @says"))?;
        let claim = match (policy.effect(), policy.annotation("from")) {
            (Effect::Forbid, Some("forbids")) => Claim::NeverByForbids,
            (Effect::Forbid, Some("rules")) => Claim::NeverByRules,
            (Effect::Permit, None) => Claim::Always,
            (Effect::Forbid | Effect::Permit, _) => {
                return Err(ProofError::text(
                    &id,
                    &"@from is `forbids` or `rules` on a forbid, and absent on a permit",
                ));
            }
        };
        let policy = policy.new_id(PolicyId::new(&id));
        Ok((number, Self { id, says, claim, policy }))
    }
}
