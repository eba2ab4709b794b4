//! What all writes of secrets share: the checks, and the one function that puts a version.

use portcullis_kernel::{
    deed::{Base, Delivery, SecretScope},
    key_rules,
    name::{KEYS_PER_SCOPE_MAX, SecretKey},
    refusal::Code,
    secret::SecretValue,
};

use crate::{
    act::{Pin, Prepared},
    gate::Cx,
    permit::Writing,
    plaintext,
    refusal::{Fault, Refusal},
    tables::{
        secrets::{self, Pointers, SecretRow},
        versions::{self, NewVersion},
    },
};

/// Whether the key may be written at all, wherever the value comes from.
pub(crate) fn check_key(scope: SecretScope, key: &SecretKey) -> Result<(), Fault> {
    match key_rules::refused(key, scope == SecretScope::Organisation) {
        None => Ok(()),
        Some(rule) => {
            let refusal = Refusal::because(Code::KeyForbidden, format!("{}: {}", rule.name, rule.why));
            Err(Fault::from(refusal.with("key_rule", rule.name)))
        }
    }
}

fn pin(scope: SecretScope, key: &SecretKey, row: Option<&SecretRow>) -> Pin {
    match row {
        Some(row) => Pin { scope, key: key.clone(), latest: row.latest, active: row.active, state: row.state.clone() },
        None => Pin { scope, key: key.clone(), latest: 0, active: None, state: "absent".to_owned() },
    }
}

/// `If-Match` against what is there. A deleted key or an unfilled slot is absent.
pub(crate) fn check_base(base: Base, row: Option<&SecretRow>) -> Result<(), Fault> {
    let present = row.filter(|row| row.state == "live");
    let fits = match base {
        Base::Any => true,
        Base::Absent => present.is_none(),
        Base::Present => present.is_some(),
        Base::Exactly(version) => present.is_some_and(|row| row.latest == version),
    };
    if fits {
        return Ok(());
    }
    let refusal = Refusal::new(Code::BaseVersionMismatch).with("current_version", present.map(|row| row.latest));
    Err(Fault::from(refusal))
}

/// Prepares a write that puts a value.
pub(crate) fn prepare_put(
    cx: &mut Cx<'_>,
    scope: SecretScope,
    key: &SecretKey,
    base: Base,
    value: &SecretValue,
    activate: bool,
) -> Result<Prepared, Fault> {
    check_key(scope, key)?;
    plaintext::refuse_own_credential(cx, value)?;
    let (row, stored) = secrets::find_with_digest(cx.conn, scope, key.as_str())?.unzip();
    check_base(base, row.as_ref())?;
    let counts = row.as_ref().is_some_and(|row| row.state != "deleted");
    if !counts && secrets::count(cx.conn, scope)? >= KEYS_PER_SCOPE_MAX as i64 {
        return Err(Fault::refused(Code::LimitReached, format!("a scope has at most {KEYS_PER_SCOPE_MAX} keys")));
    }
    let stored = stored.flatten().filter(|_| row.as_ref().is_some_and(|row| row.state == "live"));
    let same = stored.is_some_and(|stored| stored == plaintext::digest(&cx.core.keys(), scope, key, value));
    Ok(Prepared {
        pins: vec![pin(scope, key, row.as_ref())],
        agents_unaffected: same || !activate,
        by_value: same && activate,
        same_as_current: same,
    })
}

/// Prepares a change of a key that must exist in one of `states`.
pub(crate) fn prepare_existing(
    cx: &mut Cx<'_>,
    scope: SecretScope,
    key: &SecretKey,
    base: Base,
    states: &[&str],
) -> Result<(SecretRow, Prepared), Fault> {
    let row = secrets::find(cx.conn, scope, key.as_str())?;
    let Some(row) = row.filter(|row| states.contains(&row.state.as_str())) else {
        return Err(Fault::code(Code::SecretNotFound));
    };
    check_base(base, Some(&row))?;
    let prepared = Prepared { pins: vec![pin(scope, key, Some(&row))], ..Prepared::default() };
    Ok((row, prepared))
}

/// A version to put.
pub(crate) struct Put<'a> {
    pub(crate) scope: SecretScope,
    pub(crate) key: &'a SecretKey,
    pub(crate) delivery: Delivery,
    pub(crate) activate: bool,
    pub(crate) origin: &'a str,
    pub(crate) description: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) expires_at: Option<i64>,
}

/// Puts a value as the next version of what is there now. Returns the version.
pub(crate) fn put(w: &mut Writing<'_, '_>, new: &Put<'_>, value: &SecretValue) -> Result<i64, Fault> {
    let row = secrets::find(w.conn(), new.scope, new.key.as_str())?;
    put_on(w, &pin(new.scope, new.key, row.as_ref()), new, value)
}

/// Seals a value and puts it as the version after `base`, which is how the key stands; the only function that does. For
/// whoever has looked in this transaction and changed nothing since. Returns the version.
pub(crate) fn put_on(w: &mut Writing<'_, '_>, base: &Pin, new: &Put<'_>, value: &SecretValue) -> Result<i64, Fault> {
    let base_version = base.latest;
    let version = base_version + 1;
    let sealed = plaintext::seal(w.core(), new.scope, new.key, version, value)?;
    let digest = plaintext::digest(&w.core().keys(), new.scope, new.key, value);
    let active = if new.activate { Some(version) } else { base.active.filter(|_| base.state == "live") };
    secrets::put(
        w,
        &Pointers {
            scope: new.scope,
            key: new.key.as_str(),
            state: "live",
            latest: version,
            active,
            description: new.description,
        },
    )?;
    versions::insert(
        w,
        &NewVersion {
            scope: new.scope,
            key: new.key.as_str(),
            version,
            sealed: &sealed,
            digest: &digest,
            delivery: new.delivery.as_str(),
            origin: new.origin,
            base_version,
            reason: new.reason,
            expires_at: new.expires_at,
        },
    )?;
    Ok(version)
}

/// Marks a key as deleted. Its versions stay.
pub(crate) fn delete(w: &mut Writing<'_, '_>, scope: SecretScope, key: &SecretKey) -> Result<(), Fault> {
    set_state(w, scope, key, "deleted")
}

/// Moves a key to another state, pointers as they are.
pub(crate) fn set_state(
    w: &mut Writing<'_, '_>,
    scope: SecretScope,
    key: &SecretKey,
    state: &str,
) -> Result<(), Fault> {
    let row = secrets::find(w.conn(), scope, key.as_str())?.ok_or_else(|| Fault::code(Code::SecretNotFound))?;
    let pointers =
        Pointers { scope, key: key.as_str(), state, latest: row.latest, active: row.active, description: None };
    Ok(secrets::put(w, &pointers)?)
}

/// Moves the active pointer.
pub(crate) fn activate(
    w: &mut Writing<'_, '_>,
    scope: SecretScope,
    key: &SecretKey,
    version: i64,
) -> Result<(), Fault> {
    let row = secrets::find(w.conn(), scope, key.as_str())?.ok_or_else(|| Fault::code(Code::SecretNotFound))?;
    let pointers = Pointers {
        scope,
        key: key.as_str(),
        state: "live",
        latest: row.latest,
        active: Some(version),
        description: None,
    };
    Ok(secrets::put(w, &pointers)?)
}

/// Puts the value of an old version as a new one. Returns the version.
pub(crate) fn roll_back(
    w: &mut Writing<'_, '_>,
    scope: SecretScope,
    key: &SecretKey,
    to_version: i64,
    reason: Option<&str>,
) -> Result<i64, Fault> {
    let text = scope.as_text();
    let stored = versions::stored(w.conn(), &text, key.as_str(), to_version)?
        .ok_or_else(|| Fault::code(Code::VersionNotFound))?;
    let value = plaintext::open(w.core(), &text, key.as_str(), to_version, &stored.sealed)?;
    let delivery = Delivery::parse(&stored.delivery).unwrap_or_default();
    let origin = format!("rollback:{to_version}");
    let new = Put {
        scope,
        key,
        delivery,
        activate: true,
        origin: &origin,
        description: None,
        reason,
        expires_at: stored.expires_at,
    };
    put(w, &new, &value)
}

/// Whether activating `version` changes what agents are given.
pub(crate) fn same_digest(
    cx: &mut Cx<'_>,
    scope: SecretScope,
    key: &SecretKey,
    row: &SecretRow,
    version: i64,
) -> Result<bool, Fault> {
    let text = scope.as_text();
    let wanted =
        versions::digest(cx.conn, &text, key.as_str(), version)?.ok_or_else(|| Fault::code(Code::VersionNotFound))?;
    Ok(match row.active.filter(|_| row.state == "live") {
        Some(active) => versions::digest(cx.conn, &text, key.as_str(), active)?.is_some_and(|stored| stored == wanted),
        None => false,
    })
}
