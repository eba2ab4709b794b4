//! CBOR as authenticators write it (RFC 8949, in CTAP2's canonical form): definite lengths, shortest heads, no tags and no
//! floating point. Two readers must not see two things, so a member that comes twice is refused, and so is what is left over.

use super::Unsound;

/// Deepest nesting.
const DEPTH_MAX: usize = 4;
/// Most members of one map or array.
const MEMBERS_MAX: u64 = 32;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Unsigned(u64),
    /// The number itself, -1 and below.
    Negative(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Item<'a>>),
    Map(Vec<(Item<'a>, Item<'a>)>),
    Boolean(bool),
    Null,
}

impl<'a> Item<'a> {
    /// A member of a map.
    pub(super) fn get(&self, name: &Item<'_>) -> Option<&Item<'a>> {
        match self {
            Self::Map(members) => members.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Refuses what is not a map with just so many members.
    pub(super) fn members(&self, count: usize) -> Result<(), Unsound> {
        match self {
            Self::Map(members) if members.len() == count => Ok(()),
            _ => Err(Unsound("a map has other members than it should")),
        }
    }
}

/// Reads from the front of some bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Unsound> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Unsound("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next bytes, of a length that is known.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Unsound> {
        self.take(N)?.try_into().map_err(|_| Unsound("it ends too early"))
    }

    /// Major type and argument, in the shortest form only.
    fn head(&mut self) -> Result<(u8, u64), Unsound> {
        let [first] = self.array()?;
        let (major, minor) = (first >> 5, first & 0x1f);
        let (argument, least) = match minor {
            0..=23 => return Ok((major, u64::from(minor))),
            24 => (u64::from(u8::from_be_bytes(self.array()?)), 24),
            25 => (u64::from(u16::from_be_bytes(self.array()?)), 1 << 8),
            26 => (u64::from(u32::from_be_bytes(self.array()?)), 1 << 16),
            27 => (u64::from_be_bytes(self.array()?), 1 << 32),
            _ => return Err(Unsound("a length that is not definite")),
        };
        // What stands for false, true and null has one byte; what is longer is not written by authenticators.
        if argument < least || major == 7 {
            return Err(Unsound("a number that is not in its shortest form"));
        }
        Ok((major, argument))
    }

    fn text(&mut self, bytes: u64) -> Result<&'a [u8], Unsound> {
        self.take(usize::try_from(bytes).map_err(|_| Unsound("it ends too early"))?)
    }

    /// The next value.
    pub(super) fn item(&mut self) -> Result<Item<'a>, Unsound> {
        self.nested(DEPTH_MAX)
    }

    fn nested(&mut self, depth: usize) -> Result<Item<'a>, Unsound> {
        let Some(depth) = depth.checked_sub(1) else { return Err(Unsound("it is nested too deeply")) };
        let (major, argument) = self.head()?;
        if matches!(major, 4 | 5) && argument > MEMBERS_MAX {
            return Err(Unsound("a map or a list with too many members"));
        }
        Ok(match (major, argument) {
            (0, number) => Item::Unsigned(number),
            (1, number) => {
                let number = i64::try_from(number).map_err(|_| Unsound("a number out of range"))?;
                Item::Negative(-1 - number)
            }
            (2, bytes) => Item::Bytes(self.text(bytes)?),
            (3, bytes) => {
                let text = std::str::from_utf8(self.text(bytes)?).map_err(|_| Unsound("a text that is not UTF-8"))?;
                Item::Text(text)
            }
            (4, count) => Item::Array((0..count).map(|_| self.nested(depth)).collect::<Result<_, _>>()?),
            (5, count) => {
                let mut members: Vec<(Item<'a>, Item<'a>)> = Vec::new();
                for _ in 0..count {
                    let (name, value) = (self.nested(depth)?, self.nested(depth)?);
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(Unsound("a member that comes twice"));
                    }
                    members.push((name, value));
                }
                Item::Map(members)
            }
            (7, 20) => Item::Boolean(false),
            (7, 21) => Item::Boolean(true),
            (7, 22) => Item::Null,
            _ => return Err(Unsound("a value of a kind that is not used")),
        })
    }

    /// Refuses what is left over.
    pub(super) fn end(&self) -> Result<(), Unsound> {
        if self.0.is_empty() { Ok(()) } else { Err(Unsound("there is something behind its end")) }
    }
}

/// One value that is all there is.
pub(super) fn document(bytes: &[u8]) -> Result<Item<'_>, Unsound> {
    let mut reader = Reader(bytes);
    let item = reader.item()?;
    reader.end()?;
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_nothing_is_read_twice() {
        for (bytes, item) in [
            (&[0x00][..], Item::Unsigned(0)),
            (&[0x18, 0x18], Item::Unsigned(24)),
            (&[0x19, 0x01, 0x00], Item::Unsigned(256)),
            (&[0x1a, 0x00, 0x01, 0x00, 0x00], Item::Unsigned(65_536)),
            (&[0x26], Item::Negative(-7)),
            (&[0x38, 0x2f], Item::Negative(-48)),
            (&[0x42, 1, 2], Item::Bytes(&[1, 2])),
            (&[0x62, b'o', b'k'], Item::Text("ok")),
            (&[0x82, 0xf4, 0xf5], Item::Array(vec![Item::Boolean(false), Item::Boolean(true)])),
            (&[0xa1, 0x01, 0xf6], Item::Map(vec![(Item::Unsigned(1), Item::Null)])),
        ] {
            assert_eq!(document(bytes), Ok(item), "{bytes:x?}");
        }
        for (bytes, what) in [
            (&[][..], "nothing"),
            (&[0x18, 0x17], "not the shortest form"),
            (&[0x19, 0x00, 0xff], "not the shortest form"),
            (&[0x1a, 0x00, 0x00, 0xff, 0xff], "not the shortest form"),
            (&[0x1b, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], "not the shortest form"),
            (&[0x5f, 0x41, 0x00, 0xff], "an indefinite length"),
            (&[0xbf, 0xff], "an indefinite length"),
            (&[0x42, 1], "too short"),
            (&[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a length that no memory has"),
            (&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a count that no memory has"),
            (&[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "a number out of range"),
            (&[0x62, 0xff, 0xff], "not UTF-8"),
            (&[0xa2, 0x01, 0x00, 0x01, 0x00], "a member that comes twice"),
            (&[0xc0, 0x00], "a tag"),
            (&[0xf9, 0x00, 0x00], "a floating point number"),
            (&[0xf8, 0x14], "a long form of false"),
            (&[0xf7], "undefined"),
            (&[0x00, 0x00], "something behind the end"),
            (&[0x81, 0x81, 0x81, 0x81, 0x00], "too deep"),
        ] {
            assert!(document(bytes).is_err(), "{what}: {bytes:x?}");
        }
    }
}
