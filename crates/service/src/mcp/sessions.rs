//! Who owns which session of the older revision. A session is never an authentication: each request shows its own bearer,
//! and a session belongs to the subject that opened it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use portcullis_authority::Refusal;
use portcullis_kernel::{refusal::Code, subject::Principal};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

/// Most sessions at a time.
const SESSIONS_MAX: usize = 4_096;
/// Most sessions of one subject.
const SESSIONS_EACH_MAX: usize = 1_024;

/// Owners by session id.
#[derive(Default)]
pub(super) struct Sessions {
    owners: Mutex<HashMap<String, Principal>>,
}

impl Sessions {
    /// Whether another session may be opened. Those that ended by themselves are forgotten first.
    pub(super) async fn room(&self, manager: &LocalSessionManager, who: Principal) -> Result<(), Refusal> {
        if self.fits(who) {
            return Ok(());
        }
        let live = manager.sessions.read().await;
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| live.contains_key(id.as_str()));
        drop(live);
        if self.fits(who) {
            Ok(())
        } else {
            let reason = "at most 1024 sessions of one subject, and 4096 in all; end one with `DELETE`";
            Err(Refusal::because(Code::RateLimited, reason))
        }
    }

    fn fits(&self, who: Principal) -> bool {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.len() < SESSIONS_MAX && owners.values().filter(|owner| **owner == who).count() < SESSIONS_EACH_MAX
    }

    /// Notes a session that was opened.
    pub(super) fn opened(&self, id: &str, who: Principal) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), who);
    }

    /// Refuses whoever is not the owner, as if there were no such session.
    pub(super) fn own(&self, id: &str, who: Principal) -> Result<(), Refusal> {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.get(id) == Some(&who) { Ok(()) } else { Err(Refusal::new(Code::SessionNotFound)) }
    }

    /// Forgets a session that was ended.
    pub(super) fn ended(&self, id: &str) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
