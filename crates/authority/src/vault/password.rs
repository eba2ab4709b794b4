//! Passwords of operators: Argon2id, with one cost for known and unknown names.
//!
//! A hash takes tens of milliseconds and 19 MiB: never inside a transaction, and never on a thread of the asynchronous
//! runtime without leaving it first.

use std::ops::RangeInclusive;

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        self, CustomizedPasswordHasher, PasswordVerifier,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};

use super::{error::VaultError, random};

/// How long a password may be, in bytes of UTF-8. The upper end bounds the work that a stranger can ask for.
pub const PASSWORD_BYTES: RangeInclusive<usize> = 12..=256;

/// The fewest characters, which for other than Latin letters is the stricter rule.
pub const PASSWORD_CHARS_MIN: usize = 10;

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Has the costs of a real hash and belongs to no password.
pub(super) const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cG9ydGN1bGxpcy1ub2JvZHk$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Fails with [`VaultError::Password`], which tells the rule, if the password may not be chosen.
pub fn password_check(password: &str) -> Result<(), VaultError> {
    if password.len() > *PASSWORD_BYTES.end() {
        return Err(VaultError::Password("the password is longer than 256 bytes; choose a shorter one"));
    }
    if password.len() < *PASSWORD_BYTES.start() || password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(VaultError::Password("the password is too short; use at least 12 characters"));
    }
    Ok(())
}

/// The hash to store, as a PHC string. Fails as [`password_check`] does.
pub fn password_hash(password: &str) -> Result<String, VaultError> {
    password_check(password)?;
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| VaultError::Crypto("odd hash costs"))?;
    let hash = Returning
        .hash_password_with_params(password.as_bytes(), &random::<16>(), params)
        .map_err(|_| VaultError::Crypto("the password could not be hashed"))?;
    Ok(hash.to_string())
}

/// Whether the password is the one behind `stored`. Without a stored hash the answer is no after the same work, so
/// that the time does not tell which names exist.
///
/// Fails with [`VaultError::Malformed`] if `stored` is not a hash that this release understands.
pub fn password_verify(password: &str, stored: Option<&str>) -> Result<bool, VaultError> {
    if password.len() > *PASSWORD_BYTES.end() {
        return Ok(false);
    }
    let malformed = VaultError::Malformed("it is not a password hash");
    let hash = PasswordHash::new(stored.unwrap_or(NOBODY)).map_err(|_| malformed.clone())?;
    match Returning.verify_password(password.as_bytes(), &hash) {
        Ok(()) => Ok(stored.is_some()),
        Err(password_hash::Error::PasswordInvalid) => Ok(false),
        Err(_) => Err(malformed),
    }
}

/// Reserved for one hash: 33 MiB, in blocks of a KiB. The C library gives an allocation beyond 32 MiB a mapping of its own and
/// returns it to the system when it is freed (`M_MMAP_THRESHOLD`, mallopt(3)); a smaller one stays with whichever thread asked
/// for it, so that every thread that had hashed once kept 19 MiB. What is reserved and not touched costs nothing.
const RESERVED_BLOCKS: usize = 33_792;

/// Argon2id whose memory goes back to the system with every hash.
struct Returning;

impl CustomizedPasswordHasher<PasswordHash> for Returning {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?.unwrap_or_default();
        let salt = Salt::new(salt)?;
        let mut buffer = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let out = buffer.get_mut(..length).ok_or(password_hash::Error::OutputSize)?;
        let blocks = params.block_count();
        let mut memory = Vec::with_capacity(blocks.max(RESERVED_BLOCKS));
        memory.resize(blocks, Block::new());
        let params_text = ParamsString::try_from(&params)?;
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(password, &salt, out, &mut *memory)?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: params_text,
            salt: Some(salt),
            hash: Some(Output::new(out)?),
        })
    }
}
