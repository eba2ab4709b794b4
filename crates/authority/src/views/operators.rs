//! Operators and their own sessions. Never a password, a hash of one or a link.

use portcullis_kernel::{
    id::{CredentialId, OperatorId, PasskeyId},
    operator::Role,
    refusal::Code,
    subject::Principal,
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{human, secrets::time};
use crate::{
    caller::Caller,
    db::Conn,
    device::Device,
    refusal::Refusal,
    tables::{credentials, operators, passkeys::PasskeyRow},
};

/// An operator.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OperatorView {
    /// The id.
    pub id: OperatorId,
    /// Login.
    pub email: String,
    /// Role.
    pub role: Role,
    /// Groups.
    pub groups: Vec<String>,
    /// May not log in.
    pub disabled: bool,
    /// No password was chosen yet: the invitation waits.
    pub invited: bool,
    /// When a session was last opened.
    pub last_login_at: Option<String>,
    /// When.
    pub created_at: String,
}

/// One of the own sessions.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SessionView {
    /// The id.
    pub id: CredentialId,
    /// With what it was opened, in a few words.
    pub device: String,
    /// When it was opened.
    pub created_at: String,
    /// When it was last used, to the minute.
    pub last_used_at: Option<String>,
    /// When it ends at the latest.
    pub expires_at: String,
    /// It is the one that asks.
    pub current: bool,
}

pub(crate) fn operator_list(conn: &mut Conn, caller: &Caller) -> Result<Vec<OperatorView>, Refusal> {
    human(caller)?;
    Ok(operators::list(conn)?.into_iter().map(operator).collect())
}

pub(crate) fn operator(row: operators::OperatorRow) -> OperatorView {
    OperatorView {
        id: row.id,
        email: row.email,
        role: row.role,
        groups: row.groups,
        disabled: row.disabled_at.is_some(),
        invited: row.invited,
        last_login_at: row.last_login_at.map(time),
        created_at: time(row.created_at),
    }
}

/// One of the own passkeys.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PasskeyView {
    /// The id.
    pub id: PasskeyId,
    /// What it is called.
    pub name: String,
    /// When it was added.
    pub created_at: String,
    /// When it was last used.
    pub last_used_at: Option<String>,
}

pub(crate) fn passkey(row: PasskeyRow) -> PasskeyView {
    PasskeyView {
        id: row.id,
        name: row.name,
        created_at: time(row.created_at),
        last_used_at: row.last_used_at.map(time),
    }
}

pub(crate) fn session_list(conn: &mut Conn, caller: &Caller, now: Timestamp) -> Result<Vec<SessionView>, Refusal> {
    human(caller)?;
    let Principal::Operator(operator) = caller.principal() else { return Err(Refusal::new(Code::HumanRequired)) };
    let rows = credentials::sessions(conn, operator, now.0)?;
    let shown = rows.into_iter().map(|row| SessionView {
        id: row.id,
        device: row.device.unwrap_or_else(|| Device::default().to_string()),
        created_at: time(row.created_at),
        last_used_at: row.last_used_at.map(time),
        expires_at: time(row.expires_at),
        current: caller.credential == Some(row.id),
    });
    Ok(shown.collect())
}
