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

/// What is done to one secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// `staged`: agents are not given it yet.
    Set {
        value: u8,
        base: Base,
        staged: bool,
    },
    Delete {
        base: Base,
    },
    Undelete,
    /// One version, or all of it.
    Destroy {
        version: Option<i64>,
    },
    Rollback {
        to: i64,
    },
    Activate {
        version: i64,
    },
}

/// What is done to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Office {
    /// Another role: 0 auditor, 1 member, 2 approver, 3 owner.
    Role(u8),
    Disable,
    Enable,
}

/// What is done to a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    Remove,
    Restart,
    Pause,
    Resume,
}

/// What an agent says of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    Register,
    Take,
    End { turn: Label, done: bool },
}

/// A request, or what happens to the world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Act {
    Secret {
        place: Place,
        key: String,
        write: Write,
    },
    Pair {
        one: (Place, String, u8),
        two: (Place, String, u8),
    },
    /// Asks humans for a value.
    Slot {
        place: Place,
        key: String,
    },
    Vote {
        ask: Label,
        yes: bool,
    },
    /// A yes that needs no other.
    BreakGlass {
        ask: Label,
    },
    Withdraw {
        ask: Label,
    },
    /// `to`: into which secret of which workspace it is delivered, instead of being shown.
    Mint {
        place: Place,
        life_s: i64,
        to: Option<(Label, String)>,
    },
    Revoke {
        token: String,
    },
    Create {
        parent: Label,
    },
    Space {
        space: Label,
        change: Change,
    },
    Operator {
        name: String,
        office: Office,
    },
    /// Another session of an operator, by the name `s` and the label.
    LogIn {
        name: String,
    },
    LogOut,
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
    Agent {
        space: Label,
        work: Work,
    },
    /// The clock jumps, also backwards.
    Clock {
        ms: i64,
    },
    /// The worker that ends what nobody decided has its turn.
    Tick,
}

impl Act {
    /// Whether it sets one secret.
    pub const fn is_set(&self) -> bool {
        matches!(self, Self::Secret { write: Write::Set { .. }, .. })
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    pub label: Label,
    pub who: String,
    pub act: Act,
    /// The idempotency key it is sent with.
    pub once: Option<u8>,
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

impl Display for Act {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { place, key, write } => match write {
                Write::Set { value, base, staged } => {
                    write!(f, "{} {place} {key} {value} {base}", if *staged { "stage" } else { "set" })
                }
                Write::Delete { base } => write!(f, "delete {place} {key} {base}"),
                Write::Undelete => write!(f, "undelete {place} {key}"),
                Write::Destroy { version: None } => write!(f, "destroy {place} {key} all"),
                Write::Destroy { version: Some(version) } => write!(f, "destroy {place} {key} {version}"),
                Write::Rollback { to } => write!(f, "rollback {place} {key} {to}"),
                Write::Activate { version } => write!(f, "activate {place} {key} {version}"),
            },
            Self::Pair { one, two } => {
                write!(f, "pair {} {} {} {} {} {}", one.0, one.1, one.2, two.0, two.1, two.2)
            }
            Self::Slot { place, key } => write!(f, "slot {place} {key}"),
            Self::Vote { ask, yes } => write!(f, "vote {ask} {}", if *yes { "yes" } else { "no" }),
            Self::BreakGlass { ask } => write!(f, "break-glass {ask}"),
            Self::Withdraw { ask } => write!(f, "withdraw {ask}"),
            Self::Mint { place, life_s, to: None } => write!(f, "mint {place} {life_s}"),
            Self::Mint { place, life_s, to: Some((space, key)) } => write!(f, "mint {place} {life_s} w{space} {key}"),
            Self::Revoke { token } => write!(f, "revoke {token}"),
            Self::Create { parent } => write!(f, "create w{parent}"),
            Self::Space { space, change } => {
                let change = CHANGES.iter().find(|(_, known)| known == change).map_or("", |(word, _)| word);
                write!(f, "{change} w{space}")
            }
            Self::Operator { name, office } => {
                write!(f, "office {name} ")?;
                match office {
                    Office::Role(rank) => f.write_str(ROLES[usize::from(*rank)]),
                    Office::Disable => f.write_str("disable"),
                    Office::Enable => f.write_str("enable"),
                }
            }
            Self::LogIn { name } => write!(f, "log-in {name}"),
            Self::LogOut => f.write_str("log-out"),
            Self::StepUp => f.write_str("step-up"),
            Self::Rule { votes } => write!(f, "rule {votes}"),
            Self::Unrule { rule } => write!(f, "unrule {rule}"),
            Self::Send { space } => write!(f, "send w{space}"),
            Self::Agent { space, work } => match work {
                Work::Register => write!(f, "register w{space}"),
                Work::Take => write!(f, "take w{space}"),
                Work::End { turn, done } => {
                    write!(f, "end w{space} {turn} {}", if *done { "completed" } else { "failed" })
                }
            },
            Self::Clock { ms } => write!(f, "clock {ms}"),
            Self::Tick => f.write_str("tick"),
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.label, self.who, self.act)?;
        self.once.map_or(Ok(()), |key| write!(f, " once {key}"))?;
        self.trouble.as_ref().map_or(Ok(()), |trouble| write!(f, " ! {trouble}"))
    }
}

const CHANGES: [(&str, Change); 4] =
    [("remove", Change::Remove), ("restart", Change::Restart), ("pause", Change::Pause), ("resume", Change::Resume)];

/// By rank.
pub const ROLES: [&str; 4] = ["auditor", "member", "approver", "owner"];

/// Reads one line; `None` if it is none.
fn step(line: &str) -> Option<Step> {
    let (line, trouble) = line.split_once(" ! ").map_or((line, None), |(line, t)| (line, Some(t.trim().to_owned())));
    let (line, once) = line.split_once(" once ").map_or((line, None), |(line, key)| (line, Some(key.trim())));
    let once = once.map(str::parse).transpose().ok()?;
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
    let secret = |write: Write| Some(Act::Secret { place: place(0)?, key: key(1)?, write });
    let act = match verb {
        "set" | "stage" => {
            let (place, key, value) = write(0)?;
            Act::Secret { place, key, write: Write::Set { value, base: base(3)?, staged: verb == "stage" } }
        }
        "delete" => secret(Write::Delete { base: base(2)? })?,
        "undelete" => secret(Write::Undelete)?,
        "destroy" => secret(Write::Destroy { version: word(2).and_then(|version| version.parse().ok()) })?,
        "rollback" => secret(Write::Rollback { to: number(2)? })?,
        "activate" => secret(Write::Activate { version: number(2)? })?,
        "pair" => Act::Pair { one: write(0)?, two: write(3)? },
        "slot" => Act::Slot { place: place(0)?, key: key(1)? },
        "break-glass" => Act::BreakGlass { ask: name(0)? },
        "vote" => Act::Vote { ask: name(0)?, yes: word(1)? == "yes" },
        "withdraw" => Act::Withdraw { ask: name(0)? },
        "mint" => Act::Mint { place: place(0)?, life_s: number(1)?, to: space(2).zip(key(3)) },
        "revoke" => Act::Revoke { token: key(0)? },
        "create" => Act::Create { parent: space(0)? },
        "office" => {
            let office = match word(1)? {
                "disable" => Office::Disable,
                "enable" => Office::Enable,
                role => Office::Role(u8::try_from(ROLES.iter().position(|known| *known == role)?).ok()?),
            };
            Act::Operator { name: key(0)?, office }
        }
        "log-in" => Act::LogIn { name: key(0)? },
        "log-out" => Act::LogOut,
        "step-up" => Act::StepUp,
        "rule" => Act::Rule { votes: name(0)? },
        "unrule" => Act::Unrule { rule: name(0)? },
        "send" => Act::Send { space: space(0)? },
        "register" => Act::Agent { space: space(0)?, work: Work::Register },
        "take" => Act::Agent { space: space(0)?, work: Work::Take },
        "end" => Act::Agent { space: space(0)?, work: Work::End { turn: name(1)?, done: word(2)? == "completed" } },
        "clock" => Act::Clock { ms: number(0)? },
        "tick" => Act::Tick,
        change => {
            let (_, change) = CHANGES.into_iter().find(|(word, _)| *word == change)?;
            Act::Space { space: space(0)?, change }
        }
    };
    Some(Step { label, who: (*who).to_owned(), act, once, trouble })
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
