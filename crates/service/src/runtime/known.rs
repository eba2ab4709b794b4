//! What an engine's log of one run is redacted by, kept beside the run on this machine.

use std::{fs, path::Path};

use portcullis_kernel::redact::{Fingerprints, Redactor};

use super::{RuntimeFault, container_environment::io_fault, environment};

/// Name of the file beside a run.
const KNOWN: &str = "fingerprints.json";

/// Fingerprints of what a run was given, for its log.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Known {
    pub(super) seed: [u8; 32],
    pub(super) fingerprints: Fingerprints,
}

impl Known {
    /// What finds the values in a text.
    pub(super) fn redactor(&self) -> Redactor {
        let mut redactor = Redactor::new(self.seed);
        redactor.merge(self.fingerprints.clone());
        redactor
    }

    /// Keeps it in this directory, which has to be out of the agent's reach.
    pub(super) fn keep(&self, directory: &Path) -> Result<(), RuntimeFault> {
        let path = directory.join(KNOWN);
        let text = serde_json::to_vec(self).map_err(|error| RuntimeFault::Permanent(error.to_string()))?;
        environment::write_private(&path, &text, None).map_err(|error| io_fault(&path, &error))
    }

    /// Reads it. A log without it is not shown.
    pub(super) fn read(directory: &Path) -> Result<Self, RuntimeFault> {
        let path = directory.join(KNOWN);
        let text = fs::read(&path).map_err(|error| io_fault(&path, &error))?;
        serde_json::from_slice(&text).map_err(|error| RuntimeFault::Transient(format!("{}: {error}", path.display())))
    }
}
