//! Schemas of tools: made from the schemas of their routes, so that the two cannot say different things.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::tool::{Arg, Runs, To, Tool};
use crate::operation::Operation;

/// A generator that writes everything in place: clients need not follow references.
fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.into_generator()
}

fn object(schema: Schema) -> Map<String, Value> {
    match schema.to_value() {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// The schema of a tool's arguments.
pub(super) fn input(tool: &Tool, operation: &Operation) -> Arc<JsonObject> {
    let body = operation.input.map(|schema| object(schema(&mut generator()))).unwrap_or_default();
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for arg in tool.args {
        properties.insert(arg.name.to_owned(), property(arg, &body));
        if is_required(arg, &body) {
            required.push(arg.name);
        }
    }
    if tool.runs == Runs::Plan {
        let plan =
            [("tool", "string", "The tool's name."), ("arguments", "object", "The arguments you would give it.")];
        for (name, kind, about) in plan {
            properties.insert(name.to_owned(), json!({"type": kind, "description": about}));
            required.push(name);
        }
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema.insert("additionalProperties".into(), false.into());
    Arc::new(schema)
}

/// The member of the body an argument becomes.
pub(super) fn member(arg: &Arg) -> Option<&'static str> {
    match arg.to {
        To::Body | To::BodyOr(_) => Some(arg.name),
        To::As(name) => Some(name),
        To::Path(_) | To::Home(_) | To::Query(_) | To::Key | To::Wait(..) => None,
    }
}

fn is_required(arg: &Arg, body: &Map<String, Value>) -> bool {
    let needed = |name: &str| {
        body.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|known| known == name))
    };
    match arg.to {
        To::Path(_) => true,
        To::Body => needed(arg.name),
        To::As(name) => needed(name),
        To::Home(_) | To::BodyOr(_) | To::Query(_) | To::Key | To::Wait(..) => false,
    }
}

fn property(arg: &Arg, body: &Map<String, Value>) -> Value {
    let mut property = match arg.to {
        To::Path(_) if arg.name == "key" => json!({"type": "string"}),
        To::Path(_) | To::Home(_) => json!({"type": "string", "format": "uuid"}),
        To::Query("limit") => json!({"type": "integer", "minimum": 1, "maximum": 200}),
        To::Query(_) | To::Key => json!({"type": "string"}),
        To::Wait(default, max) => json!({"type": "integer", "minimum": 0, "maximum": max, "default": default}),
        To::Body | To::As(_) | To::BodyOr(_) => {
            let known = member(arg).and_then(|name| body.get("properties")?.get(name));
            without_null(known.cloned().unwrap_or_else(|| json!({"type": "string"})))
        }
    };
    if let (Value::Object(members), false) = (&mut property, arg.about.is_empty()) {
        members.insert("description".into(), arg.about.into());
    }
    property
}

/// An argument is left out rather than null; clients and models then see one type.
fn without_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        choices.retain(|choice| choice["type"] != "null");
        if let [only] = choices.as_slice() {
            let mut only = only.clone();
            if let (Some(about), None) = (schema.get("description"), only.get("description")) {
                only["description"] = about.clone();
            }
            return only;
        }
    }
    schema
}

/// The schema of a tool's structured content: what is done or held, or the refusal. Strict clients hold errors to it too.
pub(super) fn output(tool: &Tool, operation: &Operation) -> Arc<JsonObject> {
    let refusal = json!({
        "type": "object",
        "description": "a refusal; `isError` is true",
        "properties": {
            "code": {"type": "string", "description": "stable; see the resource portcullis://refusals"},
            "error": {"type": "string"},
            "reason": {"type": "string"},
            "retryable": {"type": "boolean"},
            "denied_class": {"type": "string"},
            "next_step": {"type": "string", "description": "what to do now"},
        },
        "required": ["code", "error", "retryable", "next_step"],
    });
    let schema = json!({"type": "object", "anyOf": [answer(tool, operation), refusal]});
    match schema {
        Value::Object(members) => Arc::new(members),
        _ => Arc::default(),
    }
}

/// What is not a refusal. Every result of a change has a `status`; what else it has depends on it.
fn answer(tool: &Tool, operation: &Operation) -> Value {
    let described = operation.output.map(|schema| object(schema(&mut generator())));
    match (tool.runs, tool.list, described) {
        (Runs::Route, Some(list), Some(items)) => {
            let mut properties = Map::new();
            properties.insert(list.to_owned(), items.into());
            json!({"type": "object", "properties": properties, "required": [list]})
        }
        (Runs::Route, None, Some(whole)) if !tool.does.is_decided() => whole.into(),
        (Runs::Plan, _, _) => json!({
            "type": "object",
            "properties": {
                "decision": {"type": "string", "description": "`allow`, `hold` or `deny`"},
                "rule": {"type": ["string", "null"], "description": "the rule that decides"},
                "consequences": {"type": "array", "description": "what it would cause"},
                "impact": {"type": "array", "description": "the agents it would touch, as they are now"},
                "code": {"type": "string", "description": "the code of the refusal"},
                "next_step": {"type": "string", "description": "what to do instead"},
            },
            "required": ["decision"],
        }),
        (Runs::Delegate, _, _) => json!({
            "type": "object",
            "properties": {
                "task_id": {"type": "string", "format": "uuid"},
                "approval_id": {"type": "string", "format": "uuid", "description": "the request that waits for a human"},
                "status": {"type": "string", "description": "`completed`, `failed`, `cancelled`; `queued` or `delivered` when the wait was over first"},
                "reply": {"type": ["string", "null"]},
                "error": {"type": ["string", "null"]},
            },
            "required": ["status"],
        }),
        _ => json!({
            "type": "object",
            "properties": {
                "status": {"type": "string", "description": "`pending_approval`: nothing has changed yet; any other word: done"},
                "message": {"type": "string", "description": "what that means"},
                "approval_id": {"type": "string", "format": "uuid", "description": "the request that waits"},
                "audit_id": {"type": "integer", "description": "position in the audit log"},
                "consequences": {"type": "array", "description": "what it causes"},
            },
            "required": ["status"],
        }),
    }
}
