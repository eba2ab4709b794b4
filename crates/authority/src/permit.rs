//! The permit: a single-use capability to apply one action in one transaction, and the only way to a handle that writes.

use portcullis_kernel::{id::ApprovalId, policy::Allowed, time::Timestamp};

use crate::{caller::Caller, core::Core, db::Conn, gate::Cx, refusal::Fault};

/// The approval a deed spends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Approved {
    pub(crate) id: ApprovalId,
    /// Who agreed, separated by spaces.
    pub(crate) by: String,
}

/// The handle table functions write with: a transaction, the audit event that allows it, and on whose behalf.
pub(crate) struct Writing<'w, 'c> {
    cx: &'w mut Cx<'c>,
    because: i64,
    by: String,
    approved: Option<Approved>,
}

impl<'w, 'c> Writing<'w, 'c> {
    /// For the gate, which has just appended the event `because`; nobody else makes one.
    pub(crate) fn new(cx: &'w mut Cx<'c>, because: i64, by: String, approved: Option<Approved>) -> Self {
        Self { cx, because, by, approved }
    }

    pub(crate) fn conn(&mut self) -> &mut Conn {
        self.cx.conn
    }

    pub(crate) fn cx(&mut self) -> &mut Cx<'c> {
        self.cx
    }

    pub(crate) fn core(&self) -> &Core {
        self.cx.core
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.cx.now
    }

    pub(crate) fn because(&self) -> i64 {
        self.because
    }

    pub(crate) fn by(&self) -> String {
        self.by.clone()
    }

    pub(crate) fn approved(&self) -> Option<&Approved> {
        self.approved.as_ref()
    }
}

/// May apply one action, once, in the transaction it holds, to the target it carries.
///
/// INVARIANT: minted by the gate only, which must hand over an [`Allowed`] that only the decision can make.
pub struct Permit<'w, 'c, A> {
    writing: Writing<'w, 'c>,
    deed: &'w A,
    caller: &'w Caller,
    _allowed: Allowed,
}

impl<'w, 'c, A> Permit<'w, 'c, A> {
    pub(crate) fn mint(allowed: Allowed, writing: Writing<'w, 'c>, deed: &'w A, caller: &'w Caller) -> Self {
        Self { writing, deed, caller, _allowed: allowed }
    }

    /// Spends the permit: the target comes out of the permit, not out of an argument, so nobody is allowed A and writes B.
    pub(crate) fn spend<T>(
        mut self,
        write: impl FnOnce(&mut Writing<'_, 'c>, &A, &Caller) -> Result<T, Fault>,
    ) -> Result<Spent<T>, Fault> {
        write(&mut self.writing, self.deed, self.caller).map(Spent)
    }
}

/// Proof that a permit was spent: an action cannot answer success without one.
#[derive(Debug)]
pub struct Spent<T>(T);

impl<T> Spent<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}
