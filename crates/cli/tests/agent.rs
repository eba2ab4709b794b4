//! The built-in agent as a process, against a control plane that follows a script.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod endpoint;
mod scripted;

use std::{os::unix::fs::PermissionsExt, time::Duration};

use aws_lc_rs::digest;
use endpoint::Endpoint;
use portcullis_cli::random;
use scripted::{Agent, Place, Plane, TOKEN, WORKSPACE, until};
use serde_json::{Value, json};

const SECRET: &str = "canary-value-of-this-test";

fn shown(value: &str) -> String {
    format!("set {}", random::encode(&digest::digest(&digest::SHA256, value.as_bytes()).as_ref()[..8]))
}

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // What follows the name; a zombie is not alive.
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

/// The most memory a process ever had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn echo_answers_and_tells_nothing_that_is_secret() {
    let (plane, place) = (Plane::start(), Place::new());
    let context = place.with("context.json", r#"{"reason":"secret_changed"}"#);
    place.with("FILED", SECRET);
    let environment = [
        ("A_KEY", SECRET),
        ("PORTCULLIS_CONTEXT_FILE", context.to_str().unwrap()),
        ("PORTCULLIS_SECRETS_DIR", place.path().to_str().unwrap()),
    ];
    let mut agent = Agent::managed(&plane, &place, &["--echo"], &environment);
    assert_eq!(plane.ask("grüß dich\n", Some("c-1")), Ok("grüß dich\n".into()));
    assert_eq!(plane.ask("/context", None), Ok(r#"{"reason":"secret_changed"}"#.into()));
    assert_eq!(plane.ask("/env A_KEY", None), Ok(shown(SECRET)));
    assert_eq!(plane.ask("/env ANOTHER", None), Ok("unset".into()));
    assert_eq!(plane.ask("/file FILED", None), Ok(shown(SECRET)));
    assert_eq!(plane.ask("/file ../token", None), Ok("/file ../token".into()));
    assert_eq!(plane.ask("/fail", None), Err("told to fail".into()));
    assert_eq!(plane.ask("/sleep 0", None), Ok("slept 0".into()));
    assert!(plane.ask("/sleep 3601", None).is_err());
    let registered = plane.see(|known| known.registered[0].clone());
    assert_eq!((&registered["id"], &registered["capabilities"]["handoff"]), (&WORKSPACE.into(), &true.into()));
    assert_eq!(registered["agent_card"]["skills"][0]["id"], "echo");
    assert!(registered["agent_card"].get("supportedInterfaces").is_none(), "where it is reached is not its to say");
    plane.send("/die", None);
    let log = agent.exits(9);
    for hidden in [SECRET, TOKEN, "grüß"] {
        assert!(!log.contains(hidden), "{log}");
    }
    // Neither an end nor a note: it died.
    assert_eq!(plane.see(|known| (known.ends.len(), known.notes.len())), (9, 0));
}

#[test]
fn echo_obeys_operators_only() {
    let (plane, place) = (Plane::start(), Place::new());
    place.with("FILED", SECRET);
    let environment = [("A_KEY", SECRET), ("PORTCULLIS_SECRETS_DIR", place.path().to_str().unwrap())];
    let _agent = Agent::managed(&plane, &place, &["--echo"], &environment);
    for sender in ["workspace", "system", ""] {
        plane.change(|known| known.sender = sender);
        for text in ["/die", "/sleep 3600", "/fail", "/file FILED", "/env A_KEY", "/context"] {
            assert_eq!(plane.ask(text, None), Ok(text.into()), "{sender}");
        }
    }
    plane.change(|known| known.sender = "operator");
    assert_eq!(plane.ask("/env A_KEY", None), Ok(shown(SECRET)));
}

#[test]
fn a_turn_in_progress_beats_and_an_idle_agent_does_not() {
    let (plane, place) = (Plane::start(), Place::new());
    let _agent = Agent::managed(&plane, &place, &["--echo", "--heartbeat-ms", "20"], &[]);
    assert_eq!(plane.ask("hi", None), Ok("hi".into()));
    let before = plane.see(|known| known.heartbeats.len());
    let id = plane.send("/sleep 3600", None);
    plane.taken(&id);
    until("five heartbeats", || plane.see(|known| known.heartbeats.len() >= before + 5).then_some(()));
    let beat = plane.see(|known| known.heartbeats[before + 4].clone());
    assert_eq!(beat["workspace_id"], WORKSPACE);
    assert_eq!((&beat["active_tasks"], &beat["current_task"]), (&json!(1), &json!(format!("t-{id}"))));
    assert!(plane.see(|known| known.heartbeats.iter().all(|beat| beat["active_tasks"] == 1)));
}

#[test]
fn exec_runs_one_process_a_message_and_lends_it_what_is_the_agents() {
    let (plane, place) = (Plane::start(), Place::new());
    let context = place.with("context.json", "{}");
    let script = "printf '%s|' \"${A_KEY-none}\" \"${PORTCULLIS_TOKEN_FILE-none}\" \"${PORTCULLIS_CONTEXT_FILE-none}\" \
                  \"$PORTCULLIS_TURN_ID\" \"${PORTCULLIS_CONTEXT_ID-none}\"; cat";
    let command = json!(["sh", "-c", script]).to_string();
    let context = context.to_str().unwrap();
    let environment = [("A_KEY", SECRET), ("PORTCULLIS_CONTEXT_FILE", context)];
    let _agent = Agent::managed(&plane, &place, &["--exec-json", &command], &environment);
    assert_eq!(plane.ask("hi\n", Some("c-1")), Ok(format!("{SECRET}|none|{context}|t-m-1|c-1|hi")));
    assert_eq!(plane.ask("ho", None), Ok(format!("{SECRET}|none|{context}|t-m-2|none|ho")));
}

#[test]
fn a_command_line_is_split_but_no_shell_reads_it() {
    let (plane, place) = (Plane::start(), Place::new());
    let _agent = Agent::managed(&plane, &place, &["--exec", "printf '%s,' 'a b' $HOME ;"], &[]);
    assert_eq!(plane.ask("", None), Ok("a b,$HOME,;,".into()));
}

#[test]
fn a_command_that_fails_says_how_without_the_secrets_it_was_given() {
    let (plane, place) = (Plane::start(), Place::new());
    let script = "head -c 5000 /dev/zero | tr '\\0' x >&2; echo; echo \"bad key $A_KEY\" >&2; exit 3";
    let command = json!(["sh", "-c", script]).to_string();
    let agent = Agent::managed(&plane, &place, &["--exec-json", &command], &[("A_KEY", SECRET)]);
    let error = plane.ask("hi", None).unwrap_err();
    assert!(error.starts_with("the command ended with exit code 3: xxx"), "{error}");
    assert!(error.ends_with("xbad key [redacted]"), "{error}");
    assert!(error.len() < 2200, "{}", error.len());
    assert!(agent.log().contains(&"x".repeat(5000)), "its standard error is the log");
}

#[test]
fn a_command_that_is_not_there_fails_the_turn_and_not_the_agent() {
    let (plane, place) = (Plane::start(), Place::new());
    let _agent = Agent::managed(&plane, &place, &["--exec", "no-such-command-anywhere"], &[]);
    for _ in 0..2 {
        assert!(plane.ask("hi", None).unwrap_err().starts_with("the command cannot be started"));
    }
}

#[test]
fn a_flood_is_cut_and_does_not_grow_the_agent() {
    let (plane, place) = (Plane::start(), Place::new());
    let command = json!(["sh", "-c", "yes | head -c 200000000"]).to_string();
    let agent = Agent::managed(&plane, &place, &["--exec-json", &command], &[]);
    let reply = plane.ask("hi", None).unwrap();
    assert!(((1 << 20) - 100..=1 << 20).contains(&reply.len()), "{} bytes", reply.len());
    let (kept, note) = reply.rsplit_once("\n[portcullis: ").unwrap();
    assert_eq!(note, format!("{} more bytes were dropped]", 200_000_000 - kept.len()));
    assert!(peak_kib(agent.pid()) < 100 * 1024, "{} KiB", peak_kib(agent.pid()));
}

#[test]
fn a_command_that_never_reads_is_answered_for_all_the_same() {
    let (plane, place) = (Plane::start(), Place::new());
    let _agent = Agent::managed(&plane, &place, &["--exec", "echo done"], &[]);
    // More than a pipe holds.
    assert_eq!(plane.ask(&"x".repeat(1 << 20), None), Ok("done".into()));
    assert_eq!(plane.ask("again", None), Ok("done".into()));
}

#[test]
fn what_a_command_leaves_behind_ends_with_the_turn() {
    let (plane, place) = (Plane::start(), Place::new());
    let script = format!("sleep 1000 & echo $! > '{}'; echo done", place.file("left").display());
    let command = json!(["sh", "-c", script]).to_string();
    let _agent = Agent::managed(&plane, &place, &["--exec-json", &command], &[]);
    // It holds the pipes open.
    assert_eq!(plane.ask("hi", None), Ok("done".into()));
    let left = std::fs::read_to_string(place.file("left")).unwrap();
    until("the process is gone", || (!is_alive(left.trim())).then_some(()));
}

#[test]
fn stopped_in_a_turn_it_takes_its_command_with_it() {
    let (plane, place) = (Plane::start(), Place::new());
    let script = format!("trap '' TERM; echo $$ > '{}'; while :; do sleep 1; done", place.file("pid").display());
    let command = json!(["sh", "-c", script]).to_string();
    let mut agent = Agent::managed(&plane, &place, &["--exec-json", &command], &[]);
    plane.send("hi", None);
    let pid =
        until("the command runs", || std::fs::read_to_string(place.file("pid")).ok().filter(|pid| pid.ends_with('\n')));
    agent.terminate();
    let log = agent.exits(1);
    assert!(log.contains("stopped in the middle of a turn"), "{log}");
    until("the command is gone", || (!is_alive(pid.trim())).then_some(()));
    assert_eq!(plane.see(|known| known.ends.clone()), []);
}

#[test]
fn a_turn_is_run_to_its_end_while_the_control_plane_is_away() {
    let (mut plane, place) = (Plane::start(), Place::new());
    let (ran, go) = (place.file("ran"), place.file("go"));
    let script = format!(
        "echo x >> '{}'; while ! test -e '{}'; do sleep 0.01; done; cat; echo y >> '{}'",
        ran.display(),
        go.display(),
        ran.display()
    );
    let command = json!(["sh", "-c", script]).to_string();
    let agent = Agent::managed(&plane, &place, &["--exec-json", &command, "--heartbeat-ms", "20"], &[]);
    let id = plane.send("hi", None);
    until("the command runs", || ran.exists().then_some(()));
    plane.go_away();
    until("a heartbeat fails", || agent.log().contains("heartbeat: ").then_some(()));
    place.with("go", "");
    until("the turn has run", || (std::fs::read_to_string(&ran).ok()? == "x\ny\n").then_some(()));
    until("its end is tried", || agent.log().contains("ending the turn: ").then_some(()));
    plane.come_back();
    assert_eq!(plane.outcome(&id), Ok("hi".into()));
    assert_eq!(plane.ask("ho", None), Ok("ho".into()));
    let ends: Vec<_> = plane.see(|known| known.ends.iter().map(|(turn, _)| turn.clone()).collect());
    assert_eq!(ends, ["t-m-1", "t-m-2"], "each end arrives once");
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\ny\nx\ny\n", "each turn ran once");
}

#[test]
fn a_turn_that_comes_again_is_ended_again_and_not_run_again() {
    let (plane, place) = (Plane::start(), Place::new());
    let ran = place.file("ran");
    let command = json!(["sh", "-c", format!("echo x >> '{}'; cat", ran.display())]).to_string();
    let _agent = Agent::managed(&plane, &place, &["--exec-json", &command], &[]);
    plane.change(|known| known.ends_to_forget = 1);
    assert_eq!(plane.ask("hi", None), Ok("hi".into()));
    let ends = plane.see(|known| known.ends.clone());
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0], ends[1]);
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\n");
}

#[test]
fn a_reply_that_is_refused_ends_the_turn_without_it() {
    let (plane, place) = (Plane::start(), Place::new());
    let _agent = Agent::managed(&plane, &place, &["--echo"], &[]);
    plane.change(|known| known.refuses_replies = true);
    assert_eq!(plane.ask("hi", None), Err("the reply was refused: 413 BODY_TOO_LARGE".into()));
}

#[test]
fn draining_it_leaves_a_note_once_takes_no_work_and_ends_when_told() {
    let (plane, place) = (Plane::start(), Place::new());
    let mut agent = Agent::managed(&plane, &place, &["--echo"], &[]);
    assert_eq!(plane.ask("hi", Some("c-1")), Ok("hi".into()));
    assert!(plane.ask("/fail", Some("c-2")).is_err());
    plane.change(|known| known.drain = true);
    let claims = until("a note", || plane.see(|known| (!known.notes.is_empty()).then_some(known.claims)));
    plane.send("not now", None);
    until("it goes on asking", || plane.see(|known| known.claims >= claims + 2).then_some(()));
    agent.terminate();
    agent.exits(0);
    let note = "mind: echo\nturns in this boot: 2, of which 1 failed\nlast contexts, latest first:\n- c-2\n- c-1\n";
    assert_eq!(plane.see(|known| known.notes.clone()), [note]);
    assert_eq!(plane.see(|known| known.messages[2].status), "queued");
}

#[test]
fn a_turn_whose_answer_was_lost_is_run_although_a_drain_has_begun() {
    let (plane, place) = (Plane::start(), Place::new());
    let id = plane.send("hi", None);
    // Handed out to a claim whose answer never arrived.
    plane.change(|known| (known.open, known.drain) = (Some(id.clone()), true));
    let _agent = Agent::managed(&plane, &place, &["--echo"], &[]);
    assert_eq!(plane.outcome(&id), Ok("hi".into()));
    let note = until("a note", || plane.see(|known| known.notes.first().cloned()));
    assert!(note.contains("turns in this boot: 1"), "the note was written after the turn: {note}");
}

#[test]
fn a_drain_that_is_taken_back_is_forgotten() {
    let (plane, place) = (Plane::start(), Place::new());
    let mut agent = Agent::managed(&plane, &place, &["--echo"], &[]);
    plane.change(|known| known.drain = true);
    until("a note", || plane.see(|known| !known.notes.is_empty()).then_some(()));
    plane.change(|known| known.drain = false);
    assert_eq!(plane.ask("hi", None), Ok("hi".into()));
    // Stopped without a drain, it leaves its note all the same.
    agent.terminate();
    agent.exits(0);
    assert_eq!(plane.see(|known| known.notes.len()), 2);
}

#[test]
fn an_agent_that_waits_for_its_control_plane_can_be_stopped() {
    let (mut plane, place) = (Plane::start(), Place::new());
    plane.go_away();
    let mut agent = Agent::managed(&plane, &place, &["--echo"], &[]);
    until("it waits", || agent.log().contains("registering: ").then_some(()));
    agent.terminate();
    agent.exits(0);
}

#[test]
fn a_revoked_boot_ends_also_in_the_middle_of_a_turn() {
    for code in ["CREDENTIAL_REVOKED", "CREDENTIAL_EXPIRED"] {
        for text in [None, Some("/sleep 3600")] {
            let (plane, place) = (Plane::start(), Place::new());
            let mut agent = Agent::managed(&plane, &place, &["--echo", "--heartbeat-ms", "20"], &[]);
            assert_eq!(plane.ask("hi", None), Ok("hi".into()));
            if let Some(text) = text {
                let id = plane.send(text, None);
                plane.taken(&id);
            }
            plane.change(|known| known.unauthorized = Some(code));
            let log = agent.exits(4);
            assert!(log.contains(code), "{log}");
        }
    }
}

#[test]
fn a_token_that_is_not_known_yet_is_tried_again() {
    let (plane, place) = (Plane::start(), Place::new());
    plane.change(|known| known.unauthorized = Some("CREDENTIAL_INVALID"));
    let agent = Agent::managed(&plane, &place, &["--echo"], &[]);
    until("it was refused", || agent.log().contains("registering: 401 CREDENTIAL_INVALID").then_some(()));
    plane.change(|known| known.unauthorized = None);
    assert_eq!(plane.ask("hi", None), Ok("hi".into()));
}

#[test]
fn a_token_that_was_replaced_is_read_again() {
    let (plane, place) = (Plane::start(), Place::new());
    let agent = Agent::managed(&plane, &place, &["--echo"], &[]);
    assert_eq!(plane.ask("hi", None), Ok("hi".into()));
    place.with("token", "another-token\n");
    plane.change(|known| known.token = "another-token".into());
    assert_eq!(plane.ask("ho", None), Ok("ho".into()));
    assert_eq!(plane.ask("ha", None), Ok("ha".into()));
    assert!(!agent.log().contains("another-token"));
}

/// The scripted control plane has no tools to offer; `mcp_agents.rs` has a real one.
fn model(endpoint: &Endpoint) -> Vec<String> {
    let named = ["--model", "m-1", "--base-url", &endpoint.url, "--key-env", "MODEL_KEY", "--instructions", "be brief"];
    named.into_iter().chain(["--no-tools"]).map(str::to_owned).collect()
}

fn as_str(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn a_model_is_told_its_instructions_its_context_and_its_past() {
    let (plane, place, endpoint) = (Plane::start(), Place::new(), Endpoint::start());
    let context = place.with("context.json", r#"{"reason":"secret_changed"}"#);
    let environment = [("MODEL_KEY", SECRET), ("PORTCULLIS_CONTEXT_FILE", context.to_str().unwrap())];
    let mut agent = Agent::managed(&plane, &place, &as_str(&model(&endpoint)), &environment);
    for (text, context, reply) in [("q1", "a", "r1"), ("q2", "b", "r2"), ("q3", "a", SECRET)] {
        endpoint.says(reply);
        assert_eq!(plane.ask(text, Some(context)), Ok(reply.into()));
    }
    let asked = endpoint.asked();
    assert!(asked.iter().all(|(key, _)| *key == format!("Bearer {SECRET}")));
    let said = |body: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        body["messages"].as_array().unwrap().iter().map(|m| (text(&m["role"]), text(&m["content"]))).collect()
    };
    assert_eq!(asked[2].1["model"], "m-1");
    assert!(asked[2].1.get("tools").is_none());
    let last = said(&asked[2].1);
    assert_eq!(last[0], ("system".into(), "be brief".into()));
    assert!(last[1].0 == "system" && last[1].1.contains(r#"{"reason":"secret_changed"}"#), "{last:?}");
    let rest: Vec<_> = last[2..].iter().map(|(role, text)| (role.as_str(), text.as_str())).collect();
    assert_eq!(rest, [("user", "q1"), ("assistant", "r1"), ("user", "q3")]);
    assert_eq!(said(&asked[1].1).len(), 3, "another conversation");
    agent.terminate();
    agent.exits(0);
    let note = plane.see(|known| known.notes[0].clone());
    assert!(note.contains("- they: q1\n- I: r1\n- they: q3\n- I: [redacted]\n"), "{note}");
}

#[test]
fn an_answer_that_comes_in_pieces_is_one_reply() {
    let (plane, place, endpoint) = (Plane::start(), Place::new(), Endpoint::start());
    let _agent = Agent::managed(&plane, &place, &as_str(&model(&endpoint)), &[("MODEL_KEY", SECRET)]);
    let piece = |text: &str| json!({"choices": [{"delta": {"content": text}}]});
    endpoint.answers(200, None, ["The first ", "line.\nAnd ", "the second."].map(piece).to_vec().into());
    assert_eq!(plane.ask("hi", None), Ok("The first line.\nAnd the second.".into()));
    assert_eq!(endpoint.asked()[0].1["stream"], true);
}

#[test]
fn a_model_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let (plane, place, endpoint) = (Plane::start(), Place::new(), Endpoint::start());
    let agent = Agent::managed(&plane, &place, &as_str(&model(&endpoint)), &[("MODEL_KEY", SECRET)]);
    endpoint.answers(429, Some("0"), json!({}));
    endpoint.answers(503, Some("0"), json!({}));
    endpoint.says("at last");
    assert_eq!(plane.ask("hi", None), Ok("at last".into()));
    assert_eq!(endpoint.asked().len(), 3);
    endpoint.answers(401, None, json!({"error": {"message": format!("the key {SECRET} is wrong")}}));
    let error = plane.ask("ho", None).unwrap_err();
    assert_eq!(error, "the model's endpoint answered 401: the key [redacted] is wrong");
    assert_eq!(endpoint.asked().len(), 4);
    for _ in 0..5 {
        endpoint.answers(500, Some("0"), json!({}));
    }
    assert_eq!(plane.ask("ha", None), Err("the model's endpoint answered 500, 5 times".into()));
    endpoint.says("well");
    assert_eq!(plane.ask("hm", None), Ok("well".into()));
    let messages = endpoint.asked().last().unwrap().1["messages"].clone();
    assert_eq!(messages.as_array().unwrap().len(), 4, "what failed is not remembered: {messages}");
    assert!(!agent.log().contains(SECRET));
}

/// Against a real endpoint too, where the environment names one.
#[test]
fn a_model_without_its_key_does_not_start_and_a_real_one_answers() {
    let (plane, place, endpoint) = (Plane::start(), Place::new(), Endpoint::start());
    let mut agent = Agent::managed(&plane, &place, &as_str(&model(&endpoint)), &[]);
    let log = agent.exits(2);
    assert!(log.contains("`MODEL_KEY` is not set"), "{log}");
    #[expect(clippy::disallowed_methods, reason = "which model the tests may ask is not the product's configuration")]
    let named = |name: &str| std::env::var(format!("PORTCULLIS_TEST_MODEL_{name}")).ok();
    let (Some(url), Some(name)) = (named("URL"), named("NAME")) else {
        eprintln!("note: PORTCULLIS_TEST_MODEL_URL and _NAME are not set; no real model was asked");
        return;
    };
    let key = named("KEY").unwrap_or_else(|| "none".into());
    let place = Place::new();
    let arguments = ["--model", &name, "--base-url", &url, "--key-env", "MODEL_KEY", "--no-tools"];
    let _agent = Agent::managed(&plane, &place, &arguments, &[("MODEL_KEY", &key)]);
    let reply = plane.ask("Answer with the one word: portcullis", None).unwrap();
    assert!(reply.to_lowercase().contains("portcullis"), "{reply}");
}

#[test]
fn an_external_agent_enrols_once_and_pulls_again_when_its_bundle_changes() {
    let (plane, place) = (Plane::start(), Place::new());
    plane.change(|known| {
        known.code = Some("one-time-code".into());
        known.bundle = json!({"A_KEY": SECRET});
    });
    let code = place.with("code", "one-time-code\n");
    let script = r#"printf '%s|' "${A_KEY-none}" "${PORTCULLIS_TOKEN-none}"; cat "$PORTCULLIS_CONTEXT_FILE""#;
    let command = json!(["sh", "-c", script]).to_string();
    let arguments = ["--exec-json", &command, "--enrol-code-file", code.to_str().unwrap(), "--heartbeat-ms", "20"];
    let mut agent = Agent::external(&plane, &place, &arguments);
    let context = r#"{"reason":"first start"}"#;
    assert_eq!(plane.ask("hi", None), Ok(format!("{SECRET}|none|{context}")));
    let token = place.file("state/token");
    assert_eq!(std::fs::read_to_string(&token).unwrap(), TOKEN);
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(place.file("state")).unwrap().permissions().mode() & 0o777, 0o700);
    for file in std::fs::read_dir(place.file("state")).unwrap() {
        // The note of the turn goes when its end was heard.
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        assert!(!text.contains(SECRET), "values are held in memory only");
    }
    // The value changes; no restart is needed.
    let pid = agent.pid();
    plane.change(|known| {
        known.bundle = json!({"A_KEY": "another-value"});
        known.bundle_version = "v2".into();
    });
    assert_eq!(plane.ask("ho", None), Ok(format!("another-value|none|{context}")));
    assert_eq!(plane.ask("ha", None), Ok(format!("another-value|none|{context}")));
    assert_eq!((plane.see(|known| known.pulls), agent.pid()), (2, pid));
    until("its lease is renewed", || {
        plane.see(|known| known.heartbeats.iter().any(|b| b["active_tasks"] == 0)).then_some(())
    });
    agent.terminate();
    agent.exits(0);
    // The code is spent; the token is kept.
    let _agent = Agent::external(&plane, &place, &arguments);
    assert_eq!(plane.ask("hi", None), Ok(format!("another-value|none|{context}")));
}

#[test]
fn an_external_agent_that_ended_in_a_turn_does_not_repeat_it() {
    let (plane, place) = (Plane::start(), Place::new());
    plane.change(|known| known.code = Some("one-time-code".into()));
    let (code, ran, noted) = (place.with("code", "one-time-code"), place.file("ran"), place.file("state/turn"));
    let hang = format!("echo x >> '{}'; grep -q hang && exec sleep 1000; echo done", ran.display());
    let command = json!(["sh", "-c", hang]).to_string();
    let arguments = ["--exec-json", &command, "--enrol-code-file", code.to_str().unwrap()];
    let agent = Agent::external(&plane, &place, &arguments);
    assert_eq!(plane.ask("hi", None), Ok("done".into()));
    until("an ended turn is forgotten", || (!noted.exists()).then_some(()));
    let id = plane.send("hang", None);
    until("the turn runs", || (std::fs::read_to_string(&ran).ok()? == "x\nx\n").then_some(()));
    assert_eq!(std::fs::read_to_string(&noted).unwrap(), format!("t-{id}"));
    assert_eq!(std::fs::metadata(&noted).unwrap().permissions().mode() & 0o777, 0o600);
    // Killed, without a last word.
    drop(agent);
    let _agent = Agent::external(&plane, &place, &arguments);
    let restarted = "the agent was restarted in the middle of this turn; it is not repeated";
    assert_eq!(plane.outcome(&id), Err(restarted.into()));
    until("its end was heard", || (!noted.exists()).then_some(()));
    assert_eq!(std::fs::read_to_string(&ran).unwrap(), "x\nx\n", "it ran once");
    assert_eq!(plane.ask("hi", None), Ok("done".into()));
}

#[test]
fn a_code_that_is_spent_says_what_happened() {
    let (mut plane, place) = (Plane::start(), Place::new());
    let code = place.with("code", "wrong-code");
    let arguments = ["--echo", "--enrol-code-file", code.to_str().unwrap()];
    let log = Agent::external(&plane, &place, &arguments).exits(8);
    assert!(log.contains("ask for a new one-time code for this workspace"), "{log}");
    // Killed after the code was sent and before the answer was stored.
    plane.go_away();
    let mut agent = Agent::external(&plane, &place, &arguments);
    until("it has tried", || agent.log().contains("enrolling: ").then_some(()));
    agent.terminate();
    agent.exits(0);
    plane.come_back();
    let log = Agent::external(&plane, &place, &arguments).exits(8);
    assert!(log.contains("an earlier attempt may have used the code"), "{log}");
    assert!(!place.file("state/token").exists());
    // Without any code it says what is missing; for another workspace the directory is not used.
    let log = Agent::external(&plane, &place, &["--echo"]).exits(2);
    assert!(log.contains("this agent is not enrolled"), "{log}");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn the_a2a_socket_passes_everything_on_to_the_control_plane_under_the_agents_own_name() {
    let (mut plane, place) = (Plane::start(), Place::new());
    let _agent = Agent::managed(&plane, &place, &["--echo"], &[]);
    assert_eq!(plane.ask("hi", None), Ok("hi".into()));
    let socket = place.file("a2a.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let client = reqwest::Client::builder().unix_socket(socket).build().unwrap();
    let runtime = runtime();
    let send = |method: &str, path: &str, body: Option<Value>| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = client.request(method, format!("http://localhost{path}"));
        for (name, value) in [
            ("a2a-version", "1.0"),
            ("accept", "application/json"),
            ("x-other", "is not passed on"),
            ("cookie", "nor is this"),
            ("authorization", "Bearer somebody-else"),
        ] {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let (status, id) = (answer.status().as_u16(), answer.headers().contains_key("x-bundle-version"));
            assert!(!id, "only what a caller of A2A needs comes back");
            (status, answer.text().await.unwrap())
        })
    };
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": {"id": "x"}});
    for (method, path, body, arrives, query) in [
        ("POST", "/", Some(&body), "", None),
        ("POST", "/?A2A-Version=1.0", Some(&body), "", Some("A2A-Version=1.0")),
        ("GET", "/.well-known/agent-card.json", None, "/.well-known/agent-card.json", None),
        ("POST", "/message:send", Some(&body), "/message:send", None),
        ("GET", "/tasks?pageSize=1", None, "/tasks", Some("pageSize=1")),
        ("POST", "/tasks/t-1:cancel", None, "/tasks/t-1:cancel", None),
    ] {
        assert_eq!(send(method, path, body.cloned()), (200, r#"{"passed":"on"}"#.to_owned()), "{path}");
        let seen = plane.see(|known| known.a2a.last().unwrap().clone());
        let wanted = json!({
            "method": method, "path": arrives, "query": query, "body": body, "version": "1.0",
            "accept": "application/json", "other": null, "cookie": null,
        });
        assert_eq!(seen, wanted, "{path}");
    }
    // A refusal comes back as it is.
    let (status, text) = send("GET", "/tasks/none", None);
    assert_eq!((status, text.contains("NOT_FOUND")), (404, true), "{text}");
    let count = plane.see(|known| known.a2a.len());
    for path in ["/..%2fsecrets", "/x%2Fy", "/x%00"] {
        assert_eq!(send("GET", path, None).0, 404, "{path}");
    }
    let (status, _) = send("POST", "/", Some(json!("x".repeat(2 << 20))));
    assert_eq!(status, 413);
    assert_eq!(plane.see(|known| known.a2a.len()), count, "nothing of this was passed on");
    plane.go_away();
    assert_eq!(send("POST", "/", Some(body.clone())).0, 502);
    plane.come_back();
    // A token that was replaced under the agent is used.
    let file = place.file("token");
    plane.change(|known| known.token = "another-token".into());
    std::fs::write(&file, "another-token").unwrap();
    assert_eq!(send("POST", "/", Some(body)).0, 200);
}

#[test]
fn on_a_port_only_the_agents_own_token_opens() {
    let (plane, place) = (Plane::start(), Place::new());
    let agent = Agent::managed(&plane, &place, &["--echo", "--listen", "127.0.0.1:0"], &[]);
    let url = until("the address", || {
        agent.log().lines().find_map(|line| line.strip_prefix("agent: A2A at ").map(str::to_owned))
    });
    runtime().block_on(async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let send = async |bearer: Option<&str>| {
            let request = client.post(&url).header("content-type", "application/json").body("{}");
            let request = bearer.into_iter().fold(request, |request, bearer| request.bearer_auth(bearer));
            request.send().await.unwrap().status().as_u16()
        };
        for bearer in [None, Some("wrong"), Some("")] {
            assert_eq!(send(bearer).await, 401, "{bearer:?}");
        }
        assert_eq!(plane.see(|known| known.a2a.len()), 0);
        assert_eq!(send(Some(TOKEN)).await, 200);
        assert_eq!(plane.see(|known| known.a2a.len()), 1);
    });
    let log = Agent::managed(&plane, &place, &["--echo", "--listen", "0.0.0.0:0"], &[]).exits(2);
    assert!(log.contains("an address of this machine only"), "{log}");
}

#[test]
fn an_agent_that_was_told_too_little_says_what_is_missing() {
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let output = command.env_clear().env("HOME", place.path()).arg("agent").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (arguments, word) in [
        (&[][..], "--echo"),
        (&["--echo", "--exec", "cat"], "cannot be used"),
        (&["--model", "m"], "--base-url"),
        (&["--echo"], "PORTCULLIS_URL"),
        (&["--echo", "--url", "http://127.0.0.1:1"], "WORKSPACE_ID"),
        (&["--echo", "--url", "http://127.0.0.1:1", "--token-file", "t"], "PORTCULLIS_TOKEN_FILE"),
        (&["--exec", "'", "--url", "http://127.0.0.1:1"], "quote"),
        (&["--exec-json", "[]", "--url", "http://127.0.0.1:1"], "empty"),
        (&["--echo", "--url", "http://example.org", "--workspace", "w", "--state", "s"], "plain HTTP"),
    ] {
        let (code, err) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {err}");
        assert!(err.contains(word), "{arguments:?}: {err}");
    }
}
