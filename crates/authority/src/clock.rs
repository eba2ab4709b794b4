//! The only place that looks at the clock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use portcullis_kernel::time::Timestamp;

/// Where "now" comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine.
    #[default]
    System,
    /// A number that tests move.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `ms` until a test moves it.
    pub fn fixed(ms: i64) -> (Self, Arc<AtomicI64>) {
        let hand = Arc::new(AtomicI64::new(ms));
        (Self::Fixed(Arc::clone(&hand)), hand)
    }

    /// Milliseconds since the epoch.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(jiff::Timestamp::now().as_millisecond()),
            Self::Fixed(hand) => Timestamp(hand.load(Ordering::SeqCst)),
        }
    }
}

/// RFC 3339 in UTC, as the wire writes times.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |time| time.to_string())
}

/// Reads RFC 3339 text.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp(time.as_millisecond()))
}
