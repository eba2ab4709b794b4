//! Asking, voting and taking back. The last vote executes the plan, in its own transaction.

use portcullis_kernel::{
    approval::{self, State, Tally, in_time},
    deed::{ApprovalAsk, ApprovalDecide, ApprovalWithdraw, Deed},
    id::{ApprovalId, OperatorId},
    operator::Role,
    policy::{Requirements, Who},
    refusal::Code,
    subject::{Principal, Standing},
};
use serde::{Deserialize, Serialize};

use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Approved, Permit, Spent},
    plaintext, plan,
    refusal::{Fault, Refusal},
    tables::approvals::{self, ApprovalRow, NewApproval},
    vault::{self, PlainToken},
};

/// Where an approval stands after a vote or a withdrawal.
#[derive(Serialize, Deserialize)]
pub struct Decided {
    /// Which.
    pub approval: ApprovalId,
    /// Its state.
    pub state: State,
    /// The code of its end, unless it was applied.
    pub code: Option<Code>,
    /// Why it ended so.
    pub reason: Option<String>,
    /// Votes still missing, while it is pending.
    pub missing: Vec<(Who, u32)>,
    /// What the executed plan answers: names and ids, never a value.
    pub result: serde_json::Value,
    /// One-time claim for a token that was minted; here once.
    #[serde(skip)]
    pub claim: Option<PlainToken>,
}

fn require(cx: &mut Cx<'_>, id: ApprovalId) -> Result<ApprovalRow, Fault> {
    approvals::find(cx.conn, id)?.ok_or_else(|| Fault::code(Code::NotFound))
}

fn not_pending(row: &ApprovalRow) -> Fault {
    Fault::from(Refusal::because(Code::ApprovalNotPending, row.state.as_str()).with("status", row.state.as_str()))
}

fn standing(caller: &Caller) -> Option<(Role, &[String])> {
    match &caller.standing {
        Standing::Operator { role, groups, .. } => Some((*role, groups)),
        Standing::Agent | Standing::Service { .. } | Standing::System => None,
    }
}

/// What the voter is now; the snapshot of the session may be older. Nobody is nobody's voter: it is as it is supposed.
fn voter(cx: &mut Cx<'_>, caller: &Caller, operator: OperatorId) -> Result<(Role, Vec<String>), Fault> {
    if let (true, Some((role, groups))) = (caller.supposed, standing(caller)) {
        return Ok((role, groups.to_vec()));
    }
    let now = crate::tables::operators::find(cx.conn, operator)?.filter(|row| row.disabled_at.is_none());
    now.map(|row| (row.role, row.groups)).ok_or_else(|| Fault::code(Code::CredentialRevoked))
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for ApprovalDecide {
    type Cargo = ();
    type Done = Decided;

    fn prepare(&self, cx: &mut Cx<'_>, caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = require(cx, self.approval)?;
        if row.state.is_end() {
            return Err(not_pending(&row));
        }
        let Principal::Operator(operator) = caller.subject.principal else {
            return Err(Fault::code(Code::HumanRequired));
        };
        let (role, groups) = voter(cx, caller, operator)?;
        if self.break_glass {
            let entitled = cx.core.config.break_glass && role == Role::Owner && self.approve;
            if !entitled {
                return Err(Fault::code(Code::BreakGlassDisabled));
            }
        } else if !approval::entitled(&row.requirements, Some(role), &groups) {
            return Err(Fault::refused(Code::RoleRequired, "your vote counts towards none of the requirements"));
        }
        if (self.break_glass || (row.requirements.note && self.approve)) && self.note.is_none() {
            return Err(Fault::code(Code::NoteRequired));
        }
        let missing = approval::checklist_missing(&row.requirements, &self.checklist);
        if self.approve && !missing.is_empty() {
            return Err(Fault::refused(Code::ChecklistIncomplete, missing.join("; ")));
        }
        if approvals::votes(cx.conn, row.id)?.iter().any(|vote| vote.vote.operator == operator) {
            return Err(Fault::code(Code::AlreadyVoted));
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Decided>, Fault> {
        permit.spend(|w, deed, caller| {
            let Principal::Operator(operator) = caller.subject.principal else {
                return Err(Fault::code(Code::HumanRequired));
            };
            let row = require(w.cx(), deed.approval)?;
            // Checked here and not only by the worker: a late yes is not a yes.
            if !in_time(w.now(), row.expires_at) {
                plan::end(w.cx(), &row, State::Expired, Some(Code::ApprovalExpired), None)?;
                return Ok(decided(&row, State::Expired, Some(Code::ApprovalExpired), None));
            }
            let note = deed.note.as_ref().map(|note| note.as_str());
            approvals::vote(w, row.id, operator, deed.approve, note, &deed.checklist, deed.break_glass)?;
            crate::failpoint::hit("approval.after_vote");
            let votes = approvals::votes(w.conn(), row.id)?;
            let counted: Vec<_> = votes.iter().map(|vote| vote.vote.clone()).collect();
            let tally = if deed.break_glass { Tally::Met } else { approval::tally(&row.requirements, &counted) };
            match tally {
                Tally::Open(missing) => Ok(Decided { missing, ..decided(&row, State::Pending, None, None) }),
                Tally::Denied => {
                    plan::end(w.cx(), &row, State::Denied, Some(Code::ApprovalDenied), None)?;
                    Ok(decided(&row, State::Denied, Some(Code::ApprovalDenied), note.map(str::to_owned)))
                }
                Tally::Met => {
                    let by = votes.iter().filter(|v| v.vote.approve).map(|v| format!("operator:{}", v.vote.operator));
                    let approved = Approved { id: row.id, by: by.collect::<Vec<_>>().join(" ") };
                    let executed = plan::execute(w.cx(), &row, &approved)?;
                    Ok(Decided {
                        result: executed.result.get("value").cloned().unwrap_or_default(),
                        claim: executed.claim,
                        ..decided(&row, executed.state, executed.code, executed.reason)
                    })
                }
            }
        })
    }
}

fn decided(row: &ApprovalRow, state: State, code: Option<Code>, reason: Option<String>) -> Decided {
    Decided { approval: row.id, state, code, reason, missing: Vec::new(), result: serde_json::Value::Null, claim: None }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for ApprovalWithdraw {
    type Cargo = ();
    type Done = Decided;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        let row = require(cx, self.approval)?;
        if row.state.is_end() { Err(not_pending(&row)) } else { Ok(Prepared::default()) }
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Decided>, Fault> {
        permit.spend(|w, deed, _| {
            let row = require(w.cx(), deed.approval)?;
            plan::end(w.cx(), &row, State::Withdrawn, None, None)?;
            Ok(decided(&row, State::Withdrawn, None, None))
        })
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for ApprovalAsk {
    type Cargo = ();
    type Done = Decided;

    fn prepare(&self, cx: &mut Cx<'_>, caller: &Caller, (): &()) -> Result<Prepared, Fault> {
        if standing(caller).is_some() {
            return Err(Fault::refused(Code::Conflict, "a human does not need to ask a human here"));
        }
        if approvals::pending_count(cx.conn, caller.subject.principal)? >= cx.core.config.pending_per_principal_max {
            return Err(Fault::code(Code::PendingApprovalsFull));
        }
        Ok(Prepared::default())
    }

    fn apply(permit: Permit<'_, '_, Self>, (): (), _prepared: &Prepared) -> Result<Spent<Decided>, Fault> {
        permit.spend(|w, deed, caller| {
            let id = ApprovalId::from_uuid(vault::uuid_v7(w.now().0));
            let deed_json = serde_json::to_string(&Deed::from(deed.clone()))?;
            let keys = w.core().keys();
            // Each question is its own: two identical ones in a row are two.
            let digest = plaintext::request_digest(&keys, &id.to_string(), &deed_json, &[]);
            let credential = caller.credential.ok_or_else(|| Fault::code(Code::HumanRequired))?;
            let requirements =
                Requirements { votes: [(Who::Role(Role::Approver), 1)].into(), ..Requirements::default() };
            let (_, policy_version) = {
                let cx = w.cx();
                cx.core.policies(cx.conn)?
            };
            let expires_at = w.now().plus_ms(w.core().config.approval_expires_ms);
            approvals::insert(
                w,
                &NewApproval {
                    id,
                    verb: deed.action.as_str(),
                    workspace_id: Some(&deed.workspace.to_string()),
                    key: None,
                    requester: caller.subject.principal,
                    credential: Some(credential),
                    lineage: &crate::tables::credentials::ids_text(&caller.subject.lineage.0),
                    request_digest: &digest,
                    deed_json: &deed_json,
                    sealed: None,
                    shape_json: "{\"values\":[],\"same_as_current\":false}",
                    pins: &[],
                    policy_version: &policy_version,
                    rule: "question",
                    reason: deed.reason.as_str(),
                    requirements: &requirements,
                    consequences: &[],
                    expires_at,
                },
            )?;
            let row = require(w.cx(), id)?;
            Ok(decided(&row, State::Pending, None, None))
        })
    }
}
