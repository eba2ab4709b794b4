//! `expose_secret` turns a secret into bytes. It may be written in the listed files only, so that a reviewer can read
//! every place where plaintext leaves its type.

use super::source::lines_with_word;
use super::{Complaint, Tree, exception};

/// The list: `path # why`.
pub const LIST: &str = "crates/xtask/tidy/expose_secret.txt";

const NAME: &str = "expose_secret";

/// Complains about uses outside the list, and entries without a use or a reason. Tests count too: they are copied from.
pub fn plaintext_leaves_its_type_only_where_listed(tree: &Tree) -> Vec<Complaint> {
    let listed = exception::read(tree, LIST);
    let mut complaints = Vec::new();
    for file in tree.rust().filter(|file| !listed.iter().any(|listed| listed.entry == file.path)) {
        for line in lines_with_word(&file.source().code(), NAME) {
            let text = format!(
                "`{NAME}` outside the files of {LIST}; pass the secret value on, or list the file with a reason"
            );
            complaints.push(Complaint::at(&file.path, line, text));
        }
    }
    for exception in listed {
        let used = tree.file(&exception.entry).is_some_and(|f| !lines_with_word(&f.source().code(), NAME).is_empty());
        if !used {
            let text = format!("`{}` no longer uses `{NAME}`; remove it from the list", exception.entry);
            complaints.push(Complaint::at(LIST, exception.line, text));
        }
        if exception.reason.is_empty() {
            let text = format!("`{}` is listed without a reason; add ` # why`", exception.entry);
            complaints.push(Complaint::at(LIST, exception.line, text));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(list: &str, code: &str) -> usize {
        plaintext_leaves_its_type_only_where_listed(&Tree::of(&[(LIST, list), ("a/src/b.rs", code)])).len()
    }

    #[test]
    fn a_listed_use_and_mere_prose_are_fine() {
        assert_eq!(complaints("a/src/b.rs # seals it", "x.expose_secret();"), 0);
        assert_eq!(complaints("", "// expose_secret is not called here\nlet x = \"expose_secret\";"), 0);
    }

    #[test]
    fn an_unlisted_use_a_stale_entry_and_a_missing_reason_are_not() {
        assert_eq!(complaints("", "x.expose_secret();\nSecretValue::expose_secret(&x);"), 2);
        assert_eq!(complaints("a/src/b.rs # seals it", "x();"), 1);
        assert_eq!(complaints("a/src/gone.rs # seals it", ""), 1);
        assert_eq!(complaints("a/src/b.rs", "x.expose_secret();"), 1);
    }
}
