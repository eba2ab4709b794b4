//! One-time codes with which an agent that runs elsewhere becomes its workspace's agent.

use portcullis_kernel::{
    deed::EnrolmentIssue,
    id::{CredentialId, WorkspaceId},
    refusal::Code,
    scope::Scopes,
    subject::Principal,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    act::{Prepared, sealed::Act},
    caller::{Caller, CredentialKind},
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
    tables::credentials::{self, NewCredential},
    vault::{self, PlainToken, TokenKind},
};

/// A code that was issued.
#[derive(Serialize, Deserialize)]
pub struct Enrolment {
    /// Its id.
    pub id: CredentialId,
    /// For which workspace.
    pub workspace_id: WorkspaceId,
    /// Until when.
    pub expires_at: Timestamp,
    /// The code; here once.
    #[serde(skip)]
    pub code: Option<PlainToken>,
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for EnrolmentIssue {
    type Cargo = ();
    type Done = Enrolment;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        if self.expires_in_ms < 1000 || self.expires_in_ms > cx.core.config.token_ms_max {
            return Err(Fault::refused(Code::InvalidField, "expires_in_s is at least 1 and at most a year"));
        }
        Ok(Prepared::default())
    }

    fn minted(done: &Enrolment) -> Option<&PlainToken> {
        done.code.as_ref()
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Enrolment>, Fault> {
        permit.spend(|w, deed, caller| {
            let code = PlainToken::generate(TokenKind::Enrolment);
            let id = CredentialId::from_uuid(vault::uuid_v7(w.now().0));
            let expires_at = w.now().plus_ms(deed.expires_in_ms);
            let ancestors = if caller.is_operator() { Vec::new() } else { caller.subject.lineage.0.clone() };
            credentials::insert(
                w,
                &NewCredential {
                    id,
                    kind: CredentialKind::Enrolment,
                    hash: code.hash().0.as_slice(),
                    hint: &code.hint(),
                    name: "enrolment",
                    principal: Principal::Agent(deed.workspace),
                    ancestors: &ancestors,
                    workspace: Some(deed.workspace),
                    scopes: &Scopes::default(),
                    unattended: false,
                    expires_at: expires_at.0,
                    idle_ms: None,
                    payload: None,
                },
            )?;
            Ok(Enrolment { id, workspace_id: deed.workspace, expires_at, code: Some(code) })
        })
    }
}
