//! A passkey's public key: as COSE writes it (RFC 9053), as it is stored, and what it verifies.

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};

use super::{Unsound, cbor::Item};

/// How a passkey signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All that are asked for, the better one first.
    pub(crate) const ALL: [Self; 2] = [Self::EdDsa, Self::Es256];

    /// Its number in COSE.
    pub(crate) const fn cose(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
        }
    }

    fn verifies(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Es256 => &signature::ECDSA_P256_SHA256_ASN1,
            Self::EdDsa => &signature::ED25519,
        }
    }
}

/// A public key that signatures can be verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    algorithm: Algorithm,
    /// An uncompressed point, or the 32 bytes of Ed25519.
    bytes: Vec<u8>,
}

impl Key {
    /// A COSE key (§6.5.1.1): just the members it needs, and a point that is on its curve.
    pub(super) fn read(cose: &Item<'_>) -> Result<Self, Unsound> {
        const KIND: Item<'static> = Item::Unsigned(1);
        const ALGORITHM: Item<'static> = Item::Unsigned(3);
        const CURVE: Item<'static> = Item::Negative(-1);
        const X: Item<'static> = Item::Negative(-2);
        const Y: Item<'static> = Item::Negative(-3);
        let coordinate = |name: &Item<'_>| match cose.get(name) {
            Some(Item::Bytes(bytes)) if bytes.len() == 32 => Ok(*bytes),
            _ => Err(Unsound("a coordinate of the key is not 32 bytes")),
        };
        let number = |name: &Item<'_>| match cose.get(name) {
            Some(Item::Unsigned(number)) => i64::try_from(*number).ok(),
            Some(Item::Negative(number)) => Some(*number),
            _ => None,
        };
        let (algorithm, bytes) = match (number(&KIND), number(&ALGORITHM), number(&CURVE)) {
            (Some(2), Some(-7), Some(1)) => {
                cose.members(5)?;
                (Algorithm::Es256, [&[4], coordinate(&X)?, coordinate(&Y)?].concat())
            }
            (Some(1), Some(-8), Some(6)) => {
                cose.members(4)?;
                (Algorithm::EdDsa, coordinate(&X)?.to_vec())
            }
            _ => return Err(Unsound("a key of a kind that was not asked for")),
        };
        Self::new(algorithm, bytes).ok_or(Unsound("the key is not on its curve"))
    }

    fn new(algorithm: Algorithm, bytes: Vec<u8>) -> Option<Self> {
        let parsed = ParsedPublicKey::new(algorithm.verifies(), &bytes);
        parsed.is_ok().then_some(Self { algorithm, bytes })
    }

    /// As it was stored; `None` for anything else.
    pub(crate) fn stored(cose: i64, bytes: &[u8]) -> Option<Self> {
        let algorithm = Algorithm::ALL.into_iter().find(|algorithm| algorithm.cose() == cose)?;
        Self::new(algorithm, bytes.to_vec())
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// To store.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the signature is of the message by the holder of the key.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        signature::UnparsedPublicKey::new(self.algorithm.verifies(), &self.bytes).verify(message, signature).is_ok()
    }
}
