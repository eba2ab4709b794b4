//! Small files that must be whole or absent, whatever happens to the machine.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// Largest record that is read, in bytes.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// Writes `name` in `directory`, durably: when it returns, the whole file is there also after a power cut.
pub fn write_record<T: Serialize>(directory: &Path, name: &str, record: &T) -> io::Result<()> {
    let new = directory.join(format!("{name}.new"));
    // What a writer that died left behind.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_all()?;
    fs::rename(&new, directory.join(name))?;
    File::open(directory)?.sync_all()
}

/// Reads a record. `None`: it is not there. A record that cannot be understood is an error, never "not there".
pub fn read_record<T: DeserializeOwned>(directory: &Path, name: &str) -> io::Result<Option<T>> {
    let file = match OpenOptions::new().read(true).open(directory.join(name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(RECORD_BYTES_MAX).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}
