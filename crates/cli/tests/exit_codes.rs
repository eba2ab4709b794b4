//! The binary against a server of one answer: what a script sees of a refusal.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

const VALUE: &str = "canary-value-of-this-test";
const TOKEN: &str = "canary-token-of-this-test";

/// Runs the binary against a server that gives this answer to everything, and returns the requests it saw.
fn run(arguments: &[&str], status: u16, answer: &'static str) -> (Output, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // A client that says nothing fails the test, and does not hang it.
        stream.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        while !is_whole(&request) {
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "the client left before it had said everything");
            request.extend_from_slice(&piece[..read]);
        }
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .env_clear()
        .env("HOME", std::env::temp_dir().join("portcullis-no-home"))
        .env("PORTCULLIS_TOKEN", TOKEN)
        .env("PORTCULLIS_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{VALUE}\n").as_bytes()).unwrap();
    (child.wait_with_output().unwrap(), server.join().unwrap())
}

/// Whether a request is there to the end that its head announces.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

const SET: [&str; 5] = ["secret", "set", "K", "--workspace", "018f3c2e-0000-7000-8000-000000000001"];

#[test]
fn a_script_learns_from_the_exit_code_why_not() {
    for (status, answer, exit) in [
        (200, r#"{"status":"saved","key":"K","version":1}"#, 0),
        (202, r#"{"status":"pending_approval","approval_id":"a-1"}"#, 3),
        (403, r#"{"code":"CONCIERGE_SELF_WRITE_BLOCKED","error":"no","denied_class":"structural"}"#, 4),
        (422, r#"{"code":"KEY_INVALID","error":"no","denied_class":"invalid"}"#, 6),
        (503, r#"{"code":"BUSY","error":"no","denied_class":"transient"}"#, 7),
        (401, r#"{"code":"CREDENTIAL_REVOKED","error":"no"}"#, 8),
        (404, r#"{"code":"NOT_FOUND","error":"no"}"#, 9),
        (500, "", 1),
    ] {
        let (output, request) = run(&SET, status, answer);
        assert_eq!(output.status.code(), Some(exit), "{status} {answer}: {output:?}");
        assert!(request.contains(&format!(r#""value":"{VALUE}""#)), "{request}");
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!shown.contains(VALUE) && !shown.contains(TOKEN), "{shown}");
    }
}

#[test]
fn held_is_not_shown_as_saved() {
    let (output, _) = run(&SET, 202, r#"{"status":"pending_approval","approval_id":"a-1"}"#);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown, "held: approval a-1 is pending; nothing has changed\n");
}

#[test]
fn a_dry_run_that_the_server_ignored_is_not_reported_as_one() {
    let arguments: Vec<&str> = SET.into_iter().chain(["--dry-run"]).collect();
    let (output, request) = run(&arguments, 200, r#"{"status":"saved","key":"K","version":1}"#);
    assert!(request.contains("?dry_run=true"), "{request}");
    assert_eq!(output.status.code(), Some(1));
    let (output, _) = run(&arguments, 200, r#"{"dry_run":true,"decision":"hold"}"#);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_minted_token_goes_into_the_pipe_and_a_held_one_nowhere() {
    let (output, _) = run(&["token", "mint", "ci"], 200, r#"{"id":"t","auth_token":"minted-now"}"#);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "minted-now\n");
    let (output, _) = run(&["token", "mint", "ci"], 202, r#"{"status":"pending_approval","approval_id":"a-1"}"#);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn errors_are_json_on_stderr_when_asked() {
    let arguments: Vec<&str> = SET.into_iter().chain(["--json"]).collect();
    let (output, _) = run(&arguments, 403, r#"{"code":"X","error":"no","denied_class":"structural"}"#);
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains(r#""code":"X""#));
}
