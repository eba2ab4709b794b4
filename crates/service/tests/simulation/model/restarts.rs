//! Which agents a change reaches, and what that does to them: each is owed one restart more, whatever reached it.

use super::{Effects, Model, Refused, Subject};
use crate::step::{Change, Label, Place, ROOT};

impl Model {
    pub(super) fn lives(&self, space: Label) -> bool {
        self.spaces.get(&space).is_some_and(|space| !space.removed)
    }

    /// Those above a workspace, nearest first.
    fn above(&self, space: Label) -> impl Iterator<Item = Label> {
        std::iter::successors(Some(space), |at| self.spaces.get(at)?.parent).skip(1)
    }

    /// A workspace and all below it.
    pub(super) fn below(&self, space: Label) -> Vec<Label> {
        let under = |at: &Label| *at == space || self.above(*at).any(|above| above == space);
        self.spaces.keys().copied().filter(|at| self.lives(*at) && under(at)).collect()
    }

    /// Whom a secret reaches: its workspace, or everybody who has no value of that name. `None`: nobody could be there.
    pub(super) fn reached(&self, place: Place, key: &str) -> Option<Vec<Label>> {
        let overrides = |at: &Label| {
            let secret = self.secrets.get(&(Place::Space(*at), key.to_owned()));
            secret.is_some_and(|secret| secret.value().is_some())
        };
        match place {
            Place::Space(space) => self.lives(space).then(|| vec![space]),
            Place::Org => Some(self.below(ROOT).into_iter().filter(|at| !overrides(at)).collect()),
        }
    }

    /// Owes each of them one restart more.
    pub(super) fn raise(&mut self, effects: &Effects) {
        for (_, at) in effects {
            self.spaces.entry(*at).and_modify(|space| space.generation += 1);
        }
    }

    pub(super) fn change_fits(&self, space: Label, change: Change) -> Result<(), Refused> {
        match change {
            Change::Remove if space == ROOT => Err((409, "CONFLICT")),
            Change::Restart if self.spaces[&space].paused => Err((409, "CONFLICT")),
            Change::Resume if self.above(space).any(|at| self.spaces[&at].paused) => Err((409, "ANCESTOR_PAUSED")),
            _ => Ok(()),
        }
    }

    /// A pause, a resumption and a removal take those below along; a restart leaves nothing but what it owes.
    pub(super) fn change(&mut self, space: Label, change: Change) {
        for at in self.below(space) {
            let space = self.spaces.entry(at).or_default();
            match change {
                Change::Restart => {}
                Change::Pause => space.paused = true,
                Change::Resume => space.paused = false,
                Change::Remove => {
                    (space.removed, space.run, space.turn) = (true, None, None);
                    space.queue.clear();
                    for credential in self.credentials.values_mut() {
                        credential.revoked |= credential.bound == Some(at) || credential.subject == Subject::Agent(at);
                    }
                }
            }
        }
    }
}
