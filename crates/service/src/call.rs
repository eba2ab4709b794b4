//! One call: what came in, who it is from, and how an answer is put into words.

use std::{convert::Infallible, net::IpAddr};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures_util::Stream;
use portcullis_authority::{Answer, Caller, Done, Meta, Plan, Refusal, Waiting};
use portcullis_kernel::refusal::Code;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::app::App;

/// A request after it was authenticated.
pub(crate) struct Call {
    pub(crate) app: App,
    pub(crate) caller: Option<Caller>,
    pub(crate) path: Vec<(String, String)>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) meta: Meta,
    pub(crate) peer: IpAddr,
}

impl Call {
    /// Who calls. The router refuses a call without one before a handler sees it.
    pub(crate) fn caller(&self) -> Result<&Caller, Refusal> {
        self.caller.as_ref().ok_or_else(|| Refusal::new(Code::Unauthenticated))
    }

    /// A path parameter, parsed.
    pub(crate) fn path<T: std::str::FromStr>(&self, name: &str) -> Result<T, Refusal> {
        let text = self.path.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_str()).unwrap_or_default();
        text.parse().map_err(|_| Refusal::because(Code::InvalidRequest, format!("`{name}` in the path is malformed")))
    }

    /// A query parameter. The router refuses one that comes twice.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// A query parameter, parsed.
    pub(crate) fn query_as<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let malformed = || Refusal::because(Code::InvalidRequest, format!("query parameter `{name}` is malformed"));
        self.query(name).map(|text| text.parse().map_err(|_| malformed())).transpose()
    }

    /// Refuses query parameters the route does not know: a misspelt one must not be ignored.
    pub(crate) fn only_query(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.query.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some(_) if known.is_empty() => {
                Err(Refusal::because(Code::InvalidRequest, "this route takes no query parameter"))
            }
            Some(_) => Err(Refusal::because(
                Code::InvalidRequest,
                format!("unknown query parameter; known: {}", known.join(", ")),
            )),
            None => Ok(()),
        }
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let malformed = |_| Refusal::because(Code::InvalidRequest, format!("header `{name}` is malformed"));
        self.headers.get(name).map(|value| value.to_str().map_err(malformed)).transpose()
    }

    /// The body, strictly.
    pub(crate) fn input<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let content_type =
            self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::new(Code::UnsupportedMediaType));
        }
        crate::json::read(&self.body)
    }

    /// The body where one may be left out.
    pub(crate) fn input_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, Refusal> {
        if self.body.is_empty() { Ok(T::default()) } else { self.input() }
    }

    /// Refuses a body where none is read: what is ignored cannot be meant.
    pub(crate) fn no_body(&self) -> Result<(), Refusal> {
        self.input_or_default::<Nothing>().map(|Nothing {}| ())
    }
}

/// An empty object.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Whether the method changes something: what needs a CSRF token and may carry an idempotency key.
pub(crate) fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl serde::Serialize) -> Result<Response, Refusal> {
    let text = serde_json::to_vec(body).map_err(|error| Refusal::new(Code::Internal).internal(error))?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A stream of server-sent events, which nobody on the way may hold back.
pub(crate) fn event_stream(events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static) -> Response {
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A 200 with JSON.
pub(crate) fn ok(body: &impl serde::Serialize) -> Result<Response, Refusal> {
    json(StatusCode::OK, body)
}

/// Puts the answer of the door into words: done, held or plan. `words` gives status and body of the first; the audit id
/// and the consequences are added.
pub(crate) fn answered<T>(
    answer: Answer<T>,
    words: impl FnOnce(T) -> (StatusCode, Value),
) -> Result<Response, Refusal> {
    match answer {
        Answer::Done(Done { value, audit_id, consequences, replayed }) => {
            let (status, mut body) = words(value);
            if let Value::Object(members) = &mut body {
                members.insert("audit_id".into(), audit_id.into());
                members.insert("consequences".into(), json!(consequences));
            }
            let mut response = json(status, &body)?;
            if replayed {
                response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
            }
            Ok(response)
        }
        Answer::Held(waiting) => held(&waiting),
        Answer::Plan(plan) => planned(*plan),
    }
}

fn held(waiting: &Waiting) -> Result<Response, Refusal> {
    json(
        StatusCode::ACCEPTED,
        &json!({
            "status": "pending_approval",
            "approval_id": waiting.approval,
            "action": waiting.action,
            "reason": waiting.reason,
            "status_url": format!("/approvals/{}", waiting.approval),
            "expires_at": portcullis_authority::clock::rfc3339(waiting.expires_at),
            "audit_id": waiting.audit_id,
        }),
    )
}

/// A refusal from before the door, in the words of a plan.
pub(crate) fn denied(refusal: Refusal) -> Value {
    let rule = refusal.rule.clone().unwrap_or_default();
    let (consequences, impact) = (Vec::new(), Vec::new());
    words(Plan { decision: "deny", rule, refusal: Some(refusal), requirements: None, consequences, impact })
}

/// What would happen.
pub(crate) fn planned(plan: Plan) -> Result<Response, Refusal> {
    ok(&words(plan))
}

fn words(plan: Plan) -> Value {
    let mut body = Map::new();
    body.insert("dry_run".into(), true.into());
    body.insert("decision".into(), plan.decision.into());
    body.insert("rule".into(), plan.rule.into());
    body.insert("consequences".into(), json!(plan.consequences));
    body.insert("impact".into(), json!(plan.impact));
    if let Some(requirements) = plan.requirements {
        let votes = requirements.votes.iter().map(|(who, count)| json!({"who": who, "count": count}));
        body.insert("requirements".into(), votes.collect());
        body.insert("checklist".into(), json!(requirements.checklist));
    }
    if let Some(refusal) = plan.refusal {
        body.insert("refusal".into(), crate::problem::body(&refusal, ""));
        body.insert("code".into(), refusal.code.as_str().into());
        body.insert("error".into(), refusal.code.error().into());
        body.insert("next_step".into(), refusal.next_step.as_deref().unwrap_or(refusal.code.next_step()).into());
    }
    Value::Object(body)
}
