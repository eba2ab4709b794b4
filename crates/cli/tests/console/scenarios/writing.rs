//! A reply while it is being written.

use crate::{kit::fleet::exec, scene::Scene};

/// Says a line with its secret in it, waits for a file, and says another.
const WRITES: &str = "cat >/dev/null; echo \"the **first** line\"; echo \"it has $KEY\"; until [ -e go ]; do sleep 0.1; done; echo the last";

pub fn a_reply_grows_while_one_looks_and_shows_no_value(scene: &mut Scene) {
    let (page, fleet) = (&scene.page, scene.fleet());
    let id = fleet.create("writer", exec(WRITES), None);
    fleet.settled(&id);
    fleet.set(&id, "KEY", "a-value-that-is-not-shown");
    fleet.settled(&id);
    scene.sign_in();
    page.open(&format!("/console/workspaces/{id}/chat"));
    page.control("chat.text").fill("write");
    page.press("Enter");
    page.see_in("[data-writing]", "the first line");
    page.see_in("[data-writing]", "it has [redacted:KEY]");
    page.see("is writing");
    fleet.touch(&id, "go");
    page.see("the last");
    page.not_see("is writing");
    assert!(!page.words().contains("a-value-that-is-not-shown"));
}
