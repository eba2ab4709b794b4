//! Strict JSON at the edge: UTF-8, no duplicate keys, bounded depth. What two readers could understand differently is
//! refused before anyone reads it.

use std::{collections::HashSet, fmt};

use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;
use serde::{
    Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};

/// Deepest nesting of a body.
pub(crate) const DEPTH_MAX: usize = 32;

/// Walks a document without keeping a value of it.
struct Walk(usize);

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.0 == 0 {
            return Err(D::Error::custom("too deep"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Walk(self.0 - 1))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key) {
                return Err(A::Error::custom("duplicate key"));
            }
            map.next_value_seed(Walk(self.0 - 1))?;
        }
        Ok(())
    }
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::because(Code::InvalidJson, reason)
}

/// Reads a body. The reason names a line, a column and at most a field of ours: never what stood there, which may be a
/// secret in the wrong place.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| invalid("the body is not UTF-8"))?;
    let mut walk = serde_json::Deserializer::from_str(text);
    let walked = Walk(DEPTH_MAX).deserialize(&mut walk).and_then(|()| walk.end());
    walked.map_err(|error| {
        let what = match error.to_string() {
            text if text.starts_with("duplicate key") => "a key comes twice",
            text if text.starts_with("too deep") || text.starts_with("recursion limit") => {
                "nested more than 32 levels deep"
            }
            _ => "not JSON",
        };
        invalid(format!("line {} column {}: {what}", error.line(), error.column()))
    })?;
    let mut reader = serde_json::Deserializer::from_str(text);
    T::deserialize(&mut reader).map_err(|error| {
        let text = error.to_string();
        let what = if text.starts_with("missing field") {
            text.split(" at line").next().unwrap_or_default().to_owned()
        } else if let Some((_, expected)) = text.split_once(", expected").filter(|_| text.starts_with("unknown field"))
        {
            format!("unknown field, expected{}", expected.split(" at line").next().unwrap_or_default())
        } else {
            "a field has the wrong type or form".to_owned()
        };
        Refusal::because(Code::InvalidField, format!("line {} column {}: {what}", error.line(), error.column()))
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        let very_deep = "[".repeat(100_000);
        for bad in [
            "",
            "{",
            "{\"a\":1,\"a\":2}",
            "{\"x\":{\"a\":1,\"a\":2}}",
            "{} x",
            "\u{feff}{}",
            "NaN",
            deep.as_str(),
            very_deep.as_str(),
        ] {
            assert_eq!(read::<Value>(bad.as_bytes()).unwrap_err().code, Code::InvalidJson, "{:.40}", bad);
        }
        assert_eq!(read::<Value>(b"\"\xff\"").unwrap_err().code, Code::InvalidJson);
        assert!(read::<Value>(b" {\"a\":[1,2.5,null,true,\"x\"]} ").is_ok());
    }

    #[test]
    fn a_reason_never_quotes_what_stood_there() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            #[expect(dead_code, reason = "only its type is looked at")]
            key: u32,
        }
        for bad in ["{\"key\":\"canary\"}", "{\"canary\":1}", "\"canary\"", "{\"key\":1,\"canary\":2}", "[\"canary\"]"]
        {
            let refusal = read::<Body>(bad.as_bytes()).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidField, "{bad}");
            assert!(!refusal.reason.contains("canary"), "{}", refusal.reason);
        }
        assert!(read::<Body>(b"{}").unwrap_err().reason.contains("missing field `key`"));
    }
}
