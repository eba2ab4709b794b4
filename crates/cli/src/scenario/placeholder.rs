//! Placeholders: `{name}` in a request stands for something that is known when it is sent.

/// Names without a fixture behind them.
pub fn is_builtin(name: &str) -> bool {
    matches!(name, "root" | "root_name" | "unique" | "UNIQUE" | "null" | "absent_id")
        || name.starts_with("canary")
        || name.starts_with("filler.")
}

/// The names between braces. Braces around anything else are text, so that JSON can be written as it is.
pub fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Text(_) => None,
    })
}

/// A piece of a text.
pub enum Piece<'a> {
    /// As it is.
    Text(&'a str),
    /// What stands for something.
    Name(&'a str),
}

/// The text, in pieces.
pub fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some(name) = name_at(rest) {
            rest = &rest[name.len() + 2..];
            return Some(Piece::Name(name));
        }
        let starts = rest.char_indices().skip(1).filter(|(at, c)| *c == '{' && name_at(&rest[*at..]).is_some());
        let end = starts.map(|(at, _)| at).next().unwrap_or(rest.len());
        let (text, after) = rest.split_at(end);
        rest = after;
        Some(Piece::Text(text))
    })
}

/// The name that the text begins with, in braces.
pub fn name_at(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    (starts && plain).then_some(name)
}
