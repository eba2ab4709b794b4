//! The tools. Names and arguments are those of the reference system where both have the tool (reference, surfaces §2.6).

use std::{collections::HashMap, fmt::Write};

use portcullis_kernel::scope::Scope;

use super::{
    run::{DELEGATE_WAIT_S, DELEGATE_WAIT_S_MAX, REQUEST_WAIT_S_MAX, TASK_WAIT_S_MAX},
    schema,
    tool::{Arg, Bound, Does, Runs, Set, To, Tool},
};

const fn arg(name: &'static str, to: To, about: &'static str) -> Arg {
    Arg { name, to, about }
}

/// An argument that the route's schema describes.
const fn body(name: &'static str) -> Arg {
    arg(name, To::Body, "")
}

const HOME: Arg = arg("workspace_id", To::Home("id"), "Which workspace; your own when left out.");
const WORKSPACE: Arg = arg("workspace_id", To::Path("id"), "Which workspace.");
const KEY: Arg = arg("key", To::Path("key"), "Name of the secret, such as `API_KEY`.");
const ONCE: Arg = arg(
    "idempotency_key",
    To::Key,
    "A text of your choice. The same text with the same arguments is the same request, however often it is sent.",
);

/// Said by every tool whose effect a human may have to agree to.
macro_rules! held {
    ($text:literal) => {
        concat!(
            $text,
            " If the result has `status: pending_approval`, nothing has changed yet: a human sees the exact effect and decides. Do \
             not call again and do not look for another way; use `wait_for_request`, or go on with other work. A refusal names \
             a code and the next step: follow it."
        )
    };
}

const TOOLS: &[Tool] = &[
    // About itself.
    Tool {
        name: "list_peers",
        title: "Whom you may talk to",
        description: "Lists your parent, your children and your siblings with their roles and states. These are all the workspaces \
                      you can see and send work to; there is no way to reach others, and a guess is answered as if it did not exist.",
        set: Set::Own,
        does: Does::Reads,
        scope: Scope::WorkspacesRead,
        operation: "peer_list",
        runs: Runs::Route,
        args: &[arg("workspace_id", To::Home("id"), "Your own workspace; may be left out.")],
        list: Some("peers"),
    },
    Tool {
        name: "get_workspace_info",
        title: "Your workspace",
        description: "Shows your own workspace: name, role, state, whether a restart waits for the end of your turn.",
        set: Set::Own,
        does: Does::Reads,
        scope: Scope::WorkspacesRead,
        operation: "workspace_get",
        runs: Runs::Route,
        args: &[arg("workspace_id", To::Home("id"), "Your own workspace; may be left out.")],
        list: None,
    },
    Tool {
        name: "delegate_task",
        title: "Give work to a peer",
        description: "Sends a task to a peer of `list_peers` and waits for the reply. If the peer is busy the task is queued and kept; \
                      when the wait is over before the reply, the result has the task's id and `status: queued` or `delivered`: go on, and ask \
                      again with `check_task_status`. Do not send the task a second time and do not do it yourself meanwhile. Never put a secret \
                      value into a task.",
        set: Set::Own,
        does: Does::Speaks,
        scope: Scope::Messages,
        operation: "message_send",
        runs: Runs::Delegate,
        args: &[
            arg("workspace_id", To::Path("id"), "The peer."),
            arg("task", To::As("text"), "What is to be done, with everything the peer has to know. At most 1 MiB."),
            arg(
                "message_id",
                To::Body,
                "Your own id of the task: the same id again is the same task, however often it is sent.",
            ),
            arg("context_id", To::Body, "The conversation it belongs to."),
            arg(
                "wait_s",
                To::Wait(DELEGATE_WAIT_S, DELEGATE_WAIT_S_MAX),
                "How long to wait for the reply, in seconds.",
            ),
        ],
        list: None,
    },
    Tool {
        name: "check_task_status",
        title: "What became of a task",
        description: "Shows a task you sent, with its reply or why it failed. Can wait for its end. A task whose `status` is `failed` may have \
                      been done in part: look before you send it again.",
        set: Set::Own,
        does: Does::Reads,
        scope: Scope::Messages,
        operation: "message_get",
        runs: Runs::Route,
        args: &[
            arg("workspace_id", To::Path("id"), "The peer it was sent to."),
            arg("task_id", To::Path("message"), "The `task_id` that `delegate_task` gave."),
            arg("wait_s", To::Wait(0, TASK_WAIT_S_MAX), "How long to wait for its end, in seconds."),
        ],
        list: None,
    },
    Tool {
        name: "send_message_to_user",
        title: "Tell the people",
        description: "Puts a message into your conversation with the people of the organisation. It asks for nothing and decides nothing. \
                      To ask a human for a decision use `create_approval`; to ask for a secret value use `request_secret`.",
        set: Set::Own,
        does: Does::Speaks,
        scope: Scope::Messages,
        operation: "message_notify",
        runs: Runs::Route,
        args: &[body("message"), arg("workspace_id", To::Home("id"), "Your own workspace; may be left out.")],
        list: None,
    },
    Tool {
        name: "list_workspace_secrets",
        title: "Names of secrets",
        description: "Lists the secrets of a workspace: names, versions, origin. Never a value: no tool, no route and no person can read one. \
                      Values reach a workspace's own program as environment variables or files.",
        set: Set::Both,
        does: Does::Reads,
        scope: Scope::SecretsRead,
        operation: "secret_list",
        runs: Runs::Route,
        args: &[HOME],
        list: Some("secrets"),
    },
    Tool {
        name: "set_workspace_secret",
        title: "Set a secret",
        description: held!(
            "Puts a new version of a secret of a workspace. The workspace's agent gets it at the end of its turn. The organisation's root \
             workspace can never be changed by an agent, by no credential and on no way: ask a human. Do not paste a Portcullis token as a \
             value; mint it with `deliver_to`. If you do not have the value, do not invent one: use `request_secret`."
        ),
        set: Set::Both,
        does: Does::Sets,
        scope: Scope::SecretsWrite,
        operation: "secret_set",
        runs: Runs::Route,
        args: &[HOME, body("key"), body("value"), body("delivery"), body("description"), body("reason"), ONCE],
        list: None,
    },
    Tool {
        name: "request_secret",
        title: "Ask a human for a secret",
        description: held!(
            "Opens a slot for a secret. A human types the value in the console; you never see it, and your program gets it like any \
             other secret. Use this whenever a value is missing."
        ),
        set: Set::Both,
        does: Does::Adds,
        scope: Scope::SecretsWrite,
        operation: "secret_request",
        runs: Runs::Route,
        args: &[HOME, KEY, body("description"), ONCE],
        list: None,
    },
    Tool {
        name: "create_approval",
        title: "Ask a human",
        description: "Puts a question to the humans of the organisation. The answer is a yes or a no with a note; a yes grants nothing by \
                      itself, and every later request is decided again. Do not use it for what another tool asks by itself.",
        set: Set::Both,
        does: Does::Adds,
        scope: Scope::Approvals,
        operation: "approval_ask",
        runs: Runs::Route,
        args: &[HOME, body("action"), body("reason"), ONCE],
        list: None,
    },
    Tool {
        name: "check_requests",
        title: "Your requests",
        description: "Lists what you asked humans for, newest first: what waits, what was applied, denied, expired, withdrawn, voided or failed. \
                      You cannot decide any of them; no tool and no token can.",
        set: Set::Both,
        does: Does::Reads,
        scope: Scope::Approvals,
        operation: "approval_list",
        runs: Runs::Route,
        args: &[
            arg(
                "state",
                To::Query("state"),
                "Only those that are `pending`, `applied`, `denied`, `expired`, `withdrawn`, `voided` or `failed`.",
            ),
            arg("limit", To::Query("limit"), "At most so many, 1 to 200; 50 when left out."),
        ],
        list: Some("requests"),
    },
    Tool {
        name: "wait_for_request",
        title: "Wait for a human",
        description: "Waits until a human has decided one of your requests, or the time is over, and shows it. Still `pending` is no answer: \
                      it is not a yes. `applied` means that it has been done, by the platform: do not do it again.",
        set: Set::Both,
        does: Does::Reads,
        scope: Scope::Approvals,
        operation: "approval_get",
        runs: Runs::Route,
        args: &[
            arg("approval_id", To::Path("approval"), "The `approval_id` of the request."),
            arg("wait_s", To::Wait(REQUEST_WAIT_S_MAX, REQUEST_WAIT_S_MAX), "How long to wait, in seconds."),
        ],
        list: None,
    },
    Tool {
        name: "withdraw_request",
        title: "Take a request back",
        description: "Takes back a request of your own that nobody has decided yet. Nothing is done then.",
        set: Set::Both,
        does: Does::Destroys,
        scope: Scope::Approvals,
        operation: "approval_withdraw",
        runs: Runs::Route,
        args: &[arg("approval_id", To::Path("approval"), "The `approval_id` of the request.")],
        list: None,
    },
    Tool {
        name: "plan",
        title: "What would happen",
        description: "Says what another tool would do with these arguments, and does nothing: whether it would be allowed, held for a human or \
                      refused, by which rule, and which agents it would restart. Use it before anything that reaches other agents. An answer is \
                      no promise: the request itself is decided again.",
        set: Set::Both,
        does: Does::Reads,
        scope: Scope::WorkspacesRead,
        operation: "workspace_list",
        runs: Runs::Plan,
        args: &[],
        list: None,
    },
    // About the organisation.
    Tool {
        name: "list_workspaces",
        title: "The organisation",
        description: "Lists the workspaces of the organisation with parent, state, running turn and pending restart.",
        set: Set::Management,
        does: Does::Reads,
        scope: Scope::WorkspacesRead,
        operation: "workspace_list",
        runs: Runs::Route,
        args: &[],
        list: Some("workspaces"),
    },
    Tool {
        name: "get_workspace",
        title: "One workspace",
        description: "Shows one workspace.",
        set: Set::Management,
        does: Does::Reads,
        scope: Scope::WorkspacesRead,
        operation: "workspace_get",
        runs: Runs::Route,
        args: &[WORKSPACE],
        list: None,
    },
    Tool {
        name: "provision_workspace",
        title: "Create a workspace",
        description: held!(
            "Creates a workspace for a new agent, within a quota. It can never be a root workspace. Give it a role that says what its agent does."
        ),
        set: Set::Management,
        does: Does::Adds,
        scope: Scope::WorkspacesWrite,
        operation: "workspace_create",
        runs: Runs::Route,
        args: &[body("name"), body("role"), body("parent_id"), body("runtime"), ONCE],
        list: None,
    },
    Tool {
        name: "deprovision_workspace",
        title: "Remove a workspace",
        description: held!(
            "Removes a workspace, its agent, its secrets and its tokens, and all workspaces below it. Its audit events stay. The root workspace \
             cannot be removed. A workspace with others below it needs `confirm_name`."
        ),
        set: Set::Management,
        does: Does::Destroys,
        scope: Scope::WorkspacesWrite,
        operation: "workspace_remove",
        runs: Runs::Route,
        args: &[
            WORKSPACE,
            arg("confirm_name", To::Query("confirm"), "The workspace's name, when others are below it."),
            ONCE,
        ],
        list: None,
    },
    Tool {
        name: "restart_workspace",
        title: "Restart an agent",
        description: held!(
            "Restarts an agent when its turn has ended; a turn is never cut. Not needed after a change of secrets: that restarts by itself. You \
             cannot restart yourself or the root workspace: ask a human."
        ),
        set: Set::Management,
        does: Does::Destroys,
        scope: Scope::WorkspacesWrite,
        operation: "workspace_restart",
        runs: Runs::Route,
        args: &[WORKSPACE, ONCE],
        list: None,
    },
    Tool {
        name: "pause_workspace",
        title: "Pause agents",
        description: held!(
            "Pauses an agent and all below it when their turns have ended. Messages are kept. You cannot pause yourself or the root workspace."
        ),
        set: Set::Management,
        does: Does::Sets,
        scope: Scope::WorkspacesWrite,
        operation: "workspace_pause",
        runs: Runs::Route,
        args: &[WORKSPACE, ONCE],
        list: None,
    },
    Tool {
        name: "resume_workspace",
        title: "Resume agents",
        description: held!("Resumes a paused agent and all below it."),
        set: Set::Management,
        does: Does::Sets,
        scope: Scope::WorkspacesWrite,
        operation: "workspace_resume",
        runs: Runs::Route,
        args: &[WORKSPACE, ONCE],
        list: None,
    },
    Tool {
        name: "delete_workspace_secret",
        title: "Delete a secret",
        description: held!(
            "Deletes a secret of a workspace; a human can take that back. Its agent loses it at the end of its turn. Not possible for the root workspace."
        ),
        set: Set::Management,
        does: Does::Destroys,
        scope: Scope::SecretsWrite,
        operation: "secret_delete",
        runs: Runs::Route,
        args: &[WORKSPACE, KEY, ONCE],
        list: None,
    },
    Tool {
        name: "list_org_secrets",
        title: "Names of the organisation's secrets",
        description: "Lists the secrets that every workspace inherits unless it has its own: names and versions, never a value.",
        set: Set::Management,
        does: Does::Reads,
        scope: Scope::SecretsRead,
        operation: "org_secret_list",
        runs: Runs::Route,
        args: &[],
        list: Some("secrets"),
    },
    Tool {
        name: "set_org_secret",
        title: "Set a secret of the organisation",
        description: held!(
            "Puts a new version of a secret that every workspace inherits unless it has its own. The root workspace inherits too, so an agent is \
             refused unless the root has its own version of the key: ask a human, or set it in the workspaces that need it."
        ),
        set: Set::Management,
        does: Does::Sets,
        scope: Scope::SecretsWrite,
        operation: "org_secret_set",
        runs: Runs::Route,
        args: &[body("key"), body("value"), body("delivery"), body("description"), body("reason"), ONCE],
        list: None,
    },
    Tool {
        name: "delete_org_secret",
        title: "Delete a secret of the organisation",
        description: held!(
            "Deletes a secret that every workspace inherits unless it has its own. Refused where the root workspace would lose it: ask a human."
        ),
        set: Set::Management,
        does: Does::Destroys,
        scope: Scope::SecretsWrite,
        operation: "org_secret_delete",
        runs: Runs::Route,
        args: &[KEY, ONCE],
        list: None,
    },
    Tool {
        name: "mint_org_token",
        title: "Ask for an organisation token",
        description: held!(
            "Asks for a token. It is never shown to you: it goes straight into a workspace's secrets (`deliver_to`), or a human takes it once. It \
             speaks for whoever minted it and can never do more than you."
        ),
        set: Set::Management,
        does: Does::Adds,
        scope: Scope::TokensWrite,
        operation: "org_token_mint",
        runs: Runs::Route,
        args: &[
            arg("name", To::BodyOr("organisation token"), "What it is for."),
            body("scopes"),
            body("expires_in_s"),
            body("deliver_to"),
            ONCE,
        ],
        list: None,
    },
    Tool {
        name: "mint_workspace_token",
        title: "Ask for a workspace's token",
        description: held!(
            "Asks for a token of a workspace. It is never shown to you: it goes into a workspace's secrets (`deliver_to`), or a human takes it once."
        ),
        set: Set::Management,
        does: Does::Adds,
        scope: Scope::TokensWrite,
        operation: "workspace_token_mint",
        runs: Runs::Route,
        args: &[WORKSPACE, body("name"), body("scopes"), body("expires_in_s"), body("deliver_to"), ONCE],
        list: None,
    },
    Tool {
        name: "list_org_tokens",
        title: "Organisation tokens",
        description: "Lists organisation tokens: name, prefix, scopes, age, last use. Never the token itself.",
        set: Set::Management,
        does: Does::Reads,
        scope: Scope::TokensRead,
        operation: "org_token_list",
        runs: Runs::Route,
        args: &[],
        list: None,
    },
    Tool {
        name: "revoke_org_token",
        title: "Revoke a token",
        description: held!(
            "Revokes a token and every token minted from it. A program that uses one of them loses its power at once."
        ),
        set: Set::Management,
        does: Does::Destroys,
        scope: Scope::TokensWrite,
        operation: "org_token_revoke",
        runs: Runs::Route,
        args: &[arg("id", To::Path("token"), "The token's id in `list_org_tokens`."), ONCE],
        list: None,
    },
    Tool {
        name: "list_pending_approvals",
        title: "What waits for humans",
        description: "Lists the requests that wait for a human and that you may see. You cannot decide any of them; no tool and no token can.",
        set: Set::Management,
        does: Does::Reads,
        scope: Scope::Approvals,
        operation: "approval_pending",
        runs: Runs::Route,
        args: &[],
        list: Some("approvals"),
    },
];

/// The tools with their routes. A name without a route is left out, which the snapshot of the page would show.
pub(super) fn bound() -> Vec<Bound> {
    let routes: HashMap<_, _> = crate::http::registry().into_iter().map(|route| (route.id, route)).collect();
    let bind = |tool: &Tool| {
        let operation = routes.get(tool.operation)?.clone();
        let (input, output) = (schema::input(tool, &operation), schema::output(tool, &operation));
        Some(Bound { tool: *tool, operation, input, output })
    };
    TOOLS.iter().filter_map(bind).collect()
}

/// The page `docs/tools.md`: what agents are told, word for word. Descriptions steer models, so a change of one is a change
/// of behaviour and shows in a diff.
pub fn tools_page() -> String {
    let mut page = String::from(
        "# Tools\n\nGenerated by `cargo xtask tools --accept`; a test keeps it equal to the code. What stands here is what models read.\n",
    );
    for (set, title) in [
        (Set::Own, "self: every agent"),
        (Set::Both, "self and management"),
        (Set::Management, "management: the root agent and services"),
    ] {
        let _ = write!(page, "\n## {title}\n");
        for bound in bound().iter().filter(|bound| bound.tool.set == set) {
            let Tool { name, title, description, does, scope, operation, .. } = bound.tool;
            let _ = write!(page, "\n### `{name}`: {title}\n\n{description}\n\n");
            let _ = write!(page, "Scope `{}` · route `{operation}` · {does:?}\n", scope.as_str());
            let _ = write!(page, "\n```json\n{:#}\n```\n", serde_json::Value::Object((*bound.input).clone()));
        }
    }
    page
}
