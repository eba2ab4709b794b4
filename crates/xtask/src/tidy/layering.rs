//! `kernel ← authority ← service ← cli`: the import direction is the security argument, so it is checked where Cargo
//! cannot see it.

use toml::{Table, Value};

use super::source::{Source, line_of, lines_with_word};
use super::tree::File;
use super::{Complaint, Tree};

/// A crate and what its manifest may not name.
struct Layer {
    manifest: &'static str,
    forbidden: &'static [&'static str],
    why: &'static str,
    /// Whether its tests are bound too. Those of `service` look into the tables on purpose.
    tests_too: bool,
}

const LAYERS: [Layer; 3] = [
    Layer {
        manifest: "crates/kernel/Cargo.toml",
        forbidden: &[
            "tokio",
            "axum",
            "hyper",
            "reqwest",
            "rusqlite",
            "postgres",
            "sqlx",
            "rand",
            "getrandom",
            "chrono",
            "jiff",
            "aws-lc-rs",
            "portcullis-authority",
            "portcullis-service",
            "portcullis",
        ],
        why: "the kernel is pure data and functions; pass in what it needs to know",
        tests_too: true,
    },
    Layer {
        manifest: "crates/authority/Cargo.toml",
        forbidden: &["portcullis-service", "portcullis", "axum", "reqwest"],
        why: "the trusted base does not know who talks to it; move the code up",
        tests_too: true,
    },
    Layer {
        manifest: "crates/service/Cargo.toml",
        forbidden: &["rusqlite", "postgres", "tokio-postgres", "aws-lc-rs", "portcullis"],
        why: "the service has no SQL and no keys; ask the authority",
        tests_too: false,
    },
];

/// Complains about a dependency that points the wrong way.
pub fn manifests_keep_the_direction(tree: &Tree) -> Vec<Complaint> {
    LAYERS.iter().flat_map(|layer| layer.complaints(tree)).collect()
}

impl Layer {
    fn complaints(&self, tree: &Tree) -> Vec<Complaint> {
        let Some(manifest) = tree.file(self.manifest).and_then(|file| file.text.parse::<Table>().ok()) else {
            return vec![Complaint::about(self.manifest, "missing or not TOML; the layers cannot be checked")];
        };
        let root = tree.file("Cargo.toml").and_then(|file| file.text.parse::<Table>().ok()).unwrap_or_default();
        let names = dependencies(&manifest, &root, self.tests_too);
        let wrong = names.iter().filter(|name| self.forbidden.contains(&name.as_str()));
        wrong.map(|name| Complaint::about(self.manifest, format!("may not depend on `{name}`: {}", self.why))).collect()
    }
}

/// Every package a manifest names, for any target, under its real name.
fn dependencies(manifest: &Table, root: &Table, tests_too: bool) -> Vec<String> {
    let shared = root.get("workspace").and_then(|workspace| workspace.get("dependencies"));
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    let mut names = Vec::new();
    for table in std::iter::once(manifest).chain(targets.filter_map(Value::as_table)) {
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            if kind == "dev-dependencies" && !tests_too {
                continue;
            }
            for (key, value) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
                // A renamed dependency is the same dependency.
                let inherited = shared.and_then(|shared| shared.get(key));
                let package = [Some(value), inherited].into_iter().flatten().find_map(|v| v.get("package")?.as_str());
                names.push(package.unwrap_or(key).to_owned());
            }
        }
    }
    names
}

/// How a statement begins. Upper case only: that is how this house writes SQL, and prose does not.
const STATEMENTS: [&str; 5] = ["SELECT", "INSERT INTO", "UPDATE", "DELETE FROM", "CREATE TABLE"];

/// Complains about SQL above the authority.
pub fn no_sql_above_the_authority(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in shipped(tree, &["crates/service/src/", "crates/cli/src/"]) {
        let source = file.source();
        let tests = source.test_lines();
        let is_statement = |literal: &str| {
            let text = literal.trim_start_matches(['b', 'r', 'c', '#', '"']).trim_start();
            STATEMENTS.iter().any(|s| text.strip_prefix(s).is_some_and(|rest| rest.starts_with(char::is_whitespace)))
        };
        for (line, _) in
            source.literals().into_iter().filter(|(line, text)| is_statement(text) && !within(*line, &tests))
        {
            complaints.push(Complaint::at(
                &file.path,
                line,
                "SQL outside the authority; add an action or a view there",
            ));
        }
    }
    complaints
}

/// Modules of `std` that touch the world, and the clock.
const WORLD: [&str; 5] = ["fs", "net", "thread", "process", "env"];
const CLOCK: [&str; 2] = ["SystemTime", "Instant"];

/// Complains about files, sockets, threads and clocks in the kernel.
pub fn the_kernel_is_pure(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in shipped(tree, &["crates/kernel/src/"]) {
        let source = file.source();
        let tests = source.test_lines();
        for (line, name) in impurities(&source).into_iter().filter(|(line, _)| !within(*line, &tests)) {
            complaints.push(Complaint::at(&file.path, line, format!("`{name}` in the kernel; take it as a parameter")));
        }
    }
    complaints
}

fn impurities(source: &Source<'_>) -> Vec<(usize, String)> {
    let code = source.code();
    let clocks =
        CLOCK.iter().flat_map(|name| lines_with_word(&code, name).into_iter().map(|line| (line, (*name).to_owned())));
    let mut found: Vec<_> = clocks.collect();
    for (at, prefix) in code.match_indices("std::") {
        let rest = &code[at + prefix.len()..];
        for name in imported(rest).into_iter().filter(|name| WORLD.contains(name)) {
            found.push((line_of(&code, at), format!("std::{name}")));
        }
    }
    found
}

/// The first segments of what follows `std::`: one name, or those of a group.
fn imported(rest: &str) -> Vec<&str> {
    let name = |text: &str| text.find(|c| !super::source::is_word(c)).unwrap_or(text.len());
    let Some(group) = rest.strip_prefix('{') else { return vec![&rest[..name(rest)]] };
    let (mut depth, mut start, mut names) = (0_usize, 0, Vec::new());
    for (at, character) in group.char_indices() {
        let closes = character == '}' && depth == 0;
        if closes || (character == ',' && depth == 0) {
            let item = group[start..at].trim_start();
            names.push(&item[..name(item)]);
            start = at + 1;
        }
        match character {
            _ if closes => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

/// The files below `places` that are built into the product.
fn shipped<'a>(tree: &'a Tree, places: &'a [&str]) -> impl Iterator<Item = &'a File> {
    tree.rust().filter(|file| !file.is_test() && places.iter().any(|place| file.path.starts_with(place)))
}

fn within(line: usize, ranges: &[(usize, usize)]) -> bool {
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "[workspace.dependencies]\nsql = { version = \"1\", package = \"rusqlite\" }";

    fn manifests(kernel: &str, authority: &str, service: &str) -> Vec<Complaint> {
        let layers = LAYERS.iter().map(|layer| layer.manifest).zip([kernel, authority, service]);
        manifests_keep_the_direction(&Tree::of(&layers.chain([("Cargo.toml", ROOT)]).collect::<Vec<_>>()))
    }

    #[test]
    fn dependencies_that_point_down_are_fine() {
        let authority = "[dependencies]\nportcullis-kernel = {}\nrusqlite = \"1\"";
        let service = "[dependencies]\nportcullis-authority = {}\naxum = \"1\"\n[dev-dependencies]\nrusqlite = \"1\"";
        assert_eq!(manifests("[dependencies]\nserde = \"1\"", authority, service), []);
    }

    #[test]
    fn dependencies_that_point_up_or_out_are_not_however_they_are_written() {
        let bad = "[dev-dependencies]\ntokio = \"1\"\n[target.'cfg(unix)'.dependencies]\nr = { package = \"rand\", version = \"1\" }";
        assert_eq!(manifests(bad, "", "").len(), 2);
        assert_eq!(manifests("", "[build-dependencies]\nreqwest = \"1\"", "").len(), 1);
        assert_eq!(manifests("", "", "[dependencies]\nsql.workspace = true\npostgres.workspace = true").len(), 2);
        assert_eq!(manifests("not toml", "", "").len(), 1);
        assert_eq!(manifests_keep_the_direction(&Tree::of(&[])).len(), LAYERS.len());
    }

    fn sql(path: &str, text: &str) -> usize {
        no_sql_above_the_authority(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn sql_belongs_to_the_authority_and_to_tests() {
        let statement = "f(\"SELECT 1\");";
        assert_eq!(sql("crates/authority/src/a.rs", statement), 0);
        assert_eq!(sql("crates/service/tests/a.rs", statement), 0);
        assert_eq!(sql("crates/service/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{statement}\n}}")), 0);
        assert_eq!(
            sql("crates/cli/src/a.rs", "// SELECT 1\nf(\"SELECTED\", \"Update the key\", \"UPDATE_FAILED\");"),
            0
        );
    }

    #[test]
    fn sql_above_the_authority_is_found_in_any_kind_of_literal() {
        for statement in
            ["\"SELECT 1\"", "\"INSERT INTO a\"", "r#\"\n  UPDATE a\n\"#", "b\"DELETE FROM a\"", "\"SELECT\n1\""]
        {
            assert_eq!(sql("crates/service/src/a.rs", statement), 1, "{statement}");
            assert_eq!(sql("crates/cli/src/a.rs", statement), 1, "{statement}");
        }
    }

    fn kernel(text: &str) -> usize {
        the_kernel_is_pure(&Tree::of(&[("crates/kernel/src/a.rs", text)])).len()
    }

    #[test]
    fn a_kernel_of_data_and_functions_is_fine() {
        assert_eq!(
            kernel("use std::{collections::{BTreeMap, BTreeSet}, fmt};\nuse std::time::Duration; // std::fs"),
            0
        );
        assert_eq!(kernel("#[cfg(test)]\nmod tests {\n  use std::fs;\n}"), 0);
    }

    #[test]
    fn a_kernel_that_touches_the_world_is_not() {
        for bad in [
            "use std::time::SystemTime;",
            "use std::time::{Duration, Instant};",
            "std::fs::read(p);",
            "use std::net;",
            "std::thread::spawn(f);",
            "use std::{fmt::{self, Debug}, fs};",
            "use std::{\n  net::TcpStream,\n  fmt,\n};",
        ] {
            assert_eq!(kernel(bad), 1, "{bad}");
        }
    }
}
