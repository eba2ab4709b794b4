//! Exit codes by refusal class: a script learns *why not* without parsing text.

use crate::problem::Problem;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// A fault, here or at the server, or a reason no other code names.
    Fault = 1,
    /// The command line was wrong (also clap's own code).
    Usage = 2,
    /// Held: a human has to agree first.
    Held = 3,
    /// Denied, and no approval would change that.
    Denied = 4,
    /// It needed an approval and did not get one.
    NotApproved = 5,
    /// The request itself was wrong.
    Invalid = 6,
    /// Not now: busy, limited or unreachable; the same request may work later.
    Unavailable = 7,
    /// Who is asking could not be established, or not freshly enough.
    Unauthenticated = 8,
    /// There is no such thing, or the caller may not know of it.
    NotFound = 9,
    /// A verification found something wrong.
    NotVerified = 10,
}

/// The table `--help` ends with.
pub const HELP: &str = "\
Exit codes:
   0  done
   1  fault, or anything not named below
   2  wrong command line
   3  held: waits for a human to approve
   4  denied; no approval would change that
   5  needed an approval and was denied, expired, withdrawn or voided
   6  the request itself is invalid
   7  not now: busy, limited or unreachable; try again
   8  not authenticated, or not recently enough
   9  not found
  10  verification failed
";

impl Exit {
    /// The class of a refusal. Who is asking and what is missing come before the class the server names, because a
    /// caller acts on them differently.
    #[must_use]
    pub fn of(problem: &Problem) -> Self {
        match (problem.status, problem.code.as_str()) {
            (401, _) | (_, "STEP_UP_REQUIRED" | "CSRF_REQUIRED") => return Self::Unauthenticated,
            (404, _) => return Self::NotFound,
            (_, "APPROVAL_DENIED" | "APPROVAL_EXPIRED" | "APPROVAL_WITHDRAWN" | "APPROVAL_VOIDED") => {
                return Self::NotApproved;
            }
            _ => {}
        }
        match problem.denied_class.as_deref() {
            Some("structural") => Self::Denied,
            Some("needs_approval") => Self::NotApproved,
            Some("transient") => Self::Unavailable,
            Some("invalid") => Self::Invalid,
            _ => Self::of_status(problem.status),
        }
    }

    fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Denied,
            404 => Self::NotFound,
            408 | 425 | 429 | 502..=504 => Self::Unavailable,
            400..=499 => Self::Invalid,
            _ => Self::Fault,
        }
    }

    /// How an approval in this state ends the command that waited for it.
    #[must_use]
    pub fn of_approval(status: &str) -> Self {
        match status {
            "applied" => Self::Ok,
            "pending" => Self::Held,
            "denied" | "expired" | "withdrawn" | "voided" => Self::NotApproved,
            _ => Self::Fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, code: &str, denied_class: Option<&str>) -> Problem {
        Problem { status, code: code.into(), denied_class: denied_class.map(Into::into), ..Problem::default() }
    }

    #[test]
    fn every_refusal_class_has_its_own_exit_code() {
        for (status, code, class, exit) in [
            (403, "CONCIERGE_SELF_WRITE_BLOCKED", Some("structural"), 4),
            (403, "APPROVAL_DENIED", Some("structural"), 5),
            (403, "ANYTHING", Some("needs_approval"), 5),
            (403, "STEP_UP_REQUIRED", Some("structural"), 8),
            (403, "CSRF_REQUIRED", Some("structural"), 8),
            (401, "CREDENTIAL_REVOKED", Some("structural"), 8),
            (404, "NOT_FOUND", Some("invalid"), 9),
            (422, "KEY_INVALID", Some("invalid"), 6),
            (412, "BASE_VERSION_MISMATCH", None, 6),
            (503, "BUSY", Some("transient"), 7),
            (429, "LOGIN_RATE_LIMITED", None, 7),
            (500, "", None, 1),
        ] {
            assert_eq!(Exit::of(&problem(status, code, class)) as u8, exit, "{status} {code} {class:?}");
        }
    }

    #[test]
    fn a_pending_approval_is_never_success() {
        assert_eq!(Exit::of_approval("pending"), Exit::Held);
        assert_eq!(Exit::of_approval("voided"), Exit::NotApproved);
        assert_eq!(Exit::of_approval("a state of the future"), Exit::Fault);
    }

    #[test]
    fn the_help_lists_every_code() {
        for code in 0..=10 {
            assert!(HELP.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "{code}");
        }
    }
}
