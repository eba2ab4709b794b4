//! The OpenAPI 3.1 document, generated from the registry.

use std::collections::BTreeMap;

use portcullis_kernel::refusal::Code;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::operation::{Auth, Operation};

/// The document for these operations.
pub(crate) fn document(operations: &[Operation], version: &str) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = SchemaGenerator::new(settings);
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let entry = describe(operation, &mut generator);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(operation.method.as_str().to_ascii_lowercase(), entry);
        }
    }
    let mut schemas = generator.take_definitions(true);
    schemas.extend(common().map(|(name, schema)| (name.to_owned(), schema)));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Portcullis",
            "version": version,
            "description": "A gate that fails closed, for organisations of AI agents. Refusals are RFC 9457 problem documents with a stable `code`.",
            "license": {"name": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-portcullis"},
            },
            "responses": {
                "Refusal": {
                    "description": "a refusal; `code` is stable, see docs/refusals.md",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
                },
                "ForeignRefusal": {
                    "description": "a refusal in the words of the protocol; ours is inside",
                    "content": {
                        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Refusal"}},
                        "application/json": {"schema": {"type": "object"}},
                    },
                },
            },
        },
    })
}

/// Every status an operation may answer with, as the code has it: none stands for others.
fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let refusal = if operation.foreign { "ForeignRefusal" } else { "Refusal" };
    let refusals = Code::ALL.iter().map(|code| (code.status(), reference("responses", refusal)));
    let mut all: BTreeMap<u16, Value> = refusals.collect();
    // What a status may carry; nothing at all where its body is no JSON or has no schema.
    let mut done: BTreeMap<u16, Vec<Option<Value>>> = BTreeMap::new();
    for status in operation.done {
        done.entry(*status).or_default().push(operation.output.map(|schema| json!(schema(generator))));
    }
    if operation.decided {
        done.entry(200).or_default().push(Some(reference("schemas", "DryRun")));
        done.entry(202).or_default().push(Some(reference("schemas", "Held")));
    }
    for (status, bodies) in done {
        let mut answer = json!({"description": if status == 202 { "taken, or waiting for a human" } else { "done" }});
        if let Some(mut bodies) = bodies.into_iter().collect::<Option<Vec<_>>>() {
            let schema = if bodies.len() == 1 { bodies.remove(0) } else { json!({"anyOf": bodies}) };
            answer["content"] = json!({"application/json": {"schema": schema}});
        }
        all.insert(status, answer);
    }
    all.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect::<Map<_, _>>().into()
}

fn reference(section: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{section}/{name}")})
}

/// Schemas of the answers that are the same everywhere.
fn common() -> [(&'static str, Value); 3] {
    let refusal = json!({
        "type": "object",
        "required": ["code", "error", "reason", "retryable", "denied_class", "next_step"],
        "properties": {
            "code": {"enum": Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>()},
            "error": {"type": "string"}, "reason": {"type": "string"}, "retryable": {"type": "boolean"},
            "denied_class": {"enum": ["structural", "needs_approval", "transient", "invalid"]},
            "next_step": {"type": "string"}, "audit_id": {"type": ["integer", "null"]},
            "workspace_id": {"type": ["string", "null"]}, "key": {"type": ["string", "null"]},
        },
    });
    let held = json!({
        "type": "object",
        "description": "a human must agree first; follow `status_url`",
        "required": ["status", "approval_id", "action", "reason", "status_url", "expires_at"],
        "properties": {
            "status": {"const": "pending_approval"}, "approval_id": {"type": "string", "format": "uuid"},
            "action": {"type": "string"}, "reason": {"type": "string"}, "status_url": {"type": "string"},
            "expires_at": {"type": "string", "format": "date-time"},
        },
    });
    let dry_run = json!({
        "type": "object",
        "description": "what would be decided and what would come of it; nothing was done",
        "required": ["dry_run", "decision", "rule", "consequences", "impact"],
        "properties": {
            "dry_run": {"const": true}, "decision": {"enum": ["allow", "hold", "deny"]}, "rule": {"type": "string"},
            "consequences": {"type": "array"}, "impact": {"type": "array"},
            "requirements": {"type": "array"}, "checklist": {"type": "array", "items": {"type": "string"}},
            "refusal": reference("schemas", "Refusal"), "code": {"type": "string"}, "error": {"type": "string"},
            "next_step": {"type": "string"},
        },
    });
    [("Refusal", refusal), ("Held", held), ("DryRun", dry_run)]
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = operation
        .parameters()
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    if operation.decided {
        let words = "only say what would be decided and what would come of it";
        parameters.push(
            json!({"name": "dry_run", "in": "query", "required": false, "schema": {"type": "boolean"}, "description": words}),
        );
    }
    let mut entry = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": responses(operation, generator),
    });
    if let Some(schema) = operation.input {
        entry["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema(generator)}}});
    }
    entry["security"] = match operation.auth {
        Auth::Public => json!([]),
        Auth::Caller => json!([{"bearer": []}, {"session": []}]),
        Auth::Bearer => json!([{"bearer": []}]),
    };
    entry
}
