//! One error for the vault. It names keys and files, never what is in them.

/// Why something could not be sealed, opened, hashed or loaded. Errors that an operator must act on begin with a
/// stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// There is data, but not the key that sealed it. A new key would not open it, so none is made.
    #[error("ROOT_KEY_MISSING: the database has data but the root key `{0}` does not exist; restore the key file")]
    RootKeyMissing(String),
    /// The key file cannot be trusted or understood.
    #[error("ROOT_KEY_UNUSABLE: the root key `{path}` {why}")]
    RootKeyUnusable {
        /// The file.
        path: String,
        /// What is wrong with it and what to do.
        why: String,
    },
    /// A blob names a key that the ring does not hold.
    #[error("DATA_KEY_UNKNOWN: the data key `{0}` is not in the key ring; restore it from a backup")]
    UnknownKey(String),
    /// Wrong key, wrong place, or changed bytes; which of them cannot be told.
    #[error("the sealed value does not open: it was changed, moved or sealed under another key")]
    DoesNotOpen,
    /// The bytes are not a blob of this release at all.
    #[error("the sealed value is malformed: {0}")]
    Malformed(&'static str),
    /// The rows given do not make a key ring.
    #[error("the key ring is incomplete: {0}")]
    Ring(&'static str),
    /// The password breaks a rule, with the rule.
    #[error("{0}")]
    Password(&'static str),
    /// The cryptographic library refused to work.
    #[error("cryptographic failure: {0}")]
    Crypto(&'static str),
}
