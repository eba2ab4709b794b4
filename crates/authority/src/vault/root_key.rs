//! The root key: the one secret outside the database. It wraps the keys inside and is used for nothing else.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::{aead::AeadKey, error::VaultError, random};

/// The name of the key file inside the data directory.
pub const ROOT_KEY_FILE: &str = "root.key";

/// Hexadecimal digits, and at most a line end of two characters.
const FILE_BYTES_MAX: usize = 66;

/// Wraps and unwraps the keys in the database: the local root key, or a key-management service.
pub trait KeyProvider: Send + Sync {
    /// Encrypts a key. `aad` must be given again to decrypt it.
    fn wrap_key(&self, key: &[u8], aad: &[u8]) -> Result<Vec<u8>, VaultError>;

    /// Decrypts what [`KeyProvider::wrap_key`] gave. Fails with [`VaultError::DoesNotOpen`] for another key or `aad`.
    fn unwrap_key(&self, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError>;

    /// Which key this is, without telling anything about it.
    fn id(&self) -> String;
}

/// 32 random bytes in a file of mode 0600. Cleared when dropped; without `Debug`, `Clone` and `Serialize` on purpose.
pub struct RootKey(Zeroizing<[u8; 32]>);

/// The configured file, or the one in the data directory.
#[must_use]
pub fn root_key_path(configured: Option<&Path>, data_dir: &Path) -> PathBuf {
    configured.map_or_else(|| data_dir.join(ROOT_KEY_FILE), Path::to_path_buf)
}

impl RootKey {
    /// Loads the key; makes one only if `database_is_new`, for then there is nothing that another key has sealed.
    ///
    /// Fails with [`VaultError::RootKeyMissing`] or [`VaultError::RootKeyUnusable`].
    pub fn load_or_create(path: &Path, database_is_new: bool) -> Result<Self, VaultError> {
        match File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(error) if error.kind() == ErrorKind::NotFound && database_is_new => Self::create(path),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(VaultError::RootKeyMissing(path.display().to_string()))
            }
            Err(error) => Err(unusable(path, format!("cannot be opened: {error}"))),
        }
    }

    fn read(path: &Path, mut file: File) -> Result<Self, VaultError> {
        let io = |error| unusable(path, format!("cannot be read: {error}"));
        // Of the open file, not of the path, which may be exchanged in between.
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(unusable(path, format!("can be accessed by others (mode {mode:o}); run `chmod 600` on it")));
        }
        // A fixed buffer: a growing one would leave copies of the key behind.
        let mut text = Zeroizing::new([0; FILE_BYTES_MAX + 1]);
        let mut length = 0;
        while let Some(rest @ [_, ..]) = text.get_mut(length..) {
            match file.read(rest).map_err(io)? {
                0 => break,
                read => length += read,
            }
        }
        let content = text.get(..length).unwrap_or_default();
        Self::parse(content)
            .ok_or_else(|| unusable(path, "is neither 64 hexadecimal digits nor 32 bytes; restore it".into()))
    }

    fn parse(content: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if let Ok(raw) = <&[u8; 32]>::try_from(content) {
            key.copy_from_slice(raw);
            return Some(Self(key));
        }
        let digits = content.strip_suffix(b"\n").unwrap_or(content);
        let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
        if digits.len() != 64 {
            return None;
        }
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = *pair else { return None };
            *byte = nibble(high)? * 16 + nibble(low)?;
        }
        Some(Self(key))
    }

    fn create(path: &Path) -> Result<Self, VaultError> {
        let io = |error| unusable(path, format!("cannot be created: {error}"));
        let key = Self(Zeroizing::new(random()));
        let mut text = Zeroizing::new([b'\n'; 65]);
        for (pair, byte) in text.chunks_exact_mut(2).zip(key.0.iter()) {
            for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
                *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            }
        }
        // `create_new`: of two that start together only one makes the key.
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        let stored = file.write_all(text.as_slice()).and_then(|()| file.sync_all()).and_then(|()| {
            // The name must survive a power failure as well, or the data sealed from now on could not be opened.
            File::open(parent(path))?.sync_all()
        });
        if let Err(error) = stored {
            // Half a key would only confuse the next start; if it cannot be removed either, that start will say so.
            let _ = std::fs::remove_file(path);
            return Err(io(error));
        }
        Ok(key)
    }

    /// One purpose, one key: the root key itself never encrypts and is never shown, hashed or not.
    fn derived(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice()), purpose.as_bytes());
        let mut derived = Zeroizing::new([0; 32]);
        for (to, from) in derived.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        derived
    }

    fn wrapping(&self) -> Result<AeadKey, VaultError> {
        AeadKey::new(&self.derived("portcullis/root-key/wrap/v1"))
    }
}

impl KeyProvider for RootKey {
    fn wrap_key(&self, key: &[u8], aad: &[u8]) -> Result<Vec<u8>, VaultError> {
        self.wrapping()?.seal(aad, key)
    }

    fn unwrap_key(&self, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.wrapping()?.open(aad, wrapped)
    }

    fn id(&self) -> String {
        let tag = self.derived("portcullis/root-key/id/v1");
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, tag.as_slice());
        digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The directory of `path`; a bare file name is in the current one.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn unusable(path: &Path, why: String) -> VaultError {
    VaultError::RootKeyUnusable { path: path.display().to_string(), why }
}

/// The id of the key that a file with this content is, if it is one.
#[cfg(any(test, feature = "testkit"))]
#[must_use]
pub fn test_root_key(content: &[u8]) -> Option<String> {
    RootKey::parse(content).map(|key| key.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_in_the_current_directory() {
        for (path, directory) in [("root.key", "."), ("keys/root.key", "keys"), ("/root.key", "/")] {
            assert_eq!(parent(Path::new(path)), Path::new(directory), "{path}");
        }
    }

    #[test]
    fn digits_and_bytes_of_one_key_have_one_id_and_others_another() {
        let id = |content: &[u8]| test_root_key(content);
        let known = id(&[0x5a; 32]).unwrap();
        assert_eq!(id("5a".repeat(32).as_bytes()), Some(known.clone()));
        assert_ne!(id("a5".repeat(32).as_bytes()).unwrap(), known);
        assert_eq!(id(b"5a"), None);
    }
}
