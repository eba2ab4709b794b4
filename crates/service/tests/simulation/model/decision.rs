//! May it, and does a human have to agree: by what the subject is and what the act does to whom, never by the route or the
//! credential it came with.

use super::{Effect, Effects, Model, Refused, Subject, words::aim};
use crate::step::{Act, Change, Place, ROOT, Write};

impl Model {
    /// What it would do to agents. `None`: it speaks of a workspace that is not there.
    pub(super) fn effects(&self, act: &Act) -> Option<Effects> {
        if matches!(aim(act), Some(Place::Space(at)) if !self.lives(at)) {
            return None;
        }
        let (effect, spaces) = match act {
            Act::Secret { place, key, .. } => (Effect::Reconfigures, self.reached(*place, key)?),
            Act::Pair { one, two } => {
                (Effect::Reconfigures, [self.reached(one.0, &one.1)?, self.reached(two.0, &two.1)?].concat())
            }
            Act::Space { space, change: Change::Restart } => (Effect::Interrupts, vec![*space]),
            Act::Space { space, change: Change::Pause } => (Effect::Interrupts, self.below(*space)),
            Act::Space { space, change: Change::Remove } => (Effect::Destroys, self.below(*space)),
            Act::Mint { to: Some((to, key)), .. } => (Effect::Reconfigures, self.reached(Place::Space(*to), key)?),
            _ => return Some(Effects::new()),
        };
        Some(spaces.into_iter().map(|space| (effect, space)).collect())
    }

    /// Whether it may.
    pub(super) fn judge(&self, who: &str, act: &Act, effects: Option<&Effects>) -> Result<(), Refused> {
        let subject = &self.credentials[who].subject;
        let home = if let Subject::Agent(home) = subject { Some(*home) } else { None };
        let confined = home.is_some_and(|home| home != ROOT);
        let machine = !matches!(subject, Subject::Operator(_));
        let (aim, own) = (aim(act), self.own(who, act));
        let write = matches!(act, Act::Secret { .. } | Act::Pair { .. });
        let change = matches!(act, Act::Space { .. });
        let blocked = Err((403, if write { "CONCIERGE_SELF_WRITE_BLOCKED" } else { "SELF_INTERRUPTION_BLOCKED" }));
        // What cannot be looked up is refused: a human is told plainly, an ordinary agent must not learn what exists.
        let Some(effects) = effects else {
            return match (machine, confined) {
                (false, _) => Err((404, "WORKSPACE_NOT_FOUND")),
                // Across workspaces it may nothing anyway, whether they are there or not.
                (true, true) if aim == Some(Place::Org) => Err((403, "NOT_ENTITLED")),
                (true, true) => Err((404, "NOT_FOUND")),
                (true, false) => blocked,
            };
        };
        let hidden = match act {
            Act::Withdraw { .. } => !own,
            Act::Revoke { .. } => confined && !own,
            // Another workspace by way of its own is another workspace.
            Act::Mint { to: Some((to, _)), .. } if aim != Some(Place::Org) => {
                confined && (home != Some(*to) || aim != Some(Place::Space(*to)))
            }
            _ => confined && matches!(aim, Some(Place::Space(at)) if home != Some(at)),
        };
        if hidden {
            return Err((404, "NOT_FOUND"));
        }
        // No program touches the root, and no agent ends itself.
        let root = effects.iter().any(|(_, at)| *at == ROOT);
        let at_root = match act {
            Act::Revoke { token } => self.credentials[token].bound == Some(ROOT),
            _ => (write || change) && aim == Some(Place::Space(ROOT)),
        };
        let itself = effects.iter().any(|(effect, at)| *effect != Effect::Reconfigures && home == Some(*at));
        if machine && (root || at_root || itself) {
            return blocked;
        }
        let governs = governs(act);
        if machine && governs {
            return Err((403, "HUMAN_REQUIRED"));
        }
        let decides = matches!(act, Act::Vote { .. } | Act::BreakGlass { .. });
        if decides && own {
            return Err((403, "SELF_APPROVAL_BLOCKED"));
        }
        if governs && !self.proven(who) {
            return Err((403, "STEP_UP_REQUIRED"));
        }
        let Some(rank) = self.rank(subject) else {
            // A confined agent works at home and decides nothing about workspaces.
            let abroad = aim == Some(Place::Org) || change || matches!(act, Act::Create { .. });
            return if confined && abroad { Err((403, "NOT_ENTITLED")) } else { Ok(()) };
        };
        let member = match act {
            Act::Create { .. } | Act::Send { .. } | Act::Withdraw { .. } => true,
            Act::Mint { .. } | Act::Revoke { .. } | Act::Space { change: Change::Remove, .. } => false,
            _ => !governs && !root && matches!(aim, Some(Place::Space(at)) if at != ROOT),
        };
        let may = match rank {
            3 => true,
            2 => !governs || decides,
            1 => member,
            _ => false,
        };
        if may { Ok(()) } else { Err((403, "ROLE_REQUIRED")) }
    }

    /// Whether the subject stands behind what the act is about: asked for it, is it, or minted it.
    fn own(&self, who: &str, act: &Act) -> bool {
        let subject = &self.credentials[who].subject;
        match act {
            Act::Withdraw { ask } | Act::Vote { ask, .. } | Act::BreakGlass { ask } => {
                self.ask(*ask).is_some_and(|ask| ask.subject == *subject)
            }
            Act::Revoke { token } => {
                let token = &self.credentials[token];
                token.subject == *subject || token.lineage.iter().any(|parent| parent == who)
            }
            _ => false,
        }
    }

    /// How many approvers must say yes; 0 if it may be done at once.
    pub(super) fn needs(&self, who: &str, act: &Act, effects: &Effects) -> usize {
        let subject = &self.credentials[who].subject;
        let asks = match (subject, act) {
            (Subject::Operator(_), _) => false,
            (Subject::Agent(home), Act::Secret { .. } | Act::Pair { .. }) => {
                aim(act) != Some(Place::Space(*home)) || effects.iter().any(|(_, at)| at != home)
            }
            (Subject::Service(_), Act::Secret { .. } | Act::Pair { .. }) => !self.credentials[who].unattended,
            (_, Act::Mint { .. } | Act::Space { change: Change::Remove, .. }) => true,
            (_, Act::Revoke { .. }) => !self.own(who, act),
            _ => false,
        };
        let ruled = if act.is_set() { self.rules.values().copied().max() } else { None };
        usize::from(asks).max(ruled.unwrap_or(0) as usize)
    }
}

/// What only humans do, who have just shown that they are there.
fn governs(act: &Act) -> bool {
    let destroys = matches!(act, Act::Secret { write: Write::Destroy { .. }, .. });
    let decides = matches!(act, Act::Vote { .. } | Act::BreakGlass { .. });
    destroys || decides || matches!(act, Act::Rule { .. } | Act::Unrule { .. } | Act::Operator { .. })
}
