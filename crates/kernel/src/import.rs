//! Reading `.env` and JSON files into keys and values, whole or not at all.
//!
//! Dialect: `KEY=value`, optional `export `, `#` comments, `'literal'`, `"escapes \n \t \r \" \\ \$"`; a quoted value may
//! span lines. No `${OTHER}` expansion: a reference would make one key's value depend on another's.

use std::{collections::BTreeSet, fmt};

use schemars::JsonSchema;
use serde::{
    Deserialize, Serialize,
    de::{MapAccess, Visitor},
};

use crate::{
    deed::IMPORT_KEYS_MAX,
    name::SecretKey,
    refusal::Code,
    secret::{SecretValue, ValueError},
};

/// File format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `KEY=value` lines.
    Env,
    /// One flat object of strings.
    Json,
}

/// Why a file cannot be imported. Never quotes the file: a wrong line may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ImportError {
    /// Where, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// The code.
    pub code: Code,
    /// What is wrong.
    pub problem: &'static str,
}

const fn problem(line: usize, code: Code, problem: &'static str) -> ImportError {
    ImportError { line, code, problem }
}

/// Reads the file. The keys come out in file order.
pub fn read(format: Format, text: &str) -> Result<Vec<(SecretKey, SecretValue)>, ImportError> {
    let pairs = match format {
        Format::Env => read_env(text)?,
        Format::Json => read_json(text)?,
    };
    if pairs.is_empty() {
        return Err(problem(0, Code::ImportInvalid, "the file has no keys"));
    }
    if pairs.len() > IMPORT_KEYS_MAX {
        return Err(problem(0, Code::LimitReached, "an import has at most 500 keys"));
    }
    let mut seen = BTreeSet::new();
    let mut read = Vec::with_capacity(pairs.len());
    for (line, key, value) in pairs {
        let key: SecretKey = key.parse().map_err(|_| problem(line, Code::KeyInvalid, "not a secret key"))?;
        if !seen.insert(key.clone()) {
            return Err(problem(line, Code::ImportInvalid, "the key comes twice"));
        }
        let value = SecretValue::new(value).map_err(|e| match e {
            ValueError::TooLarge => problem(line, Code::ValueTooLarge, "the value has more than 65536 bytes"),
            ValueError::Empty => problem(line, Code::ValueInvalid, "the value is empty"),
            ValueError::Nul => problem(line, Code::ValueInvalid, "the value has a NUL byte"),
        })?;
        read.push((key, value));
    }
    Ok(read)
}

type Pairs = Vec<(usize, String, String)>;

fn read_env(text: &str) -> Result<Pairs, ImportError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut pairs = Vec::new();
    let mut rest = text.as_str();
    let mut line = 1;
    while !rest.is_empty() {
        let (first, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let trimmed = first.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            (rest, line) = (after, line + 1);
            continue;
        }
        let (left, _) = first.split_once('=').ok_or(problem(line, Code::ImportInvalid, "expected KEY=value"))?;
        let key = left.trim();
        let key = key.strip_prefix("export ").map_or(key, str::trim);
        let value_text = rest[left.len() + 1..].trim_start_matches([' ', '\t']);
        let (value, remaining) = match value_text.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => quoted(value_text, *quote, line)?,
            _ => {
                let (value, remaining) = value_text.split_once('\n').unwrap_or((value_text, ""));
                let value = value.split_once(" #").map_or(value, |(value, _)| value);
                (value.trim().to_owned(), remaining)
            }
        };
        pairs.push((line, key.to_owned(), value));
        line += rest[..rest.len() - remaining.len()].matches('\n').count();
        rest = remaining;
    }
    Ok(pairs)
}

/// A quoted value from its opening quote on; also what follows its line.
fn quoted(text: &str, quote: u8, line: usize) -> Result<(String, &str), ImportError> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == char::from(quote) {
            let after = &text[at + 1..];
            let (tail, remaining) = after.split_once('\n').unwrap_or((after, ""));
            let tail = tail.trim();
            return if tail.is_empty() || tail.starts_with('#') {
                Ok((value, remaining))
            } else {
                Err(problem(line, Code::ImportInvalid, "text after the closing quote"))
            };
        }
        if c != '\\' || quote == b'\'' {
            value.push(c);
            continue;
        }
        match chars.next().map(|(_, c)| c) {
            Some('n') => value.push('\n'),
            Some('t') => value.push('\t'),
            Some('r') => value.push('\r'),
            Some(c @ ('"' | '\\' | '$')) => value.push(c),
            _ => return Err(problem(line, Code::ImportInvalid, "unknown escape; use \\n \\t \\r \\\" \\\\ \\$")),
        }
    }
    Err(problem(line, Code::ImportInvalid, "the quote is never closed"))
}

fn read_json(text: &str) -> Result<Pairs, ImportError> {
    struct Flat;

    impl<'de> Visitor<'de> for Flat {
        type Value = Pairs;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one object of strings")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
            let mut pairs = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                pairs.push((0, key, value));
            }
            Ok(pairs)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(text);
    let read = serde::Deserializer::deserialize_map(&mut reader, Flat).and_then(|pairs| reader.end().map(|()| pairs));
    // serde's message may quote the value it stumbled over; only the line is passed on.
    read.map_err(|e| problem(e.line(), Code::ImportInvalid, "expected one flat object of strings"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(text: &str) -> Result<Vec<(String, String)>, (usize, Code)> {
        read(Format::Env, text)
            .map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_string(), v.expose_secret().to_owned())).collect())
            .map_err(|e| (e.line, e.code))
    }

    #[test]
    fn the_dialect() {
        let text = "# c\n\nA=1\nexport B = two words # not this\nC='it''\n";
        assert_eq!(env(text), Err((5, Code::ImportInvalid)));
        let text = "A=1\r\nexport B = two words # not this\nC='l\\n#x'\nD=\"a\\n\\\"b\\\"\nlast\" # c\nE=a#b\n_F=x=y";
        let read = env(text).unwrap();
        let expect =
            [("A", "1"), ("B", "two words"), ("C", "l\\n#x"), ("D", "a\n\"b\"\nlast"), ("E", "a#b"), ("_F", "x=y")];
        assert_eq!(read, expect.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn a_bad_file_is_refused_whole_with_its_line() {
        for (text, line, code) in [
            ("A=1\nB", 2, Code::ImportInvalid),
            ("A=1\nA=2", 2, Code::ImportInvalid),
            ("a=1", 1, Code::KeyInvalid),
            ("A=", 1, Code::ValueInvalid),
            ("A=\"x", 1, Code::ImportInvalid),
            ("", 0, Code::ImportInvalid),
            ("A=\"l1\nl2\"\nB.C=1", 3, Code::KeyInvalid),
        ] {
            assert_eq!(env(text), Err((line, code)), "{text:?}");
        }
        let many: String = (0..=IMPORT_KEYS_MAX).map(|n| format!("K{n}=v\n")).collect();
        assert_eq!(env(&many), Err((0, Code::LimitReached)));
    }

    #[test]
    fn json_is_one_flat_object_of_strings() {
        let ok = read(Format::Json, "{\"A\":\"1\",\"B\":\"x\"}").ok().unwrap();
        assert_eq!(ok.len(), 2);
        for bad in ["[]", "{\"A\":1}", "{\"A\":{\"B\":\"1\"}}", "{\"A\":\"1\"} x", "{\"A\":\"1\",\"A\":\"2\"}", "{}"] {
            let error = read(Format::Json, bad).err().unwrap();
            assert!(!error.to_string().contains('A'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*|[A-Z=\"'\\\\\n#$ ]*") {
            let _ = read(Format::Env, &text);
            let _ = read(Format::Json, &text);
        }

        #[test]
        fn a_quoted_value_reads_back(value in "[^\0]{1,200}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r");
            let read = env(&format!("K=\"{escaped}\"\n")).unwrap();
            prop_assert_eq!(&read[0].1, &value);
        }
    }
}
