//! Bearer tokens: `ptc_`, the kind, `_`, and 32 random bytes in base64url. The database keeps only hashes of them.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::random;

const PREFIX: &str = "ptc_";

/// 32 bytes in base64url without padding.
const BODY_CHARS: usize = 43;

/// How much of the body a hint shows: 24 of 256 bits.
const HINT_CHARS: usize = 4;

/// What a token is for; visible in the token, so that a leaked one can be recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// An operator of the whole service.
    Admin,
    /// One organisation.
    Organisation,
    /// One workspace.
    Workspace,
    /// Lets a new workspace process obtain its own token, once.
    Enrolment,
    /// Lets the first operator claim the service, once.
    Claim,
    /// A browser session.
    Session,
}

impl TokenKind {
    const ALL: [Self; 6] =
        [Self::Admin, Self::Organisation, Self::Workspace, Self::Enrolment, Self::Claim, Self::Session];

    /// The short name inside the token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "adm",
            Self::Organisation => "org",
            Self::Workspace => "ws",
            Self::Enrolment => "enr",
            Self::Claim => "clm",
            Self::Session => "ses",
        }
    }

    /// The kind that a token claims by its prefix, whether or not the rest is well formed.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        split(token).map(|(kind, _)| kind)
    }
}

/// A token in the clear: just made, or just presented. Without `Debug`, `Display`, `Clone` and `Serialize` on purpose;
/// cleared when dropped.
pub struct PlainToken {
    kind: TokenKind,
    text: Zeroizing<String>,
}

impl PlainToken {
    /// A new token. It can be shown once; afterwards only its hash is known.
    #[must_use]
    pub fn generate(kind: TokenKind) -> Self {
        let bytes = Zeroizing::new(random::<32>());
        // The full length at once: a growing string would leave parts of the token behind.
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 4 + BODY_CHARS));
        for part in [PREFIX, kind.as_str(), "_"] {
            text.push_str(part);
        }
        URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
        Self { kind, text }
    }

    /// A token as presented, or nothing if it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, body) = split(text)?;
        if body.len() != BODY_CHARS || Zeroizing::new(URL_SAFE_NO_PAD.decode(body).ok()?).len() != 32 {
            return None;
        }
        Some(Self { kind, text: Zeroizing::new(text.to_owned()) })
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The text itself, for the one answer that hands it over.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// What is stored and looked up.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        let digest = digest::digest(&digest::SHA256, self.text.as_bytes());
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        TokenHash(hash)
    }

    /// Enough for a person to recognise the token in a list: the prefix and four characters.
    #[must_use]
    pub fn hint(&self) -> String {
        self.text.chars().take(PREFIX.len() + self.kind.as_str().len() + 1 + HINT_CHARS).collect()
    }
}

/// SHA-256 of the whole token. A plain hash is enough for 256 random bits, and a comparison in ordinary time tells
/// nothing that would help to find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

/// Whether one of our tokens stands anywhere in `text`, whatever surrounds it.
#[must_use]
pub fn looks_like_credential(text: &str) -> bool {
    text.match_indices(PREFIX).any(|(at, _)| {
        let body = text.get(at..).and_then(split).map_or("", |(_, body)| body);
        body.bytes().take_while(|byte| is_base64url(*byte)).count() >= BODY_CHARS
    })
}

fn split(token: &str) -> Option<(TokenKind, &str)> {
    let (name, body) = token.strip_prefix(PREFIX)?.split_once('_')?;
    TokenKind::ALL.into_iter().find(|kind| kind.as_str() == name).map(|kind| (kind, body))
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl TokenHash {
    /// Hash of a text that was presented as a token, whatever its form: the admin token may have any.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        Self(hash)
    }
}
