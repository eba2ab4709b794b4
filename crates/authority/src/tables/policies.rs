//! Policies that operators added.

use std::{collections::BTreeMap, sync::Arc};

use portcullis_kernel::policy::{Added, Index, annotations_of};

use crate::{
    db::{Conn, DbError},
    params,
    permit::Writing,
};

/// A stored policy, for listing.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub struct PolicyView {
    /// Its id; the rule name in decisions.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Cedar text.
    pub text: String,
    /// Shipped policies cannot be removed.
    pub shipped: bool,
    /// Where it comes from.
    pub source: PolicySource,
    /// What it says of itself, by name.
    pub annotations: BTreeMap<String, String>,
}

/// Where a policy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicySource {
    /// It is in the binary.
    Shipped,
    /// An operator added it.
    Added,
}

static REVISION: &str = "/* policy_revision */ SELECT revision FROM policy_revision WHERE id = 1";

/// Asks ahead for what [`revision`] will want.
pub(crate) fn revision_ahead(conn: &mut Conn) -> Result<(), DbError> {
    conn.ahead(REVISION, &[])
}

pub(crate) fn revision(conn: &mut Conn) -> Result<i64, DbError> {
    match conn.query_opt(REVISION, &[])? {
        Some(row) => row.int(0),
        None => Err(DbError::Shape("policy_revision has no row".into())),
    }
}

/// The whole index; read again only when the revision changed.
pub(crate) fn index(conn: &mut Conn) -> Result<Index, DbError> {
    let mut index = Index::default();
    conn.each(
        "/* policy_index */ SELECT id, body, slots FROM policies WHERE removed_at IS NULL ORDER BY id",
        &[],
        &mut |row| {
            let policy = Arc::new(Added::new(row.text(0)?.to_owned(), row.text(1)?.to_owned()));
            let slots: Vec<String> = row.text(2)?.lines().map(str::to_owned).collect();
            index.insert(&slots, &policy);
            Ok(())
        },
    )?;
    Ok(index)
}

pub(crate) fn list(conn: &mut Conn) -> Result<Vec<PolicyView>, DbError> {
    let rows = conn.query("/* policy_list */ SELECT id, name, body FROM policies WHERE removed_at IS NULL ORDER BY created_at, id LIMIT 1000", &[])?;
    rows.iter()
        .map(|row| {
            Ok(PolicyView {
                id: row.text(0)?.to_owned(),
                name: row.text(1)?.to_owned(),
                text: row.text(2)?.to_owned(),
                shipped: false,
                source: PolicySource::Added,
                annotations: annotations_of(row.text(2)?),
            })
        })
        .collect()
}

/// The text of a policy that was added, also of one that was removed since: decisions name it for ever.
pub(crate) fn text(conn: &mut Conn, id: &str) -> Result<Option<String>, DbError> {
    let row = conn.query_opt("/* policy_text */ SELECT body FROM policies WHERE id = $1", params![id])?;
    row.map(|row| row.text(0).map(str::to_owned)).transpose()
}

pub(crate) fn insert(
    w: &mut Writing<'_, '_>,
    id: &str,
    name: &str,
    text: &str,
    slots: &[String],
) -> Result<(), DbError> {
    let (now, by, audit_id) = (w.now().0, w.by(), w.because());
    w.conn().execute(
        "/* policy_insert */ INSERT INTO policies (id, name, body, slots, created_at, created_by, audit_id) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        params![id, name, text, slots.join("\n").as_str(), now, by.as_str(), audit_id],
    )?;
    bump(w)
}

/// Marks a policy as removed; false when there is none.
pub(crate) fn remove(w: &mut Writing<'_, '_>, id: &str) -> Result<bool, DbError> {
    let now = w.now().0;
    let rows = w.conn().execute(
        "/* policy_remove */ UPDATE policies SET removed_at = $2 WHERE id = $1 AND removed_at IS NULL",
        params![id, now],
    )?;
    bump(w)?;
    Ok(rows == 1)
}

/// A random number, not a count: what a rolled-back transaction wrote here never comes again with other content.
fn bump(w: &mut Writing<'_, '_>) -> Result<(), DbError> {
    let random = crate::vault::random::<8>();
    let revision = i64::from_be_bytes(random) & i64::MAX;
    w.conn().execute(
        "/* policy_revision_bump */ UPDATE policy_revision SET revision = $1 WHERE id = 1",
        params![revision],
    )?;
    Ok(())
}
