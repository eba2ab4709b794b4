//! Who somebody is: the principal at the root of a credential's lineage, and whether the credential still speaks for it.

use super::{Model, Refused, Reply, STEP_UP_MS};
use crate::step::{Label, Place};

/// The principal at the root of a credential's lineage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Agent(Label),
    Service { name: String, unattended: bool },
    Operator(String),
}

/// A human, as of now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Operator {
    /// 0 auditor, 1 member, 2 approver, 3 owner.
    pub(super) rank: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Credential {
    pub(super) subject: Subject,
    /// Those it was minted from, nearest first.
    pub(super) lineage: Vec<String>,
    /// The workspace it was minted for.
    pub(super) bound: Option<Label>,
    /// Carries what an organisation token carries, not only what a workspace token does.
    pub(super) wide: bool,
    expires: i64,
    pub(super) revoked: bool,
    pub(super) stepped_up: Option<i64>,
}

impl Model {
    pub(super) fn give(&mut self, name: &str, subject: Subject, bound: Option<Label>, expires: i64) -> &mut Credential {
        let given =
            Credential { subject, lineage: vec![], bound, wide: false, expires, revoked: false, stepped_up: None };
        let place = self.credentials.entry(name.to_owned()).or_insert_with(|| given.clone());
        *place = given;
        place
    }

    /// Why a credential is none; the outer `None` if there never was one.
    pub(super) fn stranger(&self, who: &str) -> Option<Option<&'static str>> {
        match who {
            "nobody" => return Some(Some("UNAUTHENTICATED")),
            "forged" => return Some(Some("CREDENTIAL_INVALID")),
            _ => {}
        }
        let credential = self.credentials.get(who)?;
        Some(if credential.revoked {
            Some("CREDENTIAL_REVOKED")
        } else {
            (self.now() >= credential.expires).then_some("CREDENTIAL_EXPIRED")
        })
    }

    /// What a human may, by rank; `None` for a program.
    pub(super) fn rank(&self, subject: &Subject) -> Option<u8> {
        let Subject::Operator(name) = subject else { return None };
        self.operators.get(name).map(|operator| operator.rank)
    }

    /// The human behind a session, or nobody.
    pub(super) fn operator(&self, who: &str) -> &str {
        let credential = self.credentials.get(who);
        credential.map_or("", |one| if let Subject::Operator(name) = &one.subject { name } else { "" })
    }

    /// Whether the password was shown just now. A program has none to show.
    pub(super) fn proven(&self, who: &str) -> bool {
        self.credentials[who].stepped_up.is_some_and(|at| self.now() < at + STEP_UP_MS)
    }

    pub(super) fn step_up(&mut self, who: &str) -> Option<Reply> {
        let now = self.now();
        self.credentials.get_mut(who)?.stepped_up = Some(now);
        Some(Reply { status: 200, ..Reply::default() })
    }

    /// A token never carries more than its minter.
    pub(super) fn mint_fits(&self, who: &str, place: Place) -> Result<(), Refused> {
        let minter = &self.credentials[who];
        let wide = minter.wide || matches!(minter.subject, Subject::Operator(_));
        if place == Place::Org && !wide { Err((403, "SCOPE_MISSING")) } else { Ok(()) }
    }

    /// A child never exceeds its parent, never outlives it, and is the same subject unless it is bound to a workspace.
    pub(super) fn mint(&mut self, who: &str, place: Place, life_s: i64, label: Label) {
        let name = format!("t{label}");
        let (parent, now) = (self.credentials[who].clone(), self.now());
        let human = matches!(parent.subject, Subject::Operator(_));
        let bound = if let Place::Space(space) = place { Some(space) } else { None };
        let subject = match (bound, parent.subject) {
            (Some(space), _) => Subject::Agent(space),
            (None, Subject::Operator(_)) => Subject::Service { name: name.clone(), unattended: false },
            (None, same) => same,
        };
        let own_end = now + life_s * 1000;
        let given = self.give(&name, subject, bound, if human { own_end } else { own_end.min(parent.expires) });
        given.wide = bound.is_none();
        if !human {
            given.lineage = [vec![who.to_owned()], parent.lineage].concat();
        }
    }

    pub(super) fn revoke_fits(&self, token: &str) -> Result<(), Refused> {
        let token = &self.credentials[token];
        let gone = token.revoked || token.bound.is_some_and(|space| !self.lives(space));
        if gone { Err((404, "NOT_FOUND")) } else { Ok(()) }
    }

    /// A credential dies with those it was minted from.
    pub(super) fn revoke(&mut self, token: &str) {
        for (name, credential) in &mut self.credentials {
            credential.revoked |= name == token || credential.lineage.iter().any(|parent| parent == token);
        }
    }
}
