//! Texts that people and agents write pass through here before they are stored: the values a workspace holds are taken
//! out, in whatever usual spelling they come (design §6, R-50: one point in front of every store).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use portcullis_kernel::{id::WorkspaceId, redact::Redactor};
use serde_json::Value;

use crate::{
    actions::environment::content,
    authority::Authority,
    core::Core,
    db::Conn,
    plaintext,
    refusal::{Fault, Refusal},
    tables::{runs, secrets, versions},
};

/// Workspaces whose fingerprints are kept in memory. More, and all are made anew: they cost a read and some hashing.
const KEPT_MAX: usize = 512;

/// Fingerprints by workspace, as of a state of its secrets and its run.
#[derive(Default)]
pub(crate) struct Redactors(Mutex<HashMap<WorkspaceId, (String, Arc<Redactor>)>>);

impl Authority {
    /// A text without the values that a workspace's agent is given, or still has.
    pub async fn redacted(&self, workspace: WorkspaceId, text: String) -> Result<String, Refusal> {
        if text.is_empty() {
            return Ok(text);
        }
        Ok(self.redactor(workspace).await?.redact(&text).into_owned())
    }

    /// The same for every text in a document, names of members included: it stays a document.
    pub(crate) async fn redacted_document(
        &self,
        workspace: WorkspaceId,
        mut document: Value,
    ) -> Result<Value, Refusal> {
        let redactor = self.redactor(workspace).await?;
        redact_document(&redactor, &mut document);
        Ok(document)
    }

    async fn redactor(&self, workspace: WorkspaceId) -> Result<Arc<Redactor>, Refusal> {
        let redactors = self.redactors();
        self.read(move |conn, core| find(&redactors, conn, core, workspace)).await
    }
}

/// Its depth is that of a request body, which is limited where it is read.
fn redact_document(redactor: &Redactor, document: &mut Value) {
    match document {
        Value::String(text) => *text = redactor.redact(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_document(redactor, item)),
        Value::Object(members) => {
            let clean = std::mem::take(members).into_iter().map(|(name, mut member)| {
                redact_document(redactor, &mut member);
                (redactor.redact(&name).into_owned(), member)
            });
            *members = clean.collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn find(redactors: &Redactors, conn: &mut Conn, core: &Core, workspace: WorkspaceId) -> Result<Arc<Redactor>, Refusal> {
    let run = runs::live(conn, workspace)?;
    let boot = run.as_ref().map(|run| run.boot.to_string()).unwrap_or_default();
    let stamp = format!("{}/{boot}", secrets::stamp(conn, &workspace.to_string())?);
    {
        let kept = redactors.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, redactor)) = kept.get(&workspace).filter(|(known, _)| *known == stamp) {
            return Ok(Arc::clone(redactor));
        }
    }
    let had = run.map(|run| run.versions).unwrap_or_default();
    let redactor = Arc::new(learn(conn, core, workspace, &had).map_err(|fault| match fault {
        // A text whose values cannot be known cannot be stored: it would be stored with them.
        Fault::Refused(refusal) => *refusal,
        Fault::Failed(text) => Refusal::new(portcullis_kernel::refusal::Code::StoreUnavailable).internal(text),
    })?);
    let mut kept = redactors.0.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(workspace, (stamp, Arc::clone(&redactor)));
    Ok(redactor)
}

/// Values of now, and those the live run was given and still has.
fn learn(conn: &mut Conn, core: &Core, workspace: WorkspaceId, had: &str) -> Result<Redactor, Fault> {
    let mut redactor = Redactor::new(core.keys().digest.digest("redaction", &[]));
    for secret in content(conn, core, workspace)?.secrets {
        plaintext::learn(&mut redactor, &secret.key, &secret.value);
    }
    let had: BTreeMap<String, Value> = serde_json::from_str(had).unwrap_or_default();
    for (key, of) in had {
        let (Some(scope), Some(version)) = (of["scope"].as_str(), of["version"].as_i64()) else { continue };
        if let Some(stored) = versions::stored(conn, scope, &key, version)? {
            let value = plaintext::open(core, scope, &key, version, &stored.sealed)?;
            plaintext::learn(&mut redactor, &key, &value);
        }
    }
    Ok(redactor)
}
