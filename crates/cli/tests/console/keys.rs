//! Keys as the driver wants them.

use serde_json::{Value, json};

/// Names of keys that write nothing, and their place in the standard.
const NAMED: [(&str, char); 17] = [
    ("Backspace", '\u{e003}'),
    ("Tab", '\u{e004}'),
    ("Enter", '\u{e007}'),
    ("Shift", '\u{e008}'),
    ("Control", '\u{e009}'),
    ("Alt", '\u{e00a}'),
    ("Escape", '\u{e00c}'),
    ("Space", ' '),
    ("PageUp", '\u{e00e}'),
    ("PageDown", '\u{e00f}'),
    ("End", '\u{e010}'),
    ("Home", '\u{e011}'),
    ("Left", '\u{e012}'),
    ("Up", '\u{e013}'),
    ("Right", '\u{e014}'),
    ("Down", '\u{e015}'),
    ("Delete", '\u{e017}'),
];

/// Presses keys together, as `Shift+Tab`, and lets them go.
pub fn chord(words: &str) -> Value {
    let keys: Vec<char> = words.split('+').map(key).collect();
    let down = keys.iter().map(|key| event("keyDown", *key));
    sequence(down.chain(keys.iter().rev().map(|key| event("keyUp", *key))).collect())
}

/// Types a text, key by key.
pub fn typed(text: &str) -> Value {
    sequence(text.chars().flat_map(|key| [event("keyDown", key), event("keyUp", key)]).collect())
}

fn key(name: &str) -> char {
    let mut letters = name.chars();
    match (NAMED.iter().find(|(named, _)| *named == name), letters.next(), letters.next()) {
        (Some((_, key)), ..) => *key,
        (None, Some(letter), None) => letter,
        _ => panic!("no key is called `{name}`"),
    }
}

fn event(kind: &str, key: char) -> Value {
    json!({"type": kind, "value": key})
}

fn sequence(events: Vec<Value>) -> Value {
    json!({"actions": [{"type": "key", "id": "keyboard", "actions": events}]})
}
