//! No path of somebody's machine: it is noise to everyone else and says more about that machine than it should.

use super::{Complaint, Tree};

/// Spelled in halves, so that this file does not complain about itself.
const PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/tmp/w", "t-"), concat!("/root/.ca", "rgo")];

/// Complains about paths that exist on one machine only, outside tests.
pub fn no_path_of_one_machine(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.files().filter(|file| !file.is_test()) {
        for (index, line) in file.text.lines().enumerate() {
            for path in PATHS.iter().filter(|path| line.match_indices(*path).any(|(at, _)| is_root(&line[..at]))) {
                let text = format!("`{path}` exists on one machine only; write a relative or a made-up path");
                complaints.push(Complaint::at(&file.path, index + 1, text));
            }
        }
    }
    complaints
}

/// Whether a slash after `before` starts an absolute path, and does not continue a relative one.
fn is_root(before: &str) -> bool {
    !before.ends_with(|last: char| last.is_alphanumeric() || matches!(last, '_' | '-' | '.' | '}' | ')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        no_path_of_one_machine(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn relative_and_made_up_paths_are_fine() {
        assert_eq!(complaints("a.md", "see home/work/list and /workspaces/x and /srv/portcullis"), 0);
        assert_eq!(complaints("a/tests/b.rs", &format!("\"{}x\"", PATHS[0])), 0);
    }

    #[test]
    fn paths_of_one_machine_are_not() {
        for path in PATHS {
            assert_eq!(complaints("a.md", &format!("see {path}x")), 1);
            assert_eq!(complaints("a/src/b.rs", &format!("\"{path}x\"")), 1);
        }
    }
}
