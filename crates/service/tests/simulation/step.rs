//! The words of a history: who does what, one step a line. A step is named by a number that stays the same when other
//! steps are left out, so that a history can be shrunk: `17 owner vote 12 yes` means the request of step 12, if it made one.

use std::fmt::{self, Display, Formatter};

/// The name of a step, and of what it made: a workspace, a request, a token, a message, a turn.
pub type Label = u32;

/// The root workspace. 1 and 2 are below it from the beginning, and 3 is below 1; later ones have the label of their step.
pub const ROOT: Label = 0;

/// Whose secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The organisation's default.
    Org,
    /// One workspace.
    Space(Label),
}

/// What a write rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    /// Nothing.
    Any,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: *`
    Present,
    /// `If-Match: "n"`
    Version(i64),
}

/// A request, or what happens to the world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Act {
    Set {
        place: Place,
        key: String,
        value: u8,
        base: Base,
        staged: bool,
    },
    Pair {
        one: (Place, String, u8),
        two: (Place, String, u8),
    },
    Delete {
        place: Place,
        key: String,
        base: Base,
    },
    Undelete {
        place: Place,
        key: String,
    },
    Destroy {
        place: Place,
        key: String,
        version: Option<i64>,
    },
    Rollback {
        place: Place,
        key: String,
        to: i64,
    },
    Activate {
        place: Place,
        key: String,
        version: i64,
    },
    Slot {
        place: Place,
        key: String,
    },
    Vote {
        ask: Label,
        yes: bool,
    },
    Withdraw {
        ask: Label,
    },
    Mint {
        place: Place,
        life_s: i64,
    },
    Revoke {
        token: String,
    },
    Create {
        parent: Label,
    },
    Remove {
        space: Label,
    },
    Restart {
        space: Label,
    },
    Pause {
        space: Label,
    },
    Resume {
        space: Label,
    },
    StepUp,
    /// An added policy: setting a secret needs so many approvers, whoever asks.
    Rule {
        votes: u32,
    },
    Unrule {
        rule: Label,
    },
    Send {
        space: Label,
    },
    Register {
        space: Label,
    },
    Take {
        space: Label,
    },
    End {
        space: Label,
        turn: Label,
        done: bool,
    },
    /// The clock jumps, also backwards.
    Clock {
        ms: i64,
    },
    /// The worker that ends what nobody decided has its turn.
    Tick,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    pub label: Label,
    pub who: String,
    pub act: Act,
    /// What goes wrong in the store while it is done: `commit`, `lost`, or the table that takes no row.
    pub trouble: Option<String>,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("org"),
            Self::Space(label) => write!(f, "w{label}"),
        }
    }
}

impl Display for Base {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Absent => f.write_str("absent"),
            Self::Present => f.write_str("present"),
            Self::Version(version) => write!(f, "{version}"),
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.label, self.who)?;
        match &self.act {
            Act::Set { place, key, value, base, staged } => {
                write!(f, "{} {place} {key} {value} {base}", if *staged { "stage" } else { "set" })
            }
            Act::Pair { one, two } => {
                write!(f, "pair {} {} {} {} {} {}", one.0, one.1, one.2, two.0, two.1, two.2)
            }
            Act::Delete { place, key, base } => write!(f, "delete {place} {key} {base}"),
            Act::Undelete { place, key } => write!(f, "undelete {place} {key}"),
            Act::Destroy { place, key, version } => {
                write!(f, "destroy {place} {key} {}", version.map_or("all".to_owned(), |version| version.to_string()))
            }
            Act::Rollback { place, key, to } => write!(f, "rollback {place} {key} {to}"),
            Act::Activate { place, key, version } => write!(f, "activate {place} {key} {version}"),
            Act::Slot { place, key } => write!(f, "slot {place} {key}"),
            Act::Vote { ask, yes } => write!(f, "vote {ask} {}", if *yes { "yes" } else { "no" }),
            Act::Withdraw { ask } => write!(f, "withdraw {ask}"),
            Act::Mint { place, life_s } => write!(f, "mint {place} {life_s}"),
            Act::Revoke { token } => write!(f, "revoke {token}"),
            Act::Create { parent } => write!(f, "create w{parent}"),
            Act::Remove { space } => write!(f, "remove w{space}"),
            Act::Restart { space } => write!(f, "restart w{space}"),
            Act::Pause { space } => write!(f, "pause w{space}"),
            Act::Resume { space } => write!(f, "resume w{space}"),
            Act::StepUp => f.write_str("step-up"),
            Act::Rule { votes } => write!(f, "rule {votes}"),
            Act::Unrule { rule } => write!(f, "unrule {rule}"),
            Act::Send { space } => write!(f, "send w{space}"),
            Act::Register { space } => write!(f, "register w{space}"),
            Act::Take { space } => write!(f, "take w{space}"),
            Act::End { space, turn, done } => {
                write!(f, "end w{space} {turn} {}", if *done { "completed" } else { "failed" })
            }
            Act::Clock { ms } => write!(f, "clock {ms}"),
            Act::Tick => f.write_str("tick"),
        }?;
        self.trouble.as_ref().map_or(Ok(()), |trouble| write!(f, " ! {trouble}"))
    }
}

/// Reads one line; `None` if it is none.
fn step(line: &str) -> Option<Step> {
    let (line, trouble) = line.split_once(" ! ").map_or((line, None), |(line, t)| (line, Some(t.trim().to_owned())));
    let words: Vec<&str> = line.split_whitespace().collect();
    let (label, who, verb, rest) = (words.first()?.parse().ok()?, words.get(1)?, *words.get(2)?, words.get(3..)?);
    let word = |n: usize| rest.get(n).copied();
    let key = |n: usize| word(n).map(str::to_owned);
    let number = |n: usize| word(n)?.parse::<i64>().ok();
    let name = |n: usize| word(n)?.parse::<Label>().ok();
    let space = |n: usize| word(n)?.strip_prefix('w')?.parse::<Label>().ok();
    let place = |n: usize| if word(n)? == "org" { Some(Place::Org) } else { space(n).map(Place::Space) };
    let write = |n: usize| Some((place(n)?, key(n + 1)?, word(n + 2)?.parse().ok()?));
    let base = |n: usize| match word(n)? {
        "any" => Some(Base::Any),
        "absent" => Some(Base::Absent),
        "present" => Some(Base::Present),
        version => version.parse().ok().map(Base::Version),
    };
    let act = match verb {
        "set" | "stage" => {
            let (place, key, value) = write(0)?;
            Act::Set { place, key, value, base: base(3)?, staged: verb == "stage" }
        }
        "pair" => Act::Pair { one: write(0)?, two: write(3)? },
        "delete" => Act::Delete { place: place(0)?, key: key(1)?, base: base(2)? },
        "undelete" => Act::Undelete { place: place(0)?, key: key(1)? },
        "destroy" => Act::Destroy { place: place(0)?, key: key(1)?, version: word(2).and_then(|v| v.parse().ok()) },
        "rollback" => Act::Rollback { place: place(0)?, key: key(1)?, to: number(2)? },
        "activate" => Act::Activate { place: place(0)?, key: key(1)?, version: number(2)? },
        "slot" => Act::Slot { place: place(0)?, key: key(1)? },
        "vote" => Act::Vote { ask: name(0)?, yes: word(1)? == "yes" },
        "withdraw" => Act::Withdraw { ask: name(0)? },
        "mint" => Act::Mint { place: place(0)?, life_s: number(1)? },
        "revoke" => Act::Revoke { token: key(0)? },
        "create" => Act::Create { parent: space(0)? },
        "remove" => Act::Remove { space: space(0)? },
        "restart" => Act::Restart { space: space(0)? },
        "pause" => Act::Pause { space: space(0)? },
        "resume" => Act::Resume { space: space(0)? },
        "step-up" => Act::StepUp,
        "rule" => Act::Rule { votes: name(0)? },
        "unrule" => Act::Unrule { rule: name(0)? },
        "send" => Act::Send { space: space(0)? },
        "register" => Act::Register { space: space(0)? },
        "take" => Act::Take { space: space(0)? },
        "end" => Act::End { space: space(0)?, turn: name(1)?, done: word(2)? == "completed" },
        "clock" => Act::Clock { ms: number(0)? },
        "tick" => Act::Tick,
        _ => return None,
    };
    Some(Step { label, who: (*who).to_owned(), act, trouble })
}

/// Reads a file: one step a line, `#` begins a remark.
#[track_caller]
pub fn read(text: &str) -> Vec<Step> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty());
    lines.map(|line| step(line).unwrap_or_else(|| panic!("not a step: {line}"))).collect()
}

/// Writes what [`read`] reads.
pub fn written(steps: &[Step]) -> String {
    steps.iter().map(|step| format!("{step}\n")).collect()
}
