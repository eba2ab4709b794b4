//! Texts that people and agents write pass through here before they are stored: the values a workspace holds are taken
//! out, in whatever usual spelling they come (design §6, R-50: one point in front of every store).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use portcullis_kernel::{
    id::{MessageId, TurnId, WorkspaceId},
    redact::{RedactStream, Redactor},
    subject::Principal,
};
use serde_json::Value;

use crate::{
    actions::environment::chosen,
    authority::Authority,
    caller::Caller,
    core::Core,
    db::Conn,
    plaintext,
    refusal::Refusal,
    tables::{runs, secrets, versions},
};

/// Workspaces whose fingerprints are kept in memory. More, and all are made anew: they cost a read and some hashing.
const KEPT_MAX: usize = 128;

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

    /// A text of somebody about a workspace, as it may be stored: without the values the speaker holds, and for a human
    /// without those of the workspace. A program is not told by a marker whether its guess was one of somebody else's.
    pub async fn spoken(&self, caller: &Caller, workspace: WorkspaceId, text: String) -> Result<String, Refusal> {
        match caller.principal() {
            Principal::Agent(home) => self.redacted(home, text).await,
            Principal::Operator(_) | Principal::System(_) => self.redacted(workspace, text).await,
            Principal::Service(_) => Ok(shapes(self.core()).redact(&text).into_owned()),
        }
    }

    /// An agent's reply, as it may be stored: without its values, but for those the program that asked has said itself. An
    /// echo with a marker would tell it that its guess is a value.
    pub(crate) async fn replied(&self, workspace: WorkspaceId, turn: TurnId, text: String) -> Result<String, Refusal> {
        let said = self.read(move |conn, _| crate::mailbox::said(conn, turn)).await?;
        Ok(self.redactor(workspace).await?.redact_beside(&text, &said).into_owned())
    }

    /// What of a reply that is still being written may be shown: its complete lines, without values. A value that is
    /// half written would not be known as one, so the line that is being written stays where it is.
    pub async fn reply_so_far(
        &self,
        caller: &Caller,
        workspace: WorkspaceId,
        turn: TurnId,
        text: String,
    ) -> Result<(MessageId, String), Refusal> {
        let message = self.works_on(caller, workspace, turn).await?;
        let redactor = self.redactor(workspace).await?;
        Ok((message, RedactStream::new().push(&redactor, text.as_bytes())))
    }

    /// The message that a run works on in a turn; refused when the turn is not its own, or not open any more.
    pub async fn works_on(&self, caller: &Caller, workspace: WorkspaceId, turn: TurnId) -> Result<MessageId, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| crate::mailbox::worked_on(conn, &caller, workspace, turn)).await
    }

    /// Keys of a workspace's values that are in a text. For the store, never for whoever wrote the text.
    pub(crate) async fn values_in(&self, workspace: WorkspaceId, text: &str) -> Result<Vec<String>, Refusal> {
        Ok(self.redactor(workspace).await?.keys_in(text))
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

/// Knows the shapes of credentials and no value.
fn shapes(core: &Core) -> Redactor {
    Redactor::new(core.keys().digest.digest("redaction", &[]))
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
    let redactor = Arc::new(learn(conn, core, workspace, &had)?);
    let mut kept = redactors.0.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(workspace, (stamp, Arc::clone(&redactor)));
    Ok(redactor)
}

/// Values of now, and those the live run was given and still has. A value that cannot be opened is one that nobody can
/// be given either; an agent that has it from earlier must still be able to end its turn.
fn learn(conn: &mut Conn, core: &Core, workspace: WorkspaceId, had: &str) -> Result<Redactor, Refusal> {
    let mut redactor = shapes(core);
    let now = chosen(conn, workspace)?;
    let had: BTreeMap<String, Value> = serde_json::from_str(had).unwrap_or_default();
    let had = had.into_iter().filter_map(|(key, of)| {
        let scope = of["scope"].as_str()?.to_owned();
        Some((key, (scope, of["version"].as_i64()?)))
    });
    for (key, (scope, version)) in now.into_iter().chain(had) {
        let Some(stored) = versions::stored(conn, &scope, &key, version)? else { continue };
        let open = || plaintext::open(core, &scope, &key, version, &stored.sealed);
        let mut opened = open();
        // Sealed with a key that another server has made a moment ago.
        if opened.is_err() && crate::keyring::refresh(conn, core).is_ok_and(|fresh| fresh) {
            opened = open();
        }
        match opened {
            Ok(value) => plaintext::learn(&mut redactor, &key, &value),
            Err(error) => {
                tracing::warn!(%workspace, key, %error, "a value cannot be opened, and is not taken out of texts")
            }
        }
    }
    Ok(redactor)
}
