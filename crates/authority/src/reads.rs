//! The public surface, second half: authorised reads. None of them waits for the writer.

use std::collections::BTreeMap;

use portcullis_kernel::{
    audit::Entry,
    deed::{SecretImport, SecretScope},
    id::{ApprovalId, CredentialId, WorkspaceId},
    name::SecretKey,
    operator::Role,
    refusal::Code,
    secret::SecretValue,
    subject::Standing,
};

use crate::{
    authority::Authority,
    caller::Caller,
    gate::Meta,
    refusal::{Answer, Refusal},
    tables::{
        approvals::{self, ApprovalFilter},
        audit::{self, Search},
        policies::PolicyView,
    },
    verify::{self, Checked},
    views,
};

impl Authority {
    /// Workspaces within sight.
    pub async fn workspaces(&self, caller: &Caller) -> Result<Vec<views::WorkspaceView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::workspace_list(conn, &caller)).await
    }

    /// One workspace.
    pub async fn workspace(&self, caller: &Caller, id: WorkspaceId) -> Result<views::WorkspaceView, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::workspace_get(conn, &caller, id)).await
    }

    /// State of one workspace.
    pub async fn workspace_state(&self, caller: &Caller, id: WorkspaceId) -> Result<views::StateView, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::workspace_state(conn, &caller, id)).await
    }

    /// Whom a workspace sees.
    pub async fn peers(&self, caller: &Caller, id: WorkspaceId) -> Result<Vec<views::PeerView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::peers(conn, &caller, id)).await
    }

    /// The effective secrets of a scope, without values.
    pub async fn secrets(&self, caller: &Caller, scope: SecretScope) -> Result<Vec<views::SecretView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::secret_list(conn, &caller, scope)).await
    }

    /// The newest versions of a key, at most `limit`.
    pub async fn versions(
        &self,
        caller: &Caller,
        scope: SecretScope,
        key: SecretKey,
        limit: i64,
    ) -> Result<Vec<views::VersionView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::version_list(conn, &caller, scope, &key, limit)).await
    }

    /// What an import would do to each key: `add`, `change` or `same`. Compares keyed digests; no value leaves. Whoever may
    /// not import is refused, and whose import would wait for a human is not told which values are the same: that would
    /// answer guesses.
    pub async fn import_preview(
        &self,
        request_id: String,
        caller: &Caller,
        scope: SecretScope,
        pairs: Vec<(SecretKey, SecretValue)>,
    ) -> Result<Vec<(SecretKey, &'static str)>, Refusal> {
        let asker = caller.clone();
        let (changes, pairs) =
            self.read(move |conn, core| Ok((views::import_preview(conn, core, &asker, scope, &pairs)?, pairs))).await?;
        let (keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let meta = Meta { request_id, dry_run: true, ..Meta::default() };
        let Answer::Plan(plan) = self.perform(caller, meta, SecretImport { scope, keys: keys.clone() }, values).await?
        else {
            return Err(Refusal::new(Code::Internal).internal("a dry run that was none"));
        };
        if let Some(refusal) = plan.refusal {
            return Err(refusal);
        }
        let tells_equality = plan.decision == "allow" && (caller.is_operator() || caller.confined_to().is_some());
        let told = |change| if change == views::SAME && !tells_equality { views::CHANGE } else { change };
        Ok(keys.into_iter().zip(changes.into_iter().map(told)).collect())
    }

    /// Organisation tokens, or those of one workspace.
    pub async fn tokens(
        &self,
        caller: &Caller,
        workspace: Option<WorkspaceId>,
    ) -> Result<Vec<views::TokenView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::token_list(conn, &caller, workspace)).await
    }

    /// Operators; for humans only.
    pub async fn operators(&self, caller: &Caller) -> Result<Vec<views::OperatorView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::operator_list(conn, &caller)).await
    }

    /// Policies, shipped and added; for humans only.
    pub async fn policies(&self, caller: &Caller) -> Result<Vec<PolicyView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, core| views::policy_list(conn, core, &caller)).await
    }

    /// What every rule does for every kind of caller, as text; for humans only.
    pub fn policy_matrix(&self, caller: &Caller) -> Result<&'static str, Refusal> {
        views::human(caller)?;
        Ok(portcullis_kernel::policy::MATRIX)
    }

    /// Texts of the rules that a decision names, by name.
    pub async fn rule_texts(&self, caller: &Caller, named: String) -> Result<BTreeMap<String, String>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, core| views::rule_texts(conn, core, &caller, &named)).await
    }

    /// Whether a token is one of this workspace, as far as the caller may know.
    pub async fn token_fits(
        &self,
        caller: &Caller,
        token: CredentialId,
        workspace: WorkspaceId,
    ) -> Result<bool, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::token_fits(conn, &caller, token, workspace)).await
    }

    /// Whether an approval is about this workspace, or about none: a path that names both must not name two things.
    pub async fn approval_fits(&self, id: ApprovalId, workspace: WorkspaceId) -> Result<bool, Refusal> {
        self.read(move |conn, _| {
            let row = approvals::find(conn, id)?.ok_or_else(|| Refusal::new(Code::NotFound))?;
            Ok(row.workspace_id.is_none_or(|about| about == workspace.to_string()))
        })
        .await
    }

    /// Whether a policy could be added; for humans only. Returns the slots it would be filed under.
    pub fn policy_check(&self, caller: &Caller, text: &str) -> Result<Vec<String>, Refusal> {
        views::human(caller)?;
        let checked = self.core().policy.read_added("new", text);
        checked.map_err(|error| Refusal::because(Code::PolicyInvalid, error.problem))
    }

    /// Which version of a key runs where.
    pub async fn secret_holdings(&self, caller: &Caller, key: SecretKey) -> Result<Vec<views::HoldingView>, Refusal> {
        let caller = caller.clone();
        self.read_heavy(move |conn, _| views::holdings(conn, &caller, &key)).await
    }

    /// Approvals within sight.
    pub async fn approvals(
        &self,
        caller: &Caller,
        filter: ApprovalFilter,
        workspace: Option<WorkspaceId>,
    ) -> Result<Vec<views::ApprovalView>, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::approval_list(conn, &caller, filter, workspace)).await
    }

    /// One approval.
    pub async fn approval(&self, caller: &Caller, id: ApprovalId) -> Result<views::ApprovalView, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| views::approval_get(conn, &caller, id)).await
    }

    /// One page of the audit log.
    pub async fn audit(&self, caller: &Caller, search: Search) -> Result<views::AuditPage, Refusal> {
        let caller = caller.clone();
        self.read_heavy(move |conn, _| views::audit_page(conn, &caller, search)).await
    }

    /// One entry of the audit log.
    pub async fn audit_entry(&self, caller: &Caller, seq: i64) -> Result<views::AuditEntry, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, core| views::audit_entry(conn, core, &caller, seq)).await
    }

    /// Verifies the whole log as it stands, against the key this server signs with. One at a time: it reads everything.
    pub async fn verify_audit(&self, caller: &Caller) -> Result<Checked, Refusal> {
        views::audit_reader(caller)?;
        let place = self.verifying().try_acquire_owned().map_err(|_| Refusal::new(Code::Busy))?;
        let (target, keys) = (self.target().clone(), self.core().keys());
        // The place is the walk's, not the listener's: whoever goes away does not make room for a second one.
        let walked = tokio::task::spawn_blocking(move || {
            let checked = verify::check(&target, &keys);
            drop(place);
            checked
        });
        walked.await.map_err(|error| Refusal::new(Code::Internal).internal(error))?
    }

    /// Entries for an export that was performed, in order; `upto` is the size it ends at.
    pub async fn audit_entries(&self, after: i64, upto: i64, limit: i64) -> Result<Vec<Entry>, Refusal> {
        self.read_heavy(move |conn, _| {
            let mut entries = Vec::new();
            let end = upto.min(after.saturating_add(limit));
            conn.each(audit::EACH_AFTER, crate::params![after, end], &mut |row| {
                entries.push(audit::entry(row)?);
                Ok(())
            })?;
            Ok(entries)
        })
        .await
    }

    /// The signed head of the log.
    pub async fn checkpoint(&self) -> Result<String, Refusal> {
        self.read(|conn, _| Ok(audit::head(conn)?.map(|(_, _, note)| note).unwrap_or_default())).await
    }

    /// A checkpoint of the log as it stood at `size`, freshly signed over the stored hash there; `None` for an empty log.
    pub async fn checkpoint_at(&self, size: i64) -> Result<Option<String>, Refusal> {
        self.read(move |conn, core| {
            let mut note = None;
            conn.each(audit::EACH_AFTER, crate::params![size - 1, size], &mut |row| {
                let hash = audit::entry(row)?.hash;
                note = Some(crate::chain::signed(&core.keys(), size, &hash));
                Ok(())
            })?;
            Ok(note)
        })
        .await
    }

    /// Refuses whoever is not an owner with a session: for upkeep that changes nothing anyone can see.
    pub fn require_owner(&self, caller: &Caller) -> Result<(), Refusal> {
        views::human(caller)?;
        match caller.standing() {
            Standing::Operator { role: Role::Owner, .. } => Ok(()),
            _ => Err(Refusal::new(Code::RoleRequired)),
        }
    }
}
