//! The one door: facts → decide → audit → effect → intents, in one transaction.
//!
//! Nothing here knows what an action does; nothing that does an action knows how it was allowed. A refusal is appended to
//! the log in the same transaction that refused, and answered after the commit.

use std::sync::Arc;

use portcullis_kernel::{
    audit::{Event, Outcome},
    consequence::Consequence,
    deed::{Deed, SecretScope, Target},
    facts::Facts,
    policy::{Added, Allowed, Decision, Held, Index, Policy, TooMany, request_slots},
    refusal::Code,
    time::Timestamp,
};
use serde_json::{Map, Value, json};

use crate::{
    act::{Act, Cargo, Prepared},
    caller::Caller,
    chain::Head,
    core::Core,
    db::{Conn, DbError},
    facts::{self, FactGapOr},
    permit::{Approved, Permit, Writing},
    plan,
    refusal::{Answer, Done, Fault, Plan, Refusal},
    suppose,
    tables::{idempotency, workspaces},
};

/// What a request says about itself, besides what it asks for.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// Names the attempt in logs, the audit log and the answer.
    pub request_id: String,
    /// Makes a repeated request the same request.
    pub idempotency_key: Option<String>,
    /// Only ask what would happen.
    pub dry_run: bool,
}

/// One attempt inside the writer's transaction.
pub(crate) struct Cx<'a> {
    pub(crate) conn: &'a mut Conn,
    pub(crate) head: &'a mut Head,
    pub(crate) core: &'a Core,
    pub(crate) now: Timestamp,
    pub(crate) meta: &'a Meta,
}

impl Cx<'_> {
    /// Runs `work` in a savepoint: what it did is undone when it fails, and the transaction stays usable, also on
    /// PostgreSQL, where a failed statement otherwise ends it.
    pub(crate) fn attempt<T, E: From<DbError>>(
        &mut self,
        work: impl FnOnce(&mut Cx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.head.clone();
        let start = self.conn.savepoint()?;
        let result =
            work(&mut Cx { conn: self.conn, head: self.head, core: self.core, now: self.now, meta: self.meta });
        // What was sent and not waited for belongs to it: its failure is the failure of the attempt.
        let failed = match result {
            Ok(done) => match self.conn.release(start) {
                Ok(()) => return Ok(done),
                Err(error) => error.into(),
            },
            Err(failed) => failed,
        };
        *self.head = before;
        self.conn.rollback_to(start)?;
        self.conn.release(start)?;
        Err(failed)
    }

    /// As [`Cx::attempt`] for work that only reads: there is nothing to undo, so only PostgreSQL needs the savepoint.
    pub(crate) fn look<T, E: From<DbError>>(&mut self, work: impl FnOnce(&mut Cx<'_>) -> Result<T, E>) -> Result<T, E> {
        if self.conn.is_postgres() {
            return self.attempt(work);
        }
        work(&mut Cx { conn: self.conn, head: self.head, core: self.core, now: self.now, meta: self.meta })
    }

    /// Appends an event about something other than the deed at hand: the expiry of an approval, a login.
    pub(crate) fn record(&mut self, event: &mut Event) -> Result<i64, DbError> {
        self.head.append(self.conn, event)
    }
}

/// What the writer's job returns: the outer error rolls everything back, the inner one is committed with its audit event.
pub(crate) type Ran<T> = Result<Settled<T>, Refusal>;
/// An answer that is committed, whichever it is.
type Settled<T> = Result<Answer<T>, Refusal>;

/// Runs one action through the door.
pub(crate) fn run<A: Act>(cx: &mut Cx<'_>, caller: &Caller, action: A, cargo: A::Cargo) -> Ran<A::Done> {
    let deed: Deed = action.clone().into();
    facts::ahead(cx, caller, &deed, &cargo.values())?;
    let who = suppose::who(cx, caller)?;
    if !caller.supposed
        && let Some(answer) = replay::<A>(cx, caller, &deed, &cargo)?
    {
        return Ok(answer);
    }
    let mut attempt = Attempt::new(caller, &deed);
    let (index, policy_version) = cx.core.policies(cx.conn)?;
    let with_ancestors = !index.is_empty();
    let facts = cx.look(|cx| facts::load(cx, caller, &deed, who, false, with_ancestors)).map_err(|FactGapOr(gap)| gap);
    let added = match &facts {
        Ok(facts) => candidates(&index, caller, &deed, facts),
        Err(_) => Ok(Vec::new()),
    };
    if let Ok(facts) = &facts {
        attempt.consequences = Policy::consequences(&deed, facts);
    }
    let decision = cx.core.policy.decide(&caller.subject, &deed, facts.as_ref(), &added);
    if let Decision::Deny(denial) = decision {
        let mut refusal = Refusal::denied(denial);
        if let Err(gap) = &facts {
            refusal = refusal.internal(gap);
        }
        return attempt.refuse(cx, refusal);
    }
    let prepared = match cx.look(|cx| action.prepare(cx, caller, &cargo)) {
        Ok(prepared) => prepared,
        Err(fault) => return attempt.fail(cx, fault),
    };
    // Whoever is not let do it must not learn from its effect that a guess is the value.
    let may_know = matches!(decision, Decision::Allow(_)) && !caller.supposed;
    if prepared.agents_unaffected && (may_know || !prepared.by_value) {
        attempt.consequences.retain(|consequence| !consequence.needs_intent());
    }
    if cx.meta.dry_run {
        return attempt.plan(cx, decision).map(Ok);
    }
    match decision {
        Decision::Hold(held) => {
            let request =
                plan::Request { cargo: &cargo, prepared: &prepared, held: &held, policy_version: &policy_version };
            match cx.attempt(|cx| plan::hold::<A>(cx, &attempt, &request)) {
                Ok(answer) => Ok(Ok(answer)),
                Err(fault) => attempt.fail(cx, fault),
            }
        }
        Decision::Allow(allowed) => {
            let digest =
                cx.meta.idempotency_key.is_some().then(|| request_digest(cx, caller, &deed, &cargo)).transpose()?;
            match attempt.apply(cx, action, cargo, &prepared, allowed, None) {
                Ok(done) => {
                    keep(cx, caller, digest, &done)?;
                    Ok(Ok(Answer::Done(done)))
                }
                Err(fault) => attempt.fail(cx, fault),
            }
        }
        Decision::Deny(_) => Err(Refusal::new(Code::Internal)),
    }
}

/// The added policies that could speak of this request.
pub(crate) fn candidates(
    index: &Index,
    caller: &Caller,
    deed: &Deed,
    facts: &Facts,
) -> Result<Vec<Arc<Added>>, TooMany> {
    // What they are looked up by is not put together where there are none.
    if index.is_empty() {
        return Ok(Vec::new());
    }
    index.candidates(&request_slots(&caller.subject, &deed.verbs(), facts))
}

fn request_digest<C: Cargo>(cx: &Cx<'_>, caller: &Caller, deed: &Deed, cargo: &C) -> Result<[u8; 32], Refusal> {
    let mut deed_json = serde_json::to_string(deed).map_err(|e| Refusal::new(Code::Internal).internal(e))?;
    deed_json.push_str(cargo.mark());
    let principal = caller.subject.principal.to_string();
    Ok(crate::plaintext::request_digest(&cx.core.keys(), &principal, &deed_json, &cargo.values()))
}

/// The kept answer of a request that was made before under the same idempotency key.
fn replay<A: Act>(
    cx: &mut Cx<'_>,
    caller: &Caller,
    deed: &Deed,
    cargo: &A::Cargo,
) -> Result<Option<Settled<A::Done>>, Refusal> {
    let Some(key) = cx.meta.idempotency_key.as_deref() else { return Ok(None) };
    let principal = caller.subject.principal.to_string();
    let Some((kept, answer)) = idempotency::find(cx.conn, &principal, key, cx.now.0)? else { return Ok(None) };
    if kept != request_digest(cx, caller, deed, cargo)? {
        return Ok(Some(Err(Refusal::new(Code::IdempotencyKeyReused))));
    }
    let read = || {
        let answer: Value = serde_json::from_str(&answer).ok()?;
        let value = serde_json::from_value(answer.get("value")?.clone()).ok()?;
        let consequences = serde_json::from_value(answer.get("consequences")?.clone()).ok()?;
        Some(Done { value, audit_id: answer.get("audit_id")?.as_i64()?, consequences, replayed: true })
    };
    let done = read().ok_or_else(|| Refusal::new(Code::Internal).internal("a kept answer does not read back"))?;
    Ok(Some(Ok(Answer::Done(done))))
}

fn keep<T: serde::Serialize>(
    cx: &mut Cx<'_>,
    caller: &Caller,
    digest: Option<[u8; 32]>,
    done: &Done<T>,
) -> Result<(), Refusal> {
    if let (Some(key), Some(digest)) = (cx.meta.idempotency_key.as_deref(), digest) {
        let answer =
            json!({"value": done.value, "audit_id": done.audit_id, "consequences": done.consequences}).to_string();
        idempotency::keep(cx.conn, &caller.subject.principal.to_string(), key, &digest, &answer, cx.now.0)?;
    }
    Ok(())
}

/// What is known of an attempt while it passes the door.
pub(crate) struct Attempt<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) deed: &'a Deed,
    pub(crate) consequences: Vec<Consequence>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(caller: &'a Caller, deed: &'a Deed) -> Self {
        Self { caller, deed, consequences: Vec::new() }
    }

    /// The event that says how it ended. Names and ids only: a deed holds no value, and nothing else is passed in.
    pub(crate) fn event(&self, cx: &Cx<'_>, outcome: Outcome, rule: &str) -> Event {
        let verb = self.deed.verb().as_str();
        let target = self.deed.target();
        let event = match outcome {
            Outcome::Done => verb.to_owned(),
            Outcome::Held | Outcome::Refused | Outcome::Failed => format!("{verb}.{}", outcome.as_str()),
        };
        Event {
            at_ms: cx.now,
            event,
            outcome,
            request_id: cx.meta.request_id.clone(),
            subject_kind: self.caller.subject.principal.kind().to_owned(),
            subject_id: self.caller.subject.principal.id(),
            lineage: crate::tables::credentials::ids_text(&self.caller.subject.lineage.0),
            verb: verb.to_owned(),
            target_kind: target.kind().to_owned(),
            target_id: target.id(),
            workspace_id: self.workspace_id(),
            key: self.deed.key().map(ToString::to_string),
            rule: rule.to_owned(),
            code: None,
            reason: None,
            issue: None,
            approval_id: match target {
                Target::Approval(id) => Some(id.to_string()),
                _ => None,
            },
            consequences: serde_json::to_string(&self.consequences).unwrap_or_else(|_| "[]".to_owned()),
            detail: Value::Object(detail(self.deed)).to_string(),
        }
    }

    pub(crate) fn workspace_id(&self) -> Option<String> {
        match self.deed.target() {
            Target::Workspace(id) => Some(id.to_string()),
            Target::Organisation | Target::Token(_) | Target::Approval(_) => None,
        }
    }

    /// Applies an allowed action: event first, so that the effect can name it; then the effect; then the intents that were
    /// declared. All or nothing.
    pub(crate) fn apply<A: Act>(
        &self,
        cx: &mut Cx<'_>,
        action: A,
        cargo: A::Cargo,
        prepared: &Prepared,
        allowed: Allowed,
        approved: Option<Approved>,
    ) -> Result<Done<A::Done>, Fault> {
        cx.attempt(|cx| {
            let mut event = self.event(cx, Outcome::Done, allowed.rule());
            if let Some(approved) = &approved {
                event.approval_id = Some(approved.id.to_string());
                let mut detail = detail(self.deed);
                detail.insert("approved_by".into(), approved.by.clone().into());
                event.detail = Value::Object(detail).to_string();
            }
            let because = cx.record(&mut event)?;
            crate::failpoint::hit("gate.after_audit");
            let by = self.caller.subject.principal.to_string();
            let writing = Writing::new(cx, because, by.clone(), approved.clone());
            let permit = Permit::mint(allowed, writing, &action, self.caller);
            let value = A::apply(permit, cargo, prepared)?.into_inner();
            crate::failpoint::hit("gate.after_effect");
            let mut writing = Writing::new(cx, because, by, approved);
            for consequence in &self.consequences {
                workspaces::intend(&mut writing, consequence)?;
            }
            crate::failpoint::hit("gate.after_intents");
            Ok(Done { value, audit_id: because, consequences: self.consequences.clone(), replayed: false })
        })
    }

    /// Records a refusal. Where the store cannot take it, the caller is refused all the same.
    pub(crate) fn refuse<T>(&self, cx: &mut Cx<'_>, refusal: Refusal) -> Ran<T> {
        self.end(cx, Outcome::Refused, refusal)
    }

    /// Records what came in the way of an effect.
    pub(crate) fn fail<T>(&self, cx: &mut Cx<'_>, fault: Fault) -> Ran<T> {
        match fault {
            Fault::Refused(refusal) => self.end(cx, Outcome::Refused, *refusal),
            Fault::Failed(text) => self.end(cx, Outcome::Failed, Refusal::new(Code::StoreUnavailable).internal(text)),
        }
    }

    fn end<T>(&self, cx: &mut Cx<'_>, outcome: Outcome, mut refusal: Refusal) -> Ran<T> {
        refusal.workspace_id = refusal.workspace_id.or_else(|| self.workspace_id());
        refusal.key = refusal.key.or_else(|| self.deed.key().map(ToString::to_string));
        if cx.meta.dry_run {
            return Ok(Ok(Answer::Plan(Box::new(Plan {
                decision: "deny",
                rule: refusal.rule.clone().unwrap_or_default(),
                refusal: Some(refusal),
                requirements: None,
                consequences: self.consequences.clone(),
                impact: crate::views::impact(cx.conn, &self.consequences)?,
            }))));
        }
        let rule = refusal.rule.clone().unwrap_or_else(|| "state".to_owned());
        let mut event = self.event(cx, outcome, &rule);
        event.code = Some(refusal.code.as_str().to_owned());
        event.reason = Some(refusal.reason.clone());
        event.issue.clone_from(&refusal.issue);
        // The words of the origin's audit contract stand in the event itself.
        if event.consequences == "[]" && refusal.extras.contains_key("cause") {
            event.detail = json!({"cause": refusal.extras["cause"]}).to_string();
        }
        match cx.attempt(|cx| cx.record(&mut event)) {
            Ok(seq) => {
                refusal.audit_id = Some(seq);
                Ok(Err(refusal))
            }
            // The log cannot be written: nothing else may be either. The refusal stands without its audit id.
            Err(error) => {
                let detail =
                    format!("{}; the refusal could not be audited: {error}", refusal.internal.unwrap_or_default());
                refusal.internal = Some(detail);
                Err(refusal)
            }
        }
    }

    fn plan<T>(&self, cx: &mut Cx<'_>, decision: Decision) -> Result<Answer<T>, Refusal> {
        let impact = crate::views::impact(cx.conn, &self.consequences)?;
        let consequences = self.consequences.clone();
        Ok(Answer::Plan(Box::new(match decision {
            Decision::Allow(allowed) => Plan {
                decision: "allow",
                rule: allowed.rule().to_owned(),
                refusal: None,
                requirements: None,
                consequences,
                impact,
            },
            Decision::Hold(Held { rule, requirements, .. }) => {
                Plan { decision: "hold", rule, refusal: None, requirements: Some(requirements), consequences, impact }
            }
            Decision::Deny(denial) => {
                let refusal = Refusal::denied(denial);
                Plan {
                    decision: "deny",
                    rule: String::new(),
                    refusal: Some(refusal),
                    requirements: None,
                    consequences,
                    impact,
                }
            }
        })))
    }
}

/// What else the log should name: never free text by an agent that could hold a value, except names that were parsed.
fn detail(deed: &Deed) -> Map<String, Value> {
    let mut detail = Map::new();
    let mut put = |name: &str, value: Value| {
        detail.insert(name.to_owned(), value);
    };
    match deed {
        Deed::SecretChangeSet(d) => {
            let names =
                d.changes.iter().map(|c| json!({"scope": scope_text(c.scope), "key": c.key, "op": op_word(&c.op)}));
            put("changes", names.collect());
        }
        Deed::SecretImport(d) => put("keys", json!(d.keys)),
        Deed::SecretRollback(d) => put("to_version", d.to_version.into()),
        Deed::SecretActivate(d) => put("version", d.version.into()),
        Deed::SecretDestroy(d) => put("version", json!(d.version)),
        Deed::TokenMint(d) => {
            put("name", json!(d.name));
            put("deliver_to", json!(d.deliver_to));
            put("unattended", d.unattended.into());
        }
        Deed::WorkspaceCreate(d) => put("name", json!(d.name)),
        Deed::WorkspaceUpdate(d) => {
            put("name", json!(d.name));
            put("parent_id", json!(d.parent));
        }
        // Of a human, or of the platform itself, and redacted where it came in.
        Deed::WorkspaceForceStop(d) => put("reason", json!(d.reason)),
        Deed::ApprovalDecide(d) => {
            put("approve", d.approve.into());
            put("break_glass", d.break_glass.into());
        }
        Deed::OperatorCreate(d) => {
            put("email", json!(d.email));
            put("role", json!(d.role));
        }
        Deed::OperatorUpdate(d) => put("operator", json!(d)),
        Deed::OperatorInvite(d) => put("operator", json!(d)),
        Deed::PolicyAdd(d) => put("name", json!(d.name)),
        Deed::PolicyRemove(d) => put("policy", json!(d.policy)),
        Deed::AuditExport(d) => put("after", d.after.into()),
        _ => {}
    }
    detail
}

fn scope_text(scope: SecretScope) -> String {
    scope.as_text()
}

fn op_word(op: &portcullis_kernel::deed::ChangeOp) -> &'static str {
    use portcullis_kernel::deed::ChangeOp;
    match op {
        ChangeOp::Set { .. } => "set",
        ChangeOp::Delete => "delete",
        ChangeOp::Rollback { .. } => "rollback",
        ChangeOp::Activate { .. } => "activate",
    }
}

#[cfg(test)]
mod tests;
