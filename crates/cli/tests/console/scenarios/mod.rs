//! All scenarios: where each plays, and on which engines. To add one, write a function in the file of its noun and a line
//! below. `page.control(…)` waits for exactly one that can be used, and what is done with it counts as used:
//!
//! ```text
//! pub fn a_workspace_is_paused(scene: &mut Scene) {
//!     let page = &scene.page;
//!     let writer = scene.fleet().create("writer", json!("process"), None);
//!     scene.sign_in();
//!     page.open(&format!("/console/workspaces/{writer}"));
//!     page.control("workspace.pause").click();
//!     page.see("paused");
//! }
//! ```

mod door;
pub mod everywhere;
mod frame;
mod map;
mod tokens;

use crate::scene::{House, Scene};

/// One scenario, which is one test.
pub struct Scenario {
    pub name: &'static str,
    pub house: House,
    /// On PostgreSQL as well.
    pub everywhere: bool,
    pub play: fn(&mut Scene),
}

macro_rules! scenarios {
    ($($house:ident $noun:ident::$name:ident $($everywhere:ident)?;)*) => {
        &[$(Scenario {
            name: concat!(stringify!($noun), "::", stringify!($name)),
            house: House::$house,
            everywhere: scenarios!(@ $($everywhere)?),
            play: $noun::$name,
        }),*]
    };
    (@) => { false };
    (@ everywhere) => { true };
}

/// `House noun::name;` for each, with `everywhere` behind it for one that is played on every engine.
pub const SCENARIOS: &[Scenario] = scenarios! {
    // The longest begins first.
    Running everywhere::no_page_has_a_barrier;
    Unclaimed door::a_claim_link_makes_an_owner everywhere;
    Unclaimed door::a_claim_link_without_its_token_says_so;
    Claimed door::a_wrong_password_is_said_and_the_right_one_opens;
    Claimed door::signing_out_closes_the_door;
    Claimed frame::every_link_beside_a_page_leads_there;
    Claimed frame::every_link_of_a_phone_leads_there;
    Claimed frame::the_theme_follows_the_system_until_it_is_chosen;
    Claimed frame::the_keyboard_alone_goes_past_the_frame;
    Claimed frame::a_connection_that_breaks_is_said_and_comes_back;
    Claimed map::a_card_dropped_on_another_moves_below_it;
    Claimed map::a_card_is_found_by_words_and_by_arrows;
    Claimed tokens::a_new_token_is_shown_once_and_works_until_it_is_revoked;
};
