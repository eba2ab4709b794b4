//! The copy of the tree in which mutants are made. It is kept, so that only what changed is built again, and it is never
//! the tree somebody works in: a run may be cut off in the middle of a mutant.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is never source. The copy has a `target` of its own.
const NOT_SOURCE: [&str; 3] = [".git", "target", "node_modules"];

/// Makes `to` like `from`. What is the same already is not touched, or it would be built again.
pub fn refresh(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let wanted = entries(from)?;
    for left in entries(to)?.difference(&wanted) {
        let left = to.join(left);
        if left.is_dir() { fs::remove_dir_all(left)? } else { fs::remove_file(left)? }
    }
    for name in wanted {
        let (source, copy) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            refresh(&source, &copy)?;
        } else if fs::read(&copy).ok() != Some(fs::read(&source)?) {
            // With its mode: some are programs.
            fs::copy(source, copy)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !NOT_SOURCE.iter().any(|left_out| name == *left_out) {
            names.insert(PathBuf::from(name));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_follows_its_source_and_what_is_the_same_is_not_touched() {
        let scratch = std::env::temp_dir().join(format!("portcullis-copy-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        let (from, to) = (scratch.join("from"), scratch.join("to"));
        for folder in ["from/a", "from/target", "from/.git", "to/target", "to/gone"] {
            fs::create_dir_all(scratch.join(folder)).expect("a folder");
        }
        for (file, text) in [("from/a/same", "1"), ("from/other", "2"), ("from/target/x", "3"), ("to/target/kept", "4")]
        {
            fs::write(scratch.join(file), text).expect("a file");
        }
        fs::write(scratch.join("to/gone/old"), "5").expect("a file");
        refresh(&from, &to).expect("copied");
        let made = |file: &str| fs::metadata(to.join(file)).expect("its times").modified().expect("a time");
        let before = made("a/same");
        // What a cut off run leaves behind.
        fs::write(to.join("other"), "mutated").expect("a file");
        refresh(&from, &to).expect("copied");
        assert_eq!(fs::read_to_string(to.join("other")).expect("copied"), "2");
        assert_eq!(made("a/same"), before);
        assert!(to.join("target/kept").exists() && !to.join("target/x").exists());
        assert!(!to.join("gone").exists() && !to.join(".git").exists());
        fs::remove_dir_all(scratch).expect("removed");
    }
}
