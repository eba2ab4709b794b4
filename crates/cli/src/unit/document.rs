//! What the server hands a shim, and the shim its second stage. The only road of secrets to an agent's environment.

use std::{collections::BTreeMap, io, os::unix::net::UnixStream, path::PathBuf};

use portcullis_kernel::{redact::Fingerprints, runtime::Limits};
use portcullis_service::runtime::process::Order;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{DOCUMENT_BYTES_MAX, DOCUMENT_WAIT, read_wiped};
use crate::hidden::Hidden;

/// Order, environment and fingerprints.
#[derive(Deserialize)]
pub struct Document {
    pub order: Order,
    pub variables: BTreeMap<String, Variable>,
    pub fingerprints: Fingerprints,
}

/// What the second stage needs to become the agent.
#[derive(Serialize, Deserialize)]
pub struct Stage {
    pub command: Vec<String>,
    pub work: PathBuf,
    pub user: Option<u32>,
    pub limits: Limits,
    /// File to write the own number to, to move into the unit's group.
    pub door: Option<PathBuf>,
    /// Whether the group limits memory already.
    pub memory_is_limited: bool,
    /// The shim: whoever has another parent comes too late.
    pub shim: i32,
    pub variables: BTreeMap<String, Variable>,
}

/// Why the second stage did not become the agent, as it tells the shim.
pub struct Failed {
    /// In words.
    pub text: String,
    /// Trying again cannot help.
    pub for_good: bool,
}

impl Failed {
    /// First byte of a message about something that stays so.
    const FOR_GOOD: u8 = b'!';
    /// First byte of a message about something that may pass.
    const FOR_NOW: u8 = b'?';

    /// Reads a message, which may be cut; none means that the agent runs.
    pub fn read(message: &[u8]) -> Option<Self> {
        let (first, text) = message.split_first()?;
        Some(Self { text: String::from_utf8_lossy(text).into_owned(), for_good: *first == Self::FOR_GOOD })
    }

    /// The message.
    pub fn message(&self) -> Vec<u8> {
        let first = if self.for_good { Self::FOR_GOOD } else { Self::FOR_NOW };
        [&[first], self.text.as_bytes()].concat()
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self { text: error.to_string(), for_good: false }
    }
}

impl From<nix::errno::Errno> for Failed {
    fn from(error: nix::errno::Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// The value of a variable; wiped when dropped. It can be written for the second stage only, through its socket.
pub struct Variable(Hidden);

impl Variable {
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl<'de> Deserialize<'de> for Variable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Hidden::new(text)))
    }
}

impl Serialize for Variable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.reveal())
    }
}

impl Document {
    /// Reads to the end. A server that dies in the middle leaves half a document, which is none.
    pub fn read(server: &UnixStream) -> io::Result<Self> {
        server.set_read_timeout(Some(DOCUMENT_WAIT))?;
        Ok(serde_json::from_slice(&read_wiped(server, DOCUMENT_BYTES_MAX)?)?)
    }
}

impl Stage {
    /// Reads to the end.
    pub fn read(shim: &UnixStream) -> io::Result<Self> {
        Ok(serde_json::from_slice(&read_wiped(shim, DOCUMENT_BYTES_MAX)?)?)
    }
}
