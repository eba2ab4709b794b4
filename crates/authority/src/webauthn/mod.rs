//! Passkeys: what a browser hands over, read strictly and verified (W3C Web Authentication, Level 2). Pure functions: no
//! state, no clock, no store.
//!
//! Taken is what this server asks for, and nothing else: keys for ES256 and EdDSA, a user who was verified, and no statement
//! about the authenticator but none, or one made with the new key itself. Deliberately absent: certificates, extensions,
//! pages in frames of other sites.

mod authenticator_data;
mod cbor;
mod client_data;
mod key;

use aws_lc_rs::digest;

use authenticator_data::AuthenticatorData;
use cbor::Item;
pub(crate) use client_data::{Ceremony, challenge_of};
pub(crate) use key::{Algorithm, Key};

/// Bytes of a challenge: twice what §13.4.3 asks for.
pub(crate) const CHALLENGE_BYTES: usize = 32;
/// Largest attestation object, in bytes. Without certificates it is a few hundred.
const ATTESTATION_BYTES_MAX: usize = 16 * 1024;

/// A challenge.
pub(crate) type Challenge = [u8; CHALLENGE_BYTES];

/// Why an answer is not taken. For the log and for whoever looks why a passkey does not work; never of what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unsound(pub(crate) &'static str);

/// Whom the passkey is for: this server under one of its names.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Party {
    /// The relying party's id: a host name.
    pub rp_id: String,
    /// The page's origin: scheme, host and port.
    pub origin: String,
}

/// What the answer has to fit.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) challenge: &'a Challenge,
    pub(crate) party: &'a Party,
}

/// A new passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) credential_id: Vec<u8>,
    pub(crate) key: Key,
    pub(crate) sign_count: u32,
}

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

/// The data of the authenticator, for this party and by a user who was there and was verified (§7.1 steps 13 to 15, §7.2
/// steps 15 to 17).
fn authenticated<'a>(bytes: &'a [u8], party: &Party) -> Result<AuthenticatorData<'a>, Unsound> {
    let data = AuthenticatorData::read(bytes)?;
    if data.rp_id_hash != sha256(party.rp_id.as_bytes()).as_ref() {
        return Err(Unsound("it is for another server"));
    }
    if !data.user_present || !data.user_verified {
        return Err(Unsound("the user was not verified"));
    }
    Ok(data)
}

/// Verifies a new passkey (§7.1).
pub(crate) fn register(
    client_data: &[u8],
    attestation: &[u8],
    credential_id: &[u8],
    expected: Expected<'_>,
) -> Result<Registered, Unsound> {
    client_data::check(client_data, Ceremony::Create, expected)?;
    if attestation.len() > ATTESTATION_BYTES_MAX {
        return Err(Unsound("the attestation object is too large"));
    }
    let object = cbor::document(attestation)?;
    let (format, statement, data) = match (
        object.members(3)?,
        object.get(&Item::Text("fmt")),
        object.get(&Item::Text("attStmt")),
        object.get(&Item::Text("authData")),
    ) {
        ((), Some(Item::Text(format)), Some(statement), Some(Item::Bytes(data))) => (*format, statement, *data),
        _ => return Err(Unsound("the attestation object has other members")),
    };
    let authenticator = authenticated(data, expected.party)?;
    let attested = authenticator.attested.ok_or(Unsound("there is no key in it"))?;
    if attested.credential_id != credential_id {
        return Err(Unsound("it names two credentials"));
    }
    match format {
        // §8.7: nothing is said of the authenticator.
        "none" => statement.members(0)?,
        // §8.2, self attestation: signed with the key itself, which proves that it is had and no more.
        "packed" => {
            statement.members(2)?;
            let algorithm = statement.get(&Item::Text("alg"));
            let Some(Item::Bytes(signature)) = statement.get(&Item::Text("sig")) else {
                return Err(Unsound("the attestation has no signature"));
            };
            let same = algorithm == Some(&Item::Negative(attested.key.algorithm().cose()));
            let signed = [data, sha256(client_data).as_ref()].concat();
            if !same || !attested.key.verify(&signed, signature) {
                return Err(Unsound("the attestation is not signed with the new key"));
            }
        }
        _ => return Err(Unsound("this kind of attestation was not asked for")),
    }
    Ok(Registered {
        credential_id: attested.credential_id.to_vec(),
        key: attested.key,
        sign_count: authenticator.sign_count,
    })
}

/// What was used: a passkey's own statement that it is there.
#[derive(Clone, Copy)]
pub(crate) struct Assertion<'a> {
    pub(crate) client_data: &'a [u8],
    pub(crate) authenticator_data: &'a [u8],
    pub(crate) signature: &'a [u8],
}

/// Verifies the use of a passkey (§7.2). Returns the counter, which the caller has to compare with the stored one in the
/// transaction that stores it: see [`advances`].
pub(crate) fn assert(answer: Assertion<'_>, key: &Key, expected: Expected<'_>) -> Result<u32, Unsound> {
    client_data::check(answer.client_data, Ceremony::Get, expected)?;
    let data = authenticated(answer.authenticator_data, expected.party)?;
    if data.attested.is_some() {
        return Err(Unsound("a passkey that is used does not bring a new key"));
    }
    let signed = [answer.authenticator_data, sha256(answer.client_data).as_ref()].concat();
    if !key.verify(&signed, answer.signature) {
        return Err(Unsound("the signature is not the passkey's"));
    }
    Ok(data.sign_count)
}

/// Whether a counter goes on from a stored one (§7.2 step 21). Many authenticators do not count: theirs is always 0. One
/// that went back was copied.
pub(crate) const fn advances(stored: i64, count: u32) -> bool {
    (stored == 0 && count == 0) || count as i64 > stored
}

#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
#[cfg(test)]
mod tests;
