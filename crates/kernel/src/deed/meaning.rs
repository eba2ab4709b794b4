//! What a deed means: its verbs, its target, and what it does to agents. Exhaustive on purpose: a new deed does not compile
//! until it has answered here.

use super::{Deed, OperatorUpdate, SecretScope, Target, TokenMint, WorkspaceUpdate};
use crate::{consequence::Consequence, id::WorkspaceId, name::SecretKey, runtime::Runtime, verb::Verb};

impl Target {
    /// `organisation`, `workspace`, `token` or `approval`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Organisation => "organisation",
            Self::Workspace(_) => "workspace",
            Self::Token(_) => "token",
            Self::Approval(_) => "approval",
        }
    }

    /// The id as text; empty for the organisation.
    pub fn id(&self) -> String {
        match self {
            Self::Organisation => String::new(),
            Self::Workspace(id) => id.to_string(),
            Self::Token(id) => id.to_string(),
            Self::Approval(id) => id.to_string(),
        }
    }
}

fn scope_target(scope: SecretScope) -> Target {
    scope.workspace().map_or(Target::Organisation, Target::Workspace)
}

impl Deed {
    /// The verb that names it in the log.
    pub fn verb(&self) -> Verb {
        match self {
            Self::SecretSet(_) => Verb::SecretSet,
            Self::SecretDelete(_) => Verb::SecretDelete,
            Self::SecretUndelete(_) => Verb::SecretUndelete,
            Self::SecretDestroy(_) => Verb::SecretDestroy,
            Self::SecretRollback(_) => Verb::SecretRollback,
            Self::SecretActivate(_) => Verb::SecretActivate,
            Self::SecretChangeSet(_) => Verb::SecretChangeSet,
            Self::SecretImport(_) => Verb::SecretImport,
            Self::SecretRequest(_) => Verb::SecretRequest,
            Self::TokenMint(_) => Verb::TokenMint,
            Self::TokenRevoke(_) => Verb::TokenRevoke,
            Self::EnrolmentIssue(_) => Verb::EnrolmentIssue,
            Self::WorkspaceCreate(_) => Verb::WorkspaceCreate,
            Self::WorkspaceUpdate(update) => update.verb(),
            Self::WorkspaceRestart(_) => Verb::WorkspaceRestart,
            Self::WorkspacePause(_) => Verb::WorkspacePause,
            Self::WorkspaceResume(_) => Verb::WorkspaceResume,
            Self::WorkspaceRemove(_) => Verb::WorkspaceRemove,
            Self::WorkspaceApply(_) => Verb::WorkspaceApply,
            Self::WorkspaceForceStop(_) => Verb::WorkspaceForceStop,
            Self::MessageSend(_) => Verb::MessageSend,
            Self::ApprovalAsk(_) => Verb::ApprovalAsk,
            Self::ApprovalDecide(_) => Verb::ApprovalDecide,
            Self::ApprovalWithdraw(_) => Verb::ApprovalWithdraw,
            Self::OperatorCreate(_) => Verb::OperatorCreate,
            Self::OperatorUpdate(_) => Verb::OperatorUpdate,
            Self::OperatorInvite(_) => Verb::OperatorInvite,
            Self::PolicyAdd(_) => Verb::PolicyAdd,
            Self::PolicyRemove(_) => Verb::PolicyRemove,
            Self::EnvironmentRelease(_) => Verb::EnvironmentRelease,
            Self::AuditExport(_) => Verb::AuditExport,
            Self::KeyRotate(_) => Verb::KeyRotate,
        }
    }

    /// Every verb that must be permitted for the deed to happen. One, except where one request does several things: an
    /// update that renames *and* moves needs both permissions, whichever name it has in the log.
    pub fn verbs(&self) -> Vec<Verb> {
        match self {
            Self::WorkspaceUpdate(update) => update.verbs(),
            other => vec![other.verb()],
        }
    }

    /// What it is aimed at. A change set that spans workspaces is aimed at the organisation.
    pub fn target(&self) -> Target {
        match self {
            Self::SecretSet(d) => scope_target(d.scope),
            Self::SecretDelete(d) => scope_target(d.scope),
            Self::SecretUndelete(d) => scope_target(d.scope),
            Self::SecretDestroy(d) => scope_target(d.scope),
            Self::SecretRollback(d) => scope_target(d.scope),
            Self::SecretActivate(d) => scope_target(d.scope),
            Self::SecretImport(d) => scope_target(d.scope),
            Self::SecretRequest(d) => scope_target(d.scope),
            Self::SecretChangeSet(d) => match d.changes.split_first() {
                Some((first, rest)) if rest.iter().all(|change| change.scope == first.scope) => {
                    scope_target(first.scope)
                }
                _ => Target::Organisation,
            },
            Self::TokenMint(d) => d.workspace.map_or(Target::Organisation, Target::Workspace),
            Self::TokenRevoke(d) => Target::Token(d.credential),
            Self::EnrolmentIssue(d) => Target::Workspace(d.workspace),
            Self::WorkspaceCreate(d) => d.parent.map_or(Target::Organisation, Target::Workspace),
            Self::WorkspaceUpdate(d) => Target::Workspace(d.workspace),
            Self::WorkspaceRestart(d) => Target::Workspace(d.workspace),
            Self::WorkspacePause(d) => Target::Workspace(d.workspace),
            Self::WorkspaceResume(d) => Target::Workspace(d.workspace),
            Self::WorkspaceRemove(d) => Target::Workspace(d.workspace),
            Self::WorkspaceApply(d) => Target::Workspace(d.workspace),
            Self::WorkspaceForceStop(d) => Target::Workspace(d.workspace),
            Self::MessageSend(d) => Target::Workspace(d.workspace),
            Self::ApprovalAsk(d) => Target::Workspace(d.workspace),
            Self::ApprovalDecide(d) => Target::Approval(d.approval),
            Self::ApprovalWithdraw(d) => Target::Approval(d.approval),
            Self::EnvironmentRelease(d) => Target::Workspace(d.workspace),
            Self::OperatorCreate(_)
            | Self::OperatorUpdate(_)
            | Self::OperatorInvite(_)
            | Self::PolicyAdd(_)
            | Self::PolicyRemove(_)
            | Self::AuditExport(_)
            | Self::KeyRotate(_) => Target::Organisation,
        }
    }

    /// The key, where there is one; what the log and the refusal name.
    pub fn key(&self) -> Option<&SecretKey> {
        match self {
            Self::SecretSet(d) => Some(&d.key),
            Self::SecretDelete(d) => Some(&d.key),
            Self::SecretUndelete(d) => Some(&d.key),
            Self::SecretDestroy(d) => Some(&d.key),
            Self::SecretRollback(d) => Some(&d.key),
            Self::SecretActivate(d) => Some(&d.key),
            Self::SecretRequest(d) => Some(&d.key),
            Self::SecretChangeSet(d) => d.changes.first().map(|change| &change.key),
            Self::SecretImport(d) => d.keys.first(),
            _ => None,
        }
    }

    /// The secrets the deed writes: what the facts must say who inherits.
    pub fn secrets_written(&self) -> Vec<(SecretScope, &SecretKey)> {
        match self {
            Self::SecretSet(d) => vec![(d.scope, &d.key)],
            Self::SecretDelete(d) => vec![(d.scope, &d.key)],
            Self::SecretUndelete(d) => vec![(d.scope, &d.key)],
            Self::SecretDestroy(d) => vec![(d.scope, &d.key)],
            Self::SecretRollback(d) => vec![(d.scope, &d.key)],
            Self::SecretActivate(d) => vec![(d.scope, &d.key)],
            Self::SecretChangeSet(d) => d.changes.iter().map(|change| (change.scope, &change.key)).collect(),
            Self::SecretImport(d) => d.keys.iter().map(|key| (d.scope, key)).collect(),
            Self::TokenMint(TokenMint { deliver_to: Some(to), .. }) => {
                vec![(SecretScope::Workspace(to.workspace_id), &to.key)]
            }
            _ => Vec::new(),
        }
    }

    /// What it will cause, given the workspaces it reaches (see [`crate::facts::Facts::reaches`]).
    pub fn consequences(&self, reaches: &[WorkspaceId]) -> Vec<Consequence> {
        let each = |make: fn(WorkspaceId) -> Consequence| reaches.iter().copied().map(make).collect::<Vec<_>>();
        let reconfigures = |workspace| Consequence::Reconfigures { workspace };
        let interrupts = |workspace| Consequence::Interrupts { workspace };
        match self {
            // A version that is only staged reaches nobody until it is activated, but activating it later must not be
            // the first time anyone asks: it is judged as if it did.
            Self::SecretSet(_)
            | Self::SecretDelete(_)
            | Self::SecretUndelete(_)
            | Self::SecretDestroy(_)
            | Self::SecretRollback(_)
            | Self::SecretActivate(_)
            | Self::SecretChangeSet(_)
            | Self::SecretImport(_) => each(reconfigures),
            Self::TokenMint(d) => {
                let to = d.workspace.map_or_else(|| "organisation".to_owned(), |id| id.to_string());
                let scopes = d.scopes.0.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ");
                let mut all = vec![Consequence::Grants { scope: format!("{to}: {scopes}") }];
                all.extend(each(reconfigures));
                all
            }
            Self::EnrolmentIssue(d) => vec![Consequence::Grants { scope: format!("{}: enrolment", d.workspace) }],
            Self::WorkspaceUpdate(d) if d.runtime.is_some() => each(reconfigures),
            Self::WorkspaceRestart(_)
            | Self::WorkspacePause(_)
            | Self::WorkspaceApply(_)
            | Self::WorkspaceForceStop(_) => each(interrupts),
            Self::WorkspaceRemove(_) => each(|workspace| Consequence::Destroys { workspace }),
            Self::EnvironmentRelease(d) => vec![Consequence::Releases { workspace: d.workspace }],
            Self::OperatorCreate(d) => vec![Consequence::Grants { scope: format!("operator: {}", d.role.as_str()) }],
            Self::OperatorUpdate(OperatorUpdate { role: Some(role), .. }) => {
                vec![Consequence::Grants { scope: format!("operator: {}", role.as_str()) }]
            }
            // Whoever has the link is that operator.
            Self::OperatorInvite(d) => vec![Consequence::Grants { scope: format!("operator: {}", d.operator) }],
            Self::WorkspaceUpdate(_)
            | Self::WorkspaceResume(_)
            | Self::WorkspaceCreate(_)
            | Self::OperatorUpdate(_)
            | Self::SecretRequest(_)
            | Self::TokenRevoke(_)
            | Self::MessageSend(_)
            | Self::ApprovalAsk(_)
            | Self::ApprovalDecide(_)
            | Self::ApprovalWithdraw(_)
            | Self::PolicyAdd(_)
            | Self::PolicyRemove(_)
            | Self::AuditExport(_)
            | Self::KeyRotate(_) => Vec::new(),
        }
    }
}

impl Deed {
    /// The runtime it gives a workspace, if it gives one.
    pub const fn runtime(&self) -> Option<&Runtime> {
        match self {
            Self::WorkspaceCreate(d) => d.runtime.as_ref(),
            Self::WorkspaceUpdate(d) => d.runtime.as_ref(),
            _ => None,
        }
    }
}

impl TokenMint {
    /// Whether it would put what speaks for one workspace into the hands of another.
    pub fn is_delivered_elsewhere(&self) -> bool {
        let to = self.deliver_to.as_ref().map(|to| to.workspace_id);
        self.workspace.zip(to).is_some_and(|(home, to)| home != to)
    }
}

impl WorkspaceUpdate {
    fn verb(&self) -> Verb {
        if self.parent.is_some() {
            Verb::WorkspaceReparent
        } else if self.runtime.is_some() {
            Verb::WorkspaceConfigure
        } else {
            Verb::WorkspaceRename
        }
    }

    fn verbs(&self) -> Vec<Verb> {
        let mut verbs = vec![self.verb()];
        let also = [
            (self.runtime.is_some(), Verb::WorkspaceConfigure),
            (self.name.is_some() || self.role.is_some(), Verb::WorkspaceRename),
        ];
        for (asked, verb) in also {
            if asked && !verbs.contains(&verb) {
                verbs.push(verb);
            }
        }
        verbs
    }
}
