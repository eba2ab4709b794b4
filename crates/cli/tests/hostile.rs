//! Agents that ignore signals, fork away, leak their pipes, flood, crash at once, eat memory or never come up: each ends
//! where it should, with a reason; nothing of it is left, and the server does not grow with it.

mod kit;

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use kit::{
    fleet::{Fleet, command, exec, list, text},
    want,
};
use portcullis_authority::testkit_db::TestDb;
use reqwest::Method;
use serde_json::{Value, json};

/// One after the other: agents of two servers on one machine may have the same user, and what runs under it is swept.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
/// What the server may have at most, in KiB.
const SERVER_KIB_MAX: u64 = 100 << 10;
/// Two files of 4 MiB, and the records beside them.
const LOG_BYTES_MAX: u64 = 9 << 20;
const FLOOD_BYTES: u64 = 100_000_000;

fn size(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.metadata().map_or(0, |about| about.len())).sum()
}

fn log(fleet: &Fleet, id: &str, boot: &str) -> String {
    text(&fleet.get(&format!("/workspaces/{id}/logs?boot_id={boot}&tail=20")), "text")
}

/// Removes them all and sees that nothing is left.
fn remove(fleet: &Fleet, ids: &[&str]) {
    let boots = ids.iter().map(|id| fleet.runs(id).iter().map(|run| text(run, "boot_id")).collect::<Vec<_>>());
    let boots: Vec<_> = boots.collect();
    for id in ids {
        want(200, fleet.ask_as(fleet.owner(), Method::DELETE, &format!("/workspaces/{id}"), None));
    }
    for (id, boots) in ids.iter().zip(&boots) {
        fleet.gone(id, boots);
    }
    fleet.until("not even what hid itself is left", || fleet.processes().is_empty().then_some(()));
}

fn with(mut runtime: Value, limits: Value) -> Value {
    runtime["limits"] = limits;
    runtime
}

#[test]
fn what_does_not_come_up_is_tried_a_few_times_and_then_failed_with_a_reason() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let fleet = Fleet::new(TestDb::sqlite(), "grace_s = 1\nprovision_s = 10\ncrashes = 3\ncrash_window_s = 600\n");
    let mark = || fleet.mark();
    let forks = format!(
        "trap '' TERM HUP INT; (env -i setsid sleep {} &); cd /; env -i setsid /bin/sh -c 'trap \"\" TERM; sleep {}' & \
         while :; do sleep {}; done",
        mark(),
        mark(),
        mark()
    );
    let leaks = format!("setsid sleep {} & sleep {} & echo last words; exit 3", mark(), mark());
    let flood = format!("head -c {FLOOD_BYTES} /dev/zero | tr '\\0' x; exit 3");
    let eats = "x=0123456789abcdef; while :; do x=$x$x; done";
    let missing = json!({"kind": "process", "agent": {"mind": "command", "command": ["/no/such/program", "at all"]}});
    // Name, runtime, the causes that its ends may have, and how many there are.
    let hostile: [(&str, Value, &[&str], usize); 7] = [
        ("forks and hears no signal", command(&forks), &["never_registered"], 3),
        ("leaks its pipes and ends", command(&leaks), &["exited"], 3),
        ("closes its pipes and ends", command("exec >&- 2>&- <&-; exit 3"), &["exited"], 3),
        ("floods and ends", command(&flood), &["exited", "never_registered"], 3),
        ("eats memory", with(command(eats), json!({"memory_mb": 64})), &["exited", "out_of_memory"], 3),
        ("never registers", command(&format!("exec sleep {}", mark())), &["never_registered"], 3),
        ("is not there", missing, &["start_failed"], 1),
    ];
    let ids = hostile.each_ref().map(|(name, runtime, ..)| fleet.create(name, runtime.clone(), None));
    for ((name, _, causes, count), id) in hostile.iter().zip(&ids) {
        let now = fleet.shown(id, "failed");
        let runs = fleet.runs(id);
        assert_eq!(runs.len(), *count, "{name}: {runs:?}");
        for run in &runs {
            let cause = text(run, "cause");
            assert!(
                causes.contains(&cause.as_str()) && run["crash"] == true && run["state"] == "ended",
                "{name}: {run}"
            );
            let exited_by_itself = cause == "exited" && *name != "eats memory";
            assert!(!exited_by_itself || run["exit_code"] == 3, "{name}: {run}");
            let boot = text(run, "boot_id");
            assert!(size(&fleet.dir.join(id).join("runs").join(boot)) < LOG_BYTES_MAX, "{name}");
        }
        let reason = text(&now, "status_reason");
        if *name == "is not there" {
            assert!(reason.contains("/no/such/program") && reason.contains("No such file"), "{reason}");
        } else {
            assert!(reason.contains("3 times"), "{name}: {reason}");
        }
        let left = fleet.processes_of(id);
        assert!(left.is_empty(), "{name}: {left:?}");
    }
    let left = fleet.processes();
    assert!(left.is_empty(), "{left:?}");
    let leaking = &ids[1];
    let boot = text(fleet.runs(leaking).last().unwrap(), "boot_id");
    assert_eq!(log(&fleet, leaking, &boot), "last words\n");
    let memory = fleet.server_memory_kib();
    assert!(memory < SERVER_KIB_MAX, "{memory} KiB");

    // A change is a reason to try again, and a program that is there now is found.
    fleet.set(leaking, "KEY", "a reason to try again");
    fleet.until("it is tried again", || (fleet.runs(leaking).len() > 3).then_some(()));
    want(
        200,
        fleet.ask_as(
            fleet.owner(),
            Method::PATCH,
            &format!("/workspaces/{}", ids[6]),
            Some(json!({"runtime": "process"})),
        ),
    );
    fleet.until("its agent is up", || (fleet.runs(&ids[6]).last().unwrap()["reason"] == "crash").then_some(()));
    remove(&fleet, &ids.each_ref().map(String::as_str));
}

#[test]
fn what_works_and_misbehaves_is_bounded_stopped_and_swept() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let fleet = Fleet::new(TestDb::sqlite(), "grace_s = 1\n");
    let marks = [fleet.mark(), fleet.mark(), fleet.mark()];
    let script = format!(
        "read -r what; case $what in \
         daemons) cd /; setsid sleep {} & env -i setsid sleep {} & (env -i setsid /bin/sh -c 'trap \"\" TERM; sleep {}' &);; \
         flood) head -c {FLOOD_BYTES} /dev/zero | tr '\\0' x;; \
         complain) head -c {FLOOD_BYTES} /dev/zero | tr '\\0' 'x' | fold -w 99 >&2; echo complained;; \
         stubborn) trap '' TERM INT HUP; while :; do sleep 0.1; done;; esac",
        marks[0], marks[1], marks[2]
    );
    let id = fleet.create("misbehaves", exec(&script), None);
    fleet.settled(&id);
    let hidden = || {
        let all = fleet.processes();
        // The script that names them is not one of them.
        marks.iter().filter(|mark| all.iter().any(|(_, command)| *command == format!("sleep {mark} "))).count()
    };

    // A command that leaves daemons behind answers all the same; they end with the run.
    assert_eq!(fleet.ask(&id, "daemons\n"), "");
    fleet.until("its daemons run", || (hidden() == 3).then_some(()));
    let boot = fleet.boot(&id);
    fleet.post(&format!("/workspaces/{id}/restart"), None, 200);
    fleet.settled(&id);
    assert_ne!(fleet.boot(&id), boot);
    assert_eq!(hidden(), 0);

    let flooded = fleet.ask(&id, "flood\n");
    assert!(flooded.len() < 2 << 20, "{} bytes", flooded.len());
    assert!(flooded.ends_with("more bytes were dropped]"), "{}", &flooded[flooded.len() - 100..]);
    assert_eq!(fleet.ask(&id, "complain\n"), "complained");
    let boot = fleet.boot(&id);
    let kept = size(&fleet.dir.join(&id).join("runs").join(&boot));
    assert!((1 << 20..LOG_BYTES_MAX).contains(&kept), "{kept} bytes");
    assert!(fleet.log().len() < 2 << 20, "the server's own log grew with it");

    // In a turn that hears no signal: a human's word ends it, and so does a removal.
    let stubborn = fleet.send(&id, "stubborn\n");
    fleet.taken(&id, &stubborn);
    fleet.post(&format!("/workspaces/{id}/force-stop"), Some(json!({"reason": "it hears nothing"})), 200);
    assert_eq!(fleet.outcome(&id, &stubborn)["status"], "failed");
    fleet.settled(&id);
    assert_eq!(fleet.runs(&id).iter().filter(|run| run["cause"] == "forced").count(), 1);
    fleet.ask(&id, "daemons\n");
    let stubborn = fleet.send(&id, "stubborn\n");
    fleet.taken(&id, &stubborn);
    remove(&fleet, &[&id]);
    let ends = fleet.audit(&format!("event=run.end&workspace_id={id}"));
    assert_eq!(ends.last().unwrap()["detail"]["cause"], "remove", "{ends:?}");
    let memory = fleet.server_memory_kib();
    assert!(memory < SERVER_KIB_MAX, "{memory} KiB");
    assert_eq!(list(&fleet.get("/workspaces")).len(), 1, "only the root is left");
}
