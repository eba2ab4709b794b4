//! The files a clean clone would have, read once.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::Command;

use super::source::Source;

/// Directories that are never source, for trees without git.
const NOT_SOURCE: [&str; 3] = [".git", "target", "node_modules"];

/// A text file.
#[derive(Debug)]
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl File {
    /// Whether this is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file exists for tests only: below a `tests/` directory, or a `tests.rs` that its parent declares so.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// The file read as Rust.
    pub fn source(&self) -> Source<'_> {
        Source::parse(&self.text)
    }
}

/// The source tree: text files with their content, all others by name.
#[derive(Debug, Default)]
pub struct Tree {
    files: Vec<File>,
    paths: BTreeSet<String>,
}

impl Tree {
    /// A tree made up for a test.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|&(path, text)| File { path: path.to_owned(), text: text.to_owned() });
        let files: Vec<File> = files.collect();
        let paths = files.iter().map(|file| file.path.clone()).collect();
        Self { files, paths }
    }

    /// What git tracks or would track in `root`; without git, everything but build output.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        for path in tracked(root).map_or_else(|| walk(root), Ok)? {
            // A file that is deleted but not yet committed as such is no longer part of the tree.
            if !root.join(&path).is_file() {
                continue;
            }
            if let Ok(text) = String::from_utf8(std::fs::read(root.join(&path))?)
                && !text.contains('\0')
            {
                tree.files.push(File { path: path.clone(), text });
            }
            tree.paths.insert(path);
        }
        Ok(tree)
    }

    /// All text files.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// All Rust files, tests included.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.is_rust())
    }

    /// A text file by its path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files().find(|file| file.path == path)
    }

    /// Whether a file or a directory of this name is in the tree.
    pub fn has(&self, path: &str) -> bool {
        let below = format!("{path}/");
        path.is_empty()
            || self.paths.contains(path)
            || self.paths.range(below.clone()..).next().is_some_and(|next| next.starts_with(&below))
    }
}

/// `None` when `root` is not the root of a git checkout, or there is no git.
fn tracked(root: &Path) -> Option<Vec<String>> {
    if !root.join(".git").exists() {
        return None;
    }
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let output = Command::new("git").args(list).current_dir(root).output().ok().filter(|o| o.status.success())?;
    let names = String::from_utf8(output.stdout).ok()?;
    Some(names.split_terminator('\0').map(str::to_owned).collect())
}

fn walk(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut pending = vec![String::new()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(root.join(&dir))? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
            // `file_type` does not follow links, so a link cannot lead out of the tree or in circles.
            if !entry.file_type()?.is_dir() {
                found.push(path);
            } else if !NOT_SOURCE.contains(&name.as_str()) {
                pending.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_there_when_a_file_below_it_is() {
        let tree = Tree::of(&[("docs/a.md", ""), ("docs-b/c.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/a.md") && tree.has("docs-b"));
        assert!(!tree.has("doc") && !tree.has("docs/a") && !tree.has("docs/b.md"));
    }

    #[test]
    fn the_walk_without_git_finds_sources_and_no_build_output() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = walk(root).unwrap();
        assert!(found.iter().any(|path| path == "src/tidy/tree.rs"));
        assert!(!found.iter().any(|path| path.starts_with("target/")));
    }
}
