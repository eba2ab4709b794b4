//! Who somebody is: the principal at the root of a credential's lineage, and whether the credential still speaks for it.

use super::{Model, Prepared, Refused, Reply, STEP_UP_MS, Value};
use crate::step::{Label, Office, Place};

/// The principal at the root of a credential's lineage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    Agent(Label),
    Service(String),
    Operator(String),
}

/// A human, as of now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Operator {
    /// 0 auditor, 1 member, 2 approver, 3 owner.
    pub(super) rank: u8,
    /// Logs in no more.
    pub(super) disabled: bool,
}

impl Operator {
    fn take(&mut self, office: Office) {
        match office {
            Office::Role(rank) => self.rank = rank,
            Office::Disable => self.disabled = true,
            Office::Enable => self.disabled = false,
        }
    }
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
    /// Writes secrets without asking; not passed on.
    pub(super) unattended: bool,
    /// It lies in a secret, and whoever plays the history was not told what it is.
    pub(super) delivered: bool,
    pub(super) expires: i64,
    pub(super) revoked: bool,
    pub(super) stepped_up: Option<i64>,
}

impl Model {
    pub(super) fn give(&mut self, name: &str, subject: Subject, bound: Option<Label>, expires: i64) -> &mut Credential {
        let given = Credential {
            subject,
            lineage: vec![],
            bound,
            wide: false,
            unattended: false,
            delivered: false,
            expires,
            revoked: false,
            stepped_up: None,
        };
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
        self.log_at = now;
        self.credentials.get_mut(who)?.stepped_up = Some(now);
        Some(Reply { status: 200, ..Reply::default() })
    }

    /// Another session of an operator. `None`: there is no such operator, or one who may not; that is another test's.
    pub(super) fn log_in(&mut self, name: &str, label: Label) -> Option<Reply> {
        self.operators.get(name).filter(|operator| !operator.disabled)?;
        self.log_at = self.now();
        self.give(&format!("s{label}"), Subject::Operator(name.to_owned()), None, i64::MAX);
        Some(Reply { status: 200, ..Reply::default() })
    }

    pub(super) fn log_out(&mut self, who: &str) -> Option<Reply> {
        if self.operator(who).is_empty() {
            return Some(Reply { status: 403, code: "HUMAN_REQUIRED", ..Reply::default() });
        }
        self.log_at = self.now();
        self.credentials.get_mut(who)?.revoked = true;
        Some(Reply { status: 200, ..Reply::default() })
    }

    /// The organisation keeps one owner who can log in.
    pub(super) fn office_fits(&self, name: &str, office: Office) -> Result<(), Refused> {
        let owns = |operator: &Operator| operator.rank == 3 && !operator.disabled;
        let others = self.operators.iter().any(|(other, operator)| other != name && owns(operator));
        let mut after = self.operators.get(name).ok_or((404, "NOT_FOUND"))?.clone();
        let before = owns(&after);
        after.take(office);
        if before && !owns(&after) && !others { Err((409, "CONFLICT")) } else { Ok(()) }
    }

    /// What a human may changes at once, for all sessions; who is disabled has none any more, also when enabled again.
    pub(super) fn office(&mut self, name: &str, office: Office) {
        if let Some(operator) = self.operators.get_mut(name) {
            operator.take(office);
        }
        let subject = Subject::Operator(name.to_owned());
        for session in self.credentials.values_mut().filter(|one| office == Office::Disable && one.subject == subject) {
            session.revoked = true;
        }
    }

    /// A token never carries more than its minter.
    pub(super) fn mint_fits(&self, who: &str, place: Place, to: Option<&(Label, String)>) -> Result<Prepared, Refused> {
        // Nobody speaks for one workspace in another.
        if matches!((place, to), (Place::Space(at), Some((to, _))) if at != *to) {
            return Err((422, "INVALID_FIELD"));
        }
        let minter = &self.credentials[who];
        let wide = minter.wide || matches!(minter.subject, Subject::Operator(_));
        if place == Place::Org && !wide {
            return Err((403, "SCOPE_MISSING"));
        }
        to.map_or_else(|| Ok(Prepared::default()), |(space, key)| self.delivery_fits(Place::Space(*space), key))
    }

    /// A child never exceeds its parent, never outlives it, and is the same subject unless it is bound to a workspace: for
    /// it, or delivered into it.
    pub(super) fn mint(
        &mut self,
        who: &str,
        (place, life_s): (Place, i64),
        to: Option<&(Label, String)>,
        label: Label,
    ) {
        let name = format!("t{label}");
        let (parent, now) = (self.credentials[who].clone(), self.now());
        let human = matches!(parent.subject, Subject::Operator(_));
        let bound = if let Place::Space(space) = place { Some(space) } else { to.map(|(space, _)| *space) };
        let subject = match (bound, parent.subject) {
            (Some(space), _) => Subject::Agent(space),
            (None, Subject::Operator(_)) => Subject::Service(name.clone()),
            (None, same) => same,
        };
        let own_end = now + life_s * 1000;
        let given = self.give(&name, subject, bound, if human { own_end } else { own_end.min(parent.expires) });
        (given.wide, given.delivered) = (place == Place::Org, to.is_some());
        if !human {
            given.lineage = [vec![who.to_owned()], parent.lineage].concat();
        }
        if let Some((space, key)) = to {
            self.put(Place::Space(*space), key, Value::Token(label), true);
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
