//! The request that a step is.

use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, Stage};
use crate::step::{Act, Base, Change, Label, Office, Place, ROLES, Work, Write};

/// What an added policy says; `{}` is how many approvers.
const RULE: &str = "@hold(\"role:approver={}\")\n@reason(\"ruled\")\nforbid (principal, action == \
                    Action::\"secret.set\", resource) unless { context.approved };";
/// Method, path, headers and body.
pub(super) type Asked = (Method, String, Vec<(&'static str, String)>, Option<Value>);

impl Stage {
    /// The request that a step is. `None`: what it speaks of was never made here.
    pub(super) fn request(&self, act: &Act) -> Option<Asked> {
        let at = |place: Place| match place {
            Place::Org => Some("/settings/secrets".to_owned()),
            Place::Space(space) => Some(format!("/workspaces/{}/secrets", self.spaces.get(&space)?)),
        };
        let space = |label: &Label| self.spaces.get(label).map(|id| format!("/workspaces/{id}"));
        let plain = |method: Method, path: String| Some((method, path, Vec::new(), None));
        let posted = |path: String, body: Value| Some((Method::POST, path, Vec::new(), Some(body)));
        match act {
            Act::Secret { place, key, write } => {
                let (at, key) = (at(*place)?, key.as_str());
                match write {
                    Write::Set { value, base, staged } => {
                        let body = json!({"key": key, "value": format!("value number {value}"), "activate": !staged});
                        Some((Method::POST, at, based(*base), Some(body)))
                    }
                    Write::Delete { base } => Some((Method::DELETE, format!("{at}/{key}"), based(*base), None)),
                    Write::Undelete => plain(Method::POST, format!("{at}/{key}/undelete")),
                    Write::Destroy { version } => {
                        let body = version.map_or(json!({}), |version| json!({"version": version}));
                        posted(format!("{at}/{key}/destroy"), body)
                    }
                    Write::Rollback { to } => posted(format!("{at}/{key}/rollback"), json!({"to_version": to})),
                    Write::Activate { version } => posted(format!("{at}/{key}/activate"), json!({"version": version})),
                }
            }
            Act::Pair { one, two } => {
                let line = |(place, key, value): &(Place, String, u8)| {
                    let mut line = json!({"op": "set", "key": key, "value": format!("value number {value}")});
                    if let Place::Space(space) = place {
                        line["workspace_id"] = self.spaces.get(space)?.as_str().into();
                    }
                    Some(line)
                };
                posted("/secrets/change-sets".to_owned(), json!({"changes": [line(one)?, line(two)?]}))
            }
            Act::Slot { place, key } => posted(format!("{}/{key}/request", at(*place)?), json!({"description": "why"})),
            Act::Vote { ask, yes } => {
                let body = json!({"decision": if *yes { "approved" } else { "denied" }});
                posted(format!("/approvals/{}/decide", self.asks.get(ask)?), body)
            }
            Act::BreakGlass { ask } => {
                let body = json!({"decision": "approved", "break_glass": true, "note": "nobody else is there"});
                posted(format!("/approvals/{}/decide", self.asks.get(ask)?), body)
            }
            Act::Withdraw { ask } => plain(Method::POST, format!("/approvals/{}/withdraw", self.asks.get(ask)?)),
            Act::Mint { place, life_s, to } => {
                let mut body = json!({"name": "minted", "expires_in_s": life_s});
                if let Some((to, key)) = to {
                    body["deliver_to"] = json!({"workspace_id": self.spaces.get(to)?, "key": key});
                }
                match place {
                    Place::Org => posted("/org/tokens".to_owned(), body),
                    Place::Space(at) => posted(format!("{}/tokens", space(at)?), body),
                }
            }
            Act::Operator { name, office } => {
                let body = match office {
                    Office::Role(rank) => json!({"role": ROLES[usize::from(*rank)]}),
                    Office::Disable => json!({"disabled": true}),
                    Office::Enable => json!({"disabled": false}),
                };
                Some((Method::PATCH, format!("/operators/{}", self.operators.get(name)?), Vec::new(), Some(body)))
            }
            Act::LogOut => plain(Method::POST, "/auth/logout".to_owned()),
            Act::Revoke { token } => plain(Method::DELETE, format!("/org/tokens/{}", self.tokens.get(token)?)),
            Act::Create { parent } => {
                posted("/workspaces".to_owned(), json!({"name": "made", "parent_id": self.spaces.get(parent)?}))
            }
            Act::Space { space: at, change } => {
                let name = if *at < 4 { format!("w{at}") } else { "made".to_owned() };
                match change {
                    Change::Remove => plain(Method::DELETE, format!("{}?confirm={name}", space(at)?)),
                    Change::Restart => plain(Method::POST, format!("{}/restart", space(at)?)),
                    Change::Pause => plain(Method::POST, format!("{}/pause", space(at)?)),
                    Change::Resume => plain(Method::POST, format!("{}/resume", space(at)?)),
                }
            }
            Act::StepUp => posted("/auth/step-up".to_owned(), json!({"password": PASSWORD})),
            Act::Rule { votes } => {
                let text = RULE.replace("{}", &votes.to_string());
                posted("/policies".to_owned(), json!({"name": "added", "text": text}))
            }
            Act::Unrule { rule } => plain(Method::DELETE, format!("/policies/{}", self.rules.get(rule)?)),
            Act::Send { space: at } => posted(format!("{}/messages", space(at)?), json!({"text": "work"})),
            Act::Agent { space: at, work } => match work {
                Work::Register => posted("/registry/register".to_owned(), json!({"id": self.spaces.get(at)?})),
                Work::Take => posted(format!("{}/inbox/claim", space(at)?), json!({"wait_s": 0})),
                Work::End { turn, done } => {
                    let body = if *done {
                        json!({"state": "completed", "reply": "done"})
                    } else {
                        json!({"state": "failed", "error": "no"})
                    };
                    posted(format!("{}/turns/{}/end", space(at)?, self.turns.get(turn)?), body)
                }
            },
            Act::LogIn { .. } | Act::Clock { .. } | Act::Tick => None,
        }
    }
}

fn based(base: Base) -> Vec<(&'static str, String)> {
    match base {
        Base::Any => vec![],
        Base::Absent => vec![("if-none-match", "*".to_owned())],
        Base::Present => vec![("if-match", "*".to_owned())],
        Base::Version(version) => vec![("if-match", format!("\"{version}\""))],
    }
}
