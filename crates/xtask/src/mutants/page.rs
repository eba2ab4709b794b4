//! `docs/mutants.md`: the mutants that need not be noticed, each with its reason.

use std::path::Path;

/// Where the page is, from the root of the repository.
pub const PAGE: &str = "docs/mutants.md";

/// Every row of a table whose first cell is a mutant: the mutant, and why nothing notices it.
pub fn survivors(page: &str) -> Vec<(String, String)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `crates/")?.strip_suffix(" |")?.split_once("` | "));
    // A pipe would end the cell.
    rows.map(|(mutant, reason)| (format!("crates/{}", mutant.replace("\\|", "|")), reason.trim().to_owned())).collect()
}

/// The row of a mutant, as it stands in the page.
pub fn row(mutant: &str, reason: &str) -> String {
    format!("| `{}` | {reason} |", mutant.replace('|', "\\|"))
}

/// What is wrong with the page by itself: a reason that is none, a mutant twice, a function that is gone.
pub fn complaints(root: &Path, page: &str) -> Vec<String> {
    let survivors = survivors(page);
    let mut complaints = Vec::new();
    for (at, (mutant, reason)) in survivors.iter().enumerate() {
        if reason.split_whitespace().count() < 3 {
            complaints.push(format!("{mutant}: `{reason}` is no reason"));
        }
        if survivors.iter().take(at).any(|(other, _)| other == mutant) {
            complaints.push(format!("{mutant}: is there twice"));
        }
        let Some((file, change)) = mutant.split_once(": ") else { continue };
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            complaints.push(format!("{mutant}: there is no such file any more"));
            continue;
        };
        // What is changed in a constant names no function.
        let Some(function) = function(change) else { continue };
        let declared = format!("fn {function}");
        let ends = |rest: &str| rest.starts_with(['(', '<']);
        if !text.match_indices(&declared).any(|(at, _)| text.get(at + declared.len()..).is_some_and(ends)) {
            complaints.push(format!("{mutant}: there is no `{declared}` in `{file}` any more"));
        }
    }
    complaints
}

/// The function in which something is changed.
fn function(change: &str) -> Option<&str> {
    // The second mutant of a name and those after it have a number.
    let change = change
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once(" ("))
        .map_or(change, |(text, number)| if number.parse::<u32>().is_ok() { text } else { change });
    let path = match change.rsplit_once(" in ") {
        Some((_, path)) => path,
        None => {
            let whole = change.strip_prefix("replace ")?;
            whole.split_once(" -> ").or_else(|| whole.split_once(" with "))?.0
        }
    };
    path.rsplit("::").next().filter(|name| name.starts_with(|first: char| first == '_' || first.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_functions_that_exist_and_gives_reasons() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let page = std::fs::read_to_string(root.join(PAGE)).expect("the page");
        let found = complaints(&root, &page);
        assert!(found.is_empty(), "{}", found.join("\n"));
        let rows = page.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(survivors(&page).len(), rows, "a row is not read");
    }

    #[test]
    fn a_row_is_read_as_it_is_written() {
        let mutant = "crates/kernel/src/a.rs: replace || with && in A::b";
        let page = format!("# Mutants\n\n{}\n| `other` | row |\n", row(mutant, "there is no case"));
        assert_eq!(survivors(&page), [(mutant.to_owned(), "there is no case".to_owned())]);
    }

    #[test]
    fn every_kind_of_mutant_names_its_function() {
        for (mutant, name) in [
            ("replace entitled -> bool with true", "entitled"),
            ("replace <impl Drop for Writer<S>>::drop with ()", "drop"),
            ("replace Vault::key -> Result<&Key, E> with Ok(&Key::in_place())", "key"),
            ("replace < with <= in Levels::rollback (2)", "rollback"),
            ("replace match guard fields.is_empty() with true in read", "read"),
            ("delete match arm (Some(_), _) in <impl A for B>::settle", "settle"),
            ("delete ! in Claim::take", "take"),
        ] {
            assert_eq!(function(mutant), Some(name), "{mutant}");
        }
        assert_eq!(function("replace * with +"), None, "in a constant");
    }

    #[test]
    fn a_page_that_lags_behind_is_noticed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let good = "src/mutants/page.rs: replace row -> String with String::new()";
        for (rows, count) in [
            (vec![(good, "nobody reads a row")], 0),
            (vec![(good, "nobody reads a row"), (good, "nobody reads a row")], 1),
            (vec![(good, "")], 1),
            (vec![("src/mutants/page.rs: replace ro -> String with String::new()", "nobody reads a row")], 1),
            (vec![("src/gone.rs: replace row -> String with String::new()", "nobody reads a row")], 1),
        ] {
            let page: Vec<String> = rows.iter().map(|(mutant, why)| row(&format!("crates/{mutant}"), why)).collect();
            let root = root.join("../..");
            let page = page.join("\n").replace("crates/src", "crates/xtask/src");
            assert_eq!(complaints(&root, &page).len(), count, "{page}");
        }
    }
}
