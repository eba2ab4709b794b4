//! Tells code, comments and literals of a Rust file apart, so that a rule about code is not tripped by prose or by the
//! bad snippets in its own tests. A scanner, not a parser: it knows tokens only as far as needed for that.

/// What a byte of the file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    /// String, byte string, raw string or character, with its quotes.
    Literal,
}

/// A Rust file with every byte classified.
#[derive(Debug)]
pub struct Source<'a> {
    text: &'a str,
    kinds: Vec<Kind>,
}

impl<'a> Source<'a> {
    /// Classifies `text`. Never fails: whatever follows an unclosed quote counts as literal.
    pub fn parse(text: &'a str) -> Self {
        let mut kinds = vec![Kind::Code; text.len()];
        let mut at = 0;
        while let Some(first) = text[at..].chars().next() {
            let (kind, length) = token(text, at).unwrap_or((Kind::Code, first.len_utf8()));
            kinds[at..at + length].fill(kind);
            at += length;
        }
        Self { text, kinds }
    }

    /// The code, everything else blanked; lines and offsets stay.
    pub fn code(&self) -> String {
        self.keep(|kind| kind == Kind::Code)
    }

    /// Code and comments, literals blanked.
    pub fn code_and_comments(&self) -> String {
        self.keep(|kind| kind != Kind::Literal)
    }

    /// The literals with their lines.
    pub fn literals(&self) -> Vec<(usize, &'a str)> {
        let mut found = Vec::new();
        let mut start = 0;
        for run in self.kinds.chunk_by(|a, b| a == b) {
            if run[0] == Kind::Literal {
                found.push((line_of(self.text, start), &self.text[start..start + run.len()]));
            }
            start += run.len();
        }
        found
    }

    /// The ranges of lines (first, last) of items that exist under `#[cfg(test)]` only.
    pub fn test_lines(&self) -> Vec<(usize, usize)> {
        let code = self.code();
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(start) = ["#[cfg(test)]", "#[cfg(all(test,"].iter().filter_map(|m| code[from..].find(m)).min() {
            let start = from + start;
            let end = item_end(&code, start);
            found.push((line_of(&code, start), line_of(&code, end)));
            from = end;
        }
        found
    }

    fn keep(&self, wanted: impl Fn(Kind) -> bool) -> String {
        let blank = |(byte, kind): (u8, &Kind)| if byte == b'\n' || wanted(*kind) { byte } else { b' ' };
        // Characters are classified whole, so no multi-byte character is ever cut.
        String::from_utf8_lossy(&self.text.bytes().zip(&self.kinds).map(blank).collect::<Vec<u8>>()).into_owned()
    }
}

/// The line of a byte offset, counted from 1.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Whether a character can be part of a Rust name.
pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The lines where `word` stands alone, not as a part of a longer name.
pub fn lines_with_word(text: &str, word: &str) -> Vec<usize> {
    let alone =
        |&(at, _): &(usize, &str)| !text[..at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word);
    text.match_indices(word).filter(alone).map(|(at, _)| line_of(text, at)).collect()
}

/// The comment or literal that starts at `at`, if one does.
fn token(text: &str, at: usize) -> Option<(Kind, usize)> {
    let rest = &text[at..];
    if rest.starts_with("//") {
        return Some((Kind::Comment, rest.find('\n').unwrap_or(rest.len())));
    }
    if rest.starts_with("/*") {
        return Some((Kind::Comment, block_comment(rest)));
    }
    if rest.starts_with('"') {
        return Some((Kind::Literal, quoted(rest, '"')));
    }
    if rest.starts_with('\'') {
        return character(rest).map(|length| (Kind::Literal, length));
    }
    raw_string(text, at).map(|length| (Kind::Literal, length))
}

/// Rust's block comments nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length up to the closing quote, minding escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// A character literal; `None` for a lifetime or a label.
fn character(rest: &str) -> Option<usize> {
    let mut following = rest.char_indices().skip(1);
    let (_, first) = following.next()?;
    if first == '\\' {
        return Some(quoted(rest, '\''));
    }
    let (at, second) = following.next()?;
    (second == '\'').then_some(at + 1)
}

/// `r"…"`, `r#"…"#`, also after `b` and `c`; the prefix itself counts as part of it.
fn raw_string(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|prefix| rest.strip_prefix(prefix).is_some_and(|tail| tail.trim_start_matches('#').starts_with('"')))?;
    if text[..at].ends_with(is_word) {
        return None;
    }
    let hashes = rest[prefix.len()..].find('"')?;
    let body = prefix.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(rest[body..].find(&end).map_or(rest.len(), |close| body + close + end.len()))
}

/// The end of the item whose attribute starts at `start`: its matching brace, or a semicolon before any brace.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code[start..].char_indices() {
        match character {
            ';' if depth == 0 => return start + at,
            '{' => depth += 1,
            '}' if depth <= 1 => return start + at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_and_literals_are_not_code() {
        let text = "a(); // b()\n/* c() /* d() */ e() */ f(\"g() \\\" h()\", r#\"i() \" j()\"#, 'k', b'\\'', br\"l\");\nm('n);";
        let code = Source::parse(text).code();
        for kept in ["a()", "f(", "m('n)"] {
            assert!(code.contains(kept), "{kept} in {code}");
        }
        for blanked in ["b()", "c()", "d()", "e()", "g()", "h()", "i()", "j()", "k", "l"] {
            assert!(!code.contains(blanked), "{blanked} in {code}");
        }
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn lifetimes_raw_names_and_wide_characters_do_not_open_a_literal() {
        let text = "fn f<'a>(r#type: &'a str, é: char) { 'é'; \"ü\"; tail() }";
        let code = Source::parse(text).code();
        assert!(code.contains("r#type: &'a str, é: char") && code.contains("tail()"));
        assert!(!code.contains('ü'));
    }

    #[test]
    fn literals_come_with_their_line() {
        assert_eq!(Source::parse("x\n\"a\" y\nr\"b\"").literals(), [(2, "\"a\""), (3, "r\"b\"")]);
    }

    #[test]
    fn test_items_are_found_to_their_last_line() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { '}'; }\n}\nfn c() {}\n#[cfg(test)]\nuse d;\nfn e() {}";
        assert_eq!(Source::parse(text).test_lines(), [(2, 5), (7, 8)]);
    }

    #[test]
    fn a_word_is_not_a_part_of_a_longer_one() {
        assert_eq!(lines_with_word("abc\nab\n_ab ab_\n(ab)", "ab"), [2, 4]);
    }
}
