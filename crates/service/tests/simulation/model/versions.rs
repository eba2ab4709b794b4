//! How a secret moves: every write is a new version, two pointers say which is the latest and which is given to agents,
//! and what was destroyed does not come back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Model, Prepared, Refused, approvals::Pin};
use crate::step::{Base, Label, Place, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    Slot,
    Live,
    Deleted,
}

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Value {
    Number(u8),
    /// A token that was delivered: nobody was told what it is.
    Token(Label),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Secret {
    pub life: Life,
    pub latest: i64,
    pub active: Option<i64>,
    /// By version; `None` when destroyed.
    values: BTreeMap<i64, Option<Value>>,
    /// Versions that end, of which nobody was reminded yet.
    pub(super) ends: BTreeSet<i64>,
}

impl Secret {
    const EMPTY: Self =
        Self { life: Life::Slot, latest: 0, active: None, values: BTreeMap::new(), ends: BTreeSet::new() };

    /// What agents are given.
    pub fn value(&self) -> Option<Value> {
        self.active.filter(|_| self.life == Life::Live).and_then(|version| self.of(version))
    }

    fn of(&self, version: i64) -> Option<Value> {
        self.values.get(&version).copied().flatten()
    }
}

impl Prepared {
    fn new(pin: Pin, unaffected: bool, by_value: bool) -> Self {
        Self { pins: vec![pin], unaffected, by_value }
    }
}

impl Model {
    fn secret(&self, place: Place, key: &str) -> Option<&Secret> {
        self.secrets.get(&(place, key.to_owned()))
    }

    fn pin(&self, place: Place, key: &str) -> Pin {
        let secret = self.secret(place, key);
        (place, key.to_owned(), secret.map(|secret| (secret.life, secret.latest, secret.active)))
    }

    fn existing(&self, place: Place, key: &str, lives: &[Life]) -> Result<&Secret, Refused> {
        self.secret(place, key).filter(|secret| lives.contains(&secret.life)).ok_or((404, "SECRET_NOT_FOUND"))
    }

    pub(super) fn write_fits(&self, place: Place, key: &str, write: Write) -> Result<Prepared, Refused> {
        let pin = self.pin(place, key);
        let gone = (404, "VERSION_NOT_FOUND");
        match write {
            Write::Set { value, base, staged } => {
                allowed(place, key)?;
                fits(base, self.secret(place, key))?;
                let same = self.secret(place, key).and_then(Secret::value) == Some(Value::Number(value));
                Ok(Prepared::new(pin, same || staged, same && !staged))
            }
            Write::Delete { base } => {
                let secret = self.existing(place, key, &[Life::Live, Life::Slot])?;
                fits(base, Some(secret))?;
                Ok(Prepared::new(pin, secret.life == Life::Slot || secret.active.is_none(), false))
            }
            Write::Undelete => {
                let secret = self.existing(place, key, &[Life::Deleted]).ok().filter(|secret| secret.latest > 0);
                let secret = secret.ok_or((404, "SECRET_NOT_FOUND"))?;
                if secret.active.is_some_and(|version| secret.of(version).is_none()) {
                    return Err((409, "CONFLICT"));
                }
                Ok(Prepared::new(pin, secret.active.is_none(), false))
            }
            Write::Destroy { version } => {
                let secret = self.existing(place, key, &[Life::Live, Life::Deleted, Life::Slot])?;
                let active = secret.active.filter(|_| secret.life == Life::Live);
                if let Some(version) = version {
                    secret.of(version).ok_or(gone)?;
                    if active == Some(version) {
                        return Err((409, "CONFLICT"));
                    }
                }
                Ok(Prepared { unaffected: active.is_none() || version.is_some(), ..Prepared::default() })
            }
            Write::Rollback { to: version } | Write::Activate { version } => {
                let mut lives = vec![Life::Live];
                if matches!(write, Write::Rollback { .. }) {
                    allowed(place, key)?;
                    lives.push(Life::Deleted);
                }
                let secret = self.existing(place, key, &lives)?;
                let same = secret.value() == Some(secret.of(version).ok_or(gone)?);
                Ok(Prepared::new(pin, same, same))
            }
        }
    }

    pub(super) fn pair_fits(&self, one: &(Place, String, u8), two: &(Place, String, u8)) -> Result<Prepared, Refused> {
        let set = |(place, key, value): &(Place, String, u8)| {
            self.write_fits(*place, key, Write::Set { value: *value, base: Base::Any, staged: false })
        };
        let first = set(one)?;
        if (one.0, &one.1) == (two.0, &two.1) {
            return Err((422, "INVALID_FIELD"));
        }
        let second = set(two)?;
        let (unaffected, by_value) = (first.unaffected && second.unaffected, first.by_value || second.by_value);
        Ok(Prepared { pins: [first.pins, second.pins].concat(), unaffected, by_value })
    }

    pub(super) fn slot_fits(&self, place: Place, key: &str) -> Result<(), Refused> {
        allowed(place, key)?;
        let live = self.secret(place, key).is_some_and(|secret| secret.life == Life::Live);
        if live { Err((409, "CONFLICT")) } else { Ok(()) }
    }

    fn at(&mut self, place: Place, key: &str) -> &mut Secret {
        self.secrets.entry((place, key.to_owned())).or_insert(Secret::EMPTY)
    }

    /// Puts the next version.
    pub(super) fn put(&mut self, place: Place, key: &str, value: Value, activate: bool) -> Option<i64> {
        let secret = self.at(place, key);
        secret.latest += 1;
        secret.values.insert(secret.latest, Some(value));
        if matches!(value, Value::Token(_)) {
            secret.ends.insert(secret.latest);
        }
        // A key that was deleted comes back with this value or with none.
        let before = secret.active.filter(|_| secret.life == Life::Live);
        secret.active = if activate { Some(secret.latest) } else { before };
        secret.life = Life::Live;
        Some(secret.latest)
    }

    /// The version it put or chose.
    pub(super) fn write(&mut self, place: Place, key: &str, write: Write) -> Option<i64> {
        let secret = self.at(place, key);
        match write {
            Write::Set { value, staged, .. } => return self.put(place, key, Value::Number(value), !staged),
            Write::Rollback { to } => {
                let value = secret.of(to)?;
                return self.put(place, key, value, true);
            }
            Write::Activate { version } => {
                secret.active = Some(version);
                return secret.active;
            }
            Write::Delete { .. } => secret.life = Life::Deleted,
            Write::Undelete => secret.life = Life::Live,
            Write::Destroy { version: Some(version) } => drop(secret.values.insert(version, None)),
            Write::Destroy { version: None } => {
                secret.values.values_mut().for_each(|value| *value = None);
                (secret.life, secret.active) = (Life::Deleted, None);
            }
        }
        None
    }

    /// A token goes into a secret, whatever is there.
    pub(super) fn delivery_fits(&self, place: Place, key: &str) -> Result<Prepared, Refused> {
        allowed(place, key)?;
        let pins = self.secret(place, key).map(|_| self.pin(place, key)).into_iter().collect();
        Ok(Prepared { pins, ..Prepared::default() })
    }

    pub(super) fn slot(&mut self, place: Place, key: &str) {
        let secret = self.at(place, key);
        (secret.life, secret.active) = (Life::Slot, None);
    }
}

/// Whether what a write rests on is there. A deleted key and an unfilled slot are absent.
fn fits(base: Base, secret: Option<&Secret>) -> Result<(), Refused> {
    let latest = secret.filter(|secret| secret.life == Life::Live).map(|secret| secret.latest);
    let fits = match base {
        Base::Any => true,
        Base::Absent => latest.is_none(),
        Base::Present => latest.is_some(),
        Base::Version(version) => latest == Some(version),
    };
    if fits { Ok(()) } else { Err((412, "BASE_VERSION_MISMATCH")) }
}

/// Keys that change how programs are loaded, and those that would reach every workspace.
fn allowed(place: Place, key: &str) -> Result<(), Refused> {
    let forbidden = key == "PATH" || (place == Place::Org && key == "GITHUB_TOKEN");
    if forbidden { Err((422, "KEY_FORBIDDEN")) } else { Ok(()) }
}
