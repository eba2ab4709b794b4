//! Callers that nobody is: a human asks what would happen if somebody else did something.
//!
//! Such a caller passes the gate as itself, as far as the decision, and no further. It has no credential, so nothing is
//! kept under it; the gate refuses it whenever something could come of the request; and no read answers it.

use portcullis_kernel::{
    id::{CredentialId, OperatorId, WorkspaceId},
    name::DisplayName,
    operator::Role,
    refusal::Code,
    scope::{Scope, Scopes},
    subject::{Lineage, Principal, Standing, Subject},
    time::Timestamp,
};

use crate::{
    authority::Authority,
    caller::{Caller, CredentialKind},
    facts,
    gate::Cx,
    refusal::Refusal,
    tables::workspaces,
    vault, views,
};

/// Who is supposed to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Supposed {
    /// The agent of a workspace, by its own token.
    Agent(WorkspaceId),
    /// The root agent, by the admin token.
    Root,
    /// A program with an organisation token that a human minted.
    Service {
        /// Its secret writes need no approval.
        unattended: bool,
    },
    /// A human. None of those there are: somebody who asked for nothing before.
    Operator {
        /// Role.
        role: Role,
        /// Groups.
        groups: Vec<DisplayName>,
        /// Re-authenticated a moment ago.
        stepped_up: bool,
    },
}

impl Authority {
    /// The caller that somebody else would be, for a human who may read what was decided before. With it the gate says
    /// what it would decide, and does nothing: INVARIANT: only a dry run is answered, and no read.
    pub async fn suppose(&self, asker: &Caller, who: Supposed) -> Result<Caller, Refusal> {
        views::human(asker)?;
        views::need(asker, Scope::AuditRead)?;
        let root = self.root();
        if let Supposed::Agent(home) = who {
            let found = self.read(move |conn, _| Ok(workspaces::find(conn, home)?)).await?;
            found.ok_or_else(|| Refusal::new(Code::WorkspaceNotFound))?;
        }
        // Ids that nothing has: what is "its own" for these is nothing that there is.
        let id = vault::uuid_v7(self.now().0);
        let (credential, operator) = (CredentialId::from_uuid(id), OperatorId::from_uuid(id));
        let (principal, kind, standing, scopes) = match who {
            Supposed::Agent(home) => {
                (Principal::Agent(home), CredentialKind::Workspace, Standing::Agent, Scopes::workspace())
            }
            Supposed::Root => (Principal::Agent(root), CredentialKind::Admin, Standing::Agent, Scopes::admin()),
            Supposed::Service { unattended } => {
                let standing = Standing::Service { unattended };
                (Principal::Service(credential), CredentialKind::Organisation, standing, Scopes::agent())
            }
            Supposed::Operator { role, groups, stepped_up } => {
                let groups = groups.iter().map(ToString::to_string).collect();
                let standing = Standing::Operator { role, groups, stepped_up };
                (Principal::Operator(operator), CredentialKind::Session, standing, Scopes::session())
            }
        };
        Ok(Caller {
            subject: Subject { principal, lineage: Lineage(vec![credential]) },
            credential: None,
            kind: Some(kind),
            standing,
            scopes,
            expires_at: Timestamp(i64::MAX),
            stepped_up_until: None,
            root,
            csrf: None,
            supposed: true,
        })
    }
}

/// Refuses a caller that nobody is. Whoever gets here with one took a wrong turn inside the platform.
pub(crate) fn present(caller: &Caller) -> Result<(), Refusal> {
    if caller.supposed {
        return Err(Refusal::new(Code::Internal).internal("a supposed caller asked for more than a plan"));
    }
    Ok(())
}

/// What the gate goes by: the caller looked up again, or as it is supposed to be where nothing can come of it.
pub(crate) fn who(cx: &mut Cx<'_>, caller: &Caller) -> Result<(Standing, Scopes), Refusal> {
    if caller.supposed && cx.meta.dry_run {
        return Ok((caller.standing.clone(), caller.scopes.clone()));
    }
    facts::recheck(cx, caller)
}
