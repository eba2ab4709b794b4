//! Holding a deed as a plan, and executing the plan when humans have agreed to it.
//!
//! A plan binds subject, deed, base versions, the keyed digest of the values, the rules and the consequences. Everything is
//! looked at again at execution; what no longer fits is void, and what would reach further than it did is void. The effect
//! may have shrunk, never grown.

use portcullis_kernel::{
    approval::{DENIED_STANDS_MS, State, in_time},
    audit::Outcome,
    consequence,
    deed::Deed,
    id::ApprovalId,
    policy::{Decision, Held, Policy},
    refusal::Code,
    subject::Principal,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    act::{Act, Cargo, Pin, Prepared},
    authn,
    caller::Caller,
    facts::{self, FactGapOr},
    gate::{self, Attempt, Cx},
    permit::{Approved, Writing},
    plaintext,
    refusal::{Answer, Done, Fault, Refusal, Waiting},
    tables::{
        approvals::{self, ApprovalRow},
        credentials,
    },
    vault::{self, PlainToken},
};

/// What a held request brings.
pub(crate) struct Request<'a, C> {
    pub(crate) cargo: &'a C,
    pub(crate) prepared: &'a Prepared,
    pub(crate) held: &'a Held,
    pub(crate) policy_version: &'a str,
}

/// What an applied plan leaves behind, so that the same request again is answered instead of asked again.
#[derive(Serialize, Deserialize)]
struct Outcomes {
    value: Value,
    audit_id: i64,
    pins: Vec<Pin>,
}

/// Puts a request before humans, or finds that it already is.
pub(crate) fn hold<A: Act>(
    cx: &mut Cx<'_>,
    attempt: &Attempt<'_>,
    request: &Request<'_, A::Cargo>,
) -> Result<Answer<A::Done>, Fault> {
    let caller = attempt.caller;
    let requester = caller.subject.principal;
    // The platform asks without a credential, in a named role.
    let credential = caller.credential;
    if credential.is_none() && !matches!(requester, Principal::System(_)) {
        return Err(Fault::code(Code::HumanRequired));
    }
    let deed_json = serde_json::to_string(attempt.deed)?;
    let values = request.cargo.values();
    let keys = cx.core.keys();
    let digest = plaintext::request_digest(&keys, &requester.to_string(), &deed_json, &values);
    if let Some(known) = approvals::find_by_digest(cx.conn, &digest)? {
        match known.state {
            State::Pending if !in_time(cx.now, known.expires_at) => {
                end(cx, &known, State::Expired, Some(Code::ApprovalExpired), None)?;
            }
            State::Pending if known.pins == request.prepared.pins && known.policy_version == request.policy_version => {
                return Ok(Answer::Held(Waiting {
                    approval: known.id,
                    action: known.verb,
                    reason: known.reason,
                    expires_at: known.expires_at,
                    audit_id: known.audit_id,
                }));
            }
            State::Pending => end(cx, &known, State::Voided, Some(Code::ApprovalVoided), None)?,
            State::Applied => {
                if let Some(done) = still_applied::<A>(&known, request.prepared)? {
                    return Ok(Answer::Done(done));
                }
            }
            State::Denied if known.ended_at.is_some_and(|at| cx.now.since_ms(at) < DENIED_STANDS_MS) => {
                let refusal = Refusal::new(Code::ApprovalDenied).with("approval_id", known.id.to_string());
                return Err(Fault::from(refusal));
            }
            State::Denied | State::Expired | State::Withdrawn | State::Voided | State::Failed => {}
        }
    }
    if credential.is_some() && approvals::pending_count(cx.conn, requester)? >= cx.core.config.pending_per_principal_max
    {
        return Err(Fault::code(Code::PendingApprovalsFull));
    }
    let id = ApprovalId::from_uuid(vault::uuid_v7(cx.now.0));
    let sealed = plaintext::seal_plan(cx.core, &id.to_string(), &values)?;
    let shape = json!({"values": plaintext::shapes(&values), "same_as_current": request.prepared.same_as_current});
    let expires_at = cx.now.plus_ms(cx.core.config.approval_expires_ms);
    let mut event = attempt.event(cx, Outcome::Held, &request.held.rule);
    event.approval_id = Some(id.to_string());
    event.reason = Some(request.held.reason.clone());
    let audit_id = cx.record(&mut event)?;
    crate::failpoint::hit("plan.after_audit");
    let verb = attempt.deed.verb().as_str();
    let workspace_id = attempt.workspace_id();
    let lineage = credentials::ids_text(&caller.subject.lineage.0);
    let mut writing = Writing::new(cx, audit_id, requester.to_string(), None);
    approvals::insert(
        &mut writing,
        &approvals::NewApproval {
            id,
            verb,
            workspace_id: workspace_id.as_deref(),
            key: attempt.deed.key().map(portcullis_kernel::name::SecretKey::as_str),
            requester,
            credential,
            lineage: &lineage,
            request_digest: &digest,
            deed_json: &deed_json,
            sealed: sealed.as_ref(),
            shape_json: &shape.to_string(),
            pins: &request.prepared.pins,
            policy_version: request.policy_version,
            rule: &request.held.rule,
            reason: &request.held.reason,
            requirements: &request.held.requirements,
            consequences: &attempt.consequences,
            expires_at,
        },
    )?;
    crate::failpoint::hit("plan.after_insert");
    Ok(Answer::Held(Waiting {
        approval: id,
        action: verb.to_owned(),
        reason: request.held.reason.clone(),
        expires_at,
        audit_id,
    }))
}

/// The result of an applied plan, if what it did still stands as it left it.
fn still_applied<A: Act>(known: &ApprovalRow, prepared: &Prepared) -> Result<Option<Done<A::Done>>, Fault> {
    let Some(text) = known.result_json.as_deref() else { return Ok(None) };
    let outcome: Outcomes = serde_json::from_str(text)?;
    if outcome.pins.is_empty() || outcome.pins != prepared.pins {
        return Ok(None);
    }
    let value = serde_json::from_value(outcome.value)?;
    Ok(Some(Done { value, audit_id: outcome.audit_id, consequences: Vec::new(), replayed: true }))
}

/// Ends a pending approval and says so in the log and on the stream.
pub(crate) fn end(
    cx: &mut Cx<'_>,
    row: &ApprovalRow,
    state: State,
    code: Option<Code>,
    result: Option<&str>,
) -> Result<(), Fault> {
    let ended = approvals::end(cx.conn, row.id, state, code.map(Code::as_str), result, cx.now.0)?;
    if !ended {
        return Err(Fault::code(Code::ApprovalNotPending));
    }
    let mut event = authn::system_event(cx, &format!("approval.{}", state.as_str()), "platform");
    event.target_kind = "approval".to_owned();
    event.target_id = row.id.to_string();
    event.approval_id = Some(row.id.to_string());
    event.workspace_id.clone_from(&row.workspace_id);
    event.key.clone_from(&row.key);
    event.code = code.map(|code| code.as_str().to_owned());
    event.detail = json!({"action": row.verb, "requester": row.requester.to_string()}).to_string();
    cx.record(&mut event)?;
    Ok(())
}

/// How an execution ended.
pub(crate) struct Executed {
    pub(crate) state: State,
    pub(crate) code: Option<Code>,
    pub(crate) reason: Option<String>,
    pub(crate) result: Value,
    /// A one-time claim for a minted token, for the human who agreed.
    pub(crate) claim: Option<PlainToken>,
}

impl Executed {
    fn void(reason: impl Into<String>) -> Self {
        Self {
            state: State::Voided,
            code: Some(Code::ApprovalVoided),
            reason: Some(reason.into()),
            result: Value::Null,
            claim: None,
        }
    }
}

/// Executes a plan that humans agreed to, and ends its approval. Called inside the transaction of the last vote.
pub(crate) fn execute(cx: &mut Cx<'_>, row: &ApprovalRow, approved: &Approved) -> Result<Executed, Fault> {
    let executed = dispatch(cx, row, approved)?;
    let result = (executed.state == State::Applied).then(|| executed.result.to_string());
    end(cx, row, executed.state, executed.code, result.as_deref())?;
    Ok(executed)
}

/// From a stored deed back to the action. Closed: a deed that is never held has no way to be executed.
fn dispatch(cx: &mut Cx<'_>, row: &ApprovalRow, approved: &Approved) -> Result<Executed, Fault> {
    let deed: Deed = serde_json::from_str(&row.deed_json)?;
    match deed {
        Deed::SecretSet(d) => carry_out(cx, row, approved, d),
        Deed::SecretDelete(d) => carry_out(cx, row, approved, d),
        Deed::SecretUndelete(d) => carry_out(cx, row, approved, d),
        Deed::SecretRollback(d) => carry_out(cx, row, approved, d),
        Deed::SecretActivate(d) => carry_out(cx, row, approved, d),
        Deed::SecretChangeSet(d) => carry_out(cx, row, approved, d),
        Deed::SecretImport(d) => carry_out(cx, row, approved, d),
        Deed::SecretRequest(d) => carry_out(cx, row, approved, d),
        Deed::SecretDestroy(d) => carry_out(cx, row, approved, d),
        Deed::TokenMint(d) => carry_out(cx, row, approved, d),
        Deed::TokenRevoke(d) => carry_out(cx, row, approved, d),
        Deed::EnrolmentIssue(d) => carry_out(cx, row, approved, d),
        Deed::WorkspaceCreate(d) => carry_out(cx, row, approved, d),
        Deed::WorkspaceUpdate(d) => carry_out(cx, row, approved, d),
        Deed::WorkspaceRestart(d) => carry_out(cx, row, approved, d),
        Deed::WorkspacePause(d) => carry_out(cx, row, approved, d),
        Deed::WorkspaceResume(d) => carry_out(cx, row, approved, d),
        Deed::WorkspaceRemove(d) => carry_out(cx, row, approved, d),
        // A question: the humans' answer is all there is.
        Deed::ApprovalAsk(_) => {
            Ok(Executed { state: State::Applied, code: None, reason: None, result: json!({}), claim: None })
        }
        Deed::PolicyAdd(d) => carry_out(cx, row, approved, d),
        Deed::PolicyRemove(d) => carry_out(cx, row, approved, d),
        Deed::KeyRotate(d) => carry_out(cx, row, approved, d),
        Deed::OperatorUpdate(d) => carry_out(cx, row, approved, d),
        Deed::WorkspaceApply(d) => carry_out(cx, row, approved, d),
        Deed::WorkspaceForceStop(d) => carry_out(cx, row, approved, d),
        // An approval is not decided by an approval; an operator's password, a link and a bundle are not stored in a plan.
        Deed::MessageSend(_)
        | Deed::ApprovalDecide(_)
        | Deed::ApprovalWithdraw(_)
        | Deed::OperatorCreate(_)
        | Deed::OperatorInvite(_)
        | Deed::EnvironmentRelease(_)
        | Deed::AuditExport(_) => Ok(Executed::void("this deed cannot be executed from a plan")),
    }
}

fn carry_out<A: Act>(cx: &mut Cx<'_>, row: &ApprovalRow, approved: &Approved, action: A) -> Result<Executed, Fault> {
    match cx.attempt(|cx| try_carry_out(cx, row, approved, action)) {
        Ok(executed) => Ok(executed),
        Err(Fault::Refused(refusal)) => Ok(Executed {
            state: State::Voided,
            code: Some(Code::ApprovalVoided),
            reason: Some(format!("{}: {}", refusal.code, refusal.reason)),
            result: Value::Null,
            claim: None,
        }),
        Err(Fault::Failed(text)) => {
            tracing::error!(approval = %row.id, error = text, "an approved plan could not be executed; nothing was done");
            Ok(Executed {
                state: State::Failed,
                code: Some(Code::StoreUnavailable),
                reason: Some("the store could not do it; nothing was done".to_owned()),
                result: Value::Null,
                claim: None,
            })
        }
    }
}

fn try_carry_out<A: Act>(
    cx: &mut Cx<'_>,
    row: &ApprovalRow,
    approved: &Approved,
    action: A,
) -> Result<Executed, Fault> {
    // The requester, as it is now. A credential that was revoked or ran out since takes its requests with it.
    let caller = match requester(cx, row)? {
        Ok(caller) => caller,
        Err(code) => return Ok(Executed::void(format!("the requester's credential: {code}"))),
    };
    let deed: Deed = action.clone().into();
    let mut attempt = Attempt::new(&caller, &deed);
    let who = (caller.standing.clone(), caller.scopes.clone());
    let (index, policy_version) = cx.core.policies(cx.conn)?;
    if policy_version != row.policy_version {
        return Ok(Executed::void("the policies changed since it was asked"));
    }
    let facts = match cx.look(|cx| facts::load(cx, &caller, &deed, who, true, !index.is_empty())) {
        Ok(facts) => facts,
        Err(FactGapOr(gap)) => return Ok(Executed::void(format!("fact_unavailable: {gap}"))),
    };
    let added = gate::candidates(&index, &caller, &deed, &facts);
    let allowed = match cx.core.policy.decide(&caller.subject, &deed, Ok(&facts), &added) {
        Decision::Allow(allowed) => allowed,
        Decision::Hold(held) => return Ok(Executed::void(format!("{} still holds", held.rule))),
        Decision::Deny(denial) => return Ok(Executed::void(format!("{}: {}", denial.code, denial.reason))),
    };
    attempt.consequences = Policy::consequences(&deed, &facts);
    let values = plaintext::open_plan(cx.core, &row.id.to_string(), row.sealed.as_ref())?;
    let Some(cargo) = A::Cargo::from_values(values) else {
        return Ok(Executed::void("the sealed values do not fit the deed"));
    };
    let prepared = action.prepare(cx, &caller, &cargo)?;
    if prepared.pins != row.pins {
        return Ok(Executed::void("the secret changed since it was asked"));
    }
    if prepared.agents_unaffected {
        attempt.consequences.retain(|consequence| !consequence.needs_intent());
    }
    if !consequence::within(&attempt.consequences, &row.consequences) {
        return Ok(Executed::void("the effect would reach further than when it was asked"));
    }
    let done = attempt.apply(cx, action.clone(), cargo, &prepared, allowed, Some(approved.clone()))?;
    let claim = A::minted(&done.value).map(|token| claim_for(cx, token, done.audit_id, approved)).transpose()?;
    // Looked at again after the effect: what the same request has to find unchanged to be told that it is done.
    let pins = A::Cargo::from_values(plaintext::open_plan(cx.core, &row.id.to_string(), row.sealed.as_ref())?)
        .and_then(|cargo| cx.look(|cx| action.prepare(cx, &caller, &cargo)).ok())
        .map_or_else(Vec::new, |prepared| prepared.pins);
    let outcome = Outcomes { value: serde_json::to_value(&done.value)?, audit_id: done.audit_id, pins };
    Ok(Executed { state: State::Applied, code: None, reason: None, result: serde_json::to_value(outcome)?, claim })
}

fn requester(cx: &mut Cx<'_>, row: &ApprovalRow) -> Result<Result<Caller, Code>, Fault> {
    if let (Principal::System(role), None) = (row.requester, row.credential) {
        return Ok(Ok(authn::system(cx.core, role)));
    }
    let credential = row.credential.map(|id| credentials::find(cx.conn, id)).transpose()?.flatten();
    let Some(mut credential) = credential else { return Ok(Err(Code::CredentialInvalid)) };
    // The run it asked from has ended since; the agent is the same, and what it asked for still stands.
    if credential.revoked_why.as_deref() == Some(credentials::BOOT_ENDED) {
        credential.revoked_at = None;
    }
    match authn::caller_of(cx.conn, cx.core, &credential, cx.now) {
        Ok(caller) if caller.subject.principal == row.requester => Ok(Ok(caller)),
        Ok(_) => Ok(Err(Code::CredentialInvalid)),
        Err(refusal) => Ok(Err(refusal.code)),
    }
}

/// A one-time claim for a minted token's plaintext. The agent that asked never sees it.
fn claim_for(cx: &mut Cx<'_>, token: &PlainToken, because: i64, approved: &Approved) -> Result<PlainToken, Fault> {
    let id = portcullis_kernel::id::CredentialId::from_uuid(vault::uuid_v7(cx.now.0));
    let claim = vault::PlainToken::generate(vault::TokenKind::Claim);
    let value = plaintext::token_value(token)?;
    let Some(sealed) = plaintext::seal_plan(cx.core, &id.to_string(), &[&value])? else {
        return Err(Fault::Failed("nothing was sealed".to_owned()));
    };
    let expires_at = cx.now.plus_ms(cx.core.config.code_ms).0;
    let mut writing = Writing::new(cx, because, format!("approval:{}", approved.id), None);
    credentials::insert(
        &mut writing,
        &credentials::NewCredential {
            id,
            kind: crate::caller::CredentialKind::Claim,
            hash: claim.hash().0.as_slice(),
            hint: &claim.hint(),
            name: "minted token",
            principal: Principal::System(portcullis_kernel::subject::SystemRole::Door),
            ancestors: &[],
            workspace: None,
            scopes: &portcullis_kernel::scope::Scopes::default(),
            unattended: false,
            expires_at,
            idle_ms: None,
            payload: Some((&sealed.bytes, &sealed.key_id)),
        },
    )?;
    Ok(claim)
}
