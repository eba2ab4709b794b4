//! Random histories. What is rolled depends on the seed and on what the model has become so far, so that requests are
//! voted on, versions are met, and turns are reported by those who have them, late, twice or by another.

use crate::{
    dice::Dice,
    model::Model,
    race::pick,
    step::{Act, Base, Change, Label, Office, Place, Step, Work, Write},
};

const SUBJECTS: [&str; 17] = [
    "admin", "admin", "admin", "w0", "w1", "w2", "w3", "service", "attended", "owner", "owner", "approver", "member",
    "auditor", "nobody", "forged", "revoked",
];
const HUMANS: [&str; 6] = ["owner", "approver", "second", "plain", "member", "auditor"];
/// Those who may become anything. One owner stays, or nobody could do much.
const MOVED: [&str; 5] = ["approver", "second", "plain", "member", "auditor"];
const KEYS: [&str; 8] = ["A", "A", "A", "B", "B", "C", "PATH", "GITHUB_TOKEN"];
/// Tables that take no row while a step is done.
const TABLES: [&str; 9] =
    ["secret_versions", "secrets", "intents", "approvals", "votes", "credentials", "claims", "idempotency", "audit"];
/// Those that take what humans agreed to.
const PLANNED: [&str; 6] = ["secrets", "secret_versions", "intents", "credentials", "claims", "idempotency"];
const MINUTE_MS: i64 = 60_000;

fn number(dice: &mut Dice, n: u64) -> i64 {
    i64::try_from(dice.below(n)).unwrap_or_default()
}

/// What a history is about.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub steps: u32,
    pub clock: bool,
    pub troubles: bool,
}

/// The next step.
pub fn step(dice: &mut Dice, model: &Model, label: Label, plan: Plan) -> Step {
    let kept = model.kept();
    let (mut who, mut act) = roll(dice, model, plan);
    let time = matches!(act, Act::Clock { .. } | Act::Tick);
    let session = matches!(act, Act::LogIn { .. } | Act::LogOut | Act::StepUp);
    // No deed, so there is nothing to be done once.
    let work = matches!(act, Act::Agent { .. });
    let mut once = (!time && !session && !work && dice.one_in(5)).then(|| u8::try_from(1 + dice.below(4)).unwrap_or(1));
    if once.is_some() && !kept.is_empty() && dice.one_in(2) {
        // The same again, or something else in its place.
        let (by, known, key) = kept[dice.below(kept.len() as u64) as usize].clone();
        (who, once) = (by, Some(key));
        if !dice.one_in(4) {
            act = known;
        }
    }
    if time {
        who = "time".to_owned();
    }
    let quiet = time || session || matches!(act, Act::Mint { to: None, .. });
    // What fails while humans agree fails in the middle of what they agreed to.
    let decides = matches!(act, Act::Vote { yes: true, .. } | Act::BreakGlass { .. });
    let trouble = (plan.troubles && !quiet && dice.one_in(if decides { 3 } else { 6 })).then(|| match dice.below(6) {
        0 => "commit".to_owned(),
        1 => "lost".to_owned(),
        _ if decides => pick(dice, &PLANNED).to_owned(),
        _ => pick(dice, &TABLES).to_owned(),
    });
    Step { label, who, act, once, trouble }
}

fn roll(dice: &mut Dice, model: &Model, plan: Plan) -> (String, Act) {
    let spaces: Vec<Label> = model.spaces.keys().copied().collect();
    // Mostly a few places, so that steps meet.
    let at = pick(dice, &spaces);
    let place = if dice.one_in(4) { Place::Org } else { Place::Space(at) };
    let key = pick(dice, &KEYS).to_owned();
    let value = u8::try_from(dice.below(3)).unwrap_or_default();
    let who = someone(dice, model, place);
    let version = 1 + number(dice, 4);
    let ask = model.asks.iter().rev().filter(|ask| ask.state == "pending").map(|ask| ask.label).next();
    let any = (!model.asks.is_empty()).then(|| model.asks[dice.below(model.asks.len() as u64) as usize].label);
    let sessions = model.sessions();
    let human = |dice: &mut Dice| {
        let other = (!sessions.is_empty() && dice.one_in(3))
            .then(|| sessions[dice.below(sessions.len() as u64) as usize].clone());
        other.unwrap_or_else(|| pick(dice, &HUMANS).to_owned())
    };
    match dice.below(if plan.clock { 127 } else { 121 }) {
        0..22 => {
            let base = match dice.below(8) {
                0 => Base::Absent,
                1 => Base::Present,
                2 | 3 => Base::Version(version),
                _ => Base::Any,
            };
            (who, Act::Secret { place, key, write: Write::Set { value, base, staged: dice.one_in(6) } })
        }
        22..24 => {
            let other = if dice.one_in(4) { Place::Org } else { Place::Space(pick(dice, &spaces)) };
            let two = (other, pick(dice, &KEYS[..6]).to_owned(), u8::try_from(dice.below(3)).unwrap_or_default());
            (who, Act::Pair { one: (place, key, value), two })
        }
        24..29 => {
            let base = if dice.one_in(3) { Base::Version(version) } else { Base::Any };
            (who, Act::Secret { place, key, write: Write::Delete { base } })
        }
        29..32 => (who, Act::Secret { place, key, write: Write::Undelete }),
        32..34 => {
            let version = dice.one_in(2).then_some(version);
            let who = if dice.one_in(4) { who } else { "owner".to_owned() };
            (who, Act::Secret { place, key, write: Write::Destroy { version } })
        }
        34..37 => (who, Act::Secret { place, key, write: Write::Rollback { to: version } }),
        37..40 => (who, Act::Secret { place, key, write: Write::Activate { version } }),
        40..42 => (who, Act::Slot { place, key }),
        42..60 => {
            let ask = if dice.one_in(6) { any } else { ask.or(any) };
            let Some(ask) = ask else { return (human(dice), Act::StepUp) };
            let ready = model.ready();
            let who = match dice.below(6) {
                0 => who,
                1 => human(dice),
                _ if ready.is_empty() => return (pick(dice, &["owner", "approver", "second"]).to_owned(), Act::StepUp),
                _ => ready[dice.below(ready.len() as u64) as usize].clone(),
            };
            (who, Act::Vote { ask, yes: !dice.one_in(6) })
        }
        60..63 => {
            let Some(ask) = any else { return (human(dice), Act::StepUp) };
            (if dice.one_in(2) { "admin".to_owned() } else { who }, Act::Withdraw { ask })
        }
        63..68 => {
            let mut place = place;
            let to = dice.one_in(2).then(|| (pick(dice, &spaces), pick(dice, &KEYS).to_owned()));
            if let (Place::Space(at), Some((to, _))) = (&mut place, &to)
                && !dice.one_in(6)
            {
                *at = *to;
            }
            let minted = model.minted();
            let who = match dice.below(3) {
                0 => pick(dice, &["service", "attended"]).to_owned(),
                1 if !minted.is_empty() => minted[dice.below(minted.len() as u64) as usize].clone(),
                _ => who,
            };
            (who, Act::Mint { place, life_s: pick(dice, &[60, 600, 86_400]), to })
        }
        68..71 => {
            let parents = model.parents();
            let tokens = if !parents.is_empty() && dice.one_in(2) { parents } else { model.tokens() };
            let token = tokens[dice.below(tokens.len() as u64) as usize].clone();
            (who, Act::Revoke { token })
        }
        71..73 => (who, Act::Create { parent: at }),
        73 => (if dice.one_in(2) { who } else { "owner".to_owned() }, Act::Space { space: at, change: Change::Remove }),
        74..76 => (who, Act::Space { space: at, change: Change::Restart }),
        76 => (who, Act::Space { space: at, change: Change::Pause }),
        77..79 => {
            (if dice.one_in(2) { who } else { "owner".to_owned() }, Act::Space { space: at, change: Change::Resume })
        }
        79..83 => (human(dice), Act::StepUp),
        83..85 => {
            let rule = model.rules().into_iter().next().filter(|_| !dice.one_in(4));
            let act = rule.map_or(Act::Rule { votes: 1 + u32::from(dice.one_in(2)) }, |rule| Act::Unrule { rule });
            (if dice.one_in(4) { human(dice) } else { "owner".to_owned() }, act)
        }
        85..89 => (pick(dice, &["owner", "member", "service"]).to_owned(), Act::Send { space: at }),
        89..99 => {
            let at = at.min(3);
            let who = format!("w{at}{}", if dice.one_in(3) { "b" } else { "" });
            let turns = model.turns(at);
            match dice.below(4) {
                0 => (who, Act::Agent { space: at, work: Work::Register }),
                1 | 2 if !turns.is_empty() => {
                    let turn = pick(dice, &turns);
                    (who, Act::Agent { space: at, work: Work::End { turn, done: !dice.one_in(3) } })
                }
                _ => (who, Act::Agent { space: at, work: Work::Take }),
            }
        }
        99..104 => {
            let who = if dice.one_in(6) { human(dice) } else { "owner".to_owned() };
            (who, office(dice, model))
        }
        104..108 => (who, Act::LogIn { name: pick(dice, &HUMANS).to_owned() }),
        108 => (sessions.last().cloned().unwrap_or_else(|| pick(dice, &MOVED).to_owned()), Act::LogOut),
        109..112 => match ask.or(any) {
            Some(ask) => (if dice.one_in(3) { human(dice) } else { "owner".to_owned() }, Act::BreakGlass { ask }),
            None => (human(dice), Act::StepUp),
        },
        112..121 => {
            let waiting = model.waiting();
            let Some(last) = waiting.last().cloned() else { return (who, Act::Slot { place, key }) };
            let one = if dice.one_in(3) { waiting[dice.below(waiting.len() as u64) as usize].clone() } else { last };
            // What was asked is asked again, or whoever asked asks for more, or what it rests on changes meanwhile.
            match (dice.below(4), one) {
                (0, (asked, Act::Secret { place, .. })) => {
                    let write = Write::Set { value, base: Base::Any, staged: false };
                    (asked, Act::Secret { place, key, write })
                }
                (1, (_, Act::Secret { place, key, .. })) => {
                    let beside = if key == "A" { "B" } else { "A" };
                    let two = (place, beside.to_owned(), value);
                    ("owner".to_owned(), Act::Pair { one: (place, key, value), two })
                }
                (_, again) => again,
            }
        }
        121..125 => {
            let ms = match dice.below(6) {
                0 => 61 * MINUTE_MS,
                1 => 5 * MINUTE_MS,
                2 => -10 * MINUTE_MS,
                3 => -61 * MINUTE_MS,
                4 => 1,
                _ => 30 * MINUTE_MS,
            };
            (who, Act::Clock { ms })
        }
        _ => (who, Act::Tick),
    }
}

/// An operator becomes something else; who may not log in mostly may again.
fn office(dice: &mut Dice, model: &Model) -> Act {
    let disabled = model.operators().find(|(_, _, disabled)| *disabled).map(|(name, ..)| name.clone());
    let owners = model.operators().filter(|(_, rank, disabled)| *rank == 3 && !disabled).count();
    if let Some(name) = disabled.filter(|_| dice.one_in(2)) {
        return Act::Operator { name, office: Office::Enable };
    }
    let name = if owners == 1 && dice.one_in(8) { "owner" } else { pick(dice, &MOVED) };
    let office = match dice.below(4) {
        0 => Office::Disable,
        _ => Office::Role(pick(dice, &[0, 1, 2, 2, 2, 3])),
    };
    Act::Operator { name: name.to_owned(), office }
}

/// Anybody, and often somebody who has to do with the place.
fn someone(dice: &mut Dice, model: &Model, place: Place) -> String {
    let minted = model.minted();
    if !minted.is_empty() && dice.one_in(6) {
        return minted[dice.below(minted.len() as u64) as usize].clone();
    }
    match place {
        Place::Space(at) if at < 4 && dice.one_in(4) => format!("w{at}"),
        _ => pick(dice, &SUBJECTS).to_owned(),
    }
}
