//! What the root agent and services do about the organisation.

use portcullis_kernel::scope::Scope;

use super::{KEY, ONCE, WORKSPACE, arg, body, held};
use crate::mcp::tool::{Does, Runs, Set, To, Tool};

pub(super) const TOOLS: &[Tool] = &[
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
