//! State, seen through real reads: what the log holds, what is listed, what is pending, what did not move.

use std::collections::BTreeSet;

use serde_json::Value;

use super::expand::Meanings;
use super::format::{Check, CheckKind};
use super::pattern::{fits, lookup, mismatches};
use crate::client::{Answer, Call, Client, path};
use crate::error::Error;

const PAGE: &str = "500";
const PAGES_MAX: usize = 40;

/// What there was before the first step.
#[derive(Default)]
pub struct Before {
    audit_head: Option<String>,
    pending: BTreeSet<String>,
    tokens: BTreeSet<String>,
    workspaces: Vec<Value>,
}

impl Before {
    /// Reads it.
    pub async fn read(owner: &Client) -> Result<Self, Error> {
        let newest = owner.json(&Call::get("/audit?order=desc&limit=1")).await?;
        Ok(Self {
            audit_head: newest["events"].get(0).and_then(id),
            pending: ids(&owner.json(&Call::get("/approvals/pending")).await?),
            tokens: ids(&owner.json(&Call::get("/org/tokens")).await?["tokens"]),
            workspaces: rows(owner.json(&Call::get("/workspaces")).await?),
        })
    }
}

/// One check under way: every answer it reads is handed to `seen`, which looks for what must not be there.
pub struct Checking<'a> {
    pub before: &'a Before,
    pub meanings: &'a mut Meanings,
    pub reader: &'a Client,
}

impl Checking<'_> {
    /// What does not hold; empty if all does.
    pub async fn run(&mut self, check: &Check, seen: &mut Vec<Answer>) -> Result<Vec<String>, Error> {
        let pattern =
            check.fields.as_ref().map(|fields| self.meanings.json(fields)).transpose().map_err(Error::fault)?;
        if check.kind == CheckKind::Workspace {
            return self.workspace(check, pattern.as_ref(), seen).await;
        }
        let found = match check.kind {
            CheckKind::Audit => self.events(check, seen).await?,
            CheckKind::Secret => {
                let at = match &check.workspace {
                    Some(name) => path(&["workspaces", &self.id_of(name)?, "secrets"]),
                    None => "/settings/secrets".to_owned(),
                };
                rows(self.read(&Call::get(at), seen).await?)
            }
            CheckKind::Pending => {
                let rows = rows(self.read(&Call::get("/approvals/pending"), seen).await?);
                rows.into_iter().filter(|row| is_new(row, &self.before.pending)).collect()
            }
            CheckKind::Token => {
                let rows = rows(self.read(&Call::get("/org/tokens"), seen).await?["tokens"].take());
                rows.into_iter().filter(|row| is_new(row, &self.before.tokens)).collect()
            }
            CheckKind::Workspace => Vec::new(),
        };
        let counted = found.iter().filter(|row| pattern.as_ref().is_none_or(|pattern| fits(pattern, row))).count();
        let wanted = check.count.unwrap_or(1);
        if counted == wanted {
            return Ok(Vec::new());
        }
        let mut failures = vec![format!("{wanted} should match, {counted} do ({} looked at)", found.len())];
        if let (Some(pattern), [only]) = (&pattern, found.as_slice()) {
            mismatches("", pattern, Some(only), &mut failures);
        }
        Ok(failures)
    }

    async fn workspace(
        &mut self,
        check: &Check,
        pattern: Option<&Value>,
        seen: &mut Vec<Answer>,
    ) -> Result<Vec<String>, Error> {
        let id = self.id_of(check.workspace.as_deref().unwrap_or("root"))?;
        let now = self.read(&Call::get(path(&["workspaces", &id])), seen).await?;
        let before = self.before.workspaces.iter().find(|workspace| workspace["id"] == id.as_str());
        let mut failures = Vec::new();
        if let Some(pattern) = pattern {
            mismatches("", pattern, Some(&now), &mut failures);
        }
        for name in check.unchanged.iter().chain(&check.raised) {
            let (was, is) = (before.and_then(|before| lookup(before, name)), lookup(&now, name));
            // A member that is not there at all proves nothing about it.
            let Some((was, is)) = was.zip(is) else {
                failures.push(format!("`{name}` cannot be compared"));
                continue;
            };
            let raised = check.raised.contains(name);
            if raised && is.as_f64() <= was.as_f64() {
                failures.push(format!("`{name}` should have grown, was {was}, is {is}"));
            } else if !raised && was != is {
                failures.push(format!("`{name}` should be as it was, {was}, is {is}"));
            }
        }
        Ok(failures)
    }

    async fn events(&mut self, check: &Check, seen: &mut Vec<Answer>) -> Result<Vec<Value>, Error> {
        let mut call = Call::get("/audit").query("limit", PAGE);
        for (name, value) in &check.query {
            call = call.query(name, &self.meanings.text(value).map_err(Error::fault)?);
        }
        let (mut after, mut events) = (self.before.audit_head.clone().unwrap_or_else(|| "0".to_owned()), Vec::new());
        for _ in 0..PAGES_MAX {
            let page = Call::get(call.path.clone()).query("after", &after);
            let mut page = self.read(&page, seen).await?;
            let fresh = rows(page["events"].take());
            let next = page.get("next_after").and_then(id_text).filter(|next| *next != after);
            let done = fresh.is_empty();
            events.extend(fresh);
            match next {
                Some(next) if !done => after = next,
                _ => return Ok(events),
            }
        }
        Err(Error::fault("the audit log grew faster than it could be read"))
    }

    async fn read(&self, call: &Call, seen: &mut Vec<Answer>) -> Result<Value, Error> {
        let answer = self.reader.send(call).await?;
        let copy = Answer { status: answer.status, headers: answer.headers.clone(), body: answer.body.clone() };
        seen.push(copy);
        answer.into_json()
    }

    fn id_of(&mut self, workspace: &str) -> Result<String, Error> {
        self.meanings.text(&format!("{{{workspace}}}")).map_err(Error::fault)
    }
}

fn rows(list: Value) -> Vec<Value> {
    match list {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    }
}

fn ids(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(id).collect()
}

fn is_new(row: &Value, known: &BTreeSet<String>) -> bool {
    id(row).is_none_or(|id| !known.contains(&id))
}

fn id(row: &Value) -> Option<String> {
    row.get("id").and_then(id_text)
}

fn id_text(id: &Value) -> Option<String> {
    id.as_str().map(str::to_owned).or_else(|| id.as_u64().map(|id| id.to_string()))
}
