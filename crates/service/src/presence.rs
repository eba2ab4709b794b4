//! The credential of a request that is answered for longer than a moment. It is looked at again with every look at the
//! data: what was revoked in between sees nothing more.

use portcullis_authority::{Authority, Caller, CredentialKind, Presented, Refusal};
use portcullis_kernel::refusal::Code;

use crate::call::Call;

/// A credential as it was presented.
pub(crate) struct Presence {
    authority: Authority,
    token: zeroize::Zeroizing<String>,
    session: bool,
}

impl Presence {
    /// What this call was made with.
    pub(crate) fn of(call: &Call) -> Result<Self, Refusal> {
        let session = call.caller()?.kind() == Some(CredentialKind::Session);
        let presented = if session {
            crate::head::cookie(&call.headers, call.app.cookie_name()).map(str::to_owned)
        } else {
            let bearer = call.header("authorization")?.and_then(|text| text.split_once(' '));
            bearer.map(|(_, token)| token.trim().to_owned())
        };
        let token = presented.ok_or_else(|| Refusal::new(Code::Unauthenticated))?;
        Ok(Self { authority: call.app.authority.clone(), token: token.into(), session })
    }

    /// Who that is now.
    pub(crate) async fn caller(&self) -> Result<Caller, Refusal> {
        let presented = if self.session { Presented::Cookie(&self.token) } else { Presented::Bearer(&self.token) };
        self.authority.authenticate(presented).await
    }
}
