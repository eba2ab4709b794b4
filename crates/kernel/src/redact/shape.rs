//! Credentials that are known by their shape. Looks for a prefix and a tail, so it cannot find a password.

/// Most of one credential that is looked at, in bytes: what a stream holds back for its sake.
pub const SHAPE_BYTES_MAX: usize = 8 * 1024;

/// A prefix, then at least `tail` characters of a kind.
struct Shape {
    prefix: &'static [u8],
    tail: usize,
    part: fn(u8) -> bool,
    /// The prefix is also how ordinary words end or begin: it must not follow a letter, and the tail has a digit.
    weak: bool,
}

const fn shape(prefix: &'static [u8], tail: usize, part: fn(u8) -> bool, weak: bool) -> Shape {
    Shape { prefix, tail, part, weak }
}

const SHAPES: [Shape; 13] = [
    shape(b"sk-", 20, wordish, true),
    shape(b"sk_live_", 16, wordish, false),
    shape(b"ghp_", 30, alphanumeric, false),
    shape(b"gho_", 30, alphanumeric, false),
    shape(b"ghs_", 30, alphanumeric, false),
    shape(b"ghu_", 30, alphanumeric, false),
    shape(b"ghr_", 30, alphanumeric, false),
    shape(b"github_pat_", 22, wordish, false),
    shape(b"AKIA", 16, upper_or_digit, true),
    shape(b"xoxa-", 10, wordish, true),
    shape(b"xoxb-", 10, wordish, true),
    shape(b"xoxp-", 10, wordish, true),
    shape(b"glpat-", 20, wordish, false),
];

/// Random part of one of our tokens: 32 bytes in base64url.
const TOKEN_TAIL: usize = 43;

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn wordish(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn upper_or_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

/// Start and end of every credential, in order of the start.
pub fn find(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let Some(byte) = text.get(at) {
            let start = at;
            at += 1;
            // Few positions can begin one.
            if !matches!(byte, b'p' | b's' | b'g' | b'A' | b'x' | b'e' | b'-') {
                continue;
            }
            let rest = text.get(start..).unwrap_or_default();
            let before = start.checked_sub(1).and_then(|before| text.get(before)).copied();
            let bytes = token(rest).or_else(|| known(rest, before)).or_else(|| jwt(rest, before)).or_else(|| pem(rest));
            if let Some(bytes) = bytes {
                at = start + bytes;
                return Some((start, at));
            }
        }
        None
    })
}

fn run(text: &[u8], part: fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| part(**byte)).count()
}

/// One of ours: `ptc_`, the kind, `_`, 43 characters. Any short word may be the kind, so that there is no second list of
/// kinds to keep.
fn token(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"ptc_")?;
    let kind = run(rest, |byte| byte.is_ascii_lowercase());
    let tail = run(rest.get(kind..)?.strip_prefix(b"_")?, wordish);
    ((1..=8).contains(&kind) && tail >= TOKEN_TAIL).then_some(5 + kind + tail)
}

fn known(text: &[u8], before: Option<u8>) -> Option<usize> {
    SHAPES.iter().find_map(|shape| {
        let rest = text.strip_prefix(shape.prefix)?;
        let tail = run(rest, shape.part);
        let weak = || before.is_some_and(alphanumeric) || !rest.iter().take(tail).any(u8::is_ascii_digit);
        (tail >= shape.tail && !(shape.weak && weak())).then_some(shape.prefix.len() + tail)
    })
}

/// Three base64url parts; the first two are JSON objects, and so begin with `eyJ`.
fn jwt(text: &[u8], before: Option<u8>) -> Option<usize> {
    if !text.starts_with(b"eyJ") || before.is_some_and(wordish) {
        return None;
    }
    let head = run(text, wordish);
    let rest = text.get(head..)?.strip_prefix(b".")?;
    let body = run(rest, wordish);
    let tail = run(rest.get(body..)?.strip_prefix(b".")?, wordish);
    (rest.starts_with(b"eyJ") && head >= 10 && tail >= 16).then_some(head + body + tail + 2)
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const PRIVATE: &[u8] = b"PRIVATE KEY-----";

/// A private key: from its first line to its last, or as far as lines can belong to it.
fn pem(text: &[u8]) -> Option<usize> {
    let mut at = marker(text, BEGIN)?;
    // On one line, as JSON carries it.
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Some(end) = find_end(line.get(at..).unwrap_or_default()) {
        return Some(at + end);
    }
    // What follows the marker on its own line is already the key.
    at = line.len();
    while let Some(rest) = text.get(at..).and_then(|rest| rest.strip_prefix(b"\n")) {
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if let Some(end) = find_end(line) {
            return Some(at + 1 + end);
        }
        if !belongs(line) {
            break;
        }
        at += 1 + line.len();
    }
    Some(at)
}

/// Length of the marker of a private key at the start of the text.
fn marker(text: &[u8], first: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(first)?;
    let kind = run(rest, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ');
    // The words before it are of the same characters: look for the end within and just after them.
    let words = rest.get(..kind + 5).unwrap_or(rest);
    let at = words.windows(PRIVATE.len()).position(|window| window == PRIVATE)?;
    Some(first.len() + at + PRIVATE.len())
}

/// Where the last marker ends in the line, if it is there.
fn find_end(line: &[u8]) -> Option<usize> {
    let at = line.windows(END.len()).position(|window| window == END)?;
    Some(at + marker(line.get(at..)?, END)?)
}

/// Whether a line can be inside a key: base64, a header of old formats, or nothing.
fn belongs(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    line.iter().all(|byte| base64(*byte)) || line.starts_with(b"Proc-Type:") || line.starts_with(b"DEK-Info:")
}

/// Whether a stream of lines is inside a private key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PemState {
    inside: bool,
}

impl PemState {
    /// Whether this line, without its break, continues a key and must go; `Some(n)`: its first `n` bytes.
    pub(super) fn continues(&mut self, line: &[u8]) -> Option<usize> {
        if !self.inside {
            return None;
        }
        let end = find_end(line);
        self.inside = end.is_none() && belongs(line);
        end.or_else(|| self.inside.then_some(line.len()))
    }

    /// Looks whether a key begins at this find, which reaches to the end of its line, and does not end on it.
    pub(super) fn note(&mut self, found: &[u8]) {
        if marker(found, BEGIN).is_some() {
            self.inside = find_end(found).is_none();
        }
    }
}
