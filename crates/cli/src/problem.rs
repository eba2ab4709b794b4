//! The refusal contract as the client reads it (RFC 9457 problem document plus our members).
//!
//! Absent on purpose: a closed enum of codes. A client must survive a code it does not know yet.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the server said when it said no, or could not.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code; empty when the answer was no problem document.
    pub code: String,
    /// One sentence for people.
    pub error: String,
    /// Stable name of the rule that decided.
    pub reason: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// `structural`, `needs_approval`, `transient` or `invalid`.
    pub denied_class: Option<String>,
    /// What to do instead.
    pub next_step: Option<String>,
    /// The audit event that recorded this.
    pub audit_id: Option<Value>,
    /// The workspace it was about.
    pub workspace_id: Option<String>,
    /// The key it was about.
    pub key: Option<String>,
    /// The request, for looking it up in the server's log.
    pub request_id: Option<String>,
    /// Everything else the document carried.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Problem {
    /// Reads an error answer; an answer that is no problem document still becomes a problem.
    #[must_use]
    pub fn parse(status: u16, body: &[u8]) -> Self {
        let mut problem: Self = serde_json::from_slice(body).unwrap_or_default();
        // INVARIANT: the status line is what happened, whatever the body claims.
        problem.status = status;
        if problem.error.is_empty() {
            let title = problem.extra.get("title").and_then(Value::as_str);
            problem.error = title.map_or_else(|| format!("the server answered {status}"), str::to_owned);
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_document_keeps_every_member() {
        let body = br#"{"type":"about:blank","title":"Forbidden","status":403,"code":"CONCIERGE_SELF_WRITE_BLOCKED",
            "error":"no","reason":"concierge_self_write_blocked","retryable":false,"denied_class":"structural",
            "next_step":"ask an operator","audit_id":7,"workspace_id":"w","key":"K","request_id":"r","cause":"fact_unavailable"}"#;
        let problem = Problem::parse(403, body);
        assert_eq!(problem.code, "CONCIERGE_SELF_WRITE_BLOCKED");
        assert_eq!(problem.denied_class.as_deref(), Some("structural"));
        assert_eq!(problem.next_step.as_deref(), Some("ask an operator"));
        assert_eq!(problem.extra["cause"], "fact_unavailable");
    }

    #[test]
    fn an_answer_that_is_no_document_is_still_a_problem() {
        let problem = Problem::parse(502, b"<html>bad gateway</html>");
        assert_eq!((problem.status, problem.error.as_str()), (502, "the server answered 502"));
    }

    #[test]
    fn the_status_line_wins_over_the_body() {
        assert_eq!(Problem::parse(403, br#"{"status":200,"error":"x"}"#).status, 403);
    }
}
