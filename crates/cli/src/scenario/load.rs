//! A scenario from a file.

use std::path::Path;

use super::format::Scenario;
use crate::error::Error;

impl Scenario {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::usage(format!("cannot read `{}`: {error}", path.display())))?;
        Self::parse(&text).map_err(|why| Error::usage(format!("`{}`: {why}", path.display())))
    }
}
