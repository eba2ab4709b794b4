//! The public surface: authenticate, perform, look. Everything a service may do with an organisation.

use std::sync::{Arc, Mutex, PoisonError};

use portcullis_kernel::{deed::Deed, id::WorkspaceId, refusal::Code, subject::SystemRole, time::Timestamp};
use tokio::sync::{Semaphore, watch};

use crate::{
    act::{Act, NewPassword},
    authn::{self, Presented},
    bootstrap::{self, Opening, StartError},
    caller::Caller,
    chain::Head,
    core::{Config, Core},
    db::{Conn, Readers, Target, Writer, WriterFault},
    gate::{self, Cx, Meta},
    kept_head::KeptHead,
    keyring,
    login_guard::LoginGuard,
    maintenance::{self, Resealed},
    redaction::Redactors,
    refusal::{Answer, Refusal},
    refusal_cache::RefusalCache,
    tables::{audit, credentials, events, meta},
    tail::Tail,
    vault, verify,
};

pub(crate) const ORGANISATION: &str = "organisation_id";
pub(crate) const ORIGIN: &str = "log_origin";
pub(crate) const VERIFIER_KEY: &str = "log_verifier_key";

/// Password hashes computed at the same time: each needs 19 MiB and a core.
const HASHES_AT_ONCE: usize = 2;
/// The last use of a credential is written at most this often.
const TOUCH_EVERY_MS: i64 = 60 * 1000;

impl From<WriterFault> for Refusal {
    fn from(fault: WriterFault) -> Self {
        let code = match fault {
            WriterFault::Busy => Code::Busy,
            WriterFault::Unavailable(_) | WriterFault::Unknown => Code::StoreUnavailable,
            WriterFault::Panicked => Code::Internal,
            WriterFault::Stopped => Code::ShuttingDown,
        };
        Self::new(code).internal(fault)
    }
}

/// How long it may take to learn whether a write would be taken.
const READINESS_WAIT: std::time::Duration = std::time::Duration::from_secs(3);

async fn holds(until: tokio::time::Instant, check: impl Future<Output = bool>) -> bool {
    tokio::time::timeout_at(until, check).await.unwrap_or(false)
}

/// Whether a write would be taken now, and if not, why.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Readiness {
    /// Every table answers a read.
    pub store: bool,
    /// The writer commits.
    pub writer: bool,
    /// The log's head is signed and has the hash it says.
    pub audit: bool,
    /// The root key unwraps the keys.
    pub keys: bool,
    /// The rules are loaded and readable.
    pub policy: bool,
}

impl Readiness {
    /// All of it.
    pub const fn ready(self) -> bool {
        self.store && self.writer && self.audit && self.keys && self.policy
    }
}

/// Numbers for metrics.
#[derive(Debug, Clone, Copy)]
pub struct Stats {
    /// The writer's counters.
    pub writer: crate::db::WriterStats,
    /// Position of the last live event.
    pub event_id: i64,
}

struct Inner {
    core: Arc<Core>,
    writer: Writer<Head>,
    readers: Readers,
    committed: watch::Receiver<i64>,
    tail: tokio::sync::Mutex<Tail>,
    guard: Mutex<LoginGuard>,
    refusals: RefusalCache,
    hashing: Semaphore,
    verifying: Arc<Semaphore>,
    redactors: Arc<Redactors>,
    target: Target,
    kept_head: Arc<KeptHead>,
}

/// An open organisation. Cheap to clone; the last clone to go closes the writer after what it has accepted.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

impl Authority {
    /// Opens an organisation, making it at first start. Blocks; call it before or beside the runtime.
    pub fn open(opening: Opening<'_>) -> Result<Self, StartError> {
        bootstrap::open(opening)
    }

    pub(crate) fn new(
        core: Arc<Core>,
        writer: Writer<Head>,
        readers: Readers,
        committed: watch::Receiver<i64>,
        target: Target,
        kept_head: KeptHead,
    ) -> Self {
        Self(Arc::new(Inner {
            core,
            writer,
            readers,
            tail: tokio::sync::Mutex::new(Tail::new(committed.clone())),
            committed,
            guard: Mutex::default(),
            refusals: RefusalCache::default(),
            hashing: Semaphore::new(HASHES_AT_ONCE),
            verifying: Arc::new(Semaphore::new(1)),
            redactors: Arc::default(),
            target,
            kept_head: Arc::new(kept_head),
        }))
    }

    /// The organisation's root workspace.
    pub fn root(&self) -> WorkspaceId {
        self.0.core.root
    }

    /// The organisation's id.
    pub fn organisation(&self) -> portcullis_kernel::id::OrganisationId {
        self.0.core.organisation
    }

    /// The limits in force.
    pub fn config(&self) -> &Config {
        &self.0.core.config
    }

    pub(crate) fn redactors(&self) -> Arc<Redactors> {
        Arc::clone(&self.0.redactors)
    }

    pub(crate) fn verifying(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.verifying)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0.core
    }

    /// Time, as everything here sees it.
    pub fn now(&self) -> Timestamp {
        self.0.core.clock.now()
    }

    /// Where the database is.
    pub fn target(&self) -> &Target {
        &self.0.target
    }

    /// The log's public key, as a C2SP note verifier key.
    pub fn verifier_key(&self) -> String {
        self.0.core.keys().verifier.to_text()
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Conn, &Core) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let core = Arc::clone(&self.0.core);
        self.0.readers.read(move |conn| job(conn, &core)).await
    }

    pub(crate) async fn read_heavy<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Conn, &Core) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let core = Arc::clone(&self.0.core);
        self.0.readers.read_heavy(move |conn| job(conn, &core)).await
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        meta: Meta,
        job: impl FnOnce(&mut Cx<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let core = Arc::clone(&self.0.core);
        self.0
            .writer
            .submit(move |tx| {
                let now = core.clock.now().max(tx.state.at);
                job(&mut Cx { conn: tx.conn, head: tx.state, core: &core, now, meta: &meta })
            })
            .await
    }

    /// Resolves a credential to a caller. Fails with a 401 code, or 503 when the store cannot say.
    pub async fn authenticate(&self, presented: Presented<'_>) -> Result<Caller, Refusal> {
        let now = self.now();
        let (text, bearer) = match presented {
            Presented::Bearer(text) => (text, true),
            Presented::Cookie(text) => (text, false),
        };
        let text = zeroize::Zeroizing::new(text.to_owned());
        let (caller, row) = self
            .read(move |conn, core| {
                let presented = if bearer { Presented::Bearer(&text) } else { Presented::Cookie(&text) };
                authn::authenticate(conn, core, presented, now)
            })
            .await?;
        if row.last_used_at.is_none_or(|last| now.0 - last > TOUCH_EVERY_MS) {
            let meta = Meta::default();
            // Not worth failing a request for; an unused session ends at most a minute early.
            let _ = self.write(meta, move |cx| Ok(credentials::touch(cx.conn, row.id, now.0)?)).await;
        }
        Ok(caller)
    }

    /// The one door. `Err` is a refusal that is already in the log, or a fault after which nothing was done.
    pub async fn perform<A: Act>(
        &self,
        caller: &Caller,
        meta: Meta,
        action: A,
        cargo: A::Cargo,
    ) -> Result<Answer<A::Done>, Refusal> {
        let deed: Deed = action.clone().into();
        if let (Some(credential), false) = (caller.credential, meta.dry_run)
            && let Some(refusal) = self.0.refusals.find(credential, &deed, self.now())
        {
            return Err(refusal);
        }
        let caller_inside = caller.clone();
        let answer = self.write(meta, move |cx| gate::run(cx, &caller_inside, action, cargo)).await?;
        if let (Err(refusal), Some(credential)) = (&answer, caller.credential) {
            let now = self.now();
            let during = now..now.plus_ms(self.0.core.config.refusal_cache_ms);
            self.0.refusals.keep(credential, &deed, refusal, during);
        }
        answer
    }

    /// As [`Authority::perform`], for someone who holds the data directory: offline commands.
    pub async fn perform_at_console<A: Act>(
        &self,
        meta: Meta,
        action: A,
        cargo: A::Cargo,
    ) -> Result<Answer<A::Done>, Refusal> {
        let caller = authn::system(&self.0.core, SystemRole::Console);
        self.perform(&caller, meta, action, cargo).await
    }

    /// Hashes a password that may be chosen, or says why it may not.
    pub async fn hash_password(&self, password: String) -> Result<NewPassword, Refusal> {
        self.password_hash(password).await.map(|hash| NewPassword(Some(hash)))
    }

    pub(crate) async fn password_hash(&self, password: String) -> Result<String, Refusal> {
        let password = zeroize::Zeroizing::new(password);
        let hash = self.hashing(move || vault::password_hash(&password)).await?;
        hash.map_err(|error| Refusal::because(Code::PasswordTooWeak, error.to_string()))
    }

    pub(crate) async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let _place = self.0.hashing.acquire().await.map_err(|_| Refusal::new(Code::ShuttingDown))?;
        tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::new(Code::Internal).internal(error))
    }

    pub(crate) fn guard(&self) -> std::sync::MutexGuard<'_, LoginGuard> {
        self.0.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what time brings. Call it about once a second.
    pub async fn tick(&self) -> Result<usize, Refusal> {
        if self.0.kept_head.is_due()
            && let Err(refusal) = self.keep_head().await
        {
            let detail = refusal.internal.as_deref().unwrap_or_default();
            tracing::warn!(code = %refusal.code, detail, "the end of the log could not be read to be kept; it will be tried again");
        }
        let now = self.now();
        let repeated = self.0.refusals.flush(now);
        if repeated.is_empty() && !self.read(move |conn, _| maintenance::is_due(conn, now.0)).await? {
            return Ok(0);
        }
        self.write(Meta { request_id: "tick".into(), ..Meta::default() }, move |cx| maintenance::tick(cx, &repeated))
            .await
    }

    /// Keeps the end of the log outside of the database. Done by [`Authority::tick`] now and then; call it before stopping.
    pub async fn keep_head(&self) -> Result<(), Refusal> {
        let Some((_, _, note)) = self.read(|conn, _| Ok(audit::head(conn)?)).await? else { return Ok(()) };
        let kept_head = Arc::clone(&self.0.kept_head);
        let kept = tokio::task::spawn_blocking(move || kept_head.keep(note)).await;
        match kept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the end of the log could not be kept in the data directory; it will be tried again")
            }
            Err(error) => return Err(Refusal::new(Code::Internal).internal(error)),
        }
        Ok(())
    }

    /// Drops what nobody can ask for any more. Call it now and then.
    pub async fn prune(&self) -> Result<(), Refusal> {
        self.write(Meta::default(), maintenance::prune).await
    }

    /// Reads the keys again, after a rotation.
    pub async fn reload_keys(&self) -> Result<(), Refusal> {
        self.read(|conn, core| {
            let origin = core.keys().verifier.name.clone();
            let keys = keyring::load(conn, core.provider.as_ref(), &origin)
                .map_err(|error| Refusal::new(Code::StoreUnavailable).internal(error))?;
            *core.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            Ok(())
        })
        .await
    }

    /// Moves some values to the sealing key; call it until none is left.
    pub async fn reseal(&self) -> Result<Resealed, Refusal> {
        self.write(Meta::default(), maintenance::reseal).await
    }

    /// Whether a write would be taken now. Answers within [`READINESS_WAIT`]: what is not known by then is not ready.
    pub async fn readiness(&self) -> Readiness {
        let stats = self.0.writer.stats();
        let until = tokio::time::Instant::now() + READINESS_WAIT;
        // Each in a snapshot of its own: PostgreSQL answers nothing more in a transaction after its first error.
        let store = self.read(|conn, _| Ok(meta::every_table(conn)?));
        let store = holds(until, async { store.await.is_ok() }).await;
        let audit = self.read(|conn, core| Ok(verify::head_is_sound(conn, &core.keys().verifier)?));
        let audit = holds(until, async { audit.await.unwrap_or(false) }).await;
        let keys = self.read(|conn, core| Ok(keyring::load(conn, core.provider.as_ref(), "").is_ok()));
        let keys = holds(until, async { keys.await.unwrap_or(false) }).await;
        let policy = self.read(|conn, core| Ok(core.policies(conn).map(drop)?));
        let policy = holds(until, async { policy.await.is_ok() }).await;
        // Begin, lock and commit have to work. After a write that failed something has to be stored as well: an empty
        // transaction also commits on a full disk. It is tried and not remembered, or nothing could ever be ready again.
        let suspect = stats.doubted;
        let probe = move |cx: &mut Cx<'_>| if suspect { Ok(meta::rewrite(cx.conn)?) } else { Ok(()) };
        let writer = store && holds(until, async { self.write(Meta::default(), probe).await.is_ok() }).await;
        if writer && suspect {
            self.0.writer.trust();
        }
        Readiness { store, writer, audit, keys, policy }
    }

    /// Numbers for metrics.
    pub fn stats(&self) -> Stats {
        Stats { writer: self.0.writer.stats(), event_id: *self.0.committed.borrow() }
    }

    pub(crate) fn tail(&self) -> &tokio::sync::Mutex<Tail> {
        &self.0.tail
    }

    /// A signal after every commit that has something for listeners. It carries no data worth trusting: read the store.
    pub fn committed(&self) -> watch::Receiver<i64> {
        self.0.committed.clone()
    }

    /// The newest position of the live events.
    pub async fn event_position(&self) -> Result<i64, Refusal> {
        self.read(|conn, _| Ok(events::range(conn)?.1)).await
    }
}
