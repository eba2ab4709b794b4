//! Where secret bytes become variables of a container or files beside it. The only file of the container runtime that
//! sees a value.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, fchown},
    path::Path,
};

use portcullis_kernel::secret::SecretValue;

use super::RuntimeFault;

/// Begins the name of a file that is being written; no key begins so.
const UNFINISHED: &str = ".new-";

/// `NAME=value` for all; what is public wins over a secret of the same name.
pub(super) fn variables(
    public: BTreeMap<String, String>,
    secret: Vec<(String, SecretValue)>,
) -> Result<Vec<String>, RuntimeFault> {
    let mut variables = Vec::with_capacity(public.len() + secret.len());
    for (name, value) in secret.iter().filter(|(name, _)| !public.contains_key(name)) {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(RuntimeFault::Permanent("the name of a secret cannot be one of a variable".to_owned()));
        }
        variables.push(format!("{name}={}", value.expose_secret()));
    }
    variables.extend(public.into_iter().map(|(name, value)| format!("{name}={value}")));
    Ok(variables)
}

/// Writes `directory/name` so that a reader finds the old value or the new one, whole.
pub(super) fn write(
    directory: &Path,
    name: &str,
    value: &SecretValue,
    (uid, gid): (u32, u32),
) -> Result<(), RuntimeFault> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(RuntimeFault::Permanent("the name of a secret cannot be one of a file".to_owned()));
    }
    let unfinished = directory.join(format!("{UNFINISHED}{name}"));
    let finished = directory.join(name);
    let written = (|| {
        // Left by a writer that was cut off.
        if let Err(error) = fs::remove_file(&unfinished)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o400).open(&unfinished)?;
        file.write_all(value.expose_secret().as_bytes())?;
        fchown(&file, Some(uid), Some(gid))?;
        fs::rename(&unfinished, &finished)
    })();
    written.map_err(|error| io_fault(&finished, &error))
}

/// A full disk or a lost mount may pass; that is for the next attempt to find out.
pub(super) fn io_fault(path: &Path, error: &io::Error) -> RuntimeFault {
    RuntimeFault::Transient(format!("{}: {error}", path.display()))
}
