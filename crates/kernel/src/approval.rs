//! The life of an approval, as data: `pending` and six ends. A timeout is never a yes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    id::OperatorId,
    operator::Role,
    policy::{Requirements, Who},
    time::Timestamp,
};

/// How long a request waits for a human, unless the configuration says otherwise.
pub const EXPIRES_IN_MS: i64 = 24 * 60 * 60 * 1000;
/// Most requests of one principal that wait at the same time: nobody may flood an approver.
pub const PENDING_PER_PRINCIPAL_MAX: i64 = 50;
/// How long an exact request stays refused after a human denied it.
pub const DENIED_STANDS_MS: i64 = 15 * 60 * 1000;

/// State of an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waiting for humans.
    Pending,
    /// Humans agreed and the platform did it.
    Applied,
    /// A human said no.
    Denied,
    /// Nobody said yes in time.
    Expired,
    /// The requester took it back.
    Withdrawn,
    /// What was asked is no longer what would happen.
    Voided,
    /// Humans agreed and it could not be done; nothing was.
    Failed,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Applied, Self::Denied, Self::Expired, Self::Withdrawn, Self::Voided, Self::Failed];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Applied => "applied",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Voided => "voided",
            Self::Failed => "failed",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing leads out of it.
    pub const fn is_end(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

/// One operator's vote, with what the operator is *now*: who lost the right since no longer counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub operator: OperatorId,
    /// Yes or no.
    pub approve: bool,
    /// Role at the time of counting; `None` when disabled.
    pub role: Option<Role>,
    /// Groups at the time of counting.
    pub groups: Vec<String>,
    /// Items acknowledged.
    pub checklist: Vec<String>,
    /// Whether a note came with it.
    pub noted: bool,
}

/// What the votes so far amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tally {
    /// Not enough yet; this many of whom are missing.
    Open(Vec<(Who, u32)>),
    /// Every requirement is met.
    Met,
    /// A no from someone entitled.
    Denied,
}

/// Whether this operator's vote counts towards anything.
pub fn entitled(requirements: &Requirements, role: Option<Role>, groups: &[String]) -> bool {
    role.is_some_and(|role| requirements.votes.keys().any(|who| counts_for(who, role, groups)))
}

fn counts_for(who: &Who, role: Role, groups: &[String]) -> bool {
    match who {
        Who::Role(least) => role >= *least,
        // An auditor reads; being in a group does not change that.
        Who::Group(group) => role > Role::Auditor && groups.iter().any(|g| g == group),
    }
}

/// Counts. One vote may count towards several requirements that name different groups the voter is in, but each
/// requirement needs that many *different* people.
pub fn tally(requirements: &Requirements, votes: &[Vote]) -> Tally {
    let counted = |vote: &&Vote| entitled(requirements, vote.role, &vote.groups);
    if votes.iter().filter(counted).any(|vote| !vote.approve) {
        return Tally::Denied;
    }
    let yes: Vec<&Vote> = votes.iter().filter(counted).filter(|vote| vote.approve).collect();
    let mut missing = Vec::new();
    for (who, needed) in &requirements.votes {
        let have = yes.iter().filter(|vote| vote.role.is_some_and(|role| counts_for(who, role, &vote.groups))).count();
        let have = u32::try_from(have).unwrap_or(u32::MAX);
        if have < *needed {
            missing.push((who.clone(), needed - have));
        }
    }
    // INVARIANT: an empty set of requirements is not met; nobody agreed to anything.
    if missing.is_empty() && !requirements.votes.is_empty() { Tally::Met } else { Tally::Open(missing) }
}

/// The checklist items a yes still lacks.
pub fn checklist_missing<'a>(requirements: &'a Requirements, acknowledged: &[String]) -> Vec<&'a str> {
    requirements.checklist.iter().filter(|item| !acknowledged.contains(item)).map(String::as_str).collect()
}

/// Whether an approval that expires at `expires_at` may still be decided at `now`. The instant of expiry is too late.
pub fn in_time(now: Timestamp, expires_at: Timestamp) -> bool {
    now < expires_at
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn vote(id: u128, approve: bool, role: Role, groups: &[&str]) -> Vote {
        Vote {
            operator: OperatorId::from_uuid(uuid::Uuid::from_u128(id)),
            approve,
            role: Some(role),
            groups: groups.iter().map(ToString::to_string).collect(),
            checklist: Vec::new(),
            noted: false,
        }
    }

    fn needs(votes: &[(Who, u32)]) -> Requirements {
        Requirements { votes: votes.iter().cloned().collect::<BTreeMap<_, _>>(), ..Requirements::default() }
    }

    #[test]
    fn nobody_asked_is_not_agreed() {
        assert_eq!(tally(&Requirements::default(), &[vote(1, true, Role::Owner, &[])]), Tally::Open(Vec::new()));
    }

    #[test]
    fn one_security_and_one_qa() {
        let needs = needs(&[(Who::Group("security".into()), 1), (Who::Group("qa".into()), 1)]);
        let security = vote(1, true, Role::Member, &["security"]);
        assert_eq!(tally(&needs, std::slice::from_ref(&security)), Tally::Open(vec![(Who::Group("qa".into()), 1)]));
        assert_eq!(tally(&needs, &[security.clone(), vote(2, true, Role::Member, &["qa"])]), Tally::Met);
        assert_eq!(tally(&needs, &[security, vote(2, false, Role::Member, &["qa"])]), Tally::Denied);
    }

    #[test]
    fn a_vote_counts_for_what_the_voter_is_now() {
        let needs = needs(&[(Who::Role(Role::Approver), 1)]);
        assert_eq!(tally(&needs, &[vote(1, true, Role::Approver, &[])]), Tally::Met);
        let demoted = vote(1, true, Role::Member, &[]);
        assert!(matches!(tally(&needs, &[demoted]), Tally::Open(_)));
        let disabled = Vote { role: None, ..vote(1, true, Role::Owner, &[]) };
        assert!(matches!(tally(&needs, &[disabled]), Tally::Open(_)));
        let stranger_no = vote(2, false, Role::Member, &[]);
        assert!(matches!(tally(&needs, &[stranger_no]), Tally::Open(_)), "a no counts only from the entitled");
    }

    #[test]
    fn who_is_missing_is_counted_and_a_vote_beyond_does_no_harm() {
        let approvers = Who::Role(Role::Approver);
        let needs = needs(&[(approvers.clone(), 3)]);
        let votes: Vec<Vote> = (1..=4).map(|id| vote(id, true, Role::Owner, &[])).collect();
        for (cast, outcome) in [
            (0, Tally::Open(vec![(approvers.clone(), 3)])),
            (1, Tally::Open(vec![(approvers.clone(), 2)])),
            (2, Tally::Open(vec![(approvers, 1)])),
            (3, Tally::Met),
            (4, Tally::Met),
        ] {
            assert_eq!(tally(&needs, &votes[..cast]), outcome, "{cast} votes");
        }
    }

    #[test]
    fn an_auditor_counts_nowhere_and_the_least_role_that_is_named_does() {
        let group = needs(&[(Who::Group("qa".into()), 1)]);
        let of_qa = ["qa".to_owned()];
        assert!(!entitled(&group, Some(Role::Auditor), &of_qa));
        assert!(entitled(&group, Some(Role::Member), &of_qa));
        assert!(!entitled(&group, Some(Role::Owner), &["security".to_owned()]));
        assert!(!entitled(&group, None, &of_qa));
        let role = needs(&[(Who::Role(Role::Approver), 1)]);
        let counts = Role::ALL.map(|least| entitled(&role, Some(least), &[]));
        assert_eq!(counts, [false, false, true, true]);
    }

    #[test]
    fn an_item_that_nobody_acknowledged_is_missing() {
        let items = ["backup taken".to_owned(), "team told".to_owned()];
        let needs = Requirements { checklist: items.to_vec(), ..Requirements::default() };
        assert_eq!(checklist_missing(&needs, &[]), ["backup taken", "team told"]);
        assert_eq!(checklist_missing(&needs, &items[1..]), ["backup taken"]);
        assert!(checklist_missing(&needs, &items).is_empty());
    }

    #[test]
    fn only_pending_is_no_end_and_every_word_reads_back() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
            assert_eq!(state.is_end(), state != State::Pending);
        }
        assert_eq!(State::parse("approved"), None);
    }

    #[test]
    fn a_request_waits_a_day_and_a_no_stands_a_quarter_of_an_hour() {
        assert_eq!((EXPIRES_IN_MS, DENIED_STANDS_MS), (86_400_000, 900_000));
    }

    #[test]
    fn the_instant_of_expiry_is_too_late() {
        assert!(in_time(Timestamp(9), Timestamp(10)));
        assert!(!in_time(Timestamp(10), Timestamp(10)));
    }
}
