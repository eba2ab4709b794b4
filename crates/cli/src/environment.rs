//! The environment variables the client reads, and nothing else does. The server's are read with its configuration.

use crate::hidden::Hidden;

/// `PORTCULLIS_TOKEN`: whom client commands act as.
pub fn token() -> Option<Hidden> {
    read("PORTCULLIS_TOKEN").map(Hidden::new)
}

/// `PORTCULLIS_ADMIN_TOKEN`: what `replay` builds its fixtures with.
pub fn admin_token() -> Option<Hidden> {
    read("PORTCULLIS_ADMIN_TOKEN").map(Hidden::new)
}

/// `NO_COLOR`: no colour, whatever it holds.
pub fn no_color() -> bool {
    read("NO_COLOR").is_some()
}

/// An empty variable is one that is not set.
#[expect(clippy::disallowed_methods, reason = "this file is where the client reads its environment")]
fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
