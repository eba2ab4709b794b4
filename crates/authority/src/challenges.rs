//! Challenges that wait for a passkey: used once, for five minutes, for what they were issued for and nobody else.
//!
//! Rows, because the answer may come to another server than the question did, and bounded. Those of the door, which anybody
//! may ask for, are kept apart: a stranger who asks for many can push out those of other strangers, not those of sessions.

use portcullis_kernel::{
    id::{CredentialId, OperatorId},
    name::DisplayName,
    refusal::Code,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    authority::Authority,
    gate::Meta,
    refusal::Refusal,
    tables::challenges,
    webauthn::{CHALLENGE_BYTES, Challenge, Party},
};

/// How long a challenge waits, in milliseconds.
pub(crate) const CHALLENGE_MS: i64 = 5 * 60 * 1000;
/// Challenges of the door that wait at the same time; the oldest gives way.
const OF_THE_DOOR_MAX: i64 = 10_000;
/// Challenges of sessions that wait at the same time; the oldest gives way.
const OF_SESSIONS_MAX: i64 = 1_000;

/// What a challenge was issued for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Purpose {
    /// To open a session: whose is not known yet.
    Login,
    /// To add a passkey of this name, in this session.
    Add { session: CredentialId, operator: OperatorId, name: DisplayName },
    /// To re-authenticate, in this session.
    StepUp { session: CredentialId, operator: OperatorId },
}

/// A challenge that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) purpose: Purpose,
    pub(crate) party: Party,
}

fn named() -> Meta {
    Meta { request_id: "challenge".to_owned(), ..Meta::default() }
}

impl Authority {
    /// Issues one.
    pub(crate) async fn issue_challenge(&self, purpose: &Purpose, party: &Party) -> Result<Challenge, Refusal> {
        let challenge = crate::vault::random::<CHALLENGE_BYTES>();
        let (kind, most) = match purpose {
            Purpose::Login => ("door", OF_THE_DOOR_MAX),
            Purpose::Add { .. } | Purpose::StepUp { .. } => ("session", OF_SESSIONS_MAX),
        };
        let words = |error: serde_json::Error| Refusal::new(Code::Internal).internal(error);
        let purpose = serde_json::to_string(purpose).map_err(words)?;
        let party = serde_json::to_string(party).map_err(words)?;
        let until = self.now().plus_ms(CHALLENGE_MS).0;
        self.write(named(), move |cx| {
            Ok(challenges::insert(cx.conn, kind, &challenge, &purpose, &party, until, most)?)
        })
        .await?;
        Ok(challenge)
    }

    /// Takes one, whatever becomes of the answer: nothing is answered twice.
    pub(crate) async fn take_challenge(&self, challenge: Challenge) -> Result<Option<Issued>, Refusal> {
        let now: Timestamp = self.now();
        let taken = self.write(named(), move |cx| Ok(challenges::take(cx.conn, &challenge)?)).await?;
        let Some((purpose, party, _)) = taken.filter(|(_, _, until)| now.0 < *until) else { return Ok(None) };
        let words = |error: serde_json::Error| Refusal::new(Code::Internal).internal(error);
        let purpose = serde_json::from_str(&purpose).map_err(words)?;
        Ok(Some(Issued { purpose, party: serde_json::from_str(&party).map_err(words)? }))
    }
}
