//! The OpenAPI 3.1 document, generated from the registry.

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
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-portcullis"},
            },
            "responses": {
                "Refusal": {
                    "description": "a refusal; `code` is stable, see docs/refusals.md",
                    "content": {"application/problem+json": {"schema": {
                        "type": "object",
                        "required": ["code", "error", "reason", "retryable", "denied_class", "next_step"],
                        "properties": {
                            "code": {"enum": portcullis_kernel::refusal::Code::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>()},
                            "error": {"type": "string"}, "reason": {"type": "string"}, "retryable": {"type": "boolean"},
                            "denied_class": {"enum": ["structural", "needs_approval", "transient", "invalid"]},
                            "next_step": {"type": "string"}, "audit_id": {"type": ["integer", "null"]},
                            "workspace_id": {"type": ["string", "null"]}, "key": {"type": ["string", "null"]},
                        },
                    }}},
                },
                "Held": {
                    "description": "a human must agree first; follow `status_url`",
                    "content": {"application/json": {"schema": {
                        "type": "object",
                        "properties": {
                            "status": {"const": "pending_approval"}, "approval_id": {"type": "string", "format": "uuid"},
                            "action": {"type": "string"}, "reason": {"type": "string"}, "status_url": {"type": "string"},
                            "expires_at": {"type": "string", "format": "date-time"},
                        },
                    }}},
                },
            },
        },
    })
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
    let mut done = json!({"description": "done"});
    if let Some(schema) = operation.output {
        done["content"] = json!({"application/json": {"schema": schema(generator)}});
    }
    let mut entry = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "2XX": done, "202": {"$ref": "#/components/responses/Held"},
            "4XX": {"$ref": "#/components/responses/Refusal"}, "5XX": {"$ref": "#/components/responses/Refusal"},
        },
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
