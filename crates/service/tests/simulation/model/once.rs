//! A request that comes again under the same idempotency key is the same request: it is answered as it was, and nothing is
//! done. What was held, refused or failed is not kept: that is asked again.

use super::{Model, Reply};
use crate::step::{Act, Step};

/// How long an answer is kept, in milliseconds.
const KEPT_MS: i64 = 24 * 60 * 60_000;

/// An answer, and what it answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kept {
    who: String,
    act: Act,
    at: i64,
    status: u16,
    code: &'static str,
    word: &'static str,
    version: Option<i64>,
}

impl Model {
    /// The answer it was given before, if it comes again.
    pub(super) fn known(&self, step: &Step) -> Option<Reply> {
        let key = (self.credentials.get(&step.who)?.subject.clone(), step.once?);
        let kept = self.kept.get(&key).filter(|kept| kept.at > self.now() - KEPT_MS)?;
        if kept.act != step.act {
            return Some(Reply { status: 422, code: "IDEMPOTENCY_KEY_REUSED", ..Reply::default() });
        }
        let Kept { status, code, word, version, .. } = *kept;
        Some(Reply { status, code, word, version, ..Reply::default() })
    }

    pub(super) fn keep(&mut self, step: &Step, reply: &Reply) {
        let (Some(once), Some(credential)) = (step.once, self.credentials.get(&step.who)) else { return };
        let (who, act) = (step.who.clone(), step.act.clone());
        let Reply { status, code, word, version, .. } = *reply;
        let kept = Kept { who, act, at: self.now(), status, code, word, version };
        self.kept.insert((credential.subject.clone(), once), kept);
    }

    /// Requests that would be answered as before: by whom, what, under which key.
    pub fn kept(&self) -> Vec<(String, Act, u8)> {
        self.kept.iter().map(|((_, once), kept)| (kept.who.clone(), kept.act.clone(), *once)).collect()
    }
}
