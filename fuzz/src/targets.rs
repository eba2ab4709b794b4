//! What is fuzzed, and what must hold whatever comes in. The same functions run over the corpus in `cargo test`.
//!
//! A target panics where a promise is broken: what was read is shown as what is read again, nothing comes twice, limits hold,
//! and an error never quotes what it refused.

#[path = "targets/a2a.rs"]
mod a2a;
#[path = "targets/head.rs"]
mod head;
#[path = "targets/mcp.rs"]
mod mcp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::sync::OnceLock;

use portcullis_authority::vault::{
    KeyPurpose, KeyRing, Place, PlainToken, Sealed, TokenHash, WrappedKey, looks_like_credential, test_root_key,
};
use portcullis_authority::{ExportMark, Pins, clock, verify_export};
use portcullis_kernel::audit::{self, Event};
use portcullis_kernel::checkpoint::{UnverifiedNote, VerifierKey};
use portcullis_kernel::deed::Deed;
use portcullis_kernel::id::{ApprovalId, CredentialId, OperatorId, PolicyId, WorkspaceId};
use portcullis_kernel::import::{self, Format};
use portcullis_kernel::name::{DisplayName, Email, Note, SecretKey};
use portcullis_kernel::policy::Policy;
use portcullis_kernel::redact::{RedactStream, Redactor};
use portcullis_kernel::refusal::Code;
use portcullis_kernel::runtime::Runtime;
use portcullis_kernel::secret::SecretValue;
use portcullis_kernel::verb::Verb;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{json, scenario::Scenario};

/// Looks at one input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also the name of its folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("a2a_predecessor", a2a::predecessor),
    ("a2a_request", a2a::request),
    ("audit_export", audit_export),
    ("deed", deed),
    ("head", head::head),
    ("ids", ids),
    ("import_env", import_env),
    ("import_json", import_json),
    ("json", strict_json),
    ("mcp_frame", mcp::frame),
    ("names", names),
    ("note", note),
    ("policy", policy),
    ("redact", redact),
    ("root_key", root_key),
    ("runtime", runtime),
    ("scenario", scenario),
    ("sealed", sealed),
    ("time", time),
    ("token", token),
    ("verifier_key", verifier_key),
    ("webauthn_attestation", webauthn_attestation),
    ("webauthn_client", webauthn_client),
];

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// What is read is shown as what is read again.
fn reads_back<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        assert_eq!(shown.parse::<T>().ok().as_ref(), Some(&value), "shown as {shown:?}");
    }
}

/// No run of letters and digits of the input that is as long as a short secret is in what was said of it. Our own
/// messages have no word so long.
fn quotes_nothing(said: &str, input: &str) {
    for word in input.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() >= 12) {
        assert!(!said.contains(word), "{said:?} quotes {word:?}");
    }
}

fn ids(data: &[u8]) {
    let Some(text) = text(data) else { return };
    reads_back::<WorkspaceId>(text);
    reads_back::<OperatorId>(text);
    reads_back::<CredentialId>(text);
    reads_back::<ApprovalId>(text);
    reads_back::<PolicyId>(text);
    assert!(Verb::parse(text).is_none_or(|verb| verb.as_str() == text));
    assert!(Code::parse(text).is_none_or(|code| code.as_str() == text));
    assert!(audit::hex::decode(text).is_none_or(|hash| audit::hex::encode(&hash) == text), "one hash has two texts");
}

fn names(data: &[u8]) {
    let Some(text) = text(data) else { return };
    reads_back::<SecretKey>(text);
    reads_back::<DisplayName>(text);
    reads_back::<Email>(text);
    reads_back::<Note>(text);
    if let Ok(key) = text.parse::<SecretKey>() {
        assert!(
            key.as_str().len() <= 128
                && key.as_str().bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        );
    }
}

fn import_env(data: &[u8]) {
    import_as(Format::Env, data);
}

fn import_json(data: &[u8]) {
    import_as(Format::Json, data);
}

fn import_as(format: Format, data: &[u8]) {
    let Some(text) = text(data) else { return };
    match import::read(format, text) {
        Ok(pairs) => {
            let keys: BTreeSet<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys.len(), pairs.len(), "a key came twice");
            assert!((1..=500).contains(&pairs.len()));
        }
        // What an error says is fixed text by its type; where it points is in the file.
        Err(error) => assert!(error.line <= text.split('\n').count()),
    }
}

fn note(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Some(note) = UnverifiedNote::parse(text) else { return };
    // Who verifies signs for what the reader sees: the body is the one that is printed, byte for byte.
    assert!(text.starts_with(&note.checkpoint.body()), "another text passes for this checkpoint");
    assert!(note.checkpoint.size >= 0);
}

fn verifier_key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Some(key) = VerifierKey::parse(text) else { return };
    assert_eq!(key.to_text(), text.trim(), "another text passes for this key");
}

fn policy(data: &[u8]) {
    static SHIPPED: OnceLock<Policy> = OnceLock::new();
    let Some(text) = text(data) else { return };
    let shipped = SHIPPED.get_or_init(|| Policy::shipped().expect("the shipped rules load"));
    if let Ok(slots) = shipped.read_added("added", text) {
        assert!(!slots.is_empty(), "a policy that no request would find");
    }
}

fn runtime(data: &[u8]) {
    reads_back_as_json::<Runtime>(data, |runtime| {
        let _ = runtime.check();
    });
}

fn deed(data: &[u8]) {
    reads_back_as_json::<Deed>(data, |deed| {
        let _ = deed.verbs();
    });
}

fn reads_back_as_json<T: DeserializeOwned + serde::Serialize + PartialEq + Debug>(data: &[u8], look: fn(&T)) {
    let Ok(value) = serde_json::from_slice::<T>(data) else { return };
    look(&value);
    let shown = serde_json::to_string(&value).expect("what was read can be written");
    assert_eq!(serde_json::from_str::<T>(&shown).ok().as_ref(), Some(&value), "written as {shown}");
}

/// A body as routes have it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether it can be read is looked at")]
struct Body {
    key: String,
    value: Option<String>,
    delivery: Option<Delivery>,
    more: Option<BTreeMap<String, u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Delivery {
    Env,
    File,
}

fn strict_json(data: &[u8]) {
    if let Err(refusal) = json::read::<Body>(data) {
        quotes_nothing(&refusal.reason, &String::from_utf8_lossy(data));
    }
    // A number with a point is read to the nearest one or its neighbour.
    if let Some(value) = json::read::<serde_json::Value>(data).ok().filter(|value| !has_point(value)) {
        let again = serde_json::to_vec(&value).expect("what was read can be written");
        assert_eq!(
            json::read::<serde_json::Value>(&again).ok().as_ref(),
            Some(&value),
            "another reader reads another value"
        );
    }
}

fn has_point(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Array(items) => items.iter().any(has_point),
        serde_json::Value::Object(members) => members.values().any(has_point),
        other => other.is_f64(),
    }
}

/// No text shaped like a credential may be in the tree, so the corpus has a sign for how each begins.
fn spelt_out(data: &[u8]) -> Vec<u8> {
    let piece = |byte: &u8| match byte {
        b'@' => b"ptc_".to_vec(),
        b'`' => b"PRIVATE KEY-----".to_vec(),
        byte => vec![*byte],
    };
    data.iter().flat_map(piece).collect()
}

fn token(data: &[u8]) {
    let data = spelt_out(data);
    let Some(text) = text(&data) else { return };
    if let Some(token) = PlainToken::parse(text) {
        assert_eq!(token.expose(), text);
        assert_eq!(token.hash(), TokenHash::of_text(text));
        assert!(looks_like_credential(text), "a credential that could be stored as a secret");
        assert!(!token.hint().contains(text));
    }
    let _ = looks_like_credential(text);
}

/// A provider that wraps nothing: the blobs that are opened are sealed by real keys.
struct Bare;

impl portcullis_authority::vault::KeyProvider for Bare {
    fn wrap_key(&self, key: &[u8], _aad: &[u8]) -> Result<Vec<u8>, portcullis_authority::vault::VaultError> {
        Ok(key.to_vec())
    }

    fn unwrap_key(
        &self,
        wrapped: &[u8],
        _aad: &[u8],
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, portcullis_authority::vault::VaultError> {
        Ok(wrapped.to_vec().into())
    }

    fn id(&self) -> String {
        "bare".to_owned()
    }
}

fn ring() -> KeyRing {
    let row = |id: &str, purpose| WrappedKey { id: id.to_owned(), purpose, wrapped: vec![7; 32] };
    KeyRing::load(&Bare, &[row("data", KeyPurpose::Data), row("digest", KeyPurpose::Digest)], "data").expect("a ring")
}

fn sealed(data: &[u8]) {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    let ring = RING.get_or_init(ring);
    let place = Place::secret("organisation", "scope", "KEY", 1);
    // Nobody who lacks the key makes a blob that opens.
    assert!(
        ring.open(&place, &Sealed { key_id: "data".to_owned(), bytes: data.to_vec() }).is_err(),
        "a forged blob opens"
    );
    let blob = ring.seal(&place, data).expect("sealed");
    assert_eq!(ring.open(&place, &blob).expect("its own blob").as_slice(), data);
    let elsewhere = Place::secret("organisation", "scope", "KEY", 2);
    assert!(ring.open(&elsewhere, &blob).is_err(), "a blob opens where it does not belong");
    if let Some(at) = data.first() {
        let mut touched = blob.bytes.clone();
        let at = usize::from(*at) % touched.len();
        touched[at] ^= 1;
        assert!(ring.open(&place, &Sealed { key_id: blob.key_id, bytes: touched }).is_err(), "a touched blob opens");
    }
}

fn root_key(data: &[u8]) {
    let Some(id) = test_root_key(data) else { return };
    // A file is one key or none: nothing but the end of a line may be around its digits.
    let bare = data.strip_suffix(b"\n").unwrap_or(data);
    let bare = bare.strip_suffix(b"\r").unwrap_or(bare);
    assert!(data.len() == 32 || bare.len() == 64 && bare.iter().all(u8::is_ascii_hexdigit), "another file is a key");
    let mut other = data.to_vec();
    other[0] = if other[0] == b'0' { b'1' } else { b'0' };
    assert_ne!(test_root_key(&other), Some(id), "two keys are one");
}

fn scenario(data: &[u8]) {
    let Some(text) = text(data) else { return };
    match Scenario::parse(text) {
        Ok(scenario) => {
            let names = scenario.workspaces.iter().map(|workspace| &workspace.name);
            let names: Vec<&String> = names.chain(scenario.actors.iter().map(|actor| &actor.name)).collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "a name came twice");
            let is_known = |actor: &str| scenario.actors.iter().any(|known| known.name == actor);
            for step in scenario.steps.iter().chain(&scenario.cleanups) {
                assert!(
                    is_known(&step.actor) && step.verb_and_path().is_some(),
                    "nobody asks, or for nothing: {step:?}"
                );
            }
        }
        // Whoever wrote the file finds the place.
        Err(why) => {
            let after = why.split_once("line ").map(|(_, after)| after).unwrap_or_default();
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            let line: usize = digits.parse().unwrap_or_default();
            assert!((1..=text.split('\n').count()).contains(&line), "{why}");
        }
    }
}

fn time(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(time) = clock::parse_rfc3339(text) {
        let shown = clock::rfc3339(time);
        assert_eq!(clock::parse_rfc3339(&shown), Some(time), "shown as {shown}");
    }
}

fn audit_export(data: &[u8]) {
    let Some(first) = text(data).and_then(|text| text.lines().next()) else { return };
    let _ = serde_json::from_str::<ExportMark>(first);
    if let Ok(event) = serde_json::from_str::<Event>(first) {
        assert_ne!(event.hash(1, &[0; 32]), event.hash(2, &[0; 32]), "an event has one hash in two places");
    }
    // Nothing that the log's key did not sign verifies.
    let pins = Pins {
        key: Some(VerifierKey { name: "portcullis/fuzz".to_owned(), public: [7; 32] }),
        checkpoints: Vec::new(),
    };
    if let Ok(verified) = verify_export(data, &pins, &mut |_| {}) {
        assert_eq!(verified.checkpoints, 0, "a checkpoint verifies that nobody signed");
    }
}

const VALUE: &str = "hunter2-correct-horse";

fn redact(data: &[u8]) {
    let mut redactor = Redactor::new([7; 32]);
    redactor.add("KEY", VALUE);
    let (at, rest) = data.split_first().map_or((0, data), |(at, rest)| (usize::from(*at), rest));
    let data = spelt_out(rest);
    let stream = |cut: usize| {
        let (one, other) = data.split_at(cut.min(data.len()));
        let mut stream = RedactStream::new();
        let mut out = stream.push(&redactor, one);
        out.push_str(&stream.push(&redactor, other));
        out.push_str(&stream.finish(&redactor));
        out
    };
    let whole = stream(0);
    assert!(!whole.contains(VALUE), "a value went through");
    assert_eq!(whole, stream(at), "it depends on how the bytes were cut");
    if let Some(text) = text(&data) {
        assert!(!redactor.redact(text).contains(VALUE), "a value went through");
    }
    let _ = SecretValue::new(String::from_utf8_lossy(&data).into_owned());
}

const CLIENT: &str = r#"{"type":"webauthn.create","challenge":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc","origin":"http://localhost:1"}"#;

fn webauthn_attestation(data: &[u8]) {
    // The credential's id is what the attestation says, so that the rest of it is looked at.
    let id = data.get(..16).unwrap_or_default();
    let _ = portcullis_authority::test_registration(CLIENT.as_bytes(), data.get(16..).unwrap_or_default(), id, [7; 32]);
    let _ = portcullis_authority::test_registration(CLIENT.as_bytes(), data, &[], [7; 32]);
}

fn webauthn_client(data: &[u8]) {
    let said = portcullis_authority::test_registration(data, &[0xa0], b"id", [7; 32]);
    assert!(said.is_err(), "an empty attestation passes");
}
