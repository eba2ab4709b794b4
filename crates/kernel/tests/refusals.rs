//! The published page of refusal codes is the list in the code.

use portcullis_kernel::refusal::markdown;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/refusals.md");

#[test]
#[expect(clippy::disallowed_methods, reason = "the switch of `cargo xtask refusals --accept`, not a setting")]
fn the_page_of_refusals_lists_every_code_as_it_is() {
    if std::env::var_os("PORTCULLIS_ACCEPT").is_some() {
        std::fs::write(PAGE, markdown()).expect("the page is written");
    }
    let page = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/refusals.md is no longer true; if the change is meant, `cargo xtask refusals --accept`"
    );
}
