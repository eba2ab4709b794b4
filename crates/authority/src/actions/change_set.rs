//! Several changes, in several scopes, that happen together or not at all.

use std::collections::BTreeSet;

use portcullis_kernel::{
    deed::{CHANGES_MAX, Change, ChangeOp, SecretChangeSet, SecretScope},
    name::{KEYS_PER_SCOPE_MAX, SecretKey},
    refusal::Code,
    secret::SecretValue,
};
use serde::{Deserialize, Serialize};

use super::{
    secret_import::named,
    secret_write::{Put, activate, check_key, delete, prepare_existing, prepare_put, put, roll_back, same_digest},
};
use crate::{
    act::{Prepared, sealed::Act},
    caller::Caller,
    gate::Cx,
    permit::{Permit, Spent},
    refusal::Fault,
    tables::secrets,
};

/// One line that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSaved {
    /// Where.
    pub scope: SecretScope,
    /// Which key.
    pub key: SecretKey,
    /// The version put or activated; `None` for a deletion.
    pub version: Option<i64>,
}

/// A change set that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSetSaved {
    /// Line by line.
    pub changes: Vec<ChangeSaved>,
}

fn prepare_line(
    cx: &mut Cx<'_>,
    change: &Change,
    values: &mut std::slice::Iter<'_, SecretValue>,
) -> Result<Prepared, Fault> {
    match &change.op {
        ChangeOp::Set { .. } => {
            let value = values.next().ok_or_else(|| Fault::refused(Code::InvalidField, "a `set` line has no value"))?;
            prepare_put(cx, change.scope, &change.key, change.base, value, true)
        }
        ChangeOp::Delete => {
            let (row, mut prepared) = prepare_existing(cx, change.scope, &change.key, change.base, &["live", "slot"])?;
            prepared.agents_unaffected = row.state == "slot" || row.active.is_none();
            Ok(prepared)
        }
        ChangeOp::Rollback { to_version: version } | ChangeOp::Activate { version } => {
            check_key(change.scope, &change.key)?;
            let (row, mut prepared) = prepare_existing(cx, change.scope, &change.key, change.base, &["live"])?;
            prepared.by_value = same_digest(cx, change.scope, &change.key, &row, *version)?;
            prepared.agents_unaffected = prepared.by_value;
            Ok(prepared)
        }
    }
}

#[expect(private_interfaces, reason = "the trait is sealed; its parts are the authority's own business")]
impl Act for SecretChangeSet {
    type Cargo = Vec<SecretValue>;
    type Done = ChangeSetSaved;

    fn prepare(&self, cx: &mut Cx<'_>, _caller: &Caller, values: &Vec<SecretValue>) -> Result<Prepared, Fault> {
        if self.changes.is_empty() || self.changes.len() > CHANGES_MAX {
            return Err(Fault::refused(Code::InvalidField, format!("a change set has 1 to {CHANGES_MAX} changes")));
        }
        let mut seen = BTreeSet::new();
        let mut all = Prepared { agents_unaffected: true, ..Prepared::default() };
        let mut rest = values.iter();
        for change in &self.changes {
            if !seen.insert((change.scope, &change.key)) {
                return Err(named(Fault::refused(Code::InvalidField, "a key comes twice"), &change.key));
            }
            let one = prepare_line(cx, change, &mut rest).map_err(|fault| named(fault, &change.key))?;
            all.agents_unaffected &= one.agents_unaffected;
            all.by_value |= one.by_value;
            all.pins.extend(one.pins);
        }
        if rest.next().is_some() {
            return Err(Fault::refused(Code::InvalidField, "there are more values than `set` lines"));
        }
        let scopes: BTreeSet<SecretScope> = self.changes.iter().map(|change| change.scope).collect();
        for scope in scopes {
            let new = all
                .pins
                .iter()
                .filter(|pin| pin.scope == scope && matches!(pin.state.as_str(), "absent" | "deleted"))
                .count();
            if secrets::count(cx.conn, scope)? + new as i64 > KEYS_PER_SCOPE_MAX as i64 {
                return Err(Fault::refused(
                    Code::LimitReached,
                    format!("a scope has at most {KEYS_PER_SCOPE_MAX} keys"),
                ));
            }
        }
        Ok(all)
    }

    fn apply(
        permit: Permit<'_, '_, Self>,
        values: Vec<SecretValue>,
        _prepared: &Prepared,
    ) -> Result<Spent<ChangeSetSaved>, Fault> {
        permit.spend(|w, deed, _| {
            let mut values = values.iter();
            let reason = deed.reason.as_ref().map(|note| note.as_str());
            let mut changes = Vec::with_capacity(deed.changes.len());
            for Change { scope, key, op, .. } in &deed.changes {
                let version = match op {
                    ChangeOp::Set { delivery } => {
                        let value =
                            values.next().ok_or_else(|| Fault::Failed("a `set` line has no value".to_owned()))?;
                        let new = Put {
                            scope: *scope,
                            key,
                            delivery: *delivery,
                            activate: true,
                            origin: "change_set",
                            description: None,
                            reason,
                            expires_at: None,
                        };
                        Some(put(w, &new, value)?)
                    }
                    ChangeOp::Delete => {
                        delete(w, *scope, key)?;
                        None
                    }
                    ChangeOp::Rollback { to_version } => Some(roll_back(w, *scope, key, *to_version, reason)?),
                    ChangeOp::Activate { version } => {
                        activate(w, *scope, key, *version)?;
                        Some(*version)
                    }
                };
                changes.push(ChangeSaved { scope: *scope, key: key.clone(), version });
            }
            Ok(ChangeSetSaved { changes })
        })
    }
}
