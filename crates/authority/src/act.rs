//! An action: a deed plus the values that travel beside it, and how to apply it once it is allowed.

use portcullis_kernel::{
    deed::{Deed, SecretScope},
    name::SecretKey,
    secret::SecretValue,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
};

/// What travels beside a deed because it must not be in it.
pub trait Cargo: Send + Sized + 'static {
    /// The secret values, in order.
    fn values(&self) -> Vec<&SecretValue>;

    /// What else makes a request another one under the same idempotency key. Never anything of a value.
    fn mark(&self) -> &'static str {
        ""
    }

    /// Puts the cargo of an approved plan together again; `None` when the values do not fit.
    fn from_values(values: Vec<SecretValue>) -> Option<Self>;
}

impl Cargo for () {
    fn values(&self) -> Vec<&SecretValue> {
        Vec::new()
    }

    fn from_values(values: Vec<SecretValue>) -> Option<Self> {
        values.is_empty().then_some(())
    }
}

impl Cargo for SecretValue {
    fn values(&self) -> Vec<&SecretValue> {
        vec![self]
    }

    fn from_values(mut values: Vec<SecretValue>) -> Option<Self> {
        if values.len() == 1 { values.pop() } else { None }
    }
}

impl Cargo for Vec<SecretValue> {
    fn values(&self) -> Vec<&SecretValue> {
        self.iter().collect()
    }

    fn from_values(values: Vec<SecretValue>) -> Option<Self> {
        Some(values)
    }
}

/// The password hash of an operator to be created. Humans only, so never part of a held plan.
pub struct NewPassword(pub(crate) Option<String>);

impl NewPassword {
    /// None yet: the operator chooses one, with a link.
    pub const fn invited() -> Self {
        Self(None)
    }
}

impl Cargo for NewPassword {
    fn values(&self) -> Vec<&SecretValue> {
        Vec::new()
    }

    /// Whether there is one: its hash is another every time.
    fn mark(&self) -> &'static str {
        if self.0.is_some() { "with a password" } else { "" }
    }

    fn from_values(_: Vec<SecretValue>) -> Option<Self> {
        None
    }
}

/// What one secret looked like when a plan was made. An approval is void when it looks different at execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    pub(crate) scope: SecretScope,
    pub(crate) key: SecretKey,
    pub(crate) latest: i64,
    pub(crate) active: Option<i64>,
    pub(crate) state: String,
}

/// What preparing an action found out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prepared {
    /// The secrets it will write, as they are now.
    pub(crate) pins: Vec<Pin>,
    /// Nothing an agent is given changes: an equal value, a version that is only staged. No restart follows.
    pub(crate) agents_unaffected: bool,
    /// That is so because values are equal, which is knowledge about them.
    pub(crate) by_value: bool,
    /// For the approval card: whether the value equals the current one.
    pub(crate) same_as_current: bool,
}

/// An action. Sealed: new ones are added here, beside the gate that judges them.
pub trait Act: sealed::Act {}

impl<A: sealed::Act> Act for A {}

pub(crate) mod sealed {
    use super::{Caller, Cargo, Cx, Deed, DeserializeOwned, Fault, Permit, Prepared, Serialize, Spent};

    #[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
    pub trait Act: Into<Deed> + Clone + Send + Sync + 'static {
        /// What travels beside the deed.
        type Cargo: Cargo;
        /// What it answers. Kept under idempotency keys, so it holds no value and serialises without its token.
        type Done: Serialize + DeserializeOwned + Send + 'static;

        /// Looks whether it can be done as things are, in the transaction that would do it. Runs after the decision, for
        /// requests that are held as much as for those that are allowed: nobody is asked to approve what cannot happen.
        fn prepare(&self, cx: &mut Cx<'_>, caller: &Caller, cargo: &Self::Cargo) -> Result<Prepared, Fault>;

        /// A plaintext token in the answer, if there is one: an approved mint hands it to the human as a one-time claim.
        fn minted(_done: &Self::Done) -> Option<&crate::vault::PlainToken> {
            None
        }

        /// Does it.
        fn apply(
            permit: Permit<'_, '_, Self>,
            cargo: Self::Cargo,
            prepared: &Prepared,
        ) -> Result<Spent<Self::Done>, Fault>;
    }
}
