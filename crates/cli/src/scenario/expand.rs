//! What placeholders become: an id, a remembered member, or a value of this run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::placeholder::{Piece, name_at, pieces};
use crate::random;

const FILLER_BYTES_MAX: usize = 16 << 20;

/// What placeholders mean in this run.
pub struct Meanings {
    known: BTreeMap<String, Value>,
    canaries: BTreeMap<String, String>,
}

impl Meanings {
    /// With the suffix that makes this run's names its own.
    pub fn new(unique: &str) -> Self {
        let known = BTreeMap::from([
            ("unique".to_owned(), Value::from(unique)),
            ("UNIQUE".to_owned(), Value::from(unique.to_ascii_uppercase())),
            ("null".to_owned(), Value::Null),
            ("absent_id".to_owned(), Value::from(format!("00000000-0000-4000-8000-0000{unique}"))),
        ]);
        Self { known, canaries: BTreeMap::new() }
    }

    /// From now on this name means this.
    pub fn learn(&mut self, name: impl Into<String>, value: Value) {
        self.known.insert(name.into(), value);
    }

    /// The secret values of this run.
    pub fn canaries(&self) -> impl Iterator<Item = &str> {
        self.canaries.values().map(String::as_str)
    }

    /// The text with every placeholder replaced.
    pub fn text(&mut self, template: &str) -> Result<String, String> {
        let mut out = String::with_capacity(template.len());
        for piece in pieces(template) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Name(name) => match self.value(name)? {
                    Value::String(text) => out.push_str(&text),
                    other => out.push_str(&other.to_string()),
                },
            }
        }
        Ok(out)
    }

    /// The JSON with every placeholder replaced, in member names too. A text that is one placeholder keeps the type of
    /// what it stands for.
    pub fn json(&mut self, template: &Value) -> Result<Value, String> {
        match template {
            Value::String(text) => match name_at(text).filter(|name| name.len() + 2 == text.len()) {
                Some(name) => self.value(name),
                None => self.text(text).map(Value::from),
            },
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, member)| Ok((self.text(name)?, self.json(member)?))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(template.clone()),
        }
    }

    fn value(&mut self, name: &str) -> Result<Value, String> {
        if let Some(value) = self.known.get(name) {
            return Ok(value.clone());
        }
        if name.starts_with("canary") {
            if !self.canaries.contains_key(name) {
                let canary = format!("canary-{}", random::hex(16).map_err(|error| error.message)?);
                self.canaries.insert(name.to_owned(), canary);
            }
            return Ok(Value::from(self.canaries[name].as_str()));
        }
        if let Some(bytes) = name.strip_prefix("filler.").and_then(|bytes| bytes.parse::<usize>().ok()) {
            return Ok(Value::from("x".repeat(bytes.min(FILLER_BYTES_MAX))));
        }
        Err(format!("`{{{name}}}` means nothing here: an earlier step did not deliver it"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meanings() -> Meanings {
        let mut meanings = Meanings::new("0011aabb");
        meanings.learn("writer", json!("w-1"));
        meanings.learn("version", json!(3));
        meanings
    }

    #[test]
    fn placeholders_become_what_they_mean() {
        let mut meanings = meanings();
        assert_eq!(meanings.text("/workspaces/{writer}/K_{UNIQUE}").unwrap(), "/workspaces/w-1/K_0011AABB");
        let body = json!({ "v": "{version}", "t": "v{version}", "n": "{null}", "K_{unique}": ["{writer}"] });
        let expanded = json!({ "v": 3, "t": "v3", "n": null, "K_0011aabb": ["w-1"] });
        assert_eq!(meanings.json(&body).unwrap(), expanded);
        assert_eq!(meanings.text("{filler.3}").unwrap(), "xxx");
        assert!(meanings.text("{later}").unwrap_err().contains("{later}"));
    }

    #[test]
    fn braces_that_hold_no_name_are_text() {
        for text in [r#"{"a":1}"#, "{}", "{", "}{", "{a b}", "ä{ö}", r#"{{"x":{"#] {
            assert_eq!(meanings().text(text).unwrap(), text);
        }
    }

    #[test]
    fn a_canary_is_one_value_a_name_and_a_run() {
        let mut meanings = meanings();
        let first = meanings.text("{canary}").unwrap();
        assert_eq!(meanings.text("{canary}").unwrap(), first);
        assert_ne!(meanings.text("{canary_b}").unwrap(), first);
        assert_eq!(meanings.canaries().count(), 2);
    }
}
