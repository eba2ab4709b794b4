//! The vault: keys and seals, credentials.

mod credentials;
mod keys;
