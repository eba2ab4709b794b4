//! What [`next`] answers, view by view, to the millisecond at which it changes: what the worlds of `lifecycle_model.rs` come
//! to only by chance, or where any answer would do for them.

use portcullis_kernel::{
    lifecycle::{Desired, Live, Seen, Step, StopWhy, Timings, View, external, next},
    time::Timestamp,
    workspace::{Kind, Status},
};

const NOW: Timestamp = Timestamp(1_000_000_000);

fn ago(ms: i64) -> Timestamp {
    NOW.plus_ms(-ms)
}

/// A run that came up, works and is heard.
fn live() -> Live {
    Live {
        generation: 1,
        started_at: ago(3_600_000),
        registered: true,
        heard_at: NOW,
        troubled: false,
        seen: Seen::Running,
        forced: false,
        handed_off: false,
    }
}

/// Nothing is to be done about it.
fn calm() -> View<'static> {
    View {
        kind: Kind::Workspace,
        desired: Desired::Running,
        desired_generation: 1,
        apply_generation: 0,
        content_changed: false,
        unreadable: false,
        live: Some(live()),
        turn_since: None,
        turn_ended: None,
        drain_since: None,
        asked: false,
        crashes: &[],
        hopeless: None,
    }
}

/// A change waits for its restart, and no message is delivered since so long.
fn drained(ms: i64) -> View<'static> {
    View { desired_generation: 2, content_changed: true, drain_since: Some(ago(ms)), ..calm() }
}

fn with(live: Live, view: View<'static>) -> View<'static> {
    View { live: Some(live), ..view }
}

fn wait(status: Status, reason: &str, until: Option<Timestamp>) -> Step {
    Step::Wait { status, reason: reason.to_owned(), until }
}

#[track_caller]
fn answers(view: &View<'_>, step: &Step) {
    assert_eq!(next(view, NOW, &Timings::default()), *step, "{view:?}");
}

#[test]
fn words_are_read_as_they_are_written() {
    for (desired, word) in [(Desired::Running, "running"), (Desired::Paused, "paused"), (Desired::Removed, "removed")] {
        assert_eq!((desired.as_str(), Desired::parse(word)), (word, Some(desired)));
    }
    assert_eq!((Desired::parse(""), Desired::parse("Running")), (None, None));
    for (why, word, crash) in [
        (StopWhy::Restart, "restart", false),
        (StopWhy::Pause, "pause", false),
        (StopWhy::Remove, "remove", false),
        (StopWhy::Forced, "forced", false),
        (StopWhy::NeverCame, "never_registered", true),
        (StopWhy::Unresponsive, "unresponsive", true),
    ] {
        assert_eq!((why.as_str(), why.is_crash()), (word, crash));
    }
}

#[test]
fn a_turn_is_waited_for_and_then_a_human_is_asked() {
    let Timings { drain_ms, .. } = Timings::default();
    let in_turn = |ms| View { turn_since: Some(ago(drain_ms * 2)), ..drained(ms) };
    answers(&View { drain_since: None, ..in_turn(0) }, &Step::Drain);
    let waits = "waits for the running turn to end";
    answers(&in_turn(0), &wait(Status::Draining, waits, Some(NOW.plus_ms(drain_ms))));
    answers(&in_turn(drain_ms - 1), &wait(Status::Draining, waits, Some(NOW.plus_ms(1))));
    // Asked already or not: before the deadline it is only waited for.
    answers(&View { asked: true, ..in_turn(1) }, &wait(Status::Draining, waits, Some(NOW.plus_ms(drain_ms - 1))));
    answers(&in_turn(drain_ms), &Step::Ask);
    answers(&in_turn(drain_ms + 1), &Step::Ask);
    let asked = "a turn outlasts the deadline; a human was asked";
    answers(&View { asked: true, ..in_turn(drain_ms) }, &wait(Status::Draining, asked, None));
}

#[test]
fn a_drained_agent_gets_its_moment_for_the_note_and_is_stopped() {
    let Timings { handoff_ms, .. } = Timings::default();
    let (writes, stop) = ("writes its hand-off note", Step::Stop { why: StopWhy::Restart });
    answers(&drained(0), &wait(Status::Draining, writes, Some(NOW.plus_ms(handoff_ms))));
    answers(&drained(handoff_ms - 1), &wait(Status::Draining, writes, Some(NOW.plus_ms(1))));
    answers(&drained(handoff_ms), &stop);
    // From the end of its turn on, if that was later.
    let later = View { turn_ended: Some(ago(1)), ..drained(handoff_ms) };
    answers(&later, &wait(Status::Draining, writes, Some(NOW.plus_ms(handoff_ms - 1))));
    answers(&View { turn_ended: Some(ago(handoff_ms * 9)), ..drained(handoff_ms) }, &stop);
    answers(&with(Live { handed_off: true, ..live() }, drained(0)), &stop);
    answers(&with(Live { registered: false, ..live() }, drained(0)), &stop);
    let unseen = with(Live { seen: Seen::Unknown, ..live() }, drained(handoff_ms));
    answers(&unseen, &wait(Status::Draining, "its runtime does not say whether it runs", None));
    let paused = View { desired: Desired::Paused, ..drained(handoff_ms) };
    answers(&paused, &Step::Stop { why: StopWhy::Pause });
}

#[test]
fn a_removal_and_a_forced_stop_need_no_drain() {
    let in_turn = View { turn_since: Some(NOW), ..calm() };
    answers(&View { desired: Desired::Removed, ..in_turn.clone() }, &Step::Stop { why: StopWhy::Remove });
    answers(&with(Live { forced: true, ..live() }, in_turn), &Step::Stop { why: StopWhy::Forced });
}

#[test]
fn a_change_restarts_what_it_changes_and_the_root_only_when_applied() {
    let changed = View { drain_since: None, ..drained(0) };
    answers(&changed, &Step::Drain);
    answers(&View { content_changed: false, ..changed.clone() }, &Step::Observe);
    let silent_at = Some(NOW.plus_ms(Timings::default().silent_ms));
    let cannot = "a secret of it cannot be opened; what waits cannot reach it";
    answers(&View { unreadable: true, ..changed.clone() }, &wait(Status::Online, cannot, silent_at));
    let root = View { kind: Kind::Platform, ..changed };
    answers(&root, &wait(Status::Online, "a change waits until a human applies it", silent_at));
    answers(
        &View { apply_generation: 1, ..root.clone() },
        &wait(Status::Online, "a change waits until a human applies it", silent_at),
    );
    answers(&View { apply_generation: 2, ..root.clone() }, &Step::Drain);
    // Drained for what is no longer wanted: it is given messages again.
    answers(&View { drain_since: Some(ago(1)), ..calm() }, &Step::Undrain);
    answers(&View { drain_since: Some(ago(1)), ..root }, &Step::Undrain);
    answers(&calm(), &wait(Status::Online, "", silent_at));
}

#[test]
fn whoever_does_not_come_or_falls_silent_is_drained_before_it_is_stopped() {
    let Timings { provision_ms, silent_ms, unresponsive_ms, .. } = Timings::default();
    let young = |ms| Live { registered: false, started_at: ago(ms), heard_at: ago(ms), ..live() };
    answers(&with(young(0), calm()), &wait(Status::Provisioning, "", Some(NOW.plus_ms(provision_ms))));
    answers(&with(young(provision_ms - 1), calm()), &wait(Status::Provisioning, "", Some(NOW.plus_ms(1))));
    answers(&with(young(provision_ms), calm()), &Step::Drain);
    let drained = View { drain_since: Some(NOW), ..calm() };
    answers(&with(young(provision_ms), drained.clone()), &Step::Stop { why: StopWhy::NeverCame });

    let silent = |ms| Live { heard_at: ago(ms), ..live() };
    answers(&with(silent(silent_ms - 1), calm()), &wait(Status::Online, "", Some(NOW.plus_ms(1))));
    let trouble = Live { troubled: true, ..live() };
    answers(&with(trouble, calm()), &wait(Status::Degraded, "it reports errors", Some(NOW.plus_ms(silent_ms))));
    let left = Some(NOW.plus_ms(unresponsive_ms - silent_ms));
    answers(&with(silent(silent_ms), calm()), &wait(Status::Degraded, "its working loop is silent", left));
    let last = wait(Status::Degraded, "its working loop is silent", Some(NOW.plus_ms(1)));
    answers(&with(silent(unresponsive_ms - 1), calm()), &last);
    answers(&with(silent(unresponsive_ms), calm()), &Step::Drain);
    answers(&with(silent(unresponsive_ms), drained), &Step::Stop { why: StopWhy::Unresponsive });

    // In a turn, and of the root, a human decides.
    let asked = "its working loop is silent; a human was asked";
    for view in [View { turn_since: Some(ago(1)), ..calm() }, View { kind: Kind::Platform, ..calm() }] {
        answers(&with(silent(unresponsive_ms), view.clone()), &Step::Ask);
        let view = View { asked: true, ..with(silent(unresponsive_ms), view) };
        answers(&view, &wait(Status::Degraded, asked, None));
    }
    let root = with(young(provision_ms), View { kind: Kind::Platform, ..calm() });
    answers(&root, &Step::Ask);
    answers(
        &View { asked: true, ..root },
        &wait(Status::Provisioning, "it does not register; a human was asked", None),
    );
    // Whoever has a turn was heard.
    let view = View { turn_since: Some(NOW), ..with(young(provision_ms), calm()) };
    let left = Some(NOW.plus_ms(unresponsive_ms - provision_ms));
    answers(&view, &wait(Status::Degraded, "its working loop is silent", left));

    // What cannot be seen is waited for.
    for (registered, status) in [(true, Status::Degraded), (false, Status::Provisioning)] {
        let unseen = Live { registered, seen: Seen::Unknown, heard_at: ago(unresponsive_ms), ..young(provision_ms) };
        answers(&with(unseen, calm()), &wait(status, "its runtime does not say whether it runs", None));
    }
}

#[test]
fn what_does_not_run_is_started_unless_there_is_a_reason_that_is_told() {
    let none = View { live: None, ..calm() };
    answers(&none, &Step::Start);
    answers(&View { desired: Desired::Paused, ..none.clone() }, &wait(Status::Paused, "", None));
    answers(&View { desired: Desired::Removed, ..none.clone() }, &wait(Status::Removed, "", None));
    answers(&View { hopeless: Some("no such image"), ..none.clone() }, &wait(Status::Failed, "no such image", None));
    let Timings { crash_first_ms, crashes_max, crash_window_ms, .. } = Timings::default();
    let crashes = vec![NOW; crashes_max];
    let twice = "it ended by itself 2 times; it is started again";
    let again = Some(NOW.plus_ms(crash_first_ms * 2));
    answers(&View { crashes: &crashes[..2], ..none.clone() }, &wait(Status::Offline, twice, again));
    let over = format!("it ended by itself {crashes_max} times within {} min", crash_window_ms / 60_000);
    assert!(over.ends_with("5 times within 10 min"), "{over}");
    answers(&View { crashes: &crashes, ..none }, &wait(Status::Failed, &over, None));
}

#[test]
fn an_agent_elsewhere_is_shown_by_when_it_was_heard() {
    let timings = Timings::default();
    let Timings { silent_ms, external_offline_ms, .. } = timings;
    for (desired, heard, step) in [
        (Desired::Removed, Some(NOW), wait(Status::Removed, "", None)),
        (Desired::Paused, Some(NOW), wait(Status::Paused, "", None)),
        (Desired::Running, None, wait(Status::Provisioning, "", None)),
        (Desired::Running, Some(ago(silent_ms - 1)), wait(Status::Online, "", Some(NOW.plus_ms(1)))),
        (
            Desired::Running,
            Some(ago(silent_ms)),
            wait(Status::Degraded, "it is not heard", Some(NOW.plus_ms(external_offline_ms - silent_ms))),
        ),
        (
            Desired::Running,
            Some(ago(external_offline_ms - 1)),
            wait(Status::Degraded, "it is not heard", Some(NOW.plus_ms(1))),
        ),
        (Desired::Running, Some(ago(external_offline_ms)), wait(Status::Offline, "it is not heard", None)),
    ] {
        assert_eq!(external(desired, heard, NOW, &timings), step, "{desired:?} {heard:?}");
    }
}
