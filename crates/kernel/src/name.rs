//! Names that parse once at the edge; inside, an invalid name cannot exist.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most secrets one workspace, or the organisation scope, may hold (design §6).
pub const KEYS_PER_SCOPE_MAX: usize = 500;
/// Longest name of a workspace, token or policy, in characters.
pub const NAME_CHARS_MAX: usize = 100;
/// Longest free text (a reason, a note, a description), in characters.
pub const NOTE_CHARS_MAX: usize = 2_000;

/// Why a text is not the name it was meant to be. The text itself is not repeated: someone may have pasted a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not `[A-Z_][A-Z0-9_]{0,127}`.
    #[error("a secret key is 1 to 128 characters: capital letters, digits and underscores, not starting with a digit")]
    SecretKey,
    /// Empty, too long or with control characters.
    #[error("a name is 1 to 100 characters without control characters or surrounding spaces")]
    DisplayName,
    /// Too long, or with control characters other than a line break.
    #[error("a note has at most 2000 characters and no control characters")]
    Note,
    /// Not `local@domain`.
    #[error("not an e-mail address")]
    Email,
}

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $error:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Option<String> = $check;
                check(text).map(Self).ok_or($error)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text_name!(
    /// Name of a secret and of the environment variable it becomes: `[A-Z_][A-Z0-9_]{0,127}`.
    SecretKey,
    NameError::SecretKey,
    |text| {
        let bytes = text.as_bytes();
        let first = matches!(bytes.first(), Some(b'A'..=b'Z' | b'_'));
        let rest = bytes.iter().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        (first && rest && bytes.len() <= 128).then(|| text.to_owned())
    }
);

text_name!(
    /// What people call a workspace, a token or a policy. A label, never an identifier.
    DisplayName,
    NameError::DisplayName,
    |text| {
        let fits = (1..=NAME_CHARS_MAX).contains(&text.chars().count());
        (fits && text.trim() == text && !text.chars().any(char::is_control)).then(|| text.to_owned())
    }
);

text_name!(
    /// Free text by a caller: a reason, a note, a role, a description. Carriage returns become line breaks.
    Note,
    NameError::Note,
    |text| {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let fits = text.chars().count() <= NOTE_CHARS_MAX;
        (fits && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t')).then_some(text)
    }
);

text_name!(
    /// Address an operator logs in with; compared without regard to ASCII case, kept in lower case.
    Email,
    NameError::Email,
    |text| {
        let text = text.trim().to_ascii_lowercase();
        let (local, domain) = text.rsplit_once('@')?;
        let fine = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@');
        (text.len() <= 254 && fine(local) && fine(domain)).then_some(text)
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_key_is_an_environment_variable_name_and_nothing_else() {
        for good in ["A", "_", "OPENAI_API_KEY", "A1", &"K".repeat(128)] {
            assert!(good.parse::<SecretKey>().is_ok(), "{good}");
        }
        for bad in ["", "a", "1A", "A-B", "A.B", "A=B", "A\nB", "A B", "Ä", "A\0", &"K".repeat(129)] {
            assert_eq!(bad.parse::<SecretKey>(), Err(NameError::SecretKey), "{bad:?}");
        }
    }

    #[test]
    fn an_email_is_kept_in_lower_case() {
        assert_eq!(" Ops@Example.COM ".parse::<Email>().unwrap().as_str(), "ops@example.com");
        assert!("ops".parse::<Email>().is_err());
    }
}
