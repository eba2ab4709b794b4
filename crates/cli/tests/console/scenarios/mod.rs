//! All scenarios: where each plays, and on which engines.

mod agreement;
mod approvals;
mod asking;
mod audit;
mod chat;
mod create;
mod door;
mod endings;
pub mod everywhere;
mod frame;
mod harmless;
mod incident;
mod map;
mod operators;
mod policies;
mod prompts;
mod roles;
mod secret_history;
mod secret_import;
mod secrets;
mod settings;
mod tokens;
mod workspace;
mod writing;

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
    Claimed frame::without_the_stream_pages_ask_by_themselves;
    Claimed frame::one_window_listens_for_all_and_another_takes_over;
    Running everywhere::every_page_opens_for_every_role;
    Claimed frame::what_could_not_be_asked_is_asked_again_by_hand;
    Claimed frame::a_connection_that_breaks_is_said_and_comes_back;
    Running everywhere::no_page_has_a_barrier;
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
    Running secrets::a_new_secret_says_what_it_does_and_then_which_version_runs everywhere;
    Claimed secrets::a_version_that_came_in_between_is_said_and_input_is_kept;
    Running secrets::a_file_is_there_at_once_and_restarts_nobody;
    Claimed secrets::a_slot_that_an_agent_asks_for_is_filled_by_a_human;
    Claimed secrets::a_shared_secret_is_overridden_and_comes_back;
    Claimed secrets::a_key_is_found_among_many;
    Running secrets::the_roots_secret_waits_for_a_human;
    Claimed secrets::a_held_secret_is_never_shown_as_saved everywhere;
    Claimed secrets::a_refused_key_or_value_says_what_to_do_instead;
    Claimed secrets::leaving_a_form_with_a_value_asks_first;
    Running secret_history::a_staged_version_waits_until_it_is_activated;
    Claimed secret_history::rolling_back_makes_a_new_version;
    Claimed secret_history::a_deleted_secret_comes_back_and_a_destroyed_version_does_not everywhere;
    Claimed secret_history::a_key_that_lost_its_active_version_says_how_it_comes_back;
    Running secret_history::the_history_of_a_shared_secret_says_what_runs_where;
    Running secret_import::pasted_lines_are_previewed_and_then_imported;
    Claimed secret_import::a_file_is_read_as_what_its_name_says;
    Claimed tokens::a_token_is_shown_once_works_and_stops_working everywhere;
    Claimed tokens::a_token_of_a_workspace_is_its_agent;
    Claimed tokens::an_enrolment_code_admits_an_agent_once;
    Unclaimed roles::what_the_console_offers_is_what_the_rules_allow;
    Claimed roles::an_auditor_reads_and_changes_nothing;
    Claimed roles::a_member_works_on_ordinary_workspaces_only;
    Claimed roles::an_approver_does_all_but_destroy;
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
    Claimed operators::one_is_invited_chooses_a_password_and_is_in everywhere;
    Claimed operators::a_role_is_changed_an_operator_disabled_and_let_in_again;
    Claimed operators::a_forgotten_password_is_replaced_by_a_new_link;
    Claimed operators::who_is_no_owner_reads_the_list_and_changes_nothing;
    Claimed settings::a_changed_password_is_the_only_one_and_ends_other_sessions;
    Claimed settings::a_session_elsewhere_is_seen_and_ended;
    Claimed settings::a_passkey_opens_the_door_and_confirms_a_decision everywhere;
    Claimed settings::a_session_that_ended_is_opened_again_with_a_passkey;
    Claimed settings::colours_follow_the_choice_also_after_a_reload;
    Running writing::a_reply_grows_while_one_looks_and_shows_no_value everywhere;
    Claimed prompts::a_session_that_ended_is_opened_again_over_what_was_typed;
    Claimed prompts::signing_in_again_in_one_window_opens_the_others_with_what_was_typed;
    Claimed prompts::one_session_that_ended_under_two_questions_asks_once;
};
