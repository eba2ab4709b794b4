use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::super::{root_key::KeyProvider, *};
use crate::testkit_db::fresh_dir;

/// A directory that goes away with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        Self(fresh_dir())
    }
    fn key(&self) -> PathBuf {
        root_key_path(None, &self.0)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn root() -> RootKey {
    RootKey::load_or_create(&Dir::new().key(), true).unwrap()
}

fn row(root: &RootKey, id: &str, purpose: KeyPurpose) -> WrappedKey {
    WrappedKey::generate(root, id, purpose).unwrap()
}

fn rows(root: &RootKey) -> Vec<WrappedKey> {
    vec![row(root, "k1", KeyPurpose::Data), row(root, "d", KeyPurpose::Digest), row(root, "s", KeyPurpose::Signing)]
}

/// Secrets have no `Debug`, so `unwrap_err` cannot be used on them.
fn refusal<T>(result: Result<T, VaultError>) -> VaultError {
    result.err().expect("should have been refused")
}

#[test]
fn a_root_key_is_made_once_privately_and_read_again() {
    let dir = Dir::new();
    let made = RootKey::load_or_create(&dir.key(), true).unwrap();
    assert_eq!(fs::metadata(dir.key()).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(dir.key()).unwrap();
    assert!(text.len() == 65 && text.ends_with('\n') && text.trim().bytes().all(|b| b.is_ascii_hexdigit()));
    for database_is_new in [true, false] {
        assert_eq!(RootKey::load_or_create(&dir.key(), database_is_new).unwrap().id(), made.id());
    }
    assert_eq!(made.id().len(), 16);
    assert_ne!(made.id(), root().id());

    let raw: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect();
    fs::write(dir.key(), raw).unwrap();
    assert_eq!(RootKey::load_or_create(&dir.key(), false).unwrap().id(), made.id(), "32 raw bytes are the same key");
}

#[test]
fn a_missing_root_key_beside_data_is_an_error_and_never_a_new_key() {
    let dir = Dir::new();
    let error = refusal(RootKey::load_or_create(&dir.key(), false));
    assert!(error.to_string().starts_with("ROOT_KEY_MISSING"), "{error}");
    assert!(!dir.key().exists());
}

#[test]
fn a_root_key_that_others_can_reach_or_that_is_damaged_is_refused() {
    let dir = Dir::new();
    RootKey::load_or_create(&dir.key(), true).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o660, 0o777] {
        fs::set_permissions(dir.key(), fs::Permissions::from_mode(mode)).unwrap();
        let error = refusal(RootKey::load_or_create(&dir.key(), false));
        assert!(error.to_string().contains("chmod 600"), "{mode:o}: {error}");
    }
    fs::set_permissions(dir.key(), fs::Permissions::from_mode(0o600)).unwrap();
    for content in ["", "abc", &"f".repeat(63), &"f".repeat(65), &"g".repeat(64), &"f".repeat(5000)] {
        fs::write(dir.key(), content).unwrap();
        let error = refusal(RootKey::load_or_create(&dir.key(), true));
        assert!(matches!(&error, VaultError::RootKeyUnusable { .. }), "{error}");
        assert!(!error.to_string().contains("fff"), "the content leaks");
    }
    assert_eq!(root_key_path(Some(Path::new("/k")), &dir.0), Path::new("/k"));
}

#[test]
fn a_root_key_may_end_in_one_line_end_and_nothing_else() {
    let dir = Dir::new();
    let made = RootKey::load_or_create(&dir.key(), true).unwrap().id();
    let digits = fs::read_to_string(dir.key()).unwrap().trim().to_owned();
    for (content, taken) in [
        (digits.clone(), true),
        (format!("{digits}\n"), true),
        (format!("{digits}\r\n"), true),
        (digits.to_uppercase(), true),
        (format!("{digits}\r\nx"), false),
        (format!("{digits}\n\n"), false),
        (format!("{digits} "), false),
    ] {
        fs::write(dir.key(), &content).unwrap();
        let id = RootKey::load_or_create(&dir.key(), false).map(|key| key.id()).ok();
        assert_eq!(id, taken.then(|| made.clone()), "{:?}", &content[64..]);
    }
}

#[test]
fn a_root_key_that_cannot_be_read_or_made_is_told_and_not_replaced() {
    let dir = Dir::new();
    fs::create_dir(dir.key()).unwrap();
    for database_is_new in [true, false] {
        let error = refusal(RootKey::load_or_create(&dir.key(), database_is_new));
        assert!(matches!(&error, VaultError::RootKeyUnusable { .. }), "{error}");
    }
    let inside_a_file = dir.0.join("file").join("root.key");
    fs::write(dir.0.join("file"), "").unwrap();
    for database_is_new in [true, false] {
        let error = refusal(RootKey::load_or_create(&inside_a_file, database_is_new));
        assert!(error.to_string().contains("cannot be opened"), "not merely missing: {error}");
    }
}

#[test]
fn a_ciphertext_opens_only_in_its_place() {
    let root = root();
    let ring = KeyRing::load(&root, &rows(&root), "k1").unwrap();
    let place = Place::secret("org", "ws", "KEY", 3);
    let sealed = ring.seal(&place, b"value").unwrap();
    assert_eq!(ring.open(&place, &sealed).unwrap().as_slice(), b"value");
    for elsewhere in [
        Place::secret("org2", "ws", "KEY", 3),
        Place::secret("org", "ws2", "KEY", 3),
        Place::secret("org", "ws", "KEY2", 3),
        Place::secret("org", "ws", "KEY", 4),
        Place::secret("orgw", "s", "KEY", 3),
        Place::secret("org", "wsK", "EY", 3),
        Place::approval("org", "KEY"),
    ] {
        assert_eq!(refusal(ring.open(&elsewhere, &sealed)), VaultError::DoesNotOpen, "{elsewhere:?}");
    }
    let approval = Place::approval("org", "a1");
    let held = ring.seal(&approval, b"").unwrap();
    assert!(ring.open(&approval, &held).unwrap().is_empty());
    assert_eq!(refusal(ring.open(&Place::secret("org", "", "a1", 0), &held)), VaultError::DoesNotOpen);
    assert_ne!(ring.seal(&place, b"value").unwrap(), sealed, "a fresh nonce each time");
}

#[test]
fn a_changed_cut_or_foreign_blob_does_not_open() {
    let root = root();
    let ring = KeyRing::load(&root, &rows(&root), "k1").unwrap();
    let place = Place::secret("org", "ws", "KEY", 1);
    let sealed = ring.seal(&place, b"value").unwrap();
    for length in 0..sealed.bytes.len() {
        let cut = Sealed { bytes: sealed.bytes[..length].to_vec(), ..sealed.clone() };
        assert!(ring.open(&place, &cut).is_err(), "cut to {length}");
    }
    for at in 0..sealed.bytes.len() {
        let mut changed = sealed.clone();
        changed.bytes[at] ^= 1;
        assert!(ring.open(&place, &changed).is_err(), "changed at {at}");
    }
    let unknown = Sealed { key_id: "gone".into(), ..sealed.clone() };
    assert_eq!(refusal(ring.open(&place, &unknown)), VaultError::UnknownKey("gone".into()));
    // The same name, another key.
    let other = KeyRing::load(&root, &rows(&root), "k1").unwrap();
    assert_eq!(refusal(other.open(&place, &sealed)), VaultError::DoesNotOpen);
    let shown = format!("{sealed:?}");
    assert!(shown.contains("k1") && !shown.contains("bytes"), "{shown}");
}

#[test]
fn rotation_adds_a_sealing_key_and_keeps_the_old_ones_for_opening() {
    let root = root();
    let mut rows = rows(&root);
    let place = Place::secret("org", "ws", "KEY", 1);
    let before = KeyRing::load(&root, &rows, "k1").unwrap();
    let old = before.seal(&place, b"value").unwrap();
    rows.push(row(&root, "k2", KeyPurpose::Data));
    let after = KeyRing::load(&root, &rows, "k2").unwrap();
    assert_eq!(after.open(&place, &old).unwrap().as_slice(), b"value");
    assert_eq!((after.seal(&place, b"value").unwrap().key_id.as_str(), after.sealing_id()), ("k2", "k2"));
    assert_eq!(
        before.derive("content").digest("d", &[b"value"]),
        after.derive("content").digest("d", &[b"value"]),
        "digests do not change with the data key"
    );
    // The root key is rotated by wrapping each row anew.
    let new_root = self::root();
    let moved: Vec<_> = rows.iter().map(|row| row.rewrap(&root, &new_root).unwrap()).collect();
    let ring = KeyRing::load(&new_root, &moved, "k2").unwrap();
    assert_eq!(ring.open(&place, &old).unwrap().as_slice(), b"value");
    assert_eq!(refusal(KeyRing::load(&root, &moved, "k2")), VaultError::DoesNotOpen);
}

#[test]
fn wrapped_keys_cannot_be_renamed_repurposed_or_missing() {
    let root = root();
    let good = rows(&root);
    let with = |change: fn(&mut Vec<WrappedKey>)| {
        let mut rows = good.clone();
        change(&mut rows);
        refusal(KeyRing::load(&root, &rows, "k1"))
    };
    assert_eq!(with(|rows| rows[0].purpose = KeyPurpose::Digest), VaultError::DoesNotOpen);
    assert_eq!(with(|rows| rows[1].id = "other".into()), VaultError::DoesNotOpen);
    assert_eq!(with(|rows| rows[1].wrapped = rows[0].wrapped.clone()), VaultError::DoesNotOpen);
    assert_eq!(with(|rows| drop(rows.remove(0))), VaultError::UnknownKey("k1".into()));
    assert!(matches!(with(|rows| drop(rows.remove(1))), VaultError::Ring(_)));
    assert!(matches!(with(|rows| rows.push(rows[1].clone())), VaultError::Ring("more than one digest key")));
    assert_eq!(KeyPurpose::parse("root"), None);
    for purpose in [KeyPurpose::Data, KeyPurpose::Digest, KeyPurpose::Signing] {
        assert_eq!(KeyPurpose::parse(purpose.as_str()), Some(purpose));
    }
}

#[test]
fn digests_depend_on_purpose_domain_and_the_borders_of_parts() {
    let root = root();
    let ring = KeyRing::load(&root, &rows(&root), "k1").unwrap();
    let (a, b) = (ring.derive("a"), ring.derive("b"));
    let all = [
        a.digest("d", &[b"xy", b"z"]),
        a.digest("d", &[b"x", b"yz"]),
        a.digest("d", &[b"xyz"]),
        a.digest("d", &[b"xyz", b""]),
        a.digest("dx", &[b"yz"]),
        b.digest("d", &[b"xy", b"z"]),
    ];
    let distinct: std::collections::HashSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(ring.derive("a").digest("d", &[b"xy", b"z"]), all[0]);
}

#[test]
fn a_signature_verifies_for_its_message_and_key_only() {
    let root = root();
    let seed = row(&root, "s", KeyPurpose::Signing);
    let signer = Signer::load(&root, &seed).unwrap();
    let signature = signer.sign(b"checkpoint");
    assert!(verify(&signer.verifying_key(), b"checkpoint", &signature));
    assert!(!verify(&signer.verifying_key(), b"checkpoinT", &signature));
    assert!(!verify(&signer.verifying_key(), b"checkpoint", &signature[..63]));
    let other = Signer::load(&root, &row(&root, "s", KeyPurpose::Signing)).unwrap();
    assert!(!verify(&other.verifying_key(), b"checkpoint", &signature));
    assert_eq!(Signer::load(&root, &seed).unwrap().verifying_key(), signer.verifying_key());
    assert!(matches!(refusal(Signer::load(&root, &row(&root, "k", KeyPurpose::Data))), VaultError::Ring(_)));
}
