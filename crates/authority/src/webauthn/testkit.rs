//! An authenticator and a browser made of software, for tests: they answer as they are asked, or as a test bends them.
#![expect(clippy::expect_used, reason = "an authenticator that cannot be made ends the test")]

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

/// A passkey and the device it is on.
pub struct Authenticator {
    pair: Pair,
    /// The credential's id.
    pub credential_id: Vec<u8>,
    /// Whose it is.
    pub user_handle: Vec<u8>,
    /// How often it was used; `None` for one that does not count.
    pub count: Option<u32>,
    /// The user was there, and was verified.
    pub flags: u8,
    /// The page.
    pub origin: String,
    /// More members of the client data.
    pub client: Value,
    /// The kind of attestation.
    pub format: &'static str,
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

/// A head of CBOR for lengths below 65,536.
fn head(major: u8, argument: usize) -> Vec<u8> {
    match argument {
        0..=23 => vec![major << 5 | argument as u8],
        24..=255 => vec![major << 5 | 24, argument as u8],
        _ => [vec![major << 5 | 25], (argument as u16).to_be_bytes().to_vec()].concat(),
    }
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}

impl Authenticator {
    /// A new one with a key for ES256, or for EdDSA.
    pub fn new(es256: bool, origin: &str) -> Self {
        let pair = if es256 {
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .expect("a key");
            let pair = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref());
            Pair::Es256(pair.expect("a key"))
        } else {
            Pair::EdDsa(Ed25519KeyPair::generate().expect("a key"))
        };
        Self {
            pair,
            credential_id: crate::vault::random::<32>().to_vec(),
            user_handle: Vec::new(),
            count: Some(0),
            flags: 0b101,
            origin: origin.to_owned(),
            client: json!({"crossOrigin": false}),
            format: "none",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), message).expect("a signature").as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The key, as COSE writes it.
    pub fn cose(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Es256(pair) => {
                let point = pair.public_key().as_ref();
                [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21][..], &bytes(&point[1..33]), &[0x22], &bytes(&point[33..])]
                    .concat()
            }
            Pair::EdDsa(pair) => {
                [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21][..], &bytes(pair.public_key().as_ref())].concat()
            }
        }
    }

    fn client_data(&self, ceremony: &str, challenge: &Value) -> Vec<u8> {
        let mut data = json!({"type": ceremony, "challenge": challenge, "origin": self.origin});
        for (name, value) in self.client.as_object().expect("members") {
            data[name] = value.clone();
        }
        data.to_string().into_bytes()
    }

    fn data(&self, rp_id: &str, more: &[u8]) -> Vec<u8> {
        let flags = if more.is_empty() { self.flags } else { self.flags | 0x40 };
        [&sha256(rp_id.as_bytes())[..], &[flags], &self.count.unwrap_or(0).to_be_bytes(), more].concat()
    }

    /// What the browser hands over when it is asked to make a passkey.
    pub fn create(&mut self, options: &Value) -> Value {
        let handle = options["user"]["id"].as_str().expect("a user");
        self.user_handle = URL_SAFE_NO_PAD.decode(handle).expect("base64url");
        let client_data = self.client_data("webauthn.create", &options["challenge"]);
        let length = (self.credential_id.len() as u16).to_be_bytes();
        let attested = [&[0; 16][..], &length, &self.credential_id, &self.cose()].concat();
        let data = self.data(options["rp"]["id"].as_str().expect("an id"), &attested);
        let statement = match self.format {
            "packed" => {
                let algorithm = if matches!(self.pair, Pair::Es256(_)) { 0x26 } else { 0x27 };
                let signature = self.sign(&[data.clone(), sha256(&client_data)].concat());
                [head(5, 2), text("alg"), vec![algorithm], text("sig"), bytes(&signature)].concat()
            }
            _ => head(5, 0),
        };
        let object =
            [head(5, 3), text("fmt"), text(self.format), text("attStmt"), statement, text("authData"), bytes(&data)]
                .concat();
        json!({
            "id": base64url(&self.credential_id), "rawId": base64url(&self.credential_id), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(&client_data), "attestationObject": base64url(&object),
                "authenticatorData": base64url(&data), "transports": ["internal"], "publicKeyAlgorithm": -7,
            },
        })
    }

    /// What the browser hands over when it is asked to use the passkey.
    pub fn get(&mut self, options: &Value) -> Value {
        self.count = self.count.map(|count| count + 1);
        let client_data = self.client_data("webauthn.get", &options["challenge"]);
        let data = self.data(options["rpId"].as_str().expect("an id"), &[]);
        let signature = self.sign(&[data.clone(), sha256(&client_data)].concat());
        json!({
            "id": base64url(&self.credential_id), "rawId": base64url(&self.credential_id), "type": "public-key",
            "authenticatorAttachment": "platform", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": base64url(&client_data), "authenticatorData": base64url(&data),
                "signature": base64url(&signature), "userHandle": base64url(&self.user_handle),
            },
        })
    }
}

/// Reads an answer to `localhost`, as [`super::register`] does; says why it is not taken.
pub fn test_registration(
    client_data: &[u8],
    attestation: &[u8],
    credential_id: &[u8],
    challenge: [u8; 32],
) -> Result<(), &'static str> {
    let party = super::Party { rp_id: "localhost".to_owned(), origin: "http://localhost:1".to_owned() };
    let expected = super::Expected { challenge: &challenge, party: &party };
    super::register(client_data, attestation, credential_id, expected).map(|_| ()).map_err(|unsound| unsound.0)
}
