//! The ways in which a value is usually written.

use std::collections::HashSet;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use zeroize::Zeroizing;

/// Characters besides letters and digits that encoders leave alone: RFC 3986, `encodeURIComponent`, paths, forms.
const LEFT_ALONE: [&[u8]; 4] = [b"-_.~", b"-_.~!*'()", b"-_.~/", b"-_.*"];

/// Every form of the whole value, each once. Wiped when dropped.
pub fn of(value: &str) -> Vec<Zeroizing<String>> {
    let mut forms = vec![Zeroizing::new(value.to_owned())];
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
        forms.push(Zeroizing::new(engine.encode(value)));
    }
    for left_alone in LEFT_ALONE {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            for plus in [false, true] {
                forms.push(percent(value, left_alone, digits, plus));
            }
        }
    }
    if let Ok(quoted) = serde_json::to_string(value).map(Zeroizing::new) {
        let inner = quoted.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"')).unwrap_or_default();
        forms.push(Zeroizing::new(inner.to_owned()));
    }
    forms.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    forms.dedup_by(|one, other| one.as_str() == other.as_str());
    forms
}

/// The lines of a value that has several, each once, up to `most`. Of a line, what stands between the blanks: it may be
/// printed with another indentation.
pub fn lines(value: &str, bytes_min: usize, most: usize) -> impl Iterator<Item = &str> {
    let mut seen = HashSet::new();
    let lines = value.lines().filter(|_| value.contains('\n')).map(str::trim);
    lines.filter(move |line| line.len() >= bytes_min && seen.insert(*line)).take(most)
}

fn percent(value: &str, left_alone: &[u8], digits: &[u8; 16], plus: bool) -> Zeroizing<String> {
    // The full length at once: a growing string would leave parts of the value behind.
    let mut text = Zeroizing::new(String::with_capacity(value.len() * 3));
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || left_alone.contains(&byte) {
            text.push(char::from(byte));
        } else if byte == b' ' && plus {
            text.push('+');
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.extend(digits.get(usize::from(digit)).copied().map(char::from));
            }
        }
    }
    text
}
