//! Keys, and the mouse, as the driver wants them.

use serde_json::{Value, json};

use crate::webdriver::Element;

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

/// How long a mouse is on its way, in milliseconds: a person does not jump.
const ON_ITS_WAY_MS: u32 = 150;

/// Takes the middle of one element to the middle of another.
pub fn drag(from: &Element, to: &Element) -> Value {
    let go = |to: &Element| json!({"type": "pointerMove", "duration": ON_ITS_WAY_MS, "x": 0, "y": 0, "origin": to.argument()});
    let button = |kind: &str| json!({"type": kind, "button": 0});
    let moves = [go(from), button("pointerDown"), go(to), button("pointerUp")];
    let mouse = json!({"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves});
    json!({"actions": [mouse]})
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
