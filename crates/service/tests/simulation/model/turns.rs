//! An agent at work: no deed, but only the run that speaks for its workspace has a say.

use super::{Model, Reply, Subject};
use crate::step::{Label, ROOT, Work};

fn no(status: u16, code: &'static str) -> Option<Reply> {
    Some(Reply { status, code, ..Reply::default() })
}

fn yes(word: &'static str, label: Option<Label>, event: &str) -> Option<Reply> {
    let events = if event.is_empty() { vec![] } else { vec![event.to_owned()] };
    Some(Reply { status: 200, word, label, events, ..Reply::default() })
}

impl Model {
    pub(super) fn work(&mut self, who: &str, at: Label, work: Work, label: Label) -> Option<Reply> {
        if self.credentials[who].subject != Subject::Agent(at) {
            return None;
        }
        if work == Work::Register {
            return self.register(who, at);
        }
        let Some((_, run)) = self.spaces[&at].run.clone().filter(|(holder, _)| holder == who) else {
            return no(409, "NOT_REGISTERED");
        };
        let space = self.spaces.entry(at).or_default();
        match work {
            Work::Register => None,
            Work::Take => match space.turn {
                Some((turn, _)) => yes("turn", Some(turn), ""),
                None if space.paused || space.queue.is_empty() => yes("idle", None, ""),
                None => {
                    space.turn = Some((label, space.queue.remove(0)));
                    yes("turn", Some(label), "turn.start")
                }
            },
            Work::End { turn, done } => {
                let how = if done { "completed" } else { "failed" };
                if space.turn.is_some_and(|(open, _)| open == turn) {
                    space.turn = None;
                    space.ended.insert(turn, (run, how));
                    return yes("recorded", None, "turn.end");
                }
                match space.ended.get(&turn) {
                    Some((of, known)) if *of == run && *known == how => yes("recorded", None, ""),
                    Some((of, _)) if *of == run => no(409, "CONFLICT"),
                    Some(_) => no(404, "TURN_NOT_FOUND"),
                    None => None,
                }
            }
        }
    }

    /// Begins to speak for a workspace. Nobody is pushed aside who may still work.
    fn register(&mut self, who: &str, at: Label) -> Option<Reply> {
        let now = self.now();
        let space = &self.spaces[&at];
        match &space.run {
            Some((holder, _)) if holder == who => return yes("registered", None, ""),
            Some((holder, _)) if self.stranger(holder)?.is_none() && (at == ROOT || space.turn.is_some()) => {
                return no(409, "CONFLICT");
            }
            _ => {}
        }
        self.log_at = now;
        let space = self.spaces.entry(at).or_default();
        if let (Some((turn, _)), Some((_, run))) = (space.turn.take(), &space.run) {
            space.ended.insert(turn, (*run, "lost"));
        }
        space.runs += 1;
        space.run = Some((who.to_owned(), space.runs));
        yes("registered", None, "")
    }
}
