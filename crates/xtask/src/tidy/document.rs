//! Documents that can be trusted: crates say what they are, decisions say why, links lead somewhere.

use super::tree::File;
use super::{Complaint, Tree};

/// Complains about a library whose first line does not say what it is.
pub fn libraries_begin_with_their_purpose(tree: &Tree) -> Vec<Complaint> {
    let silent = |file: &&File| file.path.ends_with("src/lib.rs") && !file.text.starts_with("//!");
    let text = "does not start with `//!`; say what this crate is and what is deliberately absent";
    tree.rust().filter(silent).map(|file| Complaint::at(&file.path, 1, text)).collect()
}

/// What a reader of a decision wants to know.
const HEADINGS: [&str; 4] = ["Context", "Decision", "Consequences", "What would change our mind"];

/// Complains about decisions that lack a heading.
pub fn decisions_are_complete(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.files().filter(|file| is_decision(&file.path)) {
        let present: Vec<&str> = file.text.lines().filter_map(|l| l.strip_prefix('#')).map(heading).collect();
        for missing in HEADINGS.iter().filter(|wanted| !present.iter().any(|found| found.eq_ignore_ascii_case(wanted)))
        {
            complaints.push(Complaint::about(&file.path, format!("has no heading `{missing}`")));
        }
    }
    complaints
}

fn heading(line: &str) -> &str {
    line.trim_start_matches('#').trim()
}

fn is_decision(path: &str) -> bool {
    let number = path.strip_prefix("docs/decisions/").filter(|name| name.ends_with(".md"));
    number.and_then(|name| name.split_once('-')).is_some_and(|(n, _)| n.len() == 4 && n.parse::<u16>().is_ok())
}

const READ_BY_EVERYONE: [&str; 5] = ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "DEVELOPERS.md"];

/// Complains about relative links to nowhere. A target like `file.rs::test_name` must name a function of that file: a
/// promise that is linked to a test must not outlive it. Links into the web are not checked, since a test must not depend
/// on somebody else's server.
pub fn links_lead_somewhere(tree: &Tree) -> Vec<Complaint> {
    let wanted = |path: &str| READ_BY_EVERYONE.contains(&path) || (path.starts_with("docs/") && path.ends_with(".md"));
    let mut complaints = Vec::new();
    for file in tree.files().filter(|file| wanted(&file.path)) {
        for (line, target) in links(&file.text) {
            let (path, function) = target.split_once("::").map_or((&*target, None), |(path, name)| (path, Some(name)));
            let exists = resolve(&file.path, path).is_some_and(|path| match function {
                None => tree.has(&path),
                Some(name) => tree.file(&path).is_some_and(|file| file.text.contains(&format!("fn {name}("))),
            });
            if !exists {
                complaints.push(Complaint::at(&file.path, line, format!("`{target}` leads nowhere")));
            }
        }
    }
    complaints
}

/// Relative targets with their lines, without `#fragment`; code is skipped.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose = without_code(line);
        let inline = prose.match_indices("](").filter_map(|(at, open)| {
            let rest = &prose[at + open.len()..];
            rest.find(')').map(|close| &rest[..close])
        });
        // `[label]: target`, on a line of its own.
        let reference = prose.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
        for target in inline.chain(reference) {
            let target = target.split_whitespace().next().unwrap_or("").trim_matches(['<', '>']);
            let elsewhere = target.contains("://") || target.starts_with("mailto:");
            let file = target.split('#').next().unwrap_or("");
            if !elsewhere && !file.is_empty() {
                found.push((index + 1, file.to_owned()));
            }
        }
    }
    found
}

/// The line without `code`, keeping the link around a label that is code.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // An unpaired backtick is a backtick.
    let paired = parts.len() - (parts.len() + 1) % 2;
    let prose = parts.iter().enumerate().filter(|(index, _)| index % 2 == 0 || *index >= paired);
    prose.map(|(_, part)| *part).collect()
}

/// The path that `target` means in the file `from`; `None` outside the repository.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut path: Vec<&str> = from.split('/').collect();
    path.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(path.pop()?),
            name => path.push(name),
        }
    }
    Some(path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_must_begin_with_its_purpose() {
        let of = |text| libraries_begin_with_their_purpose(&Tree::of(&[("crates/a/src/lib.rs", text)])).len();
        assert_eq!(of("//! What this is.\n"), 0);
        assert_eq!(of("pub mod a;\n//! late"), 1);
        assert_eq!(of(""), 1);
    }

    #[test]
    fn a_decision_must_have_all_four_headings() {
        let of = |path: &str, text: &str| decisions_are_complete(&Tree::of(&[(path, text)])).len();
        let good = "# One door\n## Context\n## Decision\n## Consequences\n## What would change our mind\n";
        assert_eq!(of("docs/decisions/0001-one-door.md", good), 0);
        assert_eq!(of("docs/decisions/0001-one-door.md", &good.replace("## Decision", "Decision")), 1);
        assert_eq!(of("docs/decisions/0001-one-door.md", ""), 4);
        assert_eq!(of("docs/decisions/README.md", ""), 0);
    }

    fn broken(text: &str) -> Vec<String> {
        let tree =
            Tree::of(&[("docs/a.md", text), ("docs/b/c.md", ""), ("src/d.rs", "fn a_test() {}"), ("README.md", "")]);
        links_lead_somewhere(&tree).into_iter().map(|complaint| complaint.text).collect()
    }

    #[test]
    fn links_to_files_directories_lines_and_tests_are_fine() {
        let good = "[a](b/c.md) [`b`](../src/d.rs#L12) [c](../src/d.rs::a_test) [d](b) [e](../README.md \"title\")\n\
                    [f](https://example.org/x) [g](#here) `[h](nowhere.md)`\n```\n[i](nowhere.md)\n```\n[j]: <b/c.md>\n";
        assert_eq!(broken(good), [""; 0]);
    }

    #[test]
    fn links_to_nowhere_and_out_of_the_tree_are_not() {
        for bad in [
            "[a](c.md)",
            "[a](../src/d.rs::another_test)",
            "[a](../src/d.rs::a_te)",
            "[`a`](c.md#x) `",
            "[a](/README.md)",
            "[a](../../README.md)",
            "[a]: c.md",
            "![a](c.png)",
        ] {
            assert_eq!(broken(bad).len(), 1, "{bad}");
        }
    }
}
