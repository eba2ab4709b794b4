//! An organisation with some life in it, made over HTTP like everything else: what pages look like when there is something
//! to show.

use reqwest::Method;
use serde_json::json;

use crate::kit::{
    ADMIN, Actor, PASSWORD,
    fleet::{Fleet, text},
    want,
};

/// An operator who decides, and is in a group.
pub const APPROVER: &str = "approver@example.org";
/// An operator who only looks.
pub const AUDITOR: &str = "auditor@example.org";

/// Ids of what is there.
pub struct Organisation {
    pub root: String,
    /// An agent with agents below it, which has talked.
    pub editor: String,
    /// Has secrets, and requests about it.
    pub researcher: String,
    /// Is paused.
    pub archive: String,
    /// Runs elsewhere and has not come yet.
    pub remote: String,
    /// A request of the root agent that waits.
    pub pending: String,
    /// One that a human did not agree to.
    pub denied: String,
}

/// What agents of a newspaper say to each other; it has what a page must be able to show.
const QUESTION: &str = "Please compare the **three drafts** and answer in a list:\n\n1. what is new\n2. what is wrong\n\n```\n\
    draft-1  1,204 words\ndraft-2    980 words\n```\n\nThe sources are in `sources/2026-11/`.";

/// Fills a house that has agents with people, secrets, talk and requests.
pub fn make(fleet: &Fleet) -> Organisation {
    let root = fleet.root();
    let create = |name: &str, role: &str, runtime: &str, parent: Option<&str>| {
        let body = json!({"name": name, "role": role, "runtime": runtime, "parent_id": parent});
        text(&fleet.post("/workspaces", Some(body), 201), "id")
    };
    let editor = create("editor", "decides what is printed", "process", None);
    let researcher = create("researcher", "reads and summarises", "process", Some(&editor));
    let writer = create("writer", "drafts", "process", Some(&editor));
    let archive = create("archive", "keeps what was printed", "process", None);
    let remote = create("translator-of-long-documents", "runs at an agency", "external", None);
    people(fleet);
    secrets(fleet, &researcher, &writer);
    tokens(fleet, &researcher);
    let (pending, denied) = requests(fleet, &root, &researcher, &writer);
    for workspace in [&editor, &researcher, &writer, &archive] {
        fleet.settled(workspace);
    }
    for words in ["Good morning.", QUESTION] {
        fleet.ask(&editor, words);
    }
    fleet.post(&format!("/workspaces/{archive}/pause"), None, 200);
    fleet.shown(&archive, "paused");
    Organisation { root, editor, researcher, archive, remote, pending, denied }
}

fn people(fleet: &Fleet) {
    for (email, role, groups) in [(APPROVER, "approver", vec!["security"]), (AUDITOR, "auditor", Vec::new())] {
        let body = json!({"email": email, "password": PASSWORD, "role": role, "groups": groups});
        fleet.post("/operators", Some(body), 201);
    }
    let policy = "@code(\"POLICY_FORBIDS\")\n@reason(\"tokens_are_for_people\")\nforbid (principal is Agent, action == \
        Action::\"token.mint\", resource);";
    fleet.post("/policies", Some(json!({"name": "no tokens by agents", "text": policy})), 201);
}

fn secrets(fleet: &Fleet, researcher: &str, writer: &str) {
    fleet.set_for_all("OPENAI_BASE_URL", "https://models.example.org/v1");
    fleet.set_for_all("SEARCH_KEY", "a search key for everybody");
    fleet.set(researcher, "SEARCH_KEY", "a search key of its own");
    fleet.set(researcher, "LIBRARY_PASSWORD", "the first one");
    fleet.set(researcher, "LIBRARY_PASSWORD", "the second one");
    let file = json!({"key": "STYLE_GUIDE", "value": "Short sentences.", "delivery": "file"});
    fleet.post(&format!("/workspaces/{writer}/secrets"), Some(file), 200);
}

fn tokens(fleet: &Fleet, researcher: &str) {
    fleet.post("/org/tokens", Some(json!({"name": "ci", "scopes": ["workspaces:read"]})), 200);
    fleet.post(&format!("/workspaces/{researcher}/tokens"), Some(json!({"name": "laptop"})), 201);
}

/// The root agent asks: one request waits, one was denied, and one was refused at once.
fn requests(fleet: &Fleet, root: &str, researcher: &str, writer: &str) -> (String, String) {
    let agent = Actor::bearer(ADMIN);
    let ask = |workspace: &str, key: &str, status: u16| {
        let body = json!({"key": key, "value": "what the root agent proposes"});
        want(status, fleet.ask_as(&agent, Method::POST, &format!("/workspaces/{workspace}/secrets"), Some(body)))
    };
    let pending = text(&ask(researcher, "NEWS_API_KEY", 202), "approval_id");
    let denied = text(&ask(writer, "PRINTER_KEY", 202), "approval_id");
    let no = json!({"decision": "denied", "note": "the printer has its own"});
    fleet.post(&format!("/approvals/{denied}/decide"), Some(no), 200);
    ask(root, "OWN_KEY", 403);
    (pending, denied)
}
