//! What every attempt shares: the organisation, its keys, the rules, the limits and the clock.

use std::sync::{Arc, RwLock};

use portcullis_kernel::{
    checkpoint::VerifierKey,
    id::{OrganisationId, WorkspaceId},
    policy::{Index, Policy},
};

use crate::{
    clock::Clock,
    db::{Conn, DbError},
    ownership::Seat,
    vault::{KeyProvider, KeyRing, Signer},
};

/// Limits an operator may set; the defaults are the promises of the documentation.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long an approval waits, in milliseconds.
    pub approval_expires_ms: i64,
    /// How long a re-authentication counts, in milliseconds.
    pub step_up_ms: i64,
    /// Life of a session, in milliseconds.
    pub session_ms: i64,
    /// Life of an unused session, in milliseconds.
    pub session_idle_ms: i64,
    /// Default life of a minted token, in milliseconds.
    pub token_ms: i64,
    /// Longest life of a minted token, in milliseconds.
    pub token_ms_max: i64,
    /// Life of an enrolment code or a claim link, in milliseconds.
    pub code_ms: i64,
    /// Whether an owner may use break-glass.
    pub break_glass: bool,
    /// Requests of one principal that may wait at the same time.
    pub pending_per_principal_max: i64,
    /// How long an identical structural refusal is answered from memory, in milliseconds.
    pub refusal_cache_ms: i64,
    /// Runtimes the configuration names: an agent may use these without asking a human.
    pub runtimes: std::collections::BTreeMap<String, portcullis_kernel::runtime::Runtime>,
    /// Whether agents on other machines know an address under which they reach this server.
    pub reached_from_afar: bool,
    /// How long a bundle that an agent elsewhere pulled counts as fresh, in milliseconds.
    pub lease_ms: i64,
    /// How long a request waits for the database before it is refused, in milliseconds.
    pub store_wait_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        const MINUTE: i64 = 60 * 1000;
        const DAY: i64 = 24 * 60 * MINUTE;
        Self {
            approval_expires_ms: portcullis_kernel::approval::EXPIRES_IN_MS,
            step_up_ms: 5 * MINUTE,
            session_ms: 12 * 60 * MINUTE,
            session_idle_ms: 60 * MINUTE,
            token_ms: 30 * DAY,
            token_ms_max: 365 * DAY,
            code_ms: 60 * MINUTE,
            break_glass: false,
            pending_per_principal_max: portcullis_kernel::approval::PENDING_PER_PRINCIPAL_MAX,
            refusal_cache_ms: 2_000,
            runtimes: std::collections::BTreeMap::new(),
            reached_from_afar: false,
            lease_ms: 10 * MINUTE,
            store_wait_ms: crate::db::WAIT_DEFAULT.as_millis() as i64,
        }
    }
}

/// The keys in use.
pub(crate) struct Keys {
    pub(crate) ring: KeyRing,
    pub(crate) digest: crate::vault::DigestKey,
    pub(crate) signer: Signer,
    pub(crate) verifier: VerifierKey,
    /// How many rows they were read from: a key is added by every rotation, and none is ever removed.
    pub(crate) count: i64,
}

/// Shared by all attempts.
pub(crate) struct Core {
    pub(crate) organisation: OrganisationId,
    pub(crate) root: WorkspaceId,
    pub(crate) keys: RwLock<Arc<Keys>>,
    pub(crate) provider: Box<dyn KeyProvider>,
    pub(crate) policy: Policy,
    pub(crate) index: RwLock<(i64, Arc<Index>)>,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) seat: RwLock<Option<Seat>>,
}

impl Core {
    /// This process as a server that runs agents, if it is one.
    pub(crate) fn seat(&self) -> Option<Seat> {
        *self.seat.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// It is one from here on.
    pub(crate) fn take_seat(&self, seat: Seat) {
        *self.seat.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(seat);
    }

    /// The keys. A poisoned lock means that a thread died while replacing them; the old ones still stand.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The added policies as of this transaction, and the version of the whole rule set.
    pub(crate) fn policies(&self, conn: &mut Conn) -> Result<(Arc<Index>, String), DbError> {
        let revision = crate::tables::policies::revision(conn)?;
        let version = format!("{}.{revision}", self.policy.digest());
        {
            let known = self.index.read().unwrap_or_else(std::sync::PoisonError::into_inner);
            if known.0 == revision {
                return Ok((Arc::clone(&known.1), version));
            }
        }
        // A revision is a random number, so what a transaction wrote that later rolled back is never mistaken for this.
        let index = Arc::new(crate::tables::policies::index(conn)?);
        *self.index.write().unwrap_or_else(std::sync::PoisonError::into_inner) = (revision, Arc::clone(&index));
        Ok((index, version))
    }
}
