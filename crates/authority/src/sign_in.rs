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
    gate::{Cx, Meta},
    refusal::Refusal,
    session::{self, By, Opened, Proved, Redeemed},
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
    ) -> Result<Proved, Refusal> {
        self.slowed(email, address)?;
        let wanted = email.to_owned();
        let found = self.read(move |conn, _| Ok(operators::find_login(conn, &wanted)?)).await?;
        let found = found.filter(|(row, _)| row.disabled_at.is_none());
        let (operator, hash) = found.map_or((None, None), |(row, hash)| (Some(row.id), hash));
        let password = zeroize::Zeroizing::new(password);
        let known = hash.clone();
        let right = self.hashing(move || vault::password_verify(&password, known.as_deref())).await?;
        match (right, operator, hash) {
            (Ok(true), Some(operator), Some(hash)) => {
                self.guard().succeeded(email, address);
                Ok(Proved { operator, hash })
            }
            (Err(error), ..) => Err(Refusal::new(Code::Internal).internal(error)),
            _ => {
                self.guard().failed(email, address, self.now());
                Err(self.turned_away(meta, operator, address).await)
            }
        }
    }

    /// Records a password that did not do. Every one is told the same.
    async fn turned_away(&self, meta: &Meta, operator: Option<OperatorId>, address: &str) -> Refusal {
        let from = address.to_owned();
        let recorded =
            self.write(meta.clone(), move |cx| session::login_failed(cx, operator, &from, (session::PASSWORD, None)));
        match recorded.await {
            Ok(audit_id) => {
                let mut refusal = Refusal::new(Code::LoginFailed);
                refusal.audit_id = Some(audit_id);
                refusal
            }
            Err(refusal) => refusal,
        }
    }

    /// Does what a password was proved for. One that was changed since is turned away as a wrong one is.
    async fn by_password<T: Send + 'static>(
        &self,
        meta: Meta,
        operator: OperatorId,
        address: &str,
        job: impl FnOnce(&mut Cx<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        match self.write(meta.clone(), job).await {
            Err(refusal) if refusal.code == Code::LoginFailed => {
                Err(self.turned_away(&meta, Some(operator), address).await)
            }
            done => done,
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
        let proved = self.check_password(&meta, email.as_str(), &address, password).await?;
        let (operator, from) = (proved.operator, address.clone());
        let open = move |cx: &mut Cx<'_>| session::open(cx, operator, &from, device, &By::Password(proved));
        self.by_password(meta, operator, &address, open).await
    }

    /// Checks the password of the human of a session, as at the door.
    async fn prove(&self, meta: &Meta, caller: &Caller, password: String, address: &str) -> Result<Proved, Refusal> {
        views::human(caller)?;
        let id = caller.principal().id();
        let email = self
            .read(move |conn, _| {
                let row = id.parse().ok().map(|id| operators::find(conn, id)).transpose()?.flatten();
                row.map(|row| row.email).ok_or_else(|| Refusal::new(Code::CredentialRevoked))
            })
            .await?;
        self.check_password(meta, &email, address, password).await
    }

    /// Re-authenticates the human of a session. Returns until when it counts.
    pub async fn step_up(
        &self,
        meta: Meta,
        caller: &Caller,
        password: String,
        address: &str,
    ) -> Result<Timestamp, Refusal> {
        let proved = self.prove(&meta, caller, password, address).await?;
        let (caller, operator) = (caller.clone(), proved.operator);
        let renew = move |cx: &mut Cx<'_>| session::step_up(cx, &caller, &By::Password(proved));
        self.by_password(meta, operator, address, renew).await
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
        let proved = self.prove(&meta, caller, current, address).await?;
        let (caller, operator, hash) = (caller.clone(), proved.operator, self.password_hash(new).await?);
        let change = move |cx: &mut Cx<'_>| session::change_password(cx, &caller, &proved, &hash);
        self.by_password(meta, operator, address, change).await
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
