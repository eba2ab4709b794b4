//! The public surface, fourth part: passkeys, to sign in with, and to re-authenticate.
//!
//! A passkey is a second way to be the same human; it changes nothing that a human may do. It is verified outside of the
//! transaction and counted inside: of two answers with one count the second is refused.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_kernel::{
    audit::hex,
    id::{CredentialId, OperatorId, PasskeyId},
    name::DisplayName,
    refusal::Code,
    subject::{Principal, Standing},
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::{
    authority::Authority,
    caller::Caller,
    challenges::{CHALLENGE_MS, Issued, Purpose},
    db::{Conn, DbError},
    device::Device,
    facts,
    gate::{Cx, Meta},
    permit::Writing,
    refusal::Refusal,
    session::{self, By, Opened},
    tables::{
        operators,
        passkeys::{self, PasskeyRow},
    },
    vault::{self, TokenHash},
    views,
    webauthn::{self, Algorithm, Assertion, Challenge, Expected, Party, Unsound},
};

/// Passkeys of one operator.
const PASSKEYS_MAX: usize = 20;
/// Longest id of a credential, in bytes (§7.1 of later levels; authenticators write less).
const CREDENTIAL_ID_BYTES_MAX: usize = 1023;

/// What a browser hands over for a new passkey; in base64url.
#[derive(Debug, Clone)]
pub struct NewPasskey {
    /// The credential's id.
    pub id: String,
    /// The client data, JSON.
    pub client_data: String,
    /// The attestation object, CBOR.
    pub attestation: String,
}

/// What a browser hands over when a passkey is used; in base64url.
#[derive(Debug, Clone)]
pub struct PasskeyUsed {
    /// The credential's id.
    pub id: String,
    /// The client data, JSON.
    pub client_data: String,
    /// The data of the authenticator.
    pub authenticator_data: String,
    /// The signature over both.
    pub signature: String,
    /// Whose it says that it is.
    pub user_handle: Option<String>,
}

/// A passkey that was used, as it was sent.
struct Used {
    credential_id: Vec<u8>,
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
    user_handle: Option<Vec<u8>>,
}

fn decoded(text: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid("the passkey's answer is not base64url without padding"))
}

fn invalid(reason: &str) -> Refusal {
    Refusal::because(Code::InvalidField, reason)
}

fn unsound(error: Unsound) -> Refusal {
    invalid(&format!("the passkey's answer is not taken: {error}"))
}

/// What a failed sign-in is told: the same, whatever failed.
fn failed(error: impl ToString) -> Refusal {
    Refusal::new(Code::LoginFailed).internal(error)
}

impl PasskeyUsed {
    fn decode(&self) -> Result<Used, Refusal> {
        let credential_id = decoded(&self.id)?;
        if credential_id.len() > CREDENTIAL_ID_BYTES_MAX {
            return Err(invalid("the passkey's id is too long"));
        }
        Ok(Used {
            credential_id,
            client_data: decoded(&self.client_data)?,
            authenticator_data: decoded(&self.authenticator_data)?,
            signature: decoded(&self.signature)?,
            user_handle: self.user_handle.as_deref().map(decoded).transpose()?,
        })
    }
}

/// The human of a session, and the session.
fn human(caller: &Caller) -> Result<(OperatorId, CredentialId), Refusal> {
    views::human(caller)?;
    match (caller.principal(), caller.credential()) {
        (Principal::Operator(operator), Some(session)) => Ok((operator, session)),
        _ => Err(Refusal::new(Code::HumanRequired)),
    }
}

fn descriptors(rows: &[PasskeyRow], party: &Party) -> Vec<Value> {
    let own = rows.iter().filter(|row| row.rp_id == party.rp_id);
    own.map(|row| json!({"type": "public-key", "id": URL_SAFE_NO_PAD.encode(&row.credential_id)})).collect()
}

/// What the browser is asked to use (§5.5).
fn request(challenge: &Challenge, party: &Party, allowed: &[Value]) -> Value {
    json!({
        "challenge": URL_SAFE_NO_PAD.encode(challenge), "timeout": CHALLENGE_MS, "rpId": party.rp_id,
        "allowCredentials": allowed, "userVerification": "required",
    })
}

impl Authority {
    /// The own passkeys.
    pub async fn passkeys(&self, caller: &Caller) -> Result<Vec<views::PasskeyView>, Refusal> {
        let (operator, _) = human(caller)?;
        self.read(move |conn, _| Ok(passkeys::list(conn, operator)?.into_iter().map(views::passkey).collect())).await
    }

    /// Begins to add a passkey, in a session that re-authenticated lately. Returns the options for the browser.
    pub async fn begin_passkey(&self, caller: &Caller, party: Party, name: DisplayName) -> Result<Value, Refusal> {
        let (operator, session) = human(caller)?;
        if caller.stepped_up_until().is_none() {
            return Err(Refusal::new(Code::StepUpRequired));
        }
        let (row, known) = self
            .read(move |conn, _| {
                let row = operators::find(conn, operator)?.ok_or_else(|| Refusal::new(Code::CredentialRevoked))?;
                Ok((row, room_for_another(conn, operator)?))
            })
            .await?;
        let challenge = self.issue_challenge(&Purpose::Add { session, operator, name }, &party).await?;
        let kinds = Algorithm::ALL.map(|algorithm| json!({"type": "public-key", "alg": algorithm.cose()}));
        Ok(json!({
            "rp": {"id": party.rp_id, "name": "Portcullis"},
            "user": {
                "id": URL_SAFE_NO_PAD.encode(operator.uuid().as_bytes()), "name": row.email, "displayName": row.email,
            },
            "challenge": URL_SAFE_NO_PAD.encode(challenge), "pubKeyCredParams": kinds, "timeout": CHALLENGE_MS,
            "excludeCredentials": descriptors(&known, &party),
            "authenticatorSelection": {
                "residentKey": "required", "requireResidentKey": true, "userVerification": "required",
            },
            "attestation": "none",
        }))
    }

    /// Adds a passkey.
    pub async fn finish_passkey(
        &self,
        meta: Meta,
        caller: &Caller,
        answer: &NewPasskey,
    ) -> Result<views::PasskeyView, Refusal> {
        let (operator, session) = human(caller)?;
        let (id, client_data, attestation) =
            (decoded(&answer.id)?, decoded(&answer.client_data)?, decoded(&answer.attestation)?);
        let (challenge, issued) = self.taken(&client_data).await?.map_err(unsound)?;
        let name = match issued.purpose {
            Purpose::Add { session: asked, operator: whose, name } if (asked, whose) == (session, operator) => name,
            Purpose::Add { .. } | Purpose::Login | Purpose::StepUp { .. } => {
                return Err(unsound(Unsound("it answers another question")));
            }
        };
        let expected = Expected { challenge: &challenge, party: &issued.party };
        let made = webauthn::register(&client_data, &attestation, &id, expected).map_err(unsound)?;
        let (caller, rp_id) = (caller.clone(), issued.party.rp_id);
        self.write(meta, move |cx| {
            let row = PasskeyRow {
                id: PasskeyId::from_uuid(vault::uuid_v7(cx.now.0)),
                operator,
                credential_id: made.credential_id,
                key: made.key,
                rp_id,
                name: name.to_string(),
                sign_count: made.sign_count.into(),
                created_at: cx.now.0,
                last_used_at: None,
            };
            add(cx, &caller, &row)?;
            Ok(views::passkey(row))
        })
        .await
    }

    /// Removes one of the own passkeys, in a session that re-authenticated lately: a session that was left open must not
    /// take the human's way in away.
    pub async fn remove_passkey(&self, meta: Meta, caller: &Caller, id: PasskeyId) -> Result<(), Refusal> {
        let (operator, _) = human(caller)?;
        let caller = caller.clone();
        self.write(meta, move |cx| {
            stepped_up(cx, &caller)?;
            if !passkeys::remove(cx.conn, operator, id)? {
                return Err(Refusal::new(Code::NotFound));
            }
            session::record(cx, &caller, "passkey.remove", json!({"passkey": id})).map(drop)
        })
        .await
    }

    /// Begins to sign in with a passkey: whose is said by the passkey. Returns the options for the browser.
    pub async fn begin_passkey_login(&self, party: &Party) -> Result<Value, Refusal> {
        let challenge = self.issue_challenge(&Purpose::Login, party).await?;
        Ok(request(&challenge, party, &[]))
    }

    /// Opens a session with a passkey.
    pub async fn finish_passkey_login(
        &self,
        meta: Meta,
        answer: &PasskeyUsed,
        address: String,
        device: Device,
    ) -> Result<Opened, Refusal> {
        let used = answer.decode()?;
        let (challenge, issued) = self.taken(&used.client_data).await?.map_err(failed)?;
        if issued.purpose != Purpose::Login {
            return Err(failed("the challenge was issued for something else"));
        }
        let (row, count) = self.proved(&meta, &used, &challenge, &issued, None, &address).await?;
        self.write(meta, move |cx| {
            use_passkey(cx, &row, count)?;
            session::open(cx, row.operator, &address, device, &By::Passkey(row.id))
        })
        .await
    }

    /// Begins to re-authenticate with a passkey. Returns the options for the browser.
    pub async fn begin_passkey_step_up(&self, caller: &Caller, party: Party) -> Result<Value, Refusal> {
        let (operator, session) = human(caller)?;
        let rows = self.read(move |conn, _| Ok(passkeys::list(conn, operator)?)).await?;
        let allowed = descriptors(&rows, &party);
        if allowed.is_empty() {
            return Err(Refusal::because(Code::NotFound, "you have no passkey for this server's name"));
        }
        let challenge = self.issue_challenge(&Purpose::StepUp { session, operator }, &party).await?;
        Ok(request(&challenge, &party, &allowed))
    }

    /// Re-authenticates with a passkey. Returns until when it counts.
    pub async fn finish_passkey_step_up(
        &self,
        meta: Meta,
        caller: &Caller,
        answer: &PasskeyUsed,
        address: &str,
    ) -> Result<Timestamp, Refusal> {
        let (operator, session) = human(caller)?;
        let used = answer.decode()?;
        let (challenge, issued) = self.taken(&used.client_data).await?.map_err(failed)?;
        if issued.purpose != (Purpose::StepUp { session, operator }) {
            return Err(failed("the challenge was issued for something else"));
        }
        let (row, count) = self.proved(&meta, &used, &challenge, &issued, Some(operator), address).await?;
        let caller = caller.clone();
        self.write(meta, move |cx| {
            use_passkey(cx, &row, count)?;
            session::step_up(cx, &caller, &By::Passkey(row.id))
        })
        .await
    }

    /// The challenge that is answered, which from now on is used up.
    async fn taken(&self, client_data: &[u8]) -> Result<Result<(Challenge, Issued), Unsound>, Refusal> {
        let challenge = match webauthn::challenge_of(client_data) {
            Ok(challenge) => challenge,
            Err(unsound) => return Ok(Err(unsound)),
        };
        let issued = self.take_challenge(challenge).await?.map(|issued| (challenge, issued));
        Ok(issued.ok_or(Unsound("the challenge is unknown, used or too old; begin again")))
    }

    /// Verifies a passkey that was used, slowed as at the door, and records where it fails. `operator` is whose it must be.
    async fn proved(
        &self,
        meta: &Meta,
        used: &Used,
        challenge: &Challenge,
        issued: &Issued,
        operator: Option<OperatorId>,
        address: &str,
    ) -> Result<(PasskeyRow, u32), Refusal> {
        // Counted by the passkey, as a password is by its address: a stranger with others slows nobody else.
        let account =
            format!("passkey {}", hex::encode(&TokenHash::of_text(&URL_SAFE_NO_PAD.encode(&used.credential_id)).0));
        self.slowed(&account, address)?;
        let wanted = used.credential_id.clone();
        let found = self
            .read(move |conn, _| {
                let row = passkeys::find(conn, &wanted)?;
                let owner = row.as_ref().map(|row| operators::find(conn, row.operator)).transpose()?.flatten();
                Ok(row.filter(|_| owner.is_some_and(|owner| owner.disabled_at.is_none())))
            })
            .await?;
        let whose = found.as_ref().map(|row| row.operator);
        let checked = found.ok_or(Unsound("there is no such passkey")).and_then(|row| {
            let handle = used.user_handle.as_deref();
            // At the door it has to say whose it is, or a passkey of somebody else could be passed off (§7.2 step 6).
            let own = handle.map_or(operator.is_some(), |handle| handle == row.operator.uuid().as_bytes());
            if !own || operator.is_some_and(|operator| operator != row.operator) {
                return Err(Unsound("it is somebody else's"));
            }
            if row.rp_id != issued.party.rp_id {
                return Err(Unsound("it is for another name of this server"));
            }
            let assertion = Assertion {
                client_data: &used.client_data,
                authenticator_data: &used.authenticator_data,
                signature: &used.signature,
            };
            let count = webauthn::assert(assertion, &row.key, Expected { challenge, party: &issued.party })?;
            if webauthn::advances(row.sign_count, count) { Ok((row, count)) } else { Err(COPIED) }
        });
        match checked {
            Ok(proved) => {
                self.guard().succeeded(&account, address);
                Ok(proved)
            }
            Err(error) => {
                self.guard().failed(&account, address, self.now());
                let (from, by) = (address.to_owned(), error.0);
                let recorded = self.write(meta.clone(), move |cx| {
                    session::login_failed(cx, whose, &from, (session::PASSKEY, Some(by)))
                });
                let mut refusal = failed(error);
                refusal.audit_id = Some(recorded.await?);
                Err(refusal)
            }
        }
    }
}

/// Why a count that does not go on is refused (§6.1.1).
const COPIED: Unsound = Unsound("its counter went back: there may be a copy of it");

/// The passkeys there are, if there is room for another.
fn room_for_another(conn: &mut Conn, operator: OperatorId) -> Result<Vec<PasskeyRow>, Refusal> {
    let known = passkeys::list(conn, operator)?;
    if known.len() >= PASSKEYS_MAX {
        return Err(Refusal::because(Code::LimitReached, format!("at most {PASSKEYS_MAX} passkeys")));
    }
    Ok(known)
}

/// Refuses a session that did not re-authenticate lately.
fn stepped_up(cx: &mut Cx<'_>, caller: &Caller) -> Result<(), Refusal> {
    let (standing, _) = facts::recheck(cx, caller)?;
    match standing {
        Standing::Operator { stepped_up: true, .. } => Ok(()),
        _ => Err(Refusal::new(Code::StepUpRequired)),
    }
}

fn add(cx: &mut Cx<'_>, caller: &Caller, row: &PasskeyRow) -> Result<(), Refusal> {
    stepped_up(cx, caller)?;
    room_for_another(cx.conn, row.operator)?;
    let because = session::record(cx, caller, "passkey.add", json!({"passkey": row.id, "name": row.name}))?;
    let mut writing = Writing::new(cx, because, caller.principal().to_string(), None);
    match passkeys::insert(&mut writing, row) {
        Ok(()) => Ok(()),
        Err(DbError::Unique { .. }) => Err(Refusal::because(Code::Conflict, "this passkey is known already")),
        Err(error) => Err(error.into()),
    }
}

/// Counts a use, of the passkey as it is now.
fn use_passkey(cx: &mut Cx<'_>, row: &PasskeyRow, count: u32) -> Result<(), Refusal> {
    let now = passkeys::find(cx.conn, &row.credential_id)?.filter(|now| now.id == row.id);
    let now = now.ok_or_else(|| failed("the passkey was removed"))?;
    if !webauthn::advances(now.sign_count, count) {
        return Err(failed(COPIED));
    }
    Ok(passkeys::used(cx.conn, row.id, count.into(), cx.now.0)?)
}
