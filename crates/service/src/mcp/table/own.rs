//! What an agent does about itself, its peers and its requests.

use portcullis_kernel::scope::Scope;

use super::{HOME, KEY, ONCE, arg, body, held};
use crate::mcp::{
    run::{DELEGATE_WAIT_S, DELEGATE_WAIT_S_MAX, REQUEST_WAIT_S_MAX, TASK_WAIT_S_MAX},
    tool::{Does, Runs, Set, To, Tool},
};

pub(super) const TOOLS: &[Tool] = &[
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
            arg(
                "task",
                To::As("text"),
                "What is to be done, with everything the peer has to know. At most 1 MiB with the rest of the message.",
            ),
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
];
