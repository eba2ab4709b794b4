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

/// What Portcullis tells an agent that it starts.
pub mod agent {
    use std::path::PathBuf;

    use super::read;
    use crate::hidden::Hidden;

    /// Names that carry no secret of the workspace. What else an agent finds was delivered to it.
    const PLAIN: [&str; 16] = [
        "PATH",
        "HOME",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "TMPDIR",
        "LANG",
        "TERM",
        "HOSTNAME",
        "WORKSPACE_ID",
        "PORTCULLIS_URL",
        "PORTCULLIS_BOOT_ID",
        TOKEN_FILE,
        CONTEXT_FILE,
        "PORTCULLIS_SECRETS_DIR",
        "PORTCULLIS_RUN_DIR",
    ];
    /// Names the variable that names the file with the boot's token.
    pub const TOKEN_FILE: &str = "PORTCULLIS_TOKEN_FILE";
    /// Names the variable that names the file with the restart context.
    pub const CONTEXT_FILE: &str = "PORTCULLIS_CONTEXT_FILE";
    /// What a person's shell may hold and a command that answers messages must not: their power, and the server's.
    pub const POWERS: [&str; 5] = [
        "PORTCULLIS_TOKEN",
        "PORTCULLIS_ADMIN_TOKEN",
        "PORTCULLIS_DATABASE_URL",
        "PORTCULLIS_ROOT_KEY",
        "PORTCULLIS_ROOT_KEY_FILE",
    ];

    /// `WORKSPACE_ID`: whom it works for.
    pub fn workspace() -> Option<String> {
        read("WORKSPACE_ID")
    }

    /// `PORTCULLIS_TOKEN_FILE`.
    pub fn token_file() -> Option<PathBuf> {
        read(TOKEN_FILE).map(Into::into)
    }

    /// `PORTCULLIS_CONTEXT_FILE`.
    pub fn context_file() -> Option<PathBuf> {
        read(CONTEXT_FILE).map(Into::into)
    }

    /// `PORTCULLIS_RUN_DIR`: where this run's sockets belong.
    pub fn run_dir() -> Option<PathBuf> {
        read("PORTCULLIS_RUN_DIR").map(Into::into)
    }

    /// `PORTCULLIS_SECRETS_DIR`: secrets that are delivered as files.
    pub fn secrets_dir() -> Option<PathBuf> {
        read("PORTCULLIS_SECRETS_DIR").map(Into::into)
    }

    /// One delivered variable.
    pub fn delivered(name: &str) -> Option<Hidden> {
        read(name).map(Hidden::new)
    }

    /// Every value that was delivered, for keeping it out of what the agent tells.
    #[expect(clippy::disallowed_methods, reason = "this file is where the client reads its environment")]
    pub fn values() -> Vec<Hidden> {
        let own = std::env::vars_os().filter(|(name, _)| !PLAIN.iter().any(|plain| name == plain));
        own.filter_map(|(_, value)| value.into_string().ok().map(Hidden::new)).collect()
    }
}
