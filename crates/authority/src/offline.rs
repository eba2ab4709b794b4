//! What can be read of a database without a server, and without a secret.

use crate::{
    db::{Conn, DbError, Role, Target},
    tables::policies::{self, PolicyView},
};

/// The policies that operators added, as the database has them now; at most 1,000.
pub fn added_policies(target: &Target) -> Result<Vec<PolicyView>, DbError> {
    let mut conn = Conn::open(target, Role::Heavy)?;
    policies::list(&mut conn)
}
