//! Ed25519 for audit checkpoints: anyone may verify them, offline and without secrets.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::{
    error::VaultError,
    root_key::KeyProvider,
    wrapped::{KeyPurpose, WrappedKey},
};

/// Signs. Without `Debug`, `Clone` and `Serialize` on purpose.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl Signer {
    /// The signer whose seed is in `row`.
    ///
    /// Fails with [`VaultError::Ring`] if the row is for something else, [`VaultError::DoesNotOpen`] for another root
    /// key or a changed row.
    pub fn load(provider: &dyn KeyProvider, row: &WrappedKey) -> Result<Self, VaultError> {
        if row.purpose != KeyPurpose::Signing {
            return Err(VaultError::Ring("the key is not for signing"));
        }
        let seed = row.unwrap_key(provider)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice())
            .map_err(|_| VaultError::Crypto("the signing seed was refused"))?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| VaultError::Crypto("odd public key"))?;
        Ok(Self { pair, public })
    }

    /// The signature of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        for (to, from) in signature.iter_mut().zip(self.pair.sign(message).as_ref()) {
            *to = *from;
        }
        signature
    }

    /// The key that verifies what this signs. Public.
    #[must_use]
    pub fn verifying_key(&self) -> [u8; 32] {
        self.public
    }
}

/// Whether `signature` is of `message` by the holder of `verifying_key`.
#[must_use]
pub fn verify(verifying_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, verifying_key).verify(message, signature).is_ok()
}
