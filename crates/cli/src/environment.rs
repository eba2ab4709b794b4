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

/// `PORTCULLIS_ADMIN_TOKEN`, as the server takes it over.
pub fn server_admin_token() -> Option<zeroize::Zeroizing<String>> {
    read("PORTCULLIS_ADMIN_TOKEN").map(zeroize::Zeroizing::new)
}

/// `PORTCULLIS_DATABASE_URL`; may hold a password.
pub fn database_url() -> Option<Hidden> {
    read("PORTCULLIS_DATABASE_URL").map(Hidden::new)
}

/// `PORTCULLIS_ROOT_KEY_FILE`.
pub fn root_key_file() -> Option<std::path::PathBuf> {
    read("PORTCULLIS_ROOT_KEY_FILE").map(Into::into)
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
