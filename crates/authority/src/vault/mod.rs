//! Keys, seals, tokens, passwords and randomness. No SQL, no clock: rows and times are given.
//!
//! What is not promised: a blob put back in place of a newer one *at the same version* opens. Versions never repeat,
//! and the audit chain shows what was written.

mod aead;
mod error;
mod frame;
mod password;
mod ring;
mod root_key;
mod signer;
#[cfg(test)]
mod tests;
mod token;
mod wrapped;

pub use error::VaultError;
pub use password::{PASSWORD_BYTES, PASSWORD_CHARS_MIN, password_check, password_hash, password_verify};
pub use ring::{DigestKey, KeyRing, Place, Sealed};
#[cfg(any(test, feature = "testkit"))]
pub use root_key::test_root_key;
pub use root_key::{KeyProvider, ROOT_KEY_FILE, RootKey, root_key_path};
pub use signer::{Signer, verify};
pub use token::{PlainToken, TokenHash, TokenKind, looks_like_credential};
pub use wrapped::{KeyPurpose, WrappedKey};

/// Fresh random bytes: the only source of randomness in the service.
///
/// The process ends if the system has none to give, because nothing made without it would be safe.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        std::process::abort();
    }
    bytes
}

/// A new identifier that sorts by time: UUID version 7 for `now_ms`, in milliseconds since 1970.
#[must_use]
pub fn uuid_v7(now_ms: i64) -> uuid::Uuid {
    let millis = u64::try_from(now_ms).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random()).into_uuid()
}
