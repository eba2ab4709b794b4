//! The key ring: one key seals, all keys open, and every blob names its key and belongs to one place.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{
    aead::{AeadKey, BLOB_VERSION},
    error::VaultError,
    frame::frame,
    root_key::KeyProvider,
    wrapped::{KeyPurpose, WrappedKey},
};

/// Where a sealed value lives. It is authenticated with the value, so a ciphertext moved elsewhere does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    kind: &'static str,
    organisation: &'a str,
    scope: &'a str,
    key: &'a str,
    version: i64,
}

impl<'a> Place<'a> {
    /// One version of a secret. `scope` tells the organisation's default from a workspace's value.
    #[must_use]
    pub fn secret(organisation: &'a str, scope: &'a str, key: &'a str, version: i64) -> Self {
        Self { kind: "secret", organisation, scope, key, version }
    }

    /// What an approval will apply, kept sealed until it is decided.
    #[must_use]
    pub fn approval(organisation: &'a str, approval: &'a str) -> Self {
        Self { kind: "approval", organisation, scope: "", key: approval, version: 0 }
    }

    fn aad(&self) -> Vec<u8> {
        frame(
            "portcullis/sealed/v1",
            &[
                &[BLOB_VERSION],
                self.kind.as_bytes(),
                self.organisation.as_bytes(),
                self.scope.as_bytes(),
                self.key.as_bytes(),
                &self.version.to_be_bytes(),
            ],
        )
    }
}

/// A ciphertext and the name of its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The data key that opens it.
    pub key_id: String,
    /// Version byte, nonce, ciphertext and tag.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealed").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The unwrapped keys of the service. Without `Debug`, `Clone` and `Serialize` on purpose.
pub struct KeyRing {
    keys: HashMap<String, AeadKey>,
    sealing: String,
    digest: hmac::Key,
}

impl KeyRing {
    /// Unwraps all rows. `sealing` names the data key for new values.
    ///
    /// Fails with [`VaultError::DoesNotOpen`] for another root key or a changed row, [`VaultError::UnknownKey`] if
    /// `sealing` is not among the rows, [`VaultError::Ring`] unless there is exactly one digest key.
    pub fn load(provider: &dyn KeyProvider, rows: &[WrappedKey], sealing: &str) -> Result<Self, VaultError> {
        let mut keys = HashMap::new();
        let mut digest = None;
        for row in rows {
            match row.purpose {
                KeyPurpose::Data => {
                    keys.insert(row.id.clone(), AeadKey::new(&*row.unwrap_key(provider)?)?);
                }
                KeyPurpose::Digest if digest.is_some() => return Err(VaultError::Ring("more than one digest key")),
                KeyPurpose::Digest => {
                    digest = Some(hmac::Key::new(hmac::HMAC_SHA256, row.unwrap_key(provider)?.as_slice()));
                }
                KeyPurpose::Signing => {}
            }
        }
        if !keys.contains_key(sealing) {
            return Err(VaultError::UnknownKey(sealing.to_owned()));
        }
        let digest = digest.ok_or(VaultError::Ring("no digest key"))?;
        Ok(Self { keys, sealing: sealing.to_owned(), digest })
    }

    /// The data key that new values are sealed under. A blob that names another waits to be resealed.
    #[must_use]
    pub fn sealing_id(&self) -> &str {
        &self.sealing
    }

    /// Encrypts for one place.
    pub fn seal(&self, place: &Place<'_>, plaintext: &[u8]) -> Result<Sealed, VaultError> {
        let bytes = self.key(&self.sealing)?.seal(&place.aad(), plaintext)?;
        Ok(Sealed { key_id: self.sealing.clone(), bytes })
    }

    /// Decrypts from its place. Fails with [`VaultError::UnknownKey`], [`VaultError::Malformed`] or
    /// [`VaultError::DoesNotOpen`].
    pub fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.key(&sealed.key_id)?.open(&place.aad(), &sealed.bytes)
    }

    /// A key for digests of one purpose. The same over all rotations, since it comes from the digest key.
    #[must_use]
    pub fn derive(&self, purpose: &'static str) -> DigestKey {
        let tag = hmac::sign(&self.digest, &frame("portcullis/digest-key/v1", &[purpose.as_bytes()]));
        DigestKey(hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref()))
    }

    fn key(&self, id: &str) -> Result<&AeadKey, VaultError> {
        self.keys.get(id).ok_or_else(|| VaultError::UnknownKey(id.to_owned()))
    }
}

/// Digests that only this installation can compute: fingerprints of values too guessable for a plain hash.
pub struct DigestKey(hmac::Key);

impl DigestKey {
    /// HMAC-SHA-256 over the domain and the parts, each preceded by its length.
    #[must_use]
    pub fn digest(&self, domain: &str, parts: &[&[u8]]) -> [u8; 32] {
        let tag = hmac::sign(&self.0, &Zeroizing::new(frame(domain, parts)));
        let mut digest = [0; 32];
        for (to, from) in digest.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        digest
    }
}
