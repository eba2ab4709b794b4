//! Which A2A a request speaks.

use portcullis_authority::Refusal;
use portcullis_kernel::refusal::Code;

use crate::call::Call;

/// The version as the wire writes it.
pub(super) const VERSION: &str = "1.0";

/// Where the version may stand instead of the header.
pub(super) const QUERY: [&str; 2] = ["A2A-Version", "a2a-version"];

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// 1.0.
    One,
    /// 0.3, or none, which is the same.
    Predecessor,
    /// Any other.
    Unknown,
}

/// What the header says, or the query.
pub(super) fn of(call: &Call) -> Result<Version, Refusal> {
    let header = call.header("a2a-version")?;
    let in_query: Vec<&str> = QUERY.iter().filter_map(|name| call.query(name)).collect();
    let mut said = header.into_iter().chain(in_query).map(str::trim);
    let first = said.next().unwrap_or_default();
    if said.any(|other| other != first) {
        return Err(Refusal::because(Code::InvalidRequest, "`A2A-Version` is said twice, and differently"));
    }
    Ok(match first {
        VERSION => Version::One,
        "" | "0.3" => Version::Predecessor,
        _ => Version::Unknown,
    })
}
