//! A secret value: a type with almost no abilities, so that holding one is contagious.

use zeroize::Zeroizing;

/// Largest secret value, in bytes (design §6).
pub const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Why bytes cannot be a secret value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Nothing to store.
    #[error("a secret value may not be empty; delete the key instead")]
    Empty,
    /// More than [`VALUE_BYTES_MAX`].
    #[error("a secret value may have at most 65536 bytes")]
    TooLarge,
    /// An environment variable cannot hold a NUL byte.
    #[error("a secret value may not contain a NUL byte, an environment variable cannot hold one")]
    Nul,
}

/// Plaintext of a secret. No `Debug`, `Display`, `Clone`, `PartialEq`, `Serialize` or `Default`: a struct that holds one
/// cannot derive them either, and the compiler points at the leak. Wiped when dropped.
///
/// ```compile_fail
/// fn print<T: std::fmt::Debug>(_: T) {}
/// print(portcullis_kernel::secret::SecretValue::new("x".into()).unwrap());
/// ```
///
/// ```compile_fail
/// fn write<T: serde::Serialize>(_: T) {}
/// write(portcullis_kernel::secret::SecretValue::new("x".into()).unwrap());
/// ```
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes the text over. Errors are about size and NUL bytes and never quote the text.
    pub fn new(text: String) -> Result<Self, ValueError> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            return Err(ValueError::Empty);
        }
        if text.len() > VALUE_BYTES_MAX {
            return Err(ValueError::TooLarge);
        }
        if text.contains('\0') {
            return Err(ValueError::Nul);
        }
        Ok(Self(text))
    }

    /// The plaintext. Hazmat: this word may be written in the listed files only (`crates/xtask/tidy/expose_secret.txt`).
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// What a human may be told about the value without seeing it.
    pub fn shape(&self) -> ValueShape {
        ValueShape { length_class: LengthClass::of(self.0.len()), format_class: FormatClass::of(&self.0) }
    }
}

/// What one run of an agent is given in secret: handed over once, consumed by whoever starts it. No `Debug`, no `Clone`.
pub struct Environment {
    /// Secrets that become environment variables.
    pub variables: Vec<(String, SecretValue)>,
    /// Secrets that become files; they can be replaced while the agent runs.
    pub files: Vec<(String, SecretValue)>,
    /// The token of the run; a file beside the agent. Absent where only files are replaced.
    pub token: Option<SecretValue>,
}

/// The value as a reviewer sees it: never a character of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ValueShape {
    /// How long, in three steps.
    pub length_class: LengthClass,
    /// What it looks like.
    pub format_class: FormatClass,
}

/// Length in steps coarse enough to give nothing away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LengthClass {
    /// Under 16 bytes: too short for a key.
    Short,
    /// 16 to 255 bytes: most keys and passwords.
    Medium,
    /// 256 bytes and more: certificates, documents.
    Long,
}

impl LengthClass {
    const fn of(bytes: usize) -> Self {
        match bytes {
            0..16 => Self::Short,
            16..256 => Self::Medium,
            _ => Self::Long,
        }
    }
}

/// Format of a value, judged by its first characters and alphabet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormatClass {
    /// A PEM block.
    Pem,
    /// A JSON object or array.
    Json,
    /// `scheme://…`
    Url,
    /// Three base64url parts joined by dots.
    Jwt,
    /// Digits only.
    Number,
    /// One word of key characters.
    Token,
    /// Anything else.
    Text,
}

impl FormatClass {
    fn of(text: &str) -> Self {
        let trimmed = text.trim();
        let key_char = |c: char| c.is_ascii_alphanumeric() || "-_+/=.".contains(c);
        if trimmed.starts_with("-----BEGIN ") {
            Self::Pem
        } else if (trimmed.starts_with('{') && trimmed.ends_with('}'))
            || (trimmed.starts_with('[') && trimmed.ends_with(']'))
        {
            Self::Json
        } else if trimmed.split_once("://").is_some_and(|(scheme, _)| {
            !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')
        }) {
            Self::Url
        } else if trimmed.starts_with("eyJ") && trimmed.matches('.').count() == 2 {
            Self::Jwt
        } else if trimmed.chars().all(|c| c.is_ascii_digit()) {
            Self::Number
        } else if trimmed.chars().all(key_char) {
            Self::Token
        } else {
            Self::Text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_limits_and_the_limits_have_names() {
        assert!(matches!(SecretValue::new(String::new()), Err(ValueError::Empty)));
        assert!(matches!(SecretValue::new("a\0b".into()), Err(ValueError::Nul)));
        assert!(SecretValue::new("a".repeat(VALUE_BYTES_MAX)).is_ok());
        assert!(matches!(SecretValue::new("a".repeat(VALUE_BYTES_MAX + 1)), Err(ValueError::TooLarge)));
    }

    #[test]
    fn the_shape_tells_the_kind_and_nothing_else() {
        for (text, format) in [
            ("sk_live_abcdefghijklmnop", FormatClass::Token),
            ("postgres://u:p@h/db", FormatClass::Url),
            ("{\"a\":1}", FormatClass::Json),
            ("12345", FormatClass::Number),
            ("two words", FormatClass::Text),
        ] {
            assert_eq!(SecretValue::new(text.into()).unwrap().shape().format_class, format, "{text}");
        }
    }
}
