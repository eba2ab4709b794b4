//! AES-256-GCM in the one blob layout of the service: version, nonce, ciphertext with tag.
//!
//! Nonces are random, so one key must not seal more than 2³² blobs; rotation comes long before.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{error::VaultError, random};

/// The first byte of every blob. It is also authenticated, through the associated data.
pub(super) const BLOB_VERSION: u8 = 1;

const TAG_LEN: usize = 16;

/// A key for sealing and opening. The library clears it when dropped.
pub(super) struct AeadKey(LessSafeKey);

impl AeadKey {
    pub(super) fn new(key: &[u8; 32]) -> Result<Self, VaultError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| VaultError::Crypto("the key was refused"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    pub(super) fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let nonce: [u8; NONCE_LEN] = random();
        let mut blob = Vec::with_capacity(1 + NONCE_LEN + plaintext.len() + TAG_LEN);
        blob.push(BLOB_VERSION);
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(plaintext);
        // In place, so that the plaintext is not left behind in a second buffer.
        let (_, secret) = blob.split_at_mut(1 + NONCE_LEN);
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), secret)
            .map_err(|_| VaultError::Crypto("sealing failed"))?;
        blob.extend_from_slice(tag.as_ref());
        Ok(blob)
    }

    pub(super) fn open(&self, aad: &[u8], blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (version, rest) = blob.split_first().ok_or(VaultError::Malformed("it is empty"))?;
        if *version != BLOB_VERSION {
            return Err(VaultError::Malformed("its version is unknown"));
        }
        let (nonce, sealed) = rest.split_first_chunk().ok_or(VaultError::Malformed("it is too short"))?;
        let length = sealed.len().checked_sub(TAG_LEN).ok_or(VaultError::Malformed("it is too short"))?;
        let mut buffer = Zeroizing::new(sealed.to_vec());
        self.0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut buffer)
            .map_err(|_| VaultError::DoesNotOpen)?;
        buffer.truncate(length);
        Ok(buffer)
    }
}
