//! Random histories. What is rolled depends on the seed and on what the model has become so far, so that requests are
//! voted on, versions are met, and turns are reported by those who have them, late, twice or by another.

use crate::{
    dice::Dice,
    model::Model,
    race::pick,
    step::{Act, Base, Change, Label, Place, Step, Work, Write},
};

const SUBJECTS: [&str; 17] = [
    "admin", "admin", "admin", "w0", "w1", "w2", "w3", "service", "attended", "owner", "owner", "approver", "member",
    "auditor", "nobody", "forged", "revoked",
];
const HUMANS: [&str; 6] = ["owner", "approver", "second", "plain", "member", "auditor"];
const KEYS: [&str; 8] = ["A", "A", "A", "B", "B", "C", "PATH", "GITHUB_TOKEN"];
/// Tables that take no row while a step is done.
const TABLES: [&str; 7] = ["secret_versions", "secrets", "intents", "approvals", "votes", "credentials", "audit"];
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
    let (mut who, act) = roll(dice, model, plan);
    if matches!(act, Act::Clock { .. } | Act::Tick) {
        who = "time".to_owned();
    }
    let quiet = matches!(act, Act::Clock { .. } | Act::Tick | Act::StepUp | Act::Mint { .. });
    let trouble = (plan.troubles && !quiet && dice.one_in(6)).then(|| match dice.below(4) {
        0 => "commit".to_owned(),
        1 => "lost".to_owned(),
        _ => pick(dice, &TABLES).to_owned(),
    });
    Step { label, who, act, trouble }
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
    let human = |dice: &mut Dice| pick(dice, &HUMANS).to_owned();
    match dice.below(100) {
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
            let who = if dice.one_in(6) { who } else { human(dice) };
            (who, Act::Vote { ask, yes: !dice.one_in(6) })
        }
        60..63 => {
            let Some(ask) = any else { return (human(dice), Act::StepUp) };
            (if dice.one_in(2) { "admin".to_owned() } else { who }, Act::Withdraw { ask })
        }
        63..66 => (who, Act::Mint { place, life_s: pick(dice, &[60, 600, 86_400]) }),
        66..68 => {
            let tokens = model.tokens();
            let token = tokens[dice.below(tokens.len() as u64) as usize].clone();
            (who, Act::Revoke { token })
        }
        68..70 => (who, Act::Create { parent: at }),
        70 => (if dice.one_in(2) { who } else { "owner".to_owned() }, Act::Space { space: at, change: Change::Remove }),
        71..73 => (who, Act::Space { space: at, change: Change::Restart }),
        73 => (who, Act::Space { space: at, change: Change::Pause }),
        74..76 => {
            (if dice.one_in(2) { who } else { "owner".to_owned() }, Act::Space { space: at, change: Change::Resume })
        }
        76..79 => (human(dice), Act::StepUp),
        79 => {
            let rule = model.rules().into_iter().next();
            let act = rule.map_or(Act::Rule { votes: 1 + u32::from(dice.one_in(2)) }, |rule| Act::Unrule { rule });
            (if dice.one_in(4) { human(dice) } else { "owner".to_owned() }, act)
        }
        80..84 => (pick(dice, &["owner", "member", "service"]).to_owned(), Act::Send { space: at }),
        84..94 => {
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
        94..98 if plan.clock => {
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
        98.. if plan.clock => (who, Act::Tick),
        _ => ("owner".to_owned(), Act::StepUp),
    }
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
