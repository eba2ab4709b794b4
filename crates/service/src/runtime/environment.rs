//! Where secrets leave for an agent: as the document a shim is handed, as files in a private directory, as fingerprints
//! for redaction. Buffers that held a value are wiped.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown},
    path::Path,
};

use portcullis_kernel::{
    redact::{Fingerprints, Redactor},
    secret::{Environment, SecretValue},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use zeroize::Zeroizing;

use super::process::Order;

/// What is beside the values in a document, generously, in bytes.
const DOCUMENT_SLACK_BYTES: usize = 256 << 10;

/// JSON of one byte has at most this many bytes.
const JSON_FACTOR: usize = 6;

#[derive(Serialize)]
struct Document<'a> {
    order: &'a Order,
    variables: Variables<'a>,
    fingerprints: Fingerprints,
}

/// Secrets first: of two variables with one name the last counts, and a secret may not stand in for ours.
struct Variables<'a>(&'a [(String, SecretValue)], &'a BTreeMap<String, String>);

impl Serialize for Variables<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0.iter().filter(|(key, _)| !self.1.contains_key(key)) {
            map.serialize_entry(key, value.expose_secret())?;
        }
        for (key, value) in self.1 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The document of a shim: the order, the agent's whole environment, and what to redact.
pub fn document(
    order: &Order,
    settings: &BTreeMap<String, String>,
    environment: &Environment,
) -> io::Result<Zeroizing<Vec<u8>>> {
    let values = environment.variables.iter().map(|(_, value)| value.expose_secret().len() * JSON_FACTOR);
    let fingerprints = fingerprints(order.seed, environment);
    // The full length at once: a growing buffer would leave values behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(values.sum::<usize>() + DOCUMENT_SLACK_BYTES));
    let variables = Variables(&environment.variables, settings);
    serde_json::to_writer(&mut *bytes, &Document { order, variables, fingerprints })?;
    Ok(bytes)
}

/// Fingerprints of everything in the environment.
pub fn fingerprints(seed: [u8; 32], environment: &Environment) -> Fingerprints {
    let mut redactor = Redactor::new(seed);
    for (key, value) in environment.variables.iter().chain(&environment.files) {
        redactor.add(key, value.expose_secret());
    }
    if let Some(token) = &environment.token {
        redactor.add("PORTCULLIS_TOKEN", token.expose_secret());
    }
    redactor.fingerprints()
}

/// Writes the boot's token, if there is one.
pub fn write_token(path: &Path, environment: &Environment, user: Option<u32>) -> io::Result<()> {
    environment.token.as_ref().map_or(Ok(()), |token| write_private(path, token.expose_secret().as_bytes(), user))
}

/// Makes the files of a directory those of the environment: each is replaced atomically, others are removed.
pub fn write_files(directory: &Path, environment: &Environment, user: Option<u32>) -> io::Result<()> {
    for (key, value) in &environment.files {
        if key.is_empty() || key.starts_with('.') || key.contains(['/', '\0']) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a key that cannot be the name of a file"));
        }
        write_private(&directory.join(key), value.expose_secret().as_bytes(), user)?;
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !environment.files.iter().any(|(key, _)| entry.file_name() == key.as_str()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a file that only its user can read, and puts it in the place of an old one when it is whole.
pub fn write_private(path: &Path, bytes: &[u8], user: Option<u32>) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let new = path.with_file_name(format!(".{name}.new"));
    // What a writer that died left behind.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(0o400))?;
    if user.is_some() {
        fchown(&file, user, user)?;
    }
    fs::rename(&new, path)
}
