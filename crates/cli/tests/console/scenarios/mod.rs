//! All scenarios: where each plays, and on which engines.

mod door;

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
};
