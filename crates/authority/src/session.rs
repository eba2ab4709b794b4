//! Logins, sessions, re-authentication and one-time codes: what happens before there is a caller, or around one.
//!
//! These are not deeds: nobody asks for permission to prove who they are. Each is recorded in the log all the same.

use portcullis_kernel::{
    audit::Outcome,
    deed::OperatorCreate,
    id::{CredentialId, OperatorId, PasskeyId, WorkspaceId},
    name::Email,
    operator::Role,
    refusal::Code,
    scope::Scopes,
    subject::{Lineage, Principal, SystemRole},
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::{
    authn,
    caller::{Caller, CredentialKind},
    db::Conn,
    device::Device,
    facts,
    gate::{self, Cx},
    permit::Writing,
    plaintext,
    refusal::{Answer, Refusal},
    tables::{
        credentials::{self, CredentialRow, NewCredential},
        operators::{self, OperatorRow},
        passkeys, workspaces,
    },
    vault::{self, PlainToken, TokenHash, TokenKind},
};

/// A session that was opened.
pub struct Opened {
    /// The session token, for the cookie.
    pub token: PlainToken,
    /// What a change made with the session must send back.
    pub csrf: String,
    /// Whose session.
    pub operator: OperatorId,
    /// Login.
    pub email: String,
    /// Role.
    pub role: Role,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// What a one-time code turned into.
pub struct Redeemed {
    /// The token.
    pub token: PlainToken,
    /// Its id.
    pub id: CredentialId,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// A password that was found right, outside of a transaction: an operator, and the hash it was found right against.
pub(crate) struct Proved {
    pub(crate) operator: OperatorId,
    pub(crate) hash: String,
}

impl Proved {
    /// Looked at in the transaction that goes by it: a password that was changed meanwhile proves nothing any more.
    fn stands(&self, cx: &mut Cx<'_>, operator: OperatorId) -> Result<(), Refusal> {
        let stands = self.operator == operator && operators::has_password(cx.conn, operator, &self.hash)?;
        if stands { Ok(()) } else { Err(Refusal::new(Code::LoginFailed)) }
    }
}

/// By what somebody proved who they are.
pub(crate) enum By {
    Password(Proved),
    /// Its count, which moves in the same transaction, says whether it still stands.
    Passkey(PasskeyId),
}

impl By {
    /// The word in the log.
    const fn word(&self) -> &'static str {
        match self {
            Self::Password(_) => PASSWORD,
            Self::Passkey(_) => PASSKEY,
        }
    }

    /// Which one, for the log.
    fn named(&self, mut detail: Value) -> Value {
        if let Self::Passkey(id) = self {
            detail["passkey"] = json!(id);
        }
        detail
    }

    fn stands(&self, cx: &mut Cx<'_>, operator: OperatorId) -> Result<(), Refusal> {
        match self {
            Self::Password(proved) => proved.stands(cx, operator),
            Self::Passkey(_) => Ok(()),
        }
    }
}

/// What failed was a password.
pub(crate) const PASSWORD: &str = "password";
/// What failed was a passkey.
pub(crate) const PASSKEY: &str = "passkey";

/// Records a login that failed, and of a passkey why. The address typed is recorded only if it is an operator's: people
/// type passwords there.
pub(crate) fn login_failed(
    cx: &mut Cx<'_>,
    operator: Option<OperatorId>,
    address: &str,
    (by, problem): (&str, Option<&str>),
) -> Result<i64, Refusal> {
    let mut event = authn::system_event(cx, "session.login.refused", by);
    event.outcome = Outcome::Refused;
    event.code = Some(Code::LoginFailed.as_str().to_owned());
    event.reason = Some("login_failed".to_owned());
    let mut detail = json!({"operator": operator, "address": address});
    if let Some(problem) = problem {
        detail["problem"] = problem.into();
    }
    event.detail = detail.to_string();
    Ok(cx.record(&mut event)?)
}

/// Opens a session for an operator who proved to be it.
pub(crate) fn open(
    cx: &mut Cx<'_>,
    operator: OperatorId,
    address: &str,
    device: Device,
    by: &By,
) -> Result<Opened, Refusal> {
    by.stands(cx, operator)?;
    let row = operators::find(cx.conn, operator)?.filter(|row| row.disabled_at.is_none());
    let row = row.ok_or_else(|| Refusal::new(Code::LoginFailed))?;
    let token = PlainToken::generate(TokenKind::Session);
    let id = CredentialId::from_uuid(vault::uuid_v7(cx.now.0));
    let expires_at = cx.now.plus_ms(cx.core.config.session_ms);
    let principal = Principal::Operator(operator);
    let mut event = authn::system_event(cx, "session.login", by.word());
    event.subject_kind = principal.kind().to_owned();
    event.subject_id = principal.id();
    event.lineage = id.to_string();
    event.detail = by.named(json!({"address": address})).to_string();
    let because = cx.record(&mut event)?;
    let idle_ms = Some(cx.core.config.session_idle_ms);
    let mut writing = Writing::new(cx, because, principal.to_string(), None);
    credentials::insert(
        &mut writing,
        &NewCredential {
            id,
            kind: CredentialKind::Session,
            hash: token.hash().0.as_slice(),
            hint: &token.hint(),
            name: "session",
            principal,
            ancestors: &[],
            workspace: None,
            scopes: &Scopes::session(),
            unattended: false,
            expires_at: expires_at.0,
            idle_ms,
            payload: None,
        },
    )?;
    credentials::set_device(cx.conn, id, &device.to_string())?;
    operators::logged_in(cx.conn, operator, cx.now.0)?;
    let csrf = authn::csrf(&cx.core.keys(), token.expose());
    Ok(Opened { token, csrf, operator, email: row.email, role: row.role, expires_at })
}

/// Remembers that the session's human re-authenticated. Returns until when it counts.
pub(crate) fn step_up(cx: &mut Cx<'_>, caller: &Caller, by: &By) -> Result<Timestamp, Refusal> {
    facts::recheck(cx, caller)?;
    let (Principal::Operator(operator), Some(id)) = (caller.principal(), caller.credential) else {
        return Err(Refusal::new(Code::HumanRequired));
    };
    by.stands(cx, operator)?;
    credentials::step_up(cx.conn, id, cx.now.0)?;
    record(cx, caller, "session.step_up", by.named(json!({})))?;
    Ok(cx.now.plus_ms(cx.core.config.step_up_ms))
}

/// Ends the session.
pub(crate) fn close(cx: &mut Cx<'_>, caller: &Caller) -> Result<(), Refusal> {
    let id = caller.credential.ok_or_else(|| Refusal::new(Code::Unauthenticated))?;
    credentials::revoke_tree(cx.conn, id, "logged_out", cx.now.0)?;
    record(cx, caller, "session.logout", json!({})).map(drop)
}

/// Ends one of the own sessions, from whichever of them. What is not one of these, or has ended, is not there.
pub(crate) fn end(cx: &mut Cx<'_>, caller: &Caller, session: CredentialId) -> Result<(), Refusal> {
    facts::recheck(cx, caller)?;
    let own = credentials::find(cx.conn, session)?
        .filter(|row| row.kind == CredentialKind::Session && row.principal == caller.principal())
        .filter(|row| facts::live(row, cx.now).is_ok());
    let own = own.ok_or_else(|| Refusal::new(Code::NotFound))?;
    credentials::revoke_tree(cx.conn, own.id, "logged_out", cx.now.0)?;
    record(cx, caller, "session.logout", json!({"session": own.id})).map(drop)
}

/// Records what a human did about the own sessions and keys. Returns the entry's position.
pub(crate) fn record(cx: &mut Cx<'_>, caller: &Caller, name: &str, detail: Value) -> Result<i64, Refusal> {
    let mut event = authn::system_event(cx, name, "session");
    event.subject_kind = caller.principal().kind().to_owned();
    event.subject_id = caller.principal().id();
    event.lineage = credentials::ids_text(&caller.subject.lineage.0);
    event.detail = detail.to_string();
    Ok(cx.record(&mut event)?)
}

/// A live one-time code of one kind.
fn code(conn: &mut Conn, text: &str, kind: CredentialKind, now: Timestamp) -> Result<CredentialRow, Refusal> {
    let row = credentials::find_by_hash(conn, TokenHash::of_text(text).0.as_slice())?;
    let row = row.filter(|row| row.kind == kind).ok_or_else(|| Refusal::new(Code::CredentialInvalid))?;
    facts::live(&row, now).map_err(Refusal::new)?;
    Ok(row)
}

fn use_up(cx: &mut Cx<'_>, row: &CredentialRow) -> Result<(), Refusal> {
    if credentials::use_up(cx.conn, row.id, cx.now.0)? { Ok(()) } else { Err(Refusal::new(Code::CredentialRevoked)) }
}

/// Turns an enrolment code into the workspace's token. The id must fit the code: no id that a stranger names is taken
/// for anything.
pub(crate) fn redeem(cx: &mut Cx<'_>, text: &str, workspace: WorkspaceId) -> Result<Redeemed, Refusal> {
    let row = code(cx.conn, text, CredentialKind::Enrolment, cx.now)?;
    let fits = row.workspace_id == Some(workspace) && workspaces::find(cx.conn, workspace)?.is_some();
    if !fits {
        return Err(Refusal::new(Code::CredentialInvalid));
    }
    use_up(cx, &row)?;
    let token = PlainToken::generate(TokenKind::Workspace);
    let id = CredentialId::from_uuid(vault::uuid_v7(cx.now.0));
    let expires_at = cx.now.plus_ms(cx.core.config.token_ms);
    let mut event = authn::system_event(cx, "enrolment.redeem", "one_time_code");
    event.target_kind = "workspace".to_owned();
    event.target_id = workspace.to_string();
    event.workspace_id = Some(workspace.to_string());
    let lineage = row.lineage().0;
    event.lineage = credentials::ids_text(&lineage);
    let because = cx.record(&mut event)?;
    let mut writing = Writing::new(cx, because, row.created_by.clone(), None);
    credentials::insert(
        &mut writing,
        &NewCredential {
            id,
            kind: CredentialKind::Workspace,
            hash: token.hash().0.as_slice(),
            hint: &token.hint(),
            name: "enrolled",
            principal: Principal::Agent(workspace),
            ancestors: &lineage,
            workspace: Some(workspace),
            scopes: &Scopes::workspace(),
            unattended: false,
            expires_at: expires_at.0,
            idle_ms: None,
            payload: None,
        },
    )?;
    Ok(Redeemed { token, id, expires_at })
}

/// Name of the claim that an invited operator chooses a password with.
pub(crate) const INVITE: &str = "operator invite";

/// The operator that a link is for, as long as both stand, and whoever issued it. Looked at before a password is hashed as well.
pub(crate) fn invited(conn: &mut Conn, text: &str, now: Timestamp) -> Result<(CredentialRow, OperatorRow), Refusal> {
    let row = code(conn, text, CredentialKind::Claim, now)?;
    let operator = match row.principal {
        Principal::Operator(operator) if row.name == INVITE => operators::find(conn, operator)?,
        _ => None,
    };
    let operator = operator.filter(|operator| operator.disabled_at.is_none());
    let operator = operator.ok_or_else(|| Refusal::new(Code::CredentialInvalid))?;
    if !may_invite(conn, &row.created_by)? {
        return Err(Refusal::new(Code::CredentialRevoked));
    }
    Ok((row, operator))
}

/// Whether who issued a link could issue it now: an enabled owner, or the platform itself.
fn may_invite(conn: &mut Conn, issuer: &str) -> Result<bool, Refusal> {
    match issuer.split_once(':').and_then(|(kind, id)| Principal::parse(kind, id)) {
        Some(Principal::Operator(id)) => {
            Ok(operators::find(conn, id)?
                .is_some_and(|issuer| issuer.disabled_at.is_none() && issuer.role == Role::Owner))
        }
        Some(Principal::System(_)) => Ok(true),
        Some(Principal::Agent(_) | Principal::Service(_)) | None => Ok(false),
    }
}

/// Sets the password that an invited operator chose. Whatever spoke for it before ends, and its passkeys: who asked for
/// another link did so because what was there is lost, or somebody else has it.
pub(crate) fn accept(cx: &mut Cx<'_>, text: &str, password_hash: &str) -> Result<OperatorRow, Refusal> {
    let (row, operator) = invited(cx.conn, text, cx.now)?;
    use_up(cx, &row)?;
    let principal = Principal::Operator(operator.id);
    let ended = credentials::revoke_principal(cx.conn, principal, "password_changed", cx.now.0)?;
    let passkeys = passkeys::remove_all(cx.conn, operator.id)?;
    let detail = json!({"first": operator.invited, "ended": ended, "passkeys": passkeys});
    choose(cx, operator.id, "invite.accept", "one_time_code", &row.lineage(), detail, password_hash)?;
    Ok(operator)
}

/// Changes the own password. The other sessions end, and links that wait: this one has just shown what they may not know.
pub(crate) fn change_password(
    cx: &mut Cx<'_>,
    caller: &Caller,
    current: &Proved,
    password_hash: &str,
) -> Result<u64, Refusal> {
    facts::recheck(cx, caller)?;
    let (Principal::Operator(operator), Some(own)) = (caller.principal(), caller.credential) else {
        return Err(Refusal::new(Code::HumanRequired));
    };
    current.stands(cx, operator)?;
    let ended = credentials::revoke_others(cx.conn, operator, own, cx.now.0)?;
    let lineage = &caller.subject.lineage;
    choose(cx, operator, "password.change", "password", lineage, json!({"ended": ended}), password_hash)?;
    Ok(ended)
}

fn choose(
    cx: &mut Cx<'_>,
    operator: OperatorId,
    name: &str,
    rule: &str,
    lineage: &Lineage,
    detail: Value,
    password_hash: &str,
) -> Result<(), Refusal> {
    let principal = Principal::Operator(operator);
    let mut event = authn::system_event(cx, name, rule);
    event.subject_kind = principal.kind().to_owned();
    event.subject_id = principal.id();
    event.lineage = credentials::ids_text(&lineage.0);
    event.detail = detail.to_string();
    let because = cx.record(&mut event)?;
    let mut writing = Writing::new(cx, because, principal.to_string(), None);
    Ok(operators::set_password(&mut writing, operator, password_hash)?)
}

/// Name of the claim that makes the first operator.
const FIRST_OPERATOR: &str = "first operator";

/// Issues the claim for the first operator; `None` once there is one. Any earlier link stops working.
pub(crate) fn first_claim(cx: &mut Cx<'_>) -> Result<Option<PlainToken>, Refusal> {
    if operators::count(cx.conn)? > 0 {
        return Ok(None);
    }
    credentials::revoke_claims_for_first_operator(cx.conn, cx.now.0)?;
    let token = PlainToken::generate(TokenKind::Claim);
    let because = cx.record(&mut authn::system_event(cx, "claim.issue", "first_start"))?;
    let id = CredentialId::from_uuid(vault::uuid_v7(cx.now.0));
    let expires_at = cx.now.plus_ms(24 * 60 * 60 * 1000).0;
    let principal = Principal::System(SystemRole::Bootstrap);
    let mut writing = Writing::new(cx, because, principal.to_string(), None);
    credentials::insert(
        &mut writing,
        &NewCredential {
            id,
            kind: CredentialKind::Claim,
            hash: token.hash().0.as_slice(),
            hint: &token.hint(),
            name: FIRST_OPERATOR,
            principal,
            ancestors: &[],
            workspace: None,
            scopes: &Scopes::default(),
            unattended: false,
            expires_at,
            idle_ms: None,
            payload: None,
        },
    )?;
    Ok(Some(token))
}

/// The claim for the first operator, while there is none. Looked at before a password is hashed as well: whoever has no
/// claim must not cost a core and 19 MiB.
pub(crate) fn first_operator_claim(conn: &mut Conn, text: &str, now: Timestamp) -> Result<CredentialRow, Refusal> {
    let row = code(conn, text, CredentialKind::Claim, now)?;
    if row.name != FIRST_OPERATOR || operators::count(conn)? > 0 {
        return Err(Refusal::new(Code::CredentialInvalid));
    }
    Ok(row)
}

/// Makes the first operator, an owner, from the claim link.
pub(crate) fn claim_operator(
    cx: &mut Cx<'_>,
    text: &str,
    email: Email,
    password_hash: String,
) -> Result<OperatorId, Refusal> {
    let row = first_operator_claim(cx.conn, text, cx.now)?;
    use_up(cx, &row)?;
    let caller = authn::system(cx.core, SystemRole::Bootstrap);
    let action = OperatorCreate { email, role: Role::Owner, groups: Vec::new() };
    match gate::run(cx, &caller, action, crate::act::NewPassword(Some(password_hash)))?? {
        Answer::Done(done) => Ok(done.value.id),
        Answer::Held(_) | Answer::Plan(_) => Err(Refusal::new(Code::Internal)),
    }
}

/// Hands a minted token to the human who claims it, once.
pub(crate) fn claim_token(
    cx: &mut Cx<'_>,
    caller: &Caller,
    text: &str,
) -> Result<portcullis_kernel::secret::SecretValue, Refusal> {
    crate::views::human(caller)?;
    let row = code(cx.conn, text, CredentialKind::Claim, cx.now)?;
    let sealed = credentials::payload(cx.conn, row.id)?.ok_or_else(|| Refusal::new(Code::CredentialInvalid))?;
    use_up(cx, &row)?;
    let opened = plaintext::open_plan(cx.core, &row.id.to_string(), Some(&sealed));
    let value = opened.map_err(|e| Refusal::new(Code::Internal).internal(e))?.pop();
    let mut event = authn::system_event(cx, "claim.redeem", "one_time_code");
    event.subject_kind = caller.principal().kind().to_owned();
    event.subject_id = caller.principal().id();
    cx.record(&mut event)?;
    value.ok_or_else(|| Refusal::new(Code::Internal))
}
