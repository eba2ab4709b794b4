//! Opening an organisation: schema, root key, keys, root workspace, admin token. Nothing is open before all of it stands.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::{Arc, RwLock},
};

use portcullis_kernel::{
    id::{OrganisationId, WorkspaceId},
    policy::{LoadError, Policy},
    subject::{Principal, SystemRole},
    workspace::Kind,
};

use crate::{
    admin_token::{self, Admin, AdminToken, Wanted},
    authn,
    authority::{self, Authority},
    chain::{ChainBatch, Head},
    clock::Clock,
    core::{Config, Core},
    db::{
        Conn, DbError, MIGRATIONS, MigrateError, Readers, ReadersConfig, Role, Target, Writer, WriterConfig, hear,
        migrate, off_runtime,
    },
    gate::{Cx, Meta},
    kept_head::{self, KeptHead},
    keyring::{self, KeyError},
    permit::Writing,
    refusal::Refusal,
    tables::{
        audit, credentials, meta,
        workspaces::{self, NewWorkspace},
    },
    vault::{self, RootKey, VaultError, root_key_path},
};

/// Why the service does not start. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("DATA_DIR_UNUSABLE: {0}")]
    DataDir(String),
    /// The database cannot be used.
    #[error("DATABASE_UNUSABLE: {0}")]
    Db(#[from] DbError),
    /// The schema is not ours.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The log has lost what this server had confirmed, or is another one.
    #[error("LOG_CUT: {0}")]
    LogCut(String),
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The root key cannot be used.
    #[error(transparent)]
    RootKey(#[from] VaultError),
    /// The rules cannot be used.
    #[error("POLICY_UNUSABLE: {0}")]
    Policy(#[from] LoadError),
    /// The admin token cannot be used.
    #[error("ADMIN_TOKEN_UNUSABLE: {0}")]
    AdminToken(String),
    /// The first rows could not be written.
    #[error("BOOTSTRAP_FAILED: {0}")]
    Bootstrap(String),
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        Self::Bootstrap(format!("{}: {}", refusal.code, refusal.internal.unwrap_or(refusal.reason)))
    }
}

/// How to open an organisation.
pub struct Opening<'a> {
    /// Directory of keys and, with SQLite, of the database.
    pub data_dir: &'a Path,
    /// PostgreSQL, if not SQLite.
    pub database_url: Option<&'a str>,
    /// The root key, if not in the data directory.
    pub root_key_file: Option<&'a Path>,
    /// The admin token.
    pub admin_token: AdminToken,
    /// Limits.
    pub config: Config,
    /// Time.
    pub clock: Clock,
}

/// Makes the data directory, 0700, or checks that nobody else can put files into it. Who may list it is the owner's
/// business: every file in it is 0600.
fn data_dir(path: &Path) -> Result<(), StartError> {
    let problem = |what: String| StartError::DataDir(format!("`{}`: {what}", path.display()));
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Err(problem("it is not a directory".into())),
        Ok(found) if found.permissions().mode() & 0o022 != 0 => {
            Err(problem("others may write into it; set its mode to 0700".into()))
        }
        Ok(_) => Ok(()),
        Err(_) => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| problem(format!("cannot be made: {e}"))),
    }
}

/// Opens the organisation, making it at first start.
pub(crate) fn open(opening: Opening<'_>) -> Result<Authority, StartError> {
    data_dir(opening.data_dir)?;
    let policy = Policy::shipped()?;
    let target = Target::parse(opening.database_url, opening.data_dir)?;
    let kept = kept_head::read(opening.data_dir).map_err(StartError::LogCut)?;
    let log_cut = |what: &str| StartError::LogCut(format!("{what}; {}", kept_head::remedy(opening.data_dir)));
    if let (Target::Sqlite { path }, Some(_)) = (&target, &kept)
        && !path.exists()
    {
        // Before anything is opened, which would make an empty one.
        return Err(log_cut("the database is gone"));
    }
    let admin = Admin::find(opening.admin_token, opening.data_dir)?;
    let now = opening.clock.now();
    let key_path = root_key_path(opening.root_key_file, opening.data_dir);
    let opened: Result<(Core, i64, Option<Wanted>), StartError> = off_runtime(|| {
        let mut conn = Conn::open(&target, Role::Writer)?;
        let migrated = migrate(&mut conn, MIGRATIONS, now.0)?;
        let fresh = migrated.was_new || meta::get(&mut conn, authority::ORGANISATION)?.is_none();
        if fresh && kept.is_some() {
            return Err(log_cut("the database is empty"));
        }
        let provider = RootKey::load_or_create(&key_path, fresh)?;
        if fresh {
            first_start(&mut conn, &provider, now)?;
        }
        let missing =
            |what: &str| StartError::Bootstrap(format!("the database has no {what}; restore it from a backup"));
        let organisation: OrganisationId = meta::get(&mut conn, authority::ORGANISATION)?
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| missing("organisation id"))?;
        let origin = meta::get(&mut conn, authority::ORIGIN)?.ok_or_else(|| missing("log origin"))?;
        let keys = keyring::load(&mut conn, &provider, &origin)?;
        if let Some(kept) = &kept {
            kept_head::check(&mut conn, &keys.verifier, kept)?.map_err(|what| log_cut(&what))?;
        }
        opening.clock.not_before(Head::load(&mut conn)?.at);
        let root = workspaces::root(&mut conn)?.unwrap_or_else(|| WorkspaceId::from_uuid(organisation.uuid()));
        let kept = audit::kept_size(&mut conn)?;
        let core = Core {
            organisation,
            root,
            keys: RwLock::new(Arc::new(keys)),
            provider: Box::new(provider),
            policy,
            index: RwLock::new((-1, Arc::default())),
            config: opening.config,
            clock: opening.clock,
            seat: RwLock::default(),
        };
        let admin = admin.settle(conn.is_postgres(), credentials::admin(&mut conn)?.is_some())?;
        Ok((core, kept, admin))
    });
    let (core, kept_at_size, admin) = opened?;
    let core = Arc::new(core);
    let (committed, watch) = tokio::sync::watch::channel(0);
    hear(&target, &committed)?;
    let batch = ChainBatch { core: Arc::clone(&core), committed, kept_at_size, seen: None };
    let wait = std::time::Duration::from_millis(core.config.store_wait_ms.max(0).unsigned_abs());
    let writer: Writer<Head> = Writer::start(&target, batch, WriterConfig { wait, ..WriterConfig::default() })?;
    let shared = Arc::clone(&core);
    let made = admin.as_ref().and_then(|wanted| wanted.made.clone());
    let useful = writer.submit_blocking(move |tx| {
        let meta = Meta { request_id: "start".into(), ..Meta::default() };
        let mut cx = Cx { conn: tx.conn, head: tx.state, core: &shared, now: shared.clock.now(), meta: &meta };
        organisation(&mut cx)?;
        admin.map_or(Ok(true), |wanted| admin_token::put(&mut cx, &wanted))
    })?;
    if !useful {
        admin_token::useless(made.as_deref());
    }
    let readers = Readers::open(&target, ReadersConfig { wait, ..ReadersConfig::default() })?;
    Ok(Authority::new(core, writer, readers, watch, target, KeptHead::in_dir(opening.data_dir)))
}

/// Keys and names of a new organisation. Another replica may be doing the same: whoever comes second finds it done.
fn first_start(conn: &mut Conn, provider: &RootKey, now: portcullis_kernel::time::Timestamp) -> Result<(), StartError> {
    conn.batch(if conn.is_postgres() { "BEGIN; LOCK TABLE writer_lock IN EXCLUSIVE MODE" } else { "BEGIN IMMEDIATE" })?;
    let made = (|| {
        if meta::get(conn, authority::ORGANISATION)?.is_some() {
            return Ok(());
        }
        let id = vault::uuid_v7(now.0).to_string();
        meta::put(conn, authority::ORGANISATION, &id)?;
        meta::put(conn, authority::ORIGIN, &format!("portcullis/{id}"))?;
        keyring::create_all(conn, provider, now).map_err(|fault| StartError::Bootstrap(format!("{fault:?}")))?;
        let keys = keyring::load(conn, provider, &format!("portcullis/{id}"))?;
        meta::put(conn, authority::VERIFIER_KEY, &keys.verifier.to_text())?;
        Ok(())
    })();
    match made {
        Ok(()) => Ok(conn.batch("COMMIT")?),
        Err(error) => {
            conn.batch("ROLLBACK")?;
            Err(error)
        }
    }
}

/// The root workspace, if it is not there yet.
fn organisation(cx: &mut Cx<'_>) -> Result<(), Refusal> {
    if workspaces::root(cx.conn)?.is_some() {
        return Ok(());
    }
    let mut event = authn::system_event(cx, "organisation.create", "first_start");
    event.target_kind = "workspace".to_owned();
    event.target_id = cx.core.root.to_string();
    event.workspace_id = Some(cx.core.root.to_string());
    let because = cx.record(&mut event)?;
    let by = Principal::System(SystemRole::Bootstrap).to_string();
    let root = cx.core.root;
    let mut writing = Writing::new(cx, because, by, None);
    let new = NewWorkspace {
        id: root,
        name: "concierge",
        role: Some("root agent of the organisation"),
        kind: Kind::Platform,
        parent: None,
        runtime: None,
    };
    Ok(workspaces::insert(&mut writing, &new)?)
}
