//! Crash points for the `kill -9` tests: the process dies at a named place, without unwinding and without flushing.
//!
//! Compiled in only with the feature `failpoints`; otherwise [`hit`] is an empty function that the compiler removes.

/// The environment variable that arms one crash point: `name` or `name:n` for the n-th time the place is reached.
#[cfg(feature = "failpoints")]
pub const VARIABLE: &str = "PORTCULLIS_FAILPOINT";

/// Dies here if the environment says so. The shipped binary has no crash points.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

/// Dies here if `PORTCULLIS_FAILPOINT` names this place and it was reached often enough.
///
/// `abort` rather than `exit`: no destructor, no buffer flush and no rollback may soften the crash.
#[cfg(feature = "failpoints")]
pub fn hit(name: &'static str) {
    if let Some(armed) = armed()
        && armed.name == name
        && armed.reached.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 == armed.at
    {
        std::process::abort();
    }
}

#[cfg(feature = "failpoints")]
struct Armed {
    name: String,
    at: u64,
    reached: std::sync::atomic::AtomicU64,
}

#[cfg(feature = "failpoints")]
#[expect(clippy::disallowed_methods, reason = "a crash point must work before any configuration is read")]
fn armed() -> Option<&'static Armed> {
    static ARMED: std::sync::OnceLock<Option<Armed>> = std::sync::OnceLock::new();
    ARMED.get_or_init(|| std::env::var(VARIABLE).ok().map(|text| parse(&text))).as_ref()
}

/// A count that is absent, zero or not a number means the first time: a misspelt count must still crash, or a test
/// that believes to have killed the process would pass for nothing.
#[cfg(feature = "failpoints")]
fn parse(text: &str) -> Armed {
    let (name, at) = text.rsplit_once(':').map_or((text, 1), |(name, at)| (name, at.parse().unwrap_or(1).max(1)));
    Armed { name: name.to_owned(), at, reached: std::sync::atomic::AtomicU64::new(0) }
}

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use super::parse;

    #[test]
    fn a_crash_point_is_a_name_and_an_optional_count() {
        assert_eq!((parse("writer.after_job").name.as_str(), parse("writer.after_job").at), ("writer.after_job", 1));
        assert_eq!(
            (parse("writer.after_job:3").name.as_str(), parse("writer.after_job:3").at),
            ("writer.after_job", 3)
        );
        assert_eq!(parse("writer.after_job:0").at, 1);
    }
}
