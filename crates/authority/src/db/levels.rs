//! Savepoints, and which of them need a statement of their own.
//!
//! One that begins where nothing was changed since the one around it would be the same point: rolling back to either is
//! the same. So it is only remembered. A write then has one savepoint on each engine instead of four.

/// Where something began that can be undone on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Savepoint(usize);

/// The savepoints of a transaction that are not released yet, the outermost first.
#[derive(Debug, Default)]
pub(super) struct Levels {
    levels: Vec<Level>,
    /// Whether the engine may refuse to release: something failed, or was said past this.
    doubtful: bool,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Whether the engine knows it.
    real: bool,
    /// Whether anything was changed since it began.
    changed: bool,
}

/// Engines find the innermost savepoint of a name, and the outermost has a name of its own, so that it can be reached at
/// once.
const fn words(depth: usize) -> [&'static str; 3] {
    if depth == 0 {
        ["SAVEPOINT job", "ROLLBACK TO SAVEPOINT job", "RELEASE SAVEPOINT job"]
    } else {
        ["SAVEPOINT attempt", "ROLLBACK TO SAVEPOINT attempt", "RELEASE SAVEPOINT attempt"]
    }
}

impl Levels {
    /// A new one, and what has to be said to the engine for it.
    pub(super) fn begin(&mut self) -> (Savepoint, Option<&'static str>) {
        let depth = self.levels.len();
        let real = self.levels.last().is_none_or(|around| around.changed);
        self.levels.push(Level { real, changed: false });
        (Savepoint(depth), real.then(|| words(depth)[0]))
    }

    /// Something is about to be changed.
    pub(super) fn changed(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.changed = true;
        }
    }

    /// Something failed, or nobody knows what was said.
    pub(super) fn doubt(&mut self) {
        self.doubtful = true;
    }

    /// Whether there is a savepoint that the engine knows, and nothing was changed since.
    pub(super) fn is_clean(&self) -> bool {
        let inside = self.levels.iter().rposition(|level| level.real).and_then(|depth| self.levels.get(depth..));
        inside.is_some_and(|levels| !levels.iter().any(|level| level.changed))
    }

    /// What rolls back to the innermost savepoint that the engine knows.
    pub(super) fn innermost(&self) -> Option<&'static str> {
        self.levels.iter().rposition(|level| level.real).map(|depth| words(depth)[1])
    }

    /// What undoes everything since `savepoint`. Those inside it are gone.
    pub(super) fn rollback(&mut self, savepoint: Savepoint) -> Vec<&'static str> {
        let mut said = Vec::new();
        while self.levels.len() > savepoint.0 + 1 {
            let inside = self.levels.pop().is_some_and(|level| level.real);
            // The outermost takes those inside with it.
            if inside && savepoint.0 > 0 {
                let [_, undo, release] = words(self.levels.len());
                said.extend([undo, release]);
            }
        }
        said.extend(self.innermost());
        if let Some(level) = self.levels.last_mut() {
            level.changed = false;
        }
        self.doubtful = false;
        said
    }

    /// What keeps everything since `savepoint`, and whether the engine may refuse that.
    pub(super) fn to_release(&self, savepoint: Savepoint) -> (Option<&'static str>, bool) {
        let real = self.levels.get(savepoint.0).is_some_and(|level| level.real);
        (real.then(|| words(savepoint.0)[2]), self.doubtful)
    }

    /// It was kept, and the savepoint is gone.
    pub(super) fn released(&mut self, savepoint: Savepoint) {
        let (mut real, mut changed) = (false, false);
        while self.levels.len() > savepoint.0
            && let Some(level) = self.levels.pop()
        {
            real = level.real;
            changed |= level.changed;
        }
        if let Some(around) = self.levels.last_mut() {
            around.changed |= changed;
        }
        // Of one that was only remembered the engine was not asked, so the doubt is left to the one around it.
        self.doubtful &= !real;
    }
}

#[cfg(test)]
mod tests {
    use super::Levels;

    #[test]
    fn only_a_savepoint_after_a_change_is_said_to_the_engine() {
        let mut levels = Levels::default();
        let (job, said) = levels.begin();
        assert_eq!(said, Some("SAVEPOINT job"));
        let (same, said) = levels.begin();
        assert_eq!(said, None, "nothing was changed since");
        assert_eq!(levels.rollback(same), ["ROLLBACK TO SAVEPOINT job"]);
        levels.changed();
        let (inside, said) = levels.begin();
        assert_eq!(said, Some("SAVEPOINT attempt"));
        levels.changed();
        assert_eq!(levels.rollback(inside), ["ROLLBACK TO SAVEPOINT attempt"]);
        assert_eq!(levels.to_release(inside), (Some("RELEASE SAVEPOINT attempt"), false));
        levels.released(inside);
        assert_eq!(levels.to_release(same), (None, false));
        levels.released(same);
        // What was changed inside was changed here.
        assert_eq!(levels.begin().1, Some("SAVEPOINT attempt"));
        levels.doubt();
        assert_eq!(levels.rollback(job), ["ROLLBACK TO SAVEPOINT job"]);
        assert_eq!(levels.to_release(job), (Some("RELEASE SAVEPOINT job"), false));
    }

    #[test]
    fn a_savepoint_is_clean_until_something_is_changed_after_it() {
        let mut levels = Levels::default();
        assert_eq!((levels.is_clean(), levels.innermost()), (false, None), "there is none");
        levels.begin();
        assert_eq!((levels.is_clean(), levels.innermost()), (true, Some("ROLLBACK TO SAVEPOINT job")));
        levels.begin();
        assert!(levels.is_clean(), "one that is only remembered changes nothing");
        levels.changed();
        assert_eq!((levels.is_clean(), levels.innermost()), (false, Some("ROLLBACK TO SAVEPOINT job")));
        let (inside, _) = levels.begin();
        assert_eq!((levels.is_clean(), levels.innermost()), (true, Some("ROLLBACK TO SAVEPOINT attempt")));
        levels.released(inside);
        assert!(!levels.is_clean(), "what was changed before is still changed");
    }

    #[test]
    fn what_was_left_open_inside_goes_with_the_savepoint_around_it() {
        let mut levels = Levels::default();
        levels.begin();
        levels.changed();
        let (outer, _) = levels.begin();
        levels.changed();
        levels.begin();
        levels.changed();
        levels.begin();
        let undo = ["ROLLBACK TO SAVEPOINT attempt", "RELEASE SAVEPOINT attempt", "ROLLBACK TO SAVEPOINT attempt"];
        assert_eq!(
            levels.rollback(outer),
            [undo.as_slice(), &["RELEASE SAVEPOINT attempt", "ROLLBACK TO SAVEPOINT attempt"]].concat()
        );
        assert_eq!(levels.to_release(outer), (Some("RELEASE SAVEPOINT attempt"), false));
    }

    #[test]
    fn after_a_failure_the_engine_is_asked_whether_it_releases() {
        let mut levels = Levels::default();
        let (job, _) = levels.begin();
        levels.doubt();
        let (same, _) = levels.begin();
        assert_eq!(levels.to_release(same), (None, true));
        levels.released(same);
        assert_eq!(levels.to_release(job), (Some("RELEASE SAVEPOINT job"), true), "the engine was not asked yet");
        levels.released(job);
        assert!(!levels.doubtful);
    }
}
