//! The house rules over this very tree. Each rule's own tests are next to it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use xtask::tidy::{Complaint, Tree};
use xtask::tidy::{credential, document, layering, length, machine_path, plaintext, supply, unfinished};

static TREE: LazyLock<Tree> = LazyLock::new(|| match Tree::read(&root()) {
    Ok(tree) => tree,
    Err(error) => panic!("cannot read the tree: {error}"),
});

/// The repository, found from where cargo starts tests: the directory of this package.
fn root() -> PathBuf {
    Path::new(".").join("../..")
}

#[track_caller]
fn none(complaints: &[Complaint]) {
    let lines: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
    assert!(lines.is_empty(), "{} to repair:\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn the_tree_was_read() {
    for path in ["Cargo.toml", "crates/kernel/src/lib.rs", "crates/xtask/tests/tidy.rs", ".ci/run"] {
        assert!(TREE.file(path).is_some(), "{path} is not in the tree, so the other tests looked at nothing");
    }
}

#[test]
fn manifests_keep_the_direction_of_the_layers() {
    none(&layering::manifests_keep_the_direction(&TREE));
}

#[test]
fn there_is_no_sql_above_the_authority() {
    none(&layering::no_sql_above_the_authority(&TREE));
}

#[test]
fn the_kernel_is_pure() {
    none(&layering::the_kernel_is_pure(&TREE));
}

#[test]
fn plaintext_leaves_its_type_only_where_listed() {
    none(&plaintext::plaintext_leaves_its_type_only_where_listed(&TREE));
}

#[test]
fn files_are_short() {
    none(&length::files_are_short(&TREE));
}

#[test]
fn nothing_is_unfinished_or_silenced() {
    none(&unfinished::nothing_is_unfinished(&TREE));
}

#[test]
fn no_string_is_shaped_like_a_credential() {
    none(&credential::no_credential_shaped_strings(&TREE));
}

#[test]
fn no_path_of_one_machine_is_written_down() {
    none(&machine_path::no_path_of_one_machine(&TREE));
}

#[test]
fn libraries_begin_with_their_purpose() {
    none(&document::libraries_begin_with_their_purpose(&TREE));
}

#[test]
fn decisions_have_all_their_headings() {
    none(&document::decisions_are_complete(&TREE));
}

#[test]
fn links_in_documents_lead_somewhere() {
    none(&document::links_lead_somewhere(&TREE));
}

#[test]
fn dependencies_are_what_deny_toml_permits() {
    let rules = TREE.file(supply::RULES).map_or("", |file| &file.text);
    // Tests run after a build, so the metadata of every package is usually at hand; if not, cargo may fetch it.
    let metadata = metadata(&["--offline"]).or_else(|_| metadata(&[])).unwrap_or_else(|error| panic!("{error}"));
    none(&supply::dependencies_are_permitted(rules, &metadata));
}

#[expect(clippy::disallowed_methods, reason = "the cargo that runs this test, not the product's configuration")]
fn metadata(extra: &[&str]) -> Result<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--locked"]).args(extra).current_dir(root());
    let output = command.output().map_err(|error| format!("cannot run `cargo metadata`: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
