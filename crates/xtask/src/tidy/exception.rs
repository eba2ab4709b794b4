//! Lists of exceptions in `crates/xtask/tidy/`: one per line, `#` starts a comment. They may only shrink: every rule
//! complains about an entry that is no longer needed.

use super::Tree;

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Where in the list, counted from 1.
    pub line: usize,
    /// The entry, without its reason.
    pub entry: String,
    /// What stands after ` #`; empty when nothing does.
    pub reason: String,
}

/// Reads a list; a list that does not exist has no entries.
pub fn read(tree: &Tree, list: &str) -> Vec<Exception> {
    let text = tree.file(list).map_or("", |file| &file.text);
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // The space matters: `path#pattern` is one entry.
        let (entry, reason) = line.split_once(" #").unwrap_or((line, ""));
        let (entry, reason) = (entry.trim().to_owned(), reason.trim().to_owned());
        found.push(Exception { line: index + 1, entry, reason });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_skipped_and_reasons_kept_apart() {
        let tree = Tree::of(&[("list", "# head\n\na.rs # because\nb.md#pattern\n")]);
        let found: Vec<_> = read(&tree, "list").into_iter().map(|e| (e.line, e.entry, e.reason)).collect();
        assert_eq!(found, [(3, "a.rs".into(), "because".into()), (4, "b.md#pattern".into(), String::new())]);
        assert!(read(&tree, "absent").is_empty());
    }
}
