//! The file format: what may be written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it is about.
    #[serde(rename = "scenario")]
    pub head: Head,
    /// Workspaces it needs besides the root.
    #[serde(default, rename = "workspace")]
    pub workspaces: Vec<WorkspaceSpec>,
    /// Who acts in it.
    #[serde(rename = "actor")]
    pub actors: Vec<ActorSpec>,
    /// What happens.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// What must be true at the end.
    #[serde(default, rename = "check")]
    pub checks: Vec<Check>,
    /// What puts back what the steps changed outside the fixtures; runs whatever happened.
    #[serde(default, rename = "cleanup")]
    pub cleanups: Vec<Step>,
}

/// `[scenario]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Short stable name.
    pub id: String,
    /// One line.
    pub title: String,
    /// Where it happened.
    pub incident: Option<String>,
    /// Why it is worth replaying.
    pub story: String,
}

/// `[[workspace]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceSpec {
    /// Name in this file; the server sees it with a suffix of this run.
    pub name: String,
    /// Another fixture; the root if absent.
    pub parent: Option<String>,
}

/// How an actor proves who it is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// The deployment's admin token: the root agent.
    AdminToken,
    /// A human with a session.
    Operator,
    /// A workspace's own token.
    WorkspaceToken,
    /// An organisation token somebody minted.
    OrgToken,
    /// Nobody.
    Anonymous,
    /// Headers as written here.
    Headers,
}

/// `[[actor]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorSpec {
    /// Name in this file.
    pub name: String,
    /// How it proves who it is.
    pub kind: ActorKind,
    /// operator: a fresh operator with this role; without it, the owner who runs the scenario.
    pub role: Option<String>,
    /// operator: whether it steps up after its login.
    pub step_up: Option<bool>,
    /// workspace-token: whose.
    pub of: Option<String>,
    /// org-token, workspace-token: who mints it; the runner's owner if absent.
    pub minted_by: Option<String>,
    /// org-token, workspace-token: who agrees if minting is held.
    pub approved_by: Option<String>,
    /// org-token, workspace-token: what it may do.
    pub scopes: Option<Vec<String>>,
    /// org-token: whether its writes are not held.
    pub unattended: Option<bool>,
    /// headers: which.
    pub headers: Option<BTreeMap<String, String>>,
}

/// `[[step]]` and `[[cleanup]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Who asks.
    #[serde(rename = "as")]
    pub actor: String,
    /// One sentence.
    #[serde(default)]
    pub say: String,
    /// `METHOD /path`.
    pub request: String,
    /// Headers beside the credential.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers the credential would send and this step leaves out.
    #[serde(default)]
    pub omit: Vec<String>,
    /// A JSON body.
    pub json: Option<Value>,
    /// A body as it is.
    pub body: Option<String>,
    /// What must come back.
    #[serde(default)]
    pub expect: Expect,
    /// Members of the answer to remember, by the name they get.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
    /// The answer may show values: only the pull of a workspace's own bundle does.
    #[serde(default)]
    pub reveals: bool,
    /// What must be true right after this step.
    #[serde(default, rename = "check")]
    pub checks: Vec<Check>,
}

/// `expect`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// HTTP status.
    pub status: Option<u16>,
    /// `code` of the problem.
    pub code: Option<String>,
    /// A pattern over the body.
    pub json: Option<Value>,
    /// Headers of the answer.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// What a check reads.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// Audit events since the scenario began.
    Audit,
    /// Rows of a secret listing.
    Secret,
    /// Approvals pending that were not when the scenario began.
    Pending,
    /// Organisation tokens that did not exist when the scenario began.
    Token,
    /// One workspace, against what it was when the scenario began.
    Workspace,
}

/// `[[check]]` and `[[step.check]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What it reads.
    pub kind: CheckKind,
    /// One sentence.
    pub say: String,
    /// Who reads; the runner's owner if absent.
    #[serde(rename = "as")]
    pub actor: Option<String>,
    /// secret, workspace: which; the organisation's secrets if absent.
    pub workspace: Option<String>,
    /// audit: query parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// A pattern; what does not match is not counted.
    pub fields: Option<Value>,
    /// How many must match; one if absent.
    pub count: Option<usize>,
    /// workspace: members that must be as they were.
    #[serde(default)]
    pub unchanged: Vec<String>,
    /// workspace: numbers that must have grown.
    #[serde(default)]
    pub raised: Vec<String>,
}

impl Scenario {
    /// Parses and checks a text. Errors name the line, or the entry and its key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.validate(text)?;
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[scenario]
id = "x"
title = "t"
story = "s"

[[workspace]]
name = "writer"

[[actor]]
name = "admin"
kind = "admin-token"

[[step]]
as = "admin"
say = "asks"
request = "POST /workspaces/{writer}/secrets"
json = { key = "K_{UNIQUE}", value = "{canary}" }
expect = { status = 202 }
capture = { approval = "approval_id" }

[[step]]
as = "admin"
say = "looks"
request = "GET /approvals/{approval}"
expect = { status = 200, json = { status = "pending", value = { absent = true } } }
"#;

    #[test]
    fn a_good_file_parses() {
        let scenario = Scenario::parse(GOOD).unwrap();
        assert_eq!((scenario.steps.len(), scenario.steps[0].expect.status), (2, Some(202)));
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line_and_key() {
        for (from, to, line, key) in [
            ("title = \"t\"", "titel = \"t\"", "line 4", "titel"),
            ("say = \"looks\"", "says = \"looks\"", "line 24", "says"),
            ("kind = \"admin-token\"", "kind = \"root\"", "line 12", "root"),
            ("kind = \"admin-token\"", "kind = \"admin-token\"\nof = \"writer\"", "line 10", "`of`"),
            ("as = \"admin\"\nsay = \"looks\"", "as = \"nobody\"\nsay = \"looks\"", "line 22", "`as`"),
            ("GET /approvals/{approval}", "GET /approvals/{aproval}", "line 22", "{aproval}"),
            ("request = \"GET /", "request = \"GET ", "line 22", "`request`"),
            ("name = \"admin\"", "name = \"writer\"", "line 10", "taken"),
            ("status = 202 ", "status = \"x\" ", "line 19", "status"),
            ("expect = { status = 202 }\n", "", "line 14", "`expect`"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = Scenario::parse(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(line) && error.contains(key), "{from} → {to}: {error}");
        }
    }

    #[test]
    fn every_shipped_scenario_parses_and_is_called_like_its_file() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let scenario = Scenario::parse(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
                let stem = path.file_stem().unwrap().to_str().unwrap();
                assert!(stem == scenario.head.id || stem.starts_with(&format!("{}-", scenario.head.id)), "{stem}");
                ids.push(scenario.head.id);
            }
        }
        ids.sort();
        let siblings = (1..=10).map(|n| format!("sibling-{n:02}"));
        let regressions = (1..=14).map(|n| format!("r-{n:02}"));
        for id in siblings.chain(regressions).chain(["incident-2026-06-11".to_owned()]) {
            assert!(ids.contains(&id), "{id} is missing");
        }
    }
}
