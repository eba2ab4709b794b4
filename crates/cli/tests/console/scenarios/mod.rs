//! All scenarios: where each plays, and on which engines.

mod agreement;
mod approvals;
mod asking;
mod audit;
mod door;
mod endings;
mod incident;
mod policies;
mod prompts;

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
    Claimed approvals::what_waits_is_counted_live_in_the_menu_and_in_the_title;
    Claimed approvals::a_yes_needs_the_password_again_and_is_done_once everywhere;
    Claimed approvals::a_no_keeps_its_note_and_changes_nothing;
    Claimed approvals::keys_go_through_the_list_and_decide;
    Claimed approvals::members_and_auditors_see_what_waits_and_cannot_decide;
    Claimed approvals::who_asked_waits_for_somebody_else;
    Claimed approvals::a_token_that_was_agreed_to_is_shown_once;
    Claimed approvals::the_history_is_filtered_and_goes_back_to_the_first_request;
    Claimed approvals::a_phone_with_keys_approves_without_seeing_the_value;
    Claimed endings::one_that_expires_says_so_and_cannot_be_decided;
    Claimed endings::one_whose_secret_changed_meanwhile_is_voided_by_the_vote everywhere;
    Claimed endings::one_that_is_taken_back_goes_away_under_the_hand;
    Claimed endings::of_two_who_decide_at_once_the_second_is_told;
    Claimed agreement::two_people_agree_in_two_browsers;
    Claimed agreement::a_group_decides_and_others_are_told_which;
    Claimed agreement::a_checklist_and_a_note_come_before_a_yes;
    Claimed agreement::deciding_alone_is_refused_where_nobody_allowed_it;
    Claimed agreement::deciding_alone_leaves_its_reason_for_everybody;
    Claimed audit::each_filter_narrows_the_list_and_stays_in_the_address everywhere;
    Claimed audit::days_narrow_the_list;
    Claimed audit::the_list_goes_back_as_one_scrolls_and_does_not_move_when_it_grows;
    Claimed audit::an_event_leads_to_what_it_is_about_and_to_its_neighbours;
    Claimed audit::a_sound_log_verifies_and_shows_its_signed_head;
    Claimed audit::a_touched_log_shows_its_first_bad_entry;
    Claimed audit::an_export_verifies_on_a_machine_that_knows_nothing_else;
    Running incident::a_root_agent_that_writes_to_itself_is_refused_live_and_its_turn_goes_on everywhere;
    Running incident::what_would_interrupt_a_busy_agent_is_said_before_the_vote;
    Claimed policies::a_rule_is_found_and_opened;
    Claimed policies::a_policy_is_checked_added_decides_and_is_removed;
    Claimed policies::only_owners_change_policies_and_others_read_them;
    Claimed policies::the_matrix_says_who_may_do_what;
    Claimed policies::a_question_is_answered_by_the_rules_and_does_nothing;
    Claimed prompts::a_session_that_ended_is_opened_again_over_what_was_typed;
    Claimed prompts::one_session_that_ended_under_two_questions_asks_once;
};
