//! The organisation as a map.

use serde_json::json;

use crate::scene::Scene;

pub fn a_card_dropped_on_another_moves_below_it(scene: &mut Scene) {
    let page = &scene.page;
    let fleet = scene.fleet();
    let editor = fleet.create("editor", json!("external"), None);
    let writer = fleet.create("writer", json!("external"), None);
    scene.sign_in();
    page.control_near("writer", "map.card").drag_to(&page.control_near("editor", "map.card"));
    page.control("move.submit").click();
    page.no_control("move.submit");
    fleet.until("the workspace is moved", || (fleet.workspace(&writer)["parent_id"] == json!(editor)).then_some(()));
}

pub fn a_card_is_found_by_words_and_by_arrows(scene: &mut Scene) {
    let page = &scene.page;
    scene.fleet().create("editor", json!("external"), None);
    let writer = scene.fleet().create("writer", json!("external"), None);
    scene.sign_in();
    page.control("map.search").fill("writ").press("Enter");
    page.is_at(&format!("/console?selected={writer}"));
    page.control_near("writer", "map.card").press("Enter");
    page.is_at(&format!("/console/workspaces/{writer}"));
}
