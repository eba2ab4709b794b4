//! Every page of an organisation, at every size and in both themes: for whoever looks at all of them.

use crate::{organisation::Organisation, page::Look};

/// The sizes that pages are made for: a desk and a phone.
const SIZES: [(u32, u32); 2] = [(1440, 900), (390, 844)];

/// How pages are looked at, and what that is called.
pub fn looks() -> Vec<(String, Look)> {
    let look = |(width, height): (u32, u32), dark: bool| {
        let name = format!("{width}-{}", if dark { "dark" } else { "light" });
        (name, Look { width, height, dark, reduced_motion: true })
    };
    SIZES.into_iter().flat_map(|size| [look(size, false), look(size, true)]).collect()
}

/// Pages that anybody sees, by name and path.
pub const OUTSIDE: [(&str, &str); 3] =
    [("sign-in", "/console"), ("claim", "/claim#not-a-token"), ("invite", "/invite#not-a-token")];

/// Pages that an operator sees.
pub fn inside(organisation: &Organisation) -> Vec<(&'static str, String)> {
    let Organisation { root, editor, researcher, archive, remote, pending, denied } = organisation;
    let at = |path: &str| format!("/console{path}");
    vec![
        ("map", at("")),
        ("map-list", at("?view=list")),
        ("map-selected", at(&format!("?selected={researcher}"))),
        ("root", at(&format!("/workspaces/{root}"))),
        ("workspace", at(&format!("/workspaces/{researcher}"))),
        ("workspace-chat", at(&format!("/workspaces/{editor}/chat"))),
        ("workspace-secrets", at(&format!("/workspaces/{researcher}/secrets"))),
        ("workspace-activity", at(&format!("/workspaces/{researcher}/activity"))),
        ("workspace-approvals", at(&format!("/workspaces/{researcher}/approvals"))),
        ("workspace-tokens", at(&format!("/workspaces/{researcher}/tokens"))),
        ("workspace-paused", at(&format!("/workspaces/{archive}"))),
        ("workspace-external", at(&format!("/workspaces/{remote}"))),
        ("workspace-gone", at("/workspaces/01a00000-0000-7000-8000-000000000000")),
        ("approvals", at("/approvals")),
        ("approval-pending", at(&format!("/approvals/{pending}"))),
        ("approval-denied", at(&format!("/approvals/{denied}"))),
        ("secrets", at("/secrets")),
        ("audit", at("/audit")),
        ("audit-event", at("/audit/1")),
        ("policies", at("/policies")),
        ("policies-matrix", at("/policies/matrix")),
        ("policies-what-if", at("/policies/what-if")),
        ("operators", at("/operators")),
        ("tokens", at("/tokens")),
        ("settings", at("/settings")),
        ("not-found", at("/no/such/page")),
    ]
}
