//! Everything that can be wrong with a well-formed file, found before the first request.

use std::collections::BTreeSet;

use serde_json::Value;

use super::format::{ActorKind, ActorSpec, Check, CheckKind, Expect, Scenario, Step};
use super::placeholder::{is_builtin, placeholders};

impl Scenario {
    /// Names must exist where they are used, keys must belong where they stand.
    pub(super) fn validate(&self, text: &str) -> Result<(), String> {
        let mut names = Names::default();
        for (index, workspace) in self.workspaces.iter().enumerate() {
            let place = Place::new(text, "workspace", index);
            if let Some(parent) = workspace.parent.as_deref().filter(|parent| *parent != "root") {
                place.need(names.workspaces.contains(parent), "parent", &format!("no workspace `{parent}` above"))?;
            }
            names.take(&place, &workspace.name)?;
            names.workspaces.insert(&workspace.name);
        }
        for (index, actor) in self.actors.iter().enumerate() {
            let place = Place::new(text, "actor", index);
            actor.validate(&place, &names)?;
            names.take(&place, &actor.name)?;
            names.actors.insert(&actor.name);
        }
        for (index, step) in self.steps.iter().enumerate() {
            let place = Place::new(text, "step", index);
            step.validate(&place, &mut names)?;
            place.need(!step.say.is_empty(), "say", "a step says in one sentence what it does")?;
            place.need(step.expect.says_something(), "expect", "a step expects a status, a code or a body")?;
            step.checks.iter().try_for_each(|check| check.validate(&place, &names))?;
        }
        for (index, check) in self.checks.iter().enumerate() {
            check.validate(&Place::new(text, "check", index), &names)?;
        }
        for (index, cleanup) in self.cleanups.iter().enumerate() {
            cleanup.validate(&Place::new(text, "cleanup", index), &mut names)?;
        }
        Ok(())
    }
}

impl ActorSpec {
    fn validate(&self, place: &Place, names: &Names) -> Result<(), String> {
        use ActorKind::{Headers, Operator, OrgToken, WorkspaceToken};
        let mints = matches!(self.kind, OrgToken | WorkspaceToken);
        for (key, is_given, belongs) in [
            ("role", self.role.is_some(), self.kind == Operator),
            ("step_up", self.step_up.is_some(), self.kind == Operator && self.role.is_some()),
            ("of", self.of.is_some(), self.kind == WorkspaceToken),
            ("minted_by", self.minted_by.is_some(), mints),
            ("approved_by", self.approved_by.is_some(), mints),
            ("scopes", self.scopes.is_some(), mints),
            ("unattended", self.unattended.is_some(), self.kind == OrgToken),
            ("headers", self.headers.is_some(), self.kind == Headers),
        ] {
            place.need(!is_given || belongs, key, "does not belong to this kind of actor")?;
        }
        place.need(self.kind != Headers || self.headers.is_some(), "headers", "is missing")?;
        place.need(self.kind != WorkspaceToken || self.of.is_some(), "of", "is missing")?;
        if let Some(of) = &self.of {
            place.need(
                of == "root" || names.workspaces.contains(of.as_str()),
                "of",
                &format!("no workspace `{of}`"),
            )?;
        }
        for (key, other) in [("minted_by", &self.minted_by), ("approved_by", &self.approved_by)] {
            if let Some(other) = other {
                place.need(names.actors.contains(other.as_str()), key, &format!("no actor `{other}` above"))?;
            }
        }
        Ok(())
    }
}

impl Step {
    /// Verb and path.
    pub fn verb_and_path(&self) -> Option<(&str, &str)> {
        self.request.split_once(' ').filter(|(verb, path)| {
            !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_uppercase()) && path.starts_with('/')
        })
    }

    fn validate<'a>(&'a self, place: &Place, names: &mut Names<'a>) -> Result<(), String> {
        place.need(names.actors.contains(self.actor.as_str()), "as", &format!("no actor `{}`", self.actor))?;
        place.need(self.verb_and_path().is_some(), "request", "must be `METHOD /path`")?;
        place.need(self.json.is_none() || self.body.is_none(), "body", "is given besides `json`")?;
        names.know(place, "request", &self.request)?;
        names.know(place, "body", self.body.as_deref().unwrap_or_default())?;
        self.headers.values().try_for_each(|value| names.know(place, "headers", value))?;
        self.json.iter().try_for_each(|body| names.know_all(place, "json", body))?;
        self.expect.json.iter().try_for_each(|pattern| names.know_all(place, "expect", pattern))?;
        names.captures.extend(self.capture.keys().map(String::as_str));
        Ok(())
    }
}

impl Expect {
    fn says_something(&self) -> bool {
        self.status.is_some() || self.code.is_some() || self.json.is_some()
    }
}

impl Check {
    fn validate(&self, place: &Place, names: &Names) -> Result<(), String> {
        use CheckKind::{Audit, Secret, Workspace};
        let compares = !self.unchanged.is_empty() || !self.raised.is_empty();
        place.need(!compares || self.kind == Workspace, "unchanged", "only workspaces are compared")?;
        place.need(self.query.is_empty() || self.kind == Audit, "query", "only the audit log is searched")?;
        place.need(self.kind != Workspace || self.count.is_none(), "count", "a workspace is one")?;
        let located = matches!(self.kind, Secret | Workspace);
        place.need(located || self.workspace.is_none(), "workspace", "does not belong to this kind of check")?;
        place.need(self.kind != Workspace || self.workspace.is_some(), "workspace", "is missing")?;
        if let Some(name) = self.workspace.as_deref().filter(|name| *name != "root") {
            place.need(names.workspaces.contains(name), "workspace", &format!("no workspace `{name}`"))?;
        }
        if let Some(actor) = &self.actor {
            place.need(names.actors.contains(actor.as_str()), "as", &format!("no actor `{actor}`"))?;
        }
        self.query.values().try_for_each(|value| names.know(place, "query", value))?;
        self.fields.iter().try_for_each(|pattern| names.know_all(place, "fields", pattern))
    }
}

/// Every name a placeholder may use so far.
#[derive(Default)]
struct Names<'a> {
    workspaces: BTreeSet<&'a str>,
    actors: BTreeSet<&'a str>,
    captures: BTreeSet<&'a str>,
}

impl Names<'_> {
    fn take(&self, place: &Place, name: &str) -> Result<(), String> {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        place.need(plain, "name", "must be letters, digits, `-` and `_`")?;
        let taken = is_builtin(name) || self.workspaces.contains(name) || self.actors.contains(name);
        place.need(!taken, "name", &format!("`{name}` is taken"))
    }

    fn know(&self, place: &Place, key: &str, text: &str) -> Result<(), String> {
        for name in placeholders(text) {
            let credential = name.strip_prefix("credential.").is_some_and(|actor| self.actors.contains(actor));
            let known = [&self.workspaces, &self.actors, &self.captures].iter().any(|names| names.contains(name));
            place.need(known || credential || is_builtin(name), key, &format!("nothing is called `{{{name}}}` yet"))?;
        }
        Ok(())
    }

    fn know_all(&self, place: &Place, key: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::String(text) => self.know(place, key, text),
            Value::Array(items) => items.iter().try_for_each(|item| self.know_all(place, key, item)),
            Value::Object(members) => members.iter().try_for_each(|(name, member)| {
                self.know(place, key, name)?;
                self.know_all(place, key, member)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}

/// Where in the file something is, for errors.
struct Place {
    entry: &'static str,
    index: usize,
    line: Option<usize>,
}

impl Place {
    fn new(text: &str, entry: &'static str, index: usize) -> Self {
        let heading = format!("[[{entry}]]");
        let mut lines = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with(&heading));
        Self { entry, index, line: lines.nth(index).map(|(line, _)| line + 1) }
    }

    fn need(&self, holds: bool, key: &str, why: &str) -> Result<(), String> {
        if holds {
            return Ok(());
        }
        let line = self.line.map(|line| format!(" at line {line}")).unwrap_or_default();
        Err(format!("{} {}{line}, key `{key}`: {why}", self.entry, self.index + 1))
    }
}
