//! Long files hide things. 500 lines is the ceiling outside tests; what is over it may only get shorter.

use super::{Complaint, Tree, exception};

/// The list: `path lines`.
pub const LIST: &str = "crates/xtask/tidy/long_files.txt";

const CEILING: usize = 500;

/// How far a listed file may be below its number before the number must follow it.
const SLACK: usize = 20;

/// Complains about files over the ceiling or over their listed number, and about numbers that lag behind.
pub fn files_are_short(tree: &Tree) -> Vec<Complaint> {
    let listed = exception::read(tree, LIST);
    let mut complaints = Vec::new();
    for file in tree.rust().filter(|file| !file.is_test()) {
        let lines = file.text.lines().count();
        if lines > CEILING && !listed.iter().any(|listed| listed.entry.split(' ').next() == Some(&file.path)) {
            let text = format!("{lines} lines, the ceiling is {CEILING}; one noun or one action per file");
            complaints.push(Complaint::about(&file.path, text));
        }
    }
    for exception in &listed {
        let objection = match exception.entry.rsplit_once(' ').map(|(path, limit)| (path, limit.parse::<usize>())) {
            Some((path, Ok(limit))) => {
                let lines = tree.file(path).map_or(0, |file| file.text.lines().count());
                objection(path, lines, limit)
            }
            Some((_, Err(_))) | None => Some("expected `path lines`".to_owned()),
        };
        complaints.extend(objection.map(|text| Complaint::at(LIST, exception.line, text)));
    }
    complaints
}

fn objection(path: &str, lines: usize, limit: usize) -> Option<String> {
    if lines <= CEILING {
        Some(format!("`{path}` has {lines} lines and needs no exception; remove it"))
    } else if lines > limit {
        Some(format!("`{path}` grew to {lines} lines; an exception may only shrink, from {limit}"))
    } else if limit - lines >= SLACK {
        Some(format!("`{path}` shrank to {lines} lines; lower its number"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(list: &str, path: &str, lines: usize) -> usize {
        files_are_short(&Tree::of(&[(LIST, list), (path, &"x\n".repeat(lines))])).len()
    }

    #[test]
    fn short_files_tests_and_honest_exceptions_are_fine() {
        assert_eq!(complaints("", "a/src/b.rs", 500), 0);
        assert_eq!(complaints("", "a/tests/b.rs", 900), 0);
        assert_eq!(complaints("a/src/b.rs 600", "a/src/b.rs", 600), 0);
        assert_eq!(complaints("a/src/b.rs 600", "a/src/b.rs", 581), 0);
    }

    #[test]
    fn long_files_and_exceptions_that_lag_or_grow_are_not() {
        assert_eq!(complaints("", "a/src/b.rs", 501), 1);
        assert_eq!(complaints("a/src/b.rs 600", "a/src/b.rs", 601), 1);
        assert_eq!(complaints("a/src/b.rs 600", "a/src/b.rs", 580), 1);
        assert_eq!(complaints("a/src/b.rs 600", "a/src/b.rs", 499), 1);
        assert_eq!(complaints("a/src/gone.rs 600", "a/src/b.rs", 1), 1);
        assert_eq!(complaints("a/src/b.rs many", "a/src/b.rs", 1), 1);
    }
}
