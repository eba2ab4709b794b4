//! `decide`: one pure, total function from subject, deed and facts to allow, hold or deny.
//!
//! The rules are the Cedar policies in `policies/`, validated strictly at start. What Cedar would skip, we refuse: a
//! policy that errors while being evaluated makes the whole decision a refusal, because a broken prohibition must not
//! permit. Nothing said means no.

mod evaluate;
mod load;
mod request;
mod rule;
mod slice;

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{PolicyId as CedarId, PolicySet, Schema};
use serde::{Deserialize, Serialize};

use evaluate::{Answer, Memory};
pub use load::{LoadError, check_added};
pub use rule::{MATRIX, Rule, annotations_of};
pub use slice::{Added, Index, TooMany, request_slots};

use request::Question;

use crate::{
    consequence::Consequence,
    deed::{Deed, Target},
    facts::{FactGap, Facts},
    refusal::Code,
    subject::{Principal, Subject},
    verb::Verb,
};

/// Most policies that operators added and that one decision may have to look at. More is a refusal, not a slow answer.
pub const CANDIDATES_MAX: usize = 128;

/// The shipped text, in the order it is loaded.
pub const SHIPPED: [(&str, &str); 3] = [
    ("10-structural.cedar", include_str!("../../../../policies/10-structural.cedar")),
    ("20-holds.cedar", include_str!("../../../../policies/20-holds.cedar")),
    ("30-permits.cedar", include_str!("../../../../policies/30-permits.cedar")),
];

/// The shipped schema.
pub const SCHEMA: &str = include_str!("../../../../policies/portcullis.cedarschema");

/// Who must agree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "by", content = "name", rename_all = "snake_case")]
pub enum Who {
    /// Operators with at least this role.
    Role(crate::operator::Role),
    /// Members of this group.
    Group(String),
}

/// What humans have to do before a held deed may happen. Several rules add up: the larger count of each wins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requirements {
    /// How many of whom; all must be met.
    #[serde(with = "counts")]
    pub votes: BTreeMap<Who, u32>,
    /// Items to acknowledge or mark not applicable.
    pub checklist: Vec<String>,
    /// A note is needed to approve.
    pub note: bool,
}

impl Requirements {
    fn merge(&mut self, other: &Self) {
        for (who, count) in &other.votes {
            let slot = self.votes.entry(who.clone()).or_insert(0);
            *slot = (*slot).max(*count);
        }
        for item in &other.checklist {
            if !self.checklist.contains(item) {
                self.checklist.push(item.clone());
            }
        }
        self.note |= other.note;
    }
}

/// A map with structured keys, as a list of pairs on the wire.
mod counts {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Who;

    pub fn serialize<S: Serializer>(map: &BTreeMap<Who, u32>, serializer: S) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Who, u32>, D::Error> {
        Ok(Vec::<(Who, u32)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// Proof that `decide` said yes. Only this module makes one, and the gate asks for one before it mints a permit.
///
/// ```compile_fail
/// let forged = portcullis_kernel::policy::Allowed { rule: "owner".into() };
/// ```
#[derive(Debug)]
pub struct Allowed {
    rule: String,
}

impl Allowed {
    /// The rule that permitted.
    pub fn rule(&self) -> &str {
        &self.rule
    }
}

/// A refusal, with the rule that decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule.
    pub rule: String,
    /// The code.
    pub code: Code,
    /// Machine-readable reason, snake case.
    pub reason: String,
    /// The incident the rule comes from.
    pub issue: Option<String>,
    /// Overrides the code's next step.
    pub next_step: Option<String>,
    /// `fact_unavailable` when a fact was missing.
    pub cause: Option<&'static str>,
}

/// A human may agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The rules that hold, joined by commas.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// Who must agree to what.
    pub requirements: Requirements,
}

/// The answer.
#[derive(Debug)]
pub enum Decision {
    /// Yes.
    Allow(Allowed),
    /// Yes, if humans agree.
    Hold(Held),
    /// No.
    Deny(Denial),
}

/// What a rule says about itself in its annotations.
#[derive(Debug, Clone)]
struct Meta {
    rank: u32,
    code: Code,
    reason: String,
    issue: Option<String>,
    next_step: Option<String>,
    hold: Option<Requirements>,
}

/// The loaded rules. Built once; deciding changes nothing in it.
pub struct Policy {
    schema: Schema,
    shipped: HashMap<(&'static str, Verb), PolicySet>,
    meta: HashMap<CedarId, Meta>,
    rules: Vec<Rule>,
    names: request::Names,
    memory: Memory,
    digest: String,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Policy {
    /// Digest of the shipped rules; with the revision of the added ones it is the policy version an approval binds.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The shipped rules, in the order they are loaded.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Decides. `added` are the operators' policies that could apply ([`Index::candidates`]).
    ///
    /// A gap in the facts is a refusal. For agents and services it has the same code as the rule that could not be
    /// checked (design §4), so that an agent cannot tell a guarded target from one whose guard is broken.
    pub fn decide(
        &self,
        subject: &Subject,
        deed: &Deed,
        facts: Result<&Facts, &FactGap>,
        added: &Result<Vec<std::sync::Arc<Added>>, TooMany>,
    ) -> Decision {
        let facts = match facts {
            Ok(facts) => facts,
            Err(FactGap::Hidden) => return Decision::Deny(self.hidden(subject, deed)),
            Err(gap) => return Decision::Deny(fact_denial(subject, deed, gap)),
        };
        let added = match added {
            Ok(added) => added.as_slice(),
            Err(TooMany) => return Decision::Deny(policy_error("too_many_policies")),
        };
        let mut allowed = Vec::new();
        let mut held: Option<Held> = None;
        for verb in deed.verbs() {
            match self.decide_verb(subject, deed, verb, facts, added) {
                Decision::Allow(yes) => allowed.push(yes.rule),
                Decision::Deny(no) => return Decision::Deny(no),
                Decision::Hold(hold) => match &mut held {
                    Some(all) => {
                        all.requirements.merge(&hold.requirements);
                        all.rule = format!("{},{}", all.rule, hold.rule);
                    }
                    None => held = Some(hold),
                },
            }
        }
        match held {
            Some(hold) => Decision::Hold(hold),
            // INVARIANT: a deed has at least one verb; an empty conjunction is not a yes.
            None if allowed.is_empty() => Decision::Deny(silence(subject)),
            None => Decision::Allow(Allowed { rule: allowed.join(",") }),
        }
    }

    /// What an ordinary agent is told of something that does not exist: word for word what it would be told if it did.
    fn hidden(&self, subject: &Subject, deed: &Deed) -> Denial {
        let rule = match deed.target() {
            Target::Workspace(_) => "ordinary_agent_sees_its_own_workspace",
            Target::Token(_) => "ordinary_agent_sees_its_own_tokens",
            Target::Approval(_) if deed.verb() == Verb::ApprovalWithdraw => "only_the_requester_withdraws",
            Target::Approval(_) => "agents_do_not_govern",
            Target::Organisation => return silence(subject),
        };
        self.meta.get(&CedarId::new(rule)).map_or_else(|| silence(subject), |meta| denial_of(rule, meta))
    }

    /// What is said where no rule permits. To an ordinary agent its line is open only where a policy says so: until then
    /// it is told the same as of everything else that it does not see.
    fn unsaid(&self, subject: &Subject, deed: &Deed, facts: &Facts) -> Denial {
        let elsewhere = |home| home != facts.root && deed.target() != Target::Workspace(home);
        match subject.principal {
            Principal::Agent(home) if matches!(deed, Deed::MessageSend(_)) && elsewhere(home) => {
                self.hidden(subject, deed)
            }
            _ => silence(subject),
        }
    }

    fn decide_verb(
        &self,
        subject: &Subject,
        deed: &Deed,
        verb: Verb,
        facts: &Facts,
        added: &[std::sync::Arc<Added>],
    ) -> Decision {
        let first = match self.evaluate(&Question::new(subject, deed, verb, facts, facts.approved), added) {
            Ok(answer) => answer,
            Err(denial) => return Decision::Deny(denial),
        };
        let forbids = match first {
            Answer::Permit(rule) => return Decision::Allow(Allowed { rule }),
            Answer::Silence => return Decision::Deny(self.unsaid(subject, deed, facts)),
            Answer::Forbid(forbids) => forbids,
        };
        let worst =
            forbids.iter().filter(|(_, meta)| meta.hold.is_none()).min_by_key(|(id, meta)| (meta.rank, id.clone()));
        if let Some((id, meta)) = worst {
            return Decision::Deny(denial_of(id, meta));
        }
        // Every rule that forbids says a human may agree. Ask again as if one had: an approval that could never be used
        // must be a refusal at once. Where humans have agreed already it is the same question, and the same no.
        let mut held = Held { rule: String::new(), reason: String::new(), requirements: Requirements::default() };
        for (id, meta) in &forbids {
            if let Some(requirements) = &meta.hold {
                held.requirements.merge(requirements);
                let comma = if held.rule.is_empty() { "" } else { "," };
                held.rule = format!("{}{comma}{id}", held.rule);
                if held.reason.is_empty() {
                    held.reason = meta.reason.clone();
                }
            }
        }
        // A hold that asks nobody would be a yes nobody gave.
        if held.requirements.votes.is_empty() {
            return Decision::Deny(denial_of(&forbids[0].0, &forbids[0].1));
        }
        match self.evaluate(&Question::new(subject, deed, verb, facts, true), added) {
            Ok(Answer::Permit(_)) => Decision::Hold(held),
            Ok(Answer::Silence) => Decision::Deny(self.unsaid(subject, deed, facts)),
            Ok(Answer::Forbid(still)) => {
                let worst = still.iter().min_by_key(|(id, meta)| (meta.hold.is_some(), meta.rank, id.clone()));
                Decision::Deny(worst.map_or_else(|| silence(subject), |(id, meta)| denial_of(id, meta)))
            }
            Err(denial) => Decision::Deny(denial),
        }
    }

    /// The consequences of `deed`, given `facts`; the same list the rules judge and the intents are derived from.
    pub fn consequences(deed: &Deed, facts: &Facts) -> Vec<Consequence> {
        deed.consequences(&facts.reaches)
    }
}

fn denial_of(id: &str, meta: &Meta) -> Denial {
    Denial {
        rule: id.to_owned(),
        code: meta.code,
        reason: meta.reason.clone(),
        issue: meta.issue.clone(),
        next_step: meta.next_step.clone(),
        cause: None,
    }
}

fn silence(subject: &Subject) -> Denial {
    let code = match subject.principal {
        Principal::Operator(_) => Code::RoleRequired,
        Principal::Agent(_) | Principal::Service(_) | Principal::System(_) => Code::NotEntitled,
    };
    let reason = code.as_str().to_ascii_lowercase();
    Denial { rule: "silence".to_owned(), code, reason, issue: None, next_step: None, cause: None }
}

fn policy_error(reason: &str) -> Denial {
    Denial {
        rule: "policy_error".to_owned(),
        code: Code::PolicyError,
        reason: reason.to_owned(),
        issue: None,
        next_step: None,
        cause: None,
    }
}

fn fact_denial(subject: &Subject, deed: &Deed, gap: &FactGap) -> Denial {
    let (code, reason) = match (&subject.principal, gap) {
        (Principal::Operator(_) | Principal::System(_), FactGap::Absent | FactGap::Hidden) => match deed.target() {
            // What spans workspaces is aimed at the organisation, which is always there: one of the workspaces is not.
            Target::Workspace(_) | Target::Organisation => (Code::WorkspaceNotFound, "workspace_not_found"),
            Target::Token(_) | Target::Approval(_) => (Code::NotFound, "not_found"),
        },
        (Principal::Operator(_) | Principal::System(_), FactGap::Unreadable(_)) => {
            (Code::FactUnavailable, "fact_unavailable")
        }
        (Principal::Agent(_) | Principal::Service(_), _) if deed.verb().is_secret_write() => {
            (Code::ConciergeSelfWriteBlocked, "concierge_self_write_blocked")
        }
        (Principal::Agent(_) | Principal::Service(_), _) => {
            (Code::SelfInterruptionBlocked, "root_interruption_blocked")
        }
    };
    let issue = matches!(code, Code::ConciergeSelfWriteBlocked).then(|| "core#2566".to_owned());
    let next_step = matches!(code, Code::ConciergeSelfWriteBlocked | Code::SelfInterruptionBlocked)
        .then(|| "check the id; do not retry by another route; if the id is right, tell a human operator".to_owned());
    Denial {
        rule: "fact_unavailable".to_owned(),
        code,
        reason: reason.to_owned(),
        issue,
        next_step,
        cause: Some("fact_unavailable"),
    }
}
