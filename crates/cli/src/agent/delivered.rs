//! What was delivered to this agent: its secrets and its restart context. Values are held in memory only.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::process::Command;

use super::plane::Answer;
use crate::environment::agent as environment;
use crate::error::Error;
use crate::hidden::Hidden;

/// The header that names the version of a bundle.
const VERSION_HEADER: &str = "x-bundle-version";
/// Shorter values are words: taking them out would only garble the text.
const REDACTED_BYTES_MIN: usize = 6;
/// Longest restart context that is read, in bytes.
pub const CONTEXT_BYTES_MAX: usize = 256 * 1024;

/// The values an external agent pulled.
#[derive(Default)]
pub struct Bundle {
    /// As the control plane names it.
    pub version: String,
    values: BTreeMap<String, Hidden>,
}

impl Bundle {
    /// From the control plane's answer.
    pub fn read(answer: &Answer) -> Result<Self, Error> {
        let version = answer.headers.get(VERSION_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let values: BTreeMap<String, String> = serde_json::from_slice(&answer.body)
            // The parser's own words may quote a value.
            .map_err(|_| Error::fault("the control plane's bundle is not a map of texts"))?;
        let values = values.into_iter().map(|(key, value)| (key, Hidden::new(value))).collect();
        Ok(Self { version: version.to_owned(), values })
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.values.len()
    }
}

/// Where the values of this agent are.
pub enum Values {
    /// In its environment, put there by whoever started it.
    Environment,
    /// Pulled, for agents that run elsewhere.
    Pulled(Bundle),
}

/// Everything that was delivered.
pub struct Delivered {
    /// Its secrets.
    pub values: Values,
    /// Why this boot is there, as JSON.
    pub context: Option<String>,
}

impl Delivered {
    /// One value by its name.
    pub fn value(&self, name: &str) -> Option<Hidden> {
        match &self.values {
            Values::Environment => environment::delivered(name),
            Values::Pulled(bundle) => bundle.values.get(name).map(|value| Hidden::new(value.reveal().to_owned())),
        }
    }

    /// Gives a child what is the agent's: the child is the agent's mind, and needs what the agent was given to work with.
    ///
    /// It is not told where the agent's own token is. A command that answers messages is steered by whoever writes to it,
    /// and most never call the control plane. This is tidiness, not a boundary: the child has the same user, and what
    /// stops it is that the control plane judges the agent, whichever of its processes asks.
    pub fn lend(&self, command: &mut Command, context_file: Option<&Path>) {
        command.env_remove(environment::TOKEN_FILE);
        if let Values::Pulled(bundle) = &self.values {
            for name in environment::POWERS {
                command.env_remove(name);
            }
            command.envs(bundle.values.iter().map(|(key, value)| (key, value.reveal())));
        }
        if let Some(file) = context_file {
            command.env(environment::CONTEXT_FILE, file);
        }
    }

    /// The text without the values, for what leaves the agent beside its replies. The control plane looks once more.
    pub fn redact(&self, text: &str) -> String {
        let redact = |text: String, value: &Hidden| {
            let long = value.reveal().len() >= REDACTED_BYTES_MIN;
            if long && text.contains(value.reveal()) { text.replace(value.reveal(), "[redacted]") } else { text }
        };
        let found;
        let mut values: Vec<&Hidden> = match &self.values {
            Values::Environment => {
                found = environment::values();
                found.iter().collect()
            }
            Values::Pulled(bundle) => bundle.values.values().collect(),
        };
        // The longest first: a value may be part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.reveal().len()));
        values.into_iter().fold(text.to_owned(), redact)
    }
}
