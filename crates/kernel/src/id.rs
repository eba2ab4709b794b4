//! Typed identifiers. On the wire and in the database an id is a UUID in its hyphenated lower-case form, so that the
//! published clients of the predecessor accept it; inside, a workspace id can never be passed where an operator's is
//! expected. Ids are made (UUID version 7, RFC 9562) by the authority, which has a clock and randomness; here they are
//! only parsed.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is said of text that is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected a UUID such as `01890a5d-ac96-774b-bcce-b302099a8057`")]
pub struct IdError;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("format" = "uuid"))]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID made by the authority.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Accepts the hyphenated form only, in either case: braces, URNs and bare hex are other spellings of the
            /// same id, and two spellings of one id are how a comparison goes wrong.
            fn from_str(text: &str) -> Result<Self, IdError> {
                if text.len() != 36 {
                    return Err(IdError);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| IdError)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )*};
}

ids! {
    /// A workspace: the home of one agent.
    WorkspaceId,
    /// A human operator.
    OperatorId,
    /// A credential: token, session, enrolment code or claim link.
    CredentialId,
    /// An approval: a held deed and its decision.
    ApprovalId,
    /// A policy that operators added.
    PolicyId,
    /// The organisation (one per deployment); part of every ciphertext's place.
    OrganisationId,
    /// One run of an agent: its boot. A token belongs to one.
    BootId,
    /// A message to or from an agent.
    MessageId,
    /// One turn: the work an agent does on one message.
    TurnId,
    /// An operator's passkey.
    PasskeyId,
    /// A server of the organisation, by its data directory: the same after a restart.
    ServerId,
    /// One attempt, as the audit log and the logs name it.
    RequestId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let text = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(text.parse::<WorkspaceId>().unwrap().to_string(), text);
        for bad in [
            "",
            "x",
            "01890a5dac96774bbcceb302099a8057",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "g1890a5d-ac96-774b-bcce-b302099a8057",
        ] {
            assert_eq!(bad.parse::<WorkspaceId>(), Err(IdError), "{bad}");
        }
    }
}
