//! All scenarios: where each plays, and on which engines.

mod door;
pub mod everywhere;
mod frame;

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
    Unclaimed door::a_claim_link_makes_an_owner everywhere;
    Unclaimed door::a_claim_link_without_its_token_says_so;
    Claimed door::a_wrong_password_is_said_and_the_right_one_opens;
    Claimed door::signing_out_closes_the_door;
    Claimed frame::every_link_beside_a_page_leads_there;
    Claimed frame::every_link_of_a_phone_leads_there;
    Claimed frame::the_theme_follows_the_system_until_it_is_chosen;
    Claimed frame::the_keyboard_alone_goes_past_the_frame;
    Claimed frame::a_connection_that_breaks_is_said_and_comes_back;
    Running everywhere::no_page_has_a_barrier;
};
