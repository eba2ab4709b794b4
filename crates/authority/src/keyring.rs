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
