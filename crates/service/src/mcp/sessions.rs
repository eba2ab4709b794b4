//! Who owns which session of the older revision. A session is never an authentication: each request shows its own bearer,
//! and a session belongs to the credential that opened it: a narrower token of the same agent does not get into it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use portcullis_authority::Refusal;
use portcullis_kernel::{id::CredentialId, refusal::Code, subject::Principal};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

/// Most sessions at a time.
const SESSIONS_MAX: usize = 4_096;
/// Most sessions of one subject.
const SESSIONS_EACH_MAX: usize = 256;

/// Who opened a session, with what.
#[derive(Clone, Copy)]
struct Owner {
    principal: Principal,
    credential: Option<CredentialId>,
}

/// Owners by session id.
#[derive(Default)]
pub(super) struct Sessions {
    owners: Mutex<HashMap<String, Owner>>,
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
            let reason = "at most 256 sessions of one subject, and 4096 in all; end one with `DELETE`";
            Err(Refusal::because(Code::RateLimited, reason))
        }
    }

    fn fits(&self, who: Principal) -> bool {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        owners.len() < SESSIONS_MAX
            && owners.values().filter(|owner| owner.principal == who).count() < SESSIONS_EACH_MAX
    }

    /// Notes a session that was opened.
    pub(super) fn opened(&self, id: &str, principal: Principal, credential: Option<CredentialId>) {
        let owner = Owner { principal, credential };
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), owner);
    }

    /// Refuses whoever is not the owner, as if there were no such session. A request without sessions may name one that does
    /// not exist, and is not heard; one of somebody else is refused whatever the request says it speaks.
    pub(super) fn own(&self, id: &str, who: Option<CredentialId>, is_stateless: bool) -> Result<(), Refusal> {
        let owner = self.owners.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied();
        let fine = owner.map_or(is_stateless, |owner| owner.credential == who);
        if fine { Ok(()) } else { Err(Refusal::new(Code::SessionNotFound)) }
    }

    /// Forgets a session that was ended.
    pub(super) fn ended(&self, id: &str) {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
