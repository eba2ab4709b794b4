//! Keys in the database: making them, wrapped, and reading them back.

use std::sync::Arc;

use portcullis_kernel::{checkpoint::VerifierKey, time::Timestamp};

use crate::{
    core::{Core, Keys},
    db::{Conn, DbError},
    refusal::Fault,
    tables::{keys, word},
    vault::{self, KeyProvider, KeyPurpose, KeyRing, Signer, VaultError, WrappedKey},
};

/// Why the keys cannot be used. The service does not start without them: there is no plaintext mode.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The database does not answer.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A key does not open.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The keys were wrapped by another root key.
    #[error(
        "ROOT_KEY_WRONG: the key `{0}` was wrapped by another root key; give the one that this database was made with"
    )]
    WrongRoot(String),
    /// A key that must be there is not.
    #[error("KEYS_MISSING: the database has no key for `{0}`; restore it from a backup")]
    Missing(&'static str),
}

/// Makes a key, wraps it and stores it. Returns its id.
pub(crate) fn create(
    conn: &mut Conn,
    provider: &dyn KeyProvider,
    purpose: KeyPurpose,
    now: Timestamp,
) -> Result<String, Fault> {
    let id = format!("{}-{}", purpose.as_str(), vault::uuid_v7(now.0));
    let key = WrappedKey::generate(provider, &id, purpose)?;
    keys::insert(conn, &id, purpose.as_str(), &key.wrapped, &provider.id(), now.0)?;
    Ok(id)
}

/// Makes one key for each purpose.
pub(crate) fn create_all(conn: &mut Conn, provider: &dyn KeyProvider, now: Timestamp) -> Result<(), Fault> {
    for purpose in [KeyPurpose::Data, KeyPurpose::Digest, KeyPurpose::Signing] {
        create(conn, provider, purpose, now)?;
    }
    Ok(())
}

/// Reads and unwraps all keys. The newest data key that is not retired seals; all open.
pub(crate) fn load(conn: &mut Conn, provider: &dyn KeyProvider, origin: &str) -> Result<Keys, KeyError> {
    let (mut rows, mut sealing, mut signer) = (Vec::new(), None, None);
    for row in keys::list(conn)? {
        if row.root_key_id != provider.id() {
            return Err(KeyError::WrongRoot(row.id));
        }
        let purpose = word(KeyPurpose::parse(&row.purpose), "keys.purpose")?;
        let key = WrappedKey { id: row.id, purpose, wrapped: row.wrapped };
        match purpose {
            KeyPurpose::Data if !row.retired => sealing = Some(key.id.clone()),
            KeyPurpose::Signing => signer = Some(Signer::load(provider, &key)?),
            KeyPurpose::Data | KeyPurpose::Digest => {}
        }
        rows.push(key);
    }
    let ring = KeyRing::load(provider, &rows, &sealing.ok_or(KeyError::Missing("data"))?)?;
    let signer = signer.ok_or(KeyError::Missing("signing"))?;
    let verifier = VerifierKey { name: origin.to_owned(), public: signer.verifying_key() };
    let digest = ring.derive("portcullis");
    Ok(Keys { ring, digest, signer, verifier, count: i64::try_from(rows.len()).unwrap_or(i64::MAX) })
}

/// Reads the keys again if there are more than were known: another server has rotated them. Whether there were. Only where
/// what is read is committed.
pub(crate) fn refresh(conn: &mut Conn, core: &Core) -> Result<bool, KeyError> {
    let known = core.keys();
    if keys::count(conn)? <= known.count {
        return Ok(false);
    }
    let fresh = load(conn, core.provider.as_ref(), &known.verifier.name)?;
    *core.keys.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(fresh);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::RwLock};

    use portcullis_kernel::{
        id::{OrganisationId, WorkspaceId},
        policy::Policy,
    };

    use super::*;
    use crate::{
        clock::Clock,
        core::Config,
        db::{MIGRATIONS, migrate, testkit::TestDb},
        vault::{Place, RootKey},
    };

    const ORIGIN: &str = "portcullis/test";

    fn root(dir: &Path, name: &str) -> RootKey {
        RootKey::load_or_create(&dir.join(name), true).unwrap()
    }

    /// A database with the schema, and no keys yet.
    fn empty() -> TestDb {
        let db = TestDb::sqlite();
        db.with(|conn| {
            migrate(conn, MIGRATIONS, 1).unwrap();
            Ok(())
        });
        db
    }

    /// A database with the keys of a first start, and what unwraps them.
    fn founded() -> (TestDb, RootKey) {
        let db = empty();
        let provider = root(&db.data_dir, "root.key");
        db.with(|conn| {
            create_all(conn, &provider, Timestamp(1)).unwrap();
            Ok(())
        });
        (db, provider)
    }

    fn loaded(db: &TestDb, provider: &RootKey) -> Result<Keys, KeyError> {
        db.with(|conn| Ok(load(conn, provider, ORIGIN)))
    }

    fn make(db: &TestDb, provider: &RootKey, purpose: KeyPurpose, at_ms: i64) -> String {
        db.with(|conn| Ok(create(conn, provider, purpose, Timestamp(at_ms)).unwrap()))
    }

    #[test]
    fn the_newest_data_key_that_is_not_retired_seals_and_all_open() {
        let (db, provider) = founded();
        let first = loaded(&db, &provider).unwrap();
        assert_eq!((first.count, first.verifier.name.as_str()), (3, ORIGIN));
        assert!(first.ring.sealing_id().starts_with("data-"));
        assert!(vault::verify(&first.verifier.public, b"note", &first.signer.sign(b"note")));
        let place = Place::approval("organisation", "approval");
        let sealed = first.ring.seal(&place, b"value").unwrap();

        let newest = make(&db, &provider, KeyPurpose::Data, 2);
        let second = loaded(&db, &provider).unwrap();
        assert_eq!((second.count, second.ring.sealing_id()), (4, newest.as_str()));
        assert_eq!(second.ring.open(&place, &sealed).unwrap().as_slice(), b"value");
        assert_eq!(second.digest.digest("d", &[]), first.digest.digest("d", &[]));
        db.run(&format!("UPDATE keys SET retired_at = 3 WHERE id = '{newest}'"));
        assert_eq!(loaded(&db, &provider).unwrap().ring.sealing_id(), first.ring.sealing_id());
    }

    #[test]
    fn without_a_key_that_must_be_there_nothing_is_loaded() {
        let db = empty();
        let (provider, other) = (root(&db.data_dir, "root.key"), root(&db.data_dir, "other.key"));
        assert!(matches!(loaded(&db, &provider).err(), Some(KeyError::Missing("data"))));
        make(&db, &provider, KeyPurpose::Data, 1);
        make(&db, &provider, KeyPurpose::Digest, 1);
        assert!(matches!(loaded(&db, &provider).err(), Some(KeyError::Missing("signing"))));
        let signing = make(&db, &provider, KeyPurpose::Signing, 1);
        assert!(loaded(&db, &provider).is_ok());
        assert!(matches!(loaded(&db, &other).err(), Some(KeyError::WrongRoot(_))));
        // A row that only claims to be of this root key does not open.
        db.run(&format!("UPDATE keys SET root_key_id = '{}'", other.id()));
        assert!(matches!(loaded(&db, &other).err(), Some(KeyError::Vault(VaultError::DoesNotOpen))));
        db.run(&format!("UPDATE keys SET root_key_id = '{}'", provider.id()));
        db.run(&format!("UPDATE keys SET retired_at = 2 WHERE id <> '{signing}'"));
        assert!(matches!(loaded(&db, &provider).err(), Some(KeyError::Missing("data"))), "all are retired");
    }

    #[test]
    fn keys_are_read_again_when_another_server_has_added_one_and_only_then() {
        let (db, provider) = founded();
        let nobody = vault::uuid_v7(1);
        let core = Core {
            organisation: OrganisationId::from_uuid(nobody),
            root: WorkspaceId::from_uuid(nobody),
            keys: RwLock::new(Arc::new(loaded(&db, &provider).unwrap())),
            provider: Box::new(root(&db.data_dir, "root.key")),
            policy: Policy::shipped().unwrap(),
            index: RwLock::new((-1, Arc::default())),
            config: Config::default(),
            clock: Clock::default(),
            seat: RwLock::new(None),
        };
        let again = || db.with(|conn| Ok(refresh(conn, &core).unwrap()));
        let before = core.keys();
        assert!(!again() && Arc::ptr_eq(&before, &core.keys()));
        let newest = make(&db, &provider, KeyPurpose::Data, 2);
        assert!(again());
        assert_eq!((core.keys().ring.sealing_id(), core.keys().verifier.name.as_str()), (newest.as_str(), ORIGIN));
        assert!(!again());
    }
}
