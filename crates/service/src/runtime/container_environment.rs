//! Where secret bytes become variables of a container, files beside it, or secrets of a swarm. The only file of the
//! engines' runtimes that sees a value.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, fchown},
    path::Path,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use portcullis_kernel::secret::SecretValue;
use zeroize::Zeroizing;

use super::RuntimeFault;

/// Largest content of one secret of a swarm, in bytes. The engine's own limit is 500 KiB.
pub(super) const SWARM_SECRET_BYTES_MAX: usize = 500 * 1024;
/// Variables that a shell does not take from a script, or does not hand on as they are.
const OF_THE_SHELL: [&str; 14] = [
    "BASHOPTS",
    "BASH_VERSINFO",
    "EUID",
    "IFS",
    "LINENO",
    "OLDPWD",
    "OPTIND",
    "PPID",
    "PWD",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "UID",
];

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

/// Lines that a shell reads to have all these variables, in as few pieces as fit into secrets of a swarm, as the engine
/// takes them. What is public wins over a secret of the same name.
pub(super) fn scripts(
    public: &BTreeMap<String, String>,
    secret: &[(String, SecretValue)],
) -> Result<Vec<Zeroizing<String>>, RuntimeFault> {
    let mut pieces = Vec::new();
    // The full length at once: a growing buffer would leave values behind.
    let new_piece = || Zeroizing::new(String::with_capacity(SWARM_SECRET_BYTES_MAX));
    let mut piece = new_piece();
    for (name, value) in secret.iter().filter(|(name, _)| !public.contains_key(name)) {
        let word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
        if !name.bytes().all(word) || name.bytes().next().is_none_or(|first| first.is_ascii_digit()) {
            return Err(RuntimeFault::Permanent("the name of a secret cannot be one of a variable".to_owned()));
        }
        if OF_THE_SHELL.contains(&name.as_str()) {
            let text = format!("`{name}` belongs to the shell that starts an agent of the swarm; deliver it as a file");
            return Err(RuntimeFault::Permanent(text));
        }
        let value = value.expose_secret();
        let quotes = value.bytes().filter(|byte| *byte == b'\'').count();
        let length = "export =''\n".len() + name.len() + value.len() + quotes * 3;
        if piece.len() + length > SWARM_SECRET_BYTES_MAX {
            pieces.push(BASE64_STANDARD.encode(&*std::mem::replace(&mut piece, new_piece())).into());
        }
        piece.push_str("export ");
        piece.push_str(name);
        piece.push_str("='");
        for (index, part) in value.split('\'').enumerate() {
            if index > 0 {
                // Out of the quotes, a quote, into quotes again.
                piece.push_str("'\\''");
            }
            piece.push_str(part);
        }
        piece.push_str("'\n");
    }
    if !piece.is_empty() {
        pieces.push(BASE64_STANDARD.encode(&*piece).into());
    }
    Ok(pieces)
}

/// A value as the engine takes it for a secret of a swarm.
pub(super) fn encoded(value: &SecretValue) -> Zeroizing<String> {
    BASE64_STANDARD.encode(value.expose_secret()).into()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretValue {
        SecretValue::new(text.to_owned()).unwrap()
    }

    fn read(pieces: &[Zeroizing<String>]) -> Vec<String> {
        pieces.iter().map(|piece| String::from_utf8(BASE64_STANDARD.decode(&**piece).unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_shell_reads_what_was_written_and_executes_none_of_it() {
        let value = "it's $(touch /tmp/x) `id` \\ \"quoted\"\nand a second line '";
        let pieces = scripts(&BTreeMap::new(), &[("A_1".to_owned(), secret(value))]).unwrap();
        let script = format!("{}printf '%s' \"$A_1\"", read(&pieces).concat());
        let said = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(said.stdout).unwrap(), value);
    }

    #[test]
    fn what_is_public_wins_and_what_a_shell_cannot_have_is_refused() {
        let public = BTreeMap::from([("HOME".to_owned(), "/work".to_owned())]);
        assert!(scripts(&public, &[("HOME".to_owned(), secret("x"))]).unwrap().is_empty());
        for name in ["", "1A", "A-B", "A=B", "A;id", "PPID", "PWD"] {
            assert!(scripts(&public, &[(name.to_owned(), secret("x"))]).is_err(), "{name}");
        }
    }

    #[test]
    fn every_piece_fits_into_a_secret() {
        let value = "'".repeat(64 * 1024);
        let many: Vec<_> = (0..20).map(|n| (format!("KEY_{n}"), secret(&value))).collect();
        let pieces = read(&scripts(&BTreeMap::new(), &many).unwrap());
        assert!(pieces.iter().all(|piece| piece.len() <= SWARM_SECRET_BYTES_MAX));
        assert_eq!(pieces.concat().matches("export KEY_").count(), 20);
        assert!(pieces.len() > 1);
    }
}
