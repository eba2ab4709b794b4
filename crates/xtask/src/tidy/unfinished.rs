//! Nothing unfinished, silenced or left over from debugging: what is merged is meant.

use super::source::{line_of, lines_with_word};
use super::{Complaint, Tree};

/// Spelled in halves, so that this file does not complain about itself.
const TO_DO: &str = concat!("TO", "DO");
const MARKERS: [&str; 2] = [concat!("FIX", "ME"), concat!("X", "XX")];

/// What may not be written in code, with what to write instead.
const CODE: [(&str, &str); 5] = [
    ("todo!", "finish it, or leave it out"),
    ("unimplemented!", "finish it, or leave it out"),
    ("dbg!", "remove it; for a lasting trace use `tracing`"),
    ("#[ignore", "a skipped test is not a passed test; run it or delete it"),
    ("[allow(", "use `#[expect(…, reason = \"…\")]`, which goes away with its cause"),
];

/// Files besides Rust where a marker would be an unfinished thing and not a word about one.
const ALSO: [&str; 8] = [".sql", ".toml", ".sh", ".cedar", ".js", ".css", ".html", ".ci/run"];

/// Complains about to-dos without an issue, other markers, placeholders, ignored tests and silenced lints.
pub fn nothing_is_unfinished(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.rust() {
        let source = file.source();
        markers(&file.path, &source.code_and_comments(), &mut complaints);
        let code = source.code();
        for (needle, instead) in CODE {
            let alone = |at: &usize| needle.starts_with(['#', '[']) || !code[..*at].ends_with(super::source::is_word);
            for at in code.match_indices(needle).map(|(at, _)| at).filter(alone) {
                complaints.push(Complaint::at(&file.path, line_of(&code, at), format!("`{needle}`: {instead}")));
            }
        }
    }
    for file in tree.files().filter(|file| ALSO.iter().any(|end| file.path.ends_with(end))) {
        markers(&file.path, &file.text, &mut complaints);
    }
    complaints
}

fn markers(path: &str, text: &str, complaints: &mut Vec<Complaint>) {
    for (index, line) in text.lines().enumerate() {
        let numbered =
            |rest: &str| rest.strip_prefix("(#").is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
        let mut to_dos = line.split(TO_DO).skip(1);
        if !lines_with_word(line, TO_DO).is_empty() && !to_dos.all(numbered) {
            let text = format!("`{TO_DO}` without an issue; write `{TO_DO}(#123):` or do it");
            complaints.push(Complaint::at(path, index + 1, text));
        }
        for marker in MARKERS.iter().filter(|marker| !lines_with_word(line, marker).is_empty()) {
            complaints.push(Complaint::at(path, index + 1, format!("`{marker}`: open an issue or repair it")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        nothing_is_unfinished(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn numbered_to_dos_expectations_and_prose_are_fine() {
        assert_eq!(complaints("a.rs", "// TODO(#12): later\nlet x = \"FIXME\";"), 0);
        assert_eq!(complaints("a.rs", "#[expect(dead_code, reason = \"x\")]\nfn f() {} // dbg!(x) would show it"), 0);
        assert_eq!(complaints("a.rs", "const TODOS: u8 = 1; my_dbg!(1); fn ignore() {}"), 0);
        assert_eq!(complaints("a.md", "TODO"), 0);
        assert_eq!(complaints("a.sh", "mktemp -d a.XXXXXX"), 0);
    }

    #[test]
    fn everything_unfinished_is_not() {
        for bad in [
            "// TODO: later",
            "// TODO later",
            "// TODO(#): later",
            "// FIXME",
            "/* XXX */",
            "todo!()",
            "unimplemented!(\"x\")",
            "let x = dbg!(1);",
            "#[ignore]",
            "#[ignore = \"slow\"]",
            "#[allow(dead_code)]",
            "#![allow(dead_code)]",
        ] {
            assert_eq!(complaints("a.rs", bad), 1, "{bad}");
        }
        assert_eq!(complaints("migrations/1.sql", "-- TODO: index"), 1);
    }
}
