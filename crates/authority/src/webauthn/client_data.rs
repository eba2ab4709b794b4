//! What the browser says that it was asked, and by which page (§5.8.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{Challenge, Expected, Unsound};

/// Largest client data, in bytes.
const BYTES_MAX: usize = 8 * 1024;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ceremony {
    /// A passkey is made.
    Create,
    /// A passkey is used.
    Get,
}

impl Ceremony {
    const fn word(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// A browser may add members that mean nothing here (§5.8.1, "extensible"), so others are not refused. It is the signed
/// hash of all of it that counts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

fn read(bytes: &[u8]) -> Result<(ClientData, Challenge), Unsound> {
    if bytes.len() > BYTES_MAX {
        return Err(Unsound("the client data is too large"));
    }
    let data: ClientData = serde_json::from_slice(bytes).map_err(|_| Unsound("the client data cannot be read"))?;
    let challenge = URL_SAFE_NO_PAD.decode(&data.challenge).ok().and_then(|bytes| bytes.try_into().ok());
    challenge.map(|challenge| (data, challenge)).ok_or(Unsound("the challenge cannot be read"))
}

/// The challenge that is answered, to look it up by. Nothing of it is believed yet.
pub(crate) fn challenge_of(bytes: &[u8]) -> Result<Challenge, Unsound> {
    read(bytes).map(|(_, challenge)| challenge)
}

/// Whether it is the answer to what was asked (§7.1 steps 7 to 10, §7.2 steps 11 to 14).
pub(super) fn check(bytes: &[u8], ceremony: Ceremony, expected: Expected<'_>) -> Result<(), Unsound> {
    let (data, challenge) = read(bytes)?;
    if data.r#type != ceremony.word() {
        return Err(Unsound("it answers another question"));
    }
    if challenge != *expected.challenge {
        return Err(Unsound("it answers another challenge"));
    }
    if data.origin != expected.party.origin {
        return Err(Unsound("it was asked by a page of another origin"));
    }
    if data.cross_origin || data.top_origin.is_some() {
        return Err(Unsound("it was asked by a page inside another"));
    }
    Ok(())
}
