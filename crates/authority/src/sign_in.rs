//! The public surface, third part: how somebody proves who they are, and what comes of it: passwords, sessions, codes.

use portcullis_kernel::{
    id::{CredentialId, OperatorId, WorkspaceId},
    name::Email,
    refusal::Code,
    secret::SecretValue,
    time::Timestamp,
};

use crate::{
    authority::Authority,
    caller::Caller,
    device::Device,
    facts,
    gate::Meta,
    refusal::Refusal,
    session::{self, By, Opened, Redeemed},
    tables::operators,
    vault::{self, PlainToken},
    views,
};

impl Authority {
    /// Refuses whoever failed too often lately.
    pub(crate) fn slowed(&self, account: &str, address: &str) -> Result<(), Refusal> {
        let wait = self.guard().wait_ms(account, address, self.now());
        if wait == 0 {
            return Ok(());
        }
        let mut refusal = Refusal::new(Code::LoginRateLimited);
        refusal.retry_after_ms = Some(wait);
        Err(refusal)
    }

    async fn check_password(
        &self,
        meta: &Meta,
        email: &str,
        address: &str,
        password: String,
    ) -> Result<OperatorId, Refusal> {
        self.slowed(email, address)?;
        let wanted = email.to_owned();
        let found = self.read(move |conn, _| Ok(operators::find_login(conn, &wanted)?)).await?;
        let found = found.filter(|(row, _)| row.disabled_at.is_none());
        let (operator, hash) = found.map_or((None, None), |(row, hash)| (Some(row.id), hash));
        let password = zeroize::Zeroizing::new(password);
        let right = self.hashing(move || vault::password_verify(&password, hash.as_deref())).await?;
        match (right, operator) {
            (Ok(true), Some(operator)) => {
                self.guard().succeeded(email, address);
                Ok(operator)
            }
            (Err(error), _) => Err(Refusal::new(Code::Internal).internal(error)),
            _ => {
                self.guard().failed(email, address, self.now());
                let from = address.to_owned();
                let audit_id = self
                    .write(meta.clone(), move |cx| {
                        session::login_failed(cx, operator, &from, (session::PASSWORD, None))
                    })
                    .await?;
                let mut refusal = Refusal::new(Code::LoginFailed);
                refusal.audit_id = Some(audit_id);
                Err(refusal)
            }
        }
    }

    /// Opens a session. `address` is the peer's, for the rate limit and the log.
    pub async fn login(
        &self,
        meta: Meta,
        email: &Email,
        password: String,
        address: String,
        device: Device,
    ) -> Result<Opened, Refusal> {
        let operator = self.check_password(&meta, email.as_str(), &address, password).await?;
        self.write(meta, move |cx| session::open(cx, operator, &address, device, By::Password)).await
    }

    /// Checks the password of the human of a session, as at the door.
    async fn prove(&self, meta: &Meta, caller: &Caller, password: String, address: &str) -> Result<(), Refusal> {
        views::human(caller)?;
        let id = caller.principal().id();
        let email = self
            .read(move |conn, _| {
                let row = id.parse().ok().map(|id| operators::find(conn, id)).transpose()?.flatten();
                row.map(|row| row.email).ok_or_else(|| Refusal::new(Code::CredentialRevoked))
            })
            .await?;
        self.check_password(meta, &email, address, password).await.map(drop)
    }

    /// Re-authenticates the human of a session. Returns until when it counts.
    pub async fn step_up(
        &self,
        meta: Meta,
        caller: &Caller,
        password: String,
        address: &str,
    ) -> Result<Timestamp, Refusal> {
        self.prove(&meta, caller, password, address).await?;
        let caller = caller.clone();
        self.write(meta, move |cx| session::step_up(cx, &caller, By::Password)).await
    }

    /// Ends a session.
    pub async fn logout(&self, meta: Meta, caller: &Caller) -> Result<(), Refusal> {
        let caller = caller.clone();
        self.write(meta, move |cx| session::close(cx, &caller)).await
    }

    /// The own sessions that live.
    pub async fn sessions(&self, caller: &Caller) -> Result<Vec<views::SessionView>, Refusal> {
        let (caller, now) = (caller.clone(), self.now());
        self.read(move |conn, _| views::session_list(conn, &caller, now)).await
    }

    /// Ends one of the own sessions. Returns whether it was the one that asked.
    pub async fn end_session(&self, meta: Meta, caller: &Caller, session: CredentialId) -> Result<bool, Refusal> {
        views::human(caller)?;
        let caller = caller.clone();
        let current = caller.credential == Some(session);
        self.write(meta, move |cx| session::end(cx, &caller, session)).await?;
        Ok(current)
    }

    /// The operator behind a session.
    pub async fn operator_of(&self, caller: &Caller) -> Result<crate::views::OperatorView, Refusal> {
        let caller = caller.clone();
        self.read(move |conn, _| {
            views::human(&caller)?;
            let row = caller.principal().id().parse().ok().map(|id| operators::find(conn, id)).transpose()?.flatten();
            row.map(views::operator).ok_or_else(|| Refusal::new(Code::CredentialRevoked))
        })
        .await
    }

    /// A one-time claim for the first operator; `None` once there is one.
    pub async fn first_claim(&self) -> Result<Option<PlainToken>, Refusal> {
        self.write(Meta { request_id: "start".into(), ..Meta::default() }, session::first_claim).await
    }

    /// Makes the first operator from the claim.
    pub async fn claim_operator(
        &self,
        meta: Meta,
        token: String,
        email: Email,
        password: String,
    ) -> Result<OperatorId, Refusal> {
        let token = zeroize::Zeroizing::new(token);
        let (presented, now) = (token.clone(), self.now());
        self.read(move |conn, _| session::first_operator_claim(conn, &presented, now).map(drop)).await?;
        let hash = self.password_hash(password).await?;
        self.write(meta, move |cx| session::claim_operator(cx, &token, email, hash)).await
    }

    /// Sets the password that an invited operator chose. Returns the operator.
    pub async fn accept_invite(
        &self,
        meta: Meta,
        token: String,
        password: String,
    ) -> Result<views::OperatorView, Refusal> {
        let token = zeroize::Zeroizing::new(token);
        let (presented, now) = (token.clone(), self.now());
        // Whoever has no link must not cost a core and 19 MiB.
        self.read(move |conn, _| session::invited(conn, &presented, now).map(drop)).await?;
        let hash = self.password_hash(password).await?;
        self.write(meta, move |cx| session::accept(cx, &token, &hash).map(views::operator)).await
    }

    /// Changes the own password. Returns how many other sessions and links ended.
    pub async fn change_password(
        &self,
        meta: Meta,
        caller: &Caller,
        current: String,
        new: String,
        address: &str,
    ) -> Result<u64, Refusal> {
        self.prove(&meta, caller, current, address).await?;
        let (caller, hash) = (caller.clone(), self.password_hash(new).await?);
        self.write(meta, move |cx| session::change_password(cx, &caller, &hash)).await
    }

    /// Hands a minted token to the human who claims it, once.
    pub async fn claim_token(&self, meta: Meta, caller: &Caller, token: String) -> Result<SecretValue, Refusal> {
        let caller = caller.clone();
        let token = zeroize::Zeroizing::new(token);
        self.write(meta, move |cx| {
            facts::recheck(cx, &caller)?;
            session::claim_token(cx, &caller, &token)
        })
        .await
    }

    /// Turns an enrolment code into the workspace's token.
    pub async fn redeem_enrolment(
        &self,
        meta: Meta,
        code: String,
        workspace: WorkspaceId,
    ) -> Result<Redeemed, Refusal> {
        let code = zeroize::Zeroizing::new(code);
        self.write(meta, move |cx| session::redeem(cx, &code, workspace)).await
    }
}
