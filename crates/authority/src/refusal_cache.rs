//! Identical structural refusals within a short window are answered from memory and counted: an agent in a loop must not
//! cost more than one row. Only what no approval can change is kept, and never longer than the window.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use portcullis_kernel::{
    deed::Deed,
    id::CredentialId,
    refusal::{Code, DeniedClass},
    time::Timestamp,
};

use crate::refusal::Refusal;

/// Entries kept; beyond that nothing new is remembered until some are flushed.
const ENTRIES_MAX: usize = 4_096;

#[derive(PartialEq, Eq, Hash, Clone)]
struct Question {
    credential: CredentialId,
    deed: String,
}

struct Answered {
    refusal: Refusal,
    /// Both ends: a clock that is set back ends it as well, or the window were as long as the jump.
    during: Range<Timestamp>,
    repeats: u64,
}

/// Refusals answered lately.
#[derive(Default)]
pub(crate) struct RefusalCache(Mutex<HashMap<Question, Answered>>);

/// A refusal that was repeated.
pub(crate) struct Repeated {
    pub(crate) refusal: Refusal,
    pub(crate) credential: CredentialId,
    pub(crate) repeats: u64,
}

fn question(credential: CredentialId, deed: &Deed) -> Option<Question> {
    Some(Question { credential, deed: serde_json::to_string(deed).ok()? })
}

impl RefusalCache {
    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<Question, Answered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The refusal this exact request got a moment ago.
    pub(crate) fn find(&self, credential: CredentialId, deed: &Deed, now: Timestamp) -> Option<Refusal> {
        let mut entries = self.entries();
        if entries.is_empty() {
            return None;
        }
        let known = entries.get_mut(&question(credential, deed)?).filter(|known| known.during.contains(&now))?;
        known.repeats += 1;
        let repeats = known.repeats;
        Some(known.refusal.clone().with("repeated", repeats))
    }

    /// Remembers a refusal, if it is one that only another request could change.
    pub(crate) fn keep(&self, credential: CredentialId, deed: &Deed, refusal: &Refusal, during: Range<Timestamp>) {
        let structural = refusal.code.class() == DeniedClass::Structural && refusal.audit_id.is_some();
        let by_rule = matches!(
            refusal.code,
            Code::ConciergeSelfWriteBlocked | Code::SelfInterruptionBlocked | Code::HumanRequired
        );
        if !structural || !by_rule || refusal.extras.contains_key("cause") {
            return;
        }
        let Some(question) = question(credential, deed) else { return };
        let mut entries = self.entries();
        if entries.len() < ENTRIES_MAX {
            entries.entry(question).or_insert(Answered { refusal: refusal.clone(), during, repeats: 0 });
        }
    }

    /// Takes out what is over, and returns what was repeated, to be recorded once with its count.
    pub(crate) fn flush(&self, now: Timestamp) -> Vec<Repeated> {
        let mut over = Vec::new();
        self.entries().retain(|question, answered| {
            if answered.during.contains(&now) {
                return true;
            }
            if answered.repeats > 0 {
                let refusal = answered.refusal.clone();
                over.push(Repeated { refusal, credential: question.credential, repeats: answered.repeats });
            }
            false
        });
        over
    }
}
