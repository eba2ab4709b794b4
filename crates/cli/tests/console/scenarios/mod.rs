//! All scenarios: where each plays, and on which engines.

mod chat;
mod create;
mod door;
mod harmless;
mod map;
mod workspace;

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
    Running map::an_empty_organisation_leads_to_the_first_agent_and_it_runs everywhere;
    Claimed map::the_first_page_leads_to_the_root_agent;
    Running map::turns_queues_debts_and_requests_appear_while_one_looks everywhere;
    Claimed map::arrows_walk_enter_opens_and_keys_zoom;
    Claimed map::a_card_dropped_on_another_moves_there_once_confirmed;
    Claimed map::the_list_shows_the_same_and_folds;
    Claimed map::a_phone_shows_the_list_first_and_the_map_when_asked;
    Claimed map::one_beside_the_map_leads_on;
    Claimed map::five_hundred_workspaces_are_all_there;
    Running workspace::an_agent_is_restarted_after_its_turn;
    Running workspace::an_agent_is_paused_and_resumed;
    Running workspace::the_root_gets_its_changes_when_a_human_applies_them;
    Running workspace::a_turn_is_cut_only_with_a_reason_and_a_password;
    Running workspace::a_removal_is_typed_and_its_address_says_what_happened;
    Claimed workspace::tabs_and_crumbs_lead_through_it;
    Claimed workspace::addresses_that_lead_nowhere_say_so;
    Running workspace::the_log_is_followed_until_one_reads_back;
    Claimed create::every_kind_of_runtime_can_be_chosen_and_is_what_was_written;
    Claimed create::what_the_server_would_refuse_is_said_before;
    Claimed create::a_parent_is_chosen_by_its_path;
    Claimed create::what_needs_an_approver_is_asked_for_and_not_done;
    Claimed create::name_role_and_runtime_are_changed;
    Running chat::enter_sends_and_the_reply_appears;
    Running chat::a_message_waits_while_the_agent_is_busy_and_is_taken_back everywhere;
    Running chat::an_attempt_whose_answer_was_lost_is_one_message;
    Claimed chat::a_draft_is_kept_while_one_looks_elsewhere;
    Running chat::an_agent_that_does_not_work_now_says_why;
    Claimed chat::what_was_said_long_ago_is_fetched everywhere;
    Running harmless::a_message_and_its_reply_run_nothing;
    Claimed harmless::a_message_made_to_stall_its_reader_does_not;
    Claimed harmless::markdown_is_shown_as_it_is_meant;
    Claimed harmless::a_link_opens_elsewhere_and_says_nothing_of_us;
    Claimed harmless::a_name_and_a_role_run_nothing_wherever_they_stand;
};
