//! A key as the database keeps it: wrapped by the root key, bound to its name and purpose.

use zeroize::Zeroizing;

use super::{error::VaultError, frame::frame, random, root_key::KeyProvider};

/// What a wrapped key is for. Authenticated with it, so a row cannot be given another purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPurpose {
    /// Seals values; several may exist, one seals.
    Data,
    /// Keyed digests; one, and never replaced, because digests are compared over the years.
    Digest,
    /// The seed of the checkpoint signer.
    Signing,
}

impl KeyPurpose {
    /// The stable name, as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Digest => "digest",
            Self::Signing => "signing",
        }
    }

    /// The purpose of a stored name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Data, Self::Digest, Self::Signing].into_iter().find(|purpose| purpose.as_str() == name)
    }
}

/// One row of the table of keys.
#[derive(Clone)]
pub struct WrappedKey {
    /// Its name, which blobs carry.
    pub id: String,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// The key, encrypted by the root key.
    pub wrapped: Vec<u8>,
}

impl WrappedKey {
    /// Makes a new random key of 32 bytes and wraps it.
    pub fn generate(provider: &dyn KeyProvider, id: &str, purpose: KeyPurpose) -> Result<Self, VaultError> {
        let key = Zeroizing::new(random::<32>());
        let wrapped = provider.wrap_key(key.as_slice(), &aad(id, purpose))?;
        Ok(Self { id: id.to_owned(), purpose, wrapped })
    }

    /// The same key under another root key: what rotation of the root key does to each row.
    pub fn rewrap(&self, old: &dyn KeyProvider, new: &dyn KeyProvider) -> Result<Self, VaultError> {
        let key = self.unwrap_key(old)?;
        let wrapped = new.wrap_key(key.as_slice(), &aad(&self.id, self.purpose))?;
        Ok(Self { id: self.id.clone(), purpose: self.purpose, wrapped })
    }

    pub(super) fn unwrap_key(&self, provider: &dyn KeyProvider) -> Result<Zeroizing<[u8; 32]>, VaultError> {
        let plain = provider.unwrap_key(&self.wrapped, &aad(&self.id, self.purpose))?;
        let plain = <&[u8; 32]>::try_from(plain.as_slice()).map_err(|_| VaultError::Malformed("it is not a key"))?;
        Ok(Zeroizing::new(*plain))
    }
}

fn aad(id: &str, purpose: KeyPurpose) -> Vec<u8> {
    frame("portcullis/wrapped-key/v1", &[id.as_bytes(), purpose.as_str().as_bytes()])
}
