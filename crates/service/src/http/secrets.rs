//! Secrets of a workspace and of the organisation: the same handlers, told apart by the path.

use axum::{
    http::{Method, StatusCode},
    response::Response,
};
use portcullis_authority::{Refusal, SecretSaved, SecretView, VersionView};
use portcullis_kernel::{
    deed::{
        Base, Change, ChangeOp, SecretActivate, SecretChangeSet, SecretDelete, SecretDestroy, SecretImport,
        SecretRequest, SecretRollback, SecretScope, SecretSet, SecretUndelete,
    },
    import,
    refusal::Code,
};
use serde_json::{Value, json};

use crate::{
    call::{Call, answered, ok},
    operation::Operation,
    wire,
};

/// Versions of a key in one answer.
const VERSIONS_MAX: i64 = 1_000;
/// Largest body of an import, in bytes.
const IMPORT_BYTES_MAX: usize = 8 * 1024 * 1024;

pub(super) fn operations() -> Vec<Operation> {
    let mut all = Vec::new();
    let set =
        Operation::new("secret_set", Method::POST, "/workspaces/{id}/secrets", "Set a secret of a workspace", set)
            .decided()
            .input::<wire::SetSecret>();
    all.push(set.also_at("secret_put", Method::PUT, "/workspaces/{id}/secrets"));
    all.push(set.also_at("org_secret_set", Method::POST, "/settings/secrets"));
    all.push(set.also_at("org_secret_put", Method::PUT, "/settings/secrets"));
    all.push(set.also_at("admin_secret_set", Method::POST, "/admin/secrets"));
    all.push(set.also_at("admin_secret_put", Method::PUT, "/admin/secrets"));
    all.push(set);
    let list = Operation::new(
        "secret_list",
        Method::GET,
        "/workspaces/{id}/secrets",
        "Effective secrets, without values",
        list,
    )
    .output::<Vec<SecretView>>();
    all.push(list.also_at("org_secret_list", Method::GET, "/settings/secrets"));
    all.push(list.also_at("admin_secret_list", Method::GET, "/admin/secrets"));
    all.push(list);
    let delete = Operation::new(
        "secret_delete",
        Method::DELETE,
        "/workspaces/{id}/secrets/{key}",
        "Soft delete a secret",
        delete,
    )
    .decided();
    all.push(delete.also_at("org_secret_delete", Method::DELETE, "/settings/secrets/{key}"));
    all.push(delete.also_at("admin_secret_delete", Method::DELETE, "/admin/secrets/{key}"));
    all.push(delete);
    let versions = Operation::new(
        "secret_versions",
        Method::GET,
        "/workspaces/{id}/secrets/{key}/versions",
        "Versions of a key",
        versions,
    )
    .output::<Vec<VersionView>>();
    all.push(versions.also_at("org_secret_versions", Method::GET, "/settings/secrets/{key}/versions"));
    all.push(versions);
    let undelete = Operation::new(
        "secret_undelete",
        Method::POST,
        "/workspaces/{id}/secrets/{key}/undelete",
        "Take a soft delete back",
        undelete,
    )
    .decided();
    all.push(undelete.also_at("org_secret_undelete", Method::POST, "/settings/secrets/{key}/undelete"));
    all.push(undelete);
    let destroy = Operation::new(
        "secret_destroy",
        Method::POST,
        "/workspaces/{id}/secrets/{key}/destroy",
        "Erase ciphertext for good",
        destroy,
    )
    .decided()
    .input::<wire::Destroy>();
    all.push(destroy.also_at("org_secret_destroy", Method::POST, "/settings/secrets/{key}/destroy"));
    all.push(destroy);
    let rollback = Operation::new(
        "secret_rollback",
        Method::POST,
        "/workspaces/{id}/secrets/{key}/rollback",
        "Put an old value as a new version",
        rollback,
    )
    .decided()
    .input::<wire::RollBack>();
    all.push(rollback.also_at("org_secret_rollback", Method::POST, "/settings/secrets/{key}/rollback"));
    all.push(rollback);
    let activate = Operation::new(
        "secret_activate",
        Method::POST,
        "/workspaces/{id}/secrets/{key}/activate",
        "Move the active pointer",
        activate,
    )
    .decided()
    .input::<wire::Activate>();
    all.push(activate.also_at("org_secret_activate", Method::POST, "/settings/secrets/{key}/activate"));
    all.push(activate);
    let request = Operation::new(
        "secret_request",
        Method::POST,
        "/workspaces/{id}/secrets/{key}/request",
        "Open a slot that a human fills",
        request,
    )
    .decided()
    .done(&[201])
    .input::<wire::RequestSecret>();
    all.push(request.also_at("org_secret_request", Method::POST, "/settings/secrets/{key}/request"));
    all.push(request);
    let import = Operation::new(
        "secret_import",
        Method::POST,
        "/workspaces/{id}/secrets/import",
        "Preview or import a file",
        import,
    )
    .decided()
    .input::<wire::Import>()
    .body_max(IMPORT_BYTES_MAX);
    all.push(import.also_at("org_secret_import", Method::POST, "/settings/secrets/import"));
    all.push(import);
    all.push(
        Operation::new(
            "secret_change_set",
            Method::POST,
            "/secrets/change-sets",
            "Several changes, together or not at all",
            change_set,
        )
        .decided()
        .input::<wire::ChangeSet>()
        .body_max(IMPORT_BYTES_MAX),
    );
    all
}

/// The scope the path speaks of: one workspace, or the organisation where the path has no id.
fn scope(call: &Call) -> Result<SecretScope, Refusal> {
    if call.path.iter().any(|(name, _)| name == "id") {
        Ok(SecretScope::Workspace(call.path("id")?))
    } else {
        Ok(SecretScope::Organisation)
    }
}

fn path_key(call: &Call) -> Result<portcullis_kernel::name::SecretKey, Refusal> {
    let text = call.path.iter().find(|(name, _)| name == "key").map(|(_, text)| text.as_str()).unwrap_or_default();
    wire::key(text)
}

/// `If-Match: "3"` or `*`; `If-None-Match: *`.
fn base(call: &Call) -> Result<Base, Refusal> {
    let malformed =
        || Refusal::because(Code::InvalidRequest, "`If-Match` is a version in quotes or `*`; `If-None-Match` is `*`");
    match (call.header("if-match")?, call.header("if-none-match")?) {
        (None, None) => Ok(Base::Any),
        (Some("*"), None) => Ok(Base::Present),
        (None, Some("*")) => Ok(Base::Absent),
        (Some(version), None) => {
            let version = version.trim().strip_prefix('"').and_then(|v| v.strip_suffix('"')).ok_or_else(malformed)?;
            version.parse().ok().filter(|v| *v > 0).map(Base::Exactly).ok_or_else(malformed)
        }
        _ => Err(malformed()),
    }
}

/// Marks bodies of the organisation's scope as the reference system does.
fn marked(scope: SecretScope, mut body: Value) -> Value {
    if scope == SecretScope::Organisation
        && let Value::Object(members) = &mut body
    {
        members.insert("scope".into(), "global".into());
    }
    body
}

fn saved(scope: SecretScope, status: &str, saved: &SecretSaved) -> (StatusCode, Value) {
    (StatusCode::OK, marked(scope, json!({"status": status, "key": saved.key, "version": saved.version})))
}

async fn list(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    ok(&call.app.authority.secrets(call.caller()?, scope(&call)?).await?)
}

async fn versions(call: Call) -> Result<Response, Refusal> {
    call.only_query(&["limit"])?;
    let limit = match call.query_as::<i64>("limit")? {
        None => VERSIONS_MAX,
        Some(limit) if (1..=VERSIONS_MAX).contains(&limit) => limit,
        Some(_) => return Err(Refusal::because(Code::InvalidRequest, "`limit` is 1 to 1000")),
    };
    ok(&call.app.authority.versions(call.caller()?, scope(&call)?, path_key(&call)?, limit).await?)
}

async fn set(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let scope = scope(&call)?;
    let input: wire::SetSecret = call.input()?;
    let action = SecretSet {
        scope,
        key: wire::key(&input.key)?,
        base: base(&call)?,
        delivery: input.delivery,
        activate: input.activate,
        description: input.description,
        reason: input.reason,
        expires_at: wire::time("expires_at", input.expires_at.as_deref())?,
    };
    let answer =
        call.app.authority.perform(call.caller()?, call.meta.clone(), action, input.value.into_value()?).await?;
    answered(answer, |done| saved(scope, "saved", &done))
}

async fn delete(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let scope = scope(&call)?;
    let action = SecretDelete { scope, key: path_key(&call)?, base: base(&call)?, reason: None };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::OK, marked(scope, json!({"status": "deleted", "key": done.key}))))
}

async fn undelete(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    call.no_body()?;
    let scope = scope(&call)?;
    let action = SecretUndelete { scope, key: path_key(&call)? };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::OK, marked(scope, json!({"status": "undeleted", "key": done.key}))))
}

async fn destroy(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let scope = scope(&call)?;
    let input: wire::Destroy = call.input_or_default()?;
    let action = SecretDestroy { scope, key: path_key(&call)?, version: input.version };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| {
        (StatusCode::OK, marked(scope, json!({"status": "destroyed", "key": done.key, "versions": done.versions})))
    })
}

async fn rollback(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let scope = scope(&call)?;
    let input: wire::RollBack = call.input()?;
    let action = SecretRollback {
        scope,
        key: path_key(&call)?,
        to_version: input.to_version,
        base: base(&call)?,
        reason: input.reason,
    };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| saved(scope, "saved", &done))
}

async fn activate(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let scope = scope(&call)?;
    let input: wire::Activate = call.input()?;
    let action = SecretActivate { scope, key: path_key(&call)?, version: input.version };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| saved(scope, "activated", &done))
}

async fn request(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let scope = scope(&call)?;
    let input: wire::RequestSecret = call.input_or_default()?;
    let action = SecretRequest { scope, key: path_key(&call)?, description: input.description };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, ()).await?;
    answered(answer, |done| (StatusCode::CREATED, marked(scope, json!({"status": "requested", "key": done.key}))))
}

async fn import(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let scope = scope(&call)?;
    let input: wire::Import = call.input()?;
    let pairs = import::read(input.format, &input.content.into_text())
        .map_err(|error| Refusal::because(error.code, error.to_string()).with("line", error.line))?;
    let caller = call.caller()?;
    if !input.apply {
        if caller.is_supposed() {
            return Err(Refusal::because(Code::InvalidField, "only an import with `apply` is decided"));
        }
        let changes = call.app.authority.import_preview(call.meta.request_id.clone(), caller, scope, pairs).await?;
        let count = |word: &str| changes.iter().filter(|(_, change)| *change == word).count();
        let counts = json!({"add": count("add"), "change": count("change"), "same": count("same")});
        let changes: Vec<Value> = changes.iter().map(|(key, change)| json!({"key": key, "change": change})).collect();
        return ok(&marked(scope, json!({"applied": false, "changes": changes, "counts": counts})));
    }
    let (keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let action = SecretImport { scope, keys };
    let answer = call.app.authority.perform(caller, call.meta.clone(), action, values).await?;
    answered(answer, |done| {
        let changes: Vec<Value> =
            done.versions.iter().map(|(key, version)| json!({"key": key, "version": version})).collect();
        let counts = json!({"imported": changes.len()});
        (
            StatusCode::OK,
            marked(scope, json!({"status": "imported", "applied": true, "changes": changes, "counts": counts})),
        )
    })
}

async fn change_set(call: Call) -> Result<Response, Refusal> {
    call.only_query(&[])?;
    let input: wire::ChangeSet = call.input()?;
    let mut changes = Vec::with_capacity(input.changes.len());
    let mut values = Vec::new();
    for line in input.changes {
        let invalid = |what: &str| Refusal::because(Code::InvalidField, what.to_owned());
        let version = || line.version.ok_or_else(|| invalid("this line needs `version`"));
        let op = match (line.op, &line.value) {
            (wire::Op::Set, Some(_)) => ChangeOp::Set { delivery: line.delivery },
            (wire::Op::Set, None) => return Err(invalid("a `set` line needs `value`")),
            (_, Some(_)) => return Err(invalid("only a `set` line takes `value`")),
            (wire::Op::Delete, None) => ChangeOp::Delete,
            (wire::Op::Rollback, None) => ChangeOp::Rollback { to_version: version()? },
            (wire::Op::Activate, None) => ChangeOp::Activate { version: version()? },
        };
        let base = match line.base_version {
            None => Base::Any,
            Some(0) => Base::Absent,
            Some(version) if version > 0 => Base::Exactly(version),
            Some(_) => return Err(invalid("`base_version` is a version, or 0 for a key that must not exist")),
        };
        let scope = line.workspace_id.map_or(SecretScope::Organisation, SecretScope::Workspace);
        changes.push(Change { scope, key: wire::key(&line.key)?, op, base });
        if let Some(value) = line.value {
            values.push(value.into_value()?);
        }
    }
    let action = SecretChangeSet { changes, reason: input.reason };
    let answer = call.app.authority.perform(call.caller()?, call.meta.clone(), action, values).await?;
    answered(answer, |done| {
        let lines = done
            .changes
            .iter()
            .map(|line| json!({"workspace_id": line.scope.workspace(), "key": line.key, "version": line.version}));
        (StatusCode::OK, json!({"status": "saved", "changes": lines.collect::<Vec<_>>()}))
    })
}
