//! A server of a few lines that answers from a table: enough to see the runner pass, and fail.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::client::parse_base;
use crate::hidden::Hidden;

const ROOT: &str = r#"{"id":"r","name":"root","kind":"platform","status":"online","desired_generation":1}"#;

/// Answers by method and path, one request a connection.
async fn serve(secret_answer: fn(&str) -> (u16, String)) -> reqwest::Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = parse_base(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            let mut chunk = [0; 4096];
            loop {
                let length = stream.read(&mut chunk).await.unwrap();
                request.extend_from_slice(&chunk[..length]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                    break;
                }
            }
            let text = String::from_utf8(request).unwrap();
            let line = text.split(" HTTP/").next().unwrap();
            let (status, body) = match line {
                "POST /auth/login" => (200, r#"{"csrf_token":"c","operator":{"id":"o","role":"owner"}}"#.to_owned()),
                "POST /auth/step-up" => (200, "{}".to_owned()),
                "GET /workspaces" => (200, format!("[{ROOT}]")),
                "GET /workspaces/r" => (200, ROOT.to_owned()),
                "GET /approvals/pending" => (200, "[]".to_owned()),
                "GET /org/tokens" => (200, r#"{"tokens":[],"count":0}"#.to_owned()),
                "POST /workspaces/r/secrets" => secret_answer(text.split_once("\r\n\r\n").unwrap().1),
                line if line.starts_with("GET /audit") => (200, r#"{"events":[],"next_after":null}"#.to_owned()),
                _ => (404, r#"{"code":"ROUTE_NOT_FOUND","error":"there is no such route"}"#.to_owned()),
            };
            let answer = format!(
                "HTTP/1.1 {status} X\r\nset-cookie: portcullis=s3ss10n; HttpOnly\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    base
}

async fn report(scenario: &str, secret_answer: fn(&str) -> (u16, String)) -> Report {
    let base = serve(secret_answer).await;
    let admin = Hidden::new("adm1n-t0ken".into());
    let password = Hidden::new("p".into());
    let target = Target::connect(&base, admin, "o@x", password, Duration::from_secs(60)).await;
    run_scenario(&Scenario::parse(scenario).unwrap(), &target.unwrap_or_else(|error| panic!("{error}"))).await
}

const TWO_STEPS: &str = r#"
[scenario]
id = "two"
title = "t"
story = "s"

[[actor]]
name = "admin"
kind = "admin-token"

[[step]]
as = "admin"
say = "writes a secret on itself"
request = "POST /workspaces/{root}/secrets"
json = { key = "K_{UNIQUE}", value = "{canary}" }
expect = { status = 403, code = "CONCIERGE_SELF_WRITE_BLOCKED", json = { key = "K_{UNIQUE}" } }

[[step]]
as = "admin"
say = "looks for a route"
request = "GET /nowhere"
expect = { status = 200 }

[[check]]
kind = "workspace"
say = "the root is unchanged"
workspace = "root"
unchanged = ["status"]

[[check]]
kind = "audit"
say = "the refusal is in the log"
query = { key = "K_{UNIQUE}" }
"#;

fn refuses(body: &str) -> (u16, String) {
    let key = serde_json::from_str::<Value>(body).unwrap()["key"].clone();
    (403, serde_json::json!({ "code": "CONCIERGE_SELF_WRITE_BLOCKED", "error": "no", "key": key }).to_string())
}

#[tokio::test]
async fn an_expectation_that_does_not_hold_fails_the_scenario() {
    let report = report(TWO_STEPS, refuses).await;
    assert_eq!(report.fault, None);
    let failures: Vec<_> = report.outcomes.iter().map(|outcome| outcome.failures.as_slice()).collect();
    assert_eq!(
        failures,
        [
            &[][..],
            &["status should be 200, is 404".to_owned()],
            &[],
            &["1 should match, 0 do (0 looked at)".to_owned()],
        ]
    );
    assert!(!report.passed());
    assert_eq!(report.outcomes[1].code.as_deref(), Some("ROUTE_NOT_FOUND"));
}

#[tokio::test]
async fn a_scenario_whose_expectations_hold_passes() {
    let (one_step, _) = TWO_STEPS.split_once("[[step]]\nas = \"admin\"\nsay = \"looks").unwrap();
    let report = report(one_step, refuses).await;
    assert!(report.passed(), "{report:?}");
}

#[tokio::test]
async fn an_answer_that_shows_a_value_fails_the_step_and_is_not_repeated() {
    let report = report(TWO_STEPS, |body| {
        let body: Value = serde_json::from_str(body).unwrap();
        let error = format!("`{}` is not allowed", body["value"].as_str().unwrap());
        (
            403,
            serde_json::json!({ "code": "CONCIERGE_SELF_WRITE_BLOCKED", "error": error, "key": body["key"] })
                .to_string(),
        )
    })
    .await;
    assert_eq!(report.outcomes[0].failures, ["the answer shows a secret value"]);
    assert!(!report.to_json().to_string().contains("canary-"), "{report:?}");
}

#[tokio::test]
async fn an_answer_that_shows_a_credential_fails_the_step() {
    let report =
        report(TWO_STEPS, |_| (403, r#"{"code":"CONCIERGE_SELF_WRITE_BLOCKED","note":"adm1n-t0ken"}"#.into())).await;
    assert!(report.outcomes[0].failures.contains(&"the answer shows a credential".to_owned()), "{report:?}");
}

#[test]
fn a_value_is_seen_through_its_encodings() {
    let value = "canary-0123456789abcdef";
    let base64 = base64::engine::general_purpose::STANDARD.encode(value);
    for text in [value.to_owned(), random::encode(value.as_bytes()).to_uppercase(), base64] {
        assert!(shows(&format!("x{text}y"), value), "{text}");
    }
    assert!(!shows("canary-of another run", value));
}
